"""Stops that trail: no event tells where they stand, so it is derived from the trades as the engine does it.

A trailing stop follows each sweep of trades: first it may be elected by the sweep's first price, else it moves by it,
then the same by the last one (``engine.sessions``). One that is elected moves no more, unless its market stops trading
before its turn: then it waits on.
"""

from __future__ import annotations

from engine.types import BUY, FEE_SCALE, TRADING, TRAIL_BY_PRICE
from projections.listings import Market
from projections.open_order import OpenOrder


class TrailingStops:
    """Those of one market, and the sweep since they last followed one."""

    __slots__ = ("_elected", "_first_ticks", "_last_ticks", "_opens", "_orders")

    def __init__(self) -> None:
        self._orders: dict[int, OpenOrder] = {}
        self._elected: dict[int, OpenOrder] = {}
        self._first_ticks = self._last_ticks = 0
        self._opens = False

    def add(self, order: OpenOrder) -> None:
        self._orders[order.order_id] = order

    def discard(self, order: OpenOrder) -> None:
        self._orders.pop(order.order_id, None)
        self._elected.pop(order.order_id, None)

    def on_trade(self, price_ticks: int) -> None:
        self._first_ticks = self._first_ticks or price_ticks
        self._last_ticks = price_ticks

    def on_opening(self) -> None:
        """The market begins to trade: its last price is a sweep by itself, unless an auction's trades come first."""
        self._opens = True

    def follow(self, market: Market) -> list[OpenOrder]:
        """The sweep is over. Answers the orders that moved."""
        first_ticks, last_ticks = self._first_ticks, self._last_ticks
        if self._opens:
            last_ticks = market.last_price_ticks
            first_ticks = first_ticks or last_ticks
        self._first_ticks, self._opens = 0, False
        if not first_ticks or not self._orders:
            return []
        moved: dict[int, OpenOrder] = {}
        for price_ticks in (first_ticks, last_ticks):
            if market.state == TRADING:
                for order in [order for order in self._orders.values() if _elects(price_ticks, order)]:
                    self._elected[order.order_id] = self._orders.pop(order.order_id)
            for order in self._orders.values():
                stop_ticks = _stop_ticks(price_ticks, order)
                if stop_ticks < order.stop_ticks if order.side == BUY else stop_ticks > order.stop_ticks:
                    order.stop_ticks = stop_ticks
                    moved[order.order_id] = order
        return list(moved.values())

    def end_command(self) -> None:
        """What was elected and still waits had no turn."""
        self._orders.update(self._elected)
        self._elected.clear()


def _elects(price_ticks: int, order: OpenOrder) -> bool:
    return price_ticks >= order.stop_ticks if order.side == BUY else price_ticks <= order.stop_ticks


def _stop_ticks(price_ticks: int, order: OpenOrder) -> int:
    if order.trigger == TRAIL_BY_PRICE:
        distance_ticks = order.trail_ticks
    else:
        distance_ticks = max(1, price_ticks * order.trail_ppm // FEE_SCALE)
    return price_ticks + distance_ticks if order.side == BUY else price_ticks - distance_ticks
