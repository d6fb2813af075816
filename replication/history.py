"""One history from the archives of several replicas.

A replica that fell behind the others' logs received a snapshot instead of entries, so its archive has a gap there.
What one archive lacks is taken from another: all archived entries are committed, so wherever two archives have the
same sequence they must have the same entry.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from engine.entry import GENESIS_CHAIN, Entry
from replication.archive import (
    ArchiveDamaged,
    ArchiveGap,
    Segment,
    SegmentHeader,
    list_segments,
    read_segment,
    read_segment_header,
)


class ArchivedEntry(NamedTuple):
    """``end_offset`` is where the entry ends in the file ``path``."""

    entry: Entry
    path: Path
    end_offset: int


def read_history(archives: list[Path]) -> Iterator[ArchivedEntry]:
    """All entries in order, from the first archive that has them.

    ArchiveDamaged where an archive that is read is not sound, with a note that names it. ArchiveGap where none has
    the next entry, but one has a later one.
    """
    sequence, chain = 0, GENESIS_CHAIN
    progressed = True
    while progressed:
        progressed = False
        for archive in archives:
            for found in _entries_after(archive, sequence, chain):
                yield found
                sequence, chain = found.entry.last_sequence, found.entry.chain
                progressed = True
            if progressed:
                break
    later = [
        s.first_sequence for archive in archives for s in list_segments(archive) if s.first_sequence > sequence + 1
    ]
    if later:
        raise ArchiveGap(sequence + 1, min(later) - 1)


def _entries_after(archive: Path, sequence: int, chain: bytes) -> Iterator[ArchivedEntry]:
    """The entries of one archive that follow ``sequence`` without a gap, to the end of one segment."""
    segments = [segment for segment in list_segments(archive) if segment.first_sequence <= sequence + 1]
    if not segments:
        return
    try:
        for entry, end_offset in _verified_entries(segments[-1], sequence, chain):
            if entry.first_sequence > sequence:
                yield ArchivedEntry(entry, segments[-1].path, end_offset)
    except ArchiveDamaged as damage:
        damage.add_note(f"replica {archive.parent.name}, {archive}")
        raise


def _verified_entries(segment: Segment, sequence: int, chain: bytes) -> Iterator[tuple[Entry, int]]:
    header = read_segment_header(segment)
    if header.first_sequence == sequence + 1 and header != SegmentHeader(sequence + 1, chain):
        raise ArchiveDamaged(header.first_sequence, f"{segment.path.name} does not continue what comes before it")
    yield from read_segment(segment, header)
