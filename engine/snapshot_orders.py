"""The orders of a snapshot: closed ones by number, then open ones in the order of their priorities.

So whoever reads them can put each at the back of its queue at once. A row has the fields of every order, and for
a special one those of ``SpecialOrder`` behind them. By which id a client calls an order its receipt says.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Final

from engine import wire
from engine.order_index import OrderIndex
from engine.orders import Order, SpecialOrder, special
from engine.types import OPEN, SECOND_LEG, WAITING

_ROW_SIZE: Final = 8 + 8 + 4 + 8 + 11 * 8 + 4
_IS_SPECIAL: Final = 8 + 8 + 4  # where the flag stands in a row
_SPECIAL_SIZE: Final = 1 + 4 + 7 * 8
_EMPTY: Final = bytes(_ROW_SIZE + _SPECIAL_SIZE)


def append_orders(index: OrderIndex, out: bytearray) -> int:
    """Append a row for each remembered order. Answers how many they are."""
    closed: list[Order] = []
    opened: list[Order] = []
    for order in index.remembered():
        if order.status in (OPEN, WAITING):
            opened.append(order)
        else:
            closed.append(order)
    closed.sort(key=attrgetter("order_id"))
    opened.sort(key=attrgetter("priority"))
    for order in closed:
        _append(order, out)
    for order in opened:
        _append(order, out)
    return len(closed) + len(opened)


def read_orders(index: OrderIndex, data: bytes, position: int, count: int, opened: list[Order]) -> int:
    """Remember what so many rows say; answers where they end. IndexError if they are cut short.

    Those that are open are put into ``opened``, by ascending priority: they belong into their books.
    """
    for _ in range(count):
        order = index.pool.take_special(0, 0, 0, 0) if _is_special(data, position) else index.pool.take(0, 0, 0, 0)
        position = _read(order, data, position)
        index.add(order, 0)
        if order.status in (OPEN, WAITING):
            opened.append(order)
    return position


def link_receipts(index: OrderIndex) -> None:
    """Tell every order by which receipt it is remembered: the one of the request that placed it."""
    receipts = index.receipts
    receipt = receipts.oldest()
    while receipt:
        subject_id = receipts.subject_id(receipt)
        if subject_id and subject_id % SECOND_LEG == receipts.sequence(receipt):
            order = index.find(subject_id)
            if order is not None:
                index.name(order, receipt)
        receipt = receipts.after(receipt)


def _is_special(data: bytes, position: int) -> bool:
    return wire.load_u8(data, position + _IS_SPECIAL) == 1


def _read(order: Order, data: bytes, at: int) -> int:
    order.order_id = wire.load_u64(data, at)
    at += 8
    order.account_id = wire.load_u64(data, at)
    at += 8
    order.market_id = wire.load_u32(data, at)
    at += 4
    at += 1  # is_special, which decided what kind of order this is
    order.side = wire.load_u8(data, at)
    at += 1
    order.order_type = wire.load_u8(data, at)
    at += 1
    order.time_in_force = wire.load_u8(data, at)
    at += 1
    order.post_only = wire.load_u8(data, at)
    at += 1
    order.self_trade = wire.load_u8(data, at)
    at += 1
    order.status = wire.load_u8(data, at)
    at += 1
    order.close_reason = wire.load_u8(data, at)
    at += 1
    order.price_ticks = wire.load_i64(data, at)
    at += 8
    order.quantity_lots = wire.load_i64(data, at)
    at += 8
    order.open_lots = wire.load_i64(data, at)
    at += 8
    order.executed_lots = wire.load_i64(data, at)
    at += 8
    order.prevented_lots = wire.load_i64(data, at)
    at += 8
    order.cancelled_lots = wire.load_i64(data, at)
    at += 8
    order.notional_units = wire.load_i64(data, at)
    at += 8
    order.fee_units = wire.load_i64(data, at)
    at += 8
    order.held_units = wire.load_i64(data, at)
    at += 8
    order.accepted_at_ns = wire.load_i64(data, at)
    at += 8
    order.priority = wire.load_i64(data, at)
    at += 8
    order.fee_overpaid_ppm = wire.load_u32(data, at)
    at += 4
    return _read_special(special(order), data, at) if order.is_special else at


def _read_special(order: SpecialOrder, data: bytes, at: int) -> int:
    order.trigger = wire.load_u8(data, at)
    at += 1
    order.trail_ppm = wire.load_u32(data, at)
    at += 4
    order.budget_units = wire.load_i64(data, at)
    at += 8
    order.stop_ticks = wire.load_i64(data, at)
    at += 8
    order.trail_ticks = wire.load_i64(data, at)
    at += 8
    order.display_lots = wire.load_i64(data, at)
    at += 8
    order.visible_lots = wire.load_i64(data, at)
    at += 8
    order.expires_at_ns = wire.load_i64(data, at)
    at += 8
    order.linked_order_id = wire.load_u64(data, at)
    at += 8
    return at


def _append(order: Order, out: bytearray) -> None:
    at = len(out)
    out.extend(_EMPTY)
    at = wire.put_u64(out, at, order.order_id)
    at = wire.put_u64(out, at, order.account_id)
    at = wire.put_u32(out, at, order.market_id)
    at = wire.put_u8(out, at, order.is_special)
    at = wire.put_u8(out, at, order.side)
    at = wire.put_u8(out, at, order.order_type)
    at = wire.put_u8(out, at, order.time_in_force)
    at = wire.put_u8(out, at, order.post_only)
    at = wire.put_u8(out, at, order.self_trade)
    at = wire.put_u8(out, at, order.status)
    at = wire.put_u8(out, at, order.close_reason)
    at = wire.put_i64(out, at, order.price_ticks)
    at = wire.put_i64(out, at, order.quantity_lots)
    at = wire.put_i64(out, at, order.open_lots)
    at = wire.put_i64(out, at, order.executed_lots)
    at = wire.put_i64(out, at, order.prevented_lots)
    at = wire.put_i64(out, at, order.cancelled_lots)
    at = wire.put_i64(out, at, order.notional_units)
    at = wire.put_i64(out, at, order.fee_units)
    at = wire.put_i64(out, at, order.held_units)
    at = wire.put_i64(out, at, order.accepted_at_ns)
    at = wire.put_i64(out, at, order.priority)
    at = wire.put_u32(out, at, order.fee_overpaid_ppm)
    if order.is_special:
        at = wire.put_u8(out, at, order.trigger)
        at = wire.put_u32(out, at, order.trail_ppm)
        at = wire.put_i64(out, at, order.budget_units)
        at = wire.put_i64(out, at, order.stop_ticks)
        at = wire.put_i64(out, at, order.trail_ticks)
        at = wire.put_i64(out, at, order.display_lots)
        at = wire.put_i64(out, at, order.visible_lots)
        at = wire.put_i64(out, at, order.expires_at_ns)
        at = wire.put_u64(out, at, order.linked_order_id)
    else:
        del out[at:]
