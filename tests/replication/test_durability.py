"""What must be forced to disk is forced to disk: no test that only kills processes would notice if it were not."""

import os
import time
from pathlib import Path

import pytest

from engine.commands import CreateAccount
from engine.types import TRADER
from replication.archive import SEGMENT_HEADER_SIZE, SUFFIX
from replication.journal import Journal
from replication.snapshots import SnapshotStore
from tests.replication.nodes_in_process import NodesInProcess


def test_a_journal_is_opened_with_fsync(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", cluster_id=b"c" * 16, node_id="node-1")
    # Without fsync nothing that a process can see is different until the power fails, so LMDB is asked.
    flags = journal._environment.flags()
    journal.close()
    assert flags["sync"]
    assert flags["metasync"]


def test_the_archive_is_on_disk_before_the_journal_forgets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced_bytes: dict[Path, int] = {}
    fsync = os.fsync

    def recorded_fsync(descriptor: int) -> None:
        fsync(descriptor)
        synced_bytes[Path(os.readlink(f"/proc/self/fd/{descriptor}"))] = os.fstat(descriptor).st_size

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    cluster = NodesInProcess(tmp_path / "cluster")
    link = cluster.link(cluster.leader())
    for start in range(0, 300, 30):
        link.submit(*[CreateAccount(0, time.time_ns(), TRADER, b"t%d" % (start + n)) for n in range(30)])
    stores = [path for path in (tmp_path / "cluster").rglob("snapshots") if path.is_dir()]
    cluster.tick_until(lambda: all(SnapshotStore(path).latest() is not None for path in stores))
    # Recorded before the archives are closed, which would sync them anyway.
    archived_bytes = {path: size for path, size in synced_bytes.items() if path.suffix == SUFFIX}
    cluster.close()
    assert len(stores) == len(archived_bytes) == 3
    assert all(size_bytes > SEGMENT_HEADER_SIZE for size_bytes in archived_bytes.values()), archived_bytes
