"""Requests with an id: each is executed once, and its retries get the receipt of the first time.

The content that a retry must equal is the request without who asks, when it was signed, and its id. References of
withdrawals and transfers are remembered for ever, all other ids for 24 h of log time (rulebook, convention 7).
Whoever asks what became of an id that was never seen fences it: a copy that arrives later is refused (row E4).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from engine import rejects
from engine.accounts import Accounts
from engine.codec import AMEND_ORDER, CANCEL_ORDER, COMMAND_LAYOUTS, PLACE_ORDER, PLACE_SPECIAL_ORDER
from engine.commands import (
    CancelAll,
    CancelAllAfter,
    CancelWithdrawal,
    CreateTransfer,
    DecideTransfer,
    MassCancel,
    PlaceOco,
    RequestWithdrawal,
    ResolveRequest,
    SendTransfer,
    SubscribeSale,
)
from engine.dedup import Receipts, id_is_valid_at
from engine.event_writer import EventWriter
from engine.events import RequestFenced
from engine.group_transfers import GroupTransfers
from engine.order_command import OrderCommand
from engine.order_reports import reported
from engine.orders import Order
from engine.rate import use_rate
from engine.registry import Registry
from engine.sale import Sales
from engine.trading import Trading
from engine.transfers import Transfers
from engine.types import (
    EITHER_SIDE,
    EVERYONE,
    FORGOTTEN_PER_COMMAND_MAX,
    OPERATOR,
    SECOND_LEG,
)
from engine.withdrawals import Withdrawals, is_valid_destination

_KINDS: Final = {layout.record: layout.kind for layout in COMMAND_LAYOUTS}
_KIND_END: Final = 1 + max(_KINDS.values())
PLACE_OCO: Final = _KINDS[PlaceOco]
_REQUEST_WITHDRAWAL: Final = _KINDS[RequestWithdrawal]
_CREATE_TRANSFER: Final = _KINDS[CreateTransfer]
_SEND_TRANSFER: Final = _KINDS[SendTransfer]
_FENCE: Final = 0  # what stands for a kind in the receipt of a fence

Outcome = tuple[int, int]  # the reason, and the number of what the request was about (0 if nothing)


class Requests:
    """Answers requests from receipts, or from the desks below it."""

    def __init__(
        self,
        registry: Registry,
        receipts: Receipts,
        trading: Trading,
        accounts: Accounts,
        withdrawals: Withdrawals,
        transfers: Transfers,
        group_transfers: GroupTransfers,
        sales: Sales,
    ) -> None:
        self._registry = registry
        self._receipts = receipts
        self._trading = trading
        self._accounts = accounts
        self._withdrawals = withdrawals
        self._transfers = transfers
        self._group_transfers = group_transfers
        self._sales = sales
        # What is not an order's placement, cancellation or amendment, by kind.
        self._handlers: list[Callable[[Any, int, int, EventWriter], Outcome] | None] = [None] * _KIND_END
        self._handlers[_KINDS[CancelAll]] = self._cancel_all
        self._handlers[_KINDS[MassCancel]] = self._mass_cancel
        self._handlers[_KINDS[CancelAllAfter]] = self._cancel_all_after
        self._handlers[_KINDS[RequestWithdrawal]] = self._request_withdrawal
        self._handlers[_KINDS[CancelWithdrawal]] = self._cancel_withdrawal
        self._handlers[_KINDS[CreateTransfer]] = self._create_transfer
        self._handlers[_KINDS[DecideTransfer]] = self._decide_transfer
        self._handlers[_KINDS[SendTransfer]] = self._send_transfer
        self._handlers[_KINDS[SubscribeSale]] = self._subscribe

    def handles(self, kind: int) -> bool:
        if PLACE_ORDER <= kind <= AMEND_ORDER or kind in (PLACE_SPECIAL_ORDER, PLACE_OCO):
            return True
        return self._handlers[kind] is not None

    def answer(self, command: OrderCommand, sequence: int, timestamp_ns: int, emit: EventWriter) -> None:
        """Execute a request if it is new; its retries get the receipt of the first time."""
        data, start, length, receipts = command.data, command.id_start, command.id_length, self._receipts
        command.standing = self._registry.standing_of(command.account_id)
        if not id_is_valid_at(data, start, length) or not _names_fit(command):
            emit.command_rejected(rejects.MALFORMED, 0)
        elif receipt := receipts.find_hashed(command.id_hash, command.account_id, data, start, length):
            self._answer_again(receipt, command, emit)
        elif named := self._named_by(command):
            self._answer_named(named, command, emit)
        elif command.kind == PLACE_OCO and self._second_id_conflicts(command, emit):
            pass
        elif not self._use_rates(command, timestamp_ns):
            emit.command_rejected(rejects.RATE_LIMIT, 0)
        else:
            self._execute(command, sequence, timestamp_ns, emit)

    def resolve(self, command: ResolveRequest, sequence: int, timestamp_ns: int, emit: EventWriter) -> None:
        """What became of an id; if nothing did, nothing ever will (rulebook E4)."""
        account_id, request_id = command.account_id, command.request_id
        data, length = request_id, len(request_id)
        if not id_is_valid_at(data, 0, length):
            emit.command_rejected(rejects.MALFORMED, 0)
        elif receipt := self._receipts.find(account_id, data, 0, length):
            emit.request_repeated(self._receipts.sequence(receipt), self._receipts.reason(receipt))
            self._report(self._receipts.subject_id(receipt), emit)
        elif named := self._named_for_ever(account_id, data, 0, length):
            emit.request_repeated(named, rejects.ACCEPTED)
            self._report(named, emit)
        else:
            fence = self._receipts.remember(account_id, data, 0, length, _FENCE, 0, 0, sequence, timestamp_ns)
            self._receipts.settle(fence, rejects.FENCED, 0)
            emit(RequestFenced(account_id, request_id))

    def prefetch(self, command: OrderCommand) -> None:
        """This command is executed soon: hash its id, and have near what will be looked up then."""
        if command.id_length:
            data, start, length = command.data, command.id_start, command.id_length
            command.id_hash = self._receipts.hash_of(command.account_id, data, start, length)
            self._receipts.prefetch(command.id_hash)
            if command.kind in (CANCEL_ORDER, AMEND_ORDER) and command.name_length:
                start, length = command.name_start, command.name_length
                command.name_hash = self._receipts.hash_of(command.account_id, data, start, length)
                self._receipts.prefetch(command.name_hash)

    def forget_old(self, timestamp_ns: int) -> None:
        """Drop ids that are older than 24 h, a few per command; the id of an open order stays."""
        for _ in range(FORGOTTEN_PER_COMMAND_MAX):
            receipt = self._receipts.oldest_due(timestamp_ns)
            if not receipt:
                break
            order_id = self._receipts.order_id(receipt)
            order = self._trading.index.find_open(order_id)
            if order is None:
                self._trading.index.forget(order_id)
                self._receipts.forget_oldest()
            else:
                assert order.receipt == receipt, order_id
                order.receipt = self._receipts.keep_oldest(timestamp_ns)

    def _execute(self, command: OrderCommand, sequence: int, timestamp_ns: int, emit: EventWriter) -> None:
        receipts, written = self._receipts, emit.length
        command.receipt = receipts.remember_hashed(
            command.id_hash,
            command.account_id,
            command.data,
            command.id_start,
            command.id_length,
            command.kind,
            command.content_start,
            command.content_length,
            sequence,
            timestamp_ns,
        )
        subject_id = 0
        if command.kind in (PLACE_ORDER, PLACE_SPECIAL_ORDER):
            reason = self._trading.place(command, sequence, timestamp_ns, emit)
            subject_id = 0 if reason else sequence
        elif command.kind in (CANCEL_ORDER, AMEND_ORDER):
            order = self._order_named(command)
            subject_id = 0 if order is None else order.order_id
            if command.kind == CANCEL_ORDER:
                reason = self._trading.cancel(order, timestamp_ns, emit)
            else:
                reason = self._trading.amend(order, command, timestamp_ns, emit)
        elif command.kind == PLACE_OCO:
            reason = self._trading.place_oco(command, sequence, timestamp_ns, emit)
            subject_id = 0 if reason else sequence
        else:
            handler = self._handlers[command.kind]
            assert handler is not None, command.kind
            reason, subject_id = handler(command.record, sequence, timestamp_ns, emit)
        if reason:
            assert emit.length == written, "a refused command has changed something"
            emit.command_rejected(reason, 0)
        receipts.settle(command.receipt, reason, subject_id)
        if command.kind == PLACE_OCO:
            self._remember_second_leg(command, sequence, timestamp_ns, reason)

    def _order_named(self, command: OrderCommand) -> Order | None:
        account_id, start, length = command.account_id, command.name_start, command.name_length
        if command.order_id:
            return self._trading.find_order(account_id, command.order_id)
        return self._trading.find_named_order(command.name_hash, account_id, command.data, start, length)

    def _remember_second_leg(self, command: OrderCommand, sequence: int, timestamp_ns: int, reason: int) -> None:
        """The stop leg of a pair has an id of its own: the text before the request's."""
        receipt = self._receipts.remember(
            command.account_id,
            command.data,
            command.name_start,
            command.name_length,
            command.kind,
            command.content_start,
            command.content_length,
            sequence,
            timestamp_ns,
        )
        leg = None if reason else self._trading.index.find_open(sequence + SECOND_LEG)
        if leg is not None:
            leg.receipt = receipt
        self._receipts.settle(receipt, reason, 0 if leg is None else leg.order_id)

    def _answer_again(self, receipt: int, command: OrderCommand, emit: EventWriter) -> None:
        receipts = self._receipts
        sequence, reason = receipts.sequence(receipt), receipts.reason(receipt)
        data, start, length = command.data, command.content_start, command.content_length
        if reason == rejects.FENCED:
            emit.command_rejected(rejects.FENCED, sequence)
        elif not receipts.asks_the_same(receipt, command.kind, data, start, length):
            emit.command_rejected(rejects.ID_CONFLICT, sequence)
        else:
            subject_id = receipts.subject_id(receipt)
            emit.request_repeated(sequence, reason)
            self._report(subject_id, emit)
            if command.kind == PLACE_OCO and subject_id:
                self._report(subject_id + SECOND_LEG, emit)

    def _named_by(self, command: OrderCommand) -> int:
        """What the command's id names for ever. Most accounts never named anything so."""
        standing = command.standing
        if standing is None or not standing.names_references:
            return 0
        return self._named_for_ever(command.account_id, command.data, command.id_start, command.id_length)

    def _named_for_ever(self, account_id: int, data: bytes, start: int, length: int) -> int:
        """The number of the withdrawal or transfer that the account named so, however long ago; 0 if there is none."""
        name = data[start : start + length]
        number = self._withdrawals.number_of(account_id, name) or self._transfers.number_of(account_id, name)
        return number or self._group_transfers.number_of(account_id, name)

    def _answer_named(self, number: int, command: OrderCommand, emit: EventWriter) -> None:
        """A retry of a withdrawal or a transfer, or another use of its reference."""
        known: tuple[int, bool] | None = None
        if command.kind == _REQUEST_WITHDRAWAL:
            known = self._withdrawals.known_reference(command.record)
        elif command.kind == _CREATE_TRANSFER:
            known = self._transfers.known_reference(command.record)
        elif command.kind == _SEND_TRANSFER:
            known = self._group_transfers.known_reference(command.record)
        if known != (number, True):
            emit.command_rejected(rejects.ID_CONFLICT, number)
        else:
            emit.request_repeated(number, rejects.ACCEPTED)
            self._report(number, emit)

    def _second_id_conflicts(self, command: OrderCommand, emit: EventWriter) -> bool:
        """The second leg of a pair needs an id of its own that was never used."""
        account_id, start, length = command.account_id, command.name_start, command.name_length
        other = self._receipts.find(account_id, command.data, start, length)
        if other:
            fenced = self._receipts.reason(other) == rejects.FENCED
            emit.command_rejected(rejects.FENCED if fenced else rejects.ID_CONFLICT, self._receipts.sequence(other))
            return True
        named = self._named_for_ever(account_id, command.data, start, length)
        if named:
            emit.command_rejected(rejects.ID_CONFLICT, named)
        return named != 0

    def _use_rates(self, command: OrderCommand, timestamp_ns: int) -> bool:
        """Count a placement or an amendment, against the account's rate and then against the market's."""
        if command.kind not in (PLACE_ORDER, AMEND_ORDER, PLACE_SPECIAL_ORDER, PLACE_OCO):
            return True
        standing = command.standing
        if standing is not None and not self._accounts.use_rate(command.account_id, timestamp_ns):
            return False
        market_id = command.market_id
        if command.kind == AMEND_ORDER:
            order = self._order_named(command)
            market_id = 0 if order is None else order.market_id
        elif command.kind == PLACE_OCO:
            market_id = command.record.market_id
        market = self._trading.market(market_id)
        if market is None or not market.session.requests_max:
            return True
        session = market.session
        return use_rate(session, session.requests_max, session.window_ms, timestamp_ns)

    def _cancel_all(self, command: CancelAll, sequence: int, now_ns: int, emit: EventWriter) -> Outcome:
        return self._trading.cancel_many(command.account_id, command.market_id, EITHER_SIDE, now_ns, emit), 0

    def _mass_cancel(self, command: MassCancel, sequence: int, now_ns: int, emit: EventWriter) -> Outcome:
        """A trader names only itself; an operator names anybody, and is not held up by the phases of an auction."""
        asker = self._registry.account(command.account_id)
        assert asker is not None, command
        if command.side > EITHER_SIDE:
            return rejects.MALFORMED, 0
        owner_id, of_others = command.owner_account_id, command.owner_account_id != command.account_id
        if of_others and asker.role != OPERATOR:
            return rejects.NOT_ALLOWED, 0  # whether there is such an account is nobody else's business
        if self._registry.account(owner_id) is None:
            return rejects.UNKNOWN_ACCOUNT, 0
        # The exchange's own account has no orders: as an owner its number stands for everybody.
        by_operator = of_others or owner_id == EVERYONE
        market_id, side = command.market_id, command.side
        return self._trading.cancel_many(owner_id, market_id, side, now_ns, emit, by_operator=by_operator), 0

    def _cancel_all_after(self, command: CancelAllAfter, sequence: int, now_ns: int, emit: EventWriter) -> Outcome:
        return self._accounts.cancel_all_after(command, now_ns, emit), 0

    def _request_withdrawal(self, command: RequestWithdrawal, sequence: int, now_ns: int, emit: EventWriter) -> Outcome:
        reason = self._withdrawals.request(command, sequence, now_ns, emit)
        return reason, 0 if reason else sequence

    def _cancel_withdrawal(self, command: CancelWithdrawal, sequence: int, now_ns: int, emit: EventWriter) -> Outcome:
        reason = self._withdrawals.cancel(command, sequence, now_ns, emit)
        return reason, 0 if reason else command.withdrawal_id

    def _create_transfer(self, command: CreateTransfer, sequence: int, now_ns: int, emit: EventWriter) -> Outcome:
        reason = self._transfers.create(command, sequence, now_ns, emit)
        return reason, 0 if reason else sequence

    def _decide_transfer(self, command: DecideTransfer, sequence: int, now_ns: int, emit: EventWriter) -> Outcome:
        reason = self._transfers.decide(command, sequence, now_ns, emit)
        return reason, 0 if reason else command.transfer_id

    def _send_transfer(self, command: SendTransfer, sequence: int, now_ns: int, emit: EventWriter) -> Outcome:
        reason = self._group_transfers.send(command, sequence, emit)
        return reason, 0 if reason else sequence

    def _subscribe(self, command: SubscribeSale, sequence: int, now_ns: int, emit: EventWriter) -> Outcome:
        reason = self._sales.subscribe(command, sequence, now_ns, emit)
        return reason, 0 if reason else sequence

    def _report(self, subject_id: int, emit: EventWriter) -> None:
        """Tell what a receipt is about, as it stands: an order, a withdrawal, a transfer or a subscription."""
        if not subject_id:
            return
        order = self._trading.index.find(subject_id)
        if order is not None:
            for event in reported(order, self._trading.index.client_order_id(order)):
                emit(event)
            return
        desks = (self._withdrawals, self._transfers, self._group_transfers)
        for report in (*(desk.report for desk in desks), self._sales.report_subscription):
            found = report(subject_id)
            if found is not None:
                emit(found)
                return


def _names_fit(command: OrderCommand) -> bool:
    """Are the texts of a request such that its receipt can be kept?

    An order is named by number or by its client's id, not by both; the legs of a pair have different ids.
    """
    start, length = command.name_start, command.name_length
    if command.kind in (CANCEL_ORDER, AMEND_ORDER):
        return length == 0 if command.order_id else id_is_valid_at(command.data, start, length)
    if command.kind == PLACE_OCO:
        record = command.record
        return id_is_valid_at(command.data, start, length) and record.stop_client_order_id != record.client_order_id
    return command.kind != _REQUEST_WITHDRAWAL or is_valid_destination(command.record.destination)
