"""A topic of events in memory that misbehaves like Kafka does: it takes a batch, loses it, or takes it later."""

from __future__ import annotations

from kafka.errors import KafkaTimeoutError

from engine.entry import GENESIS_CHAIN, Entry, chain_after, decode_entry
from replication.event_topic import Batch, read_last_message

TAKEN, LOST, LATE, TAKEN_BUT_NOT_TOLD = "taken", "lost", "late", "taken, and not told"


class MemoryTopic:
    """What all exporters write to."""

    topic = "events"

    def __init__(self) -> None:
        self.values: list[bytes] = []
        self.late: list[list[bytes]] = []

    def deliver_late(self) -> None:
        """What an exporter gave up on arrives after all."""
        for values in self.late:
            self.values.extend(values)
        self.late.clear()


class MemoryTopicLink:
    """One exporter's view of it; ``fates`` are those of its next batches, the last one for all that follow."""

    def __init__(self, shared: MemoryTopic, *fates: str) -> None:
        self.topic = shared.topic
        self.fates = list(fates) or [TAKEN]
        self.is_away = False
        self._shared = shared
        self._batch: list[bytes] = []

    def prepare(self) -> None:
        self._require()

    def last_entry(self) -> Entry | None:
        self._require()
        return read_last_message(self.topic, self._shared.values[-1]) if self._shared.values else None

    def send(self, batch: Batch) -> None:
        assert not self._batch, "a batch is on its way"
        self._batch = [message.value for message in batch.messages]

    def settle(self, timeout_s: float) -> bool:
        if self.is_away:
            return False
        fate = self.fates.pop(0) if len(self.fates) > 1 else self.fates[0]
        if fate in (TAKEN, TAKEN_BUT_NOT_TOLD):
            self._shared.values.extend(self._batch)
        elif fate == LATE:
            self._shared.late.append(self._batch)
        self._batch = []
        if fate != TAKEN:
            raise KafkaTimeoutError("the batch was not acknowledged")
        return True

    def abandon(self) -> None:
        self._batch = []

    def _require(self) -> None:
        if self.is_away:
            raise KafkaTimeoutError("no broker answers")


class MemorySource:
    """Reads a history that grows."""

    def __init__(self, history: list[Entry], sequence: int, *, stretch: int = 3) -> None:
        self._history = history
        self._sequence = sequence
        self._stretch = stretch

    def read(self, wait_s: float = 0.0) -> list[Entry]:
        found = [entry for entry in self._history if entry.first_sequence > self._sequence][: self._stretch]
        if found:
            self._sequence = found[-1].last_sequence
        return found

    def close(self) -> None:
        pass


def add_entry(history: list[Entry], count: int = 1, size_bytes: int = 8) -> None:
    """What is committed next."""
    chain = history[-1].chain if history else GENESIS_CHAIN
    first = history[-1].last_sequence + 1 if history else 1
    body = first.to_bytes(8, "little").ljust(size_bytes, b"\0")
    history.append(Entry(first, first, count, b"", body, chain_after(chain, first, first, count, b"", body)))


def applied(values: list[bytes]) -> list[bytes]:
    """What a consumer keeps that applies a message only if it continues what it applied last."""
    kept: list[bytes] = []
    sequence, chain = 0, GENESIS_CHAIN
    for value in values:
        entry = decode_entry(value)
        computed = chain_after(
            chain, entry.first_sequence, entry.timestamp_ns, entry.command_count, entry.commands, entry.events
        )
        if entry.first_sequence == sequence + 1 and entry.chain == computed:
            kept.append(value)
            sequence, chain = entry.last_sequence, entry.chain
    return kept
