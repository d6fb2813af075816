"""Call auctions by brute force: every limit price in the book is tried (rulebook G2 to G6)."""

from __future__ import annotations

from collections.abc import Sequence

from engine.events import AuctionUncrossed, IndicativePriceChanged
from engine.types import AUCTION, BUY, LIMIT, MARKET, SELL
from tests.engine.model_orders import trade
from tests.engine.model_world import ModelMarket, ModelOrder, World

NOTHING = (0, 0, 0)


def single_price(bids: Sequence[ModelOrder], asks: Sequence[ModelOrder], reference: int) -> tuple[int, int, int]:
    """The price, what executes at it, and what stays to buy (negative: to sell)."""

    def at(price: int) -> tuple[int, int, int]:
        bought = sum(order.open for order in bids if order.price >= price)
        sold = sum(order.open for order in asks if order.price <= price)
        return price, min(bought, sold), bought - sold

    tried = [at(price) for price in sorted({order.price for order in (*bids, *asks) if order.kind == LIMIT})]
    most = max((executed for _, executed, _ in tried), default=0)
    if not most:
        return NOTHING
    tried = [found for found in tried if found[1] == most]
    least = min(abs(surplus) for _, _, surplus in tried)
    tied = [found for found in tried if abs(found[2]) == least]
    if all(surplus > 0 for _, _, surplus in tied):
        return tied[-1]
    if all(surplus < 0 for _, _, surplus in tied):
        return tied[0]
    return at(min(max(reference, tied[0][0]), tied[-1][0]))


def indicative(world: World, market: ModelMarket) -> tuple[int, int, int]:
    return single_price(world.queue(market, BUY), world.queue(market, SELL), market.last_price)


def publish(world: World) -> None:
    """After everything that changes it, the indicative price of a market in an auction is told."""
    for _, market in sorted(world.markets.items()):
        if market.state == AUCTION:
            now = indicative(world, market)
            if now != market.indicative:
                market.indicative = now
                world.tell(IndicativePriceChanged(market.number, *now))


def uncross(world: World, market: ModelMarket) -> None:
    """All that crosses trades at one price, by price and time; the earlier one is maker.

    A market order stands at the edge of the band, before all others at that price.
    """
    price, to_trade, surplus = indicative(world, market)
    if not to_trade:
        return
    world.tell(AuctionUncrossed(market.number, price, to_trade, surplus))
    bids = [order for order in world.queue(market, BUY) if order.price >= price]
    asks = [order for order in world.queue(market, SELL) if order.price <= price]
    came = {order.number: order.place for order in (*bids, *asks)}
    bids.sort(key=lambda order: (-order.price, order.kind != MARKET))
    asks.sort(key=lambda order: (order.price, order.kind != MARKET))
    while to_trade:
        bid, ask = bids[0], asks[0]
        lots = min(bid.open, ask.open, to_trade)
        to_trade -= lots
        maker, taker = sorted((bid, ask), key=lambda order: came[order.number])
        trade(world, maker, taker, price, lots)
        bids = bids if bid.open else bids[1:]
        asks = asks if ask.open else asks[1:]
