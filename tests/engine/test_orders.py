"""Orders and their pool: what a new order is, and that a place is nobody's twice."""

from __future__ import annotations

from random import Random

import pytest

from engine.orders import Order, OrderPool, SpecialOrder, begin, shown_lots, special
from engine.types import BUY, NO_TRIGGER, NOT_CLOSED, OPEN, SELL, STOP
from tests.engine.test_state_hash import fields_of

# What is said of an order from its beginning, and what is not: all that is 0 then.
SAID = {"order_id", "account_id", "market_id", "side", "status", "close_reason", "slot", "is_special", "trigger"}
NUMBERS = fields_of(Order) - SAID
SPECIAL_NUMBERS = fields_of(SpecialOrder) - NUMBERS - SAID


def _assert_new(order: Order, order_id: int, account_id: int, market_id: int, side: int) -> None:
    assert (order.order_id, order.account_id, order.market_id, order.side) == (order_id, account_id, market_id, side)
    assert (order.status, order.close_reason, order.trigger) == (OPEN, NOT_CLOSED, NO_TRIGGER)
    for field in NUMBERS | SPECIAL_NUMBERS:
        assert getattr(order, field) == 0, field


def _spoil(order: Order) -> None:
    for field in NUMBERS:
        setattr(order, field, 7)
    order.status, order.close_reason, order.level = 3, 4, 0
    if isinstance(order, SpecialOrder):
        for field in SPECIAL_NUMBERS:
            setattr(order, field, 7)
        order.trigger = STOP


def test_an_order_is_open_and_empty_at_first() -> None:
    _assert_new(Order(), 0, 0, 0, BUY)
    _assert_new(SpecialOrder(), 0, 0, 0, BUY)
    assert not Order().is_special and SpecialOrder().is_special


def test_beginning_anew_leaves_nothing_but_the_place_and_the_kind() -> None:
    order = OrderPool().take(1, 2, 3, SELL)
    slot = order.slot
    _spoil(order)
    begin(order, (1 << 64) - 1, (1 << 32) - 1, (1 << 32) - 1, BUY)
    _assert_new(order, (1 << 64) - 1, (1 << 32) - 1, (1 << 32) - 1, BUY)
    assert order.slot == slot and not order.is_special


@pytest.mark.parametrize("field", sorted({*SPECIAL_NUMBERS, "trigger"}))
def test_what_few_orders_have_no_other_can_be_given(field: str) -> None:
    order = Order()
    with pytest.raises(AttributeError):
        setattr(order, field, 1)
    assert getattr(order, field) == 0


@pytest.mark.parametrize("chance_of_special", [0.0, 0.4, 1.0])
def test_a_place_is_one_orders_until_it_is_given_back(chance_of_special: float) -> None:
    random, pool, naive = Random(7), OrderPool(), dict[int, Order]()
    most, reused = 0, 0
    for number in range(1, 3_001):
        if random.random() < 0.52 or not naive:
            take = pool.take_special if random.random() < chance_of_special else pool.take
            order = take(number, number + 1, number + 2, number % 2)
            _assert_new(order, number, number + 1, number + 2, number % 2)
            assert order.slot > 0 and order.slot not in naive, "slot 0 is nobody's"
            assert order.is_special == isinstance(order, SpecialOrder) == (take == pool.take_special)
            reused += order.slot <= most
            most = max(most, order.slot)
            naive[order.slot] = order
        else:
            order = naive.pop(random.choice(list(naive)))
            _spoil(order)
            pool.give_back(order)
        if number % 50 == 0:
            assert [order.slot for order in pool.in_use()] == sorted(naive)
            assert all(pool.at(slot) is order for slot, order in naive.items())
    assert reused > 500, "places that were given back serve again"


def test_an_order_that_rests_is_not_given_back() -> None:
    pool = OrderPool()
    order = pool.take(1, 1, 1, BUY)
    order.level = 1
    with pytest.raises(AssertionError):
        pool.give_back(order)


def test_the_place_of_a_special_order_that_was_given_back_has_none() -> None:
    pool = OrderPool()
    order = pool.take_special(1, 1, 1, BUY)
    pool.give_back(order)
    with pytest.raises(AssertionError):
        pool.at(order.slot)


def test_a_reservation_is_used_before_any_other_place_and_is_not_in_use() -> None:
    pool = OrderPool()
    first = pool.take(1, 1, 1, BUY)
    pool.reserve(100)
    assert pool.in_use() == [first]
    taken = [pool.take(number, 1, 1, SELL) for number in range(100)]
    assert sorted(order.slot for order in taken) == list(range(first.slot + 1, first.slot + 101))
    for number, order in enumerate(taken):
        _assert_new(order, number, 1, 1, SELL)
    assert pool.take(101, 1, 1, BUY).slot == first.slot + 101


def test_an_iceberg_shows_its_slice_and_every_other_order_all_that_is_open() -> None:
    plain, other, iceberg = Order(), SpecialOrder(), SpecialOrder()
    plain.open_lots = other.open_lots = iceberg.open_lots = 9
    other.visible_lots = 0
    iceberg.display_lots, iceberg.visible_lots = 4, 3
    assert (shown_lots(plain), shown_lots(other), shown_lots(iceberg)) == (9, 9, 3)


def test_only_a_special_order_is_known_to_be_special() -> None:
    order = SpecialOrder()
    assert special(order) is order
    plain = Order()
    with pytest.raises(AssertionError):
        special(plain)
