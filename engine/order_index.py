"""All orders of a group: by number, and those of each account that are open.

Open means resting in a book or waiting to be elected. An order that was closed is one of the pool until the command is
done, then a row (``engine.closed_orders``). Also here: the counters that number trades and places in queues, which all
markets share.
"""

from __future__ import annotations

from typing import Final

from engine import wire
from engine.closed_orders import ClosedOrders
from engine.dedup import Receipts
from engine.number_index import NumberIndex
from engine.orders import Order, OrderPool
from engine.types import WAITING

_WORD: Final = 4
_RESERVED_PER_OPEN_ONE: Final = 16
# Where an order is, as the index of numbers has it: a slot of the pool, or the reference of a row with this bit.
_IS_ROW: Final = 1 << 31
_ROW_MASK: Final = _IS_ROW - 1


class OrderIndex:
    """Owns which orders are remembered. ``receipts`` know by which id a client calls an order.

    ``pool`` has those that are open, ``closed`` those that are done.
    """

    __slots__ = (
        "_by_number",
        "_closing",
        "_closing_count",
        "_first_open",
        "_open_counts",
        "_waiting_counts",
        "closed",
        "last_priority",
        "last_trade_id",
        "pool",
        "receipts",
    )

    def __init__(self, receipts: Receipts) -> None:
        self.pool = OrderPool()
        self.closed = ClosedOrders(receipts.arena)
        self.receipts = receipts
        self.last_trade_id = 0
        self.last_priority = 0
        self._by_number = NumberIndex()
        # What the command under way closed, in this order: the first so many of a list that is used over and over.
        self._closing: list[Order] = []
        self._closing_count = 0
        # By account: the slot of its first open order, and how many it has.
        self._first_open = bytearray()
        self._open_counts = bytearray()
        self._waiting_counts: dict[int, int] = {}  # no entry for an account without

    def __len__(self) -> int:
        return len(self._by_number)

    def find(self, order_id: int) -> Order | None:
        """A remembered order: the one that is open, or a copy of one that is not."""
        place = self._by_number.find(order_id)
        if place & _IS_ROW:
            return self.closed.copy(place & _ROW_MASK)
        return self.pool.at(place) if place else None

    def find_open(self, order_id: int) -> Order | None:
        """An order that is open, or that the command under way closed."""
        place = self._by_number.find(order_id)
        return self.pool.at(place) if place and not place & _IS_ROW else None

    def find_row(self, order_id: int) -> int:
        """Where in ``closed`` the order is, 0 if it is open or not remembered."""
        place = self._by_number.find(order_id)
        return place & _ROW_MASK if place & _IS_ROW else 0

    def add(self, order: Order, receipt: int) -> None:
        """The order was accepted, and is remembered from now on, by this receipt (0: by one that comes later)."""
        order.receipt = receipt
        self._by_number.add(order.order_id, order.slot)

    def close(self, order: Order) -> None:
        """The command under way closed the order. Until it is done whoever has the order may look at it."""
        if self._closing_count == len(self._closing):
            self._closing.append(order)
        else:
            self._closing[self._closing_count] = order
        self._closing_count += 1

    def write_down_closed(self) -> None:
        """The command is done: what it closed becomes rows, and the orders' places serve others."""
        for place in range(self._closing_count):
            order = self._closing[place]
            self._by_number.replace(order.order_id, _IS_ROW | self.closed.add(order))
            self.pool.give_back(order)
        self._closing_count = 0

    def forget(self, order_id: int) -> None:
        """Nobody may ask for the order of this number any more, if there is one: it is closed."""
        place = self._by_number.find(order_id)
        if place:
            assert place & _IS_ROW, order_id
            self._by_number.remove(order_id)
            self.closed.forget(place & _ROW_MASK)

    def read_closed(self) -> None:
        """Find the closed orders that a snapshot put there, after the receipts. IndexError if they are not orders."""
        row = self.closed.oldest()
        while row:
            after = self.closed.after(row)  # asked first: it checks that the row ends where it must
            if self.closed.is_remembered(row):
                self.closed.remember(row)
                self._by_number.add(self.closed.order_id(row), _IS_ROW | row)
            row = after

    def reserve(self, count: int) -> None:
        """Have memory ready for so many more orders, of which most will be closed before the last of them comes."""
        self.closed.reserve(count)
        self.pool.reserve(count // _RESERVED_PER_OPEN_ONE)

    def client_order_id(self, order: Order) -> bytes:
        return self.receipts.request_id(order.receipt)

    def remembered(self) -> list[Order]:
        """All orders, copies of those that are closed, in no order."""
        orders = self.pool.in_use()
        row = self.closed.oldest()
        while row:
            if self.closed.is_remembered(row):
                orders.append(self.closed.copy(row))
            row = self.closed.after(row)
        return orders

    def next_trade_id(self) -> int:
        self.last_trade_id += 1
        return self.last_trade_id

    def next_priority(self) -> int:
        self.last_priority += 1
        return self.last_priority

    def enlist(self, order: Order) -> None:
        """The order rests or waits from now on."""
        place = order.account_id * _WORD
        if place >= len(self._first_open):
            more = bytes(place + _WORD - len(self._first_open))
            self._first_open.extend(more)
            self._open_counts.extend(more)
        first = wire.get_u32(self._first_open, place)
        order.before, order.after = 0, first
        if first:
            self.pool.at(first).before = order.slot
        wire.put_u32(self._first_open, place, order.slot)
        wire.put_u32(self._open_counts, place, wire.get_u32(self._open_counts, place) + 1)
        if order.status == WAITING:
            self._waiting_counts[order.account_id] = self._waiting_counts.get(order.account_id, 0) + 1

    def strike(self, order: Order) -> None:
        """It rests or waits no longer. Its status is still what it was while it did."""
        place = order.account_id * _WORD
        if order.before:
            self.pool.at(order.before).after = order.after
        else:
            wire.put_u32(self._first_open, place, order.after)
        if order.after:
            self.pool.at(order.after).before = order.before
        order.before = order.after = 0
        wire.put_u32(self._open_counts, place, wire.get_u32(self._open_counts, place) - 1)
        if order.status == WAITING:
            count = self._waiting_counts[order.account_id] - 1
            if count:
                self._waiting_counts[order.account_id] = count
            else:
                del self._waiting_counts[order.account_id]

    def open_orders(self, account_id: int) -> list[Order]:
        """An account's open orders, in no order."""
        orders: list[Order] = []
        slot = self._word(self._first_open, account_id)
        while slot:
            order = self.pool.at(slot)
            orders.append(order)
            slot = order.after
        return orders

    def accounts(self) -> list[int]:
        """Who has open orders, by ascending number."""
        return [account_id for account_id in range(len(self._first_open) // _WORD) if self.open_count(account_id)]

    def open_count(self, account_id: int) -> int:
        return self._word(self._open_counts, account_id)

    def _word(self, words: bytearray, account_id: int) -> int:
        """The account's word, 0 for one that never had an order."""
        return wire.get_u32(words, account_id * _WORD) if account_id * _WORD < len(words) else 0

    def waiting_count(self, account_id: int) -> int:
        return self._waiting_counts.get(account_id, 0)
