"""Commands of traders about orders: place, cancel, amend, cancel many.

Each handler checks everything, then changes. What it checks, in order of precedence, is listed in
``engine.rejects``. A handler answers the reason of a refusal, or ACCEPTED after its events are emitted.
"""

from __future__ import annotations

from engine import rejects
from engine.book import Order
from engine.commands import AmendOrder, PlaceOco, PlaceOrder, PlaceSpecialOrder
from engine.dedup import Receipts
from engine.events import Emit, OrdersCancelled
from engine.ledger import Ledger
from engine.market import Market
from engine.matching import would_trade
from engine.order_checks import (
    check_limits,
    check_matching,
    check_state,
    needed_units,
    price_for_auction,
    read_amendment,
)
from engine.order_entry import oco_well_formed, read_order, read_pair, well_formed
from engine.order_index import OrderIndex
from engine.order_reports import accepted, amended, conditions, is_special
from engine.registry import Registry
from engine.session import COLLECTS, TAKES_ORDERS
from engine.sessions import Sessions
from engine.stops import would_trigger
from engine.timers import ORDER_EXPIRES, Timers
from engine.types import (
    CLOSED_BY_OPERATOR,
    CLOSED_BY_OWNER,
    CLOSED_EXPIRED,
    EITHER_SIDE,
    LIMIT,
    MARKET,
    OPEN,
    POST_ONLY,
    SECOND_LEG,
    TRADING,
    WAITING,
    MarketSpec,
)
from engine.volume import Volumes


class Trading:
    """The traders' desk. ``orders`` are all orders that are remembered, ``markets`` the listed ones by id."""

    def __init__(
        self, registry: Registry, ledger: Ledger, receipts: Receipts, timers: Timers, sessions: Sessions
    ) -> None:
        self.index = OrderIndex()
        self.volumes = Volumes()
        self.markets: dict[int, Market] = {}
        self.sessions = sessions
        self._registry = registry
        self._ledger = ledger
        self._receipts = receipts
        self._timers = timers

    @property
    def orders(self) -> dict[int, Order]:
        return self.index.orders

    def open_market(self, spec: MarketSpec) -> Market:
        market = self.markets[spec.market_id] = Market(spec, self._ledger, self.index, self.volumes, self._timers)
        return market

    def find_order(self, account_id: int, order_id: int, client_order_id: bytes) -> Order | None:
        """An order by its number, or by its client's id where the number is 0. Others' orders are not found."""
        if not order_id:
            receipt = self._receipts.find(account_id, client_order_id)
            order_id = receipt.subject_id if receipt is not None else 0
            order = self.orders.get(order_id)
            return order if order is not None and order.client_order_id == client_order_id else None
        order = self.orders.get(order_id)
        return order if order is not None and order.account_id == account_id else None

    def place(self, command: PlaceOrder | PlaceSpecialOrder, sequence: int, timestamp_ns: int, emit: Emit) -> int:
        if not well_formed(command):
            return rejects.MALFORMED
        market = self.markets.get(command.market_id)
        if market is None:
            return rejects.UNKNOWN_MARKET
        if self._registry.is_frozen(command.account_id):
            return rejects.ACCOUNT_FROZEN
        market.begin(timestamp_ns)
        if market.session.state != TRADING:
            reason = check_state(market, command)
            if reason:
                return reason
        last_price_ticks = market.session.last_price_ticks
        order, reason = read_order(command, market.spec, sequence, timestamp_ns, last_price_ticks)
        if not reason and order.order_type == MARKET and order.status == OPEN and market.session.state in COLLECTS:
            reason = price_for_auction(order, market)
        if not reason and order.trigger and not order.stop_ticks:
            reason = rejects.NO_LAST_PRICE
        if not reason:
            reason = check_limits(market, order, self._registry.limits(order.account_id))
        if not reason and order.status == WAITING and would_trigger(order, last_price_ticks):
            reason = rejects.STOP_WOULD_TRIGGER
        if not reason and order.status == OPEN:
            reason = check_matching(market, order)
        if reason:
            return reason
        held_units = needed_units(market, order)
        if self._ledger.available_units(order.account_id, market.held_asset_id(order)) < held_units:
            return rejects.NO_FUNDS

        self.orders[order.order_id] = order
        market.adjust_hold(order, held_units)
        if order.expires_at_ns:
            self._timers.schedule(order.expires_at_ns, ORDER_EXPIRES, order.order_id)
        if order.status == WAITING:
            self._wait(market, order)
        _tell_accepted(order, emit)
        if order.status == OPEN:
            self.sessions.run_taker(market, order, emit)
        return rejects.ACCEPTED

    def place_oco(self, command: PlaceOco, sequence: int, timestamp_ns: int, emit: Emit) -> int:
        """Two orders over the same funds; the first may trade at once, which ends the second (rulebook F7)."""
        if not oco_well_formed(command):
            return rejects.MALFORMED
        market = self.markets.get(command.market_id)
        if market is None:
            return rejects.UNKNOWN_MARKET
        if self._registry.is_frozen(command.account_id):
            return rejects.ACCOUNT_FROZEN
        market.begin(timestamp_ns)
        if market.session.state not in TAKES_ORDERS:
            return rejects.MARKET_STATE
        limit_leg, stop_leg, reason = read_pair(command, market.spec, (sequence, sequence + SECOND_LEG), timestamp_ns)
        if not reason:
            limits = self._registry.limits(command.account_id)
            reason = check_limits(market, limit_leg, limits) or check_limits(market, stop_leg, limits, also=1)
        if not reason and would_trigger(stop_leg, market.session.last_price_ticks):
            reason = rejects.STOP_WOULD_TRIGGER
        if not reason:
            reason = check_matching(market, limit_leg)
        if reason:
            return reason
        limit_units, stop_units = market.held_for(limit_leg), market.need_once_elected(stop_leg)
        held_units = max(limit_units, stop_units)
        if self._ledger.available_units(command.account_id, market.held_asset_id(limit_leg)) < held_units:
            return rejects.NO_FUNDS

        for leg, leg_units in ((limit_leg, limit_units), (stop_leg, held_units - limit_units)):
            self.orders[leg.order_id] = leg
            market.adjust_hold(leg, leg_units)
        self._wait(market, stop_leg)
        for leg in (limit_leg, stop_leg):
            _tell_accepted(leg, emit)
        self.sessions.run_taker(market, limit_leg, emit)
        return rejects.ACCEPTED

    def cancel(self, order: Order | None, timestamp_ns: int, emit: Emit) -> int:
        if order is None:
            return rejects.UNKNOWN_ORDER
        if order.status not in (OPEN, WAITING):
            return rejects.ORDER_CLOSED
        market = self.markets[order.market_id]
        if market.session.refuses_cancels():
            return rejects.NO_CANCEL
        market.begin(timestamp_ns)
        market.cancel(order, CLOSED_BY_OWNER, emit)
        return rejects.ACCEPTED

    def amend(self, order: Order | None, command: AmendOrder, timestamp_ns: int, emit: Emit) -> int:
        """Change price or total quantity. Only a pure reduction keeps the order's place (rulebook rows A7, A8)."""
        if order is None:
            return rejects.UNKNOWN_ORDER
        if order.status not in (OPEN, WAITING):
            return rejects.ORDER_CLOSED
        market = self.markets[order.market_id]
        if market.session.state not in TAKES_ORDERS:
            return rejects.MARKET_STATE
        if market.session.refuses_cancels():
            return rejects.NO_CANCEL
        if order.status == WAITING or order.linked_order_id or order.order_type != LIMIT:
            return rejects.NOT_AMENDABLE
        market.begin(timestamp_ns)
        wanted, reason = read_amendment(market, order, command)
        if reason:
            return reason
        keeps_place = wanted.price_ticks == order.price_ticks and wanted.open_lots <= order.open_lots
        crosses = not keeps_place and would_trade(market, wanted)
        if crosses and (order.post_only or market.session.state == POST_ONLY):
            return rejects.POST_ONLY
        held_units = market.held_for(wanted)
        available_units = self._ledger.available_units(order.account_id, market.held_asset_id(order))
        if held_units - order.held_units > available_units:
            return rejects.NO_FUNDS

        if keeps_place:
            if wanted.open_lots < order.open_lots:
                market.book.side(order.side).shrink(order, order.open_lots - wanted.open_lots)
                market.book_changed = True
        else:
            market.lift(order)
            order.price_ticks, order.open_lots = wanted.price_ticks, wanted.open_lots
        order.quantity_lots = wanted.quantity_lots
        market.adjust_hold(order, held_units)
        emit(amended(order, keeps_place))
        if not keeps_place:
            self.sessions.run_taker(market, order, emit)
        return rejects.ACCEPTED

    def cancel_many(
        self, owner_id: int, market_id: int, side: int, timestamp_ns: int, emit: Emit, *, by_operator: bool = False
    ) -> int:
        """Cancel one account's open orders (or everybody's, where ``owner_id`` is 0), the oldest first.

        An owner's orders in an auction that takes none back are left alone; where only that market is asked for, the
        command is refused.
        """
        if market_id and self._registry.market(market_id) is None:
            return rejects.UNKNOWN_MARKET
        if market_id and not by_operator and self.markets[market_id].session.refuses_cancels():
            return rejects.NO_CANCEL
        reason = CLOSED_BY_OPERATOR if by_operator else CLOSED_BY_OWNER
        count = self.close_all(owner_id, market_id, side, reason, timestamp_ns, emit, in_any_phase=by_operator)
        emit(OrdersCancelled(owner_id, market_id, count))
        return rejects.ACCEPTED

    def close_all(
        self,
        owner_id: int,
        market_id: int,
        side: int,
        reason: int,
        timestamp_ns: int,
        emit: Emit,
        *,
        in_any_phase: bool,
    ) -> int:
        """Close open orders by owner (0: everybody), market (0: all) and side, by number. Answers how many it chose.

        The second leg of a pair counts although the first one takes it along.
        """
        owners = [owner_id] if owner_id else sorted(self.index.open_orders)
        chosen = [
            order
            for owner in owners
            for order in self.index.open_orders.get(owner, {}).values()
            if market_id in (0, order.market_id)
            and side in (EITHER_SIDE, order.side)
            and (in_any_phase or not self.markets[order.market_id].session.refuses_cancels())
        ]
        for order in sorted(chosen, key=lambda order: order.order_id):
            market = self.markets[order.market_id]
            market.begin(timestamp_ns)
            if order.status in (OPEN, WAITING):
                market.cancel(order, reason, emit)
        return len(chosen)

    def on_order_expires(self, order_id: int, due_ns: int, timestamp_ns: int, emit: Emit) -> None:
        order = self.orders[order_id]
        assert order.expires_at_ns == due_ns and order.status in (OPEN, WAITING), (order_id, due_ns)
        market = self.markets[order.market_id]
        market.begin(timestamp_ns)
        market.cancel(order, CLOSED_EXPIRED, emit)

    def _wait(self, market: Market, order: Order) -> None:
        order.priority = self.index.next_priority()
        market.wait(order)


def _tell_accepted(order: Order, emit: Emit) -> None:
    emit(accepted(order))
    if is_special(order):
        emit(conditions(order))
