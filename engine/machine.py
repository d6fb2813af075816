"""The one ``apply``: an entry's commands in, its events and its chain value out.

The machine is a function of its inputs. Time is the timestamp that the leader put into the entry;
it never runs backwards here. Each command gets the next sequence, changes everything or nothing, and
leaves at least one event. An exception out of ``apply`` is a bug: the replica must stop.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from engine import rejects
from engine.codec import decode_commands, encode_event
from engine.commands import (
    AmendOrder,
    CancelAll,
    CancelOrder,
    Command,
    CreateAccount,
    CreateApiKey,
    CreateAsset,
    CreateMarket,
    Deposit,
    PlaceOrder,
)
from engine.dedup import Receipt, Receipts, is_valid_id
from engine.entry import GENESIS_CHAIN, Entry, chain_after
from engine.events import CommandRejected, Event, RequestRepeated
from engine.ledger import Ledger
from engine.listing import Listing, Outcome
from engine.matching import Emit
from engine.registry import Registry
from engine.trading import Trading, report
from engine.types import EXCHANGE_ACCOUNT, FORGOTTEN_PER_COMMAND_MAX, OPEN, OPERATOR, REQUEST_AGE_NS_MAX

TraderCommand = PlaceOrder | CancelOrder | AmendOrder | CancelAll
_TRADER_COMMANDS: Final = (PlaceOrder, CancelOrder, AmendOrder, CancelAll)

_PLACE_CONTENT: Final = Struct("<IBBBBBqBqB")
_ORDER_NUMBER: Final = Struct("<Q")
_AMEND_CONTENT: Final = Struct("<QqBqB")
_MARKET_NUMBER: Final = Struct("<I")


class Applied(NamedTuple):
    """``event_ends[i]`` is where the events of command ``i`` end in ``entry.events``."""

    entry: Entry
    event_ends: list[int]


class Machine:
    """The state of one market group. Not thread-safe; owned by whoever drives it."""

    def __init__(self) -> None:
        self.sequence = 0
        self.timestamp_ns = 0
        self.chain = GENESIS_CHAIN
        self.registry = Registry()
        self.ledger = Ledger()
        self.receipts = Receipts()
        self.trading = Trading(self.registry, self.ledger, self.receipts)
        self._listing = Listing(self.registry, self.ledger)

    def apply(self, timestamp_ns: int, commands: bytes) -> Applied:
        """Execute the records of one entry. CodecError, and nothing changed, if they are malformed."""
        decoded = list(decode_commands(commands))
        assert decoded, "an entry has at least one command"
        first_sequence = self.sequence + 1
        self.timestamp_ns = max(self.timestamp_ns, timestamp_ns)
        parts: list[bytes] = []
        event_ends: list[int] = []
        events_length = 0
        for offset, command in enumerate(decoded):
            self.sequence += 1
            for event in self._execute(command):
                record = encode_event(event, offset)
                parts.append(record)
                events_length += len(record)
            event_ends.append(events_length)
        events = b"".join(parts)
        self.chain = chain_after(self.chain, first_sequence, self.timestamp_ns, len(decoded), commands, events)
        entry = Entry(first_sequence, self.timestamp_ns, len(decoded), commands, events, self.chain)
        return Applied(entry, event_ends)

    def _execute(self, command: Command) -> list[Event]:
        self._forget_old_requests()
        if abs(self.timestamp_ns - command.issued_at_ns) > REQUEST_AGE_NS_MAX:
            return [CommandRejected(rejects.REQUEST_EXPIRED, 0)]
        account = self.registry.account(command.account_id)
        if account is None:
            return [CommandRejected(rejects.UNKNOWN_ACCOUNT, 0)]
        if isinstance(command, _TRADER_COMMANDS):
            # The exchange may owe makers rebates that earlier fills left unpaid, so it does not spend its fees.
            if account.account_id == EXCHANGE_ACCOUNT:
                return [CommandRejected(rejects.NOT_ALLOWED, 0)]
            return self._trade(command)
        if account.role != OPERATOR:
            return [CommandRejected(rejects.NOT_ALLOWED, 0)]
        return _events_of(self._list(command))

    def _trade(self, command: TraderCommand) -> list[Event]:
        """Answer a trader's request once, and its retries with the receipt of the first time."""
        request_id, content = _request_of(command)
        if not is_valid_id(request_id) or not _names_one_order(command):
            return [CommandRejected(rejects.MALFORMED, 0)]
        receipt = self.receipts.find(command.account_id, request_id)
        if receipt is not None:
            if receipt.content != content:
                return [CommandRejected(rejects.ID_CONFLICT, receipt.sequence)]
            return self._repeat(receipt)
        events: list[Event] = []
        reason, order_id = self._execute_trade(command, events.append)
        if reason:
            assert not events, "a refused command has changed something"
            events.append(CommandRejected(reason, 0))
        self.receipts.remember(
            Receipt(command.account_id, request_id, content, self.sequence, reason, order_id, self.timestamp_ns)
        )
        return events

    def _execute_trade(self, command: TraderCommand, emit: Emit) -> tuple[int, int]:
        """Run a request for the first time. Answers the reason and the order it was about (0 if none)."""
        trading = self.trading
        if isinstance(command, PlaceOrder):
            reason = trading.place(command, self.sequence, self.timestamp_ns, emit)
            return reason, 0 if reason else self.sequence
        if isinstance(command, CancelAll):
            return trading.cancel_all(command, emit), 0
        order = trading.find_order(command.account_id, command.order_id, command.client_order_id)
        if isinstance(command, CancelOrder):
            reason = trading.cancel(order, emit)
        else:
            reason = trading.amend(order, command, self.sequence, emit)
        return reason, 0 if order is None else order.order_id

    def _repeat(self, receipt: Receipt) -> list[Event]:
        events: list[Event] = [RequestRepeated(receipt.sequence, receipt.reason)]
        order = self.trading.orders.get(receipt.order_id)
        if order is not None:
            events.append(report(order))
        return events

    def _list(self, command: CreateAsset | CreateMarket | CreateAccount | CreateApiKey | Deposit) -> Outcome:
        listing, sequence = self._listing, self.sequence
        if isinstance(command, Deposit):
            return listing.deposit(command, sequence)
        if isinstance(command, CreateAsset):
            return listing.create_asset(command, sequence)
        if isinstance(command, CreateAccount):
            return listing.create_account(command, sequence)
        if isinstance(command, CreateApiKey):
            return listing.create_api_key(command, sequence)
        outcome = listing.create_market(command, sequence)
        if outcome.reason == rejects.ACCEPTED and not outcome.repeats:
            market = self.registry.markets[-1]
            assert market is not None
            self.trading.open_book(market)
        return outcome

    def _forget_old_requests(self) -> None:
        """Drop ids that are older than 24 h, a few per command; the id of an open order stays."""
        for _ in range(FORGOTTEN_PER_COMMAND_MAX):
            receipt = self.receipts.next_to_forget(self.timestamp_ns)
            if receipt is None:
                return
            order = self.trading.orders.get(receipt.order_id)
            placed = order is not None and order.client_order_id == receipt.request_id
            if order is not None and placed and order.status == OPEN:
                self.receipts.keep_oldest(self.timestamp_ns)
                continue
            if order is not None and placed:
                del self.trading.orders[order.order_id]
            self.receipts.forget_oldest()


def _request_of(command: TraderCommand) -> tuple[bytes, bytes]:
    """The id of a trader's request, and what it asks as bytes that a retry must equal."""
    if isinstance(command, PlaceOrder):
        return command.client_order_id, b"P" + _PLACE_CONTENT.pack(*command[2:-1])
    if isinstance(command, CancelOrder):
        return command.request_id, b"C" + _ORDER_NUMBER.pack(command.order_id) + command.client_order_id
    if isinstance(command, AmendOrder):
        return command.request_id, b"A" + _AMEND_CONTENT.pack(*command[2:7]) + command.client_order_id
    return command.request_id, b"M" + _MARKET_NUMBER.pack(command.market_id)


def _names_one_order(command: TraderCommand) -> bool:
    """A cancel or an amendment names its order by number or by its client's id, not by both."""
    if not isinstance(command, CancelOrder | AmendOrder):
        return True
    return command.client_order_id == b"" if command.order_id else is_valid_id(command.client_order_id)


def _events_of(outcome: Outcome) -> list[Event]:
    if outcome.reason:
        return [CommandRejected(outcome.reason, outcome.conflicts_with)]
    events: list[Event] = [RequestRepeated(outcome.repeats, rejects.ACCEPTED)] if outcome.repeats else []
    if outcome.event is not None:
        events.append(outcome.event)
    return events
