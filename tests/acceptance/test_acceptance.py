"""The rule book's rows, and edges of our own, as text: tests/acceptance/*.txt.

Each file runs on the engine in this process, plainly and with a restart from a snapshot after every command. Both must
give the expected text, the same entries byte by byte, and the same state. The same files run against a live exchange:
tests/sim/test_accept.py, ``tally accept``.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.snapshot import state_hash
from sim.engine_driver import engine_stage
from sim.scenario import difference, read_blocks, render_blocks, run_blocks

FILES = sorted(Path(__file__).parent.glob("*.txt"))
# Every row of the rule book that is about what the exchange decides. A row without a file is a failure, not a silence.
# The rows I2 to I7 are about feeds, recovery and audit, and have tests of their own.
ROWS = [
    *(f"A{number}" for number in range(1, 11)),
    *(f"B{number}" for number in range(1, 6)),
    *(f"C{number}" for number in range(1, 7)),
    *(f"D{number}" for number in range(1, 8)),
    *(f"E{number}" for number in range(1, 5)),
    *(f"F{number}" for number in range(1, 9)),
    *(f"G{number}" for number in range(1, 8)),
    *(f"H{number}" for number in range(1, 7)),
    "I1",
]


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_scenario(path: Path) -> None:
    blocks = read_blocks(path)
    stage, driver = engine_stage()
    run = run_blocks(blocks, stage.run_line)
    assert driver.entries, "a scenario that executed nothing proves nothing"
    assert not run.skipped, "the engine can do everything that a scenario asks for"
    if os.environ.get("REWRITE") == "1":
        path.write_text(render_blocks(run.happened))
    else:
        assert difference(blocks, run.happened) == []

    stage, restarted = engine_stage(restarts=True)
    assert run_blocks(blocks, stage.run_line).happened == run.happened
    assert restarted.entries == driver.entries
    assert state_hash(restarted.machine) == state_hash(driver.machine)


@pytest.mark.parametrize("row", ROWS)
def test_the_row_of_the_rule_book_has_its_scenario(row: str) -> None:
    assert [path for path in FILES if path.stem.split("-")[0] == row]
