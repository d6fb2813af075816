"""The query server: whom it answers, whom it believes, and what it does with files."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.history_routes import ACCOUNT_HEADER, AS_OF_HEADER, OPERATOR_HEADER
from projections.query import desk
from replication.identity import OPERATOR, Identity
from replication.tls import LinkCredentials
from tests.projections.query.history import History
from tests.projections.query.live_query import LiveQuery
from tests.projections.query.test_pages import deposit
from tests.replication.link_certificates import credentials, gateway, node, operator, reader

ANA = {ACCOUNT_HEADER.decode(): "trader-1"}
BOSS = {OPERATOR_HEADER.decode(): "exchange"}


@pytest.fixture(scope="module")
def server(history: History) -> Iterator[LiveQuery]:
    with LiveQuery(history.url) as server:
        yield server


def get(
    connection: http.client.HTTPSConnection, path: str, headers: dict[str, str] | None = None
) -> tuple[int, Any, dict[str, str]]:
    connection.request("GET", path, headers=headers or {})
    response = connection.getresponse()
    content = response.read()
    is_json = response.headers["content-type"] == "application/json"
    return (
        response.status,
        json.loads(content) if is_json else content,
        {k.lower(): v for k, v in response.getheaders()},
    )


@pytest.mark.parametrize("who", [gateway(), operator()], ids=["gateway", "operator"])
def test_gateways_and_operators_of_the_cluster_are_answered(server: LiveQuery, who: LinkCredentials) -> None:
    status, body, headers = get(server.connect(who), "/v1/history/tickers?group=main")
    assert (status, len(body["tickers"])) == (200, 3)
    assert headers[AS_OF_HEADER.decode()] == f"main={body['as_of_sequence']}"


@pytest.mark.parametrize(
    "who",
    [
        reader("reader-2"),
        node("node-1"),
        gateway(signed_by="somebody else"),
        credentials(Identity(bytes(16), OPERATOR, "operator-1")),
    ],
    ids=["reader", "node", "foreign authority", "another cluster"],
)
def test_nobody_else_is_answered(server: LiveQuery, who: LinkCredentials) -> None:
    with pytest.raises((OSError, http.client.HTTPException)):
        get(server.connect(who), "/v1/history/tickers")


def test_without_a_certificate_or_tls_nobody_is_answered(server: LiveQuery) -> None:
    anonymous = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anonymous.check_hostname = False
    anonymous.verify_mode = ssl.CERT_NONE
    with pytest.raises((OSError, http.client.HTTPException)):
        get(http.client.HTTPSConnection(*server.address, context=anonymous, timeout=5), "/v1/history/tickers")
    older = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    older.check_hostname, older.verify_mode = False, ssl.CERT_NONE
    older.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        get(http.client.HTTPSConnection(*server.address, context=older, timeout=5), "/v1/history/tickers")
    with socket.create_connection(server.address, timeout=5) as plain:
        plain.sendall(b"GET /v1/history/tickers HTTP/1.1\r\nhost: query\r\n\r\n")
        assert b"HTTP/1.1" not in plain.recv(1_000)


def test_an_account_sees_its_own_rows_only(server: LiveQuery) -> None:
    connection = server.connect()
    for name in ("orders", "fills", "transfers", "statement", "balances"):
        status, body, _ = get(connection, f"/v1/history/{name}", ANA)
        assert (status, body["account"]) == (200, "trader-1")
        rows = body["lines" if name == "statement" else name]
        assert rows
        assert all("trader-1" in (row["account"], row.get("to_account")) for row in rows)
        status, body, _ = get(connection, f"/v1/history/{name}?account=trader-2", ANA)
        assert (status, body["error"]["code"]) == (400, "BAD_QUERY")
        for headers in ({}, ANA):
            status, body, _ = get(connection, f"/v1/admin/history/{name}?account=trader-2", headers)
            assert (status, body["error"]["code"]) == (403, "NOT_ALLOWED")
        status, body, _ = get(connection, f"/v1/history/{name}")
        assert (status, body["error"]["code"]) == (403, "NOT_ALLOWED")


def test_an_operator_sees_everybodys_orders(server: LiveQuery) -> None:
    connection = server.connect()
    _, body, _ = get(connection, "/v1/admin/history/orders?limit=1000", BOSS)
    assert len({row["account"] for row in body["orders"]}) == 5
    _, body, _ = get(connection, "/v1/admin/history/orders?account=trader-2", BOSS)
    assert {row["account"] for row in body["orders"]} == {"trader-2"}


def test_what_is_not_there_is_said_in_json(server: LiveQuery) -> None:
    connection = server.connect()
    assert get(connection, "/v1/history/nothing")[:2] == (
        404,
        {
            "error": {"code": "NO_SUCH_ROUTE", "message": "There is no such route.", "definite": True},
            "sequence": None,
        },
    )
    connection.request("POST", "/v1/history/orders", b"{}")
    assert connection.getresponse().status == 405


def test_a_question_waits_for_its_sequence(growing: History) -> None:
    with LiveQuery(growing.url) as server:
        sequence = growing.exchanges["main"].machine.sequence + 1
        path = f"/v1/history/transfers?min_sequence={sequence}"
        status, body, _ = get(server.connect(), f"{path}&wait_ms=0", ANA)
        assert (status, body["error"]["code"], body["sequence"]) == (503, "TOO_OLD", sequence - 1)
        later = threading.Timer(0.1, deposit, (growing, 1))
        later.start()
        status, body, _ = get(server.connect(), f"{path}&wait_ms=2000", ANA)
        later.join()
        assert (status, body["as_of_sequence"], body["transfers"][0]["transfer_id"]) == (200, sequence, sequence)


def test_a_database_that_is_not_there_yet_is_unavailable_until_it_is(growing: History) -> None:
    there = growing.url.database or ""
    absent = growing.url.set(database=f"{there}.later")
    with LiveQuery(absent) as server:
        connection = server.connect()
        status, body, _ = get(connection, "/v1/history/tickers")
        assert (status, body["error"]["code"]) == (503, "QUERY_UNAVAILABLE")
        assert "tally projector" in body["error"]["message"]
        later = History(absent)
        later.grow("main", seed=4, count=20)
        assert get(connection, "/v1/history/tickers")[0] == 200
        connection.close()


@pytest.mark.parametrize(
    ("how", "headers", "content_type"),
    [
        ("?format=csv", {}, "text/csv; charset=utf-8"),
        ("", {"Accept": "text/csv"}, "text/csv; charset=utf-8"),
        ("", {"Accept": "text/html, application/x-ndjson;q=0.9"}, "application/jsonl"),
        ("", {"Accept": "*/*"}, "application/json"),
        ("?format=parquet", {"Accept": "text/csv"}, "application/vnd.apache.parquet"),
    ],
)
def test_format_or_accept_choose_the_form(
    server: LiveQuery, how: str, headers: dict[str, str], content_type: str
) -> None:
    status, _, answered = get(server.connect(), f"/v1/history/orders{how}", ANA | headers)
    assert (status, answered["content-type"]) == (200, content_type)
    if content_type != "application/json":
        assert answered["content-disposition"].startswith('attachment; filename="orders.')


def test_a_file_takes_no_page(server: LiveQuery) -> None:
    status, body, _ = get(server.connect(), "/v1/history/orders?format=csv&limit=5", ANA)
    assert (status, body["error"]["code"]) == (400, "BAD_QUERY")


def test_a_file_whose_reader_is_gone_is_given_up(
    server: LiveQuery, monkeypatch: pytest.MonkeyPatch, history: History
) -> None:
    """Otherwise a few of them would keep everybody else from theirs."""
    monkeypatch.setattr("projections.query.answers.EXPORT_PAGE_ROWS", 1)
    for _ in range(2 * desk.FILES_MAX):
        connection = server.connect()
        connection.request("GET", "/v1/admin/history/orders?format=jsonl", headers=BOSS)
        assert connection.getresponse().read(10)
        connection.close()
    until_s = time.monotonic() + 10
    while get(server.connect(), "/v1/history/orders?format=csv", ANA)[0] != 200:
        assert time.monotonic() < until_s
        time.sleep(0.02)
    metrics = get(server.connect(), "/metrics")[1].decode()
    assert 'tally_query_answers_total{form="csv",question="orders",status="200"}' in metrics
    assert f'tally_query_sequence{{group="main"}} {history.exchanges["main"].machine.sequence}.0' in metrics
