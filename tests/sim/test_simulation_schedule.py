"""Faults one by one: written down, played again, and made fewer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from replication.journal import Journal
from sim.simulate import Request, main
from sim.simulation import Simulation
from sim.simulation_fault_file import load_ranges
from sim.simulation_minimise import Minimised, minimise, same_failure
from sim.simulation_run import Plan, memory_directory, run_plan
from sim.simulation_schedule import ScheduleError, Strike, dump_schedule, load_schedule
from sim.simulation_verdict import Verdict

TROUBLE = Path(__file__).parents[2] / "configs" / "sim-trouble.toml"
EVERY_FAULT = [Strike("kill", f"node-{number}", float(number)) for number in range(1, 21)]


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    strikes = (
        Strike("clog", "node-1", 1.2345678901234, 0.1, "hears node-2"),
        Strike("cut-off", "node-3", 2.0, detail="before-fsync", occasion=17),
    )
    path = tmp_path / "schedule.toml"
    path.write_text(dump_schedule(strikes, "seed 7: what was\nbroken"), encoding="utf-8")
    assert load_schedule(path) == strikes


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nonsense", "cannot be read"),
        ("other = 1", "tables [[fault]] and nothing else"),
        ('[[fault]]\nkind = "kill"\nnode = "node-1"', "needed are at_s, kind, node"),
        ('[[fault]]\nkind = "kill"\nnode = 1\nat_s = 1', "node is a text"),
        ('[[fault]]\nkind = "kill"\nnode = "node-1"\nat_s = "1"', "at_s is a number"),
    ],
)
def test_what_is_no_schedule_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "schedule.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ScheduleError) as refused:
        load_schedule(path)
    assert words in str(refused.value)


@pytest.mark.parametrize("strike", [Strike("kil", "node-1", 1.0), Strike("kill", "node-9", 1.0)])
def test_a_schedule_for_another_cluster_is_refused(tmp_path: Path, strike: Strike) -> None:
    with pytest.raises(ScheduleError, match="is no "):
        Simulation(1, tmp_path, schedule=[strike])


def test_the_same_faults_one_by_one_make_the_same_run() -> None:
    by_chance = run_plan(Plan(seed=12, seconds=4.0))
    again = run_plan(Plan(seed=12, seconds=4.0, schedule=by_chance.strikes))
    assert {strike.occasion > 0 for strike in by_chance.strikes} == {True, False}, "both kinds"
    assert again.trace_hash == by_chance.trace_hash
    assert again.strikes == by_chance.strikes


def test_without_any_fault_nothing_goes_wrong() -> None:
    calm = run_plan(Plan(seed=3, seconds=2.0, schedule=()))
    assert calm.fault_counts == {} and calm.verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("needed", [{3}, {3, 17}, {1, 2, 20}, set(range(1, 21))], ids=len)
def test_what_is_left_is_what_is_needed_and_nothing_else(needed: set[int]) -> None:
    def fails(strikes: Sequence[Strike]) -> bool:
        return needed <= {int(strike.at_s) for strike in strikes}

    found = minimise(EVERY_FAULT, fails, lambda: 0.0, 1.0)
    assert {int(strike.at_s) for strike in found.strikes} == needed
    assert found.is_minimal


def test_a_run_that_fails_without_faults_needs_none() -> None:
    assert minimise(EVERY_FAULT, lambda _strikes: True, lambda: 0.0, 1.0) == Minimised((), 1, True)


def test_when_time_is_up_it_says_so() -> None:
    clock = iter(range(100))
    found = minimise(EVERY_FAULT, lambda strikes: len(strikes) > 2, lambda: float(next(clock)), 2.0)
    assert 2 < len(found.strikes) < 20 and not found.is_minimal


def test_failures_are_compared_without_names_and_numbers() -> None:
    one = "node-1 came back with (last log index, term, vote) (7, 2, 'node-3'); on its disk is (7, 2, '')"
    assert same_failure(one, one.replace("node-1", "node-2").replace("7", "19"))
    assert not same_failure(one, "node-1 and node-2 both lead term 3")


def test_a_failing_seed_tells_of_few_faults_that_break_it_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Journal._load_meta

    def load(self: Journal, transaction: Any) -> int:
        first_index = original(self, transaction)
        if self._term >= 3:  # so that more than one thing must go wrong before it shows
            self._vote = None
        return first_index

    monkeypatch.setattr(Journal, "_load_meta", load)
    request = Request("1.2.3", seed=1, seeds=20, minutes=0.05, faults=TROUBLE, minimise_s=20.0)
    assert main(request) == 1
    lines = capsys.readouterr().out.splitlines()
    told = next(line for line in lines if " faults are enough (" in line)
    few, _of, all_of_them = told.split()[:3]
    print(told)
    assert int(few) < int(all_of_them)
    alone = next(line for line in lines if line.startswith("with these alone: ")).split()
    seed, schedule = int(alone[alone.index("--seed") + 1]), Path(alone[-1])
    with memory_directory():
        again = run_plan(Plan(seed=seed, seconds=3.0, ranges=load_ranges(TROUBLE), schedule=load_schedule(schedule)))
    schedule.unlink()
    assert again.verdict is Verdict.FAIL and len(again.strikes) == int(few)
