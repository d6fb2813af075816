"""The load generator: what it sends, what it counts, how it copes with split answers and lost connections."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from array import array
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from itertools import cycle
from random import Random
from typing import cast

import orjson
import uvloop

from sim.client import Credentials
from sim.load import LoadOptions, run_load
from sim.load_traffic import MARKET, ORDERS_PER_SWEEP, OrderSource, ReadSource, Tally

TRADER = Credentials("load-1", "s3cret")
CREATED = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}"


def counting_tally() -> Tally:
    return Tally(counting=True)


def parse(request: bytes) -> tuple[str, str, dict[str, str], bytes]:
    head, _, body = request.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    method, path, _ = first.split(" ")
    return method, path, dict(line.lower().split(": ") for line in lines), body


def test_an_order_is_complete_signed_and_new() -> None:
    source = OrderSource("127.0.0.1:8080", TRADER, 0, Random(1))
    seen = set()
    for _ in range(20):
        request, counts = source.next_request()
        method, path, headers, body = parse(request)
        assert (method, path, counts, int(headers["content-length"])) == ("POST", "/v1/orders", True, len(body))
        message = f"{headers['x-tally-timestamp']}\nPOST\n/v1/orders\n".encode() + body
        assert headers["x-tally-signature"] == hmac.new(b"s3cret", message, hashlib.sha256).hexdigest()
        order = orjson.loads(body)
        assert set(order) == {"market", "side", "price", "quantity", "client_order_id"}
        assert order["market"] == MARKET
        seen.add(order["client_order_id"])
    assert len(seen) == 20


def test_a_trader_sweeps_its_orders_now_and_then_so_that_the_book_stays_small() -> None:
    source = OrderSource("127.0.0.1:8080", TRADER, 0, Random(1))
    requests = [source.next_request() for _ in range(2 * ORDERS_PER_SWEEP + 2)]
    sweeps = [parse(request) for request, counts in requests if not counts]
    assert [(method, path.split("&")[0]) for method, path, _, _ in sweeps] == [
        ("DELETE", f"/v1/orders?market={MARKET}")
    ] * 2
    assert len({path for _, path, _, _ in sweeps}) == 2


def test_a_read_is_signed_and_always_counts() -> None:
    source = ReadSource("127.0.0.1:8080", TRADER, "/v1/accounts/me?min_sequence=1")
    for _ in range(2 * ORDERS_PER_SWEEP):
        request, counts = source.next_request()
        method, path, headers, body = parse(request)
        assert (method, path, body, counts) == ("GET", "/v1/accounts/me?min_sequence=1", b"", True)
    message = f"{headers['x-tally-timestamp']}\nGET\n{path}\n".encode()
    assert headers["x-tally-signature"] == hmac.new(b"s3cret", message, hashlib.sha256).hexdigest()


def test_some_orders_cross_and_most_do_not() -> None:
    source = OrderSource("127.0.0.1:8080", TRADER, 500, Random(1))
    items = orjson.loads(parse(source.next_request()[0])[3])["items"]
    assert len(items) == 500
    assert {item["op"] for item in items} == {"place"}
    # How far beyond the middle a price is: a buyer's above it, a seller's below it.
    beyond = [(Decimal(item["price"]) - 100) * (1 if item["side"] == "buy" else -1) for item in items]
    crossing = [distance for distance in beyond if distance > 0]
    assert 0 < len(crossing) < 250


def test_only_created_orders_count_as_committed() -> None:
    tally = counting_tally()
    tally.count(201, b"{}", 0.001)
    tally.count(200, b'{"repeated": true}', 0.001)
    tally.count(422, b'{"error": {"code": "NO_FUNDS"}}', 0.001)
    tally.count(503, b'{"error": {"code": "NO_LEADER"}}', 0.001)
    tally.count(502, b"<html>", 0.001)
    assert tally.succeeded == 1
    assert tally.errors == Counter({"HTTP_200": 1, "NO_FUNDS": 1, "NO_LEADER": 1, "HTTP_502": 1})


def test_the_items_of_a_batch_count_one_by_one() -> None:
    tally = counting_tally()
    results = [{"status": 201}, {"status": 422, "error": {"code": "NO_FUNDS"}}, {"status": 201}]
    tally.count(200, orjson.dumps({"results": results}), 0.001)
    assert (tally.succeeded, tally.errors) == (2, Counter({"NO_FUNDS": 1}))


def test_nothing_counts_outside_the_measured_time() -> None:
    tally = Tally()
    tally.count(201, b"{}", 0.001)
    assert (tally.succeeded, len(tally.latencies_s)) == (0, 0)


def test_percentiles_are_of_the_sorted_latencies() -> None:
    tally = Tally(latencies_s=array("d", [number / 1_000 for number in range(100, 0, -1)]))
    assert [round(tally.latency_ms(share), 6) for share in (0.5, 0.99, 1.0)] == [51, 100, 100]
    assert Tally().latency_ms(0.5) == 0.0


class Exchange(asyncio.Protocol):
    """Answers each request as a function says: chunks of bytes to write, or None to hang up."""

    def __init__(self, answer: Callable[[], list[bytes] | None]) -> None:
        self._answer = answer
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            head, _, rest = self._received.partition(b"\r\n\r\n")
            length = int(parse(head + b"\r\n\r\n")[2]["content-length"])
            if len(rest) < length:
                return
            self._received = rest[length:]
            chunks = self._answer()
            if chunks is None:
                self._transport.close()
                return
            self._write(chunks)

    def _write(self, chunks: list[bytes]) -> None:
        self._transport.write(chunks[0])
        if chunks[1:]:
            asyncio.get_running_loop().call_later(0.001, self._write, chunks[1:])


def run_against(
    answer: Callable[[], list[bytes] | None], pipeline: int, *, read: str = "", success: int = 201
) -> Tally:
    tally = Tally(success=success)

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(lambda: Exchange(answer), "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await run_load(url, [TRADER, TRADER], LoadOptions(2, 0.4, pipeline, 0, read), tally)
        server.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
    return tally


def test_answers_that_arrive_in_pieces_are_counted_once_each() -> None:
    tally = run_against(lambda: [CREATED[:10], CREATED[10:40], CREATED[40:]], pipeline=1)
    assert tally.succeeded > 10
    assert tally.succeeded == len(tally.latencies_s)
    assert not tally.errors


def test_several_orders_are_in_flight_on_a_connection() -> None:
    tally = run_against(lambda: [CREATED], pipeline=8)
    assert tally.succeeded > 100
    assert not tally.errors


def test_reads_that_are_answered_count_and_no_others() -> None:
    found = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
    missing = b'HTTP/1.1 404 Not Found\r\ncontent-length: 37\r\n\r\n{"error": {"code": "UNKNOWN_MARKET"}}'
    answers = cycle([found, found, missing])
    tally = run_against(lambda: [next(answers)], pipeline=1, read="/v1/assets", success=200)
    assert tally.succeeded > 10
    assert tally.errors["UNKNOWN_MARKET"] == len(tally.latencies_s) - tally.succeeded > 0


def test_a_lost_connection_is_counted_and_dialled_again() -> None:
    answers = iter([None, None, None])
    tally = run_against(lambda: next(answers, [CREATED]), pipeline=1)
    assert tally.errors == Counter({"CONNECTION_LOST": 3})
    assert tally.succeeded > 10


def test_an_exchange_without_a_leader_is_not_asked_at_full_speed() -> None:
    no_leader = b'HTTP/1.1 503 Service Unavailable\r\ncontent-length: 32\r\n\r\n{"error": {"code": "NO_LEADER"}}'
    tally = run_against(lambda: [no_leader], pipeline=1)
    assert 0 < tally.errors["NO_LEADER"] <= 2 * 5
