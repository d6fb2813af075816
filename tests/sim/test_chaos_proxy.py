"""The proxy between the replicas, with real sockets: each fault, and that everything is as before after it."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator

import pytest

from replication.local_cluster import LOOPBACK, free_port
from sim.chaos_proxy import ChaosProxy, owner_of_connection, ways_of

A, B = "node-1", "node-2"
SOON_S = 0.15
LONG_S = 5.0


@pytest.fixture
def back() -> Iterator[socket.socket]:
    """Where node-2 listens."""
    with socket.create_server((LOOPBACK, 0)) as server:
        server.settimeout(LONG_S)
        yield server


@pytest.fixture
def proxy(back: socket.socket) -> Iterator[ChaosProxy]:
    front = {B: (LOOPBACK, free_port())}
    with ChaosProxy(front, {B: back.getsockname()}, lambda: {A: os.getpid()}, seed=1) as started:
        yield started


def dial(proxy: ChaosProxy, back: socket.socket) -> tuple[socket.socket, socket.socket]:
    """The two ends of one link: what node-1 dialled, and what node-2 accepted."""
    dialled = socket.create_connection(proxy.front(B), timeout=LONG_S)
    accepted, _ = back.accept()
    accepted.settimeout(LONG_S)
    return dialled, accepted


def receive(end: socket.socket, size_bytes: int) -> bytes:
    received = b""
    while len(received) < size_bytes and (piece := end.recv(65536)):
        received += piece
    return received


def is_silent(end: socket.socket) -> bool:
    """Whether nothing arrives soon."""
    end.settimeout(SOON_S)
    try:
        end.recv(1)
        return False
    except TimeoutError:
        return True
    finally:
        end.settimeout(LONG_S)


def is_over(end: socket.socket) -> bool:
    """Whether the other side ends the connection, one way or the other."""
    try:
        return end.recv(1) == b""
    except ConnectionResetError:
        return True


def test_bytes_go_both_ways_in_order_and_an_end_is_passed_on(proxy: ChaosProxy, back: socket.socket) -> None:
    dialled, accepted = dial(proxy, back)
    sent = os.urandom(300_000)
    dialled.sendall(sent)
    assert receive(accepted, len(sent)) == sent
    accepted.sendall(b"answer")
    assert receive(dialled, 6) == b"answer"
    dialled.close()
    assert accepted.recv(1) == b""


def test_the_proxy_knows_who_dialled(proxy: ChaosProxy, back: socket.socket) -> None:
    dialled, _ = dial(proxy, back)
    assert owner_of_connection(dialled.getsockname(), {"other": 1, A: os.getpid()}) == A
    assert owner_of_connection(dialled.getsockname(), {"other": 1}) is None


def test_what_is_delayed_comes_later_and_in_order_and_the_other_way_at_once(
    proxy: ChaosProxy, back: socket.socket
) -> None:
    dialled, accepted = dial(proxy, back)
    proxy.delay([(A, B)], 0.4, 0.6)
    assert echo_s(dialled, accepted) >= 0.4
    for number in range(20):
        dialled.sendall(bytes([number]))
        time.sleep(0.002)
    assert receive(accepted, 20) == bytes(range(20))
    assert echo_s(accepted, dialled) < 0.4
    proxy.heal()
    assert echo_s(dialled, accepted) < 0.4


def echo_s(sender: socket.socket, receiver: socket.socket) -> float:
    """How long a byte takes."""
    begun_s = time.monotonic()
    sender.sendall(b"x")
    assert receiver.recv(1) == b"x"
    return time.monotonic() - begun_s


def test_a_cut_is_one_way_and_what_it_held_back_arrives_after_it(proxy: ChaosProxy, back: socket.socket) -> None:
    dialled, accepted = dial(proxy, back)
    proxy.cut([(A, B)])
    dialled.sendall(b"into the void")
    assert is_silent(accepted)
    accepted.sendall(b"heard")
    assert receive(dialled, 5) == b"heard"
    proxy.heal()
    assert receive(accepted, 13) == b"into the void"


def test_who_is_isolated_gets_no_answer_on_a_new_connection_either(proxy: ChaosProxy, back: socket.socket) -> None:
    proxy.cut(ways_of(A, [A, B]))
    dialled, accepted = dial(proxy, back)
    dialled.sendall(b"hello")
    accepted.sendall(b"hello")
    assert is_silent(accepted)
    assert is_silent(dialled)
    proxy.heal()
    assert receive(accepted, 5) == receive(dialled, 5) == b"hello"


def test_the_ways_of_others_are_left_alone(proxy: ChaosProxy, back: socket.socket) -> None:
    dialled, accepted = dial(proxy, back)
    proxy.cut(ways_of("node-3", [A, B, "node-3"]))
    assert proxy.drop(ways_of("node-3", [A, B, "node-3"])) == 0
    dialled.sendall(b"x")
    assert accepted.recv(1) == b"x"


def test_a_dropped_connection_ends_at_both_ends(proxy: ChaosProxy, back: socket.socket) -> None:
    dialled, accepted = dial(proxy, back)
    echo_s(dialled, accepted)
    assert proxy.drop([(B, A)]) == 1
    for end in (dialled, accepted):
        assert is_over(end)
    dialled, accepted = dial(proxy, back)
    dialled.sendall(b"x")
    assert accepted.recv(1) == b"x"


def test_exactly_one_bit_is_flipped(proxy: ChaosProxy, back: socket.socket) -> None:
    dialled, accepted = dial(proxy, back)
    proxy.flip([(A, B)])
    dialled.sendall(bytes(100))
    assert sum(byte.bit_count() for byte in receive(accepted, 100)) == 1
    dialled.sendall(bytes(100))
    assert receive(accepted, 100) == bytes(100)
    assert proxy.counts["flipped"] == 1


def test_a_node_that_is_down_refuses(back: socket.socket) -> None:
    gone = socket.create_server((LOOPBACK, 0))
    address = gone.getsockname()
    gone.close()
    with ChaosProxy({B: (LOOPBACK, free_port())}, {B: address}, dict) as proxy:
        dialled = socket.create_connection(proxy.front(B), timeout=LONG_S)
        assert is_over(dialled)
