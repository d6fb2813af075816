"""Commands of traders about orders: place, cancel, amend, cancel many.

Each handler checks everything, then changes. What it checks, in order of precedence, is listed in
``engine.rejects``. A handler answers the reason of a refusal, or ACCEPTED after its events are emitted.
"""

from __future__ import annotations

from engine import rejects
from engine.amounts import SCALE_ABSENT
from engine.book import Order
from engine.commands import AmendOrder, PlaceOco, PlaceOrder, PlaceSpecialOrder
from engine.dedup import Receipts
from engine.events import Emit, OrdersCancelled
from engine.ledger import Ledger
from engine.market import Market
from engine.matching import cost_of_fillable, fillable, would_trade
from engine.order_entry import (
    check_iceberg,
    check_notional,
    oco_well_formed,
    read_order,
    read_pair,
    set_price,
    set_quantity,
    well_formed,
)
from engine.order_index import OrderIndex
from engine.order_reports import accepted, amended, conditions, is_special
from engine.registry import Registry
from engine.session import COLLECTS, TAKES_ORDERS
from engine.sessions import Sessions
from engine.stops import would_trigger
from engine.timers import ORDER_EXPIRES, Timers
from engine.types import (
    AUCTION,
    CLOSED_BY_OPERATOR,
    CLOSED_BY_OWNER,
    CLOSED_EXPIRED,
    EITHER_SIDE,
    FOK,
    IOC,
    LIMIT,
    MARKET,
    MARKET_BUDGET,
    NOTIONAL_MAX,
    OPEN,
    OPEN_ORDERS_PER_ACCOUNT_MAX,
    POST_ONLY,
    PRICE_LEVELS_PER_SIDE_MAX,
    SECOND_LEG,
    SELL,
    STOP,
    STOPS_PER_MARKET_MAX,
    TRADING,
    TRAILING_STOPS_PER_MARKET_MAX,
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
            reason = _check_state(market, command)
            if reason:
                return reason
        last_price_ticks = market.session.last_price_ticks
        order, reason = read_order(command, market.spec, sequence, timestamp_ns, last_price_ticks)
        if not reason and order.order_type == MARKET and order.status == OPEN and market.session.state in COLLECTS:
            reason = _price_for_auction(order, market)
        if not reason and order.trigger and not order.stop_ticks:
            reason = rejects.NO_LAST_PRICE
        if not reason:
            reason = self._check_limits(market, order)
        if not reason and order.status == WAITING and would_trigger(order, last_price_ticks):
            reason = rejects.STOP_WOULD_TRIGGER
        if not reason and order.status == OPEN:
            reason = _check_matching(market, order)
        if reason:
            return reason
        held_units = _needed_units(market, order)
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
            reason = self._check_limits(market, limit_leg) or self._check_limits(market, stop_leg, also=1)
        if not reason and would_trigger(stop_leg, market.session.last_price_ticks):
            reason = rejects.STOP_WOULD_TRIGGER
        if not reason:
            reason = _check_matching(market, limit_leg)
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
        wanted, reason = self._read_amendment(market, order, command)
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
        order = self.orders.get(order_id)
        if order is not None and order.expires_at_ns == due_ns and order.status in (OPEN, WAITING):
            market = self.markets[order.market_id]
            market.begin(timestamp_ns)
            market.cancel(order, CLOSED_EXPIRED, emit)

    def _wait(self, market: Market, order: Order) -> None:
        order.priority = self.index.next_priority()
        market.wait(order)

    def _read_amendment(self, market: Market, order: Order, command: AmendOrder) -> tuple[Order, int]:
        """The order as it would be, not in the book, and ACCEPTED or the reason why it cannot be."""
        wanted = Order(order.order_id, order.account_id, order.market_id, order.side, order.client_order_id)
        wanted.price_ticks, wanted.quantity_lots = order.price_ticks, order.quantity_lots
        wanted.fee_overpaid_ppm, wanted.display_lots = order.fee_overpaid_ppm, order.display_lots
        reason = rejects.ACCEPTED
        if command.price_scale != SCALE_ABSENT:
            reason = set_price(wanted, market.spec, command.price_mantissa, command.price_scale)
        if not reason and command.quantity_scale != SCALE_ABSENT:
            reason = set_quantity(wanted, market.spec, command.quantity_mantissa, command.quantity_scale)
        if not reason and order.display_lots:
            reason = check_iceberg(wanted)
        # What self-trade prevention took is spent as well.
        spent_lots = order.executed_lots + order.prevented_lots
        if not reason and wanted.quantity_lots <= spent_lots:
            reason = rejects.QUANTITY_BELOW_EXECUTED
        wanted.open_lots = wanted.quantity_lots - spent_lots
        if not reason:
            reason = check_notional(wanted, market.spec)
        if not reason:
            is_reduction = wanted.price_ticks == order.price_ticks and wanted.open_lots <= order.open_lots
            # Amended again and again, one order could trade more in all than its totals can hold.
            if not is_reduction and order.notional_units > NOTIONAL_MAX // 2:
                reason = rejects.NOTIONAL_TOO_LARGE
            elif not is_reduction and _too_many_levels(market, wanted):
                reason = rejects.TOO_MANY
        return wanted, reason

    def _check_limits(self, market: Market, order: Order, also: int = 0) -> int:
        """The limits on what rests or waits: the account's, the market's and the engine's. ``also``: so many more."""
        if order.status == OPEN and not can_rest(order):
            return rejects.ACCEPTED
        rules, account_id, index = market.session.rules, order.account_id, self.index
        limits = self._registry.limits(account_id)
        open_orders_max = min(limits.open_orders_max or OPEN_ORDERS_PER_ACCOUNT_MAX, OPEN_ORDERS_PER_ACCOUNT_MAX)
        if index.open_count(account_id) + also >= open_orders_max:
            return rejects.TOO_MANY
        if rules.open_orders_max and market.open_count + also >= rules.open_orders_max:
            return rejects.TOO_MANY
        if order.status == OPEN:
            return rejects.TOO_MANY if _too_many_levels(market, order) else rejects.ACCEPTED
        if len(market.stops) >= min(rules.stops_max or STOPS_PER_MARKET_MAX, STOPS_PER_MARKET_MAX):
            return rejects.TOO_MANY
        if limits.stops_max and index.waiting_count(account_id) >= limits.stops_max:
            return rejects.TOO_MANY
        if order.trigger != STOP and market.stops.trailing_count >= TRAILING_STOPS_PER_MARKET_MAX:
            return rejects.TOO_MANY
        return rejects.ACCEPTED


def _tell_accepted(order: Order, emit: Emit) -> None:
    emit(accepted(order))
    if is_special(order):
        emit(conditions(order))


def can_rest(order: Order) -> bool:
    """Does what is left of it stay in the book? A market order does only in an auction, where it has a price."""
    return order.price_ticks > 0 and (order.order_type == MARKET or order.time_in_force not in (IOC, FOK))


def _check_state(market: Market, command: PlaceOrder | PlaceSpecialOrder) -> int:
    """Does the market take this kind of order in its present state? (rulebook G1, G6; docs/rules.md)"""
    session = market.session
    if session.state not in TAKES_ORDERS:
        return rejects.MARKET_STATE
    if isinstance(command, PlaceSpecialOrder) and command.trigger:
        return rejects.ACCEPTED
    if command.order_type == LIMIT:
        return rejects.MARKET_STATE if command.time_in_force in (IOC, FOK) else rejects.ACCEPTED
    takes_it = session.state == AUCTION and session.rules.auction_market_orders and command.order_type == MARKET
    return rejects.ACCEPTED if takes_it else rejects.MARKET_STATE


def _price_for_auction(order: Order, market: Market) -> int:
    """In an auction a market order counts as a limit at the edge of the price band (rulebook G6)."""
    order.price_ticks = market.session.band_edge_ticks(order.side)
    if not order.price_ticks:
        return rejects.NO_LAST_PRICE
    if order.quantity_lots > NOTIONAL_MAX // (order.price_ticks * market.spec.notional_units):
        return rejects.NOTIONAL_TOO_LARGE
    return rejects.ACCEPTED


def _check_matching(market: Market, order: Order) -> int:
    """What an order asks of the book at this moment: not to trade, or to be filled completely."""
    post_only = order.post_only or market.session.state == POST_ONLY
    if post_only and would_trade(market, order):
        return rejects.POST_ONLY
    if order.time_in_force == FOK and fillable(market, order).lots < order.open_lots:
        return rejects.FOK
    return rejects.ACCEPTED


def _needed_units(market: Market, order: Order) -> int:
    """What an order must hold from its acceptance on."""
    if order.status == WAITING:
        return market.need_once_elected(order)
    if order.order_type == MARKET_BUDGET:
        return order.budget_units
    if order.price_ticks or order.side == SELL:
        return market.held_for(order)
    return cost_of_fillable(market, order)


def _too_many_levels(market: Market, order: Order) -> bool:
    side = market.book.side(order.side)
    return len(side.keys) >= PRICE_LEVELS_PER_SIDE_MAX and side.key_of(order.price_ticks) not in side.levels
