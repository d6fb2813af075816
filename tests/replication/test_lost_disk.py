"""New clusters, and nodes that come back without what they had on their disk."""

from pathlib import Path

import lmdb
import pytest

from replication.membership import LEGACY_INCARNATION
from replication.messages import Foundation, Hello, RequestPreVote, RequestVote, TimeoutNow
from replication.replicated_log import Outcome, Role
from replication.snapshots import SnapshotPoint
from tests.replication.raft_harness import PATIENCE_S, Cluster, World, between


def try_to_lead(cluster: Cluster, name: str, rounds: int = 5) -> bool:
    """Whether a replica is elected by those that run, if it tries for long."""
    for _ in range(rounds):
        cluster.world.advance(PATIENCE_S)
        cluster[name].tick()
        cluster.world.drain()
        cluster[name].tick()
        cluster.world.drain()
    return cluster[name].log.is_leader


# New clusters


def test_a_new_cluster_is_founded_by_the_first_of_its_initial_members(cluster: Cluster) -> None:
    assert [replica.members() for replica in cluster] == ["ABC"] * 3
    memberships = [replica.log.members.membership for replica in cluster]
    assert memberships[0] == memberships[1] == memberships[2]
    assert memberships[0] is not None
    assert memberships[0].voters == {replica.name: replica.journal.incarnation for replica in cluster}


def test_a_cluster_is_not_founded_before_all_are_there(world: World, tmp_path: Path) -> None:
    cluster = Cluster(world, tmp_path, greet=False)
    cluster.kill("C")
    cluster.greet()
    assert not try_to_lead(cluster, "A")
    assert [replica.members() for replica in cluster] == ["", ""]
    cluster.greets = True
    cluster.start("C")
    assert [replica.members() for replica in cluster] == ["ABC"] * 3
    assert try_to_lead(cluster, "B")
    cluster.close()


def test_a_node_that_waits_says_for_what(world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")

    def said(cluster: Cluster, name: str) -> str:
        caplog.clear()
        for _ in range(2):
            world.advance(6)
            cluster[name].tick()
        return caplog.text

    cluster = Cluster(world, tmp_path, greet=False)
    cluster.kill("C")
    cluster.greet()
    assert "no log yet: a new cluster is founded when all are up, C cannot be reached" in said(cluster, "A")
    cluster.greets = True
    cluster.start("C")
    cluster.join("D")
    assert "no member yet: `tally admin member add D` makes this node one" in said(cluster, "D")
    cluster.wipe("B")
    cluster.start("B")
    assert "no log any more: waiting until the leader takes this node back" in said(cluster, "B")
    assert "no member" not in said(cluster, "A")
    cluster.close()


def test_nobody_founds_a_new_cluster_over_the_data_of_an_earlier_one(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """All journals are gone, as if a fault had taken them at once, and one archive shows that there was something."""
    for name in "ABC":
        cluster = Cluster(world, tmp_path / name, had_data=name)
        assert not any(try_to_lead(cluster, one) for one in "ABC")
        assert [replica.members() for replica in cluster] == ["", "", ""]
        assert f"no new cluster is founded: the folder of {name} has data of an earlier one" in caplog.text
        cluster.close()


def test_a_foundation_that_one_missed_is_passed_on_by_the_others(world: World, tmp_path: Path) -> None:
    cluster = Cluster(world, tmp_path, greet=False)
    for replica in cluster:
        replica.poller.commit()
    world.drain([("B", "A"), ("C", "A")])
    assert cluster["A"].members() == "ABC"
    world.lose(sender="A", receiver="C")
    world.drain(between("A", "B"))
    assert [cluster["B"].members(), cluster["C"].members()] == ["ABC", ""]
    cluster.wipe("A")
    world.drain(between("B", "C"))
    assert cluster["C"].members() == "ABC"
    cluster.greets = True
    cluster.start("A")
    assert cluster["A"].members() == "ABC"
    assert not cluster["A"].log.members.is_voter, "the foundation names its first life"
    b = cluster.elect("B")
    cluster.settle(rounds=6)
    assert b.members() == "ABC"
    assert cluster["A"].log.members.is_voter
    cluster.close()


def test_a_fresh_node_votes_for_nobody(world: World, tmp_path: Path) -> None:
    cluster = Cluster(world, tmp_path, greet=False)
    cluster.kill("C")
    cluster.greet()
    b = cluster["B"]
    for message in (RequestVote(1, 9, 1, b.journal.incarnation), RequestPreVote(1, 9, 1, b.journal.incarnation)):
        b.receive("A", message)
    assert world.waiting("B", "A") == []
    assert b.log.term == 0
    cluster.close()


def test_the_first_member_does_not_found_the_cluster_again_without_its_disk(cluster: Cluster, world: World) -> None:
    """It hears both others before anybody tells it of the foundation."""
    cluster.wipe("A")
    cluster.greets = False
    a = cluster.start("A")
    for replica in cluster:
        replica.poller.commit()
    for name in "BC":
        assert [type(message) for message in world.deliver(name, "A")] == [Hello]
    assert a.log.members.linked.keys() == {"B", "C"}
    assert a.members() == ""


def test_a_foundation_changes_nothing_where_there_is_a_log(cluster: Cluster) -> None:
    cluster.elect("A")
    before = cluster["B"].log.members.membership
    assert before is not None
    cluster["B"].receive("A", Foundation(1, before.without("C")))
    assert cluster["B"].log.members.membership == before


# Lost disks


def test_a_node_without_its_disk_helps_nobody_to_a_log_that_lacks_what_it_had(cluster: Cluster, world: World) -> None:
    """Only A and B have a committed payment. B forgets it; C, which never had it, must not be elected with B's vote."""
    a = cluster.elect("A")
    a.propose(b"payment")
    a.tick()
    world.drain(between("A", "B"))
    a.tick()
    assert a.outcome(b"payment") is Outcome.COMMITTED
    world.lose(receiver="C")
    cluster.wipe("B")
    cluster.kill("A")
    cluster.start("B")
    assert not try_to_lead(cluster, "C")
    assert not try_to_lead(cluster, "B")
    cluster.start("A")
    cluster.elect("A")
    cluster.settle(rounds=8)
    assert [replica.machine.payloads for replica in cluster] == [[b"payment"]] * 3
    assert cluster["A"].members() == "ABC"


def test_a_node_without_its_disk_does_not_vote_twice_in_a_term(cluster: Cluster, world: World) -> None:
    life = cluster["B"].journal.incarnation
    cluster["B"].receive("A", RequestVote(7, 1, 0, life))
    assert len(world.waiting("B", "A")) == 1
    cluster.wipe("B")
    b = cluster.start("B")
    assert b.journal.incarnation != life
    b.receive("C", RequestVote(7, 1, 0, life))
    assert world.waiting("B", "C") == []


def test_it_learns_and_votes_again_once_the_log_says_so(cluster: Cluster, world: World) -> None:
    a = cluster.elect("A")
    for number in range(300):
        a.propose(b"%d" % number)
    cluster.settle()
    assert a.log.match_indexes()["B"] == a.log.last_index
    cluster.wipe("B")
    b = cluster.start("B")
    assert not b.log.members.is_voter
    seen = {a.members()}
    for _ in range(8):
        cluster.settle(rounds=1)
        seen.add(a.members())
    assert seen == {"ABC", "AbC"}
    assert [replica.members() for replica in cluster] == ["ABC"] * 3
    assert b.log.members.is_voter
    assert b.machine.applied == a.machine.applied
    cluster.kill("A")
    assert cluster.elect("B", among="BC").machine.payloads == [b"%d" % number for number in range(300)]


def test_it_learns_from_a_snapshot_who_the_members_are(world: World, tmp_path: Path) -> None:
    cluster = Cluster(world, tmp_path, keep_tail_entries=2)
    a = cluster.elect("A")
    for number in range(30):
        a.propose(b"%d" % number)
    cluster.settle()
    cluster.wipe("B")
    cluster.settle("AC")
    a.take_snapshot()
    cluster["C"].take_snapshot()
    b = cluster.start("B")
    cluster.settle(rounds=10)
    assert b.machine.restored_from
    assert b.members() == "ABC"
    assert b.log.members.is_voter
    assert b.machine.applied == a.machine.applied
    cluster.kill("B")
    assert cluster.start("B").members() == "ABC"
    cluster.close()


def test_a_snapshot_of_an_earlier_build_is_sent_with_the_members(world: World, tmp_path: Path) -> None:
    cluster = Cluster(world, tmp_path, keep_tail_entries=2)
    a = cluster.elect("A")
    a.remove_member("C")
    for number in range(30):
        a.propose(b"%d" % number)
    cluster.settle("AB")
    cluster.kill("C")
    cluster.wipe("B")
    point = SnapshotPoint(a.log.applied_index, a.log.applied_term, len(a.machine.applied), bytes(32))
    assert a.log.snapshot_taken(a.snapshots.write(point, a.machine.snapshot()))
    assert a.log.membership_at(1) == b"", "otherwise B would be told how the cluster was founded"
    b = cluster.start("B")
    world.advance(0.06)
    a.tick()
    world.drain()
    assert b.machine.restored_from == [point.log_index]
    assert b.members().upper() == "AB"
    cluster.close()


def test_founders_whose_configurations_differ_found_nothing(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = Cluster(world, tmp_path, names="AB", greet=False)
    cluster.initial.append("C")
    cluster.greets = True
    cluster.join("C")
    assert [replica.members() for replica in cluster] == ["AB", "AB", "AB"]
    for name in "ABC":
        cluster.wipe(name)
    cluster.initial = ["A", "B"]
    cluster.start("A")
    cluster.initial = ["A", "B", "C"]
    cluster.start("B")
    cluster.start("C")
    assert [replica.members() for replica in cluster] == ["", "", ""]
    assert "B would found a cluster of A, B, C, we one of A, B" in caplog.text
    cluster.close()


def test_what_it_acknowledged_before_is_counted_no_more(cluster: Cluster, world: World) -> None:
    """The leader has the acknowledgement, and has not counted yet, when it hears that the disk behind it is gone."""
    a = cluster.elect("A")
    cluster.kill("C")
    a.propose(b"x")
    a.poller.commit()
    world.drain(between("A", "B"))
    assert a.log.match_indexes()["B"] == a.log.last_index
    cluster.wipe("B")
    cluster.start("B")
    world.lose()
    a.tick()
    assert a.log.commit_index < a.log.last_index


def test_acknowledgements_of_a_learner_commit_nothing_and_keep_no_leader(world: World, tmp_path: Path) -> None:
    """With three of five, one of which forgot, nothing can be mended either."""
    cluster = Cluster(world, tmp_path, names="ABCDE")
    a = cluster.elect("A")
    for name in "DE":
        cluster.kill(name)
    cluster.wipe("B")
    cluster.start("B")
    a.propose(b"x")
    cluster.settle(rounds=3)
    assert cluster["B"].log.last_index == cluster["C"].log.last_index == a.log.last_index
    assert a.log.commit_index < a.log.last_index
    assert a.outcome(b"x") is None
    assert a.members() == "ABCDE"
    cluster.settle(rounds=20)
    assert not a.log.is_leader
    cluster.start("D")
    cluster.elect("C", among="ABCD")
    cluster.settle(rounds=8)
    assert a.members() == "ABCDE"
    assert [replica.machine.payloads for replica in cluster] == [[b"x"]] * 4
    cluster.close()


def test_a_learner_never_stands(cluster: Cluster, world: World) -> None:
    a = cluster.elect("A")
    cluster.wipe("B")
    cluster.kill("C")
    b = cluster.start("B")
    cluster.settle(rounds=2)
    b.receive("A", TimeoutNow(a.log.term))
    cluster.kill("A")
    for _ in range(10):
        world.advance(PATIENCE_S)
        b.tick()
    assert (b.log.role, b.log.term) == (Role.FOLLOWER, 1)


def test_the_journal_of_an_earlier_build_goes_on_as_a_voters(world: World, tmp_path: Path) -> None:
    """It has neither an incarnation nor a membership."""
    cluster = Cluster(world, tmp_path)
    a = cluster.elect("A")
    a.propose(b"before")
    cluster.settle()
    for name in "ABC":
        cluster.kill(name)
        environment = lmdb.open(str(tmp_path / name / "journal"), max_dbs=2)
        meta = environment.open_db(b"meta")
        with environment.begin(write=True) as transaction:
            assert transaction.delete(b"incarnation", db=meta)
            assert transaction.delete(b"membership", db=meta)
        environment.close()
    for name in "ABC":
        assert cluster.start(name).members() == "ABC"
        assert cluster[name].journal.incarnation == LEGACY_INCARNATION
    b = cluster.elect("B")
    assert b.machine.payloads == [b"before"]
    cluster.wipe("C")
    cluster.start("C")
    assert not cluster["C"].log.members.is_voter
    cluster.settle(rounds=8)
    assert cluster["C"].log.members.is_voter
    cluster.close()
