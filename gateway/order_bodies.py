"""Orders as JSON: from the events of a command, and from what a replica tells of an order.

An order is an ``OrderReported`` (what every order has) and, if anything about it is special, ``OrderConditions``.
The events of one command tell of more orders than the one that was placed: its trades may elect stops, and the orders
that these trade with, its own included. So an order's part of the events is found by its number.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple, TypeVar

from engine.amounts import POWERS_OF_TEN, format_units
from engine.events import (
    Event,
    OrderAccepted,
    OrderAmended,
    OrderClosed,
    OrderConditions,
    OrderReplenished,
    OrderReported,
    OrderTriggered,
    SelfTradePrevented,
    TradeExecuted,
)
from engine.types import (
    BUY,
    CLOSE_REASON_NAMES,
    CLOSED_FILLED,
    FILLED,
    LIMIT,
    MARKET_BUDGET,
    NOT_CLOSED,
    OPEN,
    ORDER_TYPE_NAMES,
    SELF_TRADE_NAMES,
    SIDE_NAMES,
    STATUS_NAMES,
    TIME_IN_FORCE_NAMES,
    WAITING,
)
from gateway.rendering import Json, Market, optional_timestamp_text, timestamp_text

_AVERAGE_PRICE_EXTRA_DECIMALS: Final = 4
_PER_CENT_DECIMALS: Final = 4  # of parts per million
_NOTHING_SPECIAL: Final = dict.fromkeys(
    ("stop_price", "trail", "trail_percent", "display", "visible", "expires_at", "linked_order_id")
)


class OrderFacts(NamedTuple):
    """An order as it stands; ``conditions`` is None if nothing about it is special."""

    order: OrderReported
    conditions: OrderConditions | None


def order_body(market: Market, facts: OrderFacts) -> Json:
    order, conditions = facts
    by_budget = order.order_type == MARKET_BUDGET
    return {
        "order_id": order.order_id,
        "client_order_id": order.client_order_id.decode("ascii"),
        "market": market.name,
        "side": SIDE_NAMES[order.side],
        "type": ORDER_TYPE_NAMES[order.order_type],
        "time_in_force": TIME_IN_FORCE_NAMES[order.time_in_force],
        "post_only": bool(order.post_only),
        "self_trade": SELF_TRADE_NAMES[order.self_trade],
        "status": STATUS_NAMES[order.status],
        "close_reason": CLOSE_REASON_NAMES[order.close_reason] or None,
        "price": market.price(order.price_ticks) if order.order_type == LIMIT else None,
        "quantity": market.quantity(order.quantity_lots),
        "budget": market.money(order.budget_units) if by_budget else None,
        "open": market.quantity(order.open_lots),
        "executed": market.quantity(order.executed_lots),
        "prevented": market.quantity(order.prevented_lots),
        "cancelled": market.quantity(order.cancelled_lots),
        "notional": market.money(order.notional_units),
        "fee": market.money(order.fee_units),
        "average_price": average_price(market, order.executed_lots, order.notional_units),
        **(_NOTHING_SPECIAL if conditions is None else _conditions_body(market, conditions)),
    }


def reported_order_body(market: Market, facts: OrderFacts) -> Json:
    """An order as the engine reports it, with what it holds and when it was accepted."""
    order = facts.order
    body = order_body(market, facts)
    held_decimals = market.quote.decimals if order.side == BUY else market.base.decimals
    body["held"] = format_units(order.held_units, held_decimals)
    body["accepted_at"] = timestamp_text(order.accepted_at_ns)
    return body


def facts_from_query(fields: Json) -> OrderFacts:
    """The records behind an order in a replica's answer, which has the fields of both by name."""
    values = [fields[name] for name in OrderReported._fields]
    order = OrderReported(*values)._replace(client_order_id=fields["client_order_id"].encode("ascii"))
    return OrderFacts(order, OrderConditions(*(fields[name] for name in OrderConditions._fields)))


def facts_reported(events: Iterable[Event], order_id: int) -> OrderFacts | None:
    """What a repeat tells of the order. None if the exchange does not keep it any more."""
    order = _about(OrderReported, events, order_id)
    return None if order is None else OrderFacts(order, _about(OrderConditions, events, order_id))


def facts_after_placement(events: list[Event], order_id: int) -> OrderFacts:
    """The order as it stands after the events of the command that placed it."""
    accepted = _about(OrderAccepted, events, order_id)
    assert accepted is not None, order_id
    executed_lots, notional_units, fee_units = _traded(events, order_id)
    conditions = _about(OrderConditions, events, order_id)
    closed = _about(OrderClosed, events, order_id)
    if closed is not None:
        status, close_reason, quantity_lots = closed.status, closed.reason, closed.quantity_lots
        prevented_lots, cancelled_lots = closed.prevented_lots, closed.cancelled_lots
    else:
        quantity_lots, prevented_lots, cancelled_lots = accepted.quantity_lots, _prevented_lots(events, order_id), 0
        status, close_reason = OPEN, NOT_CLOSED
        if 0 < executed_lots == quantity_lots - prevented_lots:
            status, close_reason = FILLED, CLOSED_FILLED
        elif conditions is not None and conditions.trigger and _about(OrderTriggered, events, order_id) is None:
            status = WAITING
    open_lots = quantity_lots - executed_lots - prevented_lots - cancelled_lots
    if conditions is not None and conditions.display_lots:
        conditions = conditions._replace(visible_lots=_visible_lots(events, conditions, open_lots))
    order = OrderReported(
        order_id=order_id,
        account_id=accepted.account_id,
        market_id=accepted.market_id,
        side=accepted.side,
        order_type=accepted.order_type,
        time_in_force=accepted.time_in_force,
        post_only=accepted.post_only,
        self_trade=accepted.self_trade,
        status=status,
        close_reason=close_reason,
        price_ticks=accepted.price_ticks,
        quantity_lots=quantity_lots,
        budget_units=accepted.budget_units,
        open_lots=open_lots,
        executed_lots=executed_lots,
        prevented_lots=prevented_lots,
        cancelled_lots=cancelled_lots,
        notional_units=notional_units,
        fee_units=fee_units,
        held_units=0,
        accepted_at_ns=0,
        client_order_id=accepted.client_order_id,
    )
    return OrderFacts(order, conditions)


def fills_body(market: Market, events: Iterable[Event], order_id: int) -> list[Json]:
    """The order's side of each of its trades. It is their maker where a stop that it elected traded with it."""
    fills = []
    for event in events:
        if isinstance(event, TradeExecuted) and order_id in (event.taker_order_id, event.maker_order_id):
            takes = event.taker_order_id == order_id
            fills.append(
                {
                    "trade_id": event.trade_id,
                    "price": market.price(event.price_ticks),
                    "quantity": market.quantity(event.quantity_lots),
                    "notional": market.money(event.notional_units),
                    "fee": market.money(event.taker_fee_units if takes else event.maker_fee_units),
                    "liquidity": "taker" if takes else "maker",
                }
            )
    return fills


def closed_order_body(market: Market, closed: OrderClosed) -> Json:
    return {
        "order_id": closed.order_id,
        "market": market.name,
        "status": STATUS_NAMES[closed.status],
        "close_reason": CLOSE_REASON_NAMES[closed.reason],
        "quantity": market.quantity(closed.quantity_lots),
        "open": market.quantity(0),
        "executed": market.quantity(closed.executed_lots),
        "prevented": market.quantity(closed.prevented_lots),
        "cancelled": market.quantity(closed.cancelled_lots),
    }


def amended_order_body(market: Market, events: list[Event]) -> Json:
    """An order after the events of its amendment: what the events tell, no more."""
    amended = events[0]
    assert isinstance(amended, OrderAmended), amended
    order_id = amended.order_id
    closed = _about(OrderClosed, events, order_id)
    if closed is not None:
        return closed_order_body(market, closed) | {"price": market.price(amended.price_ticks)}
    prevented_lots = _prevented_lots(events, order_id)
    open_lots = amended.open_lots - _traded(events, order_id)[0] - prevented_lots
    return {
        "order_id": order_id,
        "market": market.name,
        "status": STATUS_NAMES[OPEN if open_lots else FILLED],
        "close_reason": CLOSE_REASON_NAMES[NOT_CLOSED if open_lots else CLOSED_FILLED] or None,
        "quantity": market.quantity(amended.quantity_lots),
        "open": market.quantity(open_lots),
        "executed": market.quantity(amended.quantity_lots - open_lots - prevented_lots),
        "prevented": market.quantity(prevented_lots),
        "cancelled": market.quantity(0),
        "price": market.price(amended.price_ticks),
    }


def average_price(market: Market, executed_lots: int, notional_units: int) -> str | None:
    """Notional by quantity, rounded half up to four decimals more than the tick's; zeros beyond the tick's are cut."""
    if not executed_lots:
        return None
    extra = POWERS_OF_TEN[_AVERAGE_PRICE_EXTRA_DECIMALS]
    ticks_denominator = executed_lots * market.notional_units
    scaled = (2 * notional_units * market.price_step * extra + ticks_denominator) // (2 * ticks_denominator)
    decimals = market.price_decimals + _AVERAGE_PRICE_EXTRA_DECIMALS
    while decimals > market.price_decimals and scaled % 10 == 0:
        scaled //= 10
        decimals -= 1
    return format_units(scaled, decimals)


_Told = TypeVar("_Told", OrderAccepted, OrderClosed, OrderConditions, OrderReported, OrderTriggered)


def _about(kind: type[_Told], events: Iterable[Event], order_id: int) -> _Told | None:
    """The first event of this kind about the order."""
    for event in events:
        if isinstance(event, kind) and event.order_id == order_id:
            return event
    return None


def _traded(events: Iterable[Event], order_id: int) -> tuple[int, int, int]:
    """What the order executed, what that came to, and its fees."""
    executed_lots = notional_units = fee_units = 0
    for event in events:
        if isinstance(event, TradeExecuted) and order_id in (event.taker_order_id, event.maker_order_id):
            executed_lots += event.quantity_lots
            notional_units += event.notional_units
            fee_units += event.taker_fee_units if event.taker_order_id == order_id else event.maker_fee_units
    return executed_lots, notional_units, fee_units


def _prevented_lots(events: Iterable[Event], order_id: int) -> int:
    return sum(
        event.quantity_lots
        for event in events
        if isinstance(event, SelfTradePrevented) and order_id in (event.taker_order_id, event.maker_order_id)
    )


def _visible_lots(events: Iterable[Event], conditions: OrderConditions, open_lots: int) -> int:
    """What the book shows of an iceberg after its first command, in which it may have been a maker already."""
    visible_lots = conditions.display_lots
    for event in events:
        if isinstance(event, OrderReplenished) and event.order_id == conditions.order_id:
            visible_lots = event.visible_lots
        elif isinstance(event, TradeExecuted | SelfTradePrevented) and event.maker_order_id == conditions.order_id:
            visible_lots -= event.quantity_lots
    return min(visible_lots, open_lots)


def _conditions_body(market: Market, conditions: OrderConditions) -> Json:
    return {
        "stop_price": market.price(conditions.stop_ticks) if conditions.stop_ticks else None,
        "trail": market.price(conditions.trail_ticks) if conditions.trail_ticks else None,
        "trail_percent": format_units(conditions.trail_ppm, _PER_CENT_DECIMALS) if conditions.trail_ppm else None,
        "display": market.quantity(conditions.display_lots) if conditions.display_lots else None,
        "visible": market.quantity(conditions.visible_lots) if conditions.display_lots else None,
        "expires_at": optional_timestamp_text(conditions.expires_at_ns),
        "linked_order_id": conditions.linked_order_id or None,
    }
