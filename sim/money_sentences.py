"""Money and token sales in words: deposits, withdrawals, transfers, subscriptions."""

from __future__ import annotations

from engine.events import (
    Event,
    FundsDeposited,
    SaleChanged,
    SaleSettled,
    SaleSubscribed,
    TransferChanged,
    WithdrawalChanged,
)
from engine.types import (
    PENDING,
    SALE_ANNOUNCED,
    SALE_KIND_NAMES,
    SALE_STATUS_NAMES,
    SALE_SUCCEEDED,
    TRANSFER_STATUS_NAMES,
    WITHDRAWAL_STATUS_NAMES,
)
from sim.register import Register


def money_sentence(event: Event, register: Register) -> str | None:
    """None if the event is about something else."""
    match event:
        case FundsDeposited():
            asset = register.assets[event.asset_id]
            amount, total = asset.amount(event.amount_units), asset.amount(event.available_units)
            return f"{register.plain(event.reference.decode())} booked: {amount}, now {total} available"
        case WithdrawalChanged():
            asset = register.assets[event.asset_id]
            return withdrawal_text(
                register.label(event.withdrawal_id),
                WITHDRAWAL_STATUS_NAMES[event.status],
                f"{asset.amount(event.amount_units)} {asset.name}",
                event.destination.decode(),
            )
        case TransferChanged():
            return _transfer_text(event, register)
        case SaleChanged():
            return _sale_text(event, register)
        case SaleSubscribed():
            return _subscribed_text(event, register)
        case SaleSettled():
            sale = register.sales[event.sale_id]
            tokens = f"{sale.tokens(event.quantity_lots)} {sale.token.name}"
            paid = f"{sale.quote.amount(event.paid_units)} {sale.quote.name}"
            back = sale.quote.amount(event.refunded_units)
            return f"{register.label(event.subscription_id)} {settled_text(tokens, paid, back)}"
    return None


def withdrawal_text(label: str, status: str, amount: str, destination: str) -> str:
    to = f" to {destination}" if destination else ""
    return f"withdrawal {label} is {status}: {amount}{to}"


def transfer_text(label: str, status: str, amount: str, giver: str, taker: str) -> str:
    return f"transfer {label} is {status}: {amount} from {giver} to {taker}"


def settled_text(tokens: str, paid: str, refunded: str) -> str:
    return f"gets {tokens} for {paid}, {refunded} come back"


def sale_status_text(status: str) -> str:
    return status if status in ("succeeded", "failed") else f"is {status}"


def _transfer_text(event: TransferChanged, register: Register) -> str:
    asset = register.assets[event.asset_id]
    text = transfer_text(
        register.label(event.transfer_id),
        TRANSFER_STATUS_NAMES[event.status],
        f"{asset.amount(event.amount_units)} {asset.name}",
        register.accounts[event.from_account_id],
        register.accounts[event.to_account_id],
    )
    ends = event.status == PENDING and event.expires_at_ns
    return f"{text}, ends in {register.until(event.expires_at_ns)}" if ends else text


def _sale_text(event: SaleChanged, register: Register) -> str:
    sale = register.sales[event.sale_id]
    text = f"sale {sale.name} {sale_status_text(SALE_STATUS_NAMES[event.status])}"
    if event.status == SALE_SUCCEEDED:
        price, proceeds = sale.quote.amount(event.clearing_price_units), sale.quote.amount(event.proceeds_units)
        sold = f"{sale.tokens(event.sold_lots)} {sale.token.name}"
        issuer = register.accounts[event.issuer_account_id]
        return f"{text}: {sold} at {price} a lot, {proceeds} {sale.quote.name} for {issuer}"
    if event.status != SALE_ANNOUNCED:
        return text
    text += f": {SALE_KIND_NAMES[event.kind]}, {sale.tokens(event.quantity_lots)} {sale.token.name}"
    text += f" in lots of {sale.tokens(1)} at {sale.quote.amount(event.price_units)} {sale.quote.name}"
    if event.soft_cap_units:
        text += f", soft cap {sale.quote.amount(event.soft_cap_units)}"
    if event.account_cap_lots:
        text += f", at most {sale.tokens(event.account_cap_lots)} each"
    if event.opens_at_ns:
        text += f", opens in {register.until(event.opens_at_ns)}"
    if event.closes_at_ns:
        text += f", closes in {register.until(event.closes_at_ns)}"
    return text


def _subscribed_text(event: SaleSubscribed, register: Register) -> str:
    sale = register.sales[event.sale_id]
    what = f" {sale.tokens(event.quantity_lots)} {sale.token.name} at {sale.quote.amount(event.price_units)} a lot"
    held = f"{sale.quote.amount(event.held_units)} {sale.quote.name}"
    return f"{register.label(event.subscription_id)} subscribes{what if event.quantity_lots else ''}, holds {held}"
