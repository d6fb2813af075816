"""Who is not a node or a gateway of this cluster gets nowhere, at either port, and the log says why. Real sockets."""

import datetime
import logging
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress

import pytest

from replication.handshake import hello
from replication.identity import GATEWAY, NODE, Identity
from replication.messages import ResponseVote, encode
from replication.protocol import Answer, Query, Status
from replication.server import HANDSHAKE_TIME_S, Door, DoorLink
from replication.tls import LinkCredentials
from tests.replication.link_certificates import CLUSTER_ID, NOW, credentials, gateway, node, operator
from tests.replication.test_transport import Network, Node

HELLO = hello(CLUSTER_ID)
LONG_AGO = NOW - datetime.timedelta(days=30)
TOMORROW = NOW + datetime.timedelta(days=1)
OTHER_CLUSTER = b"d" * 16


class Ports:
    """node-2 with both its ports, and a thread that serves them: a stranger here may block."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.node = network.start("node-2")
        self.served: list[object] = []
        self.door = Door(
            ("127.0.0.1", 0), network.poller, self, credentials=node("node-2"), group_id=CLUSTER_ID, now_s=network.clock
        )
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def address(self, port: str) -> tuple[str, int]:
        return self.node.transport.address if port == "peer" else self.door.address

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(10)
        self.door.close()

    def status(self) -> Status:
        return Status("node-2", True, "node-2", 1, 0, False)

    def submit(self, link: DoorLink, correlation: int, command: bytes) -> None:
        self.served.append(command)

    def ask(self, query: Query, reply: Callable[[Answer], None], *, operator: str) -> None:
        self.served.append(query)

    def has_accepted(self, port: str) -> bool:
        """Whether a link is under way that this node did not dial itself."""
        if port == "peer":
            return any(not link.dialled_id for link in list(self.node.transport._unproved))
        return bool(self.door.links)

    def nothing_was_served(self) -> bool:
        authenticated = [link for link in self.door.links if link.authenticated]
        return not (self.served or authenticated or self.node.received or self.node.events)

    def _run(self) -> None:
        while not self._stopped.is_set():
            self.node.transport.maintain()
            self.door.tell_status()
            self.door.flush()
            self.network.poller.poll(0.002)


@pytest.fixture
def network() -> Iterator[Network]:
    made = Network()
    yield made
    made.close()


@pytest.fixture
def ports(network: Network, caplog: pytest.LogCaptureFixture) -> Iterator[Ports]:
    caplog.set_level(logging.WARNING)
    made = Ports(network)
    made.start()
    yield made
    made.stop()


def wait_for(condition: Callable[[], bool], what: object = "") -> None:
    until_s = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until_s, what
        time.sleep(0.005)


def wait_for_warning(caplog: pytest.LogCaptureFixture, wanted: str) -> None:
    wait_for(lambda: any(wanted in message for message in list(caplog.messages)), (wanted, caplog.messages))


def hang_up_seen(sock: socket.socket) -> bool:
    """Whether the other side closes, whatever it says before."""
    sock.settimeout(5)
    try:
        while sock.recv(4096):
            pass
    except (ConnectionResetError, ssl.SSLError):
        pass
    return True


def frame(payload: bytes) -> bytes:
    return struct.pack("<I", len(payload)) + payload


def dial(address: tuple[str, int], who: LinkCredentials) -> ssl.SSLSocket:
    """The handshake of TLS as a client of that identity. In TLS 1.3 it may look good until the server has spoken."""
    sock = socket.create_connection(address, timeout=5)
    try:
        return who.client_context.wrap_socket(sock)
    except BaseException:
        sock.close()
        raise


STRANGERS: dict[str, tuple[str, Callable[[], LinkCredentials], str]] = {
    "another CA, peer": ("peer", lambda: node("node-3", signed_by="another"), "not signed by this cluster's CA"),
    "another CA, door": ("door", lambda: gateway(signed_by="another"), "not signed by this cluster's CA"),
    "expired, peer": ("peer", lambda: node("node-3", made=LONG_AGO), "its certificate has expired: renew it"),
    "expired, door": ("door", lambda: gateway(made=LONG_AGO), "its certificate has expired: renew it"),
    "not valid yet": ("peer", lambda: node("node-3", made=TOMORROW), "not valid yet: correct the clocks"),
    "gateway at the peer port": ("peer", lambda: gateway("node-3"), "that of gateway node-3, but only a node may be"),
    "operator at the peer port": (
        "peer",
        lambda: operator("node-3"),
        "that of operator node-3, but only a node may be",
    ),
    "its own name": ("peer", lambda: node("node-2"), "that of node-2, which is this node: give it its own"),
    "other cluster, peer": (
        "peer",
        lambda: credentials(Identity(OTHER_CLUSTER, NODE, "node-3")),
        f"of cluster {OTHER_CLUSTER.hex()}, but this is cluster {CLUSTER_ID.hex()}",
    ),
    "other cluster, door": (
        "door",
        lambda: credentials(Identity(OTHER_CLUSTER, GATEWAY, "gateway-1")),
        f"of cluster {OTHER_CLUSTER.hex()}, but this is cluster {CLUSTER_ID.hex()}",
    ),
}


@pytest.mark.parametrize("stranger", STRANGERS)
def test_a_certificate_of_somebody_else_opens_nothing(
    ports: Ports, stranger: str, caplog: pytest.LogCaptureFixture
) -> None:
    port, who, complaint = STRANGERS[stranger]
    try:
        with dial(ports.address(port), who()) as sock:
            sock.sendall(frame(HELLO) + frame(encode(ResponseVote(1))))
            assert hang_up_seen(sock)
    except (ConnectionError, ssl.SSLError):
        pass
    wait_for_warning(caplog, complaint)
    assert "no link with 127.0.0.1: its certificate" in caplog.text
    assert ports.nothing_was_served()


@pytest.mark.parametrize("port", ["peer", "door"])
@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (frame(HELLO), "it does not speak TLS"),
        (b"GET / HTTP/1.1\r\nHost: node-2\r\n\r\n", "it speaks HTTP, not TLS"),
        (bytes(range(256)) * 300, "it does not speak TLS"),
        (b"\x16\x03\x01\x40\x00" + b"\x01\x00\x3f\xfc" + bytes(0x3FFC), "it does not speak TLS"),
    ],
    ids=["a hello in clear", "http", "noise", "a broken client hello"],
)
def test_who_does_not_speak_tls_is_cut_off(
    ports: Ports, port: str, words: bytes, complaint: str, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_connection(ports.address(port), timeout=5) as sock:
        with suppress(ConnectionError):
            sock.sendall(words)
        assert hang_up_seen(sock)
    wait_for_warning(caplog, complaint)
    assert ports.nothing_was_served()


@pytest.mark.parametrize("port", ["peer", "door"])
def test_a_client_without_a_certificate_is_told_to_get_one(
    ports: Ports, port: str, caplog: pytest.LogCaptureFixture
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection(ports.address(port), timeout=5) as tcp, context.wrap_socket(tcp) as sock:
        assert hang_up_seen(sock)
    wait_for_warning(caplog, "it showed no certificate: give it one")
    assert ports.nothing_was_served()


@pytest.mark.parametrize("port", ["peer", "door"])
def test_older_tls_is_not_spoken(ports: Ports, port: str, caplog: pytest.LogCaptureFixture) -> None:
    """So there is no renegotiation either: TLS 1.3 has none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection(ports.address(port), timeout=5) as tcp, pytest.raises(ssl.SSLError):
        context.wrap_socket(tcp)
    wait_for_warning(caplog, "it does not speak TLS 1.3")
    assert ports.nothing_was_served()


@pytest.mark.parametrize("first", [b"", b"tally", HELLO[:5] + b"\x09\x00", b"x" * 64], ids=repr)
@pytest.mark.parametrize("port", ["peer", "door"])
def test_a_proved_peer_that_does_not_say_hello_is_not_read_further(
    ports: Ports, port: str, first: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with dial(ports.address(port), node("node-3") if port == "peer" else gateway()) as sock:
        sock.sendall(frame(first) + frame(encode(ResponseVote(1))))
        assert hang_up_seen(sock)
    wait_for_warning(caplog, "speaks version 9" if b"\x09" in first else "its first frame is not a hello")
    assert ports.nothing_was_served()


@pytest.mark.parametrize("port", ["peer", "door"])
def test_no_large_frame_is_taken_before_the_hello(ports: Ports, port: str) -> None:
    with dial(ports.address(port), node("node-3") if port == "peer" else gateway()) as sock:
        sock.sendall(struct.pack("<I", 65))  # and the port does not wait for the rest
        assert hang_up_seen(sock)
    assert ports.nothing_was_served()


def client_hello(who: LinkCredentials) -> bytes:
    outgoing = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        who.client_context.wrap_bio(ssl.MemoryBIO(), outgoing).do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("sent_bytes", [0, 1, 100, 10_000], ids=["nothing", "a byte", "half a hello", "a whole hello"])
@pytest.mark.parametrize("port", ["peer", "door"])
def test_who_stops_in_the_middle_of_the_handshake_is_cut_off_in_time(
    ports: Ports, port: str, sent_bytes: int, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_connection(ports.address(port), timeout=5) as sock:
        sock.sendall(client_hello(node("node-3"))[:sent_bytes])
        wait_for(lambda: ports.has_accepted(port))
        ports.network.clock.now_s += HANDSHAKE_TIME_S + 0.1
        assert hang_up_seen(sock)
    wait_for_warning(caplog, "it did not finish the handshake in time")
    assert ports.nothing_was_served()


@pytest.mark.parametrize("port", ["peer", "door"])
def test_who_proves_itself_and_then_says_nothing_is_cut_off_in_time(ports: Ports, port: str) -> None:
    with dial(ports.address(port), node("node-3") if port == "peer" else gateway()) as sock:
        assert sock.recv(100) == frame(HELLO)
        ports.network.clock.now_s += HANDSHAKE_TIME_S + 0.1
        assert hang_up_seen(sock)
    assert ports.nothing_was_served()


@pytest.mark.parametrize("port", ["peer", "door"])
def test_data_before_the_end_of_the_handshake_is_not_read(
    ports: Ports, port: str, caplog: pytest.LogCaptureFixture
) -> None:
    early = b"\x17\x03\x03" + struct.pack(">H", 40) + bytes(40)  # a record that says that it is application data
    with socket.create_connection(ports.address(port), timeout=5) as sock:
        sock.sendall(client_hello(node("node-3")) + early)
        assert hang_up_seen(sock)
    wait_for_warning(caplog, "it does not speak TLS as it should")
    assert ports.nothing_was_served()


@pytest.mark.parametrize("port", ["peer", "door"])
def test_half_a_hello_and_half_a_link_is_no_link(ports: Ports, port: str) -> None:
    with dial(ports.address(port), node("node-3") if port == "peer" else gateway()) as sock:
        sock.sendall(frame(HELLO)[:6])
        sock.shutdown(socket.SHUT_WR)
        assert hang_up_seen(sock)
    assert ports.nothing_was_served()


@pytest.mark.parametrize("port", ["peer", "door"])
def test_whoever_belongs_here_is_served(ports: Ports, port: str) -> None:
    """Else everything above would pass for a port that serves nobody."""
    with dial(ports.address(port), node("node-3") if port == "peer" else gateway()) as sock:
        assert sock.recv(100) == frame(HELLO)
        sock.sendall(frame(HELLO))
        if port == "peer":
            sock.sendall(frame(encode(ResponseVote(7))))
            wait_for(lambda: ports.node.received == [("node-3", ResponseVote(7))])
        else:
            assert sock.recv(1000)  # the status
    wait_for(lambda: not ports.door.links and not ports.node.transport.connected_ids)


def test_many_refusals_of_one_kind_are_said_once(ports: Ports, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(5):
        with socket.create_connection(ports.address("peer"), timeout=5) as sock:
            sock.sendall(b"noise" * 100)
            assert hang_up_seen(sock)
    assert sum("it does not speak TLS" in message for message in caplog.messages) == 1


# The side that dials


class Impostor:
    """Listens where node-1 should be, with a certificate that is not node-1's."""

    def __init__(self, who: LinkCredentials | None) -> None:
        self.heard: list[bytes] = []
        self._who = who
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        try:
            tcp = self._listener.accept()[0]
        except OSError:
            return
        tcp.settimeout(5)
        try:
            if self._who is None:
                tcp.sendall(frame(HELLO))
            else:
                tcp = self._who.server_context.wrap_socket(tcp, server_side=True)
                tcp.sendall(frame(HELLO))
                self.heard.append(tcp.recv(1000))
        except OSError:
            pass
        tcp.close()


@pytest.mark.parametrize(
    ("who", "complaint"),
    [
        (lambda: node("node-3"), "its certificate is that of node node-3, expected was node-1: correct the addresses"),
        (lambda: node("node-1", signed_by="another"), "its certificate was not signed by this cluster's CA"),
        (lambda: node("node-1", made=LONG_AGO), "its certificate has expired"),
        (lambda: gateway("node-1"), "a gateway's certificate stands where a node's is needed"),
        (lambda: credentials(Identity(OTHER_CLUSTER, NODE, "node-1")), f"of cluster {OTHER_CLUSTER.hex()}"),
        (lambda: None, "it does not speak TLS"),
    ],
    ids=["another node", "another CA", "expired", "a gateway", "another cluster", "in clear"],
)
def test_a_node_tells_an_impostor_nothing_at_all(
    network: Network,
    who: Callable[[], LinkCredentials | None],
    complaint: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    two = network.start("node-2")
    with closing(Impostor(who())) as impostor:
        two.transport.set_peer_address("node-1", *impostor.address)
        network.run_until(lambda: complaint in caplog.text)
        assert f"no link with node-1 at 127.0.0.1:{impostor.address[1]}: " in caplog.text
        impostor._thread.join(10)
    assert impostor.heard in ([], [b""])
    assert two.events == []


def test_a_node_that_is_turned_away_says_where_to_look_and_waits_a_second(
    network: Network,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """node-1 does not count this node-2 as a member: its certificate is one of another cluster, by the same CA."""
    caplog.set_level(logging.WARNING)
    one = network.start("node-1")
    two = network.start("node-2", credentials(Identity(OTHER_CLUSTER, NODE, "node-2"), trusts="the cluster's own"))
    two.transport._credentials = _claims(two, CLUSTER_ID)
    network.run_until(lambda: "it turned this node away: its log says why" in caplog.text)
    assert f"of cluster {OTHER_CLUSTER.hex()}, but this is cluster {CLUSTER_ID.hex()}" in caplog.text
    wait_s = two.transport._dial_at_s["node-1"] - network.clock.now_s
    assert 0.9 < wait_s <= 1.0
    assert one.events == two.events == []


def _claims(node: Node, cluster_id: bytes) -> LinkCredentials:
    """The node's own credentials, in the belief that it belongs to another cluster: a wrong file was copied there."""
    own = node.transport._credentials
    return LinkCredentials(
        own.identity._replace(cluster_id=cluster_id), own.expires_s, own.client_context, own.server_context
    )
