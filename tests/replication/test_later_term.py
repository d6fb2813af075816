"""Whoever speaks in a later term ends an earlier leader's reign, whatever kind of message says so."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from replication.messages import NextIndex
from tests.replication.raft_harness import Cluster, World


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cluster]:
    running = Cluster(World(monkeypatch), tmp_path)
    yield running
    running.close()


def test_a_leader_that_hears_of_a_later_term_steps_down(cluster: Cluster) -> None:
    a = cluster.elect("A")
    later_term = a.log.term + 3
    a.transport.on_message("B", NextIndex(later_term, 3, 2, False, False))
    assert not a.log.is_leader
    assert a.log.term == later_term
    assert a.log.leader_id is None
