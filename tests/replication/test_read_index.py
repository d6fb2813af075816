"""Reads on the leader: new as of their arrival or refused, whatever happened to the leader. On virtual time."""

from pathlib import Path

import pytest

from replication.messages import AppendEntries, NextIndex, SnapshotChunk
from replication.read_index import ReadIndex
from tests.replication.raft_harness import Cluster, World, between


def commit(cluster: Cluster, name: str, payload: bytes, among: str = "") -> None:
    cluster[name].propose(payload)
    cluster.settle(among)
    assert payload in cluster[name].machine.payloads


# The usual


def test_a_read_costs_one_round_trip_and_does_not_wait_for_a_heartbeat(cluster: Cluster, world: World) -> None:
    a = cluster.elect("A")
    commit(cluster, "A", b"x")
    a.read("r")
    assert a.reads == {}
    a.poller.commit()
    (question,) = world.deliver("A", "B")
    assert isinstance(question, AppendEntries)
    (answer,) = world.deliver("B", "A")
    assert isinstance(answer, NextIndex)
    assert answer.read_round == question.read_round > 0
    assert a.reads == {"r": [b"x"]}
    assert a.log.waiting_reads == 0


def test_reads_that_wait_together_share_one_round(cluster: Cluster, world: World) -> None:
    a = cluster.elect("A")
    for number in range(100):
        a.read(f"r{number}")
    a.poller.commit()
    assert [len(world.waiting("A", peer)) for peer in "BC"] == [1, 1]
    world.drain()
    assert len(a.reads) == 100


def test_a_read_goes_with_entries_that_leave_anyway(cluster: Cluster, world: World) -> None:
    a = cluster.elect("A")
    a.propose(b"x")
    a.read("r")
    a.poller.commit()
    (message,) = world.waiting("A", "B")
    assert len(message.entries) == 1
    world.drain()
    assert a.reads == {"r": []}, "x was not committed when the read came"


def test_without_reads_no_message_is_added(cluster: Cluster, world: World) -> None:
    a = cluster.elect("A")
    world.lose()
    a.poller.commit()
    assert world.waiting("A", "B") == []


def test_a_read_sees_all_that_was_committed_when_it_came(cluster: Cluster, world: World) -> None:
    a = cluster.elect("A")
    slow = a.machine.apply

    def apply_slowly(log_index: int, term: int, payload: bytes) -> object:
        world.advance(0.06)  # more than a heartbeat: one entry a tick
        return slow(log_index, term, payload)

    a.machine.apply = apply_slowly  # type: ignore[method-assign]
    for payload in (b"1", b"2", b"3"):
        a.propose(payload)
    a.poller.commit()
    world.drain()
    a.tick()
    assert (a.machine.payloads, a.log.commit_index - a.log.applied_index) == ([b"1"], 2)
    a.read("r")
    a.poller.commit()
    world.drain()
    assert a.reads == {}
    a.tick()
    assert a.reads == {}
    a.tick()
    assert a.reads == {"r": [b"1", b"2", b"3"]}


def test_a_majority_is_needed_not_one_of_many(world: World, tmp_path: Path) -> None:
    cluster = Cluster(world, tmp_path, "ABCDE")
    a = cluster.elect("A")
    a.read("r")
    a.poller.commit()
    for name in "BCDE":
        world.deliver("A", name)
    world.deliver("B", "A")
    world.deliver("B", "A")
    assert a.reads == {}
    world.deliver("E", "A")
    assert a.reads == {"r": []}
    cluster.close()


def test_a_follower_that_is_being_brought_up_counts(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("replication.snapshots.CHUNK_BYTES", 100)
    cluster = Cluster(world, tmp_path, keep_tail_entries=1)
    a = cluster.elect("A")
    cluster.kill("C")
    for number in range(30):
        commit(cluster, "A", b"%09d" % number)
    a.take_snapshot()
    cluster.kill("B")
    cluster.start("C")
    world.advance(0.06)
    a.tick()
    assert any(isinstance(message, SnapshotChunk) for message in world.waiting("A", "C"))
    a.read("r")
    a.poller.commit()
    assert a.reads == {}
    world.deliver("A", "C")
    world.deliver("C", "A")
    assert len(a.reads["r"] or []) == 30
    cluster.close()


# Who must not answer


def test_only_a_leader_that_has_the_past_answers(cluster: Cluster, world: World) -> None:
    a = cluster.stand("A")
    a.read("candidate")
    world.deliver("A", "B")
    world.deliver("B", "A")
    assert a.log.is_leader
    assert not a.log.leader_ready
    a.read("too early")
    cluster["B"].read("follower")
    assert a.reads == {"candidate": None, "too early": None}
    assert cluster["B"].reads == {"follower": None}


def test_a_leader_that_is_cut_off_never_answers_and_refuses_within_a_second(cluster: Cluster, world: World) -> None:
    a = cluster.elect("A")
    commit(cluster, "A", b"old")
    world.lose()
    cut_off_at_s = world.now_s
    b = cluster.elect("B", among="BC")
    commit(cluster, "B", b"new", among="BC")
    world.lose()
    assert a.log.leader_ready, "it has not noticed anything"
    a.read("r")
    while not a.reads:
        a.tick()
        world.lose(sender="A")
        world.advance(0.06)
        assert world.now_s - cut_off_at_s < 2.0
    assert a.reads == {"r": None}
    assert not a.log.is_leader
    b.read("r")
    b.poller.commit()
    world.drain(between("B", "C"))
    assert b.reads == {"r": [b"old", b"new"]}


@pytest.mark.parametrize("stopped_s", [0.1, 1.0, 100.0])
def test_a_leader_whose_process_was_stopped_does_not_answer_when_it_goes_on(
    cluster: Cluster, world: World, stopped_s: float
) -> None:
    """Acknowledgements from before wait in its sockets, and it handles the question before it looks at the clock."""
    a = cluster.elect("A")
    commit(cluster, "A", b"old")
    a.read("before")
    a.poller.commit()
    world.deliver("A", "B")
    world.deliver("A", "C")
    late = world.waiting("B", "A")
    assert late
    world.lose(receiver="A")
    world.advance(stopped_s)
    cluster.elect("B", among="BC")
    commit(cluster, "B", b"new", among="BC")
    of_the_successor = world.waiting("B", "A")
    world.lose()
    assert a.log.leader_ready, "it has not noticed anything"

    world.links["B", "A"].extend(late)
    a.read("after")
    world.deliver("B", "A")
    a.poller.commit()
    assert "after" not in a.reads
    assert a.reads == {"before": [b"old"]}, "that one came while A led"
    world.links["B", "A"].extend(of_the_successor)
    world.drain()
    assert a.reads == {"before": [b"old"], "after": None}


def test_an_acknowledgement_of_an_earlier_round_does_not_confirm_a_later_read(cluster: Cluster, world: World) -> None:
    a = cluster.elect("A")
    a.read("first")
    a.poller.commit()
    a.read("second")
    world.deliver("A", "B")
    world.deliver("B", "A")
    assert a.reads == {"first": []}
    world.drain()
    assert a.reads == {"first": [], "second": []}


def test_a_follower_that_has_voted_for_another_does_not_confirm(cluster: Cluster, world: World) -> None:
    a = cluster.elect("A")
    a.read("r")
    a.poller.commit()
    question = world.waiting("A", "B")
    world.lose()
    cluster.stand("B", among="BC")
    assert cluster["B"].log.term > a.log.term
    world.links["A", "B"].extend(question)
    world.deliver("A", "B")
    world.lose(sender="B", receiver="C")
    world.deliver("B", "A")
    assert a.reads == {"r": None}


def test_reads_of_one_reign_are_not_confirmed_in_the_next(cluster: Cluster, world: World) -> None:
    a = cluster.elect("A")
    a.read("r")
    a.poller.commit()
    world.lose()
    b = cluster.elect("B", among="BC")
    commit(cluster, "B", b"new", among="BC")
    cluster.settle()
    assert a.reads == {"r": None}
    cluster.elect("A")
    a.read("again")
    a.poller.commit()
    world.drain()
    assert a.reads["again"] == [b"new"]
    assert b.log.waiting_reads == 0


# In touch


def test_a_follower_is_in_touch_while_it_hears_from_a_leader(cluster: Cluster, world: World) -> None:
    b = cluster["B"]
    assert not b.log.in_touch
    cluster.elect("A")
    assert b.log.in_touch
    world.advance(0.49)
    assert b.log.in_touch
    world.advance(0.02)
    assert not b.log.in_touch
    b.tick()
    assert not b.log.in_touch, "a candidate has no leader"
    world.lose()
    cluster.settle()
    cluster.elect("C")
    assert b.log.in_touch


def test_a_leader_is_in_touch_while_it_hears_from_a_majority(cluster: Cluster, world: World) -> None:
    a = cluster.elect("A")
    cluster.kill("C")
    for _ in range(20):
        cluster.settle()
        assert a.log.in_touch
    world.advance(0.52)
    assert a.log.is_leader
    assert not a.log.in_touch


# Alone


def test_a_cluster_of_one_confirms_itself() -> None:
    reads = ReadIndex()
    answers: list[bool] = []
    reads.add(3, answers.append)
    reads.settle(3, [])
    assert answers == [], "no round has begun"
    assert reads.begin_round()
    reads.settle(2, [])
    assert answers == []
    reads.settle(3, [])
    assert answers == [True]
