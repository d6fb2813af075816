"""A table from hashes to numbers that never stands still to grow.

Open addressing within buckets of 1,024 slots; a directory of buckets by the leading bits of the hash. A bucket that is
five eighths full is split in two (extendible hashing: Fagin, Nievergelt, Pippenger and Strong, 1979), so that no
single insertion ever moves more than one bucket, however large the table is.

A slot is a word: the hash in its upper half, the number in its lower half; a number is never 0. Different things may
have the same hash, so whoever asks looks at what each number stands for.
"""

from __future__ import annotations

from typing import Final

from engine import wire

_HASH_BITS: Final = 32
_SLOTS: Final = 1_024  # of a bucket
_SLOT_MASK: Final = _SLOTS - 1
_SLOTS_USED_MAX: Final = 640
SLOTS_RESERVED: Final = 400  # of each bucket, so that hardly any is split before so many numbers have come
SLOTS_RESTORED: Final = 560  # the same where all come at once
_SLOT_SIZE: Final = 8
_NUMBER_MASK: Final = (1 << 32) - 1
# A bucket begins with how many of its slots are used and how many leading bits of the hash its things share.
_USED: Final = 0
_DEPTH: Final = 4
_HEADER_SIZE: Final = 8
_BUCKET_SIZE: Final = _HEADER_SIZE + _SLOTS * _SLOT_SIZE


class HashIndex:
    """Hashes are of 32 bits. A search keeps its place in the index itself: one at a time."""

    __slots__ = ("_depth", "_directory", "_hash", "_length", "_shift", "_slot", "_spare")

    def __init__(self) -> None:
        self._directory = [bytearray(_BUCKET_SIZE)]  # by the leading ``_depth`` bits of a hash
        self._depth = 0
        self._shift = _HASH_BITS
        self._length = 0
        self._spare: list[bytearray] = []  # buckets that were split
        self._slot = 0  # of the search under way, as is the next
        self._hash = 0

    def __len__(self) -> int:
        return self._length

    def reserve(self, count: int, slots: int = SLOTS_RESERVED) -> None:
        """Have room for so many more numbers: until then nothing is split, and nothing waits for fresh memory.

        ``slots`` is how many numbers a bucket is to have then, on average.
        """
        depth = 0
        while slots << depth < self._length + count:
            depth += 1
        for prefix in range(1 << depth):
            hashed = prefix << (_HASH_BITS - depth)
            bucket = self._directory[hashed >> self._shift]
            while wire.get_u32(bucket, _DEPTH) < depth:
                self._split(hashed, bucket)
                bucket = self._directory[hashed >> self._shift]

    def prefetch(self, hashed: int) -> None:
        """This hash is asked for soon."""
        wire.prefetch(self._directory[hashed >> self._shift], _HEADER_SIZE + (hashed & _SLOT_MASK) * _SLOT_SIZE)

    def first(self, hashed: int) -> int:
        """The first number that has this hash, 0 if none has."""
        self._hash = hashed
        bucket = self._directory[hashed >> self._shift]
        self._slot = wire.find_word(bucket, _HEADER_SIZE, _SLOT_MASK, hashed & _SLOT_MASK, hashed)
        return wire.get_u32(bucket, _HEADER_SIZE + self._slot * _SLOT_SIZE)

    def next(self) -> int:
        """The next number that has the hash of the last :meth:`first`, 0 if there is none."""
        bucket = self._directory[self._hash >> self._shift]
        self._slot = wire.find_word(bucket, _HEADER_SIZE, _SLOT_MASK, self._slot + 1 & _SLOT_MASK, self._hash)
        return wire.get_u32(bucket, _HEADER_SIZE + self._slot * _SLOT_SIZE)

    def add(self, hashed: int, number: int) -> None:
        """Put in a number that is not there yet with this hash."""
        assert 0 < number <= _NUMBER_MASK, number
        bucket = self._directory[hashed >> self._shift]
        while wire.get_u32(bucket, _USED) >= _SLOTS_USED_MAX:
            self._split(hashed, bucket)
            bucket = self._directory[hashed >> self._shift]
        _insert(bucket, hashed << _HASH_BITS | number)
        self._length += 1

    def replace(self, hashed: int, number: int, new_number: int) -> None:
        """Let a hash stand for another number."""
        bucket = self._find(hashed, number)
        wire.put_u64(bucket, _HEADER_SIZE + self._slot * _SLOT_SIZE, hashed << _HASH_BITS | new_number)

    def remove(self, hashed: int, number: int) -> None:
        """Take out a number that is there. What stands behind it moves up, so that no search ends too early."""
        bucket = self._find(hashed, number)
        hole = slot = self._slot
        while True:
            slot = (slot + 1) & _SLOT_MASK
            word = wire.get_u64(bucket, _HEADER_SIZE + slot * _SLOT_SIZE)
            if word == 0:
                break
            home = word >> _HASH_BITS & _SLOT_MASK
            if (slot - home) & _SLOT_MASK >= (slot - hole) & _SLOT_MASK:
                wire.put_u64(bucket, _HEADER_SIZE + hole * _SLOT_SIZE, word)
                hole = slot
        wire.put_u64(bucket, _HEADER_SIZE + hole * _SLOT_SIZE, 0)
        wire.put_u32(bucket, _USED, wire.get_u32(bucket, _USED) - 1)
        self._length -= 1

    def _find(self, hashed: int, number: int) -> bytearray:
        """Search for a number that is there. Answers its bucket; its slot is that of the search."""
        found = self.first(hashed)
        while found != number:
            assert found, (hashed, number)
            found = self.next()
        return self._directory[hashed >> self._shift]

    def _split(self, hashed: int, bucket: bytearray) -> None:
        """Divide what a full bucket holds by one more bit of the hash."""
        depth = wire.get_u32(bucket, _DEPTH)
        assert depth < _HASH_BITS, "too many numbers have the same hash"
        if depth == self._depth:
            self._directory = [each for each in self._directory for _ in range(2)]
            self._depth += 1
            self._shift -= 1
        lower, upper = self._new_bucket(), self._new_bucket()
        wire.put_u32(lower, _DEPTH, depth + 1)
        wire.put_u32(upper, _DEPTH, depth + 1)
        bit = _HASH_BITS - 1 - depth
        for slot in range(_SLOTS):
            word = wire.get_u64(bucket, _HEADER_SIZE + slot * _SLOT_SIZE)
            if word:
                _insert(upper if word >> (_HASH_BITS + bit) & 1 else lower, word)
        # All entries of the directory that share the bucket's leading bits: the first half of them is the lower one's.
        span = 1 << (self._depth - depth)
        start = (hashed >> self._shift) & ~(span - 1)
        for position in range(span):
            self._directory[start + position] = lower if position < span // 2 else upper
        self._spare.append(bucket)

    def _new_bucket(self) -> bytearray:
        bucket = self._spare.pop() if self._spare else wire.new_buffer(_BUCKET_SIZE)
        wire.clear(bucket)
        return bucket


def _insert(bucket: bytearray, word: int) -> None:
    slot = word >> _HASH_BITS & _SLOT_MASK
    while wire.get_u64(bucket, _HEADER_SIZE + slot * _SLOT_SIZE):
        slot = slot + 1 & _SLOT_MASK
    wire.put_u64(bucket, _HEADER_SIZE + slot * _SLOT_SIZE, word)
    wire.put_u32(bucket, _USED, wire.get_u32(bucket, _USED) + 1)
