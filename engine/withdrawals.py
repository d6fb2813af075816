"""Withdrawals: funds leave in two phases, and never twice.

Asking holds the amount; an operator approves and then says that it was paid, or rejects; until it is approved the
owner may take it back. Only ``PAID`` takes money out of the exchange (rulebook row D7). What may follow what is one
table, below. A decision that was made once is a repeat for ever, whatever came after it, so whoever retries one whose
outcome is unknown never reads a refusal.

Since version 2 of the rules (``engine.rules``) nothing is approved while its account is frozen.

A withdrawal is named by the account's reference for ever (convention 7), so none is ever dropped. A reference whose
request was refused named nothing: it is free again when its receipt is forgotten, as with deposits (row D6).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from struct import Struct
from typing import Final

from engine import rejects
from engine.amounts import to_units
from engine.commands import CancelWithdrawal, DecideWithdrawal, RequestWithdrawal
from engine.event_writer import EventWriter
from engine.events import RequestRepeated, WithdrawalChanged
from engine.ledger import Ledger
from engine.registry import Registry
from engine.rules import FROZEN_ACCOUNTS_ARE_NOT_PAID, Rules
from engine.types import (
    APPROVE,
    APPROVED,
    CANCELLED_BY_OWNER,
    DESTINATION_LENGTH_MAX,
    EXCHANGE_ACCOUNT,
    PAID,
    PAY,
    PENDING,
    REJECTED,
)

Row = tuple[tuple[int, ...], tuple[bytes, ...]]

# The numbers of a row of the snapshot, in the order of ``rows``; two texts follow.
WITHDRAWAL_ROW: Final = Struct("<QQIqBQQ")

_STATUS_AFTER: Final = (APPROVED, REJECTED, PAID)  # by decision
# What each status may come from. What is rejected, paid or cancelled stays so.
_COMES_FROM: Final = {
    APPROVED: (PENDING,),
    REJECTED: (PENDING, APPROVED),
    PAID: (APPROVED,),
    CANCELLED_BY_OWNER: (PENDING,),
}
_HOLDS: Final = (PENDING, APPROVED)
_DESTINATION_CHARACTERS: Final = bytes(range(32, 127))


def is_valid_destination(text: bytes) -> bool:
    """At most 128 printable ASCII characters, spaces included; what they mean is the operator's business."""
    return len(text) <= DESTINATION_LENGTH_MAX and not text.translate(None, _DESTINATION_CHARACTERS)


class Withdrawal:
    """``withdrawal_id`` is the sequence of the request.

    ``approved_sequence`` and ``ended_sequence`` are those of the commands that approved it, and that paid, rejected or
    cancelled it; 0 if none did.
    """

    __slots__ = (
        "account_id",
        "amount_units",
        "approved_sequence",
        "asset_id",
        "destination",
        "ended_sequence",
        "reference",
        "status",
        "withdrawal_id",
    )

    def __init__(
        self,
        withdrawal_id: int,
        account_id: int,
        asset_id: int,
        amount_units: int,
        destination: bytes,
        reference: bytes,
    ) -> None:
        self.withdrawal_id = withdrawal_id
        self.account_id = account_id
        self.asset_id = asset_id
        self.amount_units = amount_units
        self.destination = destination
        self.reference = reference
        self.status = PENDING
        self.approved_sequence = 0
        self.ended_sequence = 0

    def reached_at(self, status: int) -> int:
        """The sequence of the command that brought it to this status; 0 if none did."""
        if status == APPROVED:
            return self.approved_sequence
        return self.ended_sequence if self.status == status else 0


class Withdrawals:
    """Owns all withdrawals, those that ended too. The machine lets only operators decide."""

    def __init__(self, registry: Registry, ledger: Ledger, rules: Rules) -> None:
        self._rules = rules
        self._registry = registry
        self._ledger = ledger
        self._withdrawals: dict[int, Withdrawal] = {}
        self._by_reference: list[dict[bytes, Withdrawal] | None] = []  # by account id; None where it never named one

    def request(self, command: RequestWithdrawal, sequence: int, timestamp_ns: int, emit: EventWriter) -> int:
        destination = command.destination
        if not is_valid_destination(destination):
            return rejects.MALFORMED
        asset = self._registry.asset(command.asset_id)
        if asset is None:
            return rejects.UNKNOWN_ASSET
        # Earlier fills may have left the exchange owing rebates, so its fees stay, as they do in trading.
        if command.account_id == EXCHANGE_ACCOUNT:
            return rejects.NOT_ALLOWED
        if self._registry.is_frozen(command.account_id):
            return rejects.ACCOUNT_FROZEN
        amount_units = to_units(command.amount_mantissa, command.amount_scale, asset.decimals)
        if amount_units <= 0:
            return rejects.AMOUNT
        if self._ledger.available_units(command.account_id, asset.asset_id) < amount_units:
            return rejects.NO_FUNDS

        withdrawal = Withdrawal(
            sequence, command.account_id, asset.asset_id, amount_units, destination, command.reference
        )
        self._add(withdrawal)
        self._ledger.hold(withdrawal.account_id, withdrawal.asset_id, amount_units)
        emit(_changed(withdrawal))
        return rejects.ACCEPTED

    def cancel(self, command: CancelWithdrawal, sequence: int, timestamp_ns: int, emit: EventWriter) -> int:
        """The owner's, who may be frozen: cancelling is never refused for that. Others' withdrawals are not found."""
        withdrawal = self._withdrawals.get(command.withdrawal_id)
        if withdrawal is None or withdrawal.account_id != command.account_id:
            return rejects.UNKNOWN_WITHDRAWAL
        return self._change(withdrawal, CANCELLED_BY_OWNER, sequence, emit)

    def decide(self, command: DecideWithdrawal, sequence: int, timestamp_ns: int, emit: EventWriter) -> int:
        if command.decision > PAY:
            return rejects.MALFORMED
        withdrawal = self._withdrawals.get(command.withdrawal_id)
        if withdrawal is None:
            return rejects.UNKNOWN_WITHDRAWAL
        if command.decision == APPROVE and not withdrawal.approved_sequence and self._is_stopped(withdrawal):
            return rejects.ACCOUNT_FROZEN
        return self._change(withdrawal, _STATUS_AFTER[command.decision], sequence, emit)

    def known_reference(self, command: RequestWithdrawal) -> tuple[int, bool] | None:
        """Which request used this reference first, and whether it asked for the same; None if none did.

        Amounts are compared, not how they are written.
        """
        withdrawal = self._find(command.account_id, command.reference)
        if withdrawal is None:
            return None
        asset = self._registry.asset(command.asset_id)
        amount_units = -1 if asset is None else to_units(command.amount_mantissa, command.amount_scale, asset.decimals)
        asked = (command.asset_id, amount_units, command.destination)
        same = asked == (withdrawal.asset_id, withdrawal.amount_units, withdrawal.destination)
        return withdrawal.withdrawal_id, same

    def has_references(self, account_id: int) -> bool:
        """Has the account ever named a withdrawal? Most never do: asked before each of its references is looked up."""
        return account_id < len(self._by_reference) and self._by_reference[account_id] is not None

    def number_of(self, account_id: int, reference: bytes) -> int:
        """The number of the account's withdrawal of this reference; 0 if there is none."""
        withdrawal = self._find(account_id, reference)
        return 0 if withdrawal is None else withdrawal.withdrawal_id

    def report(self, withdrawal_id: int) -> WithdrawalChanged | None:
        """The withdrawal as it stands."""
        withdrawal = self._withdrawals.get(withdrawal_id)
        return None if withdrawal is None else _changed(withdrawal)

    def holds(self) -> Iterator[tuple[int, int, int]]:
        """What each undecided or unpaid withdrawal holds, as (account_id, asset_id, units)."""
        for withdrawal in self._withdrawals.values():
            if withdrawal.status in _HOLDS:
                yield withdrawal.account_id, withdrawal.asset_id, withdrawal.amount_units

    def paid_units(self) -> dict[int, int]:
        """What went out of the exchange, by asset: the supply is what was deposited less this."""
        paid: dict[int, int] = {}
        for withdrawal in self._withdrawals.values():
            if withdrawal.status == PAID:
                paid[withdrawal.asset_id] = paid.get(withdrawal.asset_id, 0) + withdrawal.amount_units
        return paid

    def listed(self, account_id: int, status: int, after_id: int) -> Iterator[WithdrawalChanged]:
        """Those of an account (0: all) in a status (-1: any) with numbers above ``after_id``, by number."""
        for withdrawal in self._withdrawals.values():
            if (
                withdrawal.withdrawal_id > after_id
                and account_id in (0, withdrawal.account_id)
                and status in (-1, withdrawal.status)
            ):
                yield _changed(withdrawal)

    def rows(self) -> list[Row]:
        """All withdrawals by ascending number, as :data:`WITHDRAWAL_ROW` and the texts destination, reference."""
        return [
            (
                (
                    withdrawal.withdrawal_id,
                    withdrawal.account_id,
                    withdrawal.asset_id,
                    withdrawal.amount_units,
                    withdrawal.status,
                    withdrawal.approved_sequence,
                    withdrawal.ended_sequence,
                ),
                (withdrawal.destination, withdrawal.reference),
            )
            for _, withdrawal in sorted(self._withdrawals.items())
        ]

    def restore(self, rows: Iterable[Row]) -> None:
        """Fill an empty desk; what the rows hold is held in the ledger already."""
        for (number, account_id, asset_id, amount_units, status, approved, ended), (destination, reference) in rows:
            withdrawal = Withdrawal(number, account_id, asset_id, amount_units, destination, reference)
            withdrawal.status = status
            withdrawal.approved_sequence = approved
            withdrawal.ended_sequence = ended
            self._add(withdrawal)

    def _is_stopped(self, withdrawal: Withdrawal) -> bool:
        # What was approved before may be on its way already: that it was paid must stand in the log.
        since = FROZEN_ACCOUNTS_ARE_NOT_PAID
        return self._rules.version >= since and self._registry.is_frozen(withdrawal.account_id)

    def _change(self, withdrawal: Withdrawal, status: int, sequence: int, emit: EventWriter) -> int:
        first_sequence = withdrawal.reached_at(status)
        if first_sequence:
            emit(RequestRepeated(first_sequence, rejects.ACCEPTED))
            emit(_changed(withdrawal))
            return rejects.ACCEPTED
        if withdrawal.status not in _COMES_FROM[status]:
            return rejects.WRONG_STATE

        withdrawal.status = status
        if status == APPROVED:
            withdrawal.approved_sequence = sequence
        else:
            withdrawal.ended_sequence = sequence
            if status == PAID:
                self._ledger.withdraw_held(withdrawal.account_id, withdrawal.asset_id, withdrawal.amount_units)
            else:
                self._ledger.hold(withdrawal.account_id, withdrawal.asset_id, -withdrawal.amount_units)
        emit(_changed(withdrawal))
        return rejects.ACCEPTED

    def _find(self, account_id: int, reference: bytes) -> Withdrawal | None:
        named = self._by_reference[account_id] if self.has_references(account_id) else None
        return None if named is None else named.get(reference)

    def _add(self, withdrawal: Withdrawal) -> None:
        account_id, reference = withdrawal.account_id, withdrawal.reference
        assert self._find(account_id, reference) is None, ("a reference names two withdrawals", account_id, reference)
        assert withdrawal.withdrawal_id not in self._withdrawals, withdrawal.withdrawal_id
        self._withdrawals[withdrawal.withdrawal_id] = withdrawal
        if not self.has_references(account_id):
            self._by_reference.extend([None] * (account_id + 1 - len(self._by_reference)))
            self._by_reference[account_id] = {}
            self._registry.standing(account_id).names_references = 1
        named = self._by_reference[account_id]
        assert named is not None
        named[reference] = withdrawal


def _changed(withdrawal: Withdrawal) -> WithdrawalChanged:
    return WithdrawalChanged(
        withdrawal_id=withdrawal.withdrawal_id,
        account_id=withdrawal.account_id,
        asset_id=withdrawal.asset_id,
        amount_units=withdrawal.amount_units,
        status=withdrawal.status,
        destination=withdrawal.destination,
        reference=withdrawal.reference,
    )
