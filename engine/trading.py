"""Commands of traders about orders: place, cancel, amend, cancel many.

Each handler checks everything, then changes. What it checks, in order of precedence, is listed in
``engine.rejects``. A handler answers the reason of a refusal, or ACCEPTED after its events are emitted.
"""

from __future__ import annotations

from operator import attrgetter

from engine import rejects
from engine.commands import PlaceOco
from engine.dedup import Receipts
from engine.event_writer import EventWriter
from engine.events import OrdersCancelled
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
from engine.order_command import OrderCommand
from engine.order_entry import oco_well_formed, read_amounts, read_order, read_pair, well_formed
from engine.order_index import OrderIndex
from engine.order_reports import conditions, is_special
from engine.orders import Order, SpecialOrder
from engine.registry import Registry
from engine.rejects import ACCEPTED
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
    """The traders' desk. ``markets`` are the listed ones by id; the index has all orders that are remembered."""

    __slots__ = ("_ledger", "_markets", "_registry", "_timers", "index", "sessions", "volumes")

    def __init__(
        self, registry: Registry, ledger: Ledger, receipts: Receipts, timers: Timers, sessions: Sessions
    ) -> None:
        self.index = OrderIndex(receipts)
        self.volumes = Volumes()
        self.sessions = sessions
        self._markets: list[Market | None] = [None]  # by id
        self._registry = registry
        self._ledger = ledger
        self._timers = timers

    @property
    def markets(self) -> list[Market]:
        """All markets, by ascending id."""
        return [market for market in self._markets if market is not None]

    def market(self, market_id: int) -> Market | None:
        return self._markets[market_id] if market_id < len(self._markets) else None

    def market_of(self, order: Order) -> Market:
        market = self._markets[order.market_id]
        assert market is not None, order.order_id
        return market

    def open_market(self, spec: MarketSpec) -> Market:
        market = Market(spec, self._ledger, self.index, self.volumes, self._timers)
        assert spec.market_id == len(self._markets), spec
        self._markets.append(market)
        return market

    def find_order(self, account_id: int, order_id: int) -> Order | None:
        """An order of this account by its number. Others' orders are not found."""
        order = self.index.find(order_id)
        return order if order is not None and order.account_id == account_id else None

    def find_named_order(self, hashed: int, account_id: int, data: bytes, start: int, length: int) -> Order | None:
        """The order that its client calls ``data[start : start + length]``, of which ``Receipts.hash_of`` was asked."""
        receipt = self.index.receipts.find_hashed(hashed, account_id, data, start, length)
        return self.index.find(self.index.receipts.order_id(receipt)) if receipt else None

    def place(self, command: OrderCommand, sequence: int, timestamp_ns: int, emit: EventWriter) -> int:
        if not well_formed(command):
            return rejects.MALFORMED
        market = self.market(command.market_id)
        if market is None:
            return rejects.UNKNOWN_MARKET
        if command.standing is not None and command.standing.frozen:
            return rejects.ACCOUNT_FROZEN
        market.begin(timestamp_ns)
        if market.session.state != TRADING:
            reason = check_state(market, command)
            if reason:
                return reason
        order = read_order(command, market, sequence)
        reason = self._check_placement(market, order, command)
        if reason:
            self.index.pool.give_back(order)
            return reason
        held_units = needed_units(market, order)
        if market.available_units(order) < held_units:
            self.index.pool.give_back(order)
            return rejects.NO_FUNDS

        self.index.add(order, command.receipt)
        market.adjust_hold(order, held_units)
        if order.is_special:
            if order.expires_at_ns:
                self._timers.schedule(order.expires_at_ns, ORDER_EXPIRES, order.order_id)
            if order.status == WAITING:
                self._wait(market, order)
        emit.order_accepted(order, command.data, command.id_start, command.id_length)
        if order.is_special and is_special(order):
            emit(conditions(order))
        if order.status == OPEN:
            self.sessions.run_taker(market, order, emit)
        return ACCEPTED

    def _check_placement(self, market: Market, order: Order, command: OrderCommand) -> int:
        """Read what the order's command says of amounts, and judge all of it but the funds."""
        session = market.session
        reason = read_amounts(order, command, market)
        goes_to_auction = order.order_type == MARKET and order.status == OPEN and session.state != TRADING
        if not reason and goes_to_auction and session.state in COLLECTS:
            reason = price_for_auction(order, market)
        if not reason and order.is_special and order.trigger and not order.stop_ticks:
            reason = rejects.NO_LAST_PRICE
        if not reason:
            reason = check_limits(market, order, command.standing)
        if not reason and order.status == WAITING and would_trigger(order, session.last_price_ticks):
            reason = rejects.STOP_WOULD_TRIGGER
        if not reason and order.status == OPEN:
            reason = check_matching(market, order)
        return reason

    def place_oco(self, command: OrderCommand, sequence: int, timestamp_ns: int, emit: EventWriter) -> int:
        """Two orders over the same funds; the first may trade at once, which ends the second (rulebook F7)."""
        asked = command.record
        assert isinstance(asked, PlaceOco), asked
        if not oco_well_formed(asked):
            return rejects.MALFORMED
        market = self.market(asked.market_id)
        if market is None:
            return rejects.UNKNOWN_MARKET
        if self._registry.is_frozen(asked.account_id):
            return rejects.ACCOUNT_FROZEN
        market.begin(timestamp_ns)
        if market.session.state not in TAKES_ORDERS:
            return rejects.MARKET_STATE
        pool = self.index.pool
        limit_leg = pool.take_special(sequence, asked.account_id, asked.market_id, asked.side)
        stop_leg = pool.take_special(sequence + SECOND_LEG, asked.account_id, asked.market_id, asked.side)
        reason = self._check_pair(market, limit_leg, stop_leg, asked)
        limit_units = stop_units = 0
        if not reason:
            limit_units, stop_units = market.held_for(limit_leg), market.need_once_elected(stop_leg)
            if market.available_units(limit_leg) < max(limit_units, stop_units):
                reason = rejects.NO_FUNDS
        if reason:
            pool.give_back(limit_leg)
            pool.give_back(stop_leg)
            return reason

        self.index.add(limit_leg, command.receipt)
        self.index.add(stop_leg, 0)  # its receipt comes when the command is done
        market.adjust_hold(limit_leg, limit_units)
        market.adjust_hold(stop_leg, max(limit_units, stop_units) - limit_units)
        self._wait(market, stop_leg)
        emit.order_accepted(limit_leg, command.data, command.id_start, command.id_length)
        emit(conditions(limit_leg))
        emit.order_accepted(stop_leg, asked.stop_client_order_id, 0, len(asked.stop_client_order_id))
        emit(conditions(stop_leg))
        self.sessions.run_taker(market, limit_leg, emit)
        return ACCEPTED

    def _check_pair(self, market: Market, limit_leg: SpecialOrder, stop_leg: SpecialOrder, asked: PlaceOco) -> int:
        reason = read_pair(limit_leg, stop_leg, asked, market)
        if not reason:
            standing = self._registry.standing_of(asked.account_id)
            reason = check_limits(market, limit_leg, standing) or check_limits(market, stop_leg, standing, also=1)
        if not reason and would_trigger(stop_leg, market.session.last_price_ticks):
            reason = rejects.STOP_WOULD_TRIGGER
        return reason or check_matching(market, limit_leg)

    def cancel(self, order: Order | None, timestamp_ns: int, emit: EventWriter) -> int:
        if order is None:
            return rejects.UNKNOWN_ORDER
        if order.status not in (OPEN, WAITING):
            return rejects.ORDER_CLOSED
        market = self.market_of(order)
        if market.session.refuses_cancels():
            return rejects.NO_CANCEL
        market.begin(timestamp_ns)
        market.cancel(order, CLOSED_BY_OWNER, emit)
        return ACCEPTED

    def amend(self, order: Order | None, command: OrderCommand, timestamp_ns: int, emit: EventWriter) -> int:
        """Change price or total quantity. Only a pure reduction keeps the order's place (rulebook rows A7, A8)."""
        if order is None:
            return rejects.UNKNOWN_ORDER
        if order.status not in (OPEN, WAITING):
            return rejects.ORDER_CLOSED
        market = self.market_of(order)
        if market.session.state != TRADING and market.session.state not in TAKES_ORDERS:
            return rejects.MARKET_STATE
        if market.session.refuses_cancels():
            return rejects.NO_CANCEL
        if order.status == WAITING or order.order_type != LIMIT or (order.is_special and order.linked_order_id):
            return rejects.NOT_AMENDABLE
        market.begin(timestamp_ns)
        wanted = self.index.pool.take(order.order_id, order.account_id, order.market_id, order.side)
        reason = self._amend_to(market, order, wanted, command, emit)
        self.index.pool.give_back(wanted)
        return reason

    def _amend_to(self, market: Market, order: Order, wanted: Order, command: OrderCommand, emit: EventWriter) -> int:
        """``wanted`` is filled with what the order is to be; it never becomes an order itself."""
        reason = read_amendment(market, order, command, wanted)
        if reason:
            return reason
        keeps_place = wanted.price_ticks == order.price_ticks and wanted.open_lots <= order.open_lots
        crosses = not keeps_place and would_trade(market, order.side, LIMIT, wanted.price_ticks)
        if crosses and (order.post_only or market.session.state == POST_ONLY):
            return rejects.POST_ONLY
        held_units = market.held_for(wanted)
        if held_units - order.held_units > market.available_units(order):
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
        emit.order_amended(order, keeps_place)
        if not keeps_place:
            self.sessions.run_taker(market, order, emit)
        return ACCEPTED

    def cancel_many(
        self,
        owner_id: int,
        market_id: int,
        side: int,
        timestamp_ns: int,
        emit: EventWriter,
        *,
        by_operator: bool = False,
    ) -> int:
        """Cancel one account's open orders (or everybody's, where ``owner_id`` is 0), the oldest first.

        An owner's orders in an auction that takes none back are left alone; where only that market is asked for, the
        command is refused.
        """
        if market_id and self._registry.market(market_id) is None:
            return rejects.UNKNOWN_MARKET
        market = self.market(market_id)
        if market is not None and not by_operator and market.session.refuses_cancels():
            return rejects.NO_CANCEL
        reason = CLOSED_BY_OPERATOR if by_operator else CLOSED_BY_OWNER
        count = self.close_all(owner_id, market_id, side, reason, timestamp_ns, emit, in_any_phase=by_operator)
        emit(OrdersCancelled(owner_id, market_id, count))
        return ACCEPTED

    def close_all(
        self,
        owner_id: int,
        market_id: int,
        side: int,
        reason: int,
        timestamp_ns: int,
        emit: EventWriter,
        *,
        in_any_phase: bool,
    ) -> int:
        """Close open orders by owner (0: everybody), market (0: all) and side, by number. Answers how many it chose.

        The second leg of a pair counts although the first one takes it along.
        """
        owners = [owner_id] if owner_id else self.index.accounts()
        chosen = [
            order
            for owner in owners
            for order in self.index.open_orders(owner)
            if market_id in (0, order.market_id)
            and side in (EITHER_SIDE, order.side)
            and (in_any_phase or not self.market_of(order).session.refuses_cancels())
        ]
        for order in sorted(chosen, key=attrgetter("order_id")):
            market = self.market_of(order)
            market.begin(timestamp_ns)
            if order.status in (OPEN, WAITING):
                market.cancel(order, reason, emit)
        return len(chosen)

    def on_order_expires(self, order_id: int, due_ns: int, timestamp_ns: int, emit: EventWriter) -> None:
        order = self.index.find_open(order_id)
        assert order is not None and order.expires_at_ns == due_ns, (order_id, due_ns)
        assert order.status in (OPEN, WAITING), order_id
        market = self.market_of(order)
        market.begin(timestamp_ns)
        market.cancel(order, CLOSED_EXPIRED, emit)

    def _wait(self, market: Market, order: Order) -> None:
        order.priority = self.index.next_priority()
        market.wait(order)
