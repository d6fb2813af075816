"""Reading a topic from any position, with repeats by zombies, and what is no topic of ours."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest
from kafka.errors import KafkaConnectionError

from engine.codec import encode_command
from engine.commands import CreateAsset
from engine.entry import GENESIS_CHAIN, Entry, encode_entry
from engine.machine import Machine
from replication.entry_source import EntryMissing, HistoryDiffers
from replication.event_topic_reader import EventTopicReader

MACHINE = Machine()


def an_entry(number: int) -> Entry:
    commands = encode_command(CreateAsset(0, number, 2, b"A%d" % number)) * (1 + number % 3)
    return MACHINE.apply(number, commands).entry


ENTRIES: Sequence[Entry] = [an_entry(number) for number in range(300)]


class MemoryPartition:
    """Messages from ``first`` on; those before it are gone. ``failures`` are so many reads that fail."""

    def __init__(self, values: Sequence[bytes], first: int = 0, failures: int = 0) -> None:
        self.values = list(values)
        self.first = first
        self.failures = failures
        self.reads = 0

    def offsets(self) -> tuple[int, int]:
        return self.first, self.first + len(self.values)

    def read(self, offset: int, wait_s: float, count_max: int) -> list[tuple[int, bytes]]:
        self.reads += 1
        if self.failures:
            self.failures -= 1
            raise KafkaConnectionError("no broker answers")
        found = self.values[offset - self.first :][: min(count_max, 7)]
        return [(offset + index, value) for index, value in enumerate(found)]

    def close(self) -> None:
        pass


def with_repeats(random: Random) -> list[bytes]:
    """As exporters leave it: one that falls back repeats what another has written, and goes on from there or not."""
    values: list[bytes] = []
    at = 0
    while at < len(ENTRIES):
        size = random.randint(1, 20)
        values += map(encode_entry, ENTRIES[at : at + size])
        at = min(len(ENTRIES), at + size)
        if not random.randrange(4):
            back = max(0, at - random.randint(1, 60))
            values += map(encode_entry, ENTRIES[back : back + random.randint(1, at - back)])
    return values


def read_all(reader: EventTopicReader) -> list[Entry]:
    found: list[Entry] = []
    idle = 0
    while reader.sequence < ENTRIES[-1].last_sequence:
        stretch = reader.read(0.0)
        idle += not stretch
        assert idle < 1_000, "it does not come to the end"
        found += stretch
    return found


def reader_at(partition: MemoryPartition, done: int) -> EventTopicReader:
    """A reader that has so many entries already."""
    last = ENTRIES[done - 1] if done else None
    position = (last.last_sequence, last.chain) if last else (0, GENESIS_CHAIN)
    return EventTopicReader("events", lambda: partition, sequence=position[0], chain=position[1])


@pytest.mark.parametrize("seed", range(30))
def test_from_any_position_each_entry_comes_once_and_in_order(seed: int) -> None:
    print("seed", seed)
    random = Random(seed)
    values = with_repeats(random)
    for done in (0, 1, len(ENTRIES) - 1, *(random.randrange(len(ENTRIES)) for _ in range(5))):
        assert read_all(reader_at(MemoryPartition(values), done)) == ENTRIES[done:]


def test_a_position_near_the_end_is_found_without_reading_all() -> None:
    partition = MemoryPartition([encode_entry(entry) for entry in ENTRIES])
    reader = reader_at(partition, len(ENTRIES) - 3)
    assert read_all(reader) == ENTRIES[-3:]
    assert partition.reads < 15
    assert reader.last_sequence == ENTRIES[-1].last_sequence
    assert reader.read(0.0) == []


def test_a_broker_that_goes_away_costs_nothing_but_time() -> None:
    partition = MemoryPartition(with_repeats(Random(1)))
    reader, found = reader_at(partition, 10), []
    failures = 0
    while reader.sequence < ENTRIES[-1].last_sequence:
        partition.failures = int(failures < 8 and partition.reads % 5 == 4)
        try:
            found += reader.read(0.0)
        except KafkaConnectionError:
            failures += 1
    assert found == ENTRIES[10:]
    assert failures > 3


def test_what_the_topic_does_not_have_any_more_is_missing() -> None:
    gone = MemoryPartition([encode_entry(entry) for entry in ENTRIES[5:]], first=5)
    with pytest.raises(EntryMissing, match="topic events lacks sequence 1: an entry with"):
        reader_at(gone, 0).read(0.0)
    assert read_all(reader_at(gone, 5)) == ENTRIES[5:]


def test_another_history_and_other_messages_are_refused() -> None:
    values = [encode_entry(entry) for entry in ENTRIES]
    with pytest.raises(HistoryDiffers, match="message 5 of topic events does not continue sequence"):
        EventTopicReader(
            "events", lambda: MemoryPartition(values), sequence=ENTRIES[4].last_sequence, chain=bytes([1]) * 32
        ).read(0.0)
    with pytest.raises(HistoryDiffers, match="message 0 of topic events is not an entry"):
        reader_at(MemoryPartition([b"hello"]), 0).read(0.0)


def test_an_empty_topic_has_nothing_yet() -> None:
    partition = MemoryPartition([])
    reader = reader_at(partition, 0)
    assert reader.read(0.0) == []
    partition.values += map(encode_entry, ENTRIES)
    assert read_all(reader) == ENTRIES
