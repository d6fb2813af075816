"""The rule book's rows, and edges of our own, as text: tests/engine/scenarios.

Each file runs plainly and with a restart from a snapshot after every command. Both must give
the expected text, the same entries byte by byte, and the same state.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.snapshot import state_hash
from tests.engine.exchange_driver import ExchangeDriver
from tests.engine.scenario import read_blocks, render_blocks, run_blocks

FILES = sorted((Path(__file__).parent / "scenarios").glob("*.txt"))
# Every row of the rule book that the engine knows today. A row without a file is a failure, not a silence.
ROWS = [
    *(f"A{number}" for number in range(1, 11)),
    *("B1", "B2", "B3"),
    *("C1", "C2", "C3", "C5", "C6"),
    *(f"D{number}" for number in range(1, 7)),
    *("E1", "E2", "E3"),
]


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_scenario(path: Path) -> None:
    blocks = read_blocks(path)
    driver = ExchangeDriver(restarts=False)
    happened = run_blocks(blocks, driver.run_line)
    assert driver.entries, "a scenario that executed nothing proves nothing"
    if os.environ.get("REWRITE") == "1":
        path.write_text(render_blocks(happened))
    else:
        assert render_blocks(happened).splitlines() == path.read_text().splitlines()

    restarted = ExchangeDriver(restarts=True)
    assert run_blocks(blocks, restarted.run_line) == happened
    assert restarted.entries == driver.entries
    assert state_hash(restarted.machine) == state_hash(driver.machine)


def test_every_row_of_the_rule_book_has_its_scenario() -> None:
    assert [row for row in ROWS if not any(path.stem.split("-")[0] == row for path in FILES)] == []
