"""Closed orders: what is kept of them, and that what is forgotten is dropped at the same moment in every replica."""

from __future__ import annotations

from random import Random

import pytest

from engine import queries
from engine.arena import SEGMENT_SHIFT
from engine.closed_orders import ClosedOrders
from engine.codec import encode_command
from engine.commands import CancelAll, CancelOrder, Command, PlaceOrder, ResolveRequest, Tick
from engine.dedup import Receipt, Receipts
from engine.invariants import assert_sound
from engine.machine import Machine
from engine.orders import Order, SpecialOrder
from engine.snapshot import restore, snapshot_bytes, state_hash
from engine.types import BUY, CANCELLED, FILLED, FORGOTTEN_PER_COMMAND_MAX, GTD, NS_PER_DAY, REQUEST_MEMORY_NS, SELL
from tests.engine.exchange import ANA, BO, OPS, Exchange
from tests.engine.snapshot_parts import closed_of, row_of_closed
from tests.engine.test_dedup import remember
from tests.engine.test_snapshot_orders import FIELDS, SPECIAL_FIELDS
from tests.engine.workload import LISTING, START_NS
from tests.engine.workload_edges import edges_of

ROWS_PER_SEGMENT = 8_191  # of 128 bytes


def _closed(number: int, receipt: int, special: bool = False) -> Order:
    order: Order = SpecialOrder() if special else Order()
    order.order_id, order.receipt, order.status = number, receipt, FILLED
    return order


def _receipts(count: int) -> tuple[Receipts, list[int]]:
    receipts = Receipts()
    return receipts, [remember(receipts, Receipt(1, b"%d" % number, 1, b"", 1, 0, 0, 0)) for number in range(count)]


@pytest.mark.parametrize("special", [False, True])
def test_a_closed_order_says_what_the_order_said(special: bool) -> None:
    random = Random(4)
    receipts, references = _receipts(50)
    closed, expected = ClosedOrders(receipts.arena), []
    for number, receipt in enumerate(references):
        order = _closed(number, receipt, special)
        for field, code in (FIELDS | (SPECIAL_FIELDS if special else {})).items():
            setattr(order, field, random.choice(edges_of(code)))
        order.status, order.priority = CANCELLED, number
        expected.append((closed.add(order), order))
    for reference, order in expected:
        copy = closed.copy(reference)
        assert type(copy) is type(order)
        for field in ("order_id", "receipt", "status", "priority", *FIELDS, *SPECIAL_FIELDS):
            assert getattr(copy, field) == getattr(order, field), field
        copy.fee_units ^= 1
        assert closed.copy(reference).fee_units == order.fee_units, "a copy is nobody's"
    assert len(closed) == 50


def test_an_order_that_rests_or_has_no_receipt_is_not_closed() -> None:
    receipts, (receipt,) = _receipts(1)
    closed, order = ClosedOrders(receipts.arena), _closed(1, receipt)
    order.level = 1
    with pytest.raises(AssertionError):
        closed.add(order)
    with pytest.raises(AssertionError):
        closed.add(_closed(1, 0))
    assert closed.oldest() == 0 and len(closed) == 0


def test_segments_are_dropped_from_the_first_when_nothing_in_them_is_remembered() -> None:
    receipts, (receipt,) = _receipts(1)
    closed = ClosedOrders(receipts.arena)
    rows = [closed.add(_closed(number, receipt)) for number in range(1, 3 * ROWS_PER_SEGMENT + 2)]
    first, second, third, last = ([row for row in rows if row >> SEGMENT_SHIFT == number] for number in range(4))
    assert [len(part) for part in (first, second, third, last)] == [ROWS_PER_SEGMENT] * 3 + [1]
    for row in (*second, *first[1:]):
        closed.forget(row)
    assert closed.arena.first == 0 and closed.order_id(second[0]) == ROWS_PER_SEGMENT + 1, "rows stay where they are"
    closed.forget(first[0])
    assert closed.arena.first == 2 and closed.oldest() == third[0]
    closed.forget(last[0])
    assert (closed.arena.first, closed.arena.last) == (2, 3)
    for row in third:
        closed.forget(row)
    assert closed.oldest() == 0 and len(closed) == 0 and closed.arena.first == closed.arena.last == 3
    assert closed.order_id(closed.add(_closed(77, receipt))) == 77


def test_an_order_is_forgotten_once() -> None:
    receipts, (receipt,) = _receipts(1)
    closed = ClosedOrders(receipts.arena)
    row = closed.add(_closed(1, receipt))
    closed.forget(row)
    with pytest.raises(AssertionError):
        closed.forget(row)


def test_a_reservation_suffices_and_changes_nothing() -> None:
    receipts, (receipt,) = _receipts(1)
    closed, plain = ClosedOrders(receipts.arena), ClosedOrders(receipts.arena)
    closed.reserve(2 * ROWS_PER_SEGMENT)
    count = closed.arena.segment_count()
    for number in range(1, 2 * ROWS_PER_SEGMENT):
        assert closed.add(_closed(number, receipt)) == plain.add(_closed(number, receipt))
    assert closed.arena.segment_count() == count
    assert b"".join(closed.arena.records()) == b"".join(plain.arena.records())


# In the machine.


def _exchange() -> Exchange:
    """One order filled, one cancelled, one that rests."""
    exchange = Exchange(1_000)
    exchange.sell(ANA, 3, 1_001, "sold")
    exchange.buy(BO, 3, 1_001, "bought")
    exchange.buy(ANA, 5, 900, "cancelled")
    exchange.cancel(ANA, "cancelled")
    exchange.buy(ANA, 5, 901, "rests")
    return exchange


def test_an_order_leaves_the_pool_when_the_command_that_closed_it_is_done() -> None:
    index = _exchange().machine.trading.index
    assert [index.client_order_id(order) for order in index.pool.in_use()] == [b"rests"]
    assert len(index.closed) == 3 and len(index) == 4


def test_orders_stand_in_the_order_in_which_they_were_closed() -> None:
    """Of one command those that met first, and the one that took last."""
    exchange = Exchange(1_000)
    for name in ("first", "second"):
        exchange.sell(ANA, 1, 1_001, name)
    exchange.buy(BO, 1, 900, "cancelled")
    exchange.sell(ANA, 1, 1_001, "third")
    exchange.cancel(BO, "cancelled")
    exchange.buy(BO, 3, 1_001, "taker")
    index, names = exchange.machine.trading.index, []
    row = index.closed.oldest()
    while row:
        names.append(index.client_order_id(index.closed.copy(row)))
        row = index.closed.after(row)
    assert names == [b"cancelled", b"first", b"second", b"third", b"taker"]


def test_what_is_asked_about_a_closed_order_is_answered_from_its_row() -> None:
    """By number and by id; also of an order of which the place in the pool serves another one by now."""
    exchange = _exchange()
    machine = exchange.machine
    row = row_of_closed(machine, b"cancelled")
    number = machine.trading.index.closed.order_id(row)
    by_number, by_name = queries.order(machine, ANA, number, ""), queries.order(machine, ANA, 0, "cancelled")
    assert by_number == by_name and by_number is not None
    assert (by_number["client_order_id"], by_number["status"]) == ("cancelled", CANCELLED)
    assert (by_number["cancelled_lots"], by_number["price_ticks"], by_number["visible_lots"]) == (5, 900, 0)
    assert queries.order(machine, BO, number, "") is None
    _, reported = exchange.run(ResolveRequest(ANA, 0, b"cancelled"))
    assert (reported.order_id, reported.client_order_id) == (number, b"cancelled")  # type: ignore[union-attr]


def _place(account_id: int, side: int, price: int, name: bytes) -> PlaceOrder:
    return PlaceOrder(account_id, 0, 1, side, 0, 0, 0, 0, price, 2, 20, 3, name)


def _days_of_trading(seed: int, count: int) -> list[tuple[int, Command]]:
    """Requests some minutes apart: orders that are closed at once, after hours, after days, or never."""
    random, now_ns, log = Random(seed), START_NS, list[tuple[int, Command]]()
    for number in range(count):
        now_ns += random.choice((0, 60, 3_600)) * 1_000_000_000
        account_id, name = random.choice((1, 2)), b"o%d" % number
        step = random.random()
        command: Command
        if step < 0.55:
            side = random.choice((BUY, SELL))
            price = 1_000 + random.randrange(-4, 8) * (1 if side == SELL else -1)
            command = _place(account_id, side, price, name)
        elif step < 0.8:
            command = CancelOrder(account_id, 0, 0, b"o%d" % random.randrange(number + 1), name)
        elif step < 0.97:
            command = ResolveRequest(account_id, 0, b"o%d" % random.randrange(number + 1))
        else:
            command = CancelAll(account_id, 0, 0, name)
        log.append((now_ns, command._replace(issued_at_ns=now_ns)))
    return log


@pytest.mark.parametrize("seed", [1, 2])
def test_days_of_closing_and_forgetting_survive_a_restart_at_any_point(seed: int) -> None:
    """Snapshot, restore and go on, or go on without: the same bytes, with rows of forgotten orders or without."""
    machine = Machine()
    for command in LISTING:
        machine.apply(START_NS, encode_command(command))
    restarted = restore(snapshot_bytes(machine))
    random, rows_of_forgotten = Random(seed), 0
    for now_ns, command in _days_of_trading(seed, 900):
        data = encode_command(command)
        assert restarted.apply(now_ns, data) == machine.apply(now_ns, data)
        closed = machine.trading.index.closed
        if random.random() < 0.1:
            snapshot = snapshot_bytes(restarted)
            restarted = restore(snapshot, hash_key=random.getrandbits(64))
            assert snapshot == snapshot_bytes(machine) == snapshot_bytes(restarted)
            assert state_hash(restarted) == state_hash(machine)
            assert_sound(machine)
            assert_sound(restarted)
            rows = (len(closed_of(machine)) - 20) // 128
            rows_of_forgotten += rows > len(closed)
    assert machine.timestamp_ns - START_NS > 5 * NS_PER_DAY
    assert rows_of_forgotten > 20, "rows of orders that are forgotten are in snapshots"
    assert machine.trading.index.pool.in_use() and len(machine.trading.index.closed)


def test_when_all_are_forgotten_nothing_of_them_is_in_a_snapshot() -> None:
    exchange = _exchange()
    machine = exchange.machine
    empty = len(closed_of(Machine()))
    assert len(closed_of(machine)) == empty + 3 * 128
    exchange.now_ns += REQUEST_MEMORY_NS + 1
    for _ in range(machine.sequence // FORGOTTEN_PER_COMMAND_MAX + 1):
        exchange.run(Tick(OPS, 0))
    assert len(closed_of(machine)) == empty
    assert [machine.trading.index.find(number) for number in range(machine.sequence)].count(
        None
    ) == machine.sequence - 1
    exchange.cancel(ANA, "rests")
    assert len(closed_of(machine)) == empty + 128, "its receipt was kept for another day"
    assert_sound(machine)


def test_an_order_that_expires_when_its_receipt_is_due_is_forgotten_at_once() -> None:
    exchange = Exchange(1_000)
    due_ns = exchange.now_ns + REQUEST_MEMORY_NS + 1
    command = exchange.special(ANA, BUY, 1, "gtd", price=900, tif=GTD, expires_at_ns=due_ns)
    exchange.run(command)
    number, exchange.now_ns = exchange.machine.sequence, due_ns
    exchange.run(Tick(OPS, 0))
    assert exchange.machine.trading.index.find(number) is None
    assert len(exchange.machine.receipts) == 0 and exchange.machine.trading.index.closed.oldest() == 0


def test_orders_that_time_closes_are_rows_before_the_first_command_is_executed() -> None:
    """An order expires in the entry whose only command asks for it."""
    exchange = Exchange(1_000)
    exchange.run(exchange.special(ANA, BUY, 1, "gtd", price=900, tif=GTD, expires_at_ns=exchange.now_ns + 5))
    exchange.now_ns += 5
    answer = exchange.run(ResolveRequest(ANA, 0, b"gtd"))
    assert answer[-2].status == CANCELLED  # type: ignore[union-attr]
    assert row_of_closed(exchange.machine, b"gtd")
