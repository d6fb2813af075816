"""What happens to the files of one replica: no space left, bytes that changed, ends that are gone, everything gone.

A small disk of its own is a tmpfs, which takes the right to mount (root, and a system that lets it). Without that
right a replica gets a limit on the size of its files instead (RLIMIT_FSIZE): another error of the system, at the same
places.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

SMALL_DISK_MIB: Final = 256
_FILLER: Final = "filler"
_PIECE_BYTES: Final = 64 * 1024


class SmallDisks:
    """A tmpfs at each of these folders, as long as the ``with`` block lasts.

    ``why_not``: empty, or why there are none.
    """

    def __init__(self, folders: list[Path]) -> None:
        self._folders = folders
        self._mounted: list[Path] = []
        self.why_not = ""

    def __enter__(self) -> SmallDisks:
        for folder in self._folders:
            folder.mkdir(parents=True, exist_ok=True)
            self.why_not = self.why_not or self._mount(folder)
        if self.why_not:
            self._unmount_all()
        return self

    def __exit__(self, *_exception: object) -> None:
        """What is in them stays, in ordinary folders."""
        self._unmount_all()

    def fill(self, folder: Path) -> None:
        """Take all the space that is left."""
        descriptor = os.open(folder / _FILLER, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            piece = bytes(_PIECE_BYTES)
            while piece:
                try:
                    os.write(descriptor, piece)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    piece = piece[: len(piece) // 2]
        finally:
            os.close(descriptor)

    def free(self, folder: Path) -> None:
        (folder / _FILLER).unlink(missing_ok=True)

    def _mount(self, folder: Path) -> str:
        if os.geteuid() != 0:
            return "only root may mount a small tmpfs"
        options = f"size={SMALL_DISK_MIB}m,mode=700"
        try:
            done = subprocess.run(
                ["mount", "-t", "tmpfs", "-o", options, "tally-chaos", str(folder)], capture_output=True, text=True
            )
        except OSError as error:
            return f"a tmpfs cannot be mounted: {error.strerror}"
        if done.returncode:
            first_line = (done.stderr.strip().splitlines() or [""])[0]
            return f"a tmpfs cannot be mounted: {first_line.rpartition(': ')[2]}"
        self._mounted.append(folder)
        return ""

    def _unmount_all(self) -> None:
        for folder in self._mounted:
            copy = folder.with_name(f"{folder.name}.copy")
            shutil.copytree(folder, copy)
            subprocess.run(["umount", str(folder)], check=True, capture_output=True)
            shutil.rmtree(folder)
            copy.rename(folder)
        self._mounted.clear()


def flip_byte(file: Path, chance: float) -> str:
    """Change one byte of a file. Answers what was done."""
    size_bytes = file.stat().st_size
    offset = int(chance * size_bytes)
    with file.open("r+b") as opened:
        opened.seek(offset)
        byte = opened.read(1)[0]
        opened.seek(offset)
        opened.write(bytes([byte ^ 1 << int(chance * 997) % 8]))
    return f"byte {offset} of {size_bytes} of {file.name} flipped"


def truncate(file: Path, chance: float) -> str:
    """Take the end of a file away. Answers what was done."""
    size_bytes = file.stat().st_size
    left_bytes = int(chance * size_bytes)
    os.truncate(file, left_bytes)
    return f"{file.name} cut from {size_bytes} to {left_bytes} bytes"


def remove_contents(folder: Path) -> None:
    """Empty a folder that may be the root of a mount."""
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
