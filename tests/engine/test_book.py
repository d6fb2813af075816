"""One side of a book against a naive list of its orders."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.book import Book, BookSide
from engine.orders import Order, OrderPool, shown_lots
from engine.types import BUY, SELL

# (what to do, price or which of the resting orders, lots, what an iceberg shows)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(("add", "remove", "reduce", "shrink")), st.integers(1, 6), st.integers(1, 9), st.integers(0, 4)
    ),
    max_size=60,
)


def _order(side: BookSide, order_id: int, price_ticks: int, open_lots: int, display_lots: int = 0) -> Order:
    """An order that could rest on this side."""
    if display_lots:
        iceberg = side.pool.take_special(order_id, 1, 1, side.side)
        iceberg.display_lots, iceberg.visible_lots = display_lots, min(display_lots, open_lots)
    order = iceberg if display_lots else side.pool.take(order_id, 1, 1, side.side)
    order.price_ticks, order.quantity_lots, order.open_lots = price_ticks, open_lots, open_lots
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
        assert side.orders(level) == queue and side.oldest(level) is queue[0]
        assert (level.oldest, level.newest) == (queue[0].slot, queue[-1].slot)
        assert (level.shown_lots, level.order_count) == (sum(shown_lots(order) for order in queue), len(queue))
        assert level.open_lots == sum(order.open_lots for order in queue)
        assert level.key == side.key_of(level.price_ticks)
        assert side.level_at(level.price_ticks) is level and all(side.level_of(order) is level for order in queue)
        backwards, slot = [], level.newest
        while slot:
            order = side.pool.at(slot)
            backwards.append(order)
            slot = order.older
        assert backwards == queue[::-1]
    assert side.levels == levels[::-1] and best is (levels[0] if levels else None)
    assert all(side.level_at(price_ticks) is None for price_ticks in range(8) if price_ticks not in prices)


@pytest.mark.parametrize("side_of_book", [BUY, SELL])
@settings(deadline=None)
@given(steps=STEPS)
def test_a_side_is_a_list_of_orders_by_price_and_time(
    side_of_book: int, steps: list[tuple[str, int, int, int]]
) -> None:
    side, naive = BookSide(side_of_book, OrderPool()), list[Order]()
    for number, (what, which, lots, display_lots) in enumerate(steps):
        if what == "add":
            order = _order(side, number, which, lots, display_lots)
            side.add(order)
            naive.append(order)
        elif naive and what == "remove":
            order = naive.pop(which % len(naive))
            side.remove(order)
            assert (order.level, order.older, order.newer) == (0, 0, 0)
        elif naive:
            order = naive[which % len(naive)]
            open_lots, shown = order.open_lots, shown_lots(order)
            if what == "reduce" and lots < shown:
                side.reduce(order, lots)
                assert (order.open_lots, shown_lots(order)) == (open_lots - lots, shown - lots)
            elif what == "shrink" and lots < open_lots:
                side.shrink(order, lots)
                # What is hidden goes first.
                assert (order.open_lots, shown_lots(order)) == (open_lots - lots, min(shown, open_lots - lots))
        _assert_equal(side, naive)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_order_leaves_any_place_of_its_queue(place: int) -> None:
    side = BookSide(SELL, OrderPool())
    orders = [_order(side, number, 10, 1) for number in range(3)]
    for order in orders:
        side.add(order)
    side.remove(orders.pop(place))
    _assert_equal(side, orders)


def test_the_best_bid_is_the_highest_and_the_best_ask_the_lowest() -> None:
    book = Book(OrderPool())
    for price_ticks in (9, 11, 10):
        book.bids.add(_order(book.bids, price_ticks, price_ticks, 1))
        book.asks.add(_order(book.asks, price_ticks, price_ticks + 10, 1))
    assert [level.price_ticks for level in book.bids.levels_from_best(2)] == [11, 10]
    assert [level.price_ticks for level in book.asks.levels_from_best(2)] == [19, 20]
    assert book.bids.levels_from_best(0) == []
    assert book.side(BUY) is book.bids and book.side(SELL) is book.asks
    assert book.opposite(BUY) is book.asks and book.opposite(SELL) is book.bids


def test_a_level_in_the_middle_disappears_with_its_last_order() -> None:
    side = BookSide(BUY, OrderPool())
    orders = [_order(side, price_ticks, price_ticks, 1) for price_ticks in (9, 10, 11)]
    for order in orders:
        side.add(order)
    side.remove(orders.pop(1))
    _assert_equal(side, orders)


@pytest.mark.parametrize("lots", [0, -1, 5, 6])
def test_reducing_by_nothing_or_by_everything_is_a_bug(lots: int) -> None:
    side = BookSide(BUY, OrderPool())
    order = _order(side, 1, 10, 5)
    side.add(order)
    with pytest.raises(AssertionError):
        side.reduce(order, lots)


@pytest.mark.parametrize("lots", [3, 4, -1, 0])
def test_reducing_an_iceberg_by_all_that_it_shows_is_a_bug(lots: int) -> None:
    side = BookSide(BUY, OrderPool())
    order = _order(side, 1, 10, 9, 3)
    side.add(order)
    with pytest.raises(AssertionError):
        side.reduce(order, lots)


@pytest.mark.parametrize("lots", [-1, 5, 6])
def test_shrinking_by_everything_or_more_is_a_bug(lots: int) -> None:
    side = BookSide(BUY, OrderPool())
    order = _order(side, 1, 10, 5)
    side.add(order)
    with pytest.raises(AssertionError):
        side.shrink(order, lots)


def test_a_level_shows_slices_and_all_of_plain_orders() -> None:
    side = BookSide(SELL, OrderPool())
    for order in (_order(side, 1, 10, 9, 3), _order(side, 2, 10, 2)):
        side.add(order)
    (level,) = side.levels_from_best(1)
    assert (level.shown_lots, level.open_lots, level.order_count) == (5, 11, 2)


def test_removing_what_does_not_rest_is_a_bug() -> None:
    side = BookSide(BUY, OrderPool())
    order = _order(side, 1, 10, 5)
    with pytest.raises(AssertionError):
        side.remove(order)
