"""One history is read from archives whose segments continue each other, or not at all."""

from pathlib import Path

import pytest

from engine.entry import Entry, chain_after
from replication.archive import Archive, ArchiveDamaged
from replication.history import read_history
from tests.replication.recorded_history import history


def archive_part(directory: Path, part: list[Entry], sequence: int, chain: bytes) -> None:
    """A segment of its own for these entries, after ``sequence`` with ``chain``."""
    archive = Archive(directory)
    archive.open(sequence, chain)
    for entry in part:
        archive.append(entry)
    archive.close()


def test_archives_that_continue_each_other_are_one_history(tmp_path: Path) -> None:
    _, entries = history(6)
    archive_part(tmp_path / "first", entries[:3], 0, bytes(32))
    archive_part(tmp_path / "second", entries[3:], entries[2].last_sequence, entries[2].chain)
    found = [archived.entry for archived in read_history([tmp_path / "first", tmp_path / "second"])]
    assert found == entries


def test_a_segment_of_another_history_is_no_continuation(tmp_path: Path) -> None:
    """Sound in itself and at the right sequence, but its chain grew from another past."""
    _, entries = history(4)
    other_past = b"\1" * 32
    last = entries[3]
    foreign = last._replace(
        chain=chain_after(
            other_past, last.first_sequence, last.timestamp_ns, last.command_count, last.commands, last.events
        )
    )
    archive_part(tmp_path / "first", entries[:3], 0, bytes(32))
    archive_part(tmp_path / "second", [foreign], entries[2].last_sequence, other_past)
    with pytest.raises(ArchiveDamaged, match="does not continue what comes before it") as damage:
        list(read_history([tmp_path / "first", tmp_path / "second"]))
    assert damage.value.sequence == last.first_sequence
