"""Commands of traders: place, cancel, amend, cancel-all.

Each handler checks everything, then changes. What it checks, in order of precedence, is listed in
``engine.rejects``. A handler answers the reason of a refusal, or ACCEPTED after its events are emitted.
"""

from __future__ import annotations

from engine import rejects
from engine.amounts import NOT_A_MULTIPLE, SCALE_ABSENT, to_multiples, to_units
from engine.book import Order
from engine.commands import AmendOrder, CancelAll, PlaceOrder
from engine.dedup import Receipts
from engine.events import Event, OrderAccepted, OrderAmended, OrderReported, OrdersCancelled
from engine.ledger import Ledger
from engine.matching import Emit, Matcher
from engine.registry import Registry
from engine.types import (
    BUY,
    CANCEL_BOTH,
    CLOSED_BY_OWNER,
    CLOSED_IOC_REST,
    CLOSED_NO_LIQUIDITY,
    FOK,
    GTC,
    LIMIT,
    MARKET,
    MARKET_BUDGET,
    NOTIONAL_MAX,
    OPEN,
    OPEN_ORDERS_PER_ACCOUNT_MAX,
    PRICE_LEVELS_PER_SIDE_MAX,
    SELL,
    MarketSpec,
)


class Trading:
    """The traders' desk: all orders and the books they rest in."""

    def __init__(self, registry: Registry, ledger: Ledger, receipts: Receipts) -> None:
        self.orders: dict[int, Order] = {}
        self.open_orders: dict[int, dict[int, Order]] = {}
        self.matchers: dict[int, Matcher] = {}
        self.last_trade_id = 0
        self._registry = registry
        self._ledger = ledger
        self._receipts = receipts

    def open_book(self, market: MarketSpec) -> None:
        self.matchers[market.market_id] = Matcher(market, self._ledger, self.open_orders, self._next_trade_id)

    def find_order(self, account_id: int, order_id: int, client_order_id: bytes) -> Order | None:
        """An order by its number, or by its client's id where the number is 0. Others' orders are not found."""
        if not order_id:
            receipt = self._receipts.find(account_id, client_order_id)
            order_id = receipt.order_id if receipt is not None else 0
            order = self.orders.get(order_id)
            return order if order is not None and order.client_order_id == client_order_id else None
        order = self.orders.get(order_id)
        return order if order is not None and order.account_id == account_id else None

    def place(self, command: PlaceOrder, sequence: int, timestamp_ns: int, emit: Emit) -> int:
        if not _well_formed(command):
            return rejects.MALFORMED
        matcher = self.matchers.get(command.market_id)
        if matcher is None:
            return rejects.UNKNOWN_MARKET
        market, ledger = matcher.market, self._ledger
        order = Order(sequence, command.account_id, market.market_id, command.side, command.client_order_id)
        order.order_type = command.order_type
        order.time_in_force = command.time_in_force
        order.post_only = command.post_only
        order.self_trade = command.self_trade
        order.accepted_at_ns = timestamp_ns
        reason = _set_price(order, market, command.price_mantissa, command.price_scale)
        if not reason:
            reason = _set_quantity(order, market, command.quantity_mantissa, command.quantity_scale)
        if not reason:
            reason = _check_notional(order, market)
        if not reason:
            reason = self._check_limits(order, matcher)
        if reason:
            return reason
        if order.post_only and matcher.would_trade(order):
            return rejects.POST_ONLY
        if order.time_in_force == FOK and matcher.fillable(order).lots < order.open_lots:
            return rejects.FOK
        if order.order_type == LIMIT or (order.order_type == MARKET and order.side == SELL):
            held_units = matcher.held_for(order)
        elif order.order_type == MARKET:
            held_units = matcher.cost_of_fillable(order)
        else:
            held_units = order.budget_units
        if ledger.available_units(order.account_id, matcher.held_asset_id(order)) < held_units:
            return rejects.NO_FUNDS

        self.orders[order.order_id] = order
        matcher.adjust_hold(order, held_units)
        emit(_order_accepted(order))
        matcher.match(order, emit)
        if order.status == OPEN:
            if order.order_type != LIMIT:
                matcher.cancel(order, CLOSED_NO_LIQUIDITY, emit)
            elif order.time_in_force != GTC:
                matcher.cancel(order, CLOSED_IOC_REST, emit)
            else:
                matcher.rest(order, sequence)
        return rejects.ACCEPTED

    def cancel(self, order: Order | None, emit: Emit) -> int:
        if order is None:
            return rejects.UNKNOWN_ORDER
        if order.status != OPEN:
            return rejects.ORDER_CLOSED
        self.matchers[order.market_id].cancel(order, CLOSED_BY_OWNER, emit)
        return rejects.ACCEPTED

    def amend(self, order: Order | None, command: AmendOrder, sequence: int, emit: Emit) -> int:
        """Change price or total quantity. Only a pure reduction keeps the order's place (rulebook rows A7, A8)."""
        if order is None:
            return rejects.UNKNOWN_ORDER
        if order.status != OPEN:
            return rejects.ORDER_CLOSED
        matcher = self.matchers[order.market_id]
        market = matcher.market
        wanted = Order(order.order_id, order.account_id, order.market_id, order.side, order.client_order_id)
        wanted.order_type = LIMIT
        wanted.price_ticks, wanted.quantity_lots = order.price_ticks, order.quantity_lots
        wanted.fee_overpaid_ppm = order.fee_overpaid_ppm
        reason = rejects.ACCEPTED
        if command.price_scale != SCALE_ABSENT:
            reason = _set_price(wanted, market, command.price_mantissa, command.price_scale)
        if not reason and command.quantity_scale != SCALE_ABSENT:
            reason = _set_quantity(wanted, market, command.quantity_mantissa, command.quantity_scale)
        if reason:
            return reason
        wanted.open_lots = wanted.quantity_lots - order.executed_lots - order.prevented_lots
        if wanted.open_lots <= 0:
            return rejects.QUANTITY_BELOW_EXECUTED
        reason = _check_notional(wanted, market)
        if reason:
            return reason
        keeps_place = wanted.price_ticks == order.price_ticks and wanted.open_lots <= order.open_lots
        if not keeps_place:
            # Amended again and again, one order could trade more in all than its totals can hold.
            if order.notional_units > NOTIONAL_MAX // 2:
                return rejects.NOTIONAL_TOO_LARGE
            reason = self._check_limits(wanted, matcher)
            if reason:
                return reason
            if order.post_only and matcher.would_trade(wanted):
                return rejects.POST_ONLY
        held_units = matcher.held_for(wanted)
        available_units = self._ledger.available_units(order.account_id, matcher.held_asset_id(order))
        if held_units - order.held_units > available_units:
            return rejects.NO_FUNDS

        if keeps_place:
            if wanted.open_lots < order.open_lots:
                matcher.book.side(order.side).reduce(order, order.open_lots - wanted.open_lots)
        else:
            matcher.lift(order)
            order.price_ticks = wanted.price_ticks
            order.open_lots = wanted.open_lots
        order.quantity_lots = wanted.quantity_lots
        matcher.adjust_hold(order, held_units)
        emit(_order_amended(order, keeps_place))
        if not keeps_place:
            matcher.match(order, emit)
            if order.status == OPEN:
                matcher.rest(order, sequence)
        return rejects.ACCEPTED

    def cancel_all(self, command: CancelAll, emit: Emit) -> int:
        """Cancel the account's open orders in one market (or all), oldest first."""
        if command.market_id and self._registry.market(command.market_id) is None:
            return rejects.UNKNOWN_MARKET
        order_ids = sorted(
            order.order_id
            for order in self.open_orders.get(command.account_id, {}).values()
            if command.market_id in (0, order.market_id)
        )
        for order_id in order_ids:
            order = self.orders[order_id]
            self.matchers[order.market_id].cancel(order, CLOSED_BY_OWNER, emit)
        emit(OrdersCancelled(command.account_id, command.market_id, len(order_ids)))
        return rejects.ACCEPTED

    def _next_trade_id(self) -> int:
        self.last_trade_id += 1
        return self.last_trade_id

    def _check_limits(self, order: Order, matcher: Matcher) -> int:
        """The limits that an order meets if it rests. An amended order counts itself, which errs to the safe side."""
        if order.order_type != LIMIT or order.time_in_force != GTC:
            return rejects.ACCEPTED
        if len(self.open_orders.get(order.account_id, ())) >= OPEN_ORDERS_PER_ACCOUNT_MAX:
            return rejects.TOO_MANY
        side = matcher.book.side(order.side)
        if len(side.keys) >= PRICE_LEVELS_PER_SIDE_MAX and side.key_of(order.price_ticks) not in side.levels:
            return rejects.TOO_MANY
        return rejects.ACCEPTED


def report(order: Order) -> OrderReported:
    """The order as it stands."""
    return OrderReported(
        order_id=order.order_id,
        account_id=order.account_id,
        market_id=order.market_id,
        side=order.side,
        order_type=order.order_type,
        time_in_force=order.time_in_force,
        post_only=order.post_only,
        self_trade=order.self_trade,
        status=order.status,
        close_reason=order.close_reason,
        price_ticks=order.price_ticks,
        quantity_lots=order.quantity_lots,
        budget_units=order.budget_units,
        open_lots=order.open_lots,
        executed_lots=order.executed_lots,
        prevented_lots=order.prevented_lots,
        cancelled_lots=order.cancelled_lots,
        notional_units=order.notional_units,
        fee_units=order.fee_units,
        held_units=order.held_units,
        accepted_at_ns=order.accepted_at_ns,
        client_order_id=order.client_order_id,
    )


def _well_formed(command: PlaceOrder) -> bool:
    """Do the options make sense together? Amounts are judged later, by the market's rules."""
    if command.side > SELL or command.order_type > MARKET_BUDGET or command.self_trade > CANCEL_BOTH:
        return False
    if command.time_in_force > FOK or command.post_only > 1:
        return False
    if command.order_type == LIMIT:
        return not (command.post_only and command.time_in_force != GTC)
    if command.order_type == MARKET_BUDGET and command.side != BUY:
        return False
    return command.price_scale == SCALE_ABSENT and command.time_in_force != FOK and not command.post_only


def _set_price(order: Order, market: MarketSpec, mantissa: int, scale: int) -> int:
    if order.order_type != LIMIT:
        return rejects.ACCEPTED
    price_ticks = to_multiples(mantissa, scale, market.quote_decimals, market.tick_units)
    if price_ticks == NOT_A_MULTIPLE:
        return rejects.TICK
    if price_ticks <= 0:
        return rejects.PRICE
    order.price_ticks = price_ticks
    return rejects.ACCEPTED


def _set_quantity(order: Order, market: MarketSpec, mantissa: int, scale: int) -> int:
    if order.order_type == MARKET_BUDGET:
        order.budget_units = to_units(mantissa, scale, market.quote_decimals)
        return rejects.ACCEPTED if order.budget_units > 0 else rejects.AMOUNT
    quantity_lots = to_multiples(mantissa, scale, market.base_decimals, market.lot_units)
    if quantity_lots <= 0:
        return rejects.LOT
    order.quantity_lots = order.open_lots = quantity_lots
    return rejects.ACCEPTED


def _check_notional(order: Order, market: MarketSpec) -> int:
    """What the order is worth must reach the market's minimum, and fit, with its fee, into an amount."""
    if order.order_type == MARKET_BUDGET:
        return rejects.MIN_NOTIONAL if order.budget_units < market.min_notional_units else rejects.ACCEPTED
    if order.order_type == MARKET:
        return rejects.ACCEPTED
    lot_notional_units = order.price_ticks * market.notional_units
    if order.quantity_lots > NOTIONAL_MAX // lot_notional_units:
        return rejects.NOTIONAL_TOO_LARGE
    if order.quantity_lots * lot_notional_units < market.min_notional_units:
        return rejects.MIN_NOTIONAL
    return rejects.ACCEPTED


def _order_accepted(order: Order) -> Event:
    return OrderAccepted(
        order_id=order.order_id,
        account_id=order.account_id,
        market_id=order.market_id,
        side=order.side,
        order_type=order.order_type,
        time_in_force=order.time_in_force,
        post_only=order.post_only,
        self_trade=order.self_trade,
        price_ticks=order.price_ticks,
        quantity_lots=order.quantity_lots,
        budget_units=order.budget_units,
        held_units=order.held_units,
        client_order_id=order.client_order_id,
    )


def _order_amended(order: Order, kept_place: bool) -> Event:
    return OrderAmended(
        order_id=order.order_id,
        account_id=order.account_id,
        market_id=order.market_id,
        kept_place=int(kept_place),
        price_ticks=order.price_ticks,
        quantity_lots=order.quantity_lots,
        open_lots=order.open_lots,
        held_units=order.held_units,
    )
