"""Operators' routes for accounts, over real HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.gateway.live_gateway import Client, Market, expect, limit_order


@pytest.fixture(scope="module")
def cy(exchange: Market) -> Client:
    return exchange.trader("Cy")


def test_a_deposit_happens_once(exchange: Market) -> None:
    operator = exchange.operator
    deposit = {"account": "Ana", "asset": "EUR", "amount": "50", "reference": "dep-7"}
    before = exchange.balances()
    first = expect(201, operator("POST", "/v1/admin/deposits", deposit)).body
    assert (first["amount"], first["repeated"]) == ("50.00000", False)
    again = expect(200, operator("POST", "/v1/admin/deposits", deposit)).body
    assert (again["sequence"], again["repeated"], again["available"]) == (first["sequence"], True, None)
    conflict = operator("POST", "/v1/admin/deposits", deposit | {"amount": "60"})
    assert (conflict.status, conflict.code, conflict.body["original_sequence"]) == (
        409,
        "ID_CONFLICT",
        first["sequence"],
    )
    after = exchange.balances()
    assert float(after[1][1]["total"]) == float(before[1][1]["total"]) + 50


def test_a_new_key_works_and_its_secret_is_shown_once(exchange: Market) -> None:
    operator = exchange.operator
    made = expect(201, operator("POST", "/v1/admin/accounts/Bo/keys")).body
    named = expect(201, operator("POST", "/v1/admin/accounts/Bo/keys", {"key_id": "bo-2"})).body
    assert named["key_id"] == "bo-2"
    for key in (made, named):
        me = expect(200, exchange.gateway.client((key["key_id"], key["secret"]))("GET", "/v1/accounts/me")).body
        assert (me["account"], me["role"]) == ("Bo", "trader")
    again = operator("POST", "/v1/admin/accounts/Bo/keys", {"key_id": "bo-2"})
    assert (again.status, again.code) == (409, "NAME_TAKEN")
    secret = named["secret"].encode()
    assert not any(secret in command for frame in exchange.gateway.group.frames for command in frame)


def test_requests_are_limited_in_a_window_and_taken_later(exchange: Market, cy: Client) -> None:
    limits = {"requests_max": 2, "window_ms": 86_400_000}
    body = expect(200, exchange.operator("PUT", "/v1/admin/accounts/Cy/limits", limits)).body
    assert body["limits"] == {"open_orders_max": 0, "stops_max": 0, **limits}
    answers = [
        cy("POST", "/v1/orders", limit_order("buy", "1", "9.00", client_order_id=f"limited-{n}")) for n in range(3)
    ]
    assert [answer.status for answer in answers] == [201, 201, 429]
    refused = answers[2]
    assert (refused.code, refused.body["error"]["definite"]) == ("RATE_LIMIT", True)
    expect(200, exchange.operator("PUT", "/v1/admin/accounts/Cy/limits", {}))
    later = cy("POST", "/v1/orders", limit_order("buy", "1", "9.00", client_order_id="limited-2"))
    assert expect(201, later).body["repeated"] is False
    expect(200, cy("DELETE", "/v1/orders"))


def test_open_orders_are_limited(exchange: Market, cy: Client) -> None:
    expect(200, exchange.operator("PUT", "/v1/admin/accounts/Cy/limits", {"open_orders_max": 1}))
    expect(201, cy("POST", "/v1/orders", limit_order("buy", "1", "9.00")))
    refused = cy("POST", "/v1/orders", limit_order("buy", "1", "9.00"))
    assert (refused.status, refused.code) == (422, "TOO_MANY")
    expect(200, exchange.operator("PUT", "/v1/admin/accounts/Cy/limits", {}))
    expect(200, cy("DELETE", "/v1/orders"))


def test_a_frozen_account_can_only_cancel(exchange: Market, cy: Client) -> None:
    order = expect(201, cy("POST", "/v1/orders", limit_order("buy", "1", "9.00"))).body["order"]
    frozen = expect(200, exchange.operator("POST", "/v1/admin/accounts/Cy/freeze", {"frozen": True})).body
    assert (frozen["account"], frozen["frozen"], frozen["cancelled"]) == ("Cy", True, 1)
    assert cy("GET", f"/v1/orders/{order['order_id']}").body["order"]["close_reason"] == "ACCOUNT_FROZEN"
    withdrawal = {"asset": "EUR", "amount": "1", "destination": "", "reference": "frozen-w"}
    transfer = {"to": "Bo", "asset": "EUR", "amount": "1", "reference": "frozen-t"}
    for path, body in (
        ("/v1/orders", limit_order("buy", "1", "9.00")),
        ("/v1/withdrawals", withdrawal),
        ("/v1/transfers", transfer),
    ):
        refused = cy("POST", path, body)
        assert (refused.status, refused.code) == (403, "ACCOUNT_FROZEN")
    expect(200, cy("DELETE", "/v1/orders"))
    again = expect(200, exchange.operator("POST", "/v1/admin/accounts/Cy/freeze", {"frozen": True})).body
    assert (again["frozen"], again["cancelled"]) == (True, 0)
    expect(200, exchange.operator("POST", "/v1/admin/accounts/Cy/freeze", {"frozen": False}))
    expect(201, cy("POST", "/v1/orders", limit_order("buy", "1", "9.00")))
    expect(200, cy("DELETE", "/v1/orders"))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"open_orders_max": -1}, "BAD_FIELD"),
        ({"open_orders_max": 200_001}, "BAD_FIELD"),
        ({"stops_max": 10_001}, "BAD_FIELD"),
        ({"requests_max": 1 << 32}, "BAD_FIELD"),
        ({"requests_max": "5"}, "BAD_FIELD"),
        ({"window_ms": 1.5}, "BAD_FIELD"),
        ({"window_ms": None}, "BAD_FIELD"),
        ({"window_ms": 86_400_001}, "BAD_FIELD"),
        ({"orders_max": 5}, "UNKNOWN_FIELD"),
        ({"requests_max": 5}, "MALFORMED"),
        ({"window_ms": 1_000}, "MALFORMED"),
    ],
)
def test_a_limit_that_cannot_be_is_refused(exchange: Market, cy: Client, body: dict[str, Any], code: str) -> None:
    assert exchange.operator("PUT", "/v1/admin/accounts/Cy/limits", body).code == code


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "MISSING_FIELD"),
        ({"frozen": "yes"}, "BAD_FIELD"),
        ({"frozen": 1}, "BAD_FIELD"),
        ({"why": "x"}, "UNKNOWN_FIELD"),
    ],
)
def test_freezing_is_yes_or_no(exchange: Market, cy: Client, body: dict[str, Any], code: str) -> None:
    assert exchange.operator("POST", "/v1/admin/accounts/Cy/freeze", body).code == code


def test_the_exchange_itself_is_not_frozen(exchange: Market) -> None:
    assert exchange.operator("POST", "/v1/admin/accounts/exchange/freeze", {"frozen": True}).code == "NOT_ALLOWED"


def test_an_unknown_account_is_neither_limited_nor_frozen(exchange: Market) -> None:
    for answer in (
        exchange.operator("PUT", "/v1/admin/accounts/Nobody/limits", {}),
        exchange.operator("POST", "/v1/admin/accounts/Nobody/freeze", {"frozen": True}),
    ):
        assert (answer.status, answer.code) == (404, "UNKNOWN_ACCOUNT")
