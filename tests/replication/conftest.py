"""Replicas in one process on virtual time, for every module whose cases need no others."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.replication.raft_harness import Cluster, World


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


@pytest.fixture
def cluster(world: World, tmp_path: Path) -> Iterator[Cluster]:
    """Three of them, A, B and C, all linked."""
    running = Cluster(world, tmp_path)
    yield running
    running.close()
