"""What happened. Past-tense names; the state machine writes them, nobody edits them.

Amounts are in base units of the asset, prices in ticks, quantities in lots. The account and
order ids in a trade are the engine's. An event belongs to the command whose offset in its
entry is in the record's header, so its sequence is the entry's first sequence plus that offset.
"""

from __future__ import annotations

from typing import NamedTuple


class CommandRejected(NamedTuple):
    """``original_sequence`` quotes the receipt that stands, where the reason is a conflict; else 0."""

    reason: int
    original_sequence: int


class RequestRepeated(NamedTuple):
    """A retry: the outcome is the one of ``original_sequence``. An OrderReported follows if there is an order."""

    original_sequence: int
    reason: int


class AssetCreated(NamedTuple):
    asset_id: int
    decimals: int
    name: bytes


class MarketCreated(NamedTuple):
    market_id: int
    base_asset_id: int
    quote_asset_id: int
    tick_units: int
    lot_units: int
    notional_units: int
    min_notional_units: int
    maker_fee_ppm: int
    taker_fee_ppm: int
    name: bytes


class AccountCreated(NamedTuple):
    account_id: int
    role: int
    name: bytes


class ApiKeyCreated(NamedTuple):
    account_id: int
    key_id: bytes


class FundsDeposited(NamedTuple):
    account_id: int
    asset_id: int
    amount_units: int
    available_units: int
    reference: bytes


class OrderAccepted(NamedTuple):
    """``budget_units`` is set for market orders by budget, whose price and quantity are 0."""

    order_id: int
    account_id: int
    market_id: int
    side: int
    order_type: int
    time_in_force: int
    post_only: int
    self_trade: int
    price_ticks: int
    quantity_lots: int
    budget_units: int
    held_units: int
    client_order_id: bytes


class TradeExecuted(NamedTuple):
    """Prints at the maker's price. Fees are in the quote asset; a negative one is a rebate.

    ``taker_open_lots`` is 0 for a budget order: what it still wants is an amount of money.
    """

    trade_id: int
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
    maker_open_lots: int
    taker_open_lots: int


class OrderClosed(NamedTuple):
    """An order ended with a rest: quantity = executed + prevented + cancelled. A complete fill has no such event."""

    order_id: int
    account_id: int
    market_id: int
    status: int
    reason: int
    quantity_lots: int
    executed_lots: int
    prevented_lots: int
    cancelled_lots: int
    released_units: int


class OrderAmended(NamedTuple):
    order_id: int
    account_id: int
    market_id: int
    kept_place: int
    price_ticks: int
    quantity_lots: int
    open_lots: int
    held_units: int


class OrderReported(NamedTuple):
    """An order as it stands, told to whoever repeats a request about it."""

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
    held_units: int
    accepted_at_ns: int
    client_order_id: bytes


class OrdersCancelled(NamedTuple):
    """The end of a cancel-all: how many orders it closed."""

    account_id: int
    market_id: int
    order_count: int


Event = (
    CommandRejected
    | RequestRepeated
    | AssetCreated
    | MarketCreated
    | AccountCreated
    | ApiKeyCreated
    | FundsDeposited
    | OrderAccepted
    | TradeExecuted
    | OrderClosed
    | OrderAmended
    | OrderReported
    | OrdersCancelled
)
