"""An exporter as a process: what it is made of, how it ends, and what its exit code says.

======  ===============================================================================================
0       it was asked to end
70      the topic cannot be written to (wrong settings, another history): somebody must look, see its log
======  ===============================================================================================

Everything else that fails (Kafka, the replicas) passes: it is said in the log, counted, and tried again.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from types import FrameType

from replication.config import Config, ConfigError
from replication.entry_source import EntrySource
from replication.event_topic import TopicUnusable
from replication.event_topic_link import EventTopicLink
from replication.exporter import Exporter
from replication.exporter_metrics import ExporterMetrics
from replication.identity import READER
from replication.kafka_clients import keep_clients_quiet
from replication.kafka_settings import KafkaCredentialsMissing, KafkaSettings, client_options
from replication.leadership import Leadership, Standing
from replication.market_groups import group_id
from replication.supervisor import EXIT_HALTED
from replication.tls import LinkCredentials, load_credentials

logger = logging.getLogger(__name__)


def run_exporter(config: Config, node_id: str, *, reader: str, metrics_port: int = 0) -> int:
    """Export the group of the configuration (``market_groups.of_group``) while ``node_id`` leads it, until a signal.

    ``reader`` is whose certificate the replicas are shown. ConfigError if the configuration cannot be used.
    """
    keep_clients_quiet()
    settings = kafka_settings(config)
    credentials = load_credentials(config, READER, reader)
    try:
        options = client_options(settings)
    except KafkaCredentialsMissing as error:
        raise ConfigError(str(error)) from None
    metrics = ExporterMetrics(node_id, config.group)
    if metrics_port:
        metrics.serve(metrics_port)
    leadership = Leadership(config, node_id, credentials)
    topic = EventTopicLink(settings, config.group, options)
    exporter = make_exporter(config, node_id, credentials, topic=topic, look=leadership.look, metrics=metrics)
    stopping = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    logger.info("exporter of group %s beside %s, for %s", config.group, node_id, ", ".join(settings.bootstrap_servers))
    try:
        while not stopping:
            exporter.step()
    except TopicUnusable as error:
        logger.critical("the exporter stops: %s", error)
        return EXIT_HALTED
    finally:
        exporter.close()
        leadership.close()
    return 0


def make_exporter(
    config: Config,
    node_id: str,
    credentials: LinkCredentials,
    *,
    topic: EventTopicLink,
    look: Callable[[], Standing],
    metrics: ExporterMetrics,
) -> Exporter:
    """An exporter that reads the history from the doors of the configuration's group."""
    # While the replica beside it leads, that is asked last: it has most to do.
    doors = [(other, *config.nodes[other].door) for other in sorted(config.nodes, key=lambda other: other == node_id)]

    def source(sequence: int, chain: bytes) -> EntrySource:
        return EntrySource(doors, group_id=group_id(config), credentials=credentials, sequence=sequence, chain=chain)

    return Exporter(topic=topic, source=source, look=look, metrics=metrics)


def kafka_settings(config: Config) -> KafkaSettings:
    """The file's ``[kafka]``. ConfigError if it has none."""
    if config.kafka is None:
        raise ConfigError(
            f'{config.path}: kafka: there is no such table; it must name bootstrap_servers = ["HOST:PORT"]'
        )
    return config.kafka
