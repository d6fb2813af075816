"""What becomes of a replica whose journal or snapshots are damaged: they are set aside, and it begins anew.

Journal and snapshots belong together, so both are moved into a folder beside them, where a person can look at them.
What is left is a node without its disk (docs/adr/0016): it learns, gets everything from the others, and votes again
once the log says so. The archive stays. All that is in it was committed, and what comes from the others is compared
with it.

As long as a folder has an archive or damaged files, its node founds no cluster, not even together with others that lost
everything as well: a person must say that what was there is given up, by moving it away.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from replication.archive import list_segments
from replication.journal_records import JournalDamaged
from replication.private_directory import create_private_directory, sync_directory
from replication.replicated_log import SnapshotMissing
from replication.snapshots import SnapshotDamaged

RECOVERABLE: Final = (JournalDamaged, SnapshotDamaged, SnapshotMissing)
"""Damage that is found when a replica starts, and that the others can mend."""

_SET_ASIDE: Final = "damaged-"
_MOVED: Final = ("journal", "snapshots")


def has_earlier_data(data_dir: Path) -> bool:
    """Whether the folder of a replica has an archive, or files that were set aside."""
    return bool(list_segments(data_dir / "archive")) or any(data_dir.glob(f"{_SET_ASIDE}*"))


def set_aside(data_dir: Path) -> Path:
    """Move journal and snapshots away. Answers where they are now; OSError if that cannot be done."""
    number = 1
    while (folder := data_dir / f"{_SET_ASIDE}{number}").exists():
        number += 1
    create_private_directory(folder)
    for name in _MOVED:
        if (data_dir / name).exists():
            (data_dir / name).rename(folder / name)
    sync_directory(folder)
    sync_directory(data_dir)
    return folder
