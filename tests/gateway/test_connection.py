"""The bytes of HTTP: broken, slow, pipelined, cut off. Each case with placements answered by both paths."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.gateway.live_gateway import LiveGateway, Market, expect, limit_order, signature_headers
from tests.gateway.one_replica import REFUSE

RECEIVE_TIMEOUT_MS = 300


@pytest.fixture(scope="module", params=["hot", "plain"])
def market(request: pytest.FixtureRequest) -> Iterator[Market]:
    with LiveGateway(hot=request.param == "hot", receive_timeout_ms=RECEIVE_TIMEOUT_MS) as gateway:
        made = Market(gateway)
        # From here on the gateway knows the key and the market, so that placements can take the hot path.
        expect(201, made.ana("POST", "/v1/orders", limit_order("sell", "1", "20.00")))
        yield made


def order_bytes(market: Market, *, extra: str = "", version: str = "1.1", chunked: bool = False, **more: Any) -> bytes:
    body = json.dumps(limit_order("sell", "1", "10.00", **more)).encode()
    assert market.ana.key is not None
    headers = signature_headers(market.ana.key, "POST", "/v1/orders", body)
    lines = [f"POST /v1/orders HTTP/{version}", "Host: x", *(f"{name}: {value}" for name, value in headers.items())]
    if chunked:
        lines.append("Transfer-Encoding: chunked")
        half = len(body) // 2
        body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:half], body[half:])) + b"0\r\n\r\n"
    else:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n" + extra + "\r\n").encode() + body


class Wire:
    """A raw connection that reads whole responses."""

    def __init__(self, market: Market) -> None:
        self.socket = market.gateway.socket()
        self._buffer = b""

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def response(self) -> tuple[int, Any]:
        """Status and body of the next response."""
        while b"\r\n\r\n" not in self._buffer:
            self._fill()
        head, _, rest = self._buffer.partition(b"\r\n\r\n")
        self.head = head.decode().lower()
        length = next(int(line.split(":")[1]) for line in self.head.split("\r\n") if line.startswith("content-length"))
        self._buffer = rest
        while len(self._buffer) < length:
            self._fill()
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        return int(head.split()[1]), json.loads(body)

    def closed(self) -> bool:
        """Whether the other side closes without another byte."""
        if self._buffer:
            return False
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def _fill(self) -> None:
        data = self.socket.recv(65_536)
        assert data, f"closed in the middle of {self._buffer!r}"
        self._buffer += data


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST /v1/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"POST /v1/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /v1/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        b"POST /v1/orders HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 1e3\r\n\r\n",
        b"POST /v1/orders HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"GET /v1\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nBad Header: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"hello\r\n\r\n",
    ],
    ids=ascii,
)
def test_what_is_not_http_is_refused_in_json_and_cut_off(market: Market, request_bytes: bytes) -> None:
    with Wire(market) as wire:
        wire.send(request_bytes)
        status, body = wire.response()
        assert (status, body["error"]["code"], body["error"]["definite"]) == (400, "BAD_HTTP", True)
        assert wire.closed()


def test_garbage_behind_an_order_is_not_taken_for_its_answer(market: Market) -> None:
    with Wire(market) as wire:
        wire.send(order_bytes(market) + b"\x00\x01garbage\r\n\r\n")
        status, body = wire.response()
        assert (status, body["order"]["status"]) == (201, "open")
        assert "connection: close" in wire.head
        assert wire.closed()


def test_a_head_without_end_is_refused(market: Market) -> None:
    with Wire(market) as wire:
        wire.send(b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 70_000)
        status, body = wire.response()
        assert (status, body["error"]["code"]) == (431, "HEAD_TOO_LARGE")


@pytest.mark.parametrize("part", ["method", "headers", "body"])
def test_a_request_that_trickles_in_is_cut_off(market: Market, part: str) -> None:
    whole = order_bytes(market)
    head_length = whole.index(b"\r\n\r\n") + 4
    sent = {"method": 2, "headers": head_length - 10, "body": head_length + 10}[part]
    with Wire(market) as wire:
        wire.send(whole[:sent])
        started_s = time.monotonic()
        until_s = started_s + 0.2
        while time.monotonic() < until_s:
            # Each further byte comes well before the deadline; the whole does not.
            time.sleep(0.05)
            wire.send(whole[sent : sent + 1])
            sent += 1
        status, body = wire.response()
        assert (status, body["error"]["code"], body["error"]["definite"]) == (408, "REQUEST_TIMEOUT", True)
        assert 0.2 < time.monotonic() - started_s < 3.0
        assert wire.closed()


@pytest.mark.parametrize("opening", [b"", b"\r\n"])
def test_a_connection_that_never_asks_is_closed(market: Market, opening: bytes) -> None:
    with Wire(market) as wire:
        wire.send(opening)
        assert wire.closed()


def test_a_slow_second_request_is_cut_off_too(market: Market) -> None:
    with Wire(market) as wire:
        wire.send(order_bytes(market))
        assert wire.response()[0] == 201
        wire.send(b"POST /v1/ord")
        assert wire.response()[0] == 408
        assert wire.closed()


def test_an_idle_connection_is_kept_longer_than_a_request_may_take(market: Market) -> None:
    with Wire(market) as wire:
        for _ in range(2):
            wire.send(order_bytes(market))
            assert wire.response()[0] == 201
            time.sleep(RECEIVE_TIMEOUT_MS / 1_000 + 0.1)


def test_an_order_in_pieces_is_an_order(market: Market) -> None:
    whole = order_bytes(market)
    with Wire(market) as wire:
        for start in range(0, len(whole), 40):
            wire.send(whole[start : start + 40])
            time.sleep(0.001)
        assert wire.response()[0] == 201


def test_a_chunked_order_is_an_order(market: Market) -> None:
    with Wire(market) as wire:
        wire.send(order_bytes(market, chunked=True))
        assert wire.response()[0] == 201


def test_a_chunked_body_has_the_same_limit(market: Market) -> None:
    head = b"POST /v1/orders HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with Wire(market) as wire:
        wire.send(head + (b"4000\r\n" + b"x" * 0x4000 + b"\r\n") * 5 + b"0\r\n\r\n")
        status, body = wire.response()
        assert (status, body["error"]["code"]) == (413, "BODY_TOO_LARGE")
        wire.send(order_bytes(market))
        assert wire.response()[0] == 201


def test_a_client_may_wait_for_100_continue(market: Market) -> None:
    whole = order_bytes(market, extra="Expect: 100-continue\r\n")
    head_length = whole.index(b"\r\n\r\n") + 4
    with Wire(market) as wire:
        wire.send(whole[:head_length])
        assert wire.socket.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        wire.send(whole[head_length:])
        assert wire.response()[0] == 201


@pytest.mark.parametrize(("version", "extra"), [("1.0", ""), ("1.1", "Connection: close\r\n")])
def test_a_connection_that_should_not_stay_is_closed_after_the_answer(market: Market, version: str, extra: str) -> None:
    with Wire(market) as wire:
        wire.send(order_bytes(market, version=version, extra=extra))
        assert wire.response()[0] == 201
        assert "connection: close" in wire.head
        assert wire.closed()


def test_an_upgrade_is_not_taken_and_ends_the_connection(market: Market) -> None:
    upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
    # What follows the head of an upgrade is not read as a body, so the signature of an order cannot fit.
    for request_bytes, status in [
        (f"GET /healthz HTTP/1.1\r\nHost: x\r\n{upgrade}\r\n".encode(), 200),
        (order_bytes(market, extra=upgrade), 401),
    ]:
        with Wire(market) as wire:
            wire.send(request_bytes)
            assert wire.response()[0] == status
            assert wire.closed()


def test_pipelined_requests_are_answered_in_their_order(market: Market) -> None:
    health = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    bad = b"POST /v1/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
    with Wire(market) as wire:
        requests = [
            order_bytes(market, client_order_id="pipe-1"),
            bad,
            order_bytes(market, client_order_id="pipe-2"),
            health,
            order_bytes(market, client_order_id="pipe-3"),
            order_bytes(market, client_order_id="pipe-4"),
        ]
        wire.send(b"".join(requests))
        responses = [wire.response() for _ in requests]
    assert [status for status, _ in responses] == [201, 401, 201, 200, 201, 201]
    placed = [body["order"]["client_order_id"] for status, body in responses if status == 201]
    assert placed == ["pipe-1", "pipe-2", "pipe-3", "pipe-4"]


@pytest.mark.parametrize("pause_s", [0.0, 0.2])
def test_thousands_of_pipelined_requests_are_answered_even_if_nobody_reads_at_first(
    market: Market, pause_s: float
) -> None:
    bad = b"POST /v1/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
    with Wire(market) as wire:
        sender = threading.Thread(target=wire.send, args=(bad * 2_000,))
        sender.start()
        time.sleep(pause_s)
        assert {wire.response()[0] for _ in range(2_000)} == {401}
        sender.join()


def test_a_refused_placement_leaves_the_connection_usable(market: Market) -> None:
    with Wire(market) as wire:
        for _ in range(2):
            wire.send(b"POST /v1/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
            assert wire.response()[0] == 401
            wire.send(order_bytes(market))
            assert wire.response()[0] == 201


def test_an_order_whose_client_hangs_up_is_still_executed(market: Market) -> None:
    with Wire(market) as wire:
        market.gateway.on_loop(lambda: market.gateway.group.faults.append(REFUSE))
        wire.send(order_bytes(market, client_order_id="hung-up"))
        until_s = time.monotonic() + 5
        while market.gateway.on_loop(lambda: bool(market.gateway.group.faults)):
            assert time.monotonic() < until_s
    while market.ana("GET", "/v1/orders/hung-up").status != 200:
        assert time.monotonic() < until_s
    assert market.ana("GET", "/healthz").status == 200


def test_answers_name_their_sequence_and_time(market: Market) -> None:
    with Wire(market) as wire:
        wire.send(order_bytes(market))
        _, body = wire.response()
        names = {line.partition(":")[0] for line in wire.head.split("\r\n")[1:]}
        assert names >= {"date", "content-type", "content-length", "x-tally-sequence", "cache-control"}
        assert f"x-tally-sequence: {body['sequence']}" in wire.head


@pytest.mark.parametrize("hot", [True, False])
def test_an_order_under_way_is_answered_before_the_gateway_stops(hot: bool) -> None:
    with LiveGateway(hot=hot) as gateway:
        market = Market(gateway)
        expect(201, market.ana("POST", "/v1/orders", limit_order("sell", "1", "20.00")))
        leader = gateway.group.leader
        gateway.on_loop(lambda: gateway.group.elect(""))
        with Wire(market) as wire, Wire(market) as idle:
            idle.send(order_bytes(market)[:20])
            wire.send(order_bytes(market, client_order_id="last"))
            time.sleep(0.1)
            gateway.server.should_exit = True
            time.sleep(0.3)
            gateway.on_loop(lambda: gateway.group.elect(leader))
            status, body = wire.response()
            assert (status, body["order"]["client_order_id"]) == (201, "last")
            assert wire.closed()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", gateway.port), timeout=5)
