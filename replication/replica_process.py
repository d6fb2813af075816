"""One replica as a process: what its last log line and its exit code say, and whether a restart can help.

======  ==========================================================================================
0       it was asked to end
1       the world failed (a full disk, a taken port, a locked folder): starting it again may help
70      it halted: going on, or starting again, would repeat the fault; docs/operations.md says what to do
75      an operator asked for a restart (``tally admin roll``): whoever keeps it running starts it again at once
======  ==========================================================================================

A journal or snapshots that are damaged when the replica starts are set aside, and the others give it all that it needs
(``replication.damaged_files``). So it is with a damaged archive, which keeps what is sound of it
(``replication.archive_salvage``).

An assertion outside the state machine is a bug of ours: the process ends with a traceback and code 1. Inside the
state machine it reaches this module as a Halt, since the same command would fail again.
"""

from __future__ import annotations

import logging
from typing import Final

import lmdb

from replication.agreement import Diverged
from replication.archive import ArchiveDamaged, ArchiveDiffers
from replication.config import Config, node_data_dir
from replication.damaged_files import RECOVERABLE, set_aside
from replication.halt import Halt
from replication.journal import JournalBelongsToAnother
from replication.journal_records import JournalDamaged, JournalError
from replication.node import run
from replication.pysyncobj_adapter import UnsupportedPysyncobj
from replication.replicated_log import SnapshotMissing
from replication.signing_key import SigningKeyDamaged
from replication.snapshots import SnapshotDamaged
from replication.supervisor import EXIT_HALTED

logger = logging.getLogger(__name__)

EXIT_FAILED: Final = 1
_HALTS: Final = (
    ArchiveDamaged,
    ArchiveDiffers,
    Diverged,
    JournalBelongsToAnother,
    JournalDamaged,
    SigningKeyDamaged,
    SnapshotDamaged,
    SnapshotMissing,
    UnsupportedPysyncobj,
)


def run_replica(config: Config, node_id: str) -> int:
    """Run until SIGTERM or SIGINT, or until the replica must not go on. Answers the exit code.

    ConfigError if the configuration or a secret cannot be used.
    """
    try:
        try:
            return run(config, node_id)
        except RECOVERABLE as damage:
            folder = set_aside(node_data_dir(config, node_id))
            logger.critical(
                "%s: %s. What was damaged is in %s now; %s begins anew and gets everything from the others",
                node_id,
                damage,
                folder,
                node_id,
            )
            return run(config, node_id)
    except Exception as fault:
        code = exit_code(fault)
        if code is None:
            raise
        if code == EXIT_HALTED:
            logger.critical("%s halted: %s", node_id, fault, exc_info=fault.__cause__)
        else:
            logger.critical("%s cannot go on: %s", node_id, fault)
        return code


def exit_code(fault: Exception) -> int | None:
    """What a replica's process exits with when it meets this. None for a bug of ours: it ends with a traceback."""
    if isinstance(fault, Halt):
        return EXIT_FAILED if isinstance(fault.__cause__, OSError | lmdb.Error) else EXIT_HALTED
    if isinstance(fault, _HALTS):
        return EXIT_HALTED
    return EXIT_FAILED if isinstance(fault, JournalError | OSError | lmdb.Error) else None
