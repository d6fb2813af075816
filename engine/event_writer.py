"""Writes the events of an entry, one record behind the other.

Any event can be emitted as a record of ``engine.events``. The few kinds that most commands leave have a method of their
own, which writes the same bytes (``engine.codec``) without making the record first.
"""

from __future__ import annotations

from typing import Final

from engine import wire
from engine.codec import EVENT_LAYOUTS, encode_event
from engine.entry import BY_TIME
from engine.events import (
    CommandRejected,
    Event,
    OrderAccepted,
    OrderAmended,
    OrderClosed,
    RequestRepeated,
    TradeExecuted,
)
from engine.orders import Order

_KINDS: Final = {layout.record: layout.kind for layout in EVENT_LAYOUTS}
_SIZES: Final = {layout.record: 8 + layout.size for layout in EVENT_LAYOUTS}  # with the header, without texts
COMMAND_REJECTED: Final = _KINDS[CommandRejected]
COMMAND_REJECTED_SIZE: Final = _SIZES[CommandRejected]
REQUEST_REPEATED: Final = _KINDS[RequestRepeated]
REQUEST_REPEATED_SIZE: Final = _SIZES[RequestRepeated]
ORDER_ACCEPTED: Final = _KINDS[OrderAccepted]
ORDER_ACCEPTED_SIZE: Final = _SIZES[OrderAccepted]
TRADE_EXECUTED: Final = _KINDS[TradeExecuted]
TRADE_EXECUTED_SIZE: Final = _SIZES[TradeExecuted]
ORDER_CLOSED: Final = _KINDS[OrderClosed]
ORDER_CLOSED_SIZE: Final = _SIZES[OrderClosed]
ORDER_AMENDED: Final = _KINDS[OrderAmended]
ORDER_AMENDED_SIZE: Final = _SIZES[OrderAmended]
_BUFFER_SIZE: Final = 1 << 16
_RECORD_SIZE_MAX: Final = 1_024  # of the kinds that are written here directly


class EventWriter:
    """Call it with an event to emit it. ``length`` is how much was written of this entry."""

    __slots__ = ("_buffer", "command_offset", "length")

    def __init__(self) -> None:
        self._buffer = bytearray(_BUFFER_SIZE)
        self.length = 0
        self.command_offset = BY_TIME

    def begin_entry(self) -> None:
        self.length = 0
        self.command_offset = BY_TIME

    def written(self) -> bytes:
        """All events of the entry."""
        return wire.bytes_of(self._buffer, self.length)

    def __call__(self, event: Event) -> None:
        record = encode_event(event, self.command_offset)
        self._make_room(len(record))
        self.length = wire.put_bytes(self._buffer, self.length, record, 0, len(record))

    def command_rejected(self, reason: int, original_sequence: int) -> None:
        at = self._begin_record(COMMAND_REJECTED, COMMAND_REJECTED_SIZE)
        at = wire.put_u16(self._buffer, at, reason)
        self.length = wire.put_u64(self._buffer, at, original_sequence)

    def request_repeated(self, original_sequence: int, reason: int) -> None:
        at = self._begin_record(REQUEST_REPEATED, REQUEST_REPEATED_SIZE)
        at = wire.put_u64(self._buffer, at, original_sequence)
        self.length = wire.put_u16(self._buffer, at, reason)

    def order_accepted(self, order: Order, data: bytes, start: int, length: int) -> None:
        """The order's client calls it ``data[start : start + length]``."""
        at = self._begin_record(ORDER_ACCEPTED, ORDER_ACCEPTED_SIZE + 1 + length)
        buffer = self._buffer
        at = wire.put_u64(buffer, at, order.order_id)
        at = wire.put_u64(buffer, at, order.account_id)
        at = wire.put_u32(buffer, at, order.market_id)
        at = wire.put_u8(buffer, at, order.side)
        at = wire.put_u8(buffer, at, order.order_type)
        at = wire.put_u8(buffer, at, order.time_in_force)
        at = wire.put_u8(buffer, at, order.post_only)
        at = wire.put_u8(buffer, at, order.self_trade)
        at = wire.put_i64(buffer, at, order.price_ticks)
        at = wire.put_i64(buffer, at, order.quantity_lots)
        at = wire.put_i64(buffer, at, order.budget_units if order.is_special else 0)
        at = wire.put_i64(buffer, at, order.held_units)
        at = wire.put_u8(buffer, at, length)
        self.length = wire.put_bytes(buffer, at, data, start, length)

    def trade_executed(
        self,
        trade_id: int,
        price_ticks: int,
        lots: int,
        notional_units: int,
        maker: Order,
        taker: Order,
        maker_fee_units: int,
        taker_fee_units: int,
        taker_open_lots: int,
    ) -> None:
        at = self._begin_record(TRADE_EXECUTED, TRADE_EXECUTED_SIZE)
        buffer = self._buffer
        at = wire.put_u64(buffer, at, trade_id)
        at = wire.put_u32(buffer, at, maker.market_id)
        at = wire.put_u8(buffer, at, taker.side)
        at = wire.put_i64(buffer, at, price_ticks)
        at = wire.put_i64(buffer, at, lots)
        at = wire.put_i64(buffer, at, notional_units)
        at = wire.put_u64(buffer, at, maker.order_id)
        at = wire.put_u64(buffer, at, taker.order_id)
        at = wire.put_u64(buffer, at, maker.account_id)
        at = wire.put_u64(buffer, at, taker.account_id)
        at = wire.put_i64(buffer, at, maker_fee_units)
        at = wire.put_i64(buffer, at, taker_fee_units)
        at = wire.put_i64(buffer, at, maker.open_lots)
        self.length = wire.put_i64(buffer, at, taker_open_lots)

    def order_closed(self, order: Order, released_units: int) -> None:
        at = self._begin_record(ORDER_CLOSED, ORDER_CLOSED_SIZE)
        buffer = self._buffer
        at = wire.put_u64(buffer, at, order.order_id)
        at = wire.put_u64(buffer, at, order.account_id)
        at = wire.put_u32(buffer, at, order.market_id)
        at = wire.put_u8(buffer, at, order.status)
        at = wire.put_u8(buffer, at, order.close_reason)
        at = wire.put_i64(buffer, at, order.quantity_lots)
        at = wire.put_i64(buffer, at, order.executed_lots)
        at = wire.put_i64(buffer, at, order.prevented_lots)
        at = wire.put_i64(buffer, at, order.cancelled_lots)
        self.length = wire.put_i64(buffer, at, released_units)

    def order_amended(self, order: Order, kept_place: bool) -> None:
        at = self._begin_record(ORDER_AMENDED, ORDER_AMENDED_SIZE)
        buffer = self._buffer
        at = wire.put_u64(buffer, at, order.order_id)
        at = wire.put_u64(buffer, at, order.account_id)
        at = wire.put_u32(buffer, at, order.market_id)
        at = wire.put_u8(buffer, at, kept_place)
        at = wire.put_i64(buffer, at, order.price_ticks)
        at = wire.put_i64(buffer, at, order.quantity_lots)
        at = wire.put_i64(buffer, at, order.open_lots)
        self.length = wire.put_i64(buffer, at, order.held_units)

    def _begin_record(self, kind: int, size: int) -> int:
        """Write the header of a record. Answers where its first field goes."""
        if self.length + _RECORD_SIZE_MAX > len(self._buffer):
            self._make_room(_RECORD_SIZE_MAX)
        # u16 kind, u16 size, u32 offset of the command: one word.
        return wire.put_u64(self._buffer, self.length, kind | size << 16 | self.command_offset << 32)

    def _make_room(self, size: int) -> None:
        while self.length + size > len(self._buffer):
            self._buffer.extend(bytes(len(self._buffer)))
