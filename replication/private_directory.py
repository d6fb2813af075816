"""Directories that one process owns: created for the owner only, durable, locked; and files in them."""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

UNFINISHED: Final = ".new"  # the end of the name of a file that is not complete


class DirectoryLocked(Exception):
    """Another process uses the directory."""


def create_private_directory(path: Path) -> None:
    """Create `path` and what is missing above it, readable by the owner only, so that it survives a power loss."""
    for missing in reversed(list(_missing(path))):
        missing.mkdir(mode=0o700, exist_ok=True)  # a child may be making it, too
        sync_directory(missing.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_private_file(path: Path, text: str) -> None:
    """Write a file that only its owner may read, complete and durable or not at all."""
    _write_unfinished(path, text.encode(), mode=0o600).replace(path)
    sync_directory(path.parent)


def write_new_file(path: Path, content: bytes, *, mode: int) -> None:
    """Write a file complete or not at all; FileExistsError if it is there.

    `sync_directory` makes the name durable as well.
    """
    unfinished = _write_unfinished(path, content, mode=mode)
    try:
        os.link(unfinished, path)
    finally:
        unfinished.unlink()


def _write_unfinished(path: Path, content: bytes, *, mode: int) -> Path:
    unfinished = path.with_name(path.name + UNFINISHED)
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return unfinished


def lock_directory(path: Path) -> int:
    """Take the directory for this process; DirectoryLocked if another has it.

    The kernel gives the lock back when the returned descriptor is closed or the process ends, however it ends.
    """
    descriptor = os.open(path / "process.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise DirectoryLocked(f"another process uses {path}") from None
    return descriptor


def _missing(path: Path) -> Iterator[Path]:
    while not path.exists():
        yield path
        path = path.parent
