"""A small exchange for the tests beside this one, checked as a whole after every command.

One market in which a lot at a tick costs one unit, without fees unless a test names them, and traders with ample
funds. After every command the invariants must hold, and a machine restored from a snapshot must then do the same as
the one that goes on.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from engine import commands, rejects
from engine.amounts import ABSENT
from engine.codec import decode_events, encode_command, pack_schedule, pack_tiers
from engine.commands import Command
from engine.dedup import Receipt
from engine.entry import BY_TIME
from engine.event_writer import EventWriter
from engine.events import CommandRejected, Event, OrderClosed, OrderTriggered, TradeExecuted
from engine.invariants import assert_sound
from engine.machine import Machine
from engine.market import Market
from engine.orders import Order, SpecialOrder, special
from engine.snapshot import restore, snapshot_bytes
from engine.types import (
    BUY,
    GTC,
    IOC,
    LIMIT,
    MARKET,
    MARKET_BUDGET,
    NO_TRIGGER,
    NS_PER_DAY,
    NS_PER_MS,
    OPERATOR,
    SELL,
    STOP,
    TRADER,
    TRADING,
    TRAIL_BY_PPM,
    TRAIL_BY_PRICE,
    FeeTier,
    MarketRules,
    ScheduleStep,
)

ANA, BO, CY, DEE, OPS = 1, 2, 3, 4, 5
TRADERS = (ANA, BO, CY, DEE)
GLD, EUR = 1, 2
GLD_EUR = 1
START_NS: Final = 20_000 * NS_PER_DAY + NS_PER_DAY // 2  # noon
GLD_UNITS, EUR_UNITS = 1_000_000, 10**12


class Exchange:
    """``last`` is the price before the first trade. ``by_time`` is what time brought about in the last entry.

    With ``twin`` a machine restored before every command must do the same; a test of many commands does without.
    """

    def __init__(
        self, last: int = 0, *, fees: tuple[int, int] = (0, 0), state: int = TRADING, minimum: int = 0, **rules: int
    ) -> None:
        self.machine, self.now_ns, self.by_time = Machine(), START_NS, list[Event]()
        self.twin = True
        self.log: list[tuple[int, bytes]] = []  # all entries so far: when, and their commands
        self._ids = 0
        reference = (last, 0) if last else ABSENT
        listing = (1, 0, 1, 0, minimum, 0, *fees, state, *reference, *MarketRules(**rules))
        self.run(
            commands.CreateAsset(0, 0, 0, b"GLD"),
            commands.CreateAsset(0, 0, 0, b"EUR"),
            commands.ListMarket(0, 0, *listing, b"GLD", b"EUR"),
            *(commands.CreateAccount(0, 0, TRADER, b"trader-%d" % account_id) for account_id in TRADERS),
            commands.CreateAccount(0, 0, OPERATOR, b"ops"),
        )
        for account_id in TRADERS:
            self.deposit(account_id, GLD, GLD_UNITS)
            self.deposit(account_id, EUR, EUR_UNITS)

    @property
    def market(self) -> Market:
        market = self.machine.trading.market(GLD_EUR)
        assert market is not None
        return market

    @property
    def last(self) -> int:
        return self.market.session.last_price_ticks

    def run(self, *asked: Command) -> list[Event]:
        """Execute each in an entry of its own, signed now. Answers the events of the last one."""
        answer: list[Event] = []
        for command in asked:
            data = encode_command(command._replace(issued_at_ns=self.now_ns))
            twin = restore(snapshot_bytes(self.machine)) if self.twin else None
            self.log.append((self.now_ns, data))
            applied = self.machine.apply(self.now_ns, data)
            if twin is not None:
                assert twin.apply(self.now_ns, data) == applied, ("a restored machine differs", command)
                assert snapshot_bytes(twin) == snapshot_bytes(self.machine), command
                assert_sound(twin)
            assert_sound(self.machine)
            found = list(decode_events(applied.entry.events))
            self.by_time = [event for offset, event in found if offset == BY_TIME]
            answer = [event for offset, event in found if offset != BY_TIME]
        return answer

    def wait(self, milliseconds: int = 0, *, ns: int = 0) -> list[Event]:
        """Let time pass and tick. Answers what time brought about."""
        self.now_ns += milliseconds * NS_PER_MS + ns
        self.run(commands.Tick(0, 0))
        return self.by_time

    def new_id(self) -> bytes:
        self._ids += 1
        return b"request-%d" % self._ids

    def deposit(self, account_id: int, asset_id: int, units: int) -> list[Event]:
        return self.run(commands.Deposit(0, 0, account_id, asset_id, units, 0, self.new_id()))

    def buy(self, account_id: int, lots: int, price: int, name: str = "", **options: Any) -> list[Event]:
        return self.run(self.order(account_id, BUY, lots, price, name, **options))

    def sell(self, account_id: int, lots: int, price: int, name: str = "", **options: Any) -> list[Event]:
        return self.run(self.order(account_id, SELL, lots, price, name, **options))

    def market_order(self, account_id: int, side: int, lots: int, name: str = "", **options: Any) -> list[Event]:
        return self.run(self.order(account_id, side, lots, 0, name, **options))

    def budget(self, account_id: int, units: int, name: str = "", **options: Any) -> list[Event]:
        return self.run(self.order(account_id, BUY, units, 0, name, order_type=MARKET_BUDGET, **options))

    def stop(self, account_id: int, side: int, lots: int, stop: int, name: str, **options: Any) -> list[Event]:
        """A stop at market, or with a ``price`` a stop-limit."""
        return self.run(self.special(account_id, side, lots, name, trigger=STOP, stop=stop, **options))

    def trail(self, account_id: int, side: int, lots: int, trail: int, name: str, **options: Any) -> list[Event]:
        """A trailing stop behind by so many ticks, or with ``ppm=True`` by so many millionths."""
        trigger = TRAIL_BY_PPM if options.pop("ppm", False) else TRAIL_BY_PRICE
        return self.run(self.special(account_id, side, lots, name, trigger=trigger, trail=trail, **options))

    def iceberg(self, account_id: int, side: int, lots: int, price: int, display: int, name: str) -> list[Event]:
        return self.run(self.special(account_id, side, lots, name, price=price, display=display))

    def oco(
        self, account_id: int, side: int, lots: int, price: int, stop: int, names: str, **options: Any
    ) -> list[Event]:
        """Both legs' names are separated by a blank: the limit leg's, then the stop leg's."""
        return self.run(self.pair(account_id, side, lots, price, stop, names, **options))

    def cancel(self, account_id: int, name: str) -> list[Event]:
        return self.run(commands.CancelOrder(account_id, 0, 0, name.encode(), self.new_id()))

    def amend(self, account_id: int, name: str, *, price: int = 0, lots: int = 0) -> list[Event]:
        numbers = (*((price, 0) if price else ABSENT), *((lots, 0) if lots else ABSENT))
        return self.run(commands.AmendOrder(account_id, 0, 0, *numbers, name.encode(), self.new_id()))

    def cancel_all(self, account_id: int, market_id: int = 0) -> list[Event]:
        return self.run(commands.CancelAll(account_id, 0, market_id, self.new_id()))

    def set_state(self, state: int) -> list[Event]:
        return self.run(commands.SetMarketState(OPS, 0, GLD_EUR, state))

    def set_rules(self, **rules: int) -> list[Event]:
        return self.run(commands.SetMarketRules(OPS, 0, GLD_EUR, *MarketRules(**rules)))

    def set_schedule(self, *steps: tuple[int, int]) -> list[Event]:
        packed = pack_schedule(ScheduleStep(*step) for step in steps)
        return self.run(commands.SetMarketSchedule(OPS, 0, GLD_EUR, packed))

    def set_tiers(self, *tiers: tuple[int, int, int]) -> list[Event]:
        return self.run(commands.SetFeeTiers(OPS, 0, GLD_EUR, pack_tiers(FeeTier(*tier) for tier in tiers)))

    def order(
        self,
        account_id: int,
        side: int,
        lots: int,
        price: int,
        name: str = "",
        *,
        order_type: int = MARKET,
        tif: int | None = None,
        post_only: int = 0,
        self_trade: int = 0,
    ) -> commands.PlaceOrder:
        """A limit order, or where the price is 0 one without."""
        order_type = LIMIT if price else order_type
        tif = (GTC if price else IOC) if tif is None else tif
        numbers = (*((price, 0) if price else ABSENT), lots, 0)
        client_order_id = name.encode() if name else self.new_id()
        return commands.PlaceOrder(
            account_id, 0, GLD_EUR, side, order_type, tif, post_only, self_trade, *numbers, client_order_id
        )

    def special(
        self,
        account_id: int,
        side: int,
        lots: int,
        name: str,
        *,
        price: int = 0,
        order_type: int = MARKET,
        tif: int | None = None,
        post_only: int = 0,
        self_trade: int = 0,
        trigger: int = NO_TRIGGER,
        stop: int | None = None,
        trail: int | None = None,
        display: int | None = None,
        expires_at_ns: int = 0,
    ) -> commands.PlaceSpecialOrder:
        order_type = LIMIT if price else order_type
        tif = (GTC if price else IOC) if tif is None else tif
        trail_scale = 4 if trigger == TRAIL_BY_PPM else 0  # per cent has four decimals: millionths
        options = (account_id, 0, GLD_EUR, side, order_type, tif, post_only, self_trade, trigger)
        numbers = (
            *((price, 0) if price else ABSENT),
            *(lots, 0),
            *(ABSENT if stop is None else (stop, 0)),
            *(ABSENT if trail is None else (trail, trail_scale)),
            *(ABSENT if display is None else (display, 0)),
        )
        return commands.PlaceSpecialOrder(*options, *numbers, expires_at_ns, name.encode())

    def pair(
        self,
        account_id: int,
        side: int,
        lots: int,
        price: int,
        stop: int,
        names: str,
        *,
        limit: int = 0,
        self_trade: int = 0,
    ) -> commands.PlaceOco:
        first, second = (name.encode() for name in names.split())
        stop_limit = (limit, 0) if limit else ABSENT
        return commands.PlaceOco(
            account_id, 0, GLD_EUR, side, self_trade, lots, 0, price, 0, stop, 0, *stop_limit, second, first
        )

    def find(self, account_id: int, name: str) -> Order:
        hashed = self.machine.receipts.hash_of(account_id, name.encode(), 0, len(name))
        order = self.machine.trading.find_named_order(hashed, account_id, name.encode(), 0, len(name))
        assert order is not None, name
        return order

    def find_special(self, account_id: int, name: str) -> SpecialOrder:
        return special(self.find(account_id, name))

    def held(self, account_id: int) -> tuple[int, int]:
        """GLD and EUR."""
        ledger = self.machine.ledger
        return ledger.held_units(account_id, GLD), ledger.held_units(account_id, EUR)

    def available(self, account_id: int) -> tuple[int, int]:
        ledger = self.machine.ledger
        return ledger.available_units(account_id, GLD), ledger.available_units(account_id, EUR)

    def shown(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Bids and asks as (price, lots), from the best."""
        bids, asks = self.market.book.bids, self.market.book.asks
        return tuple(
            [(level.price_ticks, level.shown_lots) for level in side.levels_from_best(99)] for side in (bids, asks)
        )  # type: ignore[return-value]

    def waiting(self) -> list[str]:
        """The names of the stops that wait, in the order of election, buys first."""
        index = self.machine.trading.index
        return [index.client_order_id(order).decode() for order in self.market.stops.orders()]


def emitted(emit: EventWriter) -> list[Event]:
    """All that was said since the writer was made, or last began an entry."""
    return [event for _, event in decode_events(emit.written())]


def receipt_of(machine: Machine, account_id: int, request_id: bytes) -> Receipt | None:
    """A copy of the receipt of this id, found without the index."""
    found = [one for one in machine.receipts.in_queue_order() if one[:2] == (account_id, request_id)]
    assert len(found) < 2, found
    return found[0] if found else None


def reason(events: Iterable[Event]) -> int:
    """ACCEPTED, or why the command was refused."""
    first = next(iter(events))
    return first.reason if isinstance(first, CommandRejected) else rejects.ACCEPTED


def trades(events: Iterable[Event]) -> list[tuple[int, int, int, int]]:
    """(price, lots, maker's account, taker's account) of each trade."""
    return [
        (event.price_ticks, event.quantity_lots, event.maker_account_id, event.taker_account_id)
        for event in events
        if isinstance(event, TradeExecuted)
    ]


def closed(events: Iterable[Event]) -> list[tuple[int, int]]:
    """(account, reason) of each order that ended with a rest."""
    return [(event.account_id, event.reason) for event in events if isinstance(event, OrderClosed)]


def triggered(events: Iterable[Event]) -> list[int]:
    """The accounts whose stops were elected, in that order."""
    return [event.account_id for event in events if isinstance(event, OrderTriggered)]


def kinds(events: Iterable[Event]) -> list[str]:
    return [type(event).__name__ for event in events]
