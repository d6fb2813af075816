"""The projector: sources that fail, repeat and lie, databases that go away, and what it says about it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from engine.codec import encode_event
from engine.entry import Entry, chain_after
from engine.events import OrderReplenished
from projections.database import database_url
from projections.group_fold import Position
from projections.projector import Projector, ProjectorHalted, ProjectorOptions
from projections.projector_metrics import ProjectorMetrics
from projections.source import HistoryRefused, OpenSource, Source, SourceUnavailable
from projections.store import Store
from tests.projections.databases import end_connections
from tests.projections.fold_harness import Exchange
from tests.projections.test_store import hash_of, project

ENTRIES = list(Exchange().entries(9, 200))
PATIENCE_S = 20.0


class Log:
    """A log in memory, read from a position on. ``script`` are exceptions to raise before reads."""

    def __init__(self, entries: Sequence[Entry], position: Position, script: list[Exception], *, again: int) -> None:
        self._entries = [entry for entry in entries if entry.last_sequence > position.sequence]
        self._known = [entry for entry in entries if entry.last_sequence <= position.sequence]
        self._script = script
        self._again = again
        self._at = 0
        self.last_sequence = 0

    def read(self, wait_s: float) -> list[Entry]:
        if self._script:
            raise self._script.pop(0)
        if self._at == len(self._entries):
            time.sleep(0.01)
            return []
        repeated = (self._known + self._entries[: self._at])[-self._again :] if self._again else []
        stretch = self._entries[self._at : self._at + 5]
        self._at += len(stretch)
        self.last_sequence = self._entries[-1].last_sequence
        return repeated + stretch

    def close(self) -> None:
        pass


def log(entries: Sequence[Entry], script: list[Exception] | None = None, *, again: int = 0) -> OpenSource:
    left = script or []

    def open_source(position: Position) -> Source:
        return Log(entries, position, left, again=again)

    return open_source


def run_until(
    url: str,
    groups: Mapping[str, OpenSource],
    reached: Callable[[dict[str, int]], bool],
    poll_groups: Callable[[], Mapping[str, OpenSource] | None] = lambda: None,
) -> CollectorRegistry:
    """Run a projector in a thread until the positions are as wanted, then stop it."""
    registry = CollectorRegistry()
    sequences: dict[str, int] = {}

    def on_progress(position: Position) -> None:
        sequences[position.group_name] = position.sequence
        if reached(sequences):
            projector.stop()

    metrics = ProjectorMetrics(registry, now_ns=lambda: ENTRIES[-1].timestamp_ns)
    options = ProjectorOptions(database_url(url), groups, metrics, poll_groups, on_progress)
    projector = Projector(options)
    alarm = threading.Timer(PATIENCE_S, projector.stop)
    alarm.start()
    try:
        projector.run(Store(database_url(url)))
    finally:
        alarm.cancel()
    assert reached(sequences), sequences
    return registry


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = f"sqlite:///{tmp_path_factory.mktemp('expected') / 'p.sqlite'}"
    with Store(database_url(url)) as store:
        project(store, ENTRIES)
    return hash_of(url)


def at_the_end(sequences: dict[str, int]) -> bool:
    return sequences.get("main") == ENTRIES[-1].last_sequence


def test_a_source_that_fails_and_repeats_costs_time_only(any_url: str, expected: str) -> None:
    failing: list[Exception] = [SourceUnavailable("no replica tells what follows") for _ in range(2)]
    registry = run_until(any_url, {"main": log(ENTRIES, failing, again=7)}, at_the_end)
    assert hash_of(any_url) == expected
    told = generate_latest(registry).decode()
    assert f'tally_projector_sequence{{group="main"}} {float(ENTRIES[-1].last_sequence)}' in told
    assert f'tally_projector_entries_total{{group="main"}} {float(len(ENTRIES))}' in told


def test_a_group_that_is_added_is_followed(any_url: str) -> None:
    both = {"main": log(ENTRIES), "metals": log(ENTRIES)}
    answers: list[Mapping[str, OpenSource] | None] = [None, both]

    def ends_both(sequences: dict[str, int]) -> bool:
        return at_the_end(sequences) and sequences.get("metals") == ENTRIES[-1].last_sequence

    run_until(any_url, {"main": log(ENTRIES)}, ends_both, lambda: answers.pop(0) if answers else None)


def test_a_database_that_restarts_is_opened_again(postgres_url: str, expected: str) -> None:
    cut = threading.Event()

    class Cutting(Log):
        def read(self, wait_s: float) -> list[Entry]:
            if self._at > 20 and not cut.is_set():
                assert end_connections(postgres_url) == 1
                cut.set()
            return super().read(wait_s)

    registry = run_until(postgres_url, {"main": lambda at: Cutting(ENTRIES, at, [], again=0)}, at_the_end)
    assert cut.is_set()
    assert hash_of(postgres_url) == expected
    assert "tally_projector_database_failures_total 1.0" in generate_latest(registry).decode()


def halted(url: str, source: OpenSource) -> str:
    options = ProjectorOptions(database_url(url), {"main": source}, ProjectorMetrics(CollectorRegistry()))
    with pytest.raises(ProjectorHalted) as raised:
        Projector(options).run(Store(database_url(url)))
    return str(raised.value)


def test_it_stops_before_a_gap_with_all_that_came_before_it(any_url: str) -> None:
    said = halted(any_url, log([*ENTRIES[:23], *ENTRIES[24:]]))
    missing = ENTRIES[23].first_sequence
    assert said.startswith(f"group main: sequence {missing} is missing: an entry with ")
    with Store(database_url(any_url)) as store:
        assert store.load("main").position.sequence == missing - 1


def test_another_history_stops_it(any_url: str) -> None:
    refused: list[Exception] = [HistoryRefused("node-2 has another history after sequence 7")]
    assert halted(any_url, log(ENTRIES, refused)) == "group main: node-2 has another history after sequence 7"


def test_events_that_no_sound_engine_writes_stop_it(any_url: str) -> None:
    last = ENTRIES[9]
    lie = encode_event(OrderReplenished(999_999, 1, 1, 5), 0)
    header = (last.last_sequence + 1, last.timestamp_ns, 1, b"", lie)
    entry = Entry(*header, chain_after(last.chain, *header))
    said = halted(any_url, log([*ENTRIES[:10], entry]))
    assert said == f"sequence {entry.first_sequence}, event 0: order 999999 is not open"


def test_lag_is_measured_while_there_is_more() -> None:
    registry = CollectorRegistry()
    metrics = ProjectorMetrics(registry, now_ns=lambda: 5_000_000_000)
    position = Position(1, "main", 10, 2_000_000_000, 3, bytes(32))
    metrics.log_is_at("main", 14, position)
    told = generate_latest(registry).decode()
    assert 'tally_projector_lag_commands{group="main"} 4.0' in told
    assert 'tally_projector_lag_seconds{group="main"} 3.0' in told
    metrics.log_is_at("main", 10, position)
    assert 'tally_projector_lag_seconds{group="main"} 0.0' in generate_latest(registry).decode()
