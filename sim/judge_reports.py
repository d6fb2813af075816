"""The canonical report stream of the benchmark, told from the events of the engine.

One line a report, sorted by (sequence number, kind), joined by newlines, with none at the end:

    0,seq,side,order_id,price_ticks,quantity              an order was accepted
    1,seq,price_ticks,quantity,maker_order_id,taker_order_id    a trade, at the maker's price
    2,seq,side,order_id,price_ticks                       an order was cancelled, or the rest of an IOC
    3,seq,side,order_id,price_ticks,quantity              an order was modified
    4,seq,order_id                                        a cancel was refused: the order does not rest
    5,seq,order_id                                        a modify was refused: the order does not rest

Everything in a line but the benchmark's own numbers is what the engine said.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from struct import Struct
from typing import Any, BinaryIO, Final, NamedTuple

from engine import rejects
from engine.codec import EVENT_HEADER, EVENT_LAYOUTS, Layout
from engine.events import CommandRejected, OrderAccepted, OrderAmended, OrderClosed, TradeExecuted
from engine.types import CLOSED_BY_OWNER, CLOSED_IOC_REST
from sim.judge_resting import Order, Resting

# What a command of the engine is part of.
PLACES: Final = 0
CANCELS: Final = 1
AMENDS: Final = 2  # a modify in one command
LIFTS: Final = 3  # a modify in two: the cancel
REINSERTS: Final = 4  # and the order that follows it
_NAMES: Final = ("new", "cancel", "modify", "modify (its cancel)", "modify (its reinsertion)")

_NOT_RESTING: Final = (rejects.UNKNOWN_ORDER, rejects.ORDER_CLOSED)


class JudgeError(Exception):
    """The engine did what the benchmark's rules do not know. The text says what, and at which message."""


class Sent(NamedTuple):
    """What a command was sent for: the message's sequence number, and the order that it is about."""

    purpose: int
    sequence_number: int
    order: Order


class ReportStream:
    """Hashes lines, and writes them to ``copy`` as well if there is one."""

    def __init__(self, copy: BinaryIO | None = None) -> None:
        self.line_count = 0
        self._sha256 = hashlib.sha256()
        self._copy = copy

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    def write(self, lines: list[str]) -> None:
        if not lines:
            return
        text = "\n".join(lines).encode("ascii")
        if self.line_count:
            text = b"\n" + text
        self.line_count += len(lines)
        self._sha256.update(text)
        if self._copy is not None:
            self._copy.write(text)


class Reporter:
    """Reads the events of each entry, writes the reports, and tells ``resting`` what became of the orders."""

    def __init__(self, resting: Resting, stream: ReportStream) -> None:
        self.trade_count = 0
        self._resting = resting
        self._stream = stream
        self._by_number: dict[int, Order] = {}

    def knows(self, order: Order) -> None:
        """From now on events may name the order by its number."""
        self._by_number[order.number] = order

    def report(self, events: bytes, sent: list[Sent]) -> None:
        """``sent`` are the commands of the entry. JudgeError if one of them was refused for another reason."""
        lines: list[str] = []
        by_number, leaves = self._by_number, self._resting.leaves
        modified = ""  # the line of a modify, which stands behind its trades
        position, current_offset = 0, -1
        purpose, sequence_number, order = PLACES, 0, _NO_ORDER
        while position < len(events):
            kind, length, offset = _unpack_header(events, position)
            body = position + _HEADER_SIZE
            position += length
            if offset != current_offset:
                if modified:
                    lines.append(modified)
                    modified = ""
                current_offset = offset
                purpose, sequence_number, order = sent[offset]
            if kind == _ACCEPTED:
                side, price_ticks, quantity = _unpack_accepted(events, body)
                order_id = order.order_id
                if purpose == PLACES:
                    lines.append(f"0,{sequence_number},{side},{order_id},{price_ticks},{quantity}")
                else:
                    modified = f"3,{sequence_number},{side},{order_id},{price_ticks},{quantity}"
            elif kind == _CLOSED:
                number, reason = _unpack_closed(events, body)
                closed = by_number.pop(number)
                if purpose == LIFTS and reason == CLOSED_BY_OWNER:
                    continue
                if reason != (CLOSED_IOC_REST if purpose == PLACES else CLOSED_BY_OWNER) or closed is not order:
                    raise JudgeError(
                        _unexpected(sent[offset], f"closes order {closed.order_id} for the reason {reason}")
                    )
                lines.append(f"2,{sequence_number},{order.side},{order.order_id},{order.price_ticks}")
            elif kind == _TRADE:
                price_ticks, quantity, maker_number, taker_number, maker_open, taker_open = _unpack_trade(events, body)
                maker, taker = by_number[maker_number], by_number[taker_number]
                lines.append(f"1,{sequence_number},{price_ticks},{quantity},{maker.order_id},{taker.order_id}")
                self.trade_count += 1
                maker.traded = taker.traded = True
                if not maker_open:
                    del by_number[maker_number]
                    leaves(maker)
                if not taker_open:
                    del by_number[taker_number]
                    leaves(taker)
            elif kind == _REJECTED:
                (reason,) = _unpack_rejected(events, body)
                if purpose == CANCELS and reason in _NOT_RESTING:
                    lines.append(f"4,{sequence_number},{order.order_id}")
                elif purpose == AMENDS and reason in _NOT_RESTING:
                    lines.append(f"5,{sequence_number},{order.order_id}")
                else:
                    raise JudgeError(_refused(sent[offset], reason))
            elif kind == _AMENDED:
                kept_place, price_ticks, quantity = _unpack_amended(events, body)
                if kept_place:
                    raise JudgeError(_unexpected(sent[offset], "lets the modified order keep its place"))
                modified = f"3,{sequence_number},{order.side},{order.order_id},{price_ticks},{quantity}"
            else:
                raise JudgeError(_unexpected(sent[offset], f"tells of an event of kind {kind}"))
        if modified:
            lines.append(modified)
        self._stream.write(lines)


def _refused(sent: Sent, reason: int) -> str:
    order = sent.order
    return (
        f"the engine refuses message {sent.sequence_number} ({_NAMES[sent.purpose]}, order {order.order_id}, quantity "
        f"{order.quantity}, price {order.price_ticks}), which the benchmark's rules accept: "
        f"{rejects.reason_code(reason)}. {rejects.reason_sentence(reason)}"
    )


def _unexpected(sent: Sent, what: str) -> str:
    return (
        f"at message {sent.sequence_number} ({_NAMES[sent.purpose]}, order {sent.order.order_id}) the engine {what}, "
        "which the benchmark's rules do not know"
    )


def _layout(kind: type[Any]) -> Layout:
    (layout,) = (layout for layout in EVENT_LAYOUTS if layout.record is kind)
    return layout


def _reader(kind: type[Any], *fields: str) -> Callable[[bytes, int], tuple[int, ...]]:
    """Reads these fields of an event's fixed part, in the order of the record, and skips the others."""
    layout = _layout(kind)
    codes = layout.fields.format.removeprefix("<")
    names = kind._fields[: len(codes)]
    wanted = "".join(
        code if name in fields else f"{Struct('<' + code).size}x" for name, code in zip(names, codes, strict=True)
    )
    assert [name for name in names if name in fields] == list(fields), (kind, fields)
    unpack_from: Callable[[bytes, int], tuple[int, ...]] = Struct("<" + wanted).unpack_from
    return unpack_from


_unpack_header: Final = EVENT_HEADER.unpack_from
_HEADER_SIZE: Final = EVENT_HEADER.size
_ACCEPTED: Final = _layout(OrderAccepted).kind
_CLOSED: Final = _layout(OrderClosed).kind
_TRADE: Final = _layout(TradeExecuted).kind
_REJECTED: Final = _layout(CommandRejected).kind
_AMENDED: Final = _layout(OrderAmended).kind
_unpack_accepted: Final = _reader(OrderAccepted, "side", "price_ticks", "quantity_lots")
_unpack_closed: Final = _reader(OrderClosed, "order_id", "reason")
_unpack_trade: Final = _reader(
    TradeExecuted,
    "price_ticks",
    "quantity_lots",
    "maker_order_id",
    "taker_order_id",
    "maker_open_lots",
    "taker_open_lots",
)
_unpack_rejected: Final = _reader(CommandRejected, "reason")
_unpack_amended: Final = _reader(OrderAmended, "kept_place", "price_ticks", "quantity_lots")
_NO_ORDER: Final = Order(0, 0, 0, 0)
