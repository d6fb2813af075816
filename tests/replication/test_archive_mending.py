"""What an archive lacks comes from the others, if it joins both ends, wherever a process is killed."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from engine.entry import GENESIS_CHAIN, Entry, chain_after
from replication import archive_mending
from replication.archive import Archive, ArchiveDiffers, list_segments, read_segment, read_segment_header
from replication.archive_mending import MENDING_FOLDER, find_holes, mend
from replication.archive_round import Report, Round, look_after, scrub
from replication.archive_salvage import DAMAGED_FOLDER, damaged_files
from replication.entry_source import EntryMissing, HistoryDiffers
from replication.history import read_history
from replication.private_directory import lock_directory
from tests.replication.archive_doors import ArchiveDoors
from tests.replication.recorded_history import history

SEGMENT_BYTES = 6_000


@pytest.fixture(scope="module")
def entries() -> list[Entry]:
    return history(60)[1]


def write(directory: Path, entries: Sequence[Entry], *, after: Entry | None = None) -> None:
    archive = Archive(directory, segment_bytes_max=SEGMENT_BYTES)
    archive.open(after.last_sequence if after else 0, after.chain if after else GENESIS_CHAIN)
    for entry in entries:
        archive.append(entry)
    archive.close()


def read(directory: Path) -> list[Entry]:
    """What is there without a gap."""
    return [found.entry for found in read_history([directory])]


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 0x10
    path.write_bytes(data)


def other_history(entries: Sequence[Entry]) -> list[Entry]:
    """The same entries at another time, with a sound chain."""
    chain, others = GENESIS_CHAIN, []
    for entry in entries:
        time_ns = entry.timestamp_ns + 1
        chain = chain_after(chain, entry.first_sequence, time_ns, entry.command_count, entry.commands, entry.events)
        others.append(entry._replace(timestamp_ns=time_ns, chain=chain))
    return others


def round_of(directory: Path, doors: ArchiveDoors, *names: str, scrub_from: int | None = None, turn: int = 0) -> Report:
    return look_after(directory, Round(scrub_from, turn), lambda: doors.source(*names))


# Holes


def test_an_archive_without_a_hole_is_known_from_the_ends_of_its_segments(tmp_path: Path, entries: list[Entry]) -> None:
    write(tmp_path, entries)
    assert len(list_segments(tmp_path)) > 4
    assert find_holes(tmp_path) == []
    assert not (tmp_path / DAMAGED_FOLDER).exists()


@pytest.mark.parametrize("number", [0, 2])
def test_a_segment_that_is_gone_is_a_hole(tmp_path: Path, entries: list[Entry], number: int) -> None:
    write(tmp_path, entries)
    segments = list_segments(tmp_path)
    segments[number].path.unlink()
    (hole,) = find_holes(tmp_path)
    assert (hole.first_sequence, hole.last_sequence) == (
        segments[number].first_sequence,
        segments[number + 1].first_sequence - 1,
    )
    assert hole.chain_after == read_segment_header(segments[number + 1]).previous_chain
    assert hole.commands == hole.last_sequence - hole.first_sequence + 1


def test_a_file_that_was_cut_short_is_found_by_its_end(tmp_path: Path, entries: list[Entry]) -> None:
    write(tmp_path, entries)
    path = list_segments(tmp_path)[1].path
    path.write_bytes(path.read_bytes()[:3_000])
    (hole,) = find_holes(tmp_path)
    assert hole.last_sequence == list_segments(tmp_path)[2].first_sequence - 1
    assert damaged_files(tmp_path) == 1
    assert find_holes(tmp_path) == [hole], "and it is as it was the next time"


def test_a_file_that_is_put_back_from_a_copy_fills_the_hole(tmp_path: Path, entries: list[Entry]) -> None:
    write(tmp_path, entries)
    segment = list_segments(tmp_path)[1]
    shutil.copy(segment.path, tmp_path / "copy")
    flip(segment.path, 2_000)
    scrub(tmp_path, segment.first_sequence)
    assert len(find_holes(tmp_path)) == 1
    shutil.copy(tmp_path / "copy", segment.path)
    assert find_holes(tmp_path) == []
    assert read(tmp_path) == entries


def test_segments_that_contradict_each_other_are_no_hole(tmp_path: Path, entries: list[Entry]) -> None:
    write(tmp_path, entries[:20])
    archive = Archive(tmp_path)
    archive.begin_after(entries[19].last_sequence, bytes(range(32)))
    archive.close()
    with pytest.raises(ArchiveDiffers, match="does not continue what comes before it"):
        find_holes(tmp_path)


# Mending


@pytest.mark.parametrize("how", ["gone", "flipped", "header", "cut", "snapshot"])
def test_it_has_the_whole_history_again(tmp_path: Path, entries: list[Entry], how: str) -> None:
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    write(theirs, entries)
    if how == "snapshot":
        write(mine, entries[:10])
        write(mine, entries[40:], after=entries[39])
    else:
        write(mine, entries)
        path = list_segments(mine)[2].path
        if how == "gone":
            path.unlink()
        elif how == "flipped":
            flip(path, 2_000)
        elif how == "header":
            flip(path, 20)
        else:
            path.write_bytes(path.read_bytes()[:2_500])
    with ArchiveDoors({"node-2": theirs}, sequence=entries[-1].last_sequence) as doors:
        report = round_of(mine, doors, scrub_from=list_segments(theirs)[2].first_sequence)
    assert (report.holes, report.problem, report.progressed) == ([], "", True)
    assert report.mended is not None
    assert read(mine) == entries
    assert not list((mine / MENDING_FOLDER).rglob("*.entries"))
    assert damaged_files(mine) == (how in ("flipped", "header", "cut"))


def test_three_that_are_damaged_at_three_places_mend_each_other(tmp_path: Path, entries: list[Entry]) -> None:
    """Each bit is in another entry of the same segment, so nobody has it whole."""
    places = {"node-1": tmp_path / "1", "node-2": tmp_path / "2", "node-3": tmp_path / "3"}
    for number, directory in enumerate(places.values()):
        write(directory, entries)
        flip(list_segments(directory)[1].path, 1_000 + 1_500 * number)
    begin = list_segments(places["node-1"])[1].first_sequence
    for directory in places.values():
        scrub(directory, begin)
        assert len(find_holes(directory)) == 1
    with ArchiveDoors(places, sequence=entries[-1].last_sequence) as doors:
        for name, directory in places.items():
            report = round_of(directory, doors, *(other for other in places if other != name))
            assert (report.holes, report.problem) == ([], "")
    for directory in places.values():
        assert read(directory) == entries


def test_another_history_is_refused_at_the_left_end(tmp_path: Path, entries: list[Entry]) -> None:
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    write(mine, entries)
    write(theirs, other_history(entries))
    list_segments(mine)[2].path.unlink()
    (hole,) = find_holes(mine)
    with ArchiveDoors({"node-2": theirs}, sequence=entries[-1].last_sequence) as doors:
        with doors.source() as source, pytest.raises(HistoryDiffers, match="node-2 has another history"):
            mend(mine, hole, source)
        report = round_of(mine, doors)
    assert report.differs
    assert "node-2 has another history" in report.problem
    assert find_holes(mine) == [hole]


def test_another_history_is_refused_at_the_right_end(tmp_path: Path, entries: list[Entry]) -> None:
    """It begins with the beginning of the exchange, so there is no left end to compare."""
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    write(mine, entries)
    write(theirs, other_history(entries))
    list_segments(mine)[0].path.unlink()
    before = sorted(path.name for path in mine.iterdir())
    with ArchiveDoors({"node-2": theirs}, sequence=entries[-1].last_sequence) as doors:
        report = round_of(mine, doors)
    assert report.differs
    assert "does not end with the chain value that this archive goes on from" in report.problem
    assert report.missing == list_segments(mine)[0].first_sequence - 1
    assert sorted(path.name for path in mine.iterdir() if path.name != MENDING_FOLDER) == before
    assert not list((mine / MENDING_FOLDER).rglob("*.entries"))


def test_what_no_replica_has_stays_a_hole_and_the_next_one_gets_its_turn(tmp_path: Path, entries: list[Entry]) -> None:
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    for directory in (mine, theirs):
        write(directory, entries)
        list_segments(directory)[1].path.unlink()
    list_segments(mine)[2].path.unlink()
    first, second = find_holes(mine)
    with ArchiveDoors({"node-2": theirs}, sequence=entries[-1].last_sequence) as doors:
        with doors.source() as source, pytest.raises(EntryMissing, match=f"sequence {first.first_sequence}"):
            mend(mine, first, source)
        report = round_of(mine, doors, turn=1)
        assert report.mended == (second.first_sequence, second.last_sequence)
        report = round_of(mine, doors, turn=2)
    assert report.holes == [(first.first_sequence, first.last_sequence)]
    assert "node-2 lacks sequence" in report.problem
    assert not report.progressed


@pytest.mark.parametrize("torn_bytes", [0, 1, 200])
def test_it_goes_on_from_what_was_fetched_before_it_was_killed(
    tmp_path: Path, entries: list[Entry], monkeypatch: pytest.MonkeyPatch, torn_bytes: int
) -> None:
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    write(theirs, entries)
    write(mine, entries[:10])
    write(mine, entries[50:], after=entries[49])
    monkeypatch.setattr(archive_mending, "BYTES_PER_ATTEMPT_MAX", 1)
    monkeypatch.setattr(archive_mending, "PAUSE_PER_READ_S", 0.0)
    with ArchiveDoors({"node-2": theirs}, sequence=entries[-1].last_sequence) as doors:
        doors.doors["node-2"].replica._reader._window_bytes = 5_000
        (hole,) = find_holes(mine)
        for attempt in range(1, 100):
            with doors.source() as source:
                if mend(mine, hole, source):
                    break
            assert find_holes(mine) == [hole], "nothing is in its place before all of it is verified"
            fetched = list_segments(mine / MENDING_FOLDER / str(hole.first_sequence))[-1].path
            if attempt == 2:
                fetched.write_bytes(fetched.read_bytes()[: fetched.stat().st_size - torn_bytes])
        assert 3 < attempt < 20
    assert read(mine) == entries


def test_what_was_fetched_of_another_hole_is_not_used(tmp_path: Path, entries: list[Entry]) -> None:
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    write(theirs, entries)
    write(mine, entries[:10])
    write(mine, entries[50:], after=entries[49])
    (hole,) = find_holes(mine)
    stale = mine / MENDING_FOLDER / str(hole.first_sequence)
    write(stale, other_history(entries)[10:20], after=other_history(entries)[9])
    with ArchiveDoors({"node-2": theirs}, sequence=entries[-1].last_sequence) as doors:
        report = round_of(mine, doors)
    assert (report.holes, report.problem) == ([], "")
    assert read(mine) == entries


def test_what_a_killed_child_left_of_a_hole_that_is_filled_is_removed(tmp_path: Path, entries: list[Entry]) -> None:
    write(tmp_path, entries)
    write(tmp_path / MENDING_FOLDER / "40", entries[20:30], after=entries[19])
    assert look_after(tmp_path, Round(None, 0), lambda: None).problem == ""
    assert [path.name for path in (tmp_path / MENDING_FOLDER).iterdir()] == ["process.lock"]
    assert read(tmp_path) == entries


def test_only_one_child_works_on_an_archive(tmp_path: Path, entries: list[Entry]) -> None:
    write(tmp_path, entries)
    folder = tmp_path / MENDING_FOLDER
    folder.mkdir()
    lock = lock_directory(folder)
    report = look_after(tmp_path, Round(None, 0), lambda: None)
    assert "a child of an earlier life" in report.problem
    os.close(lock)
    assert look_after(tmp_path, Round(None, 0), lambda: None).problem == ""


def test_a_scrub_comes_by_every_complete_segment(tmp_path: Path, entries: list[Entry]) -> None:
    write(tmp_path, entries)
    segments = list_segments(tmp_path)
    sequence, rounds = 0, 0
    while True:
        sequence, suspected = scrub(tmp_path, sequence + 1)
        assert suspected == 0
        if sequence == 0:
            break
        rounds += 1
    assert rounds == len(segments) - 1
    for segment in segments[:-1]:
        shutil.copy(segment.path, tmp_path / "copy")
        flip(segment.path, 700)
        scrub(tmp_path, segment.first_sequence + 1)
        assert len(find_holes(tmp_path)) == 1
        for path in tmp_path.glob("*.entries"):
            if segment.path.name <= path.name < segments[segments.index(segment) + 1].path.name:
                path.unlink()
        shutil.move(tmp_path / "copy", segment.path)
    assert read(tmp_path) == entries


def test_the_newest_segment_is_only_read(tmp_path: Path, entries: list[Entry]) -> None:
    write(tmp_path, entries)
    newest = list_segments(tmp_path)[-1]
    found = list(read_segment(newest, read_segment_header(newest)))
    flip(newest.path, found[0].end_offset + 100)
    before = newest.path.read_bytes()
    assert scrub(tmp_path, newest.first_sequence) == (0, found[1].entry.first_sequence)
    assert newest.path.read_bytes() == before
