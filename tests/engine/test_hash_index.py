"""The table from hashes to numbers against a plain dict: equal hashes, clusters, and buckets that are split."""

from __future__ import annotations

import random

import pytest

from engine.hash_index import HashIndex

SLOTS = 1_024  # of a bucket
TOP = (1 << 32) - 1
NUMBER_MAX = (1 << 32) - 1


def numbers_of(index: HashIndex, hashed: int) -> list[int]:
    found = []
    number = index.first(hashed)
    while number:
        found.append(number)
        number = index.next()
    return sorted(found)


def check(index: HashIndex, model: dict[int, set[int]]) -> None:
    assert len(index) == sum(map(len, model.values()))
    for hashed, numbers in model.items():
        assert numbers_of(index, hashed) == sorted(numbers), hex(hashed)


def test_an_empty_index_finds_nothing() -> None:
    index = HashIndex()
    assert len(index) == 0
    for hashed in (0, 1, SLOTS - 1, 1 << 31, TOP):
        assert index.first(hashed) == 0


def test_the_least_and_the_largest_hash_and_number_are_kept() -> None:
    index = HashIndex()
    for hashed in (0, TOP):
        for number in (1, NUMBER_MAX):
            index.add(hashed, number)
    assert numbers_of(index, 0) == numbers_of(index, TOP) == [1, NUMBER_MAX]
    assert index.first(1) == index.first(TOP - 1) == 0


@pytest.mark.parametrize("number", [0, NUMBER_MAX + 1])
def test_a_number_that_is_none_is_refused(number: int) -> None:
    index = HashIndex()
    with pytest.raises(AssertionError):
        index.add(5, number)
    assert len(index) == 0 and index.first(5) == 0


def test_numbers_of_one_hash_are_told_apart() -> None:
    index = HashIndex()
    for number in range(1, 101):
        index.add(77, number)
    assert numbers_of(index, 77) == [*range(1, 101)]
    for number in (1, 100, 50):
        index.remove(77, number)
    assert numbers_of(index, 77) == [number for number in range(1, 101) if number not in (1, 50, 100)]
    assert len(index) == 97


def test_a_hash_comes_to_stand_for_another_number() -> None:
    index = HashIndex()
    for number in (1, 2, 3):
        index.add(9, number)
    index.replace(9, 2, 20)
    assert numbers_of(index, 9) == [1, 3, 20] and len(index) == 3


def test_what_is_not_there_can_be_neither_removed_nor_replaced() -> None:
    index = HashIndex()
    index.add(9, 1)
    for hashed, number in ((9, 2), (10, 1), (9 + SLOTS, 1)):
        with pytest.raises(AssertionError):
            index.remove(hashed, number)
        with pytest.raises(AssertionError):
            index.replace(hashed, number, 5)
    assert numbers_of(index, 9) == [1] and len(index) == 1


@pytest.mark.parametrize("first_home", [0, 500, SLOTS - 8])
def test_a_removal_within_a_cluster_loses_nothing_behind_it(first_home: int) -> None:
    """Neighbouring homes that overflow into each other, also across the end of the bucket."""
    homes = [(first_home + offset) % SLOTS for offset in (0, 0, 0, 1, 1, 2, 5, 5, 6, 7, 9)]
    hashes = [home | place << 10 for place, home in enumerate(homes)]
    for removed_first in range(len(hashes)):
        for removed_second in range(removed_first, len(hashes)):
            index = HashIndex()
            model = {hashed: {number} for number, hashed in enumerate(hashes, start=1)}
            for number, hashed in enumerate(hashes, start=1):
                index.add(hashed, number)
            for removed in {removed_first: None, removed_second: None}:
                index.remove(hashes[removed], removed + 1)
                model[hashes[removed]].clear()
                check(index, model)


# Masks of hashes: all there are; few homes, of which each has a cluster; the same leading bits, so that one bucket is
# split again and again; and few hashes, of which each has several numbers.
MASKS = {"all": TOP, "few homes": 0xFFFF_003F, "one corner": 0x00FF_FFFF, "few hashes": 0x0FC0_00FF}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_many_numbers_are_found_however_their_hashes_lie(mask: int) -> None:
    rng = random.Random(mask)
    index = HashIndex()
    model: dict[int, set[int]] = {}
    for number in range(1, 4_001):
        hashed = rng.getrandbits(32) & mask
        index.add(hashed, number)
        model.setdefault(hashed, set()).add(number)
    check(index, model)


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_any_sequence_of_changes_does_what_a_dict_does(mask: int) -> None:
    rng = random.Random(mask + 1)
    index = HashIndex()
    model: dict[int, set[int]] = {}
    entries: list[tuple[int, int]] = []
    for number in range(1, 6_001):
        shrinking = number // 2_500 == 1
        action = rng.random()
        if entries and action < (0.6 if shrinking else 0.2):
            place = rng.randrange(len(entries))
            entries[place], entries[-1] = entries[-1], entries[place]
            hashed, removed = entries.pop()
            index.remove(hashed, removed)
            model[hashed].remove(removed)
        elif entries and action < (0.7 if shrinking else 0.3):
            place = rng.randrange(len(entries))
            hashed, old = entries[place]
            index.replace(hashed, old, number)
            entries[place] = hashed, number
            model[hashed].remove(old)
            model[hashed].add(number)
        else:
            hashed = rng.getrandbits(32) & mask
            index.add(hashed, number)
            entries.append((hashed, number))
            model.setdefault(hashed, set()).add(number)
        if number % 2_000 == 0:
            check(index, model)
    check(index, model)
    for hashed, number in entries:
        index.remove(hashed, number)
    assert len(index) == 0 and all(index.first(hashed) == 0 for hashed in model)
