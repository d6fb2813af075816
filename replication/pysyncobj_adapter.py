"""pysyncobj's Raft under plain names, with the parts that are not fit for money replaced.

This is the only module that knows pysyncobj's private names. What stays pysyncobj's: the tick, elections and their
timers, votes, the commit rule, leadership transfer. Which nodes vote is told to it (`Raft.set_voters`), since its own
change of membership is not safe. What is replaced, and why, is in docs/adr and in the tests that show each hole of the
stock package (tests/replication/test_holes.py). Because private names can change with any release, the package is
pinned and its source is checked by hash before the first replica is built.
"""

import enum
import functools
import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pysyncobj import SyncObj, SyncObjConf, syncobj
from pysyncobj.node import Node
from pysyncobj.transport import Transport as PysyncobjTransport

from replication.journal import Journal
from replication.messages import Message, RequestPreVote, RequestVote, ResponsePreVote, ResponseVote, TimeoutNow
from replication.poller import GroupCommitPoller
from replication.pre_vote import PreVote

PYSYNCOBJ_SOURCE_SHA256 = "e8bdf06797085d734df86e24ab4802fe87893dff77268565ec036f7ad4a1cfe4"


class UnsupportedPysyncobj(Exception):
    """The installed pysyncobj is not the one whose private names this module was written for."""


class Role(enum.Enum):
    """What a replica is in its term."""

    FOLLOWER = "follower"
    CANDIDATE = "candidate"
    LEADER = "leader"


_ROLES = (Role.FOLLOWER, Role.CANDIDATE, Role.LEADER)  # as pysyncobj numbers them
_LEADER = _ROLES.index(Role.LEADER)


@dataclass(frozen=True, kw_only=True)
class RaftTiming:
    """Raft's timers, in seconds. The defaults suit shared machines; 0.15 to 0.3 s suits quiet ones."""

    election_timeout_s_min: float = 0.4
    election_timeout_s_max: float = 0.8
    heartbeat_s: float = 0.05
    leader_fallback_s: float = 0.8
    """A leader that has not heard from a majority for so long steps down."""

    def __post_init__(self) -> None:
        if not 0 < 3 * self.heartbeat_s < self.election_timeout_s_min < self.election_timeout_s_max:
            raise ValueError("needed: 3 * heartbeat_s < election_timeout_s_min < election_timeout_s_max")
        if not self.heartbeat_s < self.leader_fallback_s <= 1.0:
            raise ValueError("needed: heartbeat_s < leader_fallback_s <= 1 s, or a cut-off leader serves too long")


class PeerNode(Node):  # type: ignore[misc]  # pysyncobj has no types
    """A replica by its name. Its hash does not depend on PYTHONHASHSEED: pysyncobj iterates sets of nodes."""

    def __hash__(self) -> int:
        return zlib.crc32(self.id.encode())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PeerNode) and self.id == other.id


@functools.lru_cache(maxsize=64)
def peer_node(node_id: str) -> PeerNode:
    """The replica of that name; always the same object, because one is needed for every message."""
    return PeerNode(node_id)


class RaftOwner(Protocol):
    """What the base class' algorithm asks of the log around it."""

    def apply_committed(self) -> bool:
        """Apply what is committed; True if followers should hear of it at once."""

    def send_heartbeats(self) -> None:
        """Leader: send what is new, and at least one message to every follower."""

    def send_message(self, peer_id: str, message: Message) -> None:
        """Send a vote, a request for votes, or a request to take over."""

    def role_changed(self, role: Role) -> None:
        """The role is another one now."""

    def leadership_begins(self) -> None:
        """An election was won; the first entry of the term follows."""

    def term_changed(self, term: int) -> None:
        """The term is a later one now, or the vote in it was given."""


class Raft(SyncObj):  # type: ignore[misc]  # pysyncobj has no types
    """pysyncobj's own state and algorithm behind plain names. No properties here: the base class reads them all
    while it is being built."""

    def __init__(
        self,
        owner: RaftOwner,
        node: PeerNode,
        journal: Journal,
        timing: RaftTiming,
        poller: GroupCommitPoller,
    ) -> None:
        """UnsupportedPysyncobj if the installed package is not the pinned one."""
        _check_pysyncobj()
        self._owner = owner
        self._journal = journal
        self._voted_for_us: set[str] = set()
        self._is_voter = False
        self._other_voters: dict[str, bytes] = {}
        self._pre_vote = PreVote(timing.election_timeout_s_min)
        conf = SyncObjConf(
            autoTick=False,
            # Otherwise the base class opens a pipe and sends on its own.
            appendEntriesUseBatch=True,
            appendEntriesPeriod=timing.heartbeat_s,
            raftMinTimeout=timing.election_timeout_s_min,
            raftMaxTimeout=timing.election_timeout_s_max,
            leaderFallbackTimeout=timing.leader_fallback_s,
            connectionTimeout=max(3.5, timing.election_timeout_s_max),
            dynamicMembershipChange=False,
            onStateChanged=lambda _old, new: owner.role_changed(_ROLES[new]),
        )
        # The base class makes its journal through this function of its module, from a file name.
        stock_create_journal = syncobj.createJournal
        syncobj.createJournal = lambda _file_name: journal
        try:
            super().__init__(node, [], conf=conf, transport=_DictTransport(owner, self._other_voters))
        finally:
            syncobj.createJournal = stock_create_journal
        self._poller = poller

    # State under plain names

    def role(self) -> Role:
        return _ROLES[self._SyncObj__raftState]

    def leads(self) -> bool:
        return self._SyncObj__raftState == _LEADER  # type: ignore[no-any-return]

    def term(self) -> int:
        return int(self._SyncObj__raftCurrentTerm)

    def commit_index(self) -> int:
        return int(self._SyncObj__raftCommitIndex)

    def applied_index(self) -> int:
        return int(self._SyncObj__raftLastApplied)

    def leader_id(self) -> str | None:
        leader = self._SyncObj__raftLeader
        return None if leader is None else str(leader.id)

    def first_index_of_own_term(self) -> int:
        index = self._SyncObj__noopIDx
        assert index is not None, "never led"
        return int(index)

    def set_commit_index(self, index: int) -> None:
        self._SyncObj__raftCommitIndex = index
        self._journal.setRaftCommitIndex(index)

    def set_applied_index(self, index: int) -> None:
        self._SyncObj__raftLastApplied = index

    def set_match_index(self, peer: PeerNode, index: int) -> None:
        self._SyncObj__raftMatchIndex[peer] = index

    def heard_from(self, peer: PeerNode) -> None:
        self._SyncObj__lastResponseTime[peer] = now_s()

    def last_response_s(self, peer: PeerNode) -> float:
        """When a leader heard from a peer last; the beginning of its term, if never."""
        return float(self._SyncObj__lastResponseTime[peer])

    def connected(self, peer: PeerNode) -> None:
        self._SyncObj__onNodeConnected(peer)

    def disconnected(self, peer: PeerNode) -> None:
        self._SyncObj__onNodeDisconnected(peer)

    def due_s(self) -> float:
        """When a timer runs out: a leader's next heartbeat, the end of another one's patience."""
        return float(self._SyncObj__newAppendEntriesTime if self.leads() else self._SyncObj__raftElectionDeadline)

    def patience_s(self) -> float:
        """A time in which an election that succeeds has surely begun and ended."""
        return 2 * float(self.conf.raftMaxTimeout)

    # Steps of the algorithm

    def set_voters(self, *, is_voter: bool, others: Mapping[str, bytes]) -> None:
        """Who votes and counts from now on: whether this replica does, and the other nodes with their incarnations."""
        assert is_voter or self.role() is not Role.LEADER, "a leader votes"
        self._is_voter = is_voter
        before = dict(self._other_voters)
        self._other_voters.clear()
        self._other_voters.update(others)
        self._SyncObj__otherNodes.clear()
        self._SyncObj__otherNodes.update(PeerNode(peer_id) for peer_id in others)
        for peer_id, incarnation in others.items():
            if before.get(peer_id) != incarnation:
                # A leader is as patient with a new voter as with one that just answered.
                self.set_match_index(PeerNode(peer_id), 0)
                self.heard_from(PeerNode(peer_id))

    def follow(self, leader: PeerNode, term: int) -> None:
        """Adopt the leader of a term that is not behind ours: the base class' append_entries without its log part."""
        self._pre_vote.heard_leader(now_s())
        commit_index = self.commit_index()
        self._SyncObj__onMessageReceived(leader, {"type": "append_entries", "term": term, "commit_index": commit_index})

    def step_down(self, term: int) -> None:
        self._SyncObj__setCurrentTerm(term, None)
        self._SyncObj__setState(_ROLES.index(Role.FOLLOWER))
        self._SyncObj__raftLeader = None

    def postpone_election(self) -> None:
        """Restart our patience with the leader, after work that took long."""
        self._SyncObj__raftElectionDeadline = now_s() + self._SyncObj__generateRaftTimeout()

    def receive(self, peer: PeerNode, message: Message) -> None:
        """Pre-votes, and what the base class handles itself: votes and leadership transfer."""
        if isinstance(message, RequestPreVote):
            if self._would_vote_for(message):
                self._owner.send_message(peer.id, ResponsePreVote(self.term(), message.term))
            return
        if isinstance(message, ResponsePreVote):
            self._pre_vote.take_grant(peer.id, message.asked_in_term)
            if self._pre_vote.is_won(self.term(), self._other_voters):
                self._SyncObj__raftElectionDeadline = 0.0
            return
        if isinstance(message, ResponseVote):
            if message.term != self.term() or peer.id in self._voted_for_us or peer.id not in self._other_voters:
                return
            self._voted_for_us.add(peer.id)
        self._SyncObj__onMessageReceived(peer, _to_dict(message))

    def transfer_to(self, peer: PeerNode | None) -> bool:
        results: list[int] = []
        self.transferLeadership(peer, lambda _result, failure: results.append(failure))
        return results == [syncobj.FAIL_REASON.SUCCESS]

    def _would_vote_for(self, message: RequestPreVote) -> bool:
        if self.role() is Role.LEADER or self._pre_vote.hears_leader(now_s()):
            return False
        _command, last_index, last_term = self._journal[-1]
        return message.term >= self.term() and (message.last_log_term, message.last_log_index) >= (
            last_term,
            last_index,
        )

    def _ask_for_pre_votes(self) -> None:
        """Ask everybody, and ask again when our patience is over once more."""
        self.postpone_election()
        self._SyncObj__raftLeader = None
        self._pre_vote.ask(self.term())
        _command, last_index, last_term = self._journal[-1]
        for peer_id, incarnation in self._other_voters.items():
            self._owner.send_message(peer_id, RequestPreVote(self.term(), last_index, last_term, incarnation))

    # What the base class calls, replaced

    def _SyncObj__getEntries(
        self, index: int, count: int | None = None, size_bytes_max: int | None = None
    ) -> list[Any]:
        """The commit rule is the only caller that is left: it sees what is on our disk, and nothing else."""
        assert count == 1 and size_bytes_max is None, "a caller of pysyncobj's that was not expected"
        journal = self._journal
        return [journal.entry(index)] if index <= journal.durable_index else []

    def _SyncObj__applyLogEntries(self) -> bool:
        return self._owner.apply_committed()

    def _SyncObj__sendAppendEntries(self) -> None:
        self._SyncObj__newAppendEntriesTime = now_s() + self.conf.appendEntriesPeriod
        self._owner.send_heartbeats()

    def _SyncObj__tryLogCompaction(self) -> None:
        """The node decides when to take a snapshot."""

    def _checkCommandsToApply(self) -> None:
        """The base class' queue of commands is not used: `propose` appends to the journal."""

    def _SyncObj__onBecomeLeader(self) -> None:
        # The base class sets this after it told of the new role; until then the value is of an earlier term.
        self._SyncObj__noopIDx = self._journal.last + 1
        self._owner.leadership_begins()
        super()._SyncObj__onBecomeLeader()

    def _SyncObj__setCurrentTerm(self, term: int, voted_for_id: str | None) -> None:
        if term != self.term():
            self._voted_for_us.clear()
            self._pre_vote.end()
        super()._SyncObj__setCurrentTerm(term, voted_for_id)
        self._owner.term_changed(term)

    def _SyncObj__connectedToAnyone(self) -> bool:
        """Asked when our patience with the leader is over: may an election begin?

        If this process was stalled, the leader's heartbeats are waiting in the sockets: read them first. The leader
        may have asked for the election; otherwise it begins only if it can be won (`replication.pre_vote`). Who has no
        vote does not stand.
        """
        if not self._is_voter:
            return False
        self._poller.poll(0.0)
        patience_is_over = self._SyncObj__raftElectionDeadline < now_s()
        if self.role() is Role.LEADER or not patience_is_over:
            return False
        asked_to_take_over = bool(self._SyncObj__transferInProgress)
        if not asked_to_take_over and not self._pre_vote.is_won(self.term(), self._other_voters):
            self._ask_for_pre_votes()
        begins = asked_to_take_over or self._pre_vote.is_won(self.term(), self._other_voters)
        if begins:
            self._pre_vote.end()
        return begins


class _DictTransport(PysyncobjTransport):  # type: ignore[misc]  # pysyncobj has no types
    """What the base class sees of the network: it may send, and it hears through `Raft.receive` alone."""

    def __init__(self, owner: RaftOwner, voters: Mapping[str, bytes]) -> None:
        super().__init__(None, None, None)
        self._owner = owner
        self._voters = voters

    def send(self, node: PeerNode, message: dict[str, Any]) -> bool:
        if message["type"] == "request_vote":
            self._owner.send_message(node.id, _request_vote(message, self._voters[node.id]))
        else:
            self._owner.send_message(node.id, _from_dict(message))
        return True


def _to_dict(message: Message) -> dict[str, Any]:
    if isinstance(message, RequestVote):
        return {
            "type": "request_vote",
            "term": message.term,
            "last_log_index": message.last_log_index,
            "last_log_term": message.last_log_term,
        }
    if isinstance(message, ResponseVote):
        return {"type": "response_vote", "term": message.term}
    assert isinstance(message, TimeoutNow), message
    return {"type": "timeout_now", "term": message.term}


def _request_vote(message: dict[str, Any], voter: bytes) -> RequestVote:
    return RequestVote(message["term"], message["last_log_index"], message["last_log_term"], voter)


def _from_dict(message: dict[str, Any]) -> Message:
    match message["type"]:
        case "response_vote":
            return ResponseVote(message["term"])
        case "timeout_now":
            return TimeoutNow(message["term"])
    raise AssertionError(f"pysyncobj sends {message['type']!r}, which this module should have replaced")


def now_s() -> float:
    """pysyncobj's clock, so that both agree; looked up at every call because simulations replace it."""
    return float(syncobj.monotonicTime())


def _check_pysyncobj() -> None:
    source = Path(syncobj.__file__).read_bytes()
    digest = hashlib.sha256(source).hexdigest()
    if digest != PYSYNCOBJ_SOURCE_SHA256:
        raise UnsupportedPysyncobj(
            f"{syncobj.__file__} is not that of pysyncobj 0.3.17 (SHA-256 {digest}): install the pinned version, or "
            "review every private name in replication/pysyncobj_adapter.py against the new source"
        )
