"""Placing an order: reading it and answering it, without I/O.

The plain route, the batches and the hot path of ``gateway.hot`` share these functions. A placement with nothing special
about it stays the small record that the hot path is made for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from engine.amounts import ABSENT
from engine.commands import PlaceOrder, PlaceSpecialOrder
from engine.types import (
    BUY,
    GTD,
    IOC,
    LIMIT,
    MARKET,
    MARKET_BUDGET,
    SELF_TRADE_NAMES,
    SELL,
    SIDE_NAMES,
    TIME_IN_FORCE_NAMES,
)
from gateway.endpoint import Call, Reply
from gateway.errors import BadRequest
from gateway.order_bodies import facts_after_placement, facts_reported, fills_body, order_body, reported_order_body
from gateway.outcomes import Outcome, receipt_of
from gateway.parsing import (
    JsonObject,
    check_fields,
    numbered,
    read_choice,
    read_decimal,
    read_flag,
    read_id,
    read_object,
    read_text,
)
from gateway.rendering import Json, Market
from gateway.special_orders import SPECIAL_FIELDS, read_special

SIDES: Final = {SIDE_NAMES[BUY]: BUY, SIDE_NAMES[SELL]: SELL}
SELF_TRADES: Final = numbered(SELF_TRADE_NAMES)
SELF_TRADE_DEFAULT: Final = "cancel_newest"
_TYPES: Final = {"limit": LIMIT, "market": MARKET}
_TIMES_IN_FORCE: Final = numbered(TIME_IN_FORCE_NAMES)
PLACEMENT_FIELDS: Final = SPECIAL_FIELDS | frozenset(
    (
        "market",
        "side",
        "type",
        "price",
        "quantity",
        "budget",
        "time_in_force",
        "post_only",
        "self_trade",
        "client_order_id",
    )
)


async def place(call: Call) -> Reply:
    document = read_placement_document(call.body)
    market = await call.edge.directory.market(document["market"])
    outcome = await call.execute(placement(call, document, market))
    return placement_reply(market, outcome)


def placement(call: Call, document: JsonObject, market: Market) -> PlaceOrder | PlaceSpecialOrder:
    """The command of a placement by the caller."""
    return read_placement(
        document,
        account_id=call.caller.account_id,
        issued_at_ns=call.issued_at_ns,
        market_id=market.market_id,
        id_if_none=call.edge.new_id,
    )


def read_placement_document(body: bytes | bytearray) -> JsonObject:
    """The fields of a placement, all of them known, with a market named."""
    document = read_object(body)
    check_fields(document, PLACEMENT_FIELDS)
    read_text(document, "market")
    return document


def read_placement(
    document: JsonObject, *, account_id: int, issued_at_ns: int, market_id: int, id_if_none: Callable[[], str]
) -> PlaceOrder | PlaceSpecialOrder:
    """The command behind a placement. What the market's rules say about its amounts is for the state machine."""
    side = read_choice(document, "side", SIDES)
    order_type = read_choice(document, "type", _TYPES, "limit")
    time_in_force = read_choice(document, "time_in_force", _TIMES_IN_FORCE, "gtc")
    amount_name = "quantity"
    price = ABSENT
    if order_type == LIMIT:
        price = read_decimal(document, "price")
    else:
        if time_in_force < GTD:
            time_in_force = IOC
        if "price" in document:
            raise BadRequest("BAD_FIELD", "A market order has no 'price'.")
        if "budget" in document:
            amount_name, order_type = "budget", MARKET_BUDGET
    if "budget" in document and (order_type == LIMIT or side == SELL or "quantity" in document):
        raise BadRequest("BAD_FIELD", "A 'budget' is for market orders that buy, instead of a 'quantity'.")
    amount = read_decimal(document, amount_name)
    client_order_id = read_id(document, "client_order_id") if "client_order_id" in document else id_if_none()
    post_only = read_flag(document, "post_only")
    self_trade = read_choice(document, "self_trade", SELF_TRADES, SELF_TRADE_DEFAULT)
    if time_in_force < GTD and SPECIAL_FIELDS.isdisjoint(document):
        return PlaceOrder(
            account_id=account_id,
            issued_at_ns=issued_at_ns,
            market_id=market_id,
            side=side,
            order_type=order_type,
            time_in_force=time_in_force,
            post_only=post_only,
            self_trade=self_trade,
            price_mantissa=price.mantissa,
            price_scale=price.scale,
            quantity_mantissa=amount.mantissa,
            quantity_scale=amount.scale,
            client_order_id=client_order_id.encode("ascii"),
        )
    special = read_special(document, time_in_force)
    return PlaceSpecialOrder(
        account_id=account_id,
        issued_at_ns=issued_at_ns,
        market_id=market_id,
        side=side,
        order_type=order_type,
        time_in_force=time_in_force,
        post_only=post_only,
        self_trade=self_trade,
        trigger=special.trigger,
        price_mantissa=price.mantissa,
        price_scale=price.scale,
        quantity_mantissa=amount.mantissa,
        quantity_scale=amount.scale,
        stop_mantissa=special.stop.mantissa,
        stop_scale=special.stop.scale,
        trail_mantissa=special.trail.mantissa,
        trail_scale=special.trail.scale,
        display_mantissa=special.display.mantissa,
        display_scale=special.display.scale,
        expires_at_ns=special.expires_at_ns,
        client_order_id=client_order_id.encode("ascii"),
    )


def placement_reply(market: Market, outcome: Outcome) -> Reply:
    """The answer to a placement; a repeat shows the order as it stands now, if the exchange still has it."""
    receipt = receipt_of(outcome, first_time_status=201)
    events, order_id = outcome.events, receipt.sequence
    order: Json | None
    if receipt.repeated:
        reported = facts_reported(events, order_id)
        order, fills = None if reported is None else reported_order_body(market, reported), []
    else:
        order = order_body(market, facts_after_placement(events, order_id))
        fills = fills_body(market, events, order_id)
    body = {"sequence": receipt.sequence, "repeated": receipt.repeated, "order": order, "fills": fills}
    return Reply(receipt.status, body)
