"""Health, readiness, metrics, the page, and the first operator."""

from __future__ import annotations

import re

import pytest

from gateway.serve import GatewayOptions, build_server
from tests.gateway.live_gateway import MASTER_KEY, OPERATOR, LiveGateway, Market, expect, limit_order
from tests.gateway.one_replica import OneReplicaGroup
from tests.replication.link_certificates import CLUSTER_ID
from tests.replication.link_certificates import gateway as gateway_credentials


def test_the_first_operator_is_put_into_the_log_before_the_gateway_is_ready() -> None:
    with LiveGateway() as gateway:
        me = expect(200, gateway.operator()("GET", "/v1/accounts/me")).body
        assert (me["account"], me["account_id"], me["role"]) == ("exchange", 0, "operator")


def test_a_second_gateway_finds_the_operator_in_the_log() -> None:
    with LiveGateway() as first:
        first.wait_until_ready()
        group = OneReplicaGroup()
        group.machine = first.group.machine
        with LiveGateway(group=group) as second:
            expect(200, second.operator()("GET", "/v1/accounts/me"))
            assert second.group.frames == [], "nothing is to be created twice"


def test_an_operator_key_of_another_exchange_keeps_the_gateway_from_being_ready() -> None:
    with LiveGateway() as first:
        operator = first.operator()
        group = OneReplicaGroup()
        group.machine = first.group.machine
        expect(201, operator("POST", "/v1/admin/accounts/exchange/keys", {"key_id": "other"}))
        with LiveGateway(group=group, operator=("other", "not that secret")) as second:
            answer = second.client(None)("GET", "/readyz")
            while "starting" in answer.body["reason"] or "answer" in answer.body["reason"]:
                answer = second.client(None)("GET", "/readyz")
            assert answer.status == 503
            assert "another secret" in answer.body["reason"]


def test_a_gateway_without_an_operator_key_is_ready_too() -> None:
    with LiveGateway(operator=None) as gateway:
        gateway.wait_until_ready()
        assert gateway.group.frames == []


def test_a_gateway_on_an_empty_exchange_lists_no_markets() -> None:
    with LiveGateway() as gateway:
        gateway.wait_until_ready()
        answer = expect(200, gateway.client(None)("GET", "/v1/markets"))
        assert answer.body["markets"] == []


def test_a_market_that_another_gateway_listed_is_found(market: Market) -> None:
    group = OneReplicaGroup()
    with LiveGateway(group=group) as second:
        second.wait_until_ready()
        group.machine = market.gateway.group.machine
        assert second.client(None)("GET", "/v1/markets/GLD-EUR").body["market"] == "GLD-EUR"


def test_health_says_that_the_process_lives(market: Market) -> None:
    assert market.gateway.client(None)("GET", "/healthz").body == {"status": "ok"}
    assert market.gateway.client(None)("GET", "/readyz").body == {"status": "ready"}


def test_metrics_count_requests_by_route_and_status(market: Market) -> None:
    public = market.gateway.client(None)

    def metric(name: str) -> float:
        text = public("GET", "/metrics").body.decode()
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    placed = 'tally_http_requests_total{route="POST /v1/orders",status="201"}'
    refused = 'tally_http_requests_total{route="POST /v1/orders",status="422"}'
    before = [metric(placed), metric(refused), metric('tally_commands_submitted_total{group="main"}')]
    expect(201, market.ana("POST", "/v1/orders", limit_order("sell", "1", "10.00")))
    expect(422, market.ana("POST", "/v1/orders", limit_order("sell", "1", "10.001")))
    after = [metric(placed), metric(refused), metric('tally_commands_submitted_total{group="main"}')]
    assert [late - early for late, early in zip(after, before, strict=True)] == [1, 1, 2]
    assert metric('tally_replica_link_up{group="main",node="node-1"}') == 1
    assert metric('tally_sequence{group="main"}') == market.gateway.group.machine.sequence
    expect(200, market.ana("DELETE", "/v1/orders"))


def test_metrics_say_how_each_replica_is(market: Market) -> None:
    text = market.gateway.client(None)("GET", "/metrics").body.decode()
    assert re.findall(r"^tally_replica_archive_missing_commands(.*)$", text, re.MULTILINE) == [
        '{group="main",node="node-1"} 7.0',
        '{group="main",node="node-2"} 0.0',
    ]
    assert re.findall(r"^tally_replica_archive_damaged_files(.*)$", text, re.MULTILINE) == [
        '{group="main",node="node-1"} 1.0',
        '{group="main",node="node-2"} 0.0',
    ]
    assert re.findall(r"^tally_replica_fsyncs(.*)$", text, re.MULTILINE) == [
        '{group="main",node="node-1"} 0.0',
        '{group="main",node="node-2"} 1.0',
    ]
    assert re.findall(r"^tally_replica_engine_compiled(.*)$", text, re.MULTILINE) == [
        '{group="main",node="node-1"} 1.0',
        '{group="main",node="node-2"} 0.0',
    ]


def test_metrics_say_which_rules_are_in_force_and_which_each_replica_knows(market: Market) -> None:
    text = market.gateway.client(None)("GET", "/metrics").body.decode()
    rules = market.gateway.group.machine.rules
    for metric, value in (("rules_version", rules.version), ("newest_rules_version", rules.newest_known)):
        assert re.findall(rf"^tally_replica_{metric}(.*)$", text, re.MULTILINE) == [
            f'{{group="main",node="node-1"}} {value}.0',
            f'{{group="main",node="node-2"}} {value}.0',
        ]


def test_the_page_needs_nothing_from_elsewhere(market: Market) -> None:
    public = market.gateway.client(None)
    index = expect(200, public("GET", "/"))
    assert index.headers["content-type"].startswith("text/html")
    policy = index.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    html = index.body.decode()
    assert "http://" not in html
    assert "https://" not in html
    assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=", html), "the policy forbids inline code"
    for path in re.findall(r'(?:src|href)="([^"]+)"', html):
        assert path.startswith("/static/")
        expect(200, public("GET", path))


def test_every_answer_has_the_newest_sequence(market: Market) -> None:
    for path in ("/", "/healthz", "/v1/markets", "/v1/nothing", "/metrics"):
        answer = market.gateway.client(None)("GET", path)
        assert int(answer.headers["x-tally-sequence"]) == market.gateway.group.machine.sequence


def test_head_is_get_without_a_body(market: Market) -> None:
    answer = market.gateway.client(None)("HEAD", "/healthz")
    assert (answer.status, answer.body) == (200, b"")


def test_options_are_checked_before_anything_starts() -> None:
    with pytest.raises(ValueError, match="master key"):
        build_server(
            GatewayOptions(
                host="127.0.0.1",
                port=0,
                doors={"node-1": ("127.0.0.1", 1)},
                group_id=CLUSTER_ID,
                credentials=gateway_credentials(),
                master_key=MASTER_KEY[:16],
                bootstrap_operator=OPERATOR,
            )
        )
