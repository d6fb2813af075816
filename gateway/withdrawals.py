"""Withdrawals: their owner asks for one and may take it back, operators decide."""

from __future__ import annotations

import re
from typing import Any, Final

from engine.amounts import format_units
from engine.commands import CancelWithdrawal, DecideWithdrawal, RequestWithdrawal
from engine.events import WithdrawalChanged
from engine.types import DESTINATION_LENGTH_MAX, WITHDRAWAL_DECISION_NAMES, WITHDRAWAL_STATUS_NAMES
from gateway.edge import Edge
from gateway.endpoint import Call, Reply
from gateway.errors import BadRequest, NotFound
from gateway.outcomes import Outcome, receipt_of
from gateway.parsing import (
    PAGE_PARAMETERS,
    JsonObject,
    check_fields,
    number_of,
    numbered,
    query_choice,
    query_id,
    query_page,
    read_decimal,
    read_id,
    read_object,
    read_query,
    read_text,
)
from gateway.rendering import Json

_DECISIONS: Final = numbered(WITHDRAWAL_DECISION_NAMES)
_STATUSES: Final = numbered(WITHDRAWAL_STATUS_NAMES)
_ANY_STATUS: Final = -1
_EVERYBODYS: Final = 0  # as the owner of a list: the exchange's own account, whose number this is, withdraws nothing
_DESTINATION: Final = re.compile(rf"[ -~]{{0,{DESTINATION_LENGTH_MAX}}}", re.ASCII)


async def request(call: Call) -> Reply:
    document = read_object(call.body)
    check_fields(document, frozenset(("asset", "amount", "destination", "reference")))
    amount = read_decimal(document, "amount")
    destination = _read_destination(document)
    reference = read_id(document, "reference")
    asset = await call.edge.directory.asset(read_id(document, "asset"))
    command = RequestWithdrawal(
        account_id=call.caller.account_id,
        issued_at_ns=call.issued_at_ns,
        asset_id=asset.asset_id,
        amount_mantissa=amount.mantissa,
        amount_scale=amount.scale,
        destination=destination.encode("ascii"),
        reference=reference.encode("ascii"),
    )
    return await _changed_reply(call, await call.execute(command), first_time_status=201)


async def cancel(call: Call) -> Reply:
    parameters = read_query(call.query, frozenset(("request_id",)))
    command = CancelWithdrawal(
        account_id=call.caller.account_id,
        issued_at_ns=call.issued_at_ns,
        withdrawal_id=_withdrawal_id(call),
        request_id=(query_id(parameters, "request_id") or call.edge.new_id()).encode("ascii"),
    )
    return await _changed_reply(call, await call.execute(command))


async def decide(call: Call) -> Reply:
    """An operator's word: approve, reject or pay. The same one again is a repeat."""
    if call.path["decision"] not in _DECISIONS:
        raise NotFound("NO_SUCH_ROUTE", "There is no such route.")
    check_fields(read_object(call.body) if call.body else {}, frozenset())
    command = DecideWithdrawal(
        account_id=call.caller.account_id,
        issued_at_ns=call.issued_at_ns,
        withdrawal_id=_withdrawal_id(call),
        decision=_DECISIONS[call.path["decision"]],
    )
    return await _changed_reply(call, await call.execute(command))


async def list_own(call: Call) -> Reply:
    return await _list(call, call.caller.account_id)


async def list_all(call: Call) -> Reply:
    return await _list(call, _EVERYBODYS)


async def _list(call: Call, account_id: int) -> Reply:
    parameters = call.read_parameters(PAGE_PARAMETERS | {"status"})
    page = query_page(parameters)
    arguments = {
        "account_id": account_id,
        "status": query_choice(parameters, "status", _STATUSES, _ANY_STATUS),
        "after_id": page.after,
        "limit": page.limit + 1,
    }
    answer = await call.ask("withdrawals", arguments)
    withdrawals = [await _body(call.edge, fields) for fields in answer.value[: page.limit]]
    body = {"sequence": answer.sequence, "withdrawals": withdrawals, "more": len(answer.value) > page.limit}
    return Reply(200, body)


async def _changed_reply(call: Call, outcome: Outcome, *, first_time_status: int = 200) -> Reply:
    receipt = receipt_of(outcome, first_time_status=first_time_status)
    changed = outcome.told(WithdrawalChanged)
    body = None if changed is None else await _told_body(call.edge, changed)
    return Reply(receipt.status, {"sequence": receipt.sequence, "repeated": receipt.repeated, "withdrawal": body})


async def _told_body(edge: Edge, withdrawal: WithdrawalChanged) -> Json:
    texts = {"destination": withdrawal.destination.decode("ascii"), "reference": withdrawal.reference.decode("ascii")}
    return await _body(edge, withdrawal._asdict() | texts)


async def _body(edge: Edge, fields: dict[str, Any]) -> Json:
    asset = await edge.directory.asset_by_id(fields["asset_id"])
    return {
        "withdrawal_id": fields["withdrawal_id"],
        "account": await edge.account_name(fields["account_id"]),
        "asset": asset.name,
        "amount": format_units(fields["amount_units"], asset.decimals),
        "status": WITHDRAWAL_STATUS_NAMES[fields["status"]],
        "destination": fields["destination"],
        "reference": fields["reference"],
    }


def _withdrawal_id(call: Call) -> int:
    withdrawal_id = number_of(call.path["id"])
    if withdrawal_id is None:
        raise NotFound("UNKNOWN_WITHDRAWAL", "There is no such withdrawal.")
    return withdrawal_id


def _read_destination(document: JsonObject) -> str:
    text = read_text(document, "destination")
    if _DESTINATION.fullmatch(text) is None:
        raise BadRequest(
            "BAD_FIELD",
            f"The field 'destination' must have at most {DESTINATION_LENGTH_MAX} printable ASCII characters.",
        )
    return text
