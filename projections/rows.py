"""The rows of the read models as records: one for each table of ``projections.schema``, with its columns in its order.

Folds make them and know nothing of databases; ``projections.store`` writes them and knows nothing of events.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple


class MinuteRow(NamedTuple):
    group_id: int
    opens_at_ns: int
    first_sequence: int


class AssetRow(NamedTuple):
    group_id: int
    asset_id: int
    name: str
    decimals: int
    created_sequence: int


class MarketRow(NamedTuple):
    group_id: int
    market_id: int
    name: str
    base_asset_id: int
    quote_asset_id: int
    tick_units: int
    lot_units: int
    notional_units: int
    min_notional_units: int
    maker_fee_ppm: int
    taker_fee_ppm: int
    fee_tiers: bytes
    state: int
    last_price_ticks: int
    created_sequence: int


class AccountRow(NamedTuple):
    group_id: int
    account_id: int
    name: str
    role: int
    frozen: int
    created_sequence: int
    created_at_ns: int


class OrderRow(NamedTuple):
    group_id: int
    order_id: int
    account_id: int
    market_id: int
    side: int
    order_type: int
    time_in_force: int
    post_only: int
    self_trade: int
    status: int
    close_reason: int
    price_ticks: int
    quantity_lots: int
    budget_units: int
    open_lots: int
    executed_lots: int
    prevented_lots: int
    cancelled_lots: int
    notional_units: int
    fee_units: int
    fee_overpaid_ppm: int
    held_units: int
    trigger: int
    stop_ticks: int
    trail_ticks: int
    trail_ppm: int
    display_lots: int
    visible_lots: int
    expires_at_ns: int
    linked_order_id: int
    client_order_id: str
    created_sequence: int
    created_index: int
    accepted_at_ns: int
    updated_sequence: int
    updated_index: int
    updated_at_ns: int


class TradeRow(NamedTuple):
    group_id: int
    trade_id: int
    sequence: int
    event_index: int
    timestamp_ns: int
    market_id: int
    taker_side: int
    price_ticks: int
    quantity_lots: int
    notional_units: int
    maker_order_id: int
    taker_order_id: int
    maker_account_id: int
    taker_account_id: int
    maker_fee_units: int
    taker_fee_units: int


class CandleRow(NamedTuple):
    group_id: int
    market_id: int
    interval_s: int
    opens_at_ns: int
    open_ticks: int
    high_ticks: int
    low_ticks: int
    close_ticks: int
    volume_lots: int
    notional_units: int
    trade_count: int
    first_trade_id: int
    last_trade_id: int


class TickerRow(NamedTuple):
    group_id: int
    market_id: int
    last_price_ticks: int
    last_quantity_lots: int
    last_trade_id: int
    last_traded_at_ns: int
    open_ticks: int
    high_ticks: int
    low_ticks: int
    volume_lots: int
    notional_units: int
    trade_count: int
    bid_ticks: int
    bid_lots: int
    ask_ticks: int
    ask_lots: int


class LineRow(NamedTuple):
    group_id: int
    account_id: int
    sequence: int
    event_index: int
    asset_id: int
    timestamp_ns: int
    kind: int
    reference_id: int
    other_account_id: int
    available_change_units: int
    held_change_units: int
    available_units: int
    held_units: int


class BalanceRow(NamedTuple):
    group_id: int
    account_id: int
    asset_id: int
    available_units: int
    held_units: int
    updated_sequence: int


class VolumeRow(NamedTuple):
    group_id: int
    account_id: int
    asset_id: int
    day: int
    notional_units: int


class TransferRow(NamedTuple):
    group_id: int
    transfer_id: int
    kind: int
    account_id: int
    to_account_id: int
    asset_id: int
    amount_units: int
    status: int
    refusal: int
    expires_at_ns: int
    reference: str
    destination: str
    other_group: str
    other_transfer_id: int
    created_at_ns: int
    updated_sequence: int
    updated_index: int
    updated_at_ns: int


class SaleRow(NamedTuple):
    group_id: int
    sale_id: int
    name: str
    issuer_account_id: int
    token_asset_id: int
    quote_asset_id: int
    market_id: int
    kind: int
    status: int
    price_units: int
    lot_units: int
    quantity_lots: int
    soft_cap_units: int
    account_cap_lots: int
    opens_at_ns: int
    closes_at_ns: int
    clearing_price_units: int
    sold_lots: int
    proceeds_units: int
    updated_sequence: int


class Rows(NamedTuple):
    """What a batch of entries changed: for each table the new rows, or the new state of rows, each key once.

    Of the first three lists no key was ever there before.
    """

    minutes: list[MinuteRow]
    trades: list[TradeRow]
    ledger_lines: list[LineRow]
    assets: list[AssetRow]
    markets: list[MarketRow]
    accounts: list[AccountRow]
    orders: list[OrderRow]
    candles: list[CandleRow]
    tickers: list[TickerRow]
    balances: list[BalanceRow]
    volumes: list[VolumeRow]
    transfers: list[TransferRow]
    sales: list[SaleRow]

    def by_table(self) -> Iterator[tuple[str, Sequence[tuple[Any, ...]]]]:
        """The name of each table, and its rows."""
        for name in self._fields:
            yield name, getattr(self, name)


ADDED_ONLY: Final = Rows._fields[:3]


class Kept(NamedTuple):
    """What a fold must know of the rows that are there to go on: the state of a group at its position.

    ``orders`` are the open ones, ``transfers`` the undecided, ``sales`` those that have not ended, ``volumes`` of the
    last days, ``candles`` those that a trade may still change and the minutes of the ticker's window.
    """

    assets: list[AssetRow]
    markets: list[MarketRow]
    accounts: list[AccountRow]
    orders: list[OrderRow]
    candles: list[CandleRow]
    tickers: list[TickerRow]
    balances: list[BalanceRow]
    volumes: list[VolumeRow]
    transfers: list[TransferRow]
    sales: list[SaleRow]
