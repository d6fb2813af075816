"""One replica as one process: the loop that joins log, state machine, archive and door.

One thread does everything. A tick lets the log elect, commit and apply; then the poller makes the
tick durable and waits for input (``replication.poller``). What gateways submit while one entry is being
committed waits and becomes the next entry: no delay when it is quiet, large entries when it is busy. The
only clock of the order path is read here, once per entry.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple, Protocol

from engine import FORM
from engine.codec import encode_command
from engine.commands import Tick
from engine.invariants import assert_sound
from engine.machine import Applied
from engine.snapshot import snapshot_bytes, state_hash
from engine.types import EXCHANGE_ACCOUNT
from replication import member_desk, protocol, reads
from replication.agreement import Agreement, Checkpoint
from replication.archive_keeper import ArchiveKeeper
from replication.build import VERSION
from replication.config import FSYNC_MAJORITY, Config, node_addresses, node_data_dir, parse_address
from replication.damaged_files import has_earlier_data
from replication.entry_source import Door as DoorOfPeer
from replication.forked import ask_child
from replication.identity import NODE
from replication.journal import Journal
from replication.market_groups import group_id
from replication.membership import INCARNATION_BYTES, MemberAddresses, Membership
from replication.neighbours import Neighbours
from replication.platform import MACHINE, Platform, SnapshotWriter
from replication.poller import GroupCommitPoller
from replication.proposals import Outcome
from replication.protocol import Answer, Query, Result, Status
from replication.pysyncobj_adapter import RaftTiming
from replication.read_desk import ReadDesk
from replication.receipt_desk import ReceiptDesk
from replication.replica import TIMESTAMP, keep_collector_quiet
from replication.replicated_log import ReplicatedLog
from replication.rules_desk import SET_RULES_VERSION, RulesDesk
from replication.server import Door
from replication.signing_key import load_or_create
from replication.snapshots import SnapshotStore
from replication.supervisor import EXIT_RESTART
from replication.tls import load_credentials

logger = logging.getLogger(__name__)

ENTRY_BYTES_MAX: Final = 64 * 1024
ENTRIES_IN_FLIGHT_MAX: Final = 8
COMMANDS_WAITING_MAX: Final = 100_000
IDLE_WAIT_S: Final = 0.01
STATUS_EVERY_S: Final = 1.0

_FOR_OPERATORS: Final = frozenset((*member_desk.QUESTIONS, member_desk.RESTART, SET_RULES_VERSION))
_OUTCOMES: Final = {
    Outcome.COMMITTED: protocol.COMMITTED,
    Outcome.FAILED: protocol.FAILED,
    Outcome.UNKNOWN: protocol.UNKNOWN,
}


class Asker(Protocol):
    """Whoever submitted a command: a gateway's link, the relay of this replica, or its desk for operators."""

    def answer(self, result: Result) -> None: ...


class Waiting(NamedTuple):
    """A command on its way into the log, and whom to tell."""

    link: Asker
    correlation: int
    command: bytes


class Node:
    """Everything of one replica. ``run`` until ``stop`` is called or something must not go on."""

    def __init__(self, config: Config, node_id: str, *, platform: Platform = MACHINE) -> None:
        data_dir = node_data_dir(config, node_id)
        addresses = node_addresses(config, node_id)
        credentials = load_credentials(config, NODE, node_id)
        self._node_id = node_id
        self._group = config.group
        self._platform = platform
        self._now_s = platform.now_s
        self._stopping = False
        self.restart_asked = False
        """Whether an operator asked for the end, and for a new start of this replica."""
        self._started_at_ns = platform.time_ns()
        self._catching_up = True
        self._snapshot_every_commands = config.log.snapshot_every_commands
        self._waiting: deque[Waiting] = deque()
        self._entries_in_flight = 0
        self._told_news: tuple[object, ...] = ()
        self._status_due_s = 0.0
        self._snapshot: SnapshotWriter | None = None
        self._snapshots_directory = data_dir / "snapshots"
        self._sent_checkpoint = 0
        self._agreement = Agreement(len(config.nodes))
        self._doors: dict[str, tuple[str, int]] = {}

        had_data = has_earlier_data(data_dir)  # before anything of this life is written
        poller = platform.poller()
        self._fsyncs = config.log.fsync == FSYNC_MAJORITY
        if not self._fsyncs:
            logger.warning(
                'fsync = "none": what is acknowledged is in the memory of a majority but on no disk, and a power loss '
                "can lose it: after one, replace this node as if its disk were lost"
            )
        journal = Journal(
            data_dir / "journal",
            cluster_id=group_id(config),
            node_id=node_id,
            sync=self._fsyncs,
            disk=platform.disk,
            new_incarnation=platform.random_bytes(INCARNATION_BYTES),
        )
        # The initial members of a new cluster, and where to look for the others of an old one.
        self._configured = {peer_id: peer.peer for peer_id, peer in config.nodes.items() if peer_id != node_id}
        self._transport = platform.transport(
            credentials=credentials,
            group_id=group_id(config),
            bind=addresses.peer_listen or addresses.peer,
            peers=self._configured,
            poller=poller,
            clock_s=platform.now_s,
        )
        self._poller = GroupCommitPoller(poller, journal, self._transport)
        self.replica = platform.replica(
            data_dir / "archive",
            disk=platform.disk,
            random_bytes=platform.random_bytes,
            on_restored=platform.on_restored,
        )
        self._log = ReplicatedLog(
            node_id=node_id,
            peer_ids=self._configured,
            addresses={name: MemberAddresses(str(of.peer), str(of.door)) for name, of in config.nodes.items()},
            journal=journal,
            transport=self._transport,
            poller=self._poller,
            state_machine=self.replica,
            snapshots=SnapshotStore(self._snapshots_directory, disk=platform.disk),
            timing=RaftTiming(
                election_timeout_s_min=config.raft.election_timeout_ms_min / 1000,
                election_timeout_s_max=config.raft.election_timeout_ms_max / 1000,
                heartbeat_s=config.raft.heartbeat_ms / 1000,
                leader_fallback_s=min(1.0, config.raft.election_timeout_ms_max / 1000),
            ),
            on_checkpoint=self._on_checkpoint,
            on_membership=self._on_membership,
            # Once the snapshot stands for them, the journal does not bring back what a power loss tears in the archive.
            before_install=self.replica.sync_archive,
            keep_tail_entries=config.log.keep_tail_entries,
            had_data=had_data,
            newest_rules_version=self.replica.newest_rules_version,
        )
        self._key = load_or_create(data_dir, platform.random_bytes)
        logger.info("receipts of %s are signed by the key %s", node_id, self._key.public_key.hex())
        receipts = ReceiptDesk(
            self.replica,
            self._key,
            cluster_id=config.cluster_id,
            group=config.group,
            node=node_id,
            now_ns=platform.time_ns,
        )
        questions = {**reads.QUESTIONS, "receipt": receipts.receipt}
        self._reads = ReadDesk(self.replica, self._log, platform.now_s, questions=questions)
        self._rules = RulesDesk(
            self.replica, self._log, platform.time_ns, lambda change, command: self.submit(change, 0, command)
        )
        self._snapshot_sequence = self.replica.machine.sequence
        self.replica.reserve(config.engine.reserve_requests)  # now that a snapshot was taken over, if there is one
        self._door = Door(
            addresses.door_listen or addresses.door,
            poller,
            self,
            credentials=credentials,
            group_id=group_id(config),
            now_s=platform.now_s,
            listen=platform.listen,
        )
        self._neighbours = Neighbours(
            config,
            credentials,
            poller=poller,
            now_s=platform.now_s,
            time_ns=platform.time_ns,
            propose=partial(self.submit, self, 0),
        )
        self._keeper = ArchiveKeeper(
            self.replica,
            data_dir / "archive",
            poller=poller,
            now_s=platform.now_s,
            other_doors=self._other_doors,
            group_id=group_id(config),
            credentials=credentials,
        )
        self._keeps_archive = platform.keeps_archive
        # What gateways are told is committed already: it need not wait for the sync of what is newer.
        self._poller.before_sync += [self._propose_waiting, self._reads.maintain, self._let_out]
        self._poller.after_sync.append(self.replica.flush_archive)

    def run(self) -> None:
        """Serve until stopped. Any exception means that this replica must not go on: the process ends."""
        while not self._stopping:
            self.tick(IDLE_WAIT_S)
        self.close()

    def tick(self, timeout_s: float) -> None:
        """One round of everything; waits for input up to ``timeout_s``.

        What waits to be proposed goes on when entries in flight are decided, which is input: no need to spin.
        """
        self._log.tick(timeout_s)
        if self._catching_up and self._log.applied_index >= self._log.commit_index:
            self._catching_up = False
            logger.info("%s has applied sequence %d", self._node_id, self.replica.machine.sequence)
        if self._entries_in_flight and not self._log.is_leader:
            # Whether a later leader commits them is not ours to wait for: their gateways send them again.
            self._log.abandon_proposals()
        self._neighbours.tick(self.replica.machine, self._log)
        self._compare()
        self._take_snapshot()
        if self._keeps_archive:
            self._keeper.tick()

    def close(self) -> None:
        """Close door, links, archive and journal. What is committed is durable on a majority at any time."""
        self._door.close()
        self._neighbours.close()
        self._keeper.close()
        if self._snapshot is not None:
            self._snapshot.cancel()
        self.replica.close()
        self._log.destroy()

    def stop(self) -> None:
        """End the loop after the tick under way. Safe to call from a signal handler."""
        self._stopping = True

    @property
    def log(self) -> ReplicatedLog:
        """For onlookers: what one may know of the log (`replication.replicated_log`)."""
        return self._log

    def answer(self, result: Result) -> None:
        """What became of a command of the relay: it looks at the state instead."""

    def submit(self, link: Asker, correlation: int, command: bytes) -> None:
        if not self._log.leader_ready or len(self._waiting) >= COMMANDS_WAITING_MAX:
            link.answer(Result(correlation, protocol.FAILED, 0, 0, b""))
        else:
            self._waiting.append(Waiting(link, correlation, command))

    def ask(self, query: Query, reply: Callable[[Answer], None], *, operator: str) -> None:
        if query.name == "status":
            reply(Answer(0, self.replica.machine.sequence, self._details()))
        elif query.name == "state_hash":
            self._ask_state_hash(reply)
        elif query.name == "entries" and query.min_sequence is None:
            # What is archived is committed: no need to ask others, and a replica that is cut off may tell it too.
            reply(reads.answer(self.replica, query.name, query.arguments))
        elif query.name not in _FOR_OPERATORS:
            self._reads.ask(query, reply)
        elif not operator:
            reply(Answer(0, self.replica.machine.sequence, None, "only an operator's certificate may ask that"))
        elif query.name == member_desk.RESTART:
            self._ask_restart(reply)
        elif query.name == SET_RULES_VERSION:
            self._rules.ask(query.arguments, operator, reply)
        else:
            member_desk.answer(self._log, query.name, query.arguments, self.replica.machine.sequence, reply)

    def status(self) -> Status:
        return Status(
            node=self._node_id,
            serving=self._log.leader_ready,
            leader=self._log.leader_id or "",
            term=self._log.term,
            sequence=self.replica.machine.sequence,
            compiled=FORM.compiled,
            fsyncs=self._fsyncs,
            public_key=self._key.public_key.hex(),
            doors=self._doors,
            voter=self._log.members.is_voter,
            rules_version=self.replica.machine.rules.version,
            newest_rules_version=self.replica.newest_rules_version,
            archive_missing=self._keeper.report.missing,
            archive_damaged_files=self._keeper.report.damaged_files,
        )

    def _propose_tick(self) -> None:
        """Let time pass in the log when something is due there and nobody asks anything that would carry the time."""
        due_ns = self.replica.machine.timers.next_due_ns()
        if due_ns is None or self._waiting or self._entries_in_flight or not self._log.leader_ready:
            return
        if self._log.membership.handing_over:
            return
        now_ns = self._platform.time_ns()
        if due_ns <= now_ns:
            self._entries_in_flight += 1
            tick = encode_command(Tick(EXCHANGE_ACCOUNT, now_ns))
            self._log.propose(TIMESTAMP.pack(now_ns) + tick, partial(self._on_decided, []))

    def _propose_waiting(self) -> None:
        """Pack what waits into entries, a few in flight at a time; give it back if this replica does not lead."""
        self._propose_tick()
        if self._waiting and not self._log.leader_ready:
            while self._waiting:
                waiting = self._waiting.popleft()
                waiting.link.answer(Result(waiting.correlation, protocol.FAILED, 0, 0, b""))
        # While this replica hands over, what waits is kept: it goes back as soon as another leads.
        entries_in_flight_max = 0 if self._log.membership.handing_over else ENTRIES_IN_FLIGHT_MAX
        while self._waiting and self._entries_in_flight < entries_in_flight_max:
            batch: list[Waiting] = []
            size_bytes = 0
            while self._waiting and size_bytes + len(self._waiting[0].command) <= ENTRY_BYTES_MAX:
                batch.append(self._waiting.popleft())
                size_bytes += len(batch[-1].command)
            payload = TIMESTAMP.pack(self._platform.time_ns()) + b"".join([waiting.command for waiting in batch])
            self._entries_in_flight += 1
            self._log.propose(payload, partial(self._on_decided, batch))

    def _on_decided(self, batch: list[Waiting], outcome: Outcome, result: object) -> None:
        self._entries_in_flight -= 1
        if outcome is not Outcome.COMMITTED:
            for waiting in batch:
                waiting.link.answer(Result(waiting.correlation, _OUTCOMES[outcome], 0, 0, b""))
            return
        assert isinstance(result, Applied)
        entry, events_start = result.entry, result.events_start
        if not batch:
            return  # nobody waits for a tick
        for offset, (waiting, events_end) in enumerate(zip(batch, result.event_ends, strict=True)):
            events = entry.events[events_start:events_end]
            events_start = events_end
            waiting.link.answer(
                Result(
                    waiting.correlation, protocol.COMMITTED, entry.first_sequence + offset, entry.timestamp_ns, events
                )
            )

    def _let_out(self) -> None:
        """All answers to the gateways, and a status when it changed or is due."""
        news = self._news()
        if news != self._told_news or self._now_s() >= self._status_due_s:
            self._told_news = news
            self._status_due_s = self._now_s() + STATUS_EVERY_S
            self._door.tell_status()
        self._door.flush()

    def _news(self) -> tuple[object, ...]:
        """What of the status gateways must hear of at once."""
        return self._log.leader_ready, self._log.leader_id, self._log.term, self._doors

    def _compare(self) -> None:
        """Tell the peers the newest checkpoint, once."""
        if self.replica.checkpoint is not None and self.replica.checkpoint[0] > self._sent_checkpoint:
            log_index, checkpoint = self.replica.checkpoint
            self._sent_checkpoint = log_index
            self._agreement.record_own(log_index, checkpoint)
            self._log.broadcast_checkpoint(log_index, checkpoint.sequence, checkpoint.chain)

    def _on_membership(self, membership: Membership) -> None:
        """The log says who the members are and where; this node's configuration may know a newer address."""
        self._agreement.replica_count = len(membership.members)
        doors = {member.node_id: parse_address(member.door) for member in membership.members}
        self._doors = {node_id: (door.host, door.port) for node_id, door in doors.items() if door}
        peers: dict[str, list[tuple[str, int]]] = {}
        for member in membership.members:
            if member.node_id != self._node_id:
                known = [parse_address(member.peer), self._configured.get(member.node_id)]
                peers[member.node_id] = list(dict.fromkeys(address for address in known if address))
        self._transport.set_peers(peers)

    def _other_doors(self) -> list[DoorOfPeer]:
        """Where the other replicas answer questions; the leader last, which has most to do."""
        others = [node_id for node_id in self._doors if node_id != self._node_id]
        others.sort(key=lambda node_id: node_id == self._log.leader_id)
        return [(node_id, *self._doors[node_id]) for node_id in others]

    def _on_checkpoint(self, peer_id: str, log_index: int, sequence: int, chain: bytes) -> None:
        self._agreement.record_peer(peer_id, log_index, Checkpoint(sequence, chain))

    def _take_snapshot(self) -> None:
        """Start a snapshot when enough was applied since the last one; adopt it when its writer is done."""
        if self._snapshot is not None:
            state = self._snapshot.poll()
            if state == "running":
                return
            if state == "done":
                self._log.snapshot_taken(self._snapshot.meta())
            self._snapshot = None
            return
        machine = self.replica.machine
        if machine.sequence - self._snapshot_sequence < self._snapshot_every_commands:
            return
        self._snapshot_sequence = machine.sequence
        # The journal will forget what the snapshot covers, so the archive must be safe on disk before.
        self.replica.sync_archive()
        log_point = self.replica.log_point
        point = log_point._replace(membership=self._log.membership_at(log_point.log_index))
        self._snapshot = self._platform.snapshot_writer(self._snapshots_directory, point, self._sound_snapshot)
        self._snapshot.start()

    def _sound_snapshot(self) -> bytes:
        assert_sound(self.replica.machine)
        return snapshot_bytes(self.replica.machine)

    def _ask_state_hash(self, reply: Callable[[Answer], None]) -> None:
        """Hashing takes time in proportion to the state: a child does it."""
        machine = self.replica.machine
        sequence, chain = machine.sequence, machine.chain

        def answer(digest: bytes | None) -> None:
            value = None if digest is None else {"sequence": sequence, "chain": chain.hex(), "state_hash": digest.hex()}
            reply(Answer(0, sequence, value, "" if value else "the state could not be hashed"))

        ask_child(self._poller, lambda: state_hash(machine), f"hashing the state at sequence {sequence}", answer)

    def _ask_restart(self, reply: Callable[[Answer], None]) -> None:
        """End after this tick, in which the answer leaves. Whoever keeps this process running starts it again."""
        refusal = member_desk.why_not_restart(self._log)
        if not refusal:
            logger.info("an operator asks for a restart")
            self.restart_asked = True
            self.stop()
        value = None if refusal else {"node": self._node_id, "started_at_ns": self._started_at_ns}
        reply(Answer(0, self.replica.machine.sequence, value, refusal))

    def _details(self) -> dict[str, Any]:
        machine = self.replica.machine
        return {
            "node": self._node_id,
            "public_key": self._key.public_key.hex(),
            "role": self._log.role.name.lower(),
            "serving": self._log.leader_ready,
            "leader": self._log.leader_id or "",
            "term": self._log.term,
            "first_index": self._log.first_index,
            "commit_index": self._log.commit_index,
            "applied_index": self._log.applied_index,
            "sequence": machine.sequence,
            "chain": machine.chain.hex(),
            "snapshot_sequence": self._snapshot_sequence,
            "commands_waiting": len(self._waiting),
            "entries_in_flight": self._entries_in_flight,
            "group": self._group,
            "in_touch": self._log.in_touch,
            "reads_waiting": self._reads.waiting,
            "transfers_stuck": self._neighbours.stuck,
            "started_at_ns": self._started_at_ns,
            "build": VERSION,
            "rules_version": machine.rules.version,
            "newest_rules_version": self.replica.newest_rules_version,
            "archive": self._keeper.details(),
        }


def run(config: Config, node_id: str) -> int:
    """Run one replica until SIGTERM or SIGINT, or until an operator asks for a restart. Answers the exit code."""
    data_dir = node_data_dir(config, node_id)
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    started_s = time.monotonic()
    logger.info("the engine runs %s", FORM)
    node = Node(config, node_id)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: node.stop())
    keep_collector_quiet()
    logger.info(
        "%s (process %d) starts at sequence %d after %.2f s",
        node_id,
        os.getpid(),
        node.replica.machine.sequence,
        time.monotonic() - started_s,
    )
    node.run()
    logger.info("%s stopped at sequence %d", node_id, node.replica.machine.sequence)
    return EXIT_RESTART if node.restart_asked else 0
