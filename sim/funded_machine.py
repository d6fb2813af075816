"""A machine in which whatever is traded is listed, and paid for, when it is first needed.

For drivers that know orders only: their symbols become markets of their own, and each account gets just what
its next order can cost, so that an engine which holds more than that refuses the order and is seen.
"""

from __future__ import annotations

from typing import Final

from engine import amounts, rejects
from engine.book import Book, BookSide
from engine.codec import decode_events, encode_command
from engine.commands import Command, CreateAccount, CreateAsset, CreateMarket, Deposit
from engine.events import CommandRejected, Event
from engine.machine import Machine
from engine.orders import Order
from engine.types import AMOUNT_MAX, BUY, EXCHANGE_ACCOUNT, TRADER, MarketSpec

NOW_NS: Final = 0  # for drivers whose orders know no time
BASE_DECIMALS: Final = 10
QUOTE_DECIMALS: Final = 12


class NotListed(Exception):
    """The engine refuses what an operator has to do before an order can be tried. The text is the engine's reason."""


class FundedMachine:
    """All prices are multiples of ``tick``, all quantities of 10**-BASE_DECIMALS. Fees are zero."""

    def __init__(self, tick: amounts.Decimal) -> None:
        self.machine = Machine()
        self._tick = tick
        self._markets: dict[str, MarketSpec] = {}

    def run(self, *commands: Command) -> list[Event]:
        """Execute commands as one entry. Answers all their events."""
        entry = self.machine.apply(NOW_NS, b"".join(encode_command(command) for command in commands)).entry
        return [event for _, event in decode_events(entry.events)]

    def markets(self) -> list[tuple[str, MarketSpec]]:
        """What was listed so far, by symbol."""
        return sorted(self._markets.items())

    def market(self, symbol: str) -> MarketSpec:
        """The market of a symbol, listed with two assets of its own when it is first asked for."""
        if symbol not in self._markets:
            number = len(self._markets) + 1
            base, quote = b"BASE%d" % number, b"QUOTE%d" % number
            lot = amounts.Decimal(1, BASE_DECIMALS)
            self._operate(CreateAsset(EXCHANGE_ACCOUNT, NOW_NS, BASE_DECIMALS, base))
            self._operate(CreateAsset(EXCHANGE_ACCOUNT, NOW_NS, QUOTE_DECIMALS, quote))
            self._operate(CreateMarket(EXCHANGE_ACCOUNT, NOW_NS, *self._tick, *lot, 0, 0, 0, 0, base, quote))
            market = self.machine.registry.market_by_name(base + b"-" + quote)
            assert market is not None, symbol
            self._markets[symbol] = market
        return self._markets[symbol]

    def account(self, name: str) -> int:
        """The account of that name, opened if there is none."""
        self._operate(CreateAccount(EXCHANGE_ACCOUNT, NOW_NS, TRADER, name.encode()))
        return self.machine.registry.account_ids[name.encode()]

    def fund(
        self, account_id: int, market: MarketSpec, side: int, price_ticks: int, lots: int, *, reference: str, has: int
    ) -> None:
        """Deposit what an order of that account costs at most, but for the ``has`` units that it holds already."""
        if side == BUY:
            asset_id, decimals = market.quote_asset_id, QUOTE_DECIMALS
            needed_units = lots * price_ticks * market.notional_units - has
        else:
            asset_id, decimals = market.base_asset_id, BASE_DECIMALS
            needed_units = lots * market.lot_units - has
        # Outside of this it is no order that the engine could accept, and the engine shall say so.
        if 0 < needed_units <= AMOUNT_MAX:
            self._operate(
                Deposit(EXCHANGE_ACCOUNT, NOW_NS, account_id, asset_id, needed_units, decimals, reference.encode())
            )

    def book(self, market: MarketSpec) -> Book:
        listed = self.machine.trading.market(market.market_id)
        assert listed is not None, market
        return listed.book

    def order(self, order_id: int) -> Order | None:
        """An order that was accepted once, open or not."""
        return self.machine.trading.index.find(order_id)

    def client_order_id(self, order: Order) -> bytes:
        return self.machine.trading.index.client_order_id(order)

    def _operate(self, command: Command) -> None:
        for event in self.run(command):
            if isinstance(event, CommandRejected):
                raise NotListed(f"{command}: {rejects.reason_sentence(event.reason)}")


def highest_price_ticks(side: BookSide) -> int:
    """The highest price of any order of that side, 0 if there is none."""
    return max((level.price_ticks for level in side.levels), default=0)


def in_priority_order(side: BookSide) -> list[Order]:
    return [order for level in side.levels_from_best(len(side.levels)) for order in side.orders(level)]
