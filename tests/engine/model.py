"""The exchange again, as simply as possible: what the engine is compared with.

Nothing is kept that can be worked out: holds, fees, queues and balances are recomputed from the orders and
their fills whenever somebody asks. Listing is not modelled: the model is told the markets. It answers each command with
what happened, as plain tuples.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from engine import rejects
from engine.amounts import SCALE_ABSENT
from engine.commands import AmendOrder, CancelAll, CancelOrder, Command, Deposit, PlaceOrder
from engine.types import (
    AMOUNT_MAX,
    BUY,
    CANCEL_NEWEST,
    CANCEL_OLDEST,
    CLOSED_BUDGET_SPENT,
    CLOSED_BY_OWNER,
    CLOSED_FILLED,
    CLOSED_IOC_REST,
    CLOSED_NO_LIQUIDITY,
    CLOSED_SELF_TRADE,
    FOK,
    GTC,
    LIMIT,
    MARKET,
    MARKET_BUDGET,
    NOTIONAL_MAX,
    SELL,
)

MILLION = 1_000_000
MINUTE_NS = 60 * 10**9
DAY_NS = 24 * 3_600 * 10**9
Happening = tuple[Any, ...]


class Rules(NamedTuple):
    """A market: two assets and their decimals, steps in units, what a lot costs at one tick, fees."""

    base: int
    quote: int
    base_decimals: int
    quote_decimals: int
    tick_units: int
    lot_units: int
    notional_units: int
    min_notional_units: int
    maker_ppm: int
    taker_ppm: int


@dataclass
class ModelOrder:
    number: int
    asked: PlaceOrder
    rules: Rules
    priority: int
    price: int = 0
    quantity: int = 0
    budget: int = 0
    executed: int = 0
    prevented: int = 0
    cancelled: int = 0
    notional: int = 0
    exact_fee_ppm: int = 0  # millionths of a unit
    closed: int = 0  # the reason, once it is
    resting: bool = False

    @property
    def open(self) -> int:
        return self.quantity - self.executed - self.prevented - self.cancelled

    @property
    def fee(self) -> int:
        return _ceil(self.exact_fee_ppm)

    def cost(self, lots: int, price: int, rate_ppm: int) -> int:
        """What the order would have paid in all, fee included, after buying so many lots more."""
        notional = lots * price * self.rules.notional_units
        return self.notional + notional + _ceil(self.exact_fee_ppm + notional * rate_ppm)

    def need(self) -> int:
        """What it must hold while it is open."""
        if self.closed:
            return 0
        if self.asked.side == SELL:
            return self.open * self.rules.lot_units
        notional = self.open * self.price * self.rules.notional_units
        worst_ppm = max(self.rules.maker_ppm, self.rules.taker_ppm)
        return max(notional, self.cost(self.open, self.price, worst_ppm) - self.notional - self.fee)


@dataclass
class Model:
    markets: dict[int, Rules]
    decimals: dict[int, int]  # of each asset
    accounts: set[int]
    sequence: int
    now_ns: int = 0
    totals: dict[tuple[int, int], int] = field(default_factory=dict)  # (account, asset): available and held together
    orders: dict[int, ModelOrder] = field(default_factory=dict)
    memory: dict[tuple[int, bytes], list[Any]] = field(default_factory=dict)  # content, sequence, reason, order, when
    references: dict[bytes, tuple[int, tuple[int, ...]]] = field(default_factory=dict)
    happened: list[Happening] = field(default_factory=list)

    def apply(self, now_ns: int, command: Command) -> list[Happening]:
        self.sequence += 1
        self.now_ns = max(self.now_ns, now_ns)
        self.happened = []
        self._forget()
        original = 0
        reason = self._refusal_of_anybody(command)
        if not reason and isinstance(command, Deposit):
            reason, original = self._deposit(command)
        elif not reason and isinstance(command, PlaceOrder | CancelOrder | AmendOrder | CancelAll):
            reason, original = self._request(command)
        return [("refused", reason, original)] if reason and not self.happened else self.happened

    def available(self, account: int, asset: int) -> int:
        return self.totals.get((account, asset), 0) - self.held(account, asset)

    def held(self, account: int, asset: int) -> int:
        return sum(order.need() for order in self.open_orders(account) if _held_asset(order) == asset)

    def open_orders(self, account: int) -> list[ModelOrder]:
        return [order for order in self.orders.values() if order.resting and order.asked.account_id == account]

    def queue(self, market: int, side: int) -> list[ModelOrder]:
        """One side of a book in the order in which it trades."""
        found = [o for o in self.orders.values() if o.resting and (o.asked.market_id, o.asked.side) == (market, side)]
        return sorted(found, key=lambda order: (order.price if side == SELL else -order.price, order.priority))

    def _forget(self) -> None:
        for key, memory in list(self.memory.items()):
            if self.now_ns - memory[4] > DAY_NS:
                order = self.orders.get(memory[3])
                if order is not None and order.asked.client_order_id == key[1]:
                    if order.resting:
                        memory[4] = self.now_ns
                        continue
                    del self.orders[memory[3]]
                del self.memory[key]

    def _refusal_of_anybody(self, command: Command) -> int:
        if abs(self.now_ns - command.issued_at_ns) > MINUTE_NS:
            return rejects.REQUEST_EXPIRED
        if command.account_id not in self.accounts:
            return rejects.UNKNOWN_ACCOUNT
        by_the_exchange = command.account_id == 0
        for_traders = isinstance(command, PlaceOrder | CancelOrder | AmendOrder | CancelAll)
        return rejects.NOT_ALLOWED if by_the_exchange == for_traders else rejects.ACCEPTED

    def _deposit(self, command: Deposit) -> tuple[int, int]:
        decimals = self.decimals.get(command.asset_id)
        if command.owner_account_id not in self.accounts:
            return rejects.UNKNOWN_ACCOUNT, 0
        amount = max(0, _whole(command.amount_mantissa, command.amount_scale, decimals or 0))
        content = (command.owner_account_id, command.asset_id, amount)
        if command.reference in self.references:
            sequence, known = self.references[command.reference]
            if known != content:
                return rejects.ID_CONFLICT, sequence
            self.happened.append(("repeats", sequence, 0))
            return rejects.ACCEPTED, 0
        if decimals is None or not amount:
            return (rejects.UNKNOWN_ASSET if decimals is None else rejects.AMOUNT), 0
        self.references[command.reference] = (self.sequence, content)
        self._add(command.owner_account_id, command.asset_id, amount)
        self.happened.append(("deposited", *content, self.available(command.owner_account_id, command.asset_id)))
        return rejects.ACCEPTED, 0

    def _request(self, command: PlaceOrder | CancelOrder | AmendOrder | CancelAll) -> tuple[int, int]:
        name = command[-1]
        assert isinstance(name, bytes)
        if not _is_id(name):
            return rejects.MALFORMED, 0
        if isinstance(command, CancelOrder | AmendOrder):
            named = command.client_order_id
            if named != b"" if command.order_id else not _is_id(named):
                return rejects.MALFORMED, 0
        key, content = (command.account_id, name), (type(command).__name__, command[2:])
        if key in self.memory:
            known, sequence, reason, number, _ = self.memory[key]
            if known != content:
                return rejects.ID_CONFLICT, sequence
            self.happened.append(("repeats", sequence, reason))
            if number in self.orders:
                self.happened.append(("order", *facts(self.orders[number])))
            return rejects.ACCEPTED, 0
        number = 0
        if isinstance(command, PlaceOrder):
            reason = self._place(command)
            number = 0 if reason else self.sequence
        elif isinstance(command, CancelAll):
            reason = self._cancel_all(command)
        else:
            order = self._find(command.account_id, command.order_id, command.client_order_id)
            number = order.number if order is not None else 0
            if order is None or not order.resting:
                reason = rejects.UNKNOWN_ORDER if order is None else rejects.ORDER_CLOSED
            elif isinstance(command, CancelOrder):
                reason = self._end(order, CLOSED_BY_OWNER)
            else:
                reason = self._amend(order, command)
        self.memory[key] = [content, self.sequence, reason, number, self.now_ns]
        return reason, 0

    def _find(self, account: int, number: int, name: bytes) -> ModelOrder | None:
        if not number:
            number = self.memory.get((account, name), [None, 0, 0, 0])[3]
            order = self.orders.get(number)
            return order if order is not None and order.asked.client_order_id == name else None
        order = self.orders.get(number)
        return order if order is not None and order.asked.account_id == account else None

    def _place(self, asked: PlaceOrder) -> int:
        limit, budget = asked.order_type == LIMIT, asked.order_type == MARKET_BUDGET
        if asked.side > 1 or asked.self_trade > 2 or (budget and asked.side == SELL):
            return rejects.MALFORMED
        if asked.post_only and (not limit or asked.time_in_force != GTC):
            return rejects.MALFORMED
        if not limit and (asked.price_scale != SCALE_ABSENT or asked.time_in_force == FOK):
            return rejects.MALFORMED
        if asked.market_id not in self.markets:
            return rejects.UNKNOWN_MARKET
        order = ModelOrder(self.sequence, asked, self.markets[asked.market_id], self.sequence)
        reason = self._set(order, asked) if limit else self._set_market(order, asked)
        if reason:
            return reason
        if asked.post_only and self._crossing(order):
            return rejects.POST_ONLY
        lots, notional = self._on_offer(order)
        if asked.time_in_force == FOK and lots < order.quantity:
            return rejects.FOK
        need = order.budget or order.need()
        if asked.order_type == MARKET and asked.side == BUY:
            need = max(notional, notional + _ceil(notional * order.rules.taker_ppm))
        if need > self.available(asked.account_id, _held_asset(order)):
            return rejects.NO_FUNDS
        self.orders[order.number] = order
        self.happened.append(("accepted", order.number, order.price, order.quantity, need))
        self._match(order)
        if not order.closed and limit and asked.time_in_force == GTC:
            order.resting = True
        elif not order.closed:
            self._end(order, CLOSED_IOC_REST if limit else CLOSED_NO_LIQUIDITY)
        return rejects.ACCEPTED

    def _set(self, order: ModelOrder, wanted: PlaceOrder | AmendOrder) -> int:
        """Give a limit order its price and quantity, where they are asked for."""
        rules = order.rules
        if wanted.price_scale != SCALE_ABSENT or isinstance(wanted, PlaceOrder):
            price = _whole(wanted.price_mantissa, wanted.price_scale, rules.quote_decimals, rules.tick_units)
            if price <= 0:
                return rejects.TICK if price == 0 else rejects.PRICE
            order.price = price
        if wanted.quantity_scale != SCALE_ABSENT or isinstance(wanted, PlaceOrder):
            order.quantity = _whole(
                wanted.quantity_mantissa, wanted.quantity_scale, rules.base_decimals, rules.lot_units
            )
            if order.quantity <= 0:
                return rejects.LOT
        if isinstance(wanted, AmendOrder) and order.open <= 0:
            return rejects.QUANTITY_BELOW_EXECUTED
        notional = order.quantity * order.price * rules.notional_units
        if notional > NOTIONAL_MAX:
            return rejects.NOTIONAL_TOO_LARGE
        return rejects.MIN_NOTIONAL if notional < rules.min_notional_units else rejects.ACCEPTED

    def _set_market(self, order: ModelOrder, asked: PlaceOrder) -> int:
        rules = order.rules
        if asked.order_type == MARKET_BUDGET:
            order.budget = _whole(asked.quantity_mantissa, asked.quantity_scale, rules.quote_decimals)
            if order.budget <= 0:
                return rejects.AMOUNT
            return rejects.MIN_NOTIONAL if order.budget < rules.min_notional_units else rejects.ACCEPTED
        order.quantity = _whole(asked.quantity_mantissa, asked.quantity_scale, rules.base_decimals, rules.lot_units)
        return rejects.LOT if order.quantity <= 0 else rejects.ACCEPTED

    def _amend(self, order: ModelOrder, command: AmendOrder) -> int:
        before = (order.price, order.quantity, order.open, order.need())
        available = self.available(order.asked.account_id, _held_asset(order))
        reason = self._set(order, command)
        keeps_place = order.price == before[0] and order.open <= before[2]
        if not reason and not keeps_place and order.asked.post_only and self._crossing(order):
            reason = rejects.POST_ONLY
        if not reason and order.need() - before[3] > available:
            reason = rejects.NO_FUNDS
        if reason:
            order.price, order.quantity = before[:2]
            return reason
        self.happened.append(
            ("amended", order.number, int(keeps_place), order.price, order.quantity, order.open, order.need())
        )
        if not keeps_place:
            order.resting = False
            order.priority = self.sequence
            self._match(order)
            order.resting = not order.closed
        return rejects.ACCEPTED

    def _cancel_all(self, command: CancelAll) -> int:
        if command.market_id and command.market_id not in self.markets:
            return rejects.UNKNOWN_MARKET
        chosen = [o for o in self.open_orders(command.account_id) if command.market_id in (0, o.asked.market_id)]
        for order in sorted(chosen, key=lambda order: order.number):
            self._end(order, CLOSED_BY_OWNER)
        self.happened.append(("cancelled", len(chosen)))
        return rejects.ACCEPTED

    def _crossing(self, taker: ModelOrder) -> list[ModelOrder]:
        queue = self.queue(taker.asked.market_id, SELL if taker.asked.side == BUY else BUY)
        if taker.asked.order_type != LIMIT:
            return queue
        if taker.asked.side == BUY:
            return [maker for maker in queue if maker.price <= taker.price]
        return [maker for maker in queue if maker.price >= taker.price]

    def _on_offer(self, taker: ModelOrder) -> tuple[int, int]:
        """The lots and notional that others would trade with a taker by quantity."""
        lots = notional = 0
        for maker in self._crossing(taker):
            if maker.asked.account_id == taker.asked.account_id:
                if taker.asked.self_trade == CANCEL_OLDEST:
                    continue
                break
            taken = min(taker.quantity - lots, maker.open)
            lots += taken
            notional += taken * maker.price * taker.rules.notional_units
        return lots, notional

    def _match(self, taker: ModelOrder) -> None:
        while crossing := self._crossing(taker):
            maker = crossing[0]
            if taker.budget:
                taker.quantity = taker.executed + self._affordable(taker, maker.price)
            if not taker.open:
                break
            if maker.asked.account_id == taker.asked.account_id:
                if taker.asked.self_trade != CANCEL_NEWEST:
                    self._end(maker, CLOSED_SELF_TRADE)
                if taker.asked.self_trade != CANCEL_OLDEST:
                    self._end(taker, CLOSED_SELF_TRADE)
                    return
                continue
            self._trade(maker, taker)
        if taker.budget:
            taker.quantity = taker.executed
            spent = taker.notional + taker.fee == taker.budget
            self._end(taker, CLOSED_BUDGET_SPENT if crossing or spent else CLOSED_NO_LIQUIDITY)
        elif not taker.open:
            taker.closed = CLOSED_FILLED

    def _affordable(self, taker: ModelOrder, price: int) -> int:
        lots = 0
        while taker.cost(lots + 1, price, taker.rules.taker_ppm) <= taker.budget:
            lots += 1
        return lots

    def _trade(self, maker: ModelOrder, taker: ModelOrder) -> None:
        rules, lots = taker.rules, min(taker.open, maker.open)
        notional = lots * maker.price * rules.notional_units
        fees = []
        for order, rate_ppm in ((maker, rules.maker_ppm), (taker, rules.taker_ppm)):
            fee_before = order.fee
            order.executed += lots
            order.notional += notional
            order.exact_fee_ppm += notional * rate_ppm
            fees.append(order.fee - fee_before)
            sign = 1 if order.asked.side == BUY else -1
            self._add(order.asked.account_id, rules.base, sign * lots * rules.lot_units)
            self._add(order.asked.account_id, rules.quote, -sign * notional - fees[-1])
            self._add(0, rules.quote, fees[-1])
        if not maker.open:
            maker.closed, maker.resting = CLOSED_FILLED, False
        taker_open = None if taker.budget else taker.open
        self.happened.append(("trade", maker.number, taker.number, maker.price, lots, *fees, maker.open, taker_open))

    def _end(self, order: ModelOrder, reason: int) -> int:
        if reason == CLOSED_SELF_TRADE:
            order.prevented += order.open
        else:
            order.cancelled += order.open
        order.closed, order.resting = reason, False
        self.happened.append(("closed", order.number, reason, order.executed, order.prevented, order.cancelled))
        return rejects.ACCEPTED

    def _add(self, account: int, asset: int, units: int) -> None:
        self.totals[account, asset] = self.totals.get((account, asset), 0) + units


def facts(order: ModelOrder) -> Happening:
    """An order as it stands, in the order of the fields that the test compares."""
    return (
        order.number,
        order.closed,
        order.price,
        order.quantity,
        order.open,
        order.executed,
        order.prevented,
        order.cancelled,
        order.notional,
        order.fee,
        order.need(),
    )


def _held_asset(order: ModelOrder) -> int:
    return order.rules.quote if order.asked.side == BUY else order.rules.base


def _is_id(name: bytes) -> bool:
    return 0 < len(name) <= 64 and all(chr(letter).isalnum() or letter in b"_.-" for letter in name)


def _ceil(millionths: int) -> int:
    return (millionths + MILLION - 1) // MILLION


def _whole(mantissa: int, scale: int, decimals: int, step: int = 1) -> int:
    """How many steps a decimal is: 0 if it lies between two, -1 if it is not positive or beyond what fits."""
    if mantissa <= 0 or scale > 18:
        return -1
    scaled = mantissa * 10**decimals
    if scaled % 10**scale:
        return 0
    units = scaled // 10**scale
    if units > AMOUNT_MAX:
        return -1
    return 0 if units % step else units // step
