"""``tally bench export``: how fast an exporter brings a history from the replicas' archives into a Kafka topic.

A whole exchange gets load over HTTP for some seconds. Then nothing more comes, and an exporter in this process catches
up with all of it, from an empty topic to the last entry: read through the doors of the replicas, verified, sent, and
acknowledged by the broker. Each run has a topic of its own; all processes share the machine.
"""

from __future__ import annotations

import contextlib
import io
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from engine.codec import decode_events
from replication.config import load_config
from replication.event_topic_link import EventTopicLink
from replication.exporter_metrics import ExporterMetrics
from replication.exporter_process import make_exporter
from replication.history import read_history
from replication.identity import READER
from replication.kafka_clients import keep_clients_quiet
from replication.kafka_settings import KafkaSettings, client_options
from replication.leadership import Leadership
from replication.local_cluster import NODE_IDS, READER_NAME
from replication.tls import load_credentials
from sim.client import new_id
from sim.kafka_broker import KafkaBroker, install_jars
from sim.load import main as load
from sim.local_exchange import LocalExchange


class History(NamedTuple):
    """What is to be exported."""

    entries: int
    commands: int
    events: int
    size_bytes: int


def measure_export(directory: Path, *, kafka: str | None, seconds: int, connections: int, runs: int) -> dict[str, Any]:
    """Medians over the runs. KafkaUnavailable or KafkaError if there is no broker."""
    keep_clients_quiet()
    with _broker(directory, kafka) as address, LocalExchange(directory / "exchange") as exchange:
        with contextlib.redirect_stdout(io.StringIO()):
            load(url=exchange.url, data_dir=exchange.directory, connections=connections, seconds=seconds)
        exchange.agreed_replicas()
        history = count_history(exchange)
        took_s, cpu_s = [], []
        for _ in tqdm(range(runs), desc="export", leave=False, disable=None):
            wall, cpu = export_once(exchange, address)
            took_s.append(wall)
            cpu_s.append(cpu)
    median_s = statistics.median(took_s)
    return {
        "bench": "export",
        **history._asdict(),
        "runs": runs,
        "median_s": round(median_s, 3),
        "all_s": [round(one, 3) for one in took_s],
        "entries_per_s": round(history.entries / median_s),
        "commands_per_s": round(history.commands / median_s),
        "events_per_s": round(history.events / median_s),
        "megabytes_per_s": round(history.size_bytes / median_s / 1e6, 1),
        "cpu_us_per_entry": round(statistics.median(cpu_s) / history.entries * 1e6, 1),
    }


@contextmanager
def _broker(directory: Path, kafka: str | None) -> Iterator[str]:
    if kafka is not None:
        yield kafka
        return
    install_jars()
    with KafkaBroker(directory / "kafka") as broker:
        yield broker.address


def count_history(exchange: LocalExchange) -> History:
    archives = [exchange.directory / "data" / node_id / "archive" for node_id in NODE_IDS]
    entries = [found.entry for found in read_history(archives)]
    return History(
        entries=len(entries),
        commands=sum(entry.command_count for entry in entries),
        events=sum(sum(1 for _ in decode_events(entry.events)) for entry in entries),
        size_bytes=sum(len(entry.commands) + len(entry.events) for entry in entries),
    )


def export_once(exchange: LocalExchange, address: str) -> tuple[float, float]:
    """Catch up once; seconds of time and of this process's CPU, from the first look to the last acknowledgement."""
    config = load_config(exchange.directory / "cluster.toml")
    credentials = load_credentials(config, READER, READER_NAME)
    settings = KafkaSettings((address,), f"bench-{new_id()[:12]}", replication_factor=1, min_insync_replicas=1)
    topic = EventTopicLink(settings, config.group, client_options(settings))
    node_id = exchange.leader()
    leadership = Leadership(config, node_id, credentials)
    exporter = make_exporter(
        config,
        node_id,
        credentials,
        topic=topic,
        look=leadership.look,
        metrics=ExporterMetrics(node_id, config.group),
    )
    wanted = leadership.look().sequence
    topic.prepare()
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    while exporter.exported_sequence < wanted:
        exporter.step()
    took = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    exporter.close()
    leadership.close()
    return took
