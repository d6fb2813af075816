"""The price band, the auction that its breach starts, and stops and pairs that are in the middle of it."""

from __future__ import annotations

import pytest

from engine.events import MarketStateChanged, OrderTriggered
from engine.types import (
    AUCTION,
    BUY,
    BY_PRICE_BAND,
    CLOSED_IOC_REST,
    CLOSED_NO_LIQUIDITY,
    CLOSED_OTHER_LEG,
    CLOSED_PRICE_BAND,
    GTC,
    HALTED,
    IOC,
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
    DEE,
    EUR,
    GLD_EUR,
    OPS,
    START_NS,
    Exchange,
    closed,
    kinds,
    trades,
    triggered,
)


def test_b5_a_taker_stops_at_the_band() -> None:
    exchange = Exchange(1_000, band_ppm=100_000)
    for price in (1_000, 1_090, 1_120):
        exchange.sell(BO, 1, price)
    answer = exchange.market_order(ANA, BUY, 3)
    assert trades(answer) == [(1_000, 1, BO, ANA), (1_090, 1, BO, ANA)]
    assert closed(answer) == [(ANA, CLOSED_PRICE_BAND)] and exchange.market.session.state == TRADING


def test_without_interruptions_a_limit_order_beyond_the_band_does_not_rest() -> None:
    exchange = Exchange(1_000, band_ppm=50_000)
    exchange.sell(BO, 1, 1_051)
    assert closed(exchange.buy(ANA, 1, 1_051)) == [(ANA, CLOSED_PRICE_BAND)]
    assert exchange.shown() == ([], [(1_051, 1)])
    assert closed(exchange.buy(ANA, 1, 1_050)) == [], "inside the band, where nothing is offered, it rests"


def test_g7_the_breach_of_the_band_starts_an_auction() -> None:
    exchange = Exchange(1_000, band_ppm=50_000, interrupts=1, call_ms=60_000)
    for price in (1_020, 1_050, 1_060):
        exchange.sell(BO, 1, price)
    answer = exchange.buy(ANA, 3, 1_060)
    assert trades(answer) == [(1_020, 1, BO, ANA), (1_050, 1, BO, ANA)]
    assert answer[-2] == MarketStateChanged(GLD_EUR, AUCTION, BY_PRICE_BAND, START_NS + 60_000 * NS_PER_MS)
    assert kinds(answer)[-1] == "IndicativePriceChanged"
    assert exchange.shown() == ([(1_060, 1)], [(1_060, 1)])
    ended = exchange.wait(60_000)
    assert trades(ended) == [(1_060, 1, BO, ANA)] and exchange.last == 1_060
    exchange.sell(BO, 1, 1_113)
    assert trades(exchange.buy(ANA, 1, 1_113)) == [(1_113, 1, BO, ANA)], "the new reference is 10.60"


@pytest.mark.parametrize("options", [{"tif": IOC}, {"price": 0}])
def test_what_does_not_rest_interrupts_too_and_is_cancelled(options: dict[str, int]) -> None:
    exchange = Exchange(1_000, band_ppm=50_000, interrupts=1, call_ms=60_000)
    exchange.sell(BO, 1, 1_060)
    price = options.pop("price", 1_060)
    answer = exchange.run(exchange.order(ANA, BUY, 1, price, "taker", **options))
    assert closed(answer) == [(ANA, CLOSED_PRICE_BAND)] and exchange.market.session.state == AUCTION


@pytest.mark.parametrize("interrupts", [0, 1])
@pytest.mark.parametrize(
    ("side", "price", "rests"), [(BUY, 1_050, True), (BUY, 1_051, False), (SELL, 950, True), (SELL, 949, False)]
)
def test_an_order_beyond_the_band_does_not_rest_where_nothing_is_offered(
    side: int, price: int, rests: bool, interrupts: int
) -> None:
    """It could only trade outside of the band, and would block whoever comes."""
    exchange = Exchange(1_000, band_ppm=50_000, interrupts=interrupts, call_ms=1_000)
    answer = exchange.run(exchange.order(ANA, side, 1, price))
    assert closed(answer) == ([] if rests else [(ANA, CLOSED_PRICE_BAND)])
    assert exchange.market.session.state == TRADING and exchange.market.open_count == rests


@pytest.mark.parametrize(("state", "clears"), [(TRADING, True), (POST_ONLY, True), (HALTED, False), (AUCTION, False)])
def test_what_was_collected_beyond_the_band_goes_when_trading_begins(state: int, clears: bool) -> None:
    exchange = Exchange(1_000, state=PRE_OPEN, band_ppm=50_000)
    exchange.buy(ANA, 1, 1_051)
    exchange.buy(BO, 1, 1_050)
    answer = exchange.set_state(state)
    assert closed(answer) == [(ANA, CLOSED_PRICE_BAND)] * clears
    assert exchange.held(BO) == (0, 1_050) and exchange.held(ANA) == (0, 0 if clears else 1_051)


@pytest.mark.parametrize(("state", "clears"), [(TRADING, True), (POST_ONLY, True), (HALTED, False), (AUCTION, False)])
def test_a_new_band_cancels_what_stands_beyond_it_in_a_market_that_trades(state: int, clears: bool) -> None:
    exchange = Exchange(1_000)
    exchange.buy(ANA, 1, 1_051)
    exchange.buy(BO, 1, 1_050)
    if state != TRADING:
        exchange.set_state(state)
    answer = exchange.set_rules(band_ppm=50_000)
    assert kinds(answer) == ["MarketRulesSet"] + ["OrderClosed"] * clears
    assert closed(answer) == [(ANA, CLOSED_PRICE_BAND)] * clears


def test_an_interruption_in_a_cascade_keeps_the_other_stops_waiting_until_it_reopens() -> None:
    exchange = Exchange(1_000, band_ppm=50_000, interrupts=1, call_ms=60_000)
    exchange.deposit(OPS, EUR, 100_000)
    for price in (990, 940, 930):
        exchange.buy(OPS, 1, price)
    for account_id, stop in ((ANA, 990), (BO, 990), (CY, 985)):
        exchange.stop(account_id, SELL, 1, stop, f"s{account_id}", price=900)
    answer = exchange.sell(DEE, 1, 990)
    # Ana is elected and finds nothing within 5 % of 1,000: the auction begins. Bo was elected with her and waits on.
    assert triggered(answer) == [ANA] and kinds(answer)[-2:] == ["MarketStateChanged", "IndicativePriceChanged"]
    assert exchange.waiting() == ["s2", "s3"] and exchange.shown()[1] == [(900, 1)]
    ended = exchange.wait(60_000)
    assert trades(ended)[0][:2] == (940, 1) and triggered(ended)[:1] == [BO]
    assert set(triggered(ended)) == {BO, CY} and exchange.waiting() == []


def test_a_stop_that_the_auctions_price_does_not_meet_any_more_waits_on() -> None:
    exchange = Exchange(1_000, band_ppm=50_000, interrupts=1, call_ms=60_000)
    exchange.deposit(OPS, EUR, 100_000)
    for price in (990, 940):
        exchange.buy(OPS, 1, price)
    exchange.stop(ANA, SELL, 1, 990, "s1", price=900)
    exchange.stop(BO, SELL, 1, 990, "s2")
    exchange.sell(DEE, 1, 990)
    exchange.buy(CY, 1, 1_000)
    ended = exchange.wait(60_000)
    assert trades(ended) == [(1_000, 1, ANA, CY)] and exchange.last == 1_000
    assert triggered(ended) == [] and exchange.waiting() == ["s2"]


def test_reopening_without_a_trade_elects_by_the_last_price() -> None:
    exchange = Exchange(1_000, band_ppm=50_000, interrupts=1, call_ms=60_000)
    exchange.deposit(OPS, EUR, 100_000)
    exchange.buy(OPS, 1, 990)
    exchange.buy(OPS, 1, 940, "far")
    exchange.stop(ANA, SELL, 1, 990, "s1", price=900)
    exchange.stop(BO, SELL, 1, 990, "s2")
    exchange.sell(DEE, 1, 990)
    exchange.cancel(OPS, "far")
    assert exchange.waiting() == ["s2"]
    ended = exchange.wait(60_000)
    assert trades(ended) == [] and triggered(ended) == [BO]
    # Ana's order, elected before the interruption, may not stay below the band; Bo's stop finds nobody.
    assert closed(ended) == [(ANA, CLOSED_PRICE_BAND), (BO, CLOSED_NO_LIQUIDITY)]


# One cancels the other, iceberg and what else an order sets off.


def test_f7_a_pair_holds_once_and_the_first_fill_ends_the_stop() -> None:
    exchange = Exchange(1_000)
    accepted = exchange.oco(ANA, SELL, 2, 1_100, 950, "l p")
    assert kinds(accepted) == ["OrderAccepted", "OrderConditions"] * 2 and exchange.held(ANA) == (2, 0)
    answer = exchange.buy(BO, 1, 1_100)
    assert trades(answer) == [(1_100, 1, ANA, BO)] and closed(answer) == [(ANA, CLOSED_OTHER_LEG)]
    assert exchange.held(ANA) == (1, 0) and exchange.shown()[1] == [(1_100, 1)] and exchange.waiting() == []


def test_the_election_of_the_stop_ends_the_limit_leg_before_it_trades() -> None:
    exchange = Exchange(1_000)
    exchange.oco(ANA, SELL, 2, 1_100, 950, "l p", limit=930)
    exchange.buy(BO, 1, 950)
    exchange.buy(BO, 1, 940)
    answer = exchange.sell(CY, 1, 950)
    assert kinds(answer) == ["OrderAccepted", "TradeExecuted", "OrderTriggered", "OrderClosed", "TradeExecuted"]
    assert isinstance(answer[2], OrderTriggered) and closed(answer) == [(ANA, CLOSED_OTHER_LEG)]
    assert exchange.shown() == ([], [(930, 1)]) and exchange.held(ANA) == (1, 0)


@pytest.mark.parametrize("name", ["l", "p"])
def test_cancelling_either_leg_ends_the_other(name: str) -> None:
    exchange = Exchange(1_000)
    exchange.oco(ANA, BUY, 2, 900, 1_050, "l p")
    assert exchange.held(ANA) == (0, 2_100), "the larger need"
    assert [why for _, why in closed(exchange.cancel(ANA, name))] == [2, CLOSED_OTHER_LEG]
    assert exchange.held(ANA) == (0, 0)


@pytest.mark.parametrize(("tif", "why"), [(IOC, CLOSED_IOC_REST), (GTC, None)])
def test_what_is_left_of_a_limit_order_rests_or_is_cancelled(tif: int, why: int | None) -> None:
    exchange = Exchange(1_000)
    exchange.sell(BO, 2, 1_000)
    answer = exchange.buy(ANA, 5, 1_000, tif=tif)
    assert closed(answer) == ([] if why is None else [(ANA, why)])
    assert exchange.shown()[0] == ([] if why else [(1_000, 3)])


def _both_directions() -> Exchange:
    """Without a last price both stops are taken, and one trade at 1,050 elects both: Bo's to buy, then Ana's to sell.

    Bo's takes the limit leg of Ana's pair, which ends the stop that was elected together with his.
    """
    exchange = Exchange(state=PRE_OPEN)
    exchange.oco(ANA, SELL, 2, 1_060, 1_100, "l p")
    exchange.stop(BO, BUY, 2, 900, "s", price=3_000)
    exchange.sell(CY, 1, 1_050)
    exchange.buy(DEE, 1, 1_050)
    return exchange


def test_an_elected_stop_whose_other_leg_was_filled_meanwhile_does_not_run() -> None:
    exchange = _both_directions()
    answer = exchange.set_state(TRADING)
    assert triggered(answer) == [BO] and trades(answer)[1:] == [(1_060, 2, ANA, BO)]
    assert closed(answer) == [(ANA, CLOSED_OTHER_LEG)] and exchange.waiting() == []


def test_an_elected_stop_that_ended_before_an_interruption_does_not_wait_on() -> None:
    exchange = _both_directions()
    exchange.buy(DEE, 1, 1_000)
    exchange.stop(BO, BUY, 2, 950, "s2", price=3_000)
    exchange.sell(CY, 1, 2_000)
    exchange.stop(CY, SELL, 1, 1_090, "s3")
    exchange.set_rules(band_ppm=50_000, interrupts=1, call_ms=1_000)
    answer = exchange.set_state(TRADING)
    assert triggered(answer) == [BO, BO] and exchange.market.session.state == AUCTION
    assert closed(answer) == [(ANA, CLOSED_OTHER_LEG)] and exchange.waiting() == ["s3"]
