"""Orders and trades in words."""

from __future__ import annotations

from engine.events import (
    Event,
    OrderAccepted,
    OrderAmended,
    OrderClosed,
    OrderConditions,
    OrderReplenished,
    OrderReported,
    OrdersCancelled,
    OrderTriggered,
    SelfTradePrevented,
    TradeExecuted,
)
from engine.types import (
    BUY,
    CLOSE_REASON_NAMES,
    DAY,
    FILLED,
    GTD,
    LIMIT,
    MARKET_BUDGET,
    NO_TRIGGER,
    SELF_TRADE_NAMES,
    SIDE_NAMES,
    STATUS_NAMES,
    TIME_IN_FORCE_NAMES,
)
from sim.register import Register, percent


def order_sentence(event: Event, register: Register) -> str | None:
    """None if the event is about something else."""
    match event:
        case OrderAccepted():
            return f"{register.label(event.order_id)} accepted: {_order_text(event, register)}"
        case OrderConditions():
            return f"{register.label(event.order_id)}: {conditions_of(event, register)}"
        case OrderTriggered():
            price = register.markets[event.market_id].price(event.trade_price_ticks)
            return f"{register.label(event.order_id)} is elected by a trade @ {price}"
        case OrderReplenished():
            visible = register.markets[event.market_id].quantity(event.visible_lots)
            return f"{register.label(event.order_id)} shows its next {visible}, at the back"
        case TradeExecuted():
            return _trade_text(event, register)
        case SelfTradePrevented():
            return _prevented_text(event, register)
        case OrderClosed():
            return _closed_text(event, register)
        case OrderAmended():
            return _amended_text(event, register)
        case OrderReported():
            return _reported_text(event, register)
        case OrdersCancelled():
            return f"{counted(event.order_count, 'order')} cancelled"
    return None


def standing_text(
    label: str, status: str, close_reason: str, opened: str, executed: str, notional: str, fee: str, held: str
) -> str:
    """An order as it stands. All numbers are texts: the HTTP API has them as such."""
    reason = "" if status == STATUS_NAMES[FILLED] or not close_reason else f" {close_reason}"
    return f"{label} is {status}{reason}: {opened} open, {executed} executed for {notional}, fee {fee}, holds {held}"


def conditions_text(*, stop: str, trail: str, display: str, visible: str, ends: str, other_leg: str) -> str:
    """What is special about an order. "" where something is not so, and if nothing is."""
    parts = (
        (stop, f"stop {stop}"),
        (trail, f"trail {trail}"),
        (display, f"shows {display} at a time, {visible} now"),
        (ends, f"ends {ends}"),
        (other_leg, f"other leg {other_leg}"),
    )
    return ", ".join(text for value, text in parts if value)


def conditions_of(event: OrderConditions, register: Register) -> str:
    market, order = register.markets[event.market_id], register.orders[event.order_id]
    trail = market.price(event.trail_ticks) if event.trail_ticks else ""
    ends = ""
    if event.expires_at_ns:
        ends = "with the day" if order.time_in_force == DAY else f"in {register.until(event.expires_at_ns)}"
    return conditions_text(
        stop=market.price(event.stop_ticks) if event.trigger != NO_TRIGGER else "",
        trail=percent(event.trail_ppm) if event.trail_ppm else trail,
        display=market.quantity(event.display_lots) if event.display_lots else "",
        visible=market.quantity(event.visible_lots),
        ends=ends,
        other_leg=register.label(event.linked_order_id) if event.linked_order_id else "",
    )


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _order_text(event: OrderAccepted, register: Register) -> str:
    market = register.markets[event.market_id]
    if event.order_type == MARKET_BUDGET:
        what = f"for {market.quote.amount(event.budget_units)} at market"
    elif event.order_type == LIMIT:
        what = f"{market.quantity(event.quantity_lots)} @ {market.price(event.price_ticks)}"
    else:
        what = f"{market.quantity(event.quantity_lots)} at market"
    says_how_long = event.time_in_force and (event.order_type == LIMIT or event.time_in_force >= GTD)
    options = f" {TIME_IN_FORCE_NAMES[event.time_in_force]}" if says_how_long else ""
    options += " post-only" if event.post_only else ""
    options += f" {SELF_TRADE_NAMES[event.self_trade]}" if event.self_trade else ""
    return f"{SIDE_NAMES[event.side]} {what}{options}, holds {register.held(event.order_id, event.held_units)}"


def _trade_text(event: TradeExecuted, register: Register) -> str:
    market = register.markets[event.market_id]
    taker = f"{register.label(event.taker_order_id)} ({market.quantity(event.taker_open_lots)} open)"
    maker = f"{register.label(event.maker_order_id)} ({market.quantity(event.maker_open_lots)} open)"
    amount = market.quote.amount(event.notional_units)
    text = f"trade {market.quantity(event.quantity_lots)} @ {market.price(event.price_ticks)} = {amount}: "
    text += f"{taker} {'from' if event.taker_side == BUY else 'to'} {maker}"
    if market.has_fees:
        taker_fee, maker_fee = market.quote.amount(event.taker_fee_units), market.quote.amount(event.maker_fee_units)
        text += f", taker fee {taker_fee}, maker fee {maker_fee}"
    return text


def _prevented_text(event: SelfTradePrevented, register: Register) -> str:
    market = register.markets[event.market_id]
    taker = f"{register.label(event.taker_order_id)} ({market.quantity(event.taker_open_lots)} open)"
    maker = f"{register.label(event.maker_order_id)} ({market.quantity(event.maker_open_lots)} open)"
    return f"prevented {market.quantity(event.quantity_lots)}: {taker} with {maker}"


def _closed_text(event: OrderClosed, register: Register) -> str:
    market = register.markets[event.market_id]
    parts = ", ".join(
        f"{market.quantity(lots)} {name}"
        for lots, name in (
            (event.executed_lots, "executed"),
            (event.prevented_lots, "prevented"),
            (event.cancelled_lots, "cancelled"),
        )
        if lots
    )
    freed = register.held(event.order_id, event.released_units)
    outcome = f"{STATUS_NAMES[event.status]} {CLOSE_REASON_NAMES[event.reason]}"
    return f"{register.label(event.order_id)} {outcome}: {parts or 'nothing executed'}, frees {freed}"


def _amended_text(event: OrderAmended, register: Register) -> str:
    market = register.markets[event.market_id]
    place = "keeps its place" if event.kept_place else "goes to the back"
    return (
        f"{register.label(event.order_id)} amended: {market.quantity(event.quantity_lots)} @ "
        f"{market.price(event.price_ticks)}, {market.quantity(event.open_lots)} open, {place}, "
        f"holds {register.held(event.order_id, event.held_units)}"
    )


def _reported_text(event: OrderReported, register: Register) -> str:
    market = register.markets[event.market_id]
    return standing_text(
        register.label(event.order_id),
        STATUS_NAMES[event.status],
        CLOSE_REASON_NAMES[event.close_reason],
        market.quantity(event.open_lots),
        market.quantity(event.executed_lots),
        market.quote.amount(event.notional_units),
        market.quote.amount(event.fee_units),
        register.held(event.order_id, event.held_units),
    )
