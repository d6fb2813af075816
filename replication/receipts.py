"""Receipts: one command, what came of it and where it stands in the history, signed by a replica.

Signed are these bytes, all numbers little-endian::

    "tallystick/receipt/1" 00
    cluster id, 16 bytes
    u8 length, name of the group
    u8 length, name of the replica that signs
    u64 sequence of the command
    i64 time of the signature, ns since 1970 by the clock of the replica
    u8  1 if the outcome is all that the command did, 0 if records of others were left out
    header of the entry, 28 bytes (engine.entry)
    chain value before the entry, 32 bytes
    chain value after it, 32 bytes
    BLAKE3 of the command's record, 32 bytes
    BLAKE3 of the outcome's records, 32 bytes

The chain value after the entry is a digest of the entry and of everything before it. A receipt *proves* that the
command is in the entry only together with all bytes of the entry: they hash to the chain value. Those bytes are the
commands of others as well, so an account gets them only if there is nothing of others among them, and operators always.
Without them a receipt is the replica's signed word, which the archive confirms or refutes.

docs/receipts.md is for those who use them, docs/adr/0021-signed-receipts.md says why they are so.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from blake3 import blake3

from engine.codec import CodecError, decode_command
from engine.entry import ENTRY_HEADER, Entry, chain_after
from replication.account_view import events_of_command, seen_by

DOMAIN: Final = b"tallystick/receipt/1\0"
_NUMBERS: Final = Struct("<QqB")


class Receipt(NamedTuple):
    """``commands`` and ``events`` are all of the entry, or None where the holder of the receipt must not see them.

    ``outcome`` are event records of the command, ``whole`` whether they are all of them as they are.
    """

    cluster_id: bytes
    group: str
    node: str
    sequence: int
    signed_at_ns: int
    first_sequence: int
    timestamp_ns: int
    command_count: int
    commands_length: int
    events_length: int
    chain_before: bytes
    chain_after: bytes
    command: bytes
    outcome: bytes
    whole: bool
    public_key: bytes
    signature: bytes
    commands: bytes | None
    events: bytes | None

    @property
    def last_sequence(self) -> int:
        """Of the entry: where ``chain_after`` is the chain."""
        return self.first_sequence + self.command_count - 1


class Extract(NamedTuple):
    """What an entry has about one of its commands."""

    account_id: int
    command: bytes
    outcome: bytes
    whole: bool
    is_alone: bool
    """Nothing in the entry is of anybody else."""


def statement(receipt: Receipt) -> bytes:
    """The bytes that are signed."""
    return b"".join(
        (
            DOMAIN,
            receipt.cluster_id,
            _text(receipt.group),
            _text(receipt.node),
            _NUMBERS.pack(receipt.sequence, receipt.signed_at_ns, receipt.whole),
            entry_header(receipt),
            receipt.chain_before,
            receipt.chain_after,
            blake3(receipt.command).digest(),
            blake3(receipt.outcome).digest(),
        )
    )


def entry_header(receipt: Receipt) -> bytes:
    return ENTRY_HEADER.pack(
        receipt.first_sequence,
        receipt.timestamp_ns,
        receipt.command_count,
        receipt.commands_length,
        receipt.events_length,
    )


def extract(commands: bytes, events: bytes, command_offset: int, *, sees_all: bool) -> Extract:
    """One command of an entry, and what the account that sent it may see of its events, which is all for an operator.

    CodecError if the bytes are not records, or have no such command.
    """
    command = _nth_command(commands, command_offset)
    account_id = decode_command(command)[0].account_id
    everything = events_of_command(events, command_offset)
    outcome = everything if sees_all else seen_by(account_id, everything)
    whole = outcome == everything
    is_alone = whole and command == commands and everything == events
    return Extract(account_id, command, outcome, whole, is_alone)


def entry_fault(receipt: Receipt) -> str:
    """Why the entry in a receipt is not the one that its chain values and its command say; "" if it is.

    The receipt must hold the entry.
    """
    commands, events = receipt.commands, receipt.events
    assert commands is not None, "the receipt holds no entry"
    assert events is not None, "the receipt holds no entry"
    if (len(commands), len(events)) != (receipt.commands_length, receipt.events_length):
        return "the entry has not the lengths that its header says"
    chain = chain_after(
        receipt.chain_before, receipt.first_sequence, receipt.timestamp_ns, receipt.command_count, commands, events
    )
    if chain != receipt.chain_after:
        return "chain before and entry do not hash to the chain after"
    return extract_fault(receipt, commands, events)


def extract_fault(receipt: Receipt, commands: bytes, events: bytes) -> str:
    """Why the command and the outcome of a receipt are not those of its entry; "" if they are."""
    try:
        offset = receipt.sequence - receipt.first_sequence
        found = extract(commands, events, offset, sees_all=receipt.whole)
    except CodecError as error:
        return f"the entry cannot be read: {error}"
    if found.command != receipt.command:
        return "the command is not the one that the entry has at this sequence"
    if (found.outcome, found.whole) != (receipt.outcome, receipt.whole):
        return "the outcome is not the one that the entry has for this command"
    return ""


def archive_fault(receipt: Receipt, entry: Entry, chain_before: bytes) -> str:
    """Why an archive's entry is not the receipt's; "" if it is, to the byte."""
    if entry.header != entry_header(receipt):
        return "the archive has another entry at this sequence"
    if (chain_before, entry.chain) != (receipt.chain_before, receipt.chain_after):
        return "the archive has other chain values at this sequence"
    return extract_fault(receipt, entry.commands, entry.events)


def _nth_command(commands: bytes, offset: int) -> bytes:
    if offset < 0:
        raise CodecError(f"there is no command {offset}")
    start = 0
    for _ in range(offset):
        _, start = decode_command(commands, start)
    return commands[start : decode_command(commands, start)[1]]


def _text(text: str) -> bytes:
    data = text.encode("ascii")
    return len(data).to_bytes(1, "little") + data
