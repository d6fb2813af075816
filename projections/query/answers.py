"""From a question to its answer: one page as a JSON body, or all rows, page by page, for a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from sqlalchemy.engine import Connection

from gateway.history_routes import BALANCES, CANDLES, FILLS, ORDERS, STATEMENT, TICKERS, TRADES, TRANSFERS
from gateway.rendering import Json, optional_timestamp_text
from projections.query.asked import Asked
from projections.query.cursor import Key, decode_cursor, encode_cursor
from projections.query.export import Row
from projections.query.markets import candle_page, ticker_rows
from projections.query.orders import order_rows, order_streams
from projections.query.source import Source
from projections.query.statement import balance_rows, check_closing, line_rows, line_streams
from projections.query.streams import Found, Stream, read_page
from projections.query.trades import fill_rows, fill_streams, trade_rows, trade_streams
from projections.query.transfers import transfer_rows, transfer_streams

EXPORT_PAGE_ROWS: Final = 1_000


class _List(NamedTuple):
    """A question whose pages come from streams. ``key_length`` counts the keys of a stream and its rank."""

    streams: Callable[[Source], list[Stream]]
    rows: Callable[[Source, Sequence[Found]], list[Row]]
    key_length: int
    check_end: Callable[[Source, Sequence[Found]], None] | None = None


_LISTS: Final[Mapping[str, _List]] = MappingProxyType(
    {
        ORDERS.name: _List(order_streams, order_rows, 3),
        FILLS.name: _List(fill_streams, fill_rows, 2),
        TRANSFERS.name: _List(transfer_streams, transfer_rows, 2),
        STATEMENT.name: _List(line_streams, line_rows, 3, check_closing),
        TRADES.name: _List(trade_streams, trade_rows, 2),
    }
)


class Answer(NamedTuple):
    """``as_of`` has the sequence of each group that the answer is about."""

    as_of: Mapping[str, int]
    body: Json


def answer_page(connection: Connection, asked: Asked) -> Answer:
    """One page. ApiError if the question has no answer."""
    source = Source(connection, asked)
    source.require_sequence()
    body: Json = {"as_of_sequence": source.as_of_sequence, "as_of": source.as_of}
    if asked.account is not None:
        body["account"] = asked.account
    if asked.question is STATEMENT:
        body["opening"] = balance_rows(source, asked.get("from") or 0)
        body["closing"] = balance_rows(source, asked.get("to"))
    rows, cursor = _one_page(source, _positions(asked), asked.limit)
    body[asked.question.list_name] = rows
    if asked.question.pages:
        body["next"] = None if cursor is None else encode_cursor(asked.text, cursor)
    if asked.question is BALANCES:
        body["at"] = optional_timestamp_text(asked.get("at") or 0)
    return Answer(source.as_of, body)


def all_pages(source: Source) -> Iterator[list[Row]]:
    """All rows from the cursor on, if there is one, in pages of at most EXPORT_PAGE_ROWS."""
    positions = _positions(source.asked)
    while True:
        rows, more = _one_page(source, positions, EXPORT_PAGE_ROWS)
        yield rows
        if more is None:
            return
        positions = more


def _positions(asked: Asked) -> dict[int, Key]:
    text = asked.get("cursor")
    if text is None:
        return {}
    key_length = 1 if asked.question is CANDLES else _LISTS[asked.question.name].key_length
    return decode_cursor(asked.text, text, key_length=key_length)


def _one_page(source: Source, positions: dict[int, Key], limit: int) -> tuple[list[Row], dict[int, Key] | None]:
    """Rows, and where to go on; None at the end."""
    asked = source.asked
    if asked.question is TICKERS:
        return ticker_rows(source), None
    if asked.question is BALANCES:
        return balance_rows(source, asked.get("at")), None
    if asked.question is CANDLES:
        group = source.only_group()
        (after_ns,) = positions.get(group.group_id, (None,))
        rows, more_ns = candle_page(source, after_ns, limit)
        return rows, None if more_ns is None else {group.group_id: (more_ns,)}
    listed = _LISTS[asked.question.name]
    page = read_page(source.connection, listed.streams(source), positions, newest_first=asked.newest_first, limit=limit)
    if page.positions is None and listed.check_end is not None:
        listed.check_end(source, page.rows)
    return listed.rows(source, page.rows), page.positions
