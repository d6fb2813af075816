"""The book as a generator keeps it, so that cancels name orders that rest and takers find what they want.

Plain price-time priority over sorted lists: it knows limit prices and quantities, and nothing of money. The
measured engine is not asked, so a workload is the same whoever executes it.
"""

from __future__ import annotations

import random
from bisect import bisect_left, insort

from engine.types import BUY


class LiveOrder:
    """An order that rests, in ticks and lots. ``place`` is its sort key: the best one of a side is the last."""

    __slots__ = ("account_id", "client_order_id", "executed_lots", "index", "open_lots", "place", "price_ticks", "side")

    def __init__(self, account_id: int, client_order_id: bytes, side: int, price_ticks: int, open_lots: int) -> None:
        self.account_id = account_id
        self.client_order_id = client_order_id
        self.side = side
        self.price_ticks = price_ticks
        self.open_lots = open_lots
        self.executed_lots = 0
        self.place = (0, 0)
        self.index = 0


class LiveBook:
    """The resting orders of one market. ``mid_ticks`` is where its traders think that the price is."""

    def __init__(self, mid_ticks: int) -> None:
        self.mid_ticks = mid_ticks
        self._sides: tuple[list[tuple[int, int, LiveOrder]], list[tuple[int, int, LiveOrder]]] = ([], [])
        self._live: list[LiveOrder] = []
        self._arrivals = 0

    def __len__(self) -> int:
        return len(self._live)

    def any_order(self, rng: random.Random) -> LiveOrder:
        return self._live[rng.randrange(len(self._live))]

    def best(self, side: int) -> LiveOrder | None:
        queue = self._sides[side]
        return queue[-1][2] if queue else None

    def first(self, side: int, count: int) -> list[LiveOrder]:
        """The orders that a taker would meet first."""
        queue = self._sides[side]
        return [queue[-number][2] for number in range(1, min(count, len(queue)) + 1)]

    def rest(self, order: LiveOrder) -> None:
        """Put an order at the back of the queue at its price."""
        self._arrivals += 1
        order.place = (order.price_ticks if order.side == BUY else -order.price_ticks, -self._arrivals)
        insort(self._sides[order.side], (*order.place, order))
        order.index = len(self._live)
        self._live.append(order)

    def remove(self, order: LiveOrder) -> None:
        queue = self._sides[order.side]
        del queue[bisect_left(queue, order.place)]
        last = self._live.pop()
        if last is not order:
            self._live[order.index] = last
            last.index = order.index

    def take(self, account_id: int, side: int, lots: int, limit_ticks: int | None) -> int:
        """Let a taker trade up to its limit (None: at any price). Answers the lots that are left and may still rest.

        A taker that meets an order of its own account ends there.
        """
        while lots:
            maker = self.best(1 - side)
            if maker is None or (limit_ticks is not None and _is_beyond(maker.price_ticks, side, limit_ticks)):
                return lots
            if maker.account_id == account_id:
                return 0
            traded = min(lots, maker.open_lots)
            lots -= traded
            maker.open_lots -= traded
            maker.executed_lots += traded
            if not maker.open_lots:
                self.remove(maker)
        return 0

    def passive_price(self, side: int, distance_ticks: int) -> int:
        """A price so far from the mid, or as near to it as the other side allows without trading."""
        opposite = self.best(1 - side)
        if side == BUY:
            price_ticks = self.mid_ticks - distance_ticks
            return price_ticks if opposite is None else min(price_ticks, opposite.price_ticks - 1)
        price_ticks = self.mid_ticks + distance_ticks
        return price_ticks if opposite is None else max(price_ticks, opposite.price_ticks + 1)


def _is_beyond(price_ticks: int, side: int, limit_ticks: int) -> bool:
    return price_ticks > limit_ticks if side == BUY else price_ticks < limit_ticks
