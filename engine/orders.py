"""Orders, and the pool that they are kept in.

An order consists of numbers alone: what it is linked with it names by the number of its place in the pool, 0 for
nothing. So millions of orders are nothing that the garbage collector would look at, and a place that is given back
serves the next order. What few orders have (a trigger, a hidden part, a budget, a second leg) stands in
``SpecialOrder``; every other order answers "nothing" to questions about it.
"""

from __future__ import annotations

from engine.types import NO_TRIGGER, NOT_CLOSED, OPEN


class Order:
    """One order, from its acceptance until its id is forgotten.

    quantity = open + executed + prevented + cancelled, always. ``held_units`` is in the quote asset for
    bids and in the base asset for asks. ``priority`` tells its place among all orders that wait or rest: each that is
    put at the back of a queue gets the next number. ``price_ticks`` 0 is no limit; a market order has one only while
    it rests in an auction. ``level`` is not 0 while it rests, ``older`` and ``newer`` are its neighbours in the queue.
    ``receipt`` is what its request is remembered by, ``balance`` the number of the one that it holds in, once it does;
    ``before`` and ``after`` are its neighbours among its account's open orders.
    """

    __slots__ = (
        "accepted_at_ns",
        "account_id",
        "after",
        "balance",
        "before",
        "cancelled_lots",
        "close_reason",
        "executed_lots",
        "fee_overpaid_ppm",
        "fee_units",
        "held_units",
        "is_special",
        "level",
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
        "receipt",
        "self_trade",
        "side",
        "slot",
        "status",
        "time_in_force",
    )

    accepted_at_ns: int
    account_id: int
    after: int
    balance: int
    before: int
    cancelled_lots: int
    close_reason: int
    executed_lots: int
    fee_overpaid_ppm: int
    fee_units: int
    held_units: int
    is_special: int
    level: int
    market_id: int
    newer: int
    notional_units: int
    older: int
    open_lots: int
    order_id: int
    order_type: int
    post_only: int
    prevented_lots: int
    price_ticks: int
    priority: int
    quantity_lots: int
    receipt: int
    self_trade: int
    side: int
    slot: int
    status: int
    time_in_force: int

    # What an order that is not special answers.
    budget_units = 0
    trigger = NO_TRIGGER
    stop_ticks = 0
    trail_ticks = 0
    trail_ppm = 0
    display_lots = 0
    visible_lots = 0
    expires_at_ns = 0
    linked_order_id = 0

    def __init__(self) -> None:
        self.slot = 0
        self.is_special = 0
        begin(self, 0, 0, 0, 0)


class SpecialOrder(Order):
    """An order that waits, hides, expires, has another leg, or spends a budget.

    ``stop_ticks`` of a trailing stop moves; ``linked_order_id`` is the other leg of a pair; ``display_lots`` is what an
    iceberg shows of each slice, ``visible_lots`` what it shows now.
    """

    __slots__ = (
        "budget_units",
        "display_lots",
        "expires_at_ns",
        "linked_order_id",
        "stop_ticks",
        "trail_ppm",
        "trail_ticks",
        "trigger",
        "visible_lots",
    )

    def __init__(self) -> None:
        Order.__init__(self)
        self.is_special = 1
        self.budget_units = 0
        self.trigger = NO_TRIGGER
        self.stop_ticks = 0
        self.trail_ticks = 0
        self.trail_ppm = 0
        self.display_lots = 0
        self.visible_lots = 0
        self.expires_at_ns = 0
        self.linked_order_id = 0


class OrderPool:
    """Gives out orders, and takes them back when nothing names them any more. Slot 0 is nobody's."""

    __slots__ = ("_free", "_free_slots", "_slots")

    def __init__(self) -> None:
        self._slots: list[Order | None] = [None]
        self._free: list[Order] = []  # plain orders that were given back
        self._free_slots: list[int] = []  # of special ones

    def at(self, slot: int) -> Order:
        """The order of a slot that is in use."""
        order = self._slots[slot]
        assert order is not None, slot
        return order

    def take(self, order_id: int, account_id: int, market_id: int, side: int) -> Order:
        """A plain order of which nothing but this is said."""
        if self._free:
            order = self._free.pop()
        else:
            order = Order()
            order.slot = len(self._slots)
            self._slots.append(order)
        begin(order, order_id, account_id, market_id, side)
        return order

    def take_special(self, order_id: int, account_id: int, market_id: int, side: int) -> SpecialOrder:
        order = SpecialOrder()
        if self._free_slots:
            order.slot = self._free_slots.pop()
            self._slots[order.slot] = order
        else:
            order.slot = len(self._slots)
            self._slots.append(order)
        begin(order, order_id, account_id, market_id, side)
        return order

    def give_back(self, order: Order) -> None:
        """Nobody names this order any more."""
        assert order.level == 0, order.order_id
        if order.is_special:
            self._slots[order.slot] = None
            self._free_slots.append(order.slot)
        else:
            order.order_id = 0
            self._free.append(order)

    def in_use(self) -> list[Order]:
        """All that were taken and not given back, by slot: those that have a number."""
        orders: list[Order] = []
        for slot in range(1, len(self._slots)):
            order = self._slots[slot]
            if order is not None and order.order_id:
                orders.append(order)
        return orders

    def reserve(self, count: int) -> None:
        """Have so many plain orders ready: the memory of new ones comes at a price."""
        for _ in range(count):
            order = Order()
            order.slot = len(self._slots)
            self._slots.append(order)
            self._free.append(order)


def begin(order: Order, order_id: int, account_id: int, market_id: int, side: int) -> None:
    """Make an order new: open, with everything else still to be said."""
    order.order_id = order_id
    order.account_id = account_id
    order.market_id = market_id
    order.side = side
    order.order_type = 0
    order.time_in_force = 0
    order.post_only = 0
    order.self_trade = 0
    order.status = OPEN
    order.close_reason = NOT_CLOSED
    order.price_ticks = 0
    order.quantity_lots = 0
    order.open_lots = 0
    order.executed_lots = 0
    order.prevented_lots = 0
    order.cancelled_lots = 0
    order.notional_units = 0
    order.fee_units = 0
    order.fee_overpaid_ppm = 0
    order.held_units = 0
    order.accepted_at_ns = 0
    order.priority = 0
    order.receipt = 0
    order.level = 0
    order.older = 0
    order.newer = 0
    order.before = 0
    order.after = 0
    order.balance = 0


def shown_lots(order: Order) -> int:
    """What the book shows of an order while it rests."""
    if order.is_special and order.display_lots:
        return order.visible_lots
    return order.open_lots


def special(order: Order) -> SpecialOrder:
    """The same order, known to be special."""
    assert isinstance(order, SpecialOrder), order.order_id
    return order
