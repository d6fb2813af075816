"""``tally exporter``: publishes the archive of one market group to Kafka, while the replica beside it leads.

A process of its own: a busy thread beside Raft would halve its rate. It reads committed entries from the doors of the
replicas (``replication.entry_source``), first from those that do not lead, and sends them in batches
(``replication.event_topic``). Only as much is read as Kafka takes, so that an hour without Kafka costs lag, but neither
memory nor anybody's order.

Each take-over begins anew at the topic's end, and what is there must have the chain of the replicas' archives.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from kafka.errors import KafkaError

from engine.entry import GENESIS_CHAIN, Entry
from replication.entry_source import EntrySourceError, HistoryDiffers
from replication.event_topic import (
    BATCH_BYTES_MAX,
    Batch,
    Message,
    TopicAhead,
    TopicUnusable,
    message_of,
    require_not_ahead,
)
from replication.exporter_metrics import ExporterMetrics
from replication.leadership import Standing

LINGER_S: Final = 0.05
LOOK_EVERY_S: Final = 0.25
RETRY_PAUSE_S_MIN: Final = 0.25
RETRY_PAUSE_S_MAX: Final = 1.5  # with the time that a client waits for a broker: less than a supervisor's patience
REMIND_EVERY_S: Final = 60.0
ACKNOWLEDGEMENT_S_MAX: Final = 5.0  # later than that is worth a word in the log

logger = logging.getLogger(__name__)


class Topic(Protocol):
    """Where the entries go: ``replication.event_topic_link``."""

    topic: str

    def prepare(self) -> None: ...
    def last_entry(self) -> Entry | None: ...
    def send(self, batch: Batch) -> None: ...
    def settle(self, timeout_s: float) -> bool: ...
    def abandon(self) -> None: ...


class Source(Protocol):
    """Where they come from: ``replication.entry_source``."""

    def read(self, wait_s: float = 0.0) -> list[Entry]: ...
    def close(self) -> None: ...


class Exporter:
    """``source`` opens the history behind a sequence and its chain value; ``look`` says whether our replica leads."""

    def __init__(
        self,
        *,
        topic: Topic,
        source: Callable[[int, bytes], Source],
        look: Callable[[], Standing],
        metrics: ExporterMetrics,
        now_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._topic = topic
        self._open_source = source
        self._look = look
        self._metrics = metrics
        self._now_s = now_s
        self._sleep = sleep
        self._standing = Standing()
        self._look_at_s = 0.0
        self._source: Source | None = None
        self._unsent: deque[Message] = deque()
        self._on_its_way: Batch | None = None
        self._sent_at_s = 0.0
        self.exported_sequence = 0
        self._trouble = _Trouble(metrics)

    def step(self, wait_s: float = LOOK_EVERY_S) -> None:
        """Look who leads, and send at most one batch. TopicUnusable if the topic is not one that we may write to."""
        try:
            if self._now_s() >= self._look_at_s:
                self._look_again()
            if self._on_its_way is not None:
                self._settle(self._on_its_way, wait_s)
            elif not self._standing.serving:
                self._leave()
                self._trouble.forget()
                self._sleep(wait_s)
            elif self._source is None:
                self._take_over()
            else:
                self._send_more(self._source, wait_s)
        except (KafkaError, EntrySourceError, TopicAhead) as error:
            if isinstance(error, HistoryDiffers):
                raise TopicUnusable(f"topic {self._topic.topic} holds another history: {error}") from None
            self._leave()
            self._sleep(self._trouble.note(error))

    def close(self, timeout_s: float = 2.0) -> None:
        """Give what is on its way a last chance, and end."""
        try:
            if self._on_its_way is not None:
                self._settle(self._on_its_way, timeout_s)
        except KafkaError as error:
            logger.info("the last batch was not acknowledged (%s): the next exporter sends it again", error)
        self._leave()
        self._topic.abandon()

    def _look_again(self) -> None:
        self._standing = self._look()
        self._look_at_s = self._now_s() + LOOK_EVERY_S
        behind = self._standing.sequence - self.exported_sequence if self._source is not None else 0
        self._metrics.leader_sequence.set(self._standing.sequence)
        self._metrics.behind_commands.set(max(0, behind))

    def _take_over(self) -> None:
        self._topic.prepare()
        last = self._topic.last_entry()
        self._look_again()  # the topic may have grown since: whoever sent that had read it from replicas that had it
        if not self._standing.serving:
            return
        sequence, chain = (0, GENESIS_CHAIN) if last is None else (last.last_sequence, last.chain)
        require_not_ahead(self._topic.topic, sequence, self._standing.sequence)
        self._source = self._open_source(sequence, chain)
        self._exported(sequence)
        self._metrics.take_overs.inc()
        self._metrics.active.set(1)
        self._metrics.acknowledged_s.set_to_current_time()
        if sequence == self._standing.sequence:
            self._trouble.over()
        logger.info("exporting to %s after sequence %d, term %d", self._topic.topic, sequence, self._standing.term)

    def _leave(self) -> None:
        """Send nothing more, until the end of the topic was read again."""
        if self._source is not None:
            logger.info("no more exporting to %s after sequence %d", self._topic.topic, self.exported_sequence)
            self._source.close()
            self._source = None
        self._unsent.clear()
        self._on_its_way = None
        self._metrics.active.set(0)

    def _send_more(self, source: Source, wait_s: float) -> None:
        if not self._unsent:
            self._read_more(source, wait_s)
            if self._unsent and sum(len(message.value) for message in self._unsent) < BATCH_BYTES_MAX // 2:
                self._sleep(LINGER_S)  # what comes meanwhile travels with it
                self._read_more(source, 0.0)
        batch = Batch()
        while self._unsent and batch.takes(self._unsent[0]):
            batch.add(self._unsent.popleft())
        if batch.messages:
            self._on_its_way = batch
            self._sent_at_s = self._now_s()
            self._topic.send(batch)

    def _read_more(self, source: Source, wait_s: float) -> None:
        self._unsent.extend(message_of(entry, self._standing.term) for entry in source.read(wait_s))

    def _settle(self, batch: Batch, wait_s: float) -> None:
        if not self._topic.settle(wait_s):
            if self._now_s() > self._sent_at_s + ACKNOWLEDGEMENT_S_MAX:
                self._trouble.waiting()
            return
        self._trouble.over()
        self._metrics.entries.inc(len(batch.messages))
        self._metrics.commands.inc(sum(message.command_count for message in batch.messages))
        self._metrics.bytes.inc(sum(len(message.value) for message in batch.messages))
        self._metrics.acknowledged_s.set_to_current_time()
        self._exported(batch.messages[-1].last_sequence)
        self._on_its_way = None

    def _exported(self, sequence: int) -> None:
        self.exported_sequence = sequence
        self._metrics.exported_sequence.set(sequence)
        self._metrics.behind_commands.set(max(0, self._standing.sequence - sequence))


class _Trouble:
    """Says since when nothing can be exported: at once, then once a minute, and when it is over."""

    def __init__(self, metrics: ExporterMetrics) -> None:
        self._metrics = metrics
        self._since_s = 0.0
        self._remind_at_s = 0.0
        self._pause_s = RETRY_PAUSE_S_MIN

    def note(self, error: Exception) -> float:
        """Something failed. Answers after how many seconds to try again."""
        self._tell(str(error) or type(error).__name__)
        pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, RETRY_PAUSE_S_MAX)
        return pause_s

    def waiting(self) -> None:
        self._tell("Kafka does not acknowledge what was sent")

    def over(self) -> None:
        if self._since_s:
            logger.info("exporting again, after %.0f s", time.time() - self._since_s)
        self.forget()

    def forget(self) -> None:
        """It is another exporter's by now."""
        self._since_s, self._remind_at_s, self._pause_s = 0.0, 0.0, RETRY_PAUSE_S_MIN
        self._metrics.failing_since_s.set(0)

    def _tell(self, reason: str) -> None:
        now_s = time.time()
        if not self._since_s:
            self._since_s = now_s
            self._metrics.failing_since_s.set(now_s)
        if now_s >= self._remind_at_s:
            self._remind_at_s = now_s + REMIND_EVERY_S
            since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._since_s))
            logger.warning("nothing is exported since %s: %s. Orders go on; it will be caught up", since, reason)
