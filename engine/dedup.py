"""One id, one outcome: what every account's requests came to, remembered for 24 h of log time.

A retry with the same id and the same content gets the first receipt, whoever answers and
whatever became of the order since; the same id with other content is a conflict that quotes the receipt
(rulebook, convention 7 and rows D2, E1 to E3). Refusals are receipts too: an outcome is final.

Receipts are records in an arena (``engine.arena``), one behind the other in the order in which they are forgotten. The
reference of a record holds until its receipt is forgotten or kept for another period.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from engine import wire
from engine.arena import SEGMENT_SHIFT, UNIT, UNIT_MASK, Arena
from engine.hash_index import SLOTS_RESTORED, HashIndex
from engine.types import ID_LENGTH_MAX, REQUEST_MEMORY_NS, SECOND_LEG

_ID_CHARACTERS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-"
_IS_ID_CHARACTER: Final = bytes(character in _ID_CHARACTERS for character in range(256))

# Where the fields of a record stand. The id follows at once, then the content.
_SEQUENCE: Final = 0
_REMEMBERED_AT: Final = 8
_SUBJECT: Final = 16
_ACCOUNT: Final = 24
_REASON: Final = 28
_KIND: Final = 30
_CONTENT_LENGTH: Final = 32
_ID_LENGTH: Final = 34
_HEADER_SIZE: Final = 35
_ACCOUNT_ID_MAX: Final = (1 << 32) - 1
_STORED_ID_LENGTH_MAX: Final = (1 << 8) - 1
_CONTENT_LENGTH_MAX: Final = (1 << 16) - 1
_SEGMENTS_MAX: Final = 1 << 15  # as many as a reference can tell apart: 32 GiB of receipts
_USUAL_SIZE: Final = 96  # of a record, rounded up generously

_INDEX_SHIFT: Final = 32  # the index goes by the upper half of a hash
_READ_AHEAD: Final = 16  # receipts of a snapshot whose places in the index are fetched while one is put in
_PAIR_SIZE: Final = 8  # a hash and a reference
_REFERENCE: Final = 4


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
    """All receipts, by account and id, and in the order in which they are forgotten. ``arena`` has their records.

    Ids and contents are passed as parts of a record: its bytes, the start, and the length.
    """

    __slots__ = ("_hash_key", "_head", "_head_at_ns", "_index", "_segments", "arena")

    def __init__(self, hash_key: int = 0) -> None:
        """The key is a secret of 64 bits, so that nobody can choose ids of the same hash. It changes no result."""
        self._hash_key = hash_key
        self._index = HashIndex()
        self.arena = Arena(_SEGMENTS_MAX)
        self._segments = self.arena.segments
        self._head = 0  # the oldest receipt, and when it was remembered
        self._head_at_ns = 0

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
            segment, at = self._segments[reference >> SEGMENT_SHIFT], (reference & UNIT_MASK) * UNIT
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
        reference = self.arena.append(_HEADER_SIZE + length + content_length)
        segment, at = self.arena.tail, (reference & UNIT_MASK) * UNIT
        # One field after the other, in the order of the offsets above.
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
        """Note what the request came to, before another one is remembered."""
        segment, at = self._segments[reference >> SEGMENT_SHIFT], (reference & UNIT_MASK) * UNIT
        assert segment is self.arena.tail, "a receipt is settled too late"
        wire.put_u16(segment, at + _REASON, reason)
        wire.put_u64(segment, at + _SUBJECT, subject_id)

    # What a receipt says.

    def order_id(self, reference: int) -> int:
        """The number of the order that bears this id, or would if it were one: 0 for a request about another thing."""
        segment, at = self._segments[reference >> SEGMENT_SHIFT], (reference & UNIT_MASK) * UNIT
        subject_id = wire.get_u64(segment, at + _SUBJECT)
        return subject_id if subject_id % SECOND_LEG == wire.get_u64(segment, at + _SEQUENCE) else 0

    def account_id(self, reference: int) -> int:
        return wire.get_u32(self._segments[reference >> SEGMENT_SHIFT], (reference & UNIT_MASK) * UNIT + _ACCOUNT)

    def kind(self, reference: int) -> int:
        return wire.get_u16(self._segments[reference >> SEGMENT_SHIFT], (reference & UNIT_MASK) * UNIT + _KIND)

    def sequence(self, reference: int) -> int:
        return wire.get_u64(self._segments[reference >> SEGMENT_SHIFT], (reference & UNIT_MASK) * UNIT + _SEQUENCE)

    def reason(self, reference: int) -> int:
        return wire.get_u16(self._segments[reference >> SEGMENT_SHIFT], (reference & UNIT_MASK) * UNIT + _REASON)

    def subject_id(self, reference: int) -> int:
        return wire.get_u64(self._segments[reference >> SEGMENT_SHIFT], (reference & UNIT_MASK) * UNIT + _SUBJECT)

    def remembered_at_ns(self, reference: int) -> int:
        segment, at = self._segments[reference >> SEGMENT_SHIFT], (reference & UNIT_MASK) * UNIT
        return wire.get_i64(segment, at + _REMEMBERED_AT)

    def request_id(self, reference: int) -> bytes:
        segment, at = self._segments[reference >> SEGMENT_SHIFT], (reference & UNIT_MASK) * UNIT
        start = at + _HEADER_SIZE
        return bytes(segment[start : start + wire.get_u8(segment, at + _ID_LENGTH)])

    def content(self, reference: int) -> bytes:
        segment, at = self._segments[reference >> SEGMENT_SHIFT], (reference & UNIT_MASK) * UNIT
        start = at + _HEADER_SIZE + wire.get_u8(segment, at + _ID_LENGTH)
        return bytes(segment[start : start + wire.get_u16(segment, at + _CONTENT_LENGTH)])

    def asks_the_same(self, reference: int, kind: int, data: bytes, content_start: int, content_length: int) -> bool:
        """Was the receipt given for a request of this kind and content?"""
        segment, at = self._segments[reference >> SEGMENT_SHIFT], (reference & UNIT_MASK) * UNIT
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
        assert self._head, "nothing is remembered"
        self._index.remove(self._hash_of(self._head), self._head)
        self._drop_oldest()

    def keep_oldest(self, now_ns: int) -> int:
        """Remember the oldest receipt for another period: its order is still open. It gets another reference."""
        assert self._head, "nothing is remembered"
        old_reference = self._head
        old, old_at = self._segments[old_reference >> SEGMENT_SHIFT], (old_reference & UNIT_MASK) * UNIT
        size = _size(old, old_at)
        reference = self.arena.append(size)
        segment, at = self.arena.tail, (reference & UNIT_MASK) * UNIT
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

    def after(self, reference: int) -> int:
        """The receipt behind this one, 0 if it is the last."""
        segment, at = self._segments[reference >> SEGMENT_SHIFT], (reference & UNIT_MASK) * UNIT
        return self.arena.after(reference, _size(segment, at))

    def _drop_oldest(self) -> None:
        """Let the queue begin with the receipt after the oldest."""
        self._head = self.after(self._head)
        if self._head:
            self.arena.drop_before(self._head)
            self._head_at_ns = self.remembered_at_ns(self._head)
        else:
            self.arena.drop_all()

    # Memory and snapshots.

    def reserve(self, count: int) -> None:
        """Touch memory for so many more receipts of the usual size, so that none of them waits for fresh pages."""
        self.arena.reserve(count * _USUAL_SIZE)
        self._index.reserve(count)

    def read_arena(self) -> None:
        """Find what was put into an empty arena by a snapshot. IndexError if it is not receipts."""
        count, reference = 0, self.arena.oldest()
        while reference:
            count += 1
            reference = self.after(reference)  # it checks that the record ends where it must
        self._index.reserve(count, SLOTS_RESTORED)
        self._head = self.arena.oldest()
        if self._head:
            self._head_at_ns = self.remembered_at_ns(self._head)
        # Their places in the index are all over the memory: each is fetched while those before it are put in.
        fetched = bytearray(_READ_AHEAD * _PAIR_SIZE)
        ahead = self._head
        for place in range(count + _READ_AHEAD):
            slot = (place & _READ_AHEAD - 1) * _PAIR_SIZE
            if place >= _READ_AHEAD:
                self._index.add(wire.get_u32(fetched, slot), wire.get_u32(fetched, slot + _REFERENCE))
            if ahead:
                hashed = self._hash_of(ahead)
                self._index.prefetch(hashed)
                wire.put_u32(fetched, slot, hashed)
                wire.put_u32(fetched, slot + _REFERENCE, ahead)
                ahead = self.after(ahead)

    def _hash_of(self, reference: int) -> int:
        segment, at = self._segments[reference >> SEGMENT_SHIFT], (reference & UNIT_MASK) * UNIT
        seed = self._hash_key ^ wire.get_u32(segment, at + _ACCOUNT)
        length = wire.get_u8(segment, at + _ID_LENGTH)
        return wire.hash_buffer(segment, at + _HEADER_SIZE, length, seed) >> _INDEX_SHIFT


def _size(segment: bytearray, at: int) -> int:
    """Of a record, without what fills it up to a whole unit."""
    return _HEADER_SIZE + wire.get_u8(segment, at + _ID_LENGTH) + wire.get_u16(segment, at + _CONTENT_LENGTH)


def _has_id(segment: bytearray, at: int, data: bytes, start: int, length: int) -> bool:
    if wire.get_u8(segment, at + _ID_LENGTH) != length:
        return False
    return wire.holds(segment, at + _HEADER_SIZE, data, start, length)
