"""What is sent, what is sent again, in which order, and what a client is told: without any I/O."""

from __future__ import annotations

from functools import partial

import pytest

from engine.codec import encode_event
from engine.events import OrdersCancelled
from gateway.errors import ApiError, Internal, NoLeader, OutcomeUnknown, Overloaded
from gateway.metrics import GatewayMetrics
from gateway.outcomes import Outcome
from gateway.submissions import Submissions
from replication.protocol import COMMITTED, FAILED, MALFORMED, UNKNOWN, Result

EVENTS = encode_event(OrdersCancelled(1, 0, 0), 0)


class Node:
    """The identity of a link."""

    def __init__(self, node_id: str) -> None:
        self.node_id = node_id


class Desk:
    """Submissions 1, 2, 3, ... of one gateway, each a second after the one before, and their outcomes."""

    def __init__(self) -> None:
        self.metrics = GatewayMetrics(["a", "b"]).group
        self.submissions = Submissions(self.metrics)
        self.outcomes: dict[int, Outcome | ApiError] = {}
        self.a, self.b = Node("a"), Node("b")

    def add(self, *numbers: int) -> None:
        for number in numbers:
            self.submissions.add(number, b"%d" % number, partial(self._told, number), 10.0 + number)

    def take(self, node: Node) -> list[int]:
        batch = self.submissions.take(node)
        assert all(command == b"%d" % number for number, command in batch), "another command was sent"
        return [number for number, _ in batch]

    def settle(self, node: Node, number: int, outcome: int) -> bool:
        committed = outcome == COMMITTED
        result = Result(number, outcome, 70 + number if committed else 0, 0, EVENTS if committed else b"")
        return self.submissions.settle(node, result)

    def _told(self, number: int, outcome: Outcome | ApiError) -> None:
        assert number not in self.outcomes, "an outcome was told twice"
        self.outcomes[number] = outcome


def test_commands_are_sent_once_in_the_order_of_submission() -> None:
    desk = Desk()
    desk.add(1, 2)
    assert desk.take(desk.a) == [1, 2]
    desk.add(3)
    assert desk.take(desk.a) == [3]
    assert desk.take(desk.a) == []


def test_a_committed_command_has_its_outcome() -> None:
    desk = Desk()
    desk.add(1)
    desk.take(desk.a)
    assert not desk.settle(desk.a, 1, COMMITTED)
    outcome = desk.outcomes[1]
    assert isinstance(outcome, Outcome)
    assert (outcome.sequence, outcome.resent, outcome.events) == (71, False, [OrdersCancelled(1, 0, 0)])


def test_a_failed_command_is_sent_again_before_newer_ones() -> None:
    desk = Desk()
    desk.add(1, 2)
    desk.take(desk.a)
    assert desk.settle(desk.a, 1, FAILED)
    assert desk.settle(desk.a, 2, FAILED)
    desk.add(3)
    assert desk.take(desk.b) == [1, 2, 3]
    desk.settle(desk.b, 1, COMMITTED)
    outcome = desk.outcomes[1]
    assert isinstance(outcome, Outcome)
    assert not outcome.resent, "a copy that failed leaves no doubt"


def test_what_a_lost_link_carried_is_sent_again_in_the_same_order() -> None:
    desk = Desk()
    desk.add(1, 2, 3)
    desk.take(desk.a)
    desk.settle(desk.a, 2, COMMITTED)
    desk.submissions.lose(desk.a)
    desk.add(4)
    assert desk.take(desk.b) == [1, 3, 4]
    for number in (1, 3, 4):
        desk.settle(desk.b, number, COMMITTED)
    resent = {number: outcome.resent for number, outcome in desk.outcomes.items() if isinstance(outcome, Outcome)}
    assert resent == {2: False, 1: True, 3: True, 4: False}


def test_a_new_leader_gets_what_the_old_one_has_not_answered() -> None:
    desk = Desk()
    desk.add(1, 2)
    desk.take(desk.a)
    desk.submissions.follow(desk.b)
    assert desk.take(desk.b) == [1, 2]


def test_a_late_result_of_the_old_leader_is_still_believed() -> None:
    desk = Desk()
    desk.add(1)
    desk.take(desk.a)
    desk.submissions.follow(desk.b)
    desk.take(desk.b)
    desk.settle(desk.a, 1, COMMITTED)
    assert isinstance(desk.outcomes[1], Outcome)
    desk.settle(desk.b, 1, COMMITTED)


def test_a_late_refusal_of_the_old_leader_does_not_send_a_third_copy() -> None:
    desk = Desk()
    desk.add(1)
    desk.take(desk.a)
    desk.submissions.follow(desk.b)
    desk.take(desk.b)
    assert not desk.settle(desk.a, 1, FAILED)
    assert not desk.settle(desk.a, 1, UNKNOWN)
    assert desk.take(desk.b) == []


def test_following_the_same_leader_sends_nothing_again() -> None:
    desk = Desk()
    desk.add(1)
    desk.take(desk.a)
    desk.submissions.follow(desk.a)
    assert desk.take(desk.a) == []


@pytest.mark.parametrize("fate", ["never sent", "failed"])
def test_a_command_that_certainly_did_not_happen_ends_definite(fate: str) -> None:
    desk = Desk()
    desk.add(1)
    if fate == "failed":
        desk.take(desk.a)
        desk.settle(desk.a, 1, FAILED)
    desk.submissions.expire(10.9)
    assert not desk.outcomes
    desk.submissions.expire(11.0)
    assert isinstance(desk.outcomes[1], NoLeader)
    assert desk.take(desk.b) == [], "a command that was given up must not be sent"


@pytest.mark.parametrize("fate", ["no answer", "unknown", "lost", "lost, then failed", "unknown, then failed"])
def test_a_command_that_may_have_happened_ends_unknown(fate: str) -> None:
    desk = Desk()
    desk.add(1)
    desk.take(desk.a)
    if fate.startswith("unknown"):
        desk.settle(desk.a, 1, UNKNOWN)
    if fate.startswith("lost"):
        desk.submissions.lose(desk.a)
    if fate.endswith("then failed"):
        desk.take(desk.b)
        desk.settle(desk.b, 1, FAILED)
    desk.submissions.expire(11.0)
    assert isinstance(desk.outcomes[1], OutcomeUnknown)


def test_a_result_after_the_end_is_ignored() -> None:
    desk = Desk()
    desk.add(1)
    desk.take(desk.a)
    desk.submissions.expire(11.0)
    assert not desk.settle(desk.a, 1, COMMITTED)
    assert not desk.settle(desk.a, 99, COMMITTED)


def test_only_what_is_due_expires() -> None:
    desk = Desk()
    desk.add(1, 2)
    desk.submissions.expire(11.0)
    assert list(desk.outcomes) == [1]
    assert desk.take(desk.a) == [2]


def test_a_command_that_the_replica_cannot_read_is_our_fault() -> None:
    desk = Desk()
    desk.add(1)
    desk.take(desk.a)
    assert not desk.settle(desk.a, 1, MALFORMED)
    outcome = desk.outcomes[1]
    assert isinstance(outcome, Internal)
    assert outcome.definite


def test_there_is_a_limit_to_what_may_wait() -> None:
    desk = Desk()
    desk.add(*range(50_000))
    with pytest.raises(Overloaded):
        desk.add(50_000)
    assert len(desk.take(desk.a)) == 50_000


def test_a_client_that_cannot_be_told_does_not_keep_others_from_their_outcomes() -> None:
    desk = Desk()

    def refuse(outcome: Outcome | ApiError) -> None:
        raise RuntimeError("this connection is broken")

    desk.submissions.add(1, b"1", refuse, 11.0)
    desk.add(2)
    desk.take(desk.a)
    desk.settle(desk.a, 1, COMMITTED)
    desk.settle(desk.a, 2, COMMITTED)
    assert list(desk.outcomes) == [2]
