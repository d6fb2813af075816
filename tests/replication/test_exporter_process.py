"""`tally exporter` as a process. What it exports is tested in tests/kafka; here nobody answers it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path

import pytest

from replication.config import Address, Config, ConfigError
from replication.config_edit import use_kafka
from replication.exporter_process import run_exporter
from replication.local_cluster import LOOPBACK, READER_NAME, free_port, is_port_free
from tests.replication.nodes_in_process import make_cluster

TALLY = Path(__file__).parents[2] / "tally.py"
WITHIN_S = 20.0


def test_a_file_without_kafka_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'kafka: there is no such table; it must name bootstrap_servers = \["HOST'):
        run_exporter(make_cluster(tmp_path / "cluster"), "node-1", reader=READER_NAME)


def test_each_group_has_an_exporter_that_waits_for_its_replica_to_lead(tmp_path: Path) -> None:
    config: Config = make_cluster(tmp_path / "cluster", groups=2)
    use_kafka(config.path, Address("127.0.0.1", free_port()))
    while not is_port_free(LOOPBACK, (port := free_port()) + 1):
        pass
    ports = [port, port + 1]
    command = [sys.executable, str(TALLY), "exporter", "--config", str(config.path), "--node", "node-1"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([*command, "--metrics-port", str(ports[0])], stdout=log, stderr=subprocess.STDOUT)
    try:
        for port, group in zip(ports, ("main", "group-2"), strict=True):
            assert f'tally_exporter_active{{group="{group}",node="node-1"}} 0.0' in metrics(port)
        process.send_signal(signal.SIGTERM)
        assert process.wait(WITHIN_S) == 0
    finally:
        process.kill()
        process.wait()
    said = (tmp_path / "log").read_text()
    assert len(re.findall(r"exporter of group (?:main|group-2) beside node-1, for 127.0.0.1:", said)) == 2
    assert "Traceback" not in said and "SIGKILL" not in said


def metrics(port: int) -> str:
    """What Prometheus is answered there, once somebody answers."""
    deadline_s = time.monotonic() + WITHIN_S
    while True:
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/metrics")
            return connection.getresponse().read().decode()
        except OSError:
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        finally:
            connection.close()
