"""Matching: rounds of an iceberg, decrementing, the band, and that what is foreseen is what happens."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import rejects
from engine.event_writer import EventWriter
from engine.events import SelfTradePrevented, TradeExecuted
from engine.matching import cost_of_fillable, fillable, match, would_trade
from engine.types import (
    BUY,
    CANCEL_BOTH,
    CANCEL_NEWEST,
    CANCEL_OLDEST,
    CLOSED_BUDGET_SPENT,
    CLOSED_FILLED,
    CLOSED_NO_LIQUIDITY,
    CLOSED_PRICE_BAND,
    CLOSED_SELF_TRADE,
    DECREMENT,
    FOK,
    IOC,
    LIMIT,
    MARKET,
    NOTIONAL_MAX,
    OPEN,
    SELL,
)
from tests.engine.exchange import (
    ANA,
    BO,
    CY,
    EUR_UNITS,
    GLD_EUR,
    GLD_UNITS,
    Exchange,
    closed,
    emitted,
    kinds,
    reason,
    trades,
)

# Self-trade prevention by decrementing.


def test_c4_both_shrink_by_the_smaller() -> None:
    exchange = Exchange(1_000)
    exchange.sell(ANA, 3, 1_000, "a1")
    exchange.sell(BO, 4, 1_000)
    answer = exchange.buy(ANA, 5, 1_000, "a2", self_trade=DECREMENT)
    assert kinds(answer) == ["OrderAccepted", "SelfTradePrevented", "OrderClosed", "TradeExecuted"]
    prevented = answer[1]
    assert isinstance(prevented, SelfTradePrevented)
    assert (prevented.quantity_lots, prevented.maker_open_lots, prevented.taker_open_lots) == (3, 0, 2)
    assert closed(answer) == [(ANA, CLOSED_SELF_TRADE)] and trades(answer) == [(1_000, 2, BO, ANA)]
    taker = exchange.find(ANA, "a2")
    assert (taker.executed_lots, taker.prevented_lots, taker.close_reason) == (2, 3, CLOSED_FILLED)
    assert exchange.shown()[1] == [(1_000, 2)]


def test_a_taker_that_decrements_to_nothing_is_closed_and_the_maker_keeps_its_place() -> None:
    exchange = Exchange(1_000)
    exchange.sell(ANA, 5, 1_000, "a1")
    exchange.sell(BO, 1, 1_000)
    answer = exchange.buy(ANA, 3, 1_000, "a2", self_trade=DECREMENT)
    assert closed(answer) == [(ANA, CLOSED_SELF_TRADE)] and exchange.held(ANA) == (2, 0)
    assert trades(exchange.buy(CY, 1, 1_000)) == [(1_000, 1, ANA, CY)]


def test_two_that_are_equal_both_end() -> None:
    exchange = Exchange(1_000)
    exchange.sell(ANA, 3, 1_000)
    answer = exchange.market_order(ANA, BUY, 3, self_trade=DECREMENT)
    assert closed(answer) == [(ANA, CLOSED_SELF_TRADE)] * 2
    assert exchange.held(ANA) == (0, 0) and exchange.available(ANA) == (GLD_UNITS, EUR_UNITS)


def test_an_own_iceberg_is_decremented_slice_by_slice() -> None:
    exchange = Exchange(1_000)
    exchange.iceberg(ANA, SELL, 7, 1_000, 3, "i")
    exchange.sell(BO, 1, 1_000)
    answer = exchange.buy(ANA, 6, 1_000, self_trade=DECREMENT)
    prevented = [event.quantity_lots for event in answer if isinstance(event, SelfTradePrevented)]
    assert prevented == [3, 2] and trades(answer) == [(1_000, 1, BO, ANA)]
    assert kinds(answer)[1:3] == ["SelfTradePrevented", "OrderReplenished"]
    assert exchange.find(ANA, "i").open_lots == 2 and exchange.shown()[1] == [(1_000, 1)]


def test_decrementing_a_leg_ends_the_other_one() -> None:
    exchange = Exchange(1_000)
    exchange.oco(ANA, SELL, 5, 1_010, 900, "l p")
    exchange.buy(ANA, 2, 1_010, self_trade=DECREMENT)
    assert exchange.waiting() == [] and exchange.held(ANA) == (3, 0)


def test_c5_own_quantity_does_not_fill_a_fill_or_kill() -> None:
    for mode, expected in (
        (CANCEL_NEWEST, rejects.FOK),
        (CANCEL_OLDEST, 0),
        (CANCEL_BOTH, rejects.FOK),
        (DECREMENT, rejects.FOK),
    ):
        exchange = Exchange(1_000)
        exchange.sell(BO, 2, 1_000)
        exchange.sell(ANA, 3, 1_000)
        exchange.sell(CY, 3, 1_000)
        assert reason(exchange.buy(ANA, 5, 1_000, tif=FOK, self_trade=mode)) == expected, mode
        assert reason(exchange.buy(ANA, 2, 1_000, tif=FOK, self_trade=mode)) == (rejects.FOK if not expected else 0)


# The band.


@pytest.mark.parametrize(
    ("last", "ppm", "side", "edge"),
    [
        (1_000, 50_000, BUY, 1_050),
        (1_000, 50_000, SELL, 950),
        (1_019, 50_000, BUY, 1_069),  # 50.95 is rounded down: towards the reference, on both sides
        (1_019, 50_000, SELL, 969),
        (1_000, 999_999, SELL, 1),
        (1, 999_999, BUY, 1),
        (1, 999_999, SELL, 1),
        (1_000, 0, BUY, 0),
        (0, 50_000, BUY, 0),
    ],
)
def test_the_edges_of_the_band_are_rounded_towards_the_reference(last: int, ppm: int, side: int, edge: int) -> None:
    exchange = Exchange(last, band_ppm=ppm)
    exchange.market.begin(exchange.now_ns)
    assert exchange.market.session.band_edge_ticks(side) == edge


@pytest.mark.parametrize(("price", "inside"), [(950, True), (949, False)])
def test_the_edge_itself_is_inside(price: int, inside: bool) -> None:
    exchange = Exchange(1_000, band_ppm=50_000)
    exchange.buy(BO, 1, price)
    answer = exchange.market_order(ANA, SELL, 1)
    assert trades(answer) == [(price, 1, BO, ANA)] * inside
    assert closed(answer) == ([] if inside else [(ANA, CLOSED_PRICE_BAND)])


def test_the_band_is_measured_from_the_price_before_the_command() -> None:
    exchange = Exchange(1_000, band_ppm=50_000)
    for price in (1_040, 1_050, 1_060):
        exchange.sell(BO, 1, price)
    assert trades(exchange.buy(ANA, 3, 1_060)) == [(1_040, 1, BO, ANA), (1_050, 1, BO, ANA)]
    assert trades(exchange.buy(ANA, 1, 1_060)) == [(1_060, 1, BO, ANA)], "now it is measured from 1,050"


def test_what_is_beyond_the_band_does_not_count_for_fill_or_kill() -> None:
    exchange = Exchange(1_000, band_ppm=50_000)
    exchange.sell(BO, 1, 1_050)
    exchange.sell(BO, 1, 1_051)
    assert reason(exchange.buy(ANA, 2, 1_060, tif=FOK)) == rejects.FOK
    assert reason(exchange.buy(ANA, 1, 1_060, tif=FOK)) == rejects.ACCEPTED


def test_a_market_order_holds_what_it_costs_inside_the_band() -> None:
    exchange = Exchange(1_000, band_ppm=50_000)
    exchange.sell(BO, 1, 1_000)
    exchange.sell(BO, 1, NOTIONAL_MAX)
    assert trades(exchange.market_order(ANA, BUY, 2)) == [(1_000, 1, BO, ANA)]


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (1_000, CLOSED_BUDGET_SPENT),
        (2_059, CLOSED_BUDGET_SPENT),
        (2_060, CLOSED_PRICE_BAND),
        (9_999, CLOSED_PRICE_BAND),
    ],
)
def test_a_budget_ends_at_the_band_if_it_could_pay_more_there(budget: int, expected: int) -> None:
    exchange = Exchange(1_000, band_ppm=50_000)
    exchange.sell(BO, 1, 1_000)
    exchange.sell(BO, 1, 1_060)
    answer = exchange.budget(ANA, budget)
    assert trades(answer) == [(1_000, 1, BO, ANA)] and closed(answer) == [(ANA, expected)]


@pytest.mark.parametrize(("budget", "expected"), [(999, CLOSED_BUDGET_SPENT), (1_001, CLOSED_NO_LIQUIDITY)])
def test_a_budget_ends_when_it_buys_no_lot_or_nothing_is_offered(budget: int, expected: int) -> None:
    exchange = Exchange()
    exchange.sell(BO, 1, 1_000)
    assert closed(exchange.budget(ANA, budget)) == [(ANA, expected)]


# What is foreseen is what happens.


class Resting(NamedTuple):
    account_id: int
    price: int
    lots: int
    display: int


_BOOKS = st.lists(
    st.builds(Resting, st.sampled_from((ANA, BO, CY)), st.integers(1, 5), st.integers(1, 9), st.integers(0, 4)),
    max_size=9,
)


def _crowded(side: int, book: list[Resting], **rules: int) -> Exchange:
    exchange = Exchange(**rules)  # type: ignore[arg-type]
    exchange.twin = False
    for number, one in enumerate(book):
        if 0 < one.display < one.lots:
            exchange.iceberg(one.account_id, side, one.lots, 100 + one.price, one.display, f"o{number}")
        else:
            exchange.run(exchange.order(one.account_id, side, one.lots, 100 + one.price, f"o{number}"))
    return exchange


@settings(max_examples=200, deadline=None)
@given(
    book=_BOOKS,
    side=st.integers(0, 1),
    lots=st.integers(1, 30),
    price=st.integers(0, 6),
    mode=st.sampled_from((CANCEL_NEWEST, CANCEL_OLDEST, CANCEL_BOTH, DECREMENT)),
    band_ppm=st.sampled_from((0, 1, 10_000, 20_000, 30_000)),
)
def test_what_is_fillable_is_what_matching_then_does(
    book: list[Resting], side: int, lots: int, price: int, mode: int, band_ppm: int
) -> None:
    exchange = _crowded(1 - side, book, last=103, band_ppm=band_ppm)
    market = exchange.market
    market.begin(exchange.now_ns)
    taker = exchange.machine.trading.index.pool.take(10**6, ANA, GLD_EUR, side)
    taker.order_type, taker.price_ticks = (LIMIT, 100 + price) if price else (MARKET, 0)
    taker.quantity_lots = taker.open_lots = lots
    taker.self_trade = mode
    expected_lots, expected_units = fillable(market, taker), market.fillable_notional_units
    crosses = would_trade(market, side, taker.order_type, taker.price_ticks)
    cost_units = cost_of_fillable(market, taker)
    assert cost_units == expected_units, "without fees"
    exchange.machine.ledger.deposit(ANA, 1 if side == SELL else 2, 10_000)
    market.adjust_hold(taker, lots if side == SELL else cost_units if not price else lots * taker.price_ticks)
    emit = EventWriter()
    at_band = match(market, taker, emit)
    found = [event for event in emitted(emit) if isinstance(event, TradeExecuted)]
    assert sum(trade.quantity_lots for trade in found) == expected_lots == taker.executed_lots
    assert sum(trade.notional_units for trade in found) == expected_units
    assert crosses or not emit.length
    assert taker.quantity_lots == taker.open_lots + taker.executed_lots + taker.prevented_lots
    if at_band:
        assert band_ppm and taker.status == OPEN and taker.open_lots > 0


@settings(max_examples=80, deadline=None)
@given(book=_BOOKS, lots=st.integers(1, 30), price=st.integers(1, 6), mode=st.integers(0, 3))
def test_fill_or_kill_is_all_or_nothing(book: list[Resting], lots: int, price: int, mode: int) -> None:
    exchange = _crowded(SELL, book)
    before = exchange.shown()
    answer = exchange.buy(ANA, lots, 100 + price, "fok", tif=FOK, self_trade=mode)
    executed = sum(one_lots for _, one_lots, *_ in trades(answer))
    assert executed == (0 if reason(answer) else lots)
    if reason(answer):
        assert exchange.shown() == before
    else:
        other = _crowded(SELL, book)
        assert trades(other.buy(ANA, lots, 100 + price, "ioc", tif=IOC, self_trade=mode)) == trades(answer)
