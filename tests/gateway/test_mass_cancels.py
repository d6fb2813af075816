"""Many cancellations at once, and the dead-man switch, over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.gateway.live_gateway import Client, Market, expect, limit_order


@pytest.fixture(autouse=True)
def _clean_book(exchange: Market) -> Iterator[None]:
    yield
    for trader in (exchange.ana, exchange.bo):
        expect(200, trader("DELETE", "/v1/orders"))


def place_both_sides(client: Client) -> None:
    for side, price in (("buy", "9.00"), ("buy", "9.10"), ("sell", "11.00")):
        expect(201, client("POST", "/v1/orders", limit_order(side, "1", price)))


def sides_left(client: Client) -> list[Any]:
    return [one["side"] for one in client("GET", "/v1/orders").body["orders"]]


def test_one_side_is_cancelled_and_the_other_stays(exchange: Market) -> None:
    place_both_sides(exchange.ana)
    path = "/v1/orders?side=buy&market=GLD-EUR&request_id=side-1"
    first = expect(200, exchange.ana("DELETE", path)).body
    assert (first["cancelled"], first["repeated"]) == (2, False)
    assert sides_left(exchange.ana) == ["sell"]
    again = expect(200, exchange.ana("DELETE", path)).body
    assert (again["sequence"], again["repeated"]) == (first["sequence"], True)
    conflict = exchange.ana("DELETE", "/v1/orders?side=sell&market=GLD-EUR&request_id=side-1")
    assert (conflict.status, conflict.code) == (409, "ID_CONFLICT")


def test_one_account_cancels_only_its_own(exchange: Market) -> None:
    place_both_sides(exchange.ana)
    place_both_sides_of_bo = expect(201, exchange.bo("POST", "/v1/orders", limit_order("buy", "1", "9.00"))).body
    assert place_both_sides_of_bo["order"]["status"] == "open"
    assert expect(200, exchange.ana("DELETE", "/v1/orders?side=buy")).body["cancelled"] == 2
    assert sides_left(exchange.bo) == ["buy"]


def test_an_operator_cancels_what_it_names(exchange: Market) -> None:
    for trader in (exchange.ana, exchange.bo):
        expect(201, trader("POST", "/v1/orders", limit_order("buy", "1", "9.00")))
        expect(201, trader("POST", "/v1/orders", limit_order("sell", "1", "11.00")))
    operator = exchange.operator
    assert expect(200, operator("DELETE", "/v1/admin/orders?account=Ana&side=sell")).body["cancelled"] == 1
    assert (sides_left(exchange.ana), sides_left(exchange.bo)) == (["buy"], ["buy", "sell"])
    everybody = expect(200, operator("DELETE", "/v1/admin/orders?market=GLD-EUR&request_id=all-1")).body
    assert everybody["cancelled"] == 3
    again = expect(200, operator("DELETE", "/v1/admin/orders?market=GLD-EUR&request_id=all-1")).body
    assert (again["repeated"], again["sequence"]) == (True, everybody["sequence"])


def test_an_order_that_an_operator_cancelled_says_so(exchange: Market) -> None:
    order = expect(201, exchange.ana("POST", "/v1/orders", limit_order("buy", "1", "9.00"))).body["order"]
    expect(200, exchange.operator("DELETE", "/v1/admin/orders"))
    closed = exchange.ana("GET", f"/v1/orders/{order['order_id']}").body["order"]
    assert (closed["status"], closed["close_reason"]) == ("cancelled", "CANCELLED_BY_OPERATOR")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("side=both", "BAD_QUERY"),
        ("side=BUY", "BAD_QUERY"),
        ("market=NO-SUCH", "UNKNOWN_MARKET"),
        ("account=Nobody", "UNKNOWN_ACCOUNT"),
        ("account=a%20b", "BAD_ID"),
        ("account=exchange", "BAD_QUERY"),
        ("request_id=", "BAD_ID"),
        ("after=5", "BAD_QUERY"),
    ],
)
def test_a_mass_cancel_that_cannot_be_is_refused(exchange: Market, query: str, code: str) -> None:
    place_both_sides(exchange.ana)
    assert exchange.operator("DELETE", f"/v1/admin/orders?{query}").code == code
    if "account" not in query:
        assert exchange.ana("DELETE", f"/v1/orders?{query}").code == code
    assert len(sides_left(exchange.ana)) == 3


def test_mass_cancels_of_others_are_for_operators(exchange: Market) -> None:
    assert exchange.ana("DELETE", "/v1/admin/orders?account=Bo").code == "NOT_ALLOWED"
    assert exchange.ana("DELETE", "/v1/orders?account=Bo").code == "BAD_QUERY"


def test_the_dead_man_switch_cancels_unless_it_is_renewed(exchange: Market) -> None:
    place_both_sides(exchange.ana)
    arm = {"timeout_ms": 10_000, "request_id": "arm-1"}
    armed = expect(200, exchange.ana("POST", "/v1/orders/cancel-all-after", arm)).body
    assert armed["fires_at"].endswith("Z")
    assert expect(200, exchange.ana("POST", "/v1/orders/cancel-all-after", arm)).body["repeated"] is True
    renewed = expect(200, exchange.ana("POST", "/v1/orders/cancel-all-after", {"timeout_ms": 30_000})).body
    assert renewed["fires_at"] > armed["fires_at"]
    exchange.pass_time(11)
    assert len(sides_left(exchange.ana)) == 3
    order_id = exchange.ana("GET", "/v1/orders").body["orders"][0]["order_id"]
    exchange.pass_time(20)
    assert sides_left(exchange.ana) == []
    assert exchange.ana("GET", f"/v1/orders/{order_id}").body["order"]["close_reason"] == "DEAD_MAN"


def test_the_dead_man_switch_can_be_disarmed(exchange: Market) -> None:
    place_both_sides(exchange.ana)
    expect(200, exchange.ana("POST", "/v1/orders/cancel-all-after", {"timeout_ms": 10_000}))
    disarmed = expect(200, exchange.ana("POST", "/v1/orders/cancel-all-after", {"timeout_ms": 0})).body
    assert disarmed["fires_at"] is None
    exchange.pass_time(11)
    assert len(sides_left(exchange.ana)) == 3


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "MISSING_FIELD"),
        ({"timeout_ms": -1}, "BAD_FIELD"),
        ({"timeout_ms": 86_400_001}, "BAD_FIELD"),
        ({"timeout_ms": "1000"}, "BAD_FIELD"),
        ({"timeout_ms": 1.5}, "BAD_FIELD"),
        ({"timeout_ms": True}, "BAD_FIELD"),
        ({"timeout_ms": 0, "request_id": "a b"}, "BAD_ID"),
        ({"timeout_ms": 0, "market": "GLD-EUR"}, "UNKNOWN_FIELD"),
    ],
)
def test_a_timeout_is_a_number_of_milliseconds(exchange: Market, body: dict[str, Any], code: str) -> None:
    assert exchange.ana("POST", "/v1/orders/cancel-all-after", body).code == code
