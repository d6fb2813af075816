"""The machine as a whole: malformed entries, refusals that change nothing, limits, what must never stop it."""

from __future__ import annotations

from random import Random

import pytest

from engine import queries, rejects
from engine.amounts import ABSENT
from engine.codec import CodecError, decode_events, encode_command
from engine.commands import (
    AmendOrder,
    CancelAll,
    CancelOrder,
    Command,
    CreateAccount,
    CreateAsset,
    CreateMarket,
    Deposit,
    PlaceOrder,
)
from engine.events import CommandRejected, Event, OrderClosed, OrderReported, RequestRepeated, TradeExecuted
from engine.invariants import assert_sound
from engine.machine import Machine
from engine.snapshot import restore, snapshot_bytes, state_hash
from engine.types import (
    BUY,
    EXCHANGE_ACCOUNT,
    IOC,
    LIMIT,
    NOTIONAL_MAX,
    OPEN_ORDERS_PER_ACCOUNT_MAX,
    PRICE_LEVELS_PER_SIDE_MAX,
    SELL,
    TRADER,
)
from tests.engine.snapshot_parts import closed_of, sections_of
from tests.engine.workload import LISTING, START_NS, Workload, seeded_choices

ANA, BO = 1, 2
NO_FEES = (0, 0)
NOW_NS = START_NS


def _execute(machine: Machine, *commands: Command) -> list[Event]:
    """Apply each in an entry of its own. Answers the events of the last one."""
    events: list[Event] = []
    for command in commands:
        events = [event for _, event in decode_events(machine.apply(NOW_NS, encode_command(command)).entry.events)]
    assert_sound(machine)
    return events


def _listed() -> Machine:
    machine = Machine()
    _execute(machine, *LISTING)
    return machine


def _unit_market(maker_ppm: int, taker_ppm: int) -> Machine:
    """A market in which one lot at one tick costs one unit, and two traders without funds."""
    machine = Machine()
    _execute(
        machine,
        CreateAsset(0, NOW_NS, 0, b"GLD"),
        CreateAsset(0, NOW_NS, 0, b"EUR"),
        CreateMarket(0, NOW_NS, 1, 0, 1, 0, 0, 0, maker_ppm, taker_ppm, b"GLD", b"EUR"),
        CreateAccount(0, NOW_NS, TRADER, b"ana"),
        CreateAccount(0, NOW_NS, TRADER, b"bo"),
    )
    return machine


def _place(account_id: int, side: int, quantity: int, price: int, name: str, *, time_in_force: int = 0) -> PlaceOrder:
    number = (price, 0, quantity, 0)
    return PlaceOrder(account_id, NOW_NS, 1, side, LIMIT, time_in_force, 0, 0, *number, name.encode())


def _amend(account_id: int, name: str, request: str, *, price: int = 0, quantity: int = 0) -> AmendOrder:
    new_price = (price, 0) if price else ABSENT
    new_quantity = (quantity, 0) if quantity else ABSENT
    return AmendOrder(account_id, NOW_NS, 0, *new_price, *new_quantity, name.encode(), request.encode())


def _fund(machine: Machine, account_id: int, asset_id: int, units: int) -> None:
    reference = f"d{machine.sequence}".encode()
    _execute(machine, Deposit(0, NOW_NS, account_id, asset_id, units, 0, reference))


def test_an_entry_with_a_malformed_record_changes_nothing() -> None:
    machine = _listed()
    before = state_hash(machine)
    good = encode_command(Deposit(0, NOW_NS, ANA, 2, 1, 0, b"d1"))
    for bad in (good[:-1], b"\xff\xff" + good[2:], b"\0", good + b"\x01"):
        with pytest.raises(CodecError):
            machine.apply(NOW_NS + 1, good + bad)
        assert state_hash(machine) == before


def test_an_entry_without_commands_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        Machine().apply(NOW_NS, b"")


def test_every_command_leaves_an_event_and_a_number() -> None:
    machine, workload = _listed(), Workload()
    for choice in seeded_choices(Random(5), 300):
        now_ns, command = workload.next_command(choice)
        sequence = machine.sequence
        applied = machine.apply(now_ns, encode_command(command))
        assert applied.entry.first_sequence == machine.sequence == sequence + 1
        assert list(applied.event_ends) == [len(applied.entry.events)] and applied.entry.events


def test_a_refused_command_changes_only_the_outcome_table() -> None:
    """All of the state but sequence, time, chain and receipts is the same bytes after a refusal."""
    machine, workload = _listed(), Workload()
    refusals = 0
    for choice in seeded_choices(Random(6), 600):
        now_ns, command = workload.next_command(choice)
        # Forgetting old ids is not the refused command's doing: let it happen before.
        for _ in range(40):
            machine.apply(now_ns, encode_command(CancelAll(99, now_ns, 0, b"stranger")))
        before = restore(snapshot_bytes(machine))
        _, first = next(decode_events(machine.apply(now_ns, encode_command(command)).entry.events))
        if isinstance(first, CommandRejected | RequestRepeated):
            refusals += 1
            after = restore(snapshot_bytes(machine))
            for one in (before, after):
                one.sequence, one.timestamp_ns, one.chain = 0, 0, bytes(32)
            assert sections_of(after) == sections_of(before), command
            assert closed_of(after) == closed_of(before), command
    assert refusals > 200


def test_a_retry_reports_the_order_as_it_stands_now() -> None:
    machine = _unit_market(*NO_FEES)
    _fund(machine, ANA, 1, 10)
    _fund(machine, BO, 2, 100)
    placed = _place(ANA, SELL, 10, 5, "c1")
    _execute(machine, placed)
    sequence = machine.sequence
    _execute(machine, _place(BO, BUY, 4, 5, "b1"))
    repeated, reported = _execute(machine, placed)
    assert repeated == RequestRepeated(sequence, rejects.ACCEPTED)
    assert isinstance(reported, OrderReported)
    assert (reported.order_id, reported.open_lots, reported.executed_lots, reported.held_units) == (sequence, 6, 4, 6)


@pytest.mark.parametrize("name", ["", "x" * 65, "a b", "a\n", "a\0", "a/b", "ä", "a,b", "..\\x"])
def test_an_id_outside_the_alphabet_is_malformed_and_leaves_no_receipt(name: str) -> None:
    machine = _listed()
    for request in (
        PlaceOrder(ANA, NOW_NS, 1, BUY, LIMIT, 0, 0, 0, 10, 0, 1, 0, name.encode()),
        CancelOrder(ANA, NOW_NS, 1, b"", name.encode()),
        AmendOrder(ANA, NOW_NS, 1, *ABSENT, *ABSENT, b"", name.encode()),
        CancelAll(ANA, NOW_NS, 0, name.encode()),
        Deposit(0, NOW_NS, ANA, 2, 1, 0, name.encode()),
    ):
        assert _execute(machine, request) == [CommandRejected(rejects.MALFORMED, 0)]
    assert machine.receipts.in_queue_order() == []


@pytest.mark.parametrize("name", ["x", "x" * 64, "AZaz09_.-", "-", ".."])
def test_an_id_within_the_alphabet_is_accepted(name: str) -> None:
    machine = _listed()
    assert not isinstance(_execute(machine, CancelAll(ANA, NOW_NS, 0, name.encode()))[0], CommandRejected)


def test_numbers_of_accounts_markets_and_orders_that_nobody_has_are_refused() -> None:
    machine = _listed()
    largest = (1 << 64) - 1
    place = PlaceOrder(ANA, NOW_NS, 1, BUY, LIMIT, 0, 0, 0, 10, 0, 1, 0, b"c1")
    for command, reason in (
        (place._replace(account_id=largest), rejects.UNKNOWN_ACCOUNT),
        (place._replace(account_id=5), rejects.UNKNOWN_ACCOUNT),
        (place._replace(market_id=0), rejects.UNKNOWN_MARKET),
        (place._replace(market_id=(1 << 32) - 1, client_order_id=b"c2"), rejects.UNKNOWN_MARKET),
        (CancelOrder(ANA, NOW_NS, largest, b"", b"x1"), rejects.UNKNOWN_ORDER),
        (CancelOrder(ANA, NOW_NS, 0, b"never", b"x2"), rejects.UNKNOWN_ORDER),
        (CancelAll(ANA, NOW_NS, (1 << 32) - 1, b"x3"), rejects.UNKNOWN_MARKET),
        (Deposit(0, NOW_NS, ANA, 0, 1, 0, b"d1"), rejects.UNKNOWN_ASSET),
        (Deposit(0, NOW_NS, ANA, (1 << 32) - 1, 1, 0, b"d2"), rejects.UNKNOWN_ASSET),
        (Deposit(0, NOW_NS, largest, 2, 1, 0, b"d3"), rejects.UNKNOWN_ACCOUNT),
    ):
        assert _execute(machine, command) == [CommandRejected(reason, 0)], command


def test_an_account_with_the_most_open_orders_may_place_no_other_that_rests() -> None:
    machine = _unit_market(*NO_FEES)
    _fund(machine, ANA, 1, OPEN_ORDERS_PER_ACCOUNT_MAX + 2)
    _execute(machine, _place(ANA, SELL, 1, 5, "first"))
    # Stand for as many resting orders; placing them one by one would take a minute.
    index = machine.trading.index
    planted = [index.pool.take(0, ANA, 1, SELL) for _ in range(OPEN_ORDERS_PER_ACCOUNT_MAX - 2)]
    for order in planted:
        index.enlist(order)
    commands = (
        _place(ANA, SELL, 1, 5, "last"),
        _place(ANA, SELL, 1, 5, "too-many"),
        _place(ANA, SELL, 1, 5, "ioc", time_in_force=IOC),
    )
    answers = [machine.apply(NOW_NS, encode_command(command)).entry.events for command in commands]
    first_events = [next(decode_events(events))[1] for events in answers]
    assert [isinstance(event, CommandRejected) for event in first_events] == [False, True, False]
    assert first_events[1] == CommandRejected(rejects.TOO_MANY, 0)
    for order in planted:
        index.strike(order)
        index.pool.give_back(order)
    assert_sound(machine)


def test_a_side_with_the_most_levels_takes_orders_at_its_prices_only() -> None:
    machine = _unit_market(*NO_FEES)
    _fund(machine, ANA, 1, 10)
    _fund(machine, BO, 2, 10)
    _execute(machine, _place(ANA, SELL, 1, 1_000_000, "first"))
    market = machine.trading.market(1)
    assert market is not None
    side, pool = market.book.asks, machine.trading.index.pool
    planted = [pool.take(0, ANA, 1, SELL) for _ in range(PRICE_LEVELS_PER_SIDE_MAX - 1)]
    for distance, order in enumerate(planted):  # they stand for as many levels behind the best
        order.price_ticks, order.open_lots = 1_000_000 + len(planted) - distance, 1
        side.add(order)
    commands = (
        _place(ANA, SELL, 1, 1_000_000, "old-level"),
        _place(ANA, SELL, 1, 999_999, "new-level"),
        _place(BO, BUY, 1, 1, "other-side"),
    )
    answers = [machine.apply(NOW_NS, encode_command(command)).entry.events for command in commands]
    first_events = [next(decode_events(events))[1] for events in answers]
    assert [isinstance(event, CommandRejected) for event in first_events] == [False, True, False]
    assert first_events[1] == CommandRejected(rejects.TOO_MANY, 0)
    for order in reversed(planted):
        side.remove(order)
        pool.give_back(order)
    assert_sound(machine)


def test_a_thousand_fills_in_one_command() -> None:
    machine = _unit_market(1_000, 2_500)
    _fund(machine, ANA, 1, 1_000)
    _fund(machine, BO, 2, 20_000)
    for number in range(1_000):
        machine.apply(NOW_NS, encode_command(_place(ANA, SELL, 1, 10 + number % 3, f"s{number}")))
    events = _execute(machine, _place(BO, BUY, 1_000, 12, "sweep"))
    assert len(events) == 1_001
    assert queries.book(machine, 1, 10) == {"bids": [], "asks": []}
    # 334 x 10 + 333 x 11 + 333 x 12 = 10,999; 0.25 % of it rounds up to 28, and each maker's 0.1 % to 1.
    assert machine.ledger.rows() == [(0, 2, 1_028, 0), (1, 2, 9_999, 0), (2, 1, 1_000, 0), (2, 2, 8_973, 0)]


@pytest.mark.parametrize(
    ("order_id", "name"), [(0, b""), (0, b"x" * 65), (0, b"x" * 255), (0, b"a b"), (1, b"c1"), (1, b"x" * 255)]
)
def test_a_cancel_or_an_amendment_names_one_order_in_one_way(order_id: int, name: bytes) -> None:
    """A receipt keeps what a request named, so an id that is too long would not fit into a snapshot either."""
    machine = _listed()
    before = len(snapshot_bytes(machine))
    for request in (
        CancelOrder(ANA, NOW_NS, order_id, name, b"x1"),
        AmendOrder(ANA, NOW_NS, order_id, *ABSENT, *ABSENT, name, b"x2"),
    ):
        assert _execute(machine, request) == [CommandRejected(rejects.MALFORMED, 0)]
    assert len(snapshot_bytes(machine)) == before


def test_receipts_of_the_longest_names_survive_a_snapshot() -> None:
    machine = _listed()
    name, request = b"n" * 64, b"r" * 64
    _execute(machine, AmendOrder(ANA, NOW_NS, 0, *ABSENT, *ABSENT, name, request), CancelAll(BO, NOW_NS, 0, request))
    again = restore(snapshot_bytes(machine))
    assert state_hash(again) == state_hash(machine)
    assert [receipt.request_id for receipt in again.receipts.in_queue_order()] == [request, request]


def test_the_exchange_does_not_trade() -> None:
    machine = _listed()
    for request in (
        PlaceOrder(EXCHANGE_ACCOUNT, NOW_NS, 1, BUY, LIMIT, 0, 0, 0, 10, 0, 1, 0, b"c1"),
        CancelOrder(EXCHANGE_ACCOUNT, NOW_NS, 1, b"", b"x1"),
        AmendOrder(EXCHANGE_ACCOUNT, NOW_NS, 1, *ABSENT, *ABSENT, b"", b"x2"),
        CancelAll(EXCHANGE_ACCOUNT, NOW_NS, 0, b"x3"),
    ):
        assert _execute(machine, request) == [CommandRejected(rejects.NOT_ALLOWED, 0)]


def test_rebates_that_fall_due_together_are_paid_from_fees_that_the_exchange_cannot_spend() -> None:
    """Rebates were earned in part by earlier fills, which were rounded; several of them fall due in one command.

    At 0.1 % of 100 units each of three makers is owed 0.9 after 9 lots, and has got nothing; the exchange has 3. One
    taker of 3 lots then pays 1 unit and each maker is due 1: the exchange's balance falls, and must be there.
    """
    machine = _unit_market(-1_000, 1_000)
    _fund(machine, ANA, 1, 30)
    _fund(machine, BO, 2, 4_000)
    for number in range(3):
        _execute(machine, _place(ANA, SELL, 10, 100, f"maker{number}"), _place(BO, BUY, 9, 100, f"taker{number}"))
        _execute(machine, _amend(ANA, f"maker{number}", f"away{number}", price=200))
    for number in range(3):
        _execute(machine, _amend(ANA, f"maker{number}", f"back{number}", price=100))
    assert machine.ledger.available_units(EXCHANGE_ACCOUNT, 2) == 3
    spend = _place(EXCHANGE_ACCOUNT, BUY, 2, 1, "spend-the-fees")
    assert _execute(machine, spend) == [CommandRejected(rejects.NOT_ALLOWED, 0)]
    trades = _execute(machine, _place(BO, BUY, 3, 100, "last"))[1:]
    fees = [(trade.taker_fee_units, trade.maker_fee_units) for trade in trades if isinstance(trade, TradeExecuted)]
    assert fees == [(1, -1), (0, -1), (0, -1)]
    assert machine.ledger.available_units(EXCHANGE_ACCOUNT, 2) == 1


def test_an_order_that_is_amended_for_ever_does_not_outgrow_its_record() -> None:
    """One order sells for nearly 2^61 units, is made ten times larger, and sells again: in all more than 2^63.

    The money goes back to its buyer through another market each time. The amendment must be refused before the
    order's total leaves the int64 that reports and snapshots give it. It can still be cancelled.
    """
    machine = _unit_market(*NO_FEES)
    _execute(
        machine,
        CreateAsset(0, NOW_NS, 0, b"TIN"),
        CreateMarket(0, NOW_NS, 1, 0, 1, 0, 0, 0, 0, 0, b"TIN", b"EUR"),
    )
    _fund(machine, ANA, 1, 10**8)
    _fund(machine, BO, 2, NOTIONAL_MAX)
    _fund(machine, BO, 3, 10)
    seller = _place(ANA, SELL, 1, NOTIONAL_MAX, "seller")
    _execute(machine, seller)
    refused = 0
    for power in range(1, 8):
        price, lots = NOTIONAL_MAX // 10**power, 10**power - 10 ** (power - 1)
        amended = _execute(machine, _amend(ANA, "seller", f"up{power}", price=price, quantity=10**power))
        refused += amended == [CommandRejected(rejects.NOTIONAL_TOO_LARGE, 0)]
        _execute(machine, _place(BO, BUY, lots, price, f"b{power}", time_in_force=IOC))
        received_units = machine.ledger.available_units(ANA, 2)
        _execute(
            machine,
            _place(BO, SELL, 1, received_units, f"tin{power}")._replace(market_id=2),
            _place(ANA, BUY, 1, received_units, f"tin{power}")._replace(market_id=2),
        )
        assert isinstance(_execute(machine, seller)[0], RequestRepeated)
        assert state_hash(restore(snapshot_bytes(machine))) == state_hash(machine)
    assert refused
    assert isinstance(_execute(machine, CancelOrder(ANA, NOW_NS, 0, b"seller", b"end"))[0], OrderClosed)
