"""Two groups with real engines and real relays, and all that is on its way between them in lists of messages.

Whoever drives them decides what becomes of each message, and which relay is killed when.
"""

from __future__ import annotations

from typing import Final

from engine import rejects
from engine.codec import decode_events, encode_command
from engine.commands import Command, CreateAccount, CreateAsset, Deposit, SendTransfer
from engine.events import CommandRejected, Event, SentTransferChanged
from engine.invariants import assert_sound
from engine.machine import Machine
from engine.types import NS_PER_S, PENDING, POSTED, TRADER, VOIDED
from replication.protocol import COMMITTED, Result
from replication.relay import ANSWER_TIMEOUT_S, Relay

NAMES: Final = ("main", "metals")
EUR, TIN = 1, 2
ANA, BO = 1, 2  # bo has no account in the second group, and there is no TIN
START_NS: Final = 1_750_000_000 * NS_PER_S
_ROUNDS_TO_THE_END: Final = 6


class Group:
    """One group: its state, its relay, and what its relay's messages are doing."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.machine = Machine()
        self.proposed: list[bytes] = []  # commands on their way into the own log
        self.submitted: list[tuple[int, bytes]] = []  # (transfer, command) on their way to the other group
        self.answered: list[tuple[int, Result]] = []  # (transfer, result) on their way back
        self.now_s = 0.0
        self.restart_relay()

    @property
    def now_ns(self) -> int:
        return START_NS + int(self.now_s * NS_PER_S)

    def restart_relay(self) -> None:
        """A new leader: what the relay knew is gone, its messages are still on their way."""
        other = NAMES[1 - NAMES.index(self.name)]
        self.relay = Relay(self.name, {other: self}, self._propose)

    def submit(self, transfer_id: int, command: bytes) -> bool:
        self.submitted.append((transfer_id, command))
        return True

    def tick(self) -> None:
        self.relay.tick(self.machine, leading=True, now_s=self.now_s, now_ns=self.now_ns)

    def hear(self, transfer_id: int, result: Result) -> None:
        self.relay.on_result(transfer_id, result, self.now_s, self.now_ns)

    def execute(self, command: bytes) -> Result:
        entry = self.machine.apply(self.now_ns, command).entry
        assert_sound(self.machine)
        return Result(0, COMMITTED, entry.first_sequence, entry.timestamp_ns, entry.events)

    def run(self, command: Command) -> list[Event]:
        result = self.execute(encode_command(command._replace(issued_at_ns=self.now_ns)))
        return [event for _, event in decode_events(result.events)]

    def _propose(self, command: bytes) -> None:
        self.proposed.append(command)


class TwoGroups:
    """``net_units`` is what was brought in less what was taken out, by the name of the asset."""

    def __init__(self) -> None:
        self.groups = [Group(name) for name in NAMES]
        self.net_units = {b"EUR": 0, b"TIN": 0}
        self._references = 0
        for group in self.groups:
            group.run(CreateAsset(0, 0, 5, b"EUR"))
            group.run(CreateAccount(0, 0, TRADER, b"ana"))
        self.groups[0].run(CreateAsset(0, 0, 5, b"TIN"))
        self.groups[0].run(CreateAccount(0, 0, TRADER, b"bo"))
        for account_id, asset_id, units in ((ANA, EUR, 1_000), (ANA, TIN, 50), (BO, EUR, 1_000)):
            self.deposit(0, account_id, asset_id, units)
        self.deposit(1, ANA, EUR, 1_000)
        for group in self.groups:
            group.tick()
            group.execute(group.proposed.pop())  # its name

    def new_reference(self) -> bytes:
        self._references += 1
        return b"r%d" % self._references

    def deposit(self, side: int, account_id: int, asset_id: int, units: int) -> None:
        command = Deposit(0, 0, account_id, asset_id, units, 5, self.new_reference())
        asset = self.groups[side].machine.registry.asset(asset_id)
        if asset is not None and not isinstance(self.groups[side].run(command)[0], CommandRejected):
            self.net_units[asset.name] += units

    def send(self, side: int, account_id: int = ANA, asset_id: int = EUR, units: int = 5) -> None:
        other = NAMES[1 - side].encode()
        self.groups[side].run(SendTransfer(account_id, 0, asset_id, units, 5, other, self.new_reference()))

    def deliver(self, side: int, message: tuple[int, bytes]) -> None:
        """A command of this side's relay reaches the other group; the answer sets out."""
        group, other = self.groups[side], self.groups[1 - side]
        other.now_s = max(other.now_s, group.now_s)
        group.answered.append((message[0], other.execute(message[1])))

    def heal(self) -> None:
        """From here on nothing is lost: every transfer must come to its end."""
        for _ in range(_ROUNDS_TO_THE_END):
            for side, group in enumerate(self.groups):
                group.now_s += ANSWER_TIMEOUT_S
                group.tick()
                while group.submitted:
                    self.deliver(side, group.submitted.pop(0))
                while group.answered:
                    group.hear(*group.answered.pop(0))
                while group.proposed:
                    group.execute(group.proposed.pop(0))
        self.assert_every_unit_is_somewhere()
        for group, other in zip(self.groups, reversed(self.groups), strict=True):
            assert not list(group.machine.group_transfers.pending()) and not group.relay.stuck, group.relay.stuck
            for sent in group.machine.group_transfers.listed_sent(0, 0):
                _assert_ended_alike(sent, group, other)

    def assert_every_unit_is_somewhere(self) -> None:
        """Balances of all groups, and what is in flight and not received, are what came in less what went out."""
        for name, net_units in self.net_units.items():
            balances = in_flight = 0
            for group, other in zip(self.groups, reversed(self.groups), strict=True):
                asset = group.machine.registry.asset_by_name(name)
                if asset is None:
                    continue
                rows = group.machine.ledger.rows()
                balances += sum(free + held for _, row_asset, free, held in rows if row_asset == asset.asset_id)
                for sent in group.machine.group_transfers.pending():
                    received = other.machine.group_transfers.received(group.name.encode(), sent.transfer_id)
                    if sent.asset_id == asset.asset_id and (received is None or received.refusal):
                        in_flight += sent.amount_units
            assert balances + in_flight == net_units, (name, balances, in_flight, net_units)


def _assert_ended_alike(sent: SentTransferChanged, group: Group, other: Group) -> None:
    received = other.machine.group_transfers.received(group.name.encode(), sent.transfer_id)
    assert received is not None and sent.status != PENDING
    assert (sent.status == POSTED) == (received.refusal == rejects.ACCEPTED), (sent, received)
    assert (sent.status == VOIDED) == (sent.refusal != rejects.ACCEPTED) and sent.refusal == received.refusal
