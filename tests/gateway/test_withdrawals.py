"""Withdrawals over real HTTP (rulebook row D7)."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.gateway.live_gateway import Market, expect

ASKED = {"asset": "EUR", "amount": "20", "destination": "IBAN 12"}
_numbers = itertools.count()


def ask(exchange: Market, reference: str, **more: Any) -> Any:
    return expect(201, exchange.ana("POST", "/v1/withdrawals", ASKED | {"reference": reference} | more)).body


def decide(exchange: Market, withdrawal: Any, decision: str) -> Any:
    return exchange.operator("POST", f"/v1/admin/withdrawals/{withdrawal['withdrawal_id']}/{decision}")


def test_a_withdrawal_is_asked_approved_and_paid(exchange: Market) -> None:
    available, _ = exchange.balance(exchange.ana, "EUR")
    asked = ask(exchange, "w-1")
    withdrawal = asked["withdrawal"]
    assert withdrawal == {
        "withdrawal_id": asked["sequence"],
        "account": "Ana",
        "asset": "EUR",
        "amount": "20.00000",
        "status": "pending",
        "destination": "IBAN 12",
        "reference": "w-1",
    }
    assert exchange.balance(exchange.ana, "EUR") == (f"{float(available) - 20:.5f}", "20.00000")
    approved = expect(200, decide(exchange, withdrawal, "approve")).body
    assert (approved["withdrawal"]["status"], approved["repeated"]) == ("approved", False)
    paid = expect(200, decide(exchange, withdrawal, "pay")).body
    assert paid["withdrawal"]["status"] == "paid"
    assert exchange.balance(exchange.ana, "EUR") == (f"{float(available) - 20:.5f}", "0.00000")
    for decision, first in (("approve", approved), ("pay", paid)):
        again = expect(200, decide(exchange, withdrawal, decision)).body
        assert (again["sequence"], again["repeated"], again["withdrawal"]["status"]) == (
            first["sequence"],
            True,
            "paid",
        )
    late = decide(exchange, withdrawal, "reject")
    assert (late.status, late.code) == (409, "WRONG_STATE")


def test_a_rejected_withdrawal_comes_back(exchange: Market) -> None:
    before = exchange.balance(exchange.ana, "EUR")
    withdrawal = ask(exchange, "w-2")["withdrawal"]
    assert decide(exchange, withdrawal, "pay").code == "WRONG_STATE"
    assert expect(200, decide(exchange, withdrawal, "reject")).body["withdrawal"]["status"] == "rejected"
    assert exchange.balance(exchange.ana, "EUR") == before


def test_a_reference_is_for_ever(exchange: Market) -> None:
    first = ask(exchange, "w-3")
    again = expect(200, exchange.ana("POST", "/v1/withdrawals", ASKED | {"reference": "w-3"})).body
    assert (again["sequence"], again["repeated"], again["withdrawal"]) == (
        first["sequence"],
        True,
        first["withdrawal"],
    )
    conflict = exchange.ana("POST", "/v1/withdrawals", ASKED | {"reference": "w-3", "amount": "21"})
    assert (conflict.status, conflict.code, conflict.body["original_sequence"]) == (
        409,
        "ID_CONFLICT",
        first["sequence"],
    )


def test_an_owner_takes_a_pending_withdrawal_back(exchange: Market) -> None:
    before = exchange.balance(exchange.ana, "EUR")
    number = ask(exchange, "w-4")["withdrawal"]["withdrawal_id"]
    assert exchange.bo("DELETE", f"/v1/withdrawals/{number}").code == "UNKNOWN_WITHDRAWAL"
    cancelled = expect(200, exchange.ana("DELETE", f"/v1/withdrawals/{number}?request_id=w-4-c")).body
    assert cancelled["withdrawal"]["status"] == "cancelled"
    again = expect(200, exchange.ana("DELETE", f"/v1/withdrawals/{number}?request_id=w-4-c")).body
    assert (again["sequence"], again["repeated"]) == (cancelled["sequence"], True)
    assert exchange.balance(exchange.ana, "EUR") == before


def test_own_withdrawals_are_listed_in_pages(exchange: Market) -> None:
    numbers = [ask(exchange, f"w-page-{n}")["withdrawal"]["withdrawal_id"] for n in range(3)]
    page = expect(200, exchange.ana("GET", f"/v1/withdrawals?after={numbers[0] - 1}&limit=2")).body
    assert ([one["withdrawal_id"] for one in page["withdrawals"]], page["more"]) == (numbers[:2], True)
    rest = expect(200, exchange.ana("GET", f"/v1/withdrawals?after={numbers[1]}&limit=2")).body
    assert ([one["withdrawal_id"] for one in rest["withdrawals"]], rest["more"]) == (numbers[2:], False)
    assert exchange.bo("GET", "/v1/withdrawals").body["withdrawals"] == []


def test_operators_list_everybodys_by_status(exchange: Market) -> None:
    bos = expect(201, exchange.bo("POST", "/v1/withdrawals", ASKED | {"reference": "w-5"})).body["withdrawal"]
    anas = ask(exchange, "w-6")["withdrawal"]
    expect(200, decide(exchange, bos, "approve"))
    approved = expect(200, exchange.operator("GET", "/v1/admin/withdrawals?status=approved")).body["withdrawals"]
    assert [(one["account"], one["reference"]) for one in approved] == [("Bo", "w-5")]
    pending = exchange.operator("GET", "/v1/admin/withdrawals?status=pending").body["withdrawals"]
    assert anas in pending
    everything = exchange.operator("GET", "/v1/admin/withdrawals").body["withdrawals"]
    assert {one["account"] for one in everything} == {"Ana", "Bo"}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"asset": "XXX"}, "UNKNOWN_ASSET"),
        ({"asset": 5}, "BAD_FIELD"),
        ({"amount": 20}, "DECIMAL_AS_STRING"),
        ({"amount": "x"}, "BAD_DECIMAL"),
        ({"amount": "0"}, "AMOUNT"),
        ({"amount": "-1"}, "AMOUNT"),
        ({"amount": "0.000001"}, "AMOUNT"),
        ({"amount": "1e400"}, "AMOUNT"),
        ({"amount": "1000000"}, "NO_FUNDS"),
        ({"destination": None}, "BAD_FIELD"),
        ({"destination": "x" * 129}, "BAD_FIELD"),
        ({"destination": "caf\u00e9"}, "BAD_FIELD"),
        ({"destination": "a\nb"}, "BAD_FIELD"),
        ({"destination": "\x7f"}, "BAD_FIELD"),
        ({"reference": "a b"}, "BAD_ID"),
        ({"reference": ""}, "BAD_ID"),
        ({"colour": "red"}, "UNKNOWN_FIELD"),
    ],
)
def test_a_withdrawal_that_cannot_be_is_refused_by_name(exchange: Market, change: dict[str, Any], code: str) -> None:
    before = exchange.balance(exchange.ana, "EUR")
    refused = exchange.ana("POST", "/v1/withdrawals", ASKED | {"reference": f"bad-{next(_numbers)}"} | change)
    assert (refused.code, 400 <= refused.status < 500) == (code, True)
    assert exchange.balance(exchange.ana, "EUR") == before


@pytest.mark.parametrize("name", [*ASKED, "reference"])
def test_what_a_withdrawal_needs_is_named(exchange: Market, name: str) -> None:
    document = {key: value for key, value in (ASKED | {"reference": "w-7"}).items() if key != name}
    assert exchange.ana("POST", "/v1/withdrawals", document).code == "MISSING_FIELD"


@pytest.mark.parametrize("text", ["", "x" * 128, " ~!"])
def test_a_destination_is_printable_and_not_too_long(exchange: Market, text: str) -> None:
    reference = f"to-{len(text)}"
    assert ask(exchange, reference, destination=text)["withdrawal"]["destination"] == text


@pytest.mark.parametrize("number", ["0", "abc", "-1", "1.0", "9" * 20, "999999"])
def test_a_withdrawal_that_nobody_asked_for_is_unknown(exchange: Market, number: str) -> None:
    for answer in (
        exchange.ana("DELETE", f"/v1/withdrawals/{number}"),
        exchange.operator("POST", f"/v1/admin/withdrawals/{number}/approve"),
    ):
        assert (answer.status, answer.code) == (404, "UNKNOWN_WITHDRAWAL")


def test_decisions_are_three_and_for_operators(exchange: Market) -> None:
    withdrawal = ask(exchange, "w-8")["withdrawal"]
    assert decide(exchange, withdrawal, "delay").code == "NO_SUCH_ROUTE"
    path = f"/v1/admin/withdrawals/{withdrawal['withdrawal_id']}/approve"
    assert exchange.ana("POST", path).code == "NOT_ALLOWED"
    assert exchange.operator("POST", path, {"amount": "1"}).code == "UNKNOWN_FIELD"
    assert exchange.ana("GET", "/v1/admin/withdrawals").code == "NOT_ALLOWED"
    assert exchange.operator("GET", "/v1/admin/withdrawals?status=late").code == "BAD_QUERY"


def test_the_exchange_does_not_withdraw_its_fees(exchange: Market) -> None:
    refused = exchange.operator("POST", "/v1/withdrawals", ASKED | {"reference": "fees"})
    assert (refused.status, refused.code) == (403, "NOT_ALLOWED")
