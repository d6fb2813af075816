"""What becomes of single orders: they rest, trade, shrink, close and take another along; and how they are told."""

from __future__ import annotations

from engine.events import (
    Event,
    OrderAccepted,
    OrderClosed,
    OrderConditions,
    OrderReplenished,
    OrderReported,
    SelfTradePrevented,
    TradeExecuted,
)
from engine.types import (
    BUY,
    CANCELLED,
    CLOSED_BUDGET_SPENT,
    CLOSED_FILLED,
    CLOSED_OTHER_LEG,
    CLOSED_SELF_TRADE,
    FILLED,
    LIMIT,
    MARKET_BUDGET,
    NS_PER_DAY,
    OPEN,
)
from engine.types import WAITING as STATUS_WAITING
from tests.engine.model_world import GONE, RESTING, WAITING, ModelMarket, ModelOrder, World


def rest(world: World, order: ModelOrder) -> None:
    """To the back of the queue of its price; an iceberg with a new slice."""
    order.where, order.place = RESTING, world.next_place()
    order.slice = min(order.display, order.open)


def wait(world: World, order: ModelOrder) -> None:
    order.where, order.place = WAITING, world.next_place()


def trade(world: World, maker: ModelOrder, taker: ModelOrder, price: int, lots: int) -> None:
    market, spec = maker.market, maker.market.spec
    notional = lots * price * spec.notional_units
    other_needs = [_other_need(world, order) for order in (maker, taker)]
    rates = [world.rates(market, maker.account)[0], world.rates(market, taker.account)[1]]
    fees = []
    for order, rate_ppm in zip((maker, taker), rates, strict=True):
        fee_before = order.fee
        order.fills.append((lots, notional, rate_ppm))
        fees.append(order.fee - fee_before)
        sign = 1 if order.side == BUY else -1
        world.move(order.account, spec.base_asset_id, sign * lots * spec.lot_units)
        world.move(order.account, spec.quote_asset_id, -sign * notional - fees[-1])
        world.move(0, spec.quote_asset_id, fees[-1])
        world.traded.append((world.now_ns // NS_PER_DAY, order.account, spec.quote_asset_id, notional))
    market.last_price = price
    market.prices.append(price)
    if taker.kind == MARKET_BUDGET:
        taker.quantity = taker.executed
    replenished = [order for order in (maker, taker) if _take_from_queue(world, order, lots)]
    world.trade_count += 1
    world.tell(
        TradeExecuted(
            trade_id=world.trade_count,
            market_id=market.number,
            taker_side=taker.side,
            price_ticks=price,
            quantity_lots=lots,
            notional_units=notional,
            maker_order_id=maker.number,
            taker_order_id=taker.number,
            maker_account_id=maker.account,
            taker_account_id=taker.account,
            maker_fee_units=fees[0],
            taker_fee_units=fees[1],
            maker_open_lots=maker.open,
            taker_open_lots=taker.open,
        )
    )
    for order in replenished:
        world.tell(_replenished(order))
    for order, released in zip((maker, taker), other_needs, strict=True):
        _close_other_leg(world, order, released)


def decrement(world: World, maker: ModelOrder, taker: ModelOrder, lots: int) -> None:
    """Both shrink; whoever has nothing left is closed (rulebook C4)."""
    other_needs = [_other_need(world, order) for order in (maker, taker)]
    released = world.need(maker)
    maker.prevented += lots
    taker.prevented += lots
    replenished = maker.open > 0 and _take_from_queue(world, maker, lots)
    world.tell(
        SelfTradePrevented(
            market_id=maker.market.number,
            account_id=maker.account,
            maker_order_id=maker.number,
            taker_order_id=taker.number,
            quantity_lots=lots,
            maker_open_lots=maker.open,
            taker_open_lots=taker.open,
        )
    )
    if replenished:
        world.tell(_replenished(maker))
    for order, other_need in zip((maker, taker), other_needs, strict=True):
        if not order.open:
            close(
                world,
                order,
                CLOSED_SELF_TRADE,
                released=released if order is maker else world.need(taker),
                other_need=other_need,
            )
        else:
            _close_other_leg(world, order, other_need)


def close(
    world: World, order: ModelOrder, reason: int, *, released: int | None = None, other_need: int | None = None
) -> None:
    """End an order with whatever is open of it, and its other leg with it."""
    if released is None:
        released = world.need(order)
    if other_need is None:
        other_need = _other_need(world, order)
    if reason == CLOSED_SELF_TRADE:
        order.prevented += order.open
    else:
        order.cancelled += order.open
    order.where, order.closed = GONE, reason
    world.tell(
        OrderClosed(
            order_id=order.number,
            account_id=order.account,
            market_id=order.market.number,
            status=status_of(order),
            reason=reason,
            quantity_lots=order.quantity,
            executed_lots=order.executed,
            prevented_lots=order.prevented,
            cancelled_lots=order.cancelled,
            released_units=released,
        )
    )
    if reason != CLOSED_OTHER_LEG:
        _close_other_leg(world, order, other_need)


def close_other_leg(world: World, order: ModelOrder) -> None:
    _close_other_leg(world, order, _other_need(world, order))


def status_of(order: ModelOrder) -> int:
    if order.where != GONE:
        return STATUS_WAITING if order.where == WAITING else OPEN
    filled = order.closed == CLOSED_FILLED or (order.closed == CLOSED_BUDGET_SPENT and order.executed)
    return FILLED if filled else CANCELLED


def accepted(world: World, order: ModelOrder) -> None:
    """Tell that it was accepted, and what is special about it."""
    world.tell(
        OrderAccepted(
            order_id=order.number,
            account_id=order.account,
            market_id=order.market.number,
            side=order.side,
            order_type=order.kind,
            time_in_force=order.time_in_force,
            post_only=order.post_only,
            self_trade=order.self_trade,
            price_ticks=order.price,
            quantity_lots=order.quantity,
            budget_units=order.budget,
            held_units=world.need(order),
            client_order_id=order.name,
        )
    )
    if _is_special(order):
        world.tell(conditions(order))


def reported(world: World, order: ModelOrder) -> list[Event]:
    return [report(world, order), conditions(order)] if _is_special(order) else [report(world, order)]


def report(world: World, order: ModelOrder) -> OrderReported:
    return OrderReported(
        order_id=order.number,
        account_id=order.account,
        market_id=order.market.number,
        side=order.side,
        order_type=order.kind,
        time_in_force=order.time_in_force,
        post_only=order.post_only,
        self_trade=order.self_trade,
        status=status_of(order),
        close_reason=order.closed,
        price_ticks=order.price,
        quantity_lots=order.quantity,
        budget_units=order.budget,
        open_lots=order.open,
        executed_lots=order.executed,
        prevented_lots=order.prevented,
        cancelled_lots=order.cancelled,
        notional_units=order.notional,
        fee_units=order.fee,
        held_units=world.need(order),
        accepted_at_ns=order.accepted_at_ns,
        client_order_id=order.name,
    )


def conditions(order: ModelOrder) -> OrderConditions:
    return OrderConditions(
        order_id=order.number,
        account_id=order.account,
        market_id=order.market.number,
        trigger=order.trigger,
        display_lots=order.display,
        visible_lots=order.slice if order.where == RESTING else min(order.display, order.open),
        stop_ticks=order.stop,
        trail_ticks=order.trail_ticks,
        trail_ppm=order.trail_ppm,
        expires_at_ns=order.expires_at_ns,
        linked_order_id=order.linked,
    )


def _is_special(order: ModelOrder) -> bool:
    return bool(order.trigger or order.display or order.expires_at_ns or order.linked)


def _replenished(order: ModelOrder) -> OrderReplenished:
    return OrderReplenished(order.number, order.account, order.market.number, order.slice)


def _take_from_queue(world: World, order: ModelOrder, lots: int) -> bool:
    """What a trade does to a resting order. Answers whether an iceberg shows its next slice now."""
    if order.where != RESTING:
        return False
    if not order.open:
        order.where, order.closed = GONE, CLOSED_FILLED
        return False
    if not order.display:
        return False
    order.slice -= lots
    if order.slice > 0:
        return False
    rest(world, order)
    return True


def _other_leg(world: World, order: ModelOrder) -> ModelOrder | None:
    other = world.orders.get(order.linked)
    return other if other is not None and other.is_alive else None


def _other_need(world: World, order: ModelOrder) -> int:
    other = _other_leg(world, order)
    return 0 if other is None else world.need(other)


def _close_other_leg(world: World, order: ModelOrder, released: int) -> None:
    other = _other_leg(world, order)
    if other is not None:
        close(world, other, CLOSED_OTHER_LEG, released=released)


def is_better_or_equal(order: ModelOrder, price: int) -> bool:
    """Would the order itself trade at this price?"""
    if order.kind != LIMIT:
        return True
    return order.price >= price if order.side == BUY else order.price <= price


def opposite(world: World, order: ModelOrder) -> list[ModelOrder]:
    """What stands at its limit or better on the other side, in the order in which it trades."""
    queue = world.queue(order.market, 1 - order.side)
    return [maker for maker in queue if is_better_or_equal(order, maker.price)]


def orders_in(world: World, market: ModelMarket) -> list[ModelOrder]:
    return [order for order in world.alive() if order.market is market]
