"""Whole runs: fixed seeds, fresh seeds, the same seed twice; and what the command says and answers."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from sim.simulate import Request, main
from sim.simulation import Simulation
from sim.simulation_faults import calm, draw_faults
from sim.simulation_run import memory_directory
from sim.simulation_trace import Violation
from sim.simulation_verdict import Judgement, Verdict, judge

ROOT = Path(__file__).parents[2]
SECONDS = 6.0
FIXED_SEEDS = range(1, 21)
FRESH_SEEDS = tuple(secrets.randbits(31) for _ in range(5))


def played(seed: int, *, nodes: int = 3) -> tuple[Simulation, Judgement]:
    with memory_directory() as directory:
        simulation = Simulation(seed, directory, nodes=nodes)
        simulation.run(SECONDS)
        return simulation, judge(simulation)


def expect_a_pass(seed: int, nodes: int) -> None:
    print(f"repeat it: tally sim --seed {seed} --minutes {SECONDS / 60} --nodes {nodes}")
    simulation, judgement = played(seed, nodes=nodes)
    story = "\n".join([judgement.reason, *simulation.trace.last_lines(40)])
    assert judgement.verdict is Verdict.PASS or judgement.reason.startswith("nothing went wrong"), story


@pytest.mark.parametrize("seed", FIXED_SEEDS, ids=lambda seed: f"seed-{seed}")
def test_whatever_goes_wrong_no_promise_is_broken(seed: int) -> None:
    expect_a_pass(seed, nodes=5 if seed % 5 == 0 else 3)


@pytest.mark.parametrize("number", range(len(FRESH_SEEDS)))
def test_no_promise_is_broken_with_seeds_that_nobody_has_tried(number: int) -> None:
    expect_a_pass(FRESH_SEEDS[number], nodes=3)


def test_the_same_seed_does_the_same_whatever_the_hash_seed() -> None:
    command = [sys.executable, str(ROOT / "tally.py"), "sim", "--seed", "7", "--minutes", "0.1", "--trace-hash"]
    outputs = [
        subprocess.run(
            command, env={**os.environ, "PYTHONHASHSEED": hash_seed}, capture_output=True, text=True, check=True
        ).stdout.splitlines()
        for hash_seed in ("1", "2")
    ]
    assert outputs[0][-1] == outputs[1][-1]
    assert outputs[0][-1].startswith("trace ")


def test_what_is_said_of_a_fault_does_not_depend_on_where_the_files_are(tmp_path: Path) -> None:
    said = set()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        simulation = Simulation(1, tmp_path / name)
        said.add(simulation.describe(OSError(f"no room for {simulation.directory}/data/node-1")))
    assert said == {"OSError: no room for data/node-1"}


def test_another_seed_does_something_else() -> None:
    assert played(7)[0].trace.hash() != played(8)[0].trace.hash()


def test_a_run_in_which_nothing_went_wrong_is_unknown() -> None:
    with memory_directory() as directory:
        simulation = Simulation(1, directory, faults=calm(draw_faults(Random(1))))
        simulation.run(2.0)
        assert judge(simulation) == (
            Verdict.UNKNOWN,
            "nothing went wrong: a longer run, or another seed, would show more",
        )


def test_a_run_in_which_nothing_was_asked_is_unknown() -> None:
    with memory_directory() as directory:
        simulation = Simulation(1, directory, orders_per_s=1)
        simulation.run(2.0)
        judgement = judge(simulation)
    assert judgement.verdict is Verdict.UNKNOWN
    assert "too few to show anything" in judgement.reason


def test_a_pass_says_what_it_rests_on(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(Request("1.2.3", seed=2, minutes=0.1, keep=tmp_path)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("tally 1.2.3") and lines[0].endswith(
        "3 replicas, 0.1 virtual minutes a seed, seeds 2 to 2"
    )
    assert lines[1] == "seed 2"
    assert "delay_ms_min=" in lines[2], "the mixture comes before anything happens"
    assert "  pass" in lines
    assert "requests answered" in lines[-4] and "virtual seconds" in lines[-1]
    assert len(list((tmp_path / "seed-2" / "data").glob("node-*/archive/*.entries"))) >= 3


def test_a_failure_says_what_happened_and_how_to_repeat_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "replication.log_sender.LogSender.match_indexes", lambda self: dict.fromkeys(self._followers, 5)
    )
    assert main(Request("1.2.3", seed=2, seeds=9, minutes=0.1)) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("  fail: log index") for line in lines)
    assert any("VIOLATION" in line for line in lines), "the sequence of events before it"
    assert "repeat it: tally sim --seed 2 --minutes 0.1 --nodes 3" in lines
    assert "it fails although nothing goes wrong" in lines
    assert lines[-1].startswith("1 of 9 seeds: 0 pass, 1 fail, 0 unknown; ")


def test_a_short_run_is_unknown_in_the_exit_code_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(Request("1.2.3", seed=5, minutes=0.01)) == 3
    assert "  unknown: " in capsys.readouterr().out


def test_replicas_that_do_not_come_back_after_the_heal_are_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim.simulation.LIVENESS_S_MAX", 3.0)
    with memory_directory() as directory:
        simulation = Simulation(1, directory, faults=calm(draw_faults(Random(1))))
        with simulation.in_virtual_time():
            simulation.set_up()
            simulation.begin()
            simulation.play(0.5)
            for process in list(simulation.processes.values())[:2]:
                process.end("the test takes it away")
                process.halted = "the test took it away"
            with pytest.raises(Violation):
                simulation.settle()
        judgement = judge(simulation)
    assert judgement.verdict is Verdict.FAIL
    assert "requests stay unanswered" in judgement.reason
    assert "node-1 is down" in judgement.reason
