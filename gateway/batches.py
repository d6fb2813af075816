"""Many requests about orders in one HTTP request: executed in their order, with one outcome each."""

from __future__ import annotations

from typing import Any, Final

from engine.commands import Command
from gateway import orders, placements
from gateway.endpoint import Call, Reply
from gateway.errors import ApiError, BadRequest
from gateway.outcomes import Outcome
from gateway.parsing import JsonObject, check_fields, read_choice, read_id, read_object, read_text
from gateway.rendering import Json, Market

ITEMS_MAX: Final = 500

_OPERATIONS: Final = {"place": 0, "cancel": 1, "amend": 2}
_NAMING_FIELDS: Final = frozenset(("op", "order_id", "client_order_id"))


async def execute(call: Call) -> Reply:
    """Up to 500 requests in one. They reach the log in this order; each has an outcome of its own."""
    items = read_items(call.body)
    read: list[tuple[Command, Market | None] | ApiError] = [await _read_item(call, item) for item in items]
    outcomes = iter(await call.execute_all([one[0] for one in read if not isinstance(one, ApiError)]))
    results, last_sequence = [], None
    for one in read:
        outcome: Outcome | ApiError
        if isinstance(one, ApiError):
            outcome, market = one, None
        else:
            outcome, market = next(outcomes), one[1]
        if isinstance(outcome, Outcome):
            last_sequence = outcome.sequence
        results.append(await _item_result(call, outcome, market))
    return Reply(200, {"sequence": last_sequence, "results": results})


def read_items(body: bytes) -> list[Any]:
    """The items as they are: what each holds is still to be checked."""
    document = read_object(body)
    check_fields(document, frozenset(("items",)))
    items = document.get("items")
    if type(items) is not list or not 1 <= len(items) <= ITEMS_MAX:
        raise BadRequest("BAD_FIELD", f"The field 'items' must be a list of 1 to {ITEMS_MAX} objects.")
    return items


async def _read_item(call: Call, item: Any) -> tuple[Command, Market | None] | ApiError:
    """The command of one item and, for a placement, its market; or what is wrong with the item."""
    try:
        if type(item) is not dict:
            raise BadRequest("NOT_AN_OBJECT", "Each item must be a JSON object.")
        operation = read_choice(item, "op", _OPERATIONS)
        if operation == _OPERATIONS["place"]:
            check_fields(item, placements.PLACEMENT_FIELDS | {"op"})
            market = await call.edge.directory.market(read_text(item, "market"))
            return placements.placement(call, item, market), market
        if operation == _OPERATIONS["cancel"]:
            check_fields(item, _NAMING_FIELDS | {"request_id"})
            request_id = read_id(item, "request_id") if "request_id" in item else None
            return orders.cancellation(call, _read_item_name(item), request_id), None
        check_fields(item, _NAMING_FIELDS | orders.AMENDMENT_FIELDS)
        return orders.amendment(call, _read_item_name(item), item), None
    except ApiError as error:
        return error


async def _item_result(call: Call, outcome: Outcome | ApiError, market: Market | None) -> Json:
    if isinstance(outcome, ApiError):
        return {"status": outcome.status, **outcome.body()}
    try:
        reply = (
            placements.placement_reply(market, outcome)
            if market is not None
            else await orders.changed_order_reply(call, outcome)
        )
    except ApiError as error:
        told = call.answer_to(error)
        return {"status": told.status, **told.body()}
    assert isinstance(reply.body, dict), reply.body
    return {"status": reply.status, **reply.body}


def _read_item_name(item: JsonObject) -> orders.OrderName:
    if ("order_id" in item) == ("client_order_id" in item):
        raise BadRequest("MISSING_FIELD", "An item names its order by 'order_id' or by 'client_order_id', not both.")
    if "client_order_id" in item:
        return orders.OrderName(0, read_id(item, "client_order_id"))
    if type(item["order_id"]) is not int:
        raise BadRequest("BAD_FIELD", "The field 'order_id' must be a whole number.")
    return orders.order_number(item["order_id"])
