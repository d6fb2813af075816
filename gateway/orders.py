"""Routes about one's orders: cancel, amend, look up. Placing them is in ``gateway.placements``."""

from __future__ import annotations

from typing import Final, NamedTuple

from engine.commands import AmendOrder, CancelOrder
from engine.events import OrderAmended, OrderClosed, OrderReported
from gateway import order_bodies
from gateway.endpoint import Call, Reply
from gateway.errors import BadRequest, NotFound
from gateway.outcomes import Outcome, receipt_of
from gateway.parsing import (
    PAGE_PARAMETERS,
    JsonObject,
    check_fields,
    check_id,
    query_id,
    query_page,
    read_id,
    read_object,
    read_optional_decimal,
    read_query,
)
from gateway.rendering import Json

AMENDMENT_FIELDS: Final = frozenset(("price", "quantity", "request_id"))
_ORDER_ID_MAX: Final = (1 << 64) - 1
_CLIENT_PREFIX: Final = "client:"


class OrderName(NamedTuple):
    """An order as a client names it: the exchange's number, or 0 and the client's own id."""

    order_id: int
    client_order_id: str


async def cancel(call: Call) -> Reply:
    parameters = read_query(call.query, frozenset(("request_id",)))
    command = cancellation(call, _read_name(call.path["id"]), query_id(parameters, "request_id"))
    return await changed_order_reply(call, await call.execute(command))


async def amend(call: Call) -> Reply:
    name = _read_name(call.path["id"])
    document = read_object(call.body)
    check_fields(document, AMENDMENT_FIELDS)
    return await changed_order_reply(call, await call.execute(amendment(call, name, document)))


async def show(call: Call) -> Reply:
    call.read_parameters()
    name = _read_name(call.path["id"])
    arguments = {"account_id": call.caller.account_id, **name._asdict()}
    answer = await call.ask("order", arguments)
    if answer.value is None:
        raise _unknown_order(answer.sequence)
    facts = order_bodies.facts_from_query(answer.value)
    market = await call.edge.directory.market_by_id(facts.order.market_id)
    return Reply(200, {"sequence": answer.sequence, "order": order_bodies.reported_order_body(market, facts)})


async def show_open(call: Call) -> Reply:
    parameters = call.read_parameters(PAGE_PARAMETERS | {"market"})
    page = query_page(parameters)
    arguments = {
        "account_id": call.caller.account_id,
        "market_id": await call.edge.directory.market_id(parameters.get("market")),
        "after_order_id": page.after,
        "limit": page.limit + 1,
    }
    answer = await call.ask("open_orders", arguments)
    orders = []
    for fields in answer.value[: page.limit]:
        facts = order_bodies.facts_from_query(fields)
        market = await call.edge.directory.market_by_id(facts.order.market_id)
        orders.append(order_bodies.reported_order_body(market, facts))
    return Reply(200, {"sequence": answer.sequence, "orders": orders, "more": len(answer.value) > page.limit})


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
            facts = order_bodies.facts_reported(outcome.events, subject.order_id)
            assert facts is not None, subject
            body["order"] = order_bodies.reported_order_body(market, facts)
        elif isinstance(subject, OrderClosed):
            body["order"] = order_bodies.closed_order_body(market, subject)
        else:
            body["kept_place"] = bool(subject.kept_place)
            body["order"] = order_bodies.amended_order_body(market, outcome.events)
            body["fills"] = order_bodies.fills_body(market, outcome.events, subject.order_id)
    else:
        body["order"] = None
    return Reply(receipt.status, body)


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
    return NotFound("UNKNOWN_ORDER", "There is no such order.", sequence=sequence)
