"""Stops that wait: what they hold, what their election may cost, and how many of them there can be."""

from __future__ import annotations

from time import perf_counter

import pytest

from engine import rejects
from engine.codec import decode_events, encode_command
from engine.events import OrderClosed, OrderConditions, OrderTriggered, TradeExecuted
from engine.invariants import assert_sound
from engine.snapshot import restore, snapshot_bytes
from engine.types import (
    BUY,
    CLOSED_NO_FUNDS,
    CLOSED_NO_LIQUIDITY,
    IOC,
    MARKET_BUDGET,
    SELL,
    STOP,
    STOPS_PER_MARKET_MAX,
    TRAIL_BY_PRICE,
    TRAILING_STOPS_PER_MARKET_MAX,
)
from tests.engine.exchange import (
    ANA,
    BO,
    CY,
    DEE,
    EUR,
    EUR_UNITS,
    OPS,
    Exchange,
    closed,
    reason,
    trades,
    triggered,
)

SIDES = pytest.mark.parametrize("side", [BUY, SELL])


@SIDES
def test_a_stop_limit_holds_what_a_limit_order_would(side: int) -> None:
    exchange = Exchange(1_000, fees=(1_000, 2_500))
    exchange.stop(ANA, side, 3, 1_100 if side == BUY else 900, "s", price=1_000)
    # 3 x 1,000 and 0.25 % of it, rounded up.
    assert exchange.held(ANA) == ((0, 3_008) if side == BUY else (3, 0))


def test_a_stop_to_buy_at_market_holds_its_quantity_at_its_stop_price() -> None:
    exchange = Exchange(1_000, fees=(1_000, 2_500))
    exchange.stop(ANA, BUY, 3, 1_100, "s")
    assert exchange.held(ANA) == (0, 3_309)  # 3,300 and 8.25


def test_a_stop_by_budget_holds_the_budget_and_gives_back_the_rest() -> None:
    exchange = Exchange(1_000, fees=(1_000, 2_500))
    exchange.stop(ANA, BUY, 5_000, 1_100, "s", order_type=MARKET_BUDGET)
    assert exchange.held(ANA) == (0, 5_000)
    exchange.sell(CY, 1, 1_100)
    exchange.sell(CY, 9, 1_200)
    answer = exchange.buy(DEE, 1, 1_100)
    assert trades(answer) == [(1_100, 1, CY, DEE), (1_200, 4, CY, ANA)]
    assert exchange.held(ANA) == (0, 0) and exchange.available(ANA)[1] == EUR_UNITS - 4_812


@pytest.mark.parametrize(("short", "filled"), [(0, True), (1, False)])
def test_an_elected_stop_at_market_needs_what_it_costs_then(short: int, filled: bool) -> None:
    """Held for 2@1,010, it meets offers at 1,020: what is missing must be available, to the unit."""
    exchange = Exchange(1_000)
    exchange.deposit(OPS, EUR, 2_040 - short)
    exchange.stop(OPS, BUY, 2, 1_010, "s")
    exchange.sell(CY, 1, 1_010)
    exchange.sell(CY, 2, 1_020)
    answer = exchange.buy(DEE, 1, 1_010)
    assert triggered(answer) == [OPS] and exchange.held(OPS) == (0, 0)
    assert trades(answer)[1:] == [(1_020, 2, CY, OPS)] * filled
    assert closed(answer) == [] if filled else [(OPS, CLOSED_NO_FUNDS)]
    assert exchange.available(OPS) == ((2, 0) if filled else (0, 2_039))


def test_an_elected_stop_at_market_that_finds_nothing_is_cancelled() -> None:
    exchange = Exchange(1_000)
    exchange.stop(ANA, SELL, 2, 950, "s")
    exchange.stop(BO, BUY, 2, 1_050, "s")
    exchange.buy(DEE, 1, 950)
    answer = exchange.sell(CY, 1, 950)
    assert triggered(answer) == [ANA] and closed(answer) == [(ANA, CLOSED_NO_LIQUIDITY)]
    exchange.sell(DEE, 1, 1_050)
    answer = exchange.buy(CY, 1, 1_050)
    assert triggered(answer) == [BO] and closed(answer) == [(BO, CLOSED_NO_LIQUIDITY)]
    assert exchange.held(ANA) == exchange.held(BO) == (0, 0)


def test_a_waiting_stop_is_told_cancelled_and_not_amended() -> None:
    exchange = Exchange(1_000)
    _, conditions = exchange.stop(ANA, SELL, 2, 950, "s", price=940, tif=IOC)
    assert isinstance(conditions, OrderConditions)
    assert (conditions.order_id, conditions.trigger, conditions.stop_ticks) == (exchange.machine.sequence, STOP, 950)
    assert exchange.shown() == ([], [])
    assert reason(exchange.amend(ANA, "s", lots=1)) == rejects.NOT_AMENDABLE
    (answer,) = exchange.cancel(ANA, "s")
    assert isinstance(answer, OrderClosed) and (answer.cancelled_lots, answer.released_units) == (2, 2)
    assert reason(exchange.cancel(ANA, "s")) == rejects.ORDER_CLOSED
    assert exchange.waiting() == []


# Limits.


@pytest.mark.parametrize("stops_max", [1, 3])
def test_a_market_takes_as_many_stops_as_its_rules_say(stops_max: int) -> None:
    exchange = Exchange(1_000, stops_max=stops_max)
    answers = [reason(exchange.stop(ANA, SELL, 1, 900, f"s{number}")) for number in range(stops_max + 1)]
    assert answers == [rejects.ACCEPTED] * stops_max + [rejects.TOO_MANY]
    assert reason(exchange.oco(ANA, SELL, 1, 1_100, 900, "l p")) == rejects.TOO_MANY
    exchange.cancel(ANA, "s0")
    assert reason(exchange.oco(ANA, SELL, 1, 1_100, 900, "l2 p2")) == rejects.ACCEPTED
    assert reason(exchange.stop(BO, BUY, 1, 1_200, "b")) == rejects.TOO_MANY


def test_one_trade_elects_ten_thousand_stops_and_one_more_is_too_many() -> None:
    """Each elects the next: 10,000 stops a tick apart, each sold to a bid at the stop price of the next one."""
    exchange = Exchange(20_001)
    exchange.twin = False
    machine, now_ns = exchange.machine, exchange.now_ns
    for number in range(STOPS_PER_MARKET_MAX):
        commands = (
            exchange.special(ANA, SELL, 1, f"s{number}", trigger=STOP, stop=20_000 - number),
            exchange.order(BO, BUY, 1, 20_000 - number),
        )
        machine.apply(now_ns, b"".join(encode_command(one._replace(issued_at_ns=now_ns)) for one in commands))
    assert len(exchange.market.stops) == STOPS_PER_MARKET_MAX
    assert reason(exchange.stop(ANA, SELL, 1, 20_000, "more")) == rejects.TOO_MANY
    assert reason(exchange.oco(ANA, SELL, 1, 30_000, 20_000, "l p")) == rejects.TOO_MANY
    again = restore(snapshot_bytes(machine))
    last_straw = encode_command(exchange.order(CY, SELL, 1, 20_000, "last-straw")._replace(issued_at_ns=now_ns))
    began = perf_counter()
    applied = machine.apply(now_ns, last_straw)
    assert perf_counter() - began < 10, "a ladder of stops stops the exchange"
    assert again.apply(now_ns, last_straw) == applied
    assert_sound(machine)
    # The bid of the last stop went to the one before it, since Cy took the first.
    assert exchange.last == 10_001 and len(exchange.market.stops) == 0
    found = [
        event for _, event in decode_events(applied.entry.events) if isinstance(event, TradeExecuted | OrderTriggered)
    ]
    assert len([event for event in found if isinstance(event, TradeExecuted)]) == STOPS_PER_MARKET_MAX
    assert triggered(found) == [ANA] * STOPS_PER_MARKET_MAX
    assert reason(exchange.stop(ANA, SELL, 1, 10_000, "room-again")) == rejects.ACCEPTED


def test_a_market_follows_a_thousand_trailing_stops_and_no_more() -> None:
    exchange = Exchange(20_000)
    exchange.twin = False
    machine, now_ns = exchange.machine, exchange.now_ns
    for number in range(TRAILING_STOPS_PER_MARKET_MAX):
        trailing = exchange.special(ANA, SELL, 1, f"t{number}", trigger=TRAIL_BY_PRICE, trail=5_000)
        machine.apply(now_ns, encode_command(trailing._replace(issued_at_ns=now_ns)))
    assert exchange.market.stops.trailing_count == TRAILING_STOPS_PER_MARKET_MAX
    assert reason(exchange.trail(BO, BUY, 1, 10, "more")) == rejects.TOO_MANY
    assert reason(exchange.trail(BO, BUY, 1, 10, "more-ppm", ppm=True)) == rejects.TOO_MANY
    assert reason(exchange.stop(BO, BUY, 1, 30_000, "plain")) == rejects.ACCEPTED
    exchange.cancel(ANA, "t7")
    assert reason(exchange.trail(BO, BUY, 1, 10, "again")) == rejects.ACCEPTED
