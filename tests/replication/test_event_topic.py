import pytest

from engine.entry import GENESIS_CHAIN, Entry, chain_after, decode_entry
from replication.event_topic import (
    BATCH_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    Batch,
    Message,
    TopicAhead,
    TopicFacts,
    TopicUnusable,
    message_of,
    read_last_message,
    require_not_ahead,
    require_settings,
    topic_settings,
)
from replication.kafka_settings import KafkaSettings

SETTINGS = KafkaSettings(("127.0.0.1:9092",), replication_factor=3, min_insync_replicas=2)


def entry(first_sequence: int, count: int = 1, events: bytes = b"events") -> Entry:
    chain = chain_after(GENESIS_CHAIN, first_sequence, 17, count, b"commands", events)
    return Entry(first_sequence, 17, count, b"commands", events, chain)


def message(size_bytes: int, last_sequence: int = 1) -> Message:
    return Message(bytes(size_bytes), [], last_sequence, 1)


def test_a_message_is_the_archived_bytes_and_says_in_its_headers_what_they_are() -> None:
    archived = entry(7, count=3)
    told = message_of(archived, term=5)
    assert decode_entry(told.value) == archived
    assert (told.last_sequence, told.command_count) == (9, 3)
    assert dict(told.headers) == {
        "first_sequence": b"7",
        "last_sequence": b"9",
        "chain": archived.chain.hex().encode(),
        "term": b"5",
    }


def test_a_batch_takes_messages_up_to_its_size_and_a_large_one_alone() -> None:
    batch = Batch()
    half = message(BATCH_BYTES_MAX // 2 - 1_000)
    batch.add(half)
    assert batch.takes(half)
    batch.add(half)
    assert not batch.takes(message(2_000))
    alone = Batch()
    large = message(3 * BATCH_BYTES_MAX)
    assert alone.takes(large)
    alone.add(large)
    assert not alone.takes(message(1))


def test_an_entry_that_no_message_can_carry_is_named() -> None:
    with pytest.raises(TopicUnusable, match=r"the entry that ends at sequence 12 has \d+ bytes"):
        Batch().add(message(MESSAGE_BYTES_MAX, last_sequence=12))


def test_the_last_message_says_where_to_go_on() -> None:
    assert read_last_message("t", message_of(entry(7, count=3), 1).value) == entry(7, count=3)


@pytest.mark.parametrize("value", [b"", None, b"hello", message_of(entry(1), 1).value[:-1]])
def test_a_topic_that_ends_with_something_else_is_refused(value: bytes | None) -> None:
    with pytest.raises(TopicUnusable, match="the last message of topic t is not an entry"):
        read_last_message("t", value)


def test_nobody_writes_behind_entries_that_the_leader_does_not_have() -> None:
    require_not_ahead("t", 9, 9)
    with pytest.raises(TopicAhead, match="goes to sequence 10, this replica to 9"):
        require_not_ahead("t", 10, 9)


def test_a_topic_as_we_make_it_is_accepted() -> None:
    require_settings("t", TopicFacts(1, 3, topic_settings(SETTINGS)), SETTINGS)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"retention.ms": "604800000"}, "retention.ms is 604800000, and must be -1"),
        ({"retention.bytes": "1000"}, "retention.bytes is 1000, and must be -1"),
        ({"cleanup.policy": "compact"}, "cleanup.policy is compact, and must be delete"),
        ({"min.insync.replicas": "1"}, "min.insync.replicas is 1, and must be at least 2"),
        ({"max.message.bytes": "1048588"}, "max.message.bytes is 1048588, and must be at least"),
        ({"unclean.leader.election.enable": "true"}, "unclean.leader.election.enable is true"),
    ],
)
def test_a_topic_that_would_lose_events_is_refused(change: dict[str, str], fault: str) -> None:
    with pytest.raises(TopicUnusable, match=fault):
        require_settings("t", TopicFacts(1, 3, topic_settings(SETTINGS) | change), SETTINGS)


def test_everything_that_is_wrong_with_a_topic_is_said_at_once() -> None:
    with pytest.raises(TopicUnusable, match=r"2 partitions instead of 1; it has 1 replicas, .* retention.ms is 5"):
        require_settings("t", TopicFacts(2, 1, topic_settings(SETTINGS) | {"retention.ms": "5"}), SETTINGS)
