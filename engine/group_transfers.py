"""Transfers between groups: money leaves one group's ledger and enters another's, exactly once.

Each group has a ledger of its own (ARCHITECTURE.md). A transfer is named by its group and its number there:

1. ``SendTransfer`` in the source takes the amount off the account. It is *in flight*: part of the source's supply,
   but nobody's balance.
2. ``ReceiveTransfer`` in the destination credits the account of the same name, or finds that it cannot, and remembers
   either outcome for ever: the same transfer again is answered with it, however often and however late it comes.
3. ``SettleTransfer`` in the source tells that outcome. Credited: the transfer is posted, and its amount leaves the
   source's supply. Refused: it is voided, and the amount goes back.

A relay carries step 2 and 3 (``replication.relay``), again and again until they are done. It may repeat itself, so a
refusal must be as final as a credit: otherwise a late copy could be credited after the source took the money back.
At every moment, for each asset: the balances of all groups, and what is in flight and not received yet, are what was
deposited less what was withdrawn.

A group knows its own name from its log (``NameGroup``, once), so what is meant for another group is refused, whatever
address it was sent to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from engine import rejects
from engine.amounts import to_units
from engine.codec import unpack_route
from engine.commands import NameGroup, ReceiveTransfer, SendTransfer, SettleTransfer
from engine.dedup import is_valid_id
from engine.event_writer import EventWriter
from engine.events import GroupNamed, RequestRepeated, SentTransferChanged, TransferReceived
from engine.group_transfer_state import (
    ReceivedTransfer,
    Row,
    SentTransfer,
    is_valid_group_name,
    received_from,
    received_row,
    sent_changed,
    sent_from,
    sent_row,
    transfer_received,
)
from engine.ledger import Ledger
from engine.registry import Registry
from engine.types import AMOUNT_MAX, PENDING, POSTED, VOIDED, AccountSpec, AssetSpec


class GroupTransfers:
    """Owns the group's name and all transfers to and from other groups, those that ended too.

    The machine lets only operators name, receive and settle.
    """

    def __init__(self, registry: Registry, ledger: Ledger) -> None:
        self.name = b""
        self.conflicts_with = 0  # the receipt that the last refusal quotes
        self._named_sequence = 0
        self._registry = registry
        self._ledger = ledger
        self._sent: dict[int, SentTransfer] = {}
        self._pending: dict[int, SentTransfer] = {}
        self._by_reference: dict[tuple[int, bytes], SentTransfer] = {}
        self._received: dict[tuple[bytes, int], ReceivedTransfer] = {}

    def name_group(self, command: NameGroup, sequence: int, emit: EventWriter) -> int:
        """A group is named once: what it sent is known under that name elsewhere."""
        self.conflicts_with = 0
        if not is_valid_group_name(command.name):
            return rejects.MALFORMED
        if self.name and self.name != command.name:
            self.conflicts_with = self._named_sequence
            return rejects.NAME_TAKEN
        if self.name:
            emit(RequestRepeated(self._named_sequence, rejects.ACCEPTED))
        else:
            self.name, self._named_sequence = command.name, sequence
        emit(GroupNamed(self.name))
        return rejects.ACCEPTED

    def send(self, command: SendTransfer, sequence: int, emit: EventWriter) -> int:
        if not is_valid_group_name(command.to_group) or command.to_group == self.name:
            return rejects.MALFORMED
        asset = self._registry.asset(command.asset_id)
        if asset is None:
            return rejects.UNKNOWN_ASSET
        if self._registry.is_frozen(command.account_id):
            return rejects.ACCOUNT_FROZEN
        if not self.name:
            return rejects.WRONG_STATE
        amount_units = to_units(command.amount_mantissa, command.amount_scale, asset.decimals)
        if amount_units <= 0:
            return rejects.AMOUNT
        if self._ledger.available_units(command.account_id, asset.asset_id) < amount_units:
            return rejects.NO_FUNDS

        transfer = SentTransfer(
            sequence, command.account_id, asset.asset_id, amount_units, command.to_group, command.reference
        )
        self._add_sent(transfer)
        self._ledger.hold(transfer.account_id, transfer.asset_id, amount_units)
        self._ledger.spend_held(transfer.account_id, transfer.asset_id, amount_units)
        emit(sent_changed(transfer))
        return rejects.ACCEPTED

    def receive(self, command: ReceiveTransfer, sequence: int, emit: EventWriter) -> int:
        """Credit a transfer of another group, or find that it cannot be: final either way.

        What is refused here, instead of found, says nothing about the transfer: it is in order to send it again.
        """
        self.conflicts_with = 0
        route = unpack_route(command.route)
        if route is None or not is_valid_group_name(route.from_group) or route.from_group == route.to_group:
            return rejects.MALFORMED
        if not is_valid_id(command.reference) or not 0 < command.amount_units <= AMOUNT_MAX:
            return rejects.MALFORMED
        if not self.name or route.to_group != self.name:
            return rejects.WRONG_STATE
        account = self._registry.account_by_name(route.account)
        asset = self._registry.asset_by_name(route.asset)
        known = self._received.get((route.from_group, command.transfer_id))
        if known is not None:
            if not _is_same(known, command, account, asset):
                self.conflicts_with = known.sequence
                return rejects.ID_CONFLICT
            emit(RequestRepeated(known.sequence, rejects.ACCEPTED))
            emit(transfer_received(known))
            return rejects.ACCEPTED

        refusal = rejects.ACCEPTED
        if account is None:
            refusal = rejects.UNKNOWN_ACCOUNT
        elif asset is None or asset.decimals != command.decimals:
            refusal = rejects.UNKNOWN_ASSET
        elif self._ledger.supply_units(asset.asset_id) > AMOUNT_MAX - command.amount_units:
            refusal = rejects.SUPPLY_TOO_LARGE
        transfer = ReceivedTransfer(
            transfer_id=command.transfer_id,
            account_id=0 if account is None else account.account_id,
            asset_id=0 if asset is None else asset.asset_id,
            amount_units=command.amount_units,
            refusal=refusal,
            sequence=sequence,
            from_group=route.from_group,
            reference=command.reference,
        )
        self._received[transfer.from_group, transfer.transfer_id] = transfer
        if not refusal:
            self._ledger.deposit(transfer.account_id, transfer.asset_id, transfer.amount_units)
        emit(transfer_received(transfer))
        return rejects.ACCEPTED

    def settle(self, command: SettleTransfer, sequence: int, emit: EventWriter) -> int:
        """What the destination found. The same again is a repeat; another outcome than the first is refused."""
        self.conflicts_with = 0
        transfer = self._sent.get(command.transfer_id)
        if transfer is None:
            return rejects.UNKNOWN_TRANSFER
        if transfer.status != PENDING:
            if transfer.refusal != command.refusal:
                self.conflicts_with = transfer.settled_sequence
                return rejects.WRONG_STATE
            emit(RequestRepeated(transfer.settled_sequence, rejects.ACCEPTED))
            emit(sent_changed(transfer))
            return rejects.ACCEPTED

        transfer.settled_sequence = sequence
        transfer.refusal = command.refusal
        del self._pending[transfer.transfer_id]
        if command.refusal:
            transfer.status = VOIDED
            self._ledger.credit(transfer.account_id, transfer.asset_id, transfer.amount_units)
        else:
            transfer.status = POSTED
            self._ledger.reduce_supply(transfer.asset_id, transfer.amount_units)
        emit(sent_changed(transfer))
        return rejects.ACCEPTED

    def known_reference(self, command: SendTransfer) -> tuple[int, bool] | None:
        """Which command used this reference first, and whether it asked for the same; None if none did."""
        transfer = self._by_reference.get((command.account_id, command.reference))
        if transfer is None:
            return None
        asset = self._registry.asset(command.asset_id)
        amount_units = -1 if asset is None else to_units(command.amount_mantissa, command.amount_scale, asset.decimals)
        asked = (command.to_group, command.asset_id, amount_units)
        return transfer.transfer_id, asked == (transfer.to_group, transfer.asset_id, transfer.amount_units)

    def number_of(self, account_id: int, reference: bytes) -> int:
        """The number of the transfer that the account sent under this reference; 0 if there is none."""
        transfer = self._by_reference.get((account_id, reference))
        return 0 if transfer is None else transfer.transfer_id

    def report(self, transfer_id: int) -> SentTransferChanged | None:
        """A transfer that was sent, as it stands."""
        transfer = self._sent.get(transfer_id)
        return None if transfer is None else sent_changed(transfer)

    def pending(self) -> Iterator[SentTransfer]:
        """What was sent and not settled yet, by number."""
        return iter(self._pending.values())

    @property
    def pending_count(self) -> int:
        return len(self._pending)

    def in_flight_units(self) -> dict[int, int]:
        """What is nobody's balance although it is part of the supply, by asset."""
        units: dict[int, int] = {}
        for transfer in self._pending.values():
            units[transfer.asset_id] = units.get(transfer.asset_id, 0) + transfer.amount_units
        return units

    def net_received_units(self) -> dict[int, int]:
        """What came from other groups less what went to them for good, by asset."""
        units: dict[int, int] = {}
        for received in self._received.values():
            if not received.refusal:
                units[received.asset_id] = units.get(received.asset_id, 0) + received.amount_units
        for sent in self._sent.values():
            if sent.status == POSTED:
                units[sent.asset_id] = units.get(sent.asset_id, 0) - sent.amount_units
        return units

    def listed_sent(self, account_id: int, after_id: int) -> Iterator[SentTransferChanged]:
        """What an account (0: any) sent, with numbers above ``after_id``, by number."""
        for transfer in self._sent.values():
            if transfer.transfer_id > after_id and account_id in (0, transfer.account_id):
                yield sent_changed(transfer)

    def received(self, from_group: bytes, transfer_id: int) -> TransferReceived | None:
        """What a transfer of another group came to here; None if it never came."""
        transfer = self._received.get((from_group, transfer_id))
        return None if transfer is None else transfer_received(transfer)

    def name_row(self) -> Row:
        return (self._named_sequence,), (self.name,)

    def sent_rows(self) -> list[Row]:
        """All that was sent, by ascending number."""
        return [sent_row(transfer) for _, transfer in sorted(self._sent.items())]

    def received_rows(self) -> list[Row]:
        """All that was received, by group and number."""
        return [received_row(transfer) for _, transfer in sorted(self._received.items())]

    def restore(self, name_row: Row, sent_rows: Iterable[Row], received_rows: Iterable[Row]) -> None:
        """Fill an empty desk; balances and supplies are in the ledger already."""
        (self._named_sequence,), (self.name,) = name_row
        for row in sent_rows:
            self._add_sent(sent_from(row))
        for row in received_rows:
            received = received_from(row)
            self._received[received.from_group, received.transfer_id] = received

    def _add_sent(self, transfer: SentTransfer) -> None:
        key = (transfer.account_id, transfer.reference)
        assert key not in self._by_reference, ("a reference names two transfers", key)
        assert transfer.transfer_id not in self._sent, transfer.transfer_id
        self._sent[transfer.transfer_id] = self._by_reference[key] = transfer
        if transfer.status == PENDING:
            self._pending[transfer.transfer_id] = transfer
        self._registry.standing(transfer.account_id).names_references = 1


def _is_same(
    known: ReceivedTransfer, command: ReceiveTransfer, account: AccountSpec | None, asset: AssetSpec | None
) -> bool:
    """Is this the transfer that came before? The account or asset that a refused one named may be new since."""
    if (known.amount_units, known.reference) != (command.amount_units, command.reference):
        return False
    if known.refusal or account is None or asset is None:
        return known.refusal != rejects.ACCEPTED
    return (known.account_id, known.asset_id) == (account.account_id, asset.asset_id)
