"""The history through the gateway: signed like everything else, passed through, and clear words if it is not there."""

from __future__ import annotations

import csv
import http.client
import io
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from projections.database import sqlite_url
from projections.query import files
from replication.tls import LinkCredentials
from tests.gateway.live_gateway import LiveGateway, Market, expect, limit_order
from tests.projections.query.history import History
from tests.projections.query.live_query import LiveQuery
from tests.replication.link_certificates import node, reader


class Exchange:
    """A market behind a gateway, and the history of it, as far as :meth:`project` was called."""

    def __init__(self, market: Market, history: History) -> None:
        self.market = market
        self.history = history
        self._projected = 0

    def project(self) -> None:
        entries = self.market.gateway.group.entries
        self.history.write("main", entries[self._projected :])
        self._projected = len(entries)


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    history = History(sqlite_url(tmp_path_factory.mktemp("history") / "history.db"))
    with LiveQuery(history.url) as server, LiveGateway(query_server=server.address) as gateway:
        market = Market(gateway)
        expect(201, market.bo("POST", "/v1/orders", limit_order("sell", "2", "10.00", client_order_id="b-1")))
        expect(201, market.ana("POST", "/v1/orders", limit_order("buy", "1", "10.00", client_order_id="a-1")))
        exchange = Exchange(market, history)
        exchange.project()
        yield exchange
    history.database.close()


def test_an_account_asks_for_its_own_history(exchange: Exchange) -> None:
    body = expect(200, exchange.market.ana("GET", "/v1/history/orders?market=GLD-EUR")).body
    (order,) = body["orders"]
    assert (order["client_order_id"], order["account"], order["status"]) == ("a-1", "Ana", "filled")
    live = expect(200, exchange.market.ana("GET", "/v1/orders/a-1")).body
    assert {name: order[name] for name in live["order"]} == live["order"]
    assert body["as_of_sequence"] == live["sequence"]
    (fill,) = expect(200, exchange.market.bo("GET", "/v1/history/fills")).body["fills"]
    assert (fill["liquidity"], fill["side"], fill["notional"], fill["fee"]) == ("maker", "sell", "10.00000", "0.01000")


def test_it_is_signed_like_everything_else(exchange: Exchange) -> None:
    market = exchange.market
    assert market.public("GET", "/v1/history/orders").code == "MISSING_SIGNATURE"
    assert market.ana("GET", "/v1/admin/history/orders").code == "NOT_ALLOWED"
    assert market.ana("GET", "/v1/history/orders?account=Bo").code == "BAD_QUERY"
    assert expect(200, market.public("GET", "/v1/history/trades?market=GLD-EUR")).body["trades"]
    body = expect(200, market.operator("GET", "/v1/admin/history/orders?account=Bo")).body
    assert [order["client_order_id"] for order in body["orders"]] == ["b-1"]


def test_nobody_can_say_who_they_are_by_a_header_of_their_own(exchange: Exchange) -> None:
    market = exchange.market
    client = market.gateway.client(None)
    for name in ("X-Tally-Account", "X-Tally-Operator"):
        client.connection.request("GET", "/v1/history/orders", headers={name: "Ana"})
        response = client.connection.getresponse()
        assert (response.status, json.loads(response.read())["error"]["code"]) == (401, "MISSING_SIGNATURE")


def test_a_read_may_wait_for_what_its_sender_has_done(exchange: Exchange) -> None:
    market = exchange.market
    placed = expect(201, market.ana("POST", "/v1/orders", limit_order("buy", "1", "9.00", client_order_id="a-2"))).body
    path = f"/v1/history/orders?client_order_id=a-2&min_sequence={placed['sequence']}"
    late = market.ana("GET", f"{path}&wait_ms=0")
    assert (late.status, late.code) == (503, "TOO_OLD")
    later = threading.Timer(0.1, exchange.project)
    later.start()
    (order,) = expect(200, market.ana("GET", f"{path}&wait_ms=2000")).body["orders"]
    later.join()
    assert order["status"] == "open"


def test_a_file_is_passed_through_in_pieces(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("projections.query.answers.EXPORT_PAGE_ROWS", 1)
    response = exchange.market.operator("GET", "/v1/admin/history/orders?format=csv&sort=oldest")
    assert response.headers["transfer-encoding"] == "chunked"
    assert response.headers["content-disposition"] == 'attachment; filename="orders.csv"'
    assert response.headers["x-tally-as-of"].startswith("main=")
    rows = list(csv.DictReader(io.StringIO(response.body.decode())))
    assert [row["client_order_id"] for row in rows][:2] == ["b-1", "a-1"]


def test_a_file_that_breaks_off_is_no_file(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads it must not take the part for the whole."""

    def half(*_: Any) -> Iterator[bytes]:
        yield b"half of it"
        raise RuntimeError("the rest is not there")

    monkeypatch.setattr(files, "FORMATS", {"csv": ("text/csv", half)})
    client = exchange.market.gateway.client(None)
    client.connection.request("GET", "/v1/history/trades?market=GLD-EUR&format=csv")
    response = client.connection.getresponse()
    assert response.status == 200
    with pytest.raises(http.client.IncompleteRead):
        response.read()


def test_the_history_goes_on_while_no_replica_leads(exchange: Exchange) -> None:
    market = exchange.market
    gateway = market.gateway
    expect(200, market.ana("GET", "/v1/history/balances"))
    leader = gateway.group.leader
    gateway.on_loop(lambda: gateway.group.elect(""))
    try:
        assert expect(200, market.ana("GET", "/v1/history/balances")).body["balances"]
        assert expect(200, market.public("GET", "/v1/history/tickers")).body["tickers"]
    finally:
        gateway.on_loop(lambda: gateway.group.elect(leader))


def test_a_query_server_that_comes_back_is_asked_again(exchange: Exchange) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    with LiveGateway(query_server=("127.0.0.1", port), operator=None) as gateway:
        client = gateway.client(None)
        path = "/v1/history/tickers"
        for _ in range(2):
            down = client("GET", path)
            assert (down.status, down.code) == (503, "QUERY_UNAVAILABLE")
            with LiveQuery(exchange.history.url, port=port):
                for _ in range(2):
                    assert expect(200, client("GET", path)).body["tickers"]


def test_without_a_query_server_there_is_no_history() -> None:
    with LiveGateway(operator=None) as gateway:
        response = gateway.client(None)("GET", "/v1/history/tickers")
        assert (response.status, response.code) == (503, "QUERY_UNAVAILABLE")


@pytest.mark.parametrize("shown", [node("node-1"), reader(signed_by="somebody else")], ids=["node", "foreign"])
def test_a_server_that_is_not_the_query_server_is_told_nothing(exchange: Exchange, shown: LinkCredentials) -> None:
    with (
        LiveQuery(exchange.history.url, credentials=shown) as server,
        LiveGateway(query_server=server.address, operator=None) as gateway,
    ):
        assert gateway.client(None)("GET", "/v1/history/tickers").code == "QUERY_UNAVAILABLE"


def test_a_server_that_says_nothing_is_given_up(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.query_link.CONNECT_TIMEOUT_S", 0.2)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        LiveGateway(query_server=silent.getsockname()[:2], operator=None) as gateway,
    ):
        assert gateway.client(None)("GET", "/v1/history/tickers").code == "QUERY_UNAVAILABLE"
