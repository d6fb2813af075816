"""The acceptance scenarios as tables, and account statements that a trader can check by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.amounts import format_units
from engine.types import CLOSE_REASON_NAMES, STATUS_NAMES
from projections.group_fold import GroupFold, beginning
from projections.kinds import LINE_KIND_NAMES
from sim.engine_driver import engine_stage
from sim.scenario import Block, read_blocks
from tests.projections.fold_harness import Tables, new_tables, write
from tests.projections.test_group_fold import compare

SCENARIOS = sorted(Path(__file__).parents[1].joinpath("acceptance").glob("*.txt"))


def parts(blocks: list[Block]) -> list[list[str]]:
    """The command lines of each part of a scenario."""
    found: list[list[str]] = []
    for block in blocks:
        if block.begins_a_part or not found:
            found.append([])
        found[-1] += block.commands
    return found


@pytest.mark.parametrize("path", SCENARIOS, ids=[path.stem for path in SCENARIOS])
def test_after_each_line_the_tables_are_what_the_engine_says(path: Path) -> None:
    for lines in parts(read_blocks(path)):
        stage, driver = engine_stage()
        fold, tables, done = GroupFold(beginning(1, "main")), new_tables(), 0
        for line in lines:
            stage.run_line(line)
            for entry in driver.entries[done:]:
                fold.apply(entry)
            done = len(driver.entries)
            write(tables, fold.take())
            if driver.machine.sequence:
                compare(driver.machine, tables)


def play(text: str) -> Tables:
    stage, driver = engine_stage()
    for line in text.strip().split("\n"):
        stage.run_line(line)
    fold, tables = GroupFold(beginning(1, "main")), new_tables()
    for entry in driver.entries:
        fold.apply(entry)
    write(tables, fold.take())
    return tables


def statement(tables: Tables, account: str, asset: str) -> str:
    """Each line as: why, change of what is available and held, what there is then; with whom."""
    names = {row.account_id: row.name for row in tables["accounts"].values()}
    number = next(row.account_id for row in tables["accounts"].values() if row.name == account)
    listed = next(row for row in tables["assets"].values() if row.name == asset)

    def amount(units: int) -> str:
        return format_units(units, listed.decimals)

    lines = []
    for row in sorted(tables["ledger_lines"].values(), key=lambda row: (row.sequence, row.event_index)):
        if (row.account_id, row.asset_id) == (number, listed.asset_id):
            changes = f"{amount(row.available_change_units)} available, {amount(row.held_change_units)} held"
            then = f"{amount(row.available_units)} + {amount(row.held_units)}"
            other = f", {names[row.other_account_id]}" if row.other_account_id in names else ""
            lines.append(f"{LINE_KIND_NAMES[row.kind]}: {changes} -> {then}{other}")
    return "\n".join(lines)


PART_FILL = """
exchange with GLD 3, EUR 5
market GLD-EUR tick 0.01 lot 0.001 maker 0.0010 taker 0.0025
ana has 200.00 EUR
bo has 4 GLD
bo sells 4 @ 9.90 as s1
ana buys 10 @ 10.00 as c1
ana cancels c1 as x1
"""


def test_the_statement_of_a_part_fill() -> None:
    """As acceptance scenario D4: 39.60 and a fee of 0.099 are paid, 60.15 stay held for the other 6."""
    tables = play(PART_FILL)
    assert statement(tables, "ana", "EUR").split("\n") == [
        "deposit: 200.00000 available, 0.00000 held -> 200.00000 + 0.00000",
        "order: -100.25000 available, 100.25000 held -> 99.75000 + 100.25000",
        "trade: 0.40100 available, -40.10000 held -> 100.15100 + 60.15000, bo",
        "order: 60.15000 available, -60.15000 held -> 160.30100 + 0.00000",
    ]
    assert statement(tables, "bo", "EUR") == "trade: 39.56040 available, 0.00000 held -> 39.56040 + 0.00000, ana"
    assert statement(tables, "exchange", "EUR") == "fee: 0.13860 available, 0.00000 held -> 0.13860 + 0.00000"


@pytest.mark.parametrize(("clock", "trade_count", "high_ticks"), [("+1439m", 1, 1_000), ("+1440m", 0, 0)])
def test_a_ticker_forgets_a_trade_with_its_minute_after_a_day(clock: str, trade_count: int, high_ticks: int) -> None:
    """The scenario begins at noon: the minute of 12:00 is in the last 24 hours until 12:00 of the next day."""
    tables = play(
        f"""
exchange with GLD 3, EUR 5
market GLD-EUR tick 0.01 lot 0.001
ana, bo have ample funds
bo sells 4 @ 10.00 as s1
ana buys 1 @ 10.00 as c1
clock {clock}
tick
"""
    )
    (ticker,) = tables["tickers"].values()
    assert (ticker.trade_count, ticker.high_ticks, ticker.volume_lots) == (trade_count, high_ticks, 1_000 * trade_count)
    assert (ticker.last_price_ticks, ticker.ask_ticks, ticker.ask_lots) == (1_000, 1_000, 3_000)


def test_the_rows_of_a_part_fill() -> None:
    tables = play(PART_FILL)
    orders = {row.client_order_id: row for row in tables["orders"].values()}
    told = {
        name: (STATUS_NAMES[row.status], CLOSE_REASON_NAMES[row.close_reason], row.executed_lots, row.fee_units)
        for name, row in orders.items()
    }
    assert told == {
        "s1": ("filled", "FILLED", 4_000, 3_960),
        "c1": ("cancelled", "CANCELLED_BY_OWNER", 4_000, 9_900),
    }
    assert orders["c1"].cancelled_lots == 6_000
    (trade,) = tables["trades"].values()
    assert (trade.maker_order_id, trade.taker_order_id) == (orders["s1"].order_id, orders["c1"].order_id)
    assert (trade.price_ticks, trade.quantity_lots, trade.notional_units) == (990, 4_000, 3_960_000)
