"""The orders of a group: one row each, from acceptance to end, and what they hold in the ledger.

An order is accepted whole; trades, self-trade prevention, amendments and its end follow as events. What it holds is
told when it is accepted, amended and closed, and derived in between (``projections.open_order``); the two are compared
wherever both are there.
"""

from __future__ import annotations

from collections.abc import Iterable

from engine.events import (
    AuctionUncrossed,
    MarketStateChanged,
    OrderAccepted,
    OrderAmended,
    OrderClosed,
    OrderConditions,
    OrderReplenished,
    OrderTriggered,
    SelfTradePrevented,
    TradeExecuted,
)
from engine.types import (
    BUY,
    BY_PRICE_BAND,
    CLOSED_FILLED,
    CLOSED_OTHER_LEG,
    EXCHANGE_ACCOUNT,
    FILLED,
    LIMIT,
    MARKET_BUDGET,
    OPEN,
    TRADING,
    WAITING,
)
from projections.kinds import LINE_FEE, LINE_ORDER, LINE_TRADE
from projections.ledger import Ledger
from projections.listings import Listings, Market
from projections.moment import EventsDisagree, Moment
from projections.open_order import OpenOrder, accepted
from projections.rows import OrderRow
from projections.trailing import TrailingStops
from projections.volumes import Volumes


class Orders:
    """Owns the open orders. ``touched`` are those that changed since they were last taken, closed ones too."""

    def __init__(self, moment: Moment, listings: Listings, ledger: Ledger, volumes: Volumes) -> None:
        self._moment = moment
        self._listings = listings
        self._ledger = ledger
        self._volumes = volumes
        self._open: dict[int, OpenOrder] = {}
        self.touched: dict[int, OpenOrder] = {}
        self._incoming = 0  # the order that came last: until it rests, its trades take nothing off what it will show
        self._trailing: dict[int, TrailingStops] = {}  # by market
        # Markets in which this command traded, or which it opened; and those of which the sweep is not followed yet.
        self._stirred: dict[int, TrailingStops] = {}
        self._swept: dict[int, Market] = {}

    def restore(self, rows: Iterable[OrderRow]) -> None:
        for row in rows:
            order = OpenOrder.of_row(row)
            self._open[order.order_id] = order
            if order.trails:
                self._trailing_in(order.market_id).add(order)

    def open_orders(self) -> Iterable[OpenOrder]:
        return self._open.values()

    def on_accepted(self, event: OrderAccepted) -> None:
        order = accepted(event, self._moment)
        if order.order_id in self._open:
            raise EventsDisagree(f"{self._moment}: order {order.order_id} is accepted a second time")
        self._open[order.order_id] = self.touched[order.order_id] = order
        self._incoming = order.order_id
        self._hold(order, event.held_units)

    def on_conditions(self, event: OrderConditions) -> None:
        order = self._touch(event.order_id)
        order.trigger = event.trigger
        order.display_lots = event.display_lots
        order.visible_lots = event.visible_lots
        order.stop_ticks = event.stop_ticks
        order.trail_ticks = event.trail_ticks
        order.trail_ppm = event.trail_ppm
        order.expires_at_ns = event.expires_at_ns
        order.linked_order_id = event.linked_order_id
        if event.trigger:
            order.status = WAITING
            if order.trails:
                self._trailing_in(order.market_id).add(order)

    def on_trade(self, event: TradeExecuted) -> None:
        market = self._listings.market(event.market_id)
        maker, taker = self._touch(event.maker_order_id), self._touch(event.taker_order_id)
        if event.notional_units != event.price_ticks * event.quantity_lots * market.notional_units:
            raise EventsDisagree(f"{self._moment}: trade {event.trade_id} is not worth its price times its quantity")
        self._pay(maker, market, event, event.maker_fee_units, taker=False)
        self._pay(taker, market, event, event.taker_fee_units, taker=True)
        if taker.side == BUY:
            self._settle(event, market, taker, event.taker_fee_units, maker, event.maker_fee_units)
        else:
            self._settle(event, market, maker, event.maker_fee_units, taker, event.taker_fee_units)
        for order in (maker, taker):
            self._volumes.add(order.account_id, market.quote_asset_id, event.notional_units)
            if order.is_filled():
                self._end(order, FILLED, CLOSED_FILLED)
        market.last_price_ticks = event.price_ticks
        self._listings.note(market)
        self._stir(market).on_trade(event.price_ticks)

    def on_prevented(self, event: SelfTradePrevented) -> None:
        market = self._listings.market(event.market_id)
        maker, taker = self._touch(event.maker_order_id), self._touch(event.taker_order_id)
        for order, open_lots in ((maker, event.maker_open_lots), (taker, event.taker_open_lots)):
            order.prevented_lots += event.quantity_lots
            self._reduce(order, event.quantity_lots)
            self._compare_open(order, open_lots)
            # A maker that has nothing left keeps its hold until it is closed, a moment later.
            if order.has_a_price() and (order is taker or order.open_lots):
                self._hold(order, order.need_units(market))

    def on_replenished(self, event: OrderReplenished) -> None:
        self._touch(event.order_id).visible_lots = event.visible_lots

    def on_amended(self, event: OrderAmended) -> None:
        order = self._touch(event.order_id)
        order.price_ticks = event.price_ticks
        order.quantity_lots = event.quantity_lots
        order.open_lots = event.open_lots
        if event.kept_place:
            order.visible_lots = min(order.visible_lots, order.open_lots)
            self._incoming = 0
        else:
            order.visible_lots = min(order.display_lots, order.open_lots)
            self._incoming = order.order_id
        self._hold(order, event.held_units)

    def on_triggered(self, event: OrderTriggered) -> None:
        self._follow_sweeps()
        order = self._touch(event.order_id)
        if order.trails:
            self._trailing_in(order.market_id).discard(order)
        order.status = OPEN
        self._incoming = order.order_id

    def on_closed(self, event: OrderClosed) -> None:
        order = self._touch(event.order_id)
        if order.trails:
            self._trailing_in(order.market_id).discard(order)
        # What an elected stop at market held while it executed is its own affair: it began and ends in one command.
        if order.held_units != event.released_units and not (order.is_elected and order.order_type != LIMIT):
            raise EventsDisagree(
                f"{self._moment}: order {order.order_id} frees {event.released_units} units, "
                f"and held {order.held_units}"
            )
        order.quantity_lots = event.quantity_lots
        order.executed_lots = event.executed_lots
        order.prevented_lots = event.prevented_lots
        order.cancelled_lots = event.cancelled_lots
        self._hold(order, 0)
        self._end(order, event.status, event.reason)
        if event.reason == CLOSED_OTHER_LEG:
            self._hold_alone(order.linked_order_id)

    def on_uncrossed(self, event: AuctionUncrossed) -> None:
        self._incoming = 0  # everybody rests

    def on_state(self, event: MarketStateChanged) -> None:
        """The market's state. A price band that was reached cuts a sweep short; else what was before is over."""
        market = self._listings.market(event.market_id)
        if event.cause != BY_PRICE_BAND:
            self.end_command()
        market.state = event.state
        self._listings.note(market)
        if event.state == TRADING:
            self._stir(market).on_opening()

    def end_command(self) -> None:
        """All events of a command are folded."""
        if self._stirred:
            self._follow_sweeps()
            for trailing in self._stirred.values():
                trailing.end_command()
            self._stirred = {}

    def take(self) -> list[OrderRow]:
        """The rows that changed since the last call."""
        rows = [order.as_row() for order in self.touched.values()]
        self.touched = {}
        return rows

    def _touch(self, order_id: int) -> OpenOrder:
        """An open order that this event changes."""
        order = self._open.get(order_id)
        if order is None:
            raise EventsDisagree(f"{self._moment}: order {order_id} is not open")
        self._stamp(order)
        return order

    def _stamp(self, order: OpenOrder) -> None:
        moment = self._moment
        order.updated_sequence = moment.sequence
        order.updated_index = moment.event_index
        order.updated_at_ns = moment.timestamp_ns
        self.touched[order.order_id] = order

    def _reduce(self, order: OpenOrder, lots: int) -> None:
        order.open_lots -= lots
        if order.display_lots:
            if order.order_id == self._incoming:
                order.visible_lots = min(order.display_lots, order.open_lots)
            else:
                order.visible_lots = max(0, order.visible_lots - lots)

    def _pay(self, order: OpenOrder, market: Market, event: TradeExecuted, fee_units: int, *, taker: bool) -> None:
        volume_units = 0
        if market.tiers:
            volume_units = self._volumes.last_30_days(order.account_id, market.quote_asset_id)
        fee_ppm = market.fee_ppm(taker=taker, volume_units=volume_units)
        order.pay(event.notional_units, fee_units, fee_ppm, self._moment)
        order.executed_lots += event.quantity_lots
        if order.order_type == MARKET_BUDGET:
            return  # what it still wants is an amount of money
        self._reduce(order, event.quantity_lots)
        self._compare_open(order, event.taker_open_lots if taker else event.maker_open_lots)

    def _compare_open(self, order: OpenOrder, open_lots: int) -> None:
        if order.open_lots != open_lots:
            raise EventsDisagree(
                f"{self._moment}: order {order.order_id} has {open_lots} lots open by the event, and {order.open_lots} "
                "by those before it"
            )

    def _settle(
        self,
        event: TradeExecuted,
        market: Market,
        buyer: OpenOrder,
        buyer_fee_units: int,
        seller: OpenOrder,
        seller_fee_units: int,
    ) -> None:
        """Move what a trade moves; what each order then holds too much or too little goes with it."""
        quote, base, trade_id = market.quote_asset_id, market.base_asset_id, event.trade_id
        base_units = event.quantity_lots * market.lot_units
        self._spend(buyer, market, event.notional_units + buyer_fee_units, trade_id, seller.account_id)
        self._spend(seller, market, base_units, trade_id, buyer.account_id)
        for account_id, asset_id, units, other in (
            (buyer.account_id, base, base_units, seller.account_id),
            (seller.account_id, quote, event.notional_units - seller_fee_units, buyer.account_id),
        ):
            self._ledger.move(
                account_id, asset_id, available=units, held=0, kind=LINE_TRADE, reference_id=trade_id, other=other
            )
        fees_units = buyer_fee_units + seller_fee_units
        self._ledger.move(EXCHANGE_ACCOUNT, quote, available=fees_units, held=0, kind=LINE_FEE, reference_id=trade_id)

    def _spend(self, order: OpenOrder, market: Market, spent_units: int, trade_id: int, other: int) -> None:
        """Take what an order pays out of what it holds, and bring that to what it needs from now on."""
        if order.is_filled():
            held_units = 0
        elif order.has_a_price():
            held_units = order.need_units(market)
        else:
            held_units = max(0, order.held_units - spent_units)
        change = held_units - order.held_units
        order.held_units = held_units
        self._ledger.move(
            order.account_id,
            order.held_asset_id(market),
            available=-change - spent_units,
            held=change,
            kind=LINE_TRADE,
            reference_id=trade_id,
            other=other,
        )

    def _hold(self, order: OpenOrder, held_units: int) -> None:
        change = held_units - order.held_units
        order.held_units = held_units
        asset_id = order.held_asset_id(self._listings.market(order.market_id))
        self._ledger.hold(order.account_id, asset_id, change, LINE_ORDER, order.order_id)

    def _hold_alone(self, order_id: int) -> None:
        """The other leg of a pair ended: this one, if it is open, can count on nothing but its own hold."""
        order = self._open.get(order_id)
        if order is not None and order.status == OPEN and order.has_a_price():
            self._hold(order, order.need_units(self._listings.market(order.market_id)))
            self._stamp(order)

    def _end(self, order: OpenOrder, status: int, reason: int) -> None:
        order.status, order.close_reason = status, reason
        order.open_lots = order.visible_lots = 0
        del self._open[order.order_id]

    def _stir(self, market: Market) -> TrailingStops:
        """What trails in this market has something to follow."""
        trailing = self._stirred[market.market_id] = self._trailing_in(market.market_id)
        self._swept[market.market_id] = market
        return trailing

    def _follow_sweeps(self) -> None:
        for market in self._swept.values():
            for order in self._trailing_in(market.market_id).follow(market):
                self._stamp(order)
                self._hold(order, order.need_units(market))
        self._swept = {}

    def _trailing_in(self, market_id: int) -> TrailingStops:
        trailing = self._trailing.get(market_id)
        if trailing is None:
            trailing = self._trailing[market_id] = TrailingStops()
        return trailing
