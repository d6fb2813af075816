"""Around pysyncobj: what its algorithm is shown, and that it is the right one."""

from pathlib import Path

import pytest
from pysyncobj import syncobj

from replication.messages import NextIndex
from replication.pysyncobj_adapter import PeerNode
from replication.replicated_log import RaftTiming, Role, UnsupportedPysyncobj
from tests.replication.raft_harness import PATIENCE_S, Cluster, NoInput, World


def test_heartbeats_waiting_in_the_socket_prevent_an_election(cluster: Cluster, world: World) -> None:
    """A replica that was stalled reads what came meanwhile before it gives up on its leader."""
    a = cluster.elect("A")
    b = cluster["B"]

    class Stalled(NoInput):
        def poll(self, timeout_s: float) -> None:
            world.deliver("A", "B")

    b.poller._inner = Stalled()
    world.advance(0.06)
    a.tick()
    world.advance(PATIENCE_S)
    assert world.waiting("A", "B")
    b.tick()
    assert b.log.role is Role.FOLLOWER
    assert b.log.term == 1


def test_a_leader_does_not_count_its_own_copy_before_it_is_on_disk(cluster: Cluster, world: World) -> None:
    """Acknowledgements of both followers arrive before the leader's own sync: that is not enough."""
    a = cluster.elect("A")
    a.log.propose(b"x", lambda _outcome, _detail: None)
    index = a.log.last_index
    for name in "BC":
        a.transport.on_message(name, NextIndex(a.log.term, index + 1, index - 1, True, False))
    assert a.journal.durable_index == index - 1
    a.tick()  # its commit rule runs before its sync
    assert a.log.commit_index == index - 1
    a.tick()
    assert a.log.commit_index == index


def test_a_cluster_of_one_commits_only_what_is_on_its_disk(world: World, tmp_path: Path) -> None:
    cluster = Cluster(world, tmp_path, names="A")
    a = cluster["A"]
    world.advance(PATIENCE_S)
    commits = []
    for number in range(6):
        a.tick()
        assert a.log.commit_index <= a.journal.durable_index
        commits.append(a.log.commit_index)
        if a.log.leader_ready:
            a.propose(b"%d" % number)
    assert a.machine.payloads
    assert commits == sorted(commits)
    cluster.close()


def test_nodes_hash_the_same_in_every_process() -> None:
    assert hash(PeerNode("node-1")) == 334634079
    assert PeerNode("node-1") == PeerNode("node-1") != PeerNode("node-2")


@pytest.mark.parametrize(
    "settings",
    [
        {"election_timeout_s_min": 0.1},
        {"election_timeout_s_min": 0.9},
        {"heartbeat_s": 0.0},
        {"heartbeat_s": 0.2},
        {"leader_fallback_s": 1.1},
        {"leader_fallback_s": 0.05},
    ],
)
def test_timers_that_cannot_work_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="needed"):
        RaftTiming(**settings)


def test_another_pysyncobj_is_refused(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "syncobj.py"
    other.write_bytes(Path(syncobj.__file__).read_bytes() + b"\n# a patch\n")
    monkeypatch.setattr(syncobj, "__file__", str(other))
    cluster.kill("A")
    with pytest.raises(UnsupportedPysyncobj, match=r"is not that of pysyncobj 0\.3\.17"):
        cluster.start("A")
