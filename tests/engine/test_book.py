"""One side of a book against a naive list of its orders."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.book import Book, BookSide, Order
from engine.types import BUY, SELL

# (what to do, price or which of the resting orders, lots, what an iceberg shows)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(("add", "remove", "reduce", "shrink")), st.integers(1, 6), st.integers(1, 9), st.integers(0, 4)
    ),
    max_size=60,
)


def _order(order_id: int, side: int, price_ticks: int, open_lots: int, display_lots: int = 0) -> Order:
    order = Order(order_id, 1, 1, side, b"c")
    order.price_ticks, order.quantity_lots, order.open_lots = price_ticks, open_lots, open_lots
    order.display_lots, order.visible_lots = display_lots, min(display_lots, open_lots)
    return order


def _assert_equal(side: BookSide, naive: list[Order]) -> None:
    """``naive`` has the orders in the order in which they came."""
    prices = sorted({order.price_ticks for order in naive}, reverse=side.side == BUY)
    levels = side.levels_from_best(1_000)
    assert [level.price_ticks for level in levels] == prices
    best = side.best()
    assert (best.price_ticks if best else None) == (prices[0] if prices else None)
    for level in levels:
        queue = [order for order in naive if order.price_ticks == level.price_ticks]
        assert level.orders() == queue
        assert (level.oldest, level.newest) == (queue[0], queue[-1])
        assert (level.shown_lots, level.order_count) == (sum(order.shown_lots for order in queue), len(queue))
        assert level.open_lots == sum(order.open_lots for order in queue)
        backwards, order = [], level.newest
        while order is not None:
            backwards.append(order)
            order = order.older
        assert backwards == queue[::-1]
    assert len(side.levels) == len(side.keys) == len(prices)


@pytest.mark.parametrize("side_of_book", [BUY, SELL])
@settings(deadline=None)
@given(steps=STEPS)
def test_a_side_is_a_list_of_orders_by_price_and_time(
    side_of_book: int, steps: list[tuple[str, int, int, int]]
) -> None:
    side, naive = BookSide(side_of_book), list[Order]()
    for number, (what, which, lots, display_lots) in enumerate(steps):
        if what == "add":
            order = _order(number, side_of_book, which, lots, display_lots)
            side.add(order)
            naive.append(order)
        elif naive and what == "remove":
            order = naive.pop(which % len(naive))
            side.remove(order)
            assert order.level is None and order.older is None and order.newer is None
        elif naive:
            order = naive[which % len(naive)]
            open_lots, shown_lots = order.open_lots, order.shown_lots
            if what == "reduce" and lots < shown_lots:
                side.reduce(order, lots)
                assert (order.open_lots, order.shown_lots) == (open_lots - lots, shown_lots - lots)
            elif what == "shrink" and lots < open_lots:
                side.shrink(order, lots)
                # What is hidden goes first.
                assert (order.open_lots, order.shown_lots) == (open_lots - lots, min(shown_lots, open_lots - lots))
        _assert_equal(side, naive)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_order_leaves_any_place_of_its_queue(place: int) -> None:
    side = BookSide(SELL)
    orders = [_order(number, SELL, 10, 1) for number in range(3)]
    for order in orders:
        side.add(order)
    side.remove(orders.pop(place))
    _assert_equal(side, orders)


def test_the_best_bid_is_the_highest_and_the_best_ask_the_lowest() -> None:
    book = Book()
    for price_ticks in (9, 11, 10):
        book.side(BUY).add(_order(price_ticks, BUY, price_ticks, 1))
        book.side(SELL).add(_order(price_ticks, SELL, price_ticks + 10, 1))
    assert [level.price_ticks for level in book.bids.levels_from_best(2)] == [11, 10]
    assert [level.price_ticks for level in book.asks.levels_from_best(2)] == [19, 20]
    assert book.bids.levels_from_best(0) == []
    assert book.opposite(BUY) is book.asks and book.opposite(SELL) is book.bids


def test_a_level_in_the_middle_disappears_with_its_last_order() -> None:
    side = BookSide(BUY)
    orders = [_order(price_ticks, BUY, price_ticks, 1) for price_ticks in (9, 10, 11)]
    for order in orders:
        side.add(order)
    side.remove(orders.pop(1))
    _assert_equal(side, orders)


@pytest.mark.parametrize("lots", [0, -1, 5, 6])
def test_reducing_by_nothing_or_by_everything_is_a_bug(lots: int) -> None:
    side = BookSide(BUY)
    order = _order(1, BUY, 10, 5)
    side.add(order)
    with pytest.raises(AssertionError):
        side.reduce(order, lots)


@pytest.mark.parametrize("lots", [3, 4, -1, 0])
def test_reducing_an_iceberg_by_all_that_it_shows_is_a_bug(lots: int) -> None:
    side = BookSide(BUY)
    order = _order(1, BUY, 10, 9, 3)
    side.add(order)
    with pytest.raises(AssertionError):
        side.reduce(order, lots)


@pytest.mark.parametrize("lots", [-1, 5, 6])
def test_shrinking_by_everything_or_more_is_a_bug(lots: int) -> None:
    side = BookSide(BUY)
    order = _order(1, BUY, 10, 5)
    side.add(order)
    with pytest.raises(AssertionError):
        side.shrink(order, lots)


def test_a_level_shows_slices_and_all_of_plain_orders() -> None:
    side = BookSide(SELL)
    for order in (_order(1, SELL, 10, 9, 3), _order(2, SELL, 10, 2)):
        side.add(order)
    (level,) = side.levels_from_best(1)
    assert (level.shown_lots, level.open_lots, level.order_count) == (5, 11, 2)


def test_removing_what_does_not_rest_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        BookSide(BUY).remove(_order(1, BUY, 10, 5))
