"""The replicated log as a whole: scripted on virtual time, and over real sockets."""

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from replication.halt import Halt
from replication.journal import Journal
from replication.messages import AppendEntries, NextIndex, RequestVote, SnapshotChunk, SnapshotProgress
from replication.poller import GroupCommitPoller, Poller
from replication.replicated_log import Outcome, RaftTiming, ReplicatedLog, Role, SnapshotMissing
from replication.snapshots import SnapshotMeta, SnapshotPoint, SnapshotStore, describe
from replication.transport import PeerTransport
from tests.replication.link_certificates import CLUSTER_ID, node
from tests.replication.raft_harness import Cluster, RecordingMachine, World, between


@pytest.fixture
def short_tail(world: World, tmp_path: Path) -> Iterator[Cluster]:
    running = Cluster(world, tmp_path, keep_tail_entries=5)
    yield running
    running.close()


def propose_many(cluster: Cluster, name: str, count: int, prefix: bytes = b"") -> list[bytes]:
    payloads = [prefix + b"%d" % number for number in range(count)]
    for payload in payloads:
        cluster[name].propose(payload)
    cluster.settle()
    return payloads


# The usual


def test_committed_proposals_are_applied_everywhere_and_answered_with_the_result(cluster: Cluster) -> None:
    a = cluster.elect("A")
    payloads = propose_many(cluster, "A", 5)
    assert [replica.machine.payloads for replica in cluster] == [payloads] * 3
    assert [a.outcomes[payload] for payload in payloads] == [(Outcome.COMMITTED, number) for number in range(1, 6)]
    assert a.log.match_indexes() == {"B": a.log.last_index, "C": a.log.last_index}
    assert a.log.undecided_proposals == 0


def test_one_proposal_is_one_entry_with_the_index_and_term_it_is_applied_with(cluster: Cluster) -> None:
    a = cluster.elect("A")
    propose_many(cluster, "A", 3)
    assert a.machine.applied == [(3, 1, b"0"), (4, 1, b"1"), (5, 1, b"2")]
    assert (a.log.last_index, a.log.commit_index, a.log.applied_index, a.log.applied_term) == (5, 5, 5, 1)


def test_two_of_three_are_enough(cluster: Cluster) -> None:
    cluster.elect("A")
    cluster.kill("C")
    payloads = propose_many(cluster, "A", 3)
    assert cluster["A"].machine.payloads == cluster["B"].machine.payloads == payloads


def test_one_of_three_is_not_enough(cluster: Cluster) -> None:
    cluster.elect("A")
    cluster.kill("B")
    cluster.kill("C")
    propose_many(cluster, "A", 1)
    assert cluster["A"].machine.payloads == []
    assert cluster["A"].outcomes == {}


def test_everybody_knows_who_leads(cluster: Cluster) -> None:
    cluster.elect("B")
    assert [replica.log.leader_id for replica in cluster] == ["B", "B", "B"]
    assert [replica.log.role for replica in cluster] == [Role.FOLLOWER, Role.LEADER, Role.FOLLOWER]
    assert [replica.log.term for replica in cluster] == [1, 1, 1]


def test_a_replica_that_does_not_lead_refuses_proposals_for_good(cluster: Cluster) -> None:
    cluster.elect("A")
    cluster["B"].propose(b"x")
    assert cluster["B"].outcomes[b"x"] == (Outcome.FAILED, "not the leader")
    cluster.settle()
    assert cluster["A"].machine.payloads == []


def test_a_leader_is_ready_when_the_past_is_applied(cluster: Cluster, world: World) -> None:
    a = cluster.stand("A")
    ready_when_elected: list[bool] = []
    a.log._on_role_change = lambda role: ready_when_elected.append(a.log.leader_ready)
    world.deliver("A", "B")
    world.deliver("B", "A")
    assert a.log.is_leader
    assert not a.log.leader_ready
    assert ready_when_elected == [False]
    world.drain()
    a.tick()
    assert a.log.leader_ready
    assert not cluster["B"].log.leader_ready


def test_a_leader_elected_again_is_not_ready_at_once(cluster: Cluster, world: World) -> None:
    cluster.elect("A")
    cluster.elect("B")
    ready: list[bool] = []
    a = cluster["A"]
    a.log._on_role_change = lambda role: ready.append(a.log.leader_ready)
    cluster.stand("A")
    world.deliver("A", "B")
    world.deliver("B", "A")
    assert a.log.is_leader
    assert not any(ready)
    assert not a.log.leader_ready


def test_a_cut_off_leader_steps_down_within_a_second(cluster: Cluster, world: World) -> None:
    a = cluster.elect("A")
    for _ in range(14):
        world.lose()
        world.advance(0.06)
        a.tick()
    assert not a.log.is_leader
    assert not a.log.leader_ready


def test_leadership_is_handed_over_on_request(cluster: Cluster, world: World) -> None:
    a = cluster.elect("A")
    propose_many(cluster, "A", 3)
    assert not cluster["B"].log.transfer_leadership()
    assert a.log.transfer_leadership("C")
    a.poller.commit()
    world.drain()
    cluster.settle()
    assert cluster["C"].log.is_leader
    assert a.log.role is Role.FOLLOWER


def test_leadership_is_not_handed_to_one_that_lags(cluster: Cluster, world: World) -> None:
    a = cluster.elect("A")
    a.propose(b"x")
    assert not a.log.transfer_leadership("B")


def test_a_leader_hands_over_although_it_is_asked_for_more(cluster: Cluster, world: World) -> None:
    a = cluster.elect("A")
    propose_many(cluster, "A", 3)
    a.propose(b"before")
    a.log.membership.hand_over("B")
    a.propose(b"after")
    assert a.outcomes[b"after"] == (Outcome.FAILED, "handing over")
    cluster.settle()
    assert cluster["B"].log.is_leader
    assert a.outcome(b"before") is Outcome.COMMITTED
    assert not a.log.membership.handing_over


def test_a_leader_to_whom_nobody_succeeds_goes_on(cluster: Cluster, world: World) -> None:
    a = cluster.elect("A")
    cluster.kill("B")
    a.log.membership.hand_over("B")
    cluster.settle("AC", rounds=10)
    assert a.log.membership.handing_over
    cluster.settle("AC", rounds=10)
    a.propose(b"x")
    cluster.settle("AC")
    assert a.outcome(b"x") is Outcome.COMMITTED


def test_checkpoints_reach_the_peers(cluster: Cluster, world: World) -> None:
    cluster.elect("A")
    cluster["B"].log.broadcast_checkpoint(2, 17, b"h" * 32)
    cluster["B"].poller.commit()
    world.drain()
    assert cluster["A"].checkpoints == cluster["C"].checkpoints == [("B", 2, 17, b"h" * 32)]


# What must never happen


def test_entries_leave_a_leader_before_its_own_sync_and_acknowledgements_after(cluster: Cluster, world: World) -> None:
    a = cluster.elect("A")
    world.lose()
    a.log.propose(b"x", lambda _outcome, _detail: None)
    a.log._send_new_entries()
    a.transport.flush(append_entries_only=True)
    assert a.journal.dirty
    entries = world.waiting("A", "B")
    assert [type(message) for message in entries] == [AppendEntries]
    cluster["B"].transport.on_message("A", entries[0])
    cluster["B"].transport.flush(append_entries_only=True)
    assert world.waiting("B", "A") == []
    cluster["B"].poller.commit()
    assert [type(message) for message in world.waiting("B", "A")] == [NextIndex]


def test_an_entry_of_an_earlier_term_is_not_committed_by_counting(cluster: Cluster, world: World) -> None:
    """Raft, section 5.4.2: it is committed along with the first entry of the leader's own term."""
    a = cluster.elect("A")
    a.propose(b"old")
    a.tick()
    world.deliver("A", "B")
    world.lose()
    b = cluster.stand("B", among="BC")
    world.deliver("B", "C")
    world.deliver("C", "B")
    assert b.log.is_leader
    old_index = next(index for index, term in b.terms() if term == 1 and index == 3)
    world.lose()
    b.receive("C", NextIndex(b.log.term, old_index + 1, old_index, True, False))
    b.tick()
    assert b.log.commit_index < old_index
    cluster.settle()
    assert b.machine.payloads == [b"old"]


def test_two_leaders_of_one_term_stop_the_replica(cluster: Cluster) -> None:
    a = cluster.elect("A")
    with pytest.raises(Halt, match="both lead term 1"):
        a.transport.on_message("B", AppendEntries(1, 2, 2, 1, []))


def test_a_leader_that_contradicts_what_is_committed_stops_the_replica(cluster: Cluster) -> None:
    cluster.elect("A")
    propose_many(cluster, "A", 3)
    b = cluster["B"]
    with pytest.raises(Halt, match="contradicts our committed entry 4"):
        b.transport.on_message("A", AppendEntries(1, 5, 4, 99, []))
    with pytest.raises(Halt, match="would replace our committed entry 4"):
        b.transport.on_message("A", AppendEntries(99, 5, 3, 1, [(99, b"\0other")]))


def test_an_acknowledgement_beyond_our_log_stops_the_replica(cluster: Cluster) -> None:
    a = cluster.elect("A")
    with pytest.raises(Halt, match="acknowledged log index 999"):
        a.transport.on_message("B", NextIndex(1, 1000, 2, True, False))


def test_a_candidate_behind_in_term_learns_the_term(cluster: Cluster, world: World) -> None:
    cluster.elect("A")
    cluster.elect("B")
    term = cluster["B"].log.term
    world.lose()
    cluster["B"].receive("C", RequestVote(term - 1, 10**6, term, cluster["B"].journal.incarnation))
    world.drain()
    assert cluster["C"].log.term == term


def test_a_follower_that_missed_everything_catches_up(cluster: Cluster, world: World) -> None:
    cluster.elect("A")
    cluster.kill("C")
    payloads = propose_many(cluster, "A", 500)
    cluster.start("C")
    cluster.settle()
    assert cluster["C"].machine.payloads == payloads


def test_what_was_in_flight_on_a_broken_link_is_sent_again_at_once(cluster: Cluster, world: World) -> None:
    a = cluster.elect("A")
    for number in range(5):
        a.propose(b"%d" % number)
    a.poller.commit()
    world.lose(sender="A", receiver="B")
    a.transport.link_down("B")
    a.transport.link_up("B")
    a.transport.on_message("B", cluster["B"].log.members.hello(a.log.term))
    a.poller.commit()
    sent = world.deliver("A", "B")
    assert [len(message.entries) for message in sent if isinstance(message, AppendEntries)] == [5]
    assert cluster["B"].log.last_index == a.log.last_index


# Restart and snapshots


def test_restarted_replicas_go_on_where_they_were(cluster: Cluster) -> None:
    cluster.elect("A")
    payloads = propose_many(cluster, "A", 10)
    for name in "ABC":
        cluster.kill(name)
    for name in "ABC":
        cluster.start(name)
    assert [replica.log.role for replica in cluster] == [Role.FOLLOWER] * 3
    cluster.elect("C")
    payloads += propose_many(cluster, "C", 5, b"more ")
    assert [replica.machine.payloads for replica in cluster] == [payloads] * 3


def test_a_restarted_replica_applies_at_once_what_it_knows_is_committed(cluster: Cluster) -> None:
    cluster.elect("A")
    propose_many(cluster, "A", 5)
    propose_many(cluster, "A", 1, b"last ")
    cluster.kill("B")
    b = cluster.start("B")
    b.tick()
    assert b.machine.payloads[:5] == [b"0", b"1", b"2", b"3", b"4"]


def test_a_replica_restored_from_a_snapshot_applies_the_tail_after_it(cluster: Cluster) -> None:
    cluster.elect("A")
    payloads = propose_many(cluster, "A", 10)
    meta = cluster["B"].take_snapshot()
    payloads += propose_many(cluster, "A", 10, b"tail ")
    cluster.kill("B")
    b = cluster.start("B")
    assert b.machine.restored_from == [meta.log_index]
    assert b.machine.payloads == payloads[:10]
    assert b.log.applied_index == meta.log_index
    cluster.settle()
    assert b.machine.payloads == payloads


def test_a_snapshot_keeps_a_tail_for_slow_followers(world: World, tmp_path: Path) -> None:
    cluster = Cluster(world, tmp_path, keep_tail_entries=20)
    cluster.elect("A")
    propose_many(cluster, "A", 50)
    a = cluster["A"]
    meta = a.take_snapshot()
    assert a.journal.first == meta.log_index - 20
    assert not a.log.snapshot_taken(meta), "an old snapshot changes nothing"
    cluster.close()


def test_a_follower_within_the_tail_needs_no_snapshot(world: World, tmp_path: Path) -> None:
    cluster = Cluster(world, tmp_path, keep_tail_entries=20)
    cluster.elect("A")
    propose_many(cluster, "A", 50)
    cluster.kill("C")
    propose_many(cluster, "A", 10, b"more ")
    cluster["A"].take_snapshot()
    c = cluster.start("C")
    cluster.settle()
    assert c.machine.restored_from == []
    assert c.machine.applied == cluster["A"].machine.applied
    cluster.close()


def test_a_follower_behind_the_log_gets_the_snapshot_and_then_the_tail(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("replication.snapshots.CHUNK_BYTES", 100)
    cluster = Cluster(world, tmp_path, keep_tail_entries=5)
    cluster.elect("A")
    propose_many(cluster, "A", 10)
    cluster.kill("C")
    propose_many(cluster, "A", 60, b"more ")
    meta = cluster["A"].take_snapshot()
    assert meta.chunk_count > 5
    propose_many(cluster, "A", 5, b"tail ")
    c = cluster.start("C")
    cluster.settle(rounds=6)
    assert c.machine.restored_from == [meta.log_index]
    assert c.machine.applied == cluster["A"].machine.applied
    cluster.kill("C")
    c = cluster.start("C")
    cluster.settle()
    assert c.machine.applied == cluster["A"].machine.applied
    cluster.close()


def test_a_snapshot_transfer_begins_anew_with_a_newer_one(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("replication.snapshots.CHUNK_BYTES", 100)
    cluster = Cluster(world, tmp_path, keep_tail_entries=5)
    a = cluster.elect("A")
    cluster.kill("C")
    propose_many(cluster, "A", 30)
    a.take_snapshot()
    c = cluster.start("C")
    world.advance(0.06)
    a.tick()
    for _ in range(3):  # some chunks of the first
        world.deliver("A", "C")
        world.deliver("C", "A")
    assert c.machine.restored_from == []
    for number in range(3):
        propose_many_among(cluster, 20, b"round %d " % number)
        newest = a.take_snapshot()
    cluster.settle(rounds=24)
    assert c.machine.restored_from[-1] == newest.log_index
    assert c.machine.applied == a.machine.applied
    cluster.close()


def test_a_restore_that_takes_long_is_not_the_leaders_fault(short_tail: Cluster, world: World) -> None:
    cluster = short_tail
    cluster.elect("A")
    cluster.kill("C")
    propose_many(cluster, "A", 30)
    cluster["A"].take_snapshot()
    c = cluster.start("C")
    restore = c.machine.restore

    def slow_restore(meta: SnapshotMeta, blob: bytes) -> None:
        world.advance(3)
        restore(meta, blob)

    c.machine.restore = slow_restore  # type: ignore[method-assign]
    world.advance(0.06)
    cluster["A"].tick()
    world.drain(between("A", "C"))
    assert c.machine.restored_from
    c.tick()
    assert c.log.role is Role.FOLLOWER


def propose_many_among(cluster: Cluster, count: int, prefix: bytes) -> None:
    """Propose on A while C hears nothing."""
    for number in range(count):
        cluster["A"].propose(prefix + b"%d" % number)
    cluster.settle("AB", rounds=2)


def test_a_damaged_snapshot_chunk_is_asked_for_again(cluster: Cluster, world: World) -> None:
    cluster.elect("A")
    meta = describe(SnapshotPoint(100, 1, 50, bytes(32)), b"[]")
    b = cluster["B"]
    world.lose()
    b.receive("A", SnapshotChunk(1, meta, 0, b"{}"))
    assert world.waiting("B", "A") == [SnapshotProgress(1, 100, 0)]
    b.receive("A", SnapshotChunk(1, meta, 0, b"[]"))
    assert b.machine.restored_from == [100]
    assert b.log.applied_index == b.log.commit_index == b.journal.last == 100


def test_a_lost_snapshot_or_journal_is_not_papered_over(cluster: Cluster, tmp_path: Path) -> None:
    cluster.elect("A")
    propose_many(cluster, "A", 10)
    for name in "AB":
        cluster[name].take_snapshot()
    cluster.settle()
    cluster.kill("A")
    cluster.kill("B")
    shutil.rmtree(tmp_path / "A" / "snapshots")
    with pytest.raises(SnapshotMissing, match="there is no snapshot"):
        cluster.start("A")
    shutil.rmtree(tmp_path / "B" / "journal")
    with pytest.raises(SnapshotMissing, match="forgot how it voted"):
        cluster.start("B")


def test_abandoned_proposals_are_unknown(cluster: Cluster) -> None:
    a = cluster.elect("A")
    a.propose(b"x")
    a.log.abandon_proposals()
    assert a.outcome(b"x") is Outcome.UNKNOWN
    cluster.settle()
    assert a.machine.payloads == [b"x"]


# Over real sockets


class RealReplica:
    """One replica with everything real but the application."""

    def __init__(self, directory: Path, node_id: str, peer_ids: list[str]) -> None:
        self.poller = Poller()
        self.journal = Journal(directory / node_id / "journal", cluster_id=b"c" * 16, node_id=node_id)
        self.transport = PeerTransport(
            credentials=node(node_id),
            group_id=CLUSTER_ID,
            bind=("127.0.0.1", 0),
            peers=dict.fromkeys(peer_ids, ("127.0.0.1", 1)),
            poller=self.poller,
            clock_s=time.monotonic,
        )
        self.machine = RecordingMachine()
        self.roles: list[Role] = []
        self.log = ReplicatedLog(
            node_id=node_id,
            peer_ids=peer_ids,
            journal=self.journal,
            transport=self.transport,
            poller=GroupCommitPoller(self.poller, self.journal, self.transport),
            state_machine=self.machine,
            snapshots=SnapshotStore(directory / node_id / "snapshots"),
            timing=RaftTiming(election_timeout_s_min=0.15, election_timeout_s_max=0.3, heartbeat_s=0.03),
            on_role_change=self.roles.append,
        )

    def close(self) -> None:
        self.log.destroy()
        self.poller.close()


class RealCluster:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ids = ["node-1", "node-2", "node-3"]
        self.replicas: dict[str, RealReplica] = {}
        for node_id in self.ids:
            self.start(node_id)

    def start(self, node_id: str) -> None:
        replica = RealReplica(self.directory, node_id, [peer_id for peer_id in self.ids if peer_id != node_id])
        for peer_id, peer in self.replicas.items():
            peer.transport.set_peer_address(node_id, *replica.transport.address)
            replica.transport.set_peer_address(peer_id, *peer.transport.address)
        self.replicas[node_id] = replica

    def stop(self, node_id: str) -> None:
        self.replicas.pop(node_id).close()

    def run_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 15
        while not condition():
            assert time.monotonic() < deadline, "nothing happens any more"
            for replica in self.replicas.values():
                replica.log.tick(0.001)

    def leader(self) -> str | None:
        ready = [node_id for node_id, replica in self.replicas.items() if replica.log.leader_ready]
        return ready[0] if ready else None


def test_three_real_replicas_elect_commit_fail_over_and_recover(tmp_path: Path) -> None:
    cluster = RealCluster(tmp_path)
    outcomes: list[tuple[Outcome, object]] = []

    def commit(count: int) -> None:
        cluster.run_until(lambda: cluster.leader() is not None)
        leader = cluster.replicas[cluster.leader() or ""]
        expected = len(outcomes) + count
        for number in range(count):
            leader.log.propose(b"%d" % number, lambda outcome, detail: outcomes.append((outcome, detail)))
        cluster.run_until(lambda: len(outcomes) == expected)
        assert all(outcome is Outcome.COMMITTED for outcome, _detail in outcomes)

    commit(200)
    first_leader = cluster.leader() or ""
    cluster.stop(first_leader)
    commit(100)
    assert cluster.leader() != first_leader
    cluster.start(first_leader)
    commit(50)
    cluster.run_until(lambda: {len(replica.machine.applied) for replica in cluster.replicas.values()} == {350})
    applied = [replica.machine.applied for replica in cluster.replicas.values()]
    assert applied[0] == applied[1] == applied[2]
    for node_id in cluster.ids:
        cluster.stop(node_id)
