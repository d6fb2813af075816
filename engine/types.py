"""The exchange's vocabulary: small integers with names, limits, and the specs of what is listed.

The values of all constants are written into the log, so they are for ever. They are plain
integers, not enums, because the hot path compares them for every order.
"""

from __future__ import annotations

from typing import Final, NamedTuple

# Side of an order.
BUY: Final = 0
SELL: Final = 1
SIDE_NAMES: Final = ("buy", "sell")

# Kind of an order. A budget order spends at most an amount of the quote asset, fees included.
LIMIT: Final = 0
MARKET: Final = 1
MARKET_BUDGET: Final = 2
ORDER_TYPE_NAMES: Final = ("limit", "market", "market")

# Time in force.
GTC: Final = 0
IOC: Final = 1
FOK: Final = 2
GTD: Final = 3  # good till a time of its own
DAY: Final = 4  # good till the market closes, at the latest till the end of the day (UTC)
TIME_IN_FORCE_NAMES: Final = ("gtc", "ioc", "fok", "gtd", "day")

# What elects a waiting order: nothing (it never waits), a price, or a price that trails the market.
NO_TRIGGER: Final = 0
STOP: Final = 1
TRAIL_BY_PRICE: Final = 2
TRAIL_BY_PPM: Final = 3

# Self-trade prevention: what happens when an order meets one of its own account. The taker's mode rules.
CANCEL_NEWEST: Final = 0
CANCEL_OLDEST: Final = 1
CANCEL_BOTH: Final = 2
DECREMENT: Final = 3  # both shrink by the smaller of the two
SELF_TRADE_NAMES: Final = ("cancel_newest", "cancel_oldest", "cancel_both", "decrement")

# Status of an order that was accepted. A waiting one is a stop that no trade has elected yet.
OPEN: Final = 0
FILLED: Final = 1
CANCELLED: Final = 2
WAITING: Final = 3
STATUS_NAMES: Final = ("open", "filled", "cancelled", "waiting")

# Why an accepted order left the book, or never rested.
NOT_CLOSED: Final = 0
CLOSED_FILLED: Final = 1
CLOSED_BY_OWNER: Final = 2
CLOSED_IOC_REST: Final = 3
CLOSED_NO_LIQUIDITY: Final = 4
CLOSED_SELF_TRADE: Final = 5
CLOSED_BUDGET_SPENT: Final = 6
CLOSED_EXPIRED: Final = 7
CLOSED_PRICE_BAND: Final = 8
CLOSED_DEAD_MAN: Final = 9
CLOSED_OTHER_LEG: Final = 10
CLOSED_BY_OPERATOR: Final = 11
CLOSED_DELISTED: Final = 12
CLOSED_FROZEN: Final = 13
CLOSED_NO_FUNDS: Final = 14
CLOSE_REASON_NAMES: Final = (
    "",
    "FILLED",
    "CANCELLED_BY_OWNER",
    "IOC",
    "NO_LIQUIDITY",
    "SELF_TRADE",
    "BUDGET_SPENT",
    "EXPIRED",
    "PRICE_BAND",
    "DEAD_MAN",
    "OTHER_LEG",
    "CANCELLED_BY_OPERATOR",
    "DELISTED",
    "ACCOUNT_FROZEN",
    "NO_FUNDS",
)

# State of a market: what may be asked of it (docs/rules.md has the table).
PRE_OPEN: Final = 0
AUCTION: Final = 1
TRADING: Final = 2
POST_ONLY: Final = 3
CANCEL_ONLY: Final = 4
HALTED: Final = 5
CLOSED: Final = 6
DELISTED: Final = 7
MARKET_STATE_NAMES: Final = (
    "pre_open",
    "auction",
    "open",
    "post_only",
    "cancel_only",
    "halted",
    "closed",
    "delisted",
)

# Why the state of a market changed.
BY_OPERATOR: Final = 0
BY_SCHEDULE: Final = 1
BY_PRICE_BAND: Final = 2
BY_END_OF_AUCTION: Final = 3
BY_SALE: Final = 4
STATE_CAUSE_NAMES: Final = ("operator", "schedule", "price_band", "end_of_auction", "sale")

# Money that leaves in two phases: withdrawals and transfers.
PENDING: Final = 0
APPROVED: Final = 1
PAID: Final = 2
REJECTED: Final = 3
CANCELLED_BY_OWNER: Final = 4
WITHDRAWAL_STATUS_NAMES: Final = ("pending", "approved", "paid", "rejected", "cancelled")
APPROVE: Final = 0
REJECT: Final = 1
PAY: Final = 2
WITHDRAWAL_DECISION_NAMES: Final = ("approve", "reject", "pay")
POSTED: Final = 1
VOIDED: Final = 2
EXPIRED: Final = 3
TRANSFER_STATUS_NAMES: Final = ("pending", "posted", "voided", "expired")
POST: Final = 0
VOID: Final = 1
TRANSFER_DECISION_NAMES: Final = ("post", "void")

# Token sales.
FIXED_PRICE: Final = 0
POT: Final = 1
UNIFORM_PRICE: Final = 2
SALE_KIND_NAMES: Final = ("fixed_price", "pot", "uniform_price")
SALE_ANNOUNCED: Final = 0
SALE_OPEN: Final = 1
SALE_SUCCEEDED: Final = 2
SALE_FAILED: Final = 3
SALE_CANCELLED: Final = 4
SALE_STATUS_NAMES: Final = ("announced", "open", "succeeded", "failed", "cancelled")
OPEN_SALE: Final = 0
CLOSE_SALE: Final = 1
CANCEL_SALE: Final = 2
SALE_DECISION_NAMES: Final = ("open", "close", "cancel")

EITHER_SIDE: Final = 2  # of a mass cancel
EVERYONE: Final = 0  # the owner of a mass cancel; the exchange's own account never has orders

# Role of an account. Operators list assets and markets, open accounts and book deposits.
TRADER: Final = 0
OPERATOR: Final = 1
ROLE_NAMES: Final = ("trader", "operator")

# The one account that exists before any command: it is an operator, and it collects the fees.
EXCHANGE_ACCOUNT: Final = 0
EXCHANGE_ACCOUNT_NAME: Final = b"exchange"

NS_PER_MS: Final = 1_000_000
NS_PER_S: Final = 1_000_000_000
NS_PER_DAY: Final = 86_400 * NS_PER_S

# Largest amount, price, quantity, notional and supply. Sums of two such values still fit in an int64.
AMOUNT_MAX: Final = 1 << 62
NOTIONAL_MAX: Final = AMOUNT_MAX // 2  # leaves room for a fee of 10 %
ASSET_DECIMALS_MAX: Final = 12
FEE_SCALE: Final = 1_000_000  # fee rates are parts per million of the notional
FEE_PPM_MAX: Final = 100_000  # 10 %
ID_LENGTH_MAX: Final = 64
ASSET_NAME_LENGTH_MAX: Final = 12
GROUP_NAME_LENGTH_MAX: Final = 32
SEALED_SECRET_LENGTH_MAX: Final = 255
ASSETS_MAX: Final = 4_096
MARKETS_MAX: Final = 4_096
OPEN_ORDERS_PER_ACCOUNT_MAX: Final = 200_000
PRICE_LEVELS_PER_SIDE_MAX: Final = 100_000
STOPS_PER_MARKET_MAX: Final = 10_000  # each is elected at most once, so this bounds a cascade
TRAILING_STOPS_PER_MARKET_MAX: Final = 1_000  # each is looked at after every command that trades
ICEBERG_PARTS_MAX: Final = 100
REQUESTS_MAX: Final = (1 << 32) - 1  # of a rate
WINDOW_MS_MAX: Final = 86_400_000
GTD_NS_MAX: Final = 366 * NS_PER_DAY
DESTINATION_LENGTH_MAX: Final = 128
TRANSFER_TIMEOUT_S_MAX: Final = 366 * 86_400
SCHEDULE_STEPS_MAX: Final = 48
FEE_TIERS_MAX: Final = 8
VOLUME_DAYS: Final = 30
AUCTION_MS_MAX: Final = 7 * 86_400_000
SALES_MAX: Final = 65_536
SUBSCRIPTIONS_PER_SALE_MAX: Final = 100_000

# The second leg of a one-cancels-the-other pair has the number of the first plus this: above every sequence, and
# small enough for a JavaScript number.
SECOND_LEG: Final = 1 << 52

# An id of a request is remembered for 24 h of log time, and a request must have been signed within
# 60 s of log time, so that a late copy can never come back after its id was forgotten (rulebook, convention 7).
REQUEST_MEMORY_NS: Final = 24 * 3_600 * NS_PER_S
REQUEST_AGE_NS_MAX: Final = 60 * NS_PER_S
FORGOTTEN_PER_COMMAND_MAX: Final = 16


class AssetSpec(NamedTuple):
    asset_id: int
    name: bytes
    decimals: int
    created_sequence: int


class MarketSpec(NamedTuple):
    """A listed market. Prices are in ticks, quantities in lots, amounts in base units of an asset.

    ``tick_units`` is the tick in quote units for one whole base asset, ``lot_units`` the lot in base
    units. ``notional_units`` is what one lot costs at one tick: a whole number, so every notional is exact.
    """

    market_id: int
    name: bytes
    base_asset_id: int
    quote_asset_id: int
    base_decimals: int
    quote_decimals: int
    tick_units: int
    lot_units: int
    notional_units: int
    min_notional_units: int
    maker_fee_ppm: int
    taker_fee_ppm: int
    created_sequence: int


class MarketRules(NamedTuple):
    """What an operator may change while the market lives. A limit of 0 is the engine's own.

    ``band_ppm`` bounds how far from the last price before a command that command may trade; 0 is no band. With
    ``interrupts`` a breach starts a call auction. An auction lasts ``call_ms``, then ``no_cancel_ms`` in which nothing
    can be cancelled, then at most ``random_end_ms_max``; all 0 means that the operator ends it.
    """

    band_ppm: int = 0
    interrupts: int = 0
    call_ms: int = 0
    no_cancel_ms: int = 0
    random_end_ms_max: int = 0
    auction_market_orders: int = 0
    open_orders_max: int = 0
    stops_max: int = 0


class ScheduleStep(NamedTuple):
    """Every day at this second (UTC) the market goes to this state."""

    second_of_day: int
    state: int


class FeeTier(NamedTuple):
    """What an account pays whose volume of the last 30 whole days reached ``volume_units`` of the quote asset."""

    volume_units: int
    maker_fee_ppm: int
    taker_fee_ppm: int


class TransferRoute(NamedTuple):
    """From where to where a transfer between groups goes, whose it is, and of what. All by name."""

    from_group: bytes
    to_group: bytes
    account: bytes
    asset: bytes


class AccountLimits(NamedTuple):
    """0 is the engine's own limit (of orders) or none (of requests per window of log time)."""

    open_orders_max: int = 0
    stops_max: int = 0
    requests_max: int = 0
    window_ms: int = 0


class AccountSpec(NamedTuple):
    account_id: int
    name: bytes
    role: int
    created_sequence: int


class ApiKey(NamedTuple):
    """``sealed_secret`` is opaque here: only gateways hold the key that opens it."""

    key_id: bytes
    account_id: int
    sealed_secret: bytes
    created_sequence: int
