"""Token sales: an issuer's offering, what was subscribed to it, and how it ends.

An announced sale holds the issuer's tokens; an open one takes subscriptions, which hold the subscribers' money; its
close divides the one for the other (``engine.sale_allocation``) and frees what is over on both sides, all in one step,
so that nobody ever has both or neither. Commands and time do the same things: whatever comes first wins, and the other
then finds that it was done (rulebook rows H1 to H6). There are no fees on sales.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from engine import rejects
from engine.amounts import SCALE_ABSENT, to_multiples, to_units
from engine.commands import CreateSale, DecideSale, SubscribeSale
from engine.dedup import is_valid_id
from engine.event_writer import EventWriter
from engine.events import Event, RequestRepeated
from engine.ledger import Ledger
from engine.registry import Registry
from engine.sale_settlement import Outcome, all_back, outcome_of_close, settle
from engine.sale_state import (
    Row,
    Sale,
    Subscription,
    sale_changed,
    sale_from,
    sale_row,
    sale_settled,
    sale_subscribed,
    subscription_from,
    subscription_row,
)
from engine.sale_terms import SaleTerms, lot_price, terms_asked_for, token_price
from engine.timers import SALE_CLOSES, SALE_OPENS, Timers
from engine.types import (
    CANCEL_SALE,
    CLOSE_SALE,
    EXCHANGE_ACCOUNT,
    FIXED_PRICE,
    NOTIONAL_MAX,
    OPEN_SALE,
    POT,
    SALE_ANNOUNCED,
    SALE_CANCELLED,
    SALE_FAILED,
    SALE_OPEN,
    SALE_SUCCEEDED,
    SALES_MAX,
    SUBSCRIPTIONS_PER_SALE_MAX,
    UNIFORM_PRICE,
    AssetSpec,
)

# The states of a sale in which each decision can be taken, by its number.
_DECIDABLE_IN: Final = ((SALE_ANNOUNCED,), (SALE_OPEN,), (SALE_ANNOUNCED, SALE_OPEN))


class Sales:
    """The desk for token sales.

    ``open_market`` is called with (market_id, clearing price, emit) after a sale for that market succeeded; the price
    is in quote units for one whole token, or 0 if that is not a whole number. ``is_delisted`` is asked before a sale
    may promise a market. ``conflicts_with`` is the sequence that the last refusal quotes, or 0.
    """

    def __init__(
        self,
        registry: Registry,
        ledger: Ledger,
        timers: Timers,
        open_market: Callable[[int, int, EventWriter], None],
        is_delisted: Callable[[int], bool],
    ) -> None:
        self.sales: dict[int, Sale] = {}
        self.subscriptions: dict[int, Subscription] = {}
        self.conflicts_with = 0
        self._by_name: dict[bytes, Sale] = {}
        self._registry = registry
        self._ledger = ledger
        self._timers = timers
        self._open_market = open_market
        self._is_delisted = is_delisted

    def create(self, command: CreateSale, sequence: int, timestamp_ns: int, emit: EventWriter) -> int:
        """Announce a sale and hold the issuer's tokens. A name is for ever, of whatever became of its sale."""
        self.conflicts_with = 0
        registry, ledger = self._registry, self._ledger
        if not is_valid_id(command.name) or command.kind > UNIFORM_PRICE:
            return rejects.MALFORMED
        if registry.account(command.issuer_account_id) is None:
            return rejects.UNKNOWN_ACCOUNT
        token, quote = registry.asset(command.token_asset_id), registry.asset(command.quote_asset_id)
        if token is None or quote is None:
            return rejects.UNKNOWN_ASSET
        if command.market_id and registry.market(command.market_id) is None:
            return rejects.UNKNOWN_MARKET
        terms = terms_asked_for(command, token, quote)
        sale = self._by_name.get(command.name)
        if sale is not None:
            if terms != sale.terms:
                self.conflicts_with = sale.created_sequence
                return rejects.NAME_TAKEN
            return _repeat(sale, sale.created_sequence, emit)
        # The exchange may owe makers rebates, so it does not put up what it collected.
        if command.issuer_account_id == EXCHANGE_ACCOUNT:
            return rejects.NOT_ALLOWED
        if terms is None or not _times_fit(terms, timestamp_ns) or not self._market_fits(terms):
            return rejects.SALE_RULES
        if len(self.sales) >= SALES_MAX:
            return rejects.TOO_MANY
        if ledger.available_units(terms.issuer_account_id, terms.token_asset_id) < terms.offered_units:
            return rejects.NO_FUNDS

        sale = Sale(len(self.sales) + 1, terms, sequence)
        ledger.hold(terms.issuer_account_id, terms.token_asset_id, terms.offered_units)
        self._keep(sale)
        emit(sale_changed(sale))
        return rejects.ACCEPTED

    def decide(self, command: DecideSale, sequence: int, timestamp_ns: int, emit: EventWriter) -> int:
        """Open, close or cancel a sale. A decision that was taken once is repeated for ever (rulebook row H4)."""
        self.conflicts_with = 0
        if command.decision > CANCEL_SALE:
            return rejects.MALFORMED
        sale = self.sales.get(command.sale_id)
        if sale is None:
            return rejects.UNKNOWN_SALE
        decided_by = sale.decided_by(command.decision)
        if decided_by:
            return _repeat(sale, decided_by, emit)
        if sale.status not in _DECIDABLE_IN[command.decision]:
            self.conflicts_with = sale.ended_sequence
            return rejects.WRONG_STATE

        if command.decision == OPEN_SALE:
            _open(sale, sequence, emit)
        elif command.decision == CLOSE_SALE:
            self._end(sale, outcome_of_close(sale), sequence, emit)
        else:
            self._end(sale, all_back(sale, SALE_CANCELLED), sequence, emit)
        return rejects.ACCEPTED

    def subscribe(self, command: SubscribeSale, sequence: int, timestamp_ns: int, emit: EventWriter) -> int:
        """Take part in an open sale: the money is held until the sale ends. It is numbered ``sequence``."""
        self.conflicts_with = 0
        sale = self.sales.get(command.sale_id)
        if sale is None:
            return rejects.UNKNOWN_SALE
        terms = sale.terms
        if terms.kind != UNIFORM_PRICE and command.price_scale != SCALE_ABSENT:
            return rejects.MALFORMED
        if command.account_id == terms.issuer_account_id:
            return rejects.NOT_ALLOWED
        if self._registry.is_frozen(command.account_id):
            return rejects.ACCOUNT_FROZEN
        if sale.status != SALE_OPEN:
            return rejects.SALE_STATE
        subscription = Subscription(sequence, sale.sale_id, command.account_id)
        reason = self._assess(sale, subscription, command)
        if reason:
            return reason
        if len(sale.subscriptions) >= SUBSCRIPTIONS_PER_SALE_MAX:
            return rejects.TOO_MANY
        if self._ledger.available_units(command.account_id, terms.quote_asset_id) < subscription.committed_units:
            return rejects.NO_FUNDS

        self._ledger.hold(command.account_id, terms.quote_asset_id, subscription.committed_units)
        self.subscriptions[sequence] = subscription
        sale.add(subscription)
        emit(sale_subscribed(subscription))
        return rejects.ACCEPTED

    def on_opens(self, sale_id: int, timestamp_ns: int, emit: EventWriter) -> None:
        """Its time to open has come, unless an operator was first."""
        sale = self.sales[sale_id]
        if sale.status == SALE_ANNOUNCED and 0 < sale.terms.opens_at_ns <= timestamp_ns:
            _open(sale, sale.created_sequence, emit)

    def on_closes(self, sale_id: int, timestamp_ns: int, emit: EventWriter) -> None:
        """Its time is over, unless it ended before. A sale that was never opened has failed."""
        sale = self.sales[sale_id]
        if sale.has_ended or not 0 < sale.terms.closes_at_ns <= timestamp_ns:
            return
        outcome = outcome_of_close(sale) if sale.status == SALE_OPEN else all_back(sale, SALE_FAILED)
        self._end(sale, outcome, sale.created_sequence, emit)

    def by_name(self, name: bytes) -> Sale | None:
        return self._by_name.get(name)

    def report_subscription(self, subscription_id: int) -> Event | None:
        """The subscription as it stands."""
        subscription = self.subscriptions.get(subscription_id)
        if subscription is None:
            return None
        return (
            sale_settled(subscription) if self.sales[subscription.sale_id].has_ended else sale_subscribed(subscription)
        )

    def holds(self) -> Iterator[tuple[int, int, int]]:
        """All that sales hold now, as (account_id, asset_id, units); an account may come more than once."""
        for sale_id in sorted(self.sales):
            sale = self.sales[sale_id]
            if not sale.has_ended:
                terms = sale.terms
                yield terms.issuer_account_id, terms.token_asset_id, terms.offered_units
                for subscription in sale.subscriptions:
                    yield subscription.account_id, terms.quote_asset_id, subscription.committed_units

    def sale_rows(self) -> list[Row]:
        """Every sale as the fields of SALE_ROW and its name, in order of number."""
        return [sale_row(self.sales[sale_id]) for sale_id in sorted(self.sales)]

    def subscription_rows(self) -> list[Row]:
        """Every subscription as the fields of SUBSCRIPTION_ROW, in order of number."""
        return [subscription_row(self.subscriptions[number]) for number in sorted(self.subscriptions)]

    def restore(self, sale_rows: Iterable[Row], subscription_rows: Iterable[Row]) -> None:
        """Become what the rows describe, timers included. What is held is the ledger's to restore."""
        assert not self.sales and not self.subscriptions, "only what is new can be restored"
        for row in sale_rows:
            self._keep(sale_from(row))
        for row in subscription_rows:
            subscription = subscription_from(row)
            self.subscriptions[subscription.subscription_id] = subscription
            self.sales[subscription.sale_id].add(subscription)

    def _keep(self, sale: Sale) -> None:
        assert sale.sale_id == len(self.sales) + 1, sale.sale_id
        self.sales[sale.sale_id] = sale
        self._by_name[sale.terms.name] = sale
        if sale.status == SALE_ANNOUNCED:
            self._timers.schedule(sale.terms.opens_at_ns, SALE_OPENS, sale.sale_id)
        if not sale.has_ended:
            self._timers.schedule(sale.terms.closes_at_ns, SALE_CLOSES, sale.sale_id)

    def _end(self, sale: Sale, outcome: Outcome, sequence: int, emit: EventWriter) -> None:
        settle(sale, outcome, sequence, self._ledger, emit)
        terms = sale.terms
        if sale.status == SALE_SUCCEEDED and terms.market_id:
            token, _ = self._assets(terms)
            self._open_market(terms.market_id, token_price(sale.clearing_price_units, terms.lot_units, token), emit)

    def _market_fits(self, terms: SaleTerms) -> bool:
        market = self._registry.market(terms.market_id)
        if market is None:
            return not terms.market_id
        pair = (market.base_asset_id, market.quote_asset_id)
        return pair == (terms.token_asset_id, terms.quote_asset_id) and not self._is_delisted(market.market_id)

    def _assets(self, terms: SaleTerms) -> tuple[AssetSpec, AssetSpec]:
        token, quote = self._registry.asset(terms.token_asset_id), self._registry.asset(terms.quote_asset_id)
        assert token is not None and quote is not None, terms
        return token, quote

    def _assess(self, sale: Sale, subscription: Subscription, command: SubscribeSale) -> int:
        """Read what is subscribed by the rules of the sale's kind. Answers why it is refused, or ACCEPTED."""
        terms = sale.terms
        token, quote = self._assets(terms)
        subscription.price_units = terms.price_units
        if terms.kind == POT:
            committed_units = to_units(command.amount_mantissa, command.amount_scale, quote.decimals)
            if committed_units <= 0:
                return rejects.AMOUNT
            subscription.committed_units = committed_units
            return rejects.MIN_NOTIONAL if committed_units < terms.price_units else rejects.ACCEPTED
        if terms.kind == UNIFORM_PRICE:
            price_units, rest = lot_price(command.price_mantissa, command.price_scale, terms.lot_units, token, quote)
            if price_units < terms.price_units:
                return rejects.PRICE
            if rest:
                return rejects.TICK
            subscription.price_units = price_units
        lots = to_multiples(command.amount_mantissa, command.amount_scale, token.decimals, terms.lot_units)
        if lots <= 0:
            return rejects.LOT
        if terms.kind == FIXED_PRICE:
            lots = min(lots, terms.quantity_lots - sale.allotted_lots)
            if not lots:
                return rejects.SOLD_OUT
        elif subscription.price_units > NOTIONAL_MAX // lots:
            return rejects.NOTIONAL_TOO_LARGE
        if terms.account_cap_lots:
            taken_lots = sale.lots_by_account.get(command.account_id, 0)
            if lots > terms.account_cap_lots - taken_lots:
                return rejects.ACCOUNT_CAP
        subscription.quantity_lots = lots
        subscription.committed_units = lots * subscription.price_units
        return rejects.ACCEPTED


def _repeat(sale: Sale, first_sequence: int, emit: EventWriter) -> int:
    emit(RequestRepeated(first_sequence, rejects.ACCEPTED))
    emit(sale_changed(sale))
    return rejects.ACCEPTED


def _open(sale: Sale, sequence: int, emit: EventWriter) -> None:
    sale.status = SALE_OPEN
    sale.opened_sequence = sequence
    emit(sale_changed(sale))


def _times_fit(terms: SaleTerms, now_ns: int) -> bool:
    opens_at_ns, closes_at_ns = terms.opens_at_ns, terms.closes_at_ns
    return opens_at_ns >= 0 and (closes_at_ns == 0 or closes_at_ns > max(opens_at_ns, now_ns))
