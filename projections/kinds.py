"""What kinds of money's movements the tables tell apart, and how clients call them."""

from __future__ import annotations

from typing import Final

# Kinds of rows in ``transfers``. ``transfer_id`` is the sequence of the command that made it, whatever it is.
DEPOSIT: Final = 0
WITHDRAWAL: Final = 1
TRANSFER: Final = 2  # from one account of the group to another
SENT_TO_GROUP: Final = 3
RECEIVED_FROM_GROUP: Final = 4
TRANSFER_KIND_NAMES: Final = ("deposit", "withdrawal", "transfer", "sent_to_group", "received_from_group")

# Why a line stands in the ledger; in brackets what its ``reference_id`` is.
LINE_DEPOSIT: Final = 0  # [transfer_id]
LINE_WITHDRAWAL: Final = 1  # held, paid out or given back [transfer_id]
LINE_TRANSFER: Final = 2  # [transfer_id]
LINE_GROUP_TRANSFER: Final = 3  # [transfer_id]
LINE_ORDER: Final = 4  # what an order holds, or held and frees [order_id]
LINE_TRADE: Final = 5  # one side of a trade, its fee included [trade_id]
LINE_FEE: Final = 6  # what the exchange earned by a trade, or paid as a rebate [trade_id]
LINE_SALE: Final = 7  # what an issuer offers: held or given back [sale_id]
LINE_SUBSCRIPTION: Final = 8  # held, paid, delivered or given back [subscription_id]
LINE_KIND_NAMES: Final = (
    "deposit",
    "withdrawal",
    "transfer",
    "group_transfer",
    "order",
    "trade",
    "fee",
    "sale",
    "subscription",
)
NOBODY: Final = -1  # as the other account of a line: outside the exchange, or none
