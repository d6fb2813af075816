"""What is asked of a well-formed order before it is taken: the market's state, the limits, the book as it stands.

Nothing here changes the state. The first reason that applies is the answer, in the order of ``engine.rejects``.
"""

from __future__ import annotations

from engine import rejects
from engine.amounts import SCALE_ABSENT
from engine.market import Market
from engine.matching import cost_of_fillable, fillable, would_trade
from engine.order_command import OrderCommand
from engine.order_entry import check_iceberg, check_notional, set_price, set_quantity
from engine.orders import Order
from engine.registry import Standing
from engine.rejects import ACCEPTED
from engine.session import TAKES_ORDERS
from engine.types import (
    AUCTION,
    FOK,
    IOC,
    LIMIT,
    MARKET,
    MARKET_BUDGET,
    NOTIONAL_MAX,
    OPEN,
    OPEN_ORDERS_PER_ACCOUNT_MAX,
    POST_ONLY,
    PRICE_LEVELS_PER_SIDE_MAX,
    SELL,
    STOP,
    STOPS_PER_MARKET_MAX,
    TRAILING_STOPS_PER_MARKET_MAX,
    WAITING,
)


def can_rest(order: Order) -> bool:
    """Does what is left of it stay in the book? A market order does only in an auction, where it has a price."""
    return order.price_ticks > 0 and (order.order_type == MARKET or order.time_in_force not in (IOC, FOK))


def check_state(market: Market, command: OrderCommand) -> int:
    """Does the market take this kind of order in its present state? (rulebook G1, G6; docs/rules.md)"""
    session = market.session
    if session.state not in TAKES_ORDERS:
        return rejects.MARKET_STATE
    if command.record is not None and command.record.trigger:
        return ACCEPTED
    if command.order_type == LIMIT:
        return rejects.MARKET_STATE if command.time_in_force in (IOC, FOK) else ACCEPTED
    takes_it = session.state == AUCTION and session.rules.auction_market_orders and command.order_type == MARKET
    return ACCEPTED if takes_it else rejects.MARKET_STATE


def price_for_auction(order: Order, market: Market) -> int:
    """In an auction a market order counts as a limit at the edge of the price band (rulebook G6)."""
    order.price_ticks = market.session.band_edge_ticks(order.side)
    if not order.price_ticks:
        return rejects.NO_LAST_PRICE
    return check_notional(order, market)


def check_matching(market: Market, order: Order) -> int:
    """What an order asks of the book at this moment: not to trade, or to be filled completely."""
    post_only = order.post_only or market.session.state == POST_ONLY
    if post_only and would_trade(market, order.side, order.order_type, order.price_ticks):
        return rejects.POST_ONLY
    if order.time_in_force == FOK and fillable(market, order) < order.open_lots:
        return rejects.FOK
    return ACCEPTED


def needed_units(market: Market, order: Order) -> int:
    """What an order must hold from its acceptance on."""
    if order.status == WAITING:
        return market.need_once_elected(order)
    if order.order_type == MARKET_BUDGET:
        return order.budget_units
    if order.price_ticks or order.side == SELL:
        return market.held_for(order)
    return cost_of_fillable(market, order)


def _too_many_levels(market: Market, side: int, price_ticks: int) -> bool:
    levels = market.book.side(side)
    return len(levels.levels) >= PRICE_LEVELS_PER_SIDE_MAX and levels.level_at(price_ticks) is None


def check_limits(market: Market, order: Order, standing: Standing | None, also: int = 0) -> int:
    """The limits on what rests or waits: the account's, the market's and the engine's. ``also``: so many more."""
    if order.status == OPEN and not can_rest(order):
        return ACCEPTED
    open_orders_max = OPEN_ORDERS_PER_ACCOUNT_MAX
    if standing is not None and standing.open_orders_max:
        open_orders_max = min(standing.open_orders_max, OPEN_ORDERS_PER_ACCOUNT_MAX)
    if market.index.open_count(order.account_id) + also >= open_orders_max:
        return rejects.TOO_MANY
    if market.session.open_orders_max and market.open_count + also >= market.session.open_orders_max:
        return rejects.TOO_MANY
    if order.status == OPEN:
        too_many = _too_many_levels(market, order.side, order.price_ticks)
        return rejects.TOO_MANY if too_many else ACCEPTED
    return _check_stop_limits(market, order, standing)


def _check_stop_limits(market: Market, order: Order, standing: Standing | None) -> int:
    stops_max = market.session.stops_max or STOPS_PER_MARKET_MAX
    if len(market.stops) >= min(stops_max, STOPS_PER_MARKET_MAX):
        return rejects.TOO_MANY
    own_stops_max = 0 if standing is None else standing.stops_max
    if own_stops_max and market.index.waiting_count(order.account_id) >= own_stops_max:
        return rejects.TOO_MANY
    if order.trigger != STOP and market.stops.trailing_count >= TRAILING_STOPS_PER_MARKET_MAX:
        return rejects.TOO_MANY
    return ACCEPTED


def read_amendment(market: Market, order: Order, command: OrderCommand, wanted: Order) -> int:
    """Read into ``wanted``, a new order out of the book, what ``order`` would be. ACCEPTED, or why it cannot be."""
    wanted.price_ticks, wanted.quantity_lots = order.price_ticks, order.quantity_lots
    wanted.fee_overpaid_ppm = order.fee_overpaid_ppm
    reason = ACCEPTED
    if command.price_scale != SCALE_ABSENT:
        reason = set_price(wanted, market, command.price_mantissa, command.price_scale)
    if not reason and command.quantity_scale != SCALE_ABSENT:
        reason = set_quantity(wanted, market, command.quantity_mantissa, command.quantity_scale)
    if not reason and order.is_special and order.display_lots:
        reason = check_iceberg(order.display_lots, wanted.quantity_lots)
    # What self-trade prevention took is spent as well.
    spent_lots = order.executed_lots + order.prevented_lots
    if not reason and wanted.quantity_lots <= spent_lots:
        reason = rejects.QUANTITY_BELOW_EXECUTED
    wanted.open_lots = wanted.quantity_lots - spent_lots
    if not reason:
        reason = check_notional(wanted, market)
    if not reason:
        is_reduction = wanted.price_ticks == order.price_ticks and wanted.open_lots <= order.open_lots
        # Amended again and again, one order could trade more in all than its totals can hold.
        if not is_reduction and order.notional_units > NOTIONAL_MAX // 2:
            reason = rejects.NOTIONAL_TOO_LARGE
        elif not is_reduction and _too_many_levels(market, order.side, wanted.price_ticks):
            reason = rejects.TOO_MANY
    return reason
