"""The folded books against the engine's own, and one story by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.codec import encode_event
from engine.events import OrderAccepted, OrderAmended, OrderClosed, TradeExecuted
from engine.machine import Machine
from engine.queries import book
from engine.types import BUY, CANCELLED, CLOSED_BY_OWNER, LIMIT, MARKET, SELL
from projections.order_book import Level, OrderBooks

RandomEntries = Callable[[Random, int], Iterator[bytes]]


@settings(max_examples=60, deadline=None)
@given(random=st.randoms(use_true_random=False))
def test_the_fold_is_the_engines_book_after_every_entry(random_entries: RandomEntries, random: Random) -> None:
    machine, books = Machine(), OrderBooks()
    for commands in random_entries(random, 60):
        books.apply_entry_events(machine.apply(0, commands).entry.events)
        for market_id in (1, 2):
            expected = book(machine, market_id, 100)
            assert expected is not None
            assert [list(level) for level in books.bids(market_id, 100)] == expected["bids"]
            assert [list(level) for level in books.asks(market_id, 100)] == expected["asks"]


def test_orders_at_one_price_are_one_level() -> None:
    books = OrderBooks()
    books.apply([accepted(1, SELL, 1010, 4), accepted(2, SELL, 1010, 5), accepted(3, SELL, 1005, 1)])
    assert books.asks(1, 10) == [Level(1005, 1, 1), Level(1010, 9, 2)]
    assert books.asks(1, 1) == [Level(1005, 1, 1)]
    assert books.bids(1, 10) == []


def test_a_trade_takes_from_maker_and_taker() -> None:
    books = OrderBooks()
    books.apply([accepted(1, SELL, 1000, 4), accepted(2, BUY, 1000, 6), trade(1, 2, 4)])
    assert books.asks(1, 10) == []
    assert books.bids(1, 10) == [Level(1000, 2, 1)]


def test_a_market_order_is_never_shown() -> None:
    books = OrderBooks()
    books.apply([accepted(1, SELL, 1000, 4), accepted(2, BUY, 0, 6)._replace(order_type=MARKET), trade(1, 2, 3)])
    assert (books.bids(1, 10), books.asks(1, 10)) == ([], [Level(1000, 1, 1)])


def test_an_amended_order_moves_to_its_new_level_and_a_closed_one_is_gone() -> None:
    books = OrderBooks()
    books.apply([accepted(1, BUY, 1000, 4), OrderAmended(1, 1, 1, 0, 990, 7, 7, 0)])
    assert books.bids(1, 10) == [Level(990, 7, 1)]
    books.apply([OrderClosed(1, 1, 1, CANCELLED, CLOSED_BY_OWNER, 7, 0, 0, 7, 0)])
    assert books.bids(1, 10) == []


def test_markets_do_not_mix() -> None:
    books = OrderBooks()
    books.apply_entry_events(encode_event(accepted(1, BUY, 1000, 4)._replace(market_id=2), 0))
    assert books.bids(1, 10) == []
    assert books.bids(2, 10) == [Level(1000, 4, 1)]


def accepted(order_id: int, side: int, price_ticks: int, quantity_lots: int) -> OrderAccepted:
    return OrderAccepted(order_id, order_id, 1, side, LIMIT, 0, 0, 0, price_ticks, quantity_lots, 0, 0, b"c")


def trade(maker_order_id: int, taker_order_id: int, quantity_lots: int) -> TradeExecuted:
    return TradeExecuted(
        1, 1, BUY, 1000, quantity_lots, 0, maker_order_id, taker_order_id, maker_order_id, taker_order_id, 0, 0, 0, 0
    )
