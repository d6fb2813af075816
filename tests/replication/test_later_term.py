"""Whoever speaks in a later term ends an earlier leader's reign, whatever kind of message says so."""

from replication.messages import NextIndex
from tests.replication.raft_harness import Cluster


def test_a_leader_that_hears_of_a_later_term_steps_down(cluster: Cluster) -> None:
    a = cluster.elect("A")
    later_term = a.log.term + 3
    a.transport.on_message("B", NextIndex(later_term, 3, 2, False, False))
    assert not a.log.is_leader
    assert a.log.term == later_term
    assert a.log.leader_id is None
