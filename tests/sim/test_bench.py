"""The benchmarks measure what they say, on small workloads: that they run, not how fast."""

from pathlib import Path

import pytest

from sim.bench import measure_failovers
from sim.bench_restart import measure_restart
from sim.local_exchange import LocalExchange


@pytest.mark.cluster
def test_the_restart_bench_times_a_real_replica(tmp_path: Path) -> None:
    measured = measure_restart(tmp_path / "restart", 2_000, history=1_000)
    assert (measured["history"], measured["commands_behind_snapshot"]) == (1_000, 2_000)
    assert measured["time_s"] > 0


@pytest.mark.cluster
def test_the_failover_bench_answers_an_order_after_each_kill(tmp_path: Path) -> None:
    with LocalExchange(tmp_path / "exchange") as exchange:
        times_ms = measure_failovers(exchange, 2)
        assert len(times_ms) == 2
        assert all(0 < time_ms < 10_000 for time_ms in times_ms)
        assert len({replica["state_hash"] for replica in exchange.agreed_replicas()}) == 1
