"""Every account's money, folded from events alone: a second derivation, independent of the engine's ledger.

The engine moves funds between available and held and settles each trade in its ledger. Here the
same totals follow from what was announced: deposits bring money in, each trade moves base and quote between its two
sides, fees go to the exchange. An auditor compares both; `tally replay` does so at the end of a log.
Totals are available plus held, in base units of the asset.

What an event announces is checked where it can be: a trade's notional must be price times
quantity, and no balance may fall below zero. BalancesDisagree says what does not fit.
"""

from __future__ import annotations

from collections.abc import Iterable

from engine.codec import decode_events
from engine.events import Event, FundsDeposited, MarketCreated, TradeExecuted
from engine.types import BUY, EXCHANGE_ACCOUNT

AccountAsset = tuple[int, int]  # (account_id, asset_id)


class BalancesDisagree(Exception):
    """The events contradict themselves: this log was not written by a sound engine."""


class Balances:
    """Totals of all accounts of a group, as of the last event folded in."""

    def __init__(self) -> None:
        self._totals: dict[AccountAsset, int] = {}
        self._deposited: dict[int, int] = {}
        self._markets: dict[int, MarketCreated] = {}

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

    def total_units(self, account_id: int, asset_id: int) -> int:
        return self._totals.get((account_id, asset_id), 0)

    def deposited_units(self, asset_id: int) -> int:
        """What came in from outside. Always the sum over all accounts."""
        return self._deposited.get(asset_id, 0)

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

    def _move(self, account_id: int, asset_id: int, units: int) -> None:
        total_units = self.total_units(account_id, asset_id) + units
        if total_units < 0:
            raise BalancesDisagree(f"Account {account_id} would have {total_units} units of asset {asset_id}.")
        self._totals[account_id, asset_id] = total_units
