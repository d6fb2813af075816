"""From times to the numbers that pages go by. The log's time never runs backwards, so a time is a place in the log."""

from __future__ import annotations

from typing import Final, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.engine import Connection

from engine.types import NS_PER_S
from projections.schema import minutes, positions, trades

_MINUTE_NS: Final = 60 * NS_PER_S


class Range(NamedTuple):
    """At or above ``low``, below ``high``. What is not ``exact`` has rows of the minute at its end beside."""

    low: int
    high: int | None
    low_is_exact: bool = True
    high_is_exact: bool = True


def sequences_between(connection: Connection, group_id: int, from_ns: int | None, to_ns: int | None) -> Range:
    """The sequences of commands that were executed at or after ``from_ns`` and before ``to_ns``, by whole minutes."""
    low, high = 0, None
    if from_ns is not None:
        # Of the minute that has the time; a quiet one has no row, and then the next one that has begins later.
        opens_at_ns = from_ns - from_ns % _MINUTE_NS
        first = _first_sequence(connection, group_id, opens_at_ns)
        if first is None:
            first = _end(connection, group_id)
        low = first
    if to_ns is not None:
        high = _first_sequence(connection, group_id, to_ns + -to_ns % _MINUTE_NS)
    return Range(
        low,
        high,
        low_is_exact=from_ns is None or from_ns % _MINUTE_NS == 0,
        high_is_exact=to_ns is None or to_ns % _MINUTE_NS == 0,
    )


def trades_between(connection: Connection, group_id: int, from_ns: int | None, to_ns: int | None) -> Range:
    """The numbers of the trades at or after ``from_ns`` and before ``to_ns``, exactly."""
    low = 0 if from_ns is None else _first_trade(connection, group_id, from_ns)
    high = None if to_ns is None else _first_trade(connection, group_id, to_ns)
    return Range(low, high)


def _first_sequence(connection: Connection, group_id: int, opens_at_ns: int) -> int | None:
    """The first sequence of the first minute that begins at this time or later. None if there is none yet."""
    statement = (
        select(minutes.c.first_sequence)
        .where(minutes.c.group_id == group_id, minutes.c.opens_at_ns >= opens_at_ns)
        .order_by(minutes.c.opens_at_ns)
        .limit(1)
    )
    return connection.execute(statement).scalars().first()


def _end(connection: Connection, group_id: int) -> int:
    """The sequence that the group will have next."""
    statement = select(positions.c.sequence).where(positions.c.group_id == group_id)
    return 1 + int(connection.execute(statement).scalars().first() or 0)


def _first_trade(connection: Connection, group_id: int, timestamp_ns: int) -> int:
    """The number of the first trade at this time or later, or the one that it will have, found by halving."""
    last = connection.execute(select(func.max(trades.c.trade_id)).where(trades.c.group_id == group_id)).scalar()
    low, high = 0, int(last or 0) + 1  # the answer is above low and at most high
    while high - low > 1:
        middle = (low + high) // 2
        statement = (
            select(trades.c.trade_id, trades.c.timestamp_ns)
            .where(trades.c.group_id == group_id, trades.c.trade_id >= middle)
            .order_by(trades.c.trade_id)
            .limit(1)
        )
        trade_id, at_ns = connection.execute(statement).one()
        if at_ns >= timestamp_ns:
            high = middle
        else:
            low = trade_id
    return high
