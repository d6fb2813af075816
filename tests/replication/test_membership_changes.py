"""Members come and go while the log goes on: on virtual time, with every message delivered by hand."""

from pathlib import Path

import pytest

from replication.journal import Journal
from replication.member_changes import CAUGHT_UP_ENTRIES, ChangeRefused
from replication.messages import AppendEntries, RequestVote, ResponseVote
from replication.replicated_log import Outcome, Role
from tests.replication.raft_harness import CLUSTER_ID, PATIENCE_S, Cluster, World, between


def views(cluster: Cluster) -> list[str]:
    """Who the members are, as each replica sees it."""
    return [replica.members() for replica in cluster]


# Adding


def test_a_new_node_learns_and_then_votes(cluster: Cluster) -> None:
    a = cluster.elect("A")
    a.propose(b"before")
    cluster.settle()
    outcome = a.add_member("D")
    assert a.members() == "ABCd"
    cluster.settle()
    assert outcome == [Outcome.COMMITTED]
    d = cluster.join("D")
    a.propose(b"after")
    cluster.settle(rounds=6)
    assert views(cluster) == ["ABCD"] * 4
    assert d.log.members.is_voter
    assert d.machine.payloads == [b"before", b"after"]
    assert a.log.match_indexes().keys() == {"B", "C", "D"}


def test_a_node_that_is_started_before_it_is_added_waits(cluster: Cluster) -> None:
    a = cluster.elect("A")
    d = cluster.join("D")
    cluster.settle()
    assert d.log.last_index == 1
    assert views(cluster) == ["ABC"] * 4, "the foundation is no secret"
    cluster.kill("D")
    cluster.start("D")
    cluster.settle()
    assert cluster.removed == {}, "it was never a member"
    a.add_member("D")
    cluster.settle(rounds=6)
    assert views(cluster) == ["ABCD"] * 4


def test_a_new_voter_counts_in_every_majority(cluster: Cluster) -> None:
    a = cluster.elect("A")
    a.add_member("D")
    cluster.join("D")
    cluster.settle(rounds=6)
    for name in "CD":
        cluster.kill(name)
    a.propose(b"x")
    cluster.settle(rounds=3)
    assert a.outcome(b"x") is None, "two of four"
    cluster.start("D")
    cluster.settle()
    assert a.outcome(b"x") is Outcome.COMMITTED


def test_a_learner_counts_for_nothing(cluster: Cluster, world: World) -> None:
    a = cluster.elect("A")
    a.add_member("D")
    cluster.settle()
    for name in "BC":
        cluster.kill(name)
    cluster.join("D")
    a.propose(b"x")
    world.advance(0.06)
    a.tick()
    world.drain()
    a.tick()
    assert cluster["D"].log.last_index == a.log.last_index
    assert a.outcome(b"x") is None


def test_a_learner_far_behind_is_not_made_a_voter(cluster: Cluster, world: World) -> None:
    a = cluster.elect("A")
    a.add_member("D")
    cluster.settle()
    for number in range(CAUGHT_UP_ENTRIES + 50):
        a.propose(b"%d" % number)
    cluster.settle()
    cluster.join("D")
    for _ in range(5):  # D hears nothing yet
        world.advance(0.06)
        a.tick()
        world.drain(between("A", "B", "C"))
    assert a.members() == "ABCd"
    cluster.settle(rounds=6)
    assert a.members() == "ABCD"


def test_a_new_node_begins_with_a_snapshot_if_the_log_does_not_reach_back(world: World, tmp_path: Path) -> None:
    cluster = Cluster(world, tmp_path, keep_tail_entries=2)
    a = cluster.elect("A")
    for number in range(30):
        a.propose(b"%d" % number)
    a.add_member("D")
    cluster.settle()
    for number in range(5):
        a.propose(b"after %d" % number)
    cluster.settle()
    for replica in cluster:
        replica.take_snapshot()
        replica.poller.commit()
        assert replica.log.membership_at(1) == b"", "the journal remembers no earlier membership"
    d = cluster.join("D")
    cluster.settle(rounds=8)
    assert d.machine.restored_from
    assert views(cluster) == ["ABCD"] * 4
    assert d.machine.applied == a.machine.applied
    cluster.close()


# Removing


def test_a_removed_node_is_told_and_stops(cluster: Cluster) -> None:
    a = cluster.elect("A")
    outcome = a.remove_member("C")
    assert a.members() == "AB"
    cluster.settle()
    assert outcome == [Outcome.COMMITTED]
    assert "C was removed from the cluster (log index 3)" in cluster.removed["C"]
    assert views(cluster) == ["AB", "AB"]
    a.propose(b"x")
    cluster.settle("AB")
    assert a.outcome(b"x") is Outcome.COMMITTED


def test_a_node_that_was_away_when_it_was_removed_disturbs_nobody_and_is_told(cluster: Cluster, world: World) -> None:
    a = cluster.elect("A")
    cluster.kill("C")
    a.remove_member("C")
    cluster.settle()
    term = a.log.term
    cluster.greets = False
    c = cluster.start("C")
    for peer in "AB":  # its leader's link is slow
        cluster[peer].poller.commit()
    for _ in range(5):
        world.advance(PATIENCE_S)
        c.tick()
        a.tick()
        world.drain([("C", "A"), ("C", "B"), ("B", "C"), ("A", "B"), ("B", "A")])
    assert (c.log.role, c.log.term, a.log.term) == (Role.FOLLOWER, term, term)
    assert a.log.is_leader
    world.drain()
    assert "C was removed" in cluster.removed["C"]


def test_a_dead_node_is_removed_without_it(cluster: Cluster) -> None:
    a = cluster.elect("A")
    cluster.kill("C")
    assert a.remove_member("C") == []
    cluster.settle()
    assert views(cluster) == ["AB", "AB"]


def test_a_leader_hands_over_before_it_is_removed(cluster: Cluster) -> None:
    a = cluster.elect("A")
    cluster.settle()
    a.propose(b"on its way")
    with pytest.raises(ChangeRefused, match="A leads, and is handing over"):
        a.remove_member("A")
    cluster.settle()
    successor = next(replica for replica in cluster if replica.log.is_leader)
    assert successor is not a
    outcome = successor.remove_member("A")
    cluster.settle()
    assert outcome == [Outcome.COMMITTED]
    assert "A" in cluster.removed
    successor.propose(b"x")
    cluster.settle()
    assert successor.outcome(b"x") is Outcome.COMMITTED


def test_a_node_is_replaced_while_the_log_goes_on(cluster: Cluster) -> None:
    a = cluster.elect("A")
    cluster.wipe("C")
    cluster.names.remove("C")
    a.add_member("D")
    d = cluster.join("D")
    for number in range(10):
        a.propose(b"%d" % number)
        cluster.settle(rounds=1)
    assert a.members() == "ABCD"
    a.remove_member("C")
    cluster.settle()
    assert views(cluster) == ["ABD"] * 3
    cluster.kill("A")
    assert cluster.elect("D", among="BD").machine.payloads == d.machine.payloads == [b"%d" % n for n in range(10)]


def test_a_removed_node_may_come_back_as_a_new_member(cluster: Cluster) -> None:
    a = cluster.elect("A")
    a.remove_member("C")
    cluster.settle()
    assert "C" in cluster.removed
    a.add_member("C")
    cluster.join("C")
    cluster.settle(rounds=6)
    assert views(cluster) == ["ABC"] * 3


# One at a time


def test_a_second_change_waits_until_the_first_is_committed(cluster: Cluster, world: World) -> None:
    a = cluster.elect("A")
    a.add_member("D")
    with pytest.raises(ChangeRefused, match="a change is under way"):
        a.add_member("E")
    with pytest.raises(ChangeRefused, match="a change is under way"):
        a.remove_member("C")
    cluster.settle()
    a.add_member("E")


def test_a_leader_changes_nothing_before_it_committed_an_entry_of_its_own_term(cluster: Cluster, world: World) -> None:
    """Otherwise two leaders may each make a change that the other does not know, and their majorities need not meet."""
    cluster.elect("A")
    b = cluster.stand("B")
    world.deliver("B", "A")
    world.deliver("A", "B")
    assert b.log.is_leader
    with pytest.raises(ChangeRefused, match="a change is under way"):
        b.add_member("D")
    cluster.settle()
    b.add_member("D")


def test_only_the_leader_changes_members(cluster: Cluster) -> None:
    cluster.elect("A")
    with pytest.raises(ChangeRefused, match="not the leader; the leader is A"):
        cluster["B"].add_member("D")


def test_what_could_not_be_committed_is_refused(cluster: Cluster) -> None:
    a = cluster.elect("A")
    with pytest.raises(ChangeRefused, match="B is a member already"):
        a.add_member("B")
    with pytest.raises(ChangeRefused, match="X is no member; there are A, B, C"):
        a.remove_member("X")
    cluster.kill("C")
    with pytest.raises(ChangeRefused, match="without B there would be no majority, because C cannot be reached"):
        a.remove_member("B")
    assert a.members() == "ABC"


def test_a_cluster_has_nine_members_at_most(cluster: Cluster) -> None:
    a = cluster.elect("A")
    for name in "DEFGHI":
        a.add_member(name)
        cluster.settle()
    with pytest.raises(ChangeRefused, match="9 is the most"):
        a.add_member("J")


# What is appended may be taken back


def test_a_change_that_was_not_committed_is_rolled_back_with_its_entry(cluster: Cluster, world: World) -> None:
    a = cluster.elect("A")
    outcome = a.add_member("D")
    a.tick()
    world.lose(sender="A")
    assert a.members() == "ABCd"
    b = cluster.elect("B", among="BC")
    b.propose(b"x")
    cluster.settle()
    assert views(cluster) == ["ABC"] * 3
    assert outcome == [Outcome.FAILED]
    cluster.kill("A")
    assert cluster.start("A").members() == "ABC"


def test_a_change_holds_from_the_moment_it_is_appended(cluster: Cluster, world: World) -> None:
    """B has the entry and C has not; both are on B's side of the majority that B needs now."""
    a = cluster.elect("A")
    a.remove_member("C")
    a.tick()
    world.drain(between("A", "B"))
    assert cluster["B"].members() == "AB"
    assert cluster["C"].members() == "ABC"
    cluster.kill("A")
    world.lose()
    for name in "BC":
        cluster.stand(name)
        world.drain()
        assert not cluster[name].log.is_leader
    cluster.start("A")
    cluster.elect("B", among="AB")


def test_a_change_on_the_wrong_side_of_a_partition_does_not_survive_it(cluster: Cluster, world: World) -> None:
    a = cluster.elect("A")
    a.remove_member("C")
    a.tick()
    world.lose()
    b = cluster.elect("B", among="BC")
    b.add_member("D")
    cluster.settle("BC")
    cluster.join("D")
    cluster.settle("BCD", rounds=6)
    assert b.members() == "ABCD"
    world.lose()
    cluster.settle(rounds=6)
    assert views(cluster) == ["ABCD"] * 4
    assert cluster.removed == {}


def test_a_node_votes_that_does_not_know_yet_that_it_may(cluster: Cluster, world: World) -> None:
    """A made D a voter, and B and C know; A dies. Now three of four must agree, and D is one of them."""
    a = cluster.elect("A")
    a.add_member("D")
    d = cluster.join("D")
    cluster.settle(rounds=1)
    while a.members() != "ABCD":
        world.advance(0.06)
        a.tick()
        world.lose(sender="A", receiver="D")
        world.drain(between("A", "B", "C"))
        if a.members() != "ABCD":
            world.drain([("D", "A"), ("A", "D")])
    world.lose()
    world.advance(0.06)
    a.tick()
    world.drain(between("A", "B", "C"))
    assert [cluster["B"].members(), d.members()] == ["ABCD", "ABCd"]
    cluster.kill("A")
    world.lose()
    world.advance(2)
    b = cluster.elect("B", among="BCD")
    assert b.log.is_leader
    assert d.members() == "ABCD"


def test_a_learner_is_not_asked_for_its_vote_and_it_would_not_count(cluster: Cluster, world: World) -> None:
    a = cluster.elect("A")
    a.add_member("D")
    cluster.settle()
    cluster.join("D")
    cluster.kill("A")
    world.lose()
    b = cluster.stand("B", among="BC")
    assert world.waiting("B", "D") == []
    b.receive("D", ResponseVote(b.log.term))
    assert not b.log.is_leader
    b.receive("C", ResponseVote(b.log.term))
    assert b.log.is_leader


# Crashes


def test_a_crash_at_any_step_of_a_change_leaves_a_cluster_that_works(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Add D, remove B; the leader dies at one write after the other, before and after it reached the disk."""
    crashes = 0
    for step in range(1, 100):
        survived = run_changes_with_a_crash(World(monkeypatch), tmp_path / str(step), step)
        crashes += not survived
        if survived:
            break
    assert crashes >= 10


class Crash(Exception):
    pass


def run_changes_with_a_crash(world: World, directory: Path, step: int) -> bool:
    """Whether all went through before the step at which the leader was to die."""
    writes_left = -1

    class FragileJournal(Journal):
        def sync(self) -> None:
            nonlocal writes_left
            if self.dirty and self.leads and writes_left >= 0:
                writes_left -= 1
                if writes_left == 0:
                    if step % 2:
                        super().sync()
                    raise Crash
            super().sync()

        leads = False

    def open_fragile(path: Path, name: str) -> Journal:
        journal = FragileJournal(path, cluster_id=CLUSTER_ID, node_id=name, sync=False)
        journal.leads = name == "A"
        return journal

    cluster = Cluster(world, directory, open_journal=open_fragile)
    a = cluster.elect("A")
    writes_left = (step + 1) // 2
    try:
        a.add_member("D")
        cluster.join("D")
        for number in range(3):
            a.propose(b"%d" % number)
            cluster.settle(rounds=2)
        a.remove_member("B")
        a.propose(b"3")
        cluster.settle()
    except Crash:
        cluster.kill("A")
        world.lose(receiver="A")
    survived = "A" in cluster.replicas
    writes_left = -1
    if not survived:
        if "D" not in cluster.replicas:
            cluster.join("D")
        cluster.start("A")
    acknowledged = {payload for payload, (outcome, _detail) in a.outcomes.items() if outcome is Outcome.COMMITTED}
    voters = [replica for replica in cluster if replica.log.members.is_voter]
    for _ in range(20):
        if any(replica.log.leader_ready for replica in cluster):
            break
        candidate = max(voters, key=lambda replica: (replica.terms()[-1][1], replica.log.last_index))
        cluster.stand(candidate.name)
        cluster.settle(rounds=2)
    leader = next(replica for replica in cluster if replica.log.leader_ready)
    leader.propose(b"at last")
    cluster.settle(rounds=8)
    assert leader.outcome(b"at last") is Outcome.COMMITTED
    assert acknowledged <= set(leader.machine.payloads)
    assert leader.members() in ("ABC", "ABCD", "ACD")
    members = [replica for replica in cluster if replica.name in leader.members()]
    assert [replica.machine.applied for replica in members] == [leader.machine.applied] * len(members)
    assert {replica.members() for replica in members} == {leader.members()}
    cluster.close()
    return survived


def test_memberships_in_the_journal_follow_every_change_of_the_log(tmp_path: Path) -> None:
    def opened() -> Journal:
        return Journal(tmp_path, cluster_id=CLUSTER_ID, node_id="A", sync=False)

    journal = opened()
    journal.add(b"\1", 1, 0)
    journal.found(b"one")
    for index, command in ((2, b"\0x"), (3, b"\4two"), (4, b"\0y"), (5, b"\4three")):
        journal.add(command, index, 1)
    journal.sync()
    journal.close()
    journal = opened()
    assert [journal.membership_at(index) for index in range(7)] == [
        b"",
        b"one",
        b"one",
        b"two",
        b"two",
        b"three",
        b"three",
    ]
    journal.truncate_from(5)
    assert journal.membership is not None
    assert (journal.membership.log_index, journal.membership.encoded) == (3, b"two")
    journal.close()


def test_a_follower_takes_over_a_membership_in_the_middle_of_a_message(cluster: Cluster, world: World) -> None:
    a = cluster.elect("A")
    a.propose(b"x")
    a.add_member("D")
    a.propose(b"y")
    a.tick()
    sent = [message for message in world.deliver("A", "B") if isinstance(message, AppendEntries) and message.entries]
    assert [len(message.entries) for message in sent] == [3]
    assert cluster["B"].members() == "ABCd"
    assert RequestVote not in {type(message) for message in world.waiting("B", "A")}
