"""What is asked of the other side once TLS has proved its certificate."""

import pytest

from replication.handshake import (
    HANDSHAKE_FRAME_BYTES_MAX,
    SPOKEN,
    HandshakeRefused,
    Spoken,
    check_hello,
    hello,
    require_peer,
)
from replication.identity import GATEWAY, NODE, Identity, parse_identity

CLUSTER = b"c" * 16
HELLO = hello(CLUSTER)
NODE_1 = Identity(CLUSTER, NODE, "node-1")


def test_our_own_hello_is_accepted_and_small_enough() -> None:
    assert check_hello(HELLO, CLUSTER) == SPOKEN.newest
    assert len(HELLO) <= HANDSHAKE_FRAME_BYTES_MAX


@pytest.mark.parametrize(
    ("one", "other", "agreed"),
    [
        (Spoken(3, 3), Spoken(3, 4), 3),
        (Spoken(3, 4), Spoken(3, 4), 4),
        (Spoken(3, 4), Spoken(4, 6), 4),
        (Spoken(5, 5), Spoken(3, 9), 5),
    ],
)
def test_both_ends_speak_the_newest_version_that_both_know(one: Spoken, other: Spoken, agreed: int) -> None:
    for ours, theirs in ((one, other), (other, one)):
        assert check_hello(hello(CLUSTER, theirs), CLUSTER, ours) == agreed
        assert check_hello(hello(CLUSTER, theirs) + b"whatever a later version adds", CLUSTER, ours) == agreed


@pytest.mark.parametrize(
    ("theirs", "ours", "words"),
    [
        (Spoken(4, 6), Spoken(2, 3), "it speaks versions 4 to 6 of the link protocol, this process versions 2 to 3: "),
        (Spoken(2, 3), Spoken(4, 6), "it speaks versions 2 to 3 of the link protocol, this process versions 4 to 6: "),
        (Spoken(4, 4), Spoken(3, 3), "it speaks version 4 of the link protocol, this process version 3: install "),
    ],
)
def test_ends_without_a_version_in_common_name_both_with_the_remedy(theirs: Spoken, ours: Spoken, words: str) -> None:
    with pytest.raises(HandshakeRefused) as refused:
        check_hello(hello(CLUSTER, theirs), CLUSTER, ours)
    assert words in str(refused.value)
    assert "speaks with both, or stop all and start all with the same one" in str(refused.value)


def test_a_hello_of_a_build_before_versions_had_a_range_is_named() -> None:
    before = HELLO[:5] + (2).to_bytes(2, "little") + CLUSTER
    with pytest.raises(HandshakeRefused, match="it speaks version 2 of the link protocol, this process version 3"):
        check_hello(before, CLUSTER)


@pytest.mark.parametrize("frame", [b"", b"tally", HELLO[:6], b"T" + HELLO[1:], b"\0" * 64])
def test_anything_else_is_no_hello(frame: bytes) -> None:
    with pytest.raises(HandshakeRefused, match="not a hello"):
        check_hello(frame, CLUSTER)


def test_a_replica_of_another_group_is_named() -> None:
    with pytest.raises(HandshakeRefused, match="another market group, or looks for one: correct the addresses"):
        check_hello(hello(b"o" * 16), CLUSTER)
    with pytest.raises(HandshakeRefused, match="another market group"):
        check_hello(HELLO[:-1], CLUSTER)


def test_the_expected_peer_is_welcome() -> None:
    require_peer(NODE_1, cluster_id=CLUSTER, roles=[NODE], names=["node-1", "node-2"])
    require_peer(Identity(CLUSTER, GATEWAY, "any-name"), cluster_id=CLUSTER, roles=[GATEWAY])


@pytest.mark.parametrize(
    ("peer", "complaint"),
    [
        (
            NODE_1._replace(cluster_id=b"d" * 16),
            f"node node-1 of cluster {'64' * 16}, but this is cluster {'63' * 16}: ",
        ),
        (NODE_1._replace(role=GATEWAY), "that of gateway node-1, but only a node may be at this end: "),
        (NODE_1._replace(name="node-3"), "that of node node-3, expected was node-1 or node-2: correct the addresses"),
    ],
)
def test_anybody_else_is_refused_by_name_with_the_remedy(peer: Identity, complaint: str) -> None:
    with pytest.raises(HandshakeRefused) as refused:
        require_peer(peer, cluster_id=CLUSTER, roles=[NODE], names=["node-2", "node-1"])
    assert complaint in str(refused.value)


def test_an_identity_is_read_as_it_is_written() -> None:
    for role in (NODE, GATEWAY):
        identity = Identity(bytes(range(16)), role, "name-1")
        assert parse_identity(identity.uri) == identity


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "https://63636363636363636363636363636363/node/node-1",
        "tally://6363/node/node-1",
        "tally://63636363636363636363636363636363/king/node-1",
        "tally://63636363636363636363636363636363/node/Node-1",
        "tally://63636363636363636363636363636363/node/node-1\0.evil",
        "tally://63636363636363636363636363636363/node/node-1/gateway/gateway-1",
        "tally://63636363636363636363636363636363/node/node-1\n",
        "tally://63636363636363636363636363636363/node/" + "n" * 33,
    ],
)
def test_an_identity_is_read_strictly(uri: str) -> None:
    with pytest.raises(ValueError, match="names no node"):
        parse_identity(uri)
