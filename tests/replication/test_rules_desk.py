"""Rules change while replicas of different builds run: on three real nodes, one with code that knows less."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.codec import decode_events
from engine.commands import SetRulesVersion, Tick
from engine.events import RulesVersionSet
from engine.types import EXCHANGE_ACCOUNT
from replication import protocol
from replication.config import node_data_dir
from replication.local_cluster import OPERATOR_NAME
from replication.member_desk import ASK_AGAIN
from replication.replica import UpgradeNeeded
from replication.replica_process import exit_code
from replication.snapshots import SnapshotStore
from replication.supervisor import EXIT_HALTED
from tests.replication.nodes_in_process import NodesInProcess

Make = Callable[..., NodesInProcess]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[NodesInProcess] = []

    def cluster(**options: Any) -> NodesInProcess:
        made.append(NodesInProcess(tmp_path / "cluster", **options))
        return made[-1]

    yield cluster
    for nodes in made:
        nodes.close()


def in_force(cluster: NodesInProcess) -> dict[str, int]:
    return {node_id: node.replica.machine.rules.version for node_id, node in cluster.nodes.items()}


def follower_of(cluster: NodesInProcess, leader: str) -> str:
    return next(node_id for node_id in sorted(cluster.nodes) if node_id != leader)


def restart(cluster: NodesInProcess, node_id: str, newest_rules: int) -> None:
    """With another build."""
    cluster.stop(node_id)
    cluster.newest_rules[node_id] = newest_rules
    cluster.start(node_id)


def set_rules(cluster: NodesInProcess, version: object) -> protocol.Answer:
    """Ask the leader, as often as the answer is to ask again."""
    while True:
        answer = cluster.operator_link(cluster.leader()).ask("set_rules_version", version=version)
        if not answer.error.startswith(ASK_AGAIN):
            return answer


def wait_linked(cluster: NodesInProcess) -> str:
    """Until the leader is linked with all others. Answers who leads."""
    leader = cluster.leader()
    cluster.tick_until(lambda: len(cluster.nodes[leader].log.members.linked) == len(cluster.nodes) - 1)
    return leader


def test_rules_are_set_once_every_replica_knows_them(make: Make) -> None:
    cluster = make()
    wait_linked(cluster)
    assert in_force(cluster) == {"node-1": 1, "node-2": 1, "node-3": 1}
    answer = set_rules(cluster, 2)
    assert (answer.error, answer.value) == ("", {"rules_version": 2})
    cluster.tick_until(lambda: set(in_force(cluster).values()) == {2})
    again = set_rules(cluster, 2)
    assert (again.error, again.value, again.sequence) == ("", {"rules_version": 2}, answer.sequence)
    assert set_rules(cluster, 1).error == "version 2 of the rules is in force, and rules never go back"
    details = cluster.operator_link("node-2").ask("status").value
    assert (details["rules_version"], details["newest_rules_version"], details["build"]) == (2, 2, "0.1.0")


def test_the_archive_says_whose_certificate_asked(make: Make) -> None:
    cluster = make()
    leader = wait_linked(cluster)
    sequence = set_rules(cluster, 2).sequence
    cluster.tick_until(lambda: cluster.nodes[leader].replica.machine.sequence >= sequence)
    (entry,) = cluster.link(leader).ask("events", after_sequence=sequence - 1, limit=1).value["entries"]
    assert [event for _, event in decode_events(entry["events"])] == [RulesVersionSet(2, OPERATOR_NAME.encode())]


def test_rules_are_not_set_while_a_replica_has_older_code_or_is_down(make: Make) -> None:
    cluster = make(newest_rules={"node-3": 1})
    leader = wait_linked(cluster)
    if leader == "node-3":  # then it would be the leader that does not know
        answer = set_rules(cluster, 2)
        assert "node-3 knows rules up to 1" in answer.error
        cluster.operator_link(leader).ask("transfer_leadership", node="node-1")
        cluster.tick_until(lambda: cluster.nodes["node-1"].status().serving)
        wait_linked(cluster)
    refused = "not every replica could follow version 2 of the rules: node-3 {}. What to do: {}"
    install = "install a version of Tallystick that knows it on every node, then `tally admin roll`"
    assert set_rules(cluster, 2).error == refused.format("knows rules up to 1", install)
    cluster.stop("node-3")
    leader = cluster.leader()
    cluster.tick_until(lambda: "node-3" not in cluster.nodes[leader].log.members.linked)
    assert set_rules(cluster, 2).error == refused.format("cannot be reached", "start what is down")
    assert set(in_force(cluster).values()) == {1}
    cluster.newest_rules["node-3"] = 2
    cluster.start("node-3")
    wait_linked(cluster)
    assert set_rules(cluster, 2).error == ""
    cluster.tick_until(lambda: set(in_force(cluster).values()) == {2})


def test_a_version_that_no_build_knows_is_refused_with_all_who_do_not(make: Make) -> None:
    cluster = make()
    wait_linked(cluster)
    error = set_rules(cluster, 3).error
    assert error.startswith("not every replica could follow version 3 of the rules: ")
    assert all(f"{node_id} knows rules up to 2" in error for node_id in cluster.nodes)
    for nonsense in (0, -1, 2**32, "2", None, True, 2.0):
        assert set_rules(cluster, nonsense).error == f"there is no version {nonsense!r} of the rules"


def test_old_code_that_meets_new_rules_stops_before_them_and_goes_on_once_it_is_upgraded(make: Make) -> None:
    cluster = make()
    leader = wait_linked(cluster)
    late = follower_of(cluster, leader)
    assert set_rules(cluster, 2).error == ""
    sequence = cluster.nodes[leader].replica.machine.sequence
    cluster.tick_until(lambda: set(in_force(cluster).values()) == {2})
    restart(cluster, late, newest_rules=1)
    with pytest.raises(UpgradeNeeded) as stopped:
        cluster.tick_until(lambda: False)
    assert "version 2 of the rules is in force, and this build knows rules up to 1. Nothing of it" in str(stopped.value)
    assert "Install the version of Tallystick that the other replicas run" in str(stopped.value)
    assert exit_code(stopped.value) == EXIT_HALTED
    assert cluster.nodes[late].replica.log_point.sequence == sequence - 1, "nothing of it is in the archive"

    restart(cluster, late, newest_rules=2)
    cluster.tick_until(lambda: cluster.nodes[late].replica.machine.sequence >= sequence)
    assert set(in_force(cluster).values()) == {2}
    assert cluster.nodes[late].replica.machine.chain == cluster.nodes[leader].replica.machine.chain


def test_old_code_does_not_take_over_a_snapshot_of_new_rules(make: Make) -> None:
    cluster = make()
    leader = wait_linked(cluster)
    late = follower_of(cluster, leader)
    assert set_rules(cluster, 2).error == ""
    ticks = [Tick(EXCHANGE_ACCOUNT, number) for number in range(1, 250)]
    cluster.link(leader).submit(*ticks)
    store = SnapshotStore(node_data_dir(cluster.config, late) / "snapshots")
    cluster.tick_until(lambda: store.latest() is not None)
    cluster.stop(late)
    cluster.newest_rules[late] = 1
    with pytest.raises(UpgradeNeeded, match=r"in the snapshot at log index .* this build knows rules up to 1"):
        cluster.start(late)


def test_gateways_do_not_change_the_rules(make: Make) -> None:
    cluster = make()
    leader = wait_linked(cluster)
    link = cluster.link(leader)
    answer = link.ask("set_rules_version", version=2)
    assert (answer.value, answer.error) == (None, "only an operator's certificate may ask that")
    (result,) = link.submit(SetRulesVersion(EXCHANGE_ACCOUNT, 1, 2, b"gateway-1"))
    assert result.outcome == protocol.MALFORMED
    assert set(in_force(cluster).values()) == {1}
