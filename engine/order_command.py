"""A command about orders while it is executed: its fields, and where its texts stand in the entry's bytes.

One is filled again and again, so that the commonest commands are executed without making a record of each. What only
special orders and pairs say stays in ``record``.
"""

from __future__ import annotations

from typing import Any, Final

from engine import wire
from engine.amounts import SCALE_ABSENT
from engine.codec import (
    AMEND_ORDER,
    CANCEL_ORDER,
    COMMAND_HEADER_SIZE,
    COMMAND_SIZES,
    COMMAND_TEXTS,
    PLACE_ORDER,
    PLACE_SPECIAL_ORDER,
    decode_command,
)
from engine.registry import Standing

# Where fields stand in a record. What every command has: its kind, its length, who asks, when that was signed.
_LENGTH: Final = 2
_ACCOUNT: Final = COMMAND_HEADER_SIZE
_ISSUED: Final = _ACCOUNT + 8
_CONTENT: Final = _ISSUED + 8
# PlaceOrder.
_MARKET: Final = _CONTENT
_SIDE: Final = _MARKET + 4
_TYPE: Final = _SIDE + 1
_TIME_IN_FORCE: Final = _TYPE + 1
_POST_ONLY: Final = _TIME_IN_FORCE + 1
_SELF_TRADE: Final = _POST_ONLY + 1
_PRICE: Final = _SELF_TRADE + 1
_PRICE_SCALE: Final = _PRICE + 8
_QUANTITY: Final = _PRICE_SCALE + 1
_QUANTITY_SCALE: Final = _QUANTITY + 8
# CancelOrder and AmendOrder.
_ORDER: Final = _CONTENT
_NEW_PRICE: Final = _ORDER + 8
_NEW_PRICE_SCALE: Final = _NEW_PRICE + 8
_NEW_QUANTITY: Final = _NEW_PRICE_SCALE + 1
_NEW_QUANTITY_SCALE: Final = _NEW_QUANTITY + 8


class OrderCommand:
    """``data`` are the commands of the entry; a text is ``data[start : start + length]``.

    ``id_start`` is that of the request's id, ``name_start`` that of the text before it (the client's id of the order
    that is cancelled or amended). ``content_start`` is what a retry must equal: everything but who asks, when that was
    signed, and the id. ``id_hash`` and ``name_hash`` are what ``engine.dedup`` finds the two by. ``record`` is the
    decoded command, or None for the kinds whose fields stand here. ``standing`` is that of the account, looked up when
    the command is answered.
    """

    __slots__ = (
        "account_id",
        "content_length",
        "content_start",
        "data",
        "id_hash",
        "id_length",
        "id_start",
        "issued_at_ns",
        "kind",
        "market_id",
        "name_hash",
        "name_length",
        "name_start",
        "order_id",
        "order_type",
        "post_only",
        "price_mantissa",
        "price_scale",
        "quantity_mantissa",
        "quantity_scale",
        "receipt",
        "record",
        "self_trade",
        "side",
        "standing",
        "time_in_force",
    )

    def __init__(self) -> None:
        self.data = b""
        self.record: Any = None
        self.standing: Standing | None = None
        self.kind = 0
        self.account_id = 0
        self.issued_at_ns = 0
        self.id_start = self.id_length = self.id_hash = 0
        self.name_start = self.name_length = self.name_hash = 0
        self.content_start = self.content_length = 0
        self.receipt = 0
        self.order_id = 0
        self.market_id = 0
        self.side = 0
        self.order_type = 0
        self.time_in_force = 0
        self.post_only = 0
        self.self_trade = 0
        self.price_mantissa = 0
        self.price_scale = SCALE_ABSENT
        self.quantity_mantissa = 0
        self.quantity_scale = SCALE_ABSENT

    def read(self, data: bytes, at: int) -> int:
        """Read the record that begins at ``at``, which was found whole. Answers where the next one begins."""
        self.data = data
        self.kind = wire.load_u16(data, at)
        end = at + wire.load_u16(data, at + _LENGTH)
        self.account_id = wire.load_u64(data, at + _ACCOUNT)
        self.issued_at_ns = wire.load_i64(data, at + _ISSUED)
        self._find_texts(at)
        self.record = None
        if self.kind == PLACE_ORDER:
            self.market_id = wire.load_u32(data, at + _MARKET)
            self.side = wire.load_u8(data, at + _SIDE)
            self.order_type = wire.load_u8(data, at + _TYPE)
            self.time_in_force = wire.load_u8(data, at + _TIME_IN_FORCE)
            self.post_only = wire.load_u8(data, at + _POST_ONLY)
            self.self_trade = wire.load_u8(data, at + _SELF_TRADE)
            self.price_mantissa = wire.load_i64(data, at + _PRICE)
            self.price_scale = wire.load_u8(data, at + _PRICE_SCALE)
            self.quantity_mantissa = wire.load_i64(data, at + _QUANTITY)
            self.quantity_scale = wire.load_u8(data, at + _QUANTITY_SCALE)
        elif self.kind == CANCEL_ORDER:
            self.order_id = wire.load_u64(data, at + _ORDER)
        elif self.kind == AMEND_ORDER:
            self.order_id = wire.load_u64(data, at + _ORDER)
            self.price_mantissa = wire.load_i64(data, at + _NEW_PRICE)
            self.price_scale = wire.load_u8(data, at + _NEW_PRICE_SCALE)
            self.quantity_mantissa = wire.load_i64(data, at + _NEW_QUANTITY)
            self.quantity_scale = wire.load_u8(data, at + _NEW_QUANTITY_SCALE)
        else:
            self._read_record(data, at)
        return end

    def _find_texts(self, at: int) -> None:
        text = at + wire.load_u8(COMMAND_SIZES, self.kind)
        texts = wire.load_u8(COMMAND_TEXTS, self.kind)
        self.name_start = self.name_length = self.id_start = self.id_length = 0
        if texts > 1:
            self.name_length = wire.load_u8(self.data, text)
            self.name_start = text + 1
            text += 1 + self.name_length
        self.content_start = at + _CONTENT
        self.content_length = text - self.content_start
        if texts:
            self.id_length = wire.load_u8(self.data, text)
            self.id_start = text + 1

    def _read_record(self, data: bytes, at: int) -> None:
        self.record, _ = decode_command(data, at)
        if self.kind == PLACE_SPECIAL_ORDER:
            record = self.record
            self.market_id = record.market_id
            self.side = record.side
            self.order_type = record.order_type
            self.time_in_force = record.time_in_force
            self.post_only = record.post_only
            self.self_trade = record.self_trade
            self.price_mantissa = record.price_mantissa
            self.price_scale = record.price_scale
            self.quantity_mantissa = record.quantity_mantissa
            self.quantity_scale = record.quantity_scale
