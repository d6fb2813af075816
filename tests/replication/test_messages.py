"""The codec of peer messages."""

import pickle

import msgspec
import pytest

from replication.membership import founding
from replication.messages import (
    AppendEntries,
    Checkpoint,
    Foundation,
    Hello,
    MalformedMessage,
    Message,
    NextIndex,
    Removed,
    RequestPreVote,
    RequestVote,
    ResponsePreVote,
    ResponseVote,
    SnapshotChunk,
    SnapshotProgress,
    TimeoutNow,
    decode,
    encode,
)
from replication.snapshots import SnapshotMeta

MEMBERSHIP = founding({"node-1": b"1" * 16, "node-2": b"2" * 16}, {}).with_voter_demoted("node-2")
META = SnapshotMeta(7, 3, 40, b"c" * 32, b"h" * 32, 300_000, 2)
MESSAGES: list[Message] = [
    AppendEntries(3, 9, 10, 2, [(2, b"\0one"), (3, b"\1")]),
    AppendEntries(3, 9, 10, 2, []),
    AppendEntries(3, 9, 10, 2, [], 17),
    NextIndex(3, 12, 10, True, False),
    NextIndex(3, 12, 10, True, False, 17),
    RequestVote(4, 12, 3, b"i" * 16),
    ResponseVote(4),
    TimeoutNow(4),
    SnapshotChunk(4, META, 1, b"data"),
    SnapshotProgress(4, 7, 1),
    Checkpoint(4, 7, 40, b"c" * 32),
    RequestPreVote(4, 12, 3, b"i" * 16),
    ResponsePreVote(3, 4),
    Hello(3, b"i" * 16, ("node-1", "node-2"), True, False, "127.0.0.1:1", "127.0.0.1:2", 2, "0.1.0"),
    Foundation(0, MEMBERSHIP),
    Removed(5, b"i" * 16, 99),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_survives_the_wire(message: Message) -> None:
    decoded = decode(encode(message))
    assert type(decoded) is type(message)
    assert decoded == message


def test_kinds_on_the_wire_are_for_ever() -> None:
    kinds = {type(message).__name__: msgspec.msgpack.decode(encode(message))[0] for message in MESSAGES}
    assert kinds == {
        "AppendEntries": 1,
        "NextIndex": 2,
        "RequestVote": 3,
        "ResponseVote": 4,
        "TimeoutNow": 5,
        "SnapshotChunk": 6,
        "SnapshotProgress": 7,
        "Checkpoint": 8,
        "RequestPreVote": 9,
        "ResponsePreVote": 10,
        "Hello": 11,
        "Foundation": 12,
        "Removed": 13,
    }


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [99, 1],
        ["append_entries", 1],
        [4],
        [4, -1],
        [4, 2**63],
        [4, 1.5],
        [4, "1"],
        [3, 1, 2],
        [1, 1, 1, 1, 1, [[1]]],
        [1, 1, 1, 1, 1, [[1, "text"]]],
        [1, 1, 1, 1, 1, [[-1, b""]]],
        [2, 1, 1, 1, 1, 1],
        [2, 1, 1, 1, True, False, -1],
        [8, 1, 1, 1, b"short"],
        [8, 1, 1, 1, b"c" * 33],
        [6, 1, [1, 2, 3], 0, b""],
        {"term": 1},
        None,
        7,
    ],
)
def test_what_does_not_fit_is_refused(fields: object) -> None:
    with pytest.raises(MalformedMessage):
        decode(msgspec.msgpack.encode(fields))


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_what_a_later_build_says_behind_the_fields_of_a_message_is_not_read(message: Message) -> None:
    fields = msgspec.msgpack.decode(encode(message))
    assert decode(msgspec.msgpack.encode([*fields, 7, {"more": True}])) == message


def test_a_hello_that_says_no_rules_is_of_a_build_that_knows_the_oldest() -> None:
    hello = Hello(3, b"i" * 16, (), True, False, "127.0.0.1:1", "127.0.0.1:2", 5, "9.0.0")
    earlier = decode(msgspec.msgpack.encode(msgspec.msgpack.decode(encode(hello))[:-2]))
    assert earlier == msgspec.structs.replace(hello, newest_rules_version=1, build="")


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x93\x04", bytes(100), pickle.dumps({"term": 1})])
def test_noise_is_refused(payload: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode(payload)


def test_something_behind_a_message_is_refused() -> None:
    with pytest.raises(MalformedMessage):
        decode(encode(ResponseVote(1)) + b"\0")
