"""The end of a call auction: who trades, at one price, in which order, and what is left."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import rejects
from engine.events import AuctionUncrossed, Event, IndicativePriceChanged, TradeExecuted
from engine.session import NOTHING
from engine.types import (
    AUCTION,
    BUY,
    CLOSED,
    CLOSED_BY_OWNER,
    CLOSED_NO_LIQUIDITY,
    GTC,
    HALTED,
    IOC,
    NOTIONAL_MAX,
    POST_ONLY,
    PRE_OPEN,
    SELL,
    TRADING,
)
from tests.engine.exchange import (
    ANA,
    BO,
    CY,
    DEE,
    EUR_UNITS,
    GLD_EUR,
    GLD_UNITS,
    Exchange,
    closed,
    kinds,
    reason,
    trades,
    triggered,
)


def _auction(last: int = 1_000, **rules: Any) -> Exchange:
    return Exchange(last, state=AUCTION, **rules)


def _uncrossed(events: list[Event]) -> tuple[int, int, int]:
    (found,) = [event for event in events if isinstance(event, AuctionUncrossed)]
    return found.price_ticks, found.quantity_lots, found.surplus_lots


def test_g2_all_trade_at_one_price_and_the_rest_stays() -> None:
    exchange = _auction()
    exchange.buy(ANA, 30, 1_010)
    exchange.buy(BO, 20, 1_005)
    exchange.buy(CY, 25, 1_000)
    for lots, price in ((15, 995), (20, 1_000), (30, 1_005)):
        exchange.sell(DEE, lots, price)
    answer = exchange.set_state(TRADING)
    assert kinds(answer)[:2] == ["MarketStateChanged", "AuctionUncrossed"]
    assert _uncrossed(answer) == (1_005, 50, -15)
    assert trades(answer) == [(1_005, 15, ANA, DEE), (1_005, 15, ANA, DEE), (1_005, 5, BO, DEE), (1_005, 15, BO, DEE)]
    assert exchange.shown() == ([(1_000, 25)], [(1_005, 15)])
    assert exchange.last == 1_005 and exchange.held(ANA) == (0, 0)
    assert exchange.available(ANA) == (GLD_UNITS + 30, EUR_UNITS - 30 * 1_005)


def test_g5_a_book_that_does_not_cross_just_opens() -> None:
    exchange = _auction()
    exchange.buy(ANA, 10, 990)
    exchange.sell(BO, 10, 1_000)
    answer = exchange.set_state(TRADING)
    assert kinds(answer) == ["MarketStateChanged"]
    assert exchange.shown() == ([(990, 10)], [(1_000, 10)]) and exchange.last == 1_000


@pytest.mark.parametrize("state", [TRADING, POST_ONLY, CLOSED])
def test_leaving_an_auction_to_trade_or_to_close_uncrosses(state: int) -> None:
    exchange = _auction()
    exchange.buy(ANA, 10, 1_010)
    exchange.sell(BO, 10, 1_000)
    assert trades(exchange.set_state(state)) == [(1_000, 10, ANA, BO)]
    assert exchange.market.session.indicative == NOTHING


@pytest.mark.parametrize("state", [PRE_OPEN, HALTED])
def test_leaving_an_auction_otherwise_does_not(state: int) -> None:
    exchange = _auction()
    exchange.buy(ANA, 10, 1_010)
    exchange.sell(BO, 10, 1_000)
    assert kinds(exchange.set_state(state)) == ["MarketStateChanged"]
    assert exchange.shown() == ([(1_010, 10)], [(1_000, 10)]), "still crossed"
    assert trades(exchange.set_state(TRADING)) == [(1_000, 10, ANA, BO)]


def test_closing_without_an_auction_does_not_uncross() -> None:
    exchange = Exchange(1_000, state=PRE_OPEN)
    exchange.buy(ANA, 10, 1_010)
    exchange.sell(BO, 10, 1_000)
    assert trades(exchange.set_state(CLOSED)) == []


def test_of_two_orders_the_one_that_came_first_is_the_maker_and_pays_as_one() -> None:
    exchange = Exchange(1_000, state=AUCTION, fees=(1_000, 2_000))
    exchange.sell(BO, 10, 1_000)
    exchange.buy(ANA, 10, 1_000)
    answer = exchange.set_state(TRADING)
    assert trades(answer) == [(1_000, 10, BO, ANA)]
    (trade,) = [event for event in answer if isinstance(event, TradeExecuted)]
    assert (trade.taker_side, trade.maker_fee_units, trade.taker_fee_units) == (BUY, 10, 20)


def test_nobody_prevents_self_trades_in_an_auction() -> None:
    exchange = _auction()
    exchange.buy(ANA, 10, 1_000)
    exchange.sell(ANA, 10, 1_000)
    assert trades(exchange.set_state(TRADING)) == [(1_000, 10, ANA, ANA)]
    assert exchange.available(ANA) == (GLD_UNITS, EUR_UNITS)


def test_better_prices_go_first_then_time() -> None:
    exchange = _auction()
    exchange.buy(ANA, 5, 1_000)
    exchange.buy(BO, 5, 1_000)
    exchange.buy(CY, 5, 1_001)
    exchange.sell(DEE, 12, 1_000)
    assert trades(exchange.set_state(TRADING)) == [(1_000, 5, CY, DEE), (1_000, 5, ANA, DEE), (1_000, 2, BO, DEE)]
    assert exchange.shown() == ([(1_000, 3)], [])


# Market orders in an auction (rulebook G6).


def test_market_orders_go_first_at_the_price() -> None:
    exchange = _auction(band_ppm=100_000, auction_market_orders=1)
    exchange.buy(ANA, 5, 1_010)
    exchange.market_order(BO, BUY, 5)
    assert exchange.held(BO) == (0, 5 * 1_100), "as a limit at the edge of the band"
    exchange.sell(CY, 6, 1_000)
    answer = exchange.set_state(TRADING)
    assert _uncrossed(answer) == (1_010, 6, 4)
    assert trades(answer) == [(1_010, 5, BO, CY), (1_010, 1, ANA, CY)]
    assert exchange.available(BO) == (GLD_UNITS + 5, EUR_UNITS - 5_050)


def test_a_market_order_goes_before_a_limit_order_at_the_edge_that_came_first() -> None:
    exchange = _auction(band_ppm=100_000, auction_market_orders=1)
    exchange.buy(ANA, 5, 1_100)
    exchange.market_order(BO, BUY, 5)
    exchange.sell(CY, 6, 1_000)
    assert trades(exchange.set_state(TRADING)) == [(1_100, 5, BO, CY), (1_100, 1, ANA, CY)]


def test_the_edge_where_market_orders_stand_is_nobodys_price() -> None:
    exchange = _auction(band_ppm=100_000, auction_market_orders=1)
    exchange.market_order(BO, BUY, 5)
    exchange.sell(CY, 2, 1_000)
    assert exchange.market.session.indicative == (1_000, 2, 3), "not 1,100, though buyers are left over"
    exchange.buy(ANA, 1, 1_100)
    assert exchange.market.session.indicative == (1_100, 2, 4), "now it is Ana's price"


def test_market_orders_to_sell_stand_at_the_lower_edge_and_go_first() -> None:
    exchange = _auction(band_ppm=100_000, auction_market_orders=1)
    exchange.sell(ANA, 5, 950)
    exchange.market_order(BO, SELL, 5, tif=GTC)
    exchange.buy(CY, 6, 960)
    answer = exchange.set_state(TRADING)
    assert trades(answer) == [(950, 5, BO, CY), (950, 1, ANA, CY)]


@pytest.mark.parametrize("state", [TRADING, CLOSED, HALTED, PRE_OPEN])
def test_the_rest_of_a_market_order_ends_with_the_auction(state: int) -> None:
    exchange = _auction(band_ppm=100_000, auction_market_orders=1)
    exchange.market_order(BO, BUY, 5)
    exchange.sell(CY, 2, 1_000)
    answer = exchange.set_state(state)
    assert closed(answer) == [(BO, CLOSED_NO_LIQUIDITY)]
    assert exchange.held(BO) == (0, 0) and exchange.shown()[0] == []


def test_market_orders_alone_find_no_price() -> None:
    exchange = _auction(band_ppm=100_000, auction_market_orders=1)
    exchange.market_order(BO, BUY, 5)
    exchange.market_order(CY, SELL, 5)
    answer = exchange.set_state(TRADING)
    assert trades(answer) == [] and closed(answer) == [(BO, CLOSED_NO_LIQUIDITY), (CY, CLOSED_NO_LIQUIDITY)]


def test_a_market_order_in_an_auction_can_be_cancelled_but_not_amended() -> None:
    exchange = _auction(band_ppm=100_000, auction_market_orders=1)
    exchange.market_order(BO, BUY, 5, "m1")
    assert reason(exchange.amend(BO, "m1", lots=4)) == rejects.NOT_AMENDABLE
    assert closed(exchange.cancel(BO, "m1")) == [(BO, CLOSED_BY_OWNER)]


@pytest.mark.parametrize(
    ("rules", "last", "expected"),
    [
        ({}, 1_000, rejects.MARKET_STATE),
        ({"band_ppm": 100_000}, 1_000, rejects.MARKET_STATE),
        ({"band_ppm": 100_000, "auction_market_orders": 1}, 0, rejects.NO_LAST_PRICE),
        ({"band_ppm": 100_000, "auction_market_orders": 1}, 1_000, rejects.ACCEPTED),
    ],
)
def test_an_auction_takes_market_orders_if_its_rules_say_so(rules: dict[str, int], last: int, expected: int) -> None:
    exchange = _auction(last, **rules)
    for side in (BUY, SELL):
        assert reason(exchange.market_order(ANA, side, 1)) == expected
    assert reason(exchange.budget(ANA, 10_000)) == rejects.MARKET_STATE


# Icebergs and stops.


def test_the_hidden_part_of_an_iceberg_takes_part() -> None:
    exchange = _auction()
    exchange.iceberg(ANA, SELL, 10, 1_000, 3, "i")
    exchange.buy(BO, 8, 1_000)
    answer = exchange.set_state(TRADING)
    assert _uncrossed(answer) == (1_000, 8, -2)
    assert sum(lots for _, lots, *_ in trades(answer)) == 8
    assert exchange.shown() == ([], [(1_000, 2)])
    assert exchange.find(ANA, "i").open_lots == 2


def test_an_iceberg_that_came_first_is_the_maker_of_all_its_trades() -> None:
    exchange = Exchange(1_000, state=AUCTION, fees=(1_000, 2_000))
    exchange.iceberg(ANA, SELL, 10, 1_000, 3, "i")
    exchange.buy(BO, 4, 1_000)
    exchange.buy(CY, 6, 1_000)
    assert trades(exchange.set_state(TRADING)) == [(1_000, 4, ANA, BO), (1_000, 6, ANA, CY)]


def test_the_price_of_the_auction_elects_stops() -> None:
    exchange = _auction()
    exchange.stop(ANA, SELL, 1, 950, "s")
    exchange.buy(BO, 1, 940)
    exchange.buy(CY, 5, 950)
    exchange.sell(DEE, 5, 945)
    answer = exchange.set_state(TRADING)
    assert _uncrossed(answer) == (945, 5, 0) or _uncrossed(answer) == (950, 5, 0)
    assert triggered(answer) == [ANA] and trades(answer)[-1] == (940, 1, BO, ANA)


def test_an_auction_that_ends_in_post_only_leaves_its_stops_waiting() -> None:
    exchange = _auction()
    exchange.stop(ANA, SELL, 1, 950, "s")
    exchange.buy(BO, 1, 940)
    exchange.buy(CY, 5, 945)
    exchange.sell(DEE, 5, 945)
    assert triggered(exchange.set_state(POST_ONLY)) == [] and exchange.waiting() == ["s"]
    assert triggered(exchange.set_state(TRADING)) == [ANA]


def test_the_first_fill_of_a_pair_in_an_auction_ends_its_stop() -> None:
    exchange = _auction()
    exchange.oco(ANA, SELL, 4, 1_010, 950, "l p")
    exchange.buy(BO, 1, 1_010)
    exchange.set_state(TRADING)
    assert exchange.waiting() == [] and exchange.held(ANA) == (3, 0)


# The indicative price.


def test_every_change_of_the_indicative_price_is_published_once() -> None:
    exchange = _auction()
    assert kinds(exchange.buy(ANA, 10, 1_010, "a1")) == ["OrderAccepted"]
    (_, first) = exchange.sell(BO, 4, 1_000)
    assert first == IndicativePriceChanged(GLD_EUR, 1_010, 4, 6)
    assert kinds(exchange.buy(CY, 4, 900)) == ["OrderAccepted"], "nothing that crosses changed"
    (_, second) = exchange.amend(ANA, "a1", lots=6)
    assert second == IndicativePriceChanged(GLD_EUR, 1_010, 4, 2)
    assert kinds(exchange.sell(BO, 1, 1_000, tif=IOC)) == ["CommandRejected"]
    (_, gone) = exchange.cancel(ANA, "a1")
    assert gone == IndicativePriceChanged(GLD_EUR, 0, 0, 0)


def test_entering_an_auction_over_a_crossed_book_publishes_at_once() -> None:
    exchange = Exchange(1_000, state=PRE_OPEN)
    exchange.buy(ANA, 10, 1_010)
    assert kinds(exchange.sell(BO, 10, 1_000)) == ["OrderAccepted"], "only an auction has an indicative price"
    (_, published) = exchange.set_state(AUCTION)
    assert published == IndicativePriceChanged(GLD_EUR, 1_000, 10, 0)


_ORDERS = st.lists(
    st.tuples(
        st.sampled_from((ANA, BO, CY, DEE)), st.integers(0, 1), st.integers(1, 9), st.integers(1, 7), st.integers(0, 3)
    ),
    min_size=1,
    max_size=14,
)


@settings(max_examples=80, deadline=None)
@given(orders=_ORDERS, last=st.integers(0, 9))
def test_an_uncross_trades_what_it_announced_at_one_price_within_all_limits(
    orders: list[tuple[int, int, int, int, int]], last: int
) -> None:
    exchange = _auction(last)
    exchange.twin = False
    limits: dict[int, tuple[int, int]] = {}
    for number, (account_id, side, price, lots, display) in enumerate(orders):
        if 0 < display < lots:
            exchange.iceberg(account_id, side, lots, price, display, f"o{number}")
        else:
            exchange.run(exchange.order(account_id, side, lots, price, f"o{number}"))
        limits[exchange.machine.sequence] = (side, price)
    announced = exchange.market.session.indicative
    answer = exchange.set_state(TRADING)
    if not announced.quantity_lots:
        assert kinds(answer) == ["MarketStateChanged"]
        return
    assert _uncrossed(answer) == announced
    found = [event for event in answer if isinstance(event, TradeExecuted)]
    assert sum(trade.quantity_lots for trade in found) == announced.quantity_lots
    for trade in found:
        assert trade.price_ticks == announced.price_ticks
        for order_id in (trade.maker_order_id, trade.taker_order_id):
            side, price = limits[order_id]
            assert price >= trade.price_ticks if side == BUY else price <= trade.price_ticks


def test_an_operator_sees_the_same_in_the_answer_as_time_would_bring() -> None:
    """The end by an operator and the end by time differ in their cause alone."""
    by_hand, by_time = _auction(), _auction(call_ms=1_000)
    for exchange in (by_hand, by_time):
        exchange.buy(ANA, 10, 1_010)
        exchange.sell(BO, 10, 1_000)
    by_hand.now_ns += 10**9
    assert by_hand.set_state(TRADING)[1:] == by_time.wait(1_000)[1:]


def test_a_market_order_worth_too_much_at_the_edge_is_refused() -> None:
    exchange = _auction(1_000, band_ppm=100_000, auction_market_orders=1)
    lots = NOTIONAL_MAX // 1_100
    assert reason(exchange.market_order(ANA, BUY, lots)) == rejects.NO_FUNDS
    assert reason(exchange.market_order(ANA, BUY, lots + 1)) == rejects.NOTIONAL_TOO_LARGE
