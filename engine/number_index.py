"""A table from numbers that are given out one after the other to small numbers.

Numbers stand in chunks of 64 neighbours, and a chunk is found by a hash of what its numbers have in common. So what
is put in one after the other is put side by side in memory, and only one of 64 has to search. A chunk in which
nothing is left serves for other numbers.
"""

from __future__ import annotations

from typing import Final

from engine import wire
from engine.hash_index import HashIndex

_CHUNK_BITS: Final = 6
_CHUNK_MASK: Final = (1 << _CHUNK_BITS) - 1
_SPREAD: Final = 0xD6E8_FEB8_6659_FD93  # an odd number that spreads chunks over the table
_HASH_SHIFT: Final = 32
# A chunk begins with what its numbers have in common, and how many of its places are used.
_KEY: Final = 0
_USED: Final = 8
_HEADER_SIZE: Final = 12
_PLACE_SIZE: Final = 4
_CHUNK_SIZE: Final = _HEADER_SIZE + _PLACE_SIZE * (1 << _CHUNK_BITS)


class NumberIndex:
    """Answers 0 for a number that is not there; what it answers otherwise has 32 bits."""

    __slots__ = ("_chunks", "_free", "_index", "_last", "_last_key", "_length")

    def __init__(self) -> None:
        self._chunks = [bytearray(_CHUNK_SIZE)]  # the first is none
        self._free: list[int] = []
        self._index = HashIndex()
        self._last = 0  # the chunk that was asked for last, and its key
        self._last_key = 0
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def find(self, number: int) -> int:
        chunk = self._chunk_of(number >> _CHUNK_BITS)
        return wire.get_u32(self._chunks[chunk], _HEADER_SIZE + _PLACE_SIZE * (number & _CHUNK_MASK)) if chunk else 0

    def add(self, number: int, value: int) -> None:
        """Put in a number that is not there."""
        key = number >> _CHUNK_BITS
        found = self._chunk_of(key)
        if not found:
            found = self._new_chunk(key)
        chunk = self._chunks[found]
        wire.put_u32(chunk, _HEADER_SIZE + _PLACE_SIZE * (number & _CHUNK_MASK), value)
        wire.put_u32(chunk, _USED, wire.get_u32(chunk, _USED) + 1)
        self._length += 1

    def replace(self, number: int, value: int) -> None:
        """Let a number that is there stand for another value."""
        found = self._chunk_of(number >> _CHUNK_BITS)
        assert found, number
        places = self._chunks[found]
        wire.put_u32(places, _HEADER_SIZE + _PLACE_SIZE * (number & _CHUNK_MASK), value)

    def remove(self, number: int) -> None:
        """Take out a number that is there."""
        key = number >> _CHUNK_BITS
        found = self._chunk_of(key)
        assert found, number
        chunk = self._chunks[found]
        used = wire.get_u32(chunk, _USED)
        wire.put_u32(chunk, _HEADER_SIZE + _PLACE_SIZE * (number & _CHUNK_MASK), 0)
        wire.put_u32(chunk, _USED, used - 1)
        self._length -= 1
        if used == 1:
            self._index.remove(wire.mix(key, _SPREAD) >> _HASH_SHIFT, found)
            self._free.append(found)
            self._last = 0

    def _chunk_of(self, key: int) -> int:
        """The chunk of these numbers, 0 if there is none."""
        if self._last and key == self._last_key:
            return self._last
        found = self._index.first(wire.mix(key, _SPREAD) >> _HASH_SHIFT)
        while found and wire.get_u64(self._chunks[found], _KEY) != key:
            found = self._index.next()
        if found:
            self._last, self._last_key = found, key
        return found

    def _new_chunk(self, key: int) -> int:
        if self._free:
            found = self._free.pop()
        else:
            found = len(self._chunks)
            self._chunks.append(bytearray(_CHUNK_SIZE))
        wire.put_u64(self._chunks[found], _KEY, key)
        self._index.add(wire.mix(key, _SPREAD) >> _HASH_SHIFT, found)
        self._last, self._last_key = found, key
        return found
