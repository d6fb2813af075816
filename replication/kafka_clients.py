"""Clients of kafka-python as we make them, and what must be known of topics.

A client that cannot reach a broker raises in its constructor and leaves a thread behind, so that one which is made
again and again while Kafka is away would fill the process with threads. :func:`open_client` ends it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import TopicAlreadyExistsError
from kafka.net.compat import KafkaNetClient

from replication.event_topic import TopicFacts

BOOTSTRAP_TIMEOUT_MS: Final = 5_000
REQUEST_TIMEOUT_MS: Final = 10_000
RECONNECT_PAUSE_MS_MAX: Final = 2_000

Client = TypeVar("Client")


def keep_clients_quiet() -> None:
    """What goes wrong is ours to say: while Kafka is away its clients would fill the log."""
    logging.getLogger("kafka").setLevel(logging.CRITICAL)


def open_client(make: Callable[..., Client], options: Mapping[str, Any], **more: Any) -> Client:
    """A connected client. KafkaError if no broker answers in time; nothing of the client is left then."""
    made: list[KafkaNetClient] = []

    def remembered(**configs: Any) -> KafkaNetClient:
        made.append(KafkaNetClient(**configs))
        return made[-1]

    try:
        return make(
            **options,
            **more,
            bootstrap_timeout_ms=BOOTSTRAP_TIMEOUT_MS,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            reconnect_backoff_max_ms=RECONNECT_PAUSE_MS_MAX,
            kafka_client=remembered,
        )
    except BaseException:
        for one in made:
            one.close()
        raise


def ensure_topic(
    options: Mapping[str, Any], topic: str, *, partitions: int, replication_factor: int, settings: Mapping[str, str]
) -> TopicFacts:
    """Create a topic unless it is there; what it is like. KafkaError if Kafka cannot be asked or refuses."""
    admin = open_client(KafkaAdminClient, options)
    try:
        facts = _describe(admin, topic)
        if facts is None:
            wanted = {
                "num_partitions": partitions,
                "replication_factor": replication_factor,
                "configs": dict(settings),
            }
            try:
                admin.create_topics({topic: wanted}, wait_for_metadata=True)
            except TopicAlreadyExistsError:  # another one was faster
                admin.wait_for_topics([topic])
            facts = _describe(admin, topic)
        assert facts is not None, topic
        return facts
    finally:
        admin.close()


def _describe(admin: KafkaAdminClient, topic: str) -> TopicFacts | None:
    partitions = admin.describe_topics([topic])[0]["partitions"]
    if not partitions:
        return None
    told = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)], config_filter="all")
    settings = {name: str(one["value"]) for name, one in told["topic"][topic].items()}
    return TopicFacts(len(partitions), min(len(one["replica_nodes"]) for one in partitions), settings)
