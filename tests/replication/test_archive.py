"""The archive keeps every entry, continues after any kind of stop, and finds every flipped bit."""

from pathlib import Path

import pytest

from engine.entry import GENESIS_CHAIN, Entry
from replication.archive import (
    Archive,
    ArchiveDamaged,
    ArchiveDiffers,
    Segment,
    list_segments,
    read_segment,
    read_segment_header,
    secure_end,
)
from replication.disk import DISK
from tests.replication.odd_disks import NotingDisk
from tests.replication.recorded_history import history


def write(directory: Path, entries: list[Entry], *, segment_bytes_max: int = 1 << 20) -> None:
    archive = Archive(directory, segment_bytes_max=segment_bytes_max)
    archive.open(0, bytes(32))
    for entry in entries:
        archive.append(entry)
        archive.flush()
    archive.close()


def read(directory: Path) -> list[Entry]:
    return [
        entry
        for segment in list_segments(directory)
        for entry, _ in read_segment(segment, read_segment_header(segment))
    ]


def test_entries_come_back_as_they_were_written(tmp_path: Path) -> None:
    _, entries = history(20)
    write(tmp_path, entries)
    assert read(tmp_path) == entries


def test_a_full_segment_is_followed_by_another_that_continues_its_chain(tmp_path: Path) -> None:
    _, entries = history(40)
    write(tmp_path, entries, segment_bytes_max=4_000)
    segments = list_segments(tmp_path)
    assert len(segments) > 3
    assert read(tmp_path) == entries
    for segment in segments[1:]:
        previous = next(entry for entry in entries if entry.last_sequence == segment.first_sequence - 1)
        assert read_segment_header(segment).previous_chain == previous.chain


def test_it_continues_where_it_stopped(tmp_path: Path) -> None:
    _, entries = history(30)
    write(tmp_path, entries[:10])
    archive = Archive(tmp_path)
    archive.open(0, bytes(32))
    for entry in entries:  # a restart applies the log again from its snapshot
        archive.append(entry)
    archive.close()
    assert read(tmp_path) == entries


def test_an_unfinished_last_entry_is_cut_off_and_written_again(tmp_path: Path) -> None:
    _, entries = history(10)
    write(tmp_path, entries)
    path = list_segments(tmp_path)[0].path
    path.write_bytes(path.read_bytes()[:-17])
    assert read(tmp_path) == entries[:-1]
    archive = Archive(tmp_path)
    archive.open(entries[4].last_sequence, entries[4].chain)
    assert archive.last_sequence == entries[-2].last_sequence
    for entry in entries[5:]:
        archive.append(entry)
    archive.close()
    assert read(tmp_path) == entries


def test_damage_beyond_the_snapshot_is_written_again_from_the_journal(tmp_path: Path) -> None:
    _, entries = history(12)
    write(tmp_path, entries)
    segment = list_segments(tmp_path)[0]
    flip(segment, segment.path.stat().st_size - 400)
    archive = Archive(tmp_path)
    archive.open(entries[3].last_sequence, entries[3].chain)
    for entry in entries[4:]:
        archive.append(entry)
    archive.close()
    assert read(tmp_path) == entries


def test_damage_before_the_snapshot_is_named_by_its_sequence(tmp_path: Path) -> None:
    _, entries = history(12)
    write(tmp_path, entries)
    flip(list_segments(tmp_path)[0], 300)
    with pytest.raises(ArchiveDamaged) as damage:
        Archive(tmp_path).open(entries[-1].last_sequence, entries[-1].chain)
    assert damage.value.sequence == entries[0].first_sequence


def test_another_history_than_the_snapshots_is_refused(tmp_path: Path) -> None:
    _, entries = history(5)
    write(tmp_path, entries)
    with pytest.raises(ArchiveDiffers):
        Archive(tmp_path).open(entries[2].last_sequence, bytes(32))


def test_applying_the_log_again_with_another_result_is_noticed(tmp_path: Path) -> None:
    _, entries = history(5)
    write(tmp_path, entries)
    archive = Archive(tmp_path)
    archive.open(0, bytes(32))
    archive.append(entries[0])
    with pytest.raises(ArchiveDiffers):
        archive.append(entries[1]._replace(chain=bytes(32)))


def test_a_replica_that_received_a_snapshot_starts_a_new_segment_there(tmp_path: Path) -> None:
    _, entries = history(20)
    write(tmp_path, entries[:5])
    archive = Archive(tmp_path)
    archive.open(entries[9].last_sequence, entries[9].chain)
    for entry in entries[10:]:
        archive.append(entry)
    archive.close()
    assert read(tmp_path) == entries[:5] + entries[10:]


def test_every_flipped_bit_is_found_at_the_sequence_it_belongs_to(tmp_path: Path) -> None:
    _, entries = history(3)
    write(tmp_path, entries)
    segment = list_segments(tmp_path)[0]
    healthy = segment.path.read_bytes()
    ends = [end for _, end in read_segment(segment, read_segment_header(segment))]
    for position in range(len(healthy)):
        segment.path.write_bytes(
            healthy[:position] + bytes((healthy[position] ^ 1 << position % 8,)) + healthy[position + 1 :]
        )
        with pytest.raises(ArchiveDamaged) as damage:
            read(tmp_path)
        damaged = next(entry for entry, end in zip(entries, ends, strict=True) if position < end)
        assert damage.value.sequence == damaged.first_sequence, position


def test_what_the_disk_does_not_give_back_is_damaged() -> None:
    """Linux answers EIO, as for a bad sector, to who reads the unmapped first page of a process."""
    with pytest.raises(ArchiveDamaged, match="damaged at sequence 7: the disk cannot read it"):
        read_segment_header(Segment(Path("/proc/self/mem"), 7))


def test_a_torn_end_beyond_the_state_is_cut_off_before_a_snapshot_stands_for_it(tmp_path: Path) -> None:
    _, entries = history(30)
    write(tmp_path, entries, segment_bytes_max=4_000)
    newest = list_segments(tmp_path)[-1]
    flip(newest, newest.path.stat().st_size - 20)
    secure_end(tmp_path, entries[-2].last_sequence, DISK)
    assert read(tmp_path) == entries[:-1]
    secure_end(tmp_path, entries[-2].last_sequence, DISK)
    assert read(tmp_path) == entries[:-1], "once more it changes nothing"


def test_damage_to_what_the_state_has_is_not_cut_off(tmp_path: Path) -> None:
    _, entries = history(30)
    write(tmp_path, entries)
    segment = list_segments(tmp_path)[0]
    flip(segment, segment.path.stat().st_size - 20)
    before = segment.path.read_bytes()
    with pytest.raises(ArchiveDamaged):
        secure_end(tmp_path, entries[-1].last_sequence, DISK)
    assert segment.path.read_bytes() == before


def flip(segment: Segment, position: int) -> None:
    data = bytearray(segment.path.read_bytes())
    data[position] ^= 0x10
    segment.path.write_bytes(data)


def test_a_segment_whose_maker_was_killed_before_the_sync_of_its_name_is_made_durable(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    archive.open(0, GENESIS_CHAIN)
    archive.close()
    disk = NotingDisk()
    archive = Archive(tmp_path, disk=disk)
    archive.open(0, GENESIS_CHAIN)
    archive.close()
    assert disk.names_synced == [f"{1:020d}.entries"]
