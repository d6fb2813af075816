"""What is in a topic, and what a reader makes of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from engine.entry import encode_entry
from replication.history import read_history
from replication.kafka_clients import open_client
from sim.kafka_broker import KafkaBroker
from sim.local_exchange import LocalExchange
from tests.replication.memory_topic import applied

WITHIN_S = 40.0


def options(broker: KafkaBroker) -> dict[str, Any]:
    return {"bootstrap_servers": [broker.address]}


def records_of(broker: KafkaBroker, topic: str) -> list[Any]:
    """Everything that is there now, in order."""
    consumer = open_client(KafkaConsumer, options(broker), enable_auto_commit=False)
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        consumer.seek_to_beginning(partition)
        end = consumer.end_offsets([partition])[partition]
        found: list[Any] = []
        while consumer.position(partition) < end:
            for records in consumer.poll(timeout_ms=1_000).values():
                found += records
        return [record for record in found if record.offset < end]
    finally:
        consumer.close(timeout_ms=1_000)


def archived(exchange: LocalExchange, group: str = "main") -> list[bytes]:
    """Every entry that the replicas have archived, from all of them together."""
    assert group == "main"
    archives = [exchange.directory / "data" / f"node-{number}" / "archive" for number in (1, 2, 3)]
    return [encode_entry(found.entry) for found in read_history(archives)]


def until_exported(broker: KafkaBroker, exchange: LocalExchange, topic: str) -> list[bytes]:
    """Wait until a reader of the topic has everything that is archived now; all values of the topic."""
    wanted = archived(exchange)
    values: list[bytes] = []

    def is_there() -> bool:
        values[:] = [record.value for record in records_of(broker, topic)]
        return len(applied(values)) >= len(wanted)

    until(is_there)
    assert applied(values)[: len(wanted)] == wanted
    return values


def until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline_s, "it did not come in time"
        time.sleep(0.2)
