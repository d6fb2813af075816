"""One open order as the events have left it, and what it must hold: the same rules as the engine's, derived again.

Source: docs/rules.md, "What an order holds" and "Fees"; ADR 0003, ADR 0010.
"""

from __future__ import annotations

from operator import attrgetter

from engine.amounts import ceil_div
from engine.events import OrderAccepted
from engine.types import BUY, FEE_SCALE, LIMIT, MARKET, MARKET_BUDGET, NO_TRIGGER, OPEN, STOP, WAITING
from projections.listings import Market
from projections.moment import EventsDisagree, Moment
from projections.rows import OrderRow


class OpenOrder:
    """The columns of ``orders``, to be changed. What is not said of a new order is 0: open, and nothing special."""

    group_id = 0
    order_id = 0
    account_id = 0
    market_id = 0
    side = 0
    order_type = 0
    time_in_force = 0
    post_only = 0
    self_trade = 0
    status = 0
    close_reason = 0
    price_ticks = 0
    quantity_lots = 0
    budget_units = 0
    open_lots = 0
    executed_lots = 0
    prevented_lots = 0
    cancelled_lots = 0
    notional_units = 0
    fee_units = 0
    fee_overpaid_ppm = 0
    held_units = 0
    trigger = 0
    stop_ticks = 0
    trail_ticks = 0
    trail_ppm = 0
    display_lots = 0
    visible_lots = 0
    expires_at_ns = 0
    linked_order_id = 0
    created_sequence = 0
    created_index = 0
    accepted_at_ns = 0
    updated_sequence = 0
    updated_index = 0
    updated_at_ns = 0
    client_order_id = ""

    @classmethod
    def of_row(cls, row: OrderRow) -> OpenOrder:
        order = cls()
        for name, value in zip(row._fields, row, strict=True):
            setattr(order, name, value)
        return order

    def as_row(self) -> OrderRow:
        return OrderRow._make(_VALUES(self))

    @property
    def is_elected(self) -> bool:
        """Was it a stop that a trade has elected?"""
        return self.trigger != NO_TRIGGER and self.status != WAITING

    @property
    def trails(self) -> bool:
        """Does it wait at a stop price that follows the market?"""
        return self.status == WAITING and self.trigger != STOP

    def held_asset_id(self, market: Market) -> int:
        return market.quote_asset_id if self.side == BUY else market.base_asset_id

    def need_units(self, market: Market) -> int:
        """What it must hold while it rests or waits.

        Of orders that execute without a price (at market, by budget) nobody asks that: they end within their command,
        and what they hold until then is what is left of it.
        """
        price_ticks = self.price_ticks
        if self.status == WAITING:
            if self.order_type == MARKET_BUDGET:
                return self.budget_units
            price_ticks = self.price_ticks if self.order_type == LIMIT else self.stop_ticks
        if self.side != BUY:
            return self.open_lots * market.lot_units
        notional_units = self.open_lots * price_ticks * market.notional_units
        fee_ppm = notional_units * market.worst_fee_ppm - self.fee_overpaid_ppm
        return notional_units + max(0, ceil_div(fee_ppm, FEE_SCALE))

    def has_a_price(self) -> bool:
        """Can it rest? A market order has a price in an auction only."""
        return self.order_type == LIMIT or (self.order_type == MARKET and self.price_ticks != 0)

    def is_filled(self) -> bool:
        """Nothing is open after a trade. An order by budget says itself when it is done."""
        return not self.open_lots and self.order_type != MARKET_BUDGET

    def pay(self, notional_units: int, fee_units: int, fee_ppm: int, moment: Moment) -> None:
        """Count what a trade was worth and its fee: the exact fee of the whole order so far, rounded up once."""
        overpaid_ppm = self.fee_overpaid_ppm + fee_units * FEE_SCALE - notional_units * fee_ppm
        if not 0 <= overpaid_ppm < FEE_SCALE:
            raise EventsDisagree(
                f"{moment}: order {self.order_id} paid a fee of {fee_units} for {notional_units} at {fee_ppm} ppm"
            )
        self.fee_overpaid_ppm = overpaid_ppm
        self.fee_units += fee_units
        self.notional_units += notional_units

    def shown_lots(self) -> int:
        """What the book shows of it between two commands; 0 if it is not in the book."""
        if self.status != OPEN or not self.price_ticks:
            return 0
        return self.visible_lots if self.display_lots else self.open_lots


_VALUES = attrgetter(*OrderRow._fields)


def accepted(event: OrderAccepted, moment: Moment) -> OpenOrder:
    order = OpenOrder()
    order.group_id = moment.group_id
    order.order_id = event.order_id
    order.account_id = event.account_id
    order.market_id = event.market_id
    order.side = event.side
    order.order_type = event.order_type
    order.time_in_force = event.time_in_force
    order.post_only = event.post_only
    order.self_trade = event.self_trade
    order.price_ticks = event.price_ticks
    order.quantity_lots = order.open_lots = event.quantity_lots
    order.budget_units = event.budget_units
    order.client_order_id = event.client_order_id.decode()
    order.created_sequence = order.updated_sequence = moment.sequence
    order.created_index = order.updated_index = moment.event_index
    order.accepted_at_ns = order.updated_at_ns = moment.timestamp_ns
    return order
