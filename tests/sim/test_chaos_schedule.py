"""The order in which things go wrong: a function of the seed, in which nothing is forgotten."""

from itertools import islice

import pytest

from sim.chaos_schedule import FAULTS, KILL_LEADER, read_kinds, schedule

KINDS = list(FAULTS)


def test_the_same_seed_gives_the_same_faults_with_the_same_numbers() -> None:
    assert list(islice(schedule(7, KINDS), 100)) == list(islice(schedule(7, KINDS), 100))


def test_another_seed_gives_another_schedule() -> None:
    assert list(islice(schedule(7, KINDS), 100)) != list(islice(schedule(8, KINDS), 100))


def test_every_kind_comes_once_before_any_comes_again() -> None:
    kinds = [planned.kind for planned in islice(schedule(3, KINDS), 3 * len(KINDS))]
    for begin in range(0, len(kinds), len(KINDS)):
        assert sorted(kinds[begin : begin + len(KINDS)]) == sorted(KINDS)


def test_pauses_of_processes_last_from_one_to_thirty_seconds() -> None:
    durations_s = [planned.duration_s for planned in islice(schedule(1, ["pause-leader"]), 200)]
    assert 1.0 <= min(durations_s) < 5.0 < 25.0 < max(durations_s) <= 30.0


def test_a_list_of_kinds_is_read_and_a_wrong_one_is_refused_by_name() -> None:
    assert read_kinds("kill-leader, flip,kill-leader") == [KILL_LEADER, "flip"]
    with pytest.raises(ValueError, match="there is no fault earthquake; there are kill-leader, kill-follower"):
        read_kinds("flip,earthquake")
    with pytest.raises(ValueError, match="there is no fault ','"):
        read_kinds(",")
