"""The ingress as a process: the consumer of commands, the producer of refusals, and the loop between them.

kafka-python blocks, so it is called in a thread while the event loop serves the links to the replicas.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

from kafka import KafkaConsumer, KafkaProducer
from kafka.errors import KafkaError
from prometheus_client import start_http_server

from gateway.app import build_app
from gateway.ingress import Ingress, IngressMetrics, Record, Refusal
from gateway.kafka_commands import refuse_without_id
from gateway.serve import GatewayOptions, build_edge
from replication.kafka_clients import ensure_topic, keep_clients_quiet, open_client

POLL_MS: Final = 500
RECORDS_MAX: Final = 500
SESSION_TIMEOUT_MS: Final = 6_000  # after so long another process takes over from one that was killed
PROBE_EVERY_S: Final = 5.0
PROBE_TIMEOUT_MS: Final = 3_000
RETRY_PAUSE_S: Final = 2.0
REMIND_EVERY_S: Final = 60.0
COMMANDS_KEPT_MS: Final = 7 * 24 * 3_600_000
_FLUSH_TIMEOUT_S: Final = 30.0
_CLOSE_TIMEOUT_MS: Final = 2_000

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class IngressOptions:
    """``gateway`` says how the exchange is reached, ``client`` (``kafka_settings.client_options``) how Kafka is.

    ``topics`` are the topics of commands, each with that of its refusals; they are created with ``replication_factor``
    and ``min_insync_replicas`` where they do not exist. Processes of one ``consumer_group`` share the work.
    """

    gateway: GatewayOptions
    client: Mapping[str, Any]
    topics: Mapping[str, str]
    consumer_group: str
    age_s_max: int
    replication_factor: int
    min_insync_replicas: int
    metrics_port: int = 0


class CommandTopics:
    """Both ends at Kafka. Every method blocks and may raise KafkaError; then close it and open another.

    They are called from threads, one at a time: a task that is cancelled leaves its thread behind for a moment.
    """

    def __init__(self, options: IngressOptions, metrics: IngressMetrics) -> None:
        self._topics = options.topics
        self._behind_messages = metrics.behind_messages
        self._probe_at_s = time.monotonic() + PROBE_EVERY_S
        self._lock = threading.Lock()
        settings = {
            "retention.ms": str(COMMANDS_KEPT_MS),
            "min.insync.replicas": str(options.min_insync_replicas),
        }
        for topic in (*options.topics, *options.topics.values()):
            ensure_topic(
                options.client,
                topic,
                partitions=1,
                replication_factor=options.replication_factor,
                settings=settings,
            )
        self._consumer = open_client(
            KafkaConsumer,
            options.client,
            group_id=options.consumer_group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_records=RECORDS_MAX,
            session_timeout_ms=SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=SESSION_TIMEOUT_MS // 3,
        )
        try:
            self._consumer.subscribe(list(options.topics))
            self._producer = open_client(KafkaProducer, options.client, acks="all", enable_idempotence=True)
        except BaseException:
            self._consumer.close(timeout_ms=_CLOSE_TIMEOUT_MS)
            raise

    def poll(self) -> list[Record]:
        """The next stretch; nothing if there is none yet."""
        with self._lock:
            polled: Mapping[Any, Sequence[Record]] = self._consumer.poll(timeout_ms=POLL_MS)
            if time.monotonic() >= self._probe_at_s:
                self._probe_at_s = time.monotonic() + PROBE_EVERY_S
                self._probe()
        return [record for records in polled.values() for record in records]

    def _probe(self) -> None:
        """How much waits; KafkaError if Kafka does not say, for a poll only finds nothing while Kafka is away."""
        partitions = self._consumer.assignment()
        if partitions:
            ends = self._consumer.end_offsets(list(partitions), timeout_ms=PROBE_TIMEOUT_MS)
            taken = {one: self._consumer.position(one, timeout_ms=PROBE_TIMEOUT_MS) for one in partitions}
            self._behind_messages.set(sum(end - (taken[one] or 0) for one, end in ends.items()))

    def finish(self, refused: Sequence[Refusal]) -> None:
        """The last stretch is done: publish what was refused, then never take it again."""
        with self._lock:
            sent = [
                self._producer.send(self._topics[one.topic], one.value, key=b"", headers=one.headers) for one in refused
            ]
            if sent:
                self._producer.flush(timeout=_FLUSH_TIMEOUT_S)
                for future in sent:
                    future.get(timeout=0)
            self._consumer.commit()

    def close(self) -> None:
        with self._lock:
            with suppress(KafkaError):
                self._consumer.close(timeout_ms=_CLOSE_TIMEOUT_MS)
            with suppress(KafkaError):
                self._producer.close(timeout=_CLOSE_TIMEOUT_MS / 1_000)


def run_ingress(options: IngressOptions) -> None:
    """Run until SIGTERM or SIGINT. OSError if the port of the metrics is taken."""
    asyncio.run(_run(options))


async def _run(options: IngressOptions) -> None:
    keep_clients_quiet()
    edge = build_edge(options.gateway, make_id=refuse_without_id)
    metrics = IngressMetrics(edge.metrics.registry)
    if options.metrics_port:
        start_http_server(options.metrics_port, "127.0.0.1", registry=edge.metrics.registry)
    ingress = Ingress(build_app(edge), edge, metrics, age_s_max=options.age_s_max)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await edge.start()
    logger.info("taking commands from %s", ", ".join(options.topics))
    consuming = asyncio.create_task(consume(lambda: CommandTopics(options, metrics), ingress))
    stopped = asyncio.create_task(stopping.wait())
    try:
        # What was taken and is not committed is taken again after the next start, and recognised.
        await asyncio.wait((consuming, stopped), return_when=asyncio.FIRST_COMPLETED)
        if consuming.done():
            consuming.result()
    finally:
        consuming.cancel()
        stopped.cancel()
        with suppress(asyncio.CancelledError):
            await consuming
        await edge.stop()


class Topics(Protocol):
    """What is consumed: ``CommandTopics``."""

    def poll(self) -> list[Record]: ...
    def finish(self, refused: Sequence[Refusal]) -> None: ...
    def close(self) -> None: ...


async def consume(open_topics: Callable[[], Topics], ingress: Ingress) -> None:
    """Take, execute, finish, for ever; after any failure of Kafka from the last stretch that was finished."""
    failing_since_s, remind_at_s = 0.0, 0.0
    while True:
        topics: Topics | None = None
        try:
            topics = await asyncio.to_thread(open_topics)
            while True:
                records = await asyncio.to_thread(topics.poll)
                if failing_since_s:
                    logger.info("taking commands again, after %.0f s", time.time() - failing_since_s)
                    failing_since_s = remind_at_s = 0.0
                if records:
                    refused = await ingress.execute(records)
                    await asyncio.to_thread(topics.finish, refused)
        except KafkaError as error:
            now_s = time.time()
            failing_since_s = failing_since_s or now_s
            if now_s >= remind_at_s:
                remind_at_s = now_s + REMIND_EVERY_S
                since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(failing_since_s))
                logger.warning("no commands are taken since %s: %s", since, error)
        finally:
            if topics is not None:
                await asyncio.to_thread(topics.close)
        await asyncio.sleep(RETRY_PAUSE_S)
