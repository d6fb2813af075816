"""The end of a call auction: everybody who can trades at one price (``engine.auction`` finds it).

Better prices go first, then time; market orders go before all others (rulebook G6). Of two orders that trade, the
one that came first is the maker. There is no self-trade prevention here: nobody takes, and all pay the same price.
Hidden quantity takes part.
"""

from __future__ import annotations

from engine.auction import uncross_price
from engine.book import BookSide, Order
from engine.events import AuctionUncrossed, Emit, IndicativePriceChanged
from engine.market import Market
from engine.matching import trade
from engine.session import NOTHING, Indicative
from engine.types import LIMIT, MARKET


def indicative_price(market: Market) -> Indicative:
    """What an uncross would give now. Looks only at the levels that cross."""
    best_bid, best_ask = market.book.bids.best(), market.book.asks.best()
    if best_bid is None or best_ask is None or best_bid.price_ticks < best_ask.price_ticks:
        return NOTHING
    bids = _crossing_orders(market.book.bids, -best_ask.price_ticks)
    asks = _crossing_orders(market.book.asks, best_bid.price_ticks)
    candidates = sorted({order.price_ticks for order in (*bids, *asks) if order.order_type == LIMIT})
    return uncross_price(_levels(bids), _levels(asks), market.session.last_price_ticks, candidates)


def publish_indicative(market: Market, emit: Emit) -> None:
    """Tell the indicative price if it changed (rulebook G6)."""
    market.book_changed = False
    indicative = indicative_price(market)
    if indicative != market.session.indicative:
        market.session.indicative = indicative
        emit(IndicativePriceChanged(market.spec.market_id, *indicative))


def uncross(market: Market, emit: Emit) -> None:
    """Trade all that crosses, at the single price. Does nothing to a book that is not crossed."""
    market.session.indicative = NOTHING
    found = indicative_price(market)
    if not found.quantity_lots:
        return
    emit(AuctionUncrossed(market.spec.market_id, *found))
    bids = _willing(_crossing_orders(market.book.bids, -found.price_ticks))
    asks = _willing(_crossing_orders(market.book.asks, found.price_ticks))
    to_trade_lots = found.quantity_lots
    bid_position = ask_position = 0
    while to_trade_lots:
        bid, ask = bids[bid_position], asks[ask_position]
        lots = min(bid.open_lots, ask.open_lots, to_trade_lots)
        to_trade_lots -= lots
        maker, taker = (bid, ask) if bid.priority < ask.priority else (ask, bid)
        trade(market, maker, taker, found.price_ticks, lots, emit)
        bid_position += not bid.open_lots
        ask_position += not ask.open_lots


def resting_market_orders(market: Market) -> list[Order]:
    """Market orders that take part in the auction, by number."""
    resting = [order for side in (market.book.bids, market.book.asks) for order in _resting(side)]
    return sorted((order for order in resting if order.order_type == MARKET), key=lambda order: order.order_id)


def _resting(side: BookSide) -> list[Order]:
    return [order for key in reversed(side.keys) for order in side.levels[key].orders()]


def _crossing_orders(side: BookSide, opposite_key: int) -> list[Order]:
    """The orders of one side that could trade at an opposite price, best first, each level in time order."""
    least_key = -opposite_key
    orders: list[Order] = []
    for key in reversed(side.keys):
        if key < least_key:
            break
        orders += side.levels[key].orders()
    return orders


def _willing(orders: list[Order]) -> list[Order]:
    """In the order in which they are served: market orders first, then as they stand in the book."""
    return sorted(orders, key=lambda order: order.order_type != MARKET)


def _levels(orders: list[Order]) -> list[tuple[int, int]]:
    """(price_ticks, quantity_lots) of orders that are sorted by price."""
    levels: list[tuple[int, int]] = []
    for order in orders:
        if levels and levels[-1][0] == order.price_ticks:
            levels[-1] = (order.price_ticks, levels[-1][1] + order.open_lots)
        else:
            levels.append((order.price_ticks, order.open_lots))
    return levels
