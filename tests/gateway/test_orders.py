"""Routes about orders over real HTTP, each case through the hot path and through the plain route."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gateway.live_gateway import Client, Market, expect, limit_order


@pytest.fixture(autouse=True)
def _clean_book(market: Market) -> Iterator[None]:
    yield
    for trader in (market.ana, market.bo):
        expect(200, trader("DELETE", "/v1/orders"))


def place(trader: Client, side: str, quantity: str, price: str, **more: object) -> dict[str, object]:
    body = expect(201, trader("POST", "/v1/orders", limit_order(side, quantity, price, **more))).body
    assert isinstance(body, dict)
    return body


def test_an_order_rests_and_is_found_by_number_and_by_client_id(market: Market) -> None:
    placed = place(market.ana, "sell", "2", "10.00", client_order_id="rests")
    order = placed["order"]
    assert isinstance(order, dict)
    assert (order["status"], order["open"], order["order_id"]) == ("open", "2.000", placed["sequence"])
    for name in (str(order["order_id"]), "rests", "client:rests"):
        shown = expect(200, market.ana("GET", f"/v1/orders/{name}")).body["order"]
        assert {**shown, **order} == shown
        assert (shown["held"], shown["accepted_at"][-1]) == ("2.000", "Z")
    assert [one["order_id"] for one in market.ana("GET", "/v1/orders?market=GLD-EUR").body["orders"]] == [
        order["order_id"]
    ]
    assert market.bo("GET", "/v1/orders").body["orders"] == []


def test_open_orders_come_in_pages(market: Market) -> None:
    numbers = [place(market.ana, "sell", "1", f"{price}.00")["sequence"] for price in (12, 11, 13)]
    first = expect(200, market.ana("GET", "/v1/orders?limit=2")).body
    assert ([order["order_id"] for order in first["orders"]], first["more"]) == (numbers[:2], True)
    last = expect(200, market.ana("GET", f"/v1/orders?limit=2&after={numbers[1]}")).body
    assert ([order["order_id"] for order in last["orders"]], last["more"]) == (numbers[2:], False)


def test_a_client_id_of_digits_is_told_from_a_number(market: Market) -> None:
    order = place(market.ana, "sell", "2", "10.00", client_order_id="123456789")["order"]
    assert isinstance(order, dict)
    assert market.ana("GET", "/v1/orders/123456789").code == "UNKNOWN_ORDER"
    assert market.ana("GET", "/v1/orders/client:123456789").body["order"]["order_id"] == order["order_id"]


def test_an_order_trades_and_shows_its_fills(market: Market) -> None:
    place(market.ana, "sell", "2", "10.00")
    bought = place(market.bo, "buy", "3", "10.05")
    assert bought["fills"] == [
        {
            "trade_id": market.bo("GET", "/v1/markets/GLD-EUR/trades?limit=1").body["trades"][0]["trade_id"],
            "price": "10.00",
            "quantity": "2.000",
            "notional": "20.00000",
            "fee": "0.05000",
            "liquidity": "taker",
        }
    ]
    order = bought["order"]
    assert isinstance(order, dict)
    assert (order["status"], order["open"], order["executed"], order["average_price"]) == (
        "open",
        "1.000",
        "2.000",
        "10.00",
    )


def test_an_order_without_a_client_id_gets_one(market: Market) -> None:
    order = place(market.ana, "sell", "2", "10.00")["order"]
    assert isinstance(order, dict)
    assert (
        expect(200, market.ana("GET", f"/v1/orders/{order['client_order_id']}")).body["order"]["order_id"]
        == order["order_id"]
    )


def test_a_retry_is_answered_with_the_first_receipt_and_the_order_as_it_stands(market: Market) -> None:
    first = place(market.ana, "sell", "2", "10.00", client_order_id="again")
    place(market.bo, "buy", "0.5", "10.00")
    retry = expect(
        200, market.ana("POST", "/v1/orders", limit_order("sell", "2.0", "10", client_order_id="again"))
    ).body
    assert (retry["repeated"], retry["sequence"], retry["fills"]) == (True, first["sequence"], [])
    assert (retry["order"]["open"], retry["order"]["executed"], retry["order"]["fee"]) == ("1.500", "0.500", "0.00500")


def test_the_same_id_for_something_else_is_a_conflict(market: Market) -> None:
    first = place(market.ana, "sell", "2", "10.00", client_order_id="once")
    conflict = market.ana("POST", "/v1/orders", limit_order("sell", "3", "10.00", client_order_id="once"))
    assert (conflict.status, conflict.code) == (409, "ID_CONFLICT")
    assert conflict.body["original_sequence"] == first["sequence"]


def test_a_refusal_is_final_for_its_id(market: Market) -> None:
    order = limit_order("buy", "1", "10.005", client_order_id="off-tick")
    refused = market.ana("POST", "/v1/orders", order)
    assert (refused.status, refused.code, refused.body["error"]["definite"]) == (422, "TICK", True)
    again = market.ana("POST", "/v1/orders", order)
    assert (again.status, again.code, again.body["sequence"]) == (422, "TICK", refused.body["sequence"])


def test_market_orders_by_quantity_and_by_budget(market: Market) -> None:
    place(market.ana, "sell", "2", "10.00")
    by_quantity = {"market": "GLD-EUR", "side": "buy", "type": "market", "quantity": "0.5"}
    bought = expect(201, market.bo("POST", "/v1/orders", by_quantity)).body["order"]
    assert (bought["type"], bought["price"], bought["executed"], bought["status"]) == (
        "market",
        None,
        "0.500",
        "filled",
    )
    by_budget = {"market": "GLD-EUR", "side": "buy", "type": "market", "budget": "10.025", "time_in_force": "fok"}
    bought = expect(201, market.bo("POST", "/v1/orders", by_budget)).body["order"]
    assert (bought["budget"], bought["executed"], bought["fee"]) == ("10.02500", "1.000", "0.02500")
    assert (bought["quantity"], bought["close_reason"]) == ("1.000", "BUDGET_SPENT")


def test_ioc_cancels_its_rest_and_post_only_never_takes(market: Market) -> None:
    place(market.ana, "sell", "1", "10.00")
    ioc = place(market.bo, "buy", "2", "10.00", time_in_force="ioc")["order"]
    assert isinstance(ioc, dict)
    assert (ioc["status"], ioc["close_reason"], ioc["cancelled"]) == ("cancelled", "IOC", "1.000")
    place(market.ana, "sell", "1", "10.00")
    assert market.bo("POST", "/v1/orders", limit_order("buy", "1", "10.00", post_only=True)).code == "POST_ONLY"
    assert market.bo("POST", "/v1/orders", limit_order("buy", "5", "10.00", time_in_force="fok")).code == "FOK"


def test_self_trade_prevention_is_shown(market: Market) -> None:
    place(market.ana, "sell", "1", "10.00")
    order = place(market.ana, "buy", "2", "10.00", self_trade="cancel_newest")["order"]
    assert isinstance(order, dict)
    assert (order["status"], order["close_reason"], order["prevented"]) == ("cancelled", "SELF_TRADE", "2.000")


def test_a_cancel_is_answered_once_and_its_retry_with_the_same_receipt(market: Market) -> None:
    place(market.ana, "sell", "2", "10.00", client_order_id="cancel-me")
    place(market.bo, "buy", "0.5", "10.00")
    first = expect(200, market.ana("DELETE", "/v1/orders/cancel-me?request_id=cancel-1")).body
    assert first["order"] == {
        "order_id": first["order"]["order_id"],
        "market": "GLD-EUR",
        "status": "cancelled",
        "close_reason": "CANCELLED_BY_OWNER",
        "quantity": "2.000",
        "open": "0.000",
        "executed": "0.500",
        "prevented": "0.000",
        "cancelled": "1.500",
    }
    retry = expect(200, market.ana("DELETE", "/v1/orders/cancel-me?request_id=cancel-1")).body
    assert (retry["repeated"], retry["sequence"]) == (True, first["sequence"])
    assert {**retry["order"], **first["order"]} == retry["order"]
    closed = market.ana("DELETE", "/v1/orders/cancel-me?request_id=cancel-2")
    assert (closed.status, closed.code) == (409, "ORDER_CLOSED")


def test_another_accounts_order_looks_unknown(market: Market) -> None:
    order = place(market.ana, "sell", "2", "10.00", client_order_id="mine")["order"]
    assert isinstance(order, dict)
    for name in (str(order["order_id"]), "mine"):
        for method in ("GET", "DELETE"):
            answer = market.bo(method, f"/v1/orders/{name}")
            assert (answer.status, answer.code) == (404, "UNKNOWN_ORDER")
        assert market.bo("PATCH", f"/v1/orders/{name}", {"quantity": "1"}).code == "UNKNOWN_ORDER"
    assert market.ana("GET", "/v1/orders/mine").body["order"]["status"] == "open"


def test_an_amendment_that_only_reduces_keeps_its_place(market: Market) -> None:
    place(market.ana, "sell", "3", "10.00", client_order_id="amend-1")
    place(market.bo, "buy", "1", "10.00")
    kept = expect(200, market.ana("PATCH", "/v1/orders/amend-1", {"quantity": "2", "request_id": "amend-1-a"})).body
    assert (kept["kept_place"], kept["fills"], kept["repeated"]) == (True, [], False)
    assert (kept["order"]["quantity"], kept["order"]["open"], kept["order"]["executed"]) == ("2.000", "1.000", "1.000")
    retry = expect(200, market.ana("PATCH", "/v1/orders/amend-1", {"quantity": "2", "request_id": "amend-1-a"})).body
    assert (retry["repeated"], retry["sequence"], retry["order"]["open"]) == (True, kept["sequence"], "1.000")


def test_an_amendment_may_trade(market: Market) -> None:
    place(market.ana, "sell", "1", "10.10")
    place(market.bo, "buy", "3", "10.00", client_order_id="amend-2")
    traded = expect(200, market.bo("PATCH", "/v1/orders/amend-2", {"price": "10.15"})).body
    assert (traded["kept_place"], traded["fills"][0]["price"], traded["fills"][0]["quantity"]) == (
        False,
        "10.10",
        "1.000",
    )
    assert (traded["order"]["price"], traded["order"]["open"], traded["order"]["status"]) == ("10.15", "2.000", "open")
    assert market.bo("PATCH", "/v1/orders/amend-2", {"quantity": "1"}).code == "QUANTITY_BELOW_EXECUTED"


def test_an_amendment_to_the_same_values_changes_nothing(market: Market) -> None:
    place(market.ana, "sell", "3", "10.00", client_order_id="amend-3")
    same = expect(200, market.ana("PATCH", "/v1/orders/amend-3", {"price": "10.00", "quantity": "3"})).body
    assert (same["kept_place"], same["order"]["open"]) == (True, "3.000")


def test_cancel_all_counts_and_is_idempotent(market: Market) -> None:
    for price in ("10.00", "10.01", "10.02"):
        place(market.ana, "sell", "1", price)
    first = expect(200, market.ana("DELETE", "/v1/orders?market=GLD-EUR&request_id=all-1")).body
    assert (first["cancelled"], first["repeated"]) == (3, False)
    place(market.ana, "sell", "1", "10.00")
    retry = expect(200, market.ana("DELETE", "/v1/orders?market=GLD-EUR&request_id=all-1")).body
    assert (retry["sequence"], retry["repeated"]) == (first["sequence"], True)
    assert len(market.ana("GET", "/v1/orders").body["orders"]) == 1, "a retry must not cancel what came later"


def test_a_batch_is_executed_in_its_order_with_one_outcome_each(market: Market) -> None:
    items = [
        {"op": "place", **limit_order("sell", "1", "10.00", client_order_id="batch-1")},
        {"op": "place", **limit_order("sell", "1", "10.005", client_order_id="batch-2")},
        {"op": "place", **limit_order("sell", "x", "10.00", client_order_id="batch-3")},
        {"op": "amend", "client_order_id": "batch-1", "quantity": "0.9"},
        {"op": "cancel", "client_order_id": "batch-1", "request_id": "batch-4"},
        {"op": "cancel", "client_order_id": "batch-1"},
        {"op": "cancel", "order_id": 999_999},
        {"op": "dance"},
        ["place"],
        {"op": "place", **limit_order("sell", "1", "10.00") | {"market": "NO-SUCH"}},
        {"op": "cancel", "order_id": 1, "client_order_id": "both"},
    ]
    answer = expect(200, market.ana("POST", "/v1/orders/batch", {"items": items})).body
    results = answer["results"]
    told = [(one["status"], one["error"]["code"] if "error" in one else one["order"]["status"]) for one in results]
    assert told == [
        (201, "open"),
        (422, "TICK"),
        (400, "BAD_DECIMAL"),
        (200, "open"),
        (200, "cancelled"),
        (409, "ORDER_CLOSED"),
        (404, "UNKNOWN_ORDER"),
        (400, "BAD_FIELD"),
        (400, "NOT_AN_OBJECT"),
        (404, "UNKNOWN_MARKET"),
        (400, "MISSING_FIELD"),
    ]
    sequences = [one["sequence"] for one in results if one["sequence"] is not None]
    assert sequences == list(range(sequences[0], sequences[0] + 6))
    assert answer["sequence"] == sequences[-1]
    assert results[3]["kept_place"] is True


def test_a_batch_is_one_frame_to_the_leader(market: Market) -> None:
    items = [{"op": "place", **limit_order("sell", "1", "10.00")} for _ in range(500)]
    frames_before = len(market.gateway.group.frames)
    answer = expect(200, market.ana("POST", "/v1/orders/batch", {"items": items})).body
    assert {one["status"] for one in answer["results"]} == {201}
    assert [len(frame) for frame in market.gateway.group.frames[frames_before:]] == [500]


@pytest.mark.parametrize("items", [[], [{}] * 501, {}, None, "items"])
def test_a_batch_has_1_to_500_items(market: Market, items: object) -> None:
    assert market.ana("POST", "/v1/orders/batch", {"items": items}).code == "BAD_FIELD"
