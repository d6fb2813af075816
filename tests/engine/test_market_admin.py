"""What operators set for a market: listing, rules, state, schedule, tiers, and its end; each at its boundary."""

from __future__ import annotations

from typing import Any

import pytest

from engine import commands, queries, rejects
from engine.codec import pack_schedule
from engine.event_writer import EventWriter
from engine.events import FeeTiersSet, MarketRulesSet, MarketScheduleSet, MarketStateChanged
from engine.types import (
    AMOUNT_MAX,
    AUCTION,
    AUCTION_MS_MAX,
    BUY,
    BY_OPERATOR,
    BY_SALE,
    CANCEL_ONLY,
    CLOSED,
    CLOSED_DELISTED,
    CLOSED_OTHER_LEG,
    DELISTED,
    FEE_TIERS_MAX,
    HALTED,
    POST_ONLY,
    PRE_OPEN,
    SCHEDULE_STEPS_MAX,
    SELL,
    TRADING,
    FeeTier,
    MarketRules,
    ScheduleStep,
)
from tests.engine.exchange import (
    ANA,
    BO,
    CY,
    DEE,
    EUR,
    GLD,
    GLD_EUR,
    OPS,
    Exchange,
    closed,
    emitted,
    kinds,
    reason,
    trades,
)

LIST = commands.ListMarket(OPS, 0, 1, 0, 1, 0, 0, 0, 0, 0, TRADING, 0, 254, *MarketRules(), b"EUR", b"GLD")
ADMIN = (
    commands.SetMarketRules(OPS, 0, GLD_EUR, *MarketRules()),
    commands.SetMarketState(OPS, 0, GLD_EUR, HALTED),
    commands.SetMarketSchedule(OPS, 0, GLD_EUR, b""),
    commands.SetFeeTiers(OPS, 0, GLD_EUR, b""),
    commands.SetMarketRate(OPS, 0, GLD_EUR, 5, 1_000),
    commands.DelistMarket(OPS, 0, GLD_EUR),
)


@pytest.mark.parametrize("command", ADMIN, ids=lambda command: type(command).__name__)
def test_only_operators_and_only_listed_markets(command: Any) -> None:
    exchange = Exchange(1_000)
    assert reason(exchange.run(command._replace(account_id=ANA))) == rejects.NOT_ALLOWED
    for market_id in (0, 2, (1 << 32) - 1):
        assert reason(exchange.run(command._replace(market_id=market_id))) == rejects.UNKNOWN_MARKET
    assert reason(exchange.run(command)) == rejects.ACCEPTED


@pytest.mark.parametrize("command", ADMIN, ids=lambda command: type(command).__name__)
def test_a_delisted_market_is_not_changed_any_more(command: Any) -> None:
    exchange = Exchange(1_000)
    delisted = exchange.run(commands.DelistMarket(OPS, 0, GLD_EUR))
    answer = exchange.run(command)
    if isinstance(command, commands.DelistMarket):
        assert answer == delisted
    else:
        assert reason(answer) == rejects.MARKET_STATE
    assert exchange.market.session.state == DELISTED


# Rules.

LIMITS = MarketRules(call_ms=AUCTION_MS_MAX, no_cancel_ms=AUCTION_MS_MAX, random_end_ms_max=AUCTION_MS_MAX)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (MarketRules(), rejects.ACCEPTED),
        (MarketRules(band_ppm=999_999), rejects.ACCEPTED),
        (MarketRules(band_ppm=1_000_000), rejects.MARKET_RULES),
        (MarketRules(interrupts=1, band_ppm=1, call_ms=1), rejects.ACCEPTED),
        (MarketRules(interrupts=1, call_ms=1), rejects.MARKET_RULES),
        (MarketRules(interrupts=1, band_ppm=1), rejects.MARKET_RULES),
        (MarketRules(interrupts=1, band_ppm=1, no_cancel_ms=1), rejects.MARKET_RULES),
        (MarketRules(interrupts=2, band_ppm=1, call_ms=1), rejects.MALFORMED),
        (MarketRules(auction_market_orders=1, band_ppm=1), rejects.ACCEPTED),
        (MarketRules(auction_market_orders=1), rejects.MARKET_RULES),
        (MarketRules(auction_market_orders=2, band_ppm=1), rejects.MALFORMED),
        (LIMITS, rejects.ACCEPTED),
        (LIMITS._replace(call_ms=AUCTION_MS_MAX + 1), rejects.MARKET_RULES),
        (LIMITS._replace(no_cancel_ms=AUCTION_MS_MAX + 1), rejects.MARKET_RULES),
        (LIMITS._replace(random_end_ms_max=AUCTION_MS_MAX + 1), rejects.MARKET_RULES),
        (MarketRules(open_orders_max=(1 << 32) - 1, stops_max=(1 << 32) - 1), rejects.ACCEPTED),
    ],
)
def test_rules_that_do_not_go_together_are_refused(rules: MarketRules, expected: int) -> None:
    exchange = Exchange(1_000)
    answer = exchange.run(commands.SetMarketRules(OPS, 0, GLD_EUR, *rules))
    assert reason(answer) == expected
    assert exchange.market.session.rules == (MarketRules() if expected else rules)
    if not expected:
        assert (
            answer
            == [MarketRulesSet(GLD_EUR, *rules)]
            == exchange.run(commands.SetMarketRules(OPS, 0, GLD_EUR, *rules))
        )
    listed = exchange.run(LIST._replace(**rules._asdict()))
    assert reason(listed) == expected


def test_a_market_takes_as_many_open_orders_as_its_rules_say() -> None:
    exchange = Exchange(1_000, open_orders_max=2)
    exchange.buy(ANA, 1, 900)
    assert reason(exchange.oco(BO, SELL, 1, 1_100, 900, "l p")) == rejects.TOO_MANY
    exchange.stop(BO, SELL, 1, 800, "s")
    assert reason(exchange.buy(CY, 1, 900)) == rejects.TOO_MANY
    assert reason(exchange.market_order(CY, SELL, 1)) == rejects.ACCEPTED, "it does not rest, and takes one away"
    assert [reason(exchange.buy(CY, 1, 900)) for _ in range(2)] == [rejects.ACCEPTED, rejects.TOO_MANY]
    exchange.set_rules()
    assert reason(exchange.buy(DEE, 1, 700)) == rejects.ACCEPTED


def test_stops_of_its_rules_may_be_more_than_the_engine_takes() -> None:
    exchange = Exchange(1_000, stops_max=(1 << 32) - 1)
    assert reason(exchange.stop(BO, SELL, 1, 900, "s")) == rejects.ACCEPTED


# Schedules.


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([], rejects.ACCEPTED),
        ([(0, PRE_OPEN), (86_399, CLOSED)], rejects.ACCEPTED),
        ([(86_400, CLOSED)], rejects.MARKET_RULES),
        ([(5, TRADING), (5, CLOSED)], rejects.MARKET_RULES),
        ([(6, TRADING), (5, CLOSED)], rejects.MARKET_RULES),
        ([(second, TRADING) for second in range(SCHEDULE_STEPS_MAX)], rejects.ACCEPTED),
        ([(second, TRADING) for second in range(SCHEDULE_STEPS_MAX + 1)], rejects.MARKET_RULES),
        *[([(1, state)], rejects.ACCEPTED) for state in (PRE_OPEN, AUCTION, TRADING, POST_ONLY, CANCEL_ONLY, CLOSED)],
        *[([(1, state)], rejects.MARKET_RULES) for state in (HALTED, DELISTED, 8, 255)],
    ],
)
def test_a_schedule_is_steps_of_one_day_in_order(steps: list[tuple[int, int]], expected: int) -> None:
    exchange = Exchange(1_000)
    answer = exchange.set_schedule(*steps)
    assert reason(answer) == expected
    if not expected:
        packed = pack_schedule(ScheduleStep(*step) for step in steps)
        assert answer == [MarketScheduleSet(GLD_EUR, packed)] == exchange.set_schedule(*steps)
        view = queries.market(exchange.machine, GLD_EUR)
        assert view is not None and view["schedule"] == [list(step) for step in steps]


@pytest.mark.parametrize("steps", [b"\0", b"\0" * 4, b"\0" * 6])
def test_half_a_step_is_malformed(steps: bytes) -> None:
    assert reason(Exchange().run(commands.SetMarketSchedule(OPS, 0, GLD_EUR, steps))) == rejects.MALFORMED


# Fee tiers.


@pytest.mark.parametrize(
    ("tiers", "expected"),
    [
        ([], rejects.ACCEPTED),
        ([(1, 1_000, 2_500)], rejects.ACCEPTED),
        ([(0, 900, 2_000)], rejects.MARKET_RULES),
        ([(1, 1_001, 2_500)], rejects.MARKET_RULES),
        ([(1, 1_000, 2_501)], rejects.MARKET_RULES),
        ([(1, -500, 500)], rejects.ACCEPTED),
        ([(1, -501, 500)], rejects.MARKET_RULES),
        ([(2, 900, 2_000), (2, 800, 2_000)], rejects.MARKET_RULES),
        ([(2, 900, 2_000), (1, 800, 2_000)], rejects.MARKET_RULES),
        ([(2, 900, 2_000), (3, 900, 2_001)], rejects.MARKET_RULES),
        ([(AMOUNT_MAX, 0, 0)], rejects.ACCEPTED),
        ([(AMOUNT_MAX + 1, 0, 0)], rejects.MARKET_RULES),
        ([(volume, 0, 0) for volume in range(1, FEE_TIERS_MAX + 1)], rejects.ACCEPTED),
        ([(volume, 0, 0) for volume in range(1, FEE_TIERS_MAX + 2)], rejects.MARKET_RULES),
        ([(1, -100_001, 2_500)], rejects.MARKET_RULES),
    ],
)
def test_tiers_rise_in_volume_and_never_cost_more(tiers: list[tuple[int, int, int]], expected: int) -> None:
    exchange = Exchange(1_000, fees=(1_000, 2_500))
    answer = exchange.set_tiers(*tiers)
    assert reason(answer) == expected
    if not expected:
        assert isinstance(answer[0], FeeTiersSet) and answer == exchange.set_tiers(*tiers)
        assert list(exchange.market.session.tiers) == [FeeTier(*tier) for tier in tiers]


@pytest.mark.parametrize("tiers", [b"\0", b"\0" * 15, b"\0" * 17])
def test_half_a_tier_is_malformed(tiers: bytes) -> None:
    assert reason(Exchange().run(commands.SetFeeTiers(OPS, 0, GLD_EUR, tiers))) == rejects.MALFORMED


# Listing.


@pytest.mark.parametrize("state", [PRE_OPEN, AUCTION, POST_ONLY, CANCEL_ONLY, HALTED, CLOSED])
def test_a_market_is_listed_in_a_state_with_rules_and_a_reference(state: int) -> None:
    exchange = Exchange()
    rules = MarketRules(band_ppm=5, call_ms=1_000)
    answer = exchange.run(
        LIST._replace(state=state, reference_mantissa=7, reference_scale=0, band_ppm=5, call_ms=1_000)
    )
    ends_at_ns = exchange.now_ns + 10**9 if state == AUCTION else 0
    assert kinds(answer) == ["MarketCreated", "MarketRulesSet", "MarketStateChanged"]
    assert answer[1:] == [MarketRulesSet(2, *rules), MarketStateChanged(2, state, BY_OPERATOR, ends_at_ns)]
    market = exchange.machine.trading.market(2)
    assert market is not None and market.session.last_price_ticks == 7


def test_an_open_market_without_rules_says_no_more_than_before() -> None:
    exchange = Exchange()
    listed = exchange.run(LIST)
    assert kinds(listed) == ["MarketCreated"]
    assert kinds(exchange.run(LIST)) == ["RequestRepeated", "MarketCreated"]
    older = commands.CreateMarket(OPS, 0, 1, 0, 1, 0, 0, 0, 0, 0, b"EUR", b"GLD")
    assert exchange.run(older) == exchange.run(LIST)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"state": DELISTED}, rejects.MALFORMED),
        ({"state": 255}, rejects.MALFORMED),
        ({"reference_mantissa": 0, "reference_scale": 0}, rejects.LISTING_RULES),
        ({"reference_mantissa": -1, "reference_scale": 0}, rejects.LISTING_RULES),
        ({"reference_mantissa": 15, "reference_scale": 1}, rejects.LISTING_RULES),
        ({"reference_mantissa": 0, "reference_scale": 255}, rejects.LISTING_RULES),
        ({"reference_mantissa": 1, "reference_scale": 0}, rejects.ACCEPTED),
        ({"base_asset": b"TIN"}, rejects.UNKNOWN_ASSET),
        ({"base_asset": b"GLD"}, rejects.LISTING_RULES),
    ],
)
def test_a_listing_is_refused(changes: dict[str, Any], expected: int) -> None:
    exchange = Exchange()
    assert reason(exchange.run(LIST._replace(**changes))) == expected
    assert len(exchange.machine.trading.markets) == (1 if expected else 2)


# The end of a market.


def test_delisting_cancels_every_order_in_one_command() -> None:
    exchange = Exchange(1_000)
    exchange.buy(ANA, 1, 900)
    exchange.stop(BO, SELL, 1, 900, "s")
    exchange.oco(CY, SELL, 1, 1_100, 900, "l p")
    exchange.iceberg(DEE, SELL, 9, 1_100, 2, "i")
    exchange.set_schedule((1, CLOSED))
    answer = exchange.run(commands.DelistMarket(OPS, 0, GLD_EUR))
    assert answer[0] == MarketStateChanged(GLD_EUR, DELISTED, BY_OPERATOR, 0)
    assert closed(answer) == [
        (ANA, CLOSED_DELISTED),
        (BO, CLOSED_DELISTED),
        (CY, CLOSED_DELISTED),
        (CY, CLOSED_OTHER_LEG),
        (DEE, CLOSED_DELISTED),
    ]
    assert [exchange.held(account_id) for account_id in (ANA, BO, CY, DEE)] == [(0, 0)] * 4
    assert exchange.market.session.schedule == () and exchange.market.session.next_step_ns == 0


@pytest.mark.parametrize("state", [PRE_OPEN, AUCTION, CANCEL_ONLY, HALTED, CLOSED])
def test_delisting_a_crossed_book_trades_nothing(state: int) -> None:
    """Not even in the phase of an auction in which nothing can be taken back."""
    exchange = Exchange(1_000, state=PRE_OPEN, no_cancel_ms=1_000)
    exchange.buy(ANA, 1, 1_100)
    exchange.sell(BO, 1, 900)
    if state != PRE_OPEN:
        exchange.set_state(state)
    exchange.wait()
    answer = exchange.run(commands.DelistMarket(OPS, 0, GLD_EUR))
    assert trades(answer) == [] and exchange.market.open_count == 0
    assert closed(answer) == [(ANA, CLOSED_DELISTED), (BO, CLOSED_DELISTED)]


def test_market_orders_of_an_auction_are_delisted_like_all_others() -> None:
    exchange = Exchange(1_000, state=AUCTION, band_ppm=100_000, auction_market_orders=1)
    exchange.market_order(ANA, BUY, 1)
    exchange.buy(BO, 1, 900)
    answer = exchange.run(commands.DelistMarket(OPS, 0, GLD_EUR))
    assert closed(answer) == [(ANA, CLOSED_DELISTED), (BO, CLOSED_DELISTED)]


# After a sale.


@pytest.mark.parametrize(
    ("was", "opens"), [(PRE_OPEN, True), (TRADING, True), (CLOSED, True), (HALTED, False), (AUCTION, False)]
)
def test_a_market_opens_by_an_auction_after_its_sale(was: int, opens: bool) -> None:
    exchange = Exchange(1_000, state=was, call_ms=1_000)
    emit = EventWriter()
    exchange.machine.market_admin.open_after_sale(GLD_EUR, 1_234, exchange.now_ns, emit)
    if opens:
        assert emitted(emit) == [MarketStateChanged(GLD_EUR, AUCTION, BY_SALE, exchange.now_ns + 10**9)]
    assert exchange.last == (1_234 if opens else 1_000)
    assert exchange.market.session.state == (AUCTION if opens else was)


def test_a_sales_price_that_is_no_price_of_the_market_is_no_reference() -> None:
    exchange = Exchange(1_000)
    other = LIST._replace(tick_mantissa=5, base_asset=b"EUR", quote_asset=b"GLD")
    exchange.run(other)
    emit = EventWriter()
    for price_units, expected in ((0, 0), (7, 0), (15, 3)):
        market = exchange.machine.trading.market(2)
        assert market is not None
        exchange.machine.sessions.change_state(market, TRADING, BY_OPERATOR, exchange.now_ns, emit)
        exchange.machine.market_admin.open_after_sale(2, price_units, exchange.now_ns, emit)
        assert market.session.last_price_ticks == expected


def test_no_sale_is_made_for_a_delisted_market() -> None:
    exchange = Exchange(1_000)
    sale = (ANA, GLD, EUR, GLD_EUR, 0, 2, 0, 1, 0, 10, 0, 0, 0, 0, 0, 0, 0)
    assert reason(exchange.run(commands.CreateSale(OPS, 0, *sale, b"before"))) == rejects.ACCEPTED
    exchange.run(commands.DelistMarket(OPS, 0, GLD_EUR))
    assert reason(exchange.run(commands.CreateSale(OPS, 0, *sale, b"after"))) == rejects.SALE_RULES


@pytest.mark.parametrize("rate", [(1, 0), (0, 1)])
def test_a_rate_has_a_maximum_and_a_window_or_neither(rate: tuple[int, int]) -> None:
    assert reason(Exchange().run(commands.SetMarketRate(OPS, 0, GLD_EUR, *rate))) == rejects.MALFORMED


def test_a_market_takes_so_many_requests_in_a_window_of_log_time() -> None:
    exchange = Exchange(1_000)
    exchange.run(commands.SetMarketRate(OPS, 0, GLD_EUR, 2, 60_000))
    exchange.buy(ANA, 1, 900, "a1")
    exchange.buy(BO, 1, 900, "b1")
    assert reason(exchange.buy(ANA, 1, 900, "a2")) == rejects.RATE_LIMIT
    assert reason(exchange.amend(BO, "b1", lots=2)) == rejects.RATE_LIMIT
    assert reason(exchange.cancel(ANA, "a1")) == rejects.ACCEPTED, "cancelling is always possible"
    exchange.run(commands.SetMarketRate(OPS, 0, GLD_EUR, 2, 60_000))
    assert reason(exchange.buy(ANA, 1, 900, "a2")) == rejects.RATE_LIMIT, "the same rate again does not begin anew"
    exchange.wait(60_000)
    assert reason(exchange.buy(ANA, 1, 900, "a2")) == rejects.ACCEPTED, "what was refused for the rate may come again"
