"""The state hash covers all that a log with every kind of command leaves behind (tests.engine.test_replay)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from engine import commands
from engine.book import Order
from engine.dedup import Receipt
from engine.machine import Machine
from engine.registry import Standing
from engine.sale_state import Subscription
from engine.session import Indicative, Session
from engine.snapshot import SnapshotError, restore, snapshot_bytes, state_hash
from engine.types import (
    APPROVE,
    POST,
    AccountLimits,
    MarketRules,
)
from tests.engine.exchange import ANA, BO, CY, EUR, GLD, GLD_EUR, OPS, Exchange
from tests.engine.test_replay import EUR_GLD, life_with_all_kinds


@pytest.fixture(scope="module")
def life() -> Exchange:
    return life_with_all_kinds()


# What a restored machine does not need: links of the book, and what every command sets anew.
_NOT_STATE: dict[type, set[str]] = {
    Order: {"level", "older", "newer"},
    Session: {"reference_ticks"},
    Standing: set[str](),
    Receipt: set[str](),
    Subscription: set[str](),
}


def _order(name: bytes) -> Callable[[Machine], object]:
    return lambda machine: next(one for one in machine.trading.orders.values() if one.client_order_id == name)


SUBJECTS: dict[str, Callable[[Machine], object]] = {
    "session": lambda machine: machine.trading.markets[GLD_EUR].session,
    "session of a halted market": lambda machine: machine.trading.markets[EUR_GLD].session,
    "standing of a frozen account": lambda machine: machine.registry.standings[CY],
    "standing of a limited account": lambda machine: machine.registry.standings[ANA],
    "stop": _order(b"s2"),
    "trailing stop": _order(b"t2"),
    "first leg": _order(b"l2"),
    "second leg": _order(b"p2"),
    "iceberg": _order(b"i2"),
    "gtd": _order(b"gtd2"),
    "fence": lambda machine: machine.receipts.in_queue_order()[-1],
    "receipt": lambda machine: machine.receipts.in_queue_order()[0],
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


@pytest.mark.parametrize("name", SUBJECTS)
def test_the_state_hash_covers_every_field(life: Exchange, name: str) -> None:
    data, expected = snapshot_bytes(life.machine), state_hash(life.machine)
    subject = SUBJECTS[name](restore(data))
    fields = [field for field in type(subject).__slots__ if field not in _NOT_STATE[type(subject)]]  # type: ignore[attr-defined]
    assert len(fields) > 3
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
            commands.DecideWithdrawal(OPS, 0, machine.withdrawals.number_of(ANA, b"w3"), APPROVE), 9, 9, [].append
        ),
        lambda machine: machine.transfers.decide(
            commands.DecideTransfer(BO, 0, machine.transfers.number_of(ANA, b"tr4"), POST, b"x"), 9, 9, [].append
        ),
        lambda machine: machine.trading.orders.popitem(),
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
