"""Pages of rows in the order in which things happened, found by index however far into the history they are.

A *stream* is what one index gives in order: one account's orders in a group, say, or the trades in which an account was
the maker. A question may need several of them (an account's fills are those of its makers and of its takers; without a
group, each group has streams of its own), which are merged by time.

Within a group rows are in order of a key that only grows, so a page ends with the key of its last row and the next one
goes on behind it: no row repeats or is left out while rows are added, and the hundredth page costs what the first does.

What an index cannot answer is checked row by row. So that a rare kind of row is not looked for through the whole
history at once, a stream that has such filters looks at :data:`EXAMINED_MAX` rows for a page: then the page ends, with
fewer rows than were asked for, or none, and with a place to go on from.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from sqlalchemy import Column, Table, select, tuple_
from sqlalchemy.engine import Connection, RowMapping
from sqlalchemy.sql.elements import ColumnElement

from projections.query.cursor import Key
from projections.query.database import by_index

EXAMINED_MAX: Final = 2_000
FEW_STREAMS: Final = 4
_ROWS_MIN: Final = 10

Conditions = list[ColumnElement[bool]]
Place = tuple[int, ...]
"""Where a row stands among those of all groups: its time, its group, its key."""


@dataclass(frozen=True)
class Stream:
    """``given`` are conditions that the index of ``keys`` answers, ``filters`` those that each row must meet beside.

    ``low`` and ``high`` bound the first key: at or above, below. ``rank`` orders rows of two streams with equal keys,
    and ends their keys. ``tag`` comes back with each row. ``index`` is that of the keys, if not the primary key.
    """

    table: Table
    group_id: int
    keys: tuple[Column[int], ...]
    time: Column[int]
    given: tuple[ColumnElement[bool], ...]
    filters: tuple[ColumnElement[bool], ...] = ()
    low: int = 0
    high: int | None = None
    rank: int = 0
    tag: str = ""
    index: str = ""


class Found(NamedTuple):
    place: Place
    stream: Stream
    row: RowMapping


class Page(NamedTuple):
    """``positions`` are where to go on in each group; None after the last page."""

    rows: list[Found]
    positions: dict[int, Key] | None


@dataclass
class _Part:
    """What one stream has for a page. Behind ``horizon``, if there is one, nothing is known yet.

    ``has_more`` is whether reading on from there is worth it at once: rows were found up to it.
    """

    rows: list[Found] = field(default_factory=list)
    horizon: Place | None = None
    has_more: bool = False


def read_page(
    connection: Connection, streams: Sequence[Stream], positions: Mapping[int, Key], *, newest_first: bool, limit: int
) -> Page:
    """At most ``limit`` rows behind ``positions``, which has no entry for a group that is at its beginning."""
    page: list[Found] = []
    reached = dict(positions)
    # Of many streams each has a part of the page only.
    count = 1 + (limit if len(streams) <= FEW_STREAMS else max(_ROWS_MIN, 2 * limit // len(streams)))
    while True:
        parts = [_read(connection, one, reached.get(one.group_id), newest_first, count) for one in streams]
        ends = [part for part in parts if part.horizon is not None]
        first = (max if newest_first else min)(ends, key=_horizon) if ends else None
        merged = heapq.merge(*(part.rows for part in parts), key=lambda found: found.place, reverse=newest_first)
        for found in merged:
            if first is not None and _is_behind(found.place, _horizon(first), newest_first):
                break
            if len(page) == limit:
                return Page(page, reached)
            page.append(found)
            reached[found.stream.group_id] = found.place[2:]
        if first is None:
            return Page(page, None)
        _, group_id, *key = _horizon(first)
        reached[group_id] = tuple(key)
        if not first.has_more:
            return Page(page, reached)


def _horizon(part: _Part) -> Place:
    assert part.horizon is not None, "a part whose end is known"
    return part.horizon


def _read(connection: Connection, stream: Stream, after: Key | None, newest_first: bool, count: int) -> _Part:
    part = _Part()
    begin, end = _bounds(stream, after, newest_first)
    order = [key.desc() if newest_first else key for key in stream.keys]
    if stream.filters:
        # From the index alone: the rows themselves are not looked at.
        probe = select(*stream.keys).where(*stream.given, *begin, *end).order_by(*order)
        last = connection.execute(by_index(probe.offset(EXAMINED_MAX - 1).limit(1), stream.index)).first()
        if last is not None:
            keys, value = _pair(stream, tuple(last))
            at_last = select(stream.time).where(*stream.given, keys == value)
            time_ns = connection.execute(by_index(at_last, stream.index)).scalars().first()
            part.horizon = (int(time_ns or 0), stream.group_id, *last, stream.rank)
            end = [keys >= value if newest_first else keys <= value]
    statement = select(stream.table).where(*stream.given, *begin, *end, *stream.filters).order_by(*order).limit(count)
    for row in connection.execute(by_index(statement, stream.index)).mappings():
        place = (row[stream.time], stream.group_id, *(row[key] for key in stream.keys), stream.rank)
        part.rows.append(Found(place, stream, row))
    if len(part.rows) == count:
        part.horizon, part.has_more = part.rows[-1].place, True
    return part


def _bounds(stream: Stream, after: Key | None, newest_first: bool) -> tuple[Conditions, Conditions]:
    """Where reading begins and where it ends: at most one condition each.

    Of two conditions for the same end an index uses one, and every row beyond the other would be looked at in vain.
    """
    first = stream.keys[0]
    low = [first >= stream.low] if stream.low else []
    high = [] if stream.high is None else [first < stream.high]
    begin, end = (high, low) if newest_first else (low, high)
    return ([_behind(stream, after, newest_first)] if after is not None else begin), end


def _behind(stream: Stream, after: Key, newest_first: bool) -> ColumnElement[bool]:
    *key, rank = after
    keys, value = _pair(stream, tuple(key))
    if newest_first:
        return keys <= value if stream.rank < rank else keys < value  # type: ignore[no-any-return]
    return keys >= value if stream.rank > rank else keys > value  # type: ignore[no-any-return]


def _pair(stream: Stream, key: Key) -> tuple[Any, Any]:
    """The keys and a value of them, to be compared."""
    return (tuple_(*stream.keys), key) if len(key) > 1 else (stream.keys[0], key[0])


def _is_behind(place: Place, horizon: Place, newest_first: bool) -> bool:
    return place < horizon if newest_first else place > horizon
