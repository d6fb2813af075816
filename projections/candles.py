"""Candles: what a market's trades come to in intervals of a second to a month.

Intervals follow the UTC calendar of log time: weeks begin on Monday, months on their first day, everything shorter at a
multiple of itself. A trade at the moment when an interval ends belongs to the next one. Only intervals in which
something traded are stored; a reader fills the gaps by one rule (:func:`without_gaps`): an interval without a trade has
the last close as all its prices and no volume. Before a market's first trade there is nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Final, NamedTuple

from engine.types import NS_PER_DAY, NS_PER_S

WEEK_S: Final = 604_800
MONTH_S: Final = 2_592_000  # the code of a month: 30 days, although months are as long as they are
# By the names that clients use; the codes are ``interval_s`` in the tables.
INTERVALS: Final = {
    "1s": 1,
    "1m": 60,
    "5m": 300,
    "15m": 900,
    "1h": 3_600,
    "4h": 14_400,
    "1d": 86_400,
    "1w": WEEK_S,
    "1M": MONTH_S,
}
MINUTE_S: Final = INTERVALS["1m"]

_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
_EPOCH_WEEKDAY: Final = 3  # a Thursday, counted from Monday


class Candle(NamedTuple):
    """Prices in ticks, volume in lots, notional in units of the quote asset. Ids are 0 if nothing traded."""

    opens_at_ns: int
    open_ticks: int
    high_ticks: int
    low_ticks: int
    close_ticks: int
    volume_lots: int
    notional_units: int
    trade_count: int
    first_trade_id: int
    last_trade_id: int


def opening_ns(interval_s: int, timestamp_ns: int) -> int:
    """When the interval began that has this moment."""
    if interval_s < WEEK_S:
        return timestamp_ns - timestamp_ns % (interval_s * NS_PER_S)
    day = timestamp_ns // NS_PER_DAY
    if interval_s == WEEK_S:
        return (day - (day + _EPOCH_WEEKDAY) % 7) * NS_PER_DAY
    assert interval_s == MONTH_S, interval_s
    return _ns_of(date.fromordinal(_EPOCH_ORDINAL + day).replace(day=1))


def next_opening_ns(interval_s: int, opens_at_ns: int) -> int:
    """When the interval ends that begins at ``opens_at_ns``, and the next one begins."""
    if interval_s != MONTH_S:
        return opens_at_ns + interval_s * NS_PER_S
    first = date.fromordinal(_EPOCH_ORDINAL + opens_at_ns // NS_PER_DAY)
    return _ns_of(date(first.year + first.month // 12, first.month % 12 + 1, 1))


def without_gaps(
    interval_s: int, candles: Iterable[Candle], *, from_ns: int, until_ns: int, last_close_ticks: int
) -> Iterator[Candle]:
    """A candle for each interval that begins at or after ``from_ns`` and before ``until_ns``, ascending.

    ``candles`` are those stored in that range, ascending. ``last_close_ticks`` is the close of the last candle before
    it, 0 if there is none: then what comes before the first candle of the range stays out.
    """
    opens_at_ns = opening_ns(interval_s, from_ns)
    if opens_at_ns < from_ns:
        opens_at_ns = next_opening_ns(interval_s, opens_at_ns)
    close_ticks = last_close_ticks
    for candle in candles:
        while opens_at_ns < candle.opens_at_ns:
            if close_ticks:
                yield _flat(opens_at_ns, close_ticks)
                opens_at_ns = next_opening_ns(interval_s, opens_at_ns)
            else:
                opens_at_ns = candle.opens_at_ns
        assert opens_at_ns == candle.opens_at_ns, ("a candle out of order", opens_at_ns, candle)
        yield candle
        close_ticks = candle.close_ticks
        opens_at_ns = next_opening_ns(interval_s, opens_at_ns)
    while close_ticks and opens_at_ns < until_ns:
        yield _flat(opens_at_ns, close_ticks)
        opens_at_ns = next_opening_ns(interval_s, opens_at_ns)


def _flat(opens_at_ns: int, close_ticks: int) -> Candle:
    return Candle(opens_at_ns, close_ticks, close_ticks, close_ticks, close_ticks, 0, 0, 0, 0, 0)


def _ns_of(day: date) -> int:
    return (day.toordinal() - _EPOCH_ORDINAL) * NS_PER_DAY
