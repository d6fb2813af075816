"""Commands in, outcomes out: what a module outside the core sees of the exchange, with a real broker between them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer

from replication.kafka_clients import open_client
from sim.client import Client, new_id
from sim.kafka_broker import KafkaBroker
from sim.local_exchange import LocalExchange
from tests.gateway.live_gateway import signature_headers
from tests.kafka.topics import options, records_of, until

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
COMMANDS = "tallystick.commands.main"
REFUSED = f"{COMMANDS}.refused"


class Trader:
    """An account with funds, its key, and a way to send commands to Kafka."""

    def __init__(self, exchange: LocalExchange, broker: KafkaBroker, name: str) -> None:
        operator = exchange.operator()
        operator.create_account(name).expect()
        made = operator.create_key(name).expect().body
        self.key = made["key_id"], made["secret"]
        self.client: Client = exchange.client(*self.key)
        for asset in ("KGLD", "KEUR"):
            operator.deposit(name, asset, "1000", f"{name}-{asset}").expect()
        self._producer = open_client(KafkaProducer, options(broker))

    def message(
        self, method: str, path: str, body: dict[str, Any] | None, age_s: int = 0
    ) -> tuple[bytes, list[tuple[str, bytes]]]:
        content = b"" if body is None else json.dumps(body).encode()
        signed = signature_headers(self.key, method, path, content, -1_000 * age_s)
        named = {"X-Tally-Method": method, "X-Tally-Path": path, **signed}
        return content, [(name, value.encode()) for name, value in named.items()]

    def send(self, *messages: tuple[bytes, list[tuple[str, bytes]]]) -> None:
        for value, headers in messages:
            self._producer.send(COMMANDS, value, key=self.key[0].encode(), headers=headers)
        self._producer.flush(timeout=20)

    def order(self, name: str, side: str = "sell", price: str = "10", quantity: str = "1") -> dict[str, Any]:
        return {
            "market": "KGLD-KEUR",
            "side": side,
            "price": price,
            "quantity": quantity,
            "client_order_id": name,
        }

    def open_ids(self) -> list[str]:
        return [order["client_order_id"] for order in self.client.open_orders("KGLD-KEUR").expect().body["orders"]]


@pytest.fixture(scope="module")
def market(exchange: LocalExchange) -> None:
    operator = exchange.operator()
    operator.create_asset("KGLD", 3).expect()
    operator.create_asset("KEUR", 5).expect()
    operator.create_market("KGLD", "KEUR", tick="0.01", lot="0.001").expect()


def refusals(broker: KafkaBroker) -> list[tuple[str, str]]:
    """Code of each refusal, and where the message was."""
    found = []
    for record in records_of(broker, REFUSED):
        headers = dict(record.headers)
        found.append((json.loads(headers["X-Tally-Answer"])["error"]["code"], headers["X-Tally-Source"].decode()))
    return found


def test_delivered_twice_with_the_ingress_killed_is_executed_once(
    broker: KafkaBroker, exchange: LocalExchange, market: None
) -> None:
    ana = Trader(exchange, broker, "kafka-ana")
    messages = [ana.message("POST", "/v1/orders", ana.order(f"twice-{n}")) for n in range(60)]
    ana.send(*messages[:30])
    exchange.kill("ingress")
    ana.send(*messages[30:], *messages)
    until(lambda: len(ana.open_ids()) == 60)
    cancel = ana.message("DELETE", "/v1/orders?market=KGLD-KEUR&request_id=all", None)
    ana.send(cancel, *messages)
    until(lambda: not ana.open_ids())
    before = len(refusals(broker))
    ana.send(ana.message("POST", "/v1/orders", ana.order("late"), age_s=3_600))
    until(lambda: len(refusals(broker)) > before)
    assert not ana.open_ids(), "late copies bring nothing back"


def test_poison_is_refused_with_its_reason_and_blocks_nobody(
    broker: KafkaBroker, exchange: LocalExchange, market: None
) -> None:
    bo = Trader(exchange, broker, "kafka-bo")
    value, headers = bo.message("POST", "/v1/orders", bo.order("forged"))
    bo.send((b"\x00 poison", []), (value + b" ", headers), bo.message("POST", "/v1/orders", bo.order("good")))
    until(lambda: bo.open_ids() == ["good"])
    until(lambda: {"MISSING_HEADER", "BAD_SIGNATURE"} <= {code for code, _ in refusals(broker)})
    assert all(source.startswith(f"{COMMANDS}:0:") for _, source in refusals(broker))


def twap(broker: KafkaBroker, trader: Trader, run: str, order: dict[str, Any]) -> str:
    command = [sys.executable, str(ROOT / "docs" / "examples" / "twap.py"), broker.address, "main", *trader.key]
    done = subprocess.run(
        [*command, run, "3", "0.2", json.dumps(order)],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_module_of_the_documentation_trades_and_a_second_run_of_it_does_not(
    broker: KafkaBroker, exchange: LocalExchange, market: None
) -> None:
    seller, buyer = Trader(exchange, broker, "kafka-cy"), Trader(exchange, broker, "kafka-di")
    seller.client.place("KGLD-KEUR", "sell", "5", price="7", client_order_id=new_id()).expect()
    order = {"market": "KGLD-KEUR", "side": "buy", "price": "7", "quantity": "0.5", "time_in_force": "ioc"}
    began_s = time.monotonic()
    assert twap(broker, buyer, "run-1", order) == "run-1: 3 slices, 1500 lots executed\n"
    assert time.monotonic() - began_s >= 0.4, "a slice every 0.2 s"
    assert twap(broker, buyer, "run-1", order) == "run-1: 3 slices, 1500 lots executed\n"
    balances = buyer.client.balances().expect().body["balances"]
    assert next(one["available"] for one in balances if one["asset"] == "KGLD") == "1001.500"
