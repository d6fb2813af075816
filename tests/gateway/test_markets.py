"""What everybody may see of a market, over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gateway.live_gateway import Market, expect, limit_order


@pytest.fixture(autouse=True)
def _clean_market(exchange: Market) -> Iterator[None]:
    yield
    expect(200, exchange.operator("DELETE", "/v1/admin/orders"))
    expect(200, exchange.operator("POST", "/v1/admin/markets/GLD-EUR/state", {"state": "open"}))


def test_the_book_is_public_and_cut_at_the_depth_asked_for(exchange: Market) -> None:
    for price in ("10.02", "10.00", "10.01"):
        expect(
            201,
            exchange.ana("POST", "/v1/orders", {"market": "GLD-EUR", "side": "sell", "quantity": "1", "price": price}),
        )
    public = exchange.gateway.client(None)
    book = expect(200, public("GET", "/v1/markets/GLD-EUR/book?depth=2")).body
    assert book["asks"] == [["10.00", "1.000", 1], ["10.01", "1.000", 1]]
    assert book["bids"] == []
    assert len(public("GET", "/v1/markets/GLD-EUR/book").body["asks"]) == 3
    expect(200, exchange.ana("DELETE", "/v1/orders"))


def test_trades_are_public_and_newest_first(exchange: Market) -> None:
    order = {"market": "GLD-EUR", "quantity": "1", "price": "10.00"}
    for _ in range(2):
        expect(201, exchange.ana("POST", "/v1/orders", order | {"side": "sell"}))
        expect(201, exchange.bo("POST", "/v1/orders", order | {"side": "buy"}))
    trades = expect(200, exchange.gateway.client(None)("GET", "/v1/markets/GLD-EUR/trades?limit=2")).body["trades"]
    assert [trades[0]["trade_id"] - trades[1]["trade_id"], len(trades)] == [1, 2]
    assert (trades[0]["taker_side"], trades[0]["price"], trades[0]["quantity"]) == ("buy", "10.00", "1.000")
    assert trades[0]["timestamp"].endswith("Z")


def test_a_market_is_shown_as_it_stands(exchange: Market) -> None:
    exchange.trade_at("10.00")
    body = expect(200, exchange.public("GET", "/v1/markets/GLD-EUR")).body
    assert body["sequence"] == exchange.gateway.group.machine.sequence
    assert (body["state"], body["last_price"], body["auction"]) == ("open", "10.00", None)
    everything = expect(200, exchange.public("GET", "/v1/markets")).body
    assert everything["sequence"] == body["sequence"]
    (listed,) = everything["markets"]
    assert {"sequence": body["sequence"], **listed} == body


def test_an_auction_shows_its_indicative_price(exchange: Market) -> None:
    expect(200, exchange.operator("POST", "/v1/admin/markets/GLD-EUR/state", {"state": "auction"}))
    for client, side, quantity, price in (
        (exchange.ana, "buy", "50", "10.20"),
        (exchange.bo, "sell", "40", "10.00"),
    ):
        expect(201, client("POST", "/v1/orders", limit_order(side, quantity, price)))
    body = expect(200, exchange.public("GET", "/v1/markets/GLD-EUR")).body
    assert body["state"] == "auction"
    assert body["auction"] == {
        "phase": "call",
        "ends_at": None,
        "indicative_price": "10.20",
        "indicative_quantity": "40.000",
        "surplus": "10.000",
    }
    expect(200, exchange.operator("POST", "/v1/admin/markets/GLD-EUR/state", {"state": "open"}))
    opened = exchange.public("GET", "/v1/markets/GLD-EUR").body
    assert (opened["state"], opened["auction"], opened["last_price"]) == ("open", None, "10.20")


@pytest.mark.parametrize("state", ["pre_open", "post_only", "cancel_only", "halted", "closed"])
def test_a_state_without_trading_says_what_it_takes(exchange: Market, state: str) -> None:
    order = limit_order("buy", "1", "9.00", client_order_id=f"in-{state}")
    resting = expect(201, exchange.ana("POST", "/v1/orders", order | {"client_order_id": f"before-{state}"})).body
    expect(200, exchange.operator("POST", "/v1/admin/markets/GLD-EUR/state", {"state": state}))
    assert exchange.public("GET", "/v1/markets/GLD-EUR").body["state"] == state
    answer = exchange.ana("POST", "/v1/orders", order)
    if state in ("pre_open", "post_only"):
        expect(201, answer)
    else:
        assert (answer.status, answer.code) == (409, "MARKET_STATE")
    cancelled = expect(200, exchange.ana("DELETE", f"/v1/orders/{resting['order']['order_id']}")).body
    assert cancelled["order"]["status"] == "cancelled"


def test_an_auction_takes_what_can_rest_and_no_cancels_in_its_last_phase(exchange: Market) -> None:
    exchange.trade_at("10.00")
    rules = {"band": "0.10", "call_ms": 10_000, "no_cancel_ms": 3_600_000, "auction_market_orders": True}
    expect(200, exchange.operator("PUT", "/v1/admin/markets/GLD-EUR/rules", rules))
    expect(200, exchange.operator("POST", "/v1/admin/markets/GLD-EUR/state", {"state": "auction"}))
    for time_in_force in ("ioc", "fok"):
        order = limit_order("buy", "1", "10.00", time_in_force=time_in_force)
        assert exchange.ana("POST", "/v1/orders", order).code == "MARKET_STATE"
    at_market = {"market": "GLD-EUR", "side": "buy", "type": "market", "quantity": "1"}
    first = expect(201, exchange.ana("POST", "/v1/orders", at_market)).body["order"]
    assert (first["status"], first["type"], first["price"]) == ("open", "market", None)
    expect(200, exchange.ana("DELETE", f"/v1/orders/{first['order_id']}"))
    resting = expect(201, exchange.ana("POST", "/v1/orders", limit_order("buy", "1", "10.00"))).body["order"]
    exchange.pass_time(11)
    assert exchange.public("GET", "/v1/markets/GLD-EUR").body["auction"]["phase"] == "no_cancel"
    for refused in (
        exchange.ana("DELETE", f"/v1/orders/{resting['order_id']}"),
        exchange.ana("PATCH", f"/v1/orders/{resting['order_id']}", {"quantity": "2"}),
        exchange.ana("DELETE", "/v1/orders?market=GLD-EUR"),
    ):
        assert (refused.status, refused.code) == (409, "NO_CANCEL")
    assert expect(200, exchange.ana("DELETE", "/v1/orders")).body["cancelled"] == 0
    assert expect(200, exchange.operator("DELETE", "/v1/admin/orders")).body["cancelled"] == 1
    expect(200, exchange.operator("POST", "/v1/admin/markets/GLD-EUR/state", {"state": "open"}))
    expect(200, exchange.operator("PUT", "/v1/admin/markets/GLD-EUR/rules", {}))


def test_what_trades_beyond_the_band_is_cancelled(exchange: Market) -> None:
    exchange.trade_at("10.00")
    expect(200, exchange.operator("PUT", "/v1/admin/markets/GLD-EUR/rules", {"band": "0.10"}))
    for price in ("10.00", "10.90", "11.20"):
        expect(201, exchange.bo("POST", "/v1/orders", limit_order("sell", "1", price)))
    order = {"market": "GLD-EUR", "side": "buy", "type": "market", "quantity": "3"}
    body = expect(201, exchange.ana("POST", "/v1/orders", order)).body["order"]
    assert (body["status"], body["close_reason"], body["notional"]) == ("cancelled", "PRICE_BAND", "20.90000")
    expect(200, exchange.operator("PUT", "/v1/admin/markets/GLD-EUR/rules", {}))
