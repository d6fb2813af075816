"""The checker is checked, for stops, pairs, icebergs, auctions and money on its way: each planted defect is found."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from engine import commands
from engine.book import Level
from engine.event_writer import EventWriter
from engine.invariants import assert_sound
from engine.session import Indicative
from engine.types import AUCTION, BUY, CLOSED_BY_OWNER, DELISTED, MARKET, OPEN, SELL, STOP, TRADING, WAITING
from tests.engine.exchange import ANA, BO, CY, DEE, EUR, GLD, GLD_EUR, Exchange


@pytest.fixture
def exchange() -> Exchange:
    """Stops on both sides, a pair, an iceberg, plain orders on both sides, a pending withdrawal and a transfer."""
    exchange = Exchange(1_000)
    exchange.twin = False
    exchange.stop(ANA, SELL, 1, 950, "s1", price=1_200)
    exchange.stop(ANA, SELL, 1, 950, "s2")
    exchange.stop(ANA, SELL, 1, 940, "s3")
    exchange.stop(ANA, BUY, 1, 1_050, "b1")
    exchange.oco(BO, SELL, 2, 1_100, 900, "l p")
    exchange.iceberg(CY, SELL, 9, 1_010, 3, "i")
    exchange.buy(DEE, 5, 990, "d")
    exchange.run(
        commands.RequestWithdrawal(CY, 0, EUR, 5, 0, b"", b"w"),
        commands.CreateTransfer(CY, 0, DEE, EUR, 5, 0, 1, 0, b"t"),
    )
    return exchange


def _level(exchange: Exchange) -> Level:
    """Where the iceberg rests."""
    return exchange.market.book.asks.level_of(exchange.find(CY, "i"))


def _two_stops_change_places(exchange: Exchange) -> None:
    first, second = exchange.find(ANA, "s1"), exchange.find(ANA, "s2")
    first.priority, second.priority = second.priority, first.priority


def _two_stops_stand_by_price_the_wrong_way(exchange: Exchange) -> None:
    exchange.find_special(ANA, "s3").stop_ticks = 960


def _a_stop_missed_its_election(exchange: Exchange) -> None:
    exchange.market.session.last_price_ticks = 950


def _a_stop_is_open_and_waits(exchange: Exchange) -> None:
    order = exchange.find(ANA, "s1")
    exchange.market.index.strike(order)
    order.status = 0
    exchange.market.book.asks.add(order)
    exchange.market.index.enlist(order)


def _a_stop_without_a_trigger(exchange: Exchange) -> None:
    exchange.find_special(ANA, "s1").trigger = 0


def _a_stop_without_a_price(exchange: Exchange) -> None:
    exchange.find_special(ANA, "s1").stop_ticks = 0


def _a_stop_that_was_executed(exchange: Exchange) -> None:
    order = exchange.find(ANA, "s1")
    order.executed_lots, order.quantity_lots = 1, 2


def _waiting_stops_are_miscounted(exchange: Exchange) -> None:
    """Struck as an order that does not wait, enlisted as one that does."""
    order, index = exchange.find(ANA, "s1"), exchange.machine.trading.index
    order.status = OPEN
    index.strike(order)
    order.status = WAITING
    index.enlist(order)


def _open_orders_of_a_market_are_miscounted(exchange: Exchange) -> None:
    exchange.market.open_count -= 1


def _a_touched_leg_still_has_another(exchange: Exchange) -> None:
    order = exchange.find(BO, "l")
    order.executed_lots, order.quantity_lots = 1, 3


def _a_leg_decremented_still_has_another(exchange: Exchange) -> None:
    order = exchange.find(BO, "p")
    order.prevented_lots, order.quantity_lots = 1, 3


def _the_other_leg_is_anothers(exchange: Exchange) -> None:
    exchange.find_special(BO, "p").linked_order_id = exchange.find(ANA, "s1").order_id


def _a_pair_holds_twice(exchange: Exchange) -> None:
    exchange.market.adjust_hold(exchange.find(BO, "p"), 2)


def _an_iceberg_shows_nothing(exchange: Exchange) -> None:
    exchange.find_special(CY, "i").visible_lots = _level(exchange).shown_lots = 0


def _an_iceberg_shows_more_than_it_has(exchange: Exchange) -> None:
    exchange.find_special(CY, "i").visible_lots = _level(exchange).shown_lots = 10


def _a_level_shows_what_is_hidden(exchange: Exchange) -> None:
    _level(exchange).shown_lots = 9


def _a_level_miscounts_what_is_open(exchange: Exchange) -> None:
    _level(exchange).open_lots -= 1


def _a_market_order_rests_while_the_market_is_open(exchange: Exchange) -> None:
    exchange.find(DEE, "d").order_type = MARKET


def _an_auction_that_nobody_counts(exchange: Exchange) -> None:
    exchange.market.session.state = AUCTION


def _an_open_market_among_the_auctions(exchange: Exchange) -> None:
    exchange.machine.sessions.auctions[GLD_EUR] = exchange.market


def _an_old_indicative_price(exchange: Exchange) -> None:
    exchange.set_state(AUCTION)
    exchange.market.session.indicative = Indicative(1_000, 1, 0)


def _trades_that_elected_nothing(exchange: Exchange) -> None:
    exchange.market.first_trade_ticks = 1_000


def _a_delisted_market_with_orders(exchange: Exchange) -> None:
    exchange.market.session.state = DELISTED


def _a_withdrawal_that_holds_nothing(exchange: Exchange) -> None:
    exchange.machine.ledger.hold(CY, EUR, -5)


def _a_transfer_that_holds_too_much(exchange: Exchange) -> None:
    exchange.machine.ledger.hold(CY, EUR, 1)


def _a_closed_stop_that_still_waits(exchange: Exchange) -> None:
    order = exchange.find(ANA, "s1")
    exchange.market.cancel(order, CLOSED_BY_OWNER, EventWriter())
    exchange.machine.trading.index.write_down_closed()
    exchange.market.stops.add(order)


def _money_paid_out_of_nothing(exchange: Exchange) -> None:
    exchange.machine.ledger.hold(CY, GLD, 1)
    exchange.machine.ledger.withdraw_held(CY, GLD, 1)


# Each defect and what the checker says of it: "." where it only names the order or the account.
DEFECTS: tuple[tuple[Callable[[Exchange], None], str], ...] = (
    (_two_stops_change_places, "stops are out of order"),
    (_two_stops_stand_by_price_the_wrong_way, "stops are out of order"),
    (_a_stop_missed_its_election, "a stop missed its election"),
    (_a_stop_is_open_and_waits, "a stop waits that does not"),
    (_a_stop_without_a_trigger, "."),
    (_a_stop_without_a_price, "."),
    (_a_stop_that_was_executed, "a waiting order was executed"),
    (_waiting_stops_are_miscounted, "the counts of waiting orders differ"),
    (_open_orders_of_a_market_are_miscounted, "a market miscounts its orders"),
    (_a_touched_leg_still_has_another, "a touched leg has another"),
    (_a_leg_decremented_still_has_another, "."),
    (_the_other_leg_is_anothers, "."),
    (_a_pair_holds_twice, "a hold is not what the order needs"),
    (_an_iceberg_shows_nothing, "an order shows nothing"),
    (_an_iceberg_shows_more_than_it_has, "an order shows nothing"),
    (_a_level_shows_what_is_hidden, "."),
    (_a_level_miscounts_what_is_open, "."),
    (_a_market_order_rests_while_the_market_is_open, "a market order rests"),
    (_an_auction_that_nobody_counts, "auctions"),
    (_an_open_market_among_the_auctions, "auctions"),
    (_an_old_indicative_price, "the indicative price is old"),
    (_trades_that_elected_nothing, "trades that elected nothing yet"),
    (_a_delisted_market_with_orders, "a delisted market has orders"),
    (_a_withdrawal_that_holds_nothing, "held is not the sum"),
    (_a_transfer_that_holds_too_much, "held is not the sum"),
    (_a_closed_stop_that_still_waits, "a stop waits that does not"),
    (_money_paid_out_of_nothing, "the supply is not what was deposited less what was paid out"),
)


@pytest.mark.parametrize(("plant", "verdict"), DEFECTS, ids=[plant.__name__.strip("_") for plant, _ in DEFECTS])
def test_a_planted_defect_is_found(exchange: Exchange, plant: Callable[[Exchange], None], verdict: str) -> None:
    assert_sound(exchange.machine)
    assert exchange.market.session.state == TRADING and exchange.find(ANA, "s1").trigger == STOP
    plant(exchange)
    with pytest.raises((AssertionError, IndexError), match=verdict):
        assert_sound(exchange.machine)
