"""The benchmarks measure what they say, on small workloads: that they run, not how fast."""

import json
from collections import Counter
from pathlib import Path

import pytest

from engine.codec import decode_commands
from engine.commands import AmendOrder, CancelOrder, PlaceOrder
from sim.bench import main, measure_failovers
from sim.bench_engine import single_workload
from sim.bench_restart import measure_restart
from sim.local_exchange import LocalExchange


def test_a_workload_is_given_by_its_seed() -> None:
    assert single_workload(1_000, seed=7) == single_workload(1_000, seed=7)
    assert single_workload(1_000, seed=7) != single_workload(1_000, seed=8)


def test_the_workload_has_the_mix_that_it_is_named_for() -> None:
    kinds = Counter(type(command) for entry in single_workload(20_000, seed=1) for command in decode_commands(entry))
    shares = {kind: count / 20_000 for kind, count in kinds.items()}
    assert shares[PlaceOrder] == pytest.approx(0.53, abs=0.01)
    assert shares[CancelOrder] == pytest.approx(0.41, abs=0.01)
    assert shares[AmendOrder] == pytest.approx(0.06, abs=0.01)


def test_the_engine_bench_reports_rate_and_spread_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["engine", "--commands", "2000", "--runs", "3", "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert (result["workload"], result["form"], result["commands"], result["runs"]) == (
        "single",
        "interpreted",
        2_000,
        3,
    )
    assert 0 < result["commands_per_s_min"] <= result["commands_per_s"] <= result["commands_per_s_max"]
    assert result["trades"] > 100


@pytest.mark.cluster
def test_the_restart_bench_times_a_real_replica(tmp_path: Path) -> None:
    measured = measure_restart(tmp_path / "restart", 2_000)
    assert measured["commands_behind_snapshot"] == 2_000
    assert measured["time_s"] > 0


@pytest.mark.cluster
def test_the_failover_bench_answers_an_order_after_each_kill(tmp_path: Path) -> None:
    with LocalExchange(tmp_path / "exchange") as exchange:
        times_ms = measure_failovers(exchange, 2)
        assert len(times_ms) == 2
        assert all(0 < time_ms < 10_000 for time_ms in times_ms)
        assert len({replica["state_hash"] for replica in exchange.agreed_replicas()}) == 1
