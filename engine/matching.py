"""Price-time priority matching and the settlement of each trade.

Matching walks the opposite side from its best price, oldest order first. A trade prints at
the maker's price (rulebook, convention 4). Before anything changes, :func:`fillable` walks the same way
without touching the book, to find out what a fill-or-kill order or a market order would get. Neither goes
beyond the market's price band (rulebook B5, G7).
"""

from __future__ import annotations

from typing import Final

from engine.book import BookSide, Level
from engine.event_writer import EventWriter
from engine.events import OrderReplenished, SelfTradePrevented
from engine.fees import charge, fee_to_come_units
from engine.market import Market
from engine.orders import Order, shown_lots
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

# More than any balance: what an order costs that asks for more than could ever be paid.
_BEYOND_ALL_FUNDS: Final = AMOUNT_MAX + 1


def would_trade(market: Market, side: int, order_type: int, price_ticks: int) -> bool:
    """Is there anything at this limit or better, for an order of this side?"""
    opposite = market.book.opposite(side)
    best = opposite.best()
    return best is not None and best.key >= own_limit_key(side, order_type, price_ticks)


def fillable(market: Market, order: Order) -> int:
    """How many lots the order would execute now, by quantity, own orders excluded. Changes nothing.

    ``market.fillable_notional_units`` is then what these cost without fees, _BEYOND_ALL_FUNDS if that is the least.
    """
    opposite = market.book.opposite(order.side)
    _find_keys_allowed(market, order)
    wanted_lots, executed_lots, notional_units = order.open_lots, 0, 0
    position = len(opposite.levels)
    market.fillable_stopped = False
    while position and wanted_lots and not market.fillable_stopped:
        position -= 1
        level = opposite.levels[position]
        if not market.least_key <= level.key <= market.greatest_key:
            break
        lots = _fillable_at(market, opposite, level, order, wanted_lots)
        executed_lots += lots
        wanted_lots -= lots + market.prevented_lots
        lot_notional_units = level.price_ticks * market.notional_units
        if lots > (_BEYOND_ALL_FUNDS - notional_units) // lot_notional_units:
            notional_units = _BEYOND_ALL_FUNDS
        else:
            notional_units += lots * lot_notional_units
    market.fillable_notional_units = notional_units
    return executed_lots


def cost_of_fillable(market: Market, order: Order) -> int:
    """What a market order to buy costs now, fee included; 0 if nothing is offered."""
    fillable(market, order)
    notional_units = market.fillable_notional_units
    rate_ppm = market.taker_rate_ppm(order.account_id)
    return notional_units + max(0, fee_to_come_units(order.fee_overpaid_ppm, notional_units, rate_ppm))


def match(market: Market, taker: Order, emit: EventWriter) -> bool:
    """Trade ``taker``, which does not rest and holds its funds, as far as it goes.

    Afterwards it is filled, or closed by self-trade prevention or because its budget is spent, or still open with
    nothing left to trade with. Answers whether it was the price band that stopped it.
    """
    opposite = market.book.opposite(taker.side)
    _find_keys_allowed(market, taker)
    least_key, greatest_key = market.least_key, market.greatest_key
    by_budget = taker.order_type == MARKET_BUDGET
    while True:
        level = opposite.best()
        if level is None or not least_key <= level.key <= greatest_key:
            break
        if by_budget:
            _size_by_budget(market, taker, level.price_ticks)
        if not taker.open_lots:
            break
        maker = opposite.oldest(level)
        lots = min(taker.open_lots, shown_lots(maker))
        if maker.account_id != taker.account_id:
            trade(market, maker, taker, level.price_ticks, lots, emit)
        elif taker.self_trade == DECREMENT:
            _decrement(market, maker, taker, lots, emit)
            if taker.status != OPEN:
                return False
        else:
            if taker.self_trade != CANCEL_NEWEST:
                _prevent(market, maker, emit)
            if taker.self_trade != CANCEL_OLDEST:
                _prevent(market, taker, emit)
                return False
    at_band = False
    if level is not None and level.key >= own_limit_key(taker.side, taker.order_type, taker.price_ticks):
        at_band = not least_key <= level.key <= greatest_key
    if by_budget:
        if at_band and level is not None:
            # Beyond the band, but perhaps the rest of the budget would not pay a lot there anyway.
            _size_by_budget(market, taker, level.price_ticks)
            at_band = taker.open_lots > 0
        _close_budget(market, taker, at_band, level is not None, emit)
    elif not taker.open_lots:
        market.close(taker, FILLED, CLOSED_FILLED)
        return False
    return at_band


def trade(market: Market, maker: Order, taker: Order, price_ticks: int, lots: int, emit: EventWriter) -> None:
    """Execute one trade: move the money, then both orders forward. Either order may rest, or be on its way in.

    No product overflows: a trade is worth no more than its smaller order was checked to be (``engine.order_entry``).
    """
    notional_units = lots * price_ticks * market.notional_units
    maker_fee_units = charge(maker, notional_units, market.maker_rate_ppm(maker.account_id))
    taker_fee_units = charge(taker, notional_units, market.taker_rate_ppm(taker.account_id))
    if taker.side == BUY:
        _settle(market, taker, taker_fee_units, maker, maker_fee_units, notional_units, lots)
    else:
        _settle(market, maker, maker_fee_units, taker, taker_fee_units, notional_units, lots)
    market.session.last_price_ticks = market.last_trade_ticks = price_ticks
    if not market.first_trade_ticks:
        market.first_trade_ticks = price_ticks

    maker.executed_lots += lots
    maker.notional_units += notional_units
    taker.executed_lots += lots
    taker.notional_units += notional_units
    maker_replenished = _fill(market, maker, lots)
    taker_replenished = _fill(market, taker, lots)
    emit.trade_executed(
        market.index.next_trade_id(),
        price_ticks,
        lots,
        notional_units,
        maker,
        taker,
        maker_fee_units,
        taker_fee_units,
        0 if taker.order_type == MARKET_BUDGET else taker.open_lots,
    )
    if maker_replenished:
        emit(_replenished(maker))
    if taker_replenished:
        emit(_replenished(taker))
    market.close_other_leg(maker, emit)
    market.close_other_leg(taker, emit)


def own_limit_key(side: int, order_type: int, price_ticks: int) -> int:
    """The least key of an opposite level that such an order itself would trade at."""
    if order_type != LIMIT:
        return 0 - AMOUNT_MAX
    return 0 - price_ticks if side == BUY else price_ticks


def _settle(
    market: Market,
    buyer: Order,
    buyer_fee_units: int,
    seller: Order,
    seller_fee_units: int,
    notional_units: int,
    lots: int,
) -> None:
    """Move what a trade moves: quote to the seller, base to the buyer, both fees to the exchange."""
    ledger, quote, base = market.ledger, market.quote_asset_id, market.base_asset_id
    paid_units = notional_units + buyer_fee_units
    base_units = lots * market.lot_units
    ledger.spend_held_of(market.balance_of(buyer), paid_units)
    buyer.held_units -= paid_units
    ledger.credit(seller.account_id, quote, notional_units - seller_fee_units)
    ledger.credit(EXCHANGE_ACCOUNT, quote, buyer_fee_units + seller_fee_units)
    ledger.spend_held_of(market.balance_of(seller), base_units)
    seller.held_units -= base_units
    ledger.credit(buyer.account_id, base, base_units)
    market.volumes.add(buyer.account_id, quote, market.timestamp_ns, notional_units)
    market.volumes.add(seller.account_id, quote, market.timestamp_ns, notional_units)


def _find_keys_allowed(market: Market, order: Order) -> None:
    """Set the least and the greatest key of an opposite level that the order may trade at, band included.

    Nothing trades outside the band, not even at a price that is better for who takes.
    """
    session = market.session
    market.least_key = own_limit_key(order.side, order.order_type, order.price_ticks)
    market.greatest_key = AMOUNT_MAX
    if session.band_ppm and session.reference_ticks:
        highest_ticks, lowest_ticks = session.band_edge_ticks(BUY), session.band_edge_ticks(SELL)
        if order.side == BUY:
            market.least_key = max(market.least_key, 0 - highest_ticks)
            market.greatest_key = 0 - lowest_ticks
        else:
            market.least_key = max(market.least_key, lowest_ticks)
            market.greatest_key = highest_ticks


def _fillable_at(market: Market, opposite: BookSide, level: Level, order: Order, wanted_lots: int) -> int:
    """How many lots a level would give. Sets ``market.prevented_lots``, those that decrementing would take away,
    and ``market.fillable_stopped``, whether matching would end there.

    Icebergs show their next slices behind everybody else, so the queue is gone through as matching would.
    """
    executed_lots = 0
    market.prevented_lots = 0
    hidden: list[
        tuple[Order, int]
    ] = []  # icebergs that showed all, with what they have left, in the order of their turn
    turn = 0
    slot = level.oldest
    while wanted_lots and (slot or turn < len(hidden)):
        if slot:
            maker = opposite.pool.at(slot)
            slot = maker.newer
            shown, open_lots = shown_lots(maker), maker.open_lots
        else:
            maker, open_lots = hidden[turn]
            turn += 1
            shown = min(maker.display_lots, open_lots)
        own = maker.account_id == order.account_id
        if own and order.self_trade == CANCEL_OLDEST:
            continue
        if own and order.self_trade != DECREMENT:
            market.fillable_stopped = True
            break
        lots = min(wanted_lots, shown)
        wanted_lots -= lots
        if own:
            market.prevented_lots += lots
        else:
            executed_lots += lots
        if lots == shown and shown < open_lots:
            hidden.append((maker, open_lots - lots))
    return executed_lots


def _fill(market: Market, order: Order, lots: int) -> bool:
    """Take traded lots off an order; a resting one that has nothing open then is filled."""
    rests = order.level != 0
    replenished = _take(market, order, lots)
    if rests and not order.open_lots:
        market.close(order, FILLED, CLOSED_FILLED)
    return replenished


def _take(market: Market, order: Order, lots: int) -> bool:
    """Take traded or prevented lots off an order. Answers whether an iceberg had to show its next slice."""
    if not order.level:  # on its way in
        order.open_lots -= lots
        if order.order_type == LIMIT:
            market.adjust_hold(order, market.held_for(order))
        return False
    if lots == order.open_lots:
        market.lift(order)
        order.open_lots = 0
        return False
    replenished = lots >= shown_lots(order)
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
    """Set what a budget order wants at a price: the most lots that its rest pays, fee included.

    These products need more than 64 bits, so they are reckoned in integers of any size in both forms.
    """
    held_units, overpaid_ppm = taker.held_units, taker.fee_overpaid_ppm
    lot_notional_units, scale = price_ticks * market.notional_units, FEE_SCALE
    rate_ppm = market.taker_rate_ppm(taker.account_id)
    open_lots = (held_units * scale + overpaid_ppm) // (lot_notional_units * (scale + rate_ppm))
    taker.open_lots = open_lots
    taker.quantity_lots = taker.executed_lots + taker.open_lots


def _close_budget(market: Market, taker: Order, at_band: bool, stopped_by_price: bool, emit: EventWriter) -> None:
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


def _prevent(market: Market, order: Order, emit: EventWriter) -> None:
    """Close an order that met one of its own account."""
    if order.level:
        market.lift(order)
    order.prevented_lots += order.open_lots
    order.open_lots = 0
    market.close_with_rest(order, CANCELLED, CLOSED_SELF_TRADE, emit)


def _decrement(market: Market, maker: Order, taker: Order, lots: int, emit: EventWriter) -> None:
    """Two orders of one account shrink by the smaller of the two (rulebook C4)."""
    for order in (maker, taker):
        order.prevented_lots += lots
    replenished = _take(market, maker, lots)
    _take(market, taker, lots)
    emit(
        SelfTradePrevented(
            market_id=market.market_id,
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
        else:
            market.close_other_leg(order, emit)
