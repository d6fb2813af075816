"""The door lets in gateways and nobody else (test_hostile_links); what it cannot read changes nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.codec import COMMAND_HEADER
from replication import protocol
from tests.replication.nodes_in_process import NodesInProcess
from tests.replication.test_node import open_exchange, order


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[NodesInProcess]:
    nodes = NodesInProcess(tmp_path / "cluster")
    yield nodes
    nodes.close()


def test_a_gateway_learns_at_once_who_leads(cluster: NodesInProcess) -> None:
    leader = cluster.leader()
    for node_id in cluster.nodes:
        status = cluster.link(node_id).statuses[0]
        assert (status.node, status.leader, status.serving) == (node_id, leader, node_id == leader)


def test_a_record_that_is_no_command_is_answered_malformed_and_never_reaches_the_log(cluster: NodesInProcess) -> None:
    leader, link = open_exchange(cluster)
    sequence = cluster.nodes[leader].replica.machine.sequence
    unknown_kind = COMMAND_HEADER.pack(999, COMMAND_HEADER.size + 3) + b"abc"
    too_short = COMMAND_HEADER.pack(6, COMMAND_HEADER.size + 3) + b"abc"
    link.socket.send(protocol.encode_submit([(901, unknown_kind), (902, too_short)]))
    cluster.tick_until(lambda: 901 in link.results and 902 in link.results)
    assert {link.results[number].outcome for number in (901, 902)} == {protocol.MALFORMED}
    assert link.submit(order(1))[0].sequence == sequence + 1


@pytest.mark.parametrize("frame", [b"", b"\x01\x00", b"\x03garbage", b"\x63", bytes((protocol.STATUS,)) + b"\x80"])
def test_a_frame_that_is_no_message_ends_the_link_and_nothing_else(cluster: NodesInProcess, frame: bytes) -> None:
    leader, other = open_exchange(cluster)
    link = cluster.link(leader)
    link.socket.send(frame)
    cluster.tick_until(lambda: bool(link.closed_because))
    assert other.submit(order(1))[0].outcome == protocol.COMMITTED
