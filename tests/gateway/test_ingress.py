"""Commands as Kafka would hand them over, on a live engine behind real doors. tests/kafka has a real broker."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from gateway.app import build_app
from gateway.edge import Edge
from gateway.ingress import Ingress, IngressMetrics, Refusal
from gateway.kafka_commands import refuse_without_id
from gateway.serve import build_edge
from tests.gateway.live_gateway import Client, Market, expect, limit_order, signature_headers
from tests.gateway.one_replica import LOSE_AFTER, LOSE_BEFORE, UNKNOWN_AFTER, UNKNOWN_BEFORE

TOPIC = "tallystick.commands.main"


@dataclass
class Record:
    value: bytes | None
    headers: list[tuple[str, bytes]]
    offset: int = 0
    topic: str = TOPIC
    partition: int = 0


class Lane:
    """An ingress beside the gateway, on its loop."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.edge: Edge
        market.gateway.run(self._start())
        self.metrics = IngressMetrics(self.edge.metrics.registry)
        self.ingress = Ingress(build_app(self.edge), self.edge, self.metrics, age_s_max=300)
        self._offset = 0

    async def _start(self) -> None:
        self.edge = build_edge(self.market.gateway.options(), make_id=refuse_without_id)
        await self.edge.start()

    def close(self) -> None:
        self.market.gateway.run(self.edge.stop())

    def execute(self, *records: Record) -> list[Refusal]:
        return self.market.gateway.run(self.ingress.execute(records))

    def message(
        self, author: Client, method: str, path: str, body: object = None, *, age_s: int = 0, raw: bytes | None = None
    ) -> Record:
        content = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        assert author.key is not None
        signed = signature_headers(author.key, method, path, content, -1_000 * age_s)
        self._offset += 1
        named = [("X-Tally-Method", method), ("X-Tally-Path", path), *signed.items()]
        return Record(content, [(name, value.encode()) for name, value in named], self._offset)


@pytest.fixture(scope="module")
def lane(exchange: Market) -> Iterator[Lane]:
    lane = Lane(exchange)
    yield lane
    lane.close()


@pytest.fixture(autouse=True)
def _clean_book(exchange: Market) -> Iterator[None]:
    yield
    exchange.gateway.group.faults.clear()
    for trader in (exchange.ana, exchange.bo):
        expect(200, trader("DELETE", "/v1/orders"))


def open_ids(trader: Client) -> list[str]:
    return [order["client_order_id"] for order in trader("GET", "/v1/orders").body["orders"]]


def answer(refusal: Refusal) -> Any:
    return json.loads(dict(refusal.headers)["X-Tally-Answer"])


def code(refusal: Refusal) -> str:
    return str(answer(refusal)["error"]["code"])


def order(name: str, price: str = "10.00", side: str = "sell") -> dict[str, Any]:
    return limit_order(side, "2", price, client_order_id=name)


def test_a_command_is_executed_once_however_often_it_comes(lane: Lane, exchange: Market) -> None:
    message = lane.message(exchange.ana, "POST", "/v1/orders", order("k-1"))
    assert lane.execute(message, message) == []
    assert lane.execute(message) == []
    assert open_ids(exchange.ana) == ["k-1"]


def test_a_late_copy_does_not_bring_back_what_was_cancelled(lane: Lane, exchange: Market) -> None:
    place = lane.message(exchange.ana, "POST", "/v1/orders", order("k-2"))
    cancel = lane.message(exchange.ana, "DELETE", "/v1/orders/client:k-2?request_id=c-2")
    assert lane.execute(place, cancel) == []
    assert lane.execute(place, cancel, place) == []
    assert open_ids(exchange.ana) == []


def test_commands_of_one_key_are_executed_in_their_order(lane: Lane, exchange: Market) -> None:
    messages = [lane.message(exchange.ana, "POST", "/v1/orders", order(f"o-{n}")) for n in range(40)]
    others = [lane.message(exchange.bo, "POST", "/v1/orders", order(f"o-{n}", "5.00", "buy")) for n in range(40)]
    both = [message for pair in zip(messages, others, strict=True) for message in pair]
    assert lane.execute(*both) == []
    assert open_ids(exchange.ana) == open_ids(exchange.bo) == [f"o-{n}" for n in range(40)]


def test_a_command_that_waited_longer_than_a_minute_is_still_taken(lane: Lane, exchange: Market) -> None:
    assert lane.execute(lane.message(exchange.ana, "POST", "/v1/orders", order("k-3"), age_s=200)) == []
    assert open_ids(exchange.ana) == ["k-3"]


def test_one_that_waited_too_long_is_refused_by_name(lane: Lane, exchange: Market) -> None:
    (refused,) = lane.execute(lane.message(exchange.ana, "POST", "/v1/orders", order("k-4"), age_s=3_600))
    assert code(refused) == "REQUEST_EXPIRED"
    assert open_ids(exchange.ana) == []


@pytest.mark.parametrize("fault", [LOSE_BEFORE, LOSE_AFTER, UNKNOWN_BEFORE, UNKNOWN_AFTER])
def test_a_leader_that_dies_costs_no_command_and_doubles_none(lane: Lane, exchange: Market, fault: str) -> None:
    name = f"f-{fault[:9].replace(' ', '-')}-{len(fault)}"
    exchange.gateway.on_loop(lambda: exchange.gateway.group.faults.append(fault))
    assert lane.execute(lane.message(exchange.ana, "POST", "/v1/orders", order(name))) == []
    assert open_ids(exchange.ana) == [name]


def test_while_nobody_leads_a_command_waits_and_is_executed_then(lane: Lane, exchange: Market) -> None:
    group = exchange.gateway.group
    exchange.gateway.on_loop(lambda: group.elect(""))
    began_s = time.monotonic()

    def elect_when_it_has_given_up_once() -> None:
        group.elect("node-1")

    exchange.gateway.on_loop(lambda: exchange.gateway._loop.call_later(4.0, elect_when_it_has_given_up_once))
    assert lane.execute(lane.message(exchange.ana, "POST", "/v1/orders", order("k-5"))) == []
    assert time.monotonic() - began_s >= 3.5
    assert open_ids(exchange.ana) == ["k-5"]


def test_poison_is_refused_by_name_and_blocks_nobody(lane: Lane, exchange: Market) -> None:
    ana = exchange.ana
    good = lane.message(ana, "POST", "/v1/orders", order("k-6"))
    forged = lane.message(ana, "POST", "/v1/orders", order("k-7"))
    forged.value = b'{"market": "GLD-EUR", "side": "buy", "quantity": "9", "price": "1", "client_order_id": "x"}'
    poison = {
        "MISSING_HEADER": Record(b"\x00\xff", []),
        "BAD_SIGNATURE": forged,
        "UNKNOWN_KEY": lane.message(Client(1, ("nobody", "secret")), "POST", "/v1/orders", order("k-8")),
        "BAD_JSON": lane.message(ana, "POST", "/v1/orders", raw=b"\xff"),
        "UNKNOWN_MARKET": lane.message(ana, "POST", "/v1/orders", order("k-9") | {"market": "X-Y"}),
        "NO_SUCH_ROUTE": lane.message(ana, "POST", "/v1/nothing", {}),
        "NOT_TAKEN": lane.message(exchange.operator, "POST", "/v1/admin/accounts", {"name": "Cy"}),
        "BODY_TOO_LARGE": lane.message(ana, "POST", "/v1/orders", raw=b" " * 70_000),
        "NO_FUNDS": lane.message(ana, "POST", "/v1/orders", order("k-10") | {"quantity": "100000"}),
    }
    refused = lane.execute(*poison.values(), good)
    assert {code(one): one.value for one in refused} == {name: record.value for name, record in poison.items()}
    assert open_ids(ana) == ["k-6"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/orders", limit_order("sell", "2", "10.00")),
        ("DELETE", "/v1/orders", None),
        ("DELETE", "/v1/orders/17", None),
        ("PATCH", "/v1/orders/17", {"quantity": "3"}),
        ("POST", "/v1/orders/cancel-all-after", {"timeout_ms": 10_000}),
    ],
)
def test_a_command_without_an_id_is_refused(
    lane: Lane, exchange: Market, method: str, path: str, body: dict[str, Any] | None
) -> None:
    (refused,) = lane.execute(lane.message(exchange.ana, method, path, body))
    assert code(refused) == "MISSING_FIELD"
    assert "needs an id of its own" in answer(refused)["error"]["message"]
    assert open_ids(exchange.ana) == []


def test_of_a_batch_the_items_that_were_refused_are_told(lane: Lane, exchange: Market) -> None:
    items = [{"op": "place", **order("b-1")}, {"op": "place", **limit_order("sell", "2", "10.00")}]
    message = lane.message(exchange.ana, "POST", "/v1/orders/batch", {"items": items})
    (refused,) = lane.execute(message)
    first, second = answer(refused)["results"]
    assert (first["status"], second["error"]["code"]) == (201, "MISSING_FIELD")
    assert dict(refused.headers)["X-Tally-Source"] == f"{TOPIC}:0:{message.offset}".encode()
    assert open_ids(exchange.ana) == ["b-1"]
