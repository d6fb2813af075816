"""The order book of one market: price levels, each a queue of orders in time order.

Both sides share one code. A level's *key* is its price for bids and minus its price for asks, so
the best level always has the greatest key and stands last in a sorted list of keys. Orders of a level form a
linked list through the orders themselves: adding, filling from the front and cancelling in the middle
take constant time. What a level shows is what its orders show: all of a plain order, a slice of an iceberg.
"""

from __future__ import annotations

from bisect import bisect_left, insort

from engine.types import BUY, NO_TRIGGER, NOT_CLOSED, OPEN, SELL


class Order:
    """One order, from its acceptance until its id is forgotten.

    quantity = open + executed + prevented + cancelled, always. ``held_units`` is in the quote asset for
    bids and in the base asset for asks. ``priority`` tells its place among all orders that wait or rest: each that is
    put at the back of a queue gets the next number. ``price_ticks`` 0 is no limit; a market order has one only while
    it rests in an auction. ``stop_ticks`` of a trailing stop moves; ``linked_order_id`` is the other leg of a pair.
    """

    __slots__ = (
        "accepted_at_ns",
        "account_id",
        "budget_units",
        "cancelled_lots",
        "client_order_id",
        "close_reason",
        "display_lots",
        "executed_lots",
        "expires_at_ns",
        "fee_overpaid_ppm",
        "fee_units",
        "held_units",
        "level",
        "linked_order_id",
        "market_id",
        "newer",
        "notional_units",
        "older",
        "open_lots",
        "order_id",
        "order_type",
        "post_only",
        "prevented_lots",
        "price_ticks",
        "priority",
        "quantity_lots",
        "self_trade",
        "side",
        "status",
        "stop_ticks",
        "time_in_force",
        "trail_ppm",
        "trail_ticks",
        "trigger",
        "visible_lots",
    )

    def __init__(self, order_id: int, account_id: int, market_id: int, side: int, client_order_id: bytes) -> None:
        self.order_id = order_id
        self.account_id = account_id
        self.market_id = market_id
        self.side = side
        self.client_order_id = client_order_id
        self.order_type = 0
        self.time_in_force = 0
        self.post_only = 0
        self.self_trade = 0
        self.status = OPEN
        self.close_reason = NOT_CLOSED
        self.price_ticks = 0
        self.quantity_lots = 0
        self.budget_units = 0
        self.open_lots = 0
        self.executed_lots = 0
        self.prevented_lots = 0
        self.cancelled_lots = 0
        self.notional_units = 0
        self.fee_units = 0
        self.fee_overpaid_ppm = 0
        self.held_units = 0
        self.accepted_at_ns = 0
        self.priority = 0
        self.trigger = NO_TRIGGER
        self.stop_ticks = 0
        self.trail_ticks = 0
        self.trail_ppm = 0
        self.display_lots = 0
        self.visible_lots = 0
        self.expires_at_ns = 0
        self.linked_order_id = 0
        self.level: Level | None = None
        self.older: Order | None = None
        self.newer: Order | None = None

    @property
    def shown_lots(self) -> int:
        """What the book shows of it while it rests."""
        return self.visible_lots if self.display_lots else self.open_lots


class Level:
    """The orders at one price, oldest first: ``open_lots`` is what is open of them, ``shown_lots`` what they show."""

    __slots__ = ("key", "newest", "oldest", "open_lots", "order_count", "price_ticks", "shown_lots")

    def __init__(self, key: int, price_ticks: int) -> None:
        self.key = key
        self.price_ticks = price_ticks
        self.open_lots = 0
        self.shown_lots = 0
        self.order_count = 0
        self.oldest: Order | None = None
        self.newest: Order | None = None

    def orders(self) -> list[Order]:
        queue = []
        order = self.oldest
        while order is not None:
            queue.append(order)
            order = order.newer
        return queue


class BookSide:
    """All bids or all asks of a market."""

    def __init__(self, side: int) -> None:
        self.side = side
        self.keys: list[int] = []  # ascending, so the best is last
        self.levels: dict[int, Level] = {}

    def key_of(self, price_ticks: int) -> int:
        return price_ticks if self.side == BUY else -price_ticks

    def best(self) -> Level | None:
        return self.levels[self.keys[-1]] if self.keys else None

    def add(self, order: Order) -> None:
        """Put an order at the back of the queue of its price."""
        key = self.key_of(order.price_ticks)
        level = self.levels.get(key)
        if level is None:
            level = self.levels[key] = Level(key, order.price_ticks)
            insort(self.keys, key)
        order.level = level
        order.older = level.newest
        if level.newest is None:
            level.oldest = order
        else:
            level.newest.newer = order
        level.newest = order
        level.open_lots += order.open_lots
        level.shown_lots += order.shown_lots
        level.order_count += 1

    def remove(self, order: Order) -> None:
        """Take an order out of its queue, with whatever it has open; an empty level disappears."""
        level = order.level
        assert level is not None, order.order_id
        if order.older is None:
            level.oldest = order.newer
        else:
            order.older.newer = order.newer
        if order.newer is None:
            level.newest = order.older
        else:
            order.newer.older = order.older
        order.level = order.older = order.newer = None
        level.open_lots -= order.open_lots
        level.shown_lots -= order.shown_lots
        level.order_count -= 1
        if level.order_count == 0:
            del self.levels[level.key]
            if self.keys[-1] == level.key:
                self.keys.pop()
            else:
                del self.keys[bisect_left(self.keys, level.key)]

    def reduce(self, order: Order, lots: int) -> None:
        """Take a part of what an order shows: it keeps its place. What it shows then must not be zero."""
        assert order.level is not None and 0 < lots < order.shown_lots, (order.order_id, lots)
        order.open_lots -= lots
        if order.display_lots:
            order.visible_lots -= lots
        order.level.open_lots -= lots
        order.level.shown_lots -= lots

    def shrink(self, order: Order, lots: int) -> None:
        """Make an order smaller where it stands: what an iceberg hides goes first."""
        assert order.level is not None and 0 <= lots < order.open_lots, (order.order_id, lots)
        shown_lots = order.shown_lots
        order.open_lots -= lots
        if order.display_lots:
            order.visible_lots = min(order.visible_lots, order.open_lots)
        order.level.open_lots -= lots
        order.level.shown_lots -= shown_lots - order.shown_lots

    def levels_from_best(self, count: int) -> list[Level]:
        return [self.levels[key] for key in self.keys[: -count - 1 : -1]]


class Book:
    """The two sides of one market."""

    def __init__(self) -> None:
        self.bids = BookSide(BUY)
        self.asks = BookSide(SELL)

    def side(self, side: int) -> BookSide:
        return self.bids if side == BUY else self.asks

    def opposite(self, side: int) -> BookSide:
        return self.asks if side == BUY else self.bids
