"""Public routes: what is listed, the book, the trades."""

from __future__ import annotations

from typing import Final

from engine.types import SIDE_NAMES
from gateway.endpoint import Call, Reply
from gateway.market_bodies import living_market_body
from gateway.parsing import query_count
from gateway.rendering import Json, Market, timestamp_text

_DEPTH_DEFAULT: Final = 20
_TRADES_DEFAULT: Final = 50
_COUNT_MAX: Final = 1_000


async def list_assets(call: Call) -> Reply:
    call.read_parameters()
    answer = await call.ask("directory", {})
    assets = [{"asset": spec["name"], "decimals": spec["decimals"]} for spec in answer.value["assets"]]
    return Reply(200, {"sequence": answer.sequence, "assets": assets})


async def list_markets(call: Call) -> Reply:
    call.read_parameters()
    answer = await call.ask("markets", {})
    directory = call.edge.directory
    markets = [living_market_body(await directory.market_by_id(one["market_id"]), one) for one in answer.value]
    return Reply(200, {"sequence": answer.sequence, "markets": markets})


async def show(call: Call) -> Reply:
    """State, rules and prices change, so they are asked for; only the listing is remembered."""
    call.read_parameters()
    market = await call.edge.directory.market(call.path["market"])
    answer = await call.ask("market", {"market_id": market.market_id})
    return Reply(200, {"sequence": answer.sequence, **living_market_body(market, answer.value)})


async def show_book(call: Call) -> Reply:
    parameters = call.read_parameters(frozenset(("depth",)))
    depth = query_count(parameters, "depth", default=_DEPTH_DEFAULT, maximum=_COUNT_MAX)
    market = await call.edge.directory.market(call.path["market"])
    answer = await call.ask("book", {"market_id": market.market_id, "depth": depth})
    return Reply(
        200,
        {
            "sequence": answer.sequence,
            "market": market.name,
            "bids": _levels_body(market, answer.value["bids"]),
            "asks": _levels_body(market, answer.value["asks"]),
        },
    )


async def show_trades(call: Call) -> Reply:
    parameters = call.read_parameters(frozenset(("limit",)))
    limit = query_count(parameters, "limit", default=_TRADES_DEFAULT, maximum=_COUNT_MAX)
    market = await call.edge.directory.market(call.path["market"])
    answer = await call.ask("trades", {"market_id": market.market_id, "limit": limit})
    trades = [_trade_body(market, trade) for trade in answer.value]
    return Reply(200, {"sequence": answer.sequence, "market": market.name, "trades": trades})


def _levels_body(market: Market, levels: list[list[int]]) -> list[list[str | int]]:
    return [
        [market.price(price_ticks), market.quantity(quantity_lots), order_count]
        for price_ticks, quantity_lots, order_count in levels
    ]


def _trade_body(market: Market, trade: Json) -> Json:
    return {
        "trade_id": trade["trade_id"],
        "price": market.price(trade["price_ticks"]),
        "quantity": market.quantity(trade["quantity_lots"]),
        "taker_side": SIDE_NAMES[trade["taker_side"]],
        "sequence": trade["sequence"],
        "timestamp": timestamp_text(trade["timestamp_ns"]),
    }
