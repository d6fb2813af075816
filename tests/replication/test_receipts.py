"""Receipts as a replica writes them: of what is committed, with what their reader may see, signed to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from engine.codec import decode_command, decode_events
from engine.entry import ENTRY_HEADER, GENESIS_CHAIN, chain_after, encode_entry
from engine.events import FundsDeposited, OrderAccepted, TradeExecuted
from engine.snapshot import snapshot_bytes
from replication import archive_reader
from replication.archive import ArchiveDamaged, list_segments
from replication.receipt_desk import NOT_ARCHIVED, TOO_LARGE, UNKNOWN
from replication.receipts import Receipt, archive_fault, entry_fault, extract_fault, statement
from replication.replica import Replica
from replication.signing_key import is_signed
from replication.snapshots import describe
from tests.replication.recorded_history import history, payloads
from tests.replication.recorded_receipts import CLUSTER_ID, SIGNED_AT_NS, ask, desk, receipt, replica


@pytest.fixture
def executed(tmp_path: Path) -> Replica:
    return replica(tmp_path)


def test_every_command_has_a_receipt_that_its_entry_bears_out(executed: Replica) -> None:
    _, entries = history(6)
    chain = GENESIS_CHAIN
    for entry in entries:
        for sequence in range(entry.first_sequence, entry.last_sequence + 1):
            found = receipt(desk(executed), sequence, for_operator=True)
            assert (found.sequence, found.first_sequence, found.last_sequence) == (
                sequence,
                entry.first_sequence,
                entry.last_sequence,
            )
            assert (found.chain_before, found.chain_after) == (chain, entry.chain)
            assert (found.commands, found.events) == (entry.commands, entry.events)
            assert is_signed(found.public_key, found.signature, statement(found))
            assert entry_fault(found) == archive_fault(found, entry, chain) == ""
        chain = entry.chain


def test_what_was_not_executed_has_no_receipt(executed: Replica) -> None:
    newest = executed.machine.sequence
    assert ask(desk(executed), newest)["status"] == "found"
    for sequence in (0, -1, newest + 1, 1 << 63):
        assert ask(desk(executed), sequence) == {"status": UNKNOWN}


def test_the_holder_of_a_receipt_sees_nothing_of_others_in_the_entry(executed: Replica) -> None:
    """Sequence 9 is ana's: it takes from bo's order of the same entry."""
    found = receipt(desk(executed), 9)
    command, _ = decode_command(found.command)
    accepted, trade = (event for _, event in decode_events(found.outcome))
    assert isinstance(accepted, OrderAccepted)
    assert isinstance(trade, TradeExecuted)
    assert command.account_id == accepted.account_id == trade.taker_account_id == 1
    assert (trade.maker_account_id, trade.maker_order_id, trade.maker_fee_units, trade.maker_open_lots) == (0, 0, 0, 0)
    assert not found.whole
    assert found.commands is None
    assert found.events is None
    whole = receipt(desk(executed), 9, for_operator=True)
    assert whole == found._replace(commands=whole.commands, events=whole.events), "the same is signed"
    assert entry_fault(whole) == ""


def test_an_account_that_is_alone_in_its_entry_gets_all_of_it(tmp_path: Path) -> None:
    alone = Replica(tmp_path / "archive")
    first, *rest = payloads(3)
    alone.apply(2, 1, first)
    alone.apply(3, 1, rest[0][:8] + extract_second(rest[0]))
    found = receipt(desk(alone), 8)
    assert found.whole
    assert found.commands == found.command
    assert found.events == found.outcome
    assert entry_fault(found) == ""


def extract_second(payload: bytes) -> bytes:
    """The second command of an entry, which finds nothing to trade with alone."""
    _, start = decode_command(payload, 8)
    return payload[start : decode_command(payload, start)[1]]


def test_what_an_operator_does_to_others_is_all_in_its_receipt(executed: Replica) -> None:
    found = receipt(desk(executed), 6)
    (event,) = (event for _, event in decode_events(found.outcome))
    assert isinstance(event, FundsDeposited)
    assert event.account_id == 1
    assert found.whole
    assert found.commands is None, "the entry has other commands"


def test_the_statement_is_made_as_it_is_described(executed: Replica) -> None:
    found = receipt(desk(executed), 9)
    header = ENTRY_HEADER.pack(
        found.first_sequence, found.timestamp_ns, found.command_count, found.commands_length, found.events_length
    )
    assert statement(found) == b"".join(
        (
            b"tallystick/receipt/1\0",
            CLUSTER_ID,
            b"\4main",
            b"\6node-1",
            (9).to_bytes(8, "little"),
            SIGNED_AT_NS.to_bytes(8, "little"),
            b"\0",
            header,
            found.chain_before,
            found.chain_after,
            blake3(found.command).digest(),
            blake3(found.outcome).digest(),
        )
    )


def test_whatever_is_signed_another_receipt_has_another_statement(executed: Replica) -> None:
    found = receipt(desk(executed), 9, for_operator=True)
    unsigned = {"public_key", "signature", "commands", "events"}
    for name, value in found._asdict().items():
        other: Any = (
            not value
            if isinstance(value, bool)
            else value + 1
            if isinstance(value, int)
            else value + "x"
            if isinstance(value, str)
            else bytes((value[0] ^ 1,)) + value[1:]
        )
        changed = Receipt(**{**found._asdict(), name: other})
        assert (statement(changed) == statement(found)) == (name in unsigned), name


def test_an_entry_that_is_not_the_receipts_is_found_out(executed: Replica) -> None:
    found = receipt(desk(executed), 9, for_operator=True)
    assert found.commands is not None
    assert found.events is not None
    assert "lengths" in entry_fault(found._replace(commands=found.commands + b"\0"))
    assert "hash" in entry_fault(found._replace(events=found.events[:-1] + b"\1"))
    assert "hash" in entry_fault(found._replace(chain_before=bytes(32)))
    neighbour = receipt(desk(executed), 10, for_operator=True)
    assert "command" in entry_fault(found._replace(command=neighbour.command))
    assert "outcome" in entry_fault(found._replace(outcome=neighbour.outcome))
    assert "outcome" in entry_fault(found._replace(outcome=b""))
    assert "outcome" in entry_fault(found._replace(whole=True)), "the maker's side was left out"
    assert "command" in entry_fault(found._replace(sequence=10))
    for sequence in (found.first_sequence - 1, found.last_sequence + 1):
        assert "cannot be read" in extract_fault(found._replace(sequence=sequence), found.commands, found.events)


def test_an_entry_that_was_made_up_and_hashed_is_still_read_with_care(executed: Replica) -> None:
    found = receipt(desk(executed), 9, for_operator=True)
    assert found.commands is not None
    for events in (b"\1", b"\0" * 8, b"\x09\0\xff\xff\0\0\0\0"):
        forged = found._replace(
            events=events,
            events_length=len(events),
            chain_after=chain_after(
                found.chain_before,
                found.first_sequence,
                found.timestamp_ns,
                found.command_count,
                found.commands,
                events,
            ),
        )
        assert "cannot be read" in entry_fault(forged)


def test_another_archive_contradicts(executed: Replica) -> None:
    _, entries = history(6)
    found = receipt(desk(executed), 9)
    assert archive_fault(found, entries[1], entries[0].chain) == ""
    assert "another entry" in archive_fault(found, entries[1]._replace(timestamp_ns=1), entries[0].chain)
    assert "chain values" in archive_fault(found, entries[1]._replace(chain=bytes(32)), entries[0].chain)
    assert "chain values" in archive_fault(found, entries[1], bytes(32))
    swapped = entries[1]._replace(commands=entries[1].commands[:-1] + b"\0")
    assert archive_fault(receipt(desk(executed), 11), swapped, entries[0].chain)


@pytest.mark.parametrize("window_bytes", [300, 2_000])
def test_a_command_far_back_is_found_step_by_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, window_bytes: int
) -> None:
    long = replica(tmp_path, entries=60)
    monkeypatch.setattr(long._reader, "_window_bytes", window_bytes)
    newest = long.machine.sequence
    assert desk(long).receipt(long, newest, True) == {"status": "searching"}
    for sequence in (newest, 8, newest // 2, 1):
        assert entry_fault(receipt(desk(long), sequence, for_operator=True)) == ""


def test_a_replica_that_came_by_a_snapshot_says_what_it_does_not_have(tmp_path: Path) -> None:
    other = replica(tmp_path / "other")
    blob = snapshot_bytes(other.machine)
    late = Replica(tmp_path / "late" / "archive")
    late.restore(describe(other.log_point, blob), blob)
    for sequence in (1, 9, other.machine.sequence):
        assert ask(desk(late), sequence) == {"status": NOT_ARCHIVED}
    late.apply(100, 1, payloads(8)[7])
    newest = receipt(desk(late), late.machine.sequence, for_operator=True)
    assert newest.chain_before == other.machine.chain, "from the header of the file"
    assert entry_fault(newest) == ""


def test_an_entry_above_the_limit_has_none(executed: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    _, entries = history(6)
    sizes = [len(encode_entry(entry)) for entry in entries]
    monkeypatch.setattr(archive_reader, "ENTRY_BYTES_MAX", min(sizes))
    for entry, size in zip(entries, sizes, strict=True):
        assert ask(desk(executed), entry.last_sequence)["status"] == ("found" if size == min(sizes) else TOO_LARGE)
    assert min(sizes) < max(sizes)


def test_a_damaged_archive_is_never_signed(executed: Replica, tmp_path: Path) -> None:
    executed.flush_archive()
    (segment,) = list_segments(tmp_path / "archive")
    data = bytearray(segment.path.read_bytes())
    data[-40] ^= 1
    segment.path.write_bytes(data)
    assert ask(desk(executed), 9)["status"] == "found"
    with pytest.raises(ArchiveDamaged):
        ask(desk(executed), executed.machine.sequence)
