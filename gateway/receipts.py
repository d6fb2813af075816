"""Signed receipts of commands (docs/receipts.md): for the account that sent the command, and for operators.

The replica writes and signs, this module finds one that can and shows the receipt as JSON. Whose command it is stands
in the command. Everybody else is told what they would be told of a sequence that does not exist.
"""

from __future__ import annotations

from typing import Any, Final

from engine.codec import decode_command, decode_events
from gateway.endpoint import Call, Reply
from gateway.errors import NotArchived, NotFound, ReceiptTooLarge
from gateway.events import event_body
from gateway.parsing import number_of, read_query
from gateway.rendering import Json

VERSION: Final = 1
_QUESTIONS_MAX: Final = 200  # a replica looks at 1 MiB of its archive for each, and a file of it has 64


async def show(call: Call) -> Reply:
    call.read_parameters()
    sequence = number_of(call.path["sequence"])
    if sequence is None:
        raise _unknown()
    arguments = {"sequence": sequence, "for_operator": call.caller.is_operator}
    found = await _ask_whoever_answers(call, arguments)
    if found["status"] == "not archived":
        found = await _ask_everybody(call, arguments)
    if found["status"] == "too large":
        raise ReceiptTooLarge(sequence)
    if found["status"] == "unknown" or not (call.caller.is_operator or found["account_id"] == call.caller.account_id):
        raise _unknown()
    return Reply(200, receipt_body(found["receipt"]))


def receipt_body(receipt: dict[str, Any]) -> Json:
    """A receipt as JSON. ``receipt`` has the fields of ``replication.receipts.Receipt``.

    What is decoded follows from the bytes beside it; ``sim.receipt_file`` compares.
    """
    command, _ = decode_command(receipt["command"])
    first_sequence, count = receipt["first_sequence"], receipt["command_count"]
    return {
        "receipt": VERSION,
        "cluster_id": receipt["cluster_id"].hex(),
        "group": receipt["group"],
        "node": receipt["node"],
        "sequence": receipt["sequence"],
        "signed_at_ns": receipt["signed_at_ns"],
        "command": {
            "bytes": receipt["command"].hex(),
            "decoded": {"type": type(command).__name__, **_fields(command._asdict())},
        },
        "outcome": {
            "bytes": receipt["outcome"].hex(),
            "whole": receipt["whole"],
            "decoded": [
                event_body(event, first_sequence, offset, count) for offset, event in decode_events(receipt["outcome"])
            ],
        },
        "entry": {
            "first_sequence": first_sequence,
            "timestamp_ns": receipt["timestamp_ns"],
            "commands": count,
            "commands_length": receipt["commands_length"],
            "events_length": receipt["events_length"],
            "chain_before": receipt["chain_before"].hex(),
            "chain_after": receipt["chain_after"].hex(),
            "command_bytes": _hex(receipt["commands"]),
            "event_bytes": _hex(receipt["events"]),
        },
        "public_key": receipt["public_key"].hex(),
        "signature": receipt["signature"].hex(),
    }


async def list_nodes(call: Call) -> Reply:
    """The replicas, and the public keys that their receipts are checked with."""
    read_query(call.query, frozenset())
    group = call.edge.group
    nodes = [
        {
            "node": replica.node_id,
            "reachable": replica.status is not None,
            "public_key": group.public_keys.get(replica.node_id),
        }
        for replica in group.replicas.values()
    ]
    return Reply(200, {"sequence": None, "cluster_id": group.cluster_id.hex(), "nodes": nodes})


async def _ask_whoever_answers(call: Call, arguments: dict[str, Any]) -> dict[str, Any]:
    for _ in range(_QUESTIONS_MAX):
        found: dict[str, Any] = (await call.ask("receipt", arguments)).value
        if found["status"] != "searching":
            return found
    raise NotArchived(arguments["sequence"])


async def _ask_everybody(call: Call, arguments: dict[str, Any]) -> dict[str, Any]:
    """A replica that came by a snapshot lacks what was before it; another one may have it."""
    group, sequence = call.edge.group, arguments["sequence"]
    for node_id in list(group.replicas):
        for _ in range(_QUESTIONS_MAX):
            answer = await group.query_replica(node_id, "receipt", arguments, min_sequence=sequence)
            if answer is None or answer.value["status"] in ("unknown", "not archived"):
                break
            if answer.value["status"] != "searching":
                found: dict[str, Any] = answer.value
                return found
    raise NotArchived(sequence)


def _fields(values: dict[str, Any]) -> Json:
    return {name: _text(value) if isinstance(value, bytes) else value for name, value in values.items()}


def _text(value: bytes) -> str:
    """Names and ids are text; packed lists and sealed secrets are not, and shown in hexadecimal."""
    text = value.decode("latin-1")
    return text if text.isascii() and text.isprintable() else "0x" + value.hex()


def _hex(value: bytes | None) -> str | None:
    return None if value is None else value.hex()


def _unknown() -> NotFound:
    return NotFound("UNKNOWN_SEQUENCE", "No command of this account has this sequence.")
