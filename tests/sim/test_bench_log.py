"""The benchmark of the log: what it counts, and that both logs can be measured."""

import time

import pytest

from sim import bench_log
from sim.bench_log import COMMANDS_PER_ENTRY, OURS, STOCK, measure_log, print_results
from sim.bench_log_clock import LoadClock


class Watch:
    """A clock that stands still until it is moved."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 100.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now_s)


def test_entries_count_after_the_warm_up_until_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch(monkeypatch)
    clock = LoadClock(commands_per_entry=2, in_flight=1, seconds=2.0)
    results = []
    for _ in range(31):
        assert clock.wants_more()
        proposed_s = clock.begin()
        assert not clock.wants_more()
        watch.now_s += 0.1
        result = clock.end(proposed_s, committed=True)
        if result is not None:
            results.append(result)
            break
    (result,) = results
    assert len(clock.payload) == 128
    assert result["entries_per_s"] == pytest.approx(10, rel=0.1)
    assert result["p50_ms"] == pytest.approx(100)
    assert not clock.wants_more()


def test_what_failed_or_was_begun_by_an_earlier_leader_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch(monkeypatch)
    clock = LoadClock(commands_per_entry=1, in_flight=8, seconds=1.0)
    early_s = clock.begin()
    watch.now_s += 5
    clock.stop()
    assert clock.end(early_s, committed=True) is None
    begun_s = clock.begin()
    watch.now_s += 10
    assert clock.end(begun_s, committed=False) is None
    last_s = clock.begin()
    watch.now_s += 0.001
    result = clock.end(last_s, committed=True)
    assert result is not None
    assert result["p99_ms"] == pytest.approx(1)


def test_both_logs_are_measured_and_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(bench_log, "COMMANDS_PER_ENTRY", COMMANDS_PER_ENTRY[1:2])
    results = measure_log(0.2, in_flight=8, runs=1)
    assert [result["system"] for result in results] == [OURS, STOCK]
    for result in results:
        assert result["commands_per_entry"] == 10
        assert result["commands_per_s"] > result["entries_per_s"] > 0
        assert 0 < result["p50_ms"] <= result["p99_ms"]
    print_results(results)
    printed = capsys.readouterr().out
    assert OURS in printed
    assert STOCK in printed
