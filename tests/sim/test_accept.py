"""``tally accept`` against a real exchange: the scenarios tell there what they tell in process, again and again."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sim.accept import BUNDLED, FAILED, PASSED, SKIPPED, Verdict, describe, main
from sim.http_driver import HttpDriver
from sim.local_exchange import TALLY, LocalExchange
from sim.scenario import difference, read_blocks, run_blocks
from sim.stage import Stage

pytestmark = pytest.mark.cluster

# A scenario is skipped as a whole only where its text says so, and few are.
SAYS_SO = re.compile(r"^(in process only: |clock \+)", re.MULTILINE)
SKIPPED_SHARE_MAX = 0.1

GOOD = """\
exchange with EUR 5
ana has 10.00 EUR
show balances ana
----
ana EUR: 10.00000 available, 0.00000 held
"""


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalExchange]:
    with LocalExchange(tmp_path_factory.mktemp("accept") / "exchange") as started:
        yield started


def start_accept(exchange: LocalExchange) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(TALLY), "accept", "--url", exchange.url, "--data", str(exchange.directory)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def accept_text(exchange: LocalExchange, directory: Path, *texts: str) -> int:
    files = []
    for number, text in enumerate(texts):
        files.append(directory / f"{number}.txt")
        files[-1].write_text(text)
    return main(files, url=exchange.url, data_dir=exchange.directory)


@pytest.mark.timeout(900)
def test_every_scenario_passes_twice_on_the_same_exchange(exchange: LocalExchange) -> None:
    """Both runs at the same time: they must not notice each other."""
    texts = {path.stem: path.read_text() for path in BUNDLED.glob("*.txt")}
    running = [start_accept(exchange) for _ in range(2)]
    for process in running:
        output, errors = process.communicate(timeout=800)
        lines = output.splitlines()
        assert [line for line in lines if line.startswith((FAILED, "    "))] == [], errors
        assert process.returncode == 0, errors
        skipped = [line.split()[1].rstrip(":") for line in lines if line.startswith(SKIPPED)]
        assert [name for name in skipped if not SAYS_SO.search(texts[name])] == []
        assert len(skipped) < len(texts) * SKIPPED_SHARE_MAX
        passed = len(texts) - len(skipped)
        assert lines[-1].startswith(f"{passed} passed, 0 failed, {len(skipped)} skipped in ")


def test_a_difference_fails_and_is_shown(
    exchange: LocalExchange, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert accept_text(exchange, tmp_path, GOOD, GOOD.replace("10.00000 a", "11.00000 a")) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["passed  0", "failed  1"]
    assert "    -ana EUR: 11.00000 available, 0.00000 held" in lines
    assert "    +ana EUR: 10.00000 available, 0.00000 held" in lines
    assert lines[-1].startswith("1 passed, 1 failed, 0 skipped in ")


def test_a_run_that_checked_nothing_is_no_pass(
    exchange: LocalExchange, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    skipped = GOOD.replace("ana has", "in process only: no reason\nana has", 1)
    assert accept_text(exchange, tmp_path, skipped) == 1
    assert capsys.readouterr().out.startswith("skipped 0: no reason\n0 passed, 0 failed, 1 skipped in ")


def test_a_line_that_means_nothing_fails_its_scenario_and_no_other(
    exchange: LocalExchange, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert accept_text(exchange, tmp_path, GOOD.replace("show", "dream of"), GOOD) == 1
    lines = capsys.readouterr().out.splitlines()
    complaint = ["    no such command: dream of balances ana", "    at the line: dream of balances ana"]
    assert lines[:4] == ["failed  0", *complaint, "passed  1"]


def test_nobodys_orders_are_cancelled_but_the_scenarios(
    exchange: LocalExchange, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert accept_text(exchange, tmp_path, GOOD, f"{GOOD}\noperator cancels all\n----\n0 orders cancelled\n") == 0
    assert "everybody's orders are not cancelled on an exchange that others use" in capsys.readouterr().out


def test_a_scenario_does_not_notice_that_the_leader_dies_after_every_line(exchange: LocalExchange) -> None:
    driver = HttpDriver(exchange.operator())
    stage = Stage(driver)

    def execute(line: str) -> list[str]:
        told = stage.run_line(line)
        exchange.kill(exchange.leader())
        return told

    blocks = read_blocks(BUNDLED / "F4-cascade.txt")
    run = run_blocks(blocks, execute)
    driver.close()
    assert (run.compared, run.skipped) == (1, [])
    assert difference(blocks, run.happened) == []


def test_an_exchange_that_is_not_there_is_one_sentence(
    exchange: LocalExchange, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "good.txt"
    path.write_text(GOOD)
    assert main([path], url="http://127.0.0.1:1", data_dir=tmp_path) == 1
    assert "tally accept: No API key" in capsys.readouterr().err
    assert main([tmp_path / "none.txt"], url=exchange.url, data_dir=exchange.directory) == 1
    assert "none.txt cannot be read: No such file or directory" in capsys.readouterr().err


def test_the_list_names_every_scenario_and_asks_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], url="http://127.0.0.1:1", data_dir=tmp_path, list_only=True) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(list(BUNDLED.glob("*.txt")))
    assert lines[0].startswith("A1-price-improvement: A trade prints at the resting order's price")


def test_a_verdict_says_what_was_left_out() -> None:
    assert describe(Verdict("A1", PASSED, [], 2, [])) == ["passed  A1"]
    assert describe(Verdict("A1", PASSED, ["too slow", "too slow"], 3, [])) == [
        "passed  A1 (the rest of 2 of 3 parts skipped: too slow)"
    ]
    assert describe(Verdict("A1", SKIPPED, ["too slow"], 1, [])) == ["skipped A1: too slow"]
    assert describe(Verdict("A1", FAILED, [], 1, ["-a", "+b"])) == ["failed  A1", "    -a", "    +b"]
