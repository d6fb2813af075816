"""What must always be true, whatever was asked: checked in tests, in replay and before a snapshot.

The list is the rulebook's ("Invariants to assert after every step") as far as one state can show it. Each
failure is an assertion with the values in its message.
"""

from __future__ import annotations

from itertools import pairwise

from engine.book import BookSide, Order
from engine.machine import Machine
from engine.matching import Matcher
from engine.types import AMOUNT_MAX, FEE_SCALE, LIMIT, OPEN


def assert_sound(machine: Machine) -> None:
    """Check balances, holds, orders and books against each other. Takes time in proportion to the state."""
    held_units = _assert_orders_sound(machine)
    _assert_balances_sound(machine, held_units)
    for matcher in machine.trading.matchers.values():
        _assert_book_sound(matcher)
    for receipt in machine.receipts.in_queue_order():
        found = machine.receipts.find(receipt.account_id, receipt.request_id)
        assert found is receipt, ("one id has two receipts", receipt.account_id, receipt.request_id)


def _assert_orders_sound(machine: Machine) -> dict[tuple[int, int], int]:
    """Check every order by itself. Answers what all open orders hold, by account and asset."""
    held_units: dict[tuple[int, int], int] = {}
    open_count = 0
    for order in machine.trading.orders.values():
        parts = order.open_lots + order.executed_lots + order.prevented_lots + order.cancelled_lots
        assert order.quantity_lots == parts, ("quantity is not the sum of its parts", order.order_id)
        assert 0 <= order.fee_overpaid_ppm < FEE_SCALE, ("fee not rounded up once", order.order_id)
        if order.status != OPEN:
            assert order.open_lots == 0 and order.held_units == 0, ("a closed order holds", order.order_id)
            assert order.level is None, ("a closed order rests", order.order_id)
            continue
        open_count += 1
        matcher = machine.trading.matchers[order.market_id]
        assert order.open_lots > 0 and order.level is not None and order.order_type == LIMIT, order.order_id
        assert order.level.price_ticks == order.price_ticks, order.order_id
        assert order.held_units == matcher.held_for(order), ("a hold is not what the order needs", order.order_id)
        assert machine.trading.open_orders[order.account_id][order.order_id] is order, order.order_id
        key = (order.account_id, matcher.held_asset_id(order))
        held_units[key] = held_units.get(key, 0) + order.held_units
    indexed = sum(len(orders) for orders in machine.trading.open_orders.values())
    assert open_count == indexed, ("the index of open orders differs", open_count, indexed)
    return held_units


def _assert_balances_sound(machine: Machine, held_units: dict[tuple[int, int], int]) -> None:
    totals: dict[int, int] = {}
    for account_id, asset_id, available, held in machine.ledger.rows():
        assert 0 <= available <= AMOUNT_MAX and 0 <= held <= AMOUNT_MAX, (account_id, asset_id, available, held)
        expected = held_units.pop((account_id, asset_id), 0)
        assert held == expected, ("held is not the sum of the open orders' needs", account_id, asset_id, held, expected)
        totals[asset_id] = totals.get(asset_id, 0) + available + held
    assert not any(held_units.values()), ("open orders hold what the ledger does not", held_units)
    for asset_id, supply in machine.ledger.supplies():
        assert totals.pop(asset_id, 0) == supply <= AMOUNT_MAX, ("money is not conserved", asset_id, supply)
    assert not totals, ("balances without a supply", totals)
    deposited: dict[int, int] = {}
    for deposit in machine.registry.deposits.values():
        deposited[deposit.asset_id] = deposited.get(deposit.asset_id, 0) + deposit.amount_units
    assert deposited == dict(machine.ledger.supplies()), "the supply is not the sum of the deposits"


def _assert_book_sound(matcher: Matcher) -> None:
    book = matcher.book
    best_bid, best_ask = book.bids.best(), book.asks.best()
    if best_bid is not None and best_ask is not None:
        assert best_bid.price_ticks < best_ask.price_ticks, ("the book is crossed", matcher.market.name)
    for side in (book.bids, book.asks):
        _assert_side_sound(side)


def _assert_side_sound(side: BookSide) -> None:
    assert side.keys == sorted(side.levels), "the keys are not those of the levels, in order"
    for key in side.keys:
        level = side.levels[key]
        queue = level.orders()
        assert queue and side.key_of(level.price_ticks) == key == level.key, ("an empty or misplaced level", key)
        assert level.order_count == len(queue) and level.open_lots == sum(order.open_lots for order in queue), key
        assert all(_comes_before(first, second) for first, second in pairwise(queue)), (
            "the queue is not in time order",
            key,
        )
        assert all(order.level is level and order.side == side.side for order in queue), key


def _comes_before(first: Order, second: Order) -> bool:
    return first.priority < second.priority and first.newer is second and second.older is first
