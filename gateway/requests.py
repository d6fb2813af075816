"""What became of a request? The way out for whoever got no answer and will not send it again."""

from __future__ import annotations

from engine import rejects
from engine.commands import ResolveRequest
from engine.events import OrderReported, RequestFenced, RequestRepeated
from gateway.endpoint import Call, Reply
from gateway.order_bodies import facts_reported, reported_order_body
from gateway.outcomes import receipt_of
from gateway.parsing import check_fields, check_id, read_object
from gateway.rendering import Json


async def resolve(call: Call) -> Reply:
    """The outcome of the request with this id or, if it was never seen, the promise that it never will be executed."""
    check_fields(read_object(call.body) if call.body else {}, frozenset())
    request_id = check_id(call.path["id"], "id")
    command = ResolveRequest(call.caller.account_id, call.issued_at_ns, request_id.encode("ascii"))
    outcome = await call.execute(command)
    first = outcome.events[0]
    if isinstance(first, RequestFenced):
        return _reply(outcome.sequence, "never_seen", fenced=True, orders=[])
    if not isinstance(first, RequestRepeated):
        receipt_of(outcome)
        raise AssertionError(first)
    if first.reason == rejects.FENCED:
        return _reply(first.original_sequence, "never_seen", fenced=True, orders=[])
    if first.reason:
        code = rejects.reason_code(first.reason)
        return _reply(first.original_sequence, "refused", fenced=False, orders=[], code=code)
    orders = []
    for event in outcome.events:
        if isinstance(event, OrderReported):
            facts = facts_reported(outcome.events, event.order_id)
            assert facts is not None, event
            orders.append(reported_order_body(await call.edge.directory.market_by_id(event.market_id), facts))
    return _reply(first.original_sequence, "accepted", fenced=False, orders=orders)


def _reply(sequence: int, outcome: str, *, fenced: bool, orders: list[Json], code: str | None = None) -> Reply:
    body = {"sequence": sequence, "outcome": outcome, "code": code, "fenced": fenced, "orders": orders}
    return Reply(200, body)
