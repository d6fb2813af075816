"""Transfers over real HTTP: at once, or in two phases."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.gateway.live_gateway import Client, Market, expect

ASKED = {"to": "Bo", "asset": "EUR", "amount": "5"}
_numbers = itertools.count()


def ask(exchange: Market, reference: str, **more: Any) -> Any:
    return expect(201, exchange.ana("POST", "/v1/transfers", ASKED | {"reference": reference} | more)).body


def decide(client: Client, transfer: Any, decision: str, body: object = None) -> Any:
    return client("POST", f"/v1/transfers/{transfer['transfer_id']}/{decision}", body)


def available(exchange: Market) -> list[float]:
    return [float(exchange.balance(client, "EUR")[0]) for client in (exchange.ana, exchange.bo)]


def test_a_transfer_moves_money_at_once(exchange: Market) -> None:
    before = available(exchange)
    asked = ask(exchange, "t-1")
    assert asked["transfer"] == {
        "transfer_id": asked["sequence"],
        "from": "Ana",
        "to": "Bo",
        "asset": "EUR",
        "amount": "5.00000",
        "status": "posted",
        "expires_at": None,
        "reference": "t-1",
    }
    assert available(exchange) == [before[0] - 5, before[1] + 5]
    again = expect(200, exchange.ana("POST", "/v1/transfers", ASKED | {"reference": "t-1"})).body
    assert (again["sequence"], again["repeated"], again["transfer"]) == (asked["sequence"], True, asked["transfer"])
    conflict = exchange.ana("POST", "/v1/transfers", ASKED | {"reference": "t-1", "pending": True})
    assert (conflict.status, conflict.code, conflict.body["original_sequence"]) == (
        409,
        "ID_CONFLICT",
        asked["sequence"],
    )


def test_a_pending_transfer_is_posted_by_its_recipient(exchange: Market) -> None:
    before = available(exchange)
    transfer = ask(exchange, "t-2", pending=True)["transfer"]
    assert transfer["status"] == "pending"
    assert available(exchange) == [before[0] - 5, before[1]]
    refused = decide(exchange.ana, transfer, "post")
    assert (refused.status, refused.code) == (403, "NOT_ALLOWED")
    posted = expect(200, decide(exchange.bo, transfer, "post", {"request_id": "post-2"})).body
    assert (posted["transfer"]["status"], posted["repeated"]) == ("posted", False)
    assert available(exchange) == [before[0] - 5, before[1] + 5]
    again = expect(200, decide(exchange.bo, transfer, "post", {"request_id": "post-2"})).body
    assert (again["sequence"], again["repeated"]) == (posted["sequence"], True)
    another = expect(200, decide(exchange.bo, transfer, "post")).body
    assert (another["sequence"], another["repeated"]) == (posted["sequence"], True)
    late = decide(exchange.bo, transfer, "void")
    assert (late.status, late.code) == (409, "WRONG_STATE")


@pytest.mark.parametrize("who", ["sender", "recipient", "operator"])
def test_a_pending_transfer_is_voided(exchange: Market, who: str) -> None:
    before = available(exchange)
    transfer = ask(exchange, f"t-3-{who}", pending=True)["transfer"]
    client = {"sender": exchange.ana, "recipient": exchange.bo, "operator": exchange.operator}[who]
    prefix = "/v1/admin" if who == "operator" else "/v1"
    voided = expect(200, client("POST", f"{prefix}/transfers/{transfer['transfer_id']}/void")).body
    assert voided["transfer"]["status"] == "voided"
    assert available(exchange) == before


def test_an_operator_posts_for_the_recipient(exchange: Market) -> None:
    transfer = ask(exchange, "t-4", pending=True)["transfer"]
    path = f"/v1/admin/transfers/{transfer['transfer_id']}/post"
    assert exchange.bo("POST", path).code == "NOT_ALLOWED"
    assert expect(200, exchange.operator("POST", path)).body["transfer"]["status"] == "posted"


def test_a_transfer_is_found_by_its_parties_only(exchange: Market) -> None:
    transfer = ask(exchange, "t-5", pending=True)["transfer"]
    cy = exchange.trader("Cy")
    for decision in ("post", "void"):
        refused = decide(cy, transfer, decision)
        assert (refused.status, refused.code) == (404, "UNKNOWN_TRANSFER")
    assert cy("GET", "/v1/transfers").body["transfers"] == []
    for client in (exchange.ana, exchange.bo):
        assert transfer in client("GET", "/v1/transfers").body["transfers"]


def test_a_transfer_runs_out_of_time(exchange: Market) -> None:
    before = available(exchange)
    asked = ask(exchange, "t-6", pending=True, timeout_s=3)
    assert asked["transfer"]["expires_at"].endswith("Z")
    exchange.pass_time(4)
    number = asked["transfer"]["transfer_id"]
    (expired,) = exchange.ana("GET", f"/v1/transfers?after={number - 1}&limit=1").body["transfers"]
    assert (expired["transfer_id"], expired["status"]) == (number, "expired")
    assert available(exchange) == before
    assert decide(exchange.bo, expired, "post").code == "WRONG_STATE"


def test_transfers_are_listed_in_pages(exchange: Market) -> None:
    numbers = [ask(exchange, f"t-page-{n}")["transfer"]["transfer_id"] for n in range(3)]
    page = expect(200, exchange.bo("GET", f"/v1/transfers?after={numbers[0] - 1}&limit=2")).body
    assert ([one["transfer_id"] for one in page["transfers"]], page["more"]) == (numbers[:2], True)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"to": "Nobody"}, "UNKNOWN_ACCOUNT"),
        ({"to": "a b"}, "BAD_ID"),
        ({"to": None}, "BAD_FIELD"),
        ({"to": "Ana"}, "MALFORMED"),
        ({"asset": "XXX"}, "UNKNOWN_ASSET"),
        ({"amount": 5}, "DECIMAL_AS_STRING"),
        ({"amount": "0"}, "AMOUNT"),
        ({"amount": "0.000001"}, "AMOUNT"),
        ({"amount": "1000000"}, "NO_FUNDS"),
        ({"pending": "yes"}, "BAD_FIELD"),
        ({"timeout_s": 5}, "BAD_FIELD"),
        ({"pending": True, "timeout_s": -1}, "BAD_FIELD"),
        ({"pending": True, "timeout_s": 366 * 86_400 + 1}, "BAD_FIELD"),
        ({"pending": True, "timeout_s": "5"}, "BAD_FIELD"),
        ({"reference": "a/b"}, "BAD_ID"),
        ({"memo": "hello"}, "UNKNOWN_FIELD"),
    ],
)
def test_a_transfer_that_cannot_be_is_refused_by_name(exchange: Market, change: dict[str, Any], code: str) -> None:
    before = available(exchange)
    refused = exchange.ana("POST", "/v1/transfers", ASKED | {"reference": f"bad-{next(_numbers)}"} | change)
    assert (refused.code, 400 <= refused.status < 500) == (code, True)
    assert available(exchange) == before


@pytest.mark.parametrize("name", [*ASKED, "reference"])
def test_what_a_transfer_needs_is_named(exchange: Market, name: str) -> None:
    document = {key: value for key, value in (ASKED | {"reference": "t-7"}).items() if key != name}
    assert exchange.ana("POST", "/v1/transfers", document).code == "MISSING_FIELD"


@pytest.mark.parametrize("number", ["0", "abc", "9" * 20, "999999"])
def test_a_transfer_that_nobody_made_is_unknown(exchange: Market, number: str) -> None:
    for client, prefix in ((exchange.ana, "/v1"), (exchange.operator, "/v1/admin")):
        answer = client("POST", f"{prefix}/transfers/{number}/void")
        assert (answer.status, answer.code) == (404, "UNKNOWN_TRANSFER")


def test_a_transfer_is_posted_or_voided_and_nothing_else(exchange: Market) -> None:
    transfer = ask(exchange, "t-8", pending=True)["transfer"]
    assert decide(exchange.bo, transfer, "keep").code == "NO_SUCH_ROUTE"
    assert decide(exchange.bo, transfer, "post", {"amount": "1"}).code == "UNKNOWN_FIELD"
    assert decide(exchange.bo, transfer, "post", {"request_id": "a b"}).code == "BAD_ID"


def test_the_exchange_does_not_give_its_fees_away(exchange: Market) -> None:
    refused = exchange.operator("POST", "/v1/transfers", ASKED | {"reference": "fees"})
    assert (refused.status, refused.code) == (403, "NOT_ALLOWED")
