"""Transfers: money from one account to another, at once or in two phases.

A pending transfer is held on its sender until it is posted or voided, or its time is over (two-phase transfers:
TigerBeetle; the states beside rulebook row D7). Whoever is no party of a transfer and no operator cannot find it.
Freezing binds who asks, not whose money moves: a frozen account can neither make nor decide a transfer, but it can
receive one, and an operator may post or void for it.

A transfer is named by its sender's reference for ever (convention 7), so none is ever dropped. A reference whose
request was refused named nothing: it is free again when its receipt is forgotten, as with deposits (row D6).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from struct import Struct
from typing import Final

from engine import rejects
from engine.amounts import to_units
from engine.commands import CreateTransfer, DecideTransfer
from engine.event_writer import EventWriter
from engine.events import RequestRepeated, TransferChanged
from engine.ledger import Ledger
from engine.registry import Registry
from engine.timers import NEVER, TRANSFER_EXPIRES, Timers
from engine.types import (
    EXCHANGE_ACCOUNT,
    EXPIRED,
    NS_PER_S,
    OPERATOR,
    PENDING,
    POST,
    POSTED,
    TRANSFER_TIMEOUT_S_MAX,
    VOID,
    VOIDED,
)

Row = tuple[tuple[int, ...], tuple[bytes, ...]]

# The numbers of a row of the snapshot, in the order of ``rows``; one text follows.
TRANSFER_ROW: Final = Struct("<QQQIqBIBqQ")

_STATUS_AFTER: Final = (POSTED, VOIDED)  # by decision


class Transfer:
    """``transfer_id`` is the sequence of the command that made it.

    ``pending`` and ``timeout_s`` are as they were asked; ``expires_at_ns`` is 0 if no time ends it.
    ``decided_sequence`` is that of the command that posted or voided it: its own number if it moved at once, 0 if
    none did.
    """

    __slots__ = (
        "amount_units",
        "asset_id",
        "decided_sequence",
        "expires_at_ns",
        "from_account_id",
        "pending",
        "reference",
        "status",
        "timeout_s",
        "to_account_id",
        "transfer_id",
    )

    def __init__(
        self,
        transfer_id: int,
        from_account_id: int,
        to_account_id: int,
        asset_id: int,
        amount_units: int,
        pending: int,
        timeout_s: int,
        reference: bytes,
    ) -> None:
        self.transfer_id = transfer_id
        self.from_account_id = from_account_id
        self.to_account_id = to_account_id
        self.asset_id = asset_id
        self.amount_units = amount_units
        self.pending = pending
        self.timeout_s = timeout_s
        self.reference = reference
        self.status = PENDING
        self.expires_at_ns = NEVER
        self.decided_sequence = 0


class Transfers:
    """Owns all transfers, those that ended too."""

    def __init__(self, registry: Registry, ledger: Ledger, timers: Timers) -> None:
        self._registry = registry
        self._ledger = ledger
        self._timers = timers
        self._transfers: dict[int, Transfer] = {}
        self._by_reference: list[dict[bytes, Transfer] | None] = []  # by account id; None where it never named one

    def create(self, command: CreateTransfer, sequence: int, timestamp_ns: int, emit: EventWriter) -> int:
        sender = command.account_id
        if command.pending > 1 or (command.timeout_s and not command.pending) or command.to_account_id == sender:
            return rejects.MALFORMED
        if self._registry.account(command.to_account_id) is None:
            return rejects.UNKNOWN_ACCOUNT
        asset = self._registry.asset(command.asset_id)
        if asset is None:
            return rejects.UNKNOWN_ASSET
        # Earlier fills may have left the exchange owing rebates, so its fees stay, as they do in trading.
        if sender == EXCHANGE_ACCOUNT:
            return rejects.NOT_ALLOWED
        if self._registry.is_frozen(sender):
            return rejects.ACCOUNT_FROZEN
        if command.timeout_s > TRANSFER_TIMEOUT_S_MAX:
            return rejects.EXPIRY
        amount_units = to_units(command.amount_mantissa, command.amount_scale, asset.decimals)
        if amount_units <= 0:
            return rejects.AMOUNT
        if self._ledger.available_units(sender, asset.asset_id) < amount_units:
            return rejects.NO_FUNDS

        transfer = Transfer(
            transfer_id=sequence,
            from_account_id=sender,
            to_account_id=command.to_account_id,
            asset_id=asset.asset_id,
            amount_units=amount_units,
            pending=command.pending,
            timeout_s=command.timeout_s,
            reference=command.reference,
        )
        if transfer.timeout_s:
            transfer.expires_at_ns = timestamp_ns + transfer.timeout_s * NS_PER_S
        self._add(transfer)
        self._ledger.hold(sender, transfer.asset_id, amount_units)
        if not transfer.pending:
            self._end(transfer, POSTED, sequence)
        emit(_changed(transfer))
        return rejects.ACCEPTED

    def decide(self, command: DecideTransfer, sequence: int, timestamp_ns: int, emit: EventWriter) -> int:
        """Post or void. Who has already decided the same gets the first outcome again."""
        if command.decision > VOID:
            return rejects.MALFORMED
        asker = self._registry.account(command.account_id)
        assert asker is not None, command
        is_operator = asker.role == OPERATOR
        transfer = self._transfers.get(command.transfer_id)
        if transfer is None:
            return rejects.UNKNOWN_TRANSFER
        is_recipient = asker.account_id == transfer.to_account_id
        if not (is_operator or is_recipient or asker.account_id == transfer.from_account_id):
            return rejects.UNKNOWN_TRANSFER
        if command.decision == POST and not (is_operator or is_recipient):
            return rejects.NOT_ALLOWED
        if self._registry.is_frozen(asker.account_id):
            return rejects.ACCOUNT_FROZEN
        status = _STATUS_AFTER[command.decision]
        if transfer.status == status:
            emit(RequestRepeated(transfer.decided_sequence, rejects.ACCEPTED))
            emit(_changed(transfer))
            return rejects.ACCEPTED
        if transfer.status != PENDING:
            return rejects.WRONG_STATE

        assert transfer.expires_at_ns == NEVER or timestamp_ns < transfer.expires_at_ns, "what is due happens first"
        self._end(transfer, status, sequence)
        emit(_changed(transfer))
        return rejects.ACCEPTED

    def on_expires(self, transfer_id: int, timestamp_ns: int, emit: EventWriter) -> None:
        """A timer of this transfer has come. It may have been decided long ago."""
        transfer = self._transfers.get(transfer_id)
        if transfer is None or transfer.status != PENDING:
            return
        if transfer.expires_at_ns == NEVER or transfer.expires_at_ns > timestamp_ns:
            return
        self._end(transfer, EXPIRED, 0)
        emit(_changed(transfer))

    def known_reference(self, command: CreateTransfer) -> tuple[int, bool] | None:
        """Which command used this reference first, and whether it asked for the same; None if none did.

        Amounts are compared, not how they are written.
        """
        transfer = self._find(command.account_id, command.reference)
        if transfer is None:
            return None
        asset = self._registry.asset(command.asset_id)
        amount_units = -1 if asset is None else to_units(command.amount_mantissa, command.amount_scale, asset.decimals)
        asked = (command.to_account_id, command.asset_id, amount_units, command.pending, command.timeout_s)
        same = asked == (
            transfer.to_account_id,
            transfer.asset_id,
            transfer.amount_units,
            transfer.pending,
            transfer.timeout_s,
        )
        return transfer.transfer_id, same

    def has_references(self, account_id: int) -> bool:
        """Has the account ever named a transfer? Most never do: asked before each of its references is looked up."""
        return account_id < len(self._by_reference) and self._by_reference[account_id] is not None

    def number_of(self, account_id: int, reference: bytes) -> int:
        """The number of the transfer that the account made under this reference; 0 if there is none."""
        transfer = self._find(account_id, reference)
        return 0 if transfer is None else transfer.transfer_id

    def report(self, transfer_id: int) -> TransferChanged | None:
        """The transfer as it stands."""
        transfer = self._transfers.get(transfer_id)
        return None if transfer is None else _changed(transfer)

    def holds(self) -> Iterator[tuple[int, int, int]]:
        """What each pending transfer holds on its sender, as (account_id, asset_id, units)."""
        for transfer in self._transfers.values():
            if transfer.status == PENDING:
                yield transfer.from_account_id, transfer.asset_id, transfer.amount_units

    def listed(self, account_id: int, after_id: int) -> Iterator[TransferChanged]:
        """Those that an account (0: any) sends or receives, with numbers above ``after_id``, by number."""
        for transfer in self._transfers.values():
            if transfer.transfer_id > after_id and account_id in (
                0,
                transfer.from_account_id,
                transfer.to_account_id,
            ):
                yield _changed(transfer)

    def rows(self) -> list[Row]:
        """All transfers by ascending number, as :data:`TRANSFER_ROW` and the text reference."""
        return [
            (
                (
                    transfer.transfer_id,
                    transfer.from_account_id,
                    transfer.to_account_id,
                    transfer.asset_id,
                    transfer.amount_units,
                    transfer.pending,
                    transfer.timeout_s,
                    transfer.status,
                    transfer.expires_at_ns,
                    transfer.decided_sequence,
                ),
                (transfer.reference,),
            )
            for _, transfer in sorted(self._transfers.items())
        ]

    def restore(self, rows: Iterable[Row]) -> None:
        """Fill an empty desk and set its timers anew; what the rows hold is held in the ledger already."""
        for numbers, (reference,) in rows:
            number, sender, recipient, asset_id, amount_units, pending, timeout_s = numbers[:-3]
            transfer = Transfer(number, sender, recipient, asset_id, amount_units, pending, timeout_s, reference)
            transfer.status, transfer.expires_at_ns, transfer.decided_sequence = numbers[-3:]
            self._add(transfer)

    def _find(self, account_id: int, reference: bytes) -> Transfer | None:
        named = self._by_reference[account_id] if self.has_references(account_id) else None
        return None if named is None else named.get(reference)

    def _add(self, transfer: Transfer) -> None:
        account_id, reference = transfer.from_account_id, transfer.reference
        assert self._find(account_id, reference) is None, ("a reference names two transfers", account_id, reference)
        assert transfer.transfer_id not in self._transfers, transfer.transfer_id
        self._transfers[transfer.transfer_id] = transfer
        if not self.has_references(account_id):
            self._by_reference.extend([None] * (account_id + 1 - len(self._by_reference)))
            self._by_reference[account_id] = {}
            self._registry.standing(account_id).names_references = 1
        named = self._by_reference[account_id]
        assert named is not None
        named[reference] = transfer
        if transfer.status == PENDING:
            self._timers.schedule(transfer.expires_at_ns, TRANSFER_EXPIRES, transfer.transfer_id)

    def _end(self, transfer: Transfer, status: int, sequence: int) -> None:
        """Move what was held to the recipient if it is posted, else back."""
        assert transfer.status == PENDING, transfer.transfer_id
        self._timers.forget(TRANSFER_EXPIRES, transfer.transfer_id)
        if status == POSTED:
            self._ledger.spend_held(transfer.from_account_id, transfer.asset_id, transfer.amount_units)
            self._ledger.credit(transfer.to_account_id, transfer.asset_id, transfer.amount_units)
        else:
            self._ledger.hold(transfer.from_account_id, transfer.asset_id, -transfer.amount_units)
        transfer.status = status
        transfer.decided_sequence = sequence


def _changed(transfer: Transfer) -> TransferChanged:
    return TransferChanged(
        transfer_id=transfer.transfer_id,
        from_account_id=transfer.from_account_id,
        to_account_id=transfer.to_account_id,
        asset_id=transfer.asset_id,
        amount_units=transfer.amount_units,
        status=transfer.status,
        expires_at_ns=transfer.expires_at_ns,
        reference=transfer.reference,
    )
