"""Stops that wait to be elected, of one market.

A trade elects: a stop to sell when it prints at the stop price or below, a stop to buy at or above; quotes never do
(rulebook F1). Both sides share one code: a stop's *key* is its price for buys and minus its price for sells, so those
that a price elects are always the front of a sorted list, in the order in which they run: by price, then by time (F5).

A trailing stop follows the market at a distance and never falls back (F6). The distance is a price, or millionths of
the traded price, rounded down to a tick, at least one.
"""

from __future__ import annotations

from bisect import bisect_left, insort

from engine.orders import Order, special
from engine.types import AMOUNT_MAX, BUY, FEE_SCALE, SELL, STOP, TRAIL_BY_PRICE

Waiting = tuple[int, int, Order]  # (key, priority, order): no two have the same priority


class StopBook:
    """Owns which stops wait; their funds and their other legs are the matcher's."""

    def __init__(self) -> None:
        self._waiting: tuple[list[Waiting], list[Waiting]] = ([], [])  # by side
        self._trailing: dict[int, Order] = {}  # in the order of their acceptance

    def __len__(self) -> int:
        return len(self._waiting[BUY]) + len(self._waiting[SELL])

    @property
    def trailing_count(self) -> int:
        return len(self._trailing)

    def orders(self) -> list[Order]:
        """All that wait, buys first, each side in the order of election."""
        return [order for side in self._waiting for _, _, order in side]

    def add(self, order: Order) -> None:
        insort(self._waiting[order.side], (_key(order.side, order.stop_ticks), order.priority, order))
        if order.trigger != STOP:
            self._trailing[order.order_id] = order

    def remove(self, order: Order) -> None:
        """Forget a stop. One that was elected a moment ago is not here any more."""
        waiting = self._waiting[order.side]
        position = bisect_left(waiting, (_key(order.side, order.stop_ticks), order.priority))
        if position < len(waiting) and waiting[position][2] is order:
            del waiting[position]
            self._trailing.pop(order.order_id, None)

    def elect(self, price_ticks: int) -> list[Order]:
        """Take out what a trade at this price elects, in the order in which it runs."""
        elected: list[Order] = []
        for side in (BUY, SELL):
            waiting = self._waiting[side]
            end = bisect_left(waiting, (_key(side, price_ticks) + 1,))
            if end:
                elected += [order for _, _, order in waiting[:end]]
                del waiting[:end]
        for order in elected:
            self._trailing.pop(order.order_id, None)
        return elected

    def trail(self, price_ticks: int) -> list[Order]:
        """Let trailing stops follow a trade at this price. Answers those that moved."""
        moved = []
        for order in self._trailing.values():
            stop_ticks = trailing_stop_ticks(order, price_ticks)
            if stop_ticks < order.stop_ticks if order.side == BUY else stop_ticks > order.stop_ticks:
                waiting = self._waiting[order.side]
                del waiting[bisect_left(waiting, (_key(order.side, order.stop_ticks), order.priority))]
                special(order).stop_ticks = stop_ticks
                insort(waiting, (_key(order.side, stop_ticks), order.priority, order))
                moved.append(order)
        return moved


def trailing_stop_ticks(order: Order, price_ticks: int) -> int:
    """Where a trailing stop stands after a trade at this price, if it moves at all."""
    if order.trigger == TRAIL_BY_PRICE:
        distance_ticks = order.trail_ticks
    else:
        distance_ticks = max(1, price_ticks * order.trail_ppm // FEE_SCALE)
    return price_ticks + distance_ticks if order.side == BUY else price_ticks - distance_ticks


def would_trigger(order: Order, last_price_ticks: int) -> bool:
    """Does the last price meet the condition already? (rulebook F3)"""
    if not last_price_ticks:
        return False
    return last_price_ticks >= order.stop_ticks if order.side == BUY else last_price_ticks <= order.stop_ticks


def _key(side: int, price_ticks: int) -> int:
    assert 0 <= price_ticks <= 2 * AMOUNT_MAX, price_ticks
    return price_ticks if side == BUY else -price_ticks
