"""Price-time priority matching and the settlement of each trade.

Matching walks the opposite side from its best price, oldest order first. A trade prints at
the maker's price (rulebook, convention 4). Before anything changes, :func:`fillable` walks the same way
without touching the book, to find out what a fill-or-kill order or a market order would get. Neither goes
beyond the market's price band (rulebook B5, G7).
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from engine.book import Level, Order
from engine.events import Emit, OrderReplenished, SelfTradePrevented, TradeExecuted
from engine.fees import charge, fee_to_come_units
from engine.market import Market
from engine.types import (
    AMOUNT_MAX,
    BUY,
    CANCEL_NEWEST,
    CANCEL_OLDEST,
    CANCELLED,
    CLOSED_BUDGET_SPENT,
    CLOSED_FILLED,
    CLOSED_NO_LIQUIDITY,
    CLOSED_PRICE_BAND,
    CLOSED_SELF_TRADE,
    DECREMENT,
    EXCHANGE_ACCOUNT,
    FEE_SCALE,
    FILLED,
    LIMIT,
    MARKET_BUDGET,
    OPEN,
    SELL,
)


class Fillable(NamedTuple):
    lots: int
    notional_units: int


def would_trade(market: Market, order: Order) -> bool:
    """Is there anything at its limit or better?"""
    opposite = market.book.opposite(order.side)
    return bool(opposite.keys) and opposite.keys[-1] >= _own_limit_key(order)


def fillable(market: Market, order: Order) -> Fillable:
    """What the order would execute now, by quantity, own orders excluded. Changes nothing."""
    opposite = market.book.opposite(order.side)
    limit_key, best_key = _keys_allowed(market, order)
    wanted_lots, executed_lots, notional_units = order.open_lots, 0, 0
    for key in reversed(opposite.keys):
        if not limit_key <= key <= best_key or not wanted_lots:
            break
        level = opposite.levels[key]
        lots, prevented_lots, stopped = _fillable_at(level, order, wanted_lots)
        executed_lots += lots
        wanted_lots -= lots + prevented_lots
        notional_units += lots * level.price_ticks * market.spec.notional_units
        if stopped:
            break
    return Fillable(executed_lots, notional_units)


def cost_of_fillable(market: Market, order: Order) -> int:
    """What a market order to buy costs now, fee included; 0 if nothing is offered."""
    notional_units = fillable(market, order).notional_units
    return notional_units + max(0, fee_to_come_units(order, notional_units, market.taker_rate_ppm(order.account_id)))


def match(market: Market, taker: Order, emit: Emit) -> bool:
    """Trade ``taker``, which does not rest and holds its funds, as far as it goes.

    Afterwards it is filled, or closed by self-trade prevention or because its budget is spent, or still open with
    nothing left to trade with. Answers whether it was the price band that stopped it.
    """
    opposite = market.book.opposite(taker.side)
    limit_key, best_key = _keys_allowed(market, taker)
    by_budget = taker.order_type == MARKET_BUDGET
    while opposite.keys and limit_key <= opposite.keys[-1] <= best_key:
        level = opposite.levels[opposite.keys[-1]]
        if by_budget:
            _size_by_budget(market, taker, level.price_ticks)
        if not taker.open_lots:
            break
        maker = level.oldest
        assert maker is not None, level.price_ticks
        lots = min(taker.open_lots, maker.shown_lots)
        if maker.account_id != taker.account_id:
            trade(market, maker, taker, level.price_ticks, lots, emit)
            continue
        if taker.self_trade == DECREMENT:
            _decrement(market, maker, taker, lots, emit)
            if taker.status != OPEN:
                return False
            continue
        if taker.self_trade != CANCEL_NEWEST:
            _prevent(market, maker, emit)
        if taker.self_trade != CANCEL_OLDEST:
            _prevent(market, taker, emit)
            return False
    at_band = False
    if opposite.keys and opposite.keys[-1] >= _own_limit_key(taker):
        at_band = not limit_key <= opposite.keys[-1] <= best_key
    if by_budget:
        if at_band:
            # Beyond the band, but perhaps the rest of the budget would not pay a lot there anyway.
            _size_by_budget(market, taker, opposite.levels[opposite.keys[-1]].price_ticks)
            at_band = taker.open_lots > 0
        _close_budget(market, taker, at_band, bool(opposite.keys), emit)
    elif not taker.open_lots:
        market.close(taker, FILLED, CLOSED_FILLED)
        return False
    return at_band


def trade(market: Market, maker: Order, taker: Order, price_ticks: int, lots: int, emit: Emit) -> None:
    """Execute one trade: move the money, then both orders forward. Either order may rest, or be on its way in."""
    spec, ledger = market.spec, market.ledger
    notional_units = lots * price_ticks * spec.notional_units
    base_units = lots * spec.lot_units
    maker_fee_units = charge(maker, notional_units, market.maker_rate_ppm(maker.account_id))
    taker_fee_units = charge(taker, notional_units, market.taker_rate_ppm(taker.account_id))
    if taker.side == BUY:
        buyer, buyer_fee_units, seller, seller_fee_units = taker, taker_fee_units, maker, maker_fee_units
    else:
        buyer, buyer_fee_units, seller, seller_fee_units = maker, maker_fee_units, taker, taker_fee_units

    paid_units = notional_units + buyer_fee_units
    ledger.spend_held(buyer.account_id, spec.quote_asset_id, paid_units)
    buyer.held_units -= paid_units
    ledger.credit(seller.account_id, spec.quote_asset_id, notional_units - seller_fee_units)
    ledger.credit(EXCHANGE_ACCOUNT, spec.quote_asset_id, maker_fee_units + taker_fee_units)
    ledger.spend_held(seller.account_id, spec.base_asset_id, base_units)
    seller.held_units -= base_units
    ledger.credit(buyer.account_id, spec.base_asset_id, base_units)
    market.volumes.add(buyer.account_id, spec.quote_asset_id, market.timestamp_ns, notional_units)
    market.volumes.add(seller.account_id, spec.quote_asset_id, market.timestamp_ns, notional_units)
    market.session.last_price_ticks = market.last_trade_ticks = price_ticks
    if not market.first_trade_ticks:
        market.first_trade_ticks = price_ticks

    for order in (maker, taker):
        order.executed_lots += lots
        order.notional_units += notional_units
    replenished = [order for order in (maker, taker) if _fill(market, order, lots)]
    emit(
        TradeExecuted(
            trade_id=market.index.next_trade_id(),
            market_id=spec.market_id,
            taker_side=taker.side,
            price_ticks=price_ticks,
            quantity_lots=lots,
            notional_units=notional_units,
            maker_order_id=maker.order_id,
            taker_order_id=taker.order_id,
            maker_account_id=maker.account_id,
            taker_account_id=taker.account_id,
            maker_fee_units=maker_fee_units,
            taker_fee_units=taker_fee_units,
            maker_open_lots=maker.open_lots,
            taker_open_lots=0 if taker.order_type == MARKET_BUDGET else taker.open_lots,
        )
    )
    for order in replenished:
        emit(_replenished(order))
    if maker.linked_order_id:
        market.close_other_leg(maker, emit)
    if taker.linked_order_id:
        market.close_other_leg(taker, emit)


def _own_limit_key(order: Order) -> int:
    """The least key of an opposite level that the order itself would trade at."""
    if order.order_type != LIMIT:
        return -AMOUNT_MAX
    return -order.price_ticks if order.side == BUY else order.price_ticks


def _keys_allowed(market: Market, order: Order) -> tuple[int, int]:
    """The least and the greatest key of an opposite level that the order may trade at, band included.

    Nothing trades outside the band, not even at a price that is better for who takes.
    """
    own_key, session = _own_limit_key(order), market.session
    if not session.rules.band_ppm or not session.reference_ticks:
        return own_key, AMOUNT_MAX
    highest_ticks, lowest_ticks = session.band_edge_ticks(BUY), session.band_edge_ticks(SELL)
    if order.side == BUY:
        return max(own_key, -highest_ticks), -lowest_ticks
    return max(own_key, lowest_ticks), highest_ticks


def _fillable_at(level: Level, order: Order, wanted_lots: int) -> tuple[int, int, bool]:
    """What a level would give: executed lots, lots prevented by decrementing, and whether matching would stop there.

    Icebergs show their next slices behind everybody else, so the queue is gone through as matching would.
    """
    executed_lots = prevented_lots = 0
    next_slices: deque[tuple[Order, int, int]] = deque()
    ahead = level.oldest
    while wanted_lots and (ahead is not None or next_slices):
        if ahead is not None:
            maker, shown_lots, open_lots = ahead, ahead.shown_lots, ahead.open_lots
            ahead = ahead.newer
        else:
            maker, shown_lots, open_lots = next_slices.popleft()
        own = maker.account_id == order.account_id
        if own and order.self_trade == CANCEL_OLDEST:
            continue
        if own and order.self_trade != DECREMENT:
            return executed_lots, prevented_lots, True
        lots = min(wanted_lots, shown_lots)
        wanted_lots -= lots
        if own:
            prevented_lots += lots
        else:
            executed_lots += lots
        if lots == shown_lots < open_lots:
            next_slices.append((maker, min(maker.display_lots, open_lots - lots), open_lots - lots))
    return executed_lots, prevented_lots, False


def _fill(market: Market, order: Order, lots: int) -> bool:
    """Take traded lots off an order; a resting one that has nothing open then is filled."""
    rests = order.level is not None
    replenished = _take(market, order, lots)
    if rests and not order.open_lots:
        market.close(order, FILLED, CLOSED_FILLED)
    return replenished


def _take(market: Market, order: Order, lots: int) -> bool:
    """Take traded or prevented lots off an order. Answers whether an iceberg had to show its next slice."""
    if order.level is None:  # on its way in
        order.open_lots -= lots
        if order.order_type == LIMIT:
            market.adjust_hold(order, market.held_for(order))
        return False
    if lots == order.open_lots:
        market.lift(order)
        order.open_lots = 0
        return False
    replenished = lots >= order.shown_lots
    if replenished:
        market.requeue(order, lots)
    else:
        market.book.side(order.side).reduce(order, lots)
        market.book_changed = True
    market.adjust_hold(order, market.held_for(order))
    return replenished


def _replenished(order: Order) -> OrderReplenished:
    return OrderReplenished(order.order_id, order.account_id, order.market_id, order.visible_lots)


def _size_by_budget(market: Market, taker: Order, price_ticks: int) -> None:
    """Set what a budget order wants at a price: the most lots that its rest pays, fee included."""
    lot_notional_units = price_ticks * market.spec.notional_units
    rest_ppm = taker.held_units * FEE_SCALE + taker.fee_overpaid_ppm
    rate_ppm = market.taker_rate_ppm(taker.account_id)
    taker.open_lots = rest_ppm // (lot_notional_units * (FEE_SCALE + rate_ppm))
    taker.quantity_lots = taker.executed_lots + taker.open_lots


def _close_budget(market: Market, taker: Order, at_band: bool, stopped_by_price: bool, emit: Emit) -> None:
    """A budget order ends when its rest buys no lot at the best price (filled), or when nothing more is offered."""
    taker.open_lots = 0
    taker.quantity_lots = taker.executed_lots
    if at_band:
        market.close_with_rest(taker, CANCELLED, CLOSED_PRICE_BAND, emit)
    elif stopped_by_price or not taker.held_units:
        status = FILLED if taker.executed_lots else CANCELLED
        market.close_with_rest(taker, status, CLOSED_BUDGET_SPENT, emit)
    else:
        market.close_with_rest(taker, CANCELLED, CLOSED_NO_LIQUIDITY, emit)


def _prevent(market: Market, order: Order, emit: Emit) -> None:
    """Close an order that met one of its own account."""
    if order.level is not None:
        market.lift(order)
    order.prevented_lots += order.open_lots
    order.open_lots = 0
    market.close_with_rest(order, CANCELLED, CLOSED_SELF_TRADE, emit)


def _decrement(market: Market, maker: Order, taker: Order, lots: int, emit: Emit) -> None:
    """Two orders of one account shrink by the smaller of the two (rulebook C4)."""
    for order in (maker, taker):
        order.prevented_lots += lots
    replenished = _take(market, maker, lots)
    _take(market, taker, lots)
    emit(
        SelfTradePrevented(
            market_id=market.spec.market_id,
            account_id=taker.account_id,
            maker_order_id=maker.order_id,
            taker_order_id=taker.order_id,
            quantity_lots=lots,
            maker_open_lots=maker.open_lots,
            taker_open_lots=taker.open_lots,
        )
    )
    if replenished:
        emit(_replenished(maker))
    for order in (maker, taker):
        if not order.open_lots:
            market.close_with_rest(order, CANCELLED, CLOSED_SELF_TRADE, emit)
        elif order.linked_order_id:
            market.close_other_leg(order, emit)
