"""Token sales over real HTTP, from their announcement to what each subscriber got (rulebook rows H1 to H6)."""

from __future__ import annotations

import itertools
import time
from typing import Any

import pytest

from gateway.rendering import Asset, timestamp_text
from gateway.sales import Terms
from tests.gateway.live_gateway import Client, Market, expect

SALE = {
    "issuer": "Issuer",
    "token": "TOK",
    "quote": "EUR",
    "kind": "fixed_price",
    "price": "2.00",
    "lot": "1",
    "quantity": "1000",
}
_numbers = itertools.count()


@pytest.fixture(scope="module", autouse=True)
def issuer(exchange: Market) -> Client:
    """An issuer with many tokens, and a market for them that waits for its opening."""
    operator = exchange.operator
    expect(201, operator("POST", "/v1/admin/assets", {"name": "TOK", "decimals": 0}))
    client = exchange.trader("Issuer")
    deposit = {"account": "Issuer", "asset": "TOK", "amount": "1000000", "reference": "tokens"}
    expect(201, operator("POST", "/v1/admin/deposits", deposit))
    listing = {"base": "TOK", "quote": "EUR", "tick": "0.01", "lot": "1", "state": "pre_open"}
    expect(201, operator("POST", "/v1/admin/markets", listing))
    return client


def announce(exchange: Market, name: str, **more: Any) -> Any:
    return expect(201, exchange.operator("POST", "/v1/admin/sales", SALE | {"name": name} | more)).body


def decide(exchange: Market, name: str, decision: str) -> Any:
    return expect(200, exchange.operator("POST", f"/v1/admin/sales/{name}/{decision}")).body


def subscribe(client: Client, name: str, amount: str, **more: Any) -> Any:
    body = {"amount": amount, **more}
    return expect(201, client("POST", f"/v1/sales/{name}/subscriptions", body)).body["subscription"]


def settled(client: Client, name: str) -> list[Any]:
    subscriptions = expect(200, client("GET", f"/v1/sales/{name}/subscriptions")).body["subscriptions"]
    return [one["settled"] for one in subscriptions]


def test_first_come_first_served(exchange: Market, issuer: Client) -> None:
    announced = announce(exchange, "fixed-1")
    assert announced["sale"] == {
        "sale_id": announced["sale"]["sale_id"],
        "name": "fixed-1",
        "issuer": "Issuer",
        "token": "TOK",
        "quote": "EUR",
        "market": None,
        "kind": "fixed_price",
        "status": "announced",
        "price": "2.00000",
        "lot": "1",
        "quantity": "1000",
        "soft_cap": None,
        "account_cap": None,
        "opens_at": None,
        "closes_at": None,
        "clearing_price": None,
        "sold": "0",
        "proceeds": "0.00000",
    }
    early = exchange.ana("POST", "/v1/sales/fixed-1/subscriptions", {"amount": "1"})
    assert (early.status, early.code) == (409, "SALE_STATE")
    opened = decide(exchange, "fixed-1", "open")
    assert (opened["sale"]["status"], opened["repeated"]) == ("open", False)
    anas = subscribe(exchange.ana, "fixed-1", "600")
    assert (anas["quantity"], anas["held"], anas["price"], anas["settled"]) == ("600", "1200.00000", "2.00000", None)
    bos = subscribe(exchange.bo, "fixed-1", "500")
    assert (bos["quantity"], bos["held"]) == ("400", "800.00000")
    sold_out = exchange.ana("POST", "/v1/sales/fixed-1/subscriptions", {"amount": "1"})
    assert (sold_out.status, sold_out.code) == (422, "SOLD_OUT")
    before = float(exchange.balance(issuer, "EUR")[0])
    closed = decide(exchange, "fixed-1", "close")
    assert (closed["sale"]["status"], closed["sale"]["sold"], closed["sale"]["proceeds"]) == (
        "succeeded",
        "1000",
        "2000.00000",
    )
    assert closed["sale"]["clearing_price"] == "2.00000"
    assert float(exchange.balance(issuer, "EUR")[0]) == before + 2_000
    assert settled(exchange.bo, "fixed-1") == [{"quantity": "400", "paid": "800.00000", "refunded": "0.00000"}]
    again = decide(exchange, "fixed-1", "close")
    assert (again["sequence"], again["repeated"], again["sale"]) == (closed["sequence"], True, closed["sale"])
    other = exchange.operator("POST", "/v1/admin/sales/fixed-1/cancel")
    assert (other.status, other.code) == (409, "WRONG_STATE")


def test_a_subscription_happens_once(exchange: Market) -> None:
    announce(exchange, "once")
    decide(exchange, "once", "open")
    request = {"amount": "10", "request_id": "once-1"}
    first = expect(201, exchange.ana("POST", "/v1/sales/once/subscriptions", request)).body
    again = expect(200, exchange.ana("POST", "/v1/sales/once/subscriptions", request)).body
    assert again == first | {"repeated": True}
    conflict = exchange.ana("POST", "/v1/sales/once/subscriptions", request | {"amount": "11"})
    assert (conflict.status, conflict.code) == (409, "ID_CONFLICT")
    decide(exchange, "once", "close")
    late = expect(200, exchange.ana("POST", "/v1/sales/once/subscriptions", request)).body["subscription"]
    assert late["settled"] == {"quantity": "10", "paid": "20.00000", "refunded": "0.00000"}
    assert late["held"] == "0.00000"


def test_a_pot_is_divided(exchange: Market) -> None:
    announce(exchange, "pot-1", kind="pot", quantity="1000")
    decide(exchange, "pot-1", "open")
    committed = subscribe(exchange.ana, "pot-1", "1500")
    assert (committed["quantity"], committed["held"]) == (None, "1500.00000")
    subscribe(exchange.bo, "pot-1", "2500")
    decide(exchange, "pot-1", "close")
    assert settled(exchange.ana, "pot-1") == [{"quantity": "375", "paid": "750.00000", "refunded": "750.00000"}]
    assert settled(exchange.bo, "pot-1") == [{"quantity": "625", "paid": "1250.00000", "refunded": "1250.00000"}]


def test_bids_clear_at_one_price(exchange: Market) -> None:
    announce(exchange, "uniform-1", kind="uniform_price", price="1.00", quantity="100")
    decide(exchange, "uniform-1", "open")
    bid = subscribe(exchange.ana, "uniform-1", "80", price="3.00")
    assert (bid["price"], bid["quantity"], bid["held"]) == ("3.00000", "80", "240.00000")
    subscribe(exchange.bo, "uniform-1", "40", price="2.00")
    sale = decide(exchange, "uniform-1", "close")["sale"]
    assert (sale["price"], sale["clearing_price"], sale["proceeds"]) == ("1.00000", "2.00000", "200.00000")
    assert settled(exchange.ana, "uniform-1") == [{"quantity": "80", "paid": "160.00000", "refunded": "80.00000"}]
    assert settled(exchange.bo, "uniform-1") == [{"quantity": "20", "paid": "40.00000", "refunded": "40.00000"}]


def test_too_little_is_refunded(exchange: Market) -> None:
    announce(exchange, "failed-1", soft_cap="1000")
    decide(exchange, "failed-1", "open")
    subscribe(exchange.ana, "failed-1", "499")
    sale = decide(exchange, "failed-1", "close")["sale"]
    assert (sale["status"], sale["soft_cap"], sale["clearing_price"], sale["sold"]) == (
        "failed",
        "1000.00000",
        None,
        "0",
    )
    assert settled(exchange.ana, "failed-1") == [{"quantity": "0", "paid": "0.00000", "refunded": "998.00000"}]


def test_a_cap_counts_what_an_account_gets(exchange: Market) -> None:
    assert announce(exchange, "capped", account_cap="10")["sale"]["account_cap"] == "10"
    decide(exchange, "capped", "open")
    subscribe(exchange.ana, "capped", "10")
    refused = exchange.ana("POST", "/v1/sales/capped/subscriptions", {"amount": "1"})
    assert (refused.status, refused.code) == (422, "ACCOUNT_CAP")
    decide(exchange, "capped", "cancel")
    assert exchange.public("GET", "/v1/sales/capped").body["sale"]["status"] == "cancelled"


def test_a_sale_opens_and_closes_by_itself_and_opens_its_market(exchange: Market) -> None:
    now_ns = time.time_ns()
    times = {
        "opens_at": timestamp_text(now_ns + 2_000_000_000),
        "closes_at": timestamp_text(now_ns + 20_000_000_000),
    }
    assert announce(exchange, "timed", market="TOK-EUR", **times)["sale"].items() >= times.items()
    exchange.pass_time(3)
    subscribe(exchange.ana, "timed", "10")
    exchange.pass_time(20)
    assert exchange.public("GET", "/v1/sales/timed").body["sale"]["status"] == "succeeded"
    market = exchange.public("GET", "/v1/markets/TOK-EUR").body
    assert (market["state"], market["last_price"]) == ("auction", "2.00")


def test_sales_are_listed_in_pages(exchange: Market) -> None:
    first = announce(exchange, "page-1")["sale"]
    second = announce(exchange, "page-2")["sale"]
    page = expect(200, exchange.public("GET", f"/v1/sales?after={first['sale_id'] - 1}&limit=1")).body
    assert (page["sales"], page["more"]) == ([first], True)
    rest = expect(200, exchange.public("GET", f"/v1/sales?after={first['sale_id']}")).body
    assert (rest["sales"], rest["more"]) == ([second], False)


def test_own_subscriptions_are_listed_in_pages(exchange: Market) -> None:
    announce(exchange, "mine")
    decide(exchange, "mine", "open")
    numbers = [subscribe(exchange.ana, "mine", "1")["subscription_id"] for _ in range(3)]
    subscribe(exchange.bo, "mine", "1")
    page = expect(200, exchange.ana("GET", f"/v1/sales/mine/subscriptions?after={numbers[0]}&limit=1")).body
    assert ([one["subscription_id"] for one in page["subscriptions"]], page["more"]) == (numbers[1:2], True)
    everything = exchange.ana("GET", "/v1/sales/mine/subscriptions").body["subscriptions"]
    assert [one["subscription_id"] for one in everything] == numbers


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "MISSING_FIELD"),
        ({"amount": 5}, "DECIMAL_AS_STRING"),
        ({"amount": "x"}, "BAD_DECIMAL"),
        ({"amount": "0"}, "LOT"),
        ({"amount": "1.5"}, "LOT"),
        ({"amount": "1e400"}, "LOT"),
        ({"amount": "1", "price": "2.00"}, "MALFORMED"),
        ({"amount": "1", "price": 2}, "DECIMAL_AS_STRING"),
        ({"amount": "1", "request_id": "a b"}, "BAD_ID"),
        ({"amount": "1", "quantity": "1"}, "UNKNOWN_FIELD"),
        ({"amount": "100000"}, "NO_FUNDS"),
    ],
)
def test_a_subscription_that_cannot_be_is_refused_by_name(exchange: Market, body: dict[str, Any], code: str) -> None:
    name = f"bad-{next(_numbers)}"
    announce(exchange, name, quantity="100000")
    decide(exchange, name, "open")
    refused = exchange.ana("POST", f"/v1/sales/{name}/subscriptions", body)
    assert (refused.code, 400 <= refused.status < 500) == (code, True)
    assert settled(exchange.ana, name) == []
    decide(exchange, name, "cancel")


@pytest.mark.parametrize("price", ["0.5", "1e400", "-1"])
def test_a_bid_below_the_floor_is_refused(exchange: Market, price: str) -> None:
    name = f"floor-{next(_numbers)}"
    announce(exchange, name, kind="uniform_price", price="1.00", quantity="100")
    decide(exchange, name, "open")
    refused = exchange.ana("POST", f"/v1/sales/{name}/subscriptions", {"amount": "1", "price": price})
    assert (refused.status, refused.code) == (422, "PRICE")
    too_fine = exchange.ana("POST", f"/v1/sales/{name}/subscriptions", {"amount": "1", "price": "1.000001"})
    assert (too_fine.status, too_fine.code) == (422, "TICK")


def test_an_unknown_sale_is_named(exchange: Market) -> None:
    for answer in (
        exchange.public("GET", "/v1/sales/nothing"),
        exchange.ana("GET", "/v1/sales/nothing/subscriptions"),
        exchange.ana("POST", "/v1/sales/nothing/subscriptions", {"amount": "1"}),
        exchange.operator("POST", "/v1/admin/sales/nothing/open"),
    ):
        assert (answer.status, answer.code) == (404, "UNKNOWN_SALE")
    assert exchange.public("GET", "/v1/sales/a%20b").code == "BAD_ID"


def test_the_issuer_does_not_subscribe(exchange: Market, issuer: Client) -> None:
    announce(exchange, "issuers")
    decide(exchange, "issuers", "open")
    refused = issuer("POST", "/v1/sales/issuers/subscriptions", {"amount": "1"})
    assert (refused.status, refused.code) == (403, "NOT_ALLOWED")


@pytest.mark.parametrize(
    ("token_decimals", "lot_units", "lot_price_units", "text"),
    [
        (0, 1, 200_000, "2.00000"),
        (3, 1, 200, "2.00000"),
        (0, 10, 1, "0.000001"),
        (0, 1_000, 125, "0.00000125"),
        (3, 3, 300, "1.00000"),
    ],
)
def test_a_price_for_one_token_is_exact(token_decimals: int, lot_units: int, lot_price_units: int, text: str) -> None:
    terms = Terms("sale", Asset(1, "TOK", token_decimals), Asset(2, "EUR", 5), 0, lot_units)
    assert terms.price(lot_price_units) == text
