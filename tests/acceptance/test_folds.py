"""Balances and books that are folded from the events alone are the engine's, after every line of every scenario.

This is what an auditor does at the end of a log (``tally replay``), done at each step of the hardest streams there are.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from projections.balances import Balances
from projections.order_book import OrderBooks
from sim.audit import first_difference
from sim.engine_driver import engine_stage
from sim.scenario import read_blocks, run_blocks

FILES = sorted(Path(__file__).parent.glob("*.txt"))


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_the_events_alone_tell_the_same(path: Path) -> None:
    stage, driver = engine_stage()
    balances, books, folded = Balances(), OrderBooks(), 0

    def run_line(line: str) -> list[str]:
        nonlocal balances, books, folded
        happened = stage.run_line(line)
        for entry in driver.entries[folded:]:
            if entry.first_sequence == 1:  # another exchange of the same text
                balances, books = Balances(), OrderBooks()
            balances.apply_entry_events(entry.events)
            books.apply_entry_events(entry.events)
        folded = len(driver.entries)
        assert first_difference(driver.machine, balances, books) == "", line
        return happened

    run_blocks(read_blocks(path), run_line)
    assert folded
