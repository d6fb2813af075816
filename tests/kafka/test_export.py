"""What is exported is what is archived, byte for byte, whoever is killed meanwhile."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaProducer

from engine.entry import decode_entry
from replication.config import Config, load_config
from replication.event_topic import TopicUnusable
from replication.event_topic_link import EventTopicLink
from replication.exporter import Exporter
from replication.exporter_metrics import ExporterMetrics
from replication.exporter_process import make_exporter
from replication.identity import READER
from replication.kafka_clients import open_client
from replication.kafka_settings import KafkaSettings
from replication.leadership import Leadership, Standing
from replication.local_cluster import READER_NAME
from replication.tls import load_credentials
from sim.bench_export import count_history, export_once
from sim.client import new_id
from sim.kafka_broker import KafkaBroker
from sim.local_exchange import LocalExchange
from tests.kafka.topics import archived, options, records_of, until, until_exported
from tests.replication.memory_topic import applied

pytestmark = pytest.mark.cluster

EVENTS = "tallystick.events.main"


@contextmanager
def load(exchange: LocalExchange) -> Iterator[list[int]]:
    """Commands all the time from a thread, each settled before the next; the sequences of those that were accepted."""
    sequences: list[int] = []
    stopping = threading.Event()

    def run() -> None:
        client = exchange.operator()
        while not stopping.is_set():
            response = client.settle(partial(client.create_asset, new_id()[:12].upper(), 3))
            sequences.append(response.body["sequence"])
            stopping.wait(0.01)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield sequences
    finally:
        stopping.set()
        thread.join(60)
    assert sequences, "nothing was accepted, so nothing was shown"


def more(sequences: list[int], count: int = 20) -> None:
    """Wait until so many more commands were accepted."""
    wanted = len(sequences) + count
    until(lambda: len(sequences) >= wanted)


def test_exported_is_archived_whatever_is_killed(broker: KafkaBroker, exchange: LocalExchange) -> None:
    seed = random.SystemRandom().randrange(1 << 30)
    print(f"seed {seed}")
    chance = random.Random(seed)
    with load(exchange) as sequences:
        more(sequences)
        exchange.kill(exchange.leader())
        more(sequences)
        for _ in range(2):
            exchange.kill(f"exporter.{exchange.leader()}")
            time.sleep(chance.uniform(0.1, 1.5))
        # Without Kafka nobody waits; the exporter says since when nothing goes out, and later that it does again.
        broker.kill()
        began_s = time.monotonic()
        more(sequences)
        assert time.monotonic() - began_s < 5.0
        log = exchange.directory / "logs" / f"exporter.{exchange.leader()}.log"
        until(lambda: "nothing is exported since" in log.read_text())
        broker.start()
        until(lambda: "exporting again, after" in log.read_text())
        # A leader whose exporter hangs while another takes over, and then goes on: a zombie.
        old = exchange.leader()
        frozen = exchange.pid(f"exporter.{old}")
        os.kill(frozen, signal.SIGSTOP)
        exchange.kill(old)
        more(sequences)
        time.sleep(1.0)
        os.kill(frozen, signal.SIGCONT)
        more(sequences)
        exchange.kill(exchange.leader(), "exporter.node-1", "exporter.node-2", "exporter.node-3")
        more(sequences)
    values = until_exported(broker, exchange, EVENTS)
    everything = archived(exchange)
    assert applied(values) == everything
    assert applied([value for value in values for _ in range(2)]) == everything, "everything delivered twice"
    assert applied(values + values) == everything, "everything read again"
    assert max(sequences) <= decode_entry(everything[-1]).last_sequence, "what was accepted is there"


def exporter_of(exchange: LocalExchange, broker: KafkaBroker, node_id: str, prefix: str, *, leads: bool) -> Exporter:
    """One in this process that thinks, if it is told so, that its replica leads."""
    config: Config = load_config(exchange.directory / "cluster.toml")
    credentials = load_credentials(config, READER, READER_NAME)
    assert config.kafka is not None
    leadership = Leadership(config, node_id, credentials)

    def look() -> Standing:
        standing = leadership.look()
        return standing._replace(serving=True) if leads else standing

    topic = EventTopicLink(replace(config.kafka, topic_prefix=prefix), config.group, options(broker))
    metrics = ExporterMetrics(node_id, config.group)
    return make_exporter(config, node_id, credentials, topic=topic, look=look, metrics=metrics)


def test_two_that_both_think_they_lead_only_repeat(broker: KafkaBroker, exchange: LocalExchange) -> None:
    client = exchange.operator()
    for number in range(30):
        client.create_asset(f"Z{number}", 3).expect()
    exchange.agreed_replicas()
    both = [exporter_of(exchange, broker, node_id, "zombies", leads=True) for node_id in ("node-1", "node-2")]
    wanted = archived(exchange)
    for _ in range(200):
        for exporter in both:
            exporter.step(wait_s=0.05)
        if all(exporter.exported_sequence >= len(wanted) for exporter in both):
            break
    for exporter in both:
        exporter.close()
    values = [record.value for record in records_of(broker, "zombies.events.main")]
    assert applied(values)[: len(wanted)] == wanted
    assert len(values) > len(wanted), "both have sent, so there are repeats"


def test_another_exchanges_topic_is_refused(broker: KafkaBroker, exchange: LocalExchange, tmp_path: Path) -> None:
    producer = open_client(KafkaProducer, options(broker))
    exporter = exporter_of(exchange, broker, "node-1", "strange", leads=True)
    settings = KafkaSettings((broker.address,), "strange", replication_factor=1, min_insync_replicas=1)
    EventTopicLink(settings, "main", options(broker)).prepare()
    producer.send("strange.events.main", b"not an entry").get(timeout=10)
    producer.close()
    with pytest.raises(TopicUnusable, match="the last message of topic strange"):
        exporter.step()
    exporter.close()


def test_a_topic_that_forgets_is_refused(broker: KafkaBroker) -> None:
    admin = open_client(KafkaAdminClient, options(broker))
    week = {"retention.ms": "604800000"}
    admin.create_topics({"week.events.main": {"num_partitions": 2, "replication_factor": 1, "configs": week}})
    admin.close()
    settings = KafkaSettings((broker.address,), "week", replication_factor=1, min_insync_replicas=1)
    link = EventTopicLink(settings, "main", options(broker))
    with pytest.raises(TopicUnusable, match=r"2 partitions instead of 1; .*retention.ms is 604800000, and must be -1"):
        link.prepare()


def test_messages_say_what_they_are(broker: KafkaBroker, exchange: LocalExchange) -> None:
    until_exported(broker, exchange, EVENTS)
    first = records_of(broker, EVENTS)[0]
    told = dict(first.headers)
    assert first.key == b"main"
    assert told["first_sequence"] == b"1"
    assert int(told["term"]) >= 1
    assert bytes.fromhex(told["chain"].decode()) == first.value[-32:]


def test_the_bench_exports_the_whole_history(broker: KafkaBroker, exchange: LocalExchange) -> None:
    exchange.agreed_replicas()
    history = count_history(exchange)
    took_s, cpu_s = export_once(exchange, broker.address)
    assert took_s > 0 and cpu_s > 0
    admin = open_client(KafkaAdminClient, options(broker))
    (topic,) = (name for name in admin.list_topics() if name.startswith("bench-"))
    admin.close()
    assert len(records_of(broker, topic)) >= history.entries > 0
