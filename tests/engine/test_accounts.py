"""Accounts as a whole: freezing, limits, the rate of requests, and the dead-man switch."""

from __future__ import annotations

import pytest

from engine import commands, rejects
from engine.events import AccountFrozen, AccountLimitsSet, DeadManArmed, DeadManFired
from engine.snapshot import state_hash
from engine.types import (
    AUCTION,
    BUY,
    CANCEL_ONLY,
    CLOSED,
    CLOSED_DEAD_MAN,
    CLOSED_FROZEN,
    CLOSED_OTHER_LEG,
    EXCHANGE_ACCOUNT,
    HALTED,
    NS_PER_MS,
    NS_PER_S,
    POST_ONLY,
    SELL,
    STOP,
    TRADING,
    MarketRules,
)
from tests.engine.exchange import ANA, BO, EUR, OPS, START_NS, Exchange, closed, kinds, reason, receipt_of


def _freeze(exchange: Exchange, account_id: int = ANA, frozen: int = 1, by: int = OPS) -> list[object]:
    return [*exchange.run(commands.FreezeAccount(by, 0, account_id, frozen))]


def _limit(exchange: Exchange, orders: int = 0, stops: int = 0, requests: int = 0, window_ms: int = 0) -> list[object]:
    return [*exchange.run(commands.SetAccountLimits(OPS, 0, ANA, orders, stops, requests, window_ms))]


def _arm(exchange: Exchange, timeout_ms: int, account_id: int = ANA) -> list[object]:
    return [*exchange.run(commands.CancelAllAfter(account_id, 0, timeout_ms, exchange.new_id()))]


# Freezing.


def test_a_frozen_account_cannot_act_but_cancel_and_be_paid() -> None:
    exchange = Exchange(1_000)
    exchange.deposit(OPS, EUR, 100)
    assert _freeze(exchange) == [AccountFrozen(ANA, 1)]
    new_id = exchange.new_id
    for command in (
        exchange.order(ANA, BUY, 1, 900),
        exchange.special(ANA, SELL, 1, "s", trigger=STOP, stop=900),
        exchange.pair(ANA, SELL, 1, 1_100, 900, "l p"),
        commands.RequestWithdrawal(ANA, 0, EUR, 1, 0, b"", new_id()),
        commands.CreateTransfer(ANA, 0, BO, EUR, 1, 0, 0, 0, new_id()),
    ):
        assert reason(exchange.run(command)) == rejects.ACCOUNT_FROZEN
    assert reason(exchange.cancel_all(ANA)) == rejects.ACCEPTED
    assert reason(exchange.run(commands.CancelAllAfter(ANA, 0, 9, new_id()))) == rejects.ACCEPTED
    assert reason(exchange.deposit(ANA, EUR, 1)) == rejects.ACCEPTED
    paid = exchange.run(commands.CreateTransfer(OPS, 0, ANA, EUR, 100, 0, 0, 0, new_id()))
    assert reason(paid) == rejects.ACCEPTED
    assert reason(exchange.buy(BO, 1, 900)) == rejects.ACCEPTED, "others are not frozen"


def test_a_freed_account_acts_again() -> None:
    exchange = Exchange(1_000)
    before = state_hash(exchange.machine)
    _freeze(exchange)
    assert _freeze(exchange, frozen=0) == [AccountFrozen(ANA, 0)]
    assert reason(exchange.buy(ANA, 1, 900)) == rejects.ACCEPTED
    assert state_hash(exchange.machine) != before


@pytest.mark.parametrize("state", [TRADING, AUCTION, POST_ONLY, CANCEL_ONLY, HALTED, CLOSED])
def test_freezing_cancels_all_open_orders_in_any_state(state: int) -> None:
    exchange = Exchange(1_000, no_cancel_ms=1_000)
    exchange.buy(ANA, 1, 900)
    exchange.stop(ANA, SELL, 1, 900, "s")
    exchange.oco(ANA, SELL, 1, 1_100, 900, "l p")
    exchange.buy(BO, 1, 900)
    if state != TRADING:
        exchange.set_state(state)
        exchange.wait()
    answer = _freeze(exchange)
    assert kinds(answer)[0] == "AccountFrozen"  # type: ignore[arg-type]
    assert closed(answer) == [(ANA, CLOSED_FROZEN)] * 3 + [(ANA, CLOSED_OTHER_LEG)]  # type: ignore[arg-type]
    assert exchange.held(ANA) == (0, 0) and exchange.held(BO) == (0, 900)


@pytest.mark.parametrize(
    ("account_id", "frozen", "by", "expected"),
    [
        (ANA, 2, OPS, rejects.MALFORMED),
        (99, 1, OPS, rejects.UNKNOWN_ACCOUNT),
        (EXCHANGE_ACCOUNT, 1, OPS, rejects.NOT_ALLOWED),
        (BO, 1, ANA, rejects.NOT_ALLOWED),
        (ANA, 1, EXCHANGE_ACCOUNT, rejects.ACCEPTED),
        (OPS, 1, OPS, rejects.ACCEPTED),
    ],
)
def test_who_freezes_whom(account_id: int, frozen: int, by: int, expected: int) -> None:
    assert reason(_freeze(Exchange(), account_id, frozen, by)) == expected  # type: ignore[arg-type]


def test_freezing_again_changes_nothing() -> None:
    exchange = Exchange(1_000)
    assert _freeze(exchange) == _freeze(exchange) == [AccountFrozen(ANA, 1)]


# Limits.


def test_an_account_keeps_as_many_open_orders_as_it_may() -> None:
    exchange = Exchange(1_000)
    assert _limit(exchange, orders=2) == [AccountLimitsSet(ANA, 2, 0, 0, 0)]
    exchange.buy(ANA, 1, 900)
    assert reason(exchange.oco(ANA, SELL, 1, 1_100, 900, "l p")) == rejects.TOO_MANY, "a pair is two"
    exchange.stop(ANA, SELL, 1, 900, "s")
    assert reason(exchange.buy(ANA, 1, 900)) == rejects.TOO_MANY
    assert reason(exchange.stop(ANA, SELL, 1, 900, "s2")) == rejects.TOO_MANY
    assert reason(exchange.market_order(ANA, BUY, 1)) == rejects.ACCEPTED, "it does not rest"
    assert reason(exchange.buy(BO, 1, 900)) == rejects.ACCEPTED
    exchange.cancel(ANA, "s")
    assert reason(exchange.buy(ANA, 1, 900)) == rejects.ACCEPTED


def test_an_account_keeps_as_many_stops_as_it_may() -> None:
    exchange = Exchange(1_000)
    _limit(exchange, stops=1)
    exchange.oco(ANA, SELL, 1, 1_100, 900, "l p")
    assert reason(exchange.stop(ANA, SELL, 1, 900, "s")) == rejects.TOO_MANY
    assert reason(exchange.oco(ANA, SELL, 1, 1_100, 900, "l2 p2")) == rejects.TOO_MANY
    assert reason(exchange.buy(ANA, 1, 900)) == rejects.ACCEPTED
    exchange.buy(BO, 1, 1_100)
    assert reason(exchange.stop(ANA, SELL, 1, 900, "s3")) == rejects.ACCEPTED, "the first fill has ended the other one"


def test_limits_that_are_lowered_cancel_nothing() -> None:
    exchange = Exchange(1_000)
    for _ in range(3):
        exchange.buy(ANA, 1, 900)
    _limit(exchange, orders=1)
    assert exchange.machine.trading.index.open_count(ANA) == 3
    assert reason(exchange.buy(ANA, 1, 900)) == rejects.TOO_MANY


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (commands.SetAccountLimits(OPS, 0, 99, 1, 0, 0, 0), rejects.UNKNOWN_ACCOUNT),
        (commands.SetAccountLimits(OPS, 0, ANA, 0, 0, 1, 0), rejects.MALFORMED),
        (commands.SetAccountLimits(OPS, 0, ANA, 0, 0, 0, 1), rejects.MALFORMED),
        (commands.SetAccountLimits(ANA, 0, ANA, 0, 0, 0, 0), rejects.NOT_ALLOWED),
        (commands.SetAccountLimits(OPS, 0, ANA, *[(1 << 32) - 1] * 4), rejects.ACCEPTED),
    ],
)
def test_limits_that_make_no_sense_are_refused(command: commands.SetAccountLimits, expected: int) -> None:
    assert reason(Exchange().run(command)) == expected


def test_limits_set_and_taken_back_leave_no_trace() -> None:
    exchange, other = Exchange(), Exchange()
    _limit(exchange, 1, 2, 3, 4)
    _limit(exchange)
    for machine in (exchange.machine, other.machine):
        machine.sequence, machine.chain = 0, bytes(32)
    assert state_hash(exchange.machine) == state_hash(other.machine)


# The rate of requests.


def test_a_window_of_log_time_takes_so_many_requests() -> None:
    """Windows begin at multiples of their length: the start of the tests is one of a second."""
    exchange = Exchange(1_000)
    _limit(exchange, requests=2, window_ms=1_000)
    exchange.now_ns = START_NS + NS_PER_S - 1
    answers = [reason(exchange.buy(ANA, 1, 900)) for _ in range(3)]
    assert answers == [rejects.ACCEPTED, rejects.ACCEPTED, rejects.RATE_LIMIT]
    exchange.now_ns += 1
    answers = [reason(exchange.buy(ANA, 1, 900)) for _ in range(3)]
    assert answers == [rejects.ACCEPTED, rejects.ACCEPTED, rejects.RATE_LIMIT], "a new window"


def test_placing_and_amending_count_and_nothing_else_does() -> None:
    exchange = Exchange(1_000)
    exchange.buy(ANA, 5, 900, "a1")
    for count, act in (
        (1, lambda: exchange.buy(ANA, 1, 900)),
        (1, lambda: exchange.amend(ANA, "a1", lots=4)),
        (1, lambda: exchange.stop(ANA, SELL, 1, 900, exchange.new_id().decode())),
        (
            1,
            lambda: exchange.oco(
                ANA, SELL, 1, 1_100, 900, f"l{exchange.machine.sequence} p{exchange.machine.sequence}"
            ),
        ),
        (0, lambda: exchange.cancel(ANA, "never")),
        (0, lambda: exchange.cancel_all(ANA)),
        (0, lambda: _arm(exchange, 0)),
        (0, lambda: exchange.run(commands.ResolveRequest(ANA, 0, exchange.new_id()))),
        (0, lambda: exchange.run(commands.CreateTransfer(ANA, 0, BO, EUR, 1, 0, 0, 0, exchange.new_id()))),
        (1, lambda: exchange.run(exchange.order(ANA, BUY, 0, 900))),  # refused ones count
        (0, lambda: exchange.buy(BO, 1, 900)),
    ):
        exchange.wait(10_000)
        _limit(exchange, requests=1, window_ms=1_000)
        act()
        expected = rejects.RATE_LIMIT if count else rejects.ACCEPTED
        assert reason(exchange.buy(ANA, 1, 900)) == expected, count


def test_a_retry_does_not_count_and_a_refusal_for_the_rate_is_not_remembered() -> None:
    exchange = Exchange(1_000)
    _limit(exchange, requests=1, window_ms=1_000)
    first, second = exchange.order(ANA, BUY, 1, 900, "c1"), exchange.order(ANA, BUY, 1, 900, "c2")
    exchange.run(first)
    assert kinds(exchange.run(first)) == ["RequestRepeated", "OrderReported"]
    for _ in range(2):
        assert reason(exchange.run(second)) == rejects.RATE_LIMIT
    assert receipt_of(exchange.machine, ANA, b"c2") is None
    exchange.wait(1_000)
    assert kinds(exchange.run(second)) == ["OrderAccepted"]


def test_limits_set_anew_begin_a_new_window_and_the_same_ones_do_not() -> None:
    exchange = Exchange(1_000)
    _limit(exchange, requests=1, window_ms=1_000)
    exchange.buy(ANA, 1, 900)
    _limit(exchange, requests=1, window_ms=1_000)
    assert reason(exchange.buy(ANA, 1, 900)) == rejects.RATE_LIMIT
    _limit(exchange, requests=2, window_ms=1_000)
    assert reason(exchange.buy(ANA, 1, 900)) == rejects.ACCEPTED


# The dead-man switch.


def test_i1_silence_cancels_all_and_a_renewal_moves_the_time() -> None:
    exchange = Exchange(1_000)
    exchange.buy(ANA, 1, 900)
    exchange.stop(ANA, SELL, 1, 900, "s")
    exchange.buy(BO, 1, 900)
    assert _arm(exchange, 60_000) == [DeadManArmed(ANA, START_NS + 60 * NS_PER_S)]
    assert exchange.wait(30_000) == []
    _arm(exchange, 60_000)
    exchange.now_ns = START_NS + 90 * NS_PER_S - 1
    assert exchange.wait() == []
    exchange.now_ns += 1
    fired = exchange.wait()
    assert closed(fired) == [(ANA, CLOSED_DEAD_MAN)] * 2 and fired[-1] == DeadManFired(ANA, 2)
    assert exchange.held(BO) == (0, 900)
    exchange.wait(1_000)
    assert reason(_arm(exchange, 60_000)) == rejects.ACCEPTED  # type: ignore[arg-type]
    assert exchange.wait(59_999) == []


def test_zero_disarms_it() -> None:
    exchange = Exchange(1_000)
    exchange.buy(ANA, 1, 900)
    _arm(exchange, 1_000)
    assert _arm(exchange, 0) == [DeadManArmed(ANA, 0)]
    assert exchange.wait(10_000) == []


def test_it_fires_once_and_without_orders_too() -> None:
    exchange = Exchange(1_000)
    _arm(exchange, 1_000)
    assert exchange.wait(1_000) == [DeadManFired(ANA, 0)]
    exchange.buy(ANA, 1, 900)
    assert exchange.wait(60_000) == []


def test_in_the_no_cancel_phase_it_tries_again_every_second() -> None:
    exchange = Exchange(1_000, call_ms=1_000, no_cancel_ms=2_500)
    other = commands.ListMarket(0, 0, 1, 0, 1, 0, 0, 0, 0, 0, TRADING, 0, 254, *MarketRules(), b"EUR", b"GLD")
    exchange.run(other)
    exchange.buy(ANA, 1, 900)
    exchange.run(exchange.order(ANA, SELL, 1, 2)._replace(market_id=2))
    exchange.set_state(AUCTION)
    _arm(exchange, 2_000)
    exchange.wait(1_000)
    fired = exchange.wait(1_000)
    assert closed(fired) == [(ANA, CLOSED_DEAD_MAN)] and fired[-1] == DeadManFired(ANA, 1), "the other market's"
    assert exchange.held(ANA) == (0, 900)
    exchange.now_ns += 1_000 * NS_PER_MS - 1
    assert exchange.wait() == []
    assert exchange.wait(ns=1) == [DeadManFired(ANA, 0)]
    ended = exchange.wait(1_000)
    assert kinds(ended) == ["MarketStateChanged", "OrderClosed", "DeadManFired"] and exchange.held(ANA) == (0, 0)
    assert exchange.wait(10_000) == []


def test_a_renewal_between_two_tries_ends_them() -> None:
    exchange = Exchange(1_000, no_cancel_ms=60_000)
    exchange.buy(ANA, 1, 900)
    exchange.set_state(AUCTION)
    _arm(exchange, 1_000)
    assert exchange.wait(1_000) == [DeadManFired(ANA, 0)]
    _arm(exchange, 0)
    assert exchange.wait(5_000) == [] and exchange.held(ANA) == (0, 900)
