"""Every account's money, folded from events alone: a second derivation, independent of the engine's ledger.

The engine moves funds between available and held and settles each trade in its ledger. Here the
same totals follow from what was announced: deposits bring money in, paid withdrawals take it out, each trade moves
base and quote between its two sides, fees go to the exchange, posted transfers and settled subscriptions of token
sales move what they say. An auditor compares both; `tally replay` does so at the end of a log.
What is on its way to another group is nobody's balance until it comes back; what comes from one is announced too.
Totals are available plus held, in base units of the asset: what is only held has not moved.

What an event announces is checked where it can be: a trade's notional and a subscription's payment must be price
times quantity, and no balance may fall below zero. BalancesDisagree says what does not fit.

A withdrawal, a transfer or a subscription is told again, as it stands, to whoever repeats a request about it. So each
moves money only when it is first seen to have moved it.
"""

from __future__ import annotations

from collections.abc import Iterable

from engine.codec import decode_events
from engine.events import (
    Event,
    FundsDeposited,
    MarketCreated,
    SaleChanged,
    SaleSettled,
    SentTransferChanged,
    TradeExecuted,
    TransferChanged,
    TransferReceived,
    WithdrawalChanged,
)
from engine.types import BUY, EXCHANGE_ACCOUNT, PAID, PENDING, POSTED, VOIDED

AccountAsset = tuple[int, int]  # (account_id, asset_id)


class BalancesDisagree(Exception):
    """The events contradict themselves: this log was not written by a sound engine."""


class Balances:
    """Totals of all accounts of a group, as of the last event folded in."""

    def __init__(self) -> None:
        self._totals: dict[AccountAsset, int] = {}
        self._deposited: dict[int, int] = {}
        self._withdrawn: dict[int, int] = {}
        self._markets: dict[int, MarketCreated] = {}
        self._sales: dict[int, SaleChanged] = {}
        # A sequence numbers one thing only, so one set has those of withdrawals, transfers and subscriptions.
        # The return of a transfer to another group is minus its number.
        self._moved: set[int] = set()
        self._received: set[tuple[bytes, int]] = set()  # transfers of other groups that were credited

    def apply_entry_events(self, events: bytes) -> None:
        """Fold in the event records of one entry. CodecError if they are damaged, BalancesDisagree if they lie."""
        self.apply(event for _, event in decode_events(events))

    def apply(self, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, TradeExecuted):
                self._settle(event)
            elif isinstance(event, FundsDeposited):
                self._move(event.account_id, event.asset_id, event.amount_units)
                self._deposited[event.asset_id] = self.deposited_units(event.asset_id) + event.amount_units
            elif isinstance(event, MarketCreated):
                # The same record tells a repeat what exists already, so it may come again.
                self._markets[event.market_id] = event
            elif isinstance(event, WithdrawalChanged):
                self._pay_out(event)
            elif isinstance(event, TransferChanged):
                self._post(event)
            elif isinstance(event, SentTransferChanged):
                self._send(event)
            elif isinstance(event, TransferReceived):
                self._receive(event)
            elif isinstance(event, SaleChanged):
                self._sales[event.sale_id] = event
            elif isinstance(event, SaleSettled):
                self._settle_subscription(event)

    def total_units(self, account_id: int, asset_id: int) -> int:
        return self._totals.get((account_id, asset_id), 0)

    def deposited_units(self, asset_id: int) -> int:
        """What came in from outside. Where there is one group: less what went out, it is the sum over all accounts."""
        return self._deposited.get(asset_id, 0)

    def withdrawn_units(self, asset_id: int) -> int:
        """What was paid out."""
        return self._withdrawn.get(asset_id, 0)

    def totals(self) -> dict[AccountAsset, int]:
        """All totals that are not zero, by (account_id, asset_id) in ascending order."""
        return {key: units for key, units in sorted(self._totals.items()) if units}

    def _settle(self, trade: TradeExecuted) -> None:
        market = self._markets.get(trade.market_id)
        if market is None:
            raise BalancesDisagree(f"Trade {trade.trade_id} is in market {trade.market_id}, which was never listed.")
        notional_units = trade.price_ticks * trade.quantity_lots * market.notional_units
        if trade.notional_units != notional_units:
            raise BalancesDisagree(
                f"Trade {trade.trade_id} says it is worth {trade.notional_units} units; "
                f"price times quantity is {notional_units}."
            )
        maker, taker = trade.maker_account_id, trade.taker_account_id
        buyer, seller = (taker, maker) if trade.taker_side == BUY else (maker, taker)
        quote = market.quote_asset_id
        self._move(seller, market.base_asset_id, -trade.quantity_lots * market.lot_units)
        self._move(buyer, market.base_asset_id, trade.quantity_lots * market.lot_units)
        # Each side's net is booked at once: a seller may pay the fee out of the very trade.
        changes = {buyer: 0, seller: 0, EXCHANGE_ACCOUNT: 0}
        changes[buyer] -= notional_units
        changes[seller] += notional_units
        changes[maker] -= trade.maker_fee_units
        changes[taker] -= trade.taker_fee_units
        changes[EXCHANGE_ACCOUNT] += trade.maker_fee_units + trade.taker_fee_units
        for account_id, units in changes.items():
            self._move(account_id, quote, units)

    def _pay_out(self, withdrawal: WithdrawalChanged) -> None:
        if withdrawal.status == PAID and self._moves_now(withdrawal.withdrawal_id):
            asset_id, amount_units = withdrawal.asset_id, withdrawal.amount_units
            self._move(withdrawal.account_id, asset_id, -amount_units)
            self._withdrawn[asset_id] = self.withdrawn_units(asset_id) + amount_units

    def _post(self, transfer: TransferChanged) -> None:
        if transfer.status == POSTED and self._moves_now(transfer.transfer_id):
            self._move(transfer.from_account_id, transfer.asset_id, -transfer.amount_units)
            self._move(transfer.to_account_id, transfer.asset_id, transfer.amount_units)

    def _send(self, transfer: SentTransferChanged) -> None:
        """What goes to another group is nobody's from when it is sent until it is settled."""
        if transfer.status == VOIDED and self._moves_now(-transfer.transfer_id):
            self._move(transfer.account_id, transfer.asset_id, transfer.amount_units)
        elif transfer.status == PENDING and self._moves_now(transfer.transfer_id):
            self._move(transfer.account_id, transfer.asset_id, -transfer.amount_units)

    def _receive(self, transfer: TransferReceived) -> None:
        key = (transfer.from_group, transfer.transfer_id)
        if not transfer.refusal and key not in self._received:
            self._received.add(key)
            self._move(transfer.account_id, transfer.asset_id, transfer.amount_units)

    def _settle_subscription(self, settled: SaleSettled) -> None:
        if not self._moves_now(settled.subscription_id):
            return
        sale = self._sales.get(settled.sale_id)
        if sale is None:
            raise BalancesDisagree(
                f"Subscription {settled.subscription_id} is to sale {settled.sale_id}, which was never announced."
            )
        paid_units = settled.quantity_lots * sale.clearing_price_units
        if settled.paid_units != paid_units:
            raise BalancesDisagree(
                f"Subscription {settled.subscription_id} says it paid {settled.paid_units} units; "
                f"price times quantity is {paid_units}."
            )
        subscriber, issuer = settled.account_id, sale.issuer_account_id
        token_units = settled.quantity_lots * sale.lot_units
        self._move(subscriber, sale.quote_asset_id, -paid_units)
        self._move(issuer, sale.quote_asset_id, paid_units)
        self._move(issuer, sale.token_asset_id, -token_units)
        self._move(subscriber, sale.token_asset_id, token_units)

    def _moves_now(self, number: int) -> bool:
        """Is this the first time that we see it, and not a report of what moved before?"""
        if number in self._moved:
            return False
        self._moved.add(number)
        return True

    def _move(self, account_id: int, asset_id: int, units: int) -> None:
        total_units = self.total_units(account_id, asset_id) + units
        if total_units < 0:
            raise BalancesDisagree(f"Account {account_id} would have {total_units} units of asset {asset_id}.")
        self._totals[account_id, asset_id] = total_units
