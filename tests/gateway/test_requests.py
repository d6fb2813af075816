"""What became of a request, and the fence around one that was never seen."""

from __future__ import annotations

import pytest

from tests.gateway.live_gateway import Client, Market, expect, limit_order
from tests.gateway.one_replica import LOSE_AFTER


def resolve(client: Client, request_id: str) -> dict[str, object]:
    body = expect(200, client("POST", f"/v1/requests/{request_id}/resolve")).body
    assert isinstance(body, dict)
    return body


def test_an_accepted_request_is_found_with_its_order(exchange: Market) -> None:
    order = limit_order("sell", "1", "20.00", client_order_id="known-1")
    placed = expect(201, exchange.ana("POST", "/v1/orders", order)).body
    found = resolve(exchange.ana, "known-1")
    assert (found["outcome"], found["fenced"], found["code"]) == ("accepted", False, None)
    assert found["sequence"] == placed["sequence"]
    assert found["orders"] == [exchange.ana("GET", "/v1/orders/known-1").body["order"]]


def test_a_refused_request_is_found_with_its_reason(exchange: Market) -> None:
    order = limit_order("sell", "1", "20.005", client_order_id="known-2")
    refused = exchange.ana("POST", "/v1/orders", order)
    found = resolve(exchange.ana, "known-2")
    assert (found["outcome"], found["code"], found["orders"]) == ("refused", "TICK", [])
    assert found["sequence"] == refused.body["sequence"]


def test_a_request_that_was_never_seen_is_fenced_for_good(exchange: Market) -> None:
    first = resolve(exchange.ana, "lost-1")
    assert (first["outcome"], first["fenced"], first["orders"]) == ("never_seen", True, [])
    late = exchange.ana("POST", "/v1/orders", limit_order("sell", "1", "20.00", client_order_id="lost-1"))
    assert (late.status, late.code, late.body["error"]["definite"]) == (409, "FENCED", True)
    again = resolve(exchange.ana, "lost-1")
    assert again == first


def test_a_fence_is_of_one_account(exchange: Market) -> None:
    resolve(exchange.ana, "lost-2")
    expect(201, exchange.bo("POST", "/v1/orders", limit_order("sell", "1", "20.00", client_order_id="lost-2")))


def test_a_fence_survives_a_leader_that_dies(exchange: Market) -> None:
    exchange.gateway.on_loop(lambda: exchange.gateway.group.faults.append(LOSE_AFTER))
    found = resolve(exchange.ana, "lost-3")
    assert (found["outcome"], found["fenced"]) == ("never_seen", True)


@pytest.mark.parametrize("text", ["a%20b", "x" * 65, "%00"])
def test_a_bad_id_is_refused(exchange: Market, text: str) -> None:
    assert exchange.ana("POST", f"/v1/requests/{text}/resolve").code == "BAD_ID"


def test_a_resolution_has_no_fields(exchange: Market) -> None:
    assert exchange.ana("POST", "/v1/requests/some-id/resolve", {"outcome": "accepted"}).code == "UNKNOWN_FIELD"
    assert exchange.ana("POST", "/v1/requests/some-id/resolve", raw=b"[]").code == "NOT_AN_OBJECT"
    expect(200, exchange.ana("POST", "/v1/requests/some-id/resolve", {}))
