"""What becomes of proposals, without a log."""

from collections.abc import Callable

import pytest

from replication.halt import Halt
from replication.proposals import Outcome, Proposals


def answered(log: list[tuple[str, Outcome]], name: str) -> Callable[[Outcome, object], None]:
    return lambda outcome, _detail: log.append((name, outcome))


def test_proposals_of_several_terms_may_wait_for_one_index() -> None:
    log: list[tuple[str, Outcome]] = []
    proposals = Proposals(timeout_s=5)
    proposals.add(7, 1, answered(log, "first"), now_s=0)
    proposals.add(7, 3, answered(log, "second"), now_s=1)
    proposals.decide(7, 3, "result")
    assert log == [("first", Outcome.FAILED), ("second", Outcome.COMMITTED)]
    proposals.expire(now_s=100)
    proposals.abandon()
    assert len(log) == 2


def test_proposals_expire_in_order_and_only_when_due() -> None:
    log: list[tuple[str, Outcome]] = []
    proposals = Proposals(timeout_s=5)
    for second, name in enumerate(["a", "b", "c"]):
        proposals.add(7 + second, 1, answered(log, name), now_s=second)
    proposals.decide(7, 1, None)
    proposals.expire(now_s=6)
    assert log == [("a", Outcome.COMMITTED), ("b", Outcome.UNKNOWN)]
    assert len(proposals) == 1
    proposals.abandon()
    assert log[2:] == [("c", Outcome.UNKNOWN)]
    assert len(proposals) == 0


def test_a_snapshot_leaves_those_before_it_unknown() -> None:
    log: list[tuple[str, Outcome]] = []
    proposals = Proposals(timeout_s=5)
    for index, name in ((9, "c"), (7, "a"), (8, "b")):
        proposals.add(index, 1, answered(log, name), now_s=0)
    proposals.cover(8)
    assert log == [("a", Outcome.UNKNOWN), ("b", Outcome.UNKNOWN)]
    assert len(proposals) == 1


def test_an_error_of_a_proposer_is_kept_from_the_others_but_a_halt_is_not() -> None:
    def fails(_outcome: Outcome, _detail: object) -> None:
        raise ValueError("a bug in the proposer")

    def halts(_outcome: Outcome, _detail: object) -> None:
        raise Halt("stop")

    log: list[tuple[str, Outcome]] = []
    proposals = Proposals(timeout_s=5)
    proposals.add(7, 1, fails, now_s=0)
    proposals.add(7, 1, answered(log, "other"), now_s=0)
    proposals.add(8, 1, halts, now_s=0)
    proposals.decide(7, 1, None)
    assert log == [("other", Outcome.COMMITTED)]
    with pytest.raises(Halt):
        proposals.decide(8, 1, None)
