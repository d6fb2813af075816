"""The index of orders: by number, what is open, how many wait, and the counters that all markets share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.dedup import Receipt, Receipts
from engine.order_index import OrderIndex
from engine.orders import Order
from engine.types import BUY, FILLED, OPEN, SECOND_LEG, WAITING
from tests.engine.test_dedup import remember

ACCOUNTS = (1, 2, 3, 9)  # the last one has nothing


def _order(index: OrderIndex, order_id: int, account_id: int, status: int) -> Order:
    order = index.pool.take(order_id, account_id, 1, BUY)
    order.status = status
    return order


@given(steps=st.lists(st.tuples(st.booleans(), st.integers(1, 3), st.sampled_from((OPEN, WAITING))), max_size=40))
def test_the_index_counts_what_is_open_and_what_waits(steps: list[tuple[bool, int, int]]) -> None:
    index, naive = OrderIndex(Receipts()), list[Order]()
    for number, (comes, account_id, status) in enumerate(steps):
        if comes or not naive:
            naive.append(_order(index, number, account_id, status))
            index.enlist(naive[-1])
        else:
            index.strike(naive.pop(number % len(naive)))
        for one in ACCOUNTS:
            mine = [order for order in naive if order.account_id == one]
            found = index.open_orders(one)
            assert index.open_count(one) == len(found) == len(mine)
            assert index.waiting_count(one) == len([order for order in mine if order.status == WAITING])
            assert {order.order_id for order in found} == {order.order_id for order in mine}
        # An account with nothing is not told: two histories that come to the same are equal.
        assert index.accounts() == sorted({order.account_id for order in naive})


@given(steps=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.booleans()), max_size=60))
def test_orders_are_found_by_number_until_they_are_forgotten(steps: list[tuple[int, int, bool]]) -> None:
    """Open ones themselves, closed ones as copies."""
    index, opened, closed = OrderIndex(Receipts()), dict[int, Order](), dict[int, int]()
    receipt = remember(index.receipts, Receipt(1, b"id", 1, b"", 1, 0, 1, 0))
    for lots, (step, which, special) in enumerate(steps):
        numbers = [which + 1, which + 1 + SECOND_LEG]  # no order has the number 0
        for number in numbers:
            if step <= 1 and number not in opened and number not in closed:
                order: Order = index.pool.take_special(number, 1, 1, BUY) if special else _order(index, number, 1, OPEN)
                opened[number] = order
                index.add(order, receipt)
            elif step == 2 and number in opened:
                order = opened.pop(number)
                order.status, order.executed_lots, closed[number] = FILLED, lots, lots
                index.close(order)
                assert index.find(number) is order, "until the command is done"
            elif step == 3 and number in closed:
                index.forget(number)
                del closed[number]
        index.write_down_closed()
        assert len(index) == len(opened) + len(closed) and len(index.closed) == len(closed)
        # Rows of orders that were forgotten here are told as well, since their receipt is still remembered.
        assert {*opened, *closed} <= {order.order_id for order in index.remembered()}
        for number in range(8):
            for one in (number, number + SECOND_LEG):
                assert index.find_open(one) is opened.get(one)
                assert (index.find_row(one) != 0) == (one in closed)
                found = index.find(one)
                if one in closed:
                    assert found is not None and found is not index.find(one), "a copy for each who asks"
                    assert (found.order_id, found.status, found.executed_lots) == (one, FILLED, closed[one])
                else:
                    assert found is opened.get(one)
    assert index.closed.oldest() != 0 or not closed


def test_an_open_order_is_not_forgotten() -> None:
    index = OrderIndex(Receipts())
    index.add(_order(index, 5, 1, OPEN), 0)
    with pytest.raises(AssertionError):
        index.forget(5)
    index.forget(6)  # of what there is no order, nothing is forgotten
    assert len(index) == 1


def test_an_order_is_called_what_its_receipt_says() -> None:
    receipts = Receipts()
    index = OrderIndex(receipts)
    order, other = _order(index, 1, 7, OPEN), _order(index, 2, 7, OPEN)
    index.add(order, remember(receipts, Receipt(7, b"client-id", 1, b"content", 1, 0, 1, 0)))
    index.add(other, 0)
    other.receipt = remember(receipts, Receipt(7, b"named-later", 1, b"content", 2, 0, 2, 0))
    assert index.client_order_id(order) == b"client-id" and index.client_order_id(other) == b"named-later"


def test_trades_and_places_are_numbered_from_one_without_gaps() -> None:
    index = OrderIndex(Receipts())
    assert [index.next_trade_id() for _ in range(3)] == [1, 2, 3]
    assert [index.next_priority() for _ in range(3)] == [1, 2, 3]
    assert (index.last_trade_id, index.last_priority) == (3, 3)
