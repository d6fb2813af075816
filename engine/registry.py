"""What is listed and who may ask: assets, markets, accounts, API keys, references of deposits.

All of it is created by commands at run time and numbered from 1 in the order of the log. Account 0, the exchange
itself, exists from the beginning.
"""

from __future__ import annotations

from typing import Final, NamedTuple

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

_NO_LIMITS: Final = AccountLimits()


class DepositReceipt(NamedTuple):
    """What a reference of a deposit stands for, for ever (rulebook row D6)."""

    sequence: int
    account_id: int
    asset_id: int
    amount_units: int


class Standing:
    """What operators and the account itself set for it, and how much of its rate it has used.

    ``window`` numbers the window of log time that ``requests_in_window`` counts; ``dead_man_ns`` is when its orders
    are cancelled unless it renews (0: never).
    """

    __slots__ = ("dead_man_ns", "frozen", "limits", "requests_in_window", "window")

    def __init__(self) -> None:
        self.frozen = 0
        self.limits = AccountLimits()
        self.window = 0
        self.requests_in_window = 0
        self.dead_man_ns = 0


class Registry:
    """Index 0 of the lists of assets and markets is unused, so that an id is its index."""

    def __init__(self) -> None:
        self.assets: list[AssetSpec | None] = [None]
        self.markets: list[MarketSpec | None] = [None]
        self.accounts = [AccountSpec(EXCHANGE_ACCOUNT, EXCHANGE_ACCOUNT_NAME, OPERATOR, 0)]
        self.asset_ids: dict[bytes, int] = {}
        self.market_ids: dict[bytes, int] = {}
        self.account_ids: dict[bytes, int] = {EXCHANGE_ACCOUNT_NAME: EXCHANGE_ACCOUNT}
        self.api_keys: dict[bytes, ApiKey] = {}
        self.deposits: dict[bytes, DepositReceipt] = {}
        self.standings: dict[int, Standing] = {}  # of accounts for which anything was ever set

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

    def standing(self, account_id: int) -> Standing:
        """The account's standing, to be changed."""
        return self.standings.setdefault(account_id, Standing())

    def is_frozen(self, account_id: int) -> bool:
        standing = self.standings.get(account_id)
        return standing is not None and standing.frozen == 1

    def limits(self, account_id: int) -> AccountLimits:
        standing = self.standings.get(account_id)
        return _NO_LIMITS if standing is None else standing.limits

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
        self.account_ids[account.name] = account.account_id


def market_name(base: AssetSpec, quote: AssetSpec) -> bytes:
    """There is one market for each ordered pair of assets."""
    return base.name + b"-" + quote.name
