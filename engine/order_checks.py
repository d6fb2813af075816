"""What is asked of a well-formed order before it is taken: the market's state, the limits, the book as it stands.

Nothing here changes the state. The first reason that applies is the answer, in the order of ``engine.rejects``.
"""

from __future__ import annotations

from engine import rejects
from engine.amounts import SCALE_ABSENT
from engine.book import Order
from engine.commands import AmendOrder, PlaceOrder, PlaceSpecialOrder
from engine.market import Market
from engine.matching import cost_of_fillable, fillable, would_trade
from engine.order_entry import check_iceberg, check_notional, set_price, set_quantity
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
    AccountLimits,
)


def can_rest(order: Order) -> bool:
    """Does what is left of it stay in the book? A market order does only in an auction, where it has a price."""
    return order.price_ticks > 0 and (order.order_type == MARKET or order.time_in_force not in (IOC, FOK))


def check_state(market: Market, command: PlaceOrder | PlaceSpecialOrder) -> int:
    """Does the market take this kind of order in its present state? (rulebook G1, G6; docs/rules.md)"""
    session = market.session
    if session.state not in TAKES_ORDERS:
        return rejects.MARKET_STATE
    if isinstance(command, PlaceSpecialOrder) and command.trigger:
        return rejects.ACCEPTED
    if command.order_type == LIMIT:
        return rejects.MARKET_STATE if command.time_in_force in (IOC, FOK) else rejects.ACCEPTED
    takes_it = session.state == AUCTION and session.rules.auction_market_orders and command.order_type == MARKET
    return rejects.ACCEPTED if takes_it else rejects.MARKET_STATE


def price_for_auction(order: Order, market: Market) -> int:
    """In an auction a market order counts as a limit at the edge of the price band (rulebook G6)."""
    order.price_ticks = market.session.band_edge_ticks(order.side)
    if not order.price_ticks:
        return rejects.NO_LAST_PRICE
    if order.quantity_lots > NOTIONAL_MAX // (order.price_ticks * market.spec.notional_units):
        return rejects.NOTIONAL_TOO_LARGE
    return rejects.ACCEPTED


def check_matching(market: Market, order: Order) -> int:
    """What an order asks of the book at this moment: not to trade, or to be filled completely."""
    post_only = order.post_only or market.session.state == POST_ONLY
    if post_only and would_trade(market, order):
        return rejects.POST_ONLY
    if order.time_in_force == FOK and fillable(market, order).lots < order.open_lots:
        return rejects.FOK
    return rejects.ACCEPTED


def needed_units(market: Market, order: Order) -> int:
    """What an order must hold from its acceptance on."""
    if order.status == WAITING:
        return market.need_once_elected(order)
    if order.order_type == MARKET_BUDGET:
        return order.budget_units
    if order.price_ticks or order.side == SELL:
        return market.held_for(order)
    return cost_of_fillable(market, order)


def _too_many_levels(market: Market, order: Order) -> bool:
    side = market.book.side(order.side)
    return len(side.keys) >= PRICE_LEVELS_PER_SIDE_MAX and side.key_of(order.price_ticks) not in side.levels


def check_limits(market: Market, order: Order, limits: AccountLimits, also: int = 0) -> int:
    """The limits on what rests or waits: the account's, the market's and the engine's. ``also``: so many more."""
    if order.status == OPEN and not can_rest(order):
        return rejects.ACCEPTED
    rules, account_id, index = market.session.rules, order.account_id, market.index
    open_orders_max = min(limits.open_orders_max or OPEN_ORDERS_PER_ACCOUNT_MAX, OPEN_ORDERS_PER_ACCOUNT_MAX)
    if index.open_count(account_id) + also >= open_orders_max:
        return rejects.TOO_MANY
    if rules.open_orders_max and market.open_count + also >= rules.open_orders_max:
        return rejects.TOO_MANY
    if order.status == OPEN:
        return rejects.TOO_MANY if _too_many_levels(market, order) else rejects.ACCEPTED
    if len(market.stops) >= min(rules.stops_max or STOPS_PER_MARKET_MAX, STOPS_PER_MARKET_MAX):
        return rejects.TOO_MANY
    if limits.stops_max and index.waiting_count(account_id) >= limits.stops_max:
        return rejects.TOO_MANY
    if order.trigger != STOP and market.stops.trailing_count >= TRAILING_STOPS_PER_MARKET_MAX:
        return rejects.TOO_MANY
    return rejects.ACCEPTED


def read_amendment(market: Market, order: Order, command: AmendOrder) -> tuple[Order, int]:
    """The order as it would be, not in the book, and ACCEPTED or the reason why it cannot be."""
    wanted = Order(order.order_id, order.account_id, order.market_id, order.side, order.client_order_id)
    wanted.price_ticks, wanted.quantity_lots = order.price_ticks, order.quantity_lots
    wanted.fee_overpaid_ppm, wanted.display_lots = order.fee_overpaid_ppm, order.display_lots
    reason = rejects.ACCEPTED
    if command.price_scale != SCALE_ABSENT:
        reason = set_price(wanted, market.spec, command.price_mantissa, command.price_scale)
    if not reason and command.quantity_scale != SCALE_ABSENT:
        reason = set_quantity(wanted, market.spec, command.quantity_mantissa, command.quantity_scale)
    if not reason and order.display_lots:
        reason = check_iceberg(wanted)
    # What self-trade prevention took is spent as well.
    spent_lots = order.executed_lots + order.prevented_lots
    if not reason and wanted.quantity_lots <= spent_lots:
        reason = rejects.QUANTITY_BELOW_EXECUTED
    wanted.open_lots = wanted.quantity_lots - spent_lots
    if not reason:
        reason = check_notional(wanted, market.spec)
    if not reason:
        is_reduction = wanted.price_ticks == order.price_ticks and wanted.open_lots <= order.open_lots
        # Amended again and again, one order could trade more in all than its totals can hold.
        if not is_reduction and order.notional_units > NOTIONAL_MAX // 2:
            reason = rejects.NOTIONAL_TOO_LARGE
        elif not is_reduction and _too_many_levels(market, wanted):
            reason = rejects.TOO_MANY
    return wanted, reason
