"""Candles without gaps, and tickers."""

from __future__ import annotations

import pytest

from engine.types import NS_PER_S
from gateway.rendering import timestamp_text
from projections import schema
from projections.candles import INTERVALS, next_opening_ns, opening_ns
from tests.projections.query.history import History
from tests.projections.query.model import Model, Row

GLD = {"market": "GLD-EUR", "group": "main"}


@pytest.fixture(scope="module")
def trades(history: History) -> list[Row]:
    model = Model(history)
    return [row for row in model.rows(schema.trades) if (row["group_id"], row["market_id"]) == (1, 1)]


@pytest.mark.parametrize("interval", ["1m", "5m", "1h", "1d", "1w", "1M"])
def test_candles_are_what_the_trades_come_to(history: History, trades: list[Row], interval: str) -> None:
    interval_s = INTERVALS[interval]
    end_ns = history.exchanges["main"].machine.timestamp_ns
    opens_at_ns, close_ticks, expected = opening_ns(interval_s, trades[0]["timestamp_ns"]), 0, []
    while opens_at_ns <= end_ns:
        closes_at_ns = next_opening_ns(interval_s, opens_at_ns)
        inside = [row for row in trades if opens_at_ns <= row["timestamp_ns"] < closes_at_ns]
        prices = [row["price_ticks"] for row in inside] or [close_ticks]
        close_ticks = prices[-1]
        volume_lots = sum(row["quantity_lots"] for row in inside)
        complete = closes_at_ns <= end_ns
        expected.append(
            (opens_at_ns, prices[0], max(prices), min(prices), close_ticks, volume_lots, len(inside), complete)
        )
        opens_at_ns = closes_at_ns
    found = history.all_rows("candles", interval=interval, from_="2025-01-01T00:00:00Z", limit=400, **GLD)
    assert [
        (row["opens_at"], *map(ticks, prices_of(row)), ticks(row["volume"]), row["trades"], row["complete"])
        for row in found
    ] == [(timestamp_text(first), *rest) for first, *rest in expected]


def prices_of(row: Row) -> list[str]:
    return [row[name] for name in ("open", "high", "low", "close")]


def ticks(amount: str) -> int:
    """Of a market whose tick and lot are 1 in the last place."""
    return int(amount.replace(".", ""))


def test_without_times_the_last_candles_are_shown(history: History) -> None:
    end_ns = history.exchanges["main"].machine.timestamp_ns
    found = history.ask("candles", interval="1s", limit=5, **GLD)
    opened_ns = opening_ns(1, end_ns)
    assert [row["opens_at"] for row in found["candles"]] == [
        timestamp_text(opened_ns - seconds * NS_PER_S) for seconds in (4, 3, 2, 1, 0)
    ]
    assert found["next"] is None
    assert [row["complete"] for row in found["candles"]] == [True] * 4 + [False]


def test_before_the_first_trade_there_is_nothing(history: History, trades: list[Row]) -> None:
    first = timestamp_text(trades[0]["timestamp_ns"])
    assert history.ask("candles", from_="2025-01-01T00:00:00Z", to=f"{first[:16]}:00Z", **GLD)["candles"] == []


def test_a_ticker_has_the_last_trade_and_its_day(history: History, trades: list[Row]) -> None:
    (ticker,) = history.ask("tickers", **GLD)["tickers"]
    assert ticks(ticker["last_price"]) == trades[-1]["price_ticks"]
    assert ticker["last_at"] == timestamp_text(trades[-1]["timestamp_ns"])
    since_ns = opening_ns(60, history.exchanges["main"].machine.timestamp_ns) - 1_439 * 60 * NS_PER_S
    of_the_day = [row for row in trades if row["timestamp_ns"] >= since_ns]
    assert ticker["trades"] == len(of_the_day)
    assert ticks(ticker["volume"]) == sum(row["quantity_lots"] for row in of_the_day)
    if of_the_day:
        change = of_the_day[-1]["price_ticks"] - of_the_day[0]["price_ticks"]
        assert ticks(ticker["change"]) == change
    assert len(history.ask("tickers")["tickers"]) == 6
