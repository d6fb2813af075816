"""The one ``apply``: an entry's commands in, its events and its chain value out.

The machine is a function of its inputs. Time is the timestamp that the leader put into the entry;
it never runs backwards here. What is due by then happens first, then the commands: each gets the next sequence,
changes everything or nothing, and leaves at least one event. An exception out of ``apply`` is a bug: the replica must
stop.
"""

from __future__ import annotations

from array import array
from typing import Any, Final, NamedTuple

from engine import rejects, wire
from engine.accounts import Accounts
from engine.codec import COMMAND_LAYOUTS, check_commands
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
    MirrorAccount,
    NameGroup,
    ReceiveTransfer,
    ResolveRequest,
    SetAccountLimits,
    SetFeeTiers,
    SetMarketRate,
    SetMarketRules,
    SetMarketSchedule,
    SetMarketState,
    SetRulesVersion,
    SettleTransfer,
    Tick,
)
from engine.dedup import Receipts
from engine.entry import GENESIS_CHAIN, Entry, chain_after
from engine.event_writer import EventWriter
from engine.events import RequestRepeated, TimeReached
from engine.group_transfers import GroupTransfers
from engine.ledger import Ledger
from engine.listing import Listing, Outcome, with_default_rules
from engine.market import Market
from engine.market_admin import MarketAdmin
from engine.mirrors import Mirrors
from engine.order_command import OrderCommand
from engine.registry import Registry
from engine.requests import Requests
from engine.rules import NEWEST_RULES_VERSION, Rules
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

_READ_AHEAD: Final = 8  # commands: while one is executed, memory fetches what the next ones need
_RING_MASK: Final = _READ_AHEAD - 1
_KINDS: Final = {layout.record: layout.kind for layout in COMMAND_LAYOUTS}
_RESOLVE_REQUEST: Final = _KINDS[ResolveRequest]
# What the exchange's own account may ask of those that traders ask: it may owe makers rebates that earlier fills
# left unpaid, so it does not spend its fees.
_EXCHANGE_MAY: Final = (_KINDS[MassCancel], _KINDS[DecideTransfer])


class Applied(NamedTuple):
    """``event_ends[i]`` is where the events of command ``i`` end in ``entry.events``.

    Those of the first command begin at ``events_start``, behind what time brought about.
    """

    entry: Entry
    events_start: int
    event_ends: array[int]


class Machine:
    """The state of one market group. Not thread-safe; owned by whoever drives it.

    ``hash_key`` is a secret of 64 bits that keeps clients from choosing ids whose hashes collide. It changes no result.
    ``newest_rules_version`` is up to where this engine knows the rules (``engine.rules``).
    """

    __slots__ = (
        "_commands",
        "_emit",
        "_listing",
        "_operators",
        "_requests",
        "accounts",
        "chain",
        "group_transfers",
        "ledger",
        "market_admin",
        "mirrors",
        "receipts",
        "registry",
        "rules",
        "sales",
        "sequence",
        "sessions",
        "timers",
        "timestamp_ns",
        "trading",
        "transfers",
        "withdrawals",
    )

    def __init__(self, hash_key: int = 0, *, newest_rules_version: int = NEWEST_RULES_VERSION) -> None:
        self.sequence = 0
        self.timestamp_ns = 0
        self.chain = GENESIS_CHAIN
        self.rules = Rules(newest_rules_version)
        self.registry = Registry()
        self.ledger = Ledger()
        self.receipts = Receipts(hash_key)
        self.timers = Timers()
        self.sessions = Sessions(self.timers)
        self.trading = Trading(self.registry, self.ledger, self.receipts, self.timers, self.sessions)
        self.accounts = Accounts(self.registry, self.trading, self.timers)
        self.withdrawals = Withdrawals(self.registry, self.ledger, self.rules)
        self.transfers = Transfers(self.registry, self.ledger, self.timers)
        self.group_transfers = GroupTransfers(self.registry, self.ledger)
        self.mirrors = Mirrors(self.registry, self.accounts)
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
            self.group_transfers,
            self.sales,
        )
        self._emit = EventWriter()
        self._commands = [OrderCommand() for _ in range(_READ_AHEAD)]  # those that are next

    def reserve(self, requests: int) -> None:
        """Have memory ready for so many more requests: getting new memory from the system takes time by itself."""
        self.receipts.reserve(requests)
        self.trading.index.reserve(requests)

    def apply(self, timestamp_ns: int, commands: bytes) -> Applied:
        """Execute the records of one entry. CodecError, and nothing changed, if they are malformed.

        RulesNotKnown if one of them sets a version of the rules that this engine does not know: then nothing of the
        entry counts, and this machine must not be used any more.
        """
        count = check_commands(commands)
        assert count, "an entry has at least one command"
        first_sequence = self.sequence + 1
        if timestamp_ns > self.timestamp_ns:
            self.timestamp_ns = timestamp_ns
        self.sessions.chain = self.chain
        emit = self._emit
        emit.begin_entry()
        self._let_time_pass()
        events_start = emit.length
        event_ends = self._execute_all(commands, count)
        events = emit.written()
        self.chain = chain_after(self.chain, first_sequence, self.timestamp_ns, count, commands, events)
        entry = Entry(first_sequence, self.timestamp_ns, count, commands, events, self.chain)
        return Applied(entry, events_start, array("I", event_ends))

    def _execute_all(self, commands: bytes, count: int) -> bytes:
        """Execute one command after the other. Answers where the events of each end, as 32-bit words."""
        ends = bytearray(4 * count)
        position = at = ahead = 0
        for offset in range(count):
            while ahead < count and ahead < offset + _READ_AHEAD:
                command = self._commands[ahead & _RING_MASK]
                position = command.read(commands, position)
                self._requests.prefetch(command)
                ahead += 1
            self._emit.command_offset = offset
            self.sequence += 1
            self._execute(self._commands[offset & _RING_MASK])
            at = wire.put_u32(ends, at, self._emit.length)
        return bytes(ends)

    def _execute(self, command: OrderCommand) -> None:
        emit, now_ns = self._emit, self.timestamp_ns
        self._requests.forget_old(now_ns)
        if not self._is_timely(command.issued_at_ns):
            emit.command_rejected(rejects.REQUEST_EXPIRED, 0)
        elif not self.registry.has_account(command.account_id):
            emit.command_rejected(rejects.UNKNOWN_ACCOUNT, 0)
        elif self._requests.handles(command.kind):
            if command.account_id == EXCHANGE_ACCOUNT and command.kind not in _EXCHANGE_MAY:
                emit.command_rejected(rejects.NOT_ALLOWED, 0)
            else:
                self._requests.answer(command, self.sequence, now_ns, emit)
                self._publish_auctions()
        elif command.kind == _RESOLVE_REQUEST:
            self._requests.resolve(command.record, self.sequence, now_ns, emit)
            self._publish_auctions()
        elif self.registry.role_of(command.account_id) != OPERATOR:
            emit.command_rejected(rejects.NOT_ALLOWED, 0)
        else:
            self._operate(command.record)
            self._publish_auctions()
        self.trading.index.write_down_closed()

    def _is_timely(self, issued_at_ns: int) -> bool:
        """Was this signed at most so long before or after the entry's time, which is never negative?"""
        if issued_at_ns > self.timestamp_ns:
            return issued_at_ns - REQUEST_AGE_NS_MAX <= self.timestamp_ns
        return self.timestamp_ns - REQUEST_AGE_NS_MAX <= issued_at_ns

    def _let_time_pass(self) -> None:
        """Do all that is due, in the order in which it is (``engine.timers``)."""
        emit, now_ns = self._emit, self.timestamp_ns
        while (timer := self.timers.pop_due(now_ns)) is not None:
            due_ns, kind, subject_id = timer
            if kind == ORDER_EXPIRES:
                self.trading.on_order_expires(subject_id, due_ns, now_ns, emit)
            elif kind == DEAD_MAN:
                self.accounts.on_dead_man(subject_id, due_ns, now_ns, emit)
            elif kind == TRANSFER_EXPIRES:
                self.transfers.on_expires(subject_id, now_ns, emit)
            elif kind == AUCTION_PHASE:
                self.sessions.on_phase_ends(self._market(subject_id), due_ns, now_ns, emit)
            elif kind == MARKET_SCHEDULE:
                self.sessions.on_step(self._market(subject_id), due_ns, now_ns, emit)
            elif kind == SALE_OPENS:
                self.sales.on_opens(subject_id, now_ns, emit)
            else:
                assert kind == SALE_CLOSES, timer
                self.sales.on_closes(subject_id, now_ns, emit)
            self._publish_auctions()
            self.trading.index.write_down_closed()

    def _market(self, market_id: int) -> Market:
        market = self.trading.market(market_id)
        assert market is not None, market_id
        return market

    def _operate(self, command: Any) -> None:
        """A command of an operator. It has no id: the same again finds that all is so already."""
        emit, sequence, now_ns = self._emit, self.sequence, self.timestamp_ns
        written, conflicts_with = emit.length, 0
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
        elif isinstance(command, ReceiveTransfer):
            reason = self.group_transfers.receive(command, sequence, emit)
            conflicts_with = self.group_transfers.conflicts_with
        elif isinstance(command, SettleTransfer):
            reason = self.group_transfers.settle(command, sequence, emit)
            conflicts_with = self.group_transfers.conflicts_with
        elif isinstance(command, MirrorAccount):
            reason = self.mirrors.mirror(command, sequence, now_ns, emit)
            conflicts_with = self.mirrors.conflicts_with
        elif isinstance(command, NameGroup):
            reason = self.group_transfers.name_group(command, sequence, emit)
            conflicts_with = self.group_transfers.conflicts_with
        elif isinstance(command, SetRulesVersion):
            reason = self.rules.set_version(command, emit)
        else:
            reason, conflicts_with = self._list(command, emit)
        if reason:
            assert emit.length == written, "a refused command has changed something"
            emit.command_rejected(reason, conflicts_with)

    def _list(self, command: Command, emit: EventWriter) -> tuple[int, int]:
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
            market = self.registry.markets[len(self.registry.markets) - 1]
            assert market is not None
            self.market_admin.open_listed(market, command, self.timestamp_ns, emit)
        return rejects.ACCEPTED, 0

    def _publish_auctions(self) -> None:
        auctions = self.sessions.auctions
        if auctions:
            for market_id in sorted(auctions):
                if auctions[market_id].book_changed:
                    publish_indicative(auctions[market_id], self._emit)

    def _open_after_sale(self, market_id: int, price_units: int, emit: EventWriter) -> None:
        self.market_admin.open_after_sale(market_id, price_units, self.timestamp_ns, emit)


def _tell(outcome: Outcome, emit: EventWriter) -> None:
    if outcome.repeats:
        emit(RequestRepeated(outcome.repeats, rejects.ACCEPTED))
    if outcome.event is not None:
        emit(outcome.event)
