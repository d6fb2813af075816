"""One open order as the events have left it, and what it must hold: the same rules as the engine's, derived again.

Source: docs/rules.md, "What an order holds" and "Fees"; ADR 0003, ADR 0010.
"""

from __future__ import annotations

from operator import attrgetter

from engine.amounts import ceil_div
from engine.events import OrderAccepted
from engine.types import BUY, FEE_SCALE, LIMIT, MARKET, MARKET_BUDGET, NO_TRIGGER, NOT_CLOSED, OPEN, STOP, WAITING
from projections.listings import Market
from projections.moment import EventsDisagree, Moment
from projections.rows import OrderRow


class OpenOrder:
    """The columns of ``orders``, to be changed."""

    __slots__ = OrderRow._fields

    group_id: int
    order_id: int
    account_id: int
    market_id: int
    side: int
    order_type: int
    time_in_force: int
    post_only: int
    self_trade: int
    status: int
    close_reason: int
    price_ticks: int
    quantity_lots: int
    budget_units: int
    open_lots: int
    executed_lots: int
    prevented_lots: int
    cancelled_lots: int
    notional_units: int
    fee_units: int
    fee_overpaid_ppm: int
    held_units: int
    trigger: int
    stop_ticks: int
    trail_ticks: int
    trail_ppm: int
    display_lots: int
    visible_lots: int
    expires_at_ns: int
    linked_order_id: int
    client_order_id: str
    created_sequence: int
    created_index: int
    accepted_at_ns: int
    updated_sequence: int
    updated_index: int
    updated_at_ns: int

    def __init__(self, row: OrderRow) -> None:
        for name, value in zip(row._fields, row, strict=True):
            setattr(self, name, value)

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
    return OpenOrder(
        OrderRow(
            group_id=moment.group_id,
            order_id=event.order_id,
            account_id=event.account_id,
            market_id=event.market_id,
            side=event.side,
            order_type=event.order_type,
            time_in_force=event.time_in_force,
            post_only=event.post_only,
            self_trade=event.self_trade,
            status=OPEN,
            close_reason=NOT_CLOSED,
            price_ticks=event.price_ticks,
            quantity_lots=event.quantity_lots,
            budget_units=event.budget_units,
            open_lots=event.quantity_lots,
            executed_lots=0,
            prevented_lots=0,
            cancelled_lots=0,
            notional_units=0,
            fee_units=0,
            fee_overpaid_ppm=0,
            held_units=0,
            trigger=NO_TRIGGER,
            stop_ticks=0,
            trail_ticks=0,
            trail_ppm=0,
            display_lots=0,
            visible_lots=0,
            expires_at_ns=0,
            linked_order_id=0,
            client_order_id=event.client_order_id.decode(),
            created_sequence=moment.sequence,
            created_index=moment.event_index,
            accepted_at_ns=moment.timestamp_ns,
            updated_sequence=moment.sequence,
            updated_index=moment.event_index,
            updated_at_ns=moment.timestamp_ns,
        )
    )
