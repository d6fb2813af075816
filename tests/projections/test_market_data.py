"""Candles and tickers against what the trades say, reckoned the long way; the ledger's lines against themselves."""

from __future__ import annotations

from collections import defaultdict
from random import Random

import pytest

from engine.types import NS_PER_DAY, NS_PER_S
from projections.candles import INTERVALS, opening_ns
from projections.group_fold import GroupFold, beginning
from projections.kinds import LINE_DEPOSIT, LINE_GROUP_TRANSFER, LINE_WITHDRAWAL, NOBODY
from projections.rows import CandleRow, TradeRow
from tests.projections.fold_harness import Exchange, Tables, new_tables, write

MINUTE_NS = 60 * NS_PER_S


def folded(seed: int, count: int) -> tuple[Tables, int]:
    """The tables after entries by chance in batches by chance, and the time of the last one."""
    print("seed", seed)
    random = Random(seed)
    fold, tables = GroupFold(beginning(1, "main")), new_tables()
    for entry in Exchange().entries(seed, count):
        fold.apply(entry)
        if not random.randrange(4):
            write(tables, fold.take())
    write(tables, fold.take())
    return tables, fold.position.timestamp_ns


def candle_of(market_id: int, interval_s: int, opens_at_ns: int, trades: list[TradeRow]) -> CandleRow:
    prices = [trade.price_ticks for trade in trades]
    return CandleRow(
        group_id=1,
        market_id=market_id,
        interval_s=interval_s,
        opens_at_ns=opens_at_ns,
        open_ticks=prices[0],
        high_ticks=max(prices),
        low_ticks=min(prices),
        close_ticks=prices[-1],
        volume_lots=sum(trade.quantity_lots for trade in trades),
        notional_units=sum(trade.notional_units for trade in trades),
        trade_count=len(trades),
        first_trade_id=trades[0].trade_id,
        last_trade_id=trades[-1].trade_id,
    )


@pytest.mark.parametrize("seed", range(6))
def test_candles_and_tickers_are_what_the_trades_come_to(seed: int) -> None:
    tables, now_ns = folded(seed, 500)
    trades: list[TradeRow] = [tables["trades"][key] for key in sorted(tables["trades"])]
    assert len(trades) > 10, "a stream in which little happened proves little"
    by_candle = defaultdict(list)
    for trade in trades:
        for interval_s in INTERVALS.values():
            by_candle[trade.market_id, interval_s, opening_ns(interval_s, trade.timestamp_ns)].append(trade)
    assert tables["candles"] == {(1, *key): candle_of(*key, found) for key, found in by_candle.items()}

    window_ns = now_ns - now_ns % MINUTE_NS + MINUTE_NS - NS_PER_DAY
    for (_, market_id), ticker in tables["tickers"].items():
        of_market = [trade for trade in trades if trade.market_id == market_id]
        last = of_market[-1] if of_market else None
        recent = [trade for trade in of_market if trade.timestamp_ns >= window_ns]
        prices = [trade.price_ticks for trade in recent] or [0]
        assert ticker.trade_count == len(recent)
        assert (ticker.open_ticks, ticker.high_ticks, ticker.low_ticks) == (prices[0], max(prices), min(prices))
        assert ticker.volume_lots == sum(trade.quantity_lots for trade in recent)
        assert ticker.notional_units == sum(trade.notional_units for trade in recent)
        assert ticker.last_trade_id == (last.trade_id if last else 0)
        assert ticker.last_traded_at_ns == (last.timestamp_ns if last else 0)


@pytest.mark.parametrize("seed", range(3))
def test_the_lines_of_the_ledger_are_double_entry_and_come_to_the_balances(seed: int) -> None:
    tables, _ = folded(seed, 500)
    balances: dict[tuple[int, int], list[int]] = defaultdict(lambda: [0, 0])
    sums: dict[tuple[int, int, int], int] = defaultdict(int)
    enters_or_leaves = set()
    for line in sorted(tables["ledger_lines"].values(), key=lambda line: (line.sequence, line.event_index)):
        balance = balances[line.account_id, line.asset_id]
        balance[0] += line.available_change_units
        balance[1] += line.held_change_units
        assert (line.available_units, line.held_units) == tuple(balance)
        assert min(balance) >= 0
        event = (line.sequence, line.event_index, line.asset_id)
        sums[event] += line.available_change_units + line.held_change_units
        if line.kind in (LINE_DEPOSIT, LINE_WITHDRAWAL, LINE_GROUP_TRANSFER):
            enters_or_leaves.add(event)
            assert line.other_account_id == NOBODY
    assert {event for event, units in sums.items() if units} <= enters_or_leaves
    assert len(sums) > 200
    for (_, account_id, asset_id), row in tables["balances"].items():
        assert [row.available_units, row.held_units] == balances[account_id, asset_id]


def test_minutes_turn_times_into_sequences() -> None:
    tables, _ = folded(1, 300)
    rows = [tables["minutes"][key] for key in sorted(tables["minutes"])]
    assert [row.first_sequence for row in rows] == sorted(row.first_sequence for row in rows)
    for order in tables["orders"].values():
        minute_ns = order.accepted_at_ns - order.accepted_at_ns % MINUTE_NS
        later = [row.first_sequence for row in rows if row.opens_at_ns > minute_ns]
        assert tables["minutes"][1, minute_ns].first_sequence <= order.created_sequence
        assert not later or order.created_sequence < later[0]
