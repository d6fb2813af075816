"""Token sales: the offering as it stands, and the money and tokens that it holds and hands over in the ledger."""

from __future__ import annotations

from collections.abc import Iterable

from engine.events import SaleChanged, SaleSettled, SaleSubscribed
from engine.types import SALE_ANNOUNCED, SALE_OPEN, SALE_SUCCEEDED
from projections.kinds import LINE_SALE, LINE_SUBSCRIPTION
from projections.ledger import Ledger
from projections.moment import EventsDisagree, Moment
from projections.rows import SaleRow


class Sales:
    """Owns the sales that have not ended, and those that ended by the command under way."""

    def __init__(self, moment: Moment, ledger: Ledger) -> None:
        self._moment = moment
        self._ledger = ledger
        self._sales: dict[int, SaleRow] = {}
        self._ended: dict[int, SaleRow] = {}
        self._changed: dict[int, SaleRow] = {}

    def restore(self, rows: Iterable[SaleRow]) -> None:
        self._sales = {row.sale_id: row for row in rows}

    def on_sale(self, event: SaleChanged) -> None:
        moment = self._moment
        offered_units = event.quantity_lots * event.lot_units
        issuer_id, token_id = event.issuer_account_id, event.token_asset_id
        row = SaleRow(
            group_id=moment.group_id,
            sale_id=event.sale_id,
            name=event.name.decode(),
            issuer_account_id=issuer_id,
            token_asset_id=token_id,
            quote_asset_id=event.quote_asset_id,
            market_id=event.market_id,
            kind=event.kind,
            status=event.status,
            price_units=event.price_units,
            lot_units=event.lot_units,
            quantity_lots=event.quantity_lots,
            soft_cap_units=event.soft_cap_units,
            account_cap_lots=event.account_cap_lots,
            opens_at_ns=event.opens_at_ns,
            closes_at_ns=event.closes_at_ns,
            clearing_price_units=event.clearing_price_units,
            sold_lots=event.sold_lots,
            proceeds_units=event.proceeds_units,
            updated_sequence=moment.sequence,
        )
        before = self._sales.pop(event.sale_id, None)
        if before is None and event.status != SALE_ANNOUNCED:
            raise EventsDisagree(f"{moment}: sale {event.sale_id} was never announced, or has ended")
        if before is None:
            self._ledger.hold(issuer_id, token_id, offered_units, LINE_SALE, event.sale_id)
        if event.status in (SALE_ANNOUNCED, SALE_OPEN):
            self._sales[event.sale_id] = row
        else:
            unsold_units = (event.quantity_lots - event.sold_lots) * event.lot_units
            self._ledger.hold(issuer_id, token_id, -unsold_units, LINE_SALE, event.sale_id)
            self._ended[event.sale_id] = row
        self._changed[event.sale_id] = row

    def on_subscribed(self, event: SaleSubscribed) -> None:
        sale = self._sales.get(event.sale_id)
        if sale is None:
            raise EventsDisagree(f"{self._moment}: sale {event.sale_id} takes no subscriptions")
        self._ledger.hold(
            event.account_id, sale.quote_asset_id, event.held_units, LINE_SUBSCRIPTION, event.subscription_id
        )

    def on_settled(self, event: SaleSettled) -> None:
        sale = self._ended.get(event.sale_id)
        if sale is None:
            raise EventsDisagree(f"{self._moment}: subscription {event.subscription_id} is settled too early or late")
        if event.paid_units != event.quantity_lots * sale.clearing_price_units:
            raise EventsDisagree(
                f"{self._moment}: subscription {event.subscription_id} does not pay price times quantity"
            )
        subscriber, issuer, number = event.account_id, sale.issuer_account_id, event.subscription_id
        token_units = event.quantity_lots * sale.lot_units
        paid_units, refunded_units = event.paid_units, event.refunded_units
        for account_id, asset_id, available, held, other in (
            (subscriber, sale.quote_asset_id, refunded_units, -paid_units - refunded_units, issuer),
            (issuer, sale.quote_asset_id, paid_units, 0, subscriber),
            (issuer, sale.token_asset_id, 0, -token_units, subscriber),
            (subscriber, sale.token_asset_id, token_units, 0, issuer),
        ):
            self._ledger.move(
                account_id,
                asset_id,
                available=available,
                held=held,
                kind=LINE_SUBSCRIPTION,
                reference_id=number,
                other=other,
            )

    def end_command(self) -> None:
        """All that ended is settled."""
        self._ended.clear()

    def take(self) -> list[SaleRow]:
        """The rows that changed since the last call."""
        rows = list(self._changed.values())
        self._changed = {}
        return rows


def opens_a_market(event: SaleChanged) -> bool:
    """Does its market open by an auction around what it cleared at?"""
    return event.status == SALE_SUCCEEDED and event.market_id != 0
