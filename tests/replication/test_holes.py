"""The holes of the stock package, one by one: each test fails if the hole is open.

Where it takes few lines, the stock package is put into the same scripted situation and shown to fail, which proves that
the check can object. Where it does not, the docstring says what the stock package does. The numbers are those of the
table in the design document.
"""

import os
import pickle
import socket
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import pytest

from replication.background_snapshot import BackgroundSnapshot
from replication.halt import Halt
from replication.journal import Journal, JournalDamaged, SnapshotReference
from replication.log_sender import BATCH_BYTES, WINDOW_BYTES
from replication.member_changes import ChangeRefused
from replication.messages import AppendEntries, NextIndex, RequestVote, ResponseVote, SnapshotChunk
from replication.poller import Poller
from replication.proposals import Outcome
from replication.pysyncobj_adapter import PeerNode
from replication.snapshots import SnapshotPoint
from replication.transport import PeerTransport
from tests.replication.link_certificates import node
from tests.replication.raft_harness import (
    CLUSTER_ID,
    Cluster,
    StockReplica,
    World,
    between,
    stock_cluster,
)

BC = between("B", "C")


@pytest.fixture
def short_tail(world: World, tmp_path: Path) -> Iterator[Cluster]:
    running = Cluster(world, tmp_path, keep_tail_entries=2)
    yield running
    running.close()


@pytest.fixture
def five(world: World, tmp_path: Path) -> Iterator[Cluster]:
    running = Cluster(world, tmp_path, names="ABCDE")
    yield running
    running.close()


# 1: followers truncate without a conflict


def test_1_an_append_entries_that_arrives_again_removes_nothing(cluster: Cluster, world: World) -> None:
    a = cluster.elect("A")
    payloads = [b"payment %d" % number for number in range(10)]
    early: list[AppendEntries] = []
    for payload in payloads:
        a.propose(payload)
        a.tick()
        early += [message for message in world.waiting("A", "B") if isinstance(message, AppendEntries)]
        cluster.settle()
    assert [a.outcome(payload) for payload in payloads] == [Outcome.COMMITTED] * 10
    before = cluster["B"].terms()
    for message in early:
        cluster["B"].receive("A", message)
        assert cluster["B"].terms() == before
    cluster.kill("A")
    cluster.elect("B", among="BC")
    assert cluster["B"].machine.payloads == cluster["C"].machine.payloads == payloads


def test_1_what_was_acknowledged_stays_although_its_commitment_is_not_known_yet(cluster: Cluster, world: World) -> None:
    a = cluster.elect("A")
    a.propose(b"first")
    a.tick()
    early = [message for message in world.waiting("A", "B") if isinstance(message, AppendEntries)]
    for number in range(10):
        a.propose(b"%d" % number)
    a.poller.commit()
    world.drain()
    b = cluster["B"]
    assert (b.log.last_index, b.log.commit_index) == (13, 2)
    for message in early:
        b.receive("A", message)
    assert b.log.last_index == 13


def test_1_the_stock_package_loses_acknowledged_commands_that_way(world: World) -> None:
    replicas = stock_cluster(world, appendEntriesBatchSizeBytes=4096)
    a, b, c = replicas["A"], replicas["B"], replicas["C"]
    for number in range(10):
        a.propose(bytes([number]) * 2000)
    a.doTick(0)
    world.advance(0.11)
    a.doTick(0)
    world.lose()  # the links break: what was in flight is lost
    for _ in range(2):  # two heartbeats get through before the first answer
        world.advance(0.11)
        a.doTick(0)
    world.deliver("A", "B")
    for _ in range(2):  # each refusal of B makes A send everything again, in several messages
        world.deliver("B", "A", 1)
        world.advance(0.11)
        a.doTick(0)
        if b.last_index < a.last_index:
            world.deliver("A", "B")
    world.deliver("B", "A")
    a.doTick(0)
    assert a.results == [0] * 10, "the proposers were told success"
    world.deliver("A", "B", 1)
    world.lose()
    del world.receivers["A"]
    world.advance(2)
    b.elect()
    world.drain(BC)
    for _ in range(5):
        world.advance(0.2)
        b.doTick(0)
        c.doTick(0)
        world.drain(BC)
    assert len(b.applied) < 10, "if this fails the stock package has been repaired"


# 2: a partial snapshot commits the unverified tail of a follower


def test_2_a_snapshot_chunk_does_not_commit_what_the_leader_never_had(
    short_tail: Cluster, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stock: every chunk moves the commit index over the follower's own tail; its proposers are told success."""
    monkeypatch.setattr("replication.snapshots.CHUNK_BYTES", 64)
    cluster = short_tail
    a = cluster.elect("A")
    for number in range(5):
        a.propose(b"ghost %d" % number)
    a.tick()
    world.lose(sender="A")
    b = cluster.elect("B", among="BC")
    for number in range(30):
        b.propose(b"real %d" % number)
    cluster.settle("BC")
    b.take_snapshot()
    cluster.settle("BC")
    world.lose()
    chunks = 0
    for _ in range(200):
        world.advance(0.06)
        b.tick()
        for message in world.deliver("B", "A", 1):
            chunks += isinstance(message, SnapshotChunk)
            a.tick()
            assert not [payload for payload in a.machine.payloads if payload.startswith(b"ghost")]
        world.deliver("A", "B")
    assert chunks > 5
    cluster.settle()
    assert a.machine.applied == b.machine.applied
    assert {a.outcome(b"ghost %d" % number) for number in range(5)} == {Outcome.UNKNOWN}


def test_2_a_snapshot_never_rolls_a_follower_back(cluster: Cluster, world: World) -> None:
    a = cluster.elect("A")
    for number in range(5):
        a.propose(b"%d" % number)
    cluster.settle()
    point = SnapshotPoint(a.log.applied_index, a.log.applied_term, 5, bytes(32))
    meta = a.snapshots.write(point, a.machine.snapshot())
    a.propose(b"later")
    cluster.settle()
    b = cluster["B"]
    b.receive("A", SnapshotChunk(a.log.term, meta, 0, a.snapshots.read_chunk(meta, 0)))
    assert b.machine.restored_from == []
    assert b.machine.payloads[-1] == b"later"
    answer = world.waiting("B", "A")[-1]
    assert isinstance(answer, NextIndex)
    assert answer.success
    assert answer.next_index == b.log.commit_index + 1


# 3: concurrent membership changes: two majorities that do not meet


def majorities_meet(one: Collection[str], other: Collection[str]) -> bool:
    """Whether every majority of one set of voters has somebody in common with every majority of another."""
    return (len(one) // 2 + 1) + (len(other) // 2 + 1) > len({*one, *other})


def test_3_changes_wait_for_each_other_and_majorities_always_meet(cluster: Cluster, world: World) -> None:
    a = cluster.elect("A")
    a.add_member("D")
    for name in "EF":
        with pytest.raises(ChangeRefused, match="a change is under way"):
            a.add_member(name)
    wanted = list("EF")
    cluster.join("D")
    for _ in range(40):
        world.advance(0.06)
        a.tick()
        for name in sorted(cluster.replicas):  # the others hear of it one after the other
            world.deliver("A", name)
            world.deliver(name, "A")
            assert majorities_meet(a.voters(), a.committed_voters())
        if wanted and a.log.membership.settled:
            cluster.join(wanted[0])
            a.add_member(wanted.pop(0))
    assert [replica.members() for replica in cluster] == ["ABCDEF"] * 6


def test_3_a_leader_that_inherits_an_uncommitted_change_makes_no_other_beside_it(five: Cluster, world: World) -> None:
    """A's removal of E is only on A. B, elected without it, must not remove D before A's entry is out of the world:
    {A, B, C} of A's four and {B, C, E} of B's four meet, but one step further they would not."""
    a = five.elect("A")
    a.remove_member("E")
    a.tick()
    world.lose()
    b = five.stand("B", among="BCDE")
    world.drain(between("B", "C"))
    world.drain(between("B", "D"))
    world.lose()
    assert b.log.is_leader
    with pytest.raises(ChangeRefused, match="a change is under way"):
        b.remove_member("D")
    five.settle("BCDE")
    b.remove_member("D")
    assert (a.members(), b.members()) == ("ABCD", "ABCE")
    five.settle(rounds=8)
    assert a.members() == b.members() == "ABCE"


def test_3_the_stock_package_ends_up_with_two_majorities(world: World) -> None:
    replicas = stock_cluster(world, dynamicMembershipChange=True)
    a, b = replicas["A"], replicas["B"]
    for name in "DEF":
        a.addNodeToCluster(PeerNode(name))
    a.doTick(0)
    world.lose()
    six = {node.id for node in a.otherNodes} | {"A"}
    three = {node.id for node in b.otherNodes} | {"B"}
    assert (six, three) == (set("ABCDEF"), set("ABC"))
    assert not majorities_meet(six, three), "A, D, E, F on one side; B and C on the other"


# 4: acknowledgements carry no term


def test_4_an_acknowledgement_of_an_earlier_term_is_not_counted(five: Cluster, world: World) -> None:
    """Five replicas, one slow link: B's acknowledgement of term 1 reaches A when A leads term 3 with another log."""
    a = five.elect("A")
    for number in range(10):
        a.propose(b"first %d" % number)
    a.tick()
    world.deliver("A", "B")
    world.lose(sender="A")
    slow = world.links.pop(("B", "A"))
    assert any(isinstance(message, NextIndex) and message.success for message in slow)
    d = five.elect("D", among="CDE")
    d.tick()
    world.deliver("D", "A")  # A follows D and replaces its own tail
    world.drain(between("A", "D"))
    assert a.log.term == d.log.term
    world.lose()
    five.stand("A", among="ACE")
    world.drain(between(*"ACE"))
    assert a.log.is_leader
    a.tick()
    committed = a.log.commit_index
    a.propose(b"payment")
    a.tick()
    world.drain(between("A", "C"))  # two of five really have it
    world.lose()
    world.links["B", "A"] = slow
    world.deliver("B", "A")
    a.tick()
    assert a.log.commit_index == committed
    assert a.outcome(b"payment") is None
    assert a.log.match_indexes()["B"] < a.log.last_index


def test_4_the_stock_package_counts_it(world: World) -> None:
    a = stock_cluster(world, "ABCDE")["A"]
    a.propose(b"payment")
    a.doTick(0)
    stale = {"type": "next_node_idx", "next_node_idx": a.last_index + 1, "reset": False, "success": True}
    assert "term" not in stale
    for name in "BC":
        world.receivers["A"](name, stale)
    a.doTick(0)
    assert a.results == [0]


def test_4_an_acknowledgement_does_not_leave_once_a_later_term_has_begun(cluster: Cluster, world: World) -> None:
    """Entries of term 1 and a candidate's request of term 2 arrive in one batch, before the sync."""
    a = cluster.elect("A")
    a.propose(b"x")
    a.tick()
    b = cluster["B"]
    for message in world.waiting("A", "B"):
        b.transport.on_message("A", message)
    b.transport.on_message("C", RequestVote(2, 100, 1, b.journal.incarnation))
    b.poller.commit()
    assert world.waiting("B", "A") == []
    assert world.waiting("B", "C") == [ResponseVote(2)]


# 5: votes


def test_5_a_vote_counts_once_and_only_from_a_member(five: Cluster, world: World) -> None:
    a = five.stand("A")
    vote = ResponseVote(a.log.term)
    for sender in ["B", "B", "B", "stranger", "another"]:
        a.receive(sender, vote)
        assert not a.log.is_leader
    a.receive("C", vote)
    assert a.log.is_leader


@pytest.mark.parametrize("voters", [["B", "B"], ["stranger", "another"]])
def test_5_the_stock_package_counts_messages(world: World, voters: list[str]) -> None:
    a = StockReplica(world, "A", "ABCDE")
    a.elect()
    for sender in voters:
        world.receivers["A"](sender, {"type": "response_vote", "term": a.raftCurrentTerm})
    assert a._isLeader()


def test_5_a_vote_is_remembered_across_a_restart(cluster: Cluster, world: World) -> None:
    life = cluster["B"].journal.incarnation
    cluster["B"].receive("A", RequestVote(7, 1, 0, life))
    assert [type(message) for message in world.waiting("B", "A")] == [ResponseVote]
    cluster.kill("B")
    cluster.start("B").receive("C", RequestVote(7, 1, 0, life))
    assert world.waiting("B", "C") == []


def test_5_the_stock_package_votes_twice_across_a_restart(world: World) -> None:
    request = {"type": "request_vote", "term": 7, "last_log_index": 1, "last_log_term": 0}
    for candidate in "AC":
        StockReplica(world, "B", "ABC")
        world.receivers["B"](candidate, request)
        assert [message["type"] for message in world.waiting("B", candidate)] == ["response_vote"]


def test_5_a_vote_that_never_reached_the_disk_never_left(cluster: Cluster, world: World) -> None:
    b = cluster["B"]
    b.transport.on_message("A", RequestVote(7, 1, 0, b.journal.incarnation))
    assert world.waiting("B", "A") == []
    cluster.kill("B")
    assert cluster.start("B").log.term == 0


# 6 to 9: the disk


def test_6_a_kill_while_a_snapshot_is_being_written_loses_nothing(cluster: Cluster) -> None:
    """Stock: the journal does not match the half-adopted dump and is cleared at the next start."""
    a = cluster.elect("A")
    for number in range(20):
        a.propose(b"%d" % number)
    cluster.settle()
    before = a.machine.applied[:]

    def never_ends() -> bytes:
        time.sleep(60)
        raise AssertionError("was to be killed")

    point = SnapshotPoint(a.log.applied_index, a.log.applied_term, 20, bytes(32))
    writer = BackgroundSnapshot(cluster.directory / "A" / "snapshots", point, never_ends)
    writer.start()
    cluster.kill("A")
    writer.cancel()
    restarted = cluster.start("A")
    cluster.elect("B")
    assert restarted.machine.applied == before


def test_6_a_snapshot_that_was_written_but_not_recorded_is_used(cluster: Cluster) -> None:
    a = cluster.elect("A")
    a.propose(b"x")
    cluster.settle()
    point = SnapshotPoint(a.log.applied_index, a.log.applied_term, 1, bytes(32))
    a.snapshots.write(point, a.machine.snapshot())
    before = a.machine.applied[:]
    cluster.kill("A")
    assert cluster.start("A").machine.applied == before


def test_7_state_survives_compaction_and_restart(short_tail: Cluster) -> None:
    """Stock: with a journal but no dump file the state is gone after the first compaction."""
    cluster = short_tail
    a = cluster.elect("A")
    for number in range(20):
        a.propose(b"%d" % number)
    cluster.settle()
    for replica in cluster:
        replica.take_snapshot()
        replica.poller.commit()
        assert replica.journal.first > 10
    a.propose(b"after")
    cluster.settle()
    expected = a.machine.applied[:]
    assert len(expected) == 21
    for name in "ABC":
        cluster.kill(name)
    for name in "ABC":
        cluster.start(name)
    cluster.elect("C")
    assert [replica.machine.applied for replica in cluster] == [expected] * 3


def test_8_a_kill_during_compaction_leaves_the_log_before_it(tmp_path: Path) -> None:
    """Stock: compaction rewrites the journal in place, and a kill leaves any number of entries."""
    journal = Journal(tmp_path, cluster_id=CLUSTER_ID, node_id="A", sync=False)
    for index in range(1, 101):
        journal.add(b"%d" % index, index, 1)
    journal.setRaftCommitIndex(100)
    journal.sync()
    journal.compact(SnapshotReference(90, 1), 80)
    journal.close()  # without a sync, as a kill would
    journal = Journal(tmp_path, cluster_id=CLUSTER_ID, node_id="A", sync=False)
    assert (journal.first, journal.last, journal.snapshot) == (1, 100, None)
    journal.compact(SnapshotReference(90, 1), 80)
    journal.sync()
    journal.close()
    journal = Journal(tmp_path, cluster_id=CLUSTER_ID, node_id="A", sync=False)
    assert (journal.first, journal.last, journal.snapshot) == (80, 100, SnapshotReference(90, 1))
    journal.close()


def test_9_a_flipped_bit_in_the_log_stops_the_start_and_is_named(cluster: Cluster) -> None:
    """Stock: no checksum; a torn page inside a command is loaded and applied."""
    a = cluster.elect("A")
    a.propose(b"pay 100 to Alice")
    cluster.settle()
    index = next(index for index, _term, payload in a.machine.applied if payload == b"pay 100 to Alice")
    cluster.kill("A")
    data_file = cluster.directory / "A" / "journal" / "data.mdb"
    content = data_file.read_bytes()
    assert b"pay 100 to Alice" in content
    data_file.write_bytes(content.replace(b"pay 100 to Alice", b"pay 900 to Alice"))
    with pytest.raises(JournalDamaged, match=f"log index {index} ") as caught:
        cluster.start("A")
    assert caught.value.log_index == index
    del cluster.replicas["B"], cluster.replicas["C"]


# 10 and 11: applying


def test_10_an_error_in_apply_stops_the_replica_and_is_not_repeated(cluster: Cluster) -> None:
    a = cluster.elect("A")
    a.propose(b"before")
    a.propose(b"boom")
    a.propose(b"after")
    with pytest.raises(Halt, match="applying log index 4 failed"):
        cluster.settle("AB")
    assert a.machine.payloads == [b"before", b"boom"]
    with pytest.raises(Halt, match="has stopped"):
        a.tick()
    assert a.machine.payloads == [b"before", b"boom"]
    assert a.outcome(b"boom") is None


def test_10_the_stock_package_applies_it_again_and_again(world: World) -> None:
    a = StockReplica(world, "A", "A")
    a.elect()
    a.propose(b"boom")
    for _ in range(6):
        world.advance(0.11)
        try:
            a.doTick(0)
        except ValueError:
            continue
    assert a.applied.count(b"boom") > 1


def test_10_an_error_of_a_proposer_reaches_neither_the_log_nor_the_others(cluster: Cluster) -> None:
    a = cluster.elect("A")

    def fails(_outcome: Outcome, _detail: object) -> None:
        raise RuntimeError("a bug in the proposer")

    a.log.propose(b"first", fails)
    a.propose(b"second")
    cluster.settle()
    assert a.machine.payloads == [b"first", b"second"]
    assert a.outcome(b"second") is Outcome.COMMITTED


@pytest.mark.parametrize("kind", [b"\x02", b"\x03", b"\xff", b""])
def test_11_an_entry_of_a_type_we_do_not_know_stops_the_replica(cluster: Cluster, kind: bytes) -> None:
    """Stock: a node without the new code version leaves such an entry unapplied, applies the next one in its place and
    again in its own. (Type 2 is its membership change, type 3 its version change: both unpickle the rest.)"""
    cluster.elect("A")
    b = cluster["B"]
    term, last = b.log.term, b.log.last_index
    entries = [(term, kind), (term, b"\x00next")]
    b.receive("A", AppendEntries(term, last + 2, last, b.journal.term_at(last), entries))
    with pytest.raises(Halt, match=f"log index {last + 1} has unknown type"):
        b.tick()
    assert b.machine.payloads == []


# 12 and 16: the sender


@pytest.mark.parametrize("size_bytes", [65_535, 65_536, 131_072, BATCH_BYTES - 1, 3 * BATCH_BYTES])
def test_12_entries_of_any_size_arrive(cluster: Cluster, size_bytes: int) -> None:
    a = cluster.elect("A")
    payloads = [bytes([number]) * size_bytes for number in range(3)]
    for payload in payloads:
        a.propose(payload)
    cluster.settle()
    assert [replica.machine.payloads for replica in cluster] == [payloads] * 3


def test_12_the_stock_package_breaks_at_twice_its_batch(world: World) -> None:
    a = stock_cluster(world)["A"]
    a._applyCommand(b"\1" + b"z" * (131_072 - 1), lambda _result, failure: a.results.append(failure))
    a.doTick(0)
    world.advance(0.11)
    a.doTick(0)
    with pytest.raises(EOFError):
        world.drain()


def test_12_what_is_in_flight_is_bounded(cluster: Cluster, world: World) -> None:
    a = cluster.elect("A")
    payloads = [bytes([number]) * BATCH_BYTES for number in range(30)]
    for payload in payloads:
        a.propose(payload)
    for _ in range(5):
        world.advance(0.06)
        a.tick()
    waiting = [message for message in world.waiting("A", "B") if isinstance(message, AppendEntries)]
    assert sum(len(command) for message in waiting for _term, command in message.entries) <= WINDOW_BYTES + BATCH_BYTES
    cluster.settle(rounds=12)
    assert cluster["B"].machine.payloads == payloads


def test_16_a_burst_of_refusals_moves_next_index_once(cluster: Cluster, world: World) -> None:
    """Stock: each refusal rewinds nextIndex and sends the whole backlog again."""
    a = cluster.elect("A")
    for number in range(200):
        a.propose(b"%d" % number * 1000)
    a.tick()
    world.lose(sender="A")  # B and C miss all of it
    for _ in range(5):  # five heartbeats before the first answer
        world.advance(0.06)
        a.tick()
    world.deliver("A", "B")
    refusals = world.deliver("B", "A")
    assert sum(message.reset for message in refusals if isinstance(message, NextIndex)) == 5
    sent = world.waiting("A", "B")
    assert sum(len(message.entries) for message in sent if isinstance(message, AppendEntries)) == 200


def test_16_a_follower_with_a_diverging_backlog_catches_up(cluster: Cluster, world: World) -> None:
    a = cluster.elect("A")
    for number in range(300):
        a.propose(b"ghost %d" % number)
    a.tick()
    world.lose(sender="A")
    b = cluster.elect("B", among="BC")
    for number in range(300):
        b.propose(b"real %d" % number * 1000)
    cluster.settle("BC")
    world.lose()
    sent_entries = 0
    for _ in range(10):
        world.advance(0.06)
        b.tick()
        a.tick()
        sent = [message for message in world.deliver("B", "A") if isinstance(message, AppendEntries)]
        sent_entries += sum(len(message.entries) for message in sent)
        world.deliver("A", "B")
    assert a.terms() == b.terms()
    assert a.machine.applied == b.machine.applied
    assert sent_entries < 2 * 301
    assert {a.outcome(b"ghost %d" % number) for number in range(300)} == {Outcome.FAILED}


# 13: an isolated leader


def seconds_until_it_steps_down(world: World, name: str, tick: Callable[[], None], leads: Callable[[], bool]) -> float:
    """How long a leader goes on leading that hears nothing and is not heard."""
    cut_off_s = world.now_s
    while leads() and world.now_s - cut_off_s < 60:
        world.advance(0.05)
        tick()
        world.lose(sender=name)
        world.lose(receiver=name)
    return world.now_s - cut_off_s


def test_13_a_cut_off_leader_stops_serving_within_a_second(cluster: Cluster, world: World) -> None:
    a = cluster.elect("A")
    assert a.log.leader_ready
    assert seconds_until_it_steps_down(world, "A", a.tick, lambda: a.log.leader_ready) < 1


def test_13_the_stock_package_serves_on_for_half_a_minute(world: World) -> None:
    a = stock_cluster(world)["A"]
    assert seconds_until_it_steps_down(world, "A", lambda: a.doTick(0), a._isLeader) > 29


# 14: outcomes


def test_14_a_proposal_of_a_deposed_leader_is_answered_when_a_snapshot_covers_it(
    short_tail: Cluster, world: World
) -> None:
    """Stock: its callback is never called."""
    cluster = short_tail
    a = cluster.elect("A")
    a.propose(b"stranded")
    a.tick()
    world.lose(sender="A")
    b = cluster.elect("B", among="BC")
    for number in range(20):
        b.propose(b"%d" % number)
    cluster.settle("BC")
    b.take_snapshot()
    cluster.settle("BC")
    world.lose()
    assert a.outcome(b"stranded") is None
    cluster.settle(rounds=24)  # a chunk that was lost is sent again after a second
    assert a.machine.restored_from
    assert a.outcome(b"stranded") is Outcome.UNKNOWN


def test_14_a_proposal_fails_only_when_another_entry_is_committed_in_its_place(cluster: Cluster, world: World) -> None:
    a = cluster.elect("A")
    a.propose(b"replaced")
    a.tick()
    world.lose(sender="A")
    b = cluster.elect("B", among="BC")
    assert a.outcome(b"replaced") is None
    world.advance(0.06)
    b.tick()
    world.drain()
    assert a.log.last_index == b.log.last_index
    cluster.settle()
    assert a.outcome(b"replaced") is Outcome.FAILED


def test_14_a_proposal_of_a_deposed_leader_that_survives_is_committed(cluster: Cluster, world: World) -> None:
    a = cluster.elect("A")
    a.propose(b"survives")
    a.tick()
    world.deliver("A", "B")
    world.lose()
    cluster.elect("B", among="BC")
    cluster.settle()
    assert a.outcome(b"survives") is Outcome.COMMITTED


def test_14_no_proposal_waits_for_ever(cluster: Cluster, world: World) -> None:
    a = cluster.elect("A")
    a.propose(b"cut off")
    a.tick()
    for _ in range(100):
        world.lose()
        world.advance(0.06)
        a.tick()
    assert not a.log.is_leader
    assert a.outcome(b"cut off") is Outcome.UNKNOWN
    assert a.log.undecided_proposals == 0


# 15: strangers


class _Trap:
    """What an attacker would send: unpickling it creates a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.target),)


def test_15_a_stranger_is_cut_off_and_nothing_of_it_is_executed(tmp_path: Path) -> None:
    """Stock: without a password any client executes code, and anyone who says so receives the log."""
    poller = Poller()
    transport = PeerTransport(
        credentials=node("node-1"),
        group_id=CLUSTER_ID,
        bind=("127.0.0.1", 0),
        peers={"node-2": ("127.0.0.1", 1)},
        poller=poller,
        clock_s=time.monotonic,
    )
    assert transport.address[0] == "127.0.0.1"
    received: list[object] = []
    transport.on_message = lambda _peer_id, message: received.append(message)
    poison = pickle.dumps(_Trap(tmp_path / "executed"))
    for frame in (poison, b"readonly", b"x" * 200):
        with socket.create_connection(transport.address) as stranger:
            stranger.settimeout(5)
            stranger.sendall(len(frame).to_bytes(4, "little") + frame)
            for _ in range(10):
                poller.poll(0.01)
            while stranger.recv(4096):
                pass
    assert received == []
    assert transport.connected_ids == []
    assert not (tmp_path / "executed").exists()
    transport.destroy()
