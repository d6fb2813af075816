"""A disk that keeps what was synced and may lose, tear or resurrect the rest.

The replica's own code runs on real files in a folder in memory, where a sync costs nothing. This layer stands between
them (`replication.disk`): it knows what was synced, and when a machine loses its power it puts the files into one of
the states that a real disk could be in. The model, and where it comes from:

- LMDB writes the changed pages where no committed page is, syncs them, then writes one meta page and syncs it
  (mdb.c: ``mdb_txn_commit``, ``mdb_page_flush``, ``mdb_env_write_meta``). So a commit that was cut off leaves the old
  meta page and any part of the new ones, torn at any sector, or else everything. An environment that is opened without
  sync loses all of its commits.
- Of a plain file, what was appended since its last sync is kept up to some byte, and a sector of it may be empty.
  A file that was cut short may have its old length and content again.
- A name that was created or removed since the last sync of its directory may be gone, or there again.
- After a sync that failed nothing may be trusted that it should have made durable; nothing makes it durable later
  (Rebello et al., "Can Applications Recover from fsync Failures?", ATC 2020).

Writes to the wrong place are in `sim.simulation_damage`. Not modelled: bits that rot, directories that vanish, a disk
that lies about a sync.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Final, cast

import lmdb

from replication.disk import Disk
from sim.simulation_environment import DATA_FILE, Environment
from sim.simulation_faults import Faults
from sim.simulation_journal_view import JournalView
from sim.simulation_network import Strikes
from sim.simulation_timeline import Timeline
from sim.simulation_trace import Trace

SECTOR_BYTES: Final = 512
PAGE_BYTES: Final = 4096
_META_PAGES: Final = 2
_FSYNC_MS_MIN: Final = 0.2
_COMPLETE_PROBABILITY: Final = 0.25


class _File:
    """A plain file. ``before_cut`` is its content before it was cut short, until that is synced."""

    def __init__(self, path: Path, synced_bytes: int) -> None:
        self.path = path
        self.synced_bytes = synced_bytes
        self.before_cut: bytes | None = None


class SimulatedDisk(Disk):
    """The disk of one machine; it outlives the processes on it. ``journal`` is what its journal holds durably.

    ``at_point(name)`` is called where a process may be cut off, and raises if it is.
    """

    def __init__(
        self,
        name: str,
        *,
        timeline: Timeline,
        chance: Random,
        trace: Trace,
        faults: Callable[[], Faults],
        strikes: Strikes,
        at_point: Callable[[str], None],
        journal: JournalView,
    ) -> None:
        self.journal = journal
        self.full_until_s = 0.0
        self.power_losses = 0
        self._name = name
        self._timeline = timeline
        self._chance = chance
        self._trace = trace
        self._faults = faults
        self._strikes = strikes
        self.at_point = at_point
        self._environments: list[Environment] = []
        self._open: dict[int, Path] = {}
        self._files: dict[Path, _File] = {}
        self._images: dict[Path, bytes] = {}  # what a commit that did not end well left
        self._created: set[Path] = set()
        self._removed: dict[Path, bytes] = {}
        self._replaced: dict[Path, bytes | None] = {}  # what had the name before, None if nothing had
        self._distrusted: set[Path] = set()

    # What a replica calls

    def open_environment(self, path: Path, *, map_size: int, sync: bool = True) -> lmdb.Environment:
        if self._open_fails():
            raise lmdb.Error(f"{path}: Input/output error")  # as LMDB words an EIO
        data_file = path / DATA_FILE
        is_new = not data_file.exists()
        if is_new and self.is_full:
            raise lmdb.DiskError("simulated: no space left on the disk")
        environment = Environment(self, path, super().open_environment(path, map_size=map_size, sync=True), sync=sync)
        self._environments.append(environment)
        if is_new:
            self._created.add(data_file)
            self.at_point("after-create")
        return cast(lmdb.Environment, environment)

    def open(self, path: Path, flags: int) -> int:
        if self._open_fails():
            raise OSError(5, "simulated: the disk does not answer", str(path))
        is_new = not path.exists()
        if is_new:
            self._refuse_if_full()
            self._created.add(path)
            self._files[path] = _File(path, 0)
        file = self._files.setdefault(path, _File(path, path.stat().st_size if path.exists() else 0))
        if flags & os.O_TRUNC and path.exists():
            self._before_cut(file, 0)
        descriptor = super().open(path, flags)
        self._open[descriptor] = path
        if is_new:
            self.at_point("after-create")
        return descriptor

    def write(self, file: int, data: bytes | bytearray) -> None:
        self._refuse_if_full()
        if self.write_fails():
            super().write(file, data[: self._chance.randrange(len(data))])
            raise OSError(5, "simulated: the write failed", str(self._open[file]))
        super().write(file, data)

    def truncate(self, file: int, size_bytes: int) -> None:
        known = self._files[self._open[file]]
        if size_bytes < known.path.stat().st_size:
            self._before_cut(known, size_bytes)
        super().truncate(file, size_bytes)

    def fsync(self, file: int) -> None:
        known = self._files[self._open[file]]
        self.wait()
        if self.sync_fails():
            self._distrusted.add(known.path)
            raise OSError(5, "simulated: the sync failed", str(known.path))
        if known.path not in self._distrusted:
            known.synced_bytes = known.path.stat().st_size
            known.before_cut = None

    def close(self, file: int) -> None:
        del self._open[file]
        super().close(file)

    def unlink(self, path: Path) -> None:
        self._removed[path] = path.read_bytes()
        super().unlink(path)

    def rename(self, source: Path, target: Path) -> None:
        self._replaced.setdefault(target, target.read_bytes() if target.exists() else None)
        self._created.discard(source)
        super().rename(source, target)
        self._files[target] = _File(target, self._files.pop(source).synced_bytes)

    def lock_directory(self, path: Path) -> int:
        descriptor = super().lock_directory(path)
        self._open[descriptor] = path
        return descriptor

    def sync_directory(self, path: Path) -> None:
        self._created = {created for created in self._created if created.parent != path}
        self._removed = {removed: data for removed, data in self._removed.items() if removed.parent != path}
        self._replaced = {replaced: data for replaced, data in self._replaced.items() if replaced.parent != path}

    # What environments ask

    def wait(self) -> None:
        """One sync takes its time."""
        faults, chance = self._faults(), self._chance
        wait_ms = _FSYNC_MS_MIN + chance.expovariate(1.0) * faults.fsync_ms_mean
        probability = faults.slow_fsync_probability
        if probability and self._strikes("slow-fsync", self._name, probability, chance):
            wait_ms += chance.random() * faults.slow_fsync_ms_max
        self._timeline.spend(wait_ms / 1_000)

    def sync_fails(self) -> bool:
        probability = self._faults().fsync_fails_probability
        return bool(probability) and self._strikes("fsync-fails", self._name, probability, self._chance)

    def write_fails(self) -> bool:
        probability = self._faults().write_fails_probability
        return bool(probability) and self._strikes("write-fails", self._name, probability, self._chance)

    def _open_fails(self) -> bool:
        probability = self._faults().open_fails_probability
        return bool(probability) and self._strikes("open-fails", self._name, probability, self._chance)

    @property
    def is_full(self) -> bool:
        return self._timeline.now_s < self.full_until_s

    def cut_off_commit(self, path: Path, before: bytes, after: bytes) -> bool:
        """Choose what is left of a commit of which nobody heard the end; True if that is everything.

        Else it is the old meta pages and any part of the new pages.
        """
        if self._chance.random() < _COMPLETE_PROBABILITY:
            return True
        image = bytearray(before)
        image.extend(bytes(max(0, len(after) - len(before))))
        for start in range(_META_PAGES * PAGE_BYTES, len(after), PAGE_BYTES):
            page = after[start : start + PAGE_BYTES]
            if image[start : start + PAGE_BYTES] == page or self._chance.random() < 0.5:
                continue
            torn = self._chance.random() < self._faults().torn_write_probability
            count = SECTOR_BYTES * self._chance.randrange(PAGE_BYTES // SECTOR_BYTES) if torn else PAGE_BYTES
            image[start : start + count] = page[:count]
        self._images[path / DATA_FILE] = bytes(image)
        return False

    def forget_environment(self, environment: Environment) -> None:
        """It was closed: what a commit left that was cut off is on the disk now."""
        self._environments.remove(environment)
        image = self._images.pop(environment.path / DATA_FILE, None)
        if image is not None:
            (environment.path / DATA_FILE).write_bytes(image)

    # What happens to the machine

    def process_ended(self, *, power_lost: bool) -> None:
        """The kernel takes back what the process had open. Without power, what was not synced is at stake."""
        for environment in list(self._environments):
            environment.abandon(power_lost=power_lost)
        for descriptor in list(self._open):
            self.close(descriptor)
        for path in sorted(self._files):
            if power_lost or path in self._distrusted:
                self._lose_unsynced(self._files[path])
        self._distrusted.clear()
        if power_lost:
            self.power_losses += 1
            self._lose_names()

    def _before_cut(self, file: _File, size_bytes: int) -> None:
        if file.before_cut is None:
            file.before_cut = file.path.read_bytes()[: file.synced_bytes]
        file.synced_bytes = min(file.synced_bytes, size_bytes)

    def _lose_unsynced(self, file: _File) -> None:
        if not file.path.exists():
            return
        data = bytearray(file.path.read_bytes())
        if file.before_cut is not None and self._chance.random() < 0.5:
            data = bytearray(file.before_cut)
        else:
            kept_bytes = file.synced_bytes + self._chance.randrange(len(data) - file.synced_bytes + 1)
            del data[kept_bytes:]
            unsynced_bytes = kept_bytes - file.synced_bytes
            if unsynced_bytes and self._chance.random() < self._faults().torn_write_probability:
                start = file.synced_bytes + self._chance.randrange(unsynced_bytes)
                count = min(SECTOR_BYTES, kept_bytes - start)
                data[start : start + count] = bytes(count)
        if data != file.path.read_bytes():
            self._trace.add("lost", self._name, f"{file.path.name} has {len(data)} bytes")
            file.path.write_bytes(data)
        file.before_cut = None
        file.synced_bytes = len(data)

    def _lose_names(self) -> None:
        probability = self._faults().lost_name_probability
        for path in sorted(self._created):
            if path.exists() and self._chance.random() < probability:
                self._trace.add("lost", self._name, f"the name of {path.parent.name}/{path.name}")
                path.unlink()
                self._files.pop(path, None)
        for path in sorted(self._removed):
            if not path.exists() and self._chance.random() < probability:
                self._trace.add("again", self._name, f"{path.parent.name}/{path.name}")
                path.write_bytes(self._removed[path])
        for path in sorted(self._replaced):
            if self._chance.random() < probability:
                self._trace.add("again", self._name, f"{path.parent.name}/{path.name}, as it was before")
                before = self._replaced[path]
                self._files.pop(path, None)
                path.unlink(missing_ok=True)
                if before is not None:
                    path.write_bytes(before)
        self._created.clear()
        self._removed.clear()
        self._replaced.clear()

    def _refuse_if_full(self) -> None:
        if self.is_full:
            raise OSError(28, "simulated: no space left on the disk")
