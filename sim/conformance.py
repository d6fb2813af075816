"""The engine behind the protocol of an outside conformance suite for matching engines, PyPI's tracebook-conformance.

The suite gives the same orders to a reference of its own and, through stdin and stdout, to this process, and
compares after each: the outcome, the trades in their order, and every resting order with its place in
the queue. What runs here is ``engine.machine.Machine``, fed with encoded commands; this module only translates.
Besides the tests, a person runs it so, in an environment with the dev extra:

    tracebook-conformance qualify --profile fifo-full-v1 --seed 42 --traces 25 --events-per-trace 200 \
        --candidate-cmd 'python -m sim.conformance' --output-dir qualification

    tracebook-conformance sample suite-v2 --suite-version v2
    tracebook-conformance suite suite-v2 --output suite.json --candidate-cmd 'python -m sim.conformance'

Our rules can express all its profiles of generated orders (``fifo-limit-v1``, ``fifo-partial-fill-v1`` and
``fifo-full-v1``) and eight of its nine fixed cases. They cannot express ``pro-rata-allocation``: we match by price and
time, whatever is configured, so the second command finds that one case different, and rightly.

Where its words and ours differ:

- *replace* is a cancel and a new order for them, so the order always goes to the back of its queue. Our amendment does
  the same, except where an order only gets smaller: there ours keeps its place, so a cancel and a new order are sent.
- *reduce* says by how much, our amendment says the new total. Down to nothing it is a cancel.
- *clear* is nothing that we have: the owner of each resting order cancels it.
- *A killed fill-or-kill order* is applied without effect for them, refused for us.
- *A price* is a binary64 that means the nearest tick, and the protocol says how to round. That is done here, so our
  refusal of prices off the tick is not what ``tick-grid`` tests.
- *Self-trades* are always prevented by us, so the policy NONE does not exist here. But where owners mean nothing, no
  two orders need to be of one account. Otherwise an account is an owner, CANCEL_RESTING our CANCEL_OLDEST, and
  CANCEL_INCOMING our CANCEL_NEWEST.
- *Order ids* are free again for them once the order is gone, and one space for all owners; we remember ours, for
  each account. So each order gets a new id, unless theirs still rests: then it comes from the account and under the
  id of the one that rests, and it is the engine that refuses it.
- *Quantities* have at most ten decimals here: with a tick of 0.01 the engine lists no market with a smaller lot.
"""

from __future__ import annotations

import sys
from decimal import Decimal
from importlib.metadata import version
from typing import Final, NamedTuple, TypeVar

from tracebook.conformance import (
    BookSnapshot,
    BookState,
    ConformanceConfig,
    EngineMetadata,
    Observation,
    Outcome,
    RestingOrder,
    TradeFill,
    canonical_decimal,
    serve_stdio,
)
from tracebook.core.order import NO_OWNER, OrderSide, OrderType, SelfTradePolicy
from tracebook.events import MarketEvent

from engine import amounts, rejects
from engine.amounts import SCALE_ABSENT
from engine.commands import AmendOrder, CancelOrder, Command, PlaceOrder
from engine.events import CommandRejected, Event, OrderAccepted, RequestRepeated, TradeExecuted
from engine.orders import Order
from engine.types import BUY, CANCEL_NEWEST, CANCEL_OLDEST, FOK, GTC, IOC, LIMIT, MARKET, OPEN, SELL, MarketSpec
from sim.funded_machine import BASE_DECIMALS, NOW_NS, FundedMachine, highest_price_ticks, in_priority_order

LOT: Final = Decimal(1).scaleb(-BASE_DECIMALS)
UNKNOWN_ORDER_ID: Final = (1 << 64) - 1
TIMES_IN_FORCE: Final = {OrderType.LIMIT: GTC, OrderType.MARKET: GTC, OrderType.IOC: IOC, OrderType.FOK: FOK}
SELF_TRADE_MODES: Final = {
    SelfTradePolicy.NONE: CANCEL_NEWEST,  # of no effect: see above
    SelfTradePolicy.CANCEL_RESTING: CANCEL_OLDEST,
    SelfTradePolicy.CANCEL_INCOMING: CANCEL_NEWEST,
}
REJECTIONS: Final = {
    rejects.UNKNOWN_ORDER: "ORDER_NOT_ACTIVE",
    rejects.ORDER_CLOSED: "ORDER_NOT_ACTIVE",
    rejects.ID_CONFLICT: "DUPLICATE_ORDER_ID",
}

WithAmounts = TypeVar("WithAmounts", PlaceOrder, AmendOrder)


class Placed(NamedTuple):
    """An order as the suite names it, and the command that brought it into the engine."""

    order_id: int
    owner: int
    command: PlaceOrder


class EngineUnderTest:
    """One machine, and which of its orders is which of the suite's. What an order is now, only the machine knows."""

    metadata = EngineMetadata("tallystick", version("tallystick"), "Python")

    def __init__(self, config: ConformanceConfig) -> None:
        self._config = config
        self._tick = Decimal(canonical_decimal(config.tick_size))
        self._exchange = FundedMachine(_to_engine(self._tick))
        self._stranger = self._exchange.account("stranger")
        self._placed: dict[int, Placed] = {}
        self._newest: dict[tuple[str, int | None], int] = {}

    def apply(self, event: MarketEvent, index: int) -> Observation:
        """Do what one event of the suite says. Answers what came of it."""
        handlers = {
            "new": self._place,
            "cancel": self._cancel,
            "reduce": self._reduce,
            "replace": self._replace,
            "clear": self._clear,
        }
        events = handlers[event.op](event, index)
        state = self.snapshot()
        trades = tuple(self._fill(event.symbol, trade) for trade in events if isinstance(trade, TradeExecuted))
        return Observation(index, _outcome(event.op, events), trades, state.digest(), state.order_count)

    def snapshot(self) -> BookState:
        """Every resting order, by symbol, side and place in the queue."""
        snapshots = []
        for symbol, market in self._exchange.markets():
            book = self._exchange.book(market)
            bids = tuple(map(self._resting, in_priority_order(book.bids)))
            asks = tuple(map(self._resting, in_priority_order(book.asks)))
            snapshots.append(BookSnapshot(symbol, bids, asks))
        return BookState(tuple(snapshots))

    def close(self) -> None:
        """There is nothing to let go of."""

    def _place(self, event: MarketEvent, index: int) -> list[Event]:
        market = self._exchange.market(event.symbol)
        side = BUY if event.side == OrderSide.BUY else SELL
        by_market = event.order_type == OrderType.MARKET
        ticks, quantity = self._ticks(event.price), _exactly(event.quantity)
        resting = self._order(event)
        if resting is not None and resting.status == OPEN:
            account_id, client_order_id = resting.account_id, self._exchange.client_order_id(resting)
        else:
            account_id, client_order_id = self._account(event, market), _new_id(event, market, index)
            cost_ticks = highest_price_ticks(self._exchange.book(market).asks) if by_market else ticks
            self._fund(account_id, market, side, cost_ticks, quantity, index)
        command = PlaceOrder(
            account_id=account_id,
            issued_at_ns=NOW_NS,
            market_id=market.market_id,
            side=side,
            order_type=MARKET if by_market else LIMIT,
            time_in_force=TIMES_IN_FORCE[event.order_type],
            post_only=0,
            self_trade=SELF_TRADE_MODES[self._config.self_trade_policy],
            price_mantissa=0,
            price_scale=SCALE_ABSENT,
            quantity_mantissa=0,
            quantity_scale=SCALE_ABSENT,
            client_order_id=client_order_id,
        )
        command = _with_amounts(command, None if by_market else ticks * self._tick, quantity)
        return self._enter(event, event.owner, command)

    def _cancel(self, event: MarketEvent, index: int) -> list[Event]:
        return self._exchange.run(self._cancellation(self._order(event), index))

    def _reduce(self, event: MarketEvent, index: int) -> list[Event]:
        order, by = self._order(event), _exactly(event.quantity)
        if order is not None and by == order.open_lots * LOT:
            return self._cancel(event, index)
        total = by if order is None else order.quantity_lots * LOT - by
        return self._exchange.run(_with_amounts(self._amendment(order, index), None, total))

    def _replace(self, event: MarketEvent, index: int) -> list[Event]:
        order = self._order(event)
        if order is None or order.status != OPEN:
            return self._exchange.run(self._amendment(order, index))
        market, placed = self._exchange.market(event.symbol), self._placed[order.order_id]
        ticks = order.price_ticks if event.price is None else self._ticks(event.price)
        open_quantity = order.open_lots * LOT
        quantity = open_quantity if event.quantity is None else _exactly(event.quantity)
        if ticks == order.price_ticks and 0 < quantity <= open_quantity:
            again = placed.command._replace(client_order_id=_new_id(event, market, index))
            again = _with_amounts(again, ticks * self._tick, quantity)
            return self._enter(event, placed.owner, self._cancellation(order, index), again)
        self._fund(order.account_id, market, order.side, ticks, quantity, index, has=order.held_units)
        total = order.quantity_lots * LOT - open_quantity + quantity
        return self._exchange.run(_with_amounts(self._amendment(order, index), ticks * self._tick, total))

    def _clear(self, event: MarketEvent, index: int) -> list[Event]:
        book = self._exchange.book(self._exchange.market(event.symbol))
        resting = [*in_priority_order(book.bids), *in_priority_order(book.asks)]
        return self._exchange.run(*(self._cancellation(order, index) for order in resting)) if resting else []

    def _enter(self, event: MarketEvent, owner: int, *commands: Command) -> list[Event]:
        """Run commands of which the last one is a new order, and remember which it is if it was accepted."""
        placed = commands[-1]
        assert isinstance(placed, PlaceOrder) and event.order_id is not None, event
        events = self._exchange.run(*commands)
        for accepted in events:
            if isinstance(accepted, OrderAccepted):
                self._placed[accepted.order_id] = Placed(event.order_id, owner, placed)
                self._newest[event.symbol, event.order_id] = accepted.order_id
        return events

    def _order(self, event: MarketEvent) -> Order | None:
        """The newest order of that name, open or not. None if none was ever accepted."""
        return self._exchange.order(self._newest.get((event.symbol, event.order_id), 0))

    def _account(self, event: MarketEvent, market: MarketSpec) -> int:
        anonymous = self._config.self_trade_policy == SelfTradePolicy.NONE or event.owner == NO_OWNER
        name = f"order-{market.market_id}-{event.order_id}" if anonymous else f"owner-{event.owner}"
        return self._exchange.account(name)

    def _fund(
        self, account_id: int, market: MarketSpec, side: int, ticks: int, quantity: Decimal, index: int, has: int = 0
    ) -> None:
        lots = int(quantity / LOT)
        self._exchange.fund(account_id, market, side, ticks, lots, reference=f"event-{index}", has=has)

    def _cancellation(self, order: Order | None, index: int) -> CancelOrder:
        account_id, order_id = self._named(order)
        return CancelOrder(account_id, NOW_NS, order_id, b"", b"cancel-%d-%d" % (index, order_id))

    def _amendment(self, order: Order | None, index: int) -> AmendOrder:
        account_id, order_id = self._named(order)
        return AmendOrder(account_id, NOW_NS, order_id, 0, SCALE_ABSENT, 0, SCALE_ABSENT, b"", b"amend-%d" % index)

    def _named(self, order: Order | None) -> tuple[int, int]:
        """Whose order it is, and its number. An order that never was is still asked for: the engine shall refuse it."""
        return (self._stranger, UNKNOWN_ORDER_ID) if order is None else (order.account_id, order.order_id)

    def _ticks(self, price: float | None) -> int:
        return round((price or 0) / self._config.tick_size)

    def _fill(self, symbol: str, trade: TradeExecuted) -> TradeFill:
        taker, maker = self._placed[trade.taker_order_id].order_id, self._placed[trade.maker_order_id].order_id
        buyer, seller = (taker, maker) if trade.taker_side == BUY else (maker, taker)
        return TradeFill(symbol, buyer, seller, self._price(trade.price_ticks), self._quantity(trade.quantity_lots))

    def _resting(self, order: Order) -> RestingOrder:
        placed = self._placed[order.order_id]
        return RestingOrder(
            placed.order_id, self._price(order.price_ticks), self._quantity(order.open_lots), placed.owner
        )

    def _price(self, ticks: int) -> str:
        return canonical_decimal(ticks * self._tick)

    def _quantity(self, lots: int) -> str:
        return canonical_decimal(lots * LOT, self._config.quantity_decimal_places)


def _outcome(op: str, events: list[Event]) -> Outcome:
    reason = rejects.ACCEPTED
    for event in events:
        if isinstance(event, RequestRepeated):
            return Outcome("rejected", "DUPLICATE_ORDER_ID")
        if isinstance(event, CommandRejected):
            reason = event.reason
    if reason in (rejects.ACCEPTED, rejects.FOK):
        return Outcome("applied")
    otherwise = "INVALID_REPLACEMENT" if op == "replace" else "INVALID_ORDER"
    return Outcome("rejected", REJECTIONS.get(reason, otherwise), rejects.reason_sentence(reason))


def _with_amounts(command: WithAmounts, price: Decimal | None, quantity: Decimal) -> WithAmounts:
    price_mantissa, price_scale = amounts.ABSENT if price is None else _to_engine(price)
    quantity_mantissa, quantity_scale = _to_engine(quantity)
    return command._replace(
        price_mantissa=price_mantissa,
        price_scale=price_scale,
        quantity_mantissa=quantity_mantissa,
        quantity_scale=quantity_scale,
    )


def _new_id(event: MarketEvent, market: MarketSpec, index: int) -> bytes:
    return f"{market.market_id}-{event.order_id}-{index}".encode()


def _exactly(number: float | None) -> Decimal:
    return Decimal(canonical_decimal(number))


def _to_engine(number: Decimal) -> amounts.Decimal:
    return amounts.parse_decimal(canonical_decimal(number)) or amounts.UNREPRESENTABLE


if __name__ == "__main__":
    sys.exit(serve_stdio(EngineUnderTest))
