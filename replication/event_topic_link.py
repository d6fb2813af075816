"""One market group's topic of events, as its exporter uses it: make it or check it, read its end, send a batch.

A batch is sent whole: its messages wait in the producer's memory until :meth:`EventTopicLink.settle` lets all of them
go, so that Kafka gets them as one of its own batches and takes all or none. At most one batch is on its way, and a
producer that was refused one is not used again: that is what ``replication.event_topic`` promises its readers.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError, KafkaTimeoutError

from engine.entry import Entry
from replication.event_topic import (
    BATCH_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    PARTITIONS,
    RECORD_OVERHEAD_BYTES,
    Batch,
    read_last_message,
    require_settings,
    topic_settings,
)
from replication.kafka_clients import ensure_topic, open_client
from replication.kafka_settings import KafkaSettings

DELIVERY_TIMEOUT_MS: Final = 120_000
_LINGER_MS: Final = 60_000  # long: settle() sends
_MAX_BLOCK_MS: Final = 5_000
_END_TIMEOUT_MS: Final = 10_000
_CLOSE_TIMEOUT_S: Final = 2.0


class EventTopicLink:
    """``options`` are those of ``kafka_settings.client_options``. Every method may raise KafkaError."""

    def __init__(self, settings: KafkaSettings, group: str, options: Mapping[str, Any]) -> None:
        self.topic = settings.event_topic(group)
        self._settings = settings
        self._key = group.encode("ascii")
        self._options = options
        self._producer: KafkaProducer | None = None
        self._sent: list[Any] = []  # the futures of the batch that is on its way

    def prepare(self) -> None:
        """Make the topic if there is none. TopicUnusable if there is one that would lose or reorder events."""
        facts = ensure_topic(
            self._options,
            self.topic,
            partitions=PARTITIONS,
            replication_factor=self._settings.replication_factor,
            settings=topic_settings(self._settings),
        )
        require_settings(self.topic, facts, self._settings)

    def last_entry(self) -> Entry | None:
        """The entry of the last message; None if there is none. TopicUnusable if it is something else."""
        partition = TopicPartition(self.topic, 0)
        consumer = open_client(KafkaConsumer, self._options, enable_auto_commit=False)
        try:
            consumer.assign([partition])
            end = consumer.end_offsets([partition])[partition]
            if end == consumer.beginning_offsets([partition])[partition]:
                return None
            consumer.seek(partition, end - 1)
            records = consumer.poll(timeout_ms=_END_TIMEOUT_MS, max_records=1).get(partition)
            if not records:
                raise KafkaTimeoutError(f"the end of topic {self.topic} did not come within {_END_TIMEOUT_MS} ms")
            return read_last_message(self.topic, records[0].value)
        finally:
            consumer.close()

    def send(self, batch: Batch) -> None:
        """Begin to send a batch. The one before it must be settled."""
        assert not self._sent, "a batch is on its way"
        if self._producer is None:
            self._producer = open_client(
                KafkaProducer,
                self._options,
                acks="all",
                enable_idempotence=True,
                linger_ms=_LINGER_MS,
                batch_size=2 * BATCH_BYTES_MAX,
                max_request_size=MESSAGE_BYTES_MAX + RECORD_OVERHEAD_BYTES,
                delivery_timeout_ms=DELIVERY_TIMEOUT_MS,
                max_block_ms=_MAX_BLOCK_MS,
            )
        try:
            for message in batch.messages:
                future = self._producer.send(
                    self.topic, message.value, key=self._key, headers=message.headers, partition=0
                )
                self._sent.append(future)
        except BaseException:
            # The first of them wait in its memory now: what follows must not come behind them.
            self.abandon()
            raise

    def settle(self, timeout_s: float) -> bool:
        """Wait for the batch. False if it is still on its way. KafkaError if Kafka did not take it, or may not have."""
        assert self._producer is not None and self._sent, "nothing was sent"
        with suppress(KafkaTimeoutError):
            self._producer.flush(timeout=timeout_s)
        if not all(future.is_done for future in self._sent):
            return False
        failed = next((future.exception for future in self._sent if future.failed()), None)
        if failed is not None:
            self.abandon()
            raise failed
        self._sent.clear()
        return True

    def abandon(self) -> None:
        """Forget the producer and what it has not delivered: it may still arrive, or not."""
        producer, self._producer = self._producer, None
        self._sent.clear()
        if producer is None:
            return
        with suppress(KafkaError):
            producer.close(timeout=_CLOSE_TIMEOUT_S)
