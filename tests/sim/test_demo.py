"""The demo traders: a bounded book around a price that does not run away."""

from __future__ import annotations

from random import Random
from typing import Any

import orjson
import pytest

from sim.client import Client, Credentials, RequestRefused
from sim.demo import LEVELS_PER_SIDE, MAKERS, TAKERS, DemoMarket, Walk


def test_the_walk_moves_and_comes_back() -> None:
    walk = Walk(Random(1), 23_700)
    prices = [walk.step() for _ in range(50_000)]
    assert max(prices) - min(prices) > 100
    assert 15_000 < min(prices) < max(prices) < 32_000


def test_the_walk_never_reaches_zero() -> None:
    walk = Walk(Random(1), 150)
    assert min(walk.step() for _ in range(10_000)) == 100


def demo_market(url: str) -> DemoMarket:
    return DemoMarket({name: Client(url, Credentials(name, "s")) for name in MAKERS + TAKERS}, Random(7))


def test_the_book_is_bounded_and_takers_trade(server: Any) -> None:
    resting: set[str] = set()
    takers_orders = []
    most_resting = 0

    def answer(request: Any) -> tuple[int, Any]:
        if request.method == "DELETE":
            resting.discard(request.path.partition("client:")[2].partition("?")[0])
            return 200, {}
        order = orjson.loads(request.body)
        if request.headers["x-tally-key"] in TAKERS:
            takers_orders.append(order)
        else:
            assert order["post_only"]
            resting.add(order["client_order_id"])
        return 201, {"order": {}, "fills": []}

    server.answer = answer
    market = demo_market(server.url)
    for _ in range(600):
        market.act()
        most_resting = max(most_resting, len(resting))
    assert most_resting == 2 * LEVELS_PER_SIDE * len(MAKERS)
    assert 50 < len(takers_orders) < 250
    assert {order["type"] for order in takers_orders} == {"limit", "market"}
    assert all(order["type"] == "market" or order["time_in_force"] == "ioc" for order in takers_orders)


def test_an_order_without_a_leader_is_repeated_under_the_same_id(server: Any) -> None:
    no_leader = {"error": {"code": "NO_LEADER", "message": "Why.", "definite": True}}
    server.script((503, no_leader), (503, no_leader), (201, {"order": {}}))
    demo_market(server.url).act()
    assert len({request.body for request in server.received}) == 1
    assert len(server.received) == 3


def test_a_key_that_is_no_longer_known_ends_the_demo(server: Any) -> None:
    server.script((401, {"error": {"code": "UNKNOWN_KEY", "message": "No such key.", "definite": True}}))
    with pytest.raises(RequestRefused, match="UNKNOWN_KEY"):
        demo_market(server.url).act()
