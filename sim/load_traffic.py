"""One trader of the load generator: prepared orders or reads, a connection that keeps them coming, a tally of answers.

The generator shares the processors with the exchange, so it is built to cost little: requests are
assembled from prepared bytes, keys are hashed once, answers are only scanned.
"""

from __future__ import annotations

import asyncio
import re
import time
from array import array
from collections import Counter, deque
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, Protocol, cast

import orjson

from engine.amounts import format_units
from sim.client import Credentials, Signer, new_id

BASE: Final = "LOADBASE"
QUOTE: Final = "LOADQUOTE"
MARKET: Final = f"{BASE}-{QUOTE}"
ORDERS_PER_SWEEP: Final = 50
ORDER_KINDS: Final = 1_024
MID_CENTS: Final = 10_000
RECONNECT_PAUSE_S: Final = 0.1

_CONTENT_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)


@dataclass
class Tally:
    """What came back within the measured time. Latencies are of whole requests.

    ``success`` is the status of an order that is committed, or of a read that is answered.
    """

    success: int = 201
    succeeded: int = 0
    latencies_s: array[float] = field(default_factory=lambda: array("d"))
    errors: Counter[str] = field(default_factory=Counter)
    counting: bool = False

    def count(self, status: int, body: bytes, latency_s: float) -> None:
        """Count one answer to one order, batch of orders, or read."""
        if not self.counting:
            return
        self.latencies_s.append(latency_s)
        if status == self.success:
            self.succeeded += 1
            return
        document = _document(body)
        for result in document.get("results", [document | {"status": status}]):
            if result["status"] == self.success:
                self.succeeded += 1
            else:
                self.errors[result.get("error", {}).get("code", f"HTTP_{result['status']}")] += 1

    def latency_ms(self, share: float) -> float:
        """The latency that a share of the requests did not exceed, in milliseconds. 0.0 if there were none."""
        ordered = sorted(self.latencies_s)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1_000 if ordered else 0.0


class Source(Protocol):
    """Makes one trader's requests."""

    def next_request(self) -> tuple[bytes, bool]:
        """The bytes of a request, and whether its answer counts."""


class ReadSource:
    """Asks for the same path again and again."""

    def __init__(self, host: str, credentials: Credentials, path: str) -> None:
        self._requests = SignedRequests(host, credentials)
        self._path = path

    def next_request(self) -> tuple[bytes, bool]:
        return self._requests.make("GET", self._path, b""), True


class OrderSource:
    """Makes one trader's orders, one or a batch at a time, and sweeps them out of the book now and then."""

    def __init__(self, host: str, credentials: Credentials, batch: int, random: Random) -> None:
        self._signed = SignedRequests(host, credentials).make
        self._batch = batch
        self._bodies = _order_bodies(random)
        self._id_prefix = new_id()[:16].encode()
        self._sent = 0
        self._sent_since_sweep = 0

    def next_request(self) -> tuple[bytes, bool]:
        """A sweep does not count."""
        if self._sent_since_sweep >= ORDERS_PER_SWEEP:
            self._sent_since_sweep = 0
            path = f"/v1/orders?market={MARKET}&request_id={self._id_prefix.decode()}-s{self._sent}"
            return self._signed("DELETE", path, b""), False
        if not self._batch:
            return self._signed("POST", "/v1/orders", b"{" + self._next_order()), True
        items = b",".join([b'{"op":"place",' + self._next_order() for _ in range(self._batch)])
        return self._signed("POST", "/v1/orders/batch", b'{"items":[' + items + b"]}"), True

    def _next_order(self) -> bytes:
        # Without the opening brace, which the caller writes.
        self._sent += 1
        self._sent_since_sweep += 1
        return b'%s"client_order_id":"%s-%d"}' % (
            self._bodies[self._sent % ORDER_KINDS],
            self._id_prefix,
            self._sent,
        )


class SignedRequests:
    """Requests as bytes, with the headers of one trader."""

    def __init__(self, host: str, credentials: Credentials) -> None:
        self._signer = Signer(credentials)
        self._headers = f"Host: {host}\r\nX-Tally-Key: {credentials.key_id}\r\n".encode()

    def make(self, method: str, path: str, body: bytes) -> bytes:
        timestamp_ms = time.time_ns() // 1_000_000
        return b"%s %s HTTP/1.1\r\n%sX-Tally-Timestamp: %d\r\nX-Tally-Signature: %s\r\nContent-Length: %d\r\n\r\n%s" % (
            method.encode(),
            path.encode(),
            self._headers,
            timestamp_ms,
            self._signer.signature(timestamp_ms, method, path, body).encode(),
            len(body),
            body,
        )


class Connection(asyncio.Protocol):
    """One trader's connection: keeps ``pipeline`` requests in flight, and dials again if it is lost."""

    def __init__(self, address: tuple[str, int], source: Source, pipeline: int, tally: Tally) -> None:
        self._address = address
        self._source = source
        self._pipeline = pipeline
        self._tally = tally
        self._transport: asyncio.Transport | None = None
        self._in_flight: deque[tuple[float, bool]] = deque()  # when it was sent, whether it counts
        self._buffer = b""
        self._stopping = False
        self._redialling: asyncio.Task[None] | None = None
        self.idle = asyncio.Event()

    async def dial(self) -> None:
        """Connect, as often as it takes."""
        loop = asyncio.get_running_loop()
        while not self._stopping:
            try:
                await loop.create_connection(lambda: self, *self._address)
                return
            except OSError:
                self._tally.errors["NOT_CONNECTED"] += 1
                await asyncio.sleep(RECONNECT_PAUSE_S)

    def stop(self) -> None:
        """Send no more; ``idle`` is set when the last answer has arrived."""
        self._stopping = True
        if not self._in_flight:
            self.idle.set()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send(self._pipeline)

    def data_received(self, data: bytes) -> None:
        now_s = time.perf_counter()
        buffer = self._buffer + data if self._buffer else data
        position = answered = 0
        paused = False
        while (head_end := buffer.find(b"\r\n\r\n", position)) >= 0:
            length = _CONTENT_LENGTH.search(buffer, position, head_end)
            end = head_end + 4 + (int(length[1]) if length is not None else 0)
            if end > len(buffer):
                break
            status = int(buffer[position + 9 : position + 12])
            sent_s, counts = self._in_flight.popleft()
            if counts:
                self._tally.count(status, buffer[head_end + 4 : end], now_s - sent_s)
            paused |= status in (503, 504)
            answered += 1
            position = end
        self._buffer = buffer[position:]
        if self._stopping:
            if not self._in_flight:
                self.idle.set()
        elif paused:
            # Nobody leads at the moment: asking at full speed would only take processor time from the election.
            asyncio.get_running_loop().call_later(RECONNECT_PAUSE_S, self._send, answered)
        elif answered:
            self._send(answered)

    def connection_lost(self, error: Exception | None) -> None:
        if self._in_flight and not self._stopping:
            self._tally.errors["CONNECTION_LOST"] += len(self._in_flight)
        self._transport = None
        self._in_flight.clear()
        self._buffer = b""
        if self._stopping:
            self.idle.set()
        else:
            self._redialling = asyncio.get_running_loop().create_task(self._redial())

    async def _redial(self) -> None:
        await asyncio.sleep(RECONNECT_PAUSE_S)
        await self.dial()

    def _send(self, count: int) -> None:
        if self._transport is None or self._stopping:
            return
        requests = []
        for _ in range(count):
            request, counts = self._source.next_request()
            requests.append(request)
            self._in_flight.append((time.perf_counter(), counts))
        self._transport.write(b"".join(requests))


def _order_bodies(random: Random) -> list[bytes]:
    """Prepared orders without their ids and opening braces: most rest near the middle, some cross it."""
    bodies = []
    for _ in range(ORDER_KINDS):
        side, sign = random.choice((("buy", -1), ("sell", 1)))
        price_cents = MID_CENTS + sign * random.randint(-3, 20)
        quantity = format_units(random.randint(1, 200), 4)
        price = format_units(price_cents, 2)
        bodies.append(f'"market":"{MARKET}","side":"{side}","price":"{price}","quantity":"{quantity}",'.encode())
    return bodies


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}
