"""Elections begin only where they can be won: on virtual time, with links that fail one way or both."""

import random
from collections.abc import Collection
from pathlib import Path

import pytest

from replication.messages import RequestPreVote, RequestVote, ResponsePreVote, TimeoutNow
from replication.pre_vote import PreVote
from replication.replicated_log import Role
from tests.replication.raft_harness import PATIENCE_S, Cluster, Replica, World, between

ALL = between("A", "B", "C")


def run(cluster: Cluster, seconds: float, broken: Collection[tuple[str, str]] = ()) -> None:
    """Let time pass; what is sent on a broken link is lost."""
    until_s = cluster.world.now_s + seconds
    while cluster.world.now_s < until_s:
        cluster.world.advance(0.02)
        for replica in cluster:
            replica.tick()
        for sender, receiver in broken:
            cluster.world.lose(sender, receiver)
        cluster.world.drain([pair for pair in ALL if pair not in broken])
        for sender, receiver in broken:
            cluster.world.lose(sender, receiver)


def leaders(cluster: Cluster) -> list[Replica]:
    return [replica for replica in cluster if replica.log.is_leader]


@pytest.mark.parametrize(
    "broken",
    [
        [("A", "C")],
        [("A", "C"), ("B", "C")],
        [("A", "C"), ("C", "A")],
        [("A", "C"), ("B", "C"), ("C", "A"), ("C", "B")],
    ],
    ids=["deaf to the leader", "deaf", "cut off from the leader", "cut off"],
)
def test_a_follower_on_a_link_that_comes_and_goes_disturbs_nobody(
    cluster: Cluster, broken: list[tuple[str, str]]
) -> None:
    a = cluster.elect("A")
    term = a.log.term
    for number in range(6):
        run(cluster, 1.5, broken)
        a.propose(b"%d" % number)
        run(cluster, 0.3)
        assert leaders(cluster) == [a]
    assert [replica.log.term for replica in cluster] == [term] * 3
    assert [len(replica.machine.payloads) for replica in cluster] == [6] * 3


def test_terms_do_not_grow_while_nobody_can_win(cluster: Cluster) -> None:
    cluster.elect("A")
    run(cluster, 10, broken=ALL)
    assert [replica.log.role for replica in cluster] == [Role.FOLLOWER] * 3
    assert [replica.log.term for replica in cluster] == [1] * 3


def test_the_others_elect_a_leader_soon_after_the_death_of_the_old_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for seed in range(20):
        print(f"seed {seed}")
        cluster = Cluster(World(monkeypatch, random.Random(seed)), tmp_path / str(seed))
        run(cluster, 3)
        assert len(leaders(cluster)) == 1
        old = leaders(cluster)[0]
        term = old.log.term
        cluster.kill(old.name)
        died_s = cluster.world.now_s
        while not leaders(cluster):
            run(cluster, 0.02)
            assert cluster.world.now_s - died_s < 5
        assert leaders(cluster)[0].log.term <= term + 4
        cluster.close()


def test_three_that_lose_their_patience_at_once_agree_in_the_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """All three win their pre-votes and the first votes are split; chance parts them, as in plain Raft."""
    split = 0
    for seed in range(20):
        print(f"seed {seed}")
        cluster = Cluster(World(monkeypatch, random.Random(seed)), tmp_path / str(seed))
        cluster.world.advance(1)
        for _ in range(2):
            for replica in cluster:
                replica.tick()
            cluster.world.drain()
        split += {replica.log.role for replica in cluster} == {Role.CANDIDATE}
        run(cluster, 8)
        assert len(leaders(cluster)) == 1
        assert leaders(cluster)[0].log.term < 8
        cluster.close()
    assert split == 20, "otherwise this showed nothing"


def test_a_leader_that_is_heard_but_hears_nothing_makes_room(cluster: Cluster) -> None:
    """Its heartbeats keep the others from an election; deposed, it must not ask them for votes without end."""
    a = cluster.elect("A")
    deaf = [("B", "A"), ("C", "A")]
    cluster.kill("C")
    cluster.start("C")
    for _ in range(100):
        run(cluster, 0.04, broken=deaf)
        cluster["C"].log._raft.postpone_election()  # one candidate is enough here
    assert leaders(cluster) == [cluster["B"]]
    assert cluster["B"].log.term == a.log.term + 1


def test_who_hears_the_leader_says_no(cluster: Cluster, world: World) -> None:
    a = cluster.elect("A")
    last = a.log.last_index
    b_is_asked = RequestPreVote(a.log.term, last + 10, a.log.term, cluster["B"].journal.incarnation)
    a_is_asked = RequestPreVote(a.log.term, last + 10, a.log.term, a.journal.incarnation)
    world.lose()
    world.advance(0.3)
    cluster["B"].receive("C", b_is_asked)
    a.receive("C", a_is_asked)
    assert world.waiting("B", "C") == world.waiting("A", "C") == []
    world.advance(PATIENCE_S)
    cluster["B"].receive("C", b_is_asked)
    assert world.waiting("B", "C") == [ResponsePreVote(a.log.term, a.log.term)]


@pytest.mark.parametrize(("index", "term", "granted"), [(2, 1, True), (3, 1, True), (1, 1, False), (9, 0, False)])
def test_who_has_a_newer_log_says_no(cluster: Cluster, world: World, index: int, term: int, granted: bool) -> None:
    cluster.elect("A")
    world.advance(2)
    world.lose()
    assert cluster["B"].terms()[-1] == (2, 1)
    cluster["B"].receive("C", RequestPreVote(1, index, term, cluster["B"].journal.incarnation))
    assert world.waiting("B", "C") == [ResponsePreVote(1, 1)] * granted


def test_a_yes_promises_nothing_and_is_not_written(cluster: Cluster, world: World) -> None:
    cluster.elect("A")
    world.advance(2)
    world.lose()
    b = cluster["B"]
    for asking in "AC":
        b.transport.on_message(asking, RequestPreVote(1, 2, 1, b.journal.incarnation))
        assert not b.journal.dirty
    b.poller.commit()
    assert len(world.waiting("B", "A")) == len(world.waiting("B", "C")) == 1


def test_a_question_of_an_earlier_term_is_answered_with_the_term(cluster: Cluster, world: World) -> None:
    for name in "ABA":
        cluster.elect(name)
    world.advance(2)
    world.lose()
    c = cluster["C"]
    cluster["B"].receive("C", RequestPreVote(1, 10, 1, cluster["B"].journal.incarnation))
    assert [message.term for message in world.waiting("B", "C")] == [3]
    world.drain(between("B", "C"))
    assert (c.log.term, c.log.role) == (3, Role.FOLLOWER)


def test_a_leader_that_hands_over_asks_for_no_pre_votes(cluster: Cluster, world: World) -> None:
    a = cluster.elect("A")
    b = cluster["B"]
    b.receive("A", TimeoutNow(a.log.term))
    b.tick()
    assert RequestVote in {type(message) for message in world.waiting("B", "C")}
    world.drain()
    assert b.log.is_leader
    assert not a.log.is_leader


def test_late_and_repeated_answers_do_not_win() -> None:
    pre_vote = PreVote(0.4)
    others = ["B", "C", "D", "E"]
    pre_vote.ask(3)
    pre_vote.take_grant("B", 2)
    pre_vote.take_grant("C", 3)
    pre_vote.take_grant("C", 3)
    pre_vote.take_grant("stranger", 3)
    assert not pre_vote.is_won(3, others)
    pre_vote.take_grant("B", 3)
    assert pre_vote.is_won(3, others)
    assert not pre_vote.is_won(4, others)
    pre_vote.heard_leader(now_s=100.0)
    assert not pre_vote.is_won(3, others)


def test_who_is_alone_needs_nobodys_word(world: World, tmp_path: Path) -> None:
    cluster = Cluster(world, tmp_path, names="A")
    assert cluster.elect("A").log.term == 1
    cluster.close()
