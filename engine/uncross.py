"""The end of a call auction: everybody who can trades at one price (``engine.auction`` finds it).

Better prices go first; at one price market orders, then time (rulebook G6). Of two orders that trade, the
one that came first is the maker. There is no self-trade prevention here: nobody takes, and all pay the same price.
Hidden quantity takes part.
"""

from __future__ import annotations

from itertools import takewhile

from engine.auction import uncross_price
from engine.book import BookSide, Level
from engine.event_writer import EventWriter
from engine.events import AuctionUncrossed, IndicativePriceChanged
from engine.market import Market
from engine.matching import trade
from engine.orders import Order
from engine.session import NOTHING, Indicative
from engine.types import MARKET


def indicative_price(market: Market) -> Indicative:
    """What an uncross would give now. Looks only at the levels that cross."""
    best_bid, best_ask = market.book.bids.best(), market.book.asks.best()
    if best_bid is None or best_ask is None or best_bid.price_ticks < best_ask.price_ticks:
        return NOTHING
    bids = _levels_to(market.book.bids, best_ask.price_ticks)
    asks = _levels_to(market.book.asks, best_bid.price_ticks)
    sides = ((market.book.bids, bids), (market.book.asks, asks))
    candidates = sorted({level.price_ticks for side, levels in sides for level in levels if _has_a_limit(side, level)})
    return uncross_price(_volumes(bids), _volumes(asks), market.session.last_price_ticks, candidates)


def publish_indicative(market: Market, emit: EventWriter) -> None:
    """Tell the indicative price if it changed (rulebook G6)."""
    market.book_changed = False
    indicative = indicative_price(market)
    if indicative != market.session.indicative:
        market.session.indicative = indicative
        emit(IndicativePriceChanged(market.spec.market_id, *indicative))


def uncross(market: Market, emit: EventWriter) -> None:
    """Trade all that crosses, at the single price. Does nothing to a book that is not crossed."""
    market.session.indicative = NOTHING
    found = indicative_price(market)
    if not found.quantity_lots:
        return
    emit(AuctionUncrossed(market.spec.market_id, *found))
    bids = _willing(market.book.bids, found.price_ticks)
    asks = _willing(market.book.asks, found.price_ticks)
    # An iceberg that shows its next slice gets another priority, but did not come later for that.
    arrivals = {order.order_id: order.priority for order in (*bids, *asks)}
    to_trade_lots = found.quantity_lots
    bid_position = ask_position = 0
    while to_trade_lots:
        bid, ask = bids[bid_position], asks[ask_position]
        lots = min(bid.open_lots, ask.open_lots, to_trade_lots)
        to_trade_lots -= lots
        maker, taker = (bid, ask) if arrivals[bid.order_id] < arrivals[ask.order_id] else (ask, bid)
        trade(market, maker, taker, found.price_ticks, lots, emit)
        bid_position += not bid.open_lots
        ask_position += not ask.open_lots


def resting_market_orders(market: Market) -> list[Order]:
    """Market orders that take part in the auction, by number."""
    resting = [order for side in (market.book.bids, market.book.asks) for order in _resting(side)]
    return sorted((order for order in resting if order.order_type == MARKET), key=lambda order: order.order_id)


def _resting(side: BookSide) -> list[Order]:
    return [order for level in reversed(side.levels) for order in side.orders(level)]


def _levels_to(side: BookSide, price_ticks: int) -> list[Level]:
    """The levels of one side that could trade at a price, best first."""
    least_key = side.key_of(price_ticks)
    return list(takewhile(lambda level: level.key >= least_key, reversed(side.levels)))


def _volumes(levels: list[Level]) -> list[tuple[int, int]]:
    return [(level.price_ticks, level.open_lots) for level in levels]


def _has_a_limit(side: BookSide, level: Level) -> bool:
    """The price of a level that holds market orders only is nobody's."""
    order = side.oldest(level)
    while order.order_type == MARKET and order.newer:
        order = side.pool.at(order.newer)
    return order.order_type != MARKET


def _willing(side: BookSide, price_ticks: int) -> list[Order]:
    """In the order in which they are served: by price, at each price market orders first, then by time."""
    orders: list[Order] = []
    for level in _levels_to(side, price_ticks):
        orders += sorted(side.orders(level), key=lambda order: order.order_type != MARKET)
    return orders
