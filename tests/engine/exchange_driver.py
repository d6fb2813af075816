"""Runs a scenario against the engine in this process, and tells what happened in words.

With ``restarts`` the machine is rebuilt from its snapshot after every command. Besides the commands of
the language there are some about the test's own world:

* ``exchange with GLD 3, EUR 5``: a new exchange with these assets and their decimals,
* ``ana, bo have ample funds`` and ``ana has 100.00 EUR and 2.000 GLD``: opens the accounts and funds them,
* ``clock +25h``,
* ``show book``, ``show balances ana``, ``show orders ana``, ``show order ana/c1``.
"""

from __future__ import annotations

import re
from typing import Final, cast

from engine import queries
from engine.amounts import format_units, significant_decimals
from engine.codec import decode_events, encode_command
from engine.entry import Entry
from engine.events import (
    AccountCreated,
    AssetCreated,
    CommandRejected,
    Event,
    FundsDeposited,
    MarketCreated,
    OrderAccepted,
    OrderAmended,
    OrderClosed,
    OrderReported,
    OrdersCancelled,
    RequestRepeated,
    TradeExecuted,
)
from engine.invariants import assert_sound
from engine.machine import Machine
from engine.rejects import reason_code
from engine.snapshot import restore, snapshot_bytes
from engine.types import (
    BUY,
    CLOSE_REASON_NAMES,
    FILLED,
    LIMIT,
    MARKET_BUDGET,
    SELF_TRADE_NAMES,
    SIDE_NAMES,
    STATUS_NAMES,
    TIME_IN_FORCE_NAMES,
    MarketSpec,
)
from tests.engine.trader_language import Asked, World, duration_ns, parse_command

NOON_NS: Final = 1_750_075_200 * 1_000_000_000
AMPLE: Final = "1000000"
DEPTH: Final = 100
NOBODY: Final = 999  # a number that no account, asset or market of a scenario has


class ExchangeDriver:
    """One exchange at a time. ``entries`` are the bytes of everything it did since the scenario began."""

    def __init__(self, *, restarts: bool) -> None:
        self.machine = Machine()
        self.entries: list[Entry] = []
        self._restarts = restarts
        self._now_ns = NOON_NS
        self._labels: dict[int, str] = {}  # by sequence; "#2" tells the second command under a label from the first
        self._uses: dict[str, int] = {}
        self._ids_given = 0

    def run_line(self, line: str) -> list[str]:
        """Execute one line. Answers what happened, one line each."""
        if line.startswith("exchange with "):
            return self._open(line.removeprefix("exchange with "))
        if line.startswith("clock +"):
            self._now_ns += duration_ns(line.removeprefix("clock +"))
            return []
        if line.startswith("show "):
            return self._show(line.split()[1:])
        match = re.fullmatch(r"(.+?) (?:has (.+)|have ample funds)", line)
        if match is not None:
            return self._fund(match[1].split(", "), match[2])
        asked = parse_command(line, self._world())
        return self._describe(asked, self._apply(asked))

    def _apply(self, asked: Asked) -> list[Event]:
        applied = self.machine.apply(self._now_ns, encode_command(asked.command))
        self.entries.append(applied.entry)
        uses = self._uses[asked.label] = self._uses.get(asked.label, 0) + 1
        self._labels[self.machine.sequence] = asked.label if uses == 1 else f"{asked.label}#{uses}"
        assert_sound(self.machine)
        if self._restarts:
            self.machine = restore(snapshot_bytes(self.machine))
            assert_sound(self.machine)
        return [event for _, event in decode_events(applied.entry.events)]

    def _world(self) -> World:
        return World(
            now_ns=self._now_ns,
            account_id=self._account_id,
            asset_id=lambda name: self._number("assets", "asset_id", name),
            market_id=self._market_id,
            order_number=self._order_number,
            next_id=self._next_id,
        )

    def _next_id(self) -> str:
        self._ids_given += 1
        return f"id{self._ids_given}"

    def _account_id(self, name: str) -> int:
        account = queries.account_by_name(self.machine, name)
        return NOBODY if account is None else cast(int, account["account_id"])

    def _number(self, kind: str, field: str, name: str) -> int:
        return next((row[field] for row in queries.directory(self.machine)[kind] if row["name"] == name), NOBODY)

    def _market_id(self, name: str) -> int:
        return self._number("markets", "market_id", name) if name else len(queries.directory(self.machine)["markets"])

    def _order_number(self, label: str) -> int:
        return next(sequence for sequence, known in self._labels.items() if known == label)

    def _open(self, assets: str) -> list[str]:
        self.machine, self._now_ns, self._labels, self._uses = Machine(), NOON_NS, {}, {}
        for asset in assets.split(", "):
            name, decimals = asset.split()
            self._expect_success(f"asset {name} with {decimals} decimals")
        return []

    def _fund(self, names: list[str], amounts: str | None) -> list[str]:
        assets = [row["name"] for row in queries.directory(self.machine)["assets"]]
        for name in names:
            self._expect_success(f"account {name}")
            for amount in amounts.split(" and ") if amounts else [f"{AMPLE} {asset}" for asset in assets]:
                if amount != "nothing":
                    self._expect_success(f"deposit {amount} for {name} as given-{self.machine.sequence}")
        return []

    def _expect_success(self, line: str) -> None:
        events = self._apply(parse_command(line, self._world()))
        assert not isinstance(events[0], CommandRejected), (line, events)

    def _show(self, words: list[str]) -> list[str]:
        if words[0] == "book":
            return self._show_book(words[2] if len(words) > 2 else "")
        if words[0] == "balances":
            rows = queries.balances(self.machine, self._account_id(words[1]))
            return [
                f"{words[1]} {row['asset']}: {format_units(row['available_units'], row['decimals'])} available, "
                f"{format_units(row['held_units'], row['decimals'])} held"
                for row in rows
            ] or [f"{words[1]} has nothing"]
        if words[0] == "orders":
            found = queries.open_orders(self.machine, self._account_id(words[1]), 0)
            return [self._standing(order) for order in found] or [f"{words[1]} has no open orders"]
        owner, _, client_order_id = words[1].partition("/")
        order = queries.order(self.machine, self._account_id(owner), 0, client_order_id)
        return [f"{words[1]} is unknown" if order is None else self._standing(order)]

    def _show_book(self, name: str) -> list[str]:
        market_id = self._market_id(name)
        market = self._market(market_id)
        book = queries.book(self.machine, market_id, DEPTH)
        assert book is not None
        lines = [
            f"{side[:-1]} {_price(market, price_ticks)} x {_quantity(market, lots)} in {_count(count, 'order')}"
            for side in ("asks", "bids")
            for price_ticks, lots, count in book[side]
        ]
        return lines or ["the book is empty"]

    def _market(self, market_id: int) -> MarketSpec:
        market = self.machine.registry.market(market_id)
        assert market is not None, market_id
        return market

    def _describe(self, asked: Asked, events: list[Event]) -> list[str]:
        return [self._sentence(asked, event) for event in events]

    def _sentence(self, asked: Asked, event: Event) -> str:
        match event:
            case CommandRejected():
                stands = f", {self._labels[event.original_sequence]} stands" if event.original_sequence else ""
                return f"refused {reason_code(event.reason)}{stands}"
            case RequestRepeated():
                return f"repeats {self._labels[event.original_sequence]}: {reason_code(event.reason)}"
            case AssetCreated():
                return f"{asked.label} has {event.decimals} decimals"
            case AccountCreated():
                return f"{asked.label} is an account"
            case MarketCreated():
                market = self._market(event.market_id)
                minimum = format_units(event.min_notional_units, market.quote_decimals)
                fees = f"fees {event.maker_fee_ppm} and {event.taker_fee_ppm} ppm"
                return f"{asked.label} is listed: minimum {minimum}, {fees}"
            case FundsDeposited():
                decimals = self._decimals(event.asset_id)
                amount, total = (
                    format_units(event.amount_units, decimals),
                    format_units(event.available_units, decimals),
                )
                return f"{event.reference.decode()} booked: {amount}, now {total} available"
            case OrderAccepted():
                return f"{self._labels[event.order_id]} accepted: {self._order_text(event)}"
            case TradeExecuted():
                return self._trade_text(event)
            case OrderClosed():
                return self._closed_text(event)
            case OrderAmended():
                market, held = self._market(event.market_id), self._held_text(event.order_id, event.held_units)
                return (
                    f"{self._labels[event.order_id]} amended: {_quantity(market, event.quantity_lots)} @ "
                    f"{_price(market, event.price_ticks)}, {_quantity(market, event.open_lots)} open, "
                    f"{'keeps its place' if event.kept_place else 'goes to the back'}, holds {held}"
                )
            case OrderReported():
                return self._standing(event._asdict())
            case OrdersCancelled():
                return f"{_count(event.order_count, 'order')} cancelled"
        raise AssertionError(event)

    def _decimals(self, asset_id: int) -> int:
        asset = self.machine.registry.asset(asset_id)
        assert asset is not None, asset_id
        return asset.decimals

    def _held_text(self, order_id: int, units: int) -> str:
        order = self.machine.trading.orders[order_id]
        market = self._market(order.market_id)
        asset_id = market.quote_asset_id if order.side == BUY else market.base_asset_id
        name = market.name.decode().split("-")[1 if order.side == BUY else 0]
        return f"{format_units(units, self._decimals(asset_id))} {name}"

    def _order_text(self, event: OrderAccepted) -> str:
        market = self._market(event.market_id)
        if event.order_type == MARKET_BUDGET:
            what = f"for {format_units(event.budget_units, market.quote_decimals)} at market"
        elif event.order_type == LIMIT:
            what = f"{_quantity(market, event.quantity_lots)} @ {_price(market, event.price_ticks)}"
        else:
            what = f"{_quantity(market, event.quantity_lots)} at market"
        options = (
            ""
            if event.order_type != LIMIT or not event.time_in_force
            else (" " + TIME_IN_FORCE_NAMES[event.time_in_force])
        )
        options += " post-only" if event.post_only else ""
        options += " " + SELF_TRADE_NAMES[event.self_trade] if event.self_trade else ""
        held = self._held_text(event.order_id, event.held_units)
        return f"{SIDE_NAMES[event.side]} {what}{options}, holds {held}"

    def _trade_text(self, event: TradeExecuted) -> str:
        market = self._market(event.market_id)
        taker = f"{self._labels[event.taker_order_id]} ({_quantity(market, event.taker_open_lots)} open)"
        maker = f"{self._labels[event.maker_order_id]} ({_quantity(market, event.maker_open_lots)} open)"
        amount = format_units(event.notional_units, market.quote_decimals)
        text = f"trade {_quantity(market, event.quantity_lots)} @ {_price(market, event.price_ticks)} = {amount}: "
        text += f"{taker} {'from' if event.taker_side == BUY else 'to'} {maker}"
        if market.maker_fee_ppm or market.taker_fee_ppm:
            taker_fee = format_units(event.taker_fee_units, market.quote_decimals)
            maker_fee = format_units(event.maker_fee_units, market.quote_decimals)
            text += f", taker fee {taker_fee}, maker fee {maker_fee}"
        return text

    def _closed_text(self, event: OrderClosed) -> str:
        market = self._market(event.market_id)
        parts = ", ".join(
            f"{_quantity(market, lots)} {name}"
            for lots, name in (
                (event.executed_lots, "executed"),
                (event.prevented_lots, "prevented"),
                (event.cancelled_lots, "cancelled"),
            )
            if lots
        )
        freed = self._held_text(event.order_id, event.released_units)
        outcome = f"{STATUS_NAMES[event.status]} {CLOSE_REASON_NAMES[event.reason]}"
        return f"{self._labels[event.order_id]} {outcome}: {parts or 'nothing executed'}, frees {freed}"

    def _standing(self, order: queries.Fields) -> str:
        market, order_id = self._market(order["market_id"]), order["order_id"]
        reason = "" if order["status"] == FILLED else " " + CLOSE_REASON_NAMES[order["close_reason"]]
        return (
            f"{self._labels[order_id]} is {STATUS_NAMES[order['status']]}{reason.rstrip()}: "
            f"{_quantity(market, order['open_lots'])} open, {_quantity(market, order['executed_lots'])} executed for "
            f"{format_units(order['notional_units'], market.quote_decimals)}, "
            f"fee {format_units(order['fee_units'], market.quote_decimals)}, "
            f"holds {self._held_text(order_id, order['held_units'])}"
        )


def _price(market: MarketSpec, price_ticks: int) -> str:
    return _steps(price_ticks, market.tick_units, market.quote_decimals)


def _quantity(market: MarketSpec, lots: int) -> str:
    return _steps(lots, market.lot_units, market.base_decimals)


def _steps(steps: int, step_units: int, decimals: int) -> str:
    """A number of ticks or lots with the decimals that such a step needs: 1000 ticks of 0.01 are 10.00."""
    shown = significant_decimals(step_units, decimals)
    return format_units(steps * step_units // 10 ** (decimals - shown), shown)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
