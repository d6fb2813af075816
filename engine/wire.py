"""Little-endian integers in bytes: loads from records, loads and stores in buffers, and a hash of texts.

This is the interpreted form. What compiled modules call instead are the inline functions of the same names in
``wire.pxd``. Every place is checked against both ends of its bytes, in both forms.
"""

from __future__ import annotations

from struct import Struct
from struct import error as StructError
from typing import Final

_U8: Final = Struct("B")
_U16: Final = Struct("<H")
_U32: Final = Struct("<I")
_U64: Final = Struct("<Q")
_I64: Final = Struct("<q")
_WORD: Final = (1 << 64) - 1
_STEP: Final = 0x9E37_79B9_7F4A_7C15  # 2**64 divided by the golden ratio


def load_u8(data: bytes, at: int) -> int:
    try:
        if at >= 0:
            return _U8.unpack_from(data, at)[0]  # type: ignore[no-any-return]
    except StructError:
        pass
    raise outside(data, at, 1)


def load_u16(data: bytes, at: int) -> int:
    try:
        if at >= 0:
            return _U16.unpack_from(data, at)[0]  # type: ignore[no-any-return]
    except StructError:
        pass
    raise outside(data, at, 2)


def load_u32(data: bytes, at: int) -> int:
    try:
        if at >= 0:
            return _U32.unpack_from(data, at)[0]  # type: ignore[no-any-return]
    except StructError:
        pass
    raise outside(data, at, 4)


def load_u64(data: bytes, at: int) -> int:
    try:
        if at >= 0:
            return _U64.unpack_from(data, at)[0]  # type: ignore[no-any-return]
    except StructError:
        pass
    raise outside(data, at, 8)


def load_i64(data: bytes, at: int) -> int:
    try:
        if at >= 0:
            return _I64.unpack_from(data, at)[0]  # type: ignore[no-any-return]
    except StructError:
        pass
    raise outside(data, at, 8)


def get_u8(buffer: bytearray, at: int) -> int:
    try:
        if at >= 0:
            return _U8.unpack_from(buffer, at)[0]  # type: ignore[no-any-return]
    except StructError:
        pass
    raise outside(buffer, at, 1)


def get_u16(buffer: bytearray, at: int) -> int:
    try:
        if at >= 0:
            return _U16.unpack_from(buffer, at)[0]  # type: ignore[no-any-return]
    except StructError:
        pass
    raise outside(buffer, at, 2)


def get_u32(buffer: bytearray, at: int) -> int:
    try:
        if at >= 0:
            return _U32.unpack_from(buffer, at)[0]  # type: ignore[no-any-return]
    except StructError:
        pass
    raise outside(buffer, at, 4)


def get_u64(buffer: bytearray, at: int) -> int:
    try:
        if at >= 0:
            return _U64.unpack_from(buffer, at)[0]  # type: ignore[no-any-return]
    except StructError:
        pass
    raise outside(buffer, at, 8)


def get_i64(buffer: bytearray, at: int) -> int:
    try:
        if at >= 0:
            return _I64.unpack_from(buffer, at)[0]  # type: ignore[no-any-return]
    except StructError:
        pass
    raise outside(buffer, at, 8)


def put_u8(buffer: bytearray, at: int, value: int) -> int:
    """Like all that put something: answers the place behind it. StructError if the value does not fit."""
    if at < 0 or at + 1 > len(buffer):
        raise outside(buffer, at, 1)
    _U8.pack_into(buffer, at, value)
    return at + 1


def put_u16(buffer: bytearray, at: int, value: int) -> int:
    if at < 0 or at + 2 > len(buffer):
        raise outside(buffer, at, 2)
    _U16.pack_into(buffer, at, value)
    return at + 2


def put_u32(buffer: bytearray, at: int, value: int) -> int:
    if at < 0 or at + 4 > len(buffer):
        raise outside(buffer, at, 4)
    _U32.pack_into(buffer, at, value)
    return at + 4


def put_u64(buffer: bytearray, at: int, value: int) -> int:
    if at < 0 or at + 8 > len(buffer):
        raise outside(buffer, at, 8)
    _U64.pack_into(buffer, at, value)
    return at + 8


def put_i64(buffer: bytearray, at: int, value: int) -> int:
    if at < 0 or at + 8 > len(buffer):
        raise outside(buffer, at, 8)
    _I64.pack_into(buffer, at, value)
    return at + 8


def put_bytes(buffer: bytearray, at: int, data: bytes, start: int, length: int) -> int:
    """Copy a part of a record into a buffer."""
    _check(buffer, at, length)
    _check(data, start, length)
    buffer[at : at + length] = data[start : start + length]
    return at + length


def move_bytes(buffer: bytearray, at: int, source: bytearray, start: int, length: int) -> None:
    """Copy a part of one buffer into another."""
    _check(buffer, at, length)
    _check(source, start, length)
    buffer[at : at + length] = source[start : start + length]


def holds(buffer: bytearray, at: int, data: bytes, start: int, length: int) -> bool:
    """Does the buffer have these bytes there?"""
    _check(buffer, at, length)
    _check(data, start, length)
    return buffer[at : at + length] == data[start : start + length]


def mix(a: int, b: int) -> int:
    """Both halves of the 128-bit product of two words, folded into one word."""
    product = a * b
    return (product >> 64 ^ product) & _WORD


def hash_text(data: bytes, start: int, length: int, seed: int) -> int:
    """A word that differs for different texts. It keeps a table balanced and proves nothing: seeds are secret."""
    _check(data, start, length)
    value = mix(seed ^ length, _STEP)
    for at in range(start, start + length, 8):
        value = mix(value ^ int.from_bytes(data[at : min(at + 8, start + length)], "little"), _STEP)
    return value


def _check(data: bytes | bytearray, at: int, length: int) -> None:
    if at < 0 or length < 0 or at > len(data) - length:
        raise outside(data, at, length)


def outside(data: bytes | bytearray, at: int, length: int) -> IndexError:
    return IndexError(f"{length} bytes at {at} of {len(data)}")


def hash_buffer(buffer: bytearray, at: int, length: int, seed: int) -> int:
    """What :func:`hash_text` answers for a text that stands in a buffer."""
    _check(buffer, at, length)
    return hash_text(bytes(buffer[at : at + length]), 0, length, seed)


def consists_of(data: bytes, start: int, length: int, table: bytes) -> bool:
    """Does the table of 256 bytes have a 1 for every byte there? For all others it has 0."""
    _check(data, start, length)
    return 0 not in data[start : start + length].translate(table)


def find_word(buffer: bytearray, start: int, mask: int, place: int, upper: int) -> int:
    """Go through a ring of ``mask + 1`` words that begins at ``start``, from a place on.

    Answers the first place whose word is 0 or has this upper half; one of them must be 0.
    """
    _check(buffer, start, 8 * (mask + 1))
    while True:
        word = _U64.unpack_from(buffer, start + 8 * place)[0]
        if not word or word >> 32 == upper:
            return place
        place = (place + 1) & mask


def count_below(buffer: bytearray, count: int, key: int) -> int:
    """How many of the first ``count`` signed words of a buffer, which ascend, are less than ``key``."""
    _check(buffer, 0, 8 * count)
    low, high = 0, count
    while low < high:
        middle = (low + high) >> 1
        if _I64.unpack_from(buffer, 8 * middle)[0] < key:
            low = middle + 1
        else:
            high = middle
    return low


def insert_word(buffer: bytearray, count: int, place: int, value: int) -> None:
    """Put a signed word among the first ``count`` ones of a buffer; those from ``place`` on move up."""
    _check(buffer, 0, 8 * (count + 1))
    buffer[8 * (place + 1) : 8 * (count + 1)] = buffer[8 * place : 8 * count]
    put_i64(buffer, 8 * place, value)


def remove_word(buffer: bytearray, count: int, place: int) -> None:
    """Take a word out of the first ``count`` ones of a buffer; those behind it move down."""
    _check(buffer, 0, 8 * count)
    buffer[8 * place : 8 * (count - 1)] = buffer[8 * (place + 1) : 8 * count]


def prefetch(buffer: bytearray, at: int) -> None:
    """These bytes are wanted soon. Does nothing here: the compiled form tells the processor."""
    _check(buffer, at, 1)


def bytes_of(buffer: bytearray, length: int) -> bytes:
    """A copy of how a buffer begins."""
    _check(buffer, 0, length)
    return bytes(buffer[:length])


def clear(buffer: bytearray) -> None:
    """Make all bytes of a buffer 0."""
    buffer[:] = bytes(len(buffer))


def new_buffer(size: int) -> bytearray:
    """A buffer whose memory is not touched before it is used. What it holds at first is undefined."""
    return bytearray(size)


def grow(buffer: bytearray, count: int) -> None:
    """Let a buffer have so many bytes more. What they hold at first is undefined."""
    buffer.extend(bytes(count))


def check_data(data: bytes, at: int, length: int) -> None:
    """IndexError if the record has no such part."""
    _check(data, at, length)
