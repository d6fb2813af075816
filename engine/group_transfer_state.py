"""What a group keeps of a transfer to or from another one, how that is written, and how it is told."""

from __future__ import annotations

from struct import Struct
from typing import Final

from engine import rejects
from engine.events import SentTransferChanged, TransferReceived
from engine.types import GROUP_NAME_LENGTH_MAX, PENDING

Row = tuple[tuple[int, ...], tuple[bytes, ...]]

# The numbers of rows of the snapshot, in the order of ``sent_row`` and ``received_row``; two texts follow each.
SENT_ROW: Final = Struct("<QQIqBHQ")
RECEIVED_ROW: Final = Struct("<QQIqHQ")

_GROUP_NAME_CHARACTERS: Final = b"abcdefghijklmnopqrstuvwxyz0123456789-"


def is_valid_group_name(name: bytes) -> bool:
    """1 to 32 lower-case letters, digits and ``-``."""
    return 0 < len(name) <= GROUP_NAME_LENGTH_MAX and not name.translate(None, _GROUP_NAME_CHARACTERS)


class SentTransfer:
    """``transfer_id`` is the sequence of the command that sent it.

    ``refusal`` is why the destination did not take it, 0 while that is not known or not so. ``settled_sequence`` is
    that of the command that posted or voided it, 0 if none did.
    """

    __slots__ = (
        "account_id",
        "amount_units",
        "asset_id",
        "reference",
        "refusal",
        "settled_sequence",
        "status",
        "to_group",
        "transfer_id",
    )

    def __init__(
        self, transfer_id: int, account_id: int, asset_id: int, amount_units: int, to_group: bytes, reference: bytes
    ) -> None:
        self.transfer_id = transfer_id
        self.account_id = account_id
        self.asset_id = asset_id
        self.amount_units = amount_units
        self.to_group = to_group
        self.reference = reference
        self.status = PENDING
        self.refusal = rejects.ACCEPTED
        self.settled_sequence = 0


class ReceivedTransfer:
    """What a transfer of another group came to here. ``account_id`` and ``asset_id`` are 0 where there was none.

    ``sequence`` is that of the command that brought it first.
    """

    __slots__ = (
        "account_id",
        "amount_units",
        "asset_id",
        "from_group",
        "reference",
        "refusal",
        "sequence",
        "transfer_id",
    )

    def __init__(
        self,
        transfer_id: int,
        account_id: int,
        asset_id: int,
        amount_units: int,
        refusal: int,
        sequence: int,
        from_group: bytes,
        reference: bytes,
    ) -> None:
        self.transfer_id = transfer_id
        self.account_id = account_id
        self.asset_id = asset_id
        self.amount_units = amount_units
        self.refusal = refusal
        self.sequence = sequence
        self.from_group = from_group
        self.reference = reference


def sent_row(transfer: SentTransfer) -> Row:
    """The texts are to_group and reference."""
    numbers = (
        transfer.transfer_id,
        transfer.account_id,
        transfer.asset_id,
        transfer.amount_units,
        transfer.status,
        transfer.refusal,
        transfer.settled_sequence,
    )
    return numbers, (transfer.to_group, transfer.reference)


def sent_from(row: Row) -> SentTransfer:
    (number, account_id, asset_id, amount_units, status, refusal, settled), texts = row
    transfer = SentTransfer(number, account_id, asset_id, amount_units, *texts)
    transfer.status, transfer.refusal, transfer.settled_sequence = status, refusal, settled
    return transfer


def received_row(transfer: ReceivedTransfer) -> Row:
    """The texts are from_group and reference."""
    numbers = (
        transfer.transfer_id,
        transfer.account_id,
        transfer.asset_id,
        transfer.amount_units,
        transfer.refusal,
        transfer.sequence,
    )
    return numbers, (transfer.from_group, transfer.reference)


def received_from(row: Row) -> ReceivedTransfer:
    (number, account_id, asset_id, amount_units, refusal, sequence), texts = row
    return ReceivedTransfer(number, account_id, asset_id, amount_units, refusal, sequence, *texts)


def sent_changed(transfer: SentTransfer) -> SentTransferChanged:
    """The transfer as it stands."""
    return SentTransferChanged(
        transfer_id=transfer.transfer_id,
        account_id=transfer.account_id,
        asset_id=transfer.asset_id,
        amount_units=transfer.amount_units,
        status=transfer.status,
        refusal=transfer.refusal,
        to_group=transfer.to_group,
        reference=transfer.reference,
    )


def transfer_received(transfer: ReceivedTransfer) -> TransferReceived:
    """What it came to here."""
    return TransferReceived(
        transfer_id=transfer.transfer_id,
        account_id=transfer.account_id,
        asset_id=transfer.asset_id,
        amount_units=transfer.amount_units,
        refusal=transfer.refusal,
        from_group=transfer.from_group,
        reference=transfer.reference,
    )
