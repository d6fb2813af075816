"""What the archive has after a sequence: found without reading all of it, whatever is written meanwhile."""

from pathlib import Path

import pytest

from engine.entry import Entry
from replication import archive_reader
from replication.archive import SEGMENT_HEADER_SIZE, Archive, ArchiveDamaged
from replication.archive_reader import ArchivedEvents, ArchiveReader
from replication.reads import answer
from replication.replica import Replica
from tests.replication.recorded_history import history, payloads


def write(directory: Path, entries: list[Entry], *, segment_bytes_max: int = 1 << 20) -> Archive:
    archive = Archive(directory, segment_bytes_max=segment_bytes_max)
    archive.open(0, bytes(32))
    for entry in entries:
        archive.append(entry)
    archive.flush()
    return archive


def as_answered(entries: list[Entry]) -> list[ArchivedEvents]:
    return [ArchivedEvents(e.first_sequence, e.timestamp_ns, e.command_count, e.chain, e.events) for e in entries]


def follow(reader: ArchiveReader, sequence: int, limit: int, questions_max: int) -> list[ArchivedEvents]:
    """Ask again as long as there is more."""
    found: list[ArchivedEvents] = []
    for _ in range(questions_max):
        stretch = reader.entries_after(sequence, limit)
        assert len(stretch.entries) <= limit
        found += stretch.entries
        if not stretch.more:
            return found
        if stretch.entries:
            sequence = stretch.entries[-1].first_sequence + stretch.entries[-1].command_count - 1
    raise AssertionError(f"{questions_max} questions did not get to the end")


@pytest.mark.parametrize("limit", [1, 7, 1_000])
@pytest.mark.parametrize("window_bytes", [300, 2_000, 1 << 20])
@pytest.mark.parametrize("segment_bytes_max", [3_000, 1 << 20])
def test_whoever_follows_gets_every_entry_once(
    tmp_path: Path, limit: int, window_bytes: int, segment_bytes_max: int
) -> None:
    _, entries = history(60)
    write(tmp_path, entries, segment_bytes_max=segment_bytes_max)
    reader = ArchiveReader(tmp_path, window_bytes=window_bytes)
    assert follow(reader, 0, limit, questions_max=300) == as_answered(entries)


@pytest.mark.parametrize("window_bytes", [300, 2_000, 1 << 20])
def test_an_answer_begins_with_the_entry_that_holds_the_next_command(tmp_path: Path, window_bytes: int) -> None:
    """The first entry of the history has several commands."""
    _, entries = history(60)
    write(tmp_path, entries, segment_bytes_max=3_000)
    assert entries[0].command_count > 1
    for sequence in range(entries[-1].last_sequence + 1):
        expected = [entry for entry in entries if entry.last_sequence > sequence]
        found = follow(ArchiveReader(tmp_path, window_bytes=window_bytes), sequence, 1_000, questions_max=300)
        assert found == as_answered(expected), sequence


def test_a_question_about_what_is_far_away_gets_nearer_each_time(tmp_path: Path) -> None:
    _, entries = history(200)
    write(tmp_path, entries)
    reader, last = ArchiveReader(tmp_path, window_bytes=1_000), entries[-1].last_sequence
    answers = [reader.entries_after(last - 1, 10)]
    while not answers[-1].entries:
        assert answers[-1].more
        answers.append(reader.entries_after(last - 1, 10))
    assert len(answers) > 10
    assert reader.entries_after(last - 1, 10).entries == as_answered(entries[-1:]), "and then it knows the way"


def test_what_is_written_later_is_found_later(tmp_path: Path) -> None:
    _, entries = history(30)
    archive, reader = write(tmp_path, entries[:10]), ArchiveReader(tmp_path)
    assert reader.entries_after(entries[9].last_sequence, 10) == ([], False)
    for entry in entries[10:]:
        archive.append(entry)
        archive.flush()
        assert reader.entries_after(entry.first_sequence - 1, 10) == (as_answered([entry]), False)


def test_an_empty_archive_has_nothing(tmp_path: Path) -> None:
    assert ArchiveReader(tmp_path).entries_after(0, 10) == ([], False)


def test_an_answer_has_so_many_bytes_and_a_larger_entry_comes_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, entries = history(20)
    write(tmp_path, entries)
    monkeypatch.setattr(archive_reader, "ANSWER_BYTES_MAX", max(len(entry.events) for entry in entries) - 1)
    reader = ArchiveReader(tmp_path)
    assert len(reader.entries_after(0, 1_000).entries) < 20
    assert follow(reader, 0, 1_000, questions_max=100) == as_answered(entries)


@pytest.mark.parametrize("window_bytes", [300, 1 << 20])
def test_too_many_events_for_an_answer_are_left_out_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, window_bytes: int
) -> None:
    _, entries = history(20)
    write(tmp_path, entries)
    largest = max(len(entry.events) for entry in entries)
    monkeypatch.setattr(archive_reader, "EVENTS_BYTES_MAX", largest - 1)
    found = follow(ArchiveReader(tmp_path, window_bytes=window_bytes), 0, 1_000, questions_max=100)
    assert [entry.events is None for entry in found] == [len(entry.events) == largest for entry in entries]
    assert [entry.chain for entry in found] == [entry.chain for entry in entries]


def test_a_gap_is_passed_over(tmp_path: Path) -> None:
    """Entries that came to this replica as a snapshot are in no segment."""
    _, entries = history(30)
    write(tmp_path, entries[:10]).close()
    archive = Archive(tmp_path)
    archive.open(entries[19].last_sequence, entries[19].chain)
    for entry in entries[20:]:
        archive.append(entry)
    archive.flush()
    found = follow(ArchiveReader(tmp_path), entries[4].last_sequence, 1_000, questions_max=10)
    assert found == as_answered(entries[5:10] + entries[20:])


def test_a_damaged_length_is_found(tmp_path: Path) -> None:
    _, entries = history(5)
    write(tmp_path, entries)
    (path,) = tmp_path.iterdir()
    data = bytearray(path.read_bytes())
    data[SEGMENT_HEADER_SIZE] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArchiveDamaged):
        ArchiveReader(tmp_path).entries_after(0, 10)


def test_a_replica_answers_what_it_has_just_applied(tmp_path: Path) -> None:
    """What was not handed to the kernel yet is in the answer too."""
    replica = Replica(tmp_path)
    for log_index, payload in enumerate(payloads(10), start=2):
        applied = replica.apply(log_index, 1, payload)
        told = answer(replica, "events", {"after_sequence": applied.entry.first_sequence - 1, "limit": 10})
        assert (told.sequence, told.error) == (applied.entry.last_sequence, "")
        assert [entry["events"] for entry in told.value["entries"]] == [applied.entry.events]
        assert told.value["more"] is False
    replica.close()


def test_a_damaged_archive_is_told_to_who_asks_and_stops_nothing(tmp_path: Path) -> None:
    replica = Replica(tmp_path)
    for log_index, payload in enumerate(payloads(3), start=2):
        replica.apply(log_index, 1, payload)
    replica.flush_archive()
    (path,) = tmp_path.iterdir()
    data = bytearray(path.read_bytes())
    data[SEGMENT_HEADER_SIZE] ^= 1
    path.write_bytes(data)
    told = answer(replica, "events", {"after_sequence": 0, "limit": 10})
    assert told.value is None
    assert "wrong checksum" in told.error
    replica.close()
