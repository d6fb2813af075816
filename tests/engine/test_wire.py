"""Integers in bytes: both ends of their places, known values, and the hash that both forms must agree on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from engine import wire

LOADS: list[tuple[Callable[[bytes, int], int], int, bool]] = [
    (wire.load_u8, 1, False),
    (wire.load_u16, 2, False),
    (wire.load_u32, 4, False),
    (wire.load_u64, 8, False),
    (wire.load_i64, 8, True),
]
GETS: list[tuple[Callable[[bytearray, int], int], int, bool]] = [
    (wire.get_u8, 1, False),
    (wire.get_u16, 2, False),
    (wire.get_u32, 4, False),
    (wire.get_u64, 8, False),
    (wire.get_i64, 8, True),
]
PUTS: list[tuple[Callable[[bytearray, int, int], int], int, bool]] = [
    (wire.put_u8, 1, False),
    (wire.put_u16, 2, False),
    (wire.put_u32, 4, False),
    (wire.put_u64, 8, False),
    (wire.put_i64, 8, True),
]
RECORD = bytes((0xFF, 0x80, 0x01, 0x7F, 0x00, 0xFE, 0x02, 0x90, 0x81, 0x03, 0xC0, 0xFD))


@pytest.mark.parametrize(("load", "size", "signed"), LOADS)
def test_a_load_reaches_to_both_ends_of_a_record(load: Callable[[bytes, int], int], size: int, signed: bool) -> None:
    for at in range(len(RECORD) - size + 1):
        assert load(RECORD, at) == int.from_bytes(RECORD[at : at + size], "little", signed=signed)
    for at in (-1, -size, len(RECORD) - size + 1, len(RECORD), 1 << 40):
        with pytest.raises(IndexError):
            load(RECORD, at)
    with pytest.raises(IndexError):
        load(b"", 0)


@pytest.mark.parametrize(("get", "size", "signed"), GETS)
def test_a_get_reaches_to_both_ends_of_a_buffer(get: Callable[[bytearray, int], int], size: int, signed: bool) -> None:
    buffer = bytearray(RECORD)
    for at in range(len(buffer) - size + 1):
        assert get(buffer, at) == int.from_bytes(RECORD[at : at + size], "little", signed=signed)
    for at in (-1, -size, len(buffer) - size + 1, len(buffer), 1 << 40):
        with pytest.raises(IndexError):
            get(buffer, at)
    with pytest.raises(IndexError):
        get(bytearray(), 0)


@pytest.mark.parametrize(("put", "size", "signed"), PUTS)
def test_a_put_writes_its_place_and_nothing_else(
    put: Callable[[bytearray, int, int], int], size: int, signed: bool
) -> None:
    bits = 8 * size
    values = (-(1 << (bits - 1)), -2, (1 << (bits - 1)) - 1) if signed else (0, 1, (1 << bits) - 2, (1 << bits) - 1)
    for value in values:
        for at in range(len(RECORD) - size + 1):
            buffer = bytearray(RECORD)
            assert put(buffer, at, value) == at + size, "where the next field goes"
            assert buffer == RECORD[:at] + value.to_bytes(size, "little", signed=signed) + RECORD[at + size :]


@pytest.mark.parametrize(("put", "size", "signed"), PUTS)
def test_a_put_out_of_range_changes_nothing(put: Callable[[bytearray, int, int], int], size: int, signed: bool) -> None:
    buffer = bytearray(RECORD)
    for at in (-1, -size, len(buffer) - size + 1, len(buffer), 1 << 40):
        with pytest.raises(IndexError):
            put(buffer, at, 1)
    assert buffer == RECORD


def test_bytes_are_copied_from_records_and_buffers() -> None:
    for start, length, at in ((0, 12, 0), (0, 3, 9), (9, 3, 0), (4, 0, 12), (12, 0, 4), (2, 5, 3)):
        expected = bytearray(12)
        expected[at : at + length] = RECORD[start : start + length]
        by_put, by_move = bytearray(12), bytearray(12)
        assert wire.put_bytes(by_put, at, RECORD, start, length) == at + length
        wire.move_bytes(by_move, at, bytearray(RECORD), start, length)
        assert by_put == by_move == expected


def test_bytes_within_one_buffer_are_copied_too() -> None:
    buffer = bytearray(RECORD)
    wire.move_bytes(buffer, 8, buffer, 0, 4)
    assert buffer == RECORD[:8] + RECORD[:4]


@pytest.mark.parametrize(
    ("at", "start", "length"),
    [(-1, 0, 3), (10, 0, 3), (0, -1, 3), (0, 10, 3), (0, 0, -1), (0, 0, 13), (12, 0, 1), (0, 12, 1), (0, 1 << 40, 1)],
)
def test_no_copy_and_no_comparison_leaves_its_bytes(at: int, start: int, length: int) -> None:
    buffer = bytearray(12)
    with pytest.raises(IndexError):
        wire.put_bytes(buffer, at, RECORD, start, length)
    with pytest.raises(IndexError):
        wire.move_bytes(buffer, at, bytearray(RECORD), start, length)
    with pytest.raises(IndexError):
        wire.holds(buffer, at, RECORD, start, length)
    if at == 0:
        with pytest.raises(IndexError):
            wire.check_data(RECORD, start, length)
    assert buffer == bytes(12)


def test_a_part_of_a_record_passes_the_check() -> None:
    for start, length in ((0, 0), (0, 12), (11, 1), (12, 0)):
        wire.check_data(RECORD, start, length)


def test_a_buffer_holds_what_is_there() -> None:
    buffer = bytearray(b"..abc.")
    assert wire.holds(buffer, 2, b"xabcx", 1, 3)
    assert not wire.holds(buffer, 1, b"xabcx", 1, 3)
    assert not wire.holds(buffer, 2, b"xabcx", 1, 4)
    assert wire.holds(buffer, 6, b"", 0, 0)


# The hash. Its values are written out, so that neither form can drift away from the other.


@pytest.mark.parametrize(
    ("a", "b", "mixed"),
    [
        (0, 0, 0),
        (1, 1, 1),
        (1 << 63, 2, 1),
        ((1 << 64) - 1, (1 << 64) - 1, (1 << 64) - 1),
        (0x0123_4567_89AB_CDEF, 0x9E37_79B9_7F4A_7C15, 0x0C27_A443_D5FF_218E),
        (0xFEDC_BA98_7654_3210, 0x0F1E_2D3C_4B5A_6978, 0x95A0_29D1_E9FA_0519),
    ],
)
def test_two_words_are_mixed_into_one(a: int, b: int, mixed: int) -> None:
    assert wire.mix(a, b) == mixed == wire.mix(b, a)


@pytest.mark.parametrize(
    ("text", "seed", "hashed"),
    [
        (b"", 0, 0x0000_0000_0000_0000),
        (b"", 1, 0x9E37_79B9_7F4A_7C15),
        (b"a", 0, 0xF412_DEBF_8A59_E1A7),
        (b"client-1", 0, 0x1578_DD9C_359E_4889),
        (b"client-12", 7, 0x1B6E_BD50_7C13_95E8),
        (b"0123456789abcdef", (1 << 64) - 1, 0x63B0_ECC2_069C_3F17),
        (b"\xff\x80\x00", 1 << 63, 0xE5AF_2FC8_6ABD_E1BE),
        (bytes(range(200, 255)), 0x0123_4567_89AB_CDEF, 0xA585_59A9_7066_5D0A),
    ],
)
def test_a_text_has_the_same_hash_wherever_it_stands(text: bytes, seed: int, hashed: int) -> None:
    length = len(text)
    assert wire.hash_text(text, 0, length, seed) == hashed
    for before, after in ((b"", b"zz"), (b"y", b""), (b"yyyyyyy", b"zzzzzzzzz")):
        record = before + text + after
        assert wire.hash_text(record, len(before), length, seed) == hashed
        assert wire.hash_buffer(bytearray(record), len(before), length, seed) == hashed


@pytest.mark.parametrize(("at", "length"), [(-1, 2), (11, 2), (0, 13), (13, 0), (0, -1)])
def test_no_hash_leaves_its_bytes(at: int, length: int) -> None:
    with pytest.raises(IndexError):
        wire.hash_text(RECORD, at, length, 0)
    with pytest.raises(IndexError):
        wire.hash_buffer(bytearray(RECORD), at, length, 0)


# Tables, and room.

DIGITS = bytes(character in b"0123456789" for character in range(256))


def test_a_text_consists_of_what_the_table_has() -> None:
    assert wire.consists_of(b"x0189x", 1, 4, DIGITS)
    assert wire.consists_of(b"", 0, 0, DIGITS)
    for start in (0, 2):
        assert not wire.consists_of(b"x0189x", start, 4, DIGITS)
    for character in range(256):
        assert wire.consists_of(bytes((character,)), 0, 1, DIGITS) == (character in b"0123456789")
    for start, length in ((-1, 2), (0, 7), (7, 0), (5, 2), (0, -1)):
        with pytest.raises(IndexError):
            wire.consists_of(b"x0189x", start, length, DIGITS)


def test_a_new_buffer_has_its_size_and_can_grow() -> None:
    buffer = wire.new_buffer(12)
    assert type(buffer) is bytearray and len(buffer) == 12
    wire.put_bytes(buffer, 0, RECORD, 0, 12)
    wire.grow(buffer, 5)
    assert len(buffer) == 17 and buffer[:12] == RECORD
    wire.grow(buffer, 0)
    assert len(buffer) == 17
    with pytest.raises(ValueError, match="negative"):
        wire.grow(buffer, -1)
