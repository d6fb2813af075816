"""All read models of one market group, folded from the entries of its log: entries in, rows out.

A function of the log alone: no clock, no I/O, integers only. It checks each entry against its position: what it has it
skips, a gap or a chain that does not fit it refuses. What an event says is compared with what those before it said,
wherever both say something; EventsDisagree names where they differ.

An event that follows a RequestRepeated tells what already was, up to the end of its command, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from engine.codec import decode_events
from engine.entry import GENESIS_CHAIN, Entry, chain_after
from engine.events import (
    AccountCreated,
    AccountFrozen,
    AssetCreated,
    AuctionUncrossed,
    FeeTiersSet,
    FundsDeposited,
    MarketCreated,
    MarketStateChanged,
    OrderAccepted,
    OrderAmended,
    OrderClosed,
    OrderConditions,
    OrderReplenished,
    OrderTriggered,
    RequestRepeated,
    SaleChanged,
    SaleSettled,
    SaleSubscribed,
    SelfTradePrevented,
    SentTransferChanged,
    TradeExecuted,
    TransferChanged,
    TransferReceived,
    WithdrawalChanged,
)
from engine.types import BY_SALE
from projections.best_prices import BestPrices
from projections.candles import MINUTE_S, opening_ns
from projections.ledger import Ledger
from projections.listings import Listings
from projections.market_data import MarketData
from projections.moment import Moment
from projections.orders import Orders
from projections.rows import Kept, MinuteRow, Rows
from projections.sales import Sales, opens_a_market
from projections.transfers import Transfers
from projections.volumes import Volumes

_NO_OFFSET: Final = -1


class EntryRefused(Exception):
    """An entry that does not follow what is there. The text is one sentence that says why."""


class EntryGap(EntryRefused):
    """Entries are missing between the position and this one."""


class ChainBroken(EntryRefused):
    """The entry belongs to another history than the rows."""


class Position(NamedTuple):
    """Where a group stands: the row of ``positions``."""

    group_id: int
    group_name: str
    sequence: int
    timestamp_ns: int
    entry_count: int
    chain: bytes


def beginning(group_id: int, group_name: str) -> Position:
    return Position(group_id, group_name, 0, 0, 0, GENESIS_CHAIN)


class GroupFold:
    """The read models of a group at a position. After an exception it is of no use: begin again from the rows."""

    def __init__(self, position: Position, kept: Kept | None = None) -> None:
        self.position = position
        moment = self._moment = Moment(position.group_id)
        moment.timestamp_ns = position.timestamp_ns
        self._listings = Listings(moment)
        self._ledger = Ledger(moment)
        self._volumes = Volumes(moment)
        self._orders = Orders(moment, self._listings, self._ledger, self._volumes)
        self._transfers = Transfers(moment, self._ledger)
        self._sales = Sales(moment, self._ledger)
        self._market_data = MarketData(moment)
        self._best_prices = BestPrices()
        self._minutes: list[MinuteRow] = []
        self._sale_price_ticks = 0  # what a market opens around if its sale of a moment ago opens one
        self._handlers: dict[type, Callable[[Any], None]] = {
            AssetCreated: self._listings.on_asset,
            AccountCreated: self._listings.on_account,
            AccountFrozen: self._listings.on_frozen,
            FeeTiersSet: self._listings.on_tiers,
            OrderAccepted: self._orders.on_accepted,
            OrderConditions: self._orders.on_conditions,
            OrderAmended: self._orders.on_amended,
            OrderClosed: self._orders.on_closed,
            OrderTriggered: self._orders.on_triggered,
            OrderReplenished: self._orders.on_replenished,
            SelfTradePrevented: self._orders.on_prevented,
            AuctionUncrossed: self._orders.on_uncrossed,
            TradeExecuted: self._on_trade,
            MarketStateChanged: self._on_state,
            FundsDeposited: self._transfers.on_deposit,
            WithdrawalChanged: self._transfers.on_withdrawal,
            TransferChanged: self._transfers.on_transfer,
            SentTransferChanged: self._transfers.on_sent,
            TransferReceived: self._transfers.on_received,
            SaleChanged: self._on_sale,
            SaleSubscribed: self._sales.on_subscribed,
            SaleSettled: self._sales.on_settled,
        }
        if kept is not None:
            self._restore(kept)

    def apply(self, entry: Entry) -> bool:
        """Fold an entry in. False if it was there already.

        EntryGap, ChainBroken, CodecError or EventsDisagree if it cannot be folded in.
        """
        position = self.position
        if entry.last_sequence <= position.sequence:
            self._check_known(entry)
            return False
        if entry.first_sequence != position.sequence + 1:
            raise EntryGap(
                f"group {position.group_name}: sequence {position.sequence + 1} is missing: "
                f"an entry with {entry.first_sequence} to {entry.last_sequence} follows {position.sequence}"
            )
        if entry.chain != chain_after(position.chain, *entry[:-1]):
            raise ChainBroken(
                f"group {position.group_name}: the chain of the entry with {entry.first_sequence} to "
                f"{entry.last_sequence} does not follow that of {position.sequence}: "
                "it is of another history, or damaged"
            )
        self._begin(entry)
        self._fold(entry)
        self.position = Position(
            position.group_id,
            position.group_name,
            entry.last_sequence,
            entry.timestamp_ns,
            position.entry_count + 1,
            entry.chain,
        )
        return True

    def take(self) -> Rows:
        """What has changed since the last call. EventsDisagree if a balance is below zero."""
        books_changed = self._best_prices.update(self._orders.touched.values())
        best = {market_id: self._best_prices.best(market_id) for market_id in sorted(books_changed)}
        trades, candles, tickers = self._market_data.take(best)
        lines, balances = self._ledger.take()
        assets, markets, accounts = self._listings.take()
        minutes, self._minutes = self._minutes, []
        return Rows(
            minutes=minutes,
            trades=trades,
            ledger_lines=lines,
            assets=assets,
            markets=markets,
            accounts=accounts,
            orders=self._orders.take(),
            candles=candles,
            tickers=tickers,
            balances=balances,
            volumes=self._volumes.take(),
            transfers=self._transfers.take(),
            sales=self._sales.take(),
        )

    def _restore(self, kept: Kept) -> None:
        self._listings.restore(kept.assets, kept.markets, kept.accounts)
        self._ledger.restore(kept.balances)
        self._volumes.restore(kept.volumes)
        self._orders.restore(kept.orders)
        self._transfers.restore(kept.transfers)
        self._sales.restore(kept.sales)
        self._market_data.restore(kept.candles, kept.tickers)
        self._best_prices.update(self._orders.open_orders())

    def _begin(self, entry: Entry) -> None:
        minute_ns = opening_ns(MINUTE_S, entry.timestamp_ns)
        if not self.position.entry_count or minute_ns != opening_ns(MINUTE_S, self._moment.timestamp_ns):
            self._minutes.append(MinuteRow(self._moment.group_id, minute_ns, entry.first_sequence))
        self._moment.timestamp_ns = entry.timestamp_ns

    def _fold(self, entry: Entry) -> None:
        moment, handlers = self._moment, self._handlers
        command_offset, is_repeat = _NO_OFFSET, False
        for index, (offset, event) in enumerate(decode_events(entry.events)):
            if offset != command_offset:
                self._end_command()
                command_offset, is_repeat = offset, False
                moment.sequence = entry.sequence_of(offset)
            moment.event_index = index
            kind = type(event)
            if is_repeat:
                continue
            if kind is RequestRepeated:
                is_repeat = True
            elif kind is MarketCreated:
                assert isinstance(event, MarketCreated)
                self._listings.on_market(event, entry, offset)
                self._market_data.on_market(event.market_id)
            elif kind in handlers:
                handlers[kind](event)
        self._end_command()

    def _end_command(self) -> None:
        self._orders.end_command()
        self._sales.end_command()
        self._sale_price_ticks = 0

    def _on_trade(self, event: TradeExecuted) -> None:
        self._orders.on_trade(event)
        self._market_data.on_trade(event)

    def _on_sale(self, event: SaleChanged) -> None:
        self._sales.on_sale(event)
        if opens_a_market(event):
            self._sale_price_ticks = self._listings.price_after_sale(event)

    def _on_state(self, event: MarketStateChanged) -> None:
        if event.cause == BY_SALE and self._sale_price_ticks:
            self._listings.market(event.market_id).last_price_ticks = self._sale_price_ticks
        self._orders.on_state(event)

    def _check_known(self, entry: Entry) -> None:
        """Of what is there already, the newest can be compared."""
        position = self.position
        if entry.last_sequence == position.sequence and entry.chain != position.chain:
            raise ChainBroken(
                f"group {position.group_name}: the entry that ends with sequence {position.sequence} is another one "
                "than the one that the rows were made of"
            )
