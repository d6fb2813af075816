"""Warnings about refused links neither flood the log nor hide anything new for long."""

import logging

import pytest

from replication.refusals import Refusals


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(caplog: pytest.LogCaptureFixture) -> Clock:
    caplog.set_level(logging.WARNING)
    return Clock()


def test_the_same_words_are_said_again_after_half_a_minute(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    refusals = Refusals(clock)
    for _ in range(120):
        refusals.warn("10.0.0.1", "it showed no certificate")
        clock.now_s += 0.5
    assert caplog.messages == ["no link with 10.0.0.1: it showed no certificate"] * 2


def test_other_words_are_said_at_once(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    refusals = Refusals(clock)
    for who, why in (("a", "x"), ("b", "x"), ("a", "y"), ("a", "x")):
        refusals.warn(who, why)
    assert caplog.messages == ["no link with a: x", "no link with b: x", "no link with a: y"]


def test_a_flood_of_strangers_is_bounded(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    refusals = Refusals(clock)
    for number in range(1_000):
        refusals.warn(f"stranger {number}", "it does not speak TLS")
    assert len(caplog.messages) == 256
    clock.now_s += 30
    refusals.warn("somebody else", "it does not speak TLS")
    assert caplog.messages[256:] == ["no link with somebody else: it does not speak TLS"]
