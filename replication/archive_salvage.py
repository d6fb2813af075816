"""What is sound in a damaged segment stays in the archive; the damaged file itself is set aside, never deleted.

A bit that flips, a sector that cannot be read or a file that was cut short spoils a few entries of the thousands in a
segment. Each entry carries its chain value, which hashes the entry and the value before it, so every entry that still
fits the value before it is exactly what was written: no accident makes one that is not. Such entries in a row, a *run*,
become a segment of their own, and what lies between the runs is missing, as if it had never come here. So three
replicas that are damaged at three places still have everything between them.

The files change in an order in which a process may be killed anywhere: the damaged file has a second name in
``damaged/`` before anything else happens, and what is written anew takes its name when it is complete and durable. To
do it again changes nothing.

Source: R. Alagappan et al., "Protocol-Aware Recovery for Consensus-Based Storage", FAST 2018; docs/adr/0023
"""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path
from typing import Final, NamedTuple

from xxhash import xxh32_intdigest

from engine.entry import CHAIN_SIZE, Entry, EntryError, decode_entry
from replication.archive import (
    FRAME,
    SEGMENT_HEADER_SIZE,
    ArchiveDamaged,
    Segment,
    SegmentHeader,
    encode_segment_header,
    list_segments,
    read_segment,
    read_segment_header,
    segment_path,
    verified_entry,
)
from replication.disk import DISK, Disk
from replication.private_directory import UNFINISHED, create_private_directory

logger = logging.getLogger(__name__)

DAMAGED_FOLDER: Final = "damaged"
RESYNC_BYTES_MAX: Final = 4 * 1024 * 1024  # how far the next entry is looked for after a length that is damaged

_CHAIN_IN_HEADER: Final = 18  # where a segment's header has the chain value before it
_READ_BYTES: Final = 1024 * 1024
_SECTOR_BYTES: Final = 4096


class Run(NamedTuple):
    """Sound entries in a row: what they follow, where they end, and their frames."""

    first_sequence: int
    chain_before: bytes
    last_sequence: int
    chain: bytes
    frames: bytes


def verify_segment(segment: Segment) -> tuple[int, bytes]:
    """Read a segment that is complete. Answers its last sequence and chain value; ArchiveDamaged if it is not sound."""
    header = read_segment_header(segment)
    sequence, chain, end_offset = header.first_sequence - 1, header.previous_chain, SEGMENT_HEADER_SIZE
    for found in read_segment(segment, header):
        sequence, chain, end_offset = found.entry.last_sequence, found.entry.chain, found.end_offset
    if end_offset != segment.path.stat().st_size:
        raise ArchiveDamaged(sequence + 1, f"{segment.path.name} ends in the middle of an entry")
    return sequence, chain


def salvage_tail(directory: Path, sequence: int, *, disk: Disk = DISK) -> None:
    """Make the newest segments sound again, up to ``sequence``, where the state machine stands.

    What they hold beyond is set aside too: the journal has it, and writes it again.
    """
    segments = list_segments(directory)
    at_or_before = sum(segment.first_sequence <= sequence for segment in segments)
    for segment in segments[max(0, at_or_before - 1) :]:
        if segment.first_sequence > sequence:
            _set_aside(segment, disk)
            disk.unlink(segment.path)
        elif _needs_salvage(segment, sequence):
            salvage(segment, last_sequence=sequence, disk=disk)
    disk.sync_directory(directory)


def salvage(segment: Segment, *, last_sequence: int | None = None, disk: Disk = DISK) -> None:
    """Replace a segment by its sound runs, up to ``last_sequence``."""
    directory = segment.path.parent
    runs = sound_runs(_readable_bytes(segment.path), segment, last_sequence)
    _set_aside(segment, disk)
    # The first run may take the place of the damaged file: last, so that nothing is missing in between.
    for run in reversed(runs):
        _write_run(directory, run, disk)
    if not any(run.first_sequence == segment.first_sequence for run in runs):
        disk.unlink(segment.path)
    disk.sync_directory(directory)
    kept = ", ".join(f"{run.first_sequence} to {run.last_sequence}" for run in runs) or "nothing"
    logger.warning("%s is in %s/ now; kept of it: %s", segment.path.name, DAMAGED_FOLDER, kept)


def damaged_files(directory: Path) -> int:
    """How many damaged segments of an archive were set aside so far."""
    folder = directory / DAMAGED_FOLDER
    return sum(1 for _ in folder.iterdir()) if folder.is_dir() else 0


def sound_runs(data: bytes, segment: Segment, last_sequence: int | None = None) -> list[Run]:
    """What a segment's bytes still hold of its history."""
    runs: list[Run] = []
    begin = offset = SEGMENT_HEADER_SIZE  # of the run under way, and of the entry that is looked at
    first: Entry | None = None
    last: Entry | None = None
    chain_before = b""

    def end_run(end: int) -> None:
        nonlocal first, last
        if first is not None and last is not None:
            runs.append(Run(first.first_sequence, chain_before, last.last_sequence, last.chain, data[begin:end]))
        first = last = None

    while offset < len(data):
        end = _frame_end(data, offset)
        entry = _sound_entry(data, offset, end) if end else None
        if entry is not None and last_sequence is not None and entry.last_sequence > last_sequence:
            break
        if entry is None or (last is not None and entry.first_sequence != last.last_sequence + 1):
            end_run(offset)
        if entry is not None:
            if first is None:
                first, begin, chain_before = entry, offset, _chain_before(data, offset)
            last = entry
        offset = end or _next_entry(data, offset + 1)
    end_run(offset)
    floor = segment.first_sequence
    ascending = []
    for run in runs:  # what stands there from an earlier use of the disk is no part of this segment
        if run.first_sequence >= floor:
            ascending.append(run)
            floor = run.last_sequence + 1
    return ascending


def _needs_salvage(segment: Segment, sequence: int) -> bool:
    try:
        return verify_segment(segment)[0] > sequence
    except ArchiveDamaged:
        return True


def _chain_before(data: bytes, offset: int) -> bytes:
    start = _CHAIN_IN_HEADER if offset == SEGMENT_HEADER_SIZE else offset - CHAIN_SIZE
    return data[start : start + CHAIN_SIZE]


def _frame_end(data: bytes, offset: int) -> int:
    """Where the frame at an offset ends; 0 if none begins there, or not all of it is there."""
    if offset + FRAME.size > len(data):
        return 0
    length, checksum = FRAME.unpack_from(data, offset)
    end: int = offset + FRAME.size + length
    return end if end <= len(data) and xxh32_intdigest(data[offset : offset + 4]) == checksum else 0


def _sound_entry(data: bytes, offset: int, end: int) -> Entry | None:
    body = data[offset + FRAME.size : end]
    try:
        return verified_entry(body, decode_entry(body).first_sequence, _chain_before(data, offset))
    except (ArchiveDamaged, EntryError):
        return None


def _next_entry(data: bytes, start: int) -> int:
    """Where the next sound entry begins, if its frame can be found."""
    for offset in range(start, min(len(data), start + RESYNC_BYTES_MAX)):
        end = _frame_end(data, offset)
        if end and _sound_entry(data, offset, end) is not None:
            return offset
    return len(data)


def _readable_bytes(path: Path) -> bytes:
    """A file's bytes, with zeros for the sectors that the disk does not give back."""
    parts = []
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        for start in range(0, size, _READ_BYTES):
            part = _pread(file.fileno(), min(_READ_BYTES, size - start), start)
            if part is not None:
                parts.append(part)
                continue
            for sector in range(start, min(size, start + _READ_BYTES), _SECTOR_BYTES):
                size_bytes = min(_SECTOR_BYTES, size - sector)
                parts.append(_pread(file.fileno(), size_bytes, sector) or bytes(size_bytes))
    return b"".join(parts)


def _pread(file: int, size_bytes: int, offset: int) -> bytes | None:
    try:
        return os.pread(file, size_bytes, offset)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return None


def _set_aside(segment: Segment, disk: Disk) -> None:
    """Give a file a second name among the damaged ones."""
    folder = segment.path.parent / DAMAGED_FOLDER
    create_private_directory(folder)
    number = 1
    while (target := folder / f"{segment.path.name}.{number}").exists():
        if target.samefile(segment.path):
            return  # an earlier attempt came as far as this
        number += 1
    os.link(segment.path, target)
    disk.sync_directory(folder)


def _write_run(directory: Path, run: Run, disk: Disk) -> None:
    path = segment_path(directory, run.first_sequence)
    # Named after the process: a child of an earlier life may be at it still.
    unfinished = path.with_name(f"{path.name}.{os.getpid()}{UNFINISHED}")
    file = disk.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        disk.write(file, encode_segment_header(SegmentHeader(run.first_sequence, run.chain_before)) + run.frames)
        disk.fsync(file)
    finally:
        disk.close(file)
    disk.rename(unfinished, path)
