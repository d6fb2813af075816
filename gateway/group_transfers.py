"""Transfers of one's own funds to another market group: under way until the other group has taken or refused them."""

from __future__ import annotations

from typing import Any, Final

from engine.amounts import format_units
from engine.commands import SendTransfer
from engine.events import SentTransferChanged
from engine.rejects import reason_code
from engine.types import TRANSFER_STATUS_NAMES
from gateway import transfers
from gateway.edge import Edge
from gateway.endpoint import Call, Reply
from gateway.errors import BadRequest, NotFound
from gateway.outcomes import receipt_of
from gateway.parsing import (
    PAGE_PARAMETERS,
    check_fields,
    number_of,
    query_page,
    read_decimal,
    read_id,
    read_object,
)
from gateway.rendering import Json

_FIELDS: Final = frozenset(("from_group", "to_group", "asset", "amount", "reference"))


async def create(call: Call) -> Reply:
    """To another group if the body says ``to_group``, else to another account of this one."""
    document = read_object(call.body)
    if "to_group" not in document:
        return await transfers.create(call)
    check_fields(document, _FIELDS)
    source, destination = call.edge, call.edge.of(read_id(document, "to_group"))
    if destination is source:
        raise BadRequest("BAD_FIELD", f"The funds are in group '{source.name}' already: 'to_group' must be another.")
    amount = read_decimal(document, "amount")
    reference = read_id(document, "reference")
    asset = await source.directory.asset(read_id(document, "asset"))
    # What the destination needs in order to take it. Were it missing there, the funds would come back.
    await destination.members.number_of(call.home_account_id)
    await destination.directory.asset(asset.name)
    command = SendTransfer(
        account_id=call.caller.account_id,
        issued_at_ns=call.issued_at_ns,
        asset_id=asset.asset_id,
        amount_mantissa=amount.mantissa,
        amount_scale=amount.scale,
        to_group=destination.name.encode("ascii"),
        reference=reference.encode("ascii"),
    )
    outcome = await call.execute(command)
    receipt = receipt_of(outcome, first_time_status=201)
    told = outcome.told(SentTransferChanged)
    body: Json | None = None
    if told is not None:
        texts = {"to_group": told.to_group.decode("ascii"), "reference": told.reference.decode("ascii")}
        body = await _body(source, told._asdict() | texts)
    return Reply(receipt.status, {"sequence": receipt.sequence, "repeated": receipt.repeated, "transfer": body})


async def show(call: Call) -> Reply:
    """One transfer that the caller made or gets, in this group or from it to another."""
    call.read_parameters()
    transfer_id = number_of(call.path["id"])
    if transfer_id is None:
        raise NotFound("UNKNOWN_TRANSFER", "There is no such transfer.")
    account_id = call.caller.account_id
    answer = await call.ask("sent_transfer", {"transfer_id": transfer_id})
    if answer.value is not None and (call.caller.is_operator or answer.value["account_id"] == account_id):
        return Reply(200, {"sequence": answer.sequence, "transfer": await _body(call.edge, answer.value)})
    arguments = {
        "account_id": 0 if call.caller.is_operator else account_id,
        "after_id": transfer_id - 1,
        "limit": 1,
    }
    answer = await call.ask("transfers", arguments)
    if not answer.value or answer.value[0]["transfer_id"] != transfer_id:
        raise NotFound("UNKNOWN_TRANSFER", "There is no such transfer.", sequence=answer.sequence)
    return Reply(
        200, {"sequence": answer.sequence, "transfer": await transfers.transfer_body(call.edge, answer.value[0])}
    )


async def list_sent(call: Call) -> Reply:
    """What the caller sent from this group to others."""
    page = query_page(call.read_parameters(PAGE_PARAMETERS))
    arguments = {"account_id": call.caller.account_id, "after_id": page.after, "limit": page.limit + 1}
    answer = await call.ask("sent_transfers", arguments)
    sent = [await _body(call.edge, fields) for fields in answer.value[: page.limit]]
    return Reply(200, {"sequence": answer.sequence, "transfers": sent, "more": len(answer.value) > page.limit})


async def _body(edge: Edge, fields: dict[str, Any]) -> Json:
    asset = await edge.directory.asset_by_id(fields["asset_id"])
    return {
        "transfer_id": fields["transfer_id"],
        "account": await edge.account_name(fields["account_id"]),
        "from_group": edge.name,
        "to_group": fields["to_group"],
        "asset": asset.name,
        "amount": format_units(fields["amount_units"], asset.decimals),
        "status": TRANSFER_STATUS_NAMES[fields["status"]],
        "refusal": reason_code(fields["refusal"]) if fields["refusal"] else None,
        "reference": fields["reference"],
    }
