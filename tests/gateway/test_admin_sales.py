"""Announcing token sales over real HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.gateway.live_gateway import Market, expect

SALE = {
    "issuer": "Ana",
    "token": "GLD",
    "quote": "EUR",
    "kind": "fixed_price",
    "price": "2.00",
    "lot": "1",
    "quantity": "10",
}
PATH = "/v1/admin/sales"


def test_the_same_sale_again_is_a_repeat(exchange: Market) -> None:
    first = expect(201, exchange.operator("POST", PATH, SALE | {"name": "sale-1"})).body
    again = expect(200, exchange.operator("POST", PATH, SALE | {"name": "sale-1"})).body
    assert again == first | {"repeated": True}
    other = exchange.operator("POST", PATH, SALE | {"name": "sale-1", "price": "3.00"})
    assert (other.status, other.code, other.body["original_sequence"]) == (409, "NAME_TAKEN", first["sequence"])


def test_the_issuers_tokens_are_held_and_come_back(exchange: Market) -> None:
    before = exchange.balance(exchange.ana, "GLD")
    expect(201, exchange.operator("POST", PATH, SALE | {"name": "sale-2"}))
    assert float(exchange.balance(exchange.ana, "GLD")[1]) == float(before[1]) + 10
    cancelled = expect(200, exchange.operator("POST", f"{PATH}/sale-2/cancel")).body
    assert (cancelled["sale"]["status"], cancelled["repeated"]) == ("cancelled", False)
    assert exchange.balance(exchange.ana, "GLD") == before


def test_decisions_are_three_and_for_operators(exchange: Market) -> None:
    expect(201, exchange.operator("POST", PATH, SALE | {"name": "sale-3"}))
    assert exchange.operator("POST", f"{PATH}/sale-3/burn").code == "NO_SUCH_ROUTE"
    assert exchange.operator("POST", f"{PATH}/sale-3/open", {"now": True}).code == "UNKNOWN_FIELD"
    assert exchange.ana("POST", f"{PATH}/sale-3/open").code == "NOT_ALLOWED"
    assert exchange.ana("POST", PATH, SALE | {"name": "sale-4"}).code == "NOT_ALLOWED"
    too_early = exchange.operator("POST", f"{PATH}/sale-3/close")
    assert (too_early.status, too_early.code) == (409, "WRONG_STATE")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"name": "a b"}, "BAD_ID"),
        ({"issuer": "Nobody"}, "UNKNOWN_ACCOUNT"),
        ({"issuer": 5}, "BAD_FIELD"),
        ({"token": "XXX"}, "UNKNOWN_ASSET"),
        ({"quote": "XXX"}, "UNKNOWN_ASSET"),
        ({"quote": "GLD"}, "SALE_RULES"),
        ({"market": "NO-SUCH"}, "UNKNOWN_MARKET"),
        ({"market": None}, "BAD_FIELD"),
        ({"kind": "raffle"}, "BAD_FIELD"),
        ({"price": 2}, "DECIMAL_AS_STRING"),
        ({"price": "x"}, "BAD_DECIMAL"),
        ({"price": "0"}, "SALE_RULES"),
        ({"price": "0.000001"}, "SALE_RULES"),
        ({"lot": "0.0001"}, "SALE_RULES"),
        ({"quantity": "10.5"}, "SALE_RULES"),
        ({"quantity": None}, "BAD_DECIMAL"),
        ({"soft_cap": "1."}, "BAD_DECIMAL"),
        ({"soft_cap": "-1"}, "SALE_RULES"),
        ({"account_cap": 5}, "DECIMAL_AS_STRING"),
        ({"account_cap": "0.5"}, "SALE_RULES"),
        ({"opens_at": "tomorrow"}, "BAD_TIME"),
        ({"closes_at": 5}, "BAD_FIELD"),
        ({"closes_at": "2020-01-01T00:00:00Z"}, "SALE_RULES"),
        ({"opens_at": "2200-01-02T00:00:00Z", "closes_at": "2200-01-01T00:00:00Z"}, "SALE_RULES"),
        ({"quantity": "100000"}, "NO_FUNDS"),
        ({"hard_cap": "5"}, "UNKNOWN_FIELD"),
    ],
)
def test_a_sale_that_cannot_be_is_refused_by_name(exchange: Market, change: dict[str, Any], code: str) -> None:
    before = exchange.balance(exchange.ana, "GLD")
    refused = exchange.operator("POST", PATH, SALE | {"name": "bad"} | change)
    assert (refused.code, 400 <= refused.status < 500) == (code, True)
    assert exchange.balance(exchange.ana, "GLD") == before


@pytest.mark.parametrize("name", [*SALE, "name"])
def test_what_a_sale_needs_is_named(exchange: Market, name: str) -> None:
    document = {key: value for key, value in (SALE | {"name": "bad"}).items() if key != name}
    assert exchange.operator("POST", PATH, document).code == "MISSING_FIELD"
