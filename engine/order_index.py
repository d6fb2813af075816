"""All orders of a group: by number, and those of each account that are open.

Open means resting in a book or waiting to be elected. Also here: the counters that number trades and places in queues,
which all markets share.
"""

from __future__ import annotations

from typing import Final

from engine import wire
from engine.dedup import Receipts
from engine.number_index import NumberIndex
from engine.orders import Order, OrderPool
from engine.types import WAITING

_WORD: Final = 4


class OrderIndex:
    """Owns which orders are remembered. ``receipts`` know by which id a client calls an order."""

    __slots__ = (
        "_by_number",
        "_first_open",
        "_open_counts",
        "_waiting_counts",
        "last_priority",
        "last_trade_id",
        "pool",
        "receipts",
    )

    def __init__(self, receipts: Receipts) -> None:
        self.pool = OrderPool()
        self.receipts = receipts
        self.last_trade_id = 0
        self.last_priority = 0
        self._by_number = NumberIndex()
        # By account: the slot of its first open order, and how many it has.
        self._first_open = bytearray()
        self._open_counts = bytearray()
        self._waiting_counts: dict[int, int] = {}  # no entry for an account without

    def __len__(self) -> int:
        return len(self._by_number)

    def find(self, order_id: int) -> Order | None:
        """A remembered order."""
        slot = self._by_number.find(order_id)
        return self.pool.at(slot) if slot else None

    def add(self, order: Order, receipt: int) -> None:
        """The order was accepted, and is remembered from now on, by this receipt (0: by one that comes later)."""
        self._by_number.add(order.order_id, order.slot)
        if receipt:
            self.name(order, receipt)

    def name(self, order: Order, receipt: int) -> None:
        """The order is what the id of this receipt stands for."""
        order.receipt = receipt
        self.receipts.name_order(receipt, order.slot)

    def forget(self, order: Order) -> None:
        """Nobody may ask for the order any more."""
        self._by_number.remove(order.order_id)
        self.pool.give_back(order)

    def client_order_id(self, order: Order) -> bytes:
        return self.receipts.request_id(order.receipt)

    def remembered(self) -> list[Order]:
        """All orders, in no order."""
        return self.pool.in_use()

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
