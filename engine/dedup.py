"""One id, one outcome: what every account's requests came to, remembered for 24 h of log time.

A retry with the same id and the same content gets the first receipt, whoever answers and
whatever became of the order since; the same id with other content is a conflict that quotes the receipt
(rulebook, convention 7 and rows D2, E1 to E3). Refusals are receipts too: an outcome is final.

Receipts are records in segments of 1 MiB, one behind the other in the order in which they are forgotten. A record is
named by a reference: which segment, and at which of its units of 8 bytes it begins. A reference is never 0, and holds
until its receipt is forgotten or kept for another period. A segment whose receipts are all forgotten is used again.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from engine import wire
from engine.hash_index import HashIndex
from engine.types import ID_LENGTH_MAX, REQUEST_MEMORY_NS

_ID_CHARACTERS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-"
_IS_ID_CHARACTER: Final = bytes(character in _ID_CHARACTERS for character in range(256))

# Where the fields of a record stand. The id follows at once, then the content. All but the slot is what a snapshot has.
_SLOT: Final = 0
_SEQUENCE: Final = 4
_REMEMBERED_AT: Final = 12
_SUBJECT: Final = 20
_ACCOUNT: Final = 28
_REASON: Final = 32
_KIND: Final = 34
_CONTENT_LENGTH: Final = 36
_ID_LENGTH: Final = 38
_HEADER_SIZE: Final = 39
_ACCOUNT_ID_MAX: Final = (1 << 32) - 1
_STORED_ID_LENGTH_MAX: Final = (1 << 8) - 1
_CONTENT_LENGTH_MAX: Final = (1 << 16) - 1

# A segment begins with how many of its bytes are used, and which segment holds the receipts after its own (0: none).
_USED: Final = 0
_NEXT: Final = 4
_SEGMENT_HEADER_SIZE: Final = 8
_SEGMENT_SIZE: Final = 1 << 20
_UNIT: Final = 8
_UNIT_SHIFT: Final = 3
_SEGMENT_SHIFT: Final = 17  # of a reference: the units of a segment
_UNIT_MASK: Final = (1 << 17) - 1
_SEGMENTS_MAX: Final = 1 << 15  # as many as a reference of 32 bits can tell apart
_USUAL_SIZE: Final = 96  # of a record, rounded up generously

_INDEX_SHIFT: Final = 32  # the index goes by the upper half of a hash


def is_valid_id(text: bytes) -> bool:
    """Ids are 1 to 64 ASCII letters, digits, ``_``, ``.`` or ``-``."""
    return id_is_valid_at(text, 0, len(text))


def id_is_valid_at(data: bytes, start: int, length: int) -> bool:
    """Is this part of a record a valid id?"""
    return 0 < length <= ID_LENGTH_MAX and wire.consists_of(data, start, length, _IS_ID_CHARACTER)


class Receipt(NamedTuple):
    """A copy of a receipt, for whoever looks at many.

    ``kind`` is the kind of the request's record and ``content`` what it asked, as bytes, without its id and signing
    time. ``subject_id`` is the number of what it was about (order, withdrawal, transfer, subscription), 0 if nothing.
    A fence (rulebook E4) is a receipt of kind 0 without content.
    """

    account_id: int
    request_id: bytes
    kind: int
    content: bytes
    sequence: int
    reason: int
    subject_id: int
    remembered_at_ns: int


class Receipts:
    """All receipts, by account and id, and in the order in which they are forgotten.

    Ids and contents are passed as parts of a record: its bytes, the start, and the length.
    """

    __slots__ = ("_free", "_hash_key", "_head", "_head_at_ns", "_index", "_segments", "_tail", "_tail_number")

    def __init__(self, hash_key: int = 0) -> None:
        """The key is a secret of 64 bits, so that nobody can choose ids of the same hash. It changes no result."""
        self._hash_key = hash_key
        self._index = HashIndex()
        self._segments = [bytearray(), wire.new_buffer(_SEGMENT_SIZE)]  # by number; there is no segment 0
        self._free: list[int] = []
        self._head = 0  # the oldest receipt, and when it was remembered
        self._head_at_ns = 0
        self._tail_number = 1
        self._tail = self._segments[1]  # where the next receipt goes
        _clear(self._tail)

    def __len__(self) -> int:
        return len(self._index)

    # By account and id.

    def hash_of(self, account_id: int, data: bytes, start: int, length: int) -> int:
        """What the index goes by. Whoever asks for one id several times hashes it once."""
        return wire.hash_text(data, start, length, self._hash_key ^ account_id) >> _INDEX_SHIFT

    def prefetch(self, hashed: int) -> None:
        """The id of this hash is asked for soon."""
        self._index.prefetch(hashed)

    def find(self, account_id: int, data: bytes, start: int, length: int) -> int:
        """The reference of the receipt of this id, 0 if there is none."""
        return self.find_hashed(self.hash_of(account_id, data, start, length), account_id, data, start, length)

    def find_hashed(self, hashed: int, account_id: int, data: bytes, start: int, length: int) -> int:
        reference = self._index.first(hashed)
        while reference:
            segment, at = self._segments[reference >> _SEGMENT_SHIFT], (reference & _UNIT_MASK) * _UNIT
            if wire.get_u32(segment, at + _ACCOUNT) == account_id and _has_id(segment, at, data, start, length):
                return reference
            reference = self._index.next()
        return 0

    def remember(
        self,
        account_id: int,
        data: bytes,
        start: int,
        length: int,
        kind: int,
        content_start: int,
        content_length: int,
        sequence: int,
        timestamp_ns: int,
    ) -> int:
        """Append a receipt of an id that has none. It has no reason and no subject yet: see :meth:`settle`."""
        hashed = self.hash_of(account_id, data, start, length)
        return self.remember_hashed(
            hashed, account_id, data, start, length, kind, content_start, content_length, sequence, timestamp_ns
        )

    def remember_hashed(
        self,
        hashed: int,
        account_id: int,
        data: bytes,
        start: int,
        length: int,
        kind: int,
        content_start: int,
        content_length: int,
        sequence: int,
        timestamp_ns: int,
    ) -> int:
        assert account_id <= _ACCOUNT_ID_MAX, account_id
        assert length <= _STORED_ID_LENGTH_MAX and content_length <= _CONTENT_LENGTH_MAX, (length, content_length)
        wire.check_data(data, content_start, content_length)
        reference = self._append(_HEADER_SIZE + length + content_length)
        segment, at = self._tail, (reference & _UNIT_MASK) * _UNIT
        # One field after the other, in the order of the offsets above.
        at = wire.put_u32(segment, at, 0)
        at = wire.put_u64(segment, at, sequence)
        at = wire.put_i64(segment, at, timestamp_ns)
        at = wire.put_u64(segment, at, 0)
        at = wire.put_u32(segment, at, account_id)
        at = wire.put_u16(segment, at, 0)
        at = wire.put_u16(segment, at, kind)
        at = wire.put_u16(segment, at, content_length)
        at = wire.put_u8(segment, at, length)
        at = wire.put_bytes(segment, at, data, start, length)
        wire.put_bytes(segment, at, data, content_start, content_length)
        self._index.add(hashed, reference)
        if not self._head:
            self._head, self._head_at_ns = reference, timestamp_ns
        return reference

    def settle(self, reference: int, reason: int, subject_id: int) -> None:
        """Note what the request came to."""
        segment, at = self._segments[reference >> _SEGMENT_SHIFT], (reference & _UNIT_MASK) * _UNIT
        wire.put_u16(segment, at + _REASON, reason)
        wire.put_u64(segment, at + _SUBJECT, subject_id)

    def name_order(self, reference: int, slot: int) -> None:
        """Note which order bears this id: the slot of it. No snapshot tells it: a restored order may have another."""
        wire.put_u32(self._segments[reference >> _SEGMENT_SHIFT], (reference & _UNIT_MASK) * _UNIT + _SLOT, slot)

    # What a receipt says.

    def order_slot(self, reference: int) -> int:
        """Where the order is that bears this id, 0 if no order does."""
        return wire.get_u32(self._segments[reference >> _SEGMENT_SHIFT], (reference & _UNIT_MASK) * _UNIT + _SLOT)

    def account_id(self, reference: int) -> int:
        return wire.get_u32(self._segments[reference >> _SEGMENT_SHIFT], (reference & _UNIT_MASK) * _UNIT + _ACCOUNT)

    def kind(self, reference: int) -> int:
        return wire.get_u16(self._segments[reference >> _SEGMENT_SHIFT], (reference & _UNIT_MASK) * _UNIT + _KIND)

    def sequence(self, reference: int) -> int:
        return wire.get_u64(self._segments[reference >> _SEGMENT_SHIFT], (reference & _UNIT_MASK) * _UNIT + _SEQUENCE)

    def reason(self, reference: int) -> int:
        return wire.get_u16(self._segments[reference >> _SEGMENT_SHIFT], (reference & _UNIT_MASK) * _UNIT + _REASON)

    def subject_id(self, reference: int) -> int:
        return wire.get_u64(self._segments[reference >> _SEGMENT_SHIFT], (reference & _UNIT_MASK) * _UNIT + _SUBJECT)

    def remembered_at_ns(self, reference: int) -> int:
        segment, at = self._segments[reference >> _SEGMENT_SHIFT], (reference & _UNIT_MASK) * _UNIT
        return wire.get_i64(segment, at + _REMEMBERED_AT)

    def request_id(self, reference: int) -> bytes:
        segment, at = self._segments[reference >> _SEGMENT_SHIFT], (reference & _UNIT_MASK) * _UNIT
        start = at + _HEADER_SIZE
        return bytes(segment[start : start + wire.get_u8(segment, at + _ID_LENGTH)])

    def content(self, reference: int) -> bytes:
        segment, at = self._segments[reference >> _SEGMENT_SHIFT], (reference & _UNIT_MASK) * _UNIT
        start = at + _HEADER_SIZE + wire.get_u8(segment, at + _ID_LENGTH)
        return bytes(segment[start : start + wire.get_u16(segment, at + _CONTENT_LENGTH)])

    def asks_the_same(self, reference: int, kind: int, data: bytes, content_start: int, content_length: int) -> bool:
        """Was the receipt given for a request of this kind and content?"""
        segment, at = self._segments[reference >> _SEGMENT_SHIFT], (reference & _UNIT_MASK) * _UNIT
        if wire.get_u16(segment, at + _KIND) != kind or wire.get_u16(segment, at + _CONTENT_LENGTH) != content_length:
            return False
        content_at = at + _HEADER_SIZE + wire.get_u8(segment, at + _ID_LENGTH)
        return wire.holds(segment, content_at, data, content_start, content_length)

    # The order in which receipts are forgotten.

    def oldest(self) -> int:
        """The receipt that is forgotten next, 0 if there is none."""
        return self._head

    def oldest_due(self, now_ns: int) -> int:
        """The receipt that is forgotten next, if its time is over; 0 otherwise."""
        return self._head if self._head and now_ns - self._head_at_ns > REQUEST_MEMORY_NS else 0

    def forget_oldest(self) -> None:
        self._index.remove(self._hash_of(self._head), self._head)
        self._drop_oldest()

    def keep_oldest(self, now_ns: int) -> int:
        """Remember the oldest receipt for another period: its order is still open. It gets another reference."""
        old_reference = self._head
        old, old_at = self._segments[old_reference >> _SEGMENT_SHIFT], (old_reference & _UNIT_MASK) * _UNIT
        size = _size(old, old_at)
        reference = self._append(size)
        segment, at = self._tail, (reference & _UNIT_MASK) * _UNIT
        wire.move_bytes(segment, at, old, old_at, size)
        wire.put_i64(segment, at + _REMEMBERED_AT, now_ns)
        self._index.replace(self._hash_of(old_reference), old_reference, reference)
        self._drop_oldest()
        return reference

    def in_queue_order(self) -> list[Receipt]:
        receipts = []
        reference = self._head
        while reference:
            receipts.append(
                Receipt(
                    self.account_id(reference),
                    self.request_id(reference),
                    self.kind(reference),
                    self.content(reference),
                    self.sequence(reference),
                    self.reason(reference),
                    self.subject_id(reference),
                    self.remembered_at_ns(reference),
                )
            )
            reference = self.after(reference)
        return receipts

    # Snapshots.

    def append_rows(self, out: bytearray) -> int:
        """Append all receipts in queue order as rows; answers how many.

        A row is a record without its slot: sequence u64, remembered at i64, subject u64, account u32, reason u16, kind
        u16, length of the content u16, length of the id u8, id, content.
        """
        reference = self._head
        while reference:
            segment, at = self._segments[reference >> _SEGMENT_SHIFT], (reference & _UNIT_MASK) * _UNIT
            size, row = _size(segment, at) - _SEQUENCE, len(out)
            wire.grow(out, size)
            wire.move_bytes(out, row, segment, at + _SEQUENCE, size)
            reference = self.after(reference)
        return len(self)

    def read_rows(self, data: bytes, position: int, count: int) -> int:
        """Remember what so many rows say; answers where they end. IndexError if they are cut short."""
        for _ in range(count):
            record = position - _SEQUENCE  # where the record began that the row was taken from
            length = wire.load_u8(data, record + _ID_LENGTH)
            content_length = wire.load_u16(data, record + _CONTENT_LENGTH)
            start = record + _HEADER_SIZE
            position = start + length + content_length
            reference = self.remember(
                wire.load_u32(data, record + _ACCOUNT),
                data,
                start,
                length,
                wire.load_u16(data, record + _KIND),
                start + length,
                content_length,
                wire.load_u64(data, record + _SEQUENCE),
                wire.load_i64(data, record + _REMEMBERED_AT),
            )
            reason = wire.load_u16(data, record + _REASON)
            self.settle(reference, reason, wire.load_u64(data, record + _SUBJECT))
        return position

    # Segments.

    def reserve(self, count: int) -> None:
        """Touch memory for so many more receipts of the usual size, so that none of them waits for fresh pages."""
        wanted = count * _USUAL_SIZE // (_SEGMENT_SIZE - _SEGMENT_HEADER_SIZE) + 1
        while len(self._free) < wanted:
            self._add_segment(bytearray(b"\1" * _SEGMENT_SIZE))
        self._index.reserve(count)

    def segment_count(self) -> int:
        """How many segments there are, used and free ones."""
        return len(self._segments) - 1

    def _append(self, size: int) -> int:
        """Take the next bytes of the tail, of a new one if need be; answers the reference."""
        at = wire.get_u32(self._tail, _USED)
        used = _whole(at + size)
        if used > _SEGMENT_SIZE:
            self._open_segment()
            at = _SEGMENT_HEADER_SIZE
            used = _whole(at + size)
        wire.put_u32(self._tail, _USED, used)
        return self._tail_number << _SEGMENT_SHIFT | at >> _UNIT_SHIFT

    def _open_segment(self) -> None:
        """Continue in a free segment, or in one of fresh memory, whose pages come as they are used."""
        if not self._free:
            self._add_segment(wire.new_buffer(_SEGMENT_SIZE))
        number = self._free.pop()
        wire.put_u32(self._tail, _NEXT, number)
        self._tail_number = number
        self._tail = self._segments[number]
        _clear(self._tail)

    def _add_segment(self, segment: bytearray) -> None:
        assert len(self._segments) < _SEGMENTS_MAX, "too many receipts"
        self._free.append(len(self._segments))
        self._segments.append(segment)

    def after(self, reference: int) -> int:
        """The receipt behind this one, 0 if it is the last."""
        segment, at = self._segments[reference >> _SEGMENT_SHIFT], (reference & _UNIT_MASK) * _UNIT
        end = _whole(at + _size(segment, at))
        if end < wire.get_u32(segment, _USED):
            return reference >> _SEGMENT_SHIFT << _SEGMENT_SHIFT | end >> _UNIT_SHIFT
        number = wire.get_u32(segment, _NEXT)
        return number << _SEGMENT_SHIFT | _SEGMENT_HEADER_SIZE >> _UNIT_SHIFT if number else 0

    def _drop_oldest(self) -> None:
        """Let the queue begin with the receipt after the oldest."""
        number = self._head >> _SEGMENT_SHIFT
        self._head = self.after(self._head)
        if self._head:
            self._head_at_ns = self.remembered_at_ns(self._head)
        if not self._head:
            _clear(self._tail)
        elif self._head >> _SEGMENT_SHIFT != number:
            self._free.append(number)

    def _hash_of(self, reference: int) -> int:
        segment, at = self._segments[reference >> _SEGMENT_SHIFT], (reference & _UNIT_MASK) * _UNIT
        seed = self._hash_key ^ wire.get_u32(segment, at + _ACCOUNT)
        length = wire.get_u8(segment, at + _ID_LENGTH)
        return wire.hash_buffer(segment, at + _HEADER_SIZE, length, seed) >> _INDEX_SHIFT


def _clear(segment: bytearray) -> None:
    wire.put_u32(segment, _USED, _SEGMENT_HEADER_SIZE)
    wire.put_u32(segment, _NEXT, 0)


def _whole(position: int) -> int:
    """The next whole unit."""
    return (position + _UNIT - 1) >> _UNIT_SHIFT << _UNIT_SHIFT


def _size(segment: bytearray, at: int) -> int:
    """Of a record, without what fills it up to a whole unit."""
    return _HEADER_SIZE + wire.get_u8(segment, at + _ID_LENGTH) + wire.get_u16(segment, at + _CONTENT_LENGTH)


def _has_id(segment: bytearray, at: int, data: bytes, start: int, length: int) -> bool:
    if wire.get_u8(segment, at + _ID_LENGTH) != length:
        return False
    return wire.holds(segment, at + _HEADER_SIZE, data, start, length)
