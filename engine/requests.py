"""Requests with an id: each is executed once, and its retries get the receipt of the first time.

The content that a retry must equal is the request without who asks, when it was signed, and its id. References of
withdrawals and transfers are remembered for ever, all other ids for 24 h of log time (rulebook, convention 7).
Whoever asks what became of an id that was never seen fences it: a copy that arrives later is refused (row E4).
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final, TypeGuard

from engine import rejects
from engine.accounts import Accounts
from engine.codec import encode_command
from engine.commands import (
    AmendOrder,
    CancelAll,
    CancelAllAfter,
    CancelOrder,
    CancelWithdrawal,
    Command,
    CreateTransfer,
    DecideTransfer,
    MassCancel,
    PlaceOco,
    PlaceOrder,
    PlaceSpecialOrder,
    RequestWithdrawal,
    ResolveRequest,
    SubscribeSale,
)
from engine.dedup import Receipt, Receipts, is_valid_id
from engine.events import CommandRejected, Emit, Event, RequestFenced, RequestRepeated
from engine.order_reports import reported
from engine.rate import use_rate
from engine.registry import Registry
from engine.sale import Sales
from engine.trading import Trading
from engine.transfers import Transfers
from engine.types import (
    EITHER_SIDE,
    EVERYONE,
    FORGOTTEN_PER_COMMAND_MAX,
    OPEN,
    OPERATOR,
    SECOND_LEG,
    WAITING,
)
from engine.withdrawals import Withdrawals, is_valid_destination

Request = (
    PlaceOrder
    | PlaceSpecialOrder
    | PlaceOco
    | CancelOrder
    | AmendOrder
    | CancelAll
    | MassCancel
    | CancelAllAfter
    | RequestWithdrawal
    | CancelWithdrawal
    | CreateTransfer
    | DecideTransfer
    | SubscribeSale
)
Outcome = tuple[int, int]  # the reason, and the number of what the request was about (0 if nothing)

_RATED: Final = frozenset((PlaceOrder, AmendOrder, PlaceSpecialOrder, PlaceOco))
_PLACE_CONTENT: Final = Struct("<IBBBBBqBqB")
_CANCEL_CONTENT: Final = Struct("<Q")


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
        sales: Sales,
    ) -> None:
        self._registry = registry
        self._receipts = receipts
        self._trading = trading
        self._accounts = accounts
        self._withdrawals = withdrawals
        self._transfers = transfers
        self._sales = sales
        self._handlers: dict[type[Request], Callable[..., Outcome]] = {
            PlaceOrder: self._place,
            PlaceSpecialOrder: self._place,
            PlaceOco: self._place_oco,
            CancelOrder: self._cancel,
            AmendOrder: self._amend,
            CancelAll: self._cancel_all,
            MassCancel: self._mass_cancel,
            CancelAllAfter: self._cancel_all_after,
            RequestWithdrawal: self._request_withdrawal,
            CancelWithdrawal: self._cancel_withdrawal,
            CreateTransfer: self._create_transfer,
            DecideTransfer: self._decide_transfer,
            SubscribeSale: self._subscribe,
        }

    def handles(self, command: Command) -> TypeGuard[Request]:
        return type(command) in self._handlers

    def answer(self, command: Request, sequence: int, timestamp_ns: int) -> list[Event]:
        """Execute a request if it is new; its retries get the receipt of the first time."""
        request_id = command[-1]
        assert isinstance(request_id, bytes)
        if not is_valid_id(request_id) or not _names_fit(command):
            return [CommandRejected(rejects.MALFORMED, 0)]
        content = _content_of(command)
        receipt = self._receipts.find(command.account_id, request_id)
        if receipt is not None:
            events = self._answer_again(receipt, content)
            if isinstance(command, PlaceOco) and isinstance(events[0], RequestRepeated) and receipt.subject_id:
                events += self._report(receipt.subject_id + SECOND_LEG)
            return events
        named = self._named_for_ever(command.account_id, request_id)
        if named:
            if not self._asks_the_same(command, named):
                return [CommandRejected(rejects.ID_CONFLICT, named)]
            return [RequestRepeated(named, rejects.ACCEPTED), *self._report(named)]
        kind = type(command)
        if isinstance(command, PlaceOco):
            conflict = self._conflict_of_second_id(command)
            if conflict is not None:
                return [conflict]
        if kind in _RATED and not self._use_rates(command, timestamp_ns):
            return [CommandRejected(rejects.RATE_LIMIT, 0)]
        events = []
        reason, subject_id = self._handlers[kind](command, sequence, timestamp_ns, events.append)
        if reason:
            assert not events, "a refused command has changed something"
            events.append(CommandRejected(reason, 0))
        account_id = command.account_id
        self._receipts.remember(Receipt(account_id, request_id, content, sequence, reason, subject_id, timestamp_ns))
        if isinstance(command, PlaceOco):
            second_id, leg_id = command.stop_client_order_id, subject_id + SECOND_LEG if subject_id else 0
            self._receipts.remember(Receipt(account_id, second_id, content, sequence, reason, leg_id, timestamp_ns))
        return events

    def resolve(self, command: ResolveRequest, sequence: int, timestamp_ns: int) -> list[Event]:
        """What became of an id; if nothing did, nothing ever will (rulebook E4)."""
        account_id, request_id = command.account_id, command.request_id
        if not is_valid_id(request_id):
            return [CommandRejected(rejects.MALFORMED, 0)]
        receipt = self._receipts.find(account_id, request_id)
        if receipt is not None:
            return [RequestRepeated(receipt.sequence, receipt.reason), *self._report(receipt.subject_id)]
        named = self._named_for_ever(account_id, request_id)
        if named:
            return [RequestRepeated(named, rejects.ACCEPTED), *self._report(named)]
        fence = Receipt(account_id, request_id, b"", sequence, rejects.FENCED, 0, timestamp_ns)
        self._receipts.remember(fence)
        return [RequestFenced(account_id, request_id)]

    def forget_old(self, timestamp_ns: int) -> None:
        """Drop ids that are older than 24 h, a few per command; the id of an open order stays."""
        orders = self._trading.orders
        for _ in range(FORGOTTEN_PER_COMMAND_MAX):
            receipt = self._receipts.next_to_forget(timestamp_ns)
            if receipt is None:
                return
            order = orders.get(receipt.subject_id)
            placed = order is not None and order.client_order_id == receipt.request_id
            if order is not None and placed and order.status in (OPEN, WAITING):
                self._receipts.keep_oldest(timestamp_ns)
                continue
            if order is not None and placed:
                del orders[order.order_id]
            self._receipts.forget_oldest()

    def _answer_again(self, receipt: Receipt, content: bytes) -> list[Event]:
        if receipt.reason == rejects.FENCED:
            return [CommandRejected(rejects.FENCED, receipt.sequence)]
        if receipt.content != content:
            return [CommandRejected(rejects.ID_CONFLICT, receipt.sequence)]
        return [RequestRepeated(receipt.sequence, receipt.reason), *self._report(receipt.subject_id)]

    def _named_for_ever(self, account_id: int, request_id: bytes) -> int:
        """The number of the withdrawal or transfer that the account named so, however long ago; 0 if there is none."""
        return self._withdrawals.number_of(account_id, request_id) or self._transfers.number_of(account_id, request_id)

    def _asks_the_same(self, command: Request, number: int) -> bool:
        known: tuple[int, bool] | None = None
        if isinstance(command, RequestWithdrawal):
            known = self._withdrawals.known_reference(command)
        elif isinstance(command, CreateTransfer):
            known = self._transfers.known_reference(command)
        return known == (number, True)

    def _conflict_of_second_id(self, command: PlaceOco) -> CommandRejected | None:
        """The second leg of a pair needs an id of its own that was never used."""
        other = self._receipts.find(command.account_id, command.stop_client_order_id)
        if other is not None:
            reason = rejects.FENCED if other.reason == rejects.FENCED else rejects.ID_CONFLICT
            return CommandRejected(reason, other.sequence)
        named = self._named_for_ever(command.account_id, command.stop_client_order_id)
        return CommandRejected(rejects.ID_CONFLICT, named) if named else None

    def _use_rates(self, command: Request, timestamp_ns: int) -> bool:
        """Count a placement or an amendment, against the account's rate and then against the market's."""
        if not self._accounts.use_rate(command.account_id, timestamp_ns):
            return False
        if isinstance(command, AmendOrder):
            order = self._trading.find_order(command.account_id, command.order_id, command.client_order_id)
            market_id = 0 if order is None else order.market_id
        else:
            market_id = command[2]
        market = self._trading.markets.get(market_id)
        if market is None or not market.session.requests_max:
            return True
        session = market.session
        return use_rate(session, session.requests_max, session.window_ms, timestamp_ns)

    def _place(self, command: PlaceOrder | PlaceSpecialOrder, sequence: int, now_ns: int, emit: Emit) -> Outcome:
        reason = self._trading.place(command, sequence, now_ns, emit)
        return reason, 0 if reason else sequence

    def _place_oco(self, command: PlaceOco, sequence: int, now_ns: int, emit: Emit) -> Outcome:
        reason = self._trading.place_oco(command, sequence, now_ns, emit)
        return reason, 0 if reason else sequence

    def _cancel(self, command: CancelOrder, sequence: int, now_ns: int, emit: Emit) -> Outcome:
        order = self._trading.find_order(command.account_id, command.order_id, command.client_order_id)
        return self._trading.cancel(order, now_ns, emit), 0 if order is None else order.order_id

    def _amend(self, command: AmendOrder, sequence: int, now_ns: int, emit: Emit) -> Outcome:
        order = self._trading.find_order(command.account_id, command.order_id, command.client_order_id)
        return self._trading.amend(order, command, now_ns, emit), 0 if order is None else order.order_id

    def _cancel_all(self, command: CancelAll, sequence: int, now_ns: int, emit: Emit) -> Outcome:
        return self._trading.cancel_many(command.account_id, command.market_id, EITHER_SIDE, now_ns, emit), 0

    def _mass_cancel(self, command: MassCancel, sequence: int, now_ns: int, emit: Emit) -> Outcome:
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

    def _cancel_all_after(self, command: CancelAllAfter, sequence: int, now_ns: int, emit: Emit) -> Outcome:
        return self._accounts.cancel_all_after(command, now_ns, emit), 0

    def _request_withdrawal(self, command: RequestWithdrawal, sequence: int, now_ns: int, emit: Emit) -> Outcome:
        reason = self._withdrawals.request(command, sequence, now_ns, emit)
        return reason, 0 if reason else sequence

    def _cancel_withdrawal(self, command: CancelWithdrawal, sequence: int, now_ns: int, emit: Emit) -> Outcome:
        reason = self._withdrawals.cancel(command, sequence, now_ns, emit)
        return reason, 0 if reason else command.withdrawal_id

    def _create_transfer(self, command: CreateTransfer, sequence: int, now_ns: int, emit: Emit) -> Outcome:
        reason = self._transfers.create(command, sequence, now_ns, emit)
        return reason, 0 if reason else sequence

    def _decide_transfer(self, command: DecideTransfer, sequence: int, now_ns: int, emit: Emit) -> Outcome:
        reason = self._transfers.decide(command, sequence, now_ns, emit)
        return reason, 0 if reason else command.transfer_id

    def _subscribe(self, command: SubscribeSale, sequence: int, now_ns: int, emit: Emit) -> Outcome:
        reason = self._sales.subscribe(command, sequence, now_ns, emit)
        return reason, 0 if reason else sequence

    def _report(self, subject_id: int) -> list[Event]:
        """What a receipt is about, as it stands: an order, a withdrawal, a transfer or a subscription."""
        if not subject_id:
            return []
        order = self._trading.orders.get(subject_id)
        if order is not None:
            return reported(order)
        for report in (self._withdrawals.report, self._transfers.report, self._sales.report_subscription):
            event = report(subject_id)
            if event is not None:
                return [event]
        return []


def _content_of(command: Request) -> bytes:
    """What a request asks, as bytes that a retry must equal. The commonest kinds have a quicker way."""
    kind = type(command)
    if kind is PlaceOrder:
        return b"P" + _PLACE_CONTENT.pack(*command[2:-1])
    if kind is CancelOrder:
        return b"C" + _CANCEL_CONTENT.pack(command[2]) + command[3]  # type: ignore[operator]
    return encode_command(kind(0, 0, *command[2:-1], b""))  # type: ignore[call-arg]


def _names_fit(command: Request) -> bool:
    """Are the texts of a request such that its receipt can be kept?

    An order is named by number or by its client's id, not by both; the legs of a pair have different ids.
    """
    kind = type(command)
    if kind is PlaceOrder:
        return True
    if isinstance(command, CancelOrder | AmendOrder):
        return command.client_order_id == b"" if command.order_id else is_valid_id(command.client_order_id)
    if isinstance(command, PlaceOco):
        second_id = command.stop_client_order_id
        return is_valid_id(second_id) and second_id != command.client_order_id
    return not isinstance(command, RequestWithdrawal) or is_valid_destination(command.destination)
