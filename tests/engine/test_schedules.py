"""The schedule of a market: which step is due when, days that nobody asked anything, and what ignores it."""

from __future__ import annotations

import pytest

from engine import commands
from engine.events import MarketStateChanged
from engine.types import (
    AUCTION,
    BY_OPERATOR,
    BY_SCHEDULE,
    CANCEL_ONLY,
    CLOSED,
    HALTED,
    NS_PER_DAY,
    NS_PER_S,
    POST_ONLY,
    PRE_OPEN,
    TRADING,
)
from tests.engine.exchange import ANA, BO, GLD_EUR, OPS, START_NS, Exchange, trades

NOON, ONE, TWO = 43_200, 46_800, 50_400  # seconds of a day; the exchange starts at noon
HOUR_MS = 3_600_000


def _states(events: list[object]) -> list[int]:
    return [event.state for event in events if isinstance(event, MarketStateChanged)]


def test_a_step_happens_at_its_second_and_not_before() -> None:
    exchange = Exchange(1_000)
    exchange.set_schedule((ONE, CLOSED))
    exchange.now_ns += 3_600 * NS_PER_S - 1
    assert exchange.wait() == []
    assert exchange.wait(ns=1) == [MarketStateChanged(GLD_EUR, CLOSED, BY_SCHEDULE, 0)]
    assert exchange.wait(23 * HOUR_MS) == []


def test_a_step_at_this_very_second_is_tomorrows() -> None:
    exchange = Exchange(1_000)
    exchange.set_schedule((NOON, CLOSED))
    assert exchange.wait() == [] and exchange.market.session.next_step_ns == START_NS + NS_PER_DAY
    exchange.now_ns = START_NS + NS_PER_DAY
    assert _states([*exchange.wait()]) == [CLOSED]


@pytest.mark.parametrize(
    ("steps", "seconds"),
    [(((0, CLOSED),), 43_200), (((86_399, CLOSED),), 43_199), (((0, TRADING), (ONE, CLOSED)), 3_600)],
)
def test_the_next_step_is_the_first_one_to_come(steps: tuple[tuple[int, int], ...], seconds: int) -> None:
    exchange = Exchange(1_000)
    exchange.set_schedule(*steps)
    assert exchange.market.session.next_step_ns == START_NS + seconds * NS_PER_S


def test_all_steps_of_several_days_happen_one_after_the_other() -> None:
    exchange = Exchange(1_000)
    exchange.set_schedule((0, PRE_OPEN), (ONE, AUCTION), (TWO, TRADING))
    exchange.now_ns += 2 * NS_PER_DAY + 3_600 * NS_PER_S
    # From noon: 13:00 and 14:00 of the first day, three steps of the second, midnight and 13:00 of the third.
    steps = [AUCTION, TRADING, PRE_OPEN, AUCTION, TRADING, PRE_OPEN, AUCTION]
    assert _states([*exchange.wait()]) == steps
    assert exchange.market.session.next_step_ns == exchange.now_ns + 3_600 * NS_PER_S


def test_a_step_to_where_the_market_is_does_nothing() -> None:
    exchange = Exchange(1_000)
    exchange.set_schedule((ONE, TRADING), (TWO, CLOSED))
    assert exchange.wait(HOUR_MS) == []
    assert _states([*exchange.wait(HOUR_MS)]) == [CLOSED]


def test_a_halted_market_ignores_its_schedule_until_an_operator_frees_it() -> None:
    exchange = Exchange(1_000)
    exchange.set_schedule((ONE, CLOSED), (TWO, TRADING))
    exchange.set_state(HALTED)
    assert exchange.wait(2 * 24 * HOUR_MS) == [] and exchange.market.session.state == HALTED
    exchange.set_state(TRADING)
    assert _states([*exchange.wait(HOUR_MS)]) == [CLOSED]


@pytest.mark.parametrize("state", [PRE_OPEN, POST_ONLY, CANCEL_ONLY])
def test_other_states_follow_it(state: int) -> None:
    exchange = Exchange(1_000, state=state)
    exchange.set_schedule((ONE, CLOSED))
    assert _states([*exchange.wait(HOUR_MS)]) == [CLOSED]


def test_a_delisted_market_has_no_schedule() -> None:
    exchange = Exchange(1_000)
    exchange.set_schedule((ONE, CLOSED))
    exchange.run(commands.DelistMarket(OPS, 0, GLD_EUR))
    assert exchange.market.session.next_step_ns == 0 and exchange.wait(48 * HOUR_MS) == []


def test_no_steps_end_the_schedule() -> None:
    exchange = Exchange(1_000)
    exchange.set_schedule((ONE, CLOSED))
    exchange.set_schedule()
    assert exchange.wait(48 * HOUR_MS) == [] and exchange.market.session.state == TRADING


def test_the_same_schedule_set_again_still_happens_once() -> None:
    exchange = Exchange(1_000)
    answer = exchange.set_schedule((ONE, CLOSED), (TWO, TRADING))
    assert exchange.set_schedule((ONE, CLOSED), (TWO, TRADING)) == answer
    assert _states([*exchange.wait(HOUR_MS)]) == [CLOSED]
    assert _states([*exchange.wait(HOUR_MS)]) == [TRADING]


def test_a_new_schedule_makes_the_old_ones_timers_stale() -> None:
    exchange = Exchange(1_000)
    exchange.set_schedule((ONE, CLOSED))
    exchange.set_schedule((TWO, POST_ONLY))
    assert exchange.wait(HOUR_MS) == []
    assert _states([*exchange.wait(HOUR_MS)]) == [POST_ONLY]


def test_a_scheduled_auction_runs_its_phases_and_the_next_step_may_cut_it_short() -> None:
    exchange = Exchange(1_000, call_ms=2 * HOUR_MS)
    exchange.set_schedule((ONE, AUCTION), (TWO, TRADING))
    exchange.buy(ANA, 1, 1_000)
    (entered,) = exchange.wait(HOUR_MS)
    assert entered == MarketStateChanged(GLD_EUR, AUCTION, BY_SCHEDULE, START_NS + 3 * 3_600 * NS_PER_S)
    exchange.sell(BO, 1, 1_000)
    ended = exchange.wait(HOUR_MS)
    assert ended[0] == MarketStateChanged(GLD_EUR, TRADING, BY_SCHEDULE, 0) and trades(ended) == [(1_000, 1, ANA, BO)]
    assert exchange.wait(HOUR_MS) == []


def test_an_operator_may_go_elsewhere_in_between() -> None:
    exchange = Exchange(1_000)
    exchange.set_schedule((ONE, CLOSED))
    assert exchange.set_state(POST_ONLY) == [MarketStateChanged(GLD_EUR, POST_ONLY, BY_OPERATOR, 0)]
    assert _states([*exchange.wait(HOUR_MS)]) == [CLOSED]
