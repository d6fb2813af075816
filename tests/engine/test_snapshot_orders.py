"""The rows of open orders in a snapshot: every number survives, in an order that the state itself defines."""

from __future__ import annotations

from operator import attrgetter
from random import Random

import pytest

from engine.dedup import Receipts
from engine.order_index import OrderIndex
from engine.orders import Order, SpecialOrder
from engine.snapshot_orders import append_orders, read_orders
from engine.types import OPEN, SECOND_LEG, WAITING
from tests.engine.workload_edges import edges_of

FIELDS = {
    "account_id": "I",
    "market_id": "I",
    "fee_overpaid_ppm": "I",
    **dict.fromkeys(("side", "order_type", "time_in_force", "post_only", "self_trade", "close_reason"), "B"),
    **dict.fromkeys(("price_ticks", "quantity_lots", "open_lots", "executed_lots", "prevented_lots"), "q"),
    **dict.fromkeys(("cancelled_lots", "notional_units", "fee_units", "held_units", "accepted_at_ns"), "q"),
}
SPECIAL_FIELDS = {
    "linked_order_id": "Q",
    "trail_ppm": "I",
    "trigger": "B",
    **dict.fromkeys(
        ("budget_units", "stop_ticks", "trail_ticks", "display_lots", "visible_lots", "expires_at_ns"), "q"
    ),
}


def _filled(seed: int, count: int) -> OrderIndex:
    """Orders of all kinds with numbers at the edges of their fields."""
    random, index = Random(seed), OrderIndex(Receipts())
    numbers = random.sample([*range(1, count), *(SECOND_LEG + number for number in range(1, count))], count)
    for priority, number in enumerate(random.sample(numbers, count)):
        order: Order
        if random.random() < 0.5:
            order = index.pool.take_special(number, 0, 0, 0)
        else:
            order = index.pool.take(number, 0, 0, 0)
        for field, code in (FIELDS | (SPECIAL_FIELDS if order.is_special else {})).items():
            setattr(order, field, random.choice(edges_of(code)))
        order.status = random.choice((OPEN, WAITING))
        order.priority = priority
        index.add(order, random.choice((1, 1 << 17, (1 << 32) - 1)))
    return index


def _rows(index: OrderIndex) -> tuple[bytes, int]:
    out = bytearray(b"before")
    count = append_orders(index, out)
    assert out.startswith(b"before")
    return bytes(out[6:]), count


def _told(order: Order) -> tuple[object, ...]:
    fields = ("order_id", "is_special", "status", "priority", "receipt", *FIELDS, *SPECIAL_FIELDS)
    return tuple(getattr(order, field) for field in fields)


@pytest.mark.parametrize("seed", range(5))
def test_orders_survive_with_all_their_numbers(seed: int) -> None:
    index = _filled(seed, 200)
    data, count = _rows(index)
    again, opened = OrderIndex(Receipts()), list[Order]()
    assert read_orders(again, b"***" + data + b"behind", 3, count, opened) == 3 + len(data)
    assert count == len(index) == len(again) == 200
    for order in index.remembered():
        found = again.find(order.order_id)
        assert found is not None and _told(found) == _told(order)
        assert isinstance(found, SpecialOrder) == isinstance(order, SpecialOrder)
    assert _rows(again) == (data, count)


def test_orders_come_by_priority() -> None:
    index = _filled(7, 100)
    data, count = _rows(index)
    again, opened = OrderIndex(Receipts()), list[Order]()
    read_orders(again, data, 0, count, opened)
    assert opened == sorted(opened, key=attrgetter("priority")) == again.remembered()
    assert len(opened) == 100


def test_the_history_of_the_pool_is_not_in_the_rows() -> None:
    """Orders that came and went leave their places in another order; the rows are the same."""
    index, other, random = _filled(8, 60), OrderIndex(Receipts()), Random(9)
    data, count = _rows(index)
    gone = [other.pool.take(number, 1, 1, 0) for number in range(1, 50)]
    for order in random.sample(gone, len(gone)):
        other.pool.give_back(order)
    assert read_orders(other, data, 0, count, []) == len(data)
    assert {order.slot for order in index.remembered()} != {order.slot for order in other.remembered()}
    assert _rows(other) == (data, count)


def test_rows_that_are_cut_short_are_not_read() -> None:
    data, count = _rows(_filled(10, 4))
    for length in range(len(data)):
        with pytest.raises(IndexError):
            read_orders(OrderIndex(Receipts()), data[:length], 0, count, [])


def test_no_orders_have_no_rows() -> None:
    assert _rows(OrderIndex(Receipts())) == (b"", 0)
    assert read_orders(OrderIndex(Receipts()), b"", 0, 0, []) == 0
