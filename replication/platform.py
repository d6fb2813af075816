"""What a replica needs of the machine it runs on: clocks, chance, network, disk, a process for its snapshots.

`MACHINE` is the real one. The simulator builds another of the same shape, on which the same replica runs in virtual
time (`sim.simulation_process`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from replication.background_snapshot import BackgroundSnapshot, WriterState
from replication.disk import DISK, Disk
from replication.poller import EventSource, Poller
from replication.replica import Replica, keep_collector_quiet
from replication.server import Listen
from replication.snapshots import SnapshotMeta, SnapshotPoint
from replication.tcp import Listener
from replication.transport import PeerTransport, Transport


class SnapshotWriter(Protocol):
    """One snapshot that is written while the replica goes on (`replication.background_snapshot`)."""

    def start(self) -> None: ...

    def poll(self) -> WriterState: ...

    def cancel(self) -> None: ...

    def meta(self) -> SnapshotMeta: ...


class PeerLinks(Transport, Protocol):
    """What a node needs of the network beyond what its log does: the members of the cluster may change."""

    def set_peers(self, peers: Mapping[str, Sequence[tuple[str, int]]]) -> None:
        """Dial these peers from now on, each at one of its addresses after the other. Links that are up stay up."""


@dataclass(frozen=True, kw_only=True)
class Platform:
    """``now_s`` is monotonic, ``time_ns`` the time of day in nanoseconds of the Unix epoch."""

    now_s: Callable[[], float] = time.monotonic
    time_ns: Callable[[], int] = time.time_ns
    random_bytes: Callable[[int], bytes] = os.urandom
    disk: Disk = DISK
    poller: Callable[[], EventSource] = Poller
    transport: Callable[..., PeerLinks] = PeerTransport
    listen: Listen = Listener
    replica: Callable[..., Replica] = Replica
    snapshot_writer: Callable[[Path, SnapshotPoint, Callable[[], bytes]], SnapshotWriter] = BackgroundSnapshot
    on_restored: Callable[[], Any] = keep_collector_quiet
    keeps_archive: bool = True
    """Whether a node looks after its archive in child processes (`replication.archive_keeper`)."""


MACHINE: Final = Platform()
