"""Who is who on an exchange, as far as its events have told: names behind numbers, labels behind sequences.

Everything that the sentences of a scenario need is learnt here from the events alone, so every driver tells the same
story in the same words, wherever its events come from. ``plain`` turns the exchange's name of an account, an asset, a
market or a sale into the scenario's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from engine.amounts import format_units, significant_decimals
from engine.events import (
    AccountCreated,
    AssetCreated,
    Event,
    MarketCreated,
    OrderAccepted,
    OrderReported,
    SaleChanged,
)
from engine.types import BUY, EXCHANGE_ACCOUNT, EXCHANGE_ACCOUNT_NAME, FEE_SCALE, NS_PER_S, SECOND_LEG
from sim.phrases import OPERATOR_NAME, World

EXCHANGE_NAME: Final = EXCHANGE_ACCOUNT_NAME.decode()
NOBODY: Final = (1 << 32) - 1  # a number that no account, asset, market, sale or order of a scenario has

_ACCOUNT_FIELDS: Final = ("account_id", "from_account_id", "to_account_id", "issuer_account_id")


class Asset(NamedTuple):
    name: str
    decimals: int

    def amount(self, units: int) -> str:
        return format_units(units, self.decimals)


class Market(NamedTuple):
    name: str
    base: Asset
    quote: Asset
    tick_units: int
    lot_units: int
    has_fees: bool

    def price(self, price_ticks: int) -> str:
        return _steps(price_ticks, self.tick_units, self.quote.decimals)

    def quantity(self, lots: int) -> str:
        return _steps(lots, self.lot_units, self.base.decimals)


class Sale(NamedTuple):
    name: str
    token: Asset
    quote: Asset
    lot_units: int

    def tokens(self, lots: int) -> str:
        return self.token.amount(lots * self.lot_units)


class KnownOrder(NamedTuple):
    market_id: int
    side: int
    time_in_force: int


class Register:
    """Of one exchange, or of one scenario's part of it. ``now_ns`` is the time of the entry that was heard last."""

    def __init__(self, plain: Callable[[str], str] = str) -> None:
        self.accounts: dict[int, str] = {EXCHANGE_ACCOUNT: EXCHANGE_NAME}
        self.assets: dict[int, Asset] = {}
        self.markets: dict[int, Market] = {}
        self.sales: dict[int, Sale] = {}
        self.orders: dict[int, KnownOrder] = {}
        self.now_ns = 0
        self.plain = plain
        self._labels: dict[int, str] = {}  # "#2" tells the second command under a label from the first
        self._numbers: dict[str, int] = {}
        self._uses: dict[str, int] = {}
        self._ids_given = 0
        self._deposits_given = 0

    def learn(self, event: Event, timestamp_ns: int) -> None:
        self.now_ns = timestamp_ns
        match event:
            case AccountCreated():
                self.accounts[event.account_id] = self.plain(event.name.decode())
            case AssetCreated():
                self.assets[event.asset_id] = Asset(self.plain(event.name.decode()), event.decimals)
            case MarketCreated():
                self.markets[event.market_id] = Market(
                    self.plain(event.name.decode()),
                    self.assets[event.base_asset_id],
                    self.assets[event.quote_asset_id],
                    event.tick_units,
                    event.lot_units,
                    bool(event.maker_fee_ppm or event.taker_fee_ppm),
                )
            case SaleChanged():
                self.sales[event.sale_id] = Sale(
                    self.plain(event.name.decode()),
                    self.assets[event.token_asset_id],
                    self.assets[event.quote_asset_id],
                    event.lot_units,
                )
            case OrderAccepted() | OrderReported():
                self.orders[event.order_id] = KnownOrder(event.market_id, event.side, event.time_in_force)

    def concerns(self, event: Event) -> bool:
        """Is this about an account, a market or a sale of the scenario?"""
        if getattr(event, "market_id", None) in self.markets or getattr(event, "sale_id", None) in self.sales:
            return True
        numbers = [getattr(event, field, EXCHANGE_ACCOUNT) for field in _ACCOUNT_FIELDS]
        return any(number != EXCHANGE_ACCOUNT and number in self.accounts for number in numbers)

    def use(self, label: str) -> str:
        """The label of one command: the second one under the same label gets a number."""
        if not label:
            return ""
        uses = self._uses[label] = self._uses.get(label, 0) + 1
        return label if uses == 1 else f"{label}#{uses}"

    def name(self, number: int, label: str) -> None:
        self._labels[number] = label
        self._numbers.setdefault(label, number)

    def name_second_leg(self, sequence: int, label: str) -> None:
        """The stop leg of the pair of orders that this command placed."""
        self.name(sequence + SECOND_LEG, label)

    def label(self, number: int) -> str:
        return self._labels.get(number, f"number {number}")

    def deposits_given(self) -> int:
        """A number for each deposit that sets the scene."""
        self._deposits_given += 1
        return self._deposits_given

    def held(self, order_id: int, units: int) -> str:
        """What an order holds or frees."""
        asset = self.held_asset(order_id)
        return f"{asset.amount(units)} {asset.name}"

    def held_asset(self, order_id: int) -> Asset:
        """A buy holds money, a sell what it sells."""
        order = self.orders[order_id]
        market = self.markets[order.market_id]
        return market.quote if order.side == BUY else market.base

    def until(self, moment_ns: int) -> str:
        """How long it is from now to a moment, in whole seconds: a live exchange is not exact to the millisecond."""
        seconds = (moment_ns - self.now_ns + NS_PER_S // 2) // NS_PER_S
        return f"{seconds}s"

    def world(self, now_ns: int) -> World:
        """What the language needs to know, as of now."""
        return World(
            now_ns=now_ns,
            account_id=self._account_id,
            asset_id=lambda name: _number({number: asset.name for number, asset in self.assets.items()}, name),
            market_id=self._market_id,
            sale_id=lambda name: _number({number: sale.name for number, sale in self.sales.items()}, name),
            number=lambda label: self._numbers.get(label, NOBODY),
            quote_decimals=lambda number: self.markets[number].quote.decimals if number in self.markets else 0,
            next_id=self._next_id,
        )

    def _account_id(self, name: str) -> int:
        return _number(self.accounts, EXCHANGE_NAME if name == OPERATOR_NAME else name)

    def _market_id(self, name: str) -> int:
        if not name:
            return max(self.markets, default=NOBODY)
        return _number({number: market.name for number, market in self.markets.items()}, name)

    def _next_id(self) -> str:
        self._ids_given += 1
        return f"id{self._ids_given}"


def percent(ppm: int) -> str:
    """Parts per million as per cent, without zeros at the end."""
    whole, rest = divmod(ppm * 100, FEE_SCALE)
    return f"{whole}.{rest:06d}".rstrip("0").rstrip(".") + "%"


def _number(names: dict[int, str], name: str) -> int:
    return next((number for number, known in names.items() if known == name), NOBODY)


def _steps(steps: int, step_units: int, decimals: int) -> str:
    """A number of ticks or lots with the decimals that such a step needs: 1000 ticks of 0.01 are 10.00."""
    shown = significant_decimals(step_units, decimals)
    return format_units(steps * step_units // 10 ** (decimals - shown), shown)
