"""A snapshot that is written while the replica goes on."""

import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from replication.forked import fork_child
from replication.snapshots import SnapshotDamaged, SnapshotMeta, SnapshotPoint, SnapshotStore

logger = logging.getLogger(__name__)


WriterState = Literal["running", "done", "failed"]
"""How far a background snapshot has come."""


class BackgroundSnapshot:
    """Writes one snapshot in a child (see `replication.forked`): the state as it was at `start()`.

    `produce()` runs in the child and returns the snapshot's bytes. The parent keeps no LMDB environment of the
    store open, so none is carried across the fork.
    """

    def __init__(self, store_path: Path, point: SnapshotPoint, produce: Callable[[], bytes]) -> None:
        self.point = point
        self._store_path = Path(store_path)
        self._produce = produce
        self._child_pid = 0
        self._state: WriterState = "running"

    def start(self) -> None:
        """Fork the writer; OSError if the machine has no process or memory left."""
        assert self._child_pid == 0, "a background snapshot is started once"
        self._child_pid = fork_child(self._write, f"the snapshot at log index {self.point.log_index}")

    def poll(self) -> WriterState:
        """How it stands, without waiting."""
        assert self._child_pid, "not started"
        if self._state == "running":
            pid, status = os.waitpid(self._child_pid, os.WNOHANG)
            if pid:
                self._settle(status)
        return self._state

    def cancel(self) -> None:
        """Kill the writer and collect it; what it wrote so far stays invisible."""
        if self._state == "running" and self._child_pid:
            os.kill(self._child_pid, signal.SIGKILL)
            self._settle(os.waitpid(self._child_pid, 0)[1])

    def meta(self) -> SnapshotMeta:
        """The finished snapshot; only once `poll()` said "done"."""
        assert self._state == "done", self._state
        latest = SnapshotStore(self._store_path).latest()
        if latest is None or latest.log_index < self.point.log_index:
            raise SnapshotDamaged(f"the snapshot at log index {self.point.log_index} is gone")
        return latest

    def _write(self) -> None:
        SnapshotStore(self._store_path).write(self.point, self._produce())

    def _settle(self, status: int) -> None:
        succeeded = os.waitstatus_to_exitcode(status) == 0
        self._state = "done" if succeeded else "failed"
        if not succeeded:
            logger.error("the snapshot at log index %d failed, wait status %d", self.point.log_index, status)
