"""Finding what an archive lacks, and getting it from the other replicas.

An archive has a hole where a replica received a snapshot instead of entries, or where a file was damaged or is gone
(``replication.archive_salvage``). Segments are joined if the chain value at the end of one is the value that the header
of the next says it follows. Both are hashes of everything before, so comparing 32 bytes finds every hole without
reading the segments.

A hole is filled with entries that other replicas answer (``replication.entry_source``). They are verified from its left
end on, written beside the archive, and get their place in it only when the last one ends with exactly the chain value
that the segment after the hole follows. So nothing is ever in the archive that was not verified from both ends; where
the ends do not meet, one of the replicas has another history, nothing is changed, and a person must look. What was
written so far survives the end of the process, and the next attempt goes on from there.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import Final, NamedTuple

from engine.entry import CHAIN_SIZE, GENESIS_CHAIN, encode_entry
from replication.archive import (
    SEGMENT_HEADER_SIZE,
    Archive,
    ArchiveDamaged,
    ArchiveDiffers,
    Segment,
    SegmentHeader,
    list_segments,
    read_part,
    read_segment_header,
)
from replication.archive_salvage import salvage, verify_segment
from replication.disk import DISK, Disk
from replication.entry_source import EntrySource
from replication.private_directory import create_private_directory

logger = logging.getLogger(__name__)

MENDING_FOLDER: Final = "mending"
BYTES_PER_ATTEMPT_MAX: Final = 64 * 1024 * 1024
PAUSE_PER_READ_S: Final = 0.05  # a read is at most 256 KiB, and whoever answers it has orders to execute


class Hole(NamedTuple):
    """Missing sequences, both ends included, between the chain values that they must join."""

    first_sequence: int
    chain_before: bytes
    last_sequence: int
    chain_after: bytes

    @property
    def commands(self) -> int:
        return self.last_sequence - self.first_sequence + 1


def find_holes(directory: Path, *, disk: Disk = DISK) -> list[Hole]:
    """What an archive lacks before its newest segment, in ascending order.

    A damaged segment that is found on the way is salvaged, and one that reaches into the next is cut, as where somebody
    has put a file back from a copy. ArchiveDamaged if the newest one is damaged, which its replica is writing;
    ArchiveDiffers if segments contradict each other.
    """
    while True:
        segments = list_segments(directory)
        try:
            return _holes(segments)
        except _Unsound as found:
            logger.critical("%s. What is sound is kept, the rest is to come from the other replicas", found.damage)
            salvage(found.segment, disk=disk)
        except _Overlap as found:
            logger.warning("%s reaches beyond sequence %d: it is cut there", found.segment.path.name, found.sequence)
            salvage(found.segment, last_sequence=found.sequence, disk=disk)


def mend(directory: Path, hole: Hole, source: EntrySource, *, disk: Disk = DISK) -> bool:
    """Fill a hole, or go a part of the way. Answers whether it is filled; if not, more of the same goes on from there.

    ``source`` is a fresh one of the other replicas. EntrySourceError if they cannot give what is missing;
    ArchiveDiffers, and nothing is changed, if what they gave does not join both ends.
    """
    parent = os.getppid()
    folder = directory / MENDING_FOLDER / str(hole.first_sequence)
    create_private_directory(folder)
    writer = _resume(folder, hole, disk)
    try:
        source.sequence, source.chain = writer.last_sequence, writer.chain
        size_bytes = 0
        while writer.last_sequence < hole.last_sequence and size_bytes < BYTES_PER_ATTEMPT_MAX:
            stretch = source.read()
            for entry in stretch:
                if entry.first_sequence > hole.last_sequence:
                    break
                writer.append(entry)
                size_bytes += len(encode_entry(entry))
            writer.flush()
            if not stretch or os.getppid() != parent:
                break  # they are not that far; or the replica has ended, and its next life begins with the same
            if writer.last_sequence < hole.last_sequence:
                time.sleep(PAUSE_PER_READ_S)
    finally:
        writer.close()
    if writer.last_sequence < hole.last_sequence:
        return False
    if (writer.last_sequence, writer.chain) != (hole.last_sequence, hole.chain_after):
        _discard(folder)
        raise ArchiveDiffers(
            hole.first_sequence,
            f"what the other replicas have up to sequence {hole.last_sequence} does not end with the chain value that "
            "this archive goes on from: nothing of it was taken over",
        )
    for part in list_segments(folder):
        part.path.rename(directory / part.path.name)
    disk.sync_directory(directory)
    folder.rmdir()
    return True


def discard_leftovers(directory: Path, holes: list[Hole]) -> None:
    """Remove what was fetched for holes that there are no more: whoever filled them was killed before it could."""
    needed = {str(hole.first_sequence) for hole in holes}
    for folder in (directory / MENDING_FOLDER).iterdir():
        if folder.is_dir() and folder.name not in needed:
            _discard(folder)
            folder.rmdir()


class _Unsound(Exception):
    def __init__(self, segment: Segment, damage: ArchiveDamaged) -> None:
        self.segment = segment
        self.damage = damage


class _Overlap(Exception):
    def __init__(self, segment: Segment, sequence: int) -> None:
        self.segment = segment
        self.sequence = sequence


def _holes(segments: list[Segment]) -> list[Hole]:
    holes = []
    before: Segment | None = None
    for segment in segments:
        is_newest = segment is segments[-1]
        try:
            header = read_segment_header(segment)
        except ArchiveDamaged as damage:
            if is_newest:
                raise
            raise _Unsound(segment, damage) from None
        if before is None:
            sequence, chain = 0, GENESIS_CHAIN
        elif _last_chain(before) == header.previous_chain:
            before = segment
            continue
        else:
            try:
                sequence, chain = verify_segment(before)
            except ArchiveDamaged as damage:
                raise _Unsound(before, damage) from None
        if before is not None and header.first_sequence <= sequence:
            raise _Overlap(before, header.first_sequence - 1)
        if header.first_sequence > sequence + 1:
            holes.append(Hole(sequence + 1, chain, header.first_sequence - 1, header.previous_chain))
        elif header != SegmentHeader(sequence + 1, chain):
            raise ArchiveDiffers(sequence + 1, f"{segment.path.name} does not continue what comes before it")
        before = segment
    return holes


def _last_chain(segment: Segment) -> bytes:
    """The chain value with which a segment ends, if it is sound; nothing if the disk does not give it back."""
    size = segment.path.stat().st_size
    if size <= SEGMENT_HEADER_SIZE:
        return read_segment_header(segment).previous_chain
    with segment.path.open("rb") as file:
        file.seek(size - CHAIN_SIZE)
        try:
            return read_part(file, CHAIN_SIZE, segment.first_sequence)
        except ArchiveDamaged:
            return b""


def _resume(folder: Path, hole: Hole, disk: Disk) -> Archive:
    """The archive of what was fetched so far, verified from its last segment on, ready for more."""
    parts = list_segments(folder)
    writer = Archive(folder, disk=disk)
    try:
        joints = [read_segment_header(part) for part in parts]
        if joints and joints[0] == SegmentHeader(hole.first_sequence, hole.chain_before):
            for part, following in zip(parts, joints[1:], strict=False):
                if _last_chain(part) != following.previous_chain:
                    raise ArchiveDamaged(following.first_sequence, "what was fetched before is not complete")
            writer.open(joints[-1].first_sequence - 1, joints[-1].previous_chain)
            if writer.last_sequence <= hole.last_sequence:
                return writer
            writer.close()
    except ArchiveDamaged as damage:
        logger.warning("what was fetched for the archive is fetched again: %s", damage)
    _discard(folder)
    writer = Archive(folder, disk=disk)
    writer.open(hole.first_sequence - 1, hole.chain_before)
    return writer


def _discard(folder: Path) -> None:
    """Remove copies of what other replicas have."""
    for part in list_segments(folder):
        part.path.unlink()
