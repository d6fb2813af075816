"""Three real nodes: who may answer which question, and what the others say."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from replication.protocol import CUT_OFF, NOT_LEADING, TOO_OLD, Answer
from tests.replication.nodes_in_process import GatewayLink, NodesInProcess
from tests.replication.test_node import open_exchange, order


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[NodesInProcess]:
    nodes = NodesInProcess(tmp_path / "cluster")
    yield nodes
    nodes.close()


def link_to_a_follower(cluster: NodesInProcess, leader: str) -> tuple[str, GatewayLink]:
    follower = next(node_id for node_id in cluster.nodes if node_id != leader)
    return follower, cluster.link(follower)


def ask_in_touch(link: GatewayLink, min_sequence: int, wait_ms: int, name: str, **arguments: Any) -> Answer:
    """On a busy machine these nodes, whose patience is short, lose touch now and then: ask again."""
    for _ in range(100):
        answer = link.ask_at_least(min_sequence, wait_ms, name, **arguments)
        if answer.error != CUT_OFF:
            return answer
    raise AssertionError("the replica is cut off")


def test_only_the_leader_answers_for_the_newest_state(cluster: NodesInProcess) -> None:
    leader, link = open_exchange(cluster)
    placed = link.submit(order(1))[0]
    answer = link.ask("order", account_id=1, order_id=0, client_order_id="o1")
    assert (answer.error, answer.sequence) == ("", placed.sequence)
    _, follower = link_to_a_follower(cluster, leader)
    refused = follower.ask("order", account_id=1, order_id=0, client_order_id="o1")
    assert (refused.error, refused.value) == (NOT_LEADING, None)
    assert follower.ask("status").value["role"] == "follower", "about itself it answers"


def test_a_leader_without_the_others_refuses_every_read(cluster: NodesInProcess) -> None:
    leader, link = open_exchange(cluster)
    for node_id in [node_id for node_id in cluster.nodes if node_id != leader]:
        cluster.stop(node_id)
    assert cluster.nodes[leader].status().serving, "it has not noticed anything"
    number = link.send_query("balances", {"account_id": 1})
    node = cluster.nodes[leader]
    cluster.tick_until(lambda: number in link.answers or node._reads.waiting == 1)
    assert number not in link.answers
    assert link.wait_for(number).error == NOT_LEADING
    assert not node.status().serving
    assert link.ask("balances", account_id=1).error == NOT_LEADING


def test_any_replica_answers_that_has_come_far_enough(cluster: NodesInProcess) -> None:
    leader, link = open_exchange(cluster)
    _, follower = link_to_a_follower(cluster, leader)
    for number in range(20):
        placed = link.submit(order(number))[0]
        answer = ask_in_touch(
            follower, placed.sequence, 5_000, "order", account_id=1, order_id=placed.sequence, client_order_id=""
        )
        assert answer.error == ""
        assert answer.sequence >= placed.sequence
        assert answer.value["order_id"] == placed.sequence


def test_a_replica_waits_for_what_is_not_there_yet_and_then_says_so(cluster: NodesInProcess) -> None:
    leader, link = open_exchange(cluster)
    _, follower = link_to_a_follower(cluster, leader)
    assert ask_in_touch(follower, 6, 0, "balances", account_id=1).error == TOO_OLD
    refused = ask_in_touch(follower, 6, 50, "balances", account_id=1)
    assert (refused.error, refused.sequence) == (TOO_OLD, 5)
    number = follower.send_query("balances", {"account_id": 1}, 6, 10_000)
    link.submit(order(1))
    waited = follower.wait_for(number)
    if waited.error == CUT_OFF:
        waited = ask_in_touch(follower, 6, 10_000, "balances", account_id=1)
    assert (waited.error, waited.sequence) == ("", 6)
    assert cluster.nodes[leader]._details()["reads_waiting"] == 0


def test_a_replica_that_is_cut_off_refuses_although_its_state_would_do(cluster: NodesInProcess) -> None:
    leader, _ = open_exchange(cluster)
    name, follower = link_to_a_follower(cluster, leader)
    cluster.tick_until(lambda: cluster.nodes[name].replica.machine.sequence == 5)
    assert ask_in_touch(follower, 5, 0, "balances", account_id=1).error == ""
    for node_id in [node_id for node_id in cluster.nodes if node_id != name]:
        cluster.stop(node_id)
    cluster.tick_until(lambda: not cluster.nodes[name]._details()["in_touch"])
    assert follower.ask_at_least(5, 1_000, "balances", account_id=1).error == CUT_OFF
    assert follower.ask("status").value["in_touch"] is False
