"""Framed TCP links, on real sockets."""

import os
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from replication.links import FRAME_BYTES_MAX, FramedSocket, Listener, connect
from replication.poller import Poller


class End:
    """One end of a link and what happened to it."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.closed: list[str] = []
        self.connected = 0
        self.link: FramedSocket

    def on_connected(self) -> None:
        self.connected += 1


class Pair:
    """A client and a server end on one poller."""

    def __init__(self) -> None:
        self.poller = Poller()
        self.client = End()
        self.server = End()
        self.listener = Listener("127.0.0.1", 0, self.poller, self._on_accepted)
        self.client.link = connect(
            *self.listener.address,
            self.poller,
            on_frame=self.client.frames.append,
            on_closed=self.client.closed.append,
            on_connected=self.client.on_connected,
        )
        self.run_until(lambda: self.client.connected == 1 and hasattr(self.server, "link"))

    def _on_accepted(self, sock: socket.socket, _address: str) -> None:
        self.server.link = FramedSocket(sock, self.poller, self.server.frames.append, self.server.closed.append)

    def run_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline, "nothing happens any more"
            self.poller.poll(0.01)

    def close(self) -> None:
        self.client.link.close("end of test")
        self.server.link.close("end of test")
        self.listener.close()
        self.poller.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.close()


def test_many_small_frames_arrive_in_order(pair: Pair) -> None:
    frames = [b"%d" % number * (number % 7) for number in range(20_000)]
    for frame in frames:
        pair.client.link.queue(frame)
    pair.client.link.flush()
    pair.run_until(lambda: len(pair.server.frames) == len(frames))
    assert pair.server.frames == frames
    assert pair.client.link.backlog_bytes == 0


def test_a_huge_frame_arrives_between_small_ones(pair: Pair) -> None:
    huge = os.urandom(1024) * (20 * 1024)
    for frame in (b"before", huge, b"", b"after"):
        pair.client.link.send(frame)
    assert pair.client.link.backlog_bytes > 0
    pair.run_until(lambda: len(pair.server.frames) == 4)
    assert pair.server.frames == [b"before", huge, b"", b"after"]
    assert pair.client.link.backlog_bytes == 0


def test_megabyte_frames_cost_linear_time(pair: Pair) -> None:
    frame = bytes(1024 * 1024 + 17)
    started_s = time.process_time()
    for _ in range(100):
        pair.client.link.send(frame)
    pair.run_until(lambda: len(pair.server.frames) == 100)
    # Some milliseconds a megabyte at most; a copy per received piece would cost hundreds.
    assert time.process_time() - started_s < 2
    assert {len(received) for received in pair.server.frames} == {len(frame)}


@pytest.mark.parametrize("piece_bytes", [1, 3, 4, 5, 7, 4096])
def test_frames_survive_any_cutting(pair: Pair, piece_bytes: int) -> None:
    frames = [b"", b"a", b"bc" * 50, b"d" * 300]
    stream = b"".join(len(frame).to_bytes(4, "little") + frame for frame in frames)
    raw = pair.client.link._socket
    for start in range(0, len(stream), piece_bytes):
        raw.send(stream[start : start + piece_bytes])
        pair.poller.poll(0)
    pair.run_until(lambda: len(pair.server.frames) == len(frames))
    assert pair.server.frames == frames


def test_a_frame_across_the_end_of_the_buffer_is_whole(pair: Pair) -> None:
    frames = [bytes([number]) * (100_000 + number) for number in range(30)]
    for frame in frames:
        pair.client.link.queue(frame)
    pair.client.link.flush()
    pair.run_until(lambda: len(pair.server.frames) == len(frames))
    assert pair.server.frames == frames


def test_a_frame_that_is_too_large_closes_the_link_before_it_is_read(pair: Pair) -> None:
    pair.server.link.frame_bytes_max = 100
    pair.client.link.send(b"x" * 100)
    pair.client.link.send(b"x" * 101)
    pair.run_until(lambda: bool(pair.server.closed))
    assert pair.server.frames == [b"x" * 100]
    assert pair.server.closed == ["frame of 101 bytes exceeds 100"]


def test_a_length_beyond_every_limit_closes_the_link(pair: Pair) -> None:
    pair.client.link._socket.send((FRAME_BYTES_MAX + 1).to_bytes(4, "little"))
    pair.run_until(lambda: bool(pair.server.closed))
    assert "exceeds" in pair.server.closed[0]


def test_a_callback_that_closes_the_link_ends_the_batch(pair: Pair) -> None:
    seen: list[bytes] = []

    def close_on_second(frame: bytes) -> None:
        seen.append(frame)
        if len(seen) == 2:
            pair.server.link.close("enough")

    pair.server.link.on_frame = close_on_second
    for number in range(10):
        pair.client.link.queue(b"%d" % number)
    pair.client.link.flush()
    pair.run_until(lambda: bool(pair.client.closed))
    assert seen == [b"0", b"1"]
    assert pair.server.closed == ["enough"]


def test_closing_is_told_once_and_later_frames_are_dropped(pair: Pair) -> None:
    pair.client.link.close("first")
    pair.client.link.close("second")
    pair.client.link.send(b"too late")
    assert pair.client.closed == ["first"]
    assert pair.client.link.backlog_bytes == 0
    pair.run_until(lambda: bool(pair.server.closed))
    assert pair.server.closed == ["closed by the other side"]
    assert pair.server.frames == []


def test_frames_sent_before_closing_arrive(pair: Pair) -> None:
    for _ in range(50):
        pair.client.link.send(b"last words")
    pair.client.link.close("done")
    pair.run_until(lambda: bool(pair.server.closed))
    assert len(pair.server.frames) == 50


def test_a_slow_reader_shows_as_backlog(pair: Pair) -> None:
    frame = bytes(1024 * 1024)
    for _ in range(30):
        pair.client.link.send(frame)
    assert pair.client.link.backlog_bytes > 10 * len(frame)
    pair.run_until(lambda: len(pair.server.frames) == 30)
    assert pair.client.link.backlog_bytes == 0


def test_frames_queued_while_connecting_leave_when_connected() -> None:
    poller = Poller()
    accepted: list[socket.socket] = []
    listener = Listener("127.0.0.1", 0, poller, lambda sock, _address: accepted.append(sock))
    end = End()
    end.link = connect(
        *listener.address,
        poller,
        on_frame=end.frames.append,
        on_closed=end.closed.append,
        on_connected=end.on_connected,
    )
    assert end.link.connecting
    end.link.send(b"early")
    deadline = time.monotonic() + 10
    while not (accepted and end.connected):
        assert time.monotonic() < deadline
        poller.poll(0.01)
    accepted[0].settimeout(5)
    assert accepted[0].recv(100) == b"\x05\0\0\0early"
    accepted[0].close()
    end.link.close("end of test")
    listener.close()
    poller.close()


def test_a_refused_connection_is_told_to_the_owner() -> None:
    poller = Poller()
    listener = Listener("127.0.0.1", 0, poller, lambda _sock, _address: None)
    host, port = listener.address
    listener.close()
    end = End()
    end.link = connect(
        host, port, poller, on_frame=end.frames.append, on_closed=end.closed.append, on_connected=end.on_connected
    )
    deadline = time.monotonic() + 10
    while not end.closed:
        assert time.monotonic() < deadline
        poller.poll(0.01)
    assert end.closed == ["connect failed: ECONNREFUSED"]
    assert end.connected == 0
    poller.close()


def test_a_taken_port_is_an_error_at_once(pair: Pair) -> None:
    with pytest.raises(OSError, match="in use"):
        Listener(*pair.listener.address, pair.poller, lambda _sock, _address: None)
