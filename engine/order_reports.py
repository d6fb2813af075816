"""What is told of an order whenever somebody asks, and of a special one when it is accepted."""

from __future__ import annotations

from engine.events import Event, OrderConditions, OrderReported
from engine.orders import Order


def reported(order: Order, client_order_id: bytes) -> list[Event]:
    """An order as it stands, and what is special about it."""
    events: list[Event] = [report(order, client_order_id)]
    if is_special(order):
        events.append(conditions(order))
    return events


def is_special(order: Order) -> bool:
    return bool(order.trigger or order.display_lots or order.expires_at_ns or order.linked_order_id)


def conditions(order: Order) -> OrderConditions:
    return OrderConditions(
        order_id=order.order_id,
        account_id=order.account_id,
        market_id=order.market_id,
        trigger=order.trigger,
        display_lots=order.display_lots,
        visible_lots=order.visible_lots if order.level else min(order.display_lots, order.open_lots),
        stop_ticks=order.stop_ticks,
        trail_ticks=order.trail_ticks,
        trail_ppm=order.trail_ppm,
        expires_at_ns=order.expires_at_ns,
        linked_order_id=order.linked_order_id,
    )


def report(order: Order, client_order_id: bytes) -> OrderReported:
    """The order as it stands."""
    return OrderReported(
        order_id=order.order_id,
        account_id=order.account_id,
        market_id=order.market_id,
        side=order.side,
        order_type=order.order_type,
        time_in_force=order.time_in_force,
        post_only=order.post_only,
        self_trade=order.self_trade,
        status=order.status,
        close_reason=order.close_reason,
        price_ticks=order.price_ticks,
        quantity_lots=order.quantity_lots,
        budget_units=order.budget_units,
        open_lots=order.open_lots,
        executed_lots=order.executed_lots,
        prevented_lots=order.prevented_lots,
        cancelled_lots=order.cancelled_lots,
        notional_units=order.notional_units,
        fee_units=order.fee_units,
        held_units=order.held_units,
        accepted_at_ns=order.accepted_at_ns,
        client_order_id=client_order_id,
    )
