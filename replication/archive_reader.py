"""Reading the newest entries of an archive while its replica goes on writing it.

A question must not hold up the replica that answers it, so each costs a bounded amount of work: it looks at a bounded
number of the archive's bytes. Where entries begin is remembered as it is found, one place for every so many bytes. A
question about what lies far from all known places answers nothing, but it gets nearer: whoever asks again gets there.

A stretch of events or of whole entries is handed out as it stands in the file; what verifies it is
``replication.archive``, ``tally replay`` and ``replication.entry_source``. A single entry is verified against the chain
value before it.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple

from xxhash import xxh32_intdigest

from engine.entry import CHAIN_SIZE, ENTRY_HEADER, Entry
from replication.archive import (
    SEGMENT_HEADER_SIZE,
    ArchiveDamaged,
    Segment,
    list_segments,
    read_segment_header,
    verified_entry,
)

WINDOW_BYTES: Final = 1024 * 1024  # what one question looks at
WHOLE_BYTES_MAX: Final = 256 * 1024  # of it, where all that is looked at is answered
ANSWER_BYTES_MAX: Final = 64 * 1024  # of events in one answer; what is larger is answered alone
EVENTS_BYTES_MAX: Final = 4 * 1024 * 1024  # an entry with more events than this is answered without them
ENTRY_BYTES_MAX: Final = 4 * 1024 * 1024  # a larger entry is found, but not read
PLACES_PER_WINDOW: Final = 16

_FRAME: Final = Struct("<II")
_HEAD_SIZE: Final = _FRAME.size + ENTRY_HEADER.size


class ArchivedEvents(NamedTuple):
    """The events of one entry, encoded. None if they are too many for an answer."""

    first_sequence: int
    timestamp_ns: int
    command_count: int
    chain: bytes
    events: bytes | None


class Stretch(NamedTuple):
    """``more``: ask again, from the last of these entries on, or (where there are none) as before."""

    entries: list[ArchivedEvents]
    more: bool


class FoundEntry(NamedTuple):
    """``entry`` None: it has more than ENTRY_BYTES_MAX bytes (``is_too_large``), or is not in this archive."""

    entry: Entry | None
    chain_before: bytes = b""
    is_too_large: bool = False


class EncodedEntries(NamedTuple):
    """Whole entries (``engine.entry.encode_entry``) that follow a sequence without a gap.

    ``chain_before`` is the chain value that this archive has before the first of them. ``more``: ask again, from the
    last of these entries on, or (where there are none) as before, since the place was too far away. ``last_sequence``
    is where this replica stands. ``first_missing`` is the first sequence that was asked for, if this archive does not
    have it although the replica has executed it.

    An entry that is larger than a window is handed out alone in ``piece``, the bytes from the asked offset on, of
    ``entry_bytes`` in all; ``entries`` is empty then.
    """

    entries: list[bytes]
    chain_before: bytes
    more: bool
    last_sequence: int
    first_missing: int | None = None
    piece: bytes = b""
    entry_bytes: int = 0


class _Head(NamedTuple):
    """Where an entry's frame begins in a window, how long its body is, and the fields of its header."""

    offset: int
    length: int
    first_sequence: int
    timestamp_ns: int
    command_count: int
    commands_length: int
    events_length: int

    @property
    def end(self) -> int:
        """Where its frame ends in the window, or would."""
        return self.offset + _FRAME.size + self.length


class Places:
    """Where entries of one segment begin, as far as somebody has been there: parallel lists, ascending."""

    def __init__(self, segment: Segment, every_bytes: int) -> None:
        self.sequences = [segment.first_sequence]
        self.offsets = [SEGMENT_HEADER_SIZE]
        self._every_bytes = every_bytes

    def add(self, first_sequence: int, offset: int) -> None:
        if offset >= self.offsets[-1] + self._every_bytes:
            self.sequences.append(first_sequence)
            self.offsets.append(offset)

    def at_or_before(self, sequence: int) -> int:
        return self.offsets[max(0, bisect_right(self.sequences, sequence) - 1)]


class ArchiveReader:
    """Of one directory. What it has found stays true as long as the archive only grows."""

    def __init__(self, directory: Path, *, window_bytes: int = WINDOW_BYTES) -> None:
        self._directory = directory
        self._window_bytes = window_bytes
        self._places: dict[int, Places] = {}  # by the segment's first sequence

    def entries_after(self, sequence: int, limit: int) -> Stretch:
        """The first entries that hold a command above ``sequence``, at most ``limit`` of them.

        ArchiveDamaged if the file is not what was written.
        """
        segments = list_segments(self._directory)
        begun = sum(segment.first_sequence <= sequence + 1 for segment in segments)
        for position in range(max(0, begun - 1), len(segments)):
            found = self._search(segments[position], sequence, limit)
            if found.entries or found.more:
                return Stretch(found.entries, found.more or position + 1 < len(segments))
        return Stretch([], more=False)

    def find_entry(self, sequence: int) -> FoundEntry | None:
        """The entry that holds a command, with the chain value before it. None: ask again, it is farther away.

        ArchiveDamaged if the file is not what was written.
        """
        segments = [segment for segment in list_segments(self._directory) if segment.first_sequence <= sequence]
        if not segments:
            return FoundEntry(None)
        segment = segments[-1]
        places = self._places_of(segment)
        start = places.at_or_before(sequence)
        with segment.path.open("rb") as file:
            window = os.pread(file.fileno(), self._window_bytes, start)
            is_full = len(window) == self._window_bytes
            for head in self._walk(window, start, places, sequence, is_full=is_full):
                return _read_entry(file.fileno(), segment, start + head.offset, head)
        return None if is_full else FoundEntry(None)

    def encoded_after(self, sequence: int, last_sequence: int, offset: int = 0) -> EncodedEntries:
        """The entries that follow ``sequence``, up to ``last_sequence``, which is where the replica stands.

        ``offset`` is of use for an entry that does not fit into one answer. ArchiveDamaged if the file is not what was
        written.
        """
        nothing = EncodedEntries([], b"", more=False, last_sequence=last_sequence)
        if sequence >= last_sequence:
            return nothing
        segments = [segment for segment in list_segments(self._directory) if segment.first_sequence <= sequence + 1]
        if not segments:
            return nothing._replace(first_missing=sequence + 1)
        segment = segments[-1]
        places = self._places_of(segment)
        start = places.at_or_before(sequence + 1)
        window_bytes = min(self._window_bytes, WHOLE_BYTES_MAX)
        with segment.path.open("rb") as file:
            window = os.pread(file.fileno(), window_bytes, start)
            is_full = len(window) == window_bytes
            found = self._whole_entries(window, start, places, sequence + 1, last_sequence, is_full=is_full)
            if found:
                first, last = found[0], found[-1]
                chain_before = _chain_before(file.fileno(), segment, start + first.offset)
                if first.end <= len(window):
                    bodies = [window[head.offset + _FRAME.size : head.end] for head in found]
                    more = last.first_sequence + last.command_count <= last_sequence
                    return EncodedEntries(bodies, chain_before, more, last_sequence)
                piece_bytes = max(0, min(window_bytes, first.length - offset))
                piece = os.pread(file.fileno(), piece_bytes, start + first.offset + _FRAME.size + offset)
                if len(piece) < piece_bytes:
                    raise ArchiveDamaged(sequence + 1, "the file ends in the middle of the entry")
                return EncodedEntries(
                    [], chain_before, more=True, last_sequence=last_sequence, piece=piece, entry_bytes=first.length
                )
        if is_full:
            return nothing._replace(more=True)
        return nothing._replace(first_missing=sequence + 1)

    def _whole_entries(
        self, window: bytes, start: int, places: Places, sequence: int, last_sequence: int, *, is_full: bool
    ) -> list[_Head]:
        """The entries of a window from the one with ``sequence`` on that end in it; or the first, if it does not."""
        found: list[_Head] = []
        for head in self._walk(window, start, places, sequence, is_full=is_full):
            if head.length != ENTRY_HEADER.size + head.commands_length + head.events_length + CHAIN_SIZE:
                raise ArchiveDamaged(sequence, "the lengths in an entry's header do not fit its frame")
            if found and head.end > len(window):
                break
            if head.first_sequence + head.command_count - 1 > last_sequence:
                break
            found.append(head)
        return found

    def _search(self, segment: Segment, sequence: int, limit: int) -> Stretch:
        """Walk through one window of a segment, from the nearest known place."""
        places = self._places_of(segment)
        start = places.at_or_before(sequence + 1)
        found: list[ArchivedEvents] = []
        answer_bytes = 0
        with segment.path.open("rb") as file:
            window = os.pread(file.fileno(), self._window_bytes, start)
            is_full = len(window) == self._window_bytes
            for head in self._walk(window, start, places, sequence + 1, is_full=is_full):
                answer_bytes += head.events_length
                if len(found) == limit or (found and answer_bytes > ANSWER_BYTES_MAX):
                    return Stretch(found, more=True)
                found.append(_events(file.fileno(), window, start, head))
        return Stretch(found, more=is_full)

    def _places_of(self, segment: Segment) -> Places:
        places = self._places.get(segment.first_sequence)
        if places is None:
            places = Places(segment, self._window_bytes // PLACES_PER_WINDOW)
            self._places[segment.first_sequence] = places
        return places

    def _walk(self, window: bytes, start: int, places: Places, sequence: int, *, is_full: bool) -> Iterator[_Head]:
        """The entries of a window that hold this command or later ones. The window begins at ``start`` of the segment.

        ``is_full``: the segment may go on behind the window. Remembers where entries begin.
        """
        offset, next_sequence = 0, 0
        while len(window) - offset >= _HEAD_SIZE:
            length, checksum = _FRAME.unpack_from(window, offset)
            if xxh32_intdigest(window[offset : offset + 4]) != checksum:
                raise ArchiveDamaged(sequence, "the length of an entry has a wrong checksum")
            header = ENTRY_HEADER.unpack_from(window, offset + _FRAME.size)
            places.add(header[0], start + offset)
            next_sequence = header[0] + header[2]
            if next_sequence > sequence:
                yield _Head(offset, length, *header)
            offset += _FRAME.size + length
        if is_full and next_sequence:
            # Behind an entry that is larger than a window, so that the next question does not begin before it.
            places.add(next_sequence, start + offset)


def _read_entry(file: int, segment: Segment, offset: int, head: _Head) -> FoundEntry:
    """The entry whose frame is at ``offset`` of the file."""
    if head.length > ENTRY_BYTES_MAX:
        return FoundEntry(None, is_too_large=True)
    chain_before = _chain_before(file, segment, offset)
    body = os.pread(file, head.length, offset + _FRAME.size)
    if len(body) < head.length:
        return FoundEntry(None)  # the end of a copy that was made in the middle of an entry
    return FoundEntry(verified_entry(body, head.first_sequence, chain_before), chain_before)


def _chain_before(file: int, segment: Segment, offset: int) -> bytes:
    """The chain value before the entry whose frame is at ``offset`` of the file."""
    if offset == SEGMENT_HEADER_SIZE:
        return read_segment_header(segment).previous_chain
    return os.pread(file, CHAIN_SIZE, offset - CHAIN_SIZE)  # where the entry before it ends


def _events(file: int, window: bytes, start: int, head: _Head) -> ArchivedEvents:
    """What an entry of the window says of its events. Its end may be beyond the window."""
    events_at = head.offset + _HEAD_SIZE + head.commands_length
    chain_at = events_at + head.events_length
    is_answered = head.events_length <= EVENTS_BYTES_MAX
    if chain_at + CHAIN_SIZE <= len(window):
        events, chain = window[events_at:chain_at], window[chain_at : chain_at + CHAIN_SIZE]
    else:
        events = os.pread(file, head.events_length, start + events_at) if is_answered else b""
        chain = os.pread(file, CHAIN_SIZE, start + chain_at)
    return ArchivedEvents(
        head.first_sequence, head.timestamp_ns, head.command_count, chain, events if is_answered else None
    )
