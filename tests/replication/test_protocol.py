"""What goes through the door comes out the same, and damaged frames are refused."""

import pytest

from engine.codec import encode_command
from engine.types import BUY
from replication import protocol
from replication.protocol import Answer, ProtocolError, Query, Result, Status
from tests.replication.recorded_history import limit_order

COMMANDS = [
    (7, encode_command(limit_order(1, BUY, 10, 1, b"c1"))),
    (8, encode_command(limit_order(1, BUY, 10, 1, b"c2"))),
]
RESULTS = [Result(7, protocol.COMMITTED, 41, 1_700, b"events"), Result(8, protocol.FAILED, 0, 0, b"")]


def test_commands_keep_their_order_and_correlation() -> None:
    assert list(protocol.decode_submit(protocol.encode_submit(COMMANDS))) == COMMANDS


def test_results_come_back_with_their_events() -> None:
    assert list(protocol.decode_results(protocol.encode_results(RESULTS))) == RESULTS


@pytest.mark.parametrize(
    "message",
    [
        Status("node-1", True, "node-1", 3, 99),
        Status("node-1", False, "", 3, 99, compiled=True),
        Query(5, "book", {"market_id": 1, "depth": 20}),
        Answer(5, 99, {"bids": [[1, 2, 3]]}),
        Answer(6, 99, None, "there is no such question"),
    ],
)
def test_messages_come_back_as_they_were(message: Status | Query | Answer) -> None:
    assert protocol.decode_message(protocol.encode_message(message)) == message


def test_frames_that_are_cut_short_are_refused() -> None:
    submit, results = protocol.encode_submit(COMMANDS), protocol.encode_results(RESULTS)
    first_command_ends = 1 + 4 + len(COMMANDS[0][1])
    for length in range(2, len(submit)):
        if length != first_command_ends:
            with pytest.raises(ProtocolError):
                list(protocol.decode_submit(submit[:length]))
    for length in range(2, 1 + 25 + 6):
        with pytest.raises(ProtocolError):
            list(protocol.decode_results(results[:length]))


@pytest.mark.parametrize(
    "frame", [b"", b"\x09", bytes((protocol.STATUS,)), bytes((protocol.QUERY,)) + b"\xc1", b"\x03\x80"]
)
def test_what_is_no_message_is_refused(frame: bytes) -> None:
    with pytest.raises(ProtocolError):
        protocol.decode_message(frame)
