"""Who trades with whom, and what would if: price, then time, up to the limit and the band (rulebook A, B, C)."""

from __future__ import annotations

from copy import copy

from engine.types import (
    CANCEL_NEWEST,
    CANCEL_OLDEST,
    CLOSED_BUDGET_SPENT,
    CLOSED_FILLED,
    CLOSED_NO_LIQUIDITY,
    CLOSED_PRICE_BAND,
    CLOSED_SELF_TRADE,
    DECREMENT,
    MARKET_BUDGET,
    SELL,
)
from tests.engine.model_orders import close, decrement, opposite, trade
from tests.engine.model_world import GONE, ModelOrder, World, fee_of


def match(world: World, taker: ModelOrder) -> bool:
    """Trade a taker as far as it goes. Answers whether it was the band that stopped it."""
    by_budget, at_band = taker.kind == MARKET_BUDGET, False
    while makers := opposite(world, taker):
        maker = makers[0]
        wanted = _affordable(world, taker, maker.price) if by_budget else taker.open
        if not wanted:
            break
        if taker.market.is_outside_band(maker.price):
            at_band = True
            break
        lots = min(wanted, maker.shown)
        if maker.account != taker.account:
            if by_budget:
                taker.quantity += lots
            trade(world, maker, taker, maker.price, lots)
        elif taker.self_trade == DECREMENT:
            decrement(world, maker, taker, lots)
            if taker.where == GONE:
                return False
        else:
            if taker.self_trade != CANCEL_NEWEST:
                close(world, maker, CLOSED_SELF_TRADE)
            if taker.self_trade != CANCEL_OLDEST:
                taker.quantity += wanted if by_budget else 0
                close(world, taker, CLOSED_SELF_TRADE)
                return False
    if by_budget:
        if at_band:
            close(world, taker, CLOSED_PRICE_BAND)
        else:
            spent = bool(makers) or taker.spent() == taker.budget
            close(world, taker, CLOSED_BUDGET_SPENT if spent else CLOSED_NO_LIQUIDITY)
    elif not taker.open:
        taker.where, taker.closed = GONE, CLOSED_FILLED
    return at_band


def rehearse(world: World, taker: ModelOrder) -> tuple[int, int]:
    """The lots and the notional that a taker by quantity would trade now, played through on copies."""
    makers = [copy(maker) for maker in opposite(world, taker)]
    wanted, lots, notional, place = taker.open, 0, 0, world.place_count
    while wanted and makers:
        makers.sort(key=lambda maker: (maker.price if maker.side == SELL else -maker.price, maker.place))
        maker = makers[0]
        if taker.market.is_outside_band(maker.price):
            break
        taken = min(wanted, maker.shown)
        if maker.account != taker.account:
            lots += taken
            notional += taken * maker.price * taker.market.spec.notional_units
        elif taker.self_trade == CANCEL_OLDEST:
            makers.pop(0)
            continue
        elif taker.self_trade != DECREMENT:
            break
        wanted -= taken
        maker.prevented += taken
        if not maker.open:
            makers.pop(0)
        elif maker.display:
            maker.slice -= taken
            if not maker.slice:
                place += 1
                maker.slice, maker.place = min(maker.display, maker.open), place
    return lots, notional


def cost_now(world: World, order: ModelOrder) -> int:
    """What a market order to buy would pay now, fee included."""
    _, notional = rehearse(world, order)
    rate_ppm = world.rates(order.market, order.account)[1]
    return notional + max(0, fee_of([(0, notional, rate_ppm)]))


def _affordable(world: World, taker: ModelOrder, price: int) -> int:
    """The most lots that the rest of a budget pays at a price, fee included."""
    rate_ppm, lots = world.rates(taker.market, taker.account)[1], 0
    while True:
        notional = (lots + 1) * price * taker.market.spec.notional_units
        if taker.notional + notional + fee_of([*taker.fills, (0, notional, rate_ppm)]) > taker.budget:
            return lots
        lots += 1
