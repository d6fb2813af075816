"""The exporter against a topic in memory; tests/kafka has it against a real broker."""

import random
from collections.abc import Callable

import pytest
from kafka.errors import KafkaTimeoutError

from engine.entry import Entry, decode_entry, encode_entry
from replication.entry_source import EntryMissing, HistoryDiffers
from replication.event_topic import BATCH_BYTES_MAX, TopicUnusable
from replication.exporter import Exporter, Source
from replication.exporter_metrics import ExporterMetrics
from replication.leadership import Standing
from tests.replication.memory_topic import (
    LATE,
    LOST,
    TAKEN,
    TAKEN_BUT_NOT_TOLD,
    MemorySource,
    MemoryTopic,
    MemoryTopicLink,
    add_entry,
    applied,
)


class Bench:
    """One exporter with everything around it in memory. Time passes when it sleeps."""

    def __init__(
        self, history: list[Entry], shared: MemoryTopic, source: Callable[[int, bytes], Source] | None = None
    ) -> None:
        self.history = history
        self.link = MemoryTopicLink(shared)
        self.metrics = ExporterMetrics("node-1", "main")
        self.leads = True
        self.slept_s = 0.0
        self.now_s = 0.0
        self.exporter = Exporter(
            topic=self.link,
            source=source or (lambda sequence, chain: MemorySource(history, sequence)),
            look=lambda: Standing(self.leads, 1, history[-1].last_sequence if history else 0),
            metrics=self.metrics,
            now_s=lambda: self.now_s,
            sleep=self._sleep,
        )

    def step(self, times: int = 1) -> None:
        for _ in range(times):
            self.now_s += 1.0
            self.exporter.step()

    def metric(self, name: str) -> float:
        value = self.metrics.registry.get_sample_value(name, {"node": "node-1", "group": "main"})
        assert value is not None, name
        return value

    def _sleep(self, seconds: float) -> None:
        self.slept_s += seconds
        self.now_s += seconds


def history_of(count: int) -> list[Entry]:
    history: list[Entry] = []
    for number in range(count):
        add_entry(history, count=1 + number % 3)
    return history


def test_every_entry_is_exported_once_in_order_as_it_is_archived() -> None:
    history, shared = history_of(10), MemoryTopic()
    bench = Bench(history, shared)
    bench.step(12)
    assert shared.values == [encode_entry(entry) for entry in history]
    add_entry(history)
    bench.step(3)
    assert shared.values == [encode_entry(entry) for entry in history]
    assert bench.metric("tally_exporter_exported_sequence") == history[-1].last_sequence
    assert bench.metric("tally_exporter_behind_commands") == 0
    assert bench.metric("tally_exporter_entries_total") == 11


def test_nothing_is_sent_while_another_replica_leads() -> None:
    bench = Bench(history_of(3), shared := MemoryTopic())
    bench.leads = False
    bench.step(5)
    assert not shared.values
    assert bench.metric("tally_exporter_active") == 0


def test_a_new_leader_goes_on_where_the_topic_ends() -> None:
    history, shared = history_of(7), MemoryTopic()
    first, second = Bench(history, shared), Bench(history, shared)
    first.step(8)
    add_entry(history)
    first.leads = False
    second.step(5)
    assert shared.values == [encode_entry(entry) for entry in history]
    assert second.metric("tally_exporter_take_overs_total") == 1


def test_one_that_led_before_reads_the_end_again_instead_of_trusting_its_memory() -> None:
    history, shared = history_of(3), MemoryTopic()
    first, second = Bench(history, shared), Bench(history, shared)
    first.step(4)
    first.leads = False
    first.step(2)
    add_entry(history)
    second.step(4)
    add_entry(history)
    second.leads, first.leads = False, True
    first.step(4)
    assert shared.values == [encode_entry(entry) for entry in history]


def test_while_a_batch_is_on_its_way_nothing_follows_it() -> None:
    history, shared = history_of(9), MemoryTopic()
    bench = Bench(history, shared)
    bench.step(2)
    bench.link.is_away = True
    bench.step(5)
    assert not shared.values
    bench.link.is_away = False
    bench.step(9)
    assert shared.values == [encode_entry(entry) for entry in history]


@pytest.mark.parametrize("fate", [LOST, LATE, TAKEN_BUT_NOT_TOLD])
def test_a_batch_without_an_answer_is_sent_again_before_anything_else(fate: str) -> None:
    history, shared = history_of(9), MemoryTopic()
    bench = Bench(history, shared)
    bench.link.fates = [TAKEN, fate, TAKEN]
    bench.step(20)
    shared.deliver_late()
    assert applied(shared.values) == [encode_entry(entry) for entry in history]


def test_while_kafka_is_away_it_waits_longer_and_longer_and_says_since_when(caplog: pytest.LogCaptureFixture) -> None:
    history, shared = history_of(4), MemoryTopic()
    bench = Bench(history, shared)
    bench.link.is_away = True
    bench.step(10)
    assert bench.slept_s > 10
    assert bench.metric("tally_exporter_failing_since_timestamp_seconds") > 0
    told = [record.message for record in caplog.records if "nothing is exported since" in record.message]
    assert len(told) == 1 and "no broker answers" in told[0]
    bench.link.is_away = False
    bench.step(6)
    assert shared.values == [encode_entry(entry) for entry in history]
    assert bench.metric("tally_exporter_failing_since_timestamp_seconds") == 0


def test_what_fails_is_no_trouble_of_ours_any_more_once_another_replica_leads() -> None:
    bench = Bench(history_of(4), MemoryTopic())
    bench.link.is_away = True
    bench.step(3)
    assert bench.metric("tally_exporter_failing_since_timestamp_seconds") > 0
    bench.leads = False
    bench.step()
    assert bench.metric("tally_exporter_failing_since_timestamp_seconds") == 0


def test_how_far_it_is_behind_is_told() -> None:
    history, shared = history_of(1), MemoryTopic()
    bench = Bench(history, shared)
    bench.step(4)
    bench.link.is_away = True
    for _ in range(5):
        add_entry(history)
    bench.step(2)
    assert bench.metric("tally_exporter_behind_commands") == 5


def test_small_entries_travel_together_and_a_batch_has_its_limit() -> None:
    shared = MemoryTopic()
    history: list[Entry] = []
    for _ in range(3):
        add_entry(history, size_bytes=BATCH_BYTES_MAX // 2 - 2_000)
    bench = Bench(history, shared)
    bench.step(2)
    bench.step()
    assert len(shared.values) == 2, "two of three fit"
    bench.step(2)
    assert len(shared.values) == 3


def test_another_history_stops_it() -> None:
    def source(sequence: int, chain: bytes) -> Source:
        raise HistoryDiffers(sequence + 1, "its chain value there is aa, ours is bb")

    bench = Bench(history_of(3), MemoryTopic(), source)
    with pytest.raises(TopicUnusable, match="topic events holds another history: its chain value there is aa"):
        bench.step(3)


def test_an_entry_that_no_replica_has_at_the_moment_is_waited_for() -> None:
    def source(sequence: int, chain: bytes) -> Source:
        raise EntryMissing(sequence + 1, "no replica that answers has sequence 1")

    bench = Bench(history_of(3), shared := MemoryTopic(), source)
    bench.step(3)
    assert bench.metric("tally_exporter_failing_since_timestamp_seconds") > 0
    assert not shared.values


def test_a_topic_that_is_ahead_of_its_replica_is_left_alone() -> None:
    history, shared = history_of(3), MemoryTopic()
    Bench(history, shared).step(5)
    behind = Bench(history[:1], shared)
    behind.step(3)
    assert behind.metric("tally_exporter_active") == 0
    assert behind.metric("tally_exporter_failing_since_timestamp_seconds") > 0
    assert len(shared.values) == 3


@pytest.mark.parametrize("seed", range(60))
def test_whatever_happens_every_entry_comes_after_all_before_it(seed: int) -> None:
    """Leaders change, zombies go on, batches are lost, late or doubted, processes are killed."""
    chance = random.Random(seed)
    print(f"seed {seed}")
    history, shared = history_of(3), MemoryTopic()
    benches = [Bench(history, shared) for _ in range(3)]
    for bench in benches:
        bench.leads = False
    for _ in range(150):
        bench = chance.choice(benches)
        match chance.randrange(7):
            case 0:
                add_entry(history, count=chance.randint(1, 3))
            case 1:
                bench.leads = not bench.leads  # two may think that they lead
            case 2:
                bench.link.fates = [chance.choice((TAKEN, TAKEN, LOST, LATE, TAKEN_BUT_NOT_TOLD)), TAKEN]
            case 3:
                shared.deliver_late()
            case 4 if chance.random() < 0.3:
                benches[benches.index(bench)] = Bench(history, shared)  # killed and started again
            case _:
                bench.step()
    shared.deliver_late()
    for bench in benches[1:]:
        bench.leads = False
    benches[0].leads, benches[0].link.fates = True, [TAKEN]
    benches[0].step(2 * len(history) + 10)
    highest = 0
    for value in shared.values:
        entry = decode_entry(value)
        assert entry.first_sequence <= highest + 1, "a gap"
        highest = max(highest, entry.last_sequence)
    assert applied(shared.values) == [encode_entry(entry) for entry in history]


def test_the_end_gives_what_is_on_its_way_a_last_chance() -> None:
    history, shared = history_of(2), MemoryTopic()
    bench = Bench(history, shared)
    bench.step(2)
    assert not shared.values
    bench.exporter.close()
    assert len(shared.values) == 2


def test_the_end_does_not_fail_where_kafka_does(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(history_of(2), MemoryTopic())
    bench.step(2)
    bench.link.fates = [LOST]
    caplog.set_level("INFO")
    bench.exporter.close()
    assert "the next exporter sends it again" in caplog.text
    with pytest.raises(KafkaTimeoutError):
        bench.link.settle(0.0)
