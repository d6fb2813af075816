"""Routes about orders: place, cancel, amend, cancel all, look up.

Reading a placement and answering it are separate functions without I/O: the hot path of ``gateway.hot`` shares them.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from engine.amounts import ABSENT
from engine.commands import AmendOrder, CancelAll, CancelOrder, PlaceOrder
from engine.events import OrderAmended, OrderClosed, OrderReported, OrdersCancelled
from engine.types import (
    BUY,
    IOC,
    LIMIT,
    MARKET,
    MARKET_BUDGET,
    SELF_TRADE_NAMES,
    SELL,
    SIDE_NAMES,
    TIME_IN_FORCE_NAMES,
)
from gateway import rendering
from gateway.endpoint import Call, Reply
from gateway.errors import BadRequest, NotFound
from gateway.outcomes import Outcome, receipt_of
from gateway.parsing import (
    JsonObject,
    check_fields,
    check_id,
    query_count,
    query_id,
    read_choice,
    read_decimal,
    read_flag,
    read_id,
    read_object,
    read_optional_decimal,
    read_query,
    read_text,
)
from gateway.rendering import Json, Market

_SIDES: Final = {SIDE_NAMES[BUY]: BUY, SIDE_NAMES[SELL]: SELL}
_TYPES: Final = {"limit": LIMIT, "market": MARKET}
_TIMES_IN_FORCE: Final = {name: number for number, name in enumerate(TIME_IN_FORCE_NAMES)}
_SELF_TRADES: Final = {name: number for number, name in enumerate(SELF_TRADE_NAMES)}
PLACEMENT_FIELDS: Final = frozenset(
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
AMENDMENT_FIELDS: Final = frozenset(("price", "quantity", "request_id"))
_ORDER_ID_MAX: Final = (1 << 64) - 1
_OPEN_ORDERS_MAX: Final = 1_000
_CLIENT_PREFIX: Final = "client:"


class OrderName(NamedTuple):
    """An order as a client names it: the exchange's number, or 0 and the client's own id."""

    order_id: int
    client_order_id: str


def read_placement(
    document: JsonObject, *, account_id: int, issued_at_ns: int, market_id: int, id_if_none: str
) -> PlaceOrder:
    """The command behind a placement. What the market's rules say about its amounts is for the state machine."""
    side = read_choice(document, "side", _SIDES)
    order_type = read_choice(document, "type", _TYPES, "limit")
    time_in_force = read_choice(document, "time_in_force", _TIMES_IN_FORCE, "gtc")
    amount_name = "quantity"
    price = ABSENT
    if order_type == LIMIT:
        price = read_decimal(document, "price")
    else:
        time_in_force = IOC
        if "price" in document:
            raise BadRequest("BAD_FIELD", "A market order has no 'price'.")
        if "budget" in document:
            amount_name, order_type = "budget", MARKET_BUDGET
    if "budget" in document and (order_type == LIMIT or side == SELL or "quantity" in document):
        raise BadRequest("BAD_FIELD", "A 'budget' is for market orders that buy, instead of a 'quantity'.")
    amount = read_decimal(document, amount_name)
    client_order_id = read_id(document, "client_order_id") if "client_order_id" in document else id_if_none
    return PlaceOrder(
        account_id=account_id,
        issued_at_ns=issued_at_ns,
        market_id=market_id,
        side=side,
        order_type=order_type,
        time_in_force=time_in_force,
        post_only=read_flag(document, "post_only"),
        self_trade=read_choice(document, "self_trade", _SELF_TRADES, "cancel_newest"),
        price_mantissa=price.mantissa,
        price_scale=price.scale,
        quantity_mantissa=amount.mantissa,
        quantity_scale=amount.scale,
        client_order_id=client_order_id.encode("ascii"),
    )


def read_placement_document(body: bytes | bytearray) -> JsonObject:
    """The fields of a placement, all of them known, with a market named."""
    document = read_object(body)
    check_fields(document, PLACEMENT_FIELDS)
    read_text(document, "market")
    return document


def placement_reply(market: Market, outcome: Outcome) -> Reply:
    """The answer to a placement; a repeat shows the order as it stands now, if the exchange still has it."""
    receipt = receipt_of(outcome, first_time_status=201)
    order: Json | None
    if receipt.repeated:
        order, fills = _reported(market, outcome), []
    else:
        order = rendering.order_body(market, rendering.order_after_placement(outcome.events))
        fills = rendering.fills_body(market, outcome.events)
    body = {"sequence": receipt.sequence, "repeated": receipt.repeated, "order": order, "fills": fills}
    return Reply(receipt.status, body)


async def place(call: Call) -> Reply:
    document = read_placement_document(call.body)
    market = await call.edge.directory.market(document["market"])
    outcome = await call.execute(placement(call, document, market))
    return placement_reply(market, outcome)


async def cancel(call: Call) -> Reply:
    parameters = read_query(call.query, frozenset(("request_id",)))
    command = cancellation(call, _read_name(call.path["id"]), query_id(parameters, "request_id"))
    return await changed_order_reply(call, await call.execute(command))


async def amend(call: Call) -> Reply:
    name = _read_name(call.path["id"])
    document = read_object(call.body)
    check_fields(document, AMENDMENT_FIELDS)
    return await changed_order_reply(call, await call.execute(amendment(call, name, document)))


async def cancel_all(call: Call) -> Reply:
    parameters = read_query(call.query, frozenset(("market", "request_id")))
    market_id = await _market_id(call, parameters)
    request_id = query_id(parameters, "request_id") or call.edge.new_id()
    command = CancelAll(call.caller.account_id, call.issued_at_ns, market_id, request_id.encode("ascii"))
    outcome = await call.execute(command)
    receipt = receipt_of(outcome)
    last = outcome.events[-1]
    cancelled = last.order_count if isinstance(last, OrdersCancelled) else None
    return Reply(receipt.status, {"sequence": receipt.sequence, "repeated": receipt.repeated, "cancelled": cancelled})


async def show(call: Call) -> Reply:
    name = _read_name(call.path["id"])
    arguments = {"account_id": call.caller.account_id, **name._asdict()}
    answer = await call.edge.group.query("order", arguments)
    if answer.value is None:
        raise _unknown_order(answer.sequence)
    order = rendering.order_from_query(answer.value)
    market = await call.edge.directory.market_by_id(order.market_id)
    return Reply(200, {"sequence": answer.sequence, "order": rendering.reported_order_body(market, order)})


async def show_open(call: Call) -> Reply:
    parameters = read_query(call.query, frozenset(("market", "after", "limit")))
    limit = query_count(parameters, "limit", default=_OPEN_ORDERS_MAX, maximum=_OPEN_ORDERS_MAX)
    arguments = {
        "account_id": call.caller.account_id,
        "market_id": await _market_id(call, parameters),
        "after_order_id": query_count(parameters, "after", default=0, maximum=_ORDER_ID_MAX),
        "limit": limit + 1,
    }
    answer = await call.edge.group.query("open_orders", arguments)
    orders = []
    for fields in answer.value[:limit]:
        order = rendering.order_from_query(fields)
        market = await call.edge.directory.market_by_id(order.market_id)
        orders.append(rendering.reported_order_body(market, order))
    return Reply(200, {"sequence": answer.sequence, "orders": orders, "more": len(answer.value) > limit})


def placement(call: Call, document: JsonObject, market: Market) -> PlaceOrder:
    """The command of a placement by the caller."""
    return read_placement(
        document,
        account_id=call.caller.account_id,
        issued_at_ns=call.issued_at_ns,
        market_id=market.market_id,
        id_if_none=call.edge.new_id(),
    )


def cancellation(call: Call, name: OrderName, request_id: str | None) -> CancelOrder:
    """The command of a cancellation by the caller; it gets a request id if it has none."""
    return CancelOrder(
        account_id=call.caller.account_id,
        issued_at_ns=call.issued_at_ns,
        order_id=name.order_id,
        client_order_id=name.client_order_id.encode("ascii"),
        request_id=(request_id or call.edge.new_id()).encode("ascii"),
    )


def amendment(call: Call, name: OrderName, document: JsonObject) -> AmendOrder:
    """The command of an amendment by the caller; what the document does not name stays."""
    if "price" not in document and "quantity" not in document:
        raise BadRequest("MISSING_FIELD", "An amendment needs a 'price', a 'quantity' or both.")
    price = read_optional_decimal(document, "price")
    quantity = read_optional_decimal(document, "quantity")
    request_id = read_id(document, "request_id") if "request_id" in document else call.edge.new_id()
    return AmendOrder(
        account_id=call.caller.account_id,
        issued_at_ns=call.issued_at_ns,
        order_id=name.order_id,
        price_mantissa=price.mantissa,
        price_scale=price.scale,
        quantity_mantissa=quantity.mantissa,
        quantity_scale=quantity.scale,
        client_order_id=name.client_order_id.encode("ascii"),
        request_id=request_id.encode("ascii"),
    )


async def changed_order_reply(call: Call, outcome: Outcome) -> Reply:
    """The answer to a cancellation or an amendment."""
    receipt = receipt_of(outcome)
    body: Json = {"sequence": receipt.sequence, "repeated": receipt.repeated}
    subject = outcome.events[1 if receipt.repeated and len(outcome.events) > 1 else 0]
    if isinstance(subject, OrderReported | OrderClosed | OrderAmended):
        market = await call.edge.directory.market_by_id(subject.market_id)
        if isinstance(subject, OrderReported):
            body["order"] = rendering.reported_order_body(market, subject)
        elif isinstance(subject, OrderClosed):
            body["order"] = rendering.closed_order_body(market, subject)
        else:
            body["kept_place"] = bool(subject.kept_place)
            body["order"] = rendering.amended_order_body(market, outcome.events)
            body["fills"] = rendering.fills_body(market, outcome.events)
    else:
        body["order"] = None
    return Reply(receipt.status, body)


def _reported(market: Market, outcome: Outcome) -> Json | None:
    subject = outcome.events[-1]
    return rendering.reported_order_body(market, subject) if isinstance(subject, OrderReported) else None


def _read_name(text: str) -> OrderName:
    """``17`` is the exchange's number, ``abc`` a client's id; ``client:17`` is a client's id in any case."""
    if text.startswith(_CLIENT_PREFIX):
        return OrderName(0, check_id(text.removeprefix(_CLIENT_PREFIX), "client_order_id"))
    check_id(text, "id")
    return order_number(int(text)) if text.isdecimal() else OrderName(0, text)


def order_number(order_id: int) -> OrderName:
    """An order by the exchange's number. One that no order can have is unknown."""
    if not 1 <= order_id <= _ORDER_ID_MAX:
        raise _unknown_order(None)
    return OrderName(order_id, "")


def _unknown_order(sequence: int | None) -> NotFound:
    error = NotFound("UNKNOWN_ORDER", "There is no such order.")
    error.sequence = sequence
    return error


async def _market_id(call: Call, parameters: dict[str, str]) -> int:
    """The market of the query, or 0 for all."""
    return (await call.edge.directory.market(parameters["market"])).market_id if "market" in parameters else 0
