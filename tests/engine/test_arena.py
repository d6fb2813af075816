"""The arena against a plain list: where records stand, what is dropped, and what a snapshot brings back."""

from __future__ import annotations

from collections import deque
from random import Random
from struct import error as StructError

import pytest
from blake3 import blake3

from engine.arena import OWNERS, SEGMENT_HEADER_SIZE, SEGMENT_SHIFT, SEGMENT_SIZE, UNIT, UNIT_MASK, Arena

FIRST_PLACE = SEGMENT_HEADER_SIZE // UNIT
LARGE = SEGMENT_SIZE // 4  # three of them fit into a segment


def add(arena: Arena, record: bytes) -> int:
    reference = arena.append(len(record))
    at = (reference & UNIT_MASK) * UNIT
    assert arena.segments[reference >> SEGMENT_SHIFT] is arena.tail
    arena.tail[at : at + len(record)] = record
    return reference


def read(arena: Arena, reference: int, size: int) -> bytes:
    at = (reference & UNIT_MASK) * UNIT
    return bytes(arena.segments[reference >> SEGMENT_SHIFT][at : at + size])


def all_of(arena: Arena) -> bytes:
    return b"".join(arena.records())


def restored(arena: Arena, segments_max: int = 16) -> Arena:
    again, data = Arena(segments_max), arena.table() + all_of(arena)
    assert again.restore(b"before" + data + b"after", 6) == 6 + len(data)
    return again


def state(arena: Arena) -> tuple[bytes, bytes, bytes]:
    return arena.table(), all_of(arena), arena.digests()


def padded(record: bytes) -> bytes:
    return record + bytes(-len(record) % UNIT)


@pytest.mark.parametrize(("segments_max", "seed"), [(16, 1), (16, 2), (1 << 15, 3)])
def test_records_come_and_go_as_in_a_queue(segments_max: int, seed: int) -> None:
    """Far around the ring of 16 segments; snapshots on the way go on like the arena itself."""
    random, arena = Random(seed), Arena(segments_max)
    queue: deque[tuple[int, bytes]] = deque()
    positions: list[int] = []
    for number in range(600):
        if queue and random.random() < (0.2 if len(queue) < 8 else 0.6):
            gone, record = queue.popleft()
            position = arena.position(gone)
            assert arena.holds(position)
            after = arena.after(gone, len(record))
            assert after == (queue[0][0] if queue else 0)
            if after:
                arena.drop_before(after)
            else:
                arena.drop_all()
            assert not arena.holds(position)
        else:
            record = random.randbytes(random.choice((1, 7, 8, 9, 700, LARGE, LARGE + 5, SEGMENT_SIZE - 8)))
            reference = add(arena, record)
            assert 0 < reference < segments_max << SEGMENT_SHIFT
            queue.append((reference, record))
            positions.append(arena.position(reference))
            assert arena.reference(positions[-1]) == reference and arena.holds(positions[-1])
        assert arena.oldest() == (queue[0][0] if queue else 0)
        assert all_of(arena) == b"".join(padded(record) for _, record in queue)
        assert arena.segment_count() <= 14
        if number % 20 == 0:
            assert [read(arena, reference, len(record)) for reference, record in queue] == [one for _, one in queue]
            again = restored(arena, segments_max)
            arena.assert_digests_fit()
            assert state(again) == state(arena)
            if random.random() < 0.5:
                arena = again
    assert positions == sorted(set(positions)), "no position is used twice"
    assert arena.last > 32


def test_the_padding_of_a_record_is_the_same_whatever_stood_there() -> None:
    arena, fresh = Arena(4), Arena(4)
    arena.reserve(3 * SEGMENT_SIZE)  # touched memory
    for one in (arena, fresh):
        for _ in range(9):
            add(one, b"\xff" * (LARGE - 3))
            one.drop_before(add(one, b"x" * 9))
    assert state(arena) == state(fresh)


def test_the_number_of_a_segments_owner_begins_at_zero_in_each() -> None:
    arena = Arena(4)
    for _ in range(8):
        reference = add(arena, bytes(LARGE))
        segment = arena.tail
        segment[OWNERS] += 1
        if segment[OWNERS] == 1:
            arena.drop_before(reference)
    assert arena.last == 2 and arena.tail[OWNERS] == 2


def test_a_full_segment_is_hashed_once_and_the_others_whenever_asked() -> None:
    arena = Arena(8)
    for number in range(7):
        add(arena, bytes([number]) * LARGE)
    whole = [blake3(part).digest() for part in arena.records()]
    assert arena.digests() == b"".join(whole) and len(whole) == 3
    arena.segments[1][SEGMENT_HEADER_SIZE] ^= 1
    assert arena.digests() == b"".join(whole), "taken from memory"
    with pytest.raises(AssertionError, match="a full segment changed"):
        arena.assert_digests_fit()
    arena.segments[1][SEGMENT_HEADER_SIZE] ^= 1
    arena.assert_digests_fit()
    arena.tail[SEGMENT_HEADER_SIZE] ^= 1
    assert arena.digests()[:64] == b"".join(whole[:2]) and arena.digests()[64:] != whole[2]
    # Of the first segment the records that are there are hashed, from wherever they begin.
    arena.drop_before(LARGE + SEGMENT_HEADER_SIZE >> 3)
    assert arena.digests()[:32] == blake3(b"\1" * LARGE + b"\2" * LARGE).digest()
    arena.assert_digests_fit()


def test_memory_is_used_again() -> None:
    arena = Arena(8)
    for _ in range(40):
        arena.drop_before(add(arena, bytes(LARGE)))
    assert arena.segment_count() == 2 and arena.last == 13
    arena.reserve(3 * SEGMENT_SIZE)
    count = arena.segment_count()
    arena.reserve(3 * SEGMENT_SIZE)
    for _ in range(12):
        add(arena, bytes(LARGE))
    assert arena.segment_count() == count


def test_an_arena_that_is_full_takes_no_more() -> None:
    """All segments of its ring are in use."""
    arena = Arena(4)
    for _ in range(12):
        add(arena, b"x" * LARGE)
    before = state(arena)
    with pytest.raises(AssertionError, match="too many records"):
        arena.append(LARGE)
    assert state(arena) == before and arena.last - arena.first == 3


def test_a_record_ends_where_the_next_begins() -> None:
    arena = Arena(4)
    reference = add(arena, bytes(100))
    with pytest.raises(IndexError):
        arena.after(reference, 105)
    assert arena.after(reference, 104) == 0


def test_what_is_no_arena_is_not_restored() -> None:
    arena = Arena(8)
    for _ in range(4):
        add(arena, bytes(LARGE))
    data = arena.table() + all_of(arena)
    for length in (0, 15, 16, 23, 24, 1_000, len(data) - 1):
        with pytest.raises((StructError, IndexError)):
            Arena(8).restore(data[:length], 0)
    # A table is the first segment's ordinal, where its records begin, how many segments, and the length of each.
    for start, lengths in ((0, [8]), (7, [8]), (9, [8]), (8, [7]), (8, []), (8, [8] * 9), (8, [0, 8]), (8, [8, 0])):
        table = bytes(8) + b"".join(number.to_bytes(4, "little") for number in (start, len(lengths), *lengths))
        with pytest.raises(IndexError):
            Arena(8).restore(table + bytes(64), 0)
    with pytest.raises(IndexError):
        Arena(8).restore((bytes(8) + (8).to_bytes(4, "little") + b"\1\0\0\0\0\0\x20\0") + bytes(SEGMENT_SIZE * 3), 0)


def test_a_restored_arena_has_the_same_places_far_around_the_ring() -> None:
    arena = Arena(4)
    for _ in range(30):
        kept = add(arena, b"kept" * 1_000)
        arena.drop_before(kept)
        for _ in range(3):
            arena.drop_before(add(arena, bytes(LARGE)))
    last = add(arena, b"last")
    again = restored(arena, 4)
    assert (again.first, again.last) == (arena.first, arena.last) and again.first > 8
    assert again.position(last) == arena.position(last) and read(again, last, 4) == b"last"
    assert add(again, bytes(LARGE)) == add(arena, bytes(LARGE))


def test_an_arena_has_a_place_for_the_first_record_that_no_reference_lacks() -> None:
    arena = Arena(2)
    assert arena.oldest() == 0 and arena.reference(arena.position(0)) == 0
    assert add(arena, b"x") == FIRST_PLACE


@pytest.mark.parametrize("segments_max", [0, 1, 3, 1 << 16])
def test_a_ring_has_a_size_that_references_can_tell(segments_max: int) -> None:
    with pytest.raises(AssertionError):
        Arena(segments_max)
