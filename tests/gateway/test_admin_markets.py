"""Operators' routes for markets, over real HTTP."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.gateway.live_gateway import Market, expect, limit_order

NO_RULES = {
    "band": "0.000000",
    "interrupts": False,
    "call_ms": 0,
    "no_cancel_ms": 0,
    "random_end_ms_max": 0,
    "auction_market_orders": False,
    "open_orders_max": 0,
    "stops_max": 0,
}
_numbers = itertools.count()


def list_market(exchange: Market, **more: Any) -> str:
    """Another market against EUR; answers its name."""
    base = f"BASE{next(_numbers)}"
    expect(201, exchange.operator("POST", "/v1/admin/assets", {"name": base, "decimals": 3}))
    listing = {"base": base, "quote": "EUR", "tick": "0.01", "lot": "0.001", "taker_fee": "0.0025"} | more
    name = expect(201, exchange.operator("POST", "/v1/admin/markets", listing)).body["market"]
    assert isinstance(name, str)
    return name


def test_a_market_is_shown_as_it_was_listed(exchange: Market) -> None:
    assert (
        exchange.operator("GET", "/v1/markets/GLD-EUR").body.items()
        >= {
            "market": "GLD-EUR",
            "base": "GLD",
            "quote": "EUR",
            "tick": "0.01",
            "lot": "0.001",
            "min_notional": "5.00000",
            "maker_fee": "0.001000",
            "taker_fee": "0.002500",
        }.items()
    )
    everything = exchange.gateway.client(None)("GET", "/v1/markets").body
    assert everything["markets"][0]["market"] == "GLD-EUR"
    assert {"asset": "EUR", "decimals": 5} in exchange.gateway.client(None)("GET", "/v1/assets").body["assets"]


def test_a_market_opens_without_rules_by_default(exchange: Market) -> None:
    body = exchange.public("GET", f"/v1/markets/{list_market(exchange)}").body
    assert (body["state"], body["last_price"], body["rules"]) == ("open", None, NO_RULES)
    assert (body["fee_tiers"], body["schedule"]) == ([], [])


def test_a_market_is_listed_with_its_rules(exchange: Market) -> None:
    rules = {
        "band": "0.10",
        "interrupts": True,
        "call_ms": 60_000,
        "no_cancel_ms": 30_000,
        "random_end_ms_max": 10_000,
        "auction_market_orders": True,
        "open_orders_max": 100,
        "stops_max": 10,
    }
    name = list_market(exchange, state="pre_open", reference="10.00", **rules)
    body = exchange.public("GET", f"/v1/markets/{name}").body
    assert (body["state"], body["last_price"]) == ("pre_open", "10.00")
    assert body["rules"] == rules | {"band": "0.100000"}


def test_rules_are_set_anew(exchange: Market) -> None:
    name = list_market(exchange, band="0.10", stops_max=5)
    first = expect(200, exchange.operator("PUT", f"/v1/admin/markets/{name}/rules", {"band": "0.05"})).body
    assert (first["market"], first["rules"]) == (name, NO_RULES | {"band": "0.050000"})
    assert exchange.public("GET", f"/v1/markets/{name}").body["rules"] == first["rules"]
    again = expect(200, exchange.operator("PUT", f"/v1/admin/markets/{name}/rules", {"band": "0.05"})).body
    assert again["rules"] == first["rules"]
    refused = exchange.operator("PUT", f"/v1/admin/markets/{name}/rules", {"interrupts": True})
    assert (refused.status, refused.code) == (422, "MARKET_RULES")


def test_a_state_is_set_and_an_auction_says_when_it_ends(exchange: Market) -> None:
    name = list_market(exchange, call_ms=60_000)
    path = f"/v1/admin/markets/{name}/state"
    first = expect(200, exchange.operator("POST", path, {"state": "auction"})).body
    assert (first["market"], first["state"], first["repeated"]) == (name, "auction", False)
    assert first["ends_at"] == exchange.public("GET", f"/v1/markets/{name}").body["auction"]["ends_at"] is not None
    again = expect(200, exchange.operator("POST", path, {"state": "auction"})).body
    assert (again["state"], again["ends_at"]) == ("auction", first["ends_at"]), "an auction does not begin anew"
    opened = expect(200, exchange.operator("POST", path, {"state": "open"})).body
    assert (opened["state"], opened["ends_at"]) == ("open", None)


def test_a_breach_of_the_band_starts_an_auction(exchange: Market) -> None:
    exchange.trade_at("10.00")
    rules = {"band": "0.05", "interrupts": True, "call_ms": 3_600_000}
    expect(200, exchange.operator("PUT", "/v1/admin/markets/GLD-EUR/rules", rules))
    for price in ("10.20", "10.60"):
        expect(201, exchange.bo("POST", "/v1/orders", limit_order("sell", "1", price)))
    body = expect(201, exchange.ana("POST", "/v1/orders", limit_order("buy", "2", "10.60"))).body
    assert (body["order"]["status"], body["order"]["executed"], body["order"]["open"]) == ("open", "1.000", "1.000")
    market = exchange.public("GET", "/v1/markets/GLD-EUR").body
    assert (market["state"], market["auction"]["indicative_price"]) == ("auction", "10.60")
    expect(200, exchange.operator("DELETE", "/v1/admin/orders"))
    expect(200, exchange.operator("PUT", "/v1/admin/markets/GLD-EUR/rules", {}))
    expect(200, exchange.operator("POST", "/v1/admin/markets/GLD-EUR/state", {"state": "open"}))


def test_a_schedule_is_set_and_ended(exchange: Market) -> None:
    name = list_market(exchange)
    path = f"/v1/admin/markets/{name}/schedule"
    steps = [{"at": "08:50:00", "state": "auction"}, {"at": "09:00:00", "state": "open"}]
    first = expect(200, exchange.operator("PUT", path, {"steps": steps})).body
    assert (first["market"], first["schedule"]) == (name, steps)
    assert exchange.public("GET", f"/v1/markets/{name}").body["schedule"] == steps
    assert expect(200, exchange.operator("PUT", path, {"steps": steps})).body["schedule"] == steps
    refused = exchange.operator("PUT", path, {"steps": steps[::-1]})
    assert (refused.status, refused.code) == (422, "MARKET_RULES")
    assert expect(200, exchange.operator("PUT", path, {"steps": []})).body["schedule"] == []


def test_fee_tiers_are_set_and_ended(exchange: Market) -> None:
    name = list_market(exchange)
    path = f"/v1/admin/markets/{name}/fee-tiers"
    tiers = [{"volume": "1000", "taker_fee": "0.002"}, {"volume": "5000.00001", "taker_fee": "0.001"}]
    first = expect(200, exchange.operator("PUT", path, {"tiers": tiers})).body
    assert first["fee_tiers"] == [
        {"volume": "1000.00000", "maker_fee": "0.000000", "taker_fee": "0.002000"},
        {"volume": "5000.00001", "maker_fee": "0.000000", "taker_fee": "0.001000"},
    ]
    assert exchange.public("GET", f"/v1/markets/{name}").body["fee_tiers"] == first["fee_tiers"]
    assert expect(200, exchange.operator("PUT", path, {"tiers": tiers})).body["fee_tiers"] == first["fee_tiers"]
    refused = exchange.operator("PUT", path, {"tiers": tiers[::-1]})
    assert (refused.status, refused.code) == (422, "MARKET_RULES")
    assert expect(200, exchange.operator("PUT", path, {"tiers": []})).body["fee_tiers"] == []


def test_a_market_takes_so_many_requests_and_no_more(exchange: Market) -> None:
    name = list_market(exchange)
    rate = {"requests_max": 1, "window_ms": 86_400_000}
    told = expect(200, exchange.operator("PUT", f"/v1/admin/markets/{name}/rate", rate)).body
    assert told["rate"] == rate == exchange.public("GET", f"/v1/markets/{name}").body["rate"]
    expect(201, exchange.ana("POST", "/v1/orders", limit_order("buy", "1", "9.00") | {"market": name}))
    refused = exchange.ana("POST", "/v1/orders", limit_order("buy", "1", "9.00") | {"market": name})
    assert (refused.status, refused.code) == (429, "RATE_LIMIT")
    none = {"requests_max": 0, "window_ms": 0}
    assert expect(200, exchange.operator("PUT", f"/v1/admin/markets/{name}/rate", none)).body["rate"] == none
    expect(201, exchange.ana("POST", "/v1/orders", limit_order("buy", "1", "9.00") | {"market": name}))


def test_a_delisted_market_ends_with_its_orders(exchange: Market) -> None:
    name = list_market(exchange)
    order = expect(201, exchange.ana("POST", "/v1/orders", limit_order("buy", "1", "9.00") | {"market": name})).body
    first = expect(200, exchange.operator("DELETE", f"/v1/admin/markets/{name}")).body
    assert (first["market"], first["state"], first["cancelled"]) == (name, "delisted", 1)
    closed = exchange.ana("GET", f"/v1/orders/{order['order']['order_id']}").body["order"]
    assert (closed["status"], closed["close_reason"]) == ("cancelled", "DELISTED")
    assert exchange.public("GET", f"/v1/markets/{name}").body["state"] == "delisted"
    again = expect(200, exchange.operator("DELETE", f"/v1/admin/markets/{name}")).body
    assert (again["state"], again["cancelled"]) == ("delisted", 0)
    refused = exchange.ana("POST", "/v1/orders", limit_order("buy", "1", "9.00") | {"market": name})
    assert (refused.status, refused.code) == (409, "MARKET_STATE")
    refused = exchange.operator("POST", f"/v1/admin/markets/{name}/state", {"state": "open"})
    assert (refused.status, refused.code) == (409, "MARKET_STATE")


BAD_RULES: list[tuple[dict[str, Any], str]] = [
    ({"band": 0.1}, "DECIMAL_AS_STRING"),
    ({"band": "-0.1"}, "BAD_DECIMAL"),
    ({"band": "0.0000001"}, "BAD_DECIMAL"),
    ({"band": "1e400"}, "BAD_DECIMAL"),
    ({"band": "1.000001"}, "BAD_DECIMAL"),
    ({"band": "1"}, "MARKET_RULES"),
    ({"interrupts": True}, "MARKET_RULES"),
    ({"auction_market_orders": True}, "MARKET_RULES"),
    ({"band": None}, "BAD_DECIMAL"),
    ({"interrupts": 1}, "BAD_FIELD"),
    ({"auction_market_orders": "yes"}, "BAD_FIELD"),
    ({"call_ms": -1}, "BAD_FIELD"),
    ({"call_ms": 7 * 86_400_000 + 1}, "BAD_FIELD"),
    ({"no_cancel_ms": "5"}, "BAD_FIELD"),
    ({"random_end_ms_max": 1.5}, "BAD_FIELD"),
    ({"open_orders_max": 200_001}, "BAD_FIELD"),
    ({"stops_max": 10_001}, "BAD_FIELD"),
    ({"band_ppm": 5}, "UNKNOWN_FIELD"),
]


@pytest.mark.parametrize(("rules", "code"), BAD_RULES)
def test_a_rule_that_cannot_be_is_refused_by_name(exchange: Market, rules: dict[str, Any], code: str) -> None:
    assert exchange.operator("PUT", "/v1/admin/markets/GLD-EUR/rules", rules).code == code
    listing = {"base": "EUR", "quote": "GLD", "tick": "1", "lot": "1"} | rules
    assert exchange.operator("POST", "/v1/admin/markets", listing).code == code
    assert exchange.public("GET", "/v1/markets/GLD-EUR").body["rules"] == NO_RULES


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("POST", "state", {}, "MISSING_FIELD"),
        ("POST", "state", {"state": "asleep"}, "BAD_FIELD"),
        ("POST", "state", {"state": "delisted"}, "BAD_FIELD"),
        ("POST", "state", {"state": 2}, "BAD_FIELD"),
        ("PUT", "schedule", {}, "MISSING_FIELD"),
        ("PUT", "schedule", {"steps": {}}, "BAD_FIELD"),
        ("PUT", "schedule", {"steps": ["08:50:00"]}, "BAD_FIELD"),
        ("PUT", "schedule", {"steps": [{"at": "08:50:00", "state": "open"}] * 49}, "BAD_FIELD"),
        ("PUT", "schedule", {"steps": [{"at": "8:50:00", "state": "open"}]}, "BAD_TIME"),
        ("PUT", "schedule", {"steps": [{"at": "24:00:00", "state": "open"}]}, "BAD_TIME"),
        ("PUT", "schedule", {"steps": [{"at": "08:50:00"}]}, "MISSING_FIELD"),
        ("PUT", "schedule", {"steps": [{"at": "08:50:00", "state": "delisted"}]}, "BAD_FIELD"),
        ("PUT", "schedule", {"steps": [{"at": "08:50:00", "state": "open", "day": 1}]}, "UNKNOWN_FIELD"),
        ("PUT", "schedule", {"steps": [{"at": "08:50:00", "state": "halted"}]}, "MARKET_RULES"),
        ("PUT", "fee-tiers", {"tiers": [{}]}, "MISSING_FIELD"),
        ("PUT", "rate", {"requests_max": 5}, "MISSING_FIELD"),
        ("PUT", "rate", {"requests_max": -1, "window_ms": 1000}, "BAD_FIELD"),
        ("PUT", "rate", {"requests_max": 1 << 32, "window_ms": 1000}, "BAD_FIELD"),
        ("PUT", "rate", {"requests_max": 5, "window_ms": 86_400_001}, "BAD_FIELD"),
        ("PUT", "rate", {"requests_max": 5, "window_ms": 0}, "MALFORMED"),
        ("PUT", "fee-tiers", {"tiers": [{"volume": "1"}] * 9}, "BAD_FIELD"),
        ("PUT", "fee-tiers", {"tiers": [{"volume": 5}]}, "DECIMAL_AS_STRING"),
        ("PUT", "fee-tiers", {"tiers": [{"volume": "-1"}]}, "BAD_DECIMAL"),
        ("PUT", "fee-tiers", {"tiers": [{"volume": "0.000001"}]}, "BAD_DECIMAL"),
        ("PUT", "fee-tiers", {"tiers": [{"volume": "1e400"}]}, "BAD_DECIMAL"),
        ("PUT", "fee-tiers", {"tiers": [{"volume": "1", "taker_fee": "2"}]}, "BAD_DECIMAL"),
        ("PUT", "fee-tiers", {"tiers": [{"volume": "1", "fee": "0.1"}]}, "UNKNOWN_FIELD"),
        ("PUT", "fee-tiers", {"tiers": [{"volume": "1", "taker_fee": "0.01"}]}, "MARKET_RULES"),
    ],
)
def test_a_change_that_cannot_be_is_refused_by_name(
    exchange: Market, method: str, path: str, body: dict[str, Any], code: str
) -> None:
    before = exchange.public("GET", "/v1/markets/GLD-EUR").body
    assert exchange.operator(method, f"/v1/admin/markets/GLD-EUR/{path}", body).code == code
    after = exchange.public("GET", "/v1/markets/GLD-EUR").body
    assert after | {"sequence": 0} == before | {"sequence": 0}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"state": "delisted"}, "BAD_FIELD"),
        ({"reference": 10}, "DECIMAL_AS_STRING"),
        ({"reference": "x"}, "BAD_DECIMAL"),
        ({"reference": "0.5"}, "LISTING_RULES"),
        ({"reference": "0"}, "LISTING_RULES"),
    ],
)
def test_a_listing_that_cannot_be_is_refused_by_name(exchange: Market, change: dict[str, Any], code: str) -> None:
    listing = {"base": "EUR", "quote": "GLD", "tick": "1", "lot": "1"} | change
    assert exchange.operator("POST", "/v1/admin/markets", listing).code == code


def test_an_unknown_market_is_named(exchange: Market) -> None:
    for method, path, body in (
        ("PUT", "/rules", {}),
        ("POST", "/state", {"state": "open"}),
        ("PUT", "/schedule", {"steps": []}),
        ("PUT", "/fee-tiers", {"tiers": []}),
        ("DELETE", "", None),
    ):
        answer = exchange.operator(method, f"/v1/admin/markets/NO-SUCH{path}", body)
        assert (answer.status, answer.code) == (404, "UNKNOWN_MARKET")
    assert exchange.operator("DELETE", "/v1/admin/markets/GLD-EUR?now=1").code == "BAD_QUERY"
