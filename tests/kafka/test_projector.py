"""Read models from Kafka are those from the replicas, also when the projector is killed meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from projections.database import database_url, reading_engine
from projections.store import positions_of
from sim.kafka_broker import KafkaBroker
from sim.local_exchange import TALLY, LocalExchange
from sim.projector import main as projector
from tests.kafka.test_export import load, more
from tests.kafka.topics import until

pytestmark = pytest.mark.cluster


def sequence_of(url: str) -> int:
    """How far the tables are."""
    if not Path(database_url(url).database or "").exists():
        return 0
    engine = reading_engine(database_url(url))
    with engine.connect() as connection:
        found = [one.sequence for one in positions_of(connection)]
    engine.dispose()
    return found[0] if found else 0


def test_read_models_from_kafka_are_those_from_the_replicas(
    broker: KafkaBroker, exchange: LocalExchange, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path / 'from-kafka.sqlite'}"
    config = str(exchange.directory / "cluster.toml")
    command = [sys.executable, str(TALLY), "projector", "--config", config, "--from", "kafka", "--database", url]
    follower = subprocess.Popen(command)
    try:
        with load(exchange) as sequences:
            until(lambda: sequence_of(url) > 0)
            more(sequences)
            os.kill(follower.pid, signal.SIGKILL)
            follower.wait()
            more(sequences)
            follower = subprocess.Popen(command)
            more(sequences)
        until(lambda: sequence_of(url) >= max(sequences))
    finally:
        follower.terminate()
        assert follower.wait(20) == 0
    # Derived again from the replicas, up to the same sequence.
    assert projector(["verify", "--config", config, "--database", url]) == 0
    assert "verified     " in capsys.readouterr().out
    assert projector(["status", "--config", config, "--database", url, "--from", "kafka"]) == 0
