"""Parts of a simulated process: a node and a replica that are watched, and the writer of their snapshots."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import lmdb

from engine.machine import Applied
from replication.background_snapshot import WriterState
from replication.config import Config
from replication.node import Asker, Node
from replication.platform import Platform
from replication.replica import Replica
from replication.snapshots import SnapshotDamaged, SnapshotMeta, SnapshotPoint, SnapshotStore
from sim.simulation_environment import CutOff

if TYPE_CHECKING:
    from sim.simulation import Simulation
    from sim.simulation_process import SimulatedProcess

_SNAPSHOT_S_MAX: Final = 0.3


class WatchedNode(Node):
    """The node, which may be cut off when a command has arrived at its door."""

    def __init__(self, process: SimulatedProcess, config: Config, name: str, *, platform: Platform) -> None:
        self._process = process
        super().__init__(config, name, platform=platform)

    def submit(self, link: Asker, correlation: int, command: bytes) -> None:
        if not self._waiting:
            self._process.at_point("before-append")
        super().submit(link, correlation, command)


class WatchedReplica(Replica):
    """The replica, with an onlooker who sees what it applies."""

    def __init__(self, process: SimulatedProcess, simulation: Simulation, directory: Path, **settings: Any) -> None:
        super().__init__(directory, segment_bytes_max=simulation.segment_bytes_max, **settings)
        self._process = process
        self._simulation = simulation

    def apply(self, log_index: int, term: int, payload: bytes) -> Applied:
        self._process.at_point("before-apply")
        applied = super().apply(log_index, term, payload)
        self._simulation.onlooker.applied(self._process.name, log_index, term, payload, applied)
        self._process.at_point("after-apply")
        return applied


class SimulatedSnapshotWriter:
    """In place of the forked child (`replication.background_snapshot`): it writes on the same disk, some time later.

    Like the child it goes on when its parent is killed, and not when the machine loses its power.
    """

    def __init__(
        self,
        process: SimulatedProcess,
        simulation: Simulation,
        path: Path,
        point: SnapshotPoint,
        produce: Callable[[], bytes],
    ) -> None:
        self._process = process
        self._simulation = simulation
        self._disk = process.disk
        self._store = SnapshotStore(path, disk=self._disk)
        self._point = point
        self._produce = produce
        self._state: WriterState = "running"
        self._power_losses = self._disk.power_losses

    def start(self) -> None:
        # A fork sees the state as it is now, whatever becomes of its parent.
        blob = self._produce()
        delay_s = self._simulation.chance.random() * _SNAPSHOT_S_MAX
        self._simulation.timeline.after(delay_s, self._write, blob)

    def poll(self) -> WriterState:
        return self._state

    def cancel(self) -> None:
        if self._state == "running":
            self._state = "failed"

    def meta(self) -> SnapshotMeta:
        latest = self._store.latest()
        if latest is None or latest.log_index < self._point.log_index:
            raise SnapshotDamaged(f"the snapshot at log index {self._point.log_index} is gone")
        return latest

    def _write(self, blob: bytes) -> None:
        process, simulation = self._process, self._simulation
        if self._state != "running" or self._disk.power_losses != self._power_losses:
            return
        try:
            meta = self._store.write(self._point, blob)
        except CutOff as cut:
            self._state = "failed"
            process.cut_off(f"cut off {cut}")
        except (lmdb.Error, OSError) as error:
            self._state = "failed"
            simulation.trace.add("snapshot", process.name, f"failed: {simulation.describe(error)}")
        else:
            self._state = "done"
            simulation.onlooker.snapshot_written(process.name, meta)
