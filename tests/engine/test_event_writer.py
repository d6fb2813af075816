"""What the writer's own methods write is what the codec makes of the same records."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from engine.codec import decode_events, encode_event
from engine.entry import BY_TIME
from engine.event_writer import EventWriter
from engine.events import (
    CommandRejected,
    Event,
    OrderAccepted,
    OrderAmended,
    OrderClosed,
    RequestFenced,
    RequestRepeated,
    TimeReached,
    TradeExecuted,
)
from engine.orders import Order, SpecialOrder
from tests.engine.workload_edges import edges_of

SMALL = ("side", "order_type", "time_in_force", "post_only", "self_trade", "status", "close_reason")
LARGE = ("price_ticks", "quantity_lots", "open_lots", "executed_lots", "prevented_lots", "cancelled_lots", "held_units")


def _number(code: str, random: Random) -> int:
    return random.choice(edges_of(code))


def _order(random: Random) -> Order:
    order: Order
    if random.random() < 0.5:
        order = special = SpecialOrder()
        special.budget_units = _number("q", random)
    else:
        order = Order()
    order.order_id = _number("Q", random)
    order.account_id, order.market_id = _number("I", random), _number("I", random)
    for field in SMALL:
        setattr(order, field, _number("B", random))
    for field in LARGE:
        setattr(order, field, _number("q", random))
    return order


def _command_rejected(emit: EventWriter, random: Random) -> Event:
    event = CommandRejected(_number("H", random), _number("Q", random))
    emit.command_rejected(event.reason, event.original_sequence)
    return event


def _request_repeated(emit: EventWriter, random: Random) -> Event:
    event = RequestRepeated(_number("Q", random), _number("H", random))
    emit.request_repeated(event.original_sequence, event.reason)
    return event


def _order_accepted(emit: EventWriter, random: Random) -> Event:
    order, name = _order(random), random.randbytes(random.choice((0, 1, 64, 255)))
    before = random.randbytes(random.randrange(3))
    emit.order_accepted(order, before + name + b"..", len(before), len(name))
    return OrderAccepted(
        order.order_id,
        order.account_id,
        order.market_id,
        order.side,
        order.order_type,
        order.time_in_force,
        order.post_only,
        order.self_trade,
        order.price_ticks,
        order.quantity_lots,
        order.budget_units,
        order.held_units,
        name,
    )


def _trade_executed(emit: EventWriter, random: Random) -> Event:
    maker, taker, trade_id = _order(random), _order(random), random.choice((0, 1, (1 << 63) - 1))
    price, lots, notional, maker_fee, taker_fee, taker_open = (_number("q", random) for _ in range(6))
    emit.trade_executed(trade_id, price, lots, notional, maker, taker, maker_fee, taker_fee, taker_open)
    return TradeExecuted(
        trade_id,
        maker.market_id,
        taker.side,
        price,
        lots,
        notional,
        maker.order_id,
        taker.order_id,
        maker.account_id,
        taker.account_id,
        maker_fee,
        taker_fee,
        maker.open_lots,
        taker_open,
    )


def _order_closed(emit: EventWriter, random: Random) -> Event:
    order, released_units = _order(random), _number("q", random)
    emit.order_closed(order, released_units)
    return OrderClosed(
        order.order_id,
        order.account_id,
        order.market_id,
        order.status,
        order.close_reason,
        order.quantity_lots,
        order.executed_lots,
        order.prevented_lots,
        order.cancelled_lots,
        released_units,
    )


def _order_amended(emit: EventWriter, random: Random) -> Event:
    order, kept_place = _order(random), random.random() < 0.5
    emit.order_amended(order, kept_place)
    return OrderAmended(
        order.order_id,
        order.account_id,
        order.market_id,
        kept_place,
        order.price_ticks,
        order.quantity_lots,
        order.open_lots,
        order.held_units,
    )


def _any_record(emit: EventWriter, random: Random) -> Event:
    event = RequestFenced(_number("Q", random), random.randbytes(random.randrange(256)))
    emit(event)
    return event


METHODS: dict[str, Callable[[EventWriter, Random], Event]] = {
    "command_rejected": _command_rejected,
    "request_repeated": _request_repeated,
    "order_accepted": _order_accepted,
    "trade_executed": _trade_executed,
    "order_closed": _order_closed,
    "order_amended": _order_amended,
    "called with a record": _any_record,
}


@pytest.mark.parametrize("name", METHODS)
def test_a_method_writes_what_the_codec_makes_of_the_record(name: str) -> None:
    random, emit = Random(name), EventWriter()
    for _ in range(300):
        emit.begin_entry()
        emit.command_offset = random.choice(edges_of("I"))
        expected = encode_event(METHODS[name](emit, random), emit.command_offset)
        assert emit.written() == expected and emit.length == len(expected)


def test_records_stand_one_behind_the_other_however_many_they_are() -> None:
    """Many times what a writer has room for at first; each with the command that it belongs to."""
    random, emit, expected = Random(6), EventWriter(), list[tuple[int, Event]]()
    for offset in range(4_000):
        emit.command_offset = offset
        before = emit.length
        event = random.choice(list(METHODS.values()))(emit, random)
        assert emit.length == before + len(encode_event(event, offset))
        expected.append((offset, event))
    assert emit.length == len(emit.written()) > 4 * (1 << 16)
    assert emit.written() == b"".join(encode_event(event, offset) for offset, event in expected)
    assert list(decode_events(emit.written())) == expected


@pytest.mark.parametrize("filled", range(65_536 - 1_100, 65_536, 100))
def test_a_record_may_come_when_there_is_hardly_room(filled: int) -> None:
    emit, expected = EventWriter(), b""
    while emit.length < filled:
        emit(TimeReached(7))
        expected += encode_event(TimeReached(7), BY_TIME)
    for make in METHODS.values():
        expected += encode_event(make(emit, Random(filled)), BY_TIME)
    assert emit.written() == expected


def test_an_entry_begins_with_what_time_brought_about_and_nothing_of_the_last_one() -> None:
    emit = EventWriter()
    emit.command_offset = 3
    emit.command_rejected(1, 2)
    emit.begin_entry()
    assert (emit.length, emit.written(), emit.command_offset) == (0, b"", BY_TIME)
    emit(TimeReached(5))
    assert list(decode_events(emit.written())) == [(BY_TIME, TimeReached(5))]


def test_what_was_written_stays_what_it_was() -> None:
    emit = EventWriter()
    emit.command_rejected(1, 2)
    before = emit.written()
    emit.begin_entry()
    emit.command_rejected(3, 4)
    assert before == encode_event(CommandRejected(1, 2), BY_TIME)
