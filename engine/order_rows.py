"""What is kept of an order as bytes: in a snapshot, and of a closed one always.

A row has the fields of every order, and for a special one those of ``SpecialOrder`` behind them. By which id a client
calls an order its receipt says, which the row names by its position (``engine.arena``): that is the same in every
replica, whatever place an open order has in a replica's memory.
"""

from __future__ import annotations

from typing import Final

from engine import wire
from engine.arena import Arena
from engine.orders import Order, SpecialOrder, special

# Where the fields stand that are asked for by themselves.
_ORDER_ID: Final = 0
_RECEIPT: Final = 8
_IS_SPECIAL: Final = 24
_ROW_SIZE: Final = 2 * 8 + 2 * 4 + 8 + 11 * 8 + 4
_SPECIAL_SIZE: Final = 1 + 4 + 7 * 8  # what a special order has more


def row_size(is_special: int) -> int:
    return _ROW_SIZE + _SPECIAL_SIZE if is_special else _ROW_SIZE


def row_is_special(buffer: bytearray, at: int) -> int:
    """Is the order of the row there a special one?"""
    return wire.get_u8(buffer, at + _IS_SPECIAL)


def row_order_id(buffer: bytearray, at: int) -> int:
    return wire.get_u64(buffer, at + _ORDER_ID)


def row_receipt(buffer: bytearray, at: int) -> int:
    """The position of the receipt that the order had when the row was written."""
    return wire.get_u64(buffer, at + _RECEIPT)


def write_row(order: Order, receipts: Arena, buffer: bytearray, at: int) -> int:
    """Write an order that has a receipt. Answers where the row ends."""
    at = wire.put_u64(buffer, at, order.order_id)
    at = wire.put_u64(buffer, at, receipts.position(order.receipt))
    at = wire.put_u32(buffer, at, order.account_id)
    at = wire.put_u32(buffer, at, order.market_id)
    at = wire.put_u8(buffer, at, order.is_special)
    at = wire.put_u8(buffer, at, order.side)
    at = wire.put_u8(buffer, at, order.order_type)
    at = wire.put_u8(buffer, at, order.time_in_force)
    at = wire.put_u8(buffer, at, order.post_only)
    at = wire.put_u8(buffer, at, order.self_trade)
    at = wire.put_u8(buffer, at, order.status)
    at = wire.put_u8(buffer, at, order.close_reason)
    at = wire.put_i64(buffer, at, order.price_ticks)
    at = wire.put_i64(buffer, at, order.quantity_lots)
    at = wire.put_i64(buffer, at, order.open_lots)
    at = wire.put_i64(buffer, at, order.executed_lots)
    at = wire.put_i64(buffer, at, order.prevented_lots)
    at = wire.put_i64(buffer, at, order.cancelled_lots)
    at = wire.put_i64(buffer, at, order.notional_units)
    at = wire.put_i64(buffer, at, order.fee_units)
    at = wire.put_i64(buffer, at, order.held_units)
    at = wire.put_i64(buffer, at, order.accepted_at_ns)
    at = wire.put_i64(buffer, at, order.priority)
    at = wire.put_u32(buffer, at, order.fee_overpaid_ppm)
    return _write_special(special(order), buffer, at) if order.is_special else at


def read_row(order: Order, receipts: Arena, buffer: bytearray, at: int) -> int:
    """Fill an order, which is special if the row is. Answers where the row ends."""
    order.order_id = wire.get_u64(buffer, at)
    at += 8
    order.receipt = receipts.reference(wire.get_u64(buffer, at))
    at += 8
    order.account_id = wire.get_u32(buffer, at)
    at += 4
    order.market_id = wire.get_u32(buffer, at)
    at += 4
    assert order.is_special == wire.get_u8(buffer, at), order.order_id
    at += 1
    order.side = wire.get_u8(buffer, at)
    at += 1
    order.order_type = wire.get_u8(buffer, at)
    at += 1
    order.time_in_force = wire.get_u8(buffer, at)
    at += 1
    order.post_only = wire.get_u8(buffer, at)
    at += 1
    order.self_trade = wire.get_u8(buffer, at)
    at += 1
    order.status = wire.get_u8(buffer, at)
    at += 1
    order.close_reason = wire.get_u8(buffer, at)
    at += 1
    order.price_ticks = wire.get_i64(buffer, at)
    at += 8
    order.quantity_lots = wire.get_i64(buffer, at)
    at += 8
    order.open_lots = wire.get_i64(buffer, at)
    at += 8
    order.executed_lots = wire.get_i64(buffer, at)
    at += 8
    order.prevented_lots = wire.get_i64(buffer, at)
    at += 8
    order.cancelled_lots = wire.get_i64(buffer, at)
    at += 8
    order.notional_units = wire.get_i64(buffer, at)
    at += 8
    order.fee_units = wire.get_i64(buffer, at)
    at += 8
    order.held_units = wire.get_i64(buffer, at)
    at += 8
    order.accepted_at_ns = wire.get_i64(buffer, at)
    at += 8
    order.priority = wire.get_i64(buffer, at)
    at += 8
    order.fee_overpaid_ppm = wire.get_u32(buffer, at)
    at += 4
    return _read_special(special(order), buffer, at) if order.is_special else at


def _write_special(order: SpecialOrder, buffer: bytearray, at: int) -> int:
    at = wire.put_u8(buffer, at, order.trigger)
    at = wire.put_u32(buffer, at, order.trail_ppm)
    at = wire.put_i64(buffer, at, order.budget_units)
    at = wire.put_i64(buffer, at, order.stop_ticks)
    at = wire.put_i64(buffer, at, order.trail_ticks)
    at = wire.put_i64(buffer, at, order.display_lots)
    at = wire.put_i64(buffer, at, order.visible_lots)
    at = wire.put_i64(buffer, at, order.expires_at_ns)
    return wire.put_u64(buffer, at, order.linked_order_id)


def _read_special(order: SpecialOrder, buffer: bytearray, at: int) -> int:
    order.trigger = wire.get_u8(buffer, at)
    at += 1
    order.trail_ppm = wire.get_u32(buffer, at)
    at += 4
    order.budget_units = wire.get_i64(buffer, at)
    at += 8
    order.stop_ticks = wire.get_i64(buffer, at)
    at += 8
    order.trail_ticks = wire.get_i64(buffer, at)
    at += 8
    order.display_lots = wire.get_i64(buffer, at)
    at += 8
    order.visible_lots = wire.get_i64(buffer, at)
    at += 8
    order.expires_at_ns = wire.get_i64(buffer, at)
    at += 8
    order.linked_order_id = wire.get_u64(buffer, at)
    at += 8
    return at
