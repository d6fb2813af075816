"""The open orders of a snapshot, in the order of their priorities.

So whoever reads them can put each at the back of its queue at once. Closed orders are rows already, which a snapshot
copies as they stand (``engine.closed_orders``).
"""

from __future__ import annotations

from operator import attrgetter
from typing import Final

from engine import wire
from engine.order_index import OrderIndex
from engine.order_rows import read_row, row_is_special, row_size, write_row
from engine.orders import Order

_IS_SPECIAL: Final = 1


def append_orders(index: OrderIndex, out: bytearray) -> int:
    """Append a row for each open order. Answers how many they are."""
    opened = index.pool.in_use()
    opened.sort(key=attrgetter("priority"))
    receipts = index.receipts.arena
    for order in opened:
        at = len(out)
        wire.grow(out, row_size(order.is_special))
        write_row(order, receipts, out, at)
    return len(opened)


def read_orders(index: OrderIndex, data: bytes, position: int, count: int, opened: list[Order]) -> int:
    """Remember what so many rows say; answers where they end. IndexError if they are cut short.

    They are put into ``opened``, by ascending priority: they belong into their books.
    """
    row = bytearray(row_size(_IS_SPECIAL))
    for _ in range(count):
        wire.put_bytes(row, 0, data, position, row_size(0))
        if row_is_special(row, 0):
            wire.put_bytes(row, 0, data, position, len(row))
            order: Order = index.pool.take_special(0, 0, 0, 0)
        else:
            order = index.pool.take(0, 0, 0, 0)
        position += read_row(order, index.receipts.arena, row, 0)
        index.add(order, order.receipt)
        opened.append(order)
    return position
