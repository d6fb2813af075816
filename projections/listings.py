"""What is listed: assets, markets with their fees and states, and accounts."""

from __future__ import annotations

from collections.abc import Iterable

from engine.amounts import POWERS_OF_TEN, SCALE_ABSENT, to_multiples
from engine.codec import decode_commands, unpack_tiers
from engine.commands import ListMarket
from engine.entry import Entry
from engine.events import (
    AccountCreated,
    AccountFrozen,
    AssetCreated,
    FeeTiersSet,
    MarketCreated,
    SaleChanged,
)
from engine.types import AMOUNT_MAX, EXCHANGE_ACCOUNT, EXCHANGE_ACCOUNT_NAME, OPERATOR, TRADING, FeeTier
from projections.moment import EventsDisagree, Moment
from projections.rows import AccountRow, AssetRow, MarketRow


class Market:
    """A listed market: what its orders are reckoned with. Owned by :class:`Listings`."""

    __slots__ = (
        "base_asset_id",
        "fee_tiers",
        "last_price_ticks",
        "lot_units",
        "maker_fee_ppm",
        "market_id",
        "notional_units",
        "quote_asset_id",
        "row",
        "state",
        "taker_fee_ppm",
        "tiers",
        "worst_fee_ppm",
    )

    def __init__(self, row: MarketRow) -> None:
        self.row = row
        self.market_id = row.market_id
        self.base_asset_id = row.base_asset_id
        self.quote_asset_id = row.quote_asset_id
        self.lot_units = row.lot_units
        self.notional_units = row.notional_units
        self.maker_fee_ppm = row.maker_fee_ppm
        self.taker_fee_ppm = row.taker_fee_ppm
        self.worst_fee_ppm = max(row.maker_fee_ppm, row.taker_fee_ppm, 0)  # what holds cover (docs/rules.md)
        self.state = row.state
        self.last_price_ticks = row.last_price_ticks
        self.set_tiers(row.fee_tiers)

    def set_tiers(self, packed: bytes) -> None:
        tiers = unpack_tiers(packed)
        if tiers is None:
            raise EventsDisagree(f"the fee tiers of market {self.market_id} are damaged")
        self.fee_tiers, self.tiers = packed, tiers

    def fee_ppm(self, *, taker: bool, volume_units: int) -> int:
        """What an account with this volume pays: the highest tier that it reached, else the listed fee."""
        if not self.tiers:
            return self.taker_fee_ppm if taker else self.maker_fee_ppm
        listed = FeeTier(0, self.maker_fee_ppm, self.taker_fee_ppm)
        tier = next((tier for tier in reversed(self.tiers) if volume_units >= tier.volume_units), listed)
        return tier.taker_fee_ppm if taker else tier.maker_fee_ppm

    def as_row(self) -> MarketRow:
        return self.row._replace(fee_tiers=self.fee_tiers, state=self.state, last_price_ticks=self.last_price_ticks)


class Listings:
    """Owns the assets, markets and accounts of a group. Account 0 is there before any event."""

    def __init__(self, moment: Moment) -> None:
        self._moment = moment
        self.markets: dict[int, Market] = {}
        self._assets: dict[int, AssetRow] = {}
        self._accounts: dict[int, AccountRow] = {}
        self._new_assets: list[AssetRow] = []
        self._changed_markets: dict[int, Market] = {}
        self._changed_accounts: dict[int, AccountRow] = {}
        exchange = EXCHANGE_ACCOUNT_NAME.decode()
        self._keep_account(AccountRow(moment.group_id, EXCHANGE_ACCOUNT, exchange, OPERATOR, 0, 0, 0))

    def restore(self, assets: Iterable[AssetRow], markets: Iterable[MarketRow], accounts: Iterable[AccountRow]) -> None:
        self._assets = {row.asset_id: row for row in assets}
        self.markets = {row.market_id: Market(row) for row in markets}
        self._accounts = {row.account_id: row for row in accounts}
        self._changed_accounts = {}

    def market(self, market_id: int) -> Market:
        market = self.markets.get(market_id)
        if market is None:
            raise EventsDisagree(f"{self._moment}: market {market_id} was never listed")
        return market

    def on_asset(self, event: AssetCreated) -> None:
        moment = self._moment
        row = AssetRow(moment.group_id, event.asset_id, event.name.decode(), event.decimals, moment.sequence)
        self._assets[event.asset_id] = row
        self._new_assets.append(row)

    def on_market(self, event: MarketCreated, entry: Entry, command_offset: int) -> Market:
        """Its reference price, which no event tells, is in the command that listed it."""
        moment = self._moment
        row = MarketRow(
            group_id=moment.group_id,
            market_id=event.market_id,
            name=event.name.decode(),
            base_asset_id=event.base_asset_id,
            quote_asset_id=event.quote_asset_id,
            tick_units=event.tick_units,
            lot_units=event.lot_units,
            notional_units=event.notional_units,
            min_notional_units=event.min_notional_units,
            maker_fee_ppm=event.maker_fee_ppm,
            taker_fee_ppm=event.taker_fee_ppm,
            fee_tiers=b"",
            state=TRADING,
            last_price_ticks=self._reference_ticks(event, entry, command_offset),
            created_sequence=moment.sequence,
        )
        market = self.markets[event.market_id] = Market(row)
        self.note(market)
        return market

    def on_tiers(self, event: FeeTiersSet) -> None:
        market = self.market(event.market_id)
        market.set_tiers(event.tiers)
        self.note(market)

    def on_account(self, event: AccountCreated) -> None:
        moment = self._moment
        name = event.name.decode()
        self._keep_account(
            AccountRow(moment.group_id, event.account_id, name, event.role, 0, moment.sequence, moment.timestamp_ns)
        )

    def on_frozen(self, event: AccountFrozen) -> None:
        row = self._accounts.get(event.account_id)
        if row is None:
            raise EventsDisagree(f"{self._moment}: account {event.account_id} was never opened")
        self._keep_account(row._replace(frozen=event.frozen))

    def price_after_sale(self, sale: SaleChanged) -> int:
        """The price in ticks at which a sale's market is to open; 0 if what it cleared at is no price there."""
        market, token = self.market(sale.market_id), self._assets[sale.token_asset_id]
        token_units, rest = divmod(sale.clearing_price_units * POWERS_OF_TEN[token.decimals], sale.lot_units)
        price_ticks, off_tick = divmod(token_units, market.row.tick_units)
        return 0 if rest or off_tick or token_units > AMOUNT_MAX else price_ticks

    def note(self, market: Market) -> None:
        """Its row has changed."""
        self._changed_markets[market.market_id] = market

    def take(self) -> tuple[list[AssetRow], list[MarketRow], list[AccountRow]]:
        """What has changed since the last call."""
        taken = (
            self._new_assets,
            [market.as_row() for market in self._changed_markets.values()],
            list(self._changed_accounts.values()),
        )
        self._new_assets, self._changed_markets, self._changed_accounts = [], {}, {}
        return taken

    def _keep_account(self, row: AccountRow) -> None:
        self._accounts[row.account_id] = self._changed_accounts[row.account_id] = row

    def _reference_ticks(self, event: MarketCreated, entry: Entry, command_offset: int) -> int:
        command = list(decode_commands(entry.commands))[command_offset]
        if not isinstance(command, ListMarket) or command.reference_scale == SCALE_ABSENT:
            return 0
        quote = self._assets[event.quote_asset_id]
        return to_multiples(command.reference_mantissa, command.reference_scale, quote.decimals, event.tick_units)
