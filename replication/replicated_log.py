"""The replicated log: agreement, durability, snapshots and the apply loop of one replica.

One thread calls everything. `tick()` does one round: elections, commit, apply, send, then the poller waits for input,
with the durability point before and after (see `replication.poller`).

How far the log has come, smallest first on a leader::

    applied_index <= commit_index <= journal.durable_index <= last_index

The third relation holds because the commit rule is shown durable entries only (see `replication.pysyncobj_adapter`): a
leader cannot count its own copy of an entry before it is on its disk, whatever the followers acknowledged meanwhile.
"""

import logging
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from engine.rules import OLDEST_RULES_VERSION
from replication.halt import Halt
from replication.journal import Journal, SnapshotReference
from replication.journal_records import APPLICATION, MEMBERSHIP, NO_OP
from replication.log_receiver import IncomingSnapshot, take_entries
from replication.log_sender import LogSender
from replication.members import Members
from replication.membership import MemberAddresses, Membership
from replication.membership_control import MembershipControl, RemovedFromCluster
from replication.messages import (
    AppendEntries,
    Checkpoint,
    Foundation,
    Hello,
    Message,
    NextIndex,
    Removed,
    RequestPreVote,
    RequestVote,
    SnapshotChunk,
    SnapshotProgress,
)
from replication.poller import GroupCommitPoller
from replication.proposals import OnOutcome, Outcome, Proposals, answer
from replication.pysyncobj_adapter import PeerNode, Raft, RaftTiming, Role, UnsupportedPysyncobj, now_s, peer_node
from replication.read_index import OnReadable, ReadIndex
from replication.snapshots import SnapshotMeta, SnapshotStore
from replication.transport import Transport

__all__ = [
    "Halt",
    "OnOutcome",
    "Outcome",
    "RaftTiming",
    "RemovedFromCluster",
    "ReplicatedLog",
    "Role",
    "SnapshotMissing",
    "StateMachine",
    "UnsupportedPysyncobj",
]

PAYLOAD_BYTES_MAX = 16 * 1024 * 1024

logger = logging.getLogger(__name__)


class SnapshotMissing(Exception):
    """Journal and snapshots do not belong together: the state cannot be rebuilt from what is on this disk."""


class StateMachine(Protocol):
    """What the log drives. Errors of either method stop the replica."""

    def apply(self, log_index: int, term: int, payload: bytes) -> object:
        """Apply one committed payload; called once per index, in order. The result goes to the proposer."""

    def restore(self, meta: SnapshotMeta, blob: bytes) -> None:
        """Replace the whole state by a snapshot."""


class ReplicatedLog:
    """One replica of the log, driven by `tick()`."""

    def __init__(
        self,
        *,
        node_id: str,
        peer_ids: Iterable[str],
        journal: Journal,
        transport: Transport,
        poller: GroupCommitPoller,
        state_machine: StateMachine,
        snapshots: SnapshotStore,
        timing: RaftTiming,
        on_role_change: Callable[[Role], None] | None = None,
        on_checkpoint: Callable[[str, int, int, bytes], None] | None = None,
        on_membership: Callable[[Membership], None] | None = None,
        before_install: Callable[[], None] | None = None,
        addresses: Mapping[str, MemberAddresses] | None = None,
        proposal_timeout_s: float = 10.0,
        keep_tail_entries: int = 1_000,
        had_data: bool = False,
        newest_rules_version: int = OLDEST_RULES_VERSION,
    ) -> None:
        """Restore the newest snapshot, if any, and take part from the first tick on.

        `peer_ids` are the other initial members: they found the cluster together if it is new. From then on the log
        says who belongs to it, and `on_membership` is told, at once if the log knows already. `addresses` are where
        this node and the initial members are found.

        `had_data`: the node's folder has what an earlier life left, an archive for instance: it founds no cluster.
        `newest_rules_version` is up to where the state machine knows the rules; the other replicas are told.

        `on_role_change(role)` is called from inside `tick()`. `on_checkpoint(peer_id, log_index, sequence, chain)`
        receives what peers broadcast. `before_install()` is called before a snapshot of another replica takes the place
        of the log: what was applied must be durable when it returns. `keep_tail_entries` entries before a snapshot are
        kept for slow followers.

        Errors: UnsupportedPysyncobj, SnapshotMissing, SnapshotDamaged, Halt if the state machine fails to restore.
        """
        journal_is_new = len(journal) == 0
        self._journal = journal
        self._transport = transport
        self._state_machine = state_machine
        self._snapshots = snapshots
        self._timing = timing
        self._on_role_change = on_role_change
        self._on_checkpoint = on_checkpoint
        self._before_install = before_install
        self._keep_tail_entries = keep_tail_entries
        self._proposals = Proposals(proposal_timeout_s)
        self._reads = ReadIndex()
        self._leader_heard_s = -math.inf
        self._incoming = IncomingSnapshot()
        self._stopped_by: BaseException | None = None
        self._sender = LogSender(journal, transport, snapshots)
        self._raft = Raft(self, PeerNode(node_id), journal, timing, poller)
        self._members = Members(
            node_id,
            journal,
            peer_ids,
            addresses or {},
            had_data=had_data,
            newest_rules_version=newest_rules_version,
        )
        self.membership = MembershipControl(
            members=self._members,
            raft=self._raft,
            sender=self._sender,
            journal=journal,
            transport=transport,
            proposals=self._proposals,
            on_membership=on_membership,
        )
        transport.on_message = self._on_message
        transport.on_connected = self.membership.connected
        transport.on_disconnected = self.membership.disconnected
        poller.queue_entries = self._send_new_entries
        self._restore(journal_is_new)
        self._members.refresh()
        self.membership.adopt()
        self.membership.found_if_due()

    # What one may know

    @property
    def role(self) -> Role:
        """Follower, candidate or leader. There may be two leaders at a time, of different terms."""
        return self._raft.role()

    @property
    def is_leader(self) -> bool:
        """Whether this replica leads its term. It may not know yet that a later term has begun."""
        return self._raft.leads()

    @property
    def leader_ready(self) -> bool:
        """Whether this replica leads and has applied everything that was committed before its term: only then
        may it serve."""
        return self.is_leader and self.applied_index >= self._raft.first_index_of_own_term()

    @property
    def leader_id(self) -> str | None:
        """The leader of this term as far as this replica knows."""
        return self._raft.leader_id()

    @property
    def term(self) -> int:
        """The highest term this replica has seen."""
        return self._raft.term()

    @property
    def voted_for(self) -> str | None:
        """Whom this replica voted for in its term."""
        return self._journal.getVotedForNodeId()

    @property
    def first_index(self) -> int:
        """The first entry that is still in this replica's log: what is before it came to be in a snapshot."""
        return self._journal.first

    @property
    def commit_index(self) -> int:
        """The highest log index known to be committed."""
        return self._raft.commit_index()

    @property
    def applied_index(self) -> int:
        """The highest log index applied to the state machine."""
        return self._raft.applied_index()

    @property
    def applied_term(self) -> int:
        """The term of the entry at `applied_index`."""
        return self._journal.term_at(self.applied_index)

    @property
    def last_index(self) -> int:
        """The highest log index in the journal."""
        return self._journal.last

    @property
    def due_s(self) -> float:
        """When this replica has something to say though it hears nothing: a heartbeat, or that it wants to lead."""
        return self._raft.due_s()

    @property
    def in_touch(self) -> bool:
        """Whether this replica has heard from the others within the longest election timeout: a leader from a
        majority of the voters, another one from a leader.

        It says nothing about this very moment: what was heard last may have been on its way for long, or have waited
        here while this process was stopped.
        """
        since_s = now_s() - self._timing.election_timeout_s_max
        if not self.is_leader:
            return self._leader_heard_s >= since_s
        others = self._members.other_voters
        heard = sum(self._raft.last_response_s(peer_node(peer_id)) >= since_s for peer_id in others)
        return heard + 1 > (len(others) + 1) / 2

    @property
    def members(self) -> Members:
        """Who belongs to the cluster as far as this replica knows, and who is linked."""
        return self._members

    @property
    def undecided_proposals(self) -> int:
        """How many proposals wait for their outcome."""
        return len(self._proposals)

    @property
    def waiting_reads(self) -> int:
        """How many reads wait for a majority to confirm that this replica leads."""
        return len(self._reads)

    def match_indexes(self) -> dict[str, int]:
        """Leader: how far each peer's log is known to agree with ours, on the peer's disk."""
        return self._sender.match_indexes()

    # What one may do

    def tick(self, timeout_s: float) -> None:
        """One round; waits for input up to `timeout_s`, or not at all while there are entries left to apply.

        Whatever it raises is final: the replica has stopped, and every later tick raises Halt.
        """
        if self._stopped_by is not None:
            raise Halt("this replica has stopped") from self._stopped_by
        try:
            self._transport.maintain()
            self._proposals.expire(now_s())
            self.membership.continue_hand_over()
            self.membership.explain_waiting()
            self._raft.doTick(0.0 if self.applied_index < self.commit_index else timeout_s)
        except BaseException as error:
            self._stopped_by = error
            raise

    def propose(self, payload: bytes, on_outcome: OnOutcome) -> None:
        """Leader: append one entry. `on_outcome(outcome, detail)` is called exactly once, see `Outcome`.

        On another replica it is called at once with FAILED. Proposals are never forwarded.
        """
        assert len(payload) <= PAYLOAD_BYTES_MAX, f"a payload of {len(payload)} bytes"
        if not self.is_leader or self.membership.handing_over or self._stopped_by is not None:
            answer(on_outcome, Outcome.FAILED, "handing over" if self.membership.handing_over else "not the leader")
            return
        index = self._journal.last + 1
        self._journal.add(APPLICATION + payload, index, self.term)
        self._proposals.add(index, self.term, on_outcome, now_s())

    def read(self, on_readable: OnReadable) -> None:
        """Leader: call back with True once the state machine holds everything that was committed, by whatever leader,
        when this was called (`replication.read_index`). On another replica, at once with False.

        A leader that cannot reach a majority refuses when it steps down, within `leader_fallback_s`.
        """
        if not self.leader_ready or self._stopped_by is not None:
            on_readable(False)
            return
        self._reads.add(self.commit_index, on_readable)

    def abandon_proposals(self) -> None:
        """Answer every undecided proposal with UNKNOWN, for instance before shutting down."""
        self._proposals.abandon()

    def snapshot_taken(self, meta: SnapshotMeta) -> bool:
        """A snapshot of our state is in the store: let it stand for the log up to its index.

        False if a newer snapshot stands there already.
        """
        newest = self._journal.snapshot
        if meta.log_index < self._journal.first or (newest is not None and meta.log_index <= newest.log_index):
            return False
        assert meta.log_index <= self.applied_index, f"a snapshot of the future: {meta.log_index}"
        first_index = max(self._journal.first, meta.log_index - self._keep_tail_entries)
        self._journal.compact(SnapshotReference(meta.log_index, meta.log_term), first_index)
        return True

    def broadcast_checkpoint(self, log_index: int, sequence: int, chain: bytes) -> None:
        """Tell all peers what this replica has at `log_index`, so that they can compare."""
        for peer_id in self._transport.connected_ids:
            self._transport.send(peer_id, Checkpoint(self.term, log_index, sequence, chain))

    def transfer_leadership(self, peer_id: str | None = None) -> bool:
        """Leader: ask a peer, or the one that is furthest, to take over now. False if it does not have all of the log.

        True means that the request was queued; watch `role`.
        """
        return self._raft.transfer_to(peer_node(peer_id) if peer_id else None)

    def membership_at(self, log_index: int) -> bytes:
        """The membership that held at an entry, encoded, for a snapshot that is taken there."""
        return self._journal.membership_at(log_index)

    def destroy(self) -> None:
        """Close links and journal; what was not synced is lost, as in a crash."""
        self._stopped_by = self._stopped_by or Halt("closed")
        self._transport.destroy()
        self._journal.close()

    # Start

    def _restore(self, journal_is_new: bool) -> None:
        journal, reference = self._journal, self._journal.snapshot
        meta = self._snapshots.latest()
        if meta is None:
            if reference is not None or journal.first != 1:
                raise SnapshotMissing(f"the log begins at {journal.first}, but there is no snapshot")
            return
        if journal_is_new:
            raise SnapshotMissing("there are snapshots but no journal: this replica forgot how it voted")
        if reference is not None and meta.log_index < reference.log_index:
            raise SnapshotMissing(f"the snapshot at {reference.log_index} is gone, the newest is {meta.log_index}")
        # The newest may be newer than the reference: the process ended between writing one and recording it.
        blob = self._snapshots.read(meta)
        if not self._has_entry(meta.log_index, meta.log_term):
            if meta.log_index <= self.commit_index:
                raise SnapshotMissing(f"log and snapshot disagree about the committed entry {meta.log_index}")
            journal.reset_to(SnapshotReference(meta.log_index, meta.log_term), NO_OP, meta.membership)
        self._restore_state(meta, blob)

    def _restore_state(self, meta: SnapshotMeta, blob: bytes) -> None:
        try:
            self._state_machine.restore(meta, blob)
        except Halt:
            raise
        except Exception as error:
            raise Halt(f"cannot restore the snapshot at log index {meta.log_index}: {error!r}") from error
        self._raft.set_commit_index(max(self.commit_index, meta.log_index))
        self._raft.set_applied_index(meta.log_index)

    def _has_entry(self, index: int, term: int) -> bool:
        return self._journal.first <= index <= self._journal.last and self._journal.term_at(index) == term

    # Called by Raft, see RaftOwner

    def apply_committed(self) -> bool:
        """Apply what is committed, for at most one heartbeat; True if followers should hear of it at once."""
        advanced = self._apply_next()
        self._reads.settle(self.applied_index, self._members.other_voters)
        return advanced and self.is_leader

    def _apply_next(self) -> bool:
        commit_index, applied_index = self.commit_index, self.applied_index
        if applied_index >= commit_index:
            return False
        if self.is_leader:
            durable_index = self._journal.durable_index
            assert commit_index <= durable_index, f"committed {commit_index}, on disk {durable_index}"
        enough_s = now_s() + self._timing.heartbeat_s
        while applied_index < commit_index and now_s() <= enough_s:
            command, index, term = self._journal.entry(applied_index + 1)
            assert index == applied_index + 1, f"entry {index} after {applied_index}"
            result = self._apply(command, index, term)
            applied_index = index
            self._raft.set_applied_index(applied_index)
            self._proposals.decide(index, term, result)
        return True

    def _apply(self, command: bytes, index: int, term: int) -> object:
        kind = command[:1]
        if kind in (NO_OP, MEMBERSHIP):
            return None
        if kind != APPLICATION:
            raise Halt(f"log index {index} has unknown type {kind!r}")
        try:
            return self._state_machine.apply(index, term, command[1:])
        except Halt:
            raise
        except Exception as error:
            raise Halt(f"applying log index {index} failed: {error!r}") from error

    def role_changed(self, role: Role) -> None:
        """pysyncobj changed the role."""
        logger.info("%s in term %d", role.value, self.term)
        if role is not Role.LEADER:
            self._reads.refuse_all()
        if self._on_role_change is not None:
            self._on_role_change(role)

    def leadership_begins(self) -> None:
        """This replica won an election."""
        self._incoming.forget()
        self._sender.lead()
        self._reads.lead()

    def term_changed(self, term: int) -> None:
        """What was queued in an earlier term must not leave any more."""
        self._transport.purge(term)

    def send_heartbeats(self) -> None:
        """Leader: send what is new, and at least one message to every follower."""
        self.membership.tend()
        self._reads.begin_round()
        self._send(heartbeat=True)

    def send_message(self, peer_id: str, message: Message) -> None:
        """Send what pysyncobj wants to say."""
        self._transport.send(peer_id, message)

    def _send_new_entries(self) -> None:
        if self.is_leader:
            self._send(heartbeat=self._reads.begin_round())

    def _send(self, *, heartbeat: bool) -> None:
        self._sender.read_round = self._reads.round
        self._sender.send(term=self.term, commit_index=self.commit_index, now_s=now_s(), heartbeat=heartbeat)

    # Input from peers

    def _on_message(self, peer_id: str, message: Message) -> None:
        peer = peer_node(peer_id)
        if isinstance(message, Hello):
            self.membership.greeted(peer_id, message)
        elif peer_id not in self._members.linked:
            logger.warning("ignored a message of %r, who said no hello", peer_id)
        elif isinstance(message, Foundation):
            self.membership.take_foundation(message.membership)
        elif isinstance(message, Removed):
            self.membership.dismissed(message)
        elif isinstance(message, AppendEntries | SnapshotChunk):
            if self._follows(peer, message):
                if isinstance(message, AppendEntries):
                    self._take_entries(peer_id, message)
                else:
                    self._take_snapshot(peer_id, message)
        elif isinstance(message, NextIndex | SnapshotProgress):
            if self._sender.follows(peer_id):
                self._on_answer(peer, message)
        elif isinstance(message, Checkpoint):
            if self._on_checkpoint is not None:
                self._on_checkpoint(peer_id, message.log_index, message.sequence, message.chain)
        elif isinstance(message, RequestVote | RequestPreVote):
            self._on_request_for_vote(peer, message)
        else:
            self._raft.receive(peer, message)

    def _on_request_for_vote(self, peer: PeerNode, message: RequestVote | RequestPreVote) -> None:
        """A candidate asks the voter that its log names: another life of this node must not answer for that one.

        Whether our own log says that we vote does not matter. It may lag behind the candidate's, which has made us a
        voter, and then a majority may need our vote.
        """
        if self._members.fresh or message.voter != self._journal.incarnation:
            return
        if message.term < self.term:
            self._tell_term(peer.id)
        else:
            self._raft.receive(peer, message)

    def _follows(self, peer: PeerNode, message: AppendEntries | SnapshotChunk) -> bool:
        """Whether the sender leads our term; adopts its term, its leadership and the end of our patience."""
        if message.term < self.term:
            self._tell_term(peer.id)
            return False
        if message.term == self.term and self.is_leader:
            raise Halt(f"{peer.id} and this replica both lead term {message.term}")
        self._raft.follow(peer, message.term)
        self._leader_heard_s = now_s()
        return True

    def _tell_term(self, peer_id: str) -> None:
        """Our term alone makes a leader or candidate of an earlier term step down."""
        self._answer(peer_id, success=False, reset=False, next_index=self._journal.last + 1)

    def _take_entries(self, peer_id: str, message: AppendEntries) -> None:
        if self._members.fresh:
            # A snapshot must come first: it says who the members are.
            self._answer(peer_id, success=False, reset=True, next_index=2, prev_index=message.prev_index)
            return
        taken = take_entries(self._journal, message, self.commit_index)
        self.membership.log_changed()
        if taken.success:
            self._raft.set_commit_index(max(self.commit_index, min(message.commit_index, taken.verified_index)))
        self._answer(
            peer_id,
            success=taken.success,
            reset=not taken.success,
            next_index=taken.next_index,
            prev_index=message.prev_index,
            read_round=message.read_round,
        )

    def _take_snapshot(self, peer_id: str, message: SnapshotChunk) -> None:
        meta = message.meta
        if self._has_entry(meta.log_index, meta.log_term):
            # Everything up to a snapshot is committed, and our log has that very entry.
            self._raft.set_commit_index(max(self.commit_index, meta.log_index))
        if meta.log_index > self.commit_index:
            blob = self._incoming.take(message)
            if blob is None:
                progress = SnapshotProgress(self.term, meta.log_index, self._incoming.next_number)
                self._transport.send(peer_id, progress)
                return
            self._install(meta, blob)
        self._answer(peer_id, success=True, reset=False, next_index=self.commit_index + 1)

    def _install(self, meta: SnapshotMeta, blob: bytes) -> None:
        """Snapshot on disk, then state, then journal; the answer waits for the journal's sync as usual."""
        if self._before_install is not None:
            self._before_install()
        stored = self._snapshots.write(meta.point, blob)
        assert stored == meta, f"wrote {stored}, received {meta}"
        self._journal.reset_to(SnapshotReference(meta.log_index, meta.log_term), NO_OP, meta.membership)
        self.membership.log_changed()
        self._restore_state(meta, blob)
        self._proposals.cover(meta.log_index)
        self._raft.postpone_election()
        logger.info("installed the snapshot at log index %d", meta.log_index)

    def _on_answer(self, peer: PeerNode, message: NextIndex | SnapshotProgress) -> None:
        if message.term > self.term:
            self._raft.step_down(message.term)
            return
        # An answer of an earlier term says nothing about the log that the follower has now.
        if message.term < self.term or not self.is_leader:
            return
        counts = self._members.counts(peer.id)
        if counts:
            self._raft.heard_from(peer)
        if isinstance(message, NextIndex):
            urgent = self._sender.on_next_index(peer.id, message)
            if counts:
                self._reads.acknowledge(peer.id, message.read_round)
                self._reads.settle(self.applied_index, self._members.other_voters)
                self._raft.set_match_index(peer, self._sender.match_indexes()[peer.id])
        else:
            urgent = self._sender.on_snapshot_progress(peer.id, message)
        if urgent:
            self._send(heartbeat=False)

    def _answer(
        self, peer_id: str, *, success: bool, reset: bool, next_index: int, prev_index: int = 0, read_round: int = 0
    ) -> None:
        self._transport.send(peer_id, NextIndex(self.term, next_index, prev_index, success, reset, read_round))
