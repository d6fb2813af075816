"""What happened. Past-tense names; the state machine writes them, nobody edits them.

Amounts are in base units of the asset, prices in ticks, quantities in lots. The account and
order ids in a trade are the engine's. An event belongs to the command whose offset in its
entry is in the record's header, so its sequence is the entry's first sequence plus that offset. What time
brought about (an expiry, the end of an auction) happened before the entry's first command and has the offset
``engine.entry.BY_TIME``; its sequence is the entry's first.
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


class OrderConditions(NamedTuple):
    """What is special about an order; follows its OrderAccepted or OrderReported. 0 is "not so" in every field.

    An order with a ``trigger`` is not in the book until an OrderTriggered says so. ``visible_lots`` is what the book
    shows of an iceberg now.
    """

    order_id: int
    account_id: int
    market_id: int
    trigger: int
    display_lots: int
    visible_lots: int
    stop_ticks: int
    trail_ticks: int
    trail_ppm: int
    expires_at_ns: int
    linked_order_id: int


class OrderTriggered(NamedTuple):
    """A trade at this price elected a stop: from here on it is an order like any other."""

    order_id: int
    account_id: int
    market_id: int
    trade_price_ticks: int


class OrderReplenished(NamedTuple):
    """An iceberg shows its next slice, at the back of the queue of its price."""

    order_id: int
    account_id: int
    market_id: int
    visible_lots: int


class SelfTradePrevented(NamedTuple):
    """Two orders of one account met and both shrank. One that has nothing open then is closed by an OrderClosed."""

    market_id: int
    account_id: int
    maker_order_id: int
    taker_order_id: int
    quantity_lots: int
    maker_open_lots: int
    taker_open_lots: int


class MarketStateChanged(NamedTuple):
    """``ends_at_ns`` is when an auction's call (and its no-cancel phase) is over, 0 if only an operator ends it."""

    market_id: int
    state: int
    cause: int
    ends_at_ns: int


class IndicativePriceChanged(NamedTuple):
    """What an uncross would give now. ``surplus_lots`` is what stays to buy (negative: to sell); all 0 if nothing."""

    market_id: int
    price_ticks: int
    quantity_lots: int
    surplus_lots: int


class AuctionUncrossed(NamedTuple):
    """The single price of a call auction. Its trades follow, all at this price."""

    market_id: int
    price_ticks: int
    quantity_lots: int
    surplus_lots: int


class MarketRulesSet(NamedTuple):
    market_id: int
    band_ppm: int
    interrupts: int
    call_ms: int
    no_cancel_ms: int
    random_end_ms_max: int
    auction_market_orders: int
    open_orders_max: int
    stops_max: int


class MarketScheduleSet(NamedTuple):
    market_id: int
    steps: bytes


class FeeTiersSet(NamedTuple):
    market_id: int
    tiers: bytes


class MarketRateSet(NamedTuple):
    market_id: int
    requests_max: int
    window_ms: int


class AccountLimitsSet(NamedTuple):
    account_id: int
    open_orders_max: int
    stops_max: int
    requests_max: int
    window_ms: int


class AccountFrozen(NamedTuple):
    """Frozen, or (0) free again."""

    account_id: int
    frozen: int


class DeadManArmed(NamedTuple):
    """``fires_at_ns`` 0 means that the switch is off."""

    account_id: int
    fires_at_ns: int


class DeadManFired(NamedTuple):
    account_id: int
    order_count: int


class RequestFenced(NamedTuple):
    """The id was never seen; from now on it is refused."""

    account_id: int
    request_id: bytes


class WithdrawalChanged(NamedTuple):
    """A withdrawal as it stands; its number is the sequence of the command that asked for it."""

    withdrawal_id: int
    account_id: int
    asset_id: int
    amount_units: int
    status: int
    destination: bytes
    reference: bytes


class TransferChanged(NamedTuple):
    """A transfer as it stands; its number is the sequence of the command that made it. ``expires_at_ns`` 0 is never."""

    transfer_id: int
    from_account_id: int
    to_account_id: int
    asset_id: int
    amount_units: int
    status: int
    expires_at_ns: int
    reference: bytes


class TimeReached(NamedTuple):
    """The answer to a Tick."""

    timestamp_ns: int


class SaleChanged(NamedTuple):
    """A sale as it stands; prices are for one lot. What it cleared at, sold and brought is told when it ended."""

    sale_id: int
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
    name: bytes


class SaleSubscribed(NamedTuple):
    """``quantity_lots`` is what was allotted (fixed price) or bid for (uniform price); 0 in a pot."""

    subscription_id: int
    sale_id: int
    account_id: int
    price_units: int
    quantity_lots: int
    held_units: int


class SaleSettled(NamedTuple):
    """What a subscription came to: so many lots for so much, the rest of what it held came back."""

    subscription_id: int
    sale_id: int
    account_id: int
    quantity_lots: int
    paid_units: int
    refunded_units: int


class GroupNamed(NamedTuple):
    name: bytes


class AccountMirrored(NamedTuple):
    """An account of the home group as it stands here. Its number is this group's own."""

    account_id: int
    home_sequence: int
    role: int
    frozen: int
    name: bytes


class SentTransferChanged(NamedTuple):
    """A transfer to another group as it stands; its number is the sequence of the command that sent it.

    ``refusal`` is why the destination did not take it, where it was voided.
    """

    transfer_id: int
    account_id: int
    asset_id: int
    amount_units: int
    status: int
    refusal: int
    to_group: bytes
    reference: bytes


class TransferReceived(NamedTuple):
    """What a transfer of another group came to here: credited, or refused for good (``refusal``).

    ``transfer_id`` is its number in the log of ``from_group``.
    """

    transfer_id: int
    account_id: int
    asset_id: int
    amount_units: int
    refusal: int
    from_group: bytes
    reference: bytes


class RulesVersionSet(NamedTuple):
    """The version of the rules that is in force from here on, and who asked for it."""

    version: int
    requested_by: bytes


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
    | OrderConditions
    | OrderTriggered
    | OrderReplenished
    | SelfTradePrevented
    | MarketStateChanged
    | IndicativePriceChanged
    | AuctionUncrossed
    | MarketRulesSet
    | MarketScheduleSet
    | FeeTiersSet
    | AccountLimitsSet
    | AccountFrozen
    | DeadManArmed
    | DeadManFired
    | RequestFenced
    | WithdrawalChanged
    | TransferChanged
    | TimeReached
    | SaleChanged
    | SaleSubscribed
    | SaleSettled
    | MarketRateSet
    | GroupNamed
    | AccountMirrored
    | SentTransferChanged
    | TransferReceived
    | RulesVersionSet
)
