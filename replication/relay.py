"""Drives transfers between groups to their end: the relay of one source group, on the replica that leads it.

What is pending is read from the engine's state, so nothing about a transfer is kept here that a crash could lose. For
each one the relay submits ``ReceiveTransfer`` at the door of the destination, and what is told there as
``SettleTransfer`` in its own log. Both may be repeated at will (``engine.group_transfers``), so whatever goes wrong on
the way (a crash here, a change of leaders here or there, a link that breaks, an answer that never comes) it begins
again with the same two commands.

Only ``TransferReceived`` settles a transfer. Any other answer says nothing about it: it stays pending, is tried again
after a pause, and is counted as stuck, because somebody should look (a destination that is not configured any more, a
source whose log is another one than the destination remembers).

The relay does no I/O itself: it is given destinations to submit to, and a way to propose. Reasons:
docs/adr/0019.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

from engine import rejects
from engine.codec import CodecError, decode_events, encode_command, pack_route
from engine.commands import NameGroup, ReceiveTransfer, SettleTransfer
from engine.events import CommandRejected, TransferReceived
from engine.group_transfer_state import SentTransfer
from engine.machine import Machine
from engine.types import EXCHANGE_ACCOUNT, TransferRoute
from replication.halt import Halt
from replication.protocol import COMMITTED, Result

ANSWER_TIMEOUT_S: Final = 3.0
RETRY_PAUSE_S: Final = 0.1
STUCK_PAUSE_S: Final = 5.0
UNDER_WAY_MAX: Final = 1_000  # transfers to one destination at a time

logger = logging.getLogger(__name__)


class Destination(Protocol):
    """The way to the leader of another group."""

    def submit(self, transfer_id: int, command: bytes) -> bool:
        """Send a command; False if it could not leave. Its result comes to :meth:`Relay.on_result`, or never."""


class Relay:
    """``propose`` puts a command into the own log, or not: what becomes of it shows in the state."""

    def __init__(self, name: str, destinations: Mapping[str, Destination], propose: Callable[[bytes], None]) -> None:
        self.stuck: dict[int, str] = {}  # transfers that somebody should look at, and why
        self.name = name
        self._name = name.encode("ascii")
        self._destinations = destinations
        self._propose = propose
        self._due_s: dict[int, float] = {}  # by transfer: when to begin with it again
        self._naming_due_s = 0.0

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way: links to destinations are not needed."""
        return not self._due_s

    def tick(self, machine: Machine, *, leading: bool, now_s: float, now_ns: int) -> None:
        """Begin with every transfer that is due. To be called often, with ``leading`` only while the replica serves.

        Halt if the data belongs to another group: what it sends would be credited under a wrong name.
        """
        desk = machine.group_transfers
        if desk.name and desk.name != self._name:
            raise Halt(f"the data is of group {desk.name.decode()}, not of {self._name.decode()}")
        if not leading:
            self._due_s.clear()
            self.stuck.clear()
            return
        if not desk.name:
            self._name_group(now_s, now_ns)
            return
        pending = {transfer.transfer_id: transfer for transfer in desk.pending()}
        for settled in self._due_s.keys() - pending.keys():
            del self._due_s[settled]
            self.stuck.pop(settled, None)
        under_way: dict[bytes, int] = {}
        for transfer in pending.values():
            under_way[transfer.to_group] = under_way.get(transfer.to_group, 0) + 1
            if self._due_s.get(transfer.transfer_id, 0.0) <= now_s and under_way[transfer.to_group] <= UNDER_WAY_MAX:
                self._begin(machine, transfer, now_s, now_ns)

    def on_result(self, transfer_id: int, result: Result, now_s: float, now_ns: int) -> None:
        """A destination's answer."""
        if transfer_id not in self._due_s:
            return  # settled meanwhile, or not ours to drive any more
        if result.outcome != COMMITTED:
            self._due_s[transfer_id] = now_s + RETRY_PAUSE_S
            return
        received, refused = self._read(result.events, transfer_id)
        if received is not None:
            self._due_s[transfer_id] = now_s + ANSWER_TIMEOUT_S
            self.stuck.pop(transfer_id, None)
            self._propose(
                encode_command(SettleTransfer(EXCHANGE_ACCOUNT, now_ns, transfer_id, received.refusal)),
            )
        elif refused == rejects.REQUEST_EXPIRED:
            self._due_s[transfer_id] = now_s + RETRY_PAUSE_S  # it was long on its way
        else:
            self._set_aside(transfer_id, f"the destination answered {rejects.reason_code(refused)}", now_s)

    def on_lost(self, transfer_ids: Iterable[int], now_s: float) -> None:
        """The link broke on which these were sent: what became of them is unknown."""
        for transfer_id in transfer_ids:
            if transfer_id in self._due_s:
                self._due_s[transfer_id] = now_s + RETRY_PAUSE_S

    def _name_group(self, now_s: float, now_ns: int) -> None:
        """A group that has neighbours must know its name before it can send and receive."""
        if now_s >= self._naming_due_s:
            self._naming_due_s = now_s + ANSWER_TIMEOUT_S
            self._propose(encode_command(NameGroup(EXCHANGE_ACCOUNT, now_ns, self._name)))

    def _begin(self, machine: Machine, transfer: SentTransfer, now_s: float, now_ns: int) -> None:
        destination = self._destinations.get(transfer.to_group.decode("ascii"))
        if destination is None:
            self._set_aside(transfer.transfer_id, f"group {transfer.to_group.decode()} is not configured here", now_s)
            return
        command = encode_command(_receiving(machine, transfer, now_ns))
        left = destination.submit(transfer.transfer_id, command)
        self._due_s[transfer.transfer_id] = now_s + (ANSWER_TIMEOUT_S if left else RETRY_PAUSE_S)

    def _set_aside(self, transfer_id: int, why: str, now_s: float) -> None:
        self._due_s[transfer_id] = now_s + STUCK_PAUSE_S
        if self.stuck.get(transfer_id) != why:
            self.stuck[transfer_id] = why
            logger.error("transfer %d of group %s stays pending: %s", transfer_id, self._name.decode(), why)

    def _read(self, events: bytes, transfer_id: int) -> tuple[TransferReceived | None, int]:
        """What the destination found, or why it did not even look."""
        refused = rejects.MALFORMED
        try:
            for _, event in decode_events(events):
                if isinstance(event, TransferReceived):
                    if (event.from_group, event.transfer_id) == (self._name, transfer_id):
                        return event, rejects.ACCEPTED
                elif isinstance(event, CommandRejected):
                    refused = event.reason
        except CodecError as error:
            logger.error("the answer about transfer %d cannot be read: %s", transfer_id, error)
        return None, refused


def _receiving(machine: Machine, transfer: SentTransfer, now_ns: int) -> ReceiveTransfer:
    """What the destination is asked, from the source's state alone: the same at every try but for the time."""
    account = machine.registry.account(transfer.account_id)
    asset = machine.registry.asset(transfer.asset_id)
    assert account is not None and asset is not None, transfer.transfer_id
    return ReceiveTransfer(
        account_id=EXCHANGE_ACCOUNT,
        issued_at_ns=now_ns,
        transfer_id=transfer.transfer_id,
        amount_units=transfer.amount_units,
        decimals=asset.decimals,
        route=pack_route(TransferRoute(machine.group_transfers.name, transfer.to_group, account.name, asset.name)),
        reference=transfer.reference,
    )
