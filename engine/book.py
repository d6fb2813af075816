"""The order book of one market: price levels, each a queue of orders in time order.

Both sides share one code. A level's *key* is its price for bids and minus its price for asks, so
the best level always has the greatest key and stands last in the sorted list of levels. Orders of a level form a
linked list through the orders themselves: adding, filling from the front and cancelling in the middle
take constant time. What a level shows is what its orders show: all of a plain order, a slice of an iceberg.
"""

from __future__ import annotations

from typing import Final

from engine import wire
from engine.orders import Order, OrderPool, shown_lots, special
from engine.types import BUY, SELL

_KEY_SIZE: Final = 8
_MORE_KEYS: Final = bytes(64 * _KEY_SIZE)


class Level:
    """The orders at one price, from the slot of the oldest to that of the newest.

    ``open_lots`` is what is open of them, ``shown_lots`` what they show. ``number`` is the level's in the side's pool.
    """

    __slots__ = ("key", "newest", "number", "oldest", "open_lots", "order_count", "price_ticks", "shown_lots")

    def __init__(self) -> None:
        self.key = 0
        self.number = 0
        self.price_ticks = 0
        self.open_lots = 0
        self.shown_lots = 0
        self.order_count = 0
        self.oldest = 0
        self.newest = 0


class BookSide:
    """All bids or all asks of a market."""

    __slots__ = ("_free", "_keys", "_numbered", "levels", "pool", "side")

    def __init__(self, side: int, pool: OrderPool) -> None:
        self.side = side
        self.pool = pool
        self.levels: list[Level] = []  # by ascending key, so the best is last
        self._keys = bytearray()  # of the levels, as words: so that finding one looks at little memory
        self._numbered: list[Level] = [Level()]  # by number; number 0 is no level
        self._free: list[Level] = []

    def key_of(self, price_ticks: int) -> int:
        return price_ticks if self.side == BUY else 0 - price_ticks

    def best(self) -> Level | None:
        return self.levels[len(self.levels) - 1] if self.levels else None

    def level_at(self, price_ticks: int) -> Level | None:
        key = self.key_of(price_ticks)
        position = self._position(key)
        if position == len(self.levels):
            return None
        level = self.levels[position]
        return level if level.key == key else None

    def level_of(self, order: Order) -> Level:
        """Where an order of this side rests."""
        assert order.level, order.order_id
        return self._numbered[order.level]

    def oldest(self, level: Level) -> Order:
        return self.pool.at(level.oldest)

    def orders(self, level: Level) -> list[Order]:
        """The queue of a level, oldest first."""
        queue, slot = [], level.oldest
        while slot:
            order = self.pool.at(slot)
            queue.append(order)
            slot = order.newer
        return queue

    def levels_from_best(self, count: int) -> list[Level]:
        return self.levels[: -count - 1 : -1]

    def add(self, order: Order) -> None:
        """Put an order at the back of the queue of its price."""
        key = self.key_of(order.price_ticks)
        position = self._position(key)
        level = self.levels[position] if position < len(self.levels) else self._numbered[0]
        if not level.number or level.key != key:
            level = self._new_level(key, order.price_ticks)
            if len(self._keys) == len(self.levels) * _KEY_SIZE:
                self._keys.extend(_MORE_KEYS)
            wire.insert_word(self._keys, len(self.levels), position, key)
            self.levels.insert(position, level)
        order.level = level.number
        order.older = level.newest
        order.newer = 0
        if level.newest:
            self.pool.at(level.newest).newer = order.slot
        else:
            level.oldest = order.slot
        level.newest = order.slot
        level.open_lots += order.open_lots
        level.shown_lots += shown_lots(order)
        level.order_count += 1

    def remove(self, order: Order) -> None:
        """Take an order out of its queue, with whatever it has open; an empty level disappears."""
        level = self.level_of(order)
        if order.older:
            self.pool.at(order.older).newer = order.newer
        else:
            level.oldest = order.newer
        if order.newer:
            self.pool.at(order.newer).older = order.older
        else:
            level.newest = order.older
        order.level = order.older = order.newer = 0
        level.open_lots -= order.open_lots
        level.shown_lots -= shown_lots(order)
        level.order_count -= 1
        if level.order_count == 0:
            position = self._position(level.key)
            wire.remove_word(self._keys, len(self.levels), position)
            del self.levels[position]
            self._free.append(level)

    def reduce(self, order: Order, lots: int) -> None:
        """Take a part of what an order shows: it keeps its place. What it shows then must not be zero."""
        assert order.level and 0 < lots < shown_lots(order), (order.order_id, lots)
        level = self._numbered[order.level]
        order.open_lots -= lots
        if order.is_special and order.display_lots:
            iceberg = special(order)
            iceberg.visible_lots -= lots
        level.open_lots -= lots
        level.shown_lots -= lots

    def shrink(self, order: Order, lots: int) -> None:
        """Make an order smaller where it stands: what an iceberg hides goes first."""
        assert order.level and 0 <= lots < order.open_lots, (order.order_id, lots)
        level = self._numbered[order.level]
        level.open_lots -= lots
        level.shown_lots -= shown_lots(order)
        order.open_lots -= lots
        if order.is_special and order.display_lots:
            iceberg = special(order)
            iceberg.visible_lots = min(iceberg.visible_lots, iceberg.open_lots)
        level.shown_lots += shown_lots(order)

    def _position(self, key: int) -> int:
        """Where in the list the level of this key stands, or would stand."""
        return wire.count_below(self._keys, len(self.levels), key)

    def _new_level(self, key: int, price_ticks: int) -> Level:
        if self._free:
            level = self._free.pop()
        else:
            level = Level()
            level.number = len(self._numbered)
            self._numbered.append(level)
        level.key = key
        level.price_ticks = price_ticks
        return level


class Book:
    """The two sides of one market."""

    __slots__ = ("asks", "bids")

    def __init__(self, pool: OrderPool) -> None:
        self.bids = BookSide(BUY, pool)
        self.asks = BookSide(SELL, pool)

    def side(self, side: int) -> BookSide:
        return self.bids if side == BUY else self.asks

    def opposite(self, side: int) -> BookSide:
        return self.asks if side == BUY else self.bids
