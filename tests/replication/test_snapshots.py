"""Snapshots: complete or invisible, and written by a child that leaves the parent alone."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import lmdb
import pytest

from replication.background_snapshot import BackgroundSnapshot
from replication.journal import Journal
from replication.replica_process import exit_code
from replication.snapshots import (
    CHUNK_BYTES,
    SnapshotDamaged,
    SnapshotGone,
    SnapshotMeta,
    SnapshotPoint,
    SnapshotStore,
    describe,
    verify,
)
from tests.replication.odd_disks import FullDisk, NotingDisk, SilentDisk


def point(log_index: int) -> SnapshotPoint:
    return SnapshotPoint(log_index, 3, log_index * 10, bytes([log_index % 256]) * 32)


def wait(writer: BackgroundSnapshot) -> str:
    deadline = time.monotonic() + 20
    while (state := writer.poll()) == "running":
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return state


@pytest.fixture
def store(tmp_path: Path) -> SnapshotStore:
    return SnapshotStore(tmp_path / "snapshots")


@pytest.mark.parametrize("size_bytes", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 5 * CHUNK_BYTES + 7])
def test_a_snapshot_is_read_as_it_was_written(store: SnapshotStore, size_bytes: int) -> None:
    blob = os.urandom(size_bytes)
    meta = store.write(point(7), blob)
    assert meta == describe(point(7), blob)
    assert store.latest() == meta
    assert store.read(meta) == blob
    assert b"".join(store.read_chunk(meta, number) for number in range(meta.chunk_count)) == blob
    assert meta.chunk_count >= 1


def test_a_snapshot_may_come_in_pieces_of_any_size(store: SnapshotStore) -> None:
    blob = os.urandom(3 * CHUNK_BYTES + 1000)

    def pieces() -> Iterator[bytes]:
        start = 0
        for size_bytes in [0, 1, 999, CHUNK_BYTES, 70_000, 2 * CHUNK_BYTES, CHUNK_BYTES]:
            yield blob[start : start + size_bytes]
            start += size_bytes

    meta = store.write(point(7), pieces())
    assert store.read(meta) == blob


def test_a_large_snapshot_grows_the_store(store: SnapshotStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replication.snapshots._MAP_STEP_BYTES", 4 * 1024 * 1024)
    monkeypatch.setattr("replication.snapshots._TRANSACTION_BYTES", 1024 * 1024)
    blob = os.urandom(1024 * 1024) * 40
    meta = store.write(point(7), blob)
    assert store.read(meta) == blob


def test_the_two_newest_are_kept(store: SnapshotStore) -> None:
    metas = [store.write(point(index), b"%d" % index * 1000) for index in (10, 20, 30)]
    assert store.latest() == metas[2]
    assert store.read(metas[1]) == b"20" * 1000
    with pytest.raises(SnapshotGone):
        store.read(metas[0])
    with pytest.raises(SnapshotGone):
        store.read_chunk(metas[0], 0)


def test_an_empty_store_has_no_snapshot(store: SnapshotStore) -> None:
    assert store.latest() is None


def test_a_writer_that_fails_half_way_leaves_nothing_to_see(store: SnapshotStore) -> None:
    old = store.write(point(10), b"old" * 1000)

    def breaks_off() -> Iterator[bytes]:
        yield bytes(70 * CHUNK_BYTES)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        store.write(point(20), breaks_off())
    assert store.latest() == old
    assert store.read(old) == b"old" * 1000
    new = store.write(point(30), b"new" * 1000)
    assert store.read(new) == b"new" * 1000


def test_damage_is_found_and_named(store: SnapshotStore, tmp_path: Path) -> None:
    blob = b"".join(b"marker of chunk %02d" % number + bytes(CHUNK_BYTES - 18) for number in range(5))
    meta = store.write(point(7), blob)
    data_file = tmp_path / "snapshots" / "data.mdb"
    content = data_file.read_bytes()
    data_file.write_bytes(content.replace(b"marker of chunk 03", b"marker of chunk 33"))
    assert store.read_chunk(meta, 2).startswith(b"marker of chunk 02")
    expected = "chunk 3 of the snapshot at log index 7 has a wrong checksum"
    with pytest.raises(SnapshotDamaged, match=expected):
        store.read(meta)
    with pytest.raises(SnapshotDamaged, match=expected):
        store.read_chunk(meta, 3)


def test_a_blob_that_is_not_the_described_one_is_refused() -> None:
    meta = describe(point(7), b"right")
    verify(meta, b"right")
    with pytest.raises(SnapshotDamaged, match="its digest"):
        verify(meta, b"wrong")
    with pytest.raises(SnapshotDamaged, match="has 4 bytes, not 5"):
        verify(meta, b"shor")


def test_a_file_of_noise_is_damage(store: SnapshotStore, tmp_path: Path) -> None:
    store.write(point(7), b"x")
    (tmp_path / "snapshots" / "data.mdb").write_bytes(os.urandom(50_000))
    with pytest.raises(SnapshotDamaged):
        store.latest()


def test_a_child_writes_the_state_of_the_moment_it_was_started(store: SnapshotStore, tmp_path: Path) -> None:
    state = [b"before"]
    writer = BackgroundSnapshot(tmp_path / "snapshots", point(7), lambda: state[0])
    writer.start()
    state[0] = b"after"
    assert wait(writer) == "done"
    meta = writer.meta()
    assert isinstance(meta, SnapshotMeta)
    assert meta.point == point(7)
    assert store.read(meta) == b"before"
    assert writer.poll() == "done"


def test_a_child_that_fails_says_so_and_leaves_the_old_snapshot(
    store: SnapshotStore, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    old = store.write(point(10), b"old")

    def fails() -> bytes:
        raise ValueError("not sound")

    writer = BackgroundSnapshot(tmp_path / "snapshots", point(20), fails)
    writer.start()
    assert wait(writer) == "failed"
    assert "not sound" in capfd.readouterr().err
    assert store.latest() == old


def test_a_killed_child_leaves_the_old_snapshot(store: SnapshotStore, tmp_path: Path) -> None:
    old = store.write(point(10), b"old")

    def never_ends() -> bytes:
        time.sleep(60)
        return b""

    writer = BackgroundSnapshot(tmp_path / "snapshots", point(20), never_ends)
    writer.start()
    assert writer.poll() == "running"
    writer.cancel()
    assert writer.poll() == "failed"
    assert store.latest() == old
    assert store.read(old) == b"old"


def test_the_child_holds_no_socket_lock_or_handler_of_its_parent(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", cluster_id=bytes(16), node_id="node-1", sync=False)
    listener = socket.create_server(("127.0.0.1", 0))
    previous = signal.signal(signal.SIGTERM, lambda _number, _frame: None)

    def look_around() -> bytes:
        inherited = [int(name) for name in os.listdir("/proc/self/fd")]
        default = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        # The store's own descriptors are not open yet, and listing takes one.
        return b"%d %d" % (len([fd for fd in inherited if fd > 2]), default)

    writer = BackgroundSnapshot(tmp_path / "snapshots", point(7), look_around)
    try:
        writer.start()
        assert wait(writer) == "done"
    finally:
        signal.signal(signal.SIGTERM, previous)
    assert SnapshotStore(tmp_path / "snapshots").read(writer.meta()) == b"1 1"
    # The parent's journal is untouched and can still be written.
    journal.add(b"\1", 1, 0)
    journal.sync()
    journal.close()
    listener.close()


def test_a_child_that_outlives_its_parent_does_not_disturb_the_next_writer(tmp_path: Path) -> None:
    def slow() -> bytes:
        time.sleep(0.3)
        return b"slow" * 100_000

    orphan = BackgroundSnapshot(tmp_path / "snapshots", point(10), slow)
    orphan.start()
    store = SnapshotStore(tmp_path / "snapshots")
    new = store.write(point(20), b"new" * 100_000)
    assert wait(orphan) == "done"
    assert store.latest() == new
    assert store.read(new) == b"new" * 100_000


def test_the_name_of_a_new_store_is_durable_before_a_snapshot_is(tmp_path: Path) -> None:
    disk = NotingDisk()
    SnapshotStore(tmp_path / "snapshots", disk=disk).write(point(7), b"state")
    assert "data.mdb" in disk.names_synced


def test_a_store_whose_maker_was_killed_before_the_sync_of_its_name_is_made_durable(tmp_path: Path) -> None:
    SnapshotStore(tmp_path / "snapshots").latest()
    disk = NotingDisk()
    SnapshotStore(tmp_path / "snapshots", disk=disk).write(point(7), b"state")
    assert "data.mdb" in disk.names_synced


def test_a_disk_that_does_not_answer_has_damaged_no_snapshot(tmp_path: Path) -> None:
    with pytest.raises(lmdb.Error) as caught:
        SnapshotStore(tmp_path / "snapshots", disk=SilentDisk()).latest()
    assert exit_code(caught.value) == 1


def test_a_full_disk_is_no_damage(tmp_path: Path) -> None:
    with pytest.raises(lmdb.DiskError) as caught:
        SnapshotStore(tmp_path / "snapshots", disk=FullDisk()).latest()
    assert exit_code(caught.value) == 1
