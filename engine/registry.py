"""What is listed and who may ask: assets, markets, accounts, API keys, references of deposits.

All of it is created by commands at run time and numbered from 1 in the order of the log. Account 0, the exchange
itself, exists from the beginning.
"""

from __future__ import annotations

from typing import NamedTuple

from engine.rate import Counted
from engine.types import (
    EXCHANGE_ACCOUNT,
    EXCHANGE_ACCOUNT_NAME,
    OPERATOR,
    AccountLimits,
    AccountSpec,
    ApiKey,
    AssetSpec,
    MarketSpec,
)


class DepositReceipt(NamedTuple):
    """What a reference of a deposit stands for, for ever (rulebook row D6)."""

    sequence: int
    account_id: int
    asset_id: int
    amount_units: int


class Standing(Counted):
    """What operators and the account itself set for it, and how much of its rate it has used.

    The limits are those of AccountLimits, where 0 is none of its own. ``dead_man_ns`` is when its orders are cancelled
    unless it renews (0: never). ``names_references`` is 1 once it named a withdrawal or a transfer.
    """

    __slots__ = (
        "dead_man_ns",
        "frozen",
        "names_references",
        "open_orders_max",
        "requests_max",
        "stops_max",
        "window_ms",
    )

    def __init__(self) -> None:
        super().__init__()
        self.frozen = 0
        self.names_references = 0
        self.open_orders_max = 0
        self.stops_max = 0
        self.requests_max = 0
        self.window_ms = 0
        self.dead_man_ns = 0

    @property
    def limits(self) -> AccountLimits:
        return AccountLimits(self.open_orders_max, self.stops_max, self.requests_max, self.window_ms)

    @limits.setter
    def limits(self, limits: AccountLimits) -> None:
        self.open_orders_max, self.stops_max, self.requests_max, self.window_ms = limits


class Registry:
    """An id is the index of what it names; index 0 of the lists of assets and markets is unused."""

    def __init__(self) -> None:
        self.assets: list[AssetSpec | None] = [None]
        self.markets: list[MarketSpec | None] = [None]
        self.accounts = [AccountSpec(EXCHANGE_ACCOUNT, EXCHANGE_ACCOUNT_NAME, OPERATOR, 0)]
        self.asset_ids: dict[bytes, int] = {}
        self.market_ids: dict[bytes, int] = {}
        self.account_ids: dict[bytes, int] = {EXCHANGE_ACCOUNT_NAME: EXCHANGE_ACCOUNT}
        self.api_keys: dict[bytes, ApiKey] = {}
        self.deposits: dict[bytes, DepositReceipt] = {}
        self.standings: list[Standing | None] = [None]  # by account id; None where nothing was ever set
        self._roles = bytearray([OPERATOR])  # by account id

    def asset(self, asset_id: int) -> AssetSpec | None:
        return self.assets[asset_id] if 0 < asset_id < len(self.assets) else None

    def asset_by_name(self, name: bytes) -> AssetSpec | None:
        return self.asset(self.asset_ids.get(name, 0))

    def market(self, market_id: int) -> MarketSpec | None:
        return self.markets[market_id] if 0 < market_id < len(self.markets) else None

    def market_by_name(self, name: bytes) -> MarketSpec | None:
        return self.market(self.market_ids.get(name, 0))

    def account(self, account_id: int) -> AccountSpec | None:
        return self.accounts[account_id] if 0 <= account_id < len(self.accounts) else None

    def account_by_name(self, name: bytes) -> AccountSpec | None:
        account_id = self.account_ids.get(name)
        return None if account_id is None else self.accounts[account_id]

    def has_account(self, account_id: int) -> bool:
        return 0 <= account_id < len(self._roles)

    def role_of(self, account_id: int) -> int:
        """The role of an account that exists."""
        return self._roles[account_id]

    def standing(self, account_id: int) -> Standing:
        """The standing of an account that exists, to be changed."""
        standing = self.standings[account_id]
        if standing is None:
            standing = self.standings[account_id] = Standing()
        return standing

    def standing_of(self, account_id: int) -> Standing | None:
        """The account's standing, None if nothing was ever set for it."""
        return self.standings[account_id] if 0 <= account_id < len(self.standings) else None

    def is_frozen(self, account_id: int) -> bool:
        standing = self.standing_of(account_id)
        return standing is not None and standing.frozen == 1

    def add_asset(self, asset: AssetSpec) -> None:
        assert asset.asset_id == len(self.assets), asset
        self.assets.append(asset)
        self.asset_ids[asset.name] = asset.asset_id

    def add_market(self, market: MarketSpec) -> None:
        assert market.market_id == len(self.markets), market
        self.markets.append(market)
        self.market_ids[market.name] = market.market_id

    def add_account(self, account: AccountSpec) -> None:
        assert account.account_id == len(self.accounts), account
        self.accounts.append(account)
        self.standings.append(None)
        self._roles.append(account.role)
        self.account_ids[account.name] = account.account_id


def market_name(base: AssetSpec, quote: AssetSpec) -> bytes:
    """There is one market for each ordered pair of assets."""
    return base.name + b"-" + quote.name
