"""Orders that are done, as rows in the order in which they were closed.

Nothing about them changes any more, so they are kept as the bytes that a snapshot has (``engine.order_rows``), in an
arena. An order is forgotten with its receipt, in the order in which orders were placed, whereas rows stand in the order
of closing: what is forgotten stays where it is until nothing in its segment is remembered, nor in those before it. So
the state has rows of orders that are forgotten, the same in every replica. Which they are needs no mark: a row names
the position of its receipt, and the receipts that are still there are those from the oldest one on.
"""

from __future__ import annotations

from typing import Final

from engine import wire
from engine.arena import OWNERS, SEGMENT_SHIFT, UNIT, UNIT_MASK, Arena
from engine.order_rows import read_row, row_is_special, row_order_id, row_receipt, row_size, write_row
from engine.orders import Order, SpecialOrder

_SEGMENTS_MAX: Final = 1 << 14  # so that a reference has 31 bits: 16 GiB of rows
# What the arena keeps for its owner in a segment's header: how many of the segment's orders are remembered.
_REMEMBERED: Final = OWNERS


class ClosedOrders:
    """Owns the rows of closed orders. ``receipts`` is the arena in which their receipts stand."""

    __slots__ = ("_length", "_receipts", "_segments", "arena")

    def __init__(self, receipts: Arena) -> None:
        self.arena = Arena(_SEGMENTS_MAX)
        self._segments = self.arena.segments
        self._receipts = receipts
        self._length = 0

    def __len__(self) -> int:
        """How many are remembered."""
        return self._length

    def add(self, order: Order) -> int:
        """Write down an order that is done. Answers the reference of its row, which has 31 bits."""
        assert order.receipt and not order.level, order.order_id
        reference = self.arena.append(row_size(order.is_special))
        write_row(order, self._receipts, self.arena.tail, (reference & UNIT_MASK) * UNIT)
        self.remember(reference)
        return reference

    def copy(self, reference: int) -> Order:
        """The order as it was closed. The copy is nobody's: what is done to it changes nothing."""
        segment, at = self._segments[reference >> SEGMENT_SHIFT], (reference & UNIT_MASK) * UNIT
        order: Order = SpecialOrder() if row_is_special(segment, at) else Order()
        read_row(order, self._receipts, segment, at)
        return order

    def remember(self, reference: int) -> None:
        """Count an order whose row was just put there."""
        segment = self._segments[reference >> SEGMENT_SHIFT]
        wire.put_u32(segment, _REMEMBERED, wire.get_u32(segment, _REMEMBERED) + 1)
        self._length += 1

    def forget(self, reference: int) -> None:
        """Nobody may ask for the order of this row any more."""
        segment = self._segments[reference >> SEGMENT_SHIFT]
        remembered = wire.get_u32(segment, _REMEMBERED)
        assert remembered, reference
        wire.put_u32(segment, _REMEMBERED, remembered - 1)
        self._length -= 1
        if remembered == 1:
            self._drop_forgotten_segments()

    def reserve(self, count: int) -> None:
        """Touch memory for so many more orders that are not special."""
        self.arena.reserve(count * (row_size(0) + UNIT))

    # For who goes through all rows, of orders that are forgotten too.

    def oldest(self) -> int:
        """The reference of the row that was written first, 0 if there is none."""
        return self.arena.oldest()

    def after(self, reference: int) -> int:
        """The row behind this one, 0 if it is the last."""
        segment, at = self._segments[reference >> SEGMENT_SHIFT], (reference & UNIT_MASK) * UNIT
        return self.arena.after(reference, row_size(row_is_special(segment, at)))

    def order_id(self, reference: int) -> int:
        return row_order_id(self._segments[reference >> SEGMENT_SHIFT], (reference & UNIT_MASK) * UNIT)

    def is_remembered(self, reference: int) -> bool:
        """Is the receipt of this row's order still there?"""
        segment, at = self._segments[reference >> SEGMENT_SHIFT], (reference & UNIT_MASK) * UNIT
        return self._receipts.holds(row_receipt(segment, at))

    def remembered_in(self, number: int) -> int:
        """How many orders of a segment, by its number in references, are remembered."""
        return wire.get_u32(self._segments[number], _REMEMBERED)

    def _drop_forgotten_segments(self) -> None:
        """Drop segments from the first on as long as nothing in them is remembered; of the last one all rows."""
        arena = self.arena
        segment = self._segments[arena.oldest() >> SEGMENT_SHIFT]
        while arena.first < arena.last and not wire.get_u32(segment, _REMEMBERED):
            arena.drop_first_segment()
            segment = self._segments[arena.oldest() >> SEGMENT_SHIFT]
        if not self._length:
            arena.drop_all()
