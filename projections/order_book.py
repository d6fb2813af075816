"""The order books, folded from events alone: what each market's book shows by price.

A pure fold: no I/O, no clock, nothing but the events decides. Within the events of one command the book may
look crossed (an order is added whole, then its trades take from both sides); between commands it
is exactly the engine's. So readers look at it between entries.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from engine.codec import decode_events
from engine.events import (
    AuctionUncrossed,
    Event,
    OrderAccepted,
    OrderAmended,
    OrderClosed,
    OrderConditions,
    OrderReplenished,
    OrderTriggered,
    SelfTradePrevented,
    TradeExecuted,
)
from engine.types import BUY, SELL


class Level(NamedTuple):
    """All that rests on one side at one price. The quantity is what is shown: an iceberg hides the rest."""

    price_ticks: int
    quantity_lots: int
    order_count: int


class _OpenOrder:
    """``visible_lots`` is what the book shows: all that is open, or a slice of an iceberg."""

    __slots__ = ("display_lots", "market_id", "open_lots", "price_ticks", "side", "visible_lots")

    def __init__(self, market_id: int, side: int, price_ticks: int, open_lots: int, display_lots: int = 0) -> None:
        self.market_id = market_id
        self.side = side
        self.price_ticks = price_ticks
        self.open_lots = open_lots
        self.display_lots = display_lots
        self.visible_lots = min(display_lots, open_lots) if display_lots else open_lots


class OrderBooks:
    """The books of all markets of a group, as of the last event folded in."""

    def __init__(self) -> None:
        self._orders: dict[int, _OpenOrder] = {}
        self._waiting: dict[int, _OpenOrder] = {}  # stops that no trade has elected yet
        self._incoming = 0  # the order that came last: until it rests, its trades take nothing off what it will show
        # (market_id, side) -> price_ticks -> [quantity_lots, order_count]
        self._levels: dict[tuple[int, int], dict[int, list[int]]] = {}

    def apply_entry_events(self, events: bytes) -> None:
        """Fold in the event records of one entry. CodecError if they are damaged."""
        self.apply(event for _, event in decode_events(events))

    def apply(self, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, TradeExecuted | SelfTradePrevented):
                self._reduce(event.maker_order_id, event.quantity_lots)
                self._reduce(event.taker_order_id, event.quantity_lots)
            elif isinstance(event, OrderAccepted):
                self._incoming = event.order_id
                # A market order never rests, except in an auction, and then it has a price.
                if event.price_ticks:
                    order = _OpenOrder(event.market_id, event.side, event.price_ticks, event.quantity_lots)
                    self._add(event.order_id, order)
            elif isinstance(event, OrderConditions):
                # The conditions of an order that is only reported again tell nothing new.
                if event.order_id == self._incoming:
                    self._set_conditions(event)
            elif isinstance(event, OrderClosed):
                self._waiting.pop(event.order_id, None)
                self._remove(event.order_id)
            elif isinstance(event, OrderTriggered):
                if event.order_id in self._waiting:
                    self._add(event.order_id, self._waiting.pop(event.order_id))
            elif isinstance(event, OrderReplenished):
                self._show(self._orders[event.order_id], event.visible_lots)
            elif isinstance(event, OrderAmended):
                self._incoming = 0 if event.kept_place else event.order_id
                self._amend(event)
            elif isinstance(event, AuctionUncrossed):
                self._incoming = 0  # everybody rests

    def bids(self, market_id: int, depth: int) -> list[Level]:
        """The best ``depth`` levels of the buyers, best first."""
        return self._best(market_id, BUY, depth)

    def asks(self, market_id: int, depth: int) -> list[Level]:
        """The best ``depth`` levels of the sellers, best first."""
        return self._best(market_id, SELL, depth)

    def _best(self, market_id: int, side: int, depth: int) -> list[Level]:
        levels = self._levels.get((market_id, side), {})
        best_first = sorted(levels, reverse=side == BUY)
        return [Level(price_ticks, *levels[price_ticks]) for price_ticks in best_first[:depth]]

    def _add(self, order_id: int, order: _OpenOrder) -> None:
        assert order_id not in self._orders and order.open_lots > 0, order_id
        self._orders[order_id] = order
        self._change_level(order, order.visible_lots, 1)

    def _remove(self, order_id: int) -> None:
        # Absent: a market order, or an order that never rested because it was closed by its last trade.
        order = self._orders.pop(order_id, None)
        if order is not None:
            self._change_level(order, -order.visible_lots, -1)

    def _reduce(self, order_id: int, quantity_lots: int) -> None:
        order = self._orders.get(order_id)
        if order is None:
            return  # a market order
        if order.open_lots == quantity_lots:
            self._remove(order_id)
            return
        assert order.open_lots > quantity_lots, (order_id, order.open_lots, quantity_lots)
        order.open_lots -= quantity_lots
        if not order.display_lots:
            self._show(order, order.open_lots)
        elif order_id == self._incoming:
            self._show(order, min(order.display_lots, order.open_lots))
        else:
            self._show(order, max(0, order.visible_lots - quantity_lots))

    def _show(self, order: _OpenOrder, visible_lots: int) -> None:
        self._change_level(order, visible_lots - order.visible_lots, 0)
        order.visible_lots = visible_lots

    def _set_conditions(self, event: OrderConditions) -> None:
        order = self._orders.get(event.order_id)
        if order is None:
            return  # without a price it will not rest either
        if event.trigger:
            self._remove(event.order_id)
            self._waiting[event.order_id] = order
        else:
            order.display_lots = event.display_lots
            if event.display_lots:
                self._show(order, event.visible_lots)

    def _amend(self, event: OrderAmended) -> None:
        order = self._orders[event.order_id]
        display_lots, visible_lots = order.display_lots, order.visible_lots
        self._remove(event.order_id)
        order = _OpenOrder(order.market_id, order.side, event.price_ticks, event.open_lots, display_lots)
        if event.kept_place:
            order.visible_lots = min(visible_lots, event.open_lots)
        self._add(event.order_id, order)

    def _change_level(self, order: _OpenOrder, quantity_lots: int, order_count: int) -> None:
        levels = self._levels.setdefault((order.market_id, order.side), {})
        level = levels.setdefault(order.price_ticks, [0, 0])
        level[0] += quantity_lots
        level[1] += order_count
        assert level[0] >= 0 and level[1] >= 0, (order.price_ticks, level)
        if not level[1]:
            assert not level[0], (order.price_ticks, level)
            del levels[order.price_ticks]
