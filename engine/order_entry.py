"""Reading a placement into an order: are its options sensible together, do its amounts fit the market's rules?

Nothing here changes the state. The first reason that applies is the answer, in the order of ``engine.rejects``.
"""

from __future__ import annotations

from typing import Final

from engine import rejects
from engine.amounts import NOT_A_MULTIPLE, SCALE_ABSENT, to_multiples, to_units
from engine.codec import PLACE_SPECIAL_ORDER
from engine.commands import PlaceOco, PlaceSpecialOrder
from engine.market import Market
from engine.order_command import OrderCommand
from engine.orders import Order, SpecialOrder, special
from engine.rejects import ACCEPTED
from engine.stops import trailing_stop_ticks
from engine.types import (
    AMOUNT_MAX,
    BUY,
    DAY,
    DECREMENT,
    FEE_SCALE,
    FOK,
    GTC,
    GTD,
    GTD_NS_MAX,
    ICEBERG_PARTS_MAX,
    IOC,
    LIMIT,
    MARKET,
    MARKET_BUDGET,
    NOTIONAL_MAX,
    NS_PER_DAY,
    SELL,
    STOP,
    TRAIL_BY_PPM,
    TRAIL_BY_PRICE,
    WAITING,
)

_PERCENT_DECIMALS: Final = 4  # of a percentage: its units are then millionths


def well_formed(command: OrderCommand) -> bool:
    """Do the options make sense together? Amounts are judged later, by the market's rules."""
    if command.side > SELL or command.order_type > MARKET_BUDGET or command.self_trade > DECREMENT:
        return False
    if command.post_only > 1:
        return False
    if command.kind == PLACE_SPECIAL_ORDER:
        if not _special_options_fit(command.record):
            return False
    elif command.time_in_force > FOK:
        return False
    if command.order_type == LIMIT:
        return not (command.post_only and command.time_in_force in (IOC, FOK))
    if command.order_type == MARKET_BUDGET and (command.side != BUY or command.self_trade == DECREMENT):
        return False
    return command.price_scale == SCALE_ABSENT and command.time_in_force != FOK and not command.post_only


def oco_well_formed(command: PlaceOco) -> bool:
    return command.side <= SELL and command.self_trade <= DECREMENT


def read_order(command: OrderCommand, market: Market, sequence: int) -> Order:
    """The order that a well-formed command asks for, taken from the pool: :func:`read_amounts` reads the rest."""
    pool = market.index.pool
    if command.kind == PLACE_SPECIAL_ORDER or command.order_type == MARKET_BUDGET:
        order: Order = pool.take_special(sequence, command.account_id, market.market_id, command.side)
    else:
        order = pool.take(sequence, command.account_id, market.market_id, command.side)
    order.order_type = command.order_type
    order.time_in_force = command.time_in_force
    order.post_only = command.post_only
    order.self_trade = command.self_trade
    order.accepted_at_ns = market.timestamp_ns
    return order


def read_amounts(order: Order, command: OrderCommand, market: Market) -> int:
    """Read prices, quantities and times into an order. ACCEPTED, or the reason why the market cannot have it.

    A trailing stop starts from the last price; where there is none (0) it has no stop price yet.
    """
    if command.kind == PLACE_SPECIAL_ORDER:
        return _read_special_amounts(special(order), command, market)
    reason = ACCEPTED
    if order.order_type == LIMIT:
        reason = set_price(order, market, command.price_mantissa, command.price_scale)
    if not reason:
        reason = set_quantity(order, market, command.quantity_mantissa, command.quantity_scale)
    return reason or check_notional(order, market)


def read_pair(limit_leg: SpecialOrder, stop_leg: SpecialOrder, command: PlaceOco, market: Market) -> int:
    """Read a pair into its limit leg and its stop leg. ACCEPTED, or the reason why the market cannot have them."""
    limit_leg.linked_order_id, stop_leg.linked_order_id = stop_leg.order_id, limit_leg.order_id
    for leg in (limit_leg, stop_leg):
        leg.self_trade = command.self_trade
        leg.accepted_at_ns = market.timestamp_ns
    stop_leg.trigger, stop_leg.status = STOP, WAITING
    reasons = [
        set_price(limit_leg, market, command.price_mantissa, command.price_scale),
        _set_stop(stop_leg, market, command.stop_mantissa, command.stop_scale),
    ]
    if command.stop_limit_scale == SCALE_ABSENT:
        stop_leg.order_type, stop_leg.time_in_force = MARKET, IOC
    else:
        reasons.append(set_price(stop_leg, market, command.stop_limit_mantissa, command.stop_limit_scale))
    reason = _first_of(*reasons)
    for leg in (limit_leg, stop_leg):
        if not reason:
            reason = set_quantity(leg, market, command.quantity_mantissa, command.quantity_scale)
    for leg in (limit_leg, stop_leg):
        if not reason:
            reason = check_notional(leg, market)
    return reason


def set_price(order: Order, market: Market, mantissa: int, scale: int) -> int:
    price_ticks = to_multiples(mantissa, scale, market.quote_decimals, market.tick_units)
    if price_ticks <= 0:
        return rejects.TICK if price_ticks == NOT_A_MULTIPLE else rejects.PRICE
    order.price_ticks = price_ticks
    return ACCEPTED


def set_quantity(order: Order, market: Market, mantissa: int, scale: int) -> int:
    if order.order_type == MARKET_BUDGET:
        budget_units = to_units(mantissa, scale, market.quote_decimals)
        special(order).budget_units = budget_units
        return ACCEPTED if budget_units > 0 else rejects.AMOUNT
    quantity_lots = to_multiples(mantissa, scale, market.base_decimals, market.lot_units)
    if quantity_lots <= 0:
        return rejects.LOT
    order.quantity_lots = order.open_lots = quantity_lots
    return ACCEPTED


def check_notional(order: Order, market: Market) -> int:
    """What the order is worth must reach the market's minimum, and fit, with its fee, into an amount.

    A stop at market is worth its quantity at the stop price; only that it fits is asked of it.
    """
    if order.order_type == MARKET_BUDGET:
        return rejects.MIN_NOTIONAL if order.budget_units < market.min_notional_units else ACCEPTED
    price_ticks = order.price_ticks
    if not price_ticks and order.is_special:
        price_ticks = order.stop_ticks
    if not price_ticks:
        return ACCEPTED
    # Each product is taken when it is known to fit.
    if price_ticks > market.price_ticks_max:
        return rejects.NOTIONAL_TOO_LARGE
    lot_notional_units = price_ticks * market.notional_units
    if order.quantity_lots > NOTIONAL_MAX // lot_notional_units:
        return rejects.NOTIONAL_TOO_LARGE
    if order.order_type == LIMIT and order.quantity_lots * lot_notional_units < market.min_notional_units:
        return rejects.MIN_NOTIONAL
    return ACCEPTED


def check_iceberg(display_lots: int, quantity_lots: int) -> int:
    """Whatever an iceberg's quantity becomes, it must hide something, in not too many parts."""
    if display_lots < quantity_lots <= display_lots * ICEBERG_PARTS_MAX:
        return ACCEPTED
    return rejects.ICEBERG


def _read_special_amounts(order: SpecialOrder, command: OrderCommand, market: Market) -> int:
    asked = command.record
    assert isinstance(asked, PlaceSpecialOrder), asked
    reason = _set_expiry(order, asked.expires_at_ns)
    if not reason and order.order_type == LIMIT:
        reason = set_price(order, market, command.price_mantissa, command.price_scale)
    if asked.trigger and reason in (ACCEPTED, rejects.TICK):
        reason = _first_of(reason, _set_trigger(order, market, asked))
    if not reason:
        reason = set_quantity(order, market, command.quantity_mantissa, command.quantity_scale)
    if not reason and asked.display_scale != SCALE_ABSENT:
        reason = _set_display(order, market, asked)
    return reason or check_notional(order, market)


def _special_options_fit(command: PlaceSpecialOrder) -> bool:
    if command.time_in_force > DAY or command.trigger > TRAIL_BY_PPM:
        return False
    if (command.time_in_force == GTD) != (command.expires_at_ns != 0):
        return False
    iceberg = command.display_scale != SCALE_ABSENT
    if iceberg and (command.order_type != LIMIT or command.time_in_force in (IOC, FOK) or command.trigger):
        return False
    if (command.stop_scale != SCALE_ABSENT) != (command.trigger == STOP):
        return False
    if (command.trail_scale != SCALE_ABSENT) != (command.trigger in (TRAIL_BY_PRICE, TRAIL_BY_PPM)):
        return False
    if command.trigger:
        return not command.post_only and command.time_in_force != FOK
    return command.order_type == LIMIT or command.time_in_force in (GTC, IOC)


def _set_expiry(order: SpecialOrder, expires_at_ns: int) -> int:
    now_ns = order.accepted_at_ns
    if order.time_in_force == GTD:
        if not now_ns < expires_at_ns <= now_ns + GTD_NS_MAX:
            return rejects.EXPIRY
        order.expires_at_ns = expires_at_ns
    elif order.time_in_force == DAY:
        order.expires_at_ns = now_ns - now_ns % NS_PER_DAY + NS_PER_DAY
    return ACCEPTED


def _set_trigger(order: SpecialOrder, market: Market, command: PlaceSpecialOrder) -> int:
    last_price_ticks = market.session.last_price_ticks
    order.status, order.trigger = WAITING, command.trigger
    if command.trigger == STOP:
        return _set_stop(order, market, command.stop_mantissa, command.stop_scale)
    if command.trigger == TRAIL_BY_PPM:
        trail_ppm = to_units(command.trail_mantissa, command.trail_scale, _PERCENT_DECIMALS)
        if not 0 < trail_ppm < FEE_SCALE:
            return rejects.PRICE
        order.trail_ppm = trail_ppm
    else:
        trail = command.trail_mantissa, command.trail_scale
        order.trail_ticks = to_multiples(*trail, market.quote_decimals, market.tick_units)
        if order.trail_ticks <= 0:
            return rejects.TICK if order.trail_ticks == NOT_A_MULTIPLE else rejects.PRICE
    if last_price_ticks:
        stop_ticks = trailing_stop_ticks(order, last_price_ticks)
        if not 0 < stop_ticks <= AMOUNT_MAX:
            return rejects.PRICE
        order.stop_ticks = stop_ticks
    return ACCEPTED


def _first_of(*reasons: int) -> int:
    """Of what is wrong with several prices, that which comes first in the order of precedence."""
    return next((reason for reason in (rejects.PRICE, rejects.TICK) if reason in reasons), max(reasons))


def _set_stop(order: SpecialOrder, market: Market, mantissa: int, scale: int) -> int:
    stop_ticks = to_multiples(mantissa, scale, market.quote_decimals, market.tick_units)
    if stop_ticks <= 0:
        return rejects.TICK if stop_ticks == NOT_A_MULTIPLE else rejects.PRICE
    order.stop_ticks = stop_ticks
    return ACCEPTED


def _set_display(order: SpecialOrder, market: Market, command: PlaceSpecialOrder) -> int:
    display_lots = to_multiples(command.display_mantissa, command.display_scale, market.base_decimals, market.lot_units)
    if display_lots <= 0:
        return rejects.LOT
    order.display_lots = display_lots
    return check_iceberg(display_lots, order.quantity_lots)
