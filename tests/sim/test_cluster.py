"""The whole exchange as real processes: it starts, it survives kills, it loses nothing and repeats nothing."""

import hashlib
import io
import os
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.codec import decode_events
from engine.events import OrderAccepted, TradeExecuted
from engine.snapshot import state_hash
from replication.archive import list_segments, read_segment, read_segment_header
from replication.local_cluster import NODE_IDS
from replication.replay import print_replay
from sim.audit import main as audit
from sim.local_exchange import TALLY, LocalExchange
from tests.sim.opened_market import open_market

pytestmark = pytest.mark.cluster

RECORDED_DAY = "bitstamp-btcusd-2015-05-01-am.csv.xz"
TRADES_SHA256 = "7dbf23413619095ddb2f468fea5e691283645de73e6b02e89c6560aab2a6bfa5"
READY_WITHIN_S = 5.0


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[LocalExchange]:
    with LocalExchange(tmp_path / "exchange") as started:
        yield started


def recorded_day() -> Path:
    folders = [Path(os.environ["TALLY_TEST_DATA"])] if "TALLY_TEST_DATA" in os.environ else []
    folders.append(TALLY.parent.parent / "shared" / "data")
    for folder in folders:
        if (folder / RECORDED_DAY).exists():
            return folder / RECORDED_DAY
    pytest.skip(f"the recorded day {RECORDED_DAY} is not here: set TALLY_TEST_DATA to its folder")


def test_it_stops_cleanly_and_a_second_start_goes_on_where_it_was(tmp_path: Path) -> None:
    exchange = LocalExchange(tmp_path / "exchange", history=True)
    assert exchange.start() < READY_WITHIN_S
    ana_key = open_market(exchange)
    ana = exchange.client(*ana_key)
    receipt = ana.place("GLD-EUR", "buy", quantity="2", price="10.00", client_order_id="c1").expect()
    assert exchange.stop() == 0

    assert exchange.start() < READY_WITHIN_S
    ana = exchange.client(*ana_key)
    order = ana.order("c1").expect().body["order"]
    assert (order["status"], order["open"], order["held"]) == ("open", "2.000", "20.05000")
    again = ana.place("GLD-EUR", "buy", quantity="2", price="10.00", client_order_id="c1").expect()
    assert (again.sequence, again.body["repeated"]) == (receipt.sequence, True)
    assert exchange.stop() == 0
    assert audit(exchange.directory) == 0


def test_every_acknowledged_order_survives_the_kill_of_all_replicas_at_once(exchange: LocalExchange) -> None:
    ana_key = open_market(exchange)
    ana = exchange.client(*ana_key)
    acknowledged: dict[str, int | None] = {}
    killed = threading.Event()

    def place_until_killed() -> None:
        for number in range(100_000):
            response = ana.place("GLD-EUR", "buy", quantity="0.001", price="1.00", client_order_id=f"k{number}")
            if response.status in (200, 201):
                acknowledged[f"k{number}"] = response.sequence
            if killed.is_set():
                return

    placing = threading.Thread(target=place_until_killed)
    placing.start()
    while len(acknowledged) < 200:
        time.sleep(0.005)
    exchange.kill(*NODE_IDS)
    killed.set()
    placing.join(timeout=60)
    exchange.wait_ready()

    ana = exchange.client(*ana_key)
    for client_order_id, sequence in acknowledged.items():
        order = ana.order(client_order_id).expect().body["order"]
        assert (order["order_id"], order["status"]) == (sequence, "open"), client_order_id
    assert len({replica["state_hash"] for replica in exchange.agreed_replicas()}) == 1


def test_the_recorded_day_ends_in_the_same_numbers_through_kills_of_the_leader_and_of_everybody(
    exchange: LocalExchange,
) -> None:
    """The leader is killed twice while the import runs, then all three replicas at once."""
    file = recorded_day()
    command = [sys.executable, str(TALLY), "import", "bitstamp", str(file), "--url", exchange.url]
    importing = subprocess.Popen(
        [*command, "--data", str(exchange.directory)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        for sequence, everybody in ((3_000, False), (9_000, False), (15_000, True)):
            _wait_for_sequence(exchange, sequence, importing)
            exchange.kill(*(NODE_IDS if everybody else (exchange.leader(),)))
            exchange.wait_ready()
        summary, _ = importing.communicate(timeout=240)
    finally:
        importing.kill()
        importing.wait()

    assert importing.returncode == 0, exchange.log_ends()
    lines = {line[:18].strip(): line[18:].strip() for line in summary.splitlines()}
    assert lines["orders accepted"] == "12,431"
    assert lines["orders refused"] == "0"
    assert lines["cancels that hit"] == "11,965"
    assert lines["cancels refused"].startswith("171 ")
    assert lines["trades"] == "285"
    assert lines["volume"] == "538.07574522 BTC"
    assert lines["notional"] == "126,827.1758853793 USD"
    assert lines["best bid, ask"] == "236.88, 237.10"

    replicas = exchange.agreed_replicas()
    assert len({replica["chain"] for replica in replicas}) == 1
    assert len({replica["state_hash"] for replica in replicas}) == 1
    replayed = print_replay(exchange.directory, out=io.StringIO())
    assert replayed.machine.chain.hex() == replicas[0]["chain"]
    assert state_hash(replayed.machine).hex() == replicas[0]["state_hash"]
    for node_id in NODE_IDS:
        assert _trades_sha256(exchange.directory / "data" / node_id / "archive") == TRADES_SHA256
    assert audit(exchange.directory) == 0


def test_a_replica_that_fell_behind_the_compacted_log_catches_up_from_a_snapshot(tmp_path: Path) -> None:
    exchange = LocalExchange(tmp_path / "exchange")
    exchange.start()
    exchange.stop()
    config = exchange.directory / "cluster.toml"
    config.write_text(config.read_text() + "\n[log]\nsnapshot_every_commands = 200\nkeep_tail_entries = 10\n")
    with exchange:
        ana = exchange.client(*open_market(exchange))
        stranded = next(str(replica["node"]) for replica in exchange.replicas() if not replica["serving"])
        for number in range(1_000):
            if number % 10 == 0 and exchange.is_running(stranded):
                exchange.kill(stranded)  # the supervisor starts it again, so it must be kept down
            ana.place("GLD-EUR", "buy", quantity="0.001", price="1.00", client_order_id=f"k{number}").expect()
        replicas = exchange.agreed_replicas()
        assert len({replica["state_hash"] for replica in replicas}) == 1
        assert "installed the snapshot" in (exchange.directory / "logs" / f"{stranded}.log").read_text()


def test_a_replica_whose_journal_is_damaged_gets_everything_from_the_others(tmp_path: Path) -> None:
    exchange = LocalExchange(tmp_path / "exchange")
    with exchange:
        key = open_market(exchange)
        for number in range(50):
            exchange.client(*key).place(
                "GLD-EUR", "buy", quantity="0.001", price="1.00", client_order_id=f"k{number}"
            ).expect()
        sequence = exchange.agreed_replicas()[0]["sequence"]
    (journal,) = (exchange.directory / "data" / "node-2" / "journal").glob("data.mdb")
    damaged = bytearray(journal.read_bytes())
    entry = damaged.rindex(b"k49")
    damaged[entry] ^= 1
    journal.write_bytes(damaged)
    with exchange:
        exchange.client(*key).place("GLD-EUR", "buy", quantity="0.001", price="1.00", client_order_id="after").expect()
        replicas = exchange.agreed_replicas()
        assert len({replica["state_hash"] for replica in replicas}) == 1
        assert replicas[0]["sequence"] == sequence + 1
        deadline_s = time.monotonic() + 10
        while _voters(exchange) != {"node-1": 1.0, "node-2": 1.0, "node-3": 1.0}:
            assert time.monotonic() < deadline_s, _voters(exchange)
            time.sleep(0.1)
    log = (exchange.directory / "logs" / "node-2.log").read_text()
    assert "node-2 begins anew and gets everything from the others" in log
    assert (exchange.directory / "data" / "node-2" / "damaged-1" / "journal" / "data.mdb").exists()
    assert audit(exchange.directory) == 0


def _voters(exchange: LocalExchange) -> dict[str, float]:
    with urllib.request.urlopen(f"{exchange.url}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    found = re.findall(r'^tally_replica_voter\{.*node="(node-\d)".*\} (\S+)$', text, re.MULTILINE)
    return {node_id: float(votes) for node_id, votes in found}


def _wait_for_sequence(exchange: LocalExchange, sequence: int, importing: subprocess.Popen[str]) -> None:
    operator, deadline_s = exchange.operator(), time.monotonic() + 120
    while (operator.request("GET", "/v1/markets").expect().sequence or 0) < sequence:
        assert importing.poll() is None, f"the import ended early:\n{exchange.log_ends()}"
        assert time.monotonic() < deadline_s, f"the import does not get on:\n{exchange.log_ends()}"
        time.sleep(0.05)


def _trades_sha256(archive: Path) -> str:
    """The digest of all trades as ``price_cents,quantity_satoshi,maker id,taker id``, one a line."""
    names: dict[int, str] = {}
    lines = []
    for segment in list_segments(archive):
        for entry, _ in read_segment(segment, read_segment_header(segment)):
            for _, event in decode_events(entry.events):
                if isinstance(event, OrderAccepted):
                    names[event.order_id] = event.client_order_id.decode()
                elif isinstance(event, TradeExecuted):
                    maker, taker = names[event.maker_order_id], names[event.taker_order_id]
                    lines.append(f"{event.price_ticks},{event.quantity_lots},{maker},{taker}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
