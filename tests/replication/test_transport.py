"""Links between replicas, on real sockets and a clock that the test moves."""

import itertools
import logging
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from replication.messages import AppendEntries, Message, ResponseVote
from replication.poller import Poller
from replication.tls import LinkCredentials
from replication.transport import PeerTransport
from tests.replication.link_certificates import CLUSTER_ID
from tests.replication.link_certificates import node as node_credentials


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Node:
    """A transport and what it told its owner."""

    def __init__(self, network: "Network", node_id: str, credentials: LinkCredentials) -> None:
        self.received: list[tuple[str, Message]] = []
        self.events: list[str] = []
        self.transport = PeerTransport(
            credentials=credentials,
            group_id=CLUSTER_ID,
            bind=("127.0.0.1", 0),
            peers={peer_id: ("127.0.0.1", 1) for peer_id in ("node-1", "node-2", "node-3") if peer_id != node_id},
            poller=network.poller,
            clock_s=network.clock,
        )
        self.transport.on_message = lambda peer_id, message: self.received.append((peer_id, message))
        self.transport.on_connected = lambda peer_id: self.events.append(f"+{peer_id}")
        self.transport.on_disconnected = lambda peer_id: self.events.append(f"-{peer_id}")


class Network:
    """Some nodes on one poller."""

    def __init__(self) -> None:
        self.poller = Poller()
        self.clock = Clock()
        self.nodes: dict[str, Node] = {}

    def start(self, node_id: str, credentials: LinkCredentials | None = None) -> Node:
        node = self.nodes[node_id] = Node(self, node_id, credentials or node_credentials(node_id))
        for peer_id, peer in self.nodes.items():
            if peer_id != node_id:
                peer.transport.set_peer_address(node_id, *node.transport.address)
                node.transport.set_peer_address(peer_id, *peer.transport.address)
        return node

    def stop(self, node_id: str) -> None:
        self.nodes.pop(node_id).transport.destroy()

    def close(self) -> None:
        for node_id in list(self.nodes):
            self.stop(node_id)
        self.poller.close()

    def run(self, rounds: int = 20) -> None:
        for _ in range(rounds):
            self.clock.now_s += 0.02
            for node in self.nodes.values():
                node.transport.maintain()
            self.poller.poll(0.001)

    def run_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline, "nothing happens any more"
            self.run(1)


@pytest.fixture
def network() -> Iterator[Network]:
    made = Network()
    yield made
    made.close()


def all_linked(network: Network) -> bool:
    count = len(network.nodes) - 1
    return all(len(node.transport.connected_ids) == count for node in network.nodes.values())


def test_every_pair_gets_one_link(network: Network) -> None:
    for node_id in ("node-1", "node-2", "node-3"):
        network.start(node_id)
    network.run_until(lambda: all_linked(network))
    network.run()
    assert {node_id: sorted(node.events) for node_id, node in network.nodes.items()} == {
        "node-1": ["+node-2", "+node-3"],
        "node-2": ["+node-1", "+node-3"],
        "node-3": ["+node-1", "+node-2"],
    }


def test_a_peer_may_be_given_by_name(network: Network) -> None:
    one, two = network.start("node-1"), network.start("node-2")
    two.transport.set_peer_address("node-1", "localhost", one.transport.address[1])
    network.run_until(lambda: all_linked(network))


def test_messages_wait_for_the_flush_and_arrive_in_order(network: Network) -> None:
    one, two = network.start("node-1"), network.start("node-2")
    network.run_until(lambda: all_linked(network))
    for term in range(1, 6):
        assert one.transport.send("node-2", ResponseVote(term))
    network.run()
    assert two.received == []
    one.transport.flush(append_entries_only=True)
    network.run()
    assert two.received == []
    one.transport.flush(append_entries_only=False)
    network.run_until(lambda: len(two.received) == 5)
    assert two.received == [("node-1", ResponseVote(term)) for term in range(1, 6)]


def test_a_large_message_arrives(network: Network) -> None:
    one, two = network.start("node-1"), network.start("node-2")
    network.run_until(lambda: all_linked(network))
    message = AppendEntries(1, 2, 3, 1, [(1, b"\0" + bytes(10_000_000))])
    one.transport.send("node-2", message)
    one.transport.flush(append_entries_only=True)
    network.run_until(lambda: bool(two.received))
    assert two.received == [("node-1", message)]


def test_nothing_is_queued_for_a_peer_without_a_link(network: Network) -> None:
    one = network.start("node-1")
    assert not one.transport.send("node-2", ResponseVote(1))
    one.transport.flush(append_entries_only=False)


def test_a_restarted_peer_is_linked_again(network: Network) -> None:
    one, _two = network.start("node-1"), network.start("node-2")
    network.run_until(lambda: all_linked(network))
    network.stop("node-2")
    network.run_until(lambda: one.transport.connected_ids == [])
    network.start("node-2")
    network.run_until(lambda: all_linked(network))
    network.stop("node-1")
    one = network.start("node-1")
    network.run_until(lambda: all_linked(network))
    assert one.events == ["+node-2"]


def test_a_peer_that_hangs_up_is_dialled_every_50_to_100_ms(network: Network) -> None:
    two = network.start("node-2")
    dialled_s: list[float] = []
    with socket.create_server(("127.0.0.1", 0)) as peer:
        peer.setblocking(False)
        two.transport.set_peer_address("node-1", *peer.getsockname())
        while len(dialled_s) < 30:
            network.clock.now_s += 0.001
            two.transport.maintain()
            try:
                peer.accept()[0].close()
            except BlockingIOError:
                continue
            dialled_s.append(network.clock.now_s)
            for _ in range(5):
                network.poller.poll(0.001)
    pauses_s = [later - earlier for earlier, later in itertools.pairwise(dialled_s)]
    assert min(pauses_s) > 0.049
    assert max(pauses_s) < 0.102


def test_a_node_that_is_no_peer_yet_is_linked(network: Network) -> None:
    """It waits to be made a member; what it says is judged by the replicated log."""
    one = network.start("node-1")
    stranger = PeerTransport(
        credentials=node_credentials("node-9"),
        group_id=CLUSTER_ID,
        bind=("127.0.0.1", 0),
        peers={"node-1": one.transport.address},
        poller=network.poller,
        clock_s=network.clock,
    )
    while not one.transport.connected_ids:
        stranger.maintain()
        network.run(1)
    assert one.transport.connected_ids == ["node-9"]
    stranger.destroy()


def test_a_peer_with_several_addresses_is_dialled_at_one_after_the_other(network: Network) -> None:
    one, two = network.start("node-1"), network.start("node-2")
    two.transport.set_peers({"node-1": [("127.0.0.1", 1), ("127.0.0.1", 2), one.transport.address]})
    network.run_until(lambda: two.transport.connected_ids == ["node-1"])


def test_a_peer_that_cannot_find_us_is_dialled_in_its_stead(network: Network) -> None:
    one, two = network.start("node-1"), network.start("node-2")
    two.transport.set_peer_address("node-1", "127.0.0.1", 1)
    begun_s = network.clock.now_s
    network.run_until(lambda: all_linked(network))
    assert 2 <= network.clock.now_s - begun_s < 3
    network.run(200)
    assert (one.events, two.events) == (["+node-2"], ["+node-1"])


def test_who_is_no_peer_any_more_is_not_dialled(network: Network) -> None:
    two = network.start("node-2")
    with socket.create_server(("127.0.0.1", 0)) as peer:
        peer.setblocking(False)
        two.transport.set_peer_address("node-1", *peer.getsockname())
        network.run()
        peer.accept()[0].close()
        two.transport.set_peers({})
        network.run()
        with suppress(BlockingIOError):
            while True:
                peer.accept()[0].close()  # what was dialled before
        network.run()
        with pytest.raises(BlockingIOError):
            peer.accept()


def test_a_peer_whose_machine_does_not_answer_is_dialled_again_without_a_word(
    network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    two = network.start("node-2")
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:  # more than its queue holds: the kernel does not answer the next one
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
        two.transport.set_peer_address("node-1", *full.getsockname())
        network.run(3)
        (first,) = two.transport._unproved
        assert first.socket.connecting
        network.clock.now_s += 2.1
        network.run(3)
        (second,) = two.transport._unproved
        assert first.socket.closed and second is not first
        for sock in waiting:
            sock.close()
    assert caplog.messages == []


def test_a_node_that_shuts_down_blames_nobody(network: Network, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    one, two = network.start("node-1"), network.start("node-2")
    network.run_until(lambda: any(link.socket.secured for link in two.transport._unproved))
    network.stop("node-2")
    network.stop("node-1")
    assert caplog.messages == []
    assert one.events == two.events == []


def test_a_flood_of_silent_clients_is_bounded(network: Network) -> None:
    one = network.start("node-1")
    clients = [socket.create_connection(one.transport.address) for _ in range(100)]
    network.run(5)
    assert len(one.transport._unproved) == 64
    for client in clients:
        client.close()
    network.run(5)
    assert one.transport._unproved == []


def test_a_malformed_message_drops_the_link(network: Network) -> None:
    one, two = network.start("node-1"), network.start("node-2")
    network.run_until(lambda: all_linked(network))
    two.transport._links["node-1"].socket.send(b"noise")
    network.run_until(lambda: "-node-2" in one.events)
    assert one.received == []
    network.run_until(lambda: all_linked(network))


def test_only_the_given_address_is_listened_on(network: Network) -> None:
    assert network.start("node-1").transport.address[0] == "127.0.0.1"
