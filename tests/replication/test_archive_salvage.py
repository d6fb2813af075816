"""Of a damaged segment everything stays that is sound, and the damaged file is kept, wherever the process is killed."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from engine.entry import GENESIS_CHAIN, Entry
from replication.archive import (
    SEGMENT_HEADER_SIZE,
    Archive,
    ArchiveDamaged,
    Segment,
    list_segments,
    read_segment,
    read_segment_header,
)
from replication.archive_salvage import DAMAGED_FOLDER, damaged_files, salvage, salvage_tail, verify_segment
from replication.disk import Disk
from tests.replication.recorded_history import history


def write(directory: Path, entries: list[Entry], *, segment_bytes_max: int = 1 << 20) -> None:
    archive = Archive(directory, segment_bytes_max=segment_bytes_max)
    archive.open(0, GENESIS_CHAIN)
    for entry in entries:
        archive.append(entry)
    archive.close()


def read(directory: Path) -> list[Entry]:
    """All entries; every segment is sound to its last byte."""
    entries = []
    for segment in list_segments(directory):
        entries += [entry for entry, _ in read_segment(segment, read_segment_header(segment))]
        verify_segment(segment)
    return entries


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1 << position % 8
    path.write_bytes(data)


def only_segment(directory: Path) -> Segment:
    (segment,) = list_segments(directory)
    return segment


def test_a_flipped_bit_costs_the_entry_that_it_is_in_and_no_other_but_the_next(tmp_path: Path) -> None:
    """The next one is lost if the bit is in the chain value that it follows."""
    _, entries = history(4)
    whole = tmp_path / "whole"
    write(whole, entries)
    size = only_segment(whole).path.stat().st_size
    ends = [found.end_offset for found in read_segment(only_segment(whole), read_segment_header(only_segment(whole)))]
    for position in range(0, size, 17):
        damaged = tmp_path / "damaged"
        shutil.copytree(whole, damaged)
        segment = only_segment(damaged)
        flip(segment.path, position)
        before = segment.path.read_bytes()
        salvage(segment, disk=QuickDisk())
        left = read(damaged)
        hit = next(number for number, end in enumerate(ends) if position < end)
        is_in_header = position < SEGMENT_HEADER_SIZE
        assert [entry for entry in entries if entry not in left] in (
            [[], entries[:1]] if is_in_header else [entries[hit : hit + 1], entries[hit : hit + 2]]
        ), position
        (aside,) = (damaged / DAMAGED_FOLDER).iterdir()
        assert aside.read_bytes() == before
        shutil.rmtree(damaged)


@pytest.mark.parametrize("cut", ["middle", "end"])
def test_a_file_that_was_cut_keeps_what_is_whole(tmp_path: Path, cut: str) -> None:
    _, entries = history(20)
    write(tmp_path, entries)
    segment = only_segment(tmp_path)
    data = segment.path.read_bytes()
    segment.path.write_bytes(data[:2_000] + data[2_900:] if cut == "middle" else data[:-300])
    with pytest.raises(ArchiveDamaged):
        verify_segment(segment)
    salvage(segment)
    left = read(tmp_path)
    assert left == [entry for entry in entries if entry in left]
    assert left[0] == entries[0]
    assert (left[-1] == entries[-1]) == (cut == "middle")
    assert len(entries) - 6 < len(left) < len(entries)


def test_what_the_disk_does_not_give_back_is_damaged_and_the_rest_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, entries = history(60)
    write(tmp_path, entries)
    segment = only_segment(tmp_path)
    assert segment.path.stat().st_size > 5 * 4096
    real = os.pread

    def pread(file: int, size_bytes: int, offset: int) -> bytes:
        if offset < 3 * 4096 and offset + size_bytes > 2 * 4096:
            raise OSError(errno.EIO, "Input/output error")
        return real(file, size_bytes, offset)

    monkeypatch.setattr(os, "pread", pread)
    salvage(segment)
    left = read(tmp_path)
    assert (left[0], left[-1]) == (entries[0], entries[-1])
    assert len(entries) * 3 // 5 < len(left) < len(entries)


def test_a_segment_of_which_nothing_is_sound_leaves_nothing(tmp_path: Path) -> None:
    _, entries = history(3)
    write(tmp_path, entries)
    segment = only_segment(tmp_path)
    segment.path.write_bytes(bytes(segment.path.stat().st_size))
    salvage(segment)
    assert list_segments(tmp_path) == []
    assert damaged_files(tmp_path) == 1


class QuickDisk(Disk):
    """Forces nothing to the disk, for who asks a thousand times."""

    def fsync(self, file: int) -> None:
        pass

    def sync_directory(self, path: Path) -> None:
        pass


class MortalDisk(Disk):
    """The process is killed at the so-many-th change."""

    def __init__(self, changes: int) -> None:
        self.changes = changes

    def _live(self) -> None:
        if self.changes == 0:
            raise KeyboardInterrupt
        self.changes -= 1

    def open(self, path: Path, flags: int) -> int:
        self._live()
        return super().open(path, flags)

    def write(self, file: int, data: bytes | bytearray) -> None:
        self._live()
        super().write(file, data)

    def fsync(self, file: int) -> None:
        self._live()
        super().fsync(file)

    def unlink(self, path: Path) -> None:
        self._live()
        super().unlink(path)

    def sync_directory(self, path: Path) -> None:
        self._live()
        super().sync_directory(path)


@pytest.mark.parametrize("position", [20, 1_500])  # in the header, in the middle
def test_it_may_be_killed_anywhere_and_done_again(tmp_path: Path, position: int) -> None:
    _, entries = history(12)
    write(tmp_path / "expected", entries)
    flip(only_segment(tmp_path / "expected").path, position)
    salvage(only_segment(tmp_path / "expected"))
    expected = {path.name: path.read_bytes() for path in (tmp_path / "expected").glob("*.entries")}
    for changes in range(100):
        directory = tmp_path / f"killed-{changes}"
        write(directory, entries)
        flip(only_segment(directory).path, position)
        try:
            salvage(list_segments(directory)[0], disk=MortalDisk(changes))
        except KeyboardInterrupt:
            for segment in list_segments(directory):
                try:
                    verify_segment(segment)
                except ArchiveDamaged:
                    salvage(segment)
            assert {path.name: path.read_bytes() for path in directory.glob("*.entries")} == expected, changes
            assert damaged_files(directory) == 1
        else:
            assert changes > 5
            return
    raise AssertionError("it never came to the end")


def test_the_tail_is_kept_up_to_the_state_and_the_journal_writes_the_rest(tmp_path: Path) -> None:
    _, entries = history(40)
    write(tmp_path, entries, segment_bytes_max=4_000)
    segments = list_segments(tmp_path)
    assert len(segments) > 4
    flip(segments[-3].path, 900)
    at = next(entry for entry in entries if entry.first_sequence > segments[-2].first_sequence)
    with pytest.raises(ArchiveDamaged):
        read(tmp_path)
    salvage_tail(tmp_path, at.last_sequence)
    last = max(segment.first_sequence for segment in list_segments(tmp_path))
    assert last == segments[-2].first_sequence, "what begins beyond the state is set aside"
    archive = Archive(tmp_path)
    archive.begin_after(at.last_sequence, at.chain)
    for entry in entries[entries.index(at) + 1 :]:
        archive.append(entry)
    archive.close()
    salvage(segments[-3])
    left = read(tmp_path)
    assert left == [entry for entry in entries if entry in left]
    assert len(entries) - 2 <= len(left) < len(entries)
