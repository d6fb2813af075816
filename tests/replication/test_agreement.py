"""Only a majority that agrees with each other can stop a replica."""

import pytest

from replication.agreement import CHECKPOINTS_KEPT, Agreement, Checkpoint, Diverged

OURS = Checkpoint(100, b"a" * 32)
THEIRS = Checkpoint(100, b"b" * 32)


def test_equal_checkpoints_are_fine_in_any_order() -> None:
    agreement = Agreement(3)
    agreement.record_peer("node-2", 32, OURS)
    agreement.record_own(32, OURS)
    agreement.record_peer("node-3", 32, OURS)


def test_a_single_other_opinion_does_not_stop_a_replica() -> None:
    agreement = Agreement(3)
    agreement.record_own(32, OURS)
    agreement.record_peer("node-2", 32, THEIRS)
    agreement.record_peer("node-2", 32, THEIRS)


def test_a_majority_against_it_stops_a_replica_that_speaks_first() -> None:
    agreement = Agreement(3)
    agreement.record_own(32, OURS)
    agreement.record_peer("node-2", 32, THEIRS)
    with pytest.raises(Diverged, match="sequence 100"):
        agreement.record_peer("node-3", 32, THEIRS)


def test_a_majority_against_it_stops_a_replica_that_speaks_last() -> None:
    agreement = Agreement(3)
    agreement.record_peer("node-2", 32, THEIRS)
    agreement.record_peer("node-3", 32, THEIRS)
    with pytest.raises(Diverged):
        agreement.record_own(32, OURS)


def test_peers_that_differ_from_each_other_too_stop_nobody() -> None:
    agreement = Agreement(3)
    agreement.record_own(32, OURS)
    agreement.record_peer("node-2", 32, THEIRS)
    agreement.record_peer("node-3", 32, Checkpoint(100, b"c" * 32))


def test_only_the_newest_checkpoints_are_kept() -> None:
    agreement = Agreement(3)
    for log_index in range(1, CHECKPOINTS_KEPT + 2):
        agreement.record_own(log_index, OURS)
    agreement.record_peer("node-2", 1, THEIRS)
    agreement.record_peer("node-3", 1, THEIRS)  # forgotten here, so nothing to compare with
