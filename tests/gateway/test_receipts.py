"""Signed receipts over HTTP: for whom they are, and for nobody else."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from replication.receipts import entry_fault, statement
from replication.signing_key import is_signed
from sim.receipt_file import parse_receipt
from tests.gateway.live_gateway import Client, Market, expect, limit_order
from tests.gateway.one_replica import SIGNING_KEYS
from tests.replication.link_certificates import CLUSTER_ID


@pytest.fixture(autouse=True)
def _healed(three: Market) -> Iterator[None]:
    yield
    three.gateway.group.without_archive.clear()
    three.gateway.group.searches_left = 0
    three.gateway.group.entry_bytes_max = 1 << 20


def place(trader: Client, side: str, price: str) -> int:
    sequence = expect(201, trader("POST", "/v1/orders", limit_order(side, "1", price))).body["sequence"]
    assert isinstance(sequence, int)
    return sequence


def test_a_trader_gets_the_receipt_of_its_command_and_it_is_true(three: Market) -> None:
    sequence = place(three.ana, "sell", "70.00")
    body = expect(200, three.ana("GET", f"/v1/receipts/{sequence}")).body
    receipt = parse_receipt(json.dumps(body).encode())
    assert is_signed(SIGNING_KEYS[body["node"]].public_key, receipt.signature, statement(receipt))
    assert (body["sequence"], body["cluster_id"]) == (sequence, CLUSTER_ID.hex())
    assert body["command"]["decoded"]["type"] == "PlaceOrder"
    assert [event["type"] for event in body["outcome"]["decoded"]] == ["OrderAccepted"]
    assert body["outcome"]["whole"]
    assert entry_fault(receipt) == "", "it is alone in its entry, so it has all of it"


def test_the_other_side_of_a_trade_stays_unknown(three: Market) -> None:
    maker = place(three.ana, "sell", "60.00")
    taker = place(three.bo, "buy", "60.00")
    for trader in (three.bo, three.operator):
        body = expect(200, trader("GET", f"/v1/receipts/{taker}")).body
        trade = body["outcome"]["decoded"][1]
        assert (trade["type"], trade["maker_account_id"], trade["maker_order_id"]) == ("TradeExecuted", 0, 0)
        assert not body["outcome"]["whole"]
        assert (body["entry"]["event_bytes"] is None) == (trader is three.bo)
    assert maker.to_bytes(8, "little").hex() not in json.dumps(body["outcome"])


def test_operators_get_everything_and_all_of_the_entry(three: Market) -> None:
    newest = three.gateway.group.machine.sequence
    for sequence in range(1, newest + 1):
        body = expect(200, three.operator("GET", f"/v1/receipts/{sequence}")).body
        assert entry_fault(parse_receipt(json.dumps(body).encode())) == ""


def test_whoever_may_not_see_it_learns_nothing(three: Market) -> None:
    sequence = place(three.ana, "sell", "71.00")
    newest = three.gateway.group.machine.sequence
    theirs = three.bo("GET", f"/v1/receipts/{sequence}")
    for unknown in (newest + 100, 0, 1 << 63, 1 << 64, 10**30, "x", "-1", "1.0", "07"):
        answer = three.bo("GET", f"/v1/receipts/{unknown}")
        assert (answer.status, answer.code, answer.body) == (404, "UNKNOWN_SEQUENCE", theirs.body)
    assert theirs.status == 404
    assert three.public("GET", f"/v1/receipts/{sequence}").code == "MISSING_SIGNATURE"
    assert three.operator("GET", f"/v1/receipts/{newest + 100}").code == "UNKNOWN_SEQUENCE"


def test_a_refusal_has_a_receipt_too(three: Market) -> None:
    refused = three.ana("POST", "/v1/orders", limit_order("sell", "1", "70.005"))
    body = expect(200, three.ana("GET", f"/v1/receipts/{refused.body['sequence']}")).body
    assert [event["type"] for event in body["outcome"]["decoded"]] == ["CommandRejected"]


def test_what_one_replica_does_not_have_another_one_signs(three: Market) -> None:
    sequence = place(three.ana, "sell", "72.00")
    group = three.gateway.group
    group.without_archive.update(("node-1", "node-3"))
    assert expect(200, three.ana("GET", f"/v1/receipts/{sequence}")).body["node"] == "node-2"
    group.without_archive.add("node-2")
    for trader in (three.ana, three.bo):
        missing = trader("GET", f"/v1/receipts/{sequence}")
        assert (missing.status, missing.code) == (503, "NOT_ARCHIVED")


def test_a_replica_that_searches_is_asked_again(three: Market) -> None:
    sequence = place(three.ana, "sell", "73.00")
    three.gateway.group.searches_left = 70
    expect(200, three.ana("GET", f"/v1/receipts/{sequence}"))
    three.gateway.group.searches_left = 1_000_000
    assert three.ana("GET", f"/v1/receipts/{sequence}").code == "NOT_ARCHIVED"


def test_any_replica_may_sign_that_has_come_far_enough(three: Market) -> None:
    sequence = place(three.ana, "sell", "74.00")
    signed_by = {
        expect(200, three.ana("GET", f"/v1/receipts/{sequence}?min_sequence={sequence}")).body["node"] for _ in range(4)
    }
    assert signed_by == {"node-2", "node-3"}


def test_an_entry_that_is_too_large_has_no_receipts(three: Market) -> None:
    sequence = place(three.ana, "sell", "75.00")
    three.gateway.group.entry_bytes_max = 10
    refused = three.ana("GET", f"/v1/receipts/{sequence}")
    assert (refused.status, refused.code) == (422, "RECEIPT_TOO_LARGE")


def test_everybody_may_know_the_keys(three: Market) -> None:
    body = expect(200, three.public("GET", "/v1/nodes")).body
    assert body["cluster_id"] == CLUSTER_ID.hex()
    assert {one["node"]: one["public_key"] for one in body["nodes"]} == {
        node: key.public_key.hex() for node, key in SIGNING_KEYS.items()
    }
    assert all(one["reachable"] for one in body["nodes"])
    assert three.public("GET", "/v1/nodes?min_sequence=1").code == "BAD_QUERY"


def test_the_decoded_part_shows_bytes_that_are_no_text_in_hexadecimal(three: Market) -> None:
    """The sealed secret of the first operator's key."""
    command = expect(200, three.operator("GET", "/v1/receipts/1")).body["command"]["decoded"]
    assert command["type"] == "CreateApiKey"
    assert command["key_id"] == "operator-1"
    assert command["sealed_secret"].startswith("0x01")
