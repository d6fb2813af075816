"""Everything that a client can get wrong, on every route: a named 4xx, no balance changed, the gateway alive.

Source: the list "Bad input" of the reliability requirements.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.gateway.live_gateway import Client, Market, Response, expect, limit_order

BAD_BODIES = {
    "blank": (b" ", "BAD_JSON"),
    "cut short": (b'{"market":', "BAD_JSON"),
    "not an object": (b"[1]", "NOT_AN_OBJECT"),
    "not a number": (b'{"market":NaN}', "BAD_JSON"),
    "infinite": (b'{"market":1e400}', "BAD_JSON"),
    "not UTF-8": (b'{"market":"\xff"}', "BAD_JSON"),
    "NUL": (b'{"market":"\x00"}', "BAD_JSON"),
    "deep": (b'{"market":' + b"[" * 20_000 + b"]" * 20_000 + b"}", "BAD_JSON"),
    "unknown field": (b'{"colour":"red"}', "UNKNOWN_FIELD"),
    "duplicate field": (b'{"market":"GLD-EUR","market":"GLD-EUR"}', "DUPLICATE_FIELD"),
    "duplicate by escape": (b'{"market":"GLD-EUR","m\\u0061rket":"GLD-EUR"}', "DUPLICATE_FIELD"),
}
BODY_ROUTES = [
    ("POST", "/v1/orders"),
    ("PATCH", "/v1/orders/abc"),
    ("POST", "/v1/orders/batch"),
    ("POST", "/v1/admin/assets"),
    ("POST", "/v1/admin/markets"),
    ("POST", "/v1/admin/accounts"),
    ("POST", "/v1/admin/accounts/Ana/keys"),
    ("POST", "/v1/admin/deposits"),
    ("POST", "/v1/orders/oco"),
    ("POST", "/v1/orders/cancel-all-after"),
    ("POST", "/v1/requests/abc/resolve"),
    ("POST", "/v1/withdrawals"),
    ("POST", "/v1/transfers"),
    ("POST", "/v1/transfers/1/void"),
    ("POST", "/v1/sales/abc/subscriptions"),
    ("PUT", "/v1/admin/markets/GLD-EUR/rules"),
    ("POST", "/v1/admin/markets/GLD-EUR/state"),
    ("PUT", "/v1/admin/markets/GLD-EUR/schedule"),
    ("PUT", "/v1/admin/markets/GLD-EUR/fee-tiers"),
    ("PUT", "/v1/admin/accounts/Ana/limits"),
    ("POST", "/v1/admin/accounts/Ana/freeze"),
    ("POST", "/v1/admin/withdrawals/1/pay"),
    ("POST", "/v1/admin/transfers/1/post"),
    ("POST", "/v1/admin/sales"),
    ("POST", "/v1/admin/sales/abc/open"),
]
BAD_IDS = ["", "x" * 65, "a\x00b", "a\nb", "a b", "../a", "a/b", "\U0001f600", "\uff11", "a\u202eb"]
NOT_DECIMALS = [
    "",
    " 1",
    "+1",
    "01",
    "1.",
    ".1",
    "1,0",
    "NaN",
    "Infinity",
    "-Infinity",
    "\uff11",
    "0x1",
    "1\x00",
    "x" * 5_000,
]


@pytest.fixture(autouse=True)
def _nothing_changes(market: Market) -> Iterator[None]:
    """Every case of this module leaves every balance, and the book, as they were."""
    before = market.balances()
    yield
    assert market.balances() == before
    book = expect(200, market.gateway.client(None)("GET", "/v1/markets/GLD-EUR/book")).body
    assert (book["bids"], book["asks"]) == ([], [])
    assert market.gateway.client(None)("GET", "/healthz").status == 200


def client_error(answer: Response) -> str:
    assert 400 <= answer.status < 500, answer
    assert answer.body["error"]["definite"] is True
    assert answer.body["error"]["message"]
    return answer.code


@pytest.mark.parametrize("route", BODY_ROUTES, ids=lambda route: " ".join(route))
@pytest.mark.parametrize("case", BAD_BODIES)
def test_a_bad_body_is_refused_by_name(market: Market, route: tuple[str, str], case: str) -> None:
    raw, code = BAD_BODIES[case]
    assert client_error(market.operator(*route, raw=raw)) == code


@pytest.mark.parametrize("route", BODY_ROUTES, ids=lambda route: " ".join(route))
def test_a_huge_body_is_refused(market: Market, route: tuple[str, str]) -> None:
    answer = market.operator(*route, raw=b'{"market":"' + b"x" * 10_000_000 + b'"}')
    assert (answer.status, client_error(answer)) == (413, "BODY_TOO_LARGE")
    expect(200, market.operator("GET", "/v1/accounts/me"))


def test_the_limit_of_a_body_is_64_kib(market: Market) -> None:
    for size, code in [(64 * 1024, "BAD_JSON"), (64 * 1024 + 1, "BODY_TOO_LARGE")]:
        assert client_error(market.ana("POST", "/v1/orders", raw=b"x" * size)) == code


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"market": None}, "BAD_FIELD"),
        ({"market": 5}, "BAD_FIELD"),
        ({"market": "NO-SUCH"}, "UNKNOWN_MARKET"),
        ({"market": "\x00"}, "UNKNOWN_MARKET"),
        ({"side": "hold"}, "BAD_FIELD"),
        ({"side": None}, "BAD_FIELD"),
        ({"side": ["buy"]}, "BAD_FIELD"),
        ({"type": "stop"}, "BAD_FIELD"),
        ({"time_in_force": "gtx"}, "BAD_FIELD"),
        ({"time_in_force": "gtd"}, "MISSING_FIELD"),
        ({"time_in_force": "gtd", "expires_at": "2027-01-31"}, "BAD_TIME"),
        ({"time_in_force": "gtd", "expires_at": "2020-01-31T12:00:00Z"}, "EXPIRY"),
        ({"expires_at": "2027-01-31T12:00:00Z"}, "BAD_FIELD"),
        ({"stop_price": 11}, "DECIMAL_AS_STRING"),
        ({"stop_price": "11.00", "trail": "1"}, "BAD_FIELD"),
        ({"stop_price": "0"}, "PRICE"),
        ({"stop_price": "-1"}, "PRICE"),
        ({"stop_price": "1e400"}, "PRICE"),
        ({"stop_price": "11.005"}, "TICK"),
        ({"trail": "0"}, "PRICE"),
        ({"trail": "0.005"}, "TICK"),
        ({"trail_percent": "0"}, "PRICE"),
        ({"trail_percent": "1e400"}, "PRICE"),
        ({"trail": "1.00"}, "NO_LAST_PRICE"),
        ({"display": "0"}, "LOT"),
        ({"display": "0.0005"}, "LOT"),
        ({"display": "1"}, "ICEBERG"),
        ({"display": "0.5", "time_in_force": "ioc"}, "MALFORMED"),
        ({"stop_price": "11.00", "post_only": True}, "MALFORMED"),
        ({"post_only": "yes"}, "BAD_FIELD"),
        ({"post_only": 1}, "BAD_FIELD"),
        ({"self_trade": "allow"}, "BAD_FIELD"),
        ({"budget": "100"}, "BAD_FIELD"),
        ({"type": "market"}, "BAD_FIELD"),
        ({"price": None}, "BAD_DECIMAL"),
        ({"price": 10}, "DECIMAL_AS_STRING"),
        ({"quantity": 1.5}, "DECIMAL_AS_STRING"),
        ({"quantity": True}, "BAD_DECIMAL"),
        ({"price": "0"}, "PRICE"),
        ({"price": "-1"}, "PRICE"),
        ({"price": "1e400"}, "PRICE"),
        ({"price": "9" * 19}, "PRICE"),
        ({"price": "10.005"}, "TICK"),
        ({"quantity": "0"}, "LOT"),
        ({"quantity": "-1"}, "LOT"),
        ({"quantity": "1e400"}, "LOT"),
        ({"quantity": "0.0005"}, "LOT"),
        ({"quantity": "9" * 19}, "LOT"),
        ({"quantity": "4611686018427387", "price": "46116860184273"}, "NOTIONAL_TOO_LARGE"),
        ({"quantity": "0.499"}, "MIN_NOTIONAL"),
        ({"quantity": "10000000"}, "NO_FUNDS"),
        ({"post_only": True, "time_in_force": "ioc"}, "MALFORMED"),
    ],
)
def test_a_wrong_value_in_an_order_is_refused_by_name(market: Market, change: dict[str, Any], code: str) -> None:
    assert client_error(market.ana("POST", "/v1/orders", limit_order("buy", "1", "10.00") | change)) == code


@pytest.mark.parametrize("name", ["market", "side", "price", "quantity"])
def test_a_missing_field_is_named(market: Market, name: str) -> None:
    order = limit_order("buy", "1", "10.00")
    del order[name]
    answer = market.ana("POST", "/v1/orders", order)
    assert client_error(answer) == "MISSING_FIELD"
    assert f"'{name}'" in answer.body["error"]["message"]


@pytest.mark.parametrize("text", NOT_DECIMALS, ids=ascii)
def test_what_is_not_a_decimal_is_refused_in_every_decimal_field(market: Market, text: str) -> None:
    listing = {"base": "GLD", "quote": "EUR", "tick": "0.01", "lot": "0.001"}
    deposit = {"account": "Ana", "asset": "EUR", "amount": "1", "reference": "r"}
    cases: list[tuple[Client, str, str, dict[str, Any]]] = [
        (market.ana, "POST", "/v1/orders", limit_order("buy", text, "10.00")),
        (market.ana, "POST", "/v1/orders", limit_order("buy", "1", text)),
        (market.ana, "POST", "/v1/orders", {"market": "GLD-EUR", "side": "buy", "type": "market", "budget": text}),
        (market.ana, "PATCH", "/v1/orders/abc", {"price": text}),
        (market.ana, "PATCH", "/v1/orders/abc", {"quantity": text}),
        (market.operator, "POST", "/v1/admin/deposits", deposit | {"amount": text}),
        *(
            (market.operator, "POST", "/v1/admin/markets", listing | {name: text})
            for name in ("tick", "lot", "min_notional", "maker_fee", "taker_fee")
        ),
    ]
    for client, method, path, body in cases:
        assert client_error(client(method, path, body)) == "BAD_DECIMAL"


@pytest.mark.parametrize("text", BAD_IDS, ids=ascii)
def test_a_bad_id_is_refused_in_every_body(market: Market, text: str) -> None:
    deposit = {"account": "Ana", "asset": "EUR", "amount": "1", "reference": "r"}
    item = {"op": "cancel", "client_order_id": text}
    cases: list[tuple[Client, str, str, dict[str, Any]]] = [
        (market.ana, "POST", "/v1/orders", limit_order("buy", "1", "10.00", client_order_id=text)),
        (market.ana, "PATCH", "/v1/orders/abc", {"quantity": "1", "request_id": text}),
        (market.operator, "POST", "/v1/admin/assets", {"name": text, "decimals": 2}),
        (market.operator, "POST", "/v1/admin/accounts", {"name": text}),
        (market.operator, "POST", "/v1/admin/accounts/Ana/keys", {"key_id": text}),
        *(
            (market.operator, "POST", "/v1/admin/deposits", deposit | {name: text})
            for name in ("account", "asset", "reference")
        ),
    ]
    for client, method, path, body in cases:
        assert client_error(client(method, path, body)) == "BAD_ID"
    answer = expect(200, market.ana("POST", "/v1/orders/batch", {"items": [item]}))
    assert answer.body["results"][0]["error"]["code"] == "BAD_ID"


@pytest.mark.parametrize("text", ["%00", "a%0Ab", "%20", "x" * 65, "%F0%9F%98%80", "%EF%BC%91", "a%FFb", "client:"])
def test_a_bad_id_in_a_path_is_refused(market: Market, text: str) -> None:
    for client, method, path in [
        (market.ana, "GET", f"/v1/orders/{text}"),
        (market.ana, "DELETE", f"/v1/orders/{text}"),
        (market.operator, "GET", f"/v1/admin/accounts/{text}/balances"),
    ]:
        assert client_error(client(method, path)) == "BAD_ID"
    assert client_error(market.gateway.client(None)("GET", f"/v1/markets/{text}")) == "UNKNOWN_MARKET"


@pytest.mark.parametrize("text", ["..%2f..%2fetc", "a/b", "%2e%2e/x"])
def test_path_characters_lead_nowhere(market: Market, text: str) -> None:
    for path in (f"/v1/orders/{text}", f"/static/{text}", f"/v1/markets/{text}/nothing"):
        assert client_error(market.ana("GET", path)) == "NO_SUCH_ROUTE"


def test_an_order_number_beyond_all_numbers_is_unknown(market: Market) -> None:
    for number in ("0", "9" * 20, "9" * 64):
        assert client_error(market.ana("GET", f"/v1/orders/{number}")) == "UNKNOWN_ORDER"
    numbers: list[tuple[object, str]] = [
        (0, "UNKNOWN_ORDER"),
        (-1, "UNKNOWN_ORDER"),
        (2**64, "BAD_FIELD"),
        (True, "BAD_FIELD"),
        ("1", "BAD_FIELD"),
    ]
    for named, code in numbers:
        answer = market.ana("POST", "/v1/orders/batch", {"items": [{"op": "cancel", "order_id": named}]})
        assert answer.body["results"][0]["error"]["code"] == code


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/v1/orders?market=GLD-EUR&market=GLD-EUR"),
        ("DELETE", "/v1/orders?everything=yes"),
        ("DELETE", "/v1/orders/abc?request_id"),
        ("GET", "/v1/orders?limit=0"),
        ("GET", "/v1/accounts/me?x=1"),
        ("GET", "/v1/accounts/me/balances?x=1"),
        ("GET", "/v1/markets?x=1"),
        ("GET", "/v1/assets?x=1"),
        ("GET", "/v1/markets/GLD-EUR?x=1"),
        ("GET", "/v1/markets/GLD-EUR/book?depth=0"),
        ("GET", "/v1/markets/GLD-EUR/book?depth=1001"),
        ("GET", "/v1/markets/GLD-EUR/book?depth=-1"),
        ("GET", "/v1/markets/GLD-EUR/book?depth=1e3"),
        ("GET", "/v1/markets/GLD-EUR/trades?limit=x"),
        ("GET", "/v1/markets/GLD-EUR/trades?limit=%EF%BC%91"),
        ("GET", "/v1/admin/replicas?x=1"),
        ("GET", "/v1/withdrawals?after=x"),
        ("GET", "/v1/withdrawals?status=late"),
        ("GET", "/v1/transfers?limit=1001"),
        ("GET", "/v1/transfers?status=pending"),
        ("GET", "/v1/sales?after=-1"),
        ("GET", "/v1/sales/abc?x=1"),
        ("GET", "/v1/sales/abc/subscriptions?limit=0"),
        ("DELETE", "/v1/withdrawals/1?x=1"),
        ("DELETE", "/v1/orders?side=both"),
        ("DELETE", "/v1/admin/orders?side=2"),
    ],
)
def test_a_bad_query_is_refused(market: Market, method: str, path: str) -> None:
    assert client_error(market.operator(method, path)) == "BAD_QUERY"


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/v1/admin/assets", {"name": "gold", "decimals": 2}, "MALFORMED"),
        ("/v1/admin/assets", {"name": "TOOLONGFORANASSET", "decimals": 2}, "MALFORMED"),
        ("/v1/admin/assets", {"name": "AAA", "decimals": 13}, "BAD_FIELD"),
        ("/v1/admin/assets", {"name": "AAA", "decimals": -1}, "BAD_FIELD"),
        ("/v1/admin/assets", {"name": "AAA", "decimals": "2"}, "BAD_FIELD"),
        ("/v1/admin/assets", {"name": "AAA"}, "MISSING_FIELD"),
        ("/v1/admin/accounts", {"name": "Cy", "role": "king"}, "BAD_FIELD"),
        ("/v1/admin/accounts", {"name": 5}, "BAD_FIELD"),
        ("/v1/admin/markets", {"base": "GLD", "quote": "GLD", "tick": "1", "lot": "1"}, "LISTING_RULES"),
        ("/v1/admin/markets", {"base": "EUR", "quote": "GLD", "tick": "0", "lot": "1"}, "LISTING_RULES"),
        ("/v1/admin/markets", {"base": "EUR", "quote": "GLD", "tick": "1e400", "lot": "1"}, "LISTING_RULES"),
        ("/v1/admin/markets", {"base": "EUR", "quote": "GLD", "tick": "0.0001", "lot": "1"}, "LISTING_RULES"),
        (
            "/v1/admin/markets",
            {"base": "EUR", "quote": "GLD", "tick": "1", "lot": "1", "min_notional": "1e400"},
            "BAD_DECIMAL",
        ),
        (
            "/v1/admin/markets",
            {"base": "EUR", "quote": "GLD", "tick": "1", "lot": "1", "taker_fee": "0.0000001"},
            "BAD_DECIMAL",
        ),
        (
            "/v1/admin/markets",
            {"base": "EUR", "quote": "GLD", "tick": "1", "lot": "1", "taker_fee": "1e400"},
            "BAD_DECIMAL",
        ),
        (
            "/v1/admin/markets",
            {"base": "EUR", "quote": "GLD", "tick": "1", "lot": "1", "taker_fee": "99"},
            "BAD_DECIMAL",
        ),
        (
            "/v1/admin/markets",
            {"base": "EUR", "quote": "GLD", "tick": "1", "lot": "1", "maker_fee": "-0.01"},
            "LISTING_RULES",
        ),
        ("/v1/admin/deposits", {"account": "Ana", "asset": "EUR", "amount": "0", "reference": "r1"}, "AMOUNT"),
        ("/v1/admin/deposits", {"account": "Ana", "asset": "EUR", "amount": "-5", "reference": "r2"}, "AMOUNT"),
        ("/v1/admin/deposits", {"account": "Ana", "asset": "EUR", "amount": "0.000001", "reference": "r3"}, "AMOUNT"),
        ("/v1/admin/deposits", {"account": "Ana", "asset": "EUR", "amount": "1e400", "reference": "r4"}, "AMOUNT"),
        (
            "/v1/admin/deposits",
            {"account": "Ana", "asset": "EUR", "amount": "46116860184273", "reference": "r5"},
            "SUPPLY_TOO_LARGE",
        ),
        ("/v1/admin/deposits", {"account": "Ana", "asset": "EUR", "amount": 5, "reference": "r6"}, "DECIMAL_AS_STRING"),
        ("/v1/orders/batch", {"items": "all"}, "BAD_FIELD"),
        ("/v1/orders/batch", {}, "BAD_FIELD"),
    ],
)
def test_a_wrong_value_in_other_bodies_is_refused_by_name(
    market: Market, path: str, body: dict[str, Any], code: str
) -> None:
    assert client_error(market.operator("POST", path, body)) == code


@pytest.mark.parametrize("body", [{}, {"price": "x"}, {"price": "10", "side": "buy"}, {"price": 10}])
def test_a_bad_amendment_is_refused(market: Market, body: dict[str, Any]) -> None:
    client_error(market.ana("PATCH", "/v1/orders/abc", body))


SIGNED_ROUTES = [
    ("POST", "/v1/orders"),
    ("GET", "/v1/orders"),
    ("DELETE", "/v1/orders"),
    ("POST", "/v1/orders/batch"),
    ("GET", "/v1/orders/1"),
    ("DELETE", "/v1/orders/1"),
    ("PATCH", "/v1/orders/1"),
    ("GET", "/v1/accounts/me"),
    ("GET", "/v1/accounts/me/balances"),
    ("POST", "/v1/orders/oco"),
    ("POST", "/v1/orders/cancel-all-after"),
    ("POST", "/v1/requests/abc/resolve"),
    ("GET", "/v1/withdrawals"),
    ("POST", "/v1/transfers"),
    ("GET", "/v1/sales/abc/subscriptions"),
    ("DELETE", "/v1/admin/orders"),
    ("PUT", "/v1/admin/markets/GLD-EUR/rules"),
    ("POST", "/v1/admin/assets"),
    ("GET", "/v1/admin/replicas"),
]


@pytest.mark.parametrize("route", SIGNED_ROUTES, ids=lambda route: " ".join(route))
def test_a_bad_signature_is_refused_on_every_route(market: Market, route: tuple[str, str]) -> None:
    key = market.ana.key
    assert key is not None
    gateway = market.gateway
    for client, shift_ms, code in [
        (gateway.client(None), 0, "MISSING_SIGNATURE"),
        (gateway.client(("nobody", "secret")), 0, "UNKNOWN_KEY"),
        (gateway.client((key[0], "another secret")), 0, "BAD_SIGNATURE"),
        (gateway.client(("a/b", "secret")), 0, "BAD_ID"),
        (market.ana, 61_000, "REQUEST_EXPIRED"),
        (market.ana, -61_000, "REQUEST_EXPIRED"),
    ]:
        answer = client(*route, limit_order("buy", "1", "10.00"), shift_ms=shift_ms)
        assert (answer.status, answer.code) == (400 if code == "BAD_ID" else 401, code)


def test_the_logs_clock_is_the_last_authority_on_age(market: Market) -> None:
    group = market.gateway.group
    market.gateway.on_loop(lambda: setattr(group, "clock_offset_ns", 61_000_000_000))
    try:
        answer = market.ana("POST", "/v1/orders", limit_order("buy", "1", "10.00"))
    finally:
        # The log's time never runs backwards, so later requests are signed in its future.
        market.gateway.on_loop(lambda: setattr(group, "clock_offset_ns", 0))
        market.gateway.on_loop(lambda: setattr(group.machine, "timestamp_ns", 0))
    assert (answer.status, answer.code) == (401, "REQUEST_EXPIRED")
    assert answer.body["sequence"] > 0


def test_unknown_routes_and_methods_are_told_in_json(market: Market) -> None:
    for method, path, code in [
        ("GET", "/v2/orders", "NO_SUCH_ROUTE"),
        ("GET", "/v1/orders/1/fills", "NO_SUCH_ROUTE"),
        ("GET", "/v1/markets/", "NO_SUCH_ROUTE"),
        ("PUT", "/v1/orders", "METHOD_NOT_ALLOWED"),
        ("POST", "/v1/markets", "METHOD_NOT_ALLOWED"),
        ("DELETE", "/", "METHOD_NOT_ALLOWED"),
        ("BREW", "/", "BAD_HTTP"),
    ]:
        answer = market.gateway.client(None)(method, path)
        assert client_error(answer) == code
        if code == "METHOD_NOT_ALLOWED":
            assert "GET" in answer.headers["allow"]


def test_a_long_list_of_colons_is_no_way_to_slow_the_gateway(market: Market) -> None:
    raw = json.dumps({"market": ":" * 60_000}).encode()
    assert client_error(market.ana("POST", "/v1/orders", raw=raw)) == "UNKNOWN_MARKET"
