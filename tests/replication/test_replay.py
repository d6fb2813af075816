"""Replay derives everything again from the archive, and names the first sequence that is not right."""

import io
from pathlib import Path

import pytest

from engine.entry import chain_after
from engine.machine import Machine
from engine.snapshot import MAGIC, VERSION, snapshot_bytes, state_hash
from replication.archive import Archive, ArchiveDamaged, ArchiveGap, list_segments, read_segment, read_segment_header
from replication.replay import (
    NothingToReplay,
    ReplayDiverged,
    print_replay,
    replay,
    replica_directories,
)
from replication.replica import Replica
from replication.snapshots import SnapshotPoint, SnapshotStore
from sim.audit import main as audit
from tests.replication.recorded_history import history, payloads


def record(directory: Path, count: int) -> Machine:
    """The archive of a replica that applied ``count`` entries."""
    replica = Replica(directory / "archive")
    for log_index, payload in enumerate(payloads(count), start=2):
        replica.apply(log_index, 1, payload)
    replica.close()
    return replica.machine


def test_replay_ends_in_the_state_of_the_replica(tmp_path: Path) -> None:
    machine = record(tmp_path, 50)
    replayed = replay(tmp_path)
    assert replayed.machine.chain == machine.chain
    assert state_hash(replayed.machine) == state_hash(machine)
    assert replayed.entries == 50
    assert replayed.unfinished_bytes == 0


def test_the_bytes_of_the_kept_snapshot_are_compared(tmp_path: Path) -> None:
    machine = record(tmp_path, 20)
    store = SnapshotStore(tmp_path / "snapshots")
    store.write(SnapshotPoint(21, 1, machine.sequence, machine.chain), snapshot_bytes(machine))
    assert replay(tmp_path).snapshots_compared == 1
    machine.ledger.credit(1, 1, 1)
    store.write(SnapshotPoint(22, 1, machine.sequence, machine.chain), snapshot_bytes(machine))
    with pytest.raises(ReplayDiverged, match="the state's digest"):
        replay(tmp_path)


def test_a_snapshot_of_an_earlier_build_is_not_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its bytes cannot be those that this build would write of the same state."""
    machine = record(tmp_path, 20)
    store, data = SnapshotStore(tmp_path / "snapshots"), bytearray(snapshot_bytes(machine))
    data[len(MAGIC)] -= 1
    store.write(SnapshotPoint(21, 1, machine.sequence, machine.chain), bytes(data))
    replayed = replay(tmp_path)
    assert replayed.snapshots_compared == 0 and replayed.machine.chain == machine.chain
    assert f"of an earlier build (version {VERSION - 1}, this one has {VERSION} and" in capsys.readouterr().err


def test_a_flipped_bit_is_named_by_its_sequence(tmp_path: Path) -> None:
    record(tmp_path, 10)
    segment = list_segments(tmp_path / "archive")[0]
    entries = list(read_segment(segment, read_segment_header(segment)))
    data = bytearray(segment.path.read_bytes())
    data[entries[4].end_offset + 60] ^= 1
    segment.path.write_bytes(data)
    with pytest.raises(ArchiveDamaged) as damage:
        replay(tmp_path)
    assert damage.value.sequence == entries[5].entry.first_sequence


def test_a_forged_history_with_a_correct_chain_is_found_by_executing_it(tmp_path: Path) -> None:
    """Whoever changes an event and computes all chain values anew still cannot change what the commands do."""
    record(tmp_path, 10)
    segment = list_segments(tmp_path / "archive")[0]
    entries = [entry for entry, _ in read_segment(segment, read_segment_header(segment))]
    forged = bytearray(entries[6].events)
    forged[-1] ^= 1
    entries[6] = entries[6]._replace(events=bytes(forged))
    segment.path.unlink()
    archive, chain = Archive(tmp_path / "archive"), bytes(32)
    archive.open(0, chain)
    for entry in entries:
        chain = chain_after(
            chain, entry.first_sequence, entry.timestamp_ns, entry.command_count, entry.commands, entry.events
        )
        archive.append(entry._replace(chain=chain))
    archive.close()
    with pytest.raises(ReplayDiverged) as diverged:
        replay(tmp_path)
    assert diverged.value.sequence == entries[6].last_sequence
    assert "gave" in str(diverged.value)


def test_an_unfinished_end_is_reported_and_not_an_error(tmp_path: Path) -> None:
    record(tmp_path, 10)
    path = list_segments(tmp_path / "archive")[0].path
    path.write_bytes(path.read_bytes()[:-5])
    replayed = replay(tmp_path)
    assert replayed.entries == 9
    assert replayed.unfinished_bytes > 0


def test_a_missing_part_of_the_history_is_named(tmp_path: Path) -> None:
    machine = record(tmp_path, 5)
    later, _ = history(9)
    archive = Archive(tmp_path / "archive")
    archive.open(later.sequence, later.chain)
    archive.close()
    with pytest.raises(ArchiveGap) as gap:
        replay(tmp_path)
    assert (gap.value.first_missing, gap.value.last_missing) == (machine.sequence + 1, later.sequence)


def record_with_a_gap(directory: Path, count: int, gap: range) -> None:
    """The archive of a replica that received the entries of ``gap`` as a snapshot."""
    _, entries = history(count)
    for part, before in ((entries[: gap.start], None), (entries[gap.stop :], entries[gap.stop - 1])):
        archive = Archive(directory / "archive")
        archive.open(0 if before is None else before.last_sequence, bytes(32) if before is None else before.chain)
        for entry in part:
            archive.append(entry)
        archive.close()


def test_what_one_archive_lacks_is_taken_from_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    machine, _ = history(40)
    record_with_a_gap(tmp_path / "data" / "node-1", 40, range(5, 9))
    record_with_a_gap(tmp_path / "data" / "node-2", 40, range(20, 30))
    record_with_a_gap(tmp_path / "data" / "node-3", 36, range(8, 16))
    assert audit(tmp_path) == 0
    told = capsys.readouterr().out
    assert state_hash(machine).hex() in told
    assert "without 40 commands that it received as snapshots" in told


def test_what_no_archive_has_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record_with_a_gap(tmp_path / "data" / "node-1", 30, range(5, 9))
    record_with_a_gap(tmp_path / "data" / "node-2", 30, range(7, 12))
    assert audit(tmp_path) == 1
    assert "sequences 32 to 39 are in no archive here" in capsys.readouterr().err


def test_all_replicas_of_a_folder_must_tell_the_same_history(tmp_path: Path) -> None:
    machine = record(tmp_path / "data" / "node-1", 30)
    record(tmp_path / "data" / "node-2", 20)
    out = io.StringIO()
    print_replay(tmp_path, out=out)
    assert state_hash(machine).hex() in out.getvalue()
    assert "same chain   node-2" in out.getvalue()
    assert audit(tmp_path) == 0

    other = tmp_path / "data" / "node-3" / "archive"
    archive = Archive(other)
    archive.open(0, bytes(32))
    foreign = history(1)[1][0]._replace(timestamp_ns=1)
    foreign = foreign._replace(
        chain=chain_after(bytes(32), 1, 1, foreign.command_count, foreign.commands, foreign.events)
    )
    archive.append(foreign)
    archive.close()
    assert audit(tmp_path) == 1


def test_the_audit_names_what_is_wrong_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(tmp_path, 5)
    path = list_segments(tmp_path / "archive")[0].path
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 64
    path.write_bytes(data)
    assert audit(tmp_path) == 1
    captured = capsys.readouterr()
    assert "damaged at sequence" in captured.err
    assert "Traceback" not in captured.err


def test_damage_in_any_replica_of_a_folder_is_found_and_the_replica_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("node-1", "node-2", "node-3"):
        record(tmp_path / "data" / name, 6)
    for name in ("node-1", "node-2", "node-3"):
        path = list_segments(tmp_path / "data" / name / "archive")[0].path
        healthy = path.read_bytes()
        path.write_bytes(healthy[:-40] + bytes((healthy[-40] ^ 4,)) + healthy[-39:])
        assert audit(tmp_path) == 1
        assert f"replica {name}" in capsys.readouterr().err
        path.write_bytes(healthy)
    assert audit(tmp_path) == 0


def test_a_folder_without_an_archive_is_refused_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(NothingToReplay, match="name the folder"):
        replica_directories(tmp_path)
    assert audit(tmp_path) == 2
