"""Stops: which trades elect them, in which order they run, how trailing ones follow, what they hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import rejects
from engine.events import OrderTriggered
from engine.orders import Order, SpecialOrder, begin
from engine.stops import StopBook, trailing_stop_ticks, would_trigger
from engine.types import (
    AMOUNT_MAX,
    BUY,
    GTC,
    SELL,
    STOP,
    TRAIL_BY_PPM,
    TRAIL_BY_PRICE,
)
from tests.engine.exchange import (
    ANA,
    BO,
    CY,
    DEE,
    EUR,
    OPS,
    Exchange,
    kinds,
    reason,
    trades,
    triggered,
)

SIDES = pytest.mark.parametrize("side", [BUY, SELL])


def _stop(side: int, stop_ticks: int, priority: int, trigger: int = STOP) -> SpecialOrder:
    order = SpecialOrder()
    begin(order, priority, ANA, 1, side)
    order.stop_ticks, order.priority, order.trigger = stop_ticks, priority, trigger
    return order


# The list of those that wait.


@given(
    steps=st.lists(st.tuples(st.sampled_from("are"), st.integers(0, 1), st.integers(1, 9)), max_size=60),
)
def test_a_stop_book_is_a_list_of_stops_by_price_and_time(steps: list[tuple[str, int, int]]) -> None:
    book, naive = StopBook(), list[Order]()
    for number, (what, side, price_ticks) in enumerate(steps):
        if what == "a":
            naive.append(_stop(side, price_ticks, number))
            book.add(naive[-1])
        elif what == "r" and naive:
            book.remove(naive.pop(price_ticks % len(naive)))
        elif what == "e":
            expected = [order for order in _in_order(naive) if would_trigger(order, price_ticks)]
            assert book.elect(price_ticks) == expected
            naive = [order for order in naive if order not in expected]
        assert book.orders() == _in_order(naive) and len(book) == len(naive)


def _in_order(orders: list[Order]) -> list[Order]:
    """Buys first and from the lowest price, then sells from the highest, each price in time order."""
    key = {BUY: lambda order: order.stop_ticks, SELL: lambda order: -order.stop_ticks}
    return [
        order
        for side in (BUY, SELL)
        for order in sorted((one for one in orders if one.side == side), key=lambda one: (key[side](one), one.priority))
    ]


def test_removing_a_stop_that_was_elected_a_moment_ago_does_nothing() -> None:
    book, order, other = StopBook(), _stop(SELL, 95, 1, TRAIL_BY_PRICE), _stop(SELL, 94, 2)
    book.add(order)
    book.add(other)
    assert book.elect(95) == [order] and book.trailing_count == 0
    book.remove(order)
    assert book.orders() == [other]


@pytest.mark.parametrize(
    ("side", "price", "elected"),
    [(SELL, 951, False), (SELL, 950, True), (SELL, 949, True), (BUY, 949, False), (BUY, 950, True), (BUY, 951, True)],
)
def test_a_stop_is_elected_at_its_price_and_beyond(side: int, price: int, elected: bool) -> None:
    order = _stop(side, 950, 1)
    assert would_trigger(order, price) == elected
    book = StopBook()
    book.add(order)
    assert book.elect(price) == [order] * elected


def test_no_last_price_elects_nothing() -> None:
    assert not would_trigger(_stop(SELL, 950, 1), 0) and not would_trigger(_stop(BUY, 950, 1), 0)


@pytest.mark.parametrize(
    ("ppm", "price", "distance"),
    [(50_000, 1_000, 50), (50_000, 1_019, 50), (50_000, 1_020, 51), (1, 1_000, 1), (999, 1_000, 1), (2_000, 1_000, 2)],
)
def test_a_distance_in_per_cent_is_rounded_down_to_a_tick_but_never_to_none(
    ppm: int, price: int, distance: int
) -> None:
    for side, sign in ((BUY, 1), (SELL, -1)):
        order = _stop(side, 0, 1, TRAIL_BY_PPM)
        order.trail_ppm = ppm
        assert trailing_stop_ticks(order, price) == price + sign * distance


@SIDES
@given(start=st.integers(50, 99), prices=st.lists(st.integers(50, 99), max_size=30))
def test_a_trailing_stop_stands_where_the_best_price_since_its_start_puts_it(
    side: int, start: int, prices: list[int]
) -> None:
    book, order = StopBook(), _stop(side, 0, 1, TRAIL_BY_PRICE)
    order.trail_ticks = 49  # too far behind to be elected
    order.stop_ticks = trailing_stop_ticks(order, start)
    book.add(order)
    for price in prices:
        before = order.stop_ticks
        assert book.trail(price) == [order] * (order.stop_ticks != before)
        assert book.orders() == [order] and book.trailing_count == 1
    assert order.stop_ticks == (min([start, *prices]) + 49 if side == BUY else max([start, *prices]) - 49)


# Rows F1 to F6.


def _bids(exchange: Exchange, *levels: tuple[int, int], account_id: int = DEE) -> None:
    for price, lots in levels:
        exchange.buy(account_id, lots, price)


def test_f1_quotes_do_not_elect_but_trades_do() -> None:
    exchange = Exchange(1_000)
    exchange.buy(DEE, 1, 960, "b1")
    exchange.buy(DEE, 1, 950, "b2")
    _bids(exchange, (940, 5))
    exchange.stop(ANA, SELL, 2, 950, "s1")
    exchange.cancel(DEE, "b1")
    exchange.cancel(DEE, "b2")
    assert triggered(exchange.sell(CY, 1, 945)) == [] and exchange.waiting() == ["s1"]

    exchange = Exchange(1_000)
    _bids(exchange, (960, 1), (950, 1), (940, 5))
    exchange.stop(ANA, SELL, 2, 950, "s1")
    assert triggered(exchange.sell(CY, 1, 960)) == []
    answer = exchange.sell(CY, 1, 950)
    assert trades(answer) == [(950, 1, DEE, CY), (940, 2, DEE, ANA)]
    assert kinds(answer) == ["OrderAccepted", "TradeExecuted", "OrderTriggered", "TradeExecuted"]
    assert exchange.shown()[0] == [(940, 3)]


def test_f2_an_elected_stop_limit_rests_with_what_its_limit_leaves() -> None:
    exchange = Exchange(1_000)
    _bids(exchange, (950, 1), (945, 1), (940, 4))
    exchange.stop(ANA, SELL, 2, 950, "s1", price=945)
    answer = exchange.sell(CY, 1, 950)
    assert trades(answer) == [(950, 1, DEE, CY), (945, 1, DEE, ANA)]
    assert exchange.shown() == ([(940, 4)], [(945, 1)])
    found = exchange.find(ANA, "s1")
    assert isinstance(answer[2], OrderTriggered) and answer[2] == OrderTriggered(found.order_id, ANA, 1, 950)


@pytest.mark.parametrize(
    ("stop", "expected"), [(941, rejects.STOP_WOULD_TRIGGER), (940, rejects.STOP_WOULD_TRIGGER), (939, 0)]
)
def test_f3_a_stop_that_the_last_price_meets_already_is_refused(stop: int, expected: int) -> None:
    exchange = Exchange(940)
    assert reason(exchange.stop(ANA, SELL, 2, stop, "s1")) == expected
    assert exchange.held(ANA) == ((0, 0) if expected else (2, 0))


@pytest.mark.parametrize(
    ("stop", "expected"), [(939, rejects.STOP_WOULD_TRIGGER), (940, rejects.STOP_WOULD_TRIGGER), (941, 0)]
)
def test_f3_for_a_stop_to_buy(stop: int, expected: int) -> None:
    exchange = Exchange(940)
    assert reason(exchange.stop(ANA, BUY, 2, stop, "s1")) == expected
    assert exchange.held(ANA) == (0, 0 if expected else 2 * stop)


def test_f4_a_cascade_runs_inside_one_command() -> None:
    exchange = Exchange(1_000)
    exchange.deposit(OPS, EUR, 10_000)
    _bids(exchange, (990, 1), (980, 1), (970, 1), (960, 1), account_id=OPS)
    for account_id, stop in ((ANA, 990), (BO, 980), (CY, 970)):
        exchange.stop(account_id, SELL, 1, stop, "s")
    answer = exchange.market_order(DEE, SELL, 1)
    assert [(price, taker) for price, _, _, taker in trades(answer)] == [(990, DEE), (980, ANA), (970, BO), (960, CY)]
    assert exchange.last == 960 and exchange.shown() == ([], []) and exchange.waiting() == []


def test_f5_the_trade_completes_then_stops_run_by_price_then_by_time() -> None:
    exchange = Exchange(1_005)
    exchange.deposit(OPS, EUR, 100_000)
    _bids(exchange, (1_000, 3), (990, 3), (980, 1), (975, 1), (970, 1), account_id=OPS)
    for account_id, stop in ((ANA, 990), (BO, 995), (CY, 990)):
        exchange.stop(account_id, SELL, 1, stop, "s")
    answer = exchange.market_order(DEE, SELL, 6)
    assert [(price, lots, taker) for price, lots, _, taker in trades(answer)] == [
        (1_000, 3, DEE),
        (990, 3, DEE),
        (980, 1, BO),
        (975, 1, ANA),
        (970, 1, CY),
    ]


def test_stops_to_buy_run_from_the_lowest() -> None:
    exchange = Exchange(1_000)
    for price in (1_010, 1_020, 1_030, 1_040):
        exchange.sell(DEE, 1, price)
    for account_id, stop in ((ANA, 1_010), (BO, 1_005), (CY, 1_010)):
        exchange.stop(account_id, BUY, 1, stop, "s", price=1_040)
    answer = exchange.buy(CY, 1, 1_010)
    assert [(price, taker) for price, _, _, taker in trades(answer)] == [
        (1_010, CY),
        (1_020, BO),
        (1_030, ANA),
        (1_040, CY),
    ]


def test_those_that_a_stop_elects_come_after_all_that_were_elected_before() -> None:
    """Bo's stop trades at 980 and elects Cy's; Ana's, elected together with Bo's, runs first all the same."""
    exchange = Exchange(1_000)
    exchange.deposit(OPS, EUR, 100_000)
    _bids(exchange, (990, 1), (980, 1), (970, 1), (960, 1), account_id=OPS)
    for account_id, stop in ((ANA, 990), (BO, 995), (CY, 985)):
        exchange.stop(account_id, SELL, 1, stop, "s")
    answer = exchange.market_order(DEE, SELL, 1)
    assert triggered(answer) == [BO, ANA, CY]
    assert [price for price, *_ in trades(answer)] == [990, 980, 970, 960]


@pytest.mark.parametrize(
    ("trail", "ppm", "stops", "elected_by"), [(50, False, [990, 990, 990], 990), (50_000, True, [988, 988, 988], 988)]
)
def test_f6_a_trailing_stop_follows_and_does_not_fall_back(
    trail: int, ppm: bool, stops: list[int], elected_by: int
) -> None:
    exchange = Exchange(1_000)
    exchange.deposit(OPS, EUR, 100_000)
    _bids(exchange, (500, 9), account_id=OPS)
    exchange.trail(ANA, SELL, 1, trail, "t", ppm=ppm)
    assert exchange.find(ANA, "t").stop_ticks == 950
    seen = []
    for price in (1_040, 1_020, 990, 988):
        exchange.sell(CY, 1, price, tif=GTC)
        answer = exchange.buy(DEE, 1, price)
        if triggered(answer):
            assert price == elected_by
            assert trades(answer)[1] == (500, 1, OPS, ANA)
            break
        seen.append(exchange.find(ANA, "t").stop_ticks)
    assert seen == stops[: len(seen)] and exchange.waiting() == []


def test_a_trailing_stop_to_buy_follows_downwards_and_frees_what_it_needs_no_more() -> None:
    exchange = Exchange(1_000)
    exchange.trail(ANA, BUY, 2, 50, "t")
    assert exchange.held(ANA) == (0, 2 * 1_050)
    for price, held in ((980, 2 * 1_030), (990, 2 * 1_030), (970, 2 * 1_020)):
        exchange.sell(CY, 1, price)
        exchange.buy(DEE, 1, price)
        assert exchange.held(ANA) == (0, held)
    exchange.sell(CY, 1, 1_020)
    exchange.sell(CY, 2, 1_025)
    answer = exchange.buy(DEE, 1, 1_020)
    assert trades(answer) == [(1_020, 1, CY, DEE), (1_025, 2, CY, ANA)]
    assert exchange.held(ANA) == (0, 0)


def test_a_trailing_stop_to_sell_follows_the_first_price_of_a_sweep_and_is_elected_by_its_last() -> None:
    exchange = Exchange(1_000)
    exchange.deposit(OPS, EUR, 100_000)
    _bids(exchange, (1_060, 1), (1_005, 1), (900, 1), account_id=OPS)
    exchange.trail(ANA, SELL, 1, 50, "t")
    answer = exchange.sell(CY, 2, 1_000)
    assert trades(answer) == [(1_060, 1, OPS, CY), (1_005, 1, OPS, CY), (900, 1, OPS, ANA)]


def test_a_trailing_stop_needs_a_last_price() -> None:
    exchange = Exchange()
    assert reason(exchange.trail(ANA, SELL, 1, 50, "t")) == rejects.NO_LAST_PRICE
    assert reason(exchange.stop(ANA, SELL, 1, 50, "s")) == rejects.ACCEPTED


@pytest.mark.parametrize(
    ("trail", "expected"), [(999, rejects.ACCEPTED), (1_000, rejects.PRICE), (1_001, rejects.PRICE)]
)
def test_a_trailing_stop_to_sell_must_stand_above_nothing(trail: int, expected: int) -> None:
    assert reason(Exchange(1_000).trail(ANA, SELL, 1, trail, "t")) == expected


def test_a_trailing_stop_far_above_the_largest_price_is_refused() -> None:
    """The sum of the two largest numbers fits into no record."""
    exchange = Exchange(AMOUNT_MAX)
    assert reason(exchange.trail(ANA, BUY, 1, AMOUNT_MAX, "t", price=1)) != rejects.ACCEPTED
