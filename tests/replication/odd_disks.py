"""Disks for tests: one that notes what it made durable, one that is full, one that does not answer."""

import errno
import os
from pathlib import Path

import lmdb

from replication.disk import Disk


class NotingDisk(Disk):
    """Notes which names were there when their directory was synced."""

    def __init__(self) -> None:
        self.names_synced: list[str] = []

    def sync_directory(self, path: Path) -> None:
        self.names_synced += sorted(found.name for found in path.iterdir())
        super().sync_directory(path)


class SilentDisk(Disk):
    """It does not answer: LMDB hands on the system's error."""

    def open_environment(self, path: Path, *, map_size: int, sync: bool = True) -> lmdb.Environment:
        raise lmdb.Error(f"{path}: {os.strerror(errno.EIO)}")


class FullDisk(Disk):
    """Has no room for an environment; says so as LMDB does."""

    def open_environment(self, path: Path, *, map_size: int, sync: bool = True) -> lmdb.Environment:
        raise lmdb.DiskError(f"{path}: No space left on device")
