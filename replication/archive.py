"""The archive: every committed entry, in order, for ever, in append-only files with a hash chain.

It is what auditors replay and what exporters read. Segments are named by their first sequence. A segment
begins with a header (magic, version, first sequence, the chain value before it, checksum), then holds
frames ``u32 length, u32 checksum of the length, entry``. The chain covers every byte of the entries
and the checksums cover the rest, so a flipped bit anywhere is found.

Only the end of the last segment may be unfinished, after a crash. The archive is forced to disk
before a snapshot lets the journal forget entries, so what an unclean end loses is re-applied from the journal.

What is damaged is set aside, the sound entries around it stay, and the others have the rest
(``replication.archive_salvage``, ``replication.archive_mending``). A sound entry that contradicts the state or its
neighbours is no damage but another history: then the replica must stop.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import BinaryIO, Final, NamedTuple

from xxhash import xxh3_64_intdigest, xxh32_intdigest

from engine.entry import CHAIN_SIZE, Entry, EntryError, chain_after, decode_entry, encode_entry
from replication.disk import DISK, Disk
from replication.private_directory import create_private_directory

logger = logging.getLogger(__name__)

MAGIC: Final = b"TALLYARC"
VERSION: Final = 1
SEGMENT_BYTES_MAX: Final = 64 * 1024 * 1024
SUFFIX: Final = ".entries"

_SEGMENT_FIELDS: Final = Struct("<8sHQ32s")
_SEGMENT_CHECKSUM: Final = Struct("<Q")
FRAME: Final = Struct("<II")  # the length of an entry, and its checksum
SEGMENT_HEADER_SIZE: Final = _SEGMENT_FIELDS.size + _SEGMENT_CHECKSUM.size


class ArchiveDamaged(Exception):
    """An entry is not what was written. ``sequence`` is the first command that can no longer be trusted."""

    def __init__(self, sequence: int, reason: str) -> None:
        super().__init__(f"the archive is damaged at sequence {sequence}: {reason}")
        self.sequence = sequence


class ArchiveDiffers(Exception):
    """Entries that are sound, and not those of this replica's history. ``sequence`` is the first that differs."""

    def __init__(self, sequence: int, reason: str) -> None:
        super().__init__(f"the archive has another history at sequence {sequence}: {reason}")
        self.sequence = sequence


class ArchiveGap(Exception):
    """No archive at hand has this part of the history: it came to their replicas as a snapshot."""

    def __init__(self, first_missing: int, last_missing: int) -> None:
        super().__init__(
            f"sequences {first_missing} to {last_missing} are in no archive here: "
            "they came as a snapshot; add the archive of another replica"
        )
        self.first_missing = first_missing
        self.last_missing = last_missing


class SegmentHeader(NamedTuple):
    first_sequence: int
    previous_chain: bytes


class Segment(NamedTuple):
    path: Path
    first_sequence: int


class ReadEntry(NamedTuple):
    """``end_offset`` is where the entry's frame ends in its segment."""

    entry: Entry
    end_offset: int


class Archive:
    """The writing side. One owner at a time, which is the replica."""

    def __init__(self, directory: Path, *, segment_bytes_max: int = SEGMENT_BYTES_MAX, disk: Disk = DISK) -> None:
        self.last_sequence = 0
        self.chain = bytes(CHAIN_SIZE)
        self._directory = directory
        self._disk = disk
        self._segment_bytes_max = segment_bytes_max
        self._file = -1
        self._size_bytes = 0
        self._unwritten = bytearray()
        self._known_chains: dict[int, bytes] = {}  # of archived entries that will be applied again, by last sequence

    def open(self, sequence: int, chain: bytes) -> None:
        """Continue where the state machine stands. What is archived beyond that is checked as it is applied again.

        ArchiveDamaged if an entry up to ``sequence`` is damaged or missing, ArchiveDiffers if it belongs to another
        history. An unfinished or damaged end beyond it is cut off: the journal still has those entries.
        """
        create_private_directory(self._directory)
        segments = list_segments(self._directory)
        at_or_before = [segment for segment in segments if segment.first_sequence <= sequence + 1]
        if segments and not at_or_before:
            raise ArchiveDamaged(sequence + 1, f"it begins only at sequence {segments[0].first_sequence}")
        tail = segments[len(at_or_before) - 1 :] if at_or_before else []
        kept = self._verify_tail(tail, sequence, chain)
        if kept is None or self.last_sequence < sequence:
            self._start_segment(sequence, chain)
            return
        path, end_offset = kept
        for segment in segments:
            if segment.path > path:
                self._disk.unlink(segment.path)
        # Whoever made the segment may have been killed before its name was on the disk; and what is gone stays gone.
        self._disk.sync_directory(self._directory)
        self._file = self._disk.open(path, os.O_WRONLY)
        self._disk.truncate(self._file, end_offset)
        self._size_bytes = end_offset

    def begin_after(self, sequence: int, chain: bytes) -> None:
        """Begin a new segment where the state machine stands, whatever is archived before: see ``open``."""
        self._start_segment(sequence, chain)

    def append(self, entry: Entry) -> None:
        """Add the next entry, or check one that is archived already. ArchiveDiffers if that one does."""
        if entry.last_sequence <= self.last_sequence:
            known = self._known_chains.pop(entry.last_sequence, None)
            if known != entry.chain:
                raise ArchiveDiffers(entry.first_sequence, "applying the log again gave another result")
            return
        assert entry.first_sequence == self.last_sequence + 1, (entry.first_sequence, self.last_sequence)
        if self._size_bytes + len(self._unwritten) >= self._segment_bytes_max:
            self._start_segment(self.last_sequence, self.chain)
        body = encode_entry(entry)
        length = len(body).to_bytes(4, "little")
        self._unwritten += length + xxh32_intdigest(length).to_bytes(4, "little") + body
        self.last_sequence, self.chain = entry.last_sequence, entry.chain

    def end_segment(self) -> None:
        """Write on in a new segment, unless this one has nothing yet."""
        if self._size_bytes + len(self._unwritten) > SEGMENT_HEADER_SIZE:
            self._start_segment(self.last_sequence, self.chain)

    def flush(self) -> None:
        """Hand what was appended to the kernel: it survives the end of this process, not a power loss."""
        if self._unwritten:
            self._disk.write(self._file, self._unwritten)
            self._size_bytes += len(self._unwritten)
            self._unwritten.clear()

    def sync(self) -> None:
        """Make everything appended durable."""
        self.flush()
        self._disk.fsync(self._file)

    def close(self) -> None:
        if self._file >= 0:
            self.sync()
            self._disk.close(self._file)
            self._file = -1

    def _verify_tail(self, segments: list[Segment], sequence: int, chain: bytes) -> tuple[Path, int] | None:
        """Read the segments from the one with ``sequence`` on. Answers where the last sound entry ends."""
        kept: tuple[Path, int] | None = None
        try:
            for segment in segments:
                header = read_segment_header(segment)
                if kept is not None:
                    require_joint(self.last_sequence, self.chain, segment, header)
                self.last_sequence, self.chain = header.first_sequence - 1, header.previous_chain
                kept = segment.path, SEGMENT_HEADER_SIZE
                self._check_point(sequence, chain)
                for entry, end_offset in read_segment(segment, header):
                    self.last_sequence, self.chain = entry.last_sequence, entry.chain
                    kept = segment.path, end_offset
                    self._check_point(sequence, chain)
                    if self.last_sequence > sequence:
                        self._known_chains[self.last_sequence] = self.chain
        except (ArchiveDamaged, ArchiveDiffers) as damage:
            if damage.sequence <= sequence or (kept is None and len(segments) > 1):
                raise
            logger.warning("%s; it is cut off there and written again from the journal", damage)
        return kept

    def _check_point(self, sequence: int, chain: bytes) -> None:
        if self.last_sequence == sequence and self.chain != chain:
            raise ArchiveDiffers(sequence, "its chain value is not the one of the snapshot")

    def _start_segment(self, sequence: int, chain: bytes) -> None:
        """Begin a new file after ``sequence``; the one before it is complete and durable first."""
        if self._file >= 0:
            self.close()
        if self.last_sequence < sequence and self.last_sequence:
            logger.warning("sequences %d to %d are not in this archive", self.last_sequence + 1, sequence)
        self.last_sequence, self.chain = sequence, chain
        path = segment_path(self._directory, sequence + 1)
        self._file = self._disk.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        self._disk.write(self._file, encode_segment_header(SegmentHeader(sequence + 1, chain)))
        self._disk.fsync(self._file)
        self._disk.sync_directory(self._directory)
        self._size_bytes = SEGMENT_HEADER_SIZE


def list_segments(directory: Path) -> list[Segment]:
    """The segments of an archive, oldest first."""
    return [
        Segment(path, int(path.name.removesuffix(SUFFIX)))
        for path in sorted(directory.glob("*" + SUFFIX))
        if path.name.removesuffix(SUFFIX).isdecimal()
    ]


def segment_path(directory: Path, first_sequence: int) -> Path:
    return directory / f"{first_sequence:020d}{SUFFIX}"


def encode_segment_header(header: SegmentHeader) -> bytes:
    fields = _SEGMENT_FIELDS.pack(MAGIC, VERSION, header.first_sequence, header.previous_chain)
    return fields + _SEGMENT_CHECKSUM.pack(xxh3_64_intdigest(fields))


def secure_end(directory: Path, sequence: int, disk: Disk) -> None:
    """Make durable what is sound of an archive that nobody has open, and cut off a torn end beyond ``sequence``.

    Needed before a snapshot of a later state stands for it: whoever opens it then takes a torn end for damage. Only the
    newest segment can have one. ArchiveDamaged if it is not sound up to ``sequence``.
    """
    for segment in list_segments(directory)[-1:]:
        end_offset = SEGMENT_HEADER_SIZE
        header = read_segment_header(segment)
        try:
            for found in read_segment(segment, header):
                end_offset = found.end_offset
        except ArchiveDamaged as damage:
            if damage.sequence <= sequence:
                raise
            logger.warning("%s; it is cut off there, other replicas have what follows", damage)
        file = disk.open(segment.path, os.O_WRONLY)
        try:
            disk.truncate(file, end_offset)
            disk.fsync(file)
        finally:
            disk.close(file)


def read_segment_header(segment: Segment) -> SegmentHeader:
    with segment.path.open("rb") as file:
        data = read_part(file, SEGMENT_HEADER_SIZE, segment.first_sequence)
    if len(data) < SEGMENT_HEADER_SIZE:
        raise ArchiveDamaged(segment.first_sequence, f"the header of {segment.path.name} is cut short")
    magic, version, first_sequence, previous_chain = _SEGMENT_FIELDS.unpack_from(data)
    checksum = _SEGMENT_CHECKSUM.unpack_from(data, _SEGMENT_FIELDS.size)[0]
    if checksum != xxh3_64_intdigest(data[: _SEGMENT_FIELDS.size]) or magic != MAGIC:
        raise ArchiveDamaged(segment.first_sequence, f"the header of {segment.path.name} has a wrong checksum")
    if version != VERSION or first_sequence != segment.first_sequence:
        raise ArchiveDamaged(segment.first_sequence, f"{segment.path.name} is not what its name says")
    return SegmentHeader(first_sequence, previous_chain)


def read_segment(segment: Segment, header: SegmentHeader) -> Iterator[ReadEntry]:
    """The entries of one segment, each verified against the chain. ArchiveDamaged at the first that is not sound.

    A last frame that is not complete ends the segment silently: its writer was stopped in the middle.
    """
    sequence, chain = header.first_sequence, header.previous_chain
    offset = SEGMENT_HEADER_SIZE
    with segment.path.open("rb", buffering=1 << 20) as file:
        file.seek(offset)
        while len(frame := read_part(file, FRAME.size, sequence)) == FRAME.size:
            length, checksum = FRAME.unpack(frame)
            if xxh32_intdigest(frame[:4]) != checksum:
                raise ArchiveDamaged(sequence, "the length of an entry has a wrong checksum")
            body = read_part(file, length, sequence)
            if len(body) < length:
                return
            entry = verified_entry(body, sequence, chain)
            offset += FRAME.size + length
            yield ReadEntry(entry, offset)
            sequence, chain = entry.last_sequence + 1, entry.chain


def require_joint(last_sequence: int, chain: bytes, segment: Segment, header: SegmentHeader) -> None:
    """ArchiveDamaged if entries are missing before a segment, ArchiveDiffers if it does not continue the chain."""
    if header.first_sequence > last_sequence + 1:
        raise ArchiveDamaged(last_sequence + 1, f"what follows is missing up to sequence {header.first_sequence - 1}")
    if header != SegmentHeader(last_sequence + 1, chain):
        raise ArchiveDiffers(last_sequence + 1, f"{segment.path.name} does not continue it")


def read_part(file: BinaryIO, size_bytes: int, sequence: int) -> bytes:
    """Read a part of a segment; what the disk gives back no more is damaged."""
    try:
        return file.read(size_bytes)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        raise ArchiveDamaged(sequence, f"the disk cannot read it: {error.strerror}") from None


def verified_entry(body: bytes, sequence: int, previous_chain: bytes) -> Entry:
    """The entry in the body of a frame, if it begins with this sequence after this chain; else ArchiveDamaged."""
    try:
        entry = decode_entry(body)
    except EntryError as error:
        raise ArchiveDamaged(sequence, str(error)) from None
    chain = chain_after(
        previous_chain, entry.first_sequence, entry.timestamp_ns, entry.command_count, entry.commands, entry.events
    )
    if chain != entry.chain or entry.first_sequence != sequence:
        raise ArchiveDamaged(sequence, "the hash chain does not fit the entry")
    return entry
