"""A leader hands over to the preferred node when that is steady, and ever more rarely if it does not stay there."""

import itertools

from replication.preferred_leader import PAUSE_S_MIN, STEADY_S, PreferredLeader

TICK_S = 0.0625  # so that sums are exact


def handed_over_at(preference: PreferredLeader, seconds: float, *, begin_s: float = 0.0) -> list[float]:
    """Tick as a leader whose preferred node keeps up, and stop leading after each hand-over for a second."""
    now_s, away_until_s, moments = begin_s, 0.0, []
    while now_s < begin_s + seconds:
        leads = now_s >= away_until_s
        if preference.should_hand_over(leads=leads, keeps_up=True, now_s=now_s):
            moments.append(now_s - begin_s)
            away_until_s = now_s + 1.0
        now_s += TICK_S
    return moments


def test_it_waits_until_the_preferred_node_is_steady() -> None:
    moments = handed_over_at(PreferredLeader(), STEADY_S + 1)
    assert moments == [STEADY_S]


def test_a_node_that_falls_behind_in_between_must_be_steady_anew() -> None:
    preference = PreferredLeader()
    assert not handed_over_at(preference, STEADY_S - TICK_S)
    assert not preference.should_hand_over(leads=True, keeps_up=False, now_s=STEADY_S)
    assert handed_over_at(preference, STEADY_S + 1, begin_s=STEADY_S + TICK_S) == [STEADY_S]


def test_who_does_not_lead_hands_nothing_over() -> None:
    preference = PreferredLeader()
    assert not any(preference.should_hand_over(leads=False, keeps_up=True, now_s=now_s) for now_s in range(0, 1_000, 1))


def test_a_preferred_node_that_does_not_stay_leader_is_asked_ever_more_rarely() -> None:
    """No flapping: the pauses double, up to an hour."""
    moments = handed_over_at(PreferredLeader(), 4_000)
    pauses = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert len(moments) == 7
    for number, pause in enumerate(pauses):
        assert abs(pause - PAUSE_S_MIN * 2**number) < 1.0, pauses
