"""The trades of a market, and an account's fills: its side of each of its trades."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.engine import RowMapping
from sqlalchemy.sql.elements import ColumnElement

from engine.types import BUY, SELL, SIDE_NAMES
from gateway.errors import BadRequest
from gateway.rendering import timestamp_text
from projections.query.export import Row
from projections.query.source import Group, Source
from projections.query.streams import Found, Stream
from projections.query.times import Range, trades_between
from projections.schema import orders, trades

_MAKER: Final = "maker"
_TAKER: Final = "taker"
_RANKS: Final = {_MAKER: 0, _TAKER: 1}
_OTHER_SIDE: Final = {BUY: SELL, SELL: BUY}


def trade_streams(source: Source) -> list[Stream]:
    return [
        _stream(
            source,
            group,
            trades.c.market_id == source.market_ids[group.group_id],
            filters=(),
            index="trades_by_market",
        )
        for group in source.groups
    ]


def trade_rows(source: Source, page: Sequence[Found]) -> list[Row]:
    source.name_things(("market", one.stream.group_id, one.row["market_id"]) for one in page)
    rows = []
    for one in page:
        market = source.market(one.stream.group_id, one.row["market_id"])
        rows.append(
            {
                "trade_id": one.row["trade_id"],
                "price": market.price(one.row["price_ticks"]),
                "quantity": market.quantity(one.row["quantity_lots"]),
                "notional": market.money(one.row["notional_units"]),
                "taker_side": SIDE_NAMES[one.row["taker_side"]],
                "sequence": one.row["sequence"],
                "timestamp": timestamp_text(one.row["timestamp_ns"]),
            }
        )
    return rows


def fill_streams(source: Source) -> list[Stream]:
    """What the account made and what it took. In an auction it may have met itself: that trade is two fills."""
    if source.asked.account is None:
        raise BadRequest("BAD_QUERY", "The query parameter 'account' is missing: fills are of one account.")
    streams = []
    for group in source.groups:
        account_id = source.account_ids.get(group.group_id)
        if account_id is not None:
            for liquidity in (_MAKER, _TAKER):
                if source.asked.get("liquidity") in (None, liquidity):
                    of_account = trades.c[f"{liquidity}_account_id"] == account_id
                    filters = _filters(source, group, liquidity)
                    streams.append(
                        _stream(
                            source,
                            group,
                            of_account,
                            filters=filters,
                            index=f"trades_by_{liquidity}",
                            liquidity=liquidity,
                        )
                    )
    return streams


def fill_rows(source: Source, page: Sequence[Found]) -> list[Row]:
    wanted = [("market", one.stream.group_id, one.row["market_id"]) for one in page]
    wanted += [("account", one.stream.group_id, one.row[f"{one.stream.tag}_account_id"]) for one in page]
    source.name_things(wanted)
    return [_fill_row(source, one.stream.group_id, one.stream.tag, one.row) for one in page]


def _stream(
    source: Source,
    group: Group,
    given: ColumnElement[bool],
    *,
    filters: Sequence[ColumnElement[bool]],
    index: str,
    liquidity: str = _MAKER,
) -> Stream:
    times = _times(source, group)
    return Stream(
        table=trades,
        group_id=group.group_id,
        keys=(trades.c.trade_id,),
        time=trades.c.timestamp_ns,
        given=(trades.c.group_id == group.group_id, given),
        filters=tuple(filters),
        low=times.low,
        high=times.high,
        rank=_RANKS[liquidity],
        tag=liquidity,
        index=index,
    )


def _times(source: Source, group: Group) -> Range:
    """The trades in the period; those of one order are between its acceptance and its last change."""
    from_ns, to_ns, order_id = (source.asked.get(name) for name in ("from", "to", "order_id"))
    if order_id is not None:
        lived = select(orders.c.accepted_at_ns, orders.c.updated_at_ns).where(
            orders.c.group_id == group.group_id, orders.c.order_id == order_id
        )
        accepted_at_ns, updated_at_ns = source.connection.execute(lived).first() or (0, 0)
        from_ns = accepted_at_ns if from_ns is None else max(from_ns, accepted_at_ns)
        to_ns = updated_at_ns + 1 if to_ns is None else min(to_ns, updated_at_ns + 1)
    return trades_between(source.connection, group.group_id, from_ns, to_ns)


def _filters(source: Source, group: Group, liquidity: str) -> list[ColumnElement[bool]]:
    """An expression instead of a column keeps a database from taking the index of a filter for that of the order."""
    asked, filters = source.asked, []
    market_id = source.market_ids.get(group.group_id)
    if market_id is not None:
        filters.append(trades.c.market_id + 0 == market_id)
    if asked.get("order_id") is not None:
        filters.append(trades.c[f"{liquidity}_order_id"] == asked.get("order_id"))
    if asked.get("side") is not None:
        side = SIDE_NAMES.index(asked.get("side"))
        filters.append(trades.c.taker_side == (side if liquidity == _TAKER else _OTHER_SIDE[side]))
    return filters


def _fill_row(source: Source, group_id: int, liquidity: str, row: RowMapping) -> Row:
    market = source.market(group_id, row["market_id"])
    taker_side: int = row["taker_side"]
    values: dict[str, Any] = {
        "group": source.group_name(group_id),
        "trade_id": row["trade_id"],
        "account": source.account(group_id, row[f"{liquidity}_account_id"]),
        "market": market.name,
        "order_id": row[f"{liquidity}_order_id"],
        "side": SIDE_NAMES[taker_side if liquidity == _TAKER else _OTHER_SIDE[taker_side]],
        "liquidity": liquidity,
        "price": market.price(row["price_ticks"]),
        "quantity": market.quantity(row["quantity_lots"]),
        "notional": market.money(row["notional_units"]),
        "fee": market.money(row[f"{liquidity}_fee_units"]),
        "fee_asset": market.quote.name,
        "sequence": row["sequence"],
        "timestamp": timestamp_text(row["timestamp_ns"]),
    }
    return values
