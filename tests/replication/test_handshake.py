"""Who is let in, and above all who is not."""

import pytest

from replication.handshake import HANDSHAKE_FRAME_BYTES_MAX, Handshake, HandshakeRefused

SECRET = b"s" * 32
CLUSTER = b"c" * 16


def side(
    name: str,
    *,
    is_client: bool = False,
    role: str = "node",
    secret: bytes = SECRET,
    cluster_id: bytes = CLUSTER,
    nonce: bytes = b"",
) -> Handshake:
    chosen_nonce = nonce or (name.encode() * 16)[:16]
    return Handshake(
        secret=secret, cluster_id=cluster_id, role=role, name=name, is_client=is_client, nonce=chosen_nonce
    )


def converse(client: Handshake, server: Handshake) -> None:
    """Carry frames in both directions until neither side has anything to say."""
    for _ in range(4):
        for sender, receiver in ((client, server), (server, client)):
            for frame in sender.outgoing():
                assert len(frame) <= HANDSHAKE_FRAME_BYTES_MAX
                receiver.receive(frame)


def test_two_nodes_prove_who_they_are() -> None:
    client, server = side("node-2", is_client=True), side("node-1")
    converse(client, server)
    assert client.done
    assert server.done
    assert (client.peer_name, client.peer_role) == ("node-1", "node")
    assert (server.peer_name, server.peer_role) == ("node-2", "node")


def test_a_gateway_is_told_from_a_node() -> None:
    client, server = side("edge", is_client=True, role="gateway"), side("node-1")
    converse(client, server)
    assert (server.peer_name, server.peer_role) == ("edge", "gateway")


def test_the_name_is_not_available_before_the_proof() -> None:
    client, server = side("node-2", is_client=True), side("node-1")
    for frame in client.outgoing():
        server.receive(frame)
    assert not server.done
    with pytest.raises(AssertionError):
        _ = server.peer_name


def test_a_wrong_secret_is_refused_by_both() -> None:
    client, server = side("node-2", is_client=True, secret=b"x" * 32), side("node-1")
    server.receive(client.outgoing()[0])
    client.receive(server.outgoing()[0])
    with pytest.raises(HandshakeRefused, match="wrong secret"):
        server.receive(client.outgoing()[0])
    assert not server.done


def test_a_server_with_a_wrong_secret_is_refused() -> None:
    client, server = side("node-2", is_client=True), side("node-1", secret=b"x" * 32)
    server.receive(client.outgoing()[0])
    hello, proof = server.outgoing()
    client.receive(hello)
    with pytest.raises(HandshakeRefused, match="wrong secret"):
        client.receive(proof)


def test_another_cluster_is_refused() -> None:
    client, server = side("node-2", is_client=True, cluster_id=b"d" * 16), side("node-1")
    with pytest.raises(HandshakeRefused, match="cluster id 6464"):
        server.receive(client.outgoing()[0])


def test_another_protocol_version_is_refused() -> None:
    hello = bytearray(side("node-2", is_client=True).outgoing()[0])
    hello[1] = 2
    with pytest.raises(HandshakeRefused, match="protocol version 2, ours is 1"):
        side("node-1").receive(bytes(hello))


def test_our_own_name_is_refused() -> None:
    with pytest.raises(HandshakeRefused, match="our own name"):
        side("node-1").receive(side("node-1", is_client=True, nonce=b"n" * 16).outgoing()[0])


def test_our_own_hello_sent_back_is_refused() -> None:
    server = side("node-1")
    with pytest.raises(HandshakeRefused, match="sent back"):
        server.receive(server.outgoing()[0])


def test_our_own_proof_sent_back_under_another_name_is_refused() -> None:
    server = side("node-1")
    server.receive(side("node-2", is_client=True).outgoing()[0])
    _hello, proof = server.outgoing()
    with pytest.raises(HandshakeRefused, match="wrong secret"):
        server.receive(proof)


def test_a_recorded_handshake_cannot_be_replayed() -> None:
    client, server = side("node-2", is_client=True), side("node-1", nonce=b"1" * 16)
    hello = client.outgoing()[0]
    server.receive(hello)
    for frame in server.outgoing():
        client.receive(frame)
    proof = client.outgoing()[0]
    server.receive(proof)
    assert server.done
    later = side("node-1", nonce=b"2" * 16)
    later.receive(hello)
    with pytest.raises(HandshakeRefused, match="wrong secret"):
        later.receive(proof)


def test_a_name_cannot_be_changed_after_the_proof_was_made() -> None:
    client, server = side("node-2", is_client=True), side("node-1")
    hello = client.outgoing()[0]
    server.receive(hello.replace(b"node-2", b"node-3"))
    for frame in server.outgoing()[:1]:
        client.receive(frame)
    with pytest.raises(HandshakeRefused, match="wrong secret"):
        server.receive(client.outgoing()[0])


@pytest.mark.parametrize(
    "frame",
    [b"", b"\x01", b"\x01\x01", b"\x02" + bytes(32), b"\x01\x01\x00" + bytes(10), b"GET / HTTP/1.1\r\n", bytes(200)],
)
def test_noise_instead_of_a_hello_is_refused(frame: bytes) -> None:
    with pytest.raises(HandshakeRefused):
        side("node-1").receive(frame)


@pytest.mark.parametrize("name", [b"", b"a b", b"\xff\xfe", b"x" * 65, b"a\n"])
def test_an_improper_name_is_refused(name: bytes) -> None:
    hello = side("n", is_client=True).outgoing()[0][:-2] + bytes([len(name)]) + name
    with pytest.raises(HandshakeRefused, match="name"):
        side("node-1").receive(hello)


def test_a_hello_with_something_behind_it_is_refused() -> None:
    with pytest.raises(HandshakeRefused, match="name"):
        side("node-1").receive(side("node-2", is_client=True).outgoing()[0] + b"x")


@pytest.mark.parametrize("frame", [b"", b"\x02", b"\x02" + bytes(31), b"\x02" + bytes(33), b"\x01" + bytes(32)])
def test_a_malformed_proof_is_refused(frame: bytes) -> None:
    server = side("node-1")
    server.receive(side("node-2", is_client=True).outgoing()[0])
    with pytest.raises(HandshakeRefused):
        server.receive(frame)


def test_nothing_is_taken_after_the_end_or_a_refusal() -> None:
    client, server = side("node-2", is_client=True), side("node-1")
    converse(client, server)
    with pytest.raises(HandshakeRefused, match="after the end"):
        server.receive(b"\x02" + bytes(32))
    refused = side("node-1")
    with pytest.raises(HandshakeRefused):
        refused.receive(b"noise")
    with pytest.raises(HandshakeRefused):
        refused.receive(side("node-2", is_client=True).outgoing()[0])
    assert refused.outgoing() == []


@pytest.mark.parametrize(
    ("changed", "value"), [("secret", b"short"), ("cluster_id", b"short"), ("role", "king"), ("name", "a b")]
)
def test_our_own_configuration_is_checked(changed: str, value: object) -> None:
    settings: dict[str, object] = {"secret": SECRET, "cluster_id": CLUSTER, "role": "node", "name": "node-1"}
    settings[changed] = value
    with pytest.raises(ValueError, match=r".+"):
        Handshake(**settings, is_client=True, nonce=bytes(16))  # type: ignore[arg-type]
