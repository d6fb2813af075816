"""Price-time priority matching and the settlement of each trade.

Matching walks the opposite side from its best price, oldest order first. A trade prints at
the maker's price (rulebook, convention 4). Before anything changes, :func:`fillable` walks the same way
without touching the book, to find out what a fill-or-kill order or a market order would get.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from engine.book import Book, Order
from engine.events import Event, OrderClosed, TradeExecuted
from engine.fees import charge, fee_to_come_units, worst_rate_ppm
from engine.ledger import Ledger
from engine.types import (
    AMOUNT_MAX,
    BUY,
    CANCEL_NEWEST,
    CANCEL_OLDEST,
    CANCELLED,
    CLOSED_BUDGET_SPENT,
    CLOSED_FILLED,
    CLOSED_NO_LIQUIDITY,
    CLOSED_SELF_TRADE,
    EXCHANGE_ACCOUNT,
    FEE_SCALE,
    FILLED,
    LIMIT,
    MARKET_BUDGET,
    MarketSpec,
)

Emit = Callable[[Event], None]


class Fillable(NamedTuple):
    lots: int
    notional_units: int


class Matcher:
    """Matches the orders of one market against its book and settles them in the ledger.

    ``open_orders`` is each account's set of resting orders, shared by all markets.
    """

    def __init__(
        self,
        market: MarketSpec,
        ledger: Ledger,
        open_orders: dict[int, dict[int, Order]],
        next_trade_id: Callable[[], int],
    ) -> None:
        self.market = market
        self.book = Book()
        self._ledger = ledger
        self._open_orders = open_orders
        self._next_trade_id = next_trade_id
        self._worst_rate_ppm = worst_rate_ppm(market)

    def would_trade(self, order: Order) -> bool:
        opposite = self.book.opposite(order.side)
        return bool(opposite.keys) and opposite.keys[-1] >= self._limit_key(order)

    def fillable(self, order: Order) -> Fillable:
        """What the order would execute now, by quantity, own orders excluded. Changes nothing."""
        opposite = self.book.opposite(order.side)
        limit_key = self._limit_key(order)
        wanted_lots, notional_units = order.open_lots, 0
        for key in reversed(opposite.keys):
            if key < limit_key or not wanted_lots:
                break
            level = opposite.levels[key]
            maker = level.oldest
            while maker is not None and wanted_lots:
                if maker.account_id != order.account_id:
                    lots = min(wanted_lots, maker.open_lots)
                    wanted_lots -= lots
                    notional_units += lots * level.price_ticks * self.market.notional_units
                elif order.self_trade != CANCEL_OLDEST:
                    return Fillable(order.open_lots - wanted_lots, notional_units)
                maker = maker.newer
        return Fillable(order.open_lots - wanted_lots, notional_units)

    def held_for(self, order: Order) -> int:
        """What a limit order must hold: for a bid its open notional and the worst fee on it, for an ask its base."""
        if order.side != BUY:
            return order.open_lots * self.market.lot_units
        notional_units = order.open_lots * order.price_ticks * self.market.notional_units
        return notional_units + max(0, fee_to_come_units(order, notional_units, self._worst_rate_ppm))

    def cost_of_fillable(self, order: Order) -> int:
        """What a market order to buy costs now, fee included; 0 if nothing is offered."""
        notional_units = self.fillable(order).notional_units
        return notional_units + max(0, fee_to_come_units(order, notional_units, self.market.taker_fee_ppm))

    def match(self, taker: Order, emit: Emit) -> None:
        """Trade ``taker``, which does not rest yet and holds its funds, as far as it goes.

        Afterwards it is filled, or closed by self-trade prevention, or still open with nothing left to trade with.
        """
        opposite = self.book.opposite(taker.side)
        limit_key = self._limit_key(taker)
        by_budget = taker.order_type == MARKET_BUDGET
        while opposite.keys and opposite.keys[-1] >= limit_key:
            level = opposite.levels[opposite.keys[-1]]
            if by_budget:
                self._size_by_budget(taker, level.price_ticks)
            if not taker.open_lots:
                break
            maker = level.oldest
            assert maker is not None, level.price_ticks
            if maker.account_id == taker.account_id:
                if taker.self_trade != CANCEL_NEWEST:
                    self._prevent(maker, emit)
                if taker.self_trade != CANCEL_OLDEST:
                    self._prevent(taker, emit)
                    return
                continue
            self._trade(maker, taker, level.price_ticks, min(taker.open_lots, maker.open_lots), emit)
        if by_budget:
            self._close_budget(taker, bool(opposite.keys), emit)
        elif not taker.open_lots:
            self._close(taker, FILLED, CLOSED_FILLED)

    def rest(self, order: Order, priority: int) -> None:
        """Put an open order at the back of its queue."""
        assert order.open_lots > 0 and order.order_type == LIMIT, order.order_id
        order.priority = priority
        self.book.side(order.side).add(order)
        self._open_orders.setdefault(order.account_id, {})[order.order_id] = order

    def lift(self, order: Order) -> None:
        """Take a resting order out of the book without closing it."""
        self.book.side(order.side).remove(order)
        orders = self._open_orders[order.account_id]
        del orders[order.order_id]
        if not orders:
            del self._open_orders[order.account_id]

    def cancel(self, order: Order, reason: int, emit: Emit) -> None:
        """Close what is open of an order, resting or not, and free what it holds."""
        if order.level is not None:
            self.lift(order)
        order.cancelled_lots += order.open_lots
        order.open_lots = 0
        self._close_with_rest(order, CANCELLED, reason, emit)

    def adjust_hold(self, order: Order, held_units: int) -> None:
        """Bring what the order holds to ``held_units``, from or to the account's available balance."""
        asset_id = self.held_asset_id(order)
        if held_units != order.held_units:
            self._ledger.hold(order.account_id, asset_id, held_units - order.held_units)
            order.held_units = held_units

    def held_asset_id(self, order: Order) -> int:
        return self.market.quote_asset_id if order.side == BUY else self.market.base_asset_id

    def _limit_key(self, order: Order) -> int:
        """The least key of an opposite level that the order may trade at."""
        if order.order_type != LIMIT:
            return -AMOUNT_MAX
        return -order.price_ticks if order.side == BUY else order.price_ticks

    def _trade(self, maker: Order, taker: Order, price_ticks: int, lots: int, emit: Emit) -> None:
        market, ledger = self.market, self._ledger
        notional_units = lots * price_ticks * market.notional_units
        base_units = lots * market.lot_units
        maker_fee_units = charge(maker, notional_units, market.maker_fee_ppm)
        taker_fee_units = charge(taker, notional_units, market.taker_fee_ppm)
        if taker.side == BUY:
            buyer, buyer_fee_units, seller, seller_fee_units = taker, taker_fee_units, maker, maker_fee_units
        else:
            buyer, buyer_fee_units, seller, seller_fee_units = maker, maker_fee_units, taker, taker_fee_units

        paid_units = notional_units + buyer_fee_units
        ledger.spend_held(buyer.account_id, market.quote_asset_id, paid_units)
        buyer.held_units -= paid_units
        ledger.credit(seller.account_id, market.quote_asset_id, notional_units - seller_fee_units)
        ledger.credit(EXCHANGE_ACCOUNT, market.quote_asset_id, maker_fee_units + taker_fee_units)
        ledger.spend_held(seller.account_id, market.base_asset_id, base_units)
        seller.held_units -= base_units
        ledger.credit(buyer.account_id, market.base_asset_id, base_units)

        for order in (maker, taker):
            order.executed_lots += lots
            order.notional_units += notional_units
        taker.open_lots -= lots
        if lots == maker.open_lots:
            self.lift(maker)
            maker.open_lots = 0
            self._close(maker, FILLED, CLOSED_FILLED)
        else:
            self.book.side(maker.side).reduce(maker, lots)
            self.adjust_hold(maker, self.held_for(maker))
        if taker.order_type == LIMIT:
            self.adjust_hold(taker, self.held_for(taker))
        emit(
            TradeExecuted(
                trade_id=self._next_trade_id(),
                market_id=market.market_id,
                taker_side=taker.side,
                price_ticks=price_ticks,
                quantity_lots=lots,
                notional_units=notional_units,
                maker_order_id=maker.order_id,
                taker_order_id=taker.order_id,
                maker_account_id=maker.account_id,
                taker_account_id=taker.account_id,
                maker_fee_units=maker_fee_units,
                taker_fee_units=taker_fee_units,
                maker_open_lots=maker.open_lots,
                taker_open_lots=0 if taker.order_type == MARKET_BUDGET else taker.open_lots,
            )
        )

    def _size_by_budget(self, taker: Order, price_ticks: int) -> None:
        """Set what a budget order wants at a price: the most lots that its rest pays, fee included."""
        lot_notional_units = price_ticks * self.market.notional_units
        rest_ppm = taker.held_units * FEE_SCALE + taker.fee_overpaid_ppm
        taker.open_lots = rest_ppm // (lot_notional_units * (FEE_SCALE + self.market.taker_fee_ppm))
        taker.quantity_lots = taker.executed_lots + taker.open_lots

    def _close_budget(self, taker: Order, stopped_by_price: bool, emit: Emit) -> None:
        """A budget order ends when its rest buys no lot at the best price (filled), or when the book is empty."""
        taker.open_lots = 0
        taker.quantity_lots = taker.executed_lots
        if stopped_by_price or not taker.held_units:
            status = FILLED if taker.executed_lots else CANCELLED
            self._close_with_rest(taker, status, CLOSED_BUDGET_SPENT, emit)
        else:
            self._close_with_rest(taker, CANCELLED, CLOSED_NO_LIQUIDITY, emit)

    def _prevent(self, order: Order, emit: Emit) -> None:
        """Close an order that met one of its own account."""
        if order.level is not None:
            self.lift(order)
        order.prevented_lots += order.open_lots
        order.open_lots = 0
        self._close_with_rest(order, CANCELLED, CLOSED_SELF_TRADE, emit)

    def _close_with_rest(self, order: Order, status: int, reason: int, emit: Emit) -> None:
        released_units = order.held_units
        self._close(order, status, reason)
        emit(
            OrderClosed(
                order_id=order.order_id,
                account_id=order.account_id,
                market_id=order.market_id,
                status=order.status,
                reason=reason,
                quantity_lots=order.quantity_lots,
                executed_lots=order.executed_lots,
                prevented_lots=order.prevented_lots,
                cancelled_lots=order.cancelled_lots,
                released_units=released_units,
            )
        )

    def _close(self, order: Order, status: int, reason: int) -> None:
        order.status = status
        order.close_reason = reason
        self.adjust_hold(order, 0)
