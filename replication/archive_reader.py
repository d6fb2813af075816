"""Reading the newest entries of an archive while its replica goes on writing it.

A question must not hold up the replica that answers it, so each costs a bounded amount of work: it looks at a bounded
number of the archive's bytes. Where entries begin is remembered as it is found, one place for every so many bytes. A
question about what lies far from all known places answers nothing, but it gets nearer: whoever asks again gets there.

Entries are handed out as they stand in the file. What verifies them is ``replication.archive`` and ``tally replay``.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple

from xxhash import xxh32_intdigest

from engine.entry import CHAIN_SIZE, ENTRY_HEADER
from replication.archive import SEGMENT_HEADER_SIZE, ArchiveDamaged, Segment, list_segments

WINDOW_BYTES: Final = 1024 * 1024  # what one question looks at
ANSWER_BYTES_MAX: Final = 64 * 1024  # of events in one answer; what is larger is answered alone
EVENTS_BYTES_MAX: Final = 4 * 1024 * 1024  # an entry with more events than this is answered without them
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

    def _search(self, segment: Segment, sequence: int, limit: int) -> Stretch:
        """Walk through one window of a segment, from the nearest known place."""
        places = self._places.get(segment.first_sequence)
        if places is None:
            places = Places(segment, self._window_bytes // PLACES_PER_WINDOW)
            self._places[segment.first_sequence] = places
        start = places.at_or_before(sequence + 1)
        found: list[ArchivedEvents] = []
        answer_bytes = 0
        with segment.path.open("rb") as file:
            window = os.pread(file.fileno(), self._window_bytes, start)
            offset, next_sequence = 0, 0
            while len(window) - offset >= _HEAD_SIZE:
                length, checksum = _FRAME.unpack_from(window, offset)
                if xxh32_intdigest(window[offset : offset + 4]) != checksum:
                    raise ArchiveDamaged(sequence + 1, "the length of an entry has a wrong checksum")
                header = ENTRY_HEADER.unpack_from(window, offset + _FRAME.size)
                places.add(header[0], start + offset)
                next_sequence = header[0] + header[2]
                if next_sequence - 1 > sequence:
                    answer_bytes += header[4]
                    if len(found) == limit or (found and answer_bytes > ANSWER_BYTES_MAX):
                        return Stretch(found, more=True)
                    found.append(_events(file.fileno(), window, start, offset + _FRAME.size, header))
                offset += _FRAME.size + length
            at_end = len(window) < self._window_bytes
            if not at_end and next_sequence:
                # Behind an entry that is larger than a window, so that the next question does not begin before it.
                places.add(next_sequence, start + offset)
        return Stretch(found, more=not at_end)


def _events(file: int, window: bytes, start: int, position: int, header: tuple[int, ...]) -> ArchivedEvents:
    """The entry at ``position`` of the window. Its end may be beyond the window."""
    first_sequence, timestamp_ns, command_count, commands_length, events_length = header
    events_at = position + ENTRY_HEADER.size + commands_length
    chain_at = events_at + events_length
    is_answered = events_length <= EVENTS_BYTES_MAX
    if chain_at + CHAIN_SIZE <= len(window):
        events, chain = window[events_at:chain_at], window[chain_at : chain_at + CHAIN_SIZE]
    else:
        events = os.pread(file, events_length, start + events_at) if is_answered else b""
        chain = os.pread(file, CHAIN_SIZE, start + chain_at)
    return ArchivedEvents(first_sequence, timestamp_ns, command_count, chain, events if is_answered else None)
