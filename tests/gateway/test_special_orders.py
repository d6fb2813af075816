"""Orders that wait, hide or expire, over real HTTP and by both ways of placing them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.rendering import timestamp_text
from tests.gateway.live_gateway import Client, Market, expect, limit_order

SPECIAL = ("stop_price", "trail", "trail_percent", "display", "visible", "expires_at", "linked_order_id")


@pytest.fixture(autouse=True)
def _last_price_10(market: Market) -> Iterator[None]:
    """Every test begins with an empty book and a last price of 10.00."""
    market.trade_at("10.00")
    yield
    for trader in (market.ana, market.bo):
        expect(200, trader("DELETE", "/v1/orders"))


def place(client: Client, side: str, quantity: str, price: str | None, **more: Any) -> Any:
    order = {"market": "GLD-EUR", "side": side, "quantity": quantity, **more}
    order |= {"type": "market"} if price is None else {"price": price}
    return expect(201, client("POST", "/v1/orders", order)).body["order"]


def shown(client: Client, order: Any) -> Any:
    return expect(200, client("GET", f"/v1/orders/{order['order_id']}")).body["order"]


def after_seconds(seconds: float) -> str:
    return timestamp_text(time.time_ns() + int(seconds * 1e9))


def test_a_plain_order_has_nothing_special(market: Market) -> None:
    order = place(market.ana, "sell", "1", "20.00")
    for body in (order, shown(market.ana, order)):
        assert [body[name] for name in SPECIAL] == [None] * len(SPECIAL)


def test_a_stop_waits_until_a_trade_elects_it(market: Market) -> None:
    place(market.bo, "buy", "1", "9.50")
    place(market.bo, "buy", "5", "9.40")
    stop = place(market.ana, "sell", "2", None, stop_price="9.50", client_order_id="stop-1")
    assert (stop["type"], stop["status"], stop["stop_price"], stop["open"]) == ("market", "waiting", "9.50", "2.000")
    waiting = shown(market.ana, stop)
    assert (waiting["status"], waiting["held"]) == ("waiting", "2.000")
    assert [one["order_id"] for one in market.ana("GET", "/v1/orders").body["orders"]] == [stop["order_id"]]
    sold = expect(201, market.ana("POST", "/v1/orders", limit_order("sell", "1", "9.50"))).body
    assert (sold["order"]["status"], len(sold["fills"])) == ("filled", 1), "the stop's trade is not this order's"
    elected = shown(market.ana, stop)
    assert (elected["status"], elected["executed"], elected["average_price"]) == ("filled", "2.000", "9.40")


def test_an_order_may_be_the_maker_of_a_stop_that_it_elected(market: Market) -> None:
    place(market.ana, "buy", "1", "10.50")
    stop = place(market.ana, "buy", "1", None, stop_price="10.50")
    body = expect(201, market.bo("POST", "/v1/orders", limit_order("sell", "3", "10.50"))).body
    assert [(one["liquidity"], one["fee"]) for one in body["fills"]] == [("taker", "0.02625"), ("maker", "0.01050")]
    assert (body["order"]["executed"], body["order"]["open"], body["order"]["fee"]) == ("2.000", "1.000", "0.03675")
    assert shown(market.ana, stop)["status"] == "filled"


def test_a_stop_limit_has_both_prices(market: Market) -> None:
    stop = place(market.ana, "sell", "1", "9.40", stop_price="9.50")
    assert (stop["type"], stop["price"], stop["stop_price"], stop["status"]) == ("limit", "9.40", "9.50", "waiting")
    amended = market.ana("PATCH", f"/v1/orders/{stop['order_id']}", {"price": "9.30"})
    assert (amended.status, amended.code) == (422, "NOT_AMENDABLE")
    cancelled = expect(200, market.ana("DELETE", f"/v1/orders/{stop['order_id']}")).body["order"]
    assert (cancelled["status"], cancelled["cancelled"]) == ("cancelled", "1.000")


def test_a_stop_whose_price_is_reached_already_is_refused(market: Market) -> None:
    order = limit_order("sell", "1", "9.00", stop_price="10.00")
    refused = market.ana("POST", "/v1/orders", order)
    assert (refused.status, refused.code) == (422, "STOP_WOULD_TRIGGER")


def test_a_trailing_stop_follows_the_market(market: Market) -> None:
    by_price = place(market.ana, "sell", "1", None, trail="0.50")
    assert (by_price["trail"], by_price["trail_percent"], by_price["stop_price"]) == ("0.50", None, "9.50")
    by_percent = place(market.ana, "sell", "1", None, trail_percent="5")
    assert (by_percent["trail"], by_percent["trail_percent"], by_percent["stop_price"]) == (None, "5.0000", "9.50")
    market.trade_at("10.40")
    assert shown(market.ana, by_price)["stop_price"] == "9.90"
    assert shown(market.ana, by_percent)["stop_price"] == "9.88"


def test_an_iceberg_shows_a_slice(market: Market) -> None:
    iceberg = place(market.ana, "sell", "10", "11.00", display="3", client_order_id="iceberg-1")
    assert (iceberg["display"], iceberg["visible"], iceberg["open"]) == ("3.000", "3.000", "10.000")
    book = expect(200, market.public("GET", "/v1/markets/GLD-EUR/book")).body
    assert book["asks"] == [["11.00", "3.000", 1]]
    place(market.bo, "buy", "4", "11.00")
    left = shown(market.ana, iceberg)
    assert (left["visible"], left["open"], left["executed"]) == ("2.000", "6.000", "4.000")
    retry = {**limit_order("sell", "10", "11.00"), "display": "3", "client_order_id": "iceberg-1"}
    again = expect(200, market.ana("POST", "/v1/orders", retry)).body
    assert (again["repeated"], again["order"]["visible"]) == (True, "2.000")


@pytest.mark.parametrize("display", ["1", "2", "0.009"])
def test_an_iceberg_shows_less_than_it_has_and_not_too_little(market: Market, display: str) -> None:
    refused = market.ana("POST", "/v1/orders", limit_order("sell", "1", "11.00", display=display))
    assert (refused.status, refused.code) == (422, "ICEBERG")


def test_an_order_ends_at_its_time(market: Market) -> None:
    expires_at = after_seconds(10)
    order = place(market.ana, "sell", "1", "11.00", time_in_force="gtd", expires_at=expires_at)
    assert (order["time_in_force"], order["expires_at"]) == ("gtd", expires_at)
    market.pass_time(11)
    closed = shown(market.ana, order)
    assert (closed["status"], closed["close_reason"], closed["held"]) == ("cancelled", "EXPIRED", "0.000")


def test_an_answer_tells_nothing_of_what_was_due_before_it(market: Market) -> None:
    expiring = place(market.ana, "sell", "1", "11.00", time_in_force="gtd", expires_at=after_seconds(21))
    market.gateway.on_loop(lambda: market.gateway.group.move_clock(11))
    bought = place(market.bo, "buy", "1", "11.00")
    assert (bought["status"], bought["executed"]) == ("open", "0.000"), "what has expired does not trade"
    assert shown(market.ana, expiring)["close_reason"] == "EXPIRED"


@pytest.mark.parametrize("seconds", [-1, 367 * 86_400])
def test_an_order_must_end_within_a_year(market: Market, seconds: float) -> None:
    order = limit_order("sell", "1", "11.00", time_in_force="gtd", expires_at=after_seconds(seconds))
    refused = market.ana("POST", "/v1/orders", order)
    assert (refused.status, refused.code) == (422, "EXPIRY")


def test_a_day_order_ends_at_midnight(market: Market) -> None:
    order = place(market.ana, "sell", "1", "11.00", time_in_force="day")
    assert order["expires_at"].endswith("T00:00:00.000000000Z")


def test_decrement_shrinks_both(market: Market) -> None:
    resting = place(market.ana, "sell", "3", "11.00")
    taker = place(market.ana, "buy", "2", "11.00", self_trade="decrement")
    assert (taker["status"], taker["close_reason"], taker["prevented"]) == ("cancelled", "SELF_TRADE", "2.000")
    left = shown(market.ana, resting)
    assert (left["status"], left["open"], left["prevented"]) == ("open", "1.000", "2.000")


def test_a_batch_places_special_orders(market: Market) -> None:
    items = [
        {"op": "place", **limit_order("sell", "1", "9.40", stop_price="9.50", client_order_id="batch-stop")},
        {"op": "place", **limit_order("sell", "10", "11.00", display="1")},
        {"op": "place", **limit_order("sell", "10", "11.00", time_in_force="gtd")},
        {"op": "cancel", "client_order_id": "batch-stop"},
    ]
    results = expect(200, market.ana("POST", "/v1/orders/batch", {"items": items})).body["results"]
    assert [one["status"] for one in results] == [201, 201, 400, 200]
    assert (results[0]["order"]["status"], results[1]["order"]["visible"]) == ("waiting", "1.000")
    assert results[2]["error"]["code"] == "MISSING_FIELD"
    assert results[3]["order"]["status"] == "cancelled"


@pytest.mark.parametrize(
    "change",
    [
        {"stop_price": "9.50", "post_only": True},
        {"stop_price": "9.50", "time_in_force": "fok"},
        {"stop_price": "9.50", "display": "0.5"},
        {"display": "0.5", "time_in_force": "ioc"},
    ],
)
def test_options_that_do_not_fit_each_other_are_malformed(market: Market, change: dict[str, Any]) -> None:
    refused = market.ana("POST", "/v1/orders", limit_order("sell", "1", "9.40") | change)
    assert (refused.status, refused.code) == (400, "MALFORMED")
