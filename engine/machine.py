"""The one ``apply``: an entry's commands in, its events and its chain value out.

The machine is a function of its inputs. Time is the timestamp that the leader put into the entry;
it never runs backwards here. What is due by then happens first, then the commands: each gets the next sequence,
changes everything or nothing, and leaves at least one event. An exception out of ``apply`` is a bug: the replica must
stop.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from engine import rejects
from engine.accounts import Accounts
from engine.codec import decode_commands, encode_event
from engine.commands import (
    Command,
    CreateAccount,
    CreateApiKey,
    CreateAsset,
    CreateMarket,
    CreateSale,
    DecideSale,
    DecideTransfer,
    DecideWithdrawal,
    DelistMarket,
    Deposit,
    FreezeAccount,
    ListMarket,
    MassCancel,
    ResolveRequest,
    SetAccountLimits,
    SetFeeTiers,
    SetMarketRate,
    SetMarketRules,
    SetMarketSchedule,
    SetMarketState,
    Tick,
)
from engine.dedup import Receipts
from engine.entry import BY_TIME, GENESIS_CHAIN, Entry, chain_after
from engine.events import CommandRejected, Emit, Event, RequestRepeated, TimeReached
from engine.ledger import Ledger
from engine.listing import Listing, Outcome, with_default_rules
from engine.market_admin import MarketAdmin
from engine.registry import Registry
from engine.requests import Requests
from engine.sale import Sales
from engine.sessions import Sessions
from engine.timers import (
    AUCTION_PHASE,
    DEAD_MAN,
    MARKET_SCHEDULE,
    ORDER_EXPIRES,
    SALE_CLOSES,
    SALE_OPENS,
    TRANSFER_EXPIRES,
    Timers,
)
from engine.trading import Trading
from engine.transfers import Transfers
from engine.types import EXCHANGE_ACCOUNT, OPERATOR, REQUEST_AGE_NS_MAX
from engine.uncross import publish_indicative
from engine.withdrawals import Withdrawals

# What the exchange's own account may ask of those that traders ask: it may owe makers rebates that earlier fills
# left unpaid, so it does not spend its fees.
_EXCHANGE_MAY: Final = (MassCancel, DecideTransfer)


class Applied(NamedTuple):
    """``event_ends[i]`` is where the events of command ``i`` end in ``entry.events``.

    Those of the first command begin at ``events_start``, behind what time brought about.
    """

    entry: Entry
    events_start: int
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
        self.timers = Timers()
        self.sessions = Sessions(self.timers)
        self.trading = Trading(self.registry, self.ledger, self.receipts, self.timers, self.sessions)
        self.accounts = Accounts(self.registry, self.trading, self.timers)
        self.withdrawals = Withdrawals(self.registry, self.ledger)
        self.transfers = Transfers(self.registry, self.ledger, self.timers)
        self.market_admin = MarketAdmin(self.trading, self.sessions)
        self.sales = Sales(
            self.registry, self.ledger, self.timers, self._open_after_sale, self.market_admin.is_delisted
        )
        self._listing = Listing(self.registry, self.ledger)
        self._requests = Requests(
            self.registry,
            self.receipts,
            self.trading,
            self.accounts,
            self.withdrawals,
            self.transfers,
            self.sales,
        )

    def apply(self, timestamp_ns: int, commands: bytes) -> Applied:
        """Execute the records of one entry. CodecError, and nothing changed, if they are malformed."""
        decoded = list(decode_commands(commands))
        assert decoded, "an entry has at least one command"
        first_sequence = self.sequence + 1
        self.timestamp_ns = max(self.timestamp_ns, timestamp_ns)
        self.sessions.chain = self.chain
        parts = [encode_event(event, BY_TIME) for event in self._let_time_pass()]
        events_start = events_length = sum(len(part) for part in parts)
        event_ends: list[int] = []
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
        return Applied(entry, events_start, event_ends)

    def _let_time_pass(self) -> list[Event]:
        """Do all that is due, in the order in which it is (``engine.timers``)."""
        events: list[Event] = []
        emit, now_ns = events.append, self.timestamp_ns
        while (timer := self.timers.pop_due(now_ns)) is not None:
            due_ns, kind, subject_id = timer
            if kind == ORDER_EXPIRES:
                self.trading.on_order_expires(subject_id, due_ns, now_ns, emit)
            elif kind == DEAD_MAN:
                self.accounts.on_dead_man(subject_id, due_ns, now_ns, emit)
            elif kind == TRANSFER_EXPIRES:
                self.transfers.on_expires(subject_id, now_ns, emit)
            elif kind == AUCTION_PHASE:
                self.sessions.on_phase_ends(self.trading.markets[subject_id], due_ns, now_ns, emit)
            elif kind == MARKET_SCHEDULE:
                self.sessions.on_step(self.trading.markets[subject_id], due_ns, now_ns, emit)
            elif kind == SALE_OPENS:
                self.sales.on_opens(subject_id, now_ns, emit)
            else:
                assert kind == SALE_CLOSES, timer
                self.sales.on_closes(subject_id, now_ns, emit)
            self._publish_auctions(emit)
        return events

    def _execute(self, command: Command) -> list[Event]:
        self._requests.forget_old(self.timestamp_ns)
        if abs(self.timestamp_ns - command.issued_at_ns) > REQUEST_AGE_NS_MAX:
            return [CommandRejected(rejects.REQUEST_EXPIRED, 0)]
        account = self.registry.account(command.account_id)
        if account is None:
            return [CommandRejected(rejects.UNKNOWN_ACCOUNT, 0)]
        if self._requests.handles(command):
            if account.account_id == EXCHANGE_ACCOUNT and not isinstance(command, _EXCHANGE_MAY):
                return [CommandRejected(rejects.NOT_ALLOWED, 0)]
            events = self._requests.answer(command, self.sequence, self.timestamp_ns)
        elif isinstance(command, ResolveRequest):
            events = self._requests.resolve(command, self.sequence, self.timestamp_ns)
        elif account.role != OPERATOR:
            return [CommandRejected(rejects.NOT_ALLOWED, 0)]
        else:
            events = self._operate(command)
        if self.sessions.auctions:
            self._publish_auctions(events.append)
        return events

    def _operate(self, command: Command) -> list[Event]:
        """A command of an operator. It has no id: the same again finds that all is so already."""
        events: list[Event] = []
        emit, sequence, now_ns = events.append, self.sequence, self.timestamp_ns
        conflicts_with = 0
        if isinstance(command, SetMarketRules):
            reason = self.market_admin.set_rules(command, now_ns, emit)
        elif isinstance(command, SetMarketState):
            reason = self.market_admin.set_state(command, now_ns, emit)
        elif isinstance(command, SetMarketSchedule):
            reason = self.market_admin.set_schedule(command, now_ns, emit)
        elif isinstance(command, SetFeeTiers):
            reason = self.market_admin.set_fee_tiers(command, now_ns, emit)
        elif isinstance(command, SetMarketRate):
            reason = self.market_admin.set_rate(command, now_ns, emit)
        elif isinstance(command, DelistMarket):
            reason = self.market_admin.delist(command, now_ns, emit)
        elif isinstance(command, SetAccountLimits):
            reason = self.accounts.set_limits(command, now_ns, emit)
        elif isinstance(command, FreezeAccount):
            reason = self.accounts.freeze(command, now_ns, emit)
        elif isinstance(command, DecideWithdrawal):
            reason = self.withdrawals.decide(command, sequence, now_ns, emit)
        elif isinstance(command, CreateSale):
            reason = self.sales.create(command, sequence, now_ns, emit)
            conflicts_with = self.sales.conflicts_with
        elif isinstance(command, DecideSale):
            reason = self.sales.decide(command, sequence, now_ns, emit)
            conflicts_with = self.sales.conflicts_with
        elif isinstance(command, Tick):
            reason = rejects.ACCEPTED
            emit(TimeReached(now_ns))
        else:
            reason, conflicts_with = self._list(command, emit)
        if reason:
            assert not events, "a refused command has changed something"
            emit(CommandRejected(reason, conflicts_with))
        return events

    def _list(self, command: Command, emit: Emit) -> tuple[int, int]:
        """Create something, or book a deposit. Answers the reason of a refusal and the receipt that it quotes."""
        listing, sequence = self._listing, self.sequence
        if isinstance(command, CreateMarket):
            command = with_default_rules(command)
        if isinstance(command, Deposit):
            outcome = listing.deposit(command, sequence)
        elif isinstance(command, CreateAsset):
            outcome = listing.create_asset(command, sequence)
        elif isinstance(command, CreateAccount):
            outcome = listing.create_account(command, sequence)
        elif isinstance(command, CreateApiKey):
            outcome = listing.create_api_key(command, sequence)
        else:
            assert isinstance(command, ListMarket), command
            outcome = listing.list_market(command, sequence)
        if outcome.reason:
            return outcome.reason, outcome.conflicts_with
        _tell(outcome, emit)
        if isinstance(command, ListMarket) and not outcome.repeats:
            market = self.registry.markets[-1]
            assert market is not None
            self.market_admin.open_listed(market, command, self.timestamp_ns, emit)
        return rejects.ACCEPTED, 0

    def _publish_auctions(self, emit: Emit) -> None:
        for market_id in sorted(self.sessions.auctions):
            market = self.sessions.auctions[market_id]
            if market.book_changed:
                publish_indicative(market, emit)

    def _open_after_sale(self, market_id: int, price_units: int, emit: Emit) -> None:
        self.market_admin.open_after_sale(market_id, price_units, self.timestamp_ns, emit)


def _tell(outcome: Outcome, emit: Emit) -> None:
    if outcome.repeats:
        emit(RequestRepeated(outcome.repeats, rejects.ACCEPTED))
    if outcome.event is not None:
        emit(outcome.event)
