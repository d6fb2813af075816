"""What the answer to a request says of an order, worked out from events, is what the exchange says when it is asked."""

from __future__ import annotations

import random
from typing import Any

import pytest

from engine.invariants import assert_sound
from tests.gateway.live_gateway import Market, expect

REQUESTS = 400
ONLY_REPORTED = ("held", "accepted_at")


def random_order(chance: random.Random) -> dict[str, Any]:
    """An order near 10.00, so that many trade, and stops are elected; not all are well-formed."""
    price = f"{chance.randrange(950, 1050) / 100:.2f}"
    order: dict[str, Any] = {"market": "GLD-EUR", "side": chance.choice(["buy", "sell"])}
    order["quantity"] = str(chance.randrange(1, 20))
    if chance.random() < 0.25:
        order["type"] = "market"
        if order["side"] == "buy" and chance.random() < 0.5:
            order["budget"] = str(10 * int(order.pop("quantity")))
    else:
        order["price"] = price
        order["time_in_force"] = chance.choice(["gtc", "gtc", "gtc", "ioc", "fok", "day"])
        if order["time_in_force"] == "gtc" and chance.random() < 0.3:
            order["display"] = str(chance.randrange(1, 4))
        order["post_only"] = chance.random() < 0.1
    if chance.random() < 0.3 and "display" not in order:
        order |= chance.choice([{"stop_price": price}, {"trail": "0.10"}, {"trail_percent": "1.5"}])
    order["self_trade"] = chance.choice(["cancel_newest", "cancel_oldest", "cancel_both", "decrement"])
    return order


def random_pair(chance: random.Random) -> dict[str, Any]:
    side = chance.choice(["buy", "sell"])
    above, below = f"{chance.randrange(1000, 1030) / 100:.2f}", f"{chance.randrange(970, 1000) / 100:.2f}"
    price, stop_price = (above, below) if side == "sell" else (below, above)
    return {"market": "GLD-EUR", "side": side, "quantity": "3", "price": price, "stop_price": stop_price}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_an_answer_agrees_with_what_is_reported(exchange: Market, seed: int) -> None:
    chance = random.Random(seed)
    exchange.trade_at("10.00")
    told = 0
    for _ in range(REQUESTS):
        client = chance.choice([exchange.ana, exchange.bo])
        if chance.random() < 0.1:
            answer = client("POST", "/v1/orders/oco", random_pair(chance))
            orders = answer.body.get("orders", [])
        else:
            answer = client("POST", "/v1/orders", random_order(chance))
            orders = [answer.body["order"]] if "order" in answer.body else []
        assert answer.status in (201, 400, 422), answer
        for order in orders:
            told += 1
            reported = expect(200, client("GET", f"/v1/orders/{order['order_id']}")).body["order"]
            assert order == {name: value for name, value in reported.items() if name not in ONLY_REPORTED}
        if orders:
            fills = answer.body["fills"]
            assert sum(int(fill["quantity"].replace(".", "")) for fill in fills) == sum(
                int(order["executed"].replace(".", "")) for order in orders
            )
        if chance.random() < 0.2:
            amend_one(chance, client)
    assert told > REQUESTS // 2, "too many orders were refused for this to check anything"
    exchange.gateway.on_loop(lambda: assert_sound(exchange.gateway.group.machine))
    for client in (exchange.ana, exchange.bo):
        expect(200, client("DELETE", "/v1/orders"))


def amend_one(chance: random.Random, client: Any) -> None:
    """Amend one of the client's orders and compare what both answers name."""
    orders = client("GET", "/v1/orders").body["orders"]
    if not orders:
        return
    before = chance.choice(orders)
    change = {"price": f"{chance.randrange(950, 1050) / 100:.2f}"} if chance.random() < 0.5 else {"quantity": "8"}
    answer = client("PATCH", f"/v1/orders/{before['order_id']}", change)
    if answer.status != 200:
        return
    order = answer.body["order"]
    reported = expect(200, client("GET", f"/v1/orders/{before['order_id']}")).body["order"]
    # What was prevented before the amendment, and what an event of it does not tell.
    if before["prevented"] == "0.000":
        assert order == {name: reported[name] for name in order}
