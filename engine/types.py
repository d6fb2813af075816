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
TIME_IN_FORCE_NAMES: Final = ("gtc", "ioc", "fok")

# Self-trade prevention: what happens when an order meets one of its own account. The taker's mode rules.
CANCEL_NEWEST: Final = 0
CANCEL_OLDEST: Final = 1
CANCEL_BOTH: Final = 2
SELF_TRADE_NAMES: Final = ("cancel_newest", "cancel_oldest", "cancel_both")

# Status of an order that was accepted.
OPEN: Final = 0
FILLED: Final = 1
CANCELLED: Final = 2
STATUS_NAMES: Final = ("open", "filled", "cancelled")

# Why an accepted order left the book, or never rested.
NOT_CLOSED: Final = 0
CLOSED_FILLED: Final = 1
CLOSED_BY_OWNER: Final = 2
CLOSED_IOC_REST: Final = 3
CLOSED_NO_LIQUIDITY: Final = 4
CLOSED_SELF_TRADE: Final = 5
CLOSED_BUDGET_SPENT: Final = 6
CLOSE_REASON_NAMES: Final = (
    "",
    "FILLED",
    "CANCELLED_BY_OWNER",
    "IOC",
    "NO_LIQUIDITY",
    "SELF_TRADE",
    "BUDGET_SPENT",
)

# Role of an account. Operators list assets and markets, open accounts and book deposits.
TRADER: Final = 0
OPERATOR: Final = 1
ROLE_NAMES: Final = ("trader", "operator")

# The one account that exists before any command: it is an operator, and it collects the fees.
EXCHANGE_ACCOUNT: Final = 0
EXCHANGE_ACCOUNT_NAME: Final = b"exchange"

NS_PER_S: Final = 1_000_000_000

# Largest amount, price, quantity, notional and supply. Sums of two such values still fit in an int64.
AMOUNT_MAX: Final = 1 << 62
NOTIONAL_MAX: Final = AMOUNT_MAX // 2  # leaves room for a fee of 10 %
ASSET_DECIMALS_MAX: Final = 12
FEE_SCALE: Final = 1_000_000  # fee rates are parts per million of the notional
FEE_PPM_MAX: Final = 100_000  # 10 %
ID_LENGTH_MAX: Final = 64
ASSET_NAME_LENGTH_MAX: Final = 12
SEALED_SECRET_LENGTH_MAX: Final = 255
ASSETS_MAX: Final = 4_096
MARKETS_MAX: Final = 4_096
OPEN_ORDERS_PER_ACCOUNT_MAX: Final = 200_000
PRICE_LEVELS_PER_SIDE_MAX: Final = 100_000

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
