"""The client seen from the wire: what it signs, what it repeats, what it reports."""

from __future__ import annotations

import hashlib
import hmac
import socket
import time
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

from sim.client import (
    Client,
    ClientError,
    Credentials,
    CredentialsMissing,
    ExchangeUnreachable,
    OutcomeUnsettled,
    RequestRefused,
)

CREDENTIALS = Credentials("ana-1", "s3cret")
ORDER = {"order": {"order_id": 7}, "fills": [], "repeated": False, "sequence": 7}


def error(code: str, *, definite: bool) -> dict[str, Any]:
    return {"error": {"code": code, "message": "Why.", "definite": definite}, "sequence": None}


def test_a_request_is_signed_over_time_method_path_and_body(server: Any) -> None:
    server.answer = lambda request: (201, ORDER)
    client = Client(server.url, CREDENTIALS)
    response = client.place("BTC-USD", "buy", "1.5", price="236.88", client_order_id="c1")
    assert (response.status, response.sequence, response.ok) == (201, 7, True)
    sent = server.received[0]
    assert (sent.method, sent.path) == ("POST", "/v1/orders")
    assert orjson.loads(sent.body) == {
        "market": "BTC-USD",
        "side": "buy",
        "type": "limit",
        "quantity": "1.5",
        "price": "236.88",
        "time_in_force": "gtc",
        "post_only": False,
        "client_order_id": "c1",
    }
    assert sent.headers["x-tally-key"] == "ana-1"
    timestamp = sent.headers["x-tally-timestamp"]
    assert abs(int(timestamp) - time.time() * 1_000) < 5_000
    message = f"{timestamp}\nPOST\n/v1/orders\n".encode() + sent.body
    assert sent.headers["x-tally-signature"] == hmac.new(b"s3cret", message, hashlib.sha256).hexdigest()


def test_the_query_is_part_of_what_is_signed(server: Any) -> None:
    Client(server.url, CREDENTIALS).cancel("client:77", "d1")
    sent = server.received[0]
    assert (sent.method, sent.path) == ("DELETE", "/v1/orders/client:77?request_id=d1")
    message = f"{sent.headers['x-tally-timestamp']}\nDELETE\n{sent.path}\n".encode()
    assert sent.headers["x-tally-signature"] == hmac.new(b"s3cret", message, hashlib.sha256).hexdigest()


def test_public_reads_need_no_key(server: Any) -> None:
    server.answer = lambda request: (200, {"bids": [], "asks": [], "sequence": 3})
    assert Client(server.url).book("BTC-USD", depth=1).sequence == 3
    assert server.received[0].path == "/v1/markets/BTC-USD/book?depth=1"
    assert "x-tally-key" not in server.received[0].headers


def test_requests_share_one_connection(server: Any) -> None:
    client = Client(server.url, CREDENTIALS)
    for _ in range(3):
        client.balances()
    assert len({request.connection for request in server.received}) == 1


def test_a_market_order_has_no_price_and_no_time_in_force(server: Any) -> None:
    Client(server.url, CREDENTIALS).place("BTC-USD", "buy", budget="100", client_order_id="c1")
    assert orjson.loads(server.received[0].body) == {
        "market": "BTC-USD",
        "side": "buy",
        "type": "market",
        "budget": "100",
        "client_order_id": "c1",
    }


def test_an_amendment_names_only_what_changes(server: Any) -> None:
    Client(server.url, CREDENTIALS).amend("7", "a1", quantity="2")
    assert (server.received[0].method, server.received[0].path) == ("PATCH", "/v1/orders/7")
    assert orjson.loads(server.received[0].body) == {"quantity": "2", "request_id": "a1"}


@pytest.mark.parametrize(
    "first_answer",
    [
        None,
        (503, error("NO_LEADER", definite=True)),
        (504, error("OUTCOME_UNKNOWN", definite=False)),
        (500, error("INTERNAL", definite=False)),
        (401, error("REQUEST_EXPIRED", definite=True)),
    ],
)
def test_settle_repeats_the_same_body_until_the_outcome_is_definite(server: Any, first_answer: Any) -> None:
    server.script(first_answer, (200, ORDER))
    client = Client(server.url, CREDENTIALS)
    response = client.settle(partial(client.place, "BTC-USD", "buy", "1", price="1", client_order_id="c1"))
    assert response.status == 200
    first, second = server.received
    assert first.body == second.body


@pytest.mark.parametrize("answer", [(422, error("NO_FUNDS", definite=True)), (500, error("INTERNAL", definite=True))])
def test_settle_takes_a_definite_no_for_an_answer(server: Any, answer: Any) -> None:
    server.script(answer)
    client = Client(server.url, CREDENTIALS)
    assert client.settle(client.balances).status == answer[0]


def test_settle_repeats_a_batch_of_which_one_outcome_is_unknown(server: Any) -> None:
    placed, unknown = {"status": 201, **ORDER}, {"status": 504, **error("OUTCOME_UNKNOWN", definite=False)}
    server.script((200, {"results": [placed, unknown]}), (200, {"results": [placed, placed]}))
    client = Client(server.url, CREDENTIALS)
    response = client.settle(partial(client.batch, [{"op": "place"}, {"op": "place"}]))
    assert [result["status"] for result in response.body["results"]] == [201, 201]
    assert len(server.received) == 2


def test_settle_gives_up_after_its_limit_and_says_what_came_last(server: Any) -> None:
    server.answer = lambda request: (503, error("NO_LEADER", definite=True))
    client = Client(server.url, CREDENTIALS)
    with pytest.raises(OutcomeUnsettled, match=r"within 0.1 s: the last answer was 503 NO_LEADER"):
        client.settle(client.balances, limit_s=0.1)


def test_no_answer_is_unreachable_not_a_refusal() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        client = Client(f"http://127.0.0.1:{unused.getsockname()[1]}", CREDENTIALS)
        with pytest.raises(ExchangeUnreachable, match="does not answer"):
            client.balances()


@pytest.mark.parametrize("url", ["", "127.0.0.1:8080", "ftp://host", "http://", "http://host/v1", "http://host:99999"])
def test_an_address_that_is_none_is_refused_with_a_sentence(url: str) -> None:
    with pytest.raises(ClientError, match="is not an address like"):
        Client(url)


def test_a_refusal_says_the_exchanges_words(server: Any) -> None:
    server.answer = lambda request: (403, error("NOT_ALLOWED", definite=True))
    with pytest.raises(RequestRefused, match="403 NOT_ALLOWED: Why"):
        Client(server.url, CREDENTIALS).create_asset("BTC", 8).expect()


def test_an_answer_that_is_not_json_is_still_a_response(server: Any) -> None:
    server.answer = lambda request: (502, b"<html>")
    response = Client(server.url).market("BTC-USD")
    assert (response.status, response.body, response.definite) == (502, {}, False)


def test_the_environment_wins_over_the_key_file(tmp_path: Path) -> None:
    (tmp_path / "operator.key").write_text('{"key_id": "op", "secret": "a"}')
    assert Credentials.load(tmp_path, {}) == Credentials("op", "a")
    assert Credentials.load(tmp_path, {"TALLY_KEY": "ana:b:c"}) == Credentials("ana", "b:c")


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"key_id": "op"}', "7"])
def test_a_missing_or_broken_key_file_is_named(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "operator.key").write_text(content)
    with pytest.raises(CredentialsMissing, match=r"operator\.key"):
        Credentials.load(tmp_path, {})


@pytest.mark.parametrize("text", ["ana", "ana:", ":secret"])
def test_a_broken_variable_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(CredentialsMissing, match="TALLY_KEY must look like"):
        Credentials.load(tmp_path, {"TALLY_KEY": text})
