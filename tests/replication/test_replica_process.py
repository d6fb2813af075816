"""Exit codes of a replica's process: may a restart help, or not?"""

import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine import FORM
from replication.local_cluster import LocalCluster

ROOT = Path(__file__).parents[2]
LIMIT_S = 20.0


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    return complete(tmp_path / "cluster")


def complete(directory: Path) -> Path:
    """Make what is missing in a cluster's folder. Answers its configuration."""
    with LocalCluster(directory) as cluster:
        cluster.load()
        return cluster.config_file


@contextmanager
def node_1(config_file: Path) -> Iterator[subprocess.Popen[str]]:
    log = config_file.parent / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "tally.py"), "node", "--config", str(config_file), "--node", "node-1"],
            stderr=output,
            text=True,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def log_of(config_file: Path) -> str:
    return (config_file.parent / "log").read_text()


def run_until_started(config_file: Path) -> int:
    """Start, wait for the log line that says so, ask for the end. Answers the exit code."""
    with node_1(config_file) as process:
        limit_s = time.monotonic() + LIMIT_S
        while "at sequence 0" not in log_of(config_file):
            assert process.poll() is None, log_of(config_file)
            assert time.monotonic() < limit_s
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        return process.wait(LIMIT_S)


def test_a_replica_that_was_asked_to_end_ends_well(config_file: Path) -> None:
    assert run_until_started(config_file) == 0
    assert log_of(config_file).splitlines()[-1].endswith("node-1 stopped at sequence 0")
    assert log_of(config_file).splitlines()[0].endswith(f"the engine runs {FORM}")


def test_a_taken_port_may_be_free_the_next_time(config_file: Path) -> None:
    port = re.findall(r":(\d+)", config_file.read_text())[0]
    with socket.create_server(("127.0.0.1", int(port))), node_1(config_file) as process:
        assert process.wait(LIMIT_S) == 1
    assert "Traceback" not in log_of(config_file)
    assert "node-1 cannot go on:" in log_of(config_file).splitlines()[-1]


def test_a_certificate_of_another_cluster_is_named(config_file: Path) -> None:
    other = re.sub(r'cluster_id = ".*"', f'cluster_id = "{"0" * 32}"', config_file.read_text())
    config_file.write_text(other)
    with node_1(config_file) as process:
        assert process.wait(LIMIT_S) == 1
    assert re.search(
        r"^tally node: .*node-1\.crt .*is the certificate of node node-1 of cluster", log_of(config_file), re.M
    )


def test_a_folder_of_another_cluster_halts_the_replica_for_good(config_file: Path) -> None:
    assert run_until_started(config_file) == 0
    other = re.sub(r'cluster_id = ".*"', f'cluster_id = "{"0" * 32}"', config_file.read_text())
    config_file.write_text(other)
    shutil.rmtree(config_file.parent / "tls")
    complete(config_file.parent)
    with node_1(config_file) as process:
        assert process.wait(LIMIT_S) == 70
    assert "Traceback" not in log_of(config_file)
    assert "node-1 halted:" in log_of(config_file).splitlines()[-1]
