"""The search through orders. Its answer is an order as the live routes show it, with when and as of when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import func, select, text
from sqlalchemy.engine import RowMapping
from sqlalchemy.sql.elements import ColumnElement

from engine.events import OrderConditions, OrderReported
from engine.types import LIMIT, MARKET, MARKET_BUDGET, SIDE_NAMES, STATUS_NAMES
from gateway.history_columns import ORDER
from gateway.order_bodies import OrderFacts, reported_order_body
from gateway.rendering import timestamp_text
from projections.query.export import Row
from projections.query.source import Group, Source
from projections.query.streams import EXAMINED_MAX, Found, Stream
from projections.query.times import Range, sequences_between
from projections.schema import markets, orders

_TYPES: Final = {"limit": (LIMIT,), "market": (MARKET, MARKET_BUDGET)}
_LIVING: Final = frozenset(("open", "waiting"))
# Word for word as the index of living orders says it: only then may it be used.
_IS_LIVING: Final[ColumnElement[bool]] = text("orders.status IN (0, 3)")  # type: ignore[assignment]
_KEYS: Final = (orders.c.created_sequence, orders.c.created_index)


def order_streams(source: Source) -> list[Stream]:
    """For each group the index that finds the orders fastest. What it does not answer becomes a filter."""
    streams: list[Stream] = []
    for group in source.groups:
        account_id = source.account_ids.get(group.group_id)
        if source.asked.account is not None and account_id is None:
            continue  # the account is no member of this group
        streams += _streams_of(source, group, account_id)
    return streams


def order_rows(source: Source, page: Sequence[Found]) -> list[Row]:
    wanted = [("market", one.stream.group_id, one.row["market_id"]) for one in page]
    wanted += [("account", one.stream.group_id, one.row["account_id"]) for one in page]
    source.name_things(wanted)
    return [_row(source, one.stream.group_id, one.row) for one in page]


def _streams_of(source: Source, group: Group, account_id: int | None) -> list[Stream]:
    asked = source.asked
    market_id = source.market_ids.get(group.group_id)
    times = sequences_between(source.connection, group.group_id, asked.get("from"), asked.get("to"))
    filters = [*_time_filters(source, times), *_plain_filters(source)]
    in_group = orders.c.group_id == group.group_id
    # An expression instead of a column keeps a database from taking the index of a filter for that of the order.
    of_market = [] if market_id is None else [orders.c.market_id + 0 == market_id]
    of_account = [] if account_id is None else [orders.c.account_id + 0 == account_id]

    def stream(index: str, *given: ColumnElement[bool], filters: list[ColumnElement[bool]]) -> Stream:
        return Stream(
            table=orders,
            group_id=group.group_id,
            keys=_KEYS,
            time=orders.c.accepted_at_ns,
            given=(in_group, *given),
            filters=tuple(filters),
            low=times.low,
            high=times.high,
            index=index,
        )

    if asked.get("order_id") is not None:
        rest = [*of_account, *of_market, *filters, *_id_filters(source)]
        return [stream("", orders.c.order_id == asked.get("order_id"), *rest, filters=[])]
    by_id = _client_ids(source, group)
    if by_id is not None:
        return [stream("orders_by_client_id", *by_id, filters=[*of_account, *of_market, *filters])]
    filters += _id_filters(source)
    if account_id is not None:
        of_account = [orders.c.account_id == account_id]
        if asked.get("status") in _LIVING:
            return [stream("orders_open", *of_account, _IS_LIVING, filters=[*of_market, *filters])]
        return [stream("orders_by_account", *of_account, filters=[*of_market, *filters])]
    market_ids = [market_id] if market_id is not None else _all_markets(source, group)
    return [stream("orders_by_market", orders.c.market_id == one, filters=filters) for one in market_ids]


def _time_filters(source: Source, times: Range) -> list[ColumnElement[bool]]:
    """What whole minutes leave open."""
    filters = []
    if not times.low_is_exact:
        filters.append(orders.c.accepted_at_ns >= source.asked.get("from"))
    if not times.high_is_exact:
        filters.append(orders.c.accepted_at_ns < source.asked.get("to"))
    return filters


def _plain_filters(source: Source) -> list[ColumnElement[bool]]:
    asked, filters = source.asked, []
    if asked.get("side") is not None:
        filters.append(orders.c.side == SIDE_NAMES.index(asked.get("side")))
    if asked.get("type") is not None:
        filters.append(orders.c.order_type.in_(_TYPES[asked.get("type")]))
    if asked.get("status") is not None:
        filters.append(orders.c.status + 0 == STATUS_NAMES.index(asked.get("status")))
    return filters


def _client_ids(source: Source, group: Group) -> tuple[ColumnElement[bool], ...] | None:
    """The conditions on clients' ids, if there are any and their index finds few enough rows; else None."""
    conditions = _id_range(source)
    if not conditions:
        return None
    if source.asked.get("client_order_id") is None:
        candidates = select(orders.c.order_id).where(orders.c.group_id == group.group_id, *conditions)
        counted = select(func.count()).select_from(candidates.limit(EXAMINED_MAX + 1).subquery())
        if int(source.connection.execute(counted).scalar_one()) > EXAMINED_MAX:
            return None
    return tuple(conditions)


def _id_range(source: Source) -> list[ColumnElement[bool]]:
    """Ids are compared byte by byte, so those that begin alike stand side by side."""
    exact, prefix = source.asked.get("client_order_id"), source.asked.get("client_order_id_prefix")
    conditions = []
    if exact is not None:
        conditions.append(orders.c.client_order_id == exact)
    if prefix is not None:
        conditions.append(orders.c.client_order_id >= prefix)
        conditions.append(orders.c.client_order_id < prefix[:-1] + chr(ord(prefix[-1]) + 1))
    return conditions


def _id_filters(source: Source) -> list[ColumnElement[bool]]:
    """The same without their index."""
    exact, prefix = source.asked.get("client_order_id"), source.asked.get("client_order_id_prefix")
    filters = [] if exact is None else [orders.c.client_order_id.concat("") == exact]
    if prefix is not None:
        filters.append(func.substr(orders.c.client_order_id, 1, len(prefix)) == prefix)
    return filters


def _all_markets(source: Source, group: Group) -> list[int]:
    statement = select(markets.c.market_id).where(markets.c.group_id == group.group_id)
    return list(source.connection.execute(statement).scalars())


def _row(source: Source, group_id: int, row: RowMapping) -> Row:
    market = source.market(group_id, row["market_id"])
    values: dict[str, Any] = {**row, "client_order_id": row["client_order_id"].encode("ascii")}
    reported = OrderReported(*(values[name] for name in OrderReported._fields))
    conditions = OrderConditions(*(values[name] for name in OrderConditions._fields))
    body = reported_order_body(market, OrderFacts(reported, conditions))
    body |= {
        "group": source.group_name(group_id),
        "account": source.account(group_id, row["account_id"]),
        "updated_at": timestamp_text(row["updated_at_ns"]),
        "updated_sequence": row["updated_sequence"],
    }
    return {column.name: body[column.name] for column in ORDER}
