"""Many cancellations at once: one's own orders, whatever an operator names, and the dead-man switch."""

from __future__ import annotations

from typing import Final

from engine.commands import CancelAll, CancelAllAfter, MassCancel
from engine.events import DeadManArmed, OrdersCancelled
from engine.types import EITHER_SIDE, EVERYONE, EXCHANGE_ACCOUNT
from gateway.endpoint import Call, Reply
from gateway.errors import BadRequest
from gateway.outcomes import Outcome, receipt_of
from gateway.parsing import check_fields, query_choice, query_id, read_id, read_integer, read_object, read_query
from gateway.placements import SIDES
from gateway.rendering import optional_timestamp_text

_PARAMETERS: Final = frozenset(("market", "side", "request_id"))
_TIMEOUT_MS_MAX: Final = 86_400_000


async def cancel_own(call: Call) -> Reply:
    """All open orders of the caller, or those of one market or side."""
    parameters = read_query(call.query, _PARAMETERS)
    side = query_choice(parameters, "side", SIDES, EITHER_SIDE)
    if side != EITHER_SIDE:
        return await _mass_cancel(call, parameters, call.caller.account_id, side)
    market_id = await call.edge.directory.market_id(parameters.get("market"))
    command = CancelAll(call.caller.account_id, call.issued_at_ns, market_id, _request_id(call, parameters))
    return _reply(await call.execute(command))


async def cancel_any(call: Call) -> Reply:
    """An operator's: the orders of one account or everybody's, of one market or all, of one side or both."""
    parameters = read_query(call.query, _PARAMETERS | {"account"})
    owner_account_id = EVERYONE
    if "account" in parameters:
        owner_account_id = await call.edge.account_id(parameters["account"])
        if owner_account_id == EXCHANGE_ACCOUNT:
            # Its number means everyone in this command.
            raise BadRequest("BAD_QUERY", "The exchange's own account has no orders.")
    return await _mass_cancel(call, parameters, owner_account_id, query_choice(parameters, "side", SIDES, EITHER_SIDE))


async def cancel_all_after(call: Call) -> Reply:
    """Arm the caller's dead-man switch, renew it, or (with 0) disarm it."""
    document = read_object(call.body)
    check_fields(document, frozenset(("timeout_ms", "request_id")))
    timeout_ms = read_integer(document, "timeout_ms", minimum=0, maximum=_TIMEOUT_MS_MAX)
    request_id = read_id(document, "request_id") if "request_id" in document else call.edge.new_id()
    command = CancelAllAfter(call.caller.account_id, call.issued_at_ns, timeout_ms, request_id.encode("ascii"))
    outcome = await call.execute(command)
    receipt = receipt_of(outcome)
    armed = outcome.told(DeadManArmed)
    fires_at = None if armed is None else optional_timestamp_text(armed.fires_at_ns)
    return Reply(receipt.status, {"sequence": receipt.sequence, "repeated": receipt.repeated, "fires_at": fires_at})


async def _mass_cancel(call: Call, parameters: dict[str, str], owner_account_id: int, side: int) -> Reply:
    command = MassCancel(
        account_id=call.caller.account_id,
        issued_at_ns=call.issued_at_ns,
        owner_account_id=owner_account_id,
        market_id=await call.edge.directory.market_id(parameters.get("market")),
        side=side,
        request_id=_request_id(call, parameters),
    )
    return _reply(await call.execute(command))


def _reply(outcome: Outcome) -> Reply:
    receipt = receipt_of(outcome)
    end = outcome.told(OrdersCancelled)
    cancelled = None if end is None else end.order_count
    return Reply(receipt.status, {"sequence": receipt.sequence, "repeated": receipt.repeated, "cancelled": cancelled})


def _request_id(call: Call, parameters: dict[str, str]) -> bytes:
    return (query_id(parameters, "request_id") or call.edge.new_id()).encode("ascii")
