"""An entry: what the log decides, the archive keeps, replay re-executes and auditors verify.

Many commands share one entry, stamped once with the leader's time. Sequences number the
commands without gaps. Each entry's chain value hashes the one before it, so a change
anywhere in the history changes every chain value after it::

    chain = BLAKE3(previous chain, header, commands, events)

The header is ``u64 first_sequence, i64 timestamp_ns, u32 command_count, u32 commands length, u32 events length``.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from blake3 import blake3

ENTRY_HEADER: Final = Struct("<QqIII")
CHAIN_SIZE: Final = 32
GENESIS_CHAIN: Final = bytes(CHAIN_SIZE)
BY_TIME: Final = 0xFFFF_FFFF  # the command offset of events that time brought about, before the first command


class EntryError(ValueError):
    """The bytes are not an entry."""


class Entry(NamedTuple):
    first_sequence: int
    timestamp_ns: int
    command_count: int
    commands: bytes
    events: bytes
    chain: bytes

    @property
    def last_sequence(self) -> int:
        return self.first_sequence + self.command_count - 1

    def sequence_of(self, command_offset: int) -> int:
        """The sequence of an event of this entry; what time brought about has the first command's."""
        return self.first_sequence + (0 if command_offset == BY_TIME else command_offset)

    @property
    def header(self) -> bytes:
        return ENTRY_HEADER.pack(
            self.first_sequence, self.timestamp_ns, self.command_count, len(self.commands), len(self.events)
        )


def chain_after(
    previous_chain: bytes, first_sequence: int, timestamp_ns: int, command_count: int, commands: bytes, events: bytes
) -> bytes:
    header = ENTRY_HEADER.pack(first_sequence, timestamp_ns, command_count, len(commands), len(events))
    return blake3(b"".join((previous_chain, header, commands, events))).digest()


def encode_entry(entry: Entry) -> bytes:
    return b"".join((entry.header, entry.commands, entry.events, entry.chain))


def decode_entry(data: bytes) -> Entry:
    """Read one entry. EntryError if the lengths do not fit; the chain is not verified here."""
    if len(data) < ENTRY_HEADER.size + CHAIN_SIZE:
        raise EntryError("an entry is cut short")
    first_sequence, timestamp_ns, command_count, commands_length, events_length = ENTRY_HEADER.unpack_from(data)
    events_start = ENTRY_HEADER.size + commands_length
    chain_start = events_start + events_length
    if chain_start + CHAIN_SIZE != len(data):
        raise EntryError("the lengths in an entry's header do not fit its bytes")
    return Entry(
        first_sequence,
        timestamp_ns,
        command_count,
        data[ENTRY_HEADER.size : events_start],
        data[events_start:chain_start],
        data[chain_start:],
    )
