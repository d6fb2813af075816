"""Reading a topic of events from a position in the log: every entry once, in order, verified.

The position is a sequence and a chain value, as for ``replication.entry_source``; nothing about offsets needs to be
kept. Where in the topic it is, is searched for by halves. Repeats are skipped. They make sequences go back here and
there, so the search may end behind an entry that is needed. The next message after it shows that, and reading begins
again earlier, at last with the first message; so it does, within limits, where no more messages come. What is missing
from the first message on is missing (``EntryMissing``), and a chain that does not fit is another history
(``HistoryDiffers``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, KafkaTimeoutError

from engine.entry import Entry, EntryError, decode_entry
from replication.archive import ArchiveDamaged, verified_entry
from replication.entry_source import EntryMissing, HistoryDiffers
from replication.event_topic import MESSAGE_BYTES_MAX
from replication.kafka_clients import open_client

MESSAGES_PER_READ: Final = 2_000
_STEP_BACK: Final = 64  # messages, when reading begins again for the first time; then ever more
_IDLE_STEP_BACK_MAX: Final = 65_536  # where nothing shows that it is needed
_SEARCH_TIMEOUT_S: Final = 10.0
_END_KNOWN_FOR_S: Final = 2.0


class Partition(Protocol):
    """The one partition of a topic of events. Every method may raise KafkaError."""

    def offsets(self) -> tuple[int, int]:
        """Of the first message that is there, and the one that the next message will have."""

    def read(self, offset: int, wait_s: float, count_max: int) -> list[tuple[int, bytes]]:
        """Messages from an offset on, with theirs; waits for the first. ``[]`` if there is none by then."""

    def close(self) -> None: ...


class EventTopicReader:
    """``sequence`` and ``chain`` are the position; ``last_sequence`` is that of the topic's end, as last seen."""

    def __init__(self, topic: str, open_partition: Callable[[], Partition], *, sequence: int, chain: bytes) -> None:
        """Connects when it is first read, and again after a KafkaError."""
        self.sequence, self.chain = sequence, chain
        self.last_sequence = 0
        self._topic = topic
        self._open_partition = open_partition
        self._partition: Partition | None = None
        self._offset = self._began_at = self._first = 0
        self._step_back = _STEP_BACK
        self._end_seen_s = 0.0

    def read(self, wait_s: float) -> list[Entry]:
        """The next entries; ``[]`` if there are none within ``wait_s``. KafkaError, EntryMissing, HistoryDiffers."""
        try:
            return self._read(wait_s)
        except KafkaError:
            self.close()
            raise

    def close(self) -> None:
        if self._partition is not None:
            self._partition.close()
            self._partition = None

    def _read(self, wait_s: float) -> list[Entry]:
        if self._partition is None:
            self._partition = self._open_partition()
            self._begin_at(self._find(self._partition))
        self._look_at_the_end(self._partition)
        entries: list[Entry] = []
        messages = self._partition.read(self._offset, wait_s, MESSAGES_PER_READ)
        if not messages and self._step_back <= _IDLE_STEP_BACK_MAX:
            self._begin_earlier()
        for offset, value in messages:
            entry = self._decoded(offset, value)
            if entry.first_sequence > self.sequence + 1:
                self._step_back_or_give_up(entry)
                break
            self._offset = offset + 1
            if entry.last_sequence > self.sequence:
                self._verify(offset, value)
                self.sequence, self.chain = entry.last_sequence, entry.chain
                entries.append(entry)
        self.last_sequence = max(self.last_sequence, self.sequence)
        return entries

    def _find(self, partition: Partition) -> int:
        """An offset from which on the next entry should come: by halves, as if there were no repeats."""
        self._first, end = partition.offsets()
        found, behind = self._first, end
        while behind - found > 1:
            middle = (found + behind) // 2
            if self._at(partition, middle).first_sequence <= self.sequence + 1:
                found = middle
            else:
                behind = middle
        return found

    def _begin_at(self, offset: int) -> None:
        self._offset = self._began_at = offset

    def _step_back_or_give_up(self, entry: Entry) -> None:
        if self._began_at <= self._first:
            raise EntryMissing(
                self.sequence + 1,
                f"topic {self._topic} lacks sequence {self.sequence + 1}: "
                f"an entry with {entry.first_sequence} to {entry.last_sequence} follows",
            )
        self._begin_earlier()

    def _begin_earlier(self) -> None:
        if self._began_at > self._first:
            self._begin_at(max(self._first, self._began_at - self._step_back))
            self._step_back *= 4

    def _look_at_the_end(self, partition: Partition) -> None:
        if time.monotonic() - self._end_seen_s < _END_KNOWN_FOR_S:
            return
        self._end_seen_s = time.monotonic()
        first, end = partition.offsets()
        if end > first:
            self.last_sequence = max(self.last_sequence, self._at(partition, end - 1).last_sequence)

    def _at(self, partition: Partition, offset: int) -> Entry:
        messages = partition.read(offset, _SEARCH_TIMEOUT_S, 1)
        if not messages:
            raise KafkaTimeoutError(f"message {offset} of topic {self._topic} did not come in {_SEARCH_TIMEOUT_S:g} s")
        return self._decoded(*messages[0])

    def _decoded(self, offset: int, value: bytes) -> Entry:
        try:
            return decode_entry(value)
        except EntryError as error:
            raise HistoryDiffers(
                self.sequence + 1, f"message {offset} of topic {self._topic} is not an entry: {error}"
            ) from None

    def _verify(self, offset: int, value: bytes) -> None:
        try:
            verified_entry(value, self.sequence + 1, self.chain)
        except ArchiveDamaged as damage:
            raise HistoryDiffers(
                self.sequence + 1,
                f"message {offset} of topic {self._topic} does not continue sequence {self.sequence}: {damage}",
            ) from None


class KafkaPartition:
    """``options`` are those of ``kafka_settings.client_options``. KafkaError if no broker answers."""

    def __init__(self, topic: str, options: Mapping[str, Any]) -> None:
        self._partition = TopicPartition(topic, 0)
        self._position = -1
        self._consumer = open_client(
            KafkaConsumer,
            options,
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_partition_fetch_bytes=MESSAGE_BYTES_MAX,
        )
        self._consumer.assign([self._partition])

    def offsets(self) -> tuple[int, int]:
        first = self._consumer.beginning_offsets([self._partition])[self._partition]
        end = self._consumer.end_offsets([self._partition])[self._partition]
        return first, end

    def read(self, offset: int, wait_s: float, count_max: int) -> list[tuple[int, bytes]]:
        if offset != self._position:
            self._consumer.seek(self._partition, offset)
            self._position = offset
        polled = self._consumer.poll(timeout_ms=int(wait_s * 1_000), max_records=count_max)
        records = polled.get(self._partition, [])
        if records:
            self._position = records[-1].offset + 1
        return [(record.offset, record.value or b"") for record in records]

    def close(self) -> None:
        self._consumer.close(timeout_ms=1_000)
