"""What a door answers about members, on three real nodes in one process."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine.codec import encode_command
from engine.commands import Tick
from engine.types import EXCHANGE_ACCOUNT
from replication import protocol
from replication.config import Address, NodeAddresses, node_data_dir
from replication.local_cluster import free_port
from replication.member_desk import ASK_AGAIN
from replication.node import Node
from tests.replication.nodes_in_process import NodesInProcess


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[NodesInProcess]:
    nodes = NodesInProcess(tmp_path / "cluster")
    yield nodes
    nodes.close()


def test_everybody_says_who_the_members_are_and_the_leader_how_far_they_are(cluster: NodesInProcess) -> None:
    leader = cluster.leader()
    for node_id in cluster.nodes:
        view = cluster.operator_link(node_id).ask("members").value
        assert (view["node"], view["leader"], view["role"] == "leader") == (node_id, leader, node_id == leader)
        assert [member["node"] for member in view["members"]] == ["node-1", "node-2", "node-3"]
        assert all(member["voter"] and member["linked"] for member in view["members"])
        known = [member["match_index"] is not None for member in view["members"]]
        assert known == [node_id in (leader, member["node"]) for member in view["members"]]
    addresses = cluster.config.nodes["node-2"]
    assert (view["members"][1]["peer"], view["members"][1]["door"]) == (str(addresses.peer), str(addresses.door))


def test_a_gateway_may_not_ask_about_members(cluster: NodesInProcess) -> None:
    leader = cluster.leader()
    link = cluster.link(leader)
    for name, arguments in (("members", {}), ("remove_member", {"node": "node-3"}), ("restart", {})):
        answer = link.ask(name, **arguments)
        assert (answer.value, answer.error) == (None, "only an operator's certificate may ask that")
    assert len(cluster.operator_link(leader).ask("members").value["members"]) == 3


def test_an_operator_sends_no_commands(cluster: NodesInProcess) -> None:
    leader = cluster.leader()
    link = cluster.operator_link(leader)
    sequence = cluster.nodes[leader].replica.machine.sequence
    link.socket.send(protocol.encode_submit([(1, encode_command(Tick(EXCHANGE_ACCOUNT, 1)))]))
    cluster.tick_until(lambda: bool(link.closed_because))
    assert cluster.nodes[leader].replica.machine.sequence == sequence


def test_changes_are_answered_when_they_are_committed(cluster: NodesInProcess) -> None:
    link = cluster.operator_link(cluster.leader())
    view = link.ask("add_member", node="node-4", peer="127.0.0.1:9", door="127.0.0.1:10").value
    assert view["settled"]
    assert [(member["node"], member["voter"]) for member in view["members"]][-1] == ("node-4", False)
    cluster.tick_until(lambda: link.statuses[-1].doors.get("node-4") == ("127.0.0.1", 10))
    view = link.ask("remove_member", node="node-4").value
    assert [member["node"] for member in view["members"]] == ["node-1", "node-2", "node-3"]


@pytest.mark.parametrize(
    ("name", "arguments", "error"),
    [
        ("add_member", {"node": "Node 4", "peer": "h:1", "door": "h:2"}, "'Node 4' is no node id"),
        ("add_member", {"node": "node-4", "peer": "h", "door": "h:2"}, "'h' is no address such as"),
        ("add_member", {"node": "node-4", "peer": "h:1", "door": "h:99999"}, "'h:99999' is no address such as"),
        ("add_member", {"node": "node-4", "peer": "h:1", "door": "h:1"}, "h:1 cannot be both"),
        ("add_member", {"node": "node-2", "peer": "h:1", "door": "h:2"}, "node-2 is a member already"),
        ("add_member", {"node": "node-4"}, "wrong arguments for 'add_member'"),
        ("remove_member", {"node": "node-9"}, "node-9 is no member; there are node-1, node-2, node-3"),
        ("transfer_leadership", {"node": "node-9"}, "node-9 is no voter of this cluster"),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason(
    cluster: NodesInProcess, name: str, arguments: dict[str, str], error: str
) -> None:
    answer = cluster.operator_link(cluster.leader()).ask(name, **arguments)
    assert answer.value is None
    assert answer.error.startswith(error)


def test_who_does_not_lead_sends_the_operator_on(cluster: NodesInProcess) -> None:
    leader = cluster.leader()
    follower = cluster.operator_link(next(node_id for node_id in cluster.nodes if node_id != leader))
    for name, arguments in (
        ("add_member", {"node": "node-4", "peer": "h:1", "door": "h:2"}),
        ("remove_member", {"node": leader}),
        ("transfer_leadership", {"node": ""}),
    ):
        assert follower.ask(name, **arguments).error == f"{ASK_AGAIN}not the leader; the leader is {leader}"


def test_the_leadership_is_handed_to_the_node_that_is_named(cluster: NodesInProcess) -> None:
    leader = cluster.leader()
    heir = max(node_id for node_id in cluster.nodes if node_id != leader)
    cluster.tick_until(lambda: cluster.nodes[heir].status().term > 0)
    assert cluster.operator_link(leader).ask("transfer_leadership", node=heir).error == ""
    cluster.tick_until(lambda: cluster.nodes[heir].status().serving)


def test_a_follower_ends_for_a_restart_and_a_leader_only_once_it_has_handed_over(cluster: NodesInProcess) -> None:
    leader = cluster.leader()
    follower = next(node_id for node_id in cluster.nodes if node_id != leader)
    refused = cluster.operator_link(leader).ask("restart")
    assert refused.error == f"{ASK_AGAIN}{leader} leads: hand the leadership over first"
    assert not cluster.nodes[leader].restart_asked
    started_at_ns = cluster.operator_link(follower).ask("status").value["started_at_ns"]
    answer = cluster.operator_link(follower).ask("restart")
    assert answer.value == {"node": follower, "started_at_ns": started_at_ns}
    assert cluster.nodes[follower].restart_asked
    cluster.stop(follower)
    cluster.start(follower)
    assert cluster.operator_link(follower).ask("status").value["started_at_ns"] > started_at_ns


def test_a_node_that_moved_is_listed_where_it_is_found_now(cluster: NodesInProcess) -> None:
    """Its own configuration knows; the others learn it from its hello, and the log remembers."""
    leader = cluster.leader()
    moving = max(node_id for node_id in cluster.nodes if node_id != leader)
    cluster.stop(moving)
    moved = NodeAddresses(Address("127.0.0.1", free_port()), Address("127.0.0.1", free_port()))
    cluster.nodes[moving] = Node(replace(cluster.config, nodes={**cluster.config.nodes, moving: moved}), moving)
    link = cluster.operator_link(leader)
    cluster.tick_until(lambda: link.statuses[-1].doors[moving] == tuple(moved.door))
    members = {member["node"]: member for member in link.ask("members").value["members"]}
    assert (members[moving]["peer"], members[moving]["door"]) == (str(moved.peer), str(moved.door))


def test_a_node_with_an_empty_folder_votes_again_by_itself(cluster: NodesInProcess) -> None:
    leader = cluster.leader()
    lost = next(node_id for node_id in cluster.nodes if node_id != leader)
    cluster.stop(lost)
    shutil.rmtree(node_data_dir(cluster.config, lost))
    os.mkdir(node_data_dir(cluster.config, lost), 0o700)
    cluster.start(lost)
    cluster.tick_until(lambda: bool(cluster.nodes[lost].status().leader))
    link = cluster.operator_link(lost)

    def votes() -> bool:
        return any(member["node"] == lost and member["voter"] for member in link.ask("members").value["members"])

    assert link.ask("members").value["leader"] == leader
    cluster.tick_until(lambda: votes() and cluster.nodes[lost]._log.members.is_voter)
