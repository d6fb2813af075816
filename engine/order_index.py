"""All orders of a group: by number, and those of each account that are open.

Open means resting in a book or waiting to be elected. Also here: the counters that number trades and places in queues,
which all markets share.
"""

from __future__ import annotations

from engine.book import Order
from engine.types import WAITING


class OrderIndex:
    """``open_orders`` and ``waiting_counts`` have no entry for an account with nothing."""

    def __init__(self) -> None:
        self.orders: dict[int, Order] = {}
        self.open_orders: dict[int, dict[int, Order]] = {}
        self.waiting_counts: dict[int, int] = {}
        self.last_trade_id = 0
        self.last_priority = 0

    def next_trade_id(self) -> int:
        self.last_trade_id += 1
        return self.last_trade_id

    def next_priority(self) -> int:
        self.last_priority += 1
        return self.last_priority

    def enlist(self, order: Order) -> None:
        """The order rests or waits from now on."""
        self.open_orders.setdefault(order.account_id, {})[order.order_id] = order
        if order.status == WAITING:
            self.waiting_counts[order.account_id] = self.waiting_counts.get(order.account_id, 0) + 1

    def strike(self, order: Order) -> None:
        """It rests or waits no longer. Its status is still what it was while it did."""
        orders = self.open_orders[order.account_id]
        del orders[order.order_id]
        if not orders:
            del self.open_orders[order.account_id]
        if order.status == WAITING:
            count = self.waiting_counts[order.account_id] - 1
            if count:
                self.waiting_counts[order.account_id] = count
            else:
                del self.waiting_counts[order.account_id]

    def open_count(self, account_id: int) -> int:
        return len(self.open_orders.get(account_id, ()))

    def waiting_count(self, account_id: int) -> int:
        return self.waiting_counts.get(account_id, 0)
