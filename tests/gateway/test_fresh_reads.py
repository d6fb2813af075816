"""Reads that say how new is enough: any replica that has come so far, or an honest refusal."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from tests.gateway.live_gateway import Market, expect, limit_order


@pytest.fixture(autouse=True)
def _healed(three: Market) -> Iterator[None]:
    group = three.gateway.group
    yield
    group.cut_off.clear()
    group.lag.clear()


def answered_by(market: Market) -> dict[str, int]:
    """How many questions each replica has answered since this was asked last."""

    def take() -> dict[str, int]:
        counted = dict(market.gateway.group.answered_by)
        market.gateway.group.answered_by.clear()
        return counted

    return market.gateway.on_loop(take)


def leader(market: Market) -> str:
    return market.gateway.group.leader


READS = [
    "/v1/accounts/me",
    "/v1/accounts/me/balances",
    "/v1/orders",
    "/v1/withdrawals",
    "/v1/transfers",
    "/v1/sales",
    "/v1/assets",
    "/v1/markets",
    "/v1/markets/GLD-EUR",
    "/v1/markets/GLD-EUR/book",
    "/v1/markets/GLD-EUR/trades",
]


@pytest.mark.parametrize("path", READS)
def test_every_read_goes_to_the_leader_unless_it_says_how_new_is_enough(three: Market, path: str) -> None:
    newest = expect(200, three.ana("GET", path)).body
    answered_by(three)
    assert expect(200, three.ana("GET", path)).body == newest
    assert set(answered_by(three)) == {leader(three)}
    follower_says = expect(200, three.ana("GET", f"{path}?min_sequence={newest['sequence']}")).body
    assert follower_says == newest
    assert leader(three) not in answered_by(three)


def test_reads_are_spread_over_the_followers(three: Market) -> None:
    answered_by(three)
    for _ in range(20):
        expect(200, three.public("GET", "/v1/markets/GLD-EUR/book?min_sequence=1"))
    counted = answered_by(three)
    assert sorted(counted.values()) == [10, 10]
    text = three.public("GET", "/metrics").body.decode()
    assert all(f'tally_reads_total{{group="main",node="{node}"}}' in text for node in counted)


def test_a_client_sees_what_it_did_wherever_it_reads(three: Market) -> None:
    three.gateway.on_loop(lambda: three.gateway.group.lag.update({"node-2": 1, "node-3": 1}))
    placed = expect(201, three.ana("POST", "/v1/orders", limit_order("sell", "1", "50.00", client_order_id="own"))).body
    answered_by(three)
    order = expect(200, three.ana("GET", f"/v1/orders/own?min_sequence={placed['sequence']}&wait_ms=50")).body
    assert order["order"]["order_id"] == placed["sequence"] <= order["sequence"]
    assert set(answered_by(three)) == {leader(three)}, "nobody else has it"
    expect(200, three.ana("DELETE", "/v1/orders/own"))


def test_a_follower_behind_what_this_gateway_knows_is_not_asked_about_it(three: Market) -> None:
    """Or it would be asked for an account that it has never heard of."""
    three.gateway.on_loop(lambda: three.gateway.group.lag.update({"node-2": 1_000, "node-3": 1_000}))
    answered_by(three)
    expect(200, three.ana("GET", "/v1/accounts/me?min_sequence=0&wait_ms=0"))
    assert set(answered_by(three)) == {leader(three)}


def test_what_nobody_has_is_too_old_after_the_time_that_was_given(three: Market) -> None:
    far = three.gateway.group.machine.sequence + 1_000
    started_s = time.monotonic()
    refused = three.ana("GET", f"/v1/orders?min_sequence={far}&wait_ms=200")
    waited_s = time.monotonic() - started_s
    assert (refused.status, refused.code, refused.body["error"]["definite"]) == (503, "TOO_OLD", True)
    assert refused.body["sequence"] == three.gateway.group.machine.sequence
    assert str(far) in refused.body["error"]["message"]
    assert 0.2 <= waited_s < 2.0


def test_a_read_that_waits_is_answered_as_soon_as_somebody_is_there(three: Market) -> None:
    group = three.gateway.group

    def fall_behind_for_a_while() -> None:
        group.lag.update({"node-2": 1, "node-3": 1})
        group.elect("")
        asyncio.get_running_loop().call_later(0.1, group.lag.clear)

    three.gateway.on_loop(fall_behind_for_a_while)
    try:
        sequence = group.machine.sequence
        expect(200, three.public("GET", f"/v1/markets/GLD-EUR/book?min_sequence={sequence}&wait_ms=1500"))
    finally:
        three.gateway.on_loop(lambda: group.elect("node-1"))
        three.gateway.wait_until_ready()


def test_replicas_that_are_cut_off_are_passed_over(three: Market) -> None:
    three.gateway.group.cut_off.add("node-2")
    answered_by(three)
    for _ in range(4):
        expect(200, three.public("GET", "/v1/markets/GLD-EUR/book?min_sequence=1"))
    assert set(answered_by(three)) == {"node-3"}
    three.gateway.group.cut_off.add("node-3")
    expect(200, three.public("GET", "/v1/markets/GLD-EUR/book?min_sequence=1"))
    assert set(answered_by(three)) == {leader(three)}
    three.gateway.group.cut_off.add(leader(three))
    refused = three.public("GET", "/v1/markets/GLD-EUR/book?min_sequence=1&wait_ms=100")
    assert (refused.status, refused.code) == (503, "NO_LEADER")


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("min_sequence=-1", "min_sequence"),
        ("min_sequence=x", "min_sequence"),
        ("min_sequence=18446744073709551616", "min_sequence"),
        ("min_sequence=1&min_sequence=1", "min_sequence"),
        ("min_sequence=1&wait_ms=2001", "wait_ms"),
        ("wait_ms=10", "min_sequence"),
        ("min_sequenc=1", "min_sequenc"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/markets/GLD-EUR/book", "/v1/orders/17", "/v1/accounts/me"])
def test_what_cannot_be_read_is_refused_by_name(three: Market, path: str, query: str, word: str) -> None:
    refused = three.ana("GET", f"{path}?{query}")
    assert (refused.status, refused.code) == (400, "BAD_QUERY")
    assert word in refused.body["error"]["message"]


def test_a_command_takes_no_freshness(three: Market) -> None:
    assert three.ana("DELETE", "/v1/orders?min_sequence=1").code == "BAD_QUERY"
