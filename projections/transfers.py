"""Deposits, withdrawals and transfers: one row each with its state, and the money that they move in the ledger.

Each is numbered by the sequence of the command that made it. An event that tells one again as it stands, to whoever
repeats a request about it, never comes here (``projections.group_fold``).
"""

from __future__ import annotations

from collections.abc import Iterable

from engine.events import (
    FundsDeposited,
    SentTransferChanged,
    TransferChanged,
    TransferReceived,
    WithdrawalChanged,
)
from engine.types import APPROVED, CANCELLED_BY_OWNER, EXPIRED, PAID, PENDING, POSTED, REJECTED, VOIDED
from projections.kinds import (
    DEPOSIT,
    LINE_DEPOSIT,
    LINE_GROUP_TRANSFER,
    LINE_TRANSFER,
    LINE_WITHDRAWAL,
    NOBODY,
    RECEIVED_FROM_GROUP,
    SENT_TO_GROUP,
    TRANSFER,
    WITHDRAWAL,
)
from projections.ledger import Ledger
from projections.moment import EventsDisagree, Moment
from projections.rows import TransferRow


class Transfers:
    """Owns those that are not decided yet."""

    def __init__(self, moment: Moment, ledger: Ledger) -> None:
        self._moment = moment
        self._ledger = ledger
        self._undecided: dict[int, TransferRow] = {}
        self._changed: dict[int, TransferRow] = {}

    def restore(self, rows: Iterable[TransferRow]) -> None:
        self._undecided = {row.transfer_id: row for row in rows}

    def on_deposit(self, event: FundsDeposited) -> None:
        number = self._moment.sequence
        self._ledger.move(
            event.account_id,
            event.asset_id,
            available=event.amount_units,
            held=0,
            kind=LINE_DEPOSIT,
            reference_id=number,
        )
        available_units, _ = self._ledger.units(event.account_id, event.asset_id)
        if available_units != event.available_units:
            raise EventsDisagree(
                f"{self._moment}: account {event.account_id} has {event.available_units} units of asset "
                f"{event.asset_id} available by the event, and {available_units} by those before it"
            )
        self._add(DEPOSIT, event.account_id, event.asset_id, event.amount_units, POSTED, event.reference)

    def on_withdrawal(self, event: WithdrawalChanged) -> None:
        account_id, asset_id, units = event.account_id, event.asset_id, event.amount_units
        number = event.withdrawal_id
        if number == self._moment.sequence:
            self._expect(event.status, PENDING)
            self._ledger.hold(account_id, asset_id, units, LINE_WITHDRAWAL, number)
            row = self._add(WITHDRAWAL, account_id, asset_id, units, PENDING, event.reference)
            self._keep(row._replace(destination=event.destination.decode()), is_decided=False)
            return
        self._expect(event.status, APPROVED, PAID, REJECTED, CANCELLED_BY_OWNER)
        if event.status == PAID:
            self._ledger.move(account_id, asset_id, available=0, held=-units, kind=LINE_WITHDRAWAL, reference_id=number)
        elif event.status != APPROVED:
            self._ledger.hold(account_id, asset_id, -units, LINE_WITHDRAWAL, number)
        self._decide(number, event.status, is_decided=event.status != APPROVED)

    def on_transfer(self, event: TransferChanged) -> None:
        number, units = event.transfer_id, event.amount_units
        sender, recipient, asset_id = event.from_account_id, event.to_account_id, event.asset_id
        is_new = number == self._moment.sequence
        if is_new:
            row = self._add(TRANSFER, sender, asset_id, units, event.status, event.reference)
            row = row._replace(to_account_id=recipient, expires_at_ns=event.expires_at_ns)
            self._keep(row, is_decided=event.status != PENDING)
        else:
            self._decide(number, event.status)
        if event.status == PENDING:
            self._ledger.hold(sender, asset_id, units, LINE_TRANSFER, number)
        elif event.status == POSTED:
            available, held = (-units, 0) if is_new else (0, -units)
            self._ledger.move(
                sender,
                asset_id,
                available=available,
                held=held,
                kind=LINE_TRANSFER,
                reference_id=number,
                other=recipient,
            )
            self._ledger.move(
                recipient,
                asset_id,
                available=units,
                held=0,
                kind=LINE_TRANSFER,
                reference_id=number,
                other=sender,
            )
        else:
            self._expect(event.status, VOIDED, EXPIRED)
            self._ledger.hold(sender, asset_id, -units, LINE_TRANSFER, number)

    def on_sent(self, event: SentTransferChanged) -> None:
        """What goes to another group is nobody's from when it is sent until it is settled."""
        number, units = event.transfer_id, event.amount_units
        if number == self._moment.sequence:
            self._expect(event.status, PENDING)
            self._move_between_groups(event.account_id, event.asset_id, -units, number)
            row = self._add(SENT_TO_GROUP, event.account_id, event.asset_id, units, PENDING, event.reference)
            self._keep(row._replace(other_group=event.to_group.decode()), is_decided=False)
            return
        self._expect(event.status, POSTED, VOIDED)
        if event.status == VOIDED:
            self._move_between_groups(event.account_id, event.asset_id, units, number)
        self._decide(number, event.status, refusal=event.refusal)

    def on_received(self, event: TransferReceived) -> None:
        number = self._moment.sequence
        account_id = NOBODY if event.refusal else event.account_id
        if not event.refusal:
            self._move_between_groups(account_id, event.asset_id, event.amount_units, number)
        status = VOIDED if event.refusal else POSTED
        row = self._add(RECEIVED_FROM_GROUP, account_id, event.asset_id, event.amount_units, status, event.reference)
        self._keep(
            row._replace(
                refusal=event.refusal, other_group=event.from_group.decode(), other_transfer_id=event.transfer_id
            ),
            is_decided=True,
        )

    def take(self) -> list[TransferRow]:
        """The rows that changed since the last call."""
        rows = list(self._changed.values())
        self._changed = {}
        return rows

    def _move_between_groups(self, account_id: int, asset_id: int, units: int, number: int) -> None:
        self._ledger.move(account_id, asset_id, available=units, held=0, kind=LINE_GROUP_TRANSFER, reference_id=number)

    def _add(
        self, kind: int, account_id: int, asset_id: int, amount_units: int, status: int, reference: bytes
    ) -> TransferRow:
        moment = self._moment
        row = TransferRow(
            group_id=moment.group_id,
            transfer_id=moment.sequence,
            kind=kind,
            account_id=account_id,
            to_account_id=NOBODY,
            asset_id=asset_id,
            amount_units=amount_units,
            status=status,
            refusal=0,
            expires_at_ns=0,
            reference=reference.decode(),
            destination="",
            other_group="",
            other_transfer_id=0,
            created_at_ns=moment.timestamp_ns,
            updated_sequence=moment.sequence,
            updated_index=moment.event_index,
            updated_at_ns=moment.timestamp_ns,
        )
        self._changed[row.transfer_id] = row
        return row

    def _decide(self, number: int, status: int, *, refusal: int = 0, is_decided: bool = True) -> None:
        row = self._undecided.pop(number, None)
        if row is None:
            raise EventsDisagree(f"{self._moment}: {number} is no transfer or withdrawal that waits for a decision")
        moment = self._moment
        row = row._replace(
            status=status,
            refusal=refusal,
            updated_sequence=moment.sequence,
            updated_index=moment.event_index,
            updated_at_ns=moment.timestamp_ns,
        )
        self._keep(row, is_decided=is_decided)

    def _keep(self, row: TransferRow, *, is_decided: bool) -> None:
        self._changed[row.transfer_id] = row
        if not is_decided:
            self._undecided[row.transfer_id] = row

    def _expect(self, status: int, *allowed: int) -> None:
        if status not in allowed:
            raise EventsDisagree(f"{self._moment}: a transfer or withdrawal cannot have status {status} here")
