"""Requests that nobody answers: definite where nothing can have happened, unknown where something can."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gateway.live_gateway import LiveGateway, Market, expect, limit_order
from tests.gateway.one_replica import SWALLOW


@pytest.fixture(params=["hot", "plain"])
def impatient(request: pytest.FixtureRequest) -> Iterator[Market]:
    """A market whose gateway waits for an outcome for 0.4 s only."""
    with LiveGateway(hot=request.param == "hot", request_timeout_ms=400) as gateway:
        yield Market(gateway)


def test_without_a_leader_nothing_happens_for_certain(impatient: Market) -> None:
    gateway = impatient.gateway
    leader = gateway.group.leader
    gateway.on_loop(lambda: gateway.group.elect(""))
    ready = gateway.client(None)("GET", "/readyz")
    assert (ready.status, ready.body["status"]) == (503, "not ready")
    refused = impatient.ana("POST", "/v1/orders", limit_order("sell", "2", "10.00", client_order_id="late"))
    assert (refused.status, refused.code, refused.body["error"]["definite"]) == (503, "NO_LEADER", True)
    gateway.on_loop(lambda: gateway.group.elect(leader))
    gateway.wait_until_ready()
    assert impatient.ana("GET", "/v1/orders/late").code == "UNKNOWN_ORDER"


def test_an_answer_that_never_comes_is_unknown_and_a_retry_finds_out(impatient: Market) -> None:
    impatient.gateway.on_loop(lambda: impatient.gateway.group.faults.append(SWALLOW))
    order = limit_order("sell", "2", "10.00", client_order_id="swallowed")
    unknown = impatient.ana("POST", "/v1/orders", order)
    assert (unknown.status, unknown.code, unknown.body["error"]["definite"]) == (504, "OUTCOME_UNKNOWN", False)
    retry = expect(201, impatient.ana("POST", "/v1/orders", order)).body
    assert retry["repeated"] is False
    again = expect(200, impatient.ana("POST", "/v1/orders", order)).body
    assert (again["repeated"], again["sequence"]) == (True, retry["sequence"])


def test_an_item_of_a_batch_whose_answer_never_comes_is_unknown(impatient: Market) -> None:
    impatient.gateway.on_loop(lambda: impatient.gateway.group.faults.append(SWALLOW))
    items = [{"op": "place", **limit_order("sell", "1", "10.00")}, {"op": "place"}]
    results = expect(200, impatient.ana("POST", "/v1/orders/batch", {"items": items})).body["results"]
    assert [(one["status"], one["error"]["definite"]) for one in results] == [(504, False), (400, True)]
