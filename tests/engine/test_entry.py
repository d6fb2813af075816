"""The bytes of an entry and of its chain."""

from __future__ import annotations

from struct import pack

import pytest
from blake3 import blake3

from engine.codec import encode_command
from engine.commands import CreateAsset
from engine.entry import (
    BY_TIME,
    CHAIN_SIZE,
    ENTRY_HEADER,
    GENESIS_CHAIN,
    Entry,
    EntryError,
    chain_after,
    decode_entry,
    encode_entry,
)
from engine.machine import Machine

ENTRY = Entry(41, 1_750_075_200_123_456_789, 2, b"commands", b"the events", bytes(range(32)))
FIRST_NS = 1_750_075_200_000_000_000
# The first entry of a log that lists EUR with 5 decimals: header, command, event; and its chain. For ever the same.
FIRST_BYTES = (
    "0100000000000000"  # first sequence
    "008038421f844918"  # time
    "01000000"  # one command
    "19000000"  # of 25 bytes
    "11000000"  # and an event of 17
    "01001900"
    "0000000000000000"
    "008038421f844918"
    "05"
    "03455552"
    "03001100"
    "00000000"
    "01000000"
    "05"
    "03455552"
)
FIRST_CHAIN = "bc2765590f2ea07aa500ab9de4ab20707eb4dfb3c024e49aa8e08534c4f9f3a1"


def test_an_entry_has_its_golden_bytes() -> None:
    by_hand = pack("<QqIII", 41, 1_750_075_200_123_456_789, 2, 8, 10) + b"commandsthe events" + bytes(range(32))
    assert encode_entry(ENTRY) == by_hand
    assert decode_entry(by_hand) == ENTRY
    assert ENTRY.last_sequence == 42


def test_the_chain_of_the_first_entry_is_golden() -> None:
    entry = Machine().apply(FIRST_NS, encode_command(CreateAsset(0, FIRST_NS, 5, b"EUR"))).entry
    assert encode_entry(entry)[:-CHAIN_SIZE].hex() == FIRST_BYTES
    assert entry.chain.hex() == FIRST_CHAIN


def test_each_chain_value_hashes_the_one_before_it_and_the_whole_entry() -> None:
    machine, previous = Machine(), GENESIS_CHAIN
    for name in (b"EUR", b"GLD", b"OIL"):
        entry = machine.apply(FIRST_NS, encode_command(CreateAsset(0, FIRST_NS, 5, name))).entry
        assert entry.chain == blake3(previous + entry.header + entry.commands + entry.events).digest()
        assert entry.chain == machine.chain
        previous = entry.chain


@pytest.mark.parametrize("field", range(6))
def test_a_change_of_any_part_changes_the_chain(field: int) -> None:
    parts = [GENESIS_CHAIN, 41, FIRST_NS, 2, b"commands", b"the events"]
    chain = chain_after(*parts)  # type: ignore[arg-type]
    part = parts[field]
    parts[field] = part[:-1] + b"\x01" if isinstance(part, bytes) else part + 1  # type: ignore[operator]
    assert chain_after(*parts) != chain  # type: ignore[arg-type]


def test_bytes_moved_between_commands_and_events_change_the_chain() -> None:
    """The lengths are hashed too."""
    assert chain_after(GENESIS_CHAIN, 1, 0, 1, b"ab", b"c") != chain_after(GENESIS_CHAIN, 1, 0, 1, b"a", b"bc")


def test_an_entry_cut_at_any_byte_or_with_bytes_behind_it_is_refused() -> None:
    data = encode_entry(ENTRY)
    for length in range(len(data)):
        with pytest.raises(EntryError):
            decode_entry(data[:length])
    with pytest.raises(EntryError):
        decode_entry(data + b"\0")


@pytest.mark.parametrize("field", [3, 4])
@pytest.mark.parametrize("change", [-1, 1, 1 << 31])
def test_an_entry_with_a_wrong_length_is_refused(field: int, change: int) -> None:
    data = encode_entry(ENTRY)
    header = list(ENTRY_HEADER.unpack_from(data))
    header[field] += change
    with pytest.raises(EntryError):
        decode_entry(ENTRY_HEADER.pack(*header) + data[ENTRY_HEADER.size :])


def test_an_events_sequence_is_its_commands_and_that_of_time_is_the_first() -> None:
    assert [ENTRY.sequence_of(offset) for offset in (0, 1, BY_TIME)] == [41, 42, 41]
