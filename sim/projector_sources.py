"""Where a projector's entries come from: the doors of replicas, or Kafka; up to a point where that is asked."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from kafka.errors import KafkaError

from engine.entry import Entry
from projections.group_fold import Position
from projections.source import HistoryRefused, Source, SourceUnavailable
from replication.config import Config
from replication.entry_source import EntryMissing, EntrySource, EntrySourceError, HistoryDiffers
from replication.event_topic_reader import EventTopicReader, KafkaPartition
from replication.tls import LinkCredentials


class DoorSource:
    """A group's replicas. An entry that none of them has may come back with a replica that is down now."""

    def __init__(self, config: Config, credentials: LinkCredentials, position: Position) -> None:
        """``config`` is the view of the group (``replication.market_groups``)."""
        self._entries = EntrySource.of_group(config, credentials, sequence=position.sequence, chain=position.chain)

    @property
    def last_sequence(self) -> int:
        return self._entries.last_sequence

    def read(self, wait_s: float) -> list[Entry]:
        try:
            return self._entries.read(wait_s)
        except HistoryDiffers as error:
            raise HistoryRefused(str(error)) from error
        except EntrySourceError as error:
            raise SourceUnavailable(str(error)) from error

    def close(self) -> None:
        self._entries.close()


class TopicSource:
    """A group's topic of events in Kafka."""

    def __init__(self, topic: str, options: Mapping[str, Any], position: Position) -> None:
        """``options`` are those of ``replication.kafka_settings.client_options``."""
        self._reader = EventTopicReader(
            topic, lambda: KafkaPartition(topic, options), sequence=position.sequence, chain=position.chain
        )

    @property
    def last_sequence(self) -> int:
        return self._reader.last_sequence

    def read(self, wait_s: float) -> list[Entry]:
        try:
            return self._reader.read(wait_s)
        except (EntryMissing, HistoryDiffers) as error:
            raise HistoryRefused(str(error)) from error
        except KafkaError as error:
            raise SourceUnavailable(f"Kafka: {error}") from error

    def close(self) -> None:
        self._reader.close()


class LimitedSource:
    """Another source up to a sequence at which an entry ends; behind it there is nothing."""

    def __init__(self, source: Source, until_sequence: int) -> None:
        self._source = source
        self._until_sequence = until_sequence
        self._is_over = False

    @property
    def last_sequence(self) -> int:
        return min(self._source.last_sequence, self._until_sequence)

    def read(self, wait_s: float) -> list[Entry]:
        if self._is_over:
            time.sleep(wait_s)  # and leave what comes later where it is
            return []
        entries = self._source.read(wait_s)
        self._is_over = bool(entries) and entries[-1].last_sequence >= self._until_sequence
        return [entry for entry in entries if entry.last_sequence <= self._until_sequence]

    def close(self) -> None:
        self._source.close()
