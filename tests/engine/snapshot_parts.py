"""A snapshot taken apart, and parts of a state changed behind the engine's back."""

from __future__ import annotations

from typing import Any

from engine.arena import SEGMENT_SHIFT, UNIT, UNIT_MASK, Arena
from engine.dedup import Receipt, Receipts
from engine.machine import Machine
from engine.order_rows import write_row
from engine.snapshot import snapshot_bytes


def bytes_of(arena: Arena) -> bytes:
    """What a snapshot has of an arena."""
    return arena.table() + b"".join(arena.records())


def sections_of(machine: Machine) -> bytes:
    """A snapshot without its arenas, whose places tell how much came before: what was remembered, and what closed."""
    data, arenas = snapshot_bytes(machine), receipts_of(machine) + closed_of(machine)
    assert data.endswith(arenas)
    return data[: -len(arenas)]


def receipts_of(machine: Machine) -> bytes:
    return bytes_of(machine.receipts.arena)


def closed_of(machine: Machine) -> bytes:
    return bytes_of(machine.trading.index.closed.arena)


def record_of(receipt: Receipt) -> bytes:
    """How a receipt stands in its arena."""
    record = (
        receipt.sequence.to_bytes(8, "little")
        + receipt.remembered_at_ns.to_bytes(8, "little", signed=True)
        + receipt.subject_id.to_bytes(8, "little")
        + receipt.account_id.to_bytes(4, "little")
        + receipt.reason.to_bytes(2, "little")
        + receipt.kind.to_bytes(2, "little")
        + len(receipt.content).to_bytes(2, "little")
        + len(receipt.request_id).to_bytes(1, "little")
        + receipt.request_id
        + receipt.content
    )
    return record + bytes(-len(record) % UNIT)


def change_receipt(machine: Machine, position: int, **changes: Any) -> None:
    """Let the machine have receipts of which one says something else, from the same place on. There are few of them."""
    copies = machine.receipts.in_queue_order()
    copies[position] = copies[position]._replace(**changes)
    records, table = b"".join(map(record_of, copies)), machine.receipts.arena.table()
    machine.receipts = Receipts()
    # The table of a single segment ends with its length.
    assert machine.receipts.arena.restore(table[:16] + len(records).to_bytes(4, "little") + records, 0)
    machine.receipts.read_arena()


def row_of_closed(machine: Machine, name: bytes) -> int:
    """Where the row of the closed order is that its client calls so."""
    index = machine.trading.index
    row = index.closed.oldest()
    while index.client_order_id(index.closed.copy(row)) != name:
        row = index.closed.after(row)
        assert row, name
    return row


def change_closed(machine: Machine, name: bytes, **changes: int) -> None:
    """Let the row of a closed order say something else."""
    index, row = machine.trading.index, row_of_closed(machine, name)
    order = index.closed.copy(row)
    for field, value in changes.items():
        setattr(order, field, value)
    write_row(order, index.receipts.arena, index.closed.arena.segments[row >> SEGMENT_SHIFT], (row & UNIT_MASK) * UNIT)
