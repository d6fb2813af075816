"""How long ids are remembered, both ids of a pair, and that a receipt fits into a snapshot."""

from __future__ import annotations

import pytest

from engine import commands, rejects
from engine.commands import Command
from engine.dedup import Receipts
from engine.events import CommandRejected, OrderReported, RequestRepeated
from engine.snapshot import snapshot_bytes
from engine.types import (
    BUY,
    DESTINATION_LENGTH_MAX,
    FILLED,
    FORGOTTEN_PER_COMMAND_MAX,
    GTC,
    NS_PER_DAY,
    SECOND_LEG,
    SELL,
    STOP,
    WAITING,
)
from tests.engine.exchange import ANA, BO, EUR, Exchange, kinds, reason, receipt_of
from tests.engine.test_requests import HOUR_NS, ID, KINDS, busy_exchange, every_kind


@pytest.mark.parametrize("names", ["a a", "a b!", "b! a"])
def test_the_legs_of_a_pair_have_two_good_ids(names: str) -> None:
    exchange = busy_exchange()
    assert exchange.run(exchange.pair(ANA, SELL, 1, 1_100, 900, names)) == [CommandRejected(rejects.MALFORMED, 0)]


def test_either_id_of_a_pair_finds_its_leg_and_is_taken() -> None:
    exchange = busy_exchange()
    command = exchange.pair(ANA, SELL, 1, 1_100, 900, "l p")
    exchange.run(command)
    sequence = exchange.machine.sequence
    legs = [event.order_id for event in exchange.run(command) if isinstance(event, OrderReported)]
    assert legs == [sequence, sequence + SECOND_LEG], "a retry is told of both"
    _, limit_leg, _ = exchange.run(commands.ResolveRequest(ANA, 0, b"l"))
    _, stop_leg, _ = exchange.run(commands.ResolveRequest(ANA, 0, b"p"))
    assert isinstance(limit_leg, OrderReported) and limit_leg.order_id == sequence
    assert isinstance(stop_leg, OrderReported) and stop_leg.order_id == sequence + SECOND_LEG
    assert stop_leg.status == WAITING
    assert (limit_leg.client_order_id, stop_leg.client_order_id) == (b"l", b"p")
    for name in ("l", "p"):
        answer = exchange.run(exchange.order(ANA, BUY, 1, 900, name))
        assert answer == [CommandRejected(rejects.ID_CONFLICT, sequence)]
    # Another pair that shares one id, in either place.
    for names in ("l q", "q l", "p q", "q p", "p l"):
        answer = exchange.run(exchange.pair(ANA, SELL, 1, 1_100, 900, names))
        assert answer == [CommandRejected(rejects.ID_CONFLICT, sequence)], names
    assert reason(exchange.run(exchange.order(ANA, BUY, 1, 900, "q"))) == rejects.ACCEPTED, "no receipt of a conflict"


@pytest.mark.parametrize("fenced", ["l", "p"])
def test_a_fence_of_either_id_keeps_the_whole_pair_out(fenced: str) -> None:
    exchange = busy_exchange()
    exchange.run(commands.ResolveRequest(ANA, 0, fenced.encode()))
    sequence = exchange.machine.sequence
    answer = exchange.run(exchange.pair(ANA, SELL, 1, 1_100, 900, "l p"))
    assert answer == [CommandRejected(rejects.FENCED, sequence)]
    assert exchange.machine.trading.index.waiting_count(ANA) == 0


def test_a_refused_pair_takes_both_ids() -> None:
    exchange = busy_exchange()
    command = exchange.pair(ANA, SELL, 1, 1_100, 1_000, "l p")
    assert reason(exchange.run(command)) == rejects.STOP_WOULD_TRIGGER
    sequence = exchange.machine.sequence
    for name in (b"l", b"p"):
        answer = exchange.run(commands.ResolveRequest(ANA, 0, name))
        assert answer == [RequestRepeated(sequence, rejects.STOP_WOULD_TRIGGER)]
    assert exchange.run(command) == [RequestRepeated(sequence, rejects.STOP_WOULD_TRIGGER)]


# References for ever, ids for 24 hours.


def _pass(exchange: Exchange, duration_ns: int) -> None:
    exchange.now_ns += duration_ns
    for _ in range(4):
        exchange.wait()


@pytest.mark.parametrize("kind", ["RequestWithdrawal", "CreateTransfer"])
def test_references_of_money_are_remembered_for_ever(kind: str) -> None:
    exchange = busy_exchange()
    make, told, change = KINDS[kind]
    command: Command = make(exchange)
    exchange.run(command)
    sequence = exchange.machine.sequence
    _pass(exchange, 400 * NS_PER_DAY)
    assert receipt_of(exchange.machine, ANA, ID) is None
    answer = exchange.run(command)
    assert answer[0] == RequestRepeated(sequence, rejects.ACCEPTED) and kinds(answer[1:]) == told
    assert exchange.run(command._replace(**change)) == [CommandRejected(rejects.ID_CONFLICT, sequence)]
    assert kinds(exchange.run(commands.ResolveRequest(ANA, 0, ID))) == ["RequestRepeated", *told]


@pytest.mark.parametrize(("age_ns", "known"), [(24 * HOUR_NS, True), (24 * HOUR_NS + 1, False)])
def test_other_ids_are_forgotten_after_a_day(age_ns: int, known: bool) -> None:
    exchange = Exchange(1_000)
    command = commands.CancelAll(ANA, 0, 0, ID)
    exchange.run(command)
    exchange.now_ns += age_ns
    assert kinds(exchange.run(command)) == (["RequestRepeated"] if known else ["OrdersCancelled"])


def test_a_fence_is_forgotten_like_any_other_id() -> None:
    exchange = Exchange(1_000)
    exchange.run(commands.ResolveRequest(ANA, 0, ID))
    _pass(exchange, 24 * HOUR_NS + 1)
    assert reason(exchange.run(exchange.order(ANA, BUY, 1, 900, ID.decode()))) == rejects.ACCEPTED


@pytest.mark.parametrize("waits", [False, True])
def test_the_id_of_an_order_that_rests_or_waits_stays_until_it_is_closed(waits: bool) -> None:
    exchange = Exchange(1_000)
    command = (
        exchange.special(ANA, SELL, 1, "s", trigger=STOP, stop=900, tif=GTC)
        if waits
        else exchange.order(ANA, SELL, 1, 1_100, "s")
    )
    exchange.run(command)
    sequence = exchange.machine.sequence
    for _ in range(3):
        _pass(exchange, 25 * HOUR_NS)
        assert exchange.run(command)[0] == RequestRepeated(sequence, rejects.ACCEPTED)
    exchange.cancel(ANA, "s")
    assert exchange.find(ANA, "s").order_id == sequence
    _pass(exchange, 25 * HOUR_NS)
    assert exchange.machine.trading.index.find(sequence) is None
    assert reason(exchange.cancel(ANA, "s")) == rejects.UNKNOWN_ORDER
    assert reason(exchange.run(command)) == rejects.ACCEPTED, "a new order"


def test_the_leg_that_lives_on_stays_and_the_one_that_ended_is_forgotten() -> None:
    exchange = Exchange(1_000)
    exchange.oco(ANA, SELL, 2, 1_100, 900, "l p")
    sequence = exchange.machine.sequence
    exchange.buy(BO, 1, 1_100)
    _pass(exchange, 25 * HOUR_NS)
    remembered = {order.order_id for order in exchange.machine.trading.index.remembered()}
    assert remembered & {sequence, sequence + SECOND_LEG} == {sequence}
    assert reason(exchange.run(exchange.order(ANA, BUY, 1, 900, "p"))) == rejects.ACCEPTED
    exchange.buy(BO, 1, 1_100)
    assert exchange.find(ANA, "l").status == FILLED


def test_a_few_ids_are_forgotten_per_command() -> None:
    exchange = Exchange(1_000)
    for _ in range(FORGOTTEN_PER_COMMAND_MAX + 1):
        exchange.cancel_all(ANA)
    receipts: Receipts = exchange.machine.receipts
    exchange.now_ns += 25 * HOUR_NS
    exchange.wait()
    assert len(receipts.in_queue_order()) == 1
    exchange.wait()
    assert receipts.in_queue_order() == []


# What a receipt keeps must fit into a snapshot.


@pytest.mark.parametrize("length", [DESTINATION_LENGTH_MAX, DESTINATION_LENGTH_MAX + 1, 217, 255])
def test_the_longest_destination_does_not_break_a_snapshot(length: int) -> None:
    exchange = busy_exchange()
    answer = exchange.run(commands.RequestWithdrawal(ANA, 0, EUR, 5, 0, b"x" * length, ID))
    assert reason(answer) == (rejects.MALFORMED if length > DESTINATION_LENGTH_MAX else rejects.ACCEPTED)
    assert snapshot_bytes(exchange.machine)


@every_kind
def test_the_largest_request_of_each_kind_leaves_a_receipt_that_fits(kind: str) -> None:
    exchange = busy_exchange()
    command = KINDS[kind][0](exchange)
    largest = {
        field: b"n" * 64
        for field, value in zip(command._fields, command, strict=True)
        if value and isinstance(value, bytes)
    }
    largest |= {field: (1 << 31) - 1 for field in command._fields if field.endswith("_mantissa")}
    if kind == "PlaceOco":
        largest["client_order_id"] = b"m" * 64
    exchange.run(command._replace(**largest))
    assert snapshot_bytes(exchange.machine)


def test_a_receipt_outlives_the_order_that_it_was_about() -> None:
    exchange = Exchange(1_000)
    exchange.buy(ANA, 1, 900, "c1")
    _pass(exchange, 23 * HOUR_NS)
    cancel = commands.CancelOrder(ANA, 0, 0, b"c1", ID)
    exchange.run(cancel)
    sequence = exchange.machine.sequence
    _pass(exchange, 2 * HOUR_NS)
    assert exchange.run(cancel) == [RequestRepeated(sequence, rejects.ACCEPTED)]


@pytest.mark.parametrize("kind", ["RequestWithdrawal", "CreateTransfer"])
@pytest.mark.parametrize("other", KINDS)
def test_a_reference_of_money_is_no_id_for_anything_else_however_late(kind: str, other: str) -> None:
    exchange = busy_exchange()
    exchange.run(KINDS[kind][0](exchange))
    sequence = exchange.machine.sequence
    later = [KINDS[name][0](exchange) for name in (other, kind)]
    _pass(exchange, 25 * HOUR_NS)
    if other != kind:
        assert exchange.run(later[0]) == [CommandRejected(rejects.ID_CONFLICT, sequence)]
    assert exchange.run(later[1])[0] == RequestRepeated(sequence, rejects.ACCEPTED)
    pair = exchange.pair(ANA, SELL, 1, 1_100, 900, f"fresh {ID.decode()}")
    assert exchange.run(pair) == [CommandRejected(rejects.ID_CONFLICT, sequence)]


def test_a_pair_of_impossible_options_is_malformed_and_remembered() -> None:
    exchange = Exchange(1_000)
    command = exchange.pair(ANA, SELL, 1, 1_100, 900, "l p", self_trade=4)
    assert reason(exchange.run(command)) == rejects.MALFORMED
    assert exchange.run(command) == [RequestRepeated(exchange.machine.sequence - 1, rejects.MALFORMED)]


def test_forgetting_an_amendment_does_not_forget_its_order() -> None:
    exchange = Exchange(1_000)
    exchange.buy(ANA, 5, 900, "c1")
    exchange.amend(ANA, "c1", lots=4)
    exchange.cancel(ANA, "never")
    _pass(exchange, 25 * HOUR_NS)
    assert len(exchange.machine.receipts.in_queue_order()) == 1
    assert exchange.find(ANA, "c1").open_lots == 4 and exchange.shown()[0] == [(900, 4)]
