"""Where intervals begin and end, and what stands between trades."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from engine.types import NS_PER_S
from projections.candles import INTERVALS, Candle, next_opening_ns, opening_ns, without_gaps


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * NS_PER_S


@pytest.mark.parametrize(
    ("interval", "moment", "opens", "next_opens"),
    [
        ("1s", "2024-02-29T23:59:59", "2024-02-29T23:59:59", "2024-03-01T00:00:00"),
        ("1m", "2024-02-29T23:59:59", "2024-02-29T23:59:00", "2024-03-01T00:00:00"),
        ("5m", "2024-02-29T23:54:59", "2024-02-29T23:50:00", "2024-02-29T23:55:00"),
        ("15m", "2024-02-29T00:00:00", "2024-02-29T00:00:00", "2024-02-29T00:15:00"),
        ("1h", "2024-02-29T12:59:59", "2024-02-29T12:00:00", "2024-02-29T13:00:00"),
        ("4h", "2024-02-29T03:59:59", "2024-02-29T00:00:00", "2024-02-29T04:00:00"),
        ("1d", "2024-02-29T23:59:59", "2024-02-29T00:00:00", "2024-03-01T00:00:00"),
        ("1w", "2024-03-03T23:59:59", "2024-02-26T00:00:00", "2024-03-04T00:00:00"),  # a Sunday
        ("1w", "2024-03-04T00:00:00", "2024-03-04T00:00:00", "2024-03-11T00:00:00"),  # a Monday
        ("1w", "1970-01-01T00:00:00", "1969-12-29T00:00:00", "1970-01-05T00:00:00"),
        ("1M", "2024-02-29T23:59:59", "2024-02-01T00:00:00", "2024-03-01T00:00:00"),
        ("1M", "2023-02-28T00:00:00", "2023-02-01T00:00:00", "2023-03-01T00:00:00"),
        ("1M", "2024-12-31T23:59:59", "2024-12-01T00:00:00", "2025-01-01T00:00:00"),
    ],
)
def test_intervals_follow_the_calendar(interval: str, moment: str, opens: str, next_opens: str) -> None:
    interval_s = INTERVALS[interval]
    assert opening_ns(interval_s, ns(moment)) == ns(opens)
    assert next_opening_ns(interval_s, ns(opens)) == ns(next_opens)


@pytest.mark.parametrize("interval_s", INTERVALS.values())
def test_the_last_nanosecond_belongs_to_the_interval_and_the_next_one_does_not(interval_s: int) -> None:
    opens_ns = opening_ns(interval_s, ns("2024-01-31T13:07:11"))
    ends_ns = next_opening_ns(interval_s, opens_ns)
    assert opening_ns(interval_s, ends_ns - 1) == opens_ns
    assert opening_ns(interval_s, ends_ns) == ends_ns


def traded(minute: int, close_ticks: int) -> Candle:
    return Candle(ns(f"2024-01-01T00:{minute:02}:00"), 100, 110, 90, close_ticks, 5, 500, 2, 1, 2)


def filled(*candles: Candle, until_minute: int, last_close_ticks: int = 0, from_second: int = 0) -> list[list[int]]:
    """What is there minute by minute: [minute, open, close, trades]."""
    found = without_gaps(
        60,
        candles,
        from_ns=ns(f"2024-01-01T00:00:{from_second:02}"),
        until_ns=ns(f"2024-01-01T00:{until_minute:02}:00"),
        last_close_ticks=last_close_ticks,
    )
    return [
        [
            (one.opens_at_ns - ns("2024-01-01T00:00:00")) // (60 * NS_PER_S),
            one.open_ticks,
            one.close_ticks,
            one.trade_count,
        ]
        for one in found
    ]


def test_an_interval_without_trades_has_the_last_close_and_no_volume() -> None:
    assert filled(traded(1, 105), traded(3, 95), until_minute=5, last_close_ticks=80) == [
        [0, 80, 80, 0],
        [1, 100, 105, 2],
        [2, 105, 105, 0],
        [3, 100, 95, 2],
        [4, 95, 95, 0],
    ]


def test_before_the_first_trade_ever_there_is_nothing() -> None:
    assert filled(traded(2, 105), until_minute=4) == [[2, 100, 105, 2], [3, 105, 105, 0]]
    assert filled(until_minute=4) == []
    assert filled(until_minute=2, last_close_ticks=7) == [[0, 7, 7, 0], [1, 7, 7, 0]]


def test_an_interval_that_began_before_the_range_is_left_out() -> None:
    assert filled(traded(1, 105), until_minute=2, last_close_ticks=80, from_second=1) == [[1, 100, 105, 2]]


def test_months_are_filled_by_the_calendar() -> None:
    month_s = INTERVALS["1M"]
    january = Candle(ns("2024-01-01T00:00:00"), 1, 1, 1, 9, 1, 1, 1, 1, 1)
    months = without_gaps(
        month_s, [january], from_ns=january.opens_at_ns, until_ns=ns("2024-04-01T00:00:00"), last_close_ticks=0
    )
    assert [one.opens_at_ns for one in months] == [ns(f"2024-0{month}-01T00:00:00") for month in (1, 2, 3)]
