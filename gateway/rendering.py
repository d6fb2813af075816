"""From engine records to JSON: integers become decimals, numbers become names.

A price is shown with the decimals of its market's tick, a quantity with those of the lot, money with all decimals of
its asset. Every decimal is a string, so that no client reads it through a binary float.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from engine.amounts import POWERS_OF_TEN, format_units, significant_decimals
from engine.events import Event, OrderAccepted, OrderAmended, OrderClosed, OrderReported, TradeExecuted
from engine.types import (
    BUY,
    CLOSE_REASON_NAMES,
    CLOSED_FILLED,
    FILLED,
    LIMIT,
    MARKET_BUDGET,
    NOT_CLOSED,
    NS_PER_S,
    OPEN,
    ORDER_TYPE_NAMES,
    SELF_TRADE_NAMES,
    SIDE_NAMES,
    STATUS_NAMES,
    TIME_IN_FORCE_NAMES,
)

Json = dict[str, Any]

_AVERAGE_PRICE_EXTRA_DECIMALS: Final = 4
_FEE_DECIMALS: Final = 6


class Asset(NamedTuple):
    asset_id: int
    name: str
    decimals: int


class Market(NamedTuple):
    """A listed market as a client sees it. ``price_step`` is the tick in units of its last shown decimal."""

    market_id: int
    name: str
    base: Asset
    quote: Asset
    tick_units: int
    lot_units: int
    notional_units: int
    min_notional_units: int
    maker_fee_ppm: int
    taker_fee_ppm: int
    price_decimals: int
    price_step: int
    quantity_decimals: int
    quantity_step: int
    no_quantity: str
    no_money: str

    def price(self, price_ticks: int) -> str:
        return format_units(price_ticks * self.price_step, self.price_decimals)

    def quantity(self, quantity_lots: int) -> str:
        # Half of the quantities of an order are zero.
        if not quantity_lots:
            return self.no_quantity
        return format_units(quantity_lots * self.quantity_step, self.quantity_decimals)

    def money(self, units: int) -> str:
        """An amount of the quote asset."""
        return format_units(units, self.quote.decimals) if units else self.no_money


def market_of(spec: Json) -> Market:
    """Read one market of the directory that a replica answers."""
    base = Asset(spec["base_asset_id"], spec["base_asset"], spec["base_decimals"])
    quote = Asset(spec["quote_asset_id"], spec["quote_asset"], spec["quote_decimals"])
    price_decimals = significant_decimals(spec["tick_units"], quote.decimals)
    quantity_decimals = significant_decimals(spec["lot_units"], base.decimals)
    return Market(
        market_id=spec["market_id"],
        name=spec["name"],
        base=base,
        quote=quote,
        tick_units=spec["tick_units"],
        lot_units=spec["lot_units"],
        notional_units=spec["notional_units"],
        min_notional_units=spec["min_notional_units"],
        maker_fee_ppm=spec["maker_fee_ppm"],
        taker_fee_ppm=spec["taker_fee_ppm"],
        price_decimals=price_decimals,
        price_step=spec["tick_units"] // POWERS_OF_TEN[quote.decimals - price_decimals],
        quantity_decimals=quantity_decimals,
        quantity_step=spec["lot_units"] // POWERS_OF_TEN[base.decimals - quantity_decimals],
        no_quantity=format_units(0, quantity_decimals),
        no_money=format_units(0, quote.decimals),
    )


def market_body(market: Market) -> Json:
    return {
        "market": market.name,
        "base": market.base.name,
        "quote": market.quote.name,
        "tick": market.price(1),
        "lot": market.quantity(1),
        "min_notional": market.money(market.min_notional_units),
        "maker_fee": format_units(market.maker_fee_ppm, _FEE_DECIMALS),
        "taker_fee": format_units(market.taker_fee_ppm, _FEE_DECIMALS),
    }


def order_body(market: Market, order: OrderReported) -> Json:
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
    }


def reported_order_body(market: Market, order: OrderReported) -> Json:
    """An order as the engine reports it, with what it holds and when it was accepted."""
    body = order_body(market, order)
    held_decimals = market.quote.decimals if order.side == BUY else market.base.decimals
    body["held"] = format_units(order.held_units, held_decimals)
    body["accepted_at"] = timestamp_text(order.accepted_at_ns)
    return body


def order_from_query(fields: Json) -> OrderReported:
    """The record behind an order in a replica's answer, which has the record's fields by name."""
    values = [fields[name] for name in OrderReported._fields]
    return OrderReported(*values)._replace(client_order_id=fields["client_order_id"].encode("ascii"))


def order_after_placement(events: list[Event]) -> OrderReported:
    """The order as it stands after the events of the command that placed it."""
    accepted = events[0]
    assert isinstance(accepted, OrderAccepted), accepted
    order_id = accepted.order_id
    executed_lots = notional_units = fee_units = 0
    closed: OrderClosed | None = None
    for event in events:
        if isinstance(event, TradeExecuted):
            executed_lots += event.quantity_lots
            notional_units += event.notional_units
            fee_units += event.taker_fee_units
        elif isinstance(event, OrderClosed) and event.order_id == order_id:
            closed = event
    if closed is not None:
        status, close_reason, quantity_lots = closed.status, closed.reason, closed.quantity_lots
        prevented_lots, cancelled_lots = closed.prevented_lots, closed.cancelled_lots
    else:
        quantity_lots, prevented_lots, cancelled_lots = accepted.quantity_lots, 0, 0
        filled = executed_lots == quantity_lots
        status, close_reason = (FILLED, CLOSED_FILLED) if filled else (OPEN, NOT_CLOSED)
    return OrderReported(
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
        open_lots=quantity_lots - executed_lots - prevented_lots - cancelled_lots,
        executed_lots=executed_lots,
        prevented_lots=prevented_lots,
        cancelled_lots=cancelled_lots,
        notional_units=notional_units,
        fee_units=fee_units,
        held_units=0,
        accepted_at_ns=0,
        client_order_id=accepted.client_order_id,
    )


def fills_body(market: Market, events: Iterable[Event]) -> list[Json]:
    """The taker's side of each trade of one command."""
    return [
        {
            "trade_id": event.trade_id,
            "price": market.price(event.price_ticks),
            "quantity": market.quantity(event.quantity_lots),
            "notional": market.money(event.notional_units),
            "fee": market.money(event.taker_fee_units),
            "liquidity": "taker",
        }
        for event in events
        if isinstance(event, TradeExecuted)
    ]


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
    traded_lots = sum(event.quantity_lots for event in events if isinstance(event, TradeExecuted))
    for event in events:
        if isinstance(event, OrderClosed) and event.order_id == amended.order_id:
            return closed_order_body(market, event) | {"price": market.price(amended.price_ticks)}
    open_lots = amended.open_lots - traded_lots
    return {
        "order_id": amended.order_id,
        "market": market.name,
        "status": STATUS_NAMES[OPEN if open_lots else FILLED],
        "close_reason": CLOSE_REASON_NAMES[NOT_CLOSED if open_lots else CLOSED_FILLED] or None,
        "quantity": market.quantity(amended.quantity_lots),
        "open": market.quantity(open_lots),
        "executed": market.quantity(amended.quantity_lots - open_lots),
        "prevented": market.quantity(0),
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


def timestamp_text(timestamp_ns: int) -> str:
    """RFC 3339 in UTC with nanoseconds."""
    seconds, nanoseconds = divmod(timestamp_ns, NS_PER_S)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}Z"
