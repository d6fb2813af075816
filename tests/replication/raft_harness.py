"""Several replicas in one process, on virtual time, with every message delivered by hand.

The replicas are the real thing: real journals and snapshot stores in a directory, the real codec, the real durability
point. Only clock, chance and network are scripted. While messages leave, the network checks what no single replica can
see: an acknowledgement or a vote that is not on its sender's disk fails the test.

`StockReplica` is pysyncobj as it comes, in the same scripted world, to show that a check can fail.
"""

import copy
import json
import random
import shutil
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pysyncobj import SyncObj, SyncObjConf, replicated, syncobj
from pysyncobj.transport import Transport as PysyncobjTransport

from replication.journal import Journal
from replication.membership import MemberAddresses, decode_membership
from replication.messages import Foundation, Hello, Message, NextIndex, RequestVote, ResponseVote, decode
from replication.outbox import Outbox
from replication.poller import EventCallback, GroupCommitPoller
from replication.pysyncobj_adapter import PeerNode
from replication.replicated_log import Outcome, RaftTiming, RemovedFromCluster, ReplicatedLog
from replication.snapshots import SnapshotMeta, SnapshotPoint, SnapshotStore

CLUSTER_ID = b"test cluster 123"
TIMING = RaftTiming(election_timeout_s_min=0.4, election_timeout_s_max=0.5, heartbeat_s=0.05, leader_fallback_s=0.8)
NOWHERE = MemberAddresses("", "")
PATIENCE_S = 0.46
"""Just longer than every election timeout, as chance always says one half."""


class World:
    """Time and chance for every replica, ours and stock, and the messages between them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, chance: random.Random | None = None) -> None:
        """`chance` replaces the even chance of every election timeout."""
        self.now_s = 1000.0
        self.links: dict[tuple[str, str], deque[Any]] = defaultdict(deque)
        self.receivers: dict[str, Callable[[str, Any], None]] = {}
        monkeypatch.setattr(syncobj, "monotonicTime", lambda: self.now_s)
        monkeypatch.setattr(syncobj, "random", chance or _EvenChance())
        monkeypatch.setattr(syncobj, "PIPE_NOTIFIER_ENABLED", False)

    def advance(self, seconds: float) -> None:
        self.now_s += seconds

    def waiting(self, sender: str, receiver: str) -> list[Any]:
        """What is on the way from one replica to another, in order."""
        return list(self.links[sender, receiver])

    def deliver(self, sender: str, receiver: str, count: int = 1_000) -> list[Any]:
        """Deliver the oldest messages of one link; returns them."""
        delivered: list[Any] = []
        link = self.links[sender, receiver]
        while link and len(delivered) < count:
            delivered.append(link.popleft())
            self.receivers[receiver](sender, delivered[-1])
        return delivered

    def drain(self, pairs: Iterable[tuple[str, str]] | None = None) -> None:
        """Deliver everything on these links, or on all, until nothing is on the way."""
        chosen = None if pairs is None else list(pairs)
        for _ in range(10_000):
            busy = [pair for pair in sorted(self.links) if self.links[pair] and (chosen is None or pair in chosen)]
            busy = [pair for pair in busy if pair[1] in self.receivers]
            if not busy:
                return
            for sender, receiver in busy:
                self.deliver(sender, receiver)
        raise AssertionError("the replicas never stop talking")

    def lose(self, sender: str | None = None, receiver: str | None = None) -> None:
        """Lose what is on the way from and to these, or everything."""
        for pair, link in self.links.items():
            if sender in (None, pair[0]) and receiver in (None, pair[1]):
                link.clear()


class _EvenChance:
    def random(self) -> float:
        return 0.5


def between(*names: str) -> list[tuple[str, str]]:
    """All links among some replicas."""
    return [(sender, receiver) for sender in names for receiver in names if sender != receiver]


class RecordingMachine:
    """A state machine that remembers what it applied; a payload `boom` makes it fail."""

    def __init__(self) -> None:
        self.applied: list[tuple[int, int, bytes]] = []
        self.restored_from: list[int] = []

    @property
    def payloads(self) -> list[bytes]:
        return [payload for _index, _term, payload in self.applied]

    def apply(self, log_index: int, term: int, payload: bytes) -> object:
        self.applied.append((log_index, term, payload))
        if payload == b"boom":
            raise ValueError("a bug in the state machine")
        return len(self.applied)

    def restore(self, meta: SnapshotMeta, blob: bytes) -> None:
        self.restored_from.append(meta.log_index)
        self.applied = [(index, term, payload.encode("latin-1")) for index, term, payload in json.loads(blob)]

    def snapshot(self) -> bytes:
        rows = [(index, term, payload.decode("latin-1")) for index, term, payload in self.applied]
        return json.dumps(rows).encode()


class ScriptedTransport:
    """Our transport interface on the scripted network; every frame goes through the real codec."""

    def __init__(self, world: World, name: str, peers: list[str], check: Callable[[str, Message], None]) -> None:
        self.on_message: Callable[[str, Message], None] = lambda _peer_id, _message: None
        self.on_connected: Callable[[str], None] = lambda _peer_id: None
        self.on_disconnected: Callable[[str], None] = lambda _peer_id: None
        self.connected: set[str] = set()
        self._world = world
        self._name = name
        self._check = check
        self._outbox = Outbox(self._transmit)

    @property
    def connected_ids(self) -> list[str]:
        return sorted(self.connected)

    def send(self, peer_id: str, message: Message) -> bool:
        if peer_id not in self.connected:
            return False
        self._outbox.queue(peer_id, message)
        return True

    def flush(self, append_entries_only: bool) -> None:
        self._outbox.flush(append_entries_only)

    def purge(self, current_term: int) -> None:
        self._outbox.purge(current_term)

    def maintain(self) -> None:
        pass

    def destroy(self) -> None:
        self.connected.clear()

    def link_up(self, peer_id: str) -> None:
        if peer_id not in self.connected:
            self.connected.add(peer_id)
            self.on_connected(peer_id)

    def link_down(self, peer_id: str) -> None:
        if peer_id in self.connected:
            self.connected.discard(peer_id)
            self._outbox.drop(peer_id)
            self.on_disconnected(peer_id)

    def _transmit(self, node_id: str, frames: list[bytes]) -> None:
        for frame in frames:
            message = decode(frame)
            self._check(node_id, message)
            self._world.links[self._name, node_id].append(message)


def open_journal(path: Path, name: str) -> Journal:
    """A real journal, but without waiting for the disk."""
    return Journal(path, cluster_id=CLUSTER_ID, node_id=name, sync=False)


class NoInput:
    """A poller that never has an event: messages are delivered by the script."""

    def subscribe(self, fd: int, callback: EventCallback, event_mask: int) -> None:
        pass

    def unsubscribe(self, fd: int) -> None:
        pass

    def poll(self, timeout_s: float) -> None:
        pass


class Replica:
    """One running replica."""

    def __init__(self, cluster: "Cluster", name: str) -> None:
        directory = cluster.directory / name
        peers = [other for other in cluster.initial if other != name]
        self.cluster = cluster
        self.name = name
        self.machine = RecordingMachine()
        self.outcomes: dict[bytes, tuple[Outcome, object]] = {}
        self.checkpoints: list[tuple[str, int, int, bytes]] = []
        self.reads: dict[str, list[bytes] | None] = {}
        self.journal = cluster.open_journal(directory / "journal", name)
        self.snapshots = SnapshotStore(directory / "snapshots")
        self.transport = ScriptedTransport(cluster.world, name, peers, self._check_leaving)
        self.poller = GroupCommitPoller(NoInput(), self.journal, self.transport)
        self.votes_sent: dict[int, str] = cluster.votes[self.journal.incarnation]
        self.log = ReplicatedLog(
            node_id=name,
            peer_ids=peers,
            journal=self.journal,
            transport=self.transport,
            poller=self.poller,
            state_machine=self.machine,
            snapshots=self.snapshots,
            timing=TIMING,
            on_checkpoint=lambda *checkpoint: self.checkpoints.append(checkpoint),
            proposal_timeout_s=5.0,
            keep_tail_entries=cluster.keep_tail_entries,
            had_data=name in cluster.had_data,
        )

    def tick(self) -> None:
        self.log.tick(0.0)

    def propose(self, payload: bytes) -> None:
        """Propose; the outcome will be in `outcomes`."""

        def on_outcome(outcome: Outcome, detail: object) -> None:
            assert payload not in self.outcomes, f"{payload!r} was answered twice"
            self.outcomes[payload] = (outcome, detail)

        self.log.propose(payload, on_outcome)

    def read(self, name: str) -> None:
        """Read the whole state. What was read will be in `reads`, or None for a refusal."""

        def on_readable(readable: bool) -> None:
            assert name not in self.reads, f"{name} was answered twice"
            self.reads[name] = self.machine.payloads if readable else None

        self.log.read(on_readable)

    def add_member(self, name: str) -> list[Outcome]:
        """Ask for one more member; the list gets the outcome."""
        outcomes: list[Outcome] = []
        self.log.membership.add(name, NOWHERE, lambda outcome, _detail: outcomes.append(outcome))
        return outcomes

    def remove_member(self, name: str) -> list[Outcome]:
        """Ask for one member less; the list gets the outcome."""
        outcomes: list[Outcome] = []
        self.log.membership.remove(name, lambda outcome, _detail: outcomes.append(outcome))
        return outcomes

    def members(self) -> str:
        """Who belongs to the cluster as this replica sees it: voters in capitals, learners in lower case."""
        membership = self.log.members.membership
        members = () if membership is None else membership.members
        return "".join(member.node_id if member.voter else member.node_id.lower() for member in members)

    def voters(self) -> set[str]:
        """Whose majority this replica needs."""
        membership = self.log.members.membership
        return set() if membership is None else set(membership.voters)

    def committed_voters(self) -> set[str]:
        """Whose majority it needed before, if there is a change under way."""
        encoded = self.journal.membership_at(self.log.commit_index)
        return set(decode_membership(encoded).voters) if encoded else set()

    def outcome(self, payload: bytes) -> Outcome | None:
        found = self.outcomes.get(payload)
        return None if found is None else found[0]

    def take_snapshot(self) -> SnapshotMeta:
        """Write a snapshot of what is applied and let it stand for the log."""
        index = self.log.applied_index
        point = SnapshotPoint(
            index, self.log.applied_term, len(self.machine.applied), bytes(32), self.log.membership_at(index)
        )
        meta = self.snapshots.write(point, self.machine.snapshot())
        assert self.log.snapshot_taken(meta)
        return meta

    def receive(self, sender: str, message: Message) -> None:
        try:
            self.transport.on_message(sender, message)
        except RemovedFromCluster as removed:
            self.cluster.removed[self.name] = str(removed)
            self.cluster.names.remove(self.name)
            self.cluster.stop_removed(self.name)
        else:
            self.poller.commit()

    def terms(self) -> list[tuple[int, int]]:
        """(index, term) of every entry in the journal."""
        return [(index, term) for _command, index, term in self.journal[:]]

    def _check_leaving(self, receiver: str, message: Message) -> None:
        if isinstance(message, NextIndex) and message.success:
            assert self.journal.durable_index >= message.next_index - 1, "acknowledged before it was on disk"
        if isinstance(message, RequestVote | ResponseVote):
            assert not self.journal.dirty, "voted before it was on disk"
            candidate = self.name if isinstance(message, RequestVote) else receiver
            known = self.votes_sent.setdefault(message.term, candidate)
            assert known == candidate, f"{self.name} voted for {known} and {candidate} in term {message.term}"


class Cluster:
    """Replicas by name, all linked at first."""

    def __init__(
        self,
        world: World,
        directory: Path,
        names: str = "ABC",
        keep_tail_entries: int = 1_000,
        open_journal: Callable[[Path, str], Journal] = open_journal,
        greet: bool = True,
        had_data: str = "",
    ) -> None:
        """With `greet` they found their cluster at once, and say hello whenever one is started."""
        self.had_data = had_data
        self.world = world
        self.directory = directory
        self.names = list(names)
        self.initial = list(names)
        self.keep_tail_entries = keep_tail_entries
        self.open_journal: Callable[[Path, str], Journal] = open_journal
        self.greets = False
        self.votes: dict[bytes, dict[int, str]] = defaultdict(dict)
        self.replicas: dict[str, Replica] = {}
        self.removed: dict[str, str] = {}
        self.stop_removed = self.kill
        for name in names:
            self.start(name)
        self.greets = greet
        if greet:
            self.greet()

    def __getitem__(self, name: str) -> Replica:
        return self.replicas[name]

    def __iter__(self) -> Iterator[Replica]:
        return iter(list(self.replicas.values()))

    def start(self, name: str) -> Replica:
        """Start a replica from what is on its disk and link it with all others."""
        replica = self.replicas[name] = Replica(self, name)
        self.world.receivers[name] = replica.receive
        for other in self:
            if other is not replica:
                other.transport.link_up(name)
                replica.transport.link_up(other.name)
        if self.greets:
            self.greet()
        return replica

    def greet(self) -> None:
        """Deliver every hello that is on the way, before all else, and what founds the cluster."""
        for replica in self:
            replica.poller.commit()
        for (sender, receiver), link in sorted(self.world.links.items()):
            for message in [message for message in link if isinstance(message, Hello | Foundation)]:
                link.remove(message)
                if receiver in self.replicas:
                    self[receiver].receive(sender, message)
        if any(isinstance(message, Foundation) for link in self.world.links.values() for message in link):
            self.greet()

    def kill(self, name: str) -> None:
        """Stop a replica at once: what it has not synced is lost, what it has sent still arrives."""
        replica = self.replicas.pop(name)
        del self.world.receivers[name]
        replica.log.destroy()
        self.world.lose(receiver=name)
        for other in self:
            other.transport.link_down(name)

    def wipe(self, name: str) -> None:
        """Kill a replica and everything that it has on its disk."""
        self.kill(name)
        shutil.rmtree(self.directory / name)

    def join(self, name: str) -> Replica:
        """Start a node that was not there when the cluster was founded."""
        self.names.append(name)
        return self.start(name)

    def elect(self, name: str, among: str = "") -> Replica:
        """Make a replica lead, with the votes of `among` only, and let it commit its first entry."""
        self.stand(name, among)
        self.world.drain(between(*(among or self.names)))
        assert self[name].log.is_leader, f"{name} was not elected"
        self.settle(among)
        return self[name]

    def stand(self, name: str, among: str = "") -> Replica:
        """Make a replica ask for votes, after all of `among` said that they would vote for it."""
        self.world.advance(PATIENCE_S)
        self[name].tick()
        self.world.drain(between(*(among or self.names)))
        self[name].tick()
        return self[name]

    def settle(self, among: str = "", rounds: int = 4) -> None:
        """Some heartbeats among some replicas: everything proposed is committed and applied."""
        for _ in range(rounds):
            self.world.advance(0.06)
            for replica in self:
                if not among or replica.name in among:
                    replica.tick()
            self.world.drain(between(*(among or self.names)))

    def close(self) -> None:
        for replica in self:
            replica.log.destroy()
        self.replicas.clear()


class StockTransport(PysyncobjTransport):  # type: ignore[misc]  # pysyncobj has no types
    """The scripted network for an unmodified replica."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(None, None, None)
        self._world = world
        self._name = name
        world.receivers[name] = lambda sender, message: self._onMessageReceived(PeerNode(sender), message)

    def send(self, node: PeerNode, message: dict[str, Any]) -> bool:
        self._world.links[self._name, node.id].append(copy.deepcopy(message))
        return True


class StockReplica(SyncObj):  # type: ignore[misc]  # pysyncobj has no types
    """pysyncobj as it comes: its own journal in memory, its own handlers."""

    def __init__(self, world: World, name: str, names: str, **settings: Any) -> None:
        self.applied: list[bytes] = []
        self.results: list[int] = []
        self.world = world
        settings.setdefault("logCompactionMinTime", 10**9)
        settings.setdefault("logCompactionMinEntries", 10**9)
        super().__init__(
            PeerNode(name),
            [PeerNode(other) for other in names if other != name],
            conf=SyncObjConf(autoTick=False, raftMinTimeout=0.4, raftMaxTimeout=0.5, **settings),
            transport=StockTransport(world, name),
        )
        self._poller = NoInput()
        for other in names:
            if other != name:
                self._SyncObj__onNodeConnected(PeerNode(other))

    @replicated  # type: ignore[untyped-decorator]
    def put(self, payload: bytes) -> None:
        self.applied.append(payload)
        if payload == b"boom":
            raise ValueError("a bug in the state machine")

    def propose(self, payload: bytes) -> None:
        self.put(payload, callback=lambda _result, failure: self.results.append(failure))

    def elect(self) -> None:
        """Start an election at once."""
        self.world.advance(0.001)
        self._SyncObj__raftElectionDeadline = 0
        self.doTick(0)

    @property
    def last_index(self) -> int:
        return int(self._SyncObj__raftLog[-1][1])


def stock_cluster(world: World, names: str = "ABC", **settings: Any) -> dict[str, StockReplica]:
    """Unmodified replicas, with A as the leader of term 1 and its first entry committed."""
    replicas = {name: StockReplica(world, name, names, **settings) for name in names}
    replicas["A"].elect()
    world.drain()
    for _ in range(3):
        world.advance(0.11)
        for replica in replicas.values():
            replica.doTick(0)
        world.drain()
    assert replicas["A"].raftCommitIndex == 2
    return replicas
