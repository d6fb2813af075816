"""The topic of events: what a message is, where an exporter goes on, which settings the topic must have. No I/O.

One message per committed entry, in the order of their sequences, in one partition. Its value is the entry as it is
archived (``engine.entry``), its key the market group; the headers repeat as text what a reader may want to know
without decoding: ``first_sequence``, ``last_sequence``, ``chain`` (hex) and ``term``, that of the leader beside which
the exporter ran.

Delivery is at least once. Two exporters may send at the same time, where one has not noticed yet that its replica
does not lead any more: then messages are repeated, and their sequences may go back. What holds all the same:

    Before a message of entry N the topic has every entry below N.

Each exporter begins behind the *last message* of the topic, wherever that is, and sends the next batch only after all
of the one before is acknowledged. So whoever applies a message only if it continues what was applied last, and ignores
every other, sees each entry once and without a gap; and an exporter that goes on behind a late repeat repeats more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from engine.entry import Entry, EntryError, decode_entry, encode_entry
from replication.kafka_settings import KafkaSettings

PARTITIONS: Final = 1
# An entry that cancels a million orders has some sixty megabytes. A Kafka server takes requests of a hundred.
MESSAGE_BYTES_MAX: Final = 64 * 1024 * 1024
BATCH_BYTES_MAX: Final = 1024 * 1024
BATCH_MESSAGES_MAX: Final = 2_000
RECORD_OVERHEAD_BYTES: Final = 512  # key, headers and lengths of one message, at most

FIRST_SEQUENCE_HEADER: Final = "first_sequence"
LAST_SEQUENCE_HEADER: Final = "last_sequence"
CHAIN_HEADER: Final = "chain"
TERM_HEADER: Final = "term"

Header = tuple[str, bytes]


class TopicUnusable(Exception):
    """The topic is not one that we may write to. Somebody has to look at it; the text says at what."""


class TopicAhead(Exception):
    """The topic has entries that this replica has not executed: it does not lead any more, or something is wrong."""


class Message(NamedTuple):
    """One entry on its way: the value of a Kafka record, and its headers."""

    value: bytes
    headers: list[Header]
    last_sequence: int
    command_count: int


class TopicFacts(NamedTuple):
    """What a topic that exists is like; ``replication_factor`` is the least of its partitions."""

    partition_count: int
    replication_factor: int
    settings: Mapping[str, str]


def message_of(entry: Entry, term: int) -> Message:
    headers = [
        (FIRST_SEQUENCE_HEADER, b"%d" % entry.first_sequence),
        (LAST_SEQUENCE_HEADER, b"%d" % entry.last_sequence),
        (CHAIN_HEADER, entry.chain.hex().encode("ascii")),
        (TERM_HEADER, b"%d" % term),
    ]
    return Message(encode_entry(entry), headers, entry.last_sequence, entry.command_count)


class Batch:
    """Messages that are sent together: all of them are in the topic afterwards, or none."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.size_bytes = 0

    def takes(self, message: Message) -> bool:
        """Whether one more fits. A message that is larger than a batch goes alone."""
        if not self.messages:
            return True
        size_bytes = self.size_bytes + len(message.value) + RECORD_OVERHEAD_BYTES
        return size_bytes <= BATCH_BYTES_MAX and len(self.messages) < BATCH_MESSAGES_MAX

    def add(self, message: Message) -> None:
        """TopicUnusable if no topic of ours takes a message of this size."""
        assert self.takes(message), "the batch is full"
        size_bytes = len(message.value) + RECORD_OVERHEAD_BYTES
        if size_bytes > MESSAGE_BYTES_MAX:
            raise TopicUnusable(
                f"the entry that ends at sequence {message.last_sequence} has {len(message.value)} bytes, "
                f"and a message may have {MESSAGE_BYTES_MAX}"
            )
        self.messages.append(message)
        self.size_bytes += size_bytes


def read_last_message(topic: str, value: bytes | None) -> Entry:
    """The entry of the message at the end of the topic. TopicUnusable if it is none."""
    try:
        return decode_entry(value or b"")
    except EntryError as error:
        raise TopicUnusable(
            f"the last message of topic {topic} is not an entry ({error}): it has another use"
        ) from None


def require_not_ahead(topic: str, exported_sequence: int, leader_sequence: int) -> None:
    """TopicAhead if the topic has more than our replica, which thinks that it leads and has all that is committed."""
    if exported_sequence > leader_sequence:
        raise TopicAhead(
            f"topic {topic} goes to sequence {exported_sequence}, this replica to {leader_sequence}: another one leads "
            "by now; or, if this lasts, the topic is another exchange's, or this one has lost a part of its history"
        )


def topic_settings(settings: KafkaSettings) -> dict[str, str]:
    """What a topic of events is created with: it is history, so nothing is ever deleted."""
    return {
        "cleanup.policy": "delete",
        "retention.ms": "-1",
        "retention.bytes": "-1",
        "min.insync.replicas": str(settings.min_insync_replicas),
        "max.message.bytes": str(MESSAGE_BYTES_MAX),
        "unclean.leader.election.enable": "false",
    }


def require_settings(topic: str, facts: TopicFacts, settings: KafkaSettings) -> None:
    """TopicUnusable if a topic that is there would lose or reorder events, with everything that is wrong with it."""
    wanted = topic_settings(settings)
    faults = []
    if facts.partition_count != PARTITIONS:
        faults.append(f"it has {facts.partition_count} partitions instead of {PARTITIONS}")
    if facts.replication_factor < settings.replication_factor:
        faults.append(f"it has {facts.replication_factor} replicas, kafka.replication_factor asks for more")
    for name, least in (
        ("min.insync.replicas", settings.min_insync_replicas),
        ("max.message.bytes", MESSAGE_BYTES_MAX),
    ):
        if int(facts.settings[name]) < least:
            faults.append(f"{name} is {facts.settings[name]}, and must be at least {least}")
    faults += [
        f"{name} is {facts.settings[name]}, and must be {wanted[name]}"
        for name in ("cleanup.policy", "retention.ms", "retention.bytes", "unclean.leader.election.enable")
        if facts.settings[name] != wanted[name]
    ]
    if faults:
        raise TopicUnusable(
            f"topic {topic} cannot be used: {'; '.join(faults)}. Change it with Kafka's own tools, or choose another "
            "kafka.topic_prefix"
        )
