"""When the connection answers a placement itself, and when the plain route does.

What both answer is compared by the other tests, which run everything through both.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator

import pytest

from tests.gateway.live_gateway import LiveGateway, Market, expect, limit_order, signature_headers


@pytest.fixture
def market() -> Iterator[Market]:
    """A gateway that knows Ana's key and the market. Nobody leads at first, so that orders stay under way."""
    with LiveGateway(hot=True) as gateway:
        made = Market(gateway)
        expect(201, made.ana("POST", "/v1/orders", limit_order("sell", "1", "20.00")))
        leader = gateway.group.leader
        gateway.on_loop(lambda: gateway.group.elect(""))
        yield made
        gateway.on_loop(lambda: gateway.group.elect(leader))


def send(
    market: Market, key: tuple[str, str] | None, *, extra: str = "", change: dict[str, str] | None = None
) -> socket.socket:
    """Send an order and do not wait for the answer."""
    assert key is not None
    body = json.dumps(limit_order("sell", "1", "10.00") | (change or {})).encode()
    headers = signature_headers(key, "POST", "/v1/orders", body)
    lines = ["POST /v1/orders HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    wire = market.gateway.socket()
    wire.sendall(("\r\n".join([*lines, f"Content-Length: {len(body)}"]) + f"\r\n{extra}\r\n").encode() + body)
    return wire


def tasks_under_way(market: Market) -> int:
    """How many tasks of the application run, once the connections have read what was sent."""
    time.sleep(0.1)
    return market.gateway.on_loop(lambda: len(market.gateway.server.server_state.tasks))


def test_a_placement_needs_no_task(market: Market) -> None:
    with send(market, market.ana.key), send(market, market.ana.key):
        assert tasks_under_way(market) == 0


def test_a_special_order_needs_no_task_either(market: Market) -> None:
    with (
        send(market, market.ana.key, change={"stop_price": "11.00"}),
        send(market, market.ana.key, change={"display": "0.5"}),
    ):
        assert tasks_under_way(market) == 0


def test_a_key_not_met_before_takes_the_plain_route(market: Market) -> None:
    with send(market, market.bo.key):
        assert tasks_under_way(market) == 1


def test_a_market_not_met_before_takes_the_plain_route(market: Market) -> None:
    with send(market, market.ana.key, change={"market": "NO-SUCH"}):
        assert tasks_under_way(market) == 1


def test_a_client_that_waits_for_100_continue_takes_the_plain_route(market: Market) -> None:
    with send(market, market.ana.key, extra="Expect: 100-continue\r\n"):
        assert tasks_under_way(market) == 1
