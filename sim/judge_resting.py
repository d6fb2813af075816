"""Which orders may rest, and of which of them it is uncertain what they traded.

Commands travel to the engine many at a time, so what became of the newest ones is not known yet. A modify depends on
it: whether its order still rests, and whether some of it was executed. This keeps, from what was sent and what was
answered, a set that contains every order that rests: those that were placed, less those whose cancellation was sent
and those that are known to be filled. An order can have traded unseen only if it crossed with one of that set when it
came, or if one came later that crossed with it. Of all others everything is known without asking.

Nothing is matched here: what trades, and at what price, only the engine says.
"""

from __future__ import annotations

import heapq
from typing import Final

from engine.types import SELL

_NOTHING_CROSSED: Final = -(1 << 63)


class Order:
    """One order of the workload. ``number`` is the engine's for it, ``quantity`` what was last asked for, in lots.

    ``own_key`` sorts the prices of its side from the best on: an opposite order crosses with it if its ``limit_key``
    (the negative of its own key) is not less. ``traded`` says that a trade was reported since it was placed.
    """

    __slots__ = (
        "account_id",
        "crossed_in",
        "number",
        "order_id",
        "own_key",
        "price_ticks",
        "quantity",
        "rests",
        "side",
        "touched_by",
        "traded",
    )

    def __init__(self, order_id: int, account_id: int, side: int, number: int) -> None:
        self.order_id = order_id
        self.account_id = account_id
        self.side = side
        self.number = number
        self.price_ticks = 0
        self.quantity = 0
        self.own_key = 0
        self.rests = False  # it may rest
        self.traded = False
        self.touched_by = 0  # the number of the newest command that placed or amended it
        self.crossed_in = -1  # the entry in which it came and could trade at once


class _Side:
    """The orders of one side that may rest, counted by price, and what came since the last answer that crosses them."""

    __slots__ = ("_counts", "_heap", "crossed_by", "crossed_key")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._heap: list[int] = []
        self.crossed_key = _NOTHING_CROSSED  # the farthest limit key of those that came and crossed
        self.crossed_by = 0  # the number of the newest of their commands

    def add(self, key: int) -> None:
        count = self._counts.get(key)
        if count is None:
            heapq.heappush(self._heap, key)
            count = 0
        self._counts[key] = count + 1

    def remove(self, key: int) -> None:
        self._counts[key] -= 1

    def is_crossed_by(self, limit_key: int) -> bool:
        heap, counts = self._heap, self._counts
        while heap and not counts[heap[0]]:
            del counts[heapq.heappop(heap)]
        return bool(heap) and heap[0] <= limit_key


class Resting:
    """The orders that may rest. ``entry`` counts the entries that were answered."""

    def __init__(self) -> None:
        self.entry = 0
        self._sides = (_Side(), _Side())

    def arrives(self, order: Order, price_ticks: int, quantity: int, number: int, *, can_rest: bool) -> None:
        """The command ``number`` places the order, or puts it at another price: it may trade at once."""
        own_key = price_ticks if order.side == SELL else -price_ticks
        order.price_ticks, order.quantity, order.own_key, order.touched_by = price_ticks, quantity, own_key, number
        opposite = self._sides[1 - order.side]
        if opposite.is_crossed_by(-own_key):
            order.crossed_in = self.entry
            opposite.crossed_key = max(opposite.crossed_key, -own_key)
            opposite.crossed_by = number
        if can_rest:
            order.rests = True
            self._sides[order.side].add(own_key)

    def leaves(self, order: Order) -> None:
        """It was cancelled, or is filled, or is about to arrive at another price."""
        if order.rests:
            order.rests = False
            self._sides[order.side].remove(order.own_key)

    def is_uncertain(self, order: Order) -> bool:
        """May it have traded since the last answer?"""
        if not order.rests:
            return False
        if order.crossed_in == self.entry:
            return True
        side = self._sides[order.side]
        return order.touched_by < side.crossed_by and order.own_key <= side.crossed_key

    def is_answered(self) -> None:
        """All that was sent is answered, and the answers were told: nothing is uncertain any more."""
        self.entry += 1
        for side in self._sides:
            side.crossed_key, side.crossed_by = _NOTHING_CROSSED, 0
