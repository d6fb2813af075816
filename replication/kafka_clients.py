"""Clients of kafka-python as we make them, and what must be known of topics.

A client that cannot reach a broker raises in its constructor and leaves a thread behind, so that one which is made
again and again while Kafka is away would fill the process with threads. :func:`open_client` ends it. Why a broker was
not reached (a wrong password, a certificate, a closed port) such a client tells its log alone; here the error says it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaTimeoutError, TopicAlreadyExistsError
from kafka.net.compat import KafkaNetClient

from replication.event_topic import TopicFacts

BOOTSTRAP_TIMEOUT_MS: Final = 3_000
REQUEST_TIMEOUT_MS: Final = 10_000
RECONNECT_PAUSE_MS_MAX: Final = 2_000
COMPLAINTS_MAX: Final = 3

Client = TypeVar("Client")


class _Complaints(logging.Handler):
    """What the clients said about lost connections since it was last asked, each complaint once."""

    _LOST: Final = "Connection lost: "

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._said: dict[str, None] = {}

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if self._LOST in text and len(self._said) < COMPLAINTS_MAX:
            self._said[text.partition(self._LOST)[2]] = None

    def take(self) -> str:
        said, self._said = self._said, {}
        return "; ".join(said)


_complaints = _Complaints()


def keep_clients_quiet() -> None:
    """What goes wrong is ours to say: while Kafka is away its clients would fill the log."""
    clients = logging.getLogger("kafka")
    clients.setLevel(logging.ERROR)
    clients.propagate = False
    clients.addHandler(_complaints)


def open_client(make: Callable[..., Client], options: Mapping[str, Any], **more: Any) -> Client:
    """A connected client. KafkaError if no broker answers in time; nothing of the client is left then."""
    made: list[KafkaNetClient] = []
    _complaints.take()

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
    except BaseException as error:
        for one in made:
            one.close()
        said = _complaints.take()
        if isinstance(error, KafkaTimeoutError) and said:
            servers = ", ".join(options["bootstrap_servers"])
            raise KafkaTimeoutError(f"no broker can be used at {servers}: {said}") from error
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
