"""The system calls by which a replica's files are changed and become durable, in one place.

Journal, snapshots and archive change their files through a `Disk` and nothing else, so that the simulator can give them
one that loses what was not synced, fails, fills up or is slow (`sim.simulation_disk`). `DISK` is the machine's own.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import lmdb

from replication.private_directory import lock_directory, sync_directory

_DATABASES_MAX: Final = 2
_NO_ROOM: Final = (lmdb.DiskError, lmdb.MemoryError)


def disk_failed(error: lmdb.Error) -> bool:
    """Whether the machine failed and not the file: it has no room left, or its disk did not answer.

    Nothing is damaged then, and a restart may help. LMDB has an error of its own for everything that can be wrong with
    a file (``mdb_strerror``); the bare ``lmdb.Error`` carries a system error instead, such as EIO.
    """
    return isinstance(error, _NO_ROOM) or type(error) is lmdb.Error


class Disk:
    """Every method is one call of the system or of LMDB; their errors pass through."""

    def open_environment(self, path: Path, *, map_size: int, sync: bool = True) -> lmdb.Environment:
        """The LMDB environment in a directory. Without `sync` nothing that it commits is durable."""
        return lmdb.open(
            str(path),
            map_size=map_size,
            max_dbs=_DATABASES_MAX,
            mode=0o600,
            sync=sync,
            metasync=sync,
        )

    def open(self, path: Path, flags: int) -> int:
        """A descriptor of a file that only its owner may read."""
        return os.open(path, flags | os.O_CLOEXEC, 0o600)

    def write(self, file: int, data: bytes | bytearray) -> None:
        """Hand all of it to the kernel, at the descriptor's place."""
        view = memoryview(data)
        while view:
            view = view[os.write(file, view) :]

    def truncate(self, file: int, size_bytes: int) -> None:
        """Cut a file and move the descriptor's place to its new end."""
        os.ftruncate(file, size_bytes)
        os.lseek(file, size_bytes, os.SEEK_SET)

    def fsync(self, file: int) -> None:
        """Make what a file holds durable."""
        os.fsync(file)

    def close(self, file: int) -> None:
        os.close(file)

    def unlink(self, path: Path) -> None:
        """Remove a name; durable with the next sync of its directory."""
        path.unlink()

    def rename(self, source: Path, target: Path) -> None:
        """Give a file another name in its directory, instead of what had it; durable with the directory's next sync."""
        source.replace(target)

    def lock_directory(self, path: Path) -> int:
        """Take a directory for this process, as `replication.private_directory` does."""
        return lock_directory(path)

    def sync_directory(self, path: Path) -> None:
        """Make the names in a directory durable."""
        sync_directory(path)


DISK = Disk()
