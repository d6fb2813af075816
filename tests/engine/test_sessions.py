"""Market states: what each admits, how they follow each other, and what one order sets off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from engine import commands, rejects
from engine.events import MarketStateChanged
from engine.types import (
    AUCTION,
    BUY,
    BY_END_OF_AUCTION,
    BY_OPERATOR,
    CANCEL_ONLY,
    CLOSED,
    DAY,
    DELISTED,
    FOK,
    GTD,
    HALTED,
    IOC,
    MARKET_STATE_NAMES,
    NS_PER_MS,
    POST_ONLY,
    PRE_OPEN,
    SELL,
    TRADING,
)
from tests.engine.exchange import (
    ANA,
    BO,
    CY,
    GLD_EUR,
    OPS,
    START_NS,
    Exchange,
    closed,
    kinds,
    reason,
    trades,
)

ALL_STATES = range(8)
YES, STATE = rejects.ACCEPTED, rejects.MARKET_STATE
ASKED: dict[str, Callable[[Exchange], commands.Command]] = {
    "gtc": lambda exchange: exchange.order(ANA, BUY, 1, 900, "new"),
    "gtd": lambda exchange: exchange.special(ANA, BUY, 1, "new", price=900, tif=GTD, expires_at_ns=START_NS + 1),
    "day": lambda exchange: exchange.special(ANA, BUY, 1, "new", price=900, tif=DAY),
    "post_only": lambda exchange: exchange.order(ANA, BUY, 1, 900, "new", post_only=1),
    "ioc": lambda exchange: exchange.order(ANA, BUY, 1, 1_100, "new", tif=IOC),
    "fok": lambda exchange: exchange.order(ANA, BUY, 1, 1_100, "new", tif=FOK),
    "market": lambda exchange: exchange.order(ANA, BUY, 1, 0, "new"),
    "budget": lambda exchange: exchange.order(ANA, BUY, 2_000, 0, "new", order_type=2),
    "crossing": lambda exchange: exchange.order(ANA, BUY, 1, 1_100, "new"),
    "crossing_post_only": lambda exchange: exchange.order(ANA, BUY, 1, 1_100, "new", post_only=1),
    "stop": lambda exchange: exchange.special(ANA, SELL, 1, "new", trigger=1, stop=900),
    "trail": lambda exchange: exchange.special(ANA, SELL, 1, "new", trigger=2, trail=90),
    "iceberg": lambda exchange: exchange.special(ANA, BUY, 3, "new", price=900, display=1),
    "oco": lambda exchange: exchange.pair(ANA, SELL, 1, 1_200, 900, "new p"),
    "cancel": lambda exchange: commands.CancelOrder(BO, 0, 0, b"ask", b"x"),
    "cancel_all": lambda exchange: commands.CancelAll(BO, 0, GLD_EUR, b"x"),
    "amend": lambda exchange: commands.AmendOrder(BO, 0, 0, 0, 254, 8, 0, b"ask", b"x"),
    "amend_to_cross": lambda exchange: commands.AmendOrder(CY, 0, 0, 1_100, 0, 0, 254, b"bid", b"x"),
}
RESTING = ("gtc", "gtd", "day", "post_only", "stop", "trail", "iceberg", "oco")
# The table of the rules: what is not named here is as in the column of an open market.
TABLE: dict[int, dict[str, int]] = {
    PRE_OPEN: {"ioc": STATE, "fok": STATE, "market": STATE, "budget": STATE},
    AUCTION: {"ioc": STATE, "fok": STATE, "market": STATE, "budget": STATE},
    TRADING: {},
    POST_ONLY: {
        "ioc": STATE,
        "fok": STATE,
        "market": STATE,
        "budget": STATE,
        "crossing": rejects.POST_ONLY,
        "amend_to_cross": rejects.POST_ONLY,
    },
    **{
        state: {name: STATE for name in ASKED if name not in ("cancel", "cancel_all")}
        for state in (CANCEL_ONLY, HALTED, CLOSED)
    },
}


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("state", TABLE, ids=lambda state: MARKET_STATE_NAMES[state])
def test_what_a_state_admits(state: int, asked: str) -> None:
    exchange = Exchange(1_000)
    exchange.sell(BO, 9, 1_050, "ask")
    exchange.buy(CY, 9, 950, "bid")
    if state != TRADING:
        exchange.set_state(state)
    expected = TABLE[state].get(asked, rejects.POST_ONLY if asked == "crossing_post_only" else YES)
    answer = exchange.run(ASKED[asked](exchange))
    assert reason(answer) == expected
    traded = [name for name in ("ioc", "fok", "market", "budget", "crossing", "amend_to_cross") if name == asked]
    assert bool(trades(answer)) == (bool(traded) and state == TRADING)


@pytest.mark.parametrize("asked", ASKED)
def test_a_delisted_market_admits_nothing(asked: str) -> None:
    exchange = Exchange(1_000)
    exchange.sell(BO, 9, 1_050, "ask")
    exchange.buy(CY, 9, 950, "bid")
    exchange.run(commands.DelistMarket(OPS, 0, GLD_EUR))
    found = reason(exchange.run(ASKED[asked](exchange)))
    assert found == {"cancel": rejects.ORDER_CLOSED, "cancel_all": YES}.get(
        asked, rejects.ORDER_CLOSED if asked.startswith("amend") else STATE
    )


@pytest.mark.parametrize("state", ALL_STATES, ids=MARKET_STATE_NAMES)
@pytest.mark.parametrize("was", [*TABLE])
def test_an_operator_leads_a_market_from_any_state_to_any(was: int, state: int) -> None:
    exchange = Exchange(1_000, state=was)
    answer = exchange.set_state(state)
    if state == DELISTED:
        assert reason(answer) == rejects.MALFORMED, "there is a command of its own for that"
    else:
        assert answer == [MarketStateChanged(GLD_EUR, state, BY_OPERATOR, 0)]
        assert exchange.market.session.state == state
        assert exchange.set_state(state) == answer, "the same again"


def test_g1_a_resting_order_can_always_be_cancelled() -> None:
    for state, bo, cy in ((HALTED, STATE, STATE), (CANCEL_ONLY, STATE, STATE), (POST_ONLY, rejects.POST_ONLY, YES)):
        exchange = Exchange(1_000)
        exchange.buy(ANA, 1, 1_000, "a1")
        exchange.set_state(state)
        assert reason(exchange.sell(BO, 1, 1_000)) == bo
        assert reason(exchange.buy(CY, 1, 900, post_only=1)) == cy
        assert reason(exchange.cancel(ANA, "a1")) == YES


def test_stops_are_not_elected_in_a_halt() -> None:
    exchange = Exchange(1_000)
    exchange.stop(ANA, SELL, 1, 950, "s")
    exchange.set_state(HALTED)
    exchange.set_state(PRE_OPEN)
    exchange.buy(BO, 2, 940)
    exchange.sell(CY, 1, 940)
    assert exchange.waiting() == ["s"]
    answer = exchange.set_state(TRADING)
    assert trades(answer) == [(940, 1, BO, CY), (940, 1, BO, ANA)]


# The phases of a call auction.


def _phases(**rules: Any) -> Exchange:
    exchange = Exchange(1_000, **rules)
    exchange.buy(ANA, 5, 1_010, "a1")
    return exchange


def test_an_auction_without_times_ends_by_an_operator() -> None:
    exchange = _phases()
    assert exchange.set_state(AUCTION) == [MarketStateChanged(GLD_EUR, AUCTION, BY_OPERATOR, 0)]
    exchange.sell(BO, 5, 1_010)
    assert exchange.wait(10**9) == [] and exchange.market.session.state == AUCTION
    assert trades(exchange.set_state(TRADING)) == [(1_010, 5, ANA, BO)]


def test_the_call_ends_at_its_time_and_not_before() -> None:
    exchange = _phases(call_ms=2_000)
    (entered,) = exchange.set_state(AUCTION)
    ends_at_ns = START_NS + 2_000 * NS_PER_MS
    assert entered == MarketStateChanged(GLD_EUR, AUCTION, BY_OPERATOR, ends_at_ns)
    exchange.sell(BO, 5, 1_010)
    exchange.now_ns = ends_at_ns - 1
    assert exchange.wait() == []
    answer = exchange.wait(ns=1)
    assert answer[0] == MarketStateChanged(GLD_EUR, TRADING, BY_END_OF_AUCTION, 0)
    assert trades(answer) == [(1_010, 5, ANA, BO)]


def test_the_no_cancel_phase_keeps_orders_and_takes_new_ones() -> None:
    exchange = _phases(call_ms=2_000, no_cancel_ms=1_000)
    (entered,) = exchange.set_state(AUCTION)
    assert isinstance(entered, MarketStateChanged) and entered.ends_at_ns == START_NS + 3_000 * NS_PER_MS
    exchange.now_ns += 2_000 * NS_PER_MS - 1
    assert reason(exchange.amend(ANA, "a1", lots=4)) == YES
    exchange.now_ns += 1
    exchange.stop(ANA, SELL, 1, 900, "s")
    assert reason(exchange.amend(ANA, "a1", lots=3)) == rejects.NO_CANCEL
    assert reason(exchange.cancel(ANA, "a1")) == rejects.NO_CANCEL
    assert reason(exchange.cancel(ANA, "s")) == rejects.NO_CANCEL
    assert reason(exchange.cancel_all(ANA, GLD_EUR)) == rejects.NO_CANCEL
    (everywhere,) = exchange.cancel_all(ANA)
    assert kinds([everywhere]) == ["OrdersCancelled"] and exchange.find(ANA, "a1").open_lots == 4
    assert reason(exchange.sell(BO, 1, 1_010)) == YES
    cancelled = exchange.run(commands.MassCancel(OPS, 0, BO, GLD_EUR, 2, b"ops"))
    assert closed(cancelled) == [(BO, 11)], "an operator may"
    assert kinds(exchange.wait(1_000))[0] == "MarketStateChanged"
    assert reason(exchange.cancel(ANA, "a1")) == YES


def test_an_auction_that_begins_with_no_cancel_has_no_call() -> None:
    exchange = _phases(no_cancel_ms=1_000)
    exchange.set_state(AUCTION)
    exchange.wait()
    assert reason(exchange.cancel(ANA, "a1")) == rejects.NO_CANCEL
    assert kinds(exchange.wait(1_000))[0] == "MarketStateChanged"


def test_the_random_end_is_drawn_from_the_chain_when_the_fixed_part_is_over() -> None:
    ends = set()
    for number in range(12):
        exchange = Exchange(1_000, call_ms=1_000, random_end_ms_max=3)
        for _ in range(number):
            exchange.wait()
        exchange.set_state(AUCTION)
        exchange.now_ns += 1_000 * NS_PER_MS - 1
        exchange.wait()
        chance = int.from_bytes(exchange.machine.chain[:8], "little") % 4
        for millisecond in range(4):
            ended = exchange.wait(ns=1) if not millisecond else exchange.wait(1)
            if ended:
                assert millisecond == chance
                ends.add(millisecond)
                break
        assert exchange.market.session.state == TRADING
    assert ends == {0, 1, 2, 3}, "the chance is none"


def test_in_the_random_part_cancels_are_taken_only_if_they_were_before() -> None:
    for no_cancel_ms, expected in ((0, YES), (500, rejects.NO_CANCEL)):
        exchange = _phases(call_ms=1_000, no_cancel_ms=no_cancel_ms, random_end_ms_max=604_800_000)
        exchange.set_state(AUCTION)
        exchange.wait(1_000 + no_cancel_ms)
        assert exchange.market.session.state == AUCTION
        assert reason(exchange.cancel(ANA, "a1")) == expected


def test_all_phases_that_are_over_happen_in_one_entry() -> None:
    exchange = _phases(call_ms=1_000, no_cancel_ms=1_000, random_end_ms_max=1_000)
    exchange.set_state(AUCTION)
    answer = exchange.wait(3_000)
    assert kinds(answer) == ["MarketStateChanged"] and exchange.market.session.state == TRADING


def test_a_timer_of_an_auction_that_an_operator_ended_is_stale() -> None:
    exchange = _phases(call_ms=2_000)
    exchange.set_state(AUCTION)
    exchange.now_ns += 1_000 * NS_PER_MS
    exchange.set_state(TRADING)
    exchange.set_state(AUCTION)
    exchange.wait(1_000)
    assert exchange.market.session.state == AUCTION, "the second one has its own end"
    exchange.wait(1_000)
    assert exchange.market.session.state == TRADING
