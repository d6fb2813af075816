"""Reads and receipts on the whole exchange as real processes, while one of them stands still or dies."""

import io
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from sim.client import Client
from sim.local_exchange import LocalExchange
from sim.receipt_audit import main as verify_receipt
from tests.sim.opened_market import open_market

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalExchange]:
    with LocalExchange(tmp_path_factory.mktemp("cluster") / "exchange") as started:
        yield started


@pytest.fixture(scope="module")
def ana(exchange: LocalExchange) -> Client:
    return exchange.client(*open_market(exchange))


def reads_by_node(exchange: LocalExchange) -> dict[str, float]:
    with urlopen(f"{exchange.url}/metrics", timeout=10) as answer:
        lines = [line for line in answer.read().decode().splitlines() if line.startswith("tally_reads_total{")]
    return {line.split('node="')[1].split('"')[0]: float(line.split()[1]) for line in lines}


def get(client: Client, path: str) -> dict[str, Any]:
    """The first answer that is not "try again": on a busy machine the replicas may lose touch for a moment."""
    deadline_s = time.monotonic() + 20
    while (response := client.request("GET", path)).status == 503 and time.monotonic() < deadline_s:
        time.sleep(0.05)
    body: dict[str, Any] = response.expect().body
    return body


def place(ana: Client, name: str) -> int:
    sequence = ana.place("GLD-EUR", "buy", quantity="0.1", price="1.00", client_order_id=name).expect().sequence
    assert sequence is not None
    return sequence


def test_followers_answer_what_their_client_has_just_done(exchange: LocalExchange, ana: Client) -> None:
    leader = exchange.leader()
    before = reads_by_node(exchange)
    for number in range(40):
        sequence = place(ana, f"f{number}")
        order = get(ana, f"/v1/orders/f{number}?min_sequence={sequence}")
        assert order["order"]["order_id"] == sequence <= order["sequence"]
    answered = {node: count - before[node] for node, count in reads_by_node(exchange).items()}
    by_followers = [count for node, count in answered.items() if node != leader]
    assert min(by_followers) > 0
    assert sum(by_followers) > answered[leader]


def test_a_process_that_stands_still_makes_no_read_old(exchange: LocalExchange, ana: Client) -> None:
    """First a follower, then the leader: the gateway finds another, and what was done meanwhile is seen."""
    leader = exchange.leader()
    follower = next(str(replica["node"]) for replica in exchange.replicas() if replica["node"] != leader)
    for name, node in (("s1", follower), ("s2", leader)):
        stopped = exchange.pid(node)
        os.kill(stopped, signal.SIGSTOP)
        try:
            sequence = place(ana, name)
            for query in ("", f"?min_sequence={sequence}"):
                assert get(ana, f"/v1/orders/{name}{query}")["order"]["order_id"] == sequence
        finally:
            os.kill(stopped, signal.SIGCONT)
        for _ in range(20):
            assert get(ana, f"/v1/orders/{name}")["order"]["order_id"] == sequence
    exchange.agreed_replicas()


def test_a_receipt_is_confirmed_by_the_archives_and_by_the_key_of_a_replica_that_was_killed(
    exchange: LocalExchange, ana: Client, tmp_path: Path
) -> None:
    receipt, nodes = tmp_path / "receipt.json", tmp_path / "nodes.json"
    nodes.write_text(json.dumps(get(ana, "/v1/nodes"), indent=2))
    sequence = place(ana, "r1")
    exchange.agreed_replicas()
    for reader in (ana, exchange.operator()):
        receipt.write_text(json.dumps(get(reader, f"/v1/receipts/{sequence}"), indent=2))
        for options in ({"archive": exchange.directory}, {"public_key": str(nodes)}):
            out = io.StringIO()
            assert verify_receipt(receipt, out=out, **options) == 0, out.getvalue()

    signer = str(json.loads(receipt.read_text())["node"])
    exchange.kill(signer)
    exchange.wait_ready()
    deadline_s = time.monotonic() + 20
    while (again := get(ana, f"/v1/receipts/{sequence}?min_sequence={sequence}"))["node"] != signer:
        assert time.monotonic() < deadline_s, "the replica that was killed signs nothing any more"
        time.sleep(0.05)
    receipt.write_text(json.dumps(again))
    assert verify_receipt(receipt, public_key=str(nodes), archive=exchange.directory, out=io.StringIO()) == 0
