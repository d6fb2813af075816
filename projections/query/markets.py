"""Candles and tickers of markets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from sqlalchemy import select

from gateway.rendering import optional_timestamp_text, timestamp_text
from projections.candles import INTERVALS, Candle, next_opening_ns, opening_ns, without_gaps
from projections.query.export import Row
from projections.query.source import Group, Source
from projections.schema import candles, tickers

_INTERVAL_DEFAULT: Final = "1m"
_STORED: Final = tuple(candles.c[name] for name in Candle._fields)


def candle_page(source: Source, after_ns: int | None, limit: int) -> tuple[list[Row], int | None]:
    """At most ``limit`` candles that open after ``after_ns``, oldest first; and where to go on, None at the end."""
    group = source.only_group()
    interval_s = INTERVALS[source.asked.get("interval") or _INTERVAL_DEFAULT]
    to_ns = min(source.asked.get("to") or group.timestamp_ns + 1, group.timestamp_ns + 1)
    from_ns = source.asked.get("from")
    if after_ns is not None:
        from_ns = next_opening_ns(interval_s, after_ns)
    elif from_ns is None:
        from_ns = _some_before(interval_s, to_ns, source.asked.limit)
    source.name_things([("market", group.group_id, source.market_ids[group.group_id])])
    found = list(islice(_candles(source, group, interval_s, from_ns, to_ns, limit + 1), limit + 1))
    rows = _candle_rows(source, group, interval_s, found[:limit])
    return rows, found[limit - 1].opens_at_ns if len(found) > limit else None


def ticker_rows(source: Source) -> list[Row]:
    rows = []
    for group in source.groups:
        statement = select(tickers).where(tickers.c.group_id == group.group_id).order_by(tickers.c.market_id)
        if source.asked.get("market") is not None:
            statement = statement.where(tickers.c.market_id == source.market_ids[group.group_id])
        found = source.connection.execute(statement).mappings().all()
        source.name_things([("market", group.group_id, one["market_id"]) for one in found])
        for one in found:
            market = source.market(group.group_id, one["market_id"])
            prices = {
                name: market.price(one[f"{name}_ticks"]) if one[f"{name}_ticks"] else None
                for name in ("open", "high", "low", "bid", "ask")
            }
            last_ticks = one["last_price_ticks"]
            change = market.price(last_ticks - one["open_ticks"]) if one["open_ticks"] else None
            rows.append(
                {
                    "group": group.name,
                    "market": market.name,
                    "last_price": market.price(last_ticks) if last_ticks else None,
                    "last_quantity": market.quantity(one["last_quantity_lots"]) if last_ticks else None,
                    "last_at": optional_timestamp_text(one["last_traded_at_ns"]),
                    "bid_price": prices["bid"],
                    "bid_quantity": market.quantity(one["bid_lots"]) if prices["bid"] else None,
                    "ask_price": prices["ask"],
                    "ask_quantity": market.quantity(one["ask_lots"]) if prices["ask"] else None,
                    "open": prices["open"],
                    "high": prices["high"],
                    "low": prices["low"],
                    "change": change,
                    "volume": market.quantity(one["volume_lots"]),
                    "notional": market.money(one["notional_units"]),
                    "trades": one["trade_count"],
                }
            )
    return rows


def _some_before(interval_s: int, to_ns: int, count: int) -> int:
    """When the interval opens that is ``count`` before the end."""
    opens_at_ns = opening_ns(interval_s, max(0, to_ns - 1))
    for _ in range(count - 1):
        opens_at_ns = opening_ns(interval_s, max(0, opens_at_ns - 1))
    return opens_at_ns


def _candles(source: Source, group: Group, interval_s: int, from_ns: int, to_ns: int, count: int) -> Iterator[Candle]:
    """Those stored, and those between them."""
    of_market = (
        candles.c.group_id == group.group_id,
        candles.c.market_id == source.market_ids[group.group_id],
        candles.c.interval_s == interval_s,
    )
    before = (
        select(candles.c.close_ticks)
        .where(*of_market, candles.c.opens_at_ns < from_ns)
        .order_by(candles.c.opens_at_ns.desc())
        .limit(1)
    )
    last_close_ticks = source.connection.execute(before).scalars().first() or 0
    stored = (
        select(*_STORED)
        .where(*of_market, candles.c.opens_at_ns >= from_ns, candles.c.opens_at_ns < to_ns)
        .order_by(candles.c.opens_at_ns)
        .limit(count)
    )
    found = [Candle(*row) for row in source.connection.execute(stored)]
    return without_gaps(interval_s, found, from_ns=from_ns, until_ns=to_ns, last_close_ticks=last_close_ticks)


def _candle_rows(source: Source, group: Group, interval_s: int, found: Sequence[Candle]) -> list[Row]:
    market = source.market(group.group_id, source.market_ids[group.group_id])
    return [
        {
            "opens_at": timestamp_text(one.opens_at_ns),
            "open": market.price(one.open_ticks),
            "high": market.price(one.high_ticks),
            "low": market.price(one.low_ticks),
            "close": market.price(one.close_ticks),
            "volume": market.quantity(one.volume_lots),
            "notional": market.money(one.notional_units),
            "trades": one.trade_count,
            "complete": next_opening_ns(interval_s, one.opens_at_ns) <= group.timestamp_ns,
        }
        for one in found
    ]
