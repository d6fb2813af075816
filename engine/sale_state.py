"""A token sale as it stands: its subscriptions, what was decided, and how it is told and stored.

Data, and the questions that it answers by itself. What changes it: ``engine.sale``.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from engine.events import SaleChanged, SaleSettled, SaleSubscribed
from engine.sale_terms import SaleTerms
from engine.types import (
    CANCEL_SALE,
    FIXED_PRICE,
    OPEN_SALE,
    SALE_ANNOUNCED,
    SALE_CANCELLED,
    SALE_FAILED,
    SALE_OPEN,
    SALE_SUCCEEDED,
)

Row = tuple[tuple[int, ...], tuple[bytes, ...]]  # the fields of a Struct, and the texts behind them

SALE_ROW: Final = Struct("<IQIIIB7qB3q3Q")  # its number, its terms, how it ended, its sequences; its name is the text
SUBSCRIPTION_ROW: Final = Struct("<QIQ5q")
_TERMS_LENGTH: Final = len(SaleTerms._fields) - 1  # without the name


class Subscription:
    """``quantity_lots`` is what was allotted (fixed price) or bid for (uniform price); 0 in a pot.

    ``committed_units`` is held until the sale ends. Then ``paid_units`` went to the issuer for ``settled_lots``, and
    the rest came back.
    """

    __slots__ = (
        "account_id",
        "committed_units",
        "paid_units",
        "price_units",
        "quantity_lots",
        "sale_id",
        "settled_lots",
        "subscription_id",
    )

    def __init__(self, subscription_id: int, sale_id: int, account_id: int) -> None:
        self.subscription_id = subscription_id
        self.sale_id = sale_id
        self.account_id = account_id
        self.price_units = 0
        self.quantity_lots = 0
        self.committed_units = 0
        self.settled_lots = 0
        self.paid_units = 0


class Sale:
    """``opened_sequence`` and ``ended_sequence`` are the commands that decided so, 0 if nothing did yet.

    What time brings about was decided by the command that announced the sale with its times, so it is that command's
    sequence that a late decision of the same kind is answered with.
    """

    __slots__ = (
        "allotted_lots",
        "clearing_price_units",
        "created_sequence",
        "ended_sequence",
        "lots_by_account",
        "opened_sequence",
        "proceeds_units",
        "sale_id",
        "sold_lots",
        "status",
        "subscriptions",
        "terms",
    )

    def __init__(self, sale_id: int, terms: SaleTerms, created_sequence: int) -> None:
        self.sale_id = sale_id
        self.terms = terms
        self.created_sequence = created_sequence
        self.status = SALE_ANNOUNCED
        self.opened_sequence = 0
        self.ended_sequence = 0
        self.clearing_price_units = 0
        self.sold_lots = 0
        self.proceeds_units = 0
        self.subscriptions: list[Subscription] = []
        self.allotted_lots = 0  # of a fixed price
        self.lots_by_account: dict[int, int] = {}  # what counts towards a cap per account, except in a pot

    @property
    def has_ended(self) -> bool:
        return self.status not in (SALE_ANNOUNCED, SALE_OPEN)

    def decided_by(self, decision: int) -> int:
        """The sequence of the command that took this decision, or 0."""
        if decision == OPEN_SALE:
            return self.opened_sequence
        if decision == CANCEL_SALE:
            return self.ended_sequence if self.status == SALE_CANCELLED else 0
        return self.ended_sequence if self.status in (SALE_SUCCEEDED, SALE_FAILED) else 0

    def add(self, subscription: Subscription) -> None:
        self.subscriptions.append(subscription)
        if self.terms.kind == FIXED_PRICE:
            self.allotted_lots += subscription.quantity_lots
        if self.terms.account_cap_lots:
            lots = self.lots_by_account.get(subscription.account_id, 0)
            self.lots_by_account[subscription.account_id] = lots + subscription.quantity_lots


def sale_changed(sale: Sale) -> SaleChanged:
    """The sale as it stands."""
    terms = sale.terms
    return SaleChanged(
        sale_id=sale.sale_id,
        issuer_account_id=terms.issuer_account_id,
        token_asset_id=terms.token_asset_id,
        quote_asset_id=terms.quote_asset_id,
        market_id=terms.market_id,
        kind=terms.kind,
        status=sale.status,
        price_units=terms.price_units,
        lot_units=terms.lot_units,
        quantity_lots=terms.quantity_lots,
        soft_cap_units=terms.soft_cap_units,
        account_cap_lots=terms.account_cap_lots,
        opens_at_ns=terms.opens_at_ns,
        closes_at_ns=terms.closes_at_ns,
        clearing_price_units=sale.clearing_price_units,
        sold_lots=sale.sold_lots,
        proceeds_units=sale.proceeds_units,
        name=terms.name,
    )


def sale_subscribed(subscription: Subscription) -> SaleSubscribed:
    return SaleSubscribed(
        subscription_id=subscription.subscription_id,
        sale_id=subscription.sale_id,
        account_id=subscription.account_id,
        price_units=subscription.price_units,
        quantity_lots=subscription.quantity_lots,
        held_units=subscription.committed_units,
    )


def sale_settled(subscription: Subscription) -> SaleSettled:
    return SaleSettled(
        subscription_id=subscription.subscription_id,
        sale_id=subscription.sale_id,
        account_id=subscription.account_id,
        quantity_lots=subscription.settled_lots,
        paid_units=subscription.paid_units,
        refunded_units=subscription.committed_units - subscription.paid_units,
    )


def sale_row(sale: Sale) -> Row:
    return (
        (
            sale.sale_id,
            *sale.terms[:-1],
            sale.status,
            sale.clearing_price_units,
            sale.sold_lots,
            sale.proceeds_units,
            sale.created_sequence,
            sale.opened_sequence,
            sale.ended_sequence,
        ),
        (sale.terms.name,),
    )


def sale_from(row: Row) -> Sale:
    """The sale of a row, still without its subscriptions."""
    (sale_id, *values), (name,) = row
    (
        status,
        clearing_price_units,
        sold_lots,
        proceeds_units,
        created_sequence,
        opened_sequence,
        ended_sequence,
    ) = values[_TERMS_LENGTH:]
    sale = Sale(sale_id, SaleTerms._make([*values[:_TERMS_LENGTH], name]), created_sequence)
    sale.status = status
    sale.clearing_price_units = clearing_price_units
    sale.sold_lots = sold_lots
    sale.proceeds_units = proceeds_units
    sale.opened_sequence = opened_sequence
    sale.ended_sequence = ended_sequence
    return sale


_SUBSCRIPTION_FIELDS: Final = (
    "subscription_id",
    "sale_id",
    "account_id",
    "price_units",
    "quantity_lots",
    "committed_units",
    "settled_lots",
    "paid_units",
)


def subscription_row(subscription: Subscription) -> Row:
    return tuple(getattr(subscription, field) for field in _SUBSCRIPTION_FIELDS), ()


def subscription_from(row: Row) -> Subscription:
    values, _ = row
    subscription = Subscription(*values[:3])
    for field, value in zip(_SUBSCRIPTION_FIELDS[3:], values[3:], strict=True):
        setattr(subscription, field, value)
    return subscription
