"""Deposits, withdrawals and transfers: money that comes, leaves or changes hands in one or two phases."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine import rejects
from engine.commands import (
    CancelWithdrawal,
    CreateTransfer,
    DecideTransfer,
    DecideWithdrawal,
    Deposit,
    RequestWithdrawal,
)
from engine.events import FundsDeposited, RequestRepeated, TransferChanged, WithdrawalChanged
from engine.types import (
    APPROVE,
    APPROVED,
    CANCELLED_BY_OWNER,
    EXPIRED,
    NS_PER_S,
    PAID,
    PAY,
    PENDING,
    POST,
    POSTED,
    REJECT,
    REJECTED,
    TRANSFER_TIMEOUT_S_MAX,
    VOIDED,
)
from tests.engine.model_world import Refused, World, is_id, whole


@dataclass
class ModelWithdrawal:
    number: int
    account: int
    asset: int
    amount: int
    destination: bytes
    reference: bytes
    came_to: dict[int, int] = field(default_factory=dict)  # each status with the sequence that brought it, in order

    @property
    def status(self) -> int:
        return list(self.came_to)[-1]

    def held(self, account: int, asset: int) -> int:
        holds = self.status in (PENDING, APPROVED)
        return self.amount if holds and (account, asset) == (self.account, self.asset) else 0

    def told(self) -> WithdrawalChanged:
        facts = (self.number, self.account, self.asset, self.amount, self.status)
        return WithdrawalChanged(*facts, self.destination, self.reference)


@dataclass
class ModelTransfer:
    number: int
    sender: int
    recipient: int
    asset: int
    amount: int
    pending: int
    timeout_s: int
    reference: bytes
    made_at_ns: int
    status: int = PENDING
    decided: int = 0

    @property
    def expires_at_ns(self) -> int:
        return self.made_at_ns + self.timeout_s * NS_PER_S if self.timeout_s else 0

    def held(self, account: int, asset: int) -> int:
        return self.amount if self.status == PENDING and (account, asset) == (self.sender, self.asset) else 0

    def told(self) -> TransferChanged:
        facts = (self.number, self.sender, self.recipient, self.asset, self.amount, self.status)
        return TransferChanged(*facts, self.expires_at_ns, self.reference)


def deposit(world: World, asked: Deposit) -> None:
    if not is_id(asked.reference):
        raise Refused(rejects.MALFORMED)
    if asked.owner_account_id not in world.accounts:
        raise Refused(rejects.UNKNOWN_ACCOUNT)
    amount = _amount(world, asked.asset_id, asked.amount_mantissa, asked.amount_scale)
    content = (asked.owner_account_id, asked.asset_id, amount)
    if asked.reference in world.deposits:
        sequence, known = world.deposits[asked.reference]
        if known != content:
            raise Refused(rejects.ID_CONFLICT, sequence)
        world.tell(RequestRepeated(sequence, rejects.ACCEPTED))
        return
    if asked.asset_id not in world.assets:
        raise Refused(rejects.UNKNOWN_ASSET)
    if not amount:
        raise Refused(rejects.AMOUNT)
    if amount + sum(units for (_, asset), units in world.totals.items() if asset == asked.asset_id) > 1 << 62:
        raise Refused(rejects.SUPPLY_TOO_LARGE)
    world.deposits[asked.reference] = (world.sequence, content)
    world.move(asked.owner_account_id, asked.asset_id, amount)
    available = world.available(asked.owner_account_id, asked.asset_id)
    world.tell(FundsDeposited(asked.owner_account_id, asked.asset_id, amount, available, asked.reference))


def request_withdrawal(world: World, asked: RequestWithdrawal) -> ModelWithdrawal:
    amount = _affordable(world, asked)
    withdrawal = ModelWithdrawal(
        world.sequence, asked.account_id, asked.asset_id, amount, asked.destination, asked.reference
    )
    world.withdrawals[withdrawal.number] = withdrawal
    _bring_to(world, withdrawal, PENDING)
    return withdrawal


def named_for_ever(world: World, account: int, reference: bytes) -> ModelWithdrawal | ModelTransfer | None:
    """What an account named so; a reference is never forgotten, and shares one space with all other ids."""
    own: list[ModelWithdrawal | ModelTransfer] = [one for one in world.withdrawals.values() if one.account == account]
    own += [one for one in world.transfers.values() if one.sender == account]
    return next((one for one in own if one.reference == reference), None)


def asks_the_same(world: World, asked: object, known: ModelWithdrawal | ModelTransfer) -> bool:
    """Amounts are compared, not how they are written."""
    if isinstance(asked, RequestWithdrawal) and isinstance(known, ModelWithdrawal):
        amount = _amount(world, asked.asset_id, asked.amount_mantissa, asked.amount_scale)
        return (asked.asset_id, amount, asked.destination) == (known.asset, known.amount, known.destination)
    if isinstance(asked, CreateTransfer) and isinstance(known, ModelTransfer):
        amount = _amount(world, asked.asset_id, asked.amount_mantissa, asked.amount_scale)
        asked_again = (asked.to_account_id, asked.asset_id, amount, asked.pending, asked.timeout_s)
        return asked_again == (known.recipient, known.asset, known.amount, known.pending, known.timeout_s)
    return False


def cancel_withdrawal(world: World, withdrawal: ModelWithdrawal) -> None:
    _decide_withdrawal(world, withdrawal, CANCELLED_BY_OWNER, (PENDING,))


def decide_withdrawal(world: World, asked: DecideWithdrawal) -> None:
    if asked.decision > PAY:
        raise Refused(rejects.MALFORMED)
    if asked.withdrawal_id not in world.withdrawals:
        raise Refused(rejects.UNKNOWN_WITHDRAWAL)
    withdrawal = world.withdrawals[asked.withdrawal_id]
    frozen_counts = world.rules_version >= 2 and asked.decision == APPROVE and APPROVED not in withdrawal.came_to
    if frozen_counts and world.accounts[withdrawal.account].frozen:
        raise Refused(rejects.ACCOUNT_FROZEN)
    status, allowed_from = {
        APPROVE: (APPROVED, (PENDING,)),
        REJECT: (REJECTED, (PENDING, APPROVED)),
        PAY: (PAID, (APPROVED,)),
    }[asked.decision]
    _decide_withdrawal(world, withdrawal, status, allowed_from)


def own_withdrawal(world: World, asked: CancelWithdrawal) -> ModelWithdrawal | None:
    found: ModelWithdrawal | None = world.withdrawals.get(asked.withdrawal_id)
    return found if found is not None and found.account == asked.account_id else None


def create_transfer(world: World, asked: CreateTransfer) -> ModelTransfer:
    to_itself = asked.to_account_id == asked.account_id
    if asked.pending > 1 or (asked.timeout_s and not asked.pending) or to_itself:
        raise Refused(rejects.MALFORMED)
    if asked.to_account_id not in world.accounts:
        raise Refused(rejects.UNKNOWN_ACCOUNT)
    amount = _affordable(world, asked)
    transfer = ModelTransfer(
        world.sequence,
        asked.account_id,
        asked.to_account_id,
        asked.asset_id,
        amount,
        asked.pending,
        asked.timeout_s,
        asked.reference,
        world.now_ns,
    )
    world.transfers[transfer.number] = transfer
    if not asked.pending:
        _post(world, transfer)
    world.tell(transfer.told())
    return transfer


def visible_transfer(world: World, asked: DecideTransfer) -> ModelTransfer | None:
    """A transfer that the asker is a party of, or any if it is an operator."""
    found: ModelTransfer | None = world.transfers.get(asked.transfer_id)
    if found is None or world.is_operator(asked.account_id):
        return found
    return found if asked.account_id in (found.sender, found.recipient) else None


def decide_transfer(world: World, transfer: ModelTransfer, asked: DecideTransfer) -> None:
    posts = asked.decision == POST
    if posts and asked.account_id == transfer.sender and not world.is_operator(asked.account_id):
        raise Refused(rejects.NOT_ALLOWED)
    if world.accounts[asked.account_id].frozen:
        raise Refused(rejects.ACCOUNT_FROZEN)
    status = POSTED if posts else VOIDED
    if transfer.status == status:
        world.tell(RequestRepeated(transfer.decided, rejects.ACCEPTED))
    elif transfer.status != PENDING:
        raise Refused(rejects.WRONG_STATE)
    elif posts:
        _post(world, transfer)
    else:
        transfer.status, transfer.decided = VOIDED, world.sequence
    world.tell(transfer.told())


def expire(world: World, transfer: ModelTransfer) -> None:
    transfer.status = EXPIRED
    world.tell(transfer.told())


def _post(world: World, transfer: ModelTransfer) -> None:
    transfer.status, transfer.decided = POSTED, world.sequence
    world.move(transfer.sender, transfer.asset, -transfer.amount)
    world.move(transfer.recipient, transfer.asset, transfer.amount)


def _decide_withdrawal(world: World, withdrawal: ModelWithdrawal, status: int, allowed_from: tuple[int, ...]) -> None:
    if status in withdrawal.came_to:
        world.tell(RequestRepeated(withdrawal.came_to[status], rejects.ACCEPTED))
        world.tell(withdrawal.told())
        return
    if withdrawal.status not in allowed_from:
        raise Refused(rejects.WRONG_STATE)
    _bring_to(world, withdrawal, status)
    if status == PAID:
        world.move(withdrawal.account, withdrawal.asset, -withdrawal.amount)


def _bring_to(world: World, withdrawal: ModelWithdrawal, status: int) -> None:
    withdrawal.came_to[status] = world.sequence
    world.tell(withdrawal.told())


def _affordable(world: World, asked: RequestWithdrawal | CreateTransfer) -> int:
    """The amount that somebody gives away, if it is there and theirs to give."""
    if asked.asset_id not in world.assets:
        raise Refused(rejects.UNKNOWN_ASSET)
    if world.accounts[asked.account_id].frozen:
        raise Refused(rejects.ACCOUNT_FROZEN)
    if isinstance(asked, CreateTransfer) and asked.timeout_s > TRANSFER_TIMEOUT_S_MAX:
        raise Refused(rejects.EXPIRY)
    amount = _amount(world, asked.asset_id, asked.amount_mantissa, asked.amount_scale)
    if not amount:
        raise Refused(rejects.AMOUNT)
    if amount > world.available(asked.account_id, asked.asset_id):
        raise Refused(rejects.NO_FUNDS)
    return amount


def _amount(world: World, asset: int, mantissa: int, scale: int) -> int:
    """In units; 0 if it is none."""
    known = world.assets.get(asset)
    return 0 if known is None else max(0, whole(mantissa, scale, known.decimals))
