"""Orders come in: what is asked of them, in the order of ``rejects.PRECEDENCE``, and what they must hold."""

from __future__ import annotations

from engine import rejects
from engine.amounts import SCALE_ABSENT
from engine.commands import PlaceOco, PlaceOrder, PlaceSpecialOrder
from engine.types import (
    AMOUNT_MAX,
    AUCTION,
    BUY,
    DAY,
    DECREMENT,
    FOK,
    GTC,
    GTD,
    IOC,
    LIMIT,
    MARKET,
    MARKET_BUDGET,
    NO_TRIGGER,
    NOTIONAL_MAX,
    NS_PER_DAY,
    POST_ONLY,
    PRE_OPEN,
    SECOND_LEG,
    SELL,
    STOP,
    TRADING,
    TRAIL_BY_PPM,
    TRAIL_BY_PRICE,
)
from tests.engine.model_matching import cost_now, rehearse
from tests.engine.model_orders import accepted, opposite, orders_in, wait
from tests.engine.model_sessions import meets, run, trailing_stop
from tests.engine.model_world import (
    BETWEEN,
    COMING,
    MILLION,
    OUT_OF_RANGE,
    WAITING,
    ModelMarket,
    ModelOrder,
    Refused,
    World,
    whole,
)

TAKES_ORDERS = (PRE_OPEN, AUCTION, TRADING, POST_ONLY)


def place(world: World, asked: PlaceOrder | PlaceSpecialOrder) -> ModelOrder:
    special = asked if isinstance(asked, PlaceSpecialOrder) else None
    if not _options_fit(asked) or (special is not None and not _special_options_fit(special)):
        raise Refused(rejects.MALFORMED)
    market = market_asked(world, asked.market_id, asked.account_id)
    trigger = special.trigger if special is not None else NO_TRIGGER
    if not _taken_in_state(market, asked, trigger):
        raise Refused(rejects.MARKET_STATE)
    order = ModelOrder(
        world.sequence,
        asked.account_id,
        market,
        asked.side,
        asked.order_type,
        asked.time_in_force,
        asked.post_only,
        asked.self_trade,
        asked.client_order_id,
        world.now_ns,
        trigger=trigger,
    )
    if order.time_in_force == GTD and special is not None:
        if not world.now_ns < special.expires_at_ns <= world.now_ns + 366 * NS_PER_DAY:
            raise Refused(rejects.EXPIRY)
        order.expires_at_ns = special.expires_at_ns
    if order.time_in_force == DAY:
        order.expires_at_ns = (world.now_ns // NS_PER_DAY + 1) * NS_PER_DAY
    _read_prices(order, asked)
    if order.kind == MARKET_BUDGET:
        order.budget = whole(asked.quantity_mantissa, asked.quantity_scale, market.spec.quote_decimals)
        if order.budget <= 0:
            raise Refused(rejects.AMOUNT)
    else:
        order.quantity = lots_of(market, asked.quantity_mantissa, asked.quantity_scale)
    if special is not None and special.display_scale != SCALE_ABSENT:
        order.display = lots_of(market, special.display_mantissa, special.display_scale)
        check_iceberg(order.display, order.quantity)
    check_worth(order, order.price or order.stop)
    if market.state in (PRE_OPEN, AUCTION) and order.kind == MARKET and not trigger:
        order.price = market.band_edge(order.side)
        if not order.price:
            raise Refused(rejects.NO_LAST_PRICE)
        check_worth(order, order.price)
    if trigger and not order.stop:
        raise Refused(rejects.NO_LAST_PRICE)
    stays = trigger or order.can_stay or (order.kind == MARKET and order.price)
    if stays:
        _check_counts(world, market, order.account, 1, 1 if trigger else 0)
    if not trigger:
        _check_book(world, order)
    elif trigger == STOP:
        _check_stop(order)
    if trigger:
        need = order.need_once_elected()
    elif order.kind == MARKET_BUDGET:
        need = order.budget
    elif order.kind == MARKET and order.side == BUY and not order.price:
        need = cost_now(world, order)
    else:
        need = order.need_at(order.price)
    if need > world.available(order.account, order.held_asset):
        raise Refused(rejects.NO_FUNDS)

    world.orders[order.number] = order
    order.set_aside = need
    if trigger:
        wait(world, order)
    accepted(world, order)
    if not trigger:
        run(world, order)
    return order


def place_oco(world: World, asked: PlaceOco) -> ModelOrder:
    """Two orders over the same funds: the larger need is held (rulebook F7)."""
    if asked.side > SELL or asked.self_trade > DECREMENT:
        raise Refused(rejects.MALFORMED)
    market = market_asked(world, asked.market_id, asked.account_id)
    if market.state not in TAKES_ORDERS:
        raise Refused(rejects.MARKET_STATE)

    def leg(number: int, kind: int, time_in_force: int, name: bytes) -> ModelOrder:
        who, how = (asked.account_id, market, asked.side, kind), (time_in_force, 0, asked.self_trade)
        return ModelOrder(number, *who, *how, name, world.now_ns)

    by_market = asked.stop_limit_scale == SCALE_ABSENT
    first = leg(world.sequence, LIMIT, GTC, asked.client_order_id)
    second = leg(
        world.sequence + SECOND_LEG,
        MARKET if by_market else LIMIT,
        IOC if by_market else GTC,
        asked.stop_client_order_id,
    )
    first.linked, second.linked, second.trigger = second.number, first.number, STOP
    first.price = _ticks(market, asked.price_mantissa, asked.price_scale)
    second.stop = _ticks(market, asked.stop_mantissa, asked.stop_scale)
    if not by_market:
        second.price = _ticks(market, asked.stop_limit_mantissa, asked.stop_limit_scale)
    _check_prices([first.price, second.stop, *([] if by_market else [second.price])])
    first.quantity = second.quantity = lots_of(market, asked.quantity_mantissa, asked.quantity_scale)
    check_worth(first, first.price)
    check_worth(second, second.price or second.stop)
    _check_counts(world, market, asked.account_id, 2, 1)
    _check_stop(second)
    _check_book(world, first)
    if max(first.need_at(first.price), second.need_once_elected()) > world.available(
        asked.account_id, first.held_asset
    ):
        raise Refused(rejects.NO_FUNDS)

    world.orders |= {first.number: first, second.number: second}
    wait(world, second)
    accepted(world, first)
    accepted(world, second)
    run(world, first)
    return first


def market_asked(world: World, number: int, account: int) -> ModelMarket:
    """The market that somebody wants to trade in, as a command to it finds it."""
    market = world.markets.get(number)
    if market is None:
        raise Refused(rejects.UNKNOWN_MARKET)
    if world.accounts[account].frozen:
        raise Refused(rejects.ACCOUNT_FROZEN)
    market.reference = market.last_price
    return market


def price_of(market: ModelMarket, mantissa: int, scale: int) -> int:
    price = _ticks(market, mantissa, scale)
    _check_prices([price])
    return price


def lots_of(market: ModelMarket, mantissa: int, scale: int) -> int:
    lots = whole(mantissa, scale, market.spec.base_decimals, market.spec.lot_units)
    if lots <= 0:
        raise Refused(rejects.LOT)
    return lots


def check_iceberg(display: int, quantity: int) -> None:
    if not display < quantity <= 100 * display:
        raise Refused(rejects.ICEBERG)


def check_worth(order: ModelOrder, price: int) -> None:
    """Price times quantity must fit, and for what has a limit or a budget reach the market's minimum."""
    spec = order.market.spec
    if order.kind == MARKET_BUDGET:
        if order.budget < spec.min_notional_units:
            raise Refused(rejects.MIN_NOTIONAL)
        return
    notional = order.quantity * price * spec.notional_units
    if notional > NOTIONAL_MAX:
        raise Refused(rejects.NOTIONAL_TOO_LARGE)
    if order.kind == LIMIT and notional < spec.min_notional_units:
        raise Refused(rejects.MIN_NOTIONAL)


def _options_fit(asked: PlaceOrder | PlaceSpecialOrder) -> bool:
    if asked.side > SELL or asked.order_type > MARKET_BUDGET or asked.self_trade > DECREMENT or asked.post_only > 1:
        return False
    if asked.time_in_force > (DAY if isinstance(asked, PlaceSpecialOrder) else FOK):
        return False
    if asked.order_type == LIMIT:
        return not (asked.post_only and asked.time_in_force in (IOC, FOK))
    if asked.order_type == MARKET_BUDGET and (asked.side == SELL or asked.self_trade == DECREMENT):
        return False
    return asked.price_scale == SCALE_ABSENT and asked.time_in_force != FOK and not asked.post_only


def _special_options_fit(asked: PlaceSpecialOrder) -> bool:
    iceberg = asked.display_scale != SCALE_ABSENT
    plain_market = asked.order_type != LIMIT and not asked.trigger
    return not (
        asked.trigger > TRAIL_BY_PPM
        or (asked.time_in_force == GTD) != (asked.expires_at_ns != 0)
        or (asked.trigger == STOP) != (asked.stop_scale != SCALE_ABSENT)
        or (asked.trigger in (TRAIL_BY_PRICE, TRAIL_BY_PPM)) != (asked.trail_scale != SCALE_ABSENT)
        or (asked.trigger and (asked.post_only or asked.time_in_force == FOK or iceberg))
        or (iceberg and (asked.order_type != LIMIT or asked.time_in_force in (IOC, FOK)))
        or (plain_market and asked.time_in_force in (GTD, DAY))
    )


def _taken_in_state(market: ModelMarket, asked: PlaceOrder | PlaceSpecialOrder, trigger: int) -> bool:
    """The table of states in the rules."""
    if market.state == TRADING:
        return True
    if market.state not in TAKES_ORDERS:
        return False
    if trigger:
        return True
    if asked.order_type == MARKET:
        return market.state == AUCTION and market.rules.auction_market_orders == 1
    return asked.order_type == LIMIT and asked.time_in_force not in (IOC, FOK)


def _check_counts(world: World, market: ModelMarket, account: int, orders: int, stops: int) -> None:
    limits, rules = world.accounts[account].limits, market.rules
    own, here = world.alive(account), orders_in(world, market)
    counts = [
        (limits.open_orders_max, len(own) + orders),
        (rules.open_orders_max, len(here) + orders),
    ]
    if stops:
        counts += [
            (limits.stops_max, sum(order.where == WAITING for order in own) + stops),
            (rules.stops_max, sum(order.where == WAITING for order in here) + stops),
        ]
    if any(most and count > most for most, count in counts):
        raise Refused(rejects.TOO_MANY)


def _read_prices(order: ModelOrder, asked: PlaceOrder | PlaceSpecialOrder) -> None:
    """All prices of an order: one that is none comes before one that is off tick. A trailing stop may have none yet."""
    market, decimals = order.market, {}
    if order.kind == LIMIT:
        decimals["price"] = (asked.price_mantissa, asked.price_scale)
    if isinstance(asked, PlaceSpecialOrder) and order.trigger == STOP:
        decimals["stop"] = (asked.stop_mantissa, asked.stop_scale)
    if isinstance(asked, PlaceSpecialOrder) and order.trigger == TRAIL_BY_PRICE:
        decimals["trail_ticks"] = (asked.trail_mantissa, asked.trail_scale)
    prices = [_ticks(market, *decimal) for decimal in decimals.values()]
    for name, price in zip(decimals, prices, strict=True):
        setattr(order, name, price)
    if isinstance(asked, PlaceSpecialOrder) and order.trigger == TRAIL_BY_PPM:
        order.trail_ppm = whole(asked.trail_mantissa, asked.trail_scale, 4)
        prices += [] if 0 < order.trail_ppm < MILLION else [OUT_OF_RANGE]
    if max(order.trail_ticks, order.trail_ppm) > 0 and market.last_price:
        order.stop = trailing_stop(order, market.last_price)
        prices += [] if 0 < order.stop <= AMOUNT_MAX else [OUT_OF_RANGE]
    _check_prices(prices)


def _ticks(market: ModelMarket, mantissa: int, scale: int) -> int:
    return whole(mantissa, scale, market.spec.quote_decimals, market.spec.tick_units)


def _check_prices(prices: list[int]) -> None:
    if OUT_OF_RANGE in prices:
        raise Refused(rejects.PRICE)
    if BETWEEN in prices:
        raise Refused(rejects.TICK)


def _check_stop(order: ModelOrder) -> None:
    """The last price must not have met it already (rulebook F3)."""
    if order.market.last_price and meets(order, order.market.last_price):
        raise Refused(rejects.STOP_WOULD_TRIGGER)


def _check_book(world: World, order: ModelOrder) -> None:
    if (order.post_only or order.market.state == POST_ONLY) and opposite(world, order):
        raise Refused(rejects.POST_ONLY)
    if order.time_in_force == FOK and rehearse(world, order)[0] < order.quantity:
        raise Refused(rejects.FOK)
    assert order.where == COMING, order
