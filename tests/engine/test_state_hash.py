"""The state hash covers all that a log with every kind of command leaves behind (tests.engine.test_replay)."""

from __future__ import annotations

from collections.abc import Callable
from inspect import isdatadescriptor
from typing import Any

import pytest

from engine import commands
from engine.dedup import Receipt
from engine.event_writer import EventWriter
from engine.machine import Machine
from engine.orders import Order, SpecialOrder
from engine.registry import Standing
from engine.sale_state import Subscription
from engine.session import Indicative, Session
from engine.snapshot import SnapshotError, restore, snapshot_bytes, state_hash
from engine.types import APPROVE, POST, SELL, AccountLimits, MarketRules
from tests.engine.exchange import ANA, BO, CY, EUR, GLD, GLD_EUR, OPS, Exchange
from tests.engine.snapshot_parts import change_closed, change_receipt, row_of_closed
from tests.engine.test_replay import EUR_GLD, life_with_all_kinds


@pytest.fixture(scope="module")
def life() -> Exchange:
    return life_with_all_kinds()


# What a restored machine does not need: links to places, of which class an order is, what every command sets anew, and
# what follows from the rules or from references of withdrawals and transfers.
_LINKS = {"level", "older", "newer", "slot", "before", "after", "balance", "is_special"}
_NOT_STATE: dict[type, set[str]] = {
    Order: _LINKS,
    SpecialOrder: _LINKS,
    Session: {"reference_ticks", "band_ppm", "interrupts", "no_cancel_ms", "open_orders_max", "stops_max"},
    Standing: {"names_references"},
    Subscription: set[str](),
}


def _order(name: bytes) -> Callable[[Machine], object]:
    def find(machine: Machine) -> object:
        index = machine.trading.index
        return next(order for order in index.remembered() if index.client_order_id(order) == name)

    return find


SUBJECTS: dict[str, Callable[[Any], object]] = {
    "session": lambda machine: machine.trading.market(GLD_EUR).session,
    "session of a halted market": lambda machine: machine.trading.market(EUR_GLD).session,
    "standing of a frozen account": lambda machine: machine.registry.standings[CY],
    "standing of a limited account": lambda machine: machine.registry.standings[ANA],
    "stop": _order(b"s2"),
    "trailing stop": _order(b"t2"),
    "first leg": _order(b"l2"),
    "second leg": _order(b"p2"),
    "iceberg": _order(b"i2"),
    "gtd": _order(b"gtd2"),
    "plain order": _order(b"crossing"),
    "subscription": lambda machine: machine.sales.sales[3].subscriptions[-1],
}


def _other_value(value: Any) -> Any:
    """A value of the same kind that is not this one."""
    if isinstance(value, AccountLimits):
        return value._replace(window_ms=value.window_ms + 1)
    if isinstance(value, MarketRules):
        return value._replace(stops_max=value.stops_max + 1)
    if isinstance(value, Indicative):
        return value._replace(surplus_lots=value.surplus_lots + 1)
    if isinstance(value, list | tuple):
        return value[:-1]
    if isinstance(value, bytes):
        return value + b"x"
    assert isinstance(value, int), value
    return value + 1


def fields_of(kind: type) -> set[str]:
    """What can be read and assigned of an object of this class, in either form: its fields and its properties."""
    return {name for name in dir(kind) if not name.startswith("_") and isdatadescriptor(getattr(kind, name))}


@pytest.mark.parametrize("name", SUBJECTS)
def test_the_state_hash_covers_every_field(life: Exchange, name: str) -> None:
    data, expected = snapshot_bytes(life.machine), state_hash(life.machine)
    kind = type(SUBJECTS[name](restore(data)))
    fields = sorted(fields_of(kind) - _NOT_STATE[kind])
    assert len(fields) > 3 and fields_of(kind) > _NOT_STATE[kind]
    covered = 0
    for field in fields:
        machine = restore(data)
        subject = SUBJECTS[name](machine)
        before = getattr(subject, field)
        after = _other_value(before)
        if before == after:  # an empty schedule
            continue
        setattr(subject, field, after)
        assert state_hash(machine) != expected, field
        covered += 1
    assert covered > 3


def test_the_fields_of_each_class_are_those_that_it_has() -> None:
    """Each class has the fields of those that it derives from, and properties that can be set."""
    assert fields_of(SpecialOrder) > fields_of(Order) > {*_LINKS, "account_id", "priority", "receipt", "held_units"}
    assert fields_of(SpecialOrder) - fields_of(Order) > {"trigger", "budget_units", "linked_order_id"}
    assert {"window", "rules", "state"} <= fields_of(Session) and {"window", "limits"} <= fields_of(Standing)
    assert {"subscription_id", "account_id"} <= fields_of(Subscription)


@pytest.mark.parametrize("position", [0, -1])
def test_the_state_hash_covers_every_field_of_the_oldest_and_of_the_newest_receipt(
    life: Exchange, position: int
) -> None:
    data, expected = snapshot_bytes(life.machine), state_hash(life.machine)
    receipt = life.machine.receipts.in_queue_order()[position]
    machine = restore(data)
    change_receipt(machine, position)
    assert state_hash(machine) == expected
    for field in Receipt._fields:
        machine = restore(data)
        change_receipt(machine, position, **{field: _other_value(getattr(receipt, field))})
        assert state_hash(machine) != expected, field


@pytest.mark.parametrize(("name", "kind"), [(b"plain", Order), (b"stop", SpecialOrder)])
def test_the_state_hash_covers_every_field_of_a_closed_order(name: bytes, kind: type) -> None:
    exchange = Exchange(1_000)
    exchange.buy(ANA, 5, 900, "plain")
    exchange.stop(ANA, SELL, 2, 990, "stop")
    for one in ("plain", "stop"):
        exchange.cancel(ANA, one)
    data, expected = snapshot_bytes(exchange.machine), state_hash(exchange.machine)
    order = exchange.machine.trading.index.closed.copy(row_of_closed(exchange.machine, name))
    assert type(order) is kind
    for field in sorted(fields_of(kind) - _NOT_STATE[kind]):
        machine = restore(data)
        assert state_hash(machine) == expected
        change_closed(machine, name, **{field: getattr(order, field) + 1})
        assert state_hash(machine) != expected, field


def _another_closed_order(machine: Machine) -> None:
    closed = machine.trading.index.closed
    closed.add(closed.copy(closed.oldest()))


@pytest.mark.parametrize(
    "change",
    [
        lambda machine: setattr(machine.trading.index, "last_priority", 77),
        lambda machine: machine.trading.volumes.add(ANA, EUR, machine.timestamp_ns, 1),
        lambda machine: machine.trading.volumes.add(99, GLD, machine.timestamp_ns, 1),
        lambda machine: machine.registry.standing(BO).__setattr__("frozen", 1),
        lambda machine: machine.receipts.forget_oldest(),
        lambda machine: machine.receipts.keep_oldest(machine.receipts.in_queue_order()[0].remembered_at_ns),
        lambda machine: machine.ledger.withdraw_held(ANA, EUR, 1),
        lambda machine: machine.sales.sales.pop(2),
        lambda machine: machine.sales.sales[3].__setattr__("status", 2),
        lambda machine: machine.withdrawals.decide(
            commands.DecideWithdrawal(OPS, 0, machine.withdrawals.number_of(ANA, b"w3"), APPROVE), 9, 9, EventWriter()
        ),
        lambda machine: machine.transfers.decide(
            commands.DecideTransfer(BO, 0, machine.transfers.number_of(ANA, b"tr4"), POST, b"x"), 9, 9, EventWriter()
        ),
        _another_closed_order,
    ],
)
def test_the_state_hash_covers_the_rest(life: Exchange, change: Callable[[Machine], object]) -> None:
    machine = restore(snapshot_bytes(life.machine))
    assert state_hash(machine) == state_hash(life.machine)
    change(machine)
    assert state_hash(machine) != state_hash(life.machine)


def test_a_snapshot_of_all_of_it_cut_anywhere_is_refused(life: Exchange) -> None:
    data = snapshot_bytes(life.machine)
    for length in range(0, len(data), 7):
        with pytest.raises(SnapshotError):
            restore(data[:length])
