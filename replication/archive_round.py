"""One round of looking after an archive, in a child of the replica: scrub a segment, find holes, fill one.

Bits rot in files that nobody reads. A *scrub* reads one segment after the other, a segment per round, and verifies
every byte of it. What is not sound is salvaged (``replication.archive_salvage``), and what is missing then is fetched
from the other replicas like everything else that is missing (``replication.archive_mending``).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import msgspec

from replication.archive import ArchiveDamaged, ArchiveDiffers, list_segments, read_segment, read_segment_header
from replication.archive_mending import MENDING_FOLDER, discard_leftovers, find_holes, mend
from replication.archive_salvage import damaged_files, salvage, verify_segment
from replication.disk import DISK
from replication.entry_source import EntrySource, EntrySourceError, HistoryDiffers
from replication.private_directory import DirectoryLocked, create_private_directory

logger = logging.getLogger(__name__)


class Round(msgspec.Struct):
    """``scrub_from``: verify the first complete segment at or after this sequence; None for no scrub.

    ``turn`` counts attempts, so that a hole which nobody can fill does not keep the others waiting.
    """

    scrub_from: int | None
    turn: int


class Report(msgspec.Struct):
    """What a round found. ``holes`` are the (first, last) sequences that are missing still.

    ``scrubbed`` is the last sequence that was verified, or 0 if the scrub has come to the end. ``suspected`` is where
    the newest segment is damaged, which its replica is writing, or 0. ``mended`` are the (first, last) sequences that
    are there again, ``progressed`` whether some were fetched. ``problem`` is "" or says why a hole is still there; with
    ``differs`` it is because replicas have different histories.
    """

    holes: list[tuple[int, int]] = []
    damaged_files: int = 0
    scrubbed: int = 0
    suspected: int = 0
    mended: tuple[int, int] | None = None
    progressed: bool = False
    problem: str = ""
    differs: bool = False

    @property
    def missing(self) -> int:
        """How many commands the archive lacks."""
        return sum(last - first + 1 for first, last in self.holes)


def look_after(directory: Path, asked: Round, open_source: Callable[[], EntrySource | None]) -> Report:
    """Do one round. ``open_source`` reads from the other replicas; None if there are none."""
    folder = directory / MENDING_FOLDER
    create_private_directory(folder)
    try:
        lock = DISK.lock_directory(folder)
    except DirectoryLocked:
        return Report(problem="a child of an earlier life of this replica is at work still")
    report = Report()
    try:
        if asked.scrub_from is not None:
            report.scrubbed, report.suspected = scrub(directory, asked.scrub_from)
        _fill_one(directory, asked.turn, open_source, report)
        holes = find_holes(directory)
        discard_leftovers(directory, holes)
        report.holes = [(hole.first_sequence, hole.last_sequence) for hole in holes]
    except ArchiveDiffers as difference:
        report.problem, report.differs = str(difference), True
    except ArchiveDamaged as damage:
        report.problem = str(damage)
    finally:
        os.close(lock)
    report.damaged_files = damaged_files(directory)
    return report


def scrub(directory: Path, first_sequence: int) -> tuple[int, int]:
    """Verify the segment with a sequence, or the next one, and salvage it if need be.

    Answers the last sequence before the next segment, 0 if there is none. The newest segment is only read: the second
    number is where it is damaged, or 0.
    """
    segments = list_segments(directory)
    for segment, following in pairwise(segments):
        if following.first_sequence > first_sequence:
            try:
                verify_segment(segment)
            except ArchiveDamaged as damage:
                logger.critical("%s. What is sound is kept, the rest is to come from the other replicas", damage)
                salvage(segment)
            return following.first_sequence - 1, 0
    try:
        for segment in segments[-1:]:
            for _ in read_segment(segment, read_segment_header(segment)):
                pass
    except ArchiveDamaged as damage:
        return 0, damage.sequence
    return 0, 0


def _fill_one(directory: Path, turn: int, open_source: Callable[[], EntrySource | None], report: Report) -> None:
    holes = find_holes(directory)
    if not holes:
        return
    hole = holes[turn % len(holes)]
    source = open_source()
    if source is None:
        report.problem = "there is no other replica"
        return
    before = _size_bytes(directory / MENDING_FOLDER)
    try:
        with source:
            if mend(directory, hole, source):
                report.mended = hole.first_sequence, hole.last_sequence
            elif source.last_sequence < hole.last_sequence:
                report.problem = f"the other replicas are only at sequence {source.last_sequence}"
    except (ArchiveDiffers, HistoryDiffers) as difference:
        report.problem, report.differs = str(difference), True
    except EntrySourceError as error:
        report.problem = str(error)
    report.progressed = report.mended is not None or _size_bytes(directory / MENDING_FOLDER) > before


def _size_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*.entries"))
