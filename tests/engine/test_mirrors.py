"""Accounts of the home group in another one: opened once, brought up to date, never back."""

from __future__ import annotations

from typing import Any

import pytest

from engine import commands, rejects
from engine.events import AccountMirrored
from engine.snapshot import restore, snapshot_bytes, state_hash
from engine.types import OPERATOR, TRADER, AccountLimits
from tests.engine.exchange import ANA, GLD_EUR, OPS, Exchange, kinds, reason

EVE = 6  # the next number


def mirror(home_sequence: int = 10, *, name: bytes = b"eve", **changes: Any) -> commands.MirrorAccount:
    return commands.MirrorAccount(0, 0, home_sequence, TRADER, 0, 0, 0, 0, 0, name)._replace(**changes)


def test_an_account_is_opened_when_it_is_first_mirrored() -> None:
    exchange = Exchange()
    told = exchange.run(mirror())
    assert kinds(told) == ["AccountCreated", "AccountMirrored"]
    assert told[1] == AccountMirrored(EVE, 10, TRADER, 0, b"eve")
    assert exchange.run(mirror()) == [told[1]], "a copy changes nothing"
    assert exchange.machine.registry.account_ids[b"eve"] == EVE


def test_it_is_frozen_before_it_can_do_anything() -> None:
    exchange = Exchange()
    assert kinds(exchange.run(mirror(frozen=1))) == ["AccountCreated", "AccountFrozen", "AccountMirrored"]
    assert reason(exchange.buy(EVE, 1, 1)) == rejects.ACCOUNT_FROZEN


def test_freezing_cancels_the_orders_as_at_home() -> None:
    exchange = Exchange()
    exchange.buy(ANA, 1, 900, "mine")
    told = exchange.run(mirror(name=b"trader-1", frozen=1))
    assert kinds(told) == ["AccountFrozen", "OrderClosed", "AccountMirrored"]
    assert not exchange.machine.trading.index.open_count(ANA)
    assert reason(exchange.run(mirror(11, name=b"trader-1"))) == rejects.ACCEPTED
    assert not exchange.machine.registry.is_frozen(ANA)


def test_what_is_older_than_what_is_known_changes_nothing() -> None:
    exchange = Exchange()
    exchange.run(mirror(10), mirror(12, frozen=1, open_orders_max=3))
    for late in (mirror(11), mirror(12), mirror(1, open_orders_max=9)):
        assert exchange.run(late) == [AccountMirrored(EVE, 12, TRADER, 1, b"eve")]
    standing = exchange.machine.registry.standing(EVE)
    assert (standing.frozen, standing.limits) == (1, AccountLimits(open_orders_max=3))


def test_limits_are_mirrored_only_where_they_differ() -> None:
    exchange = Exchange()
    told = exchange.run(mirror(requests_max=5, window_ms=60_000))
    assert kinds(told) == ["AccountCreated", "AccountLimitsSet", "AccountMirrored"]
    assert kinds(exchange.run(mirror(11, requests_max=5, window_ms=60_000))) == ["AccountMirrored"]
    exchange.run(commands.PlaceOrder(EVE, 0, GLD_EUR, 0, 0, 0, 0, 0, 1, 0, 1, 0, b"c"))
    assert exchange.machine.registry.standing(EVE).requests_in_window == 1
    exchange.run(mirror(12, requests_max=5, window_ms=60_000))
    assert exchange.machine.registry.standing(EVE).requests_in_window == 1, "the rate goes on as it was"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (mirror(name=b""), rejects.MALFORMED),
        (mirror(name=b"a b"), rejects.MALFORMED),
        (mirror(role=2), rejects.MALFORMED),
        (mirror(frozen=2), rejects.MALFORMED),
        (mirror(0), rejects.MALFORMED),
        (mirror(requests_max=5), rejects.MALFORMED),
        (mirror(name=b"exchange", role=OPERATOR), rejects.NOT_ALLOWED),
        (mirror(account_id=ANA), rejects.NOT_ALLOWED),
        (mirror(name=b"trader-1", role=OPERATOR), rejects.NAME_TAKEN),
    ],
    ids=repr,
)
def test_refusals(command: commands.MirrorAccount, expected: int) -> None:
    exchange = Exchange()
    accounts = len(exchange.machine.registry.accounts)
    assert reason(exchange.run(command)) == expected
    assert len(exchange.machine.registry.accounts) == accounts


def test_a_snapshot_keeps_how_new_each_mirror_is() -> None:
    exchange = Exchange()
    exchange.run(mirror(10), mirror(9, name=b"zoe"), commands.FreezeAccount(OPS, 0, ANA, 1))
    again = restore(snapshot_bytes(exchange.machine))
    assert state_hash(again) == state_hash(exchange.machine)
    assert again.mirrors.rows() == [(EVE, 10), (EVE + 1, 9)]
