"""Why a command was refused: one flat list.

The first reason that applies is the answer, on every replica. A command is judged in this order: when it was
signed and who asks (REQUEST_EXPIRED, UNKNOWN_ACCOUNT, NOT_ALLOWED), its id (MALFORMED, ID_CONFLICT, FENCED), how
often it asks (RATE_LIMIT), its options (MALFORMED), and then by the ``PRECEDENCE`` below. A refusal is an outcome
in the log and changes no balance and no book (rulebook rows A10, B2, B3, D2, D6, E3). The numbers are for ever;
new ones are appended.
"""

from __future__ import annotations

from typing import Final

ACCEPTED: Final = 0

MALFORMED: Final = 1
REQUEST_EXPIRED: Final = 2
UNKNOWN_ACCOUNT: Final = 3
NOT_ALLOWED: Final = 4
ID_CONFLICT: Final = 5
NAME_TAKEN: Final = 6
UNKNOWN_ASSET: Final = 7
UNKNOWN_MARKET: Final = 8
UNKNOWN_ORDER: Final = 9
ORDER_CLOSED: Final = 10
PRICE: Final = 11
TICK: Final = 12
LOT: Final = 13
AMOUNT: Final = 14
QUANTITY_BELOW_EXECUTED: Final = 15
MIN_NOTIONAL: Final = 16
NOTIONAL_TOO_LARGE: Final = 17
SUPPLY_TOO_LARGE: Final = 18
LISTING_RULES: Final = 19
TOO_MANY: Final = 20
POST_ONLY: Final = 21
FOK: Final = 22
NO_FUNDS: Final = 23
MARKET_STATE: Final = 24
NO_CANCEL: Final = 25
STOP_WOULD_TRIGGER: Final = 26
NO_LAST_PRICE: Final = 27
ICEBERG: Final = 28
EXPIRY: Final = 29
NOT_AMENDABLE: Final = 30
RATE_LIMIT: Final = 31
ACCOUNT_FROZEN: Final = 32
FENCED: Final = 33
UNKNOWN_WITHDRAWAL: Final = 34
UNKNOWN_TRANSFER: Final = 35
UNKNOWN_SALE: Final = 36
WRONG_STATE: Final = 37
SALE_STATE: Final = 38
SOLD_OUT: Final = 39
ACCOUNT_CAP: Final = 40
SALE_RULES: Final = 41
MARKET_RULES: Final = 42

# Which of two reasons that both apply is the answer, once a command is well-formed and new.
PRECEDENCE: Final = (
    UNKNOWN_ACCOUNT,
    UNKNOWN_ASSET,
    UNKNOWN_MARKET,
    UNKNOWN_SALE,
    UNKNOWN_WITHDRAWAL,
    UNKNOWN_TRANSFER,
    UNKNOWN_ORDER,
    NAME_TAKEN,
    ORDER_CLOSED,
    NOT_ALLOWED,
    ACCOUNT_FROZEN,
    MARKET_STATE,
    NO_CANCEL,
    NOT_AMENDABLE,
    WRONG_STATE,
    SALE_STATE,
    EXPIRY,
    PRICE,
    TICK,
    LOT,
    AMOUNT,
    SALE_RULES,
    LISTING_RULES,
    MARKET_RULES,
    ICEBERG,
    QUANTITY_BELOW_EXECUTED,
    NOTIONAL_TOO_LARGE,
    MIN_NOTIONAL,
    SUPPLY_TOO_LARGE,
    SOLD_OUT,
    ACCOUNT_CAP,
    NO_LAST_PRICE,
    TOO_MANY,
    STOP_WOULD_TRIGGER,
    POST_ONLY,
    FOK,
    NO_FUNDS,
)

# (code, sentence) by number. The codes are the rulebook's.
REASONS: Final = (
    ("ACCEPTED", "The command was accepted."),
    ("MALFORMED", "The command is not well-formed: an option, id or name is outside what is allowed."),
    ("REQUEST_EXPIRED", "The request was signed more than 60 seconds away from the exchange's time."),
    ("UNKNOWN_ACCOUNT", "There is no such account."),
    (
        "NOT_ALLOWED",
        "This account may not do this: operators list and fund, and the exchange's own account does not trade.",
    ),
    ("ID_CONFLICT", "This id was used before for something else. The first use stands."),
    ("NAME_TAKEN", "This name exists already, with other properties."),
    ("UNKNOWN_ASSET", "There is no such asset."),
    ("UNKNOWN_MARKET", "There is no such market."),
    ("UNKNOWN_ORDER", "There is no such order."),
    ("ORDER_CLOSED", "The order is filled or cancelled already."),
    ("PRICE", "The price must be a positive decimal within range."),
    ("TICK", "The price is not a multiple of the market's tick."),
    ("LOT", "The quantity must be a positive multiple of the market's lot."),
    ("AMOUNT", "The amount must be positive and a multiple of the asset's smallest unit."),
    ("QUANTITY_BELOW_EXECUTED", "The new quantity is not above what was executed already."),
    ("MIN_NOTIONAL", "Price times quantity is below the market's minimum."),
    ("NOTIONAL_TOO_LARGE", "Price times quantity is above what the exchange can represent."),
    ("SUPPLY_TOO_LARGE", "The asset's supply would be above what the exchange can represent."),
    (
        "LISTING_RULES",
        "The listing is refused: tick times lot must be a whole number of quote units, a rebate at most the taker fee, "
        "and fees at most 10 %.",
    ),
    ("TOO_MANY", "A limit on the number of orders, price levels, assets or markets is reached."),
    ("POST_ONLY", "The order is post-only and would trade at once."),
    ("FOK", "The order is fill-or-kill and cannot be filled completely."),
    ("NO_FUNDS", "The available balance does not cover this."),
    ("MARKET_STATE", "The market does not take this in its present state."),
    ("NO_CANCEL", "The auction is in its last phase: orders can no longer be cancelled or amended."),
    ("STOP_WOULD_TRIGGER", "The last price is at the stop price or beyond it already."),
    ("NO_LAST_PRICE", "There is no last price that this could start from."),
    ("ICEBERG", "What an iceberg shows must be less than its quantity, and at least a hundredth of it."),
    ("EXPIRY", "The time at which this expires must be in the future, and not more than a year away."),
    ("NOT_AMENDABLE", "This order cannot be amended: cancel it and place another."),
    ("RATE_LIMIT", "The account has used up its requests for now. The same request may be sent again later."),
    ("ACCOUNT_FROZEN", "The account is frozen."),
    ("FENCED", "The outcome of this id was asked for before it arrived, so it is refused for good."),
    ("UNKNOWN_WITHDRAWAL", "There is no such withdrawal."),
    ("UNKNOWN_TRANSFER", "There is no such transfer."),
    ("UNKNOWN_SALE", "There is no such sale."),
    ("WRONG_STATE", "This was decided otherwise already, or it is too early to decide it."),
    ("SALE_STATE", "The sale is not open."),
    ("SOLD_OUT", "Everything that this sale offers is sold."),
    ("ACCOUNT_CAP", "The account would get more than the sale allows one account."),
    (
        "SALE_RULES",
        "The sale is refused: its price times a lot must be a whole number of quote units, its quantity a whole "
        "number of lots, and it must end after it begins.",
    ),
    (
        "MARKET_RULES",
        "The rules are refused: a market that interrupts needs a band and a call time, tiers must rise in volume "
        "and never cost more than the listed fees, and steps of a schedule must follow each other within a day.",
    ),
)


def reason_code(reason: int) -> str:
    return REASONS[reason][0]


def reason_sentence(reason: int) -> str:
    return REASONS[reason][1]
