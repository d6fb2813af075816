"""``tally bench restart``: how long a replica takes to execute again what is behind its snapshot.

The folder of one replica is written first as the replica itself would have left it: journal, archive, and a
snapshot, taken after as many commands of history as were asked for. All of them are of the same day, so everything that
they came to is still remembered, and is in the snapshot. Then the real process is started, and timed until it has
applied everything that its journal knows to be committed.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from engine.machine import Machine
from engine.snapshot import snapshot_bytes
from replication.config import Config, node_data_dir
from replication.journal import Journal, SnapshotReference
from replication.local_cluster import NODE_IDS, LocalCluster
from replication.membership import encode_membership, founding
from replication.replica import TIMESTAMP, Replica
from replication.snapshots import SnapshotPoint, SnapshotStore
from sim.bench_engine_workloads import SINGLE, mixture
from sim.local_exchange import TALLY

_TERM: Final = 1
_FIRST_LOG_INDEX: Final = 2  # 1 is the entry that every log begins with
_SYNC_EVERY_ENTRIES: Final = 1_000
_LIMIT_S: Final = 300.0
_COMMANDS_PER_ENTRY: Final = 50  # what a leader with some load puts into one


def measure_restart(directory: Path, commands: int, history: int = 0) -> dict[str, Any]:
    """Start a replica with so many commands behind a snapshot, and so many in it. Answers what was measured."""
    with LocalCluster(directory) as cluster:
        config = cluster.load()
        config_file, log_file = cluster.config_file, directory / "restart.log"
    machine, snapshot_size_bytes = _write_history(config, NODE_IDS[0], commands, history)
    expected = f"has applied sequence {machine.sequence}\n"
    started_s = time.monotonic()
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, str(TALLY), "node", "--config", str(config_file), "--node", NODE_IDS[0]],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        while expected not in log_file.read_text():
            if process.poll() is not None or time.monotonic() - started_s > _LIMIT_S:
                raise RuntimeError(f"the replica did not catch up:\n{log_file.read_text()[-2_000:]}")
            time.sleep(0.02)
        elapsed_s = time.monotonic() - started_s
    finally:
        process.kill()
        process.wait()
    return {
        "bench": "restart",
        "history": history,
        "snapshot_mib": round(snapshot_size_bytes / 2**20),
        "commands_behind_snapshot": commands,
        "time_s": round(elapsed_s, 2),
        "commands_per_s": round(commands / elapsed_s),
    }


def _write_history(config: Config, node_id: str, commands: int, history: int) -> tuple[Machine, int]:
    """The state at the end, and the size of the snapshot."""
    data_dir = node_data_dir(config, node_id)
    journal = Journal(data_dir / "journal", cluster_id=config.cluster_id, node_id=node_id)
    replica = Replica(data_dir / "archive")
    journal.add(b"\x01", 1, 0)
    journal.found(encode_membership(founding(dict.fromkeys(config.nodes, journal.incarnation), {})))
    journal.setCurrentTerm(_TERM, None)
    log_index, size_bytes = _FIRST_LOG_INDEX, 0
    workload = mixture("single", SINGLE, history + commands, seed=1, commands_per_entry=_COMMANDS_PER_ENTRY)
    in_snapshot = len(workload.setup) + history // _COMMANDS_PER_ENTRY
    for number, entry in enumerate(
        tqdm([*workload.setup, *workload.entries], desc="writing a history", unit="entry", leave=False, disable=None)
    ):
        payload = TIMESTAMP.pack(workload.now_ns) + entry
        journal.add(b"\x00" + payload, log_index, _TERM)
        replica.apply(log_index, _TERM, payload)
        journal.setRaftCommitIndex(log_index)
        if number == in_snapshot - 1:
            size_bytes = _take_snapshot(data_dir, journal, replica, log_index)
        if number % _SYNC_EVERY_ENTRIES == 0:
            journal.sync()
        log_index += 1
    journal.sync()
    replica.close()
    journal.close()
    return replica.machine, size_bytes


def _take_snapshot(data_dir: Path, journal: Journal, replica: Replica, log_index: int) -> int:
    """Answers its size in bytes."""
    machine = replica.machine
    point = SnapshotPoint(log_index, _TERM, machine.sequence, machine.chain)
    meta = SnapshotStore(data_dir / "snapshots").write(point, snapshot_bytes(machine))
    journal.compact(SnapshotReference(log_index, _TERM), log_index)
    return meta.size_bytes
