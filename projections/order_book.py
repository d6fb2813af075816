"""The order books, folded from events alone: each market's open quantity by price.

A pure fold: no I/O, no clock, nothing but the events decides. Within the events of one command the book may
look crossed (an order is added whole, then its trades take from both sides); between commands it
is exactly the engine's. So readers look at it between entries.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from engine.codec import decode_events
from engine.events import Event, OrderAccepted, OrderAmended, OrderClosed, TradeExecuted
from engine.types import BUY, LIMIT, SELL


class Level(NamedTuple):
    """All open orders of one side at one price."""

    price_ticks: int
    quantity_lots: int
    order_count: int


class _OpenOrder:
    __slots__ = ("market_id", "open_lots", "price_ticks", "side")

    def __init__(self, market_id: int, side: int, price_ticks: int, open_lots: int) -> None:
        self.market_id = market_id
        self.side = side
        self.price_ticks = price_ticks
        self.open_lots = open_lots


class OrderBooks:
    """The books of all markets of a group, as of the last event folded in."""

    def __init__(self) -> None:
        self._orders: dict[int, _OpenOrder] = {}
        # (market_id, side) -> price_ticks -> [quantity_lots, order_count]
        self._levels: dict[tuple[int, int], dict[int, list[int]]] = {}

    def apply_entry_events(self, events: bytes) -> None:
        """Fold in the event records of one entry. CodecError if they are damaged."""
        self.apply(event for _, event in decode_events(events))

    def apply(self, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, TradeExecuted):
                self._reduce(event.maker_order_id, event.quantity_lots)
                self._reduce(event.taker_order_id, event.quantity_lots)
            elif isinstance(event, OrderAccepted):
                # A market order never rests: its trades take from the other side only.
                if event.order_type == LIMIT:
                    order = _OpenOrder(event.market_id, event.side, event.price_ticks, event.quantity_lots)
                    self._add(event.order_id, order)
            elif isinstance(event, OrderClosed):
                self._remove(event.order_id)
            elif isinstance(event, OrderAmended):
                self._amend(event)

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
        self._change_level(order, order.open_lots, 1)

    def _remove(self, order_id: int) -> None:
        # Absent: a market order, or an order that never rested because it was closed by its last trade.
        order = self._orders.pop(order_id, None)
        if order is not None:
            self._change_level(order, -order.open_lots, -1)

    def _reduce(self, order_id: int, quantity_lots: int) -> None:
        order = self._orders.get(order_id)
        if order is None:
            return  # a market order
        if order.open_lots == quantity_lots:
            self._remove(order_id)
            return
        assert order.open_lots > quantity_lots, (order_id, order.open_lots, quantity_lots)
        order.open_lots -= quantity_lots
        self._change_level(order, -quantity_lots, 0)

    def _amend(self, event: OrderAmended) -> None:
        order = self._orders[event.order_id]
        self._remove(event.order_id)
        self._add(event.order_id, _OpenOrder(order.market_id, order.side, event.price_ticks, event.open_lots))

    def _change_level(self, order: _OpenOrder, quantity_lots: int, order_count: int) -> None:
        levels = self._levels.setdefault((order.market_id, order.side), {})
        level = levels.setdefault(order.price_ticks, [0, 0])
        level[0] += quantity_lots
        level[1] += order_count
        assert (level[0] > 0) == (level[1] > 0), (order.price_ticks, level)
        if not level[1]:
            del levels[order.price_ticks]
