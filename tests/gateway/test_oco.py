"""One cancels the other, over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from engine.types import SECOND_LEG
from tests.gateway.live_gateway import Market, expect, limit_order

PAIR = {"market": "GLD-EUR", "side": "sell", "quantity": "2", "price": "11.00", "stop_price": "9.50"}


@pytest.fixture(autouse=True)
def _last_price_10(exchange: Market) -> Iterator[None]:
    exchange.trade_at("10.00")
    yield
    for trader in (exchange.ana, exchange.bo):
        expect(200, trader("DELETE", "/v1/orders"))


def place(exchange: Market, **more: Any) -> Any:
    return expect(201, exchange.ana("POST", "/v1/orders/oco", PAIR | more)).body


def test_both_legs_are_told_and_hold_once(exchange: Market) -> None:
    body = place(exchange, client_order_id="pair-1", stop_client_order_id="pair-1s")
    limit, stop = body["orders"]
    assert (limit["order_id"], stop["order_id"]) == (body["sequence"], body["sequence"] + SECOND_LEG)
    assert (limit["client_order_id"], stop["client_order_id"]) == ("pair-1", "pair-1s")
    assert (limit["type"], limit["price"], limit["status"]) == ("limit", "11.00", "open")
    assert (stop["type"], stop["stop_price"], stop["status"]) == ("market", "9.50", "waiting")
    assert (limit["linked_order_id"], stop["linked_order_id"]) == (stop["order_id"], limit["order_id"])
    assert exchange.balance(exchange.ana, "GLD")[1] == "2.000"
    assert body["fills"] == []


def test_the_same_pair_again_is_a_repeat(exchange: Market) -> None:
    ids = {"client_order_id": "pair-2", "stop_client_order_id": "pair-2s"}
    first = place(exchange, **ids)
    again = expect(200, exchange.ana("POST", "/v1/orders/oco", PAIR | ids)).body
    assert (again["sequence"], again["repeated"]) == (first["sequence"], True)
    assert [one["order_id"] for one in again["orders"]] == [one["order_id"] for one in first["orders"]]
    assert [one["status"] for one in again["orders"]] == ["open", "waiting"]
    conflict = exchange.ana("POST", "/v1/orders/oco", PAIR | ids | {"quantity": "1"})
    assert (conflict.status, conflict.code) == (409, "ID_CONFLICT")


def test_the_first_fill_of_the_limit_leg_ends_the_stop(exchange: Market) -> None:
    limit, stop = place(exchange)["orders"]
    expect(201, exchange.bo("POST", "/v1/orders", limit_order("buy", "0.5", "11.00")))
    closed = exchange.ana("GET", f"/v1/orders/{stop['order_id']}").body["order"]
    assert (closed["status"], closed["close_reason"]) == ("cancelled", "OTHER_LEG")
    rest = exchange.ana("GET", f"/v1/orders/{limit['order_id']}").body["order"]
    assert (rest["status"], rest["open"], rest["executed"]) == ("open", "1.500", "0.500")


def test_a_limit_leg_that_trades_at_once_ends_the_stop_in_the_answer(exchange: Market) -> None:
    expect(201, exchange.bo("POST", "/v1/orders", limit_order("buy", "0.5", "10.50")))
    body = place(exchange, price="10.50")
    limit, stop = body["orders"]
    assert (limit["status"], limit["executed"], limit["open"]) == ("open", "0.500", "1.500")
    assert (stop["status"], stop["close_reason"], stop["cancelled"]) == ("cancelled", "OTHER_LEG", "2.000")
    assert [fill["quantity"] for fill in body["fills"]] == ["0.500"]


@pytest.mark.parametrize("leg", [0, 1])
def test_cancelling_either_leg_cancels_both(exchange: Market, leg: int) -> None:
    orders = place(exchange)["orders"]
    cancelled = expect(200, exchange.ana("DELETE", f"/v1/orders/{orders[leg]['order_id']}")).body["order"]
    assert (cancelled["order_id"], cancelled["close_reason"]) == (orders[leg]["order_id"], "CANCELLED_BY_OWNER")
    other = exchange.ana("GET", f"/v1/orders/{orders[1 - leg]['order_id']}").body["order"]
    assert (other["status"], other["close_reason"]) == ("cancelled", "OTHER_LEG")
    assert exchange.balance(exchange.ana, "GLD")[1] == "0.000"


def test_the_stop_leg_may_have_a_limit(exchange: Market) -> None:
    stop = place(exchange, stop_limit_price="9.40")["orders"][1]
    assert (stop["type"], stop["price"], stop["stop_price"]) == ("limit", "9.40", "9.50")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"market": "NO-SUCH"}, "UNKNOWN_MARKET"),
        ({"market": 5}, "BAD_FIELD"),
        ({"side": "both"}, "BAD_FIELD"),
        ({"quantity": 2}, "DECIMAL_AS_STRING"),
        ({"price": "x"}, "BAD_DECIMAL"),
        ({"stop_price": None}, "BAD_DECIMAL"),
        ({"stop_limit_price": "1."}, "BAD_DECIMAL"),
        ({"self_trade": "allow"}, "BAD_FIELD"),
        ({"client_order_id": "a b"}, "BAD_ID"),
        ({"stop_client_order_id": ""}, "BAD_ID"),
        ({"client_order_id": "same", "stop_client_order_id": "same"}, "MALFORMED"),
        ({"time_in_force": "gtc"}, "UNKNOWN_FIELD"),
        ({"trail": "1"}, "UNKNOWN_FIELD"),
        ({"price": "0"}, "PRICE"),
        ({"stop_price": "9.505"}, "TICK"),
        ({"stop_limit_price": "-1"}, "PRICE"),
        ({"quantity": "0.0005"}, "LOT"),
        ({"stop_price": "10.00"}, "STOP_WOULD_TRIGGER"),
        ({"quantity": "100000"}, "NO_FUNDS"),
    ],
)
def test_a_pair_that_cannot_be_is_refused_by_name(exchange: Market, change: dict[str, Any], code: str) -> None:
    refused = exchange.ana("POST", "/v1/orders/oco", PAIR | change)
    assert (refused.code, 400 <= refused.status < 500) == (code, True)
    assert exchange.ana("GET", "/v1/orders").body["orders"] == []


@pytest.mark.parametrize("name", PAIR)
def test_what_a_pair_needs_is_named(exchange: Market, name: str) -> None:
    pair = {key: value for key, value in PAIR.items() if key != name}
    refused = exchange.ana("POST", "/v1/orders/oco", pair)
    assert refused.code == "MISSING_FIELD"
    assert f"'{name}'" in refused.body["error"]["message"]
