"""Transfers between accounts: at once, or held until the recipient or an operator posts them."""

from __future__ import annotations

from typing import Any, Final

from engine.amounts import format_units
from engine.commands import CreateTransfer, DecideTransfer
from engine.events import TransferChanged
from engine.types import TRANSFER_DECISION_NAMES, TRANSFER_STATUS_NAMES, TRANSFER_TIMEOUT_S_MAX
from gateway.edge import Edge
from gateway.endpoint import Call, Reply
from gateway.errors import BadRequest, NotFound
from gateway.outcomes import Outcome, receipt_of
from gateway.parsing import (
    PAGE_PARAMETERS,
    check_fields,
    number_of,
    numbered,
    query_page,
    read_decimal,
    read_flag,
    read_id,
    read_integer,
    read_object,
)
from gateway.rendering import Json, optional_timestamp_text

_DECISIONS: Final = numbered(TRANSFER_DECISION_NAMES)
_FIELDS: Final = frozenset(("to", "asset", "amount", "pending", "timeout_s", "reference"))


async def create(call: Call) -> Reply:
    document = read_object(call.body)
    check_fields(document, _FIELDS)
    to = read_id(document, "to")
    amount = read_decimal(document, "amount")
    pending = read_flag(document, "pending")
    timeout_s = read_integer(document, "timeout_s", minimum=0, maximum=TRANSFER_TIMEOUT_S_MAX, default=0)
    if timeout_s and not pending:
        raise BadRequest("BAD_FIELD", "A 'timeout_s' is for transfers that are 'pending'.")
    reference = read_id(document, "reference")
    asset = await call.edge.directory.asset(read_id(document, "asset"))
    command = CreateTransfer(
        account_id=call.caller.account_id,
        issued_at_ns=call.issued_at_ns,
        to_account_id=await call.edge.account_id(to),
        asset_id=asset.asset_id,
        amount_mantissa=amount.mantissa,
        amount_scale=amount.scale,
        pending=pending,
        timeout_s=timeout_s,
        reference=reference.encode("ascii"),
    )
    return await _changed_reply(call, await call.execute(command), first_time_status=201)


async def decide(call: Call) -> Reply:
    """Post or void. Who may do which is for the state machine: the recipient, the sender, operators."""
    if call.path["decision"] not in _DECISIONS:
        raise NotFound("NO_SUCH_ROUTE", "There is no such route.")
    transfer_id = number_of(call.path["id"])
    if transfer_id is None:
        raise NotFound("UNKNOWN_TRANSFER", "There is no such transfer.")
    document = read_object(call.body) if call.body else {}
    check_fields(document, frozenset(("request_id",)))
    request_id = read_id(document, "request_id") if "request_id" in document else call.edge.new_id()
    command = DecideTransfer(
        account_id=call.caller.account_id,
        issued_at_ns=call.issued_at_ns,
        transfer_id=transfer_id,
        decision=_DECISIONS[call.path["decision"]],
        request_id=request_id.encode("ascii"),
    )
    return await _changed_reply(call, await call.execute(command))


async def list_own(call: Call) -> Reply:
    """All transfers from or to the caller's account."""
    page = query_page(call.read_parameters(PAGE_PARAMETERS))
    arguments = {"account_id": call.caller.account_id, "after_id": page.after, "limit": page.limit + 1}
    answer = await call.ask("transfers", arguments)
    transfers = [await transfer_body(call.edge, fields) for fields in answer.value[: page.limit]]
    body = {"sequence": answer.sequence, "transfers": transfers, "more": len(answer.value) > page.limit}
    return Reply(200, body)


async def _changed_reply(call: Call, outcome: Outcome, *, first_time_status: int = 200) -> Reply:
    receipt = receipt_of(outcome, first_time_status=first_time_status)
    changed = outcome.told(TransferChanged)
    body = None if changed is None else await _told_body(call.edge, changed)
    return Reply(receipt.status, {"sequence": receipt.sequence, "repeated": receipt.repeated, "transfer": body})


async def _told_body(edge: Edge, transfer: TransferChanged) -> Json:
    return await transfer_body(edge, transfer._asdict() | {"reference": transfer.reference.decode("ascii")})


async def transfer_body(edge: Edge, fields: dict[str, Any]) -> Json:
    asset = await edge.directory.asset_by_id(fields["asset_id"])
    return {
        "transfer_id": fields["transfer_id"],
        "from": await edge.account_name(fields["from_account_id"]),
        "to": await edge.account_name(fields["to_account_id"]),
        "asset": asset.name,
        "amount": format_units(fields["amount_units"], asset.decimals),
        "status": TRANSFER_STATUS_NAMES[fields["status"]],
        "expires_at": optional_timestamp_text(fields["expires_at_ns"]),
        "reference": fields["reference"],
    }
