"""Three real nodes: what reaches the log is answered once it is committed, and a replica that differs stops."""

import collections
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lmdb
import pytest

from engine.commands import Command, CreateAccount, CreateAsset, CreateMarket, Deposit, PlaceOrder
from engine.events import OrderAccepted, RequestRepeated
from engine.machine import Machine
from engine.snapshot import state_hash
from engine.types import BUY, CANCEL_NEWEST, GTC, LIMIT, TRADER
from replication import protocol
from replication.agreement import CHECKPOINT_EVERY_ENTRIES, Diverged
from tests.replication.nodes_in_process import GatewayLink, NodesInProcess, events_of


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[NodesInProcess]:
    nodes = NodesInProcess(tmp_path / "cluster")
    yield nodes
    nodes.close()


def setup() -> list[Command]:
    now_ns = time.time_ns()
    return [
        CreateAsset(0, now_ns, 5, b"EUR"),
        CreateAsset(0, now_ns, 3, b"GLD"),
        CreateMarket(0, now_ns, 1, 2, 1, 3, 0, 0, 0, 0, b"GLD", b"EUR"),
        CreateAccount(0, now_ns, TRADER, b"ana"),
        Deposit(0, now_ns, 1, 1, 1_000_000, 0, b"dep-1"),
    ]


def order(number: int) -> PlaceOrder:
    return PlaceOrder(1, time.time_ns(), 1, BUY, LIMIT, GTC, 0, CANCEL_NEWEST, 1_000, 2, 1, 3, b"o%d" % number)


def open_exchange(cluster: NodesInProcess) -> tuple[str, GatewayLink]:
    leader = cluster.leader()
    link = cluster.link(leader)
    for result in link.submit(*setup()):
        assert result.outcome == protocol.COMMITTED
    return leader, link


def test_a_node_has_memory_ready_for_what_its_configuration_says(cluster: NodesInProcess) -> None:
    for node in cluster.nodes.values():
        assert node.replica.machine.receipts.arena.segment_count() > Machine().receipts.arena.segment_count()


def test_a_node_without_fsync_says_so_at_every_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    opened: list[bool] = []
    open_environment = lmdb.open

    def noted(*arguments: Any, **options: Any) -> Any:
        opened.append(options.get("sync", True))
        return open_environment(*arguments, **options)

    monkeypatch.setattr(lmdb, "open", noted)
    nodes = NodesInProcess(tmp_path / "cluster", log_settings='fsync = "none"')
    try:
        assert opened.count(False) == 3  # the journals; snapshots are forced to disk in any case
        nodes.stop("node-1")
        caplog.clear()
        nodes.start("node-1")
        assert ["a power loss can lose it" in record.message for record in caplog.records].count(True) == 1
        assert not any(node.status().fsyncs for node in nodes.nodes.values())
    finally:
        nodes.close()


def test_commands_of_one_frame_are_committed_in_order_on_every_replica(cluster: NodesInProcess) -> None:
    _, link = open_exchange(cluster)
    results = link.submit(*[order(number) for number in range(300)])
    assert [result.sequence for result in results] == list(range(6, 306))
    for result in results:
        accepted = events_of(result)[0]
        assert isinstance(accepted, OrderAccepted)
        assert accepted.order_id == result.sequence
    cluster.tick_until(lambda: {node.replica.machine.sequence for node in cluster.nodes.values()} == {305})
    assert len({state_hash(node.replica.machine) for node in cluster.nodes.values()}) == 1


def test_a_follower_refuses_commands_so_that_they_can_safely_go_elsewhere(cluster: NodesInProcess) -> None:
    leader, _ = open_exchange(cluster)
    follower = cluster.link(next(node_id for node_id in cluster.nodes if node_id != leader))
    assert not follower.statuses[-1].serving
    assert [result.outcome for result in follower.submit(order(1), order(2))] == [protocol.FAILED] * 2


def test_after_a_leader_change_a_retry_finds_out_what_became_of_the_first_copy(cluster: NodesInProcess) -> None:
    leader, link = open_exchange(cluster)
    placed = order(1)
    first = link.submit(placed)[0]
    cluster.stop(leader)
    second = cluster.link(cluster.leader()).submit(placed)[0]
    repeated = events_of(second)[0]
    assert isinstance(repeated, RequestRepeated)
    assert repeated.original_sequence == first.sequence


def test_a_replica_that_was_away_catches_up_from_a_snapshot_and_the_log_behind_it(cluster: NodesInProcess) -> None:
    leader, link = open_exchange(cluster)
    away = next(node_id for node_id in cluster.nodes if node_id != leader)
    cluster.stop(away)
    for start in range(0, 900, 3):
        link.submit(*[order(number) for number in range(start, start + 3)])
    cluster.start(away)
    cluster.tick_until(lambda: {node.replica.machine.sequence for node in cluster.nodes.values()} == {905})
    assert len({state_hash(node.replica.machine) for node in cluster.nodes.values()}) == 1


def test_a_replica_that_computes_something_else_stops_and_the_others_go_on(cluster: NodesInProcess) -> None:
    leader, link = open_exchange(cluster)
    wrong = next(node_id for node_id in cluster.nodes if node_id != leader)
    cluster.tick_until(lambda: {node.replica.machine.sequence for node in cluster.nodes.values()} == {5})
    cluster.nodes[wrong].replica.machine.ledger.credit(1, 1, -999_999_999_00)  # as a damaged memory would
    orders = [order(number)._replace(quantity_mantissa=200) for number in range(4 * CHECKPOINT_EVERY_ENTRIES)]
    with pytest.raises(Diverged, match="2 replicas have"):
        collections.deque(map(link.submit, orders), maxlen=0)  # one entry each, up to the next checkpoint
    cluster.stop(wrong)
    assert link.submit(order(9_999))[0].outcome == protocol.COMMITTED


def test_the_state_hash_is_the_one_of_the_sequence_it_names(cluster: NodesInProcess) -> None:
    leader, link = open_exchange(cluster)
    answer = link.ask("state_hash")
    assert answer.value["sequence"] == answer.sequence == 5
    assert answer.value["state_hash"] == state_hash(cluster.nodes[leader].replica.machine).hex()


def test_a_question_that_cannot_be_answered_gets_an_error_and_the_link_stays(cluster: NodesInProcess) -> None:
    _, link = open_exchange(cluster)
    assert "no question" in link.ask("weather").error
    assert link.ask("balances", account_id=1).value[0]["asset"] == "EUR"
    assert link.ask("status").value["role"] == "leader"
