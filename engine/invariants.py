"""What must always be true, whatever was asked: checked in tests, in replay and before a snapshot.

The list is the rulebook's ("Invariants to assert after every step") as far as one state can show it. Each
failure is an assertion with the values in its message.
"""

from __future__ import annotations

from itertools import pairwise

from engine.arena import SEGMENT_SHIFT
from engine.book import BookSide
from engine.closed_orders import ClosedOrders
from engine.dedup import Receipts
from engine.machine import Machine
from engine.market import Market
from engine.order_index import OrderIndex
from engine.orders import Order, shown_lots
from engine.stops import would_trigger
from engine.types import (
    AMOUNT_MAX,
    AUCTION,
    BUY,
    DELISTED,
    FEE_SCALE,
    LIMIT,
    NO_TRIGGER,
    OPEN,
    POST_ONLY,
    SELL,
    TRADING,
    WAITING,
)
from engine.uncross import indicative_price


def assert_sound(machine: Machine) -> None:
    """Check balances, holds, orders and books against each other. Takes time in proportion to the state."""
    held_units = _assert_orders_sound(machine)
    _assert_closed_orders_sound(machine.trading.index)
    for holds in (machine.withdrawals.holds(), machine.transfers.holds(), machine.sales.holds()):
        for account_id, asset_id, units in holds:
            held_units[account_id, asset_id] = held_units.get((account_id, asset_id), 0) + units
    _assert_balances_sound(machine, held_units)
    for market in machine.trading.markets:
        _assert_book_sound(market)
        _assert_stops_sound(market)
        _assert_session_sound(machine, market)
    _assert_receipts_sound(machine.receipts)
    machine.receipts.arena.assert_digests_fit()
    machine.trading.index.closed.arena.assert_digests_fit()


def _assert_receipts_sound(receipts: Receipts) -> None:
    receipt = receipts.oldest()
    while receipt:
        name, account_id = receipts.request_id(receipt), receipts.account_id(receipt)
        found = receipts.find(account_id, name, 0, len(name))
        assert found == receipt, ("one id has two receipts", account_id, name)
        receipt = receipts.after(receipt)


def _assert_closed_orders_sound(index: OrderIndex) -> None:
    """Check every row by itself, and that those and only those are found whose receipt is remembered."""
    closed: ClosedOrders = index.closed
    remembered = 0
    by_segment: dict[int, int] = {}
    row = closed.oldest()
    while row:
        order_id = closed.order_id(row)
        if closed.is_remembered(row):
            remembered += 1
            by_segment[row >> SEGMENT_SHIFT] = by_segment.get(row >> SEGMENT_SHIFT, 0) + 1
            order = closed.copy(row)
            assert index.find_row(order_id) == row, ("a closed order is not found by its number", order_id)
            assert order.status not in (OPEN, WAITING), ("an open order is among the closed ones", order_id)
            assert order.open_lots == 0 and order.held_units == 0, ("a closed order holds", order_id)
            _assert_order_sound(index, order)
        else:
            assert index.find_row(order_id) != row, ("an order outlives its receipt", order_id)
        row = closed.after(row)
    assert remembered == len(closed), ("closed orders are miscounted", remembered, len(closed))
    for segment, count in by_segment.items():
        assert closed.remembered_in(segment) == count, ("a segment's closed orders are miscounted", segment, count)
    assert remembered or not closed.oldest(), "rows of which nobody is remembered are not dropped"


def _assert_order_sound(index: OrderIndex, order: Order) -> None:
    """What holds for open and for closed orders."""
    receipts = index.receipts
    assert receipts.arena.holds(receipts.arena.position(order.receipt)), ("its receipt is forgotten", order.order_id)
    assert receipts.order_id(order.receipt) == order.order_id, ("not its receipt", order.order_id)
    parts = order.open_lots + order.executed_lots + order.prevented_lots + order.cancelled_lots
    assert order.quantity_lots == parts, ("quantity is not the sum of its parts", order.order_id)
    assert 0 <= order.fee_overpaid_ppm < FEE_SCALE, ("fee not rounded up once", order.order_id)


def _assert_orders_sound(machine: Machine) -> dict[tuple[int, int], int]:
    """Check every open order by itself. Answers what all of them hold, by account and asset."""
    held_units: dict[tuple[int, int], int] = {}
    open_count = 0
    open_by_market: dict[int, int] = {}
    waiting_by_account: dict[int, int] = {}
    index: OrderIndex = machine.trading.index
    for order in index.pool.in_use():
        assert index.find_open(order.order_id) is order, ("an order is not found by its number", order.order_id)
        assert order.status in (OPEN, WAITING), ("a closed order is among the open ones", order.order_id)
        _assert_order_sound(index, order)
        open_count += 1
        market = machine.trading.market_of(order)
        open_by_market[order.market_id] = open_by_market.get(order.market_id, 0) + 1
        if order.status == WAITING:
            waiting_by_account[order.account_id] = waiting_by_account.get(order.account_id, 0) + 1
            assert order.trigger != NO_TRIGGER and order.stop_ticks > 0 and not order.level, order.order_id
            assert order.executed_lots == 0, ("a waiting order was executed", order.order_id)
        else:
            assert order.open_lots > 0 and order.level and order.price_ticks > 0, order.order_id
            in_auction = market.session.state == AUCTION
            assert order.order_type == LIMIT or in_auction, ("a market order rests", order.order_id)
            assert market.book.side(order.side).level_of(order).price_ticks == order.price_ticks, order.order_id
        assert order.held_units == market.held_for(order), ("a hold is not what the order needs", order.order_id)
        assert not order.before or index.pool.at(order.before).after == order.slot, order.order_id
        if order.is_special and order.linked_order_id:
            _assert_pair_sound(machine, order)
        key = (order.account_id, market.held_asset_id(order))
        held_units[key] = held_units.get(key, 0) + order.held_units
    indexed = 0
    for account_id in index.accounts():
        own = index.open_orders(account_id)
        assert len(own) == index.open_count(account_id), ("an account's open orders are miscounted", account_id)
        for order in own:
            assert order.account_id == account_id, ("an order of another account", order.order_id)
            assert order.status in (OPEN, WAITING), ("a closed order in the index of open ones", order.order_id)
        indexed += len(own)
    assert open_count == indexed, ("the index of open orders differs", open_count, indexed)
    for account_id in range(len(machine.registry.accounts)):
        waiting = waiting_by_account.get(account_id, 0)
        assert index.waiting_count(account_id) == waiting, ("the counts of waiting orders differ", account_id)
    for market in machine.trading.markets:
        miscount = market.open_count, open_by_market.get(market.market_id, 0)
        assert miscount[0] == miscount[1], ("a market miscounts its orders", market.market_id, miscount)
    return held_units


def _assert_pair_sound(machine: Machine, order: Order) -> None:
    """While both legs of a pair live, neither was touched."""
    other = machine.trading.index.find_open(order.linked_order_id)
    if other is not None:
        assert order.executed_lots == 0 and order.prevented_lots == 0, ("a touched leg has another", order.order_id)
        assert other.linked_order_id == order.order_id, order.order_id


def _assert_balances_sound(machine: Machine, held_units: dict[tuple[int, int], int]) -> None:
    totals: dict[int, int] = {}
    for account_id, asset_id, available, held in machine.ledger.rows():
        assert 0 <= available <= AMOUNT_MAX and 0 <= held <= AMOUNT_MAX, (account_id, asset_id, available, held)
        expected = held_units.pop((account_id, asset_id), 0)
        assert held == expected, ("held is not the sum of the open orders' needs", account_id, asset_id, held, expected)
        totals[asset_id] = totals.get(asset_id, 0) + available + held
    for asset_id, in_flight in machine.group_transfers.in_flight_units().items():
        totals[asset_id] = totals.get(asset_id, 0) + in_flight
    assert not any(held_units.values()), ("open orders hold what the ledger does not", held_units)
    for asset_id, supply in machine.ledger.supplies():
        assert totals.pop(asset_id, 0) == supply <= AMOUNT_MAX, ("money is not conserved", asset_id, supply)
    assert not totals, ("balances without a supply", totals)
    deposited: dict[int, int] = {}
    for deposit in machine.registry.deposits.values():
        deposited[deposit.asset_id] = deposited.get(deposit.asset_id, 0) + deposit.amount_units
    for asset_id, paid in machine.withdrawals.paid_units().items():
        deposited[asset_id] = deposited.get(asset_id, 0) - paid
    for asset_id, net_received in machine.group_transfers.net_received_units().items():
        deposited[asset_id] = deposited.get(asset_id, 0) + net_received
    assert deposited == dict(machine.ledger.supplies()), (
        "the supply is not what was deposited less what was paid out, and what came from other groups"
    )


def _assert_book_sound(market: Market) -> None:
    """A book may be crossed only while nothing trades for now (rulebook, invariant 2)."""
    best_bid, best_ask = market.book.bids.best(), market.book.asks.best()
    if market.session.state in (TRADING, POST_ONLY) and best_bid is not None and best_ask is not None:
        assert best_bid.price_ticks < best_ask.price_ticks, ("the book is crossed", market.spec.name)
    if market.session.state in (TRADING, POST_ONLY):
        _assert_nothing_rests_beyond_the_band(market)
    for side in (market.book.bids, market.book.asks):
        _assert_side_sound(side)


def _assert_nothing_rests_beyond_the_band(market: Market) -> None:
    """What only a trade outside the band could meet would block everybody who comes (ADR 0012)."""
    session, name = market.session, market.spec.name
    distance_ticks = session.last_price_ticks * session.rules.band_ppm // FEE_SCALE
    best_bid, best_ask = market.book.bids.best(), market.book.asks.best()
    if not session.last_price_ticks or not session.rules.band_ppm:
        return
    if best_bid is not None:
        assert best_bid.price_ticks <= session.last_price_ticks + distance_ticks, ("a bid above the band", name)
    if best_ask is not None:
        assert best_ask.price_ticks >= session.last_price_ticks - distance_ticks, ("an ask below the band", name)


def _assert_stops_sound(market: Market) -> None:
    """Stops stand in the order of election, and in an open market none waits that the last price elects."""
    for side in (BUY, SELL):
        waiting = [order for order in market.stops.orders() if order.side == side]
        keys = [(order.stop_ticks if side == BUY else -order.stop_ticks, order.priority) for order in waiting]
        assert keys == sorted(keys), ("stops are out of order", market.spec.name)
        for order in waiting:
            assert order.status == WAITING, ("a stop waits that does not", order.order_id)
            elected = would_trigger(order, market.session.last_price_ticks)
            assert not (elected and market.session.state == TRADING), ("a stop missed its election", order.order_id)


def _assert_session_sound(machine: Machine, market: Market) -> None:
    session, market_id = market.session, market.spec.market_id
    assert (market_id in machine.sessions.auctions) == (session.state == AUCTION), ("auctions", market_id)
    assert not market.first_trade_ticks, ("trades that elected nothing yet", market_id)
    if session.state == AUCTION:
        assert session.indicative == indicative_price(market), ("the indicative price is old", market_id)
    if session.state == DELISTED:
        assert market.open_count == 0, ("a delisted market has orders", market_id)


def _assert_side_sound(side: BookSide) -> None:
    keys = [level.key for level in side.levels]
    assert keys == sorted(set(keys)), "the levels are not in order"
    for level in side.levels:
        key, queue = level.key, side.orders(level)
        assert queue and side.key_of(level.price_ticks) == key, ("an empty or misplaced level", key)
        assert side.level_at(level.price_ticks) is level, ("a level is not found by its price", key)
        assert level.order_count == len(queue) and level.shown_lots == sum(shown_lots(order) for order in queue), key
        assert level.open_lots == sum(order.open_lots for order in queue), key
        assert all(_comes_before(first, second) for first, second in pairwise(queue)), (
            "the queue is not in time order",
            key,
        )
        assert all(0 < shown_lots(order) <= order.open_lots for order in queue), ("an order shows nothing", key)
        assert all(order.level == level.number and order.side == side.side for order in queue), key


def _comes_before(first: Order, second: Order) -> bool:
    return first.priority < second.priority and first.newer == second.slot and second.older == first.slot
