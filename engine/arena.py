"""Records one behind the other, in segments of 1 MiB: appended at the end, dropped at the beginning.

What is remembered for a day and then forgotten in about the order in which it came stands here, so that millions of
things are a few hundred objects, no table is copied to grow, and a snapshot copies whole segments.

A record has a *position*: how many units of 8 bytes came before it in all segments that ever were. Positions are never
used twice. What a table keeps is a *reference*, the position's lowest 32 bits (fewer where the arena has fewer
segments), which tells records apart that are there at the same time. It is never 0. Where a record stands follows from
what was appended and dropped, and from nothing else, so positions may be part of the state.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import Final

from blake3 import blake3

from engine import wire

UNIT: Final = 8
UNIT_MASK: Final = (1 << 17) - 1
SEGMENT_SHIFT: Final = 17  # of a reference: the units of a segment
SEGMENT_SIZE: Final = 1 << 20
# A segment begins with how many of its bytes are used, which is written when it is full, and with a number that belongs
# to the arena's owner.
OWNERS: Final = 4
SEGMENT_HEADER_SIZE: Final = 8

# The same for this module's own compiled form.
_UNIT: Final = UNIT
_UNIT_SHIFT: Final = 3
_UNIT_MASK: Final = UNIT_MASK
_SEGMENT_SHIFT: Final = SEGMENT_SHIFT
_SEGMENT_SIZE: Final = SEGMENT_SIZE
_SEGMENT_HEADER_SIZE: Final = SEGMENT_HEADER_SIZE
_USED: Final = 0
_OWNERS: Final = OWNERS
_NO_SEGMENT: Final = bytearray()

# In a snapshot: the first segment's ordinal, where in it the records begin, how many segments there are.
_TABLE: Final = Struct("<QII")
_LENGTH: Final = Struct("<I")  # and of each segment, how many bytes of records it has


class Arena:
    """Owns where records stand, not what they say: their owner knows how long each is.

    Segments are counted from the first that ever was: ``first`` is the one with the oldest record, which begins at
    ``start`` in it, ``last`` the one to which records are appended, ``tail``. ``segments`` has each at its ordinal's
    place in a ring of ``segments_max``.
    """

    __slots__ = ("_base", "_digests", "_end", "_ring_mask", "_spare", "first", "last", "segments", "start", "tail")

    def __init__(self, segments_max: int) -> None:
        """``segments_max`` is a power of two, at most 2**15."""
        assert segments_max & (segments_max - 1) == 0 and 1 < segments_max <= 1 << 15, segments_max
        self._ring_mask = segments_max - 1
        self.segments = [wire.new_buffer(_SEGMENT_SIZE)]
        self._digests = [b""]  # of the segments that are full, as far as they were asked for
        self._spare: list[bytearray] = []
        self.first = self.last = 0
        self.start = self._end = _SEGMENT_HEADER_SIZE  # where the records of the last segment end
        self._base = 0  # what references to the last segment begin with
        self.tail = self.segments[0]
        wire.put_u32(self.tail, _OWNERS, 0)

    def append(self, size: int) -> int:
        """Take the next bytes for a record, which is to be written at once. Answers its reference."""
        at = self._end
        end = _whole(at + size)
        if end > _SEGMENT_SIZE:
            self._open_segment()
            at = _SEGMENT_HEADER_SIZE
            end = _whole(at + size)
        wire.put_u64(self.tail, end - _UNIT, 0)  # what fills up the last unit is part of a snapshot
        self._end = end
        return self._base | at >> _UNIT_SHIFT

    def after(self, reference: int, size: int) -> int:
        """The record behind one of this size, 0 if it is the last. IndexError if it does not end where it must."""
        number = reference >> _SEGMENT_SHIFT
        segment: bytearray = self.segments[number]
        end = _whole((reference & _UNIT_MASK) * _UNIT + size)
        used = self._end if segment is self.tail else wire.get_u32(segment, _USED)
        if end < used:
            return number << _SEGMENT_SHIFT | end >> _UNIT_SHIFT
        if end > used:
            raise IndexError(f"a record of {size} bytes ends at {end}, the last one at {used}")
        if segment is self.tail:
            return 0
        return (number + 1 & self._ring_mask) << _SEGMENT_SHIFT | _SEGMENT_HEADER_SIZE >> _UNIT_SHIFT

    def oldest(self) -> int:
        """The reference of the first record, 0 if there is none."""
        if self.first == self.last and self._end == self.start:
            return 0
        return (self.first & self._ring_mask) << _SEGMENT_SHIFT | self.start >> _UNIT_SHIFT

    def position(self, reference: int) -> int:
        """The position of a record that is there."""
        ahead = (reference >> _SEGMENT_SHIFT) + self._ring_mask + 1 - (self.first & self._ring_mask) & self._ring_mask
        return self.first + ahead << _SEGMENT_SHIFT | reference & _UNIT_MASK

    def reference(self, position: int) -> int:
        """How a table names the record of this position."""
        return (position >> _SEGMENT_SHIFT & self._ring_mask) << _SEGMENT_SHIFT | position & _UNIT_MASK

    def holds(self, position: int) -> bool:
        """Is the record, which was there once, not dropped yet?"""
        return position >= (self.first << _SEGMENT_SHIFT | self.start >> _UNIT_SHIFT)

    # Dropping.

    def drop_before(self, reference: int) -> None:
        """Let the arena begin with this record, which stands in the first segment or in the next one."""
        if reference >> _SEGMENT_SHIFT != self.first & self._ring_mask:
            self.drop_first_segment()
            assert reference >> _SEGMENT_SHIFT == self.first & self._ring_mask, reference
        self.start = (reference & _UNIT_MASK) * _UNIT

    def drop_first_segment(self) -> None:
        """Drop all records of the first segment, which is not the last. Its memory serves another one."""
        assert self.first < self.last, self.first
        place = self.first & self._ring_mask
        self._spare.append(self.segments[place])
        self.segments[place] = _NO_SEGMENT
        self._digests[place] = b""
        self.first += 1
        self.start = _SEGMENT_HEADER_SIZE

    def drop_all(self) -> None:
        """Drop all records, which stand in one segment. The next one goes where it would have gone anyway."""
        assert self.first == self.last, (self.first, self.last)
        self.start = self._end

    # Segments.

    def reserve(self, size: int) -> None:
        """Touch memory for so many more bytes of records, so that none of them waits for fresh pages."""
        wanted = size // (_SEGMENT_SIZE - _SEGMENT_HEADER_SIZE) + 1
        while len(self._spare) < wanted:
            self._spare.append(bytearray(b"\1" * _SEGMENT_SIZE))

    def segment_count(self) -> int:
        """How many segments there are, used and spare ones."""
        return self.last - self.first + 1 + len(self._spare)

    def _open_segment(self) -> None:
        assert self.last - self.first < self._ring_mask, "too many records"
        is_empty = self.first == self.last and self.start == self._end
        wire.put_u32(self.tail, _USED, self._end)
        self.last += 1
        self._use_segment()
        if is_empty:
            self.drop_first_segment()

    def _use_segment(self) -> None:
        """Let the last one be one that was used before, or one of fresh memory, whose pages come as they are used."""
        place = self.last & self._ring_mask
        while place >= len(self.segments):
            self.segments.append(_NO_SEGMENT)
            self._digests.append(b"")
        self.tail = self._spare.pop() if self._spare else wire.new_buffer(_SEGMENT_SIZE)
        self.segments[place] = self.tail
        self._base = place << _SEGMENT_SHIFT
        self._end = _SEGMENT_HEADER_SIZE
        wire.put_u32(self.tail, _OWNERS, 0)

    # Snapshots.

    def table(self) -> bytes:
        """What a snapshot must know beside the records: how many bytes of them are where."""
        lengths = [_LENGTH.pack(end - start) for _, start, end in self._extents()]
        return b"".join((_TABLE.pack(self.first, self.start, len(lengths)), *lengths))

    def records(self) -> Iterable[memoryview]:
        """All records, segment by segment. The views must be let go before the arena is used again."""
        return [memoryview(segment)[start:end] for segment, start, end in self._extents()]

    def digests(self) -> bytes:
        """The BLAKE3 of the records of each segment, one behind the other.

        Nothing changes in a segment that is full, so each is hashed once, however often the state is.
        """
        found = []
        for ordinal, (segment, start, end) in enumerate(self._extents(), start=self.first):
            place = ordinal & self._ring_mask
            is_whole = ordinal < self.last and start == _SEGMENT_HEADER_SIZE
            digest = self._digests[place] if is_whole else b""
            if not digest:
                digest = blake3(memoryview(segment)[start:end]).digest()
                if is_whole:
                    self._digests[place] = digest
            found.append(digest)
        return b"".join(found)

    def assert_digests_fit(self) -> None:
        """Has nothing changed in a segment since it was hashed?"""
        for ordinal, (segment, start, end) in enumerate(self._extents(), start=self.first):
            digest = self._digests[ordinal & self._ring_mask]
            if digest and start == _SEGMENT_HEADER_SIZE:
                assert digest == blake3(memoryview(segment)[start:end]).digest(), ("a full segment changed", ordinal)

    def restore(self, data: bytes, position: int) -> int:
        """Fill an empty arena with what a snapshot has there: :meth:`table` and all :meth:`records`.

        Answers where they end. StructError or IndexError if they are cut short or no arena has such segments.
        """
        self.first, self.start, count = _TABLE.unpack_from(data, position)
        position += _TABLE.size
        if not 0 < count <= self._ring_mask + 1:
            raise IndexError(f"{count} segments")
        lengths = [_LENGTH.unpack_from(data, position + _LENGTH.size * number)[0] for number in range(count)]
        position += _LENGTH.size * count
        self._spare.append(self.tail)
        self.segments[0] = _NO_SEGMENT
        self.last, start = self.first, self.start
        for number, length in enumerate(lengths):
            if not length and count > 1:
                raise IndexError("a segment without records")
            if number:
                wire.put_u32(self.tail, _USED, self._end)
                self.last += 1
            self._use_segment()
            if start < _SEGMENT_HEADER_SIZE or start % _UNIT or length % _UNIT:
                raise IndexError(f"{length} bytes of records at {start}")
            wire.put_bytes(self.tail, start, data, position, length)
            self._end = start + length
            position += length
            start = _SEGMENT_HEADER_SIZE
        return position

    def _extents(self) -> list[tuple[bytearray, int, int]]:
        """Every segment, and where its records begin and end."""
        extents = []
        start = self.start
        for ordinal in range(self.first, self.last + 1):
            segment = self.segments[ordinal & self._ring_mask]
            extents.append((segment, start, self._end if segment is self.tail else wire.get_u32(segment, _USED)))
            start = _SEGMENT_HEADER_SIZE
        return extents


def _whole(position: int) -> int:
    """The next whole unit."""
    return (position + _UNIT - 1) >> _UNIT_SHIFT << _UNIT_SHIFT
