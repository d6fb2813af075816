"""Commands of operators: assets, markets, accounts, API keys, deposits.

Creations are idempotent by name: the same one again is a repeat, another one under the same name is
refused. Each handler checks everything, then changes, and answers the reason of a refusal or ACCEPTED.
"""

from __future__ import annotations

from typing import Final

from engine import rejects
from engine.amounts import POWERS_OF_TEN, SCALE_ABSENT, SCALE_MAX, to_multiples, to_units
from engine.commands import (
    CreateAccount,
    CreateApiKey,
    CreateAsset,
    CreateMarket,
    Deposit,
    ListMarket,
    SetMarketRules,
)
from engine.dedup import is_valid_id
from engine.events import (
    AccountCreated,
    ApiKeyCreated,
    AssetCreated,
    Event,
    FundsDeposited,
    MarketCreated,
)
from engine.ledger import Ledger
from engine.registry import DepositReceipt, Registry, market_name
from engine.types import (
    AMOUNT_MAX,
    ASSET_DECIMALS_MAX,
    ASSET_NAME_LENGTH_MAX,
    ASSETS_MAX,
    AUCTION_MS_MAX,
    DELISTED,
    FEE_PPM_MAX,
    FEE_SCALE,
    MARKETS_MAX,
    OPERATOR,
    SEALED_SECRET_LENGTH_MAX,
    TRADER,
    TRADING,
    AccountSpec,
    ApiKey,
    AssetSpec,
    MarketRules,
    MarketSpec,
)

_ASSET_NAME_CHARACTERS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


class Outcome:
    """What a handler of this module came to.

    ``repeats`` and ``conflicts_with`` are sequences of earlier receipts, or 0. ``event`` tells what was created,
    now or then.
    """

    __slots__ = ("conflicts_with", "event", "reason", "repeats")

    def __init__(self, reason: int, *, event: Event | None = None, repeats: int = 0, conflicts_with: int = 0) -> None:
        self.reason = reason
        self.event = event
        self.repeats = repeats
        self.conflicts_with = conflicts_with


class Listing:
    """The operators' desk. The machine opens a book for each market that is listed here."""

    def __init__(self, registry: Registry, ledger: Ledger) -> None:
        self._registry = registry
        self._ledger = ledger

    def create_asset(self, command: CreateAsset, sequence: int) -> Outcome:
        registry, name = self._registry, command.name
        if not 0 < len(name) <= ASSET_NAME_LENGTH_MAX or name.translate(None, _ASSET_NAME_CHARACTERS):
            return Outcome(rejects.MALFORMED)
        if command.decimals > ASSET_DECIMALS_MAX:
            return Outcome(rejects.MALFORMED)
        asset = registry.asset_by_name(name)
        if asset is not None:
            if asset.decimals != command.decimals:
                return Outcome(rejects.NAME_TAKEN, conflicts_with=asset.created_sequence)
            return Outcome(rejects.ACCEPTED, event=_asset_created(asset), repeats=asset.created_sequence)
        if len(registry.assets) > ASSETS_MAX:
            return Outcome(rejects.TOO_MANY)
        asset = AssetSpec(len(registry.assets), name, command.decimals, sequence)
        registry.add_asset(asset)
        return Outcome(rejects.ACCEPTED, event=_asset_created(asset))

    def list_market(self, command: ListMarket, sequence: int) -> Outcome:
        registry = self._registry
        if command.state >= DELISTED or command.interrupts > 1 or command.auction_market_orders > 1:
            return Outcome(rejects.MALFORMED)
        base = registry.asset_by_name(command.base_asset)
        quote = registry.asset_by_name(command.quote_asset)
        if base is None or quote is None:
            return Outcome(rejects.UNKNOWN_ASSET)
        market = registry.market_by_name(market_name(base, quote))
        market_id = len(registry.markets) if market is None else market.market_id
        asked = _market_asked_for(command, base, quote, market_id, sequence)
        if market is not None:
            if asked is None or market[:-1] != asked[:-1]:
                return Outcome(rejects.NAME_TAKEN, conflicts_with=market.created_sequence)
            return Outcome(rejects.ACCEPTED, event=_market_created(market), repeats=market.created_sequence)
        if asked is None or reference_ticks(command, asked) < 0:
            return Outcome(rejects.LISTING_RULES)
        if not rules_allowed(rules_of(command)):
            return Outcome(rejects.MARKET_RULES)
        if len(registry.markets) > MARKETS_MAX:
            return Outcome(rejects.TOO_MANY)
        registry.add_market(asked)
        return Outcome(rejects.ACCEPTED, event=_market_created(asked))

    def create_account(self, command: CreateAccount, sequence: int) -> Outcome:
        registry = self._registry
        if not is_valid_id(command.name) or command.role not in (TRADER, OPERATOR):
            return Outcome(rejects.MALFORMED)
        account = registry.account_by_name(command.name)
        if account is not None:
            if account.role != command.role:
                return Outcome(rejects.NAME_TAKEN, conflicts_with=account.created_sequence)
            return Outcome(rejects.ACCEPTED, event=_account_created(account), repeats=account.created_sequence)
        account = AccountSpec(len(registry.accounts), command.name, command.role, sequence)
        registry.add_account(account)
        return Outcome(rejects.ACCEPTED, event=_account_created(account))

    def create_api_key(self, command: CreateApiKey, sequence: int) -> Outcome:
        registry = self._registry
        if not is_valid_id(command.key_id) or not 0 < len(command.sealed_secret) <= SEALED_SECRET_LENGTH_MAX:
            return Outcome(rejects.MALFORMED)
        if registry.account(command.owner_account_id) is None:
            return Outcome(rejects.UNKNOWN_ACCOUNT)
        asked = ApiKey(command.key_id, command.owner_account_id, command.sealed_secret, sequence)
        key = registry.api_keys.get(command.key_id)
        if key is not None:
            if key[:-1] != asked[:-1]:
                return Outcome(rejects.NAME_TAKEN, conflicts_with=key.created_sequence)
            return Outcome(rejects.ACCEPTED, event=_api_key_created(key), repeats=key.created_sequence)
        registry.api_keys[asked.key_id] = asked
        return Outcome(rejects.ACCEPTED, event=_api_key_created(asked))

    def deposit(self, command: Deposit, sequence: int) -> Outcome:
        registry, reference = self._registry, command.reference
        if not is_valid_id(reference):
            return Outcome(rejects.MALFORMED)
        if registry.account(command.owner_account_id) is None:
            return Outcome(rejects.UNKNOWN_ACCOUNT)
        asset = registry.asset(command.asset_id)
        amount_units = -1 if asset is None else to_units(command.amount_mantissa, command.amount_scale, asset.decimals)
        receipt = registry.deposits.get(reference)
        if receipt is not None:
            if receipt[1:] != (command.owner_account_id, command.asset_id, amount_units):
                return Outcome(rejects.ID_CONFLICT, conflicts_with=receipt.sequence)
            return Outcome(rejects.ACCEPTED, repeats=receipt.sequence)
        if asset is None:
            return Outcome(rejects.UNKNOWN_ASSET)
        if amount_units <= 0:
            return Outcome(rejects.AMOUNT)
        if self._ledger.supply_units(asset.asset_id) > AMOUNT_MAX - amount_units:
            return Outcome(rejects.SUPPLY_TOO_LARGE)
        self._ledger.deposit(command.owner_account_id, asset.asset_id, amount_units)
        registry.deposits[reference] = DepositReceipt(sequence, command.owner_account_id, asset.asset_id, amount_units)
        available_units = self._ledger.available_units(command.owner_account_id, asset.asset_id)
        return Outcome(
            rejects.ACCEPTED,
            event=FundsDeposited(command.owner_account_id, asset.asset_id, amount_units, available_units, reference),
        )


def with_default_rules(command: CreateMarket) -> ListMarket:
    """What the older command asks for: a market that is open at once, without a band or an auction."""
    return ListMarket(*command[:10], TRADING, 0, SCALE_ABSENT, *MarketRules(), *command[10:])


def rules_of(command: ListMarket | SetMarketRules) -> MarketRules:
    return MarketRules(
        band_ppm=command.band_ppm,
        interrupts=command.interrupts,
        call_ms=command.call_ms,
        no_cancel_ms=command.no_cancel_ms,
        random_end_ms_max=command.random_end_ms_max,
        auction_market_orders=command.auction_market_orders,
        open_orders_max=command.open_orders_max,
        stops_max=command.stops_max,
    )


def rules_allowed(rules: MarketRules) -> bool:
    """Do the rules make sense together? An interruption must have a cause and an end, a market order a price."""
    if rules.band_ppm >= FEE_SCALE or (rules.interrupts and not (rules.band_ppm and rules.call_ms)):
        return False
    if rules.auction_market_orders and not rules.band_ppm:
        return False
    return max(rules.call_ms, rules.no_cancel_ms, rules.random_end_ms_max) <= AUCTION_MS_MAX


def reference_ticks(command: ListMarket, market: MarketSpec) -> int:
    """The price before the first trade; 0 if none is given, negative if it is not one of this market."""
    if command.reference_scale == SCALE_ABSENT:
        return 0
    return to_multiples(command.reference_mantissa, command.reference_scale, market.quote_decimals, market.tick_units)


def _market_asked_for(
    command: ListMarket, base: AssetSpec, quote: AssetSpec, market_id: int, sequence: int
) -> MarketSpec | None:
    """The market that a command describes, or None if it breaks the rules for listing one."""
    tick_units = to_units(command.tick_mantissa, command.tick_scale, quote.decimals)
    lot_units = to_units(command.lot_mantissa, command.lot_scale, base.decimals)
    if base.asset_id == quote.asset_id or tick_units <= 0 or lot_units <= 0:
        return None
    # A lot at one tick must cost a whole number of quote units: then every notional is exact.
    if tick_units * lot_units % POWERS_OF_TEN[base.decimals] or tick_units * lot_units > AMOUNT_MAX:
        return None
    if command.min_notional_mantissa == 0 and command.min_notional_scale <= SCALE_MAX:
        min_notional_units = 0
    else:
        min_notional_units = to_units(command.min_notional_mantissa, command.min_notional_scale, quote.decimals)
    fees_allowed = (
        abs(command.maker_fee_ppm) <= FEE_PPM_MAX
        and abs(command.taker_fee_ppm) <= FEE_PPM_MAX
        and command.maker_fee_ppm + command.taker_fee_ppm >= 0
    )
    if min_notional_units < 0 or not fees_allowed:
        return None
    return MarketSpec(
        market_id=market_id,
        name=market_name(base, quote),
        base_asset_id=base.asset_id,
        quote_asset_id=quote.asset_id,
        base_decimals=base.decimals,
        quote_decimals=quote.decimals,
        tick_units=tick_units,
        lot_units=lot_units,
        notional_units=tick_units * lot_units // POWERS_OF_TEN[base.decimals],
        min_notional_units=min_notional_units,
        maker_fee_ppm=command.maker_fee_ppm,
        taker_fee_ppm=command.taker_fee_ppm,
        created_sequence=sequence,
    )


def _asset_created(asset: AssetSpec) -> AssetCreated:
    return AssetCreated(asset.asset_id, asset.decimals, asset.name)


def _market_created(market: MarketSpec) -> MarketCreated:
    return MarketCreated(
        market_id=market.market_id,
        base_asset_id=market.base_asset_id,
        quote_asset_id=market.quote_asset_id,
        tick_units=market.tick_units,
        lot_units=market.lot_units,
        notional_units=market.notional_units,
        min_notional_units=market.min_notional_units,
        maker_fee_ppm=market.maker_fee_ppm,
        taker_fee_ppm=market.taker_fee_ppm,
        name=market.name,
    )


def _account_created(account: AccountSpec) -> AccountCreated:
    return AccountCreated(account.account_id, account.role, account.name)


def _api_key_created(key: ApiKey) -> ApiKeyCreated:
    return ApiKeyCreated(key.account_id, key.key_id)
