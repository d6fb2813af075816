"""Framed TCP links, on real sockets."""

import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator

import pytest

from replication.links import FRAME_BYTES_MAX, FramedSocket
from replication.poller import Poller
from replication.tcp import Listener, connect
from tests.replication.link_certificates import node


class End:
    """One end of a link and what happened to it."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.closed: list[str] = []
        self.secured = 0
        self.link: FramedSocket

    def take(self, sock: socket.socket, poller: Poller, *, dialled: bool) -> None:
        credentials = node("node-2" if dialled else "node-1")
        self.link = FramedSocket(
            sock,
            poller,
            credentials.client_context if dialled else credentials.server_context,
            on_secured=self.on_secured,
            on_frame=self.frames.append,
            on_closed=self.closed.append,
            connecting=dialled,
        )

    def on_secured(self) -> None:
        self.secured += 1


class Pair:
    """A client and a server end on one poller."""

    def __init__(self) -> None:
        self.poller = Poller()
        self.client = End()
        self.server = End()
        self.listener = Listener("127.0.0.1", 0, self.poller, self._on_accepted)
        self.client.take(connect(*self.listener.address), self.poller, dialled=True)
        self.run_until(lambda: self.client.secured == self.server.secured == 1)

    def _on_accepted(self, sock: socket.socket, _address: str) -> None:
        self.server.take(sock, self.poller, dialled=False)

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
def test_frames_survive_any_cutting_into_records(pair: Pair, piece_bytes: int) -> None:
    frames = [b"", b"a", b"bc" * 50, b"d" * 300]
    stream = b"".join(len(frame).to_bytes(4, "little") + frame for frame in frames)
    link = pair.client.link
    for start in range(0, len(stream), piece_bytes):
        link._tls.write(stream[start : start + piece_bytes])
        link.flush()
        pair.poller.poll(0)
    pair.run_until(lambda: len(pair.server.frames) == len(frames))
    assert pair.server.frames == frames


@pytest.mark.parametrize("piece_bytes", [1, 5, 7, 4096])
def test_frames_survive_any_cutting_of_records(pair: Pair, piece_bytes: int) -> None:
    frames = [b"", b"a", b"bc" * 50, b"d" * 300]
    link = pair.client.link
    for frame in frames:
        link.queue(frame)
    link._encrypt()
    stream, link._encrypted = bytes(link._encrypted), memoryview(b"")
    for start in range(0, len(stream), piece_bytes):
        link._socket.send(stream[start : start + piece_bytes])
        pair.poller.poll(0)
    pair.run_until(lambda: len(pair.server.frames) == len(frames))
    assert pair.server.frames == frames


def test_frames_that_are_flushed_together_share_a_record(pair: Pair) -> None:
    link = pair.client.link
    for _ in range(100):
        link.queue(b"x" * 96)
    link._encrypt()
    # 100 frames of 100 bytes fit into one record of at most 16 KB, which adds a header, a type and a tag.
    assert len(link._encrypted) == 100 * 100 + 5 + 1 + 16


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
    pair.client.link._tls.write((FRAME_BYTES_MAX + 1).to_bytes(4, "little"))
    pair.client.link.flush()
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


def test_nothing_can_be_queued_for_somebody_who_has_proved_nothing(pair: Pair) -> None:
    end = End()
    end.take(connect(*pair.listener.address), pair.poller, dialled=True)
    with pytest.raises(AssertionError, match="proved nothing"):
        end.link.queue(b"early")
    end.link.close("end of test")


def test_a_refused_connection_is_told_to_the_owner() -> None:
    poller = Poller()
    listener = Listener("127.0.0.1", 0, poller, lambda _sock, _address: None)
    host, port = listener.address
    listener.close()
    end = End()
    end.take(connect(host, port), poller, dialled=True)
    deadline = time.monotonic() + 10
    while not end.closed:
        assert time.monotonic() < deadline
        poller.poll(0.01)
    assert end.closed == ["connect failed: ECONNREFUSED"]
    assert (end.secured, end.link.refusal) == (0, "")
    poller.close()


def test_each_end_knows_whose_certificate_the_other_showed(pair: Pair) -> None:
    assert (pair.client.link.peer().name, pair.server.link.peer().name) == ("node-1", "node-2")


def test_only_tls_1_3_is_spoken_and_no_session_is_resumed(pair: Pair) -> None:
    tls = pair.client.link._tls
    pair.server.link.send(b"x")
    pair.run_until(lambda: pair.client.frames == [b"x"])
    assert tls.version() == "TLSv1.3"
    assert tls.session is None or not tls.session.has_ticket


def test_a_goodbye_of_tls_ends_the_link(pair: Pair) -> None:
    pair.client.link.send(b"last words")
    with pytest.raises(ssl.SSLWantReadError):
        pair.client.link._tls.unwrap()
    pair.client.link.flush()
    pair.run_until(lambda: bool(pair.server.closed))
    assert (pair.server.frames, pair.server.closed) == ([b"last words"], ["closed by the other side"])


def test_a_link_that_is_closed_in_one_direction_is_closed(pair: Pair) -> None:
    pair.client.link._socket.shutdown(socket.SHUT_WR)
    pair.run_until(lambda: bool(pair.server.closed))
    assert pair.server.closed == ["closed by the other side"]


def test_what_was_changed_on_its_way_ends_the_link_and_is_not_delivered(pair: Pair) -> None:
    link = pair.client.link
    link.queue(b"pay 1 EUR")
    link._encrypt()
    changed = bytearray(link._encrypted)
    changed[-1] ^= 1
    link._encrypted = memoryview(changed)
    pair.server.link.queue(b"this never leaves")
    link.flush()
    pair.run_until(lambda: bool(pair.server.closed))
    assert pair.server.frames == []
    assert "DECRYPTION_FAILED" in pair.server.closed[0]


def test_a_taken_port_is_an_error_at_once(pair: Pair) -> None:
    with pytest.raises(OSError, match="in use"):
        Listener(*pair.listener.address, pair.poller, lambda _sock, _address: None)
