"""One cancels the other: a limit order and a stop over the same funds, placed and answered together."""

from __future__ import annotations

from typing import Final

from engine.commands import PlaceOco
from engine.types import SECOND_LEG
from gateway.endpoint import Call, Reply
from gateway.order_bodies import facts_after_placement, facts_reported, fills_body, order_body, reported_order_body
from gateway.outcomes import Outcome, receipt_of
from gateway.parsing import (
    check_fields,
    read_choice,
    read_decimal,
    read_id,
    read_object,
    read_optional_decimal,
    read_text,
)
from gateway.placements import SELF_TRADE_DEFAULT, SELF_TRADES, SIDES
from gateway.rendering import Json, Market

_FIELDS: Final = frozenset(
    (
        "market",
        "side",
        "quantity",
        "price",
        "stop_price",
        "stop_limit_price",
        "self_trade",
        "client_order_id",
        "stop_client_order_id",
    )
)


async def place(call: Call) -> Reply:
    document = read_object(call.body)
    check_fields(document, _FIELDS)
    market = await call.edge.directory.market(read_text(document, "market"))
    quantity = read_decimal(document, "quantity")
    price = read_decimal(document, "price")
    stop = read_decimal(document, "stop_price")
    stop_limit = read_optional_decimal(document, "stop_limit_price")
    ids = [
        read_id(document, name) if name in document else call.edge.new_id()
        for name in ("client_order_id", "stop_client_order_id")
    ]
    command = PlaceOco(
        account_id=call.caller.account_id,
        issued_at_ns=call.issued_at_ns,
        market_id=market.market_id,
        side=read_choice(document, "side", SIDES),
        self_trade=read_choice(document, "self_trade", SELF_TRADES, SELF_TRADE_DEFAULT),
        quantity_mantissa=quantity.mantissa,
        quantity_scale=quantity.scale,
        price_mantissa=price.mantissa,
        price_scale=price.scale,
        stop_mantissa=stop.mantissa,
        stop_scale=stop.scale,
        stop_limit_mantissa=stop_limit.mantissa,
        stop_limit_scale=stop_limit.scale,
        stop_client_order_id=ids[1].encode("ascii"),
        client_order_id=ids[0].encode("ascii"),
    )
    return _reply(market, await call.execute(command))


def _reply(market: Market, outcome: Outcome) -> Reply:
    """Both legs, the limit order first. The stop cannot have traded yet, so the fills are the limit order's."""
    receipt = receipt_of(outcome, first_time_status=201)
    events, legs = outcome.events, (receipt.sequence, receipt.sequence + SECOND_LEG)
    orders: list[Json | None]
    if receipt.repeated:
        told = [facts_reported(events, order_id) for order_id in legs]
        orders, fills = [None if facts is None else reported_order_body(market, facts) for facts in told], []
    else:
        orders = [order_body(market, facts_after_placement(events, order_id)) for order_id in legs]
        fills = fills_body(market, events, legs[0])
    body = {"sequence": receipt.sequence, "repeated": receipt.repeated, "orders": orders, "fills": fills}
    return Reply(receipt.status, body)
