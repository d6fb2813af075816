"""How a token sale ends: what each subscription comes to, and the movements of money that make it so."""

from __future__ import annotations

from typing import NamedTuple

from engine.event_writer import EventWriter
from engine.ledger import Ledger
from engine.sale_allocation import allot_pot, clear_at_uniform_price
from engine.sale_state import Sale, sale_changed, sale_settled
from engine.types import FIXED_PRICE, POT, SALE_FAILED, SALE_SUCCEEDED


class Outcome(NamedTuple):
    """How a sale ends. ``lots`` is what each subscription gets, in order; all 0 unless it succeeded."""

    status: int
    clearing_price_units: int
    proceeds_units: int
    lots: list[int]


def outcome_of_close(sale: Sale) -> Outcome:
    """Divide what is offered by the rules of the sale's kind; it fails if too little came in.

    What comes in is what the allotments of a fixed price cost, what was committed to a pot, or what a uniform price
    brings (rulebook row H4).
    """
    terms, subscriptions = sale.terms, sale.subscriptions
    price_units = terms.price_units
    if terms.kind == FIXED_PRICE:
        lots = [subscription.quantity_lots for subscription in subscriptions]
    elif terms.kind == POT:
        lots = allot_pot(
            [(subscription.account_id, subscription.committed_units) for subscription in subscriptions],
            price_units=price_units,
            quantity_lots=terms.quantity_lots,
            account_cap_lots=terms.account_cap_lots,
        )
    else:
        bids = [(subscription.price_units, subscription.quantity_lots) for subscription in subscriptions]
        price_units, lots = clear_at_uniform_price(
            bids, quantity_lots=terms.quantity_lots, floor_units=terms.price_units
        )
    proceeds_units = came_in_units = sum(lots) * price_units
    if terms.kind == POT:
        came_in_units = sum(subscription.committed_units for subscription in subscriptions)
    if came_in_units < terms.soft_cap_units:
        return all_back(sale, SALE_FAILED)
    return Outcome(SALE_SUCCEEDED, price_units, proceeds_units, lots)


def all_back(sale: Sale, status: int) -> Outcome:
    """Nobody gets anything: it failed, or was cancelled."""
    return Outcome(status, 0, 0, [0] * len(sale.subscriptions))


def settle(sale: Sale, outcome: Outcome, sequence: int, ledger: Ledger, emit: EventWriter) -> None:
    """Pay, deliver and free everything that the sale holds, so that not a unit is left over or made."""
    terms = sale.terms
    issuer_id, token_id, quote_id = terms.issuer_account_id, terms.token_asset_id, terms.quote_asset_id
    sale.status = outcome.status
    sale.ended_sequence = sequence
    sale.clearing_price_units = outcome.clearing_price_units
    sale.sold_lots = sum(outcome.lots)
    sale.proceeds_units = outcome.proceeds_units
    assert 0 <= sale.sold_lots <= terms.quantity_lots, (sale.sale_id, sale.sold_lots)
    emit(sale_changed(sale))
    ledger.hold(issuer_id, token_id, -(terms.quantity_lots - sale.sold_lots) * terms.lot_units)
    total_paid_units = 0
    for subscription, lots in zip(sale.subscriptions, outcome.lots, strict=True):
        account_id = subscription.account_id
        paid_units, token_units = lots * outcome.clearing_price_units, lots * terms.lot_units
        assert paid_units <= subscription.committed_units, (subscription.subscription_id, paid_units)
        subscription.settled_lots, subscription.paid_units = lots, paid_units
        if lots:
            ledger.spend_held(account_id, quote_id, paid_units)
            ledger.credit(issuer_id, quote_id, paid_units)
            ledger.spend_held(issuer_id, token_id, token_units)
            ledger.credit(account_id, token_id, token_units)
        ledger.hold(account_id, quote_id, paid_units - subscription.committed_units)
        total_paid_units += paid_units
        emit(sale_settled(subscription))
    assert total_paid_units == sale.proceeds_units, (sale.sale_id, total_paid_units, sale.proceeds_units)
