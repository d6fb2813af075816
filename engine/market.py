"""One market: its book, its waiting stops, its session, and what an order goes through in it.

Here is how an order rests, waits, leaves and closes, and what it holds meanwhile. Who trades with whom is in
``engine.matching``, which states a market passes through in ``engine.sessions``.
"""

from __future__ import annotations

from engine.book import Book
from engine.event_writer import EventWriter
from engine.fees import fee_to_come_units, rates, worst_rate_ppm
from engine.ledger import Balance, Ledger
from engine.order_index import OrderIndex
from engine.orders import Order, special
from engine.session import Session
from engine.stops import StopBook
from engine.timers import ORDER_EXPIRES, Timers
from engine.types import (
    BUY,
    CANCELLED,
    CLOSED_OTHER_LEG,
    LIMIT,
    MARKET_BUDGET,
    NOTIONAL_MAX,
    OPEN,
    WAITING,
    MarketSpec,
)
from engine.volume import Volumes


class Market:
    """Owns the orders that rest or wait in it. ``index``, ``ledger``, ``volumes`` and ``timers`` are all markets'.

    ``timestamp_ns`` is the time of the command under way, ``first_trade_ticks`` and ``last_trade_ticks`` the prices
    that its trades began and ended with (0 if none), which is all that elections need to know of a sweep.
    ``book_changed`` asks for a new indicative price. What the listing says of amounts stands here as numbers, ``spec``
    has all of it. The last four fields carry what ``engine.matching`` found out to who asked.
    """

    __slots__ = (
        "base_asset_id",
        "base_decimals",
        "book",
        "book_changed",
        "fillable_notional_units",
        "fillable_stopped",
        "first_trade_ticks",
        "greatest_key",
        "index",
        "last_trade_ticks",
        "least_key",
        "ledger",
        "listed_maker_ppm",
        "listed_taker_ppm",
        "lot_units",
        "market_id",
        "min_notional_units",
        "notional_units",
        "open_count",
        "prevented_lots",
        "price_ticks_max",
        "quote_asset_id",
        "quote_decimals",
        "session",
        "spec",
        "stops",
        "tick_units",
        "timers",
        "timestamp_ns",
        "volumes",
        "worst_rate_ppm",
    )

    def __init__(self, spec: MarketSpec, ledger: Ledger, index: OrderIndex, volumes: Volumes, timers: Timers) -> None:
        self.spec = spec
        self.ledger = ledger
        self.index = index
        self.volumes = volumes
        self.timers = timers
        self.session = Session()
        self.book = Book(index.pool)
        self.stops = StopBook()
        self.open_count = 0
        self.timestamp_ns = 0
        self.first_trade_ticks = 0
        self.last_trade_ticks = 0
        self.book_changed = False
        self.market_id = spec.market_id
        self.base_asset_id = spec.base_asset_id
        self.quote_asset_id = spec.quote_asset_id
        self.base_decimals = spec.base_decimals
        self.quote_decimals = spec.quote_decimals
        self.tick_units = spec.tick_units
        self.lot_units = spec.lot_units
        self.notional_units = spec.notional_units
        self.price_ticks_max = NOTIONAL_MAX // spec.notional_units  # beyond it a single lot would be worth too much
        self.min_notional_units = spec.min_notional_units
        self.listed_maker_ppm = spec.maker_fee_ppm
        self.listed_taker_ppm = spec.taker_fee_ppm
        self.worst_rate_ppm = worst_rate_ppm(spec)
        self.least_key = 0
        self.greatest_key = 0
        self.prevented_lots = 0
        self.fillable_stopped = False
        self.fillable_notional_units = 0

    def begin(self, timestamp_ns: int) -> None:
        """A command comes to this market: the band is measured from the last price before it."""
        self.timestamp_ns = timestamp_ns
        self.session.reference_ticks = self.session.last_price_ticks

    def rest(self, order: Order) -> None:
        """Put an open order at the back of its queue."""
        assert order.open_lots > 0 and order.price_ticks > 0, order.order_id
        self._queue(order)
        self.index.enlist(order)
        self.open_count += 1

    def requeue(self, order: Order, executed_lots: int) -> None:
        """Take all that an iceberg shows and put it at the back of its queue with its next slice."""
        self.book.side(order.side).remove(order)
        order.open_lots -= executed_lots
        self._queue(order)

    def lift(self, order: Order) -> None:
        """Take a resting order out of the book without closing it."""
        self.book.side(order.side).remove(order)
        self.index.strike(order)
        self.open_count -= 1
        self.book_changed = True

    def wait(self, order: Order) -> None:
        """Let a stop wait to be elected."""
        assert order.status == WAITING, order.order_id
        self.stops.add(order)
        self.index.enlist(order)
        self.open_count += 1

    def wait_no_more(self, order: Order) -> None:
        """A stop was elected or is to be closed."""
        self.stops.remove(order)
        self.index.strike(order)
        self.open_count -= 1

    def restore(self, order: Order) -> None:
        """Put back an order of a snapshot that rested or waited; they come in the order of their priorities."""
        if order.status == WAITING:
            self.stops.add(order)
        else:
            self.book.side(order.side).add(order)
        self.index.enlist(order)
        self.open_count += 1

    def cancel(self, order: Order, reason: int, emit: EventWriter) -> None:
        """Close what is open of an order, resting, waiting or on its way in, and free what it holds."""
        if order.level:
            self.lift(order)
        elif order.status == WAITING:
            self.wait_no_more(order)
        order.cancelled_lots += order.open_lots
        order.open_lots = 0
        self.close_with_rest(order, CANCELLED, reason, emit)

    def close_with_rest(self, order: Order, status: int, reason: int, emit: EventWriter) -> None:
        """Close an order that is out of the book and was not filled completely."""
        released_units = order.held_units
        self.close(order, status, reason)
        emit.order_closed(order, released_units)
        if reason != CLOSED_OTHER_LEG:
            self.close_other_leg(order, emit)

    def close(self, order: Order, status: int, reason: int) -> None:
        order.status = status
        order.close_reason = reason
        self.adjust_hold(order, 0)
        if order.is_special and order.expires_at_ns:
            self.timers.forget(ORDER_EXPIRES, order.order_id)
        self.index.close(order)

    def close_other_leg(self, order: Order, emit: EventWriter) -> None:
        """One cancels the other: what became of this leg ends the other one (rulebook F7)."""
        if order.is_special and order.linked_order_id:
            other = self.index.find_open(order.linked_order_id)
            if other is not None and other.status in (OPEN, WAITING):
                self.cancel(other, CLOSED_OTHER_LEG, emit)

    def adjust_hold(self, order: Order, held_units: int) -> None:
        """Bring what the order holds to ``held_units``, from or to the account's available balance."""
        if held_units != order.held_units:
            self.ledger.hold_in(self.balance_of(order), held_units - order.held_units)
            order.held_units = held_units

    def balance_of(self, order: Order) -> Balance:
        """The balance that an order holds in."""
        if not order.balance:
            order.balance = self.ledger.balance(order.account_id, self.held_asset_id(order)).number
        return self.ledger.balance_at(order.balance)

    def available_units(self, order: Order) -> int:
        """What the order's account has to hold for it."""
        if not order.balance:
            order.balance = self.ledger.balance_number(order.account_id, self.held_asset_id(order))
        return self.ledger.balance_at(order.balance).available_units if order.balance else 0

    def held_asset_id(self, order: Order) -> int:
        return self.quote_asset_id if order.side == BUY else self.base_asset_id

    def held_for(self, order: Order) -> int:
        """What an order must hold that rests or waits. The second leg of a pair holds what the first does not."""
        if order.status != WAITING:
            return self._need(order, order.price_ticks)
        need_units = self.need_once_elected(order)
        if order.linked_order_id:
            other = self.index.find_open(order.linked_order_id)
            assert other is not None, order.order_id
            return max(0, need_units - other.held_units)
        return need_units

    def need_once_elected(self, order: Order) -> int:
        """A stop's own need. One to buy at market is reckoned at its stop price."""
        if order.order_type == MARKET_BUDGET:
            return order.budget_units
        return self._need(order, order.price_ticks if order.order_type == LIMIT else order.stop_ticks)

    def maker_rate_ppm(self, account_id: int) -> int:
        return self.listed_maker_ppm if not self.session.tiers else self._rates(account_id)[0]

    def taker_rate_ppm(self, account_id: int) -> int:
        return self.listed_taker_ppm if not self.session.tiers else self._rates(account_id)[1]

    def _need(self, order: Order, price_ticks: int) -> int:
        """For an ask its base, for a bid its open notional at this price and the worst fee on it."""
        if order.side != BUY:
            return order.open_lots * self.lot_units
        notional_units = order.open_lots * price_ticks * self.notional_units
        fee_units = fee_to_come_units(order.fee_overpaid_ppm, notional_units, self.worst_rate_ppm)
        return notional_units + max(0, fee_units)

    def _rates(self, account_id: int) -> tuple[int, int]:
        volume_units = self.volumes.last_30_days(account_id, self.quote_asset_id, self.timestamp_ns)
        return rates(self.spec, self.session.tiers, volume_units)

    def _queue(self, order: Order) -> None:
        order.priority = self.index.next_priority()
        if order.is_special:
            iceberg = special(order)
            iceberg.visible_lots = min(iceberg.display_lots, iceberg.open_lots)
        self.book.side(order.side).add(order)
        self.book_changed = True
