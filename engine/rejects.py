"""Why a command was refused: one flat list.

The first reason that applies is the answer, on every replica. A command is judged in this order: when it was
signed and who asks (REQUEST_EXPIRED, UNKNOWN_ACCOUNT, NOT_ALLOWED), its id (MALFORMED, ID_CONFLICT),
its options (MALFORMED), and then as the list below goes on. A refusal is an outcome in the log and changes no
balance and no book (rulebook rows A10, B2, B3, D2, D6, E3). The numbers are for ever; new ones are appended.
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
)


def reason_code(reason: int) -> str:
    return REASONS[reason][0]


def reason_sentence(reason: int) -> str:
    return REASONS[reason][1]
