"""The checker is checked: each planted defect makes it object."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from engine.arena import OWNERS, SEGMENT_HEADER_SIZE, SEGMENT_SIZE, UNIT_MASK
from engine.book import Level
from engine.codec import encode_command
from engine.commands import PlaceOrder
from engine.dedup import Receipt
from engine.event_writer import EventWriter
from engine.invariants import assert_sound
from engine.machine import Machine
from engine.market import Market
from engine.orders import Order
from engine.registry import DepositReceipt
from engine.snapshot import state_hash
from engine.types import AMOUNT_MAX, BUY, CANCELLED, FEE_SCALE, OPEN, SELL
from tests.engine.exchange import receipt_of
from tests.engine.snapshot_parts import change_closed, row_of_closed
from tests.engine.test_dedup import remember
from tests.engine.workload import EUR, GLD, LISTING, START_NS

MARKET_ID = 1
BIDDER, SELLER, SECOND_BIDDER = 1, 2, 3


def _place(account_id: int, side: int, price: int, quantity: int, name: bytes) -> PlaceOrder:
    return PlaceOrder(account_id, START_NS, MARKET_ID, side, 0, 0, 0, 0, price, 2, quantity, 3, name)


@pytest.fixture
def machine() -> Machine:
    """Two bids at one price, a part-filled bid below them, two asks; one order filled; odd fees."""
    machine = Machine()
    commands = [
        *LISTING,
        _place(BIDDER, BUY, 999, 17, b"b0"),
        _place(SELLER, SELL, 999, 6, b"s0"),
        _place(BIDDER, BUY, 1_000, 10, b"b1"),
        _place(SECOND_BIDDER, BUY, 1_000, 20, b"b2"),
        _place(SELLER, SELL, 1_001, 10, b"s1"),
        _place(SELLER, SELL, 1_002, 10, b"s2"),
    ]
    for command in commands:
        machine.apply(START_NS, encode_command(command))
    assert_sound(machine)
    return machine


def _order(machine: Machine, name: bytes) -> Order:
    index = machine.trading.index
    return next(order for order in index.remembered() if index.client_order_id(order) == name)


def _market(machine: Machine) -> Market:
    market = machine.trading.market(MARKET_ID)
    assert market is not None
    return market


def _level(machine: Machine, name: bytes) -> Level:
    """Where an order of this name rests."""
    order = _order(machine, name)
    return _market(machine).book.side(order.side).level_of(order)


def _balance(machine: Machine, account_id: int, asset_id: int, available_units: int, held_units: int) -> None:
    """Change a balance behind the ledger's back."""
    rows = {(row[0], row[1]): row[2:] for row in machine.ledger.rows()}
    available, held = rows[account_id, asset_id]
    rows[account_id, asset_id] = (available + available_units, held + held_units)
    machine.ledger.restore([(*key, *value) for key, value in rows.items()], machine.ledger.supplies())


def _quantity(machine: Machine) -> None:
    _order(machine, b"b0").executed_lots += 1


def _fee_remainder_of_a_unit(machine: Machine) -> None:
    change_closed(machine, b"s0", fee_overpaid_ppm=FEE_SCALE)


def _fee_remainder_of_many_units(machine: Machine) -> None:
    _order(machine, b"b1").fee_overpaid_ppm = (1 << 32) - 1


def _number_that_is_not_the_orders(machine: Machine) -> None:
    _order(machine, b"b1").order_id += 1_000


def _receipt_of_another_order(machine: Machine) -> None:
    _order(machine, b"b1").receipt = _order(machine, b"b0").receipt


def _receipt_of_another_closed_order(machine: Machine) -> None:
    change_closed(machine, b"s0", receipt=_order(machine, b"b0").receipt)


def _receipt_that_is_forgotten(machine: Machine) -> None:
    """The oldest one is of an order that rests."""
    machine.receipts.forget_oldest()


def _closed_order_that_outlives_its_receipt(machine: Machine) -> None:
    """No receipt stands at the very beginning of a segment."""
    change_closed(machine, b"s0", receipt=_order(machine, b"b0").receipt & ~UNIT_MASK)


def _closed_order_of_another_number(machine: Machine) -> None:
    change_closed(machine, b"s0", order_id=1_000)


def _closed_order_counted_twice(machine: Machine) -> None:
    machine.trading.index.closed.remember(row_of_closed(machine, b"s0"))


def _closed_order_counted_elsewhere(machine: Machine) -> None:
    segment = machine.trading.index.closed.arena.tail
    segment[OWNERS] += 1


def _row_that_should_be_dropped(machine: Machine) -> None:
    """Nobody's row, after the only closed order is forgotten."""
    index = machine.trading.index
    index.forget(index.closed.order_id(row_of_closed(machine, b"s0")))
    index.closed.arena.tail[SEGMENT_HEADER_SIZE:] = bytes(SEGMENT_SIZE - SEGMENT_HEADER_SIZE)
    index.closed.arena.append(124)


def _closed_order_holds(machine: Machine) -> None:
    change_closed(machine, b"s0", held_units=1)


def _closed_order_has_open_lots(machine: Machine) -> None:
    change_closed(machine, b"s0", open_lots=1, executed_lots=_order(machine, b"s0").executed_lots - 1)


def _closed_order_is_open(machine: Machine) -> None:
    change_closed(machine, b"s0", status=OPEN)


def _full_segment_that_changed(machine: Machine) -> None:
    """Since the state was hashed."""
    for number in range(1_100):
        remember(machine.receipts, Receipt(BIDDER, b"r%d" % number, 1, bytes(1_024), 10**6 + number, 1, 0, START_NS))
    state_hash(machine)
    machine.receipts.arena.segments[0][SEGMENT_HEADER_SIZE + 2_000] ^= 1


def _closed_order_rests(machine: Machine) -> None:
    _order(machine, b"b1").status = CANCELLED
    _order(machine, b"b1").cancelled_lots, _order(machine, b"b1").open_lots = 10, 0
    _order(machine, b"b1").held_units = 0


def _open_order_without_lots(machine: Machine) -> None:
    order = _order(machine, b"b1")
    order.open_lots, order.cancelled_lots = 0, 10


def _open_order_not_in_a_book(machine: Machine) -> None:
    _order(machine, b"b1").level = 0


def _market_order_rests(machine: Machine) -> None:
    _order(machine, b"b1").order_type = 1


def _order_at_another_price_than_its_level(machine: Machine) -> None:
    _order(machine, b"b1").price_ticks += 1


def _order_says_another_level_than_has_it(machine: Machine) -> None:
    _order(machine, b"b1").level = _order(machine, b"b0").level


def _hold_too_small(machine: Machine) -> None:
    """By one unit, and in the ledger too, so that only the order's need tells."""
    _order(machine, b"b1").held_units -= 1
    _balance(machine, BIDDER, EUR, 1, -1)


def _hold_ignores_the_fee_remainder(machine: Machine) -> None:
    """A remainder that is in range but not the one of its fills changes what the order needs."""
    order = _order(machine, b"b0")
    order.fee_overpaid_ppm = (order.fee_overpaid_ppm + FEE_SCALE // 2) % FEE_SCALE


def _order_missing_in_the_index(machine: Machine) -> None:
    machine.trading.index.strike(_order(machine, b"b2"))


def _closed_stranger(machine: Machine) -> Order:
    """An order of the seller that nobody finds by a number."""
    stranger = machine.trading.index.pool.take(0, SELLER, MARKET_ID, SELL)
    stranger.status = CANCELLED
    return stranger


def _stranger_in_the_index(machine: Machine) -> None:
    machine.trading.index.enlist(_closed_stranger(machine))


def _another_order_in_the_index(machine: Machine) -> None:
    """A closed order of the same account in the place of one that rests."""
    machine.trading.index.strike(_order(machine, b"s1"))
    machine.trading.index.enlist(_closed_stranger(machine))


def _order_of_another_account_in_the_index(machine: Machine) -> None:
    order = _order(machine, b"b1")
    machine.trading.index.strike(order)
    order.account_id = SELLER
    machine.trading.index.enlist(order)
    order.account_id = BIDDER


def _broken_link_in_the_index(machine: Machine) -> None:
    """Of the seller's two orders the one in front says that nothing is behind it."""
    first, second = machine.trading.index.open_orders(SELLER)
    assert second.before == first.slot
    first.after = 0


def _negative_balance(machine: Machine) -> None:
    """What one lacks the other has, so that the sum is right."""
    available = machine.ledger.available_units(BIDDER, GLD)
    _balance(machine, BIDDER, GLD, -available - 1, 0)
    _balance(machine, SECOND_BIDDER, GLD, available + 1, 0)


def _balance_beyond_the_largest(machine: Machine) -> None:
    _balance(machine, BIDDER, GLD, AMOUNT_MAX, 0)


def _held_without_an_order(machine: Machine) -> None:
    _balance(machine, SECOND_BIDDER, GLD, -1, 1)


def _held_by_orders_but_not_in_the_ledger(machine: Machine) -> None:
    """The account has no balance at all in the asset of its open order."""
    rows = [row for row in machine.ledger.rows() if row[:2] != (SECOND_BIDDER, EUR)]
    machine.ledger.restore(rows, machine.ledger.supplies())


def _money_from_nowhere(machine: Machine) -> None:
    _balance(machine, BIDDER, EUR, 1, 0)


def _money_lost(machine: Machine) -> None:
    _balance(machine, SELLER, EUR, -1, 0)


def _balance_without_a_supply(machine: Machine) -> None:
    machine.ledger.credit(BIDDER, 77, 5)


def _supply_without_a_deposit(machine: Machine) -> None:
    machine.ledger.deposit(BIDDER, EUR, 5)


def _deposit_without_a_supply(machine: Machine) -> None:
    machine.registry.deposits[b"planted"] = DepositReceipt(1, BIDDER, EUR, 5)


def _crossed_book(machine: Machine) -> None:
    """A bid as high as the best ask, correct in every other respect."""
    order = _order(machine, b"b1")
    market = _market(machine)
    market.lift(order)
    order.price_ticks = 1_001
    market.adjust_hold(order, market.held_for(order))
    market.rest(order)


def _queue_out_of_time_order(machine: Machine) -> None:
    """The older bid goes to the back of its queue and keeps its priority."""
    order = _order(machine, b"b1")
    market, priority = _market(machine), order.priority
    market.lift(order)
    market.rest(order)
    order.priority = priority


def _two_orders_of_one_priority(machine: Machine) -> None:
    _order(machine, b"b2").priority = _order(machine, b"b1").priority


def _queue_with_a_broken_link_back(machine: Machine) -> None:
    _order(machine, b"b2").older = 0


def _queue_with_a_broken_link_on(machine: Machine) -> None:
    _order(machine, b"b1").newer = 0


def _order_on_the_other_side(machine: Machine) -> None:
    """An order that calls itself a sell stands among the bids, with a hold that fits a sell."""
    order = _order(machine, b"b1")
    held_units = order.held_units
    order.side = SELL
    order.held_units = order.open_lots
    _balance(machine, BIDDER, EUR, held_units, -held_units)
    _balance(machine, BIDDER, GLD, -order.open_lots, order.open_lots)


def _levels_out_of_order(machine: Machine) -> None:
    _market(machine).book.bids.levels.reverse()


def _level_twice(machine: Machine) -> None:
    levels = _market(machine).book.bids.levels
    levels.append(levels[-1])


def _level_that_nobody_made(machine: Machine) -> None:
    level = Level()
    level.key = level.price_ticks = 5
    _market(machine).book.bids.levels.insert(0, level)


def _level_without_a_place_in_the_list(machine: Machine) -> None:
    del _market(machine).book.bids.levels[0]


def _level_at_another_key(machine: Machine) -> None:
    _level(machine, b"b1").key += 1


def _level_of_another_number(machine: Machine) -> None:
    _level(machine, b"b1").number += 1


def _level_counts_wrong(machine: Machine) -> None:
    _level(machine, b"b1").order_count += 1


def _level_adds_up_wrong(machine: Machine) -> None:
    _level(machine, b"b1").shown_lots -= 1


def _empty_level(machine: Machine) -> None:
    level = _level(machine, b"s2")
    _market(machine).cancel(_order(machine, b"s2"), 2, EventWriter())
    machine.trading.index.write_down_closed()
    _market(machine).book.asks.levels.insert(0, level)


def _two_receipts_of_one_id(machine: Machine) -> None:
    first = receipt_of(machine, BIDDER, b"b1")
    assert first is not None
    remember(machine.receipts, first)


# Each defect and what the checker says of it: "." where it only names the order, level or account.
DEFECTS: tuple[tuple[Callable[[Machine], None], str], ...] = (
    (_quantity, "quantity is not the sum"),
    (_fee_remainder_of_a_unit, "fee not rounded up once"),
    (_fee_remainder_of_many_units, "fee not rounded up once"),
    (_number_that_is_not_the_orders, "an order is not found by its number"),
    (_receipt_of_another_order, "not its receipt"),
    (_receipt_of_another_closed_order, "not its receipt"),
    (_receipt_that_is_forgotten, "its receipt is forgotten"),
    (_closed_order_that_outlives_its_receipt, "an order outlives its receipt"),
    (_closed_order_of_another_number, "a closed order is not found by its number"),
    (_closed_order_counted_twice, "closed orders are miscounted"),
    (_closed_order_counted_elsewhere, "a segment's closed orders are miscounted"),
    (_row_that_should_be_dropped, "rows of which nobody is remembered"),
    (_closed_order_holds, "a closed order holds"),
    (_closed_order_has_open_lots, "a closed order holds"),
    (_closed_order_is_open, "an open order is among the closed ones"),
    (_closed_order_rests, "a closed order is among the open ones"),
    (_full_segment_that_changed, "a full segment changed"),
    (_open_order_without_lots, "."),
    (_open_order_not_in_a_book, "."),
    (_market_order_rests, "."),
    (_order_at_another_price_than_its_level, "."),
    (_order_says_another_level_than_has_it, "."),
    (_hold_too_small, "a hold is not what the order needs"),
    (_hold_ignores_the_fee_remainder, "a hold is not what the order needs"),
    (_order_missing_in_the_index, "the index of open orders differs"),
    (_stranger_in_the_index, "a closed order in the index"),
    (_another_order_in_the_index, "a closed order in the index"),
    (_order_of_another_account_in_the_index, "an order of another account"),
    (_broken_link_in_the_index, "."),
    (_negative_balance, "."),
    (_balance_beyond_the_largest, "."),
    (_held_without_an_order, "held is not the sum"),
    (_held_by_orders_but_not_in_the_ledger, "open orders hold what the ledger does not"),
    (_money_from_nowhere, "money is not conserved"),
    (_money_lost, "money is not conserved"),
    (_balance_without_a_supply, "balances without a supply"),
    (_supply_without_a_deposit, "the supply is not what was deposited less what was paid out"),
    (_deposit_without_a_supply, "the supply is not what was deposited less what was paid out"),
    (_crossed_book, "the book is crossed"),
    (_queue_out_of_time_order, "the queue is not in time order"),
    (_two_orders_of_one_priority, "the queue is not in time order"),
    (_queue_with_a_broken_link_back, "the queue is not in time order"),
    (_queue_with_a_broken_link_on, "."),
    (_order_on_the_other_side, "."),
    (_levels_out_of_order, "the levels are not in order"),
    (_level_twice, "the levels are not in order"),
    (_level_that_nobody_made, "an empty or misplaced level"),
    (_level_without_a_place_in_the_list, "not found by its price"),
    (_level_at_another_key, "an empty or misplaced level"),
    (_level_of_another_number, "."),
    (_level_counts_wrong, "."),
    (_level_adds_up_wrong, "."),
    (_empty_level, "an empty or misplaced level"),
    (_two_receipts_of_one_id, "one id has two receipts"),
)


@pytest.mark.parametrize(("plant", "verdict"), DEFECTS, ids=[plant.__name__.strip("_") for plant, _ in DEFECTS])
def test_a_planted_defect_is_found(machine: Machine, plant: Callable[[Machine], None], verdict: str) -> None:
    plant(machine)
    with pytest.raises((AssertionError, IndexError), match=verdict):
        assert_sound(machine)


def _soundness_with_a_negative_fee_remainder(machine: Machine) -> None:
    _order(machine, b"b0").fee_overpaid_ppm = -1
    assert_sound(machine)


def test_a_negative_fee_remainder_is_found_or_cannot_even_be_planted(machine: Machine) -> None:
    """The field of a compiled order has no sign."""
    with pytest.raises((AssertionError, OverflowError), match=r"fee not rounded up once|negative"):
        _soundness_with_a_negative_fee_remainder(machine)


def test_a_unit_moved_between_two_accounts_behind_the_ledger_is_not_seen_by_one_state_alone(machine: Machine) -> None:
    """What the checker cannot know: it sees one state, not how it came about. Replay and the state hash do."""
    _balance(machine, BIDDER, EUR, 1, 0)
    _balance(machine, SELLER, EUR, -1, 0)
    assert_sound(machine)
