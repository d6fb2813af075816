"""`tally node` without a group: a process for each group of the node, kept running; and for those added later."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from replication.config import Config
from replication.config_edit import add_group
from replication.local_cluster import loopback_addresses
from replication.node_processes import replica_name
from tests.replication.nodes_in_process import make_cluster

TALLY = Path(__file__).parents[2] / "tally.py"
WITHIN_S = 20.0


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return make_cluster(tmp_path / "cluster", groups=2)


@pytest.fixture
def node(config: Config, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (tmp_path / "log").open("wb") as log:
        command = [sys.executable, str(TALLY), "node", "--config", str(config.path), "--node", "node-1"]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
    yield process
    process.kill()
    process.wait()


def replicas(node: subprocess.Popen[bytes]) -> dict[str, int]:
    """The children's process ids by the group of their command line."""
    found = {}
    for pid in Path(f"/proc/{node.pid}/task/{node.pid}/children").read_text().split():
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if b"--group" in words:
            found[words[words.index(b"--group") + 1].decode()] = int(pid)
    return found


def wait_for(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def test_a_node_keeps_the_replicas_of_all_its_groups(
    config: Config, node: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    wait_for(lambda: set(replicas(node)) == {"main", "group-2"})
    wait_for(lambda: (config.data_dir / "groups" / "group-2" / "node-1" / "journal").exists())
    before = replicas(node)
    os.kill(before["group-2"], signal.SIGKILL)
    after: dict[str, int] = {}

    def is_back() -> bool:
        # One look: a child that ends or begins just then may be missing from the next one.
        after.clear()
        after.update(replicas(node))
        return after.keys() == before.keys() and after["group-2"] != before["group-2"]

    wait_for(is_back)
    assert after["main"] == before["main"], "the others go on"

    add_group(config.path, "metals", loopback_addresses(config.path, config.nodes))
    wait_for(lambda: set(replicas(node)) == {"main", "group-2", "metals"})
    started = replicas(node)
    node.send_signal(signal.SIGTERM)
    assert node.wait(WITHIN_S) == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in started.values())
    said = (tmp_path / "log").read_text()
    assert "node-1.group-2 was ended by SIGKILL: starting it again" in said
    assert "group metals was added: starting node-1.metals" in said
    assert "node-1 has applied sequence" in said, "the replicas write to the same place"


def test_the_default_groups_replica_is_called_as_it_always_was(config: Config) -> None:
    assert replica_name(config, "node-1", "main") == "node-1"
    assert replica_name(config, "node-1", "group-2") == "node-1.group-2"
