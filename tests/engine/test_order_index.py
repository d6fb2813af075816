"""The index of open orders: what is open, how many wait, and the counters that all markets share."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.book import Order
from engine.order_index import OrderIndex
from engine.types import BUY, OPEN, WAITING


def _order(order_id: int, account_id: int, status: int) -> Order:
    order = Order(order_id, account_id, 1, BUY, b"c")
    order.status = status
    return order


@given(steps=st.lists(st.tuples(st.booleans(), st.integers(1, 3), st.sampled_from((OPEN, WAITING))), max_size=40))
def test_the_index_counts_what_is_open_and_what_waits(steps: list[tuple[bool, int, int]]) -> None:
    index, naive = OrderIndex(), list[Order]()
    for number, (comes, account_id, status) in enumerate(steps):
        if comes or not naive:
            naive.append(_order(number, account_id, status))
            index.enlist(naive[-1])
        else:
            index.strike(naive.pop(number % len(naive)))
        for one in (1, 2, 3):
            mine = [order for order in naive if order.account_id == one]
            assert index.open_count(one) == len(mine)
            assert index.waiting_count(one) == len([order for order in mine if order.status == WAITING])
            assert {*index.open_orders.get(one, {})} == {order.order_id for order in mine}
        # An account with nothing has no entry: two histories that come to the same are equal.
        assert all(index.open_orders.values()) and all(index.waiting_counts.values())


def test_trades_and_places_are_numbered_from_one_without_gaps() -> None:
    index = OrderIndex()
    assert [index.next_trade_id() for _ in range(3)] == [1, 2, 3]
    assert [index.next_priority() for _ in range(3)] == [1, 2, 3]
    assert (index.last_trade_id, index.last_priority) == (3, 3)
