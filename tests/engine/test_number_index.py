"""A table of numbers that are given out one after the other: it answers what a dict would."""

from __future__ import annotations

import random

import pytest

from engine.number_index import NumberIndex

U64_MAX = (1 << 64) - 1


def test_an_empty_index_finds_nothing() -> None:
    index = NumberIndex()
    assert len(index) == 0
    assert [index.find(number) for number in (0, 1, 63, 64, U64_MAX)] == [0] * 5


def test_the_least_and_the_largest_numbers_are_kept() -> None:
    index = NumberIndex()
    pairs = {0: 1, 63: 2, 64: (1 << 32) - 1, U64_MAX: 4, U64_MAX - 63: 5}
    for number, value in pairs.items():
        index.add(number, value)
    assert {number: index.find(number) for number in pairs} == pairs
    assert (index.find(62), index.find(65), index.find(U64_MAX - 1)) == (0, 0, 0)


def test_what_is_not_there_cannot_be_removed() -> None:
    with pytest.raises(AssertionError):
        NumberIndex().remove(1)


def test_neighbours_stay_when_one_goes() -> None:
    index = NumberIndex()
    for number in range(200):
        index.add(number, number + 1)
    for gone in range(0, 200, 3):
        index.remove(gone)
    expected = [number + 1 if number % 3 else 0 for number in range(200)]
    assert [index.find(number) for number in range(200)] == expected
    assert len(index) == 133


def test_numbers_whose_neighbours_all_went_are_not_found_where_others_took_their_place() -> None:
    """The chunk of numbers that are gone serves others at once, also where it was the last that was asked for."""
    index = NumberIndex()
    for number in range(64):
        index.add(number, number + 1)
    for number in range(64):
        index.remove(number)
        assert index.find(number) == 0
    index.add(640, 7)
    assert index.find(640) == 7
    assert [index.find(number) for number in range(64)] == [0] * 64
    index.add(5, 9)
    assert (index.find(5), index.find(640), index.find(645)) == (9, 7, 0)


@pytest.mark.parametrize("stride", [1, 7, 64, 1 << 40])
def test_any_sequence_of_changes_does_what_a_dict_does(stride: int) -> None:
    rng = random.Random(stride)
    index, model, last = NumberIndex(), dict[int, int](), 0
    for step in range(1, 6_001):
        if model and rng.random() < (0.6 if step // 1_500 % 2 else 0.3):
            gone = rng.choice(list(model)) if rng.random() < 0.5 else min(model)
            index.remove(gone)
            del model[gone]
            assert index.find(gone) == 0
        else:
            last += rng.randrange(1, 2 * stride)
            index.add(last, step)
            model[last] = step
        assert len(index) == len(model)
        asked = rng.choice([rng.randrange(last + 100), *rng.sample(list(model), min(2, len(model)))])
        assert index.find(asked) == model.get(asked, 0)
    assert {number: index.find(number) for number in model} == model
