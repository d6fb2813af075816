"""Binary records of commands and events. The tables below are for ever: append, never change.

A command record is ``u16 kind, u16 length``, its fixed fields, its texts (``u8 length`` and bytes
each). An event record has ``u32 command_offset`` after the length: which command of its entry it
belongs to. ``length`` counts the whole record. Everything is little-endian.
Golden bytes of every kind: tests/engine/golden_records.txt.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from struct import Struct
from struct import error as StructError
from typing import Any, Final

from engine import commands, events, wire
from engine.commands import Command
from engine.events import Event
from engine.types import FeeTier, ScheduleStep, TransferRoute

COMMAND_HEADER: Final = Struct("<HH")
COMMAND_HEADER_SIZE: Final = 4
assert COMMAND_HEADER.size == COMMAND_HEADER_SIZE
EVENT_HEADER: Final = Struct("<HHI")
EVENT_HEADER_SIZE: Final = 8
assert EVENT_HEADER.size == EVENT_HEADER_SIZE
RECORD_LENGTH_MAX: Final = 1_024
# As C constants; the public names are Python's (codec.pxd).
_COMMAND_HEADER_SIZE: Final = COMMAND_HEADER_SIZE
_EVENT_HEADER_SIZE: Final = EVENT_HEADER_SIZE
_RECORD_LENGTH_MAX: Final = RECORD_LENGTH_MAX
_LENGTH_OFFSET: Final = 2  # of a record's length in its header

# The kinds that most commands are of.
PLACE_ORDER: Final = 6
CANCEL_ORDER: Final = 7
AMEND_ORDER: Final = 8
PLACE_SPECIAL_ORDER: Final = 10


class CodecError(ValueError):
    """The bytes are not a record that this version knows. Nothing was done with them."""


class Layout:
    """``fields`` is the struct of the fixed part, ``texts`` how many byte strings follow it."""

    __slots__ = ("fields", "kind", "make", "record", "size", "texts", "unpack_from")

    def __init__(self, kind: int, record: Any, fields: Struct, texts: int) -> None:
        self.kind = kind
        self.record = record
        self.fields = fields
        self.texts = texts
        # Looked up once: these are used for every record.
        self.make = record._make
        self.size = fields.size
        self.unpack_from = fields.unpack_from


COMMAND_LAYOUTS: Final = (
    Layout(1, commands.CreateAsset, Struct("<QqB"), 1),
    Layout(2, commands.CreateMarket, Struct("<QqqBqBqBii"), 2),
    Layout(3, commands.CreateAccount, Struct("<QqB"), 1),
    Layout(4, commands.CreateApiKey, Struct("<QqQ"), 2),
    Layout(5, commands.Deposit, Struct("<QqQIqB"), 1),
    Layout(PLACE_ORDER, commands.PlaceOrder, Struct("<QqIBBBBBqBqB"), 1),
    Layout(CANCEL_ORDER, commands.CancelOrder, Struct("<QqQ"), 2),
    Layout(AMEND_ORDER, commands.AmendOrder, Struct("<QqQqBqB"), 2),
    Layout(9, commands.CancelAll, Struct("<QqI"), 1),
    Layout(PLACE_SPECIAL_ORDER, commands.PlaceSpecialOrder, Struct("<QqIBBBBBBqBqBqBqBqBq"), 1),
    Layout(11, commands.PlaceOco, Struct("<QqIBBqBqBqBqB"), 2),
    Layout(12, commands.MassCancel, Struct("<QqQIB"), 1),
    Layout(13, commands.CancelAllAfter, Struct("<QqI"), 1),
    Layout(14, commands.ResolveRequest, Struct("<Qq"), 1),
    Layout(15, commands.RequestWithdrawal, Struct("<QqIqB"), 2),
    Layout(16, commands.CancelWithdrawal, Struct("<QqQ"), 1),
    Layout(17, commands.DecideWithdrawal, Struct("<QqQB"), 0),
    Layout(18, commands.CreateTransfer, Struct("<QqQIqBBI"), 1),
    Layout(19, commands.DecideTransfer, Struct("<QqQB"), 1),
    Layout(20, commands.ListMarket, Struct("<QqqBqBqBiiBqBIBIIIBII"), 2),
    Layout(21, commands.SetMarketRules, Struct("<QqIIBIIIBII"), 0),
    Layout(22, commands.SetMarketState, Struct("<QqIB"), 0),
    Layout(23, commands.SetMarketSchedule, Struct("<QqI"), 1),
    Layout(24, commands.DelistMarket, Struct("<QqI"), 0),
    Layout(25, commands.SetFeeTiers, Struct("<QqI"), 1),
    Layout(26, commands.SetAccountLimits, Struct("<QqQIIII"), 0),
    Layout(27, commands.FreezeAccount, Struct("<QqQB"), 0),
    Layout(28, commands.Tick, Struct("<Qq"), 0),
    Layout(29, commands.CreateSale, Struct("<QqQIIIBqBqBqBqBqBqq"), 1),
    Layout(30, commands.DecideSale, Struct("<QqIB"), 0),
    Layout(31, commands.SubscribeSale, Struct("<QqIqBqB"), 1),
    Layout(32, commands.SetMarketRate, Struct("<QqIII"), 0),
    Layout(33, commands.NameGroup, Struct("<Qq"), 1),
    Layout(34, commands.MirrorAccount, Struct("<QqQBBIIII"), 1),
    Layout(35, commands.SendTransfer, Struct("<QqIqB"), 2),
    Layout(36, commands.ReceiveTransfer, Struct("<QqQqB"), 2),
    Layout(37, commands.SettleTransfer, Struct("<QqQH"), 0),
    Layout(38, commands.SetRulesVersion, Struct("<QqI"), 1),
)
EVENT_LAYOUTS: Final = (
    Layout(1, events.CommandRejected, Struct("<HQ"), 0),
    Layout(2, events.RequestRepeated, Struct("<QH"), 0),
    Layout(3, events.AssetCreated, Struct("<IB"), 1),
    Layout(4, events.MarketCreated, Struct("<IIIqqqqii"), 1),
    Layout(5, events.AccountCreated, Struct("<QB"), 1),
    Layout(6, events.ApiKeyCreated, Struct("<Q"), 1),
    Layout(7, events.FundsDeposited, Struct("<QIqq"), 1),
    Layout(8, events.OrderAccepted, Struct("<QQIBBBBBqqqq"), 1),
    Layout(9, events.TradeExecuted, Struct("<QIBqqqQQQQqqqq"), 0),
    Layout(10, events.OrderClosed, Struct("<QQIBBqqqqq"), 0),
    Layout(11, events.OrderAmended, Struct("<QQIBqqqq"), 0),
    Layout(12, events.OrderReported, Struct("<QQIBBBBBBBqqqqqqqqqqq"), 1),
    Layout(13, events.OrdersCancelled, Struct("<QII"), 0),
    Layout(14, events.OrderConditions, Struct("<QQIBqqqqIqQ"), 0),
    Layout(15, events.OrderTriggered, Struct("<QQIq"), 0),
    Layout(16, events.OrderReplenished, Struct("<QQIq"), 0),
    Layout(17, events.SelfTradePrevented, Struct("<IQQQqqq"), 0),
    Layout(18, events.MarketStateChanged, Struct("<IBBq"), 0),
    Layout(19, events.IndicativePriceChanged, Struct("<Iqqq"), 0),
    Layout(20, events.AuctionUncrossed, Struct("<Iqqq"), 0),
    Layout(21, events.MarketRulesSet, Struct("<IIBIIIBII"), 0),
    Layout(22, events.MarketScheduleSet, Struct("<I"), 1),
    Layout(23, events.FeeTiersSet, Struct("<I"), 1),
    Layout(24, events.AccountLimitsSet, Struct("<QIIII"), 0),
    Layout(25, events.AccountFrozen, Struct("<QB"), 0),
    Layout(26, events.DeadManArmed, Struct("<Qq"), 0),
    Layout(27, events.DeadManFired, Struct("<QI"), 0),
    Layout(28, events.RequestFenced, Struct("<Q"), 1),
    Layout(29, events.WithdrawalChanged, Struct("<QQIqB"), 2),
    Layout(30, events.TransferChanged, Struct("<QQQIqBq"), 1),
    Layout(31, events.TimeReached, Struct("<q"), 0),
    Layout(32, events.SaleChanged, Struct("<IQIIIBBqqqqqqqqqq"), 1),
    Layout(33, events.SaleSubscribed, Struct("<QIQqqq"), 0),
    Layout(34, events.SaleSettled, Struct("<QIQqqq"), 0),
    Layout(35, events.MarketRateSet, Struct("<III"), 0),
    Layout(36, events.GroupNamed, Struct("<"), 1),
    Layout(37, events.AccountMirrored, Struct("<QQBB"), 1),
    Layout(38, events.SentTransferChanged, Struct("<QQIqBH"), 2),
    Layout(39, events.TransferReceived, Struct("<QQIqH"), 2),
    Layout(40, events.RulesVersionSet, Struct("<I"), 1),
)
_SCHEDULE_STEP: Final = Struct("<IB")
_FEE_TIER: Final = Struct("<qii")
_COMMANDS_BY_KIND: Final = {layout.kind: layout for layout in COMMAND_LAYOUTS}
_COMMANDS_BY_TYPE: Final = {layout.record: layout for layout in COMMAND_LAYOUTS}
_EVENTS_BY_KIND: Final = {layout.kind: layout for layout in EVENT_LAYOUTS}
_EVENTS_BY_TYPE: Final = {layout.record: layout for layout in EVENT_LAYOUTS}
_KINDS_END: Final = 1 + max(_COMMANDS_BY_KIND)
# By kind of command: how long the fixed part is, header included (0: no such kind), and how many texts follow it.
_SIZES: Final = bytes(
    COMMAND_HEADER.size + _COMMANDS_BY_KIND[kind].size if kind in _COMMANDS_BY_KIND else 0 for kind in range(_KINDS_END)
)
_TEXTS: Final = bytes(_COMMANDS_BY_KIND[kind].texts if kind in _COMMANDS_BY_KIND else 0 for kind in range(_KINDS_END))
COMMAND_SIZES: Final = _SIZES
COMMAND_TEXTS: Final = _TEXTS
_EVENT_KINDS_END: Final = 1 + max(_EVENTS_BY_KIND)
_EVENT_SIZES: Final = bytes(
    EVENT_HEADER.size + _EVENTS_BY_KIND[kind].size if kind in _EVENTS_BY_KIND else 0 for kind in range(_EVENT_KINDS_END)
)


def event_kinds(*records: type[Any]) -> bytes:
    """Some kinds of events, for :func:`decode_events`: by kind, whether it is one of them."""
    return bytes(kind in {_EVENTS_BY_TYPE[record].kind for record in records} for kind in range(_EVENT_KINDS_END))


ALL_EVENT_KINDS: Final = event_kinds(*_EVENTS_BY_TYPE)
TRADES_ONLY: Final = event_kinds(events.TradeExecuted)


def encode_command(command: Command) -> bytes:
    """One record. CodecError if a value does not fit its field."""
    layout = _COMMANDS_BY_TYPE[type(command)]
    try:
        body = _encode_body(layout, command)
    except (StructError, OverflowError) as error:
        raise CodecError(f"{type(command).__name__}: {error}") from None
    return COMMAND_HEADER.pack(layout.kind, COMMAND_HEADER.size + len(body)) + body


def encode_event(event: Event, command_offset: int) -> bytes:
    layout = _EVENTS_BY_TYPE[type(event)]
    body = _encode_body(layout, event)
    return EVENT_HEADER.pack(layout.kind, EVENT_HEADER.size + len(body), command_offset) + body


def decode_command(data: bytes, start: int = 0) -> tuple[Command, int]:
    """Read the record at ``start``; also answers where the next one begins. CodecError if it is damaged."""
    if len(data) - start < COMMAND_HEADER.size:
        raise CodecError("a command record is cut short")
    kind, length = COMMAND_HEADER.unpack_from(data, start)
    layout = _COMMANDS_BY_KIND.get(kind)
    if layout is None:
        raise CodecError(f"unknown command kind {kind}")
    if length > RECORD_LENGTH_MAX:
        raise CodecError(f"a command record of {length} bytes is too long")
    return _decode_body(layout, data, start + COMMAND_HEADER.size, start + length), start + length


def decode_commands(data: bytes) -> Iterator[Command]:
    position = 0
    while position < len(data):
        command, position = decode_command(data, position)
        yield command


def check_commands(data: bytes) -> int:
    """How many command records these bytes are. CodecError if they are not whole records of known kinds."""
    position, count, length_in_all = 0, 0, len(data)
    while position < length_in_all:
        end = _end_of_command(data, position, length_in_all)
        if not end:
            decode_command(data, position)  # names what is wrong
            raise AssertionError("a record that does not fit was decoded")
        position = end
        count += 1
    return count


def _end_of_command(data: bytes, position: int, length_in_all: int) -> int:
    """Where the record ends that begins at ``position``; 0 if it is damaged."""
    if length_in_all - position < _COMMAND_HEADER_SIZE:
        return 0
    kind = wire.load_u16(data, position)
    length = wire.load_u16(data, position + _LENGTH_OFFSET)
    end = position + length
    if kind >= _KINDS_END or length > _RECORD_LENGTH_MAX or end > length_in_all:
        return 0
    size = wire.load_u8(_SIZES, kind)
    if not size or length < size:
        return 0
    text = position + size
    for _ in range(wire.load_u8(_TEXTS, kind)):
        if text >= end:
            return 0
        text += 1 + wire.load_u8(data, text)
    return end if text == end else 0


def decode_events(data: bytes, kinds: bytes = ALL_EVENT_KINDS) -> Iterator[tuple[int, Event]]:
    """The events of these kinds with the offset of their command in the entry. CodecError if a record is damaged."""
    position = _skip_events(data, 0, kinds)
    while position < len(data):
        if len(data) - position < EVENT_HEADER.size:
            raise CodecError("an event record is cut short")
        kind, length, command_offset = EVENT_HEADER.unpack_from(data, position)
        layout = _EVENTS_BY_KIND.get(kind)
        if layout is None:
            raise CodecError(f"unknown event kind {kind}")
        if length < EVENT_HEADER.size + layout.size:
            raise CodecError(f"the length of a {layout.record.__name__} record is wrong")
        yield command_offset, _decode_body(layout, data, position + EVENT_HEADER.size, position + length)
        position = _skip_events(data, position + length, kinds)


def _skip_events(data: bytes, position: int, kinds: bytes) -> int:
    """Where the next record of these kinds begins, or one that is damaged. Behind the last one if there is none."""
    length_in_all = len(data)
    while length_in_all - position >= _EVENT_HEADER_SIZE:
        kind = wire.load_u16(data, position)
        if kind >= _EVENT_KINDS_END or wire.load_u8(kinds, kind):
            break
        length = wire.load_u16(data, position + _LENGTH_OFFSET)
        if not wire.load_u8(_EVENT_SIZES, kind) or length < wire.load_u8(_EVENT_SIZES, kind):
            break
        position += length
    return position


def pack_schedule(steps: Iterable[ScheduleStep]) -> bytes:
    """The steps of a market's day as they travel in a record."""
    return b"".join([_SCHEDULE_STEP.pack(*step) for step in steps])


def unpack_schedule(data: bytes) -> list[ScheduleStep] | None:
    """None if the bytes are not whole steps."""
    if len(data) % _SCHEDULE_STEP.size:
        return None
    return [ScheduleStep(*values) for values in _SCHEDULE_STEP.iter_unpack(data)]


def pack_tiers(tiers: Iterable[FeeTier]) -> bytes:
    """A market's fee tiers as they travel in a record."""
    return b"".join([_FEE_TIER.pack(*tier) for tier in tiers])


def unpack_tiers(data: bytes) -> list[FeeTier] | None:
    """None if the bytes are not whole tiers."""
    if len(data) % _FEE_TIER.size:
        return None
    return [FeeTier(*values) for values in _FEE_TIER.iter_unpack(data)]


def pack_route(route: TransferRoute) -> bytes:
    """Names as they travel in one text of a record: ``u8 length`` and bytes each."""
    return b"".join([len(name).to_bytes(1, "little") + name for name in route])


def unpack_route(data: bytes) -> TransferRoute | None:
    """None if the bytes are not the names of a route."""
    names, position = [], 0
    while position < len(data):
        end = position + 1 + data[position]
        names.append(data[position + 1 : end])
        position = end
    return TransferRoute(*names) if position == len(data) and len(names) == len(TransferRoute._fields) else None


def _encode_body(layout: Layout, record: Any) -> bytes:
    texts = layout.texts
    if not texts:
        return layout.fields.pack(*record)
    body = layout.fields.pack(*record[:-texts])
    for text in record[-texts:]:
        body += len(text).to_bytes(1, "little") + text
    return body


def _decode_body(layout: Layout, data: bytes, start: int, end: int) -> Any:
    position = start + layout.size
    if end > len(data) or position > end:
        raise CodecError(f"a {layout.record.__name__} record is cut short")
    values = layout.unpack_from(data, start)
    for _ in range(layout.texts):
        if position >= end:
            raise CodecError(f"a text of a {layout.record.__name__} record is missing")
        text_end = position + 1 + data[position]
        values += (data[position + 1 : text_end],)
        position = text_end
    if position != end:
        raise CodecError(f"the length of a {layout.record.__name__} record is wrong")
    return layout.make(values)
