"""One market: what an order holds, how it rests, leaves, waits and closes, and what a fee tier changes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from engine.event_writer import EventWriter
from engine.events import OrderClosed, TradeExecuted
from engine.orders import Order
from engine.types import (
    BUY,
    CANCELLED,
    CLOSED_BY_OWNER,
    CLOSED_OTHER_LEG,
    GTC,
    NS_PER_DAY,
    OPEN,
    SELL,
    STOP,
    WAITING,
)
from tests.engine.exchange import ANA, BO, CY, EUR, GLD_EUR, Exchange, closed, emitted, reason, trades


def _order(exchange: Exchange, order_id: int, side: int, price: int, lots: int) -> Order:
    order = exchange.machine.trading.index.pool.take(order_id, ANA, GLD_EUR, side)
    order.price_ticks, order.quantity_lots, order.open_lots = price, lots, lots
    return order


def _hold(exchange: Exchange, order: Order) -> None:
    exchange.machine.trading.index.add(order, 0)
    exchange.market.adjust_hold(order, exchange.market.held_for(order))


@pytest.mark.parametrize(
    ("fees", "held"),
    [((0, 0), 3_000), ((1_000, 2_500), 3_008), ((2_500, 1_000), 3_008), ((-1_000, 1_000), 3_003), ((0, 1), 3_001)],
)
def test_a_bid_holds_its_worth_and_the_worst_fee_rounded_up(fees: tuple[int, int], held: int) -> None:
    exchange = Exchange(1_000, fees=fees)
    exchange.buy(ANA, 3, 1_000)
    assert exchange.held(ANA) == (0, held)


def test_an_ask_holds_its_base_whatever_the_fees() -> None:
    exchange = Exchange(1_000, fees=(1_000, 2_500))
    exchange.sell(ANA, 3, 1_000)
    assert exchange.held(ANA) == (3, 0)


def test_resting_orders_get_places_in_their_order_and_lifting_gives_none_back() -> None:
    exchange = Exchange(1_000)
    market = exchange.market
    first, second = _order(exchange, 91, SELL, 1_000, 2), _order(exchange, 92, SELL, 1_000, 2)
    for order in (first, second):
        _hold(exchange, order)
        market.rest(order)
    assert (first.priority, second.priority, market.open_count) == (1, 2, 2)
    market.lift(first)
    assert market.open_count == 1 and exchange.machine.trading.index.open_count(ANA) == 1
    assert exchange.held(ANA) == (4, 0), "lifting closes nothing"
    market.rest(first)
    level = market.book.asks.level_of(first)
    assert first.priority == 3 and market.book.asks.orders(level) == [second, first]
    assert market.book.asks.level_at(1_000) is level


@pytest.mark.parametrize(("price", "lots"), [(0, 1), (1_000, 0)])
def test_what_has_no_price_or_nothing_open_does_not_rest(price: int, lots: int) -> None:
    exchange = Exchange(1_000)
    order = _order(exchange, 91, SELL, price, lots)
    with pytest.raises(AssertionError):
        exchange.market.rest(order)


def test_what_does_not_wait_is_not_put_among_the_stops() -> None:
    exchange = Exchange(1_000)
    order = _order(exchange, 91, SELL, 1_000, 1)
    with pytest.raises(AssertionError):
        exchange.market.wait(order)


def test_a_stop_waits_outside_the_book_and_is_counted() -> None:
    exchange = Exchange(1_000)
    exchange.stop(ANA, SELL, 2, 900, "s", price=890)
    found = exchange.find(ANA, "s")
    assert found.status == WAITING and not found.level and exchange.market.open_count == 1
    assert exchange.shown() == ([], []) and exchange.machine.trading.index.waiting_count(ANA) == 1
    exchange.cancel(ANA, "s")
    assert found.status == CANCELLED and exchange.market.open_count == 0
    assert exchange.machine.trading.index.waiting_count(ANA) == 0


@pytest.mark.parametrize("kind", ["resting", "waiting", "coming in"])
def test_cancelling_closes_what_is_open_and_frees_what_is_held(kind: str) -> None:
    exchange = Exchange(1_000)
    exchange.twin = False
    market, emit = exchange.market, EventWriter()
    if kind == "waiting":
        stop = exchange.machine.trading.index.pool.take_special(91, ANA, GLD_EUR, SELL)
        stop.status, stop.trigger, stop.stop_ticks = WAITING, STOP, 900
        stop.price_ticks, stop.open_lots = 1_000, 5
    order = stop if kind == "waiting" else _order(exchange, 91, SELL, 1_000, 5)
    order.executed_lots, order.quantity_lots = 2, 7
    _hold(exchange, order)
    if kind == "resting":
        market.rest(order)
    elif kind == "waiting":
        market.wait(order)
    market.cancel(order, CLOSED_BY_OWNER, emit)
    assert emitted(emit) == [OrderClosed(91, ANA, GLD_EUR, CANCELLED, CLOSED_BY_OWNER, 7, 2, 0, 5, 5)]
    assert exchange.held(ANA) == (0, 0) and market.open_count == 0


def test_a_pair_is_closed_from_either_end_and_only_once() -> None:
    exchange = Exchange(1_000)
    exchange.oco(ANA, SELL, 2, 1_100, 900, "l p")
    market, emit = exchange.market, EventWriter()
    market.close_other_leg(exchange.find(ANA, "p"), emit)
    assert closed(emitted(emit)) == [(ANA, CLOSED_OTHER_LEG)] and exchange.find(ANA, "l").status == CANCELLED
    market.close_other_leg(exchange.find(ANA, "p"), emit)
    assert len(emitted(emit)) == 1
    plain = _order(exchange, 91, SELL, 1_000, 5)
    market.close_other_leg(plain, emit)
    assert len(emitted(emit)) == 1 and plain.status == OPEN


@pytest.mark.parametrize(
    ("side", "price", "stop", "limit", "held"),
    [
        (SELL, 1_100, 900, 0, (2, 0)),
        (BUY, 900, 1_050, 0, (0, 2_100)),
        (BUY, 900, 1_050, 1_060, (0, 2_120)),
        (BUY, 980, 1_010, 970, (0, 1_960)),
    ],
)
def test_a_pair_holds_the_larger_need_and_each_leg_frees_its_own(
    side: int, price: int, stop: int, limit: int, held: tuple[int, int]
) -> None:
    exchange = Exchange(1_000)
    exchange.oco(ANA, side, 2, price, stop, "l p", limit=limit)
    assert exchange.held(ANA) == held
    legs = exchange.find(ANA, "l").held_units, exchange.find(ANA, "p").held_units
    assert sum(legs) == max(held) and legs[0] == (2 if side == SELL else 2 * price)
    exchange.cancel(ANA, "p")
    assert exchange.held(ANA) == (0, 0)


def test_a_new_command_measures_from_the_last_price_before_it() -> None:
    exchange = Exchange(1_000)
    assert exchange.market.session.reference_ticks == 0
    exchange.sell(BO, 1, 1_010)
    exchange.buy(ANA, 1, 1_010)
    assert (exchange.market.session.reference_ticks, exchange.last) == (1_000, 1_010)
    exchange.market.begin(exchange.now_ns + 5)
    assert (exchange.market.session.reference_ticks, exchange.market.timestamp_ns) == (1_010, exchange.now_ns + 5)


def test_the_book_asks_for_a_new_indicative_price_whenever_it_changes() -> None:
    exchange = Exchange(1_000)
    market = exchange.market
    exchange.sell(BO, 5, 1_010, "b1")
    changes: list[Callable[[], object]] = [
        lambda: exchange.amend(BO, "b1", lots=4),
        lambda: exchange.buy(ANA, 1, 1_010),
        lambda: exchange.iceberg(BO, SELL, 4, 1_010, 2, "i"),
        lambda: exchange.cancel(BO, "b1"),
        lambda: exchange.buy(ANA, 2, 1_010),
    ]
    for act in changes:
        market.book_changed = False
        act()
        assert market.book_changed
    market.book_changed = False
    exchange.stop(CY, SELL, 1, 900, "s")
    exchange.market_order(CY, SELL, 1)
    assert not market.book_changed


def test_fee_tiers_follow_the_volume_of_the_whole_days_before() -> None:
    """Ana trades 20,000 today: her rates are the listed ones until midnight, and a tier's from then on."""
    exchange = Exchange(1_000, fees=(1_000, 2_500))
    exchange.set_tiers((20_000, 500, 1_500), (20_001, 0, 1_000))

    def fees_of_a_trade() -> tuple[int, int]:
        exchange.sell(BO, 2, 10_000)
        answer = exchange.buy(ANA, 2, 10_000)
        (trade,) = [event for event in answer if isinstance(event, TradeExecuted)]
        return trade.maker_fee_units, trade.taker_fee_units

    assert fees_of_a_trade() == (20, 50)
    exchange.now_ns = (exchange.now_ns // NS_PER_DAY + 1) * NS_PER_DAY - 1
    assert exchange.market.taker_rate_ppm(ANA) == 2_500
    exchange.now_ns += 1
    assert fees_of_a_trade() == (10, 30)
    assert exchange.market.maker_rate_ppm(CY) == 1_000, "who has not traded pays the listed fees"
    exchange.now_ns += NS_PER_DAY
    assert fees_of_a_trade() == (0, 20), "two days of volume"
    exchange.now_ns += 31 * NS_PER_DAY
    assert fees_of_a_trade() == (20, 50)


def test_what_a_tier_saves_is_freed_with_the_trade() -> None:
    exchange = Exchange(1_000, fees=(1_000, 2_500))
    exchange.set_tiers((1, 0, 0))
    exchange.sell(BO, 1, 1_000)
    exchange.buy(ANA, 1, 1_000)
    exchange.now_ns += NS_PER_DAY
    before = exchange.available(ANA)[1]
    exchange.buy(ANA, 10, 1_000, "a1")
    assert exchange.held(ANA) == (0, 10_025), "a hold covers the listed fees"
    exchange.sell(CY, 4, 1_000)
    assert exchange.held(ANA) == (0, 6_015)
    exchange.sell(CY, 6, 1_000)
    assert exchange.held(ANA) == (0, 0) and exchange.available(ANA)[1] == before - 10_000


def test_a_market_order_of_an_account_with_a_tier_holds_what_it_costs() -> None:
    exchange = Exchange(1_000, fees=(1_000, 2_500))
    exchange.set_tiers((1, 0, 1_000))
    exchange.deposit(5, EUR, 1_003 + 1_001)
    exchange.sell(BO, 2, 1_000, tif=GTC)
    assert trades(exchange.market_order(5, BUY, 1)) == [(1_000, 1, BO, 5)]
    exchange.now_ns += NS_PER_DAY
    assert trades(exchange.market_order(5, BUY, 1)) == [(1_000, 1, BO, 5)], "to the last unit"
    assert exchange.available(5) == (2, 0) and reason(exchange.market_order(5, BUY, 1)) == 0
