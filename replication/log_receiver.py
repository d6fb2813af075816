"""The follower's side of replication: taking entries and snapshots from a leader.

Entries are removed only where the leader's entry at the same index has another term, and never at or below the commit
index: a conflict there means that somebody broke a promise, and the replica halts. Whether a message is old or new
makes no difference; taking it twice changes nothing.

A snapshot is collected in memory, chunk by chunk, and only ever replaces a log that ends before it.
"""

import logging
from typing import NamedTuple

from replication.halt import Halt
from replication.journal import Journal
from replication.messages import AppendEntries, SnapshotChunk
from replication.snapshots import SnapshotDamaged, SnapshotMeta, verify

logger = logging.getLogger(__name__)


class Taken(NamedTuple):
    """What became of an append_entries.

    If `success`, our log equals the leader's before `next_index`, and up to `verified_index` this very message showed
    it. If not, the leader should try again from `next_index`.
    """

    success: bool
    next_index: int
    verified_index: int


def take_entries(journal: Journal, message: AppendEntries, commit_index: int) -> Taken:
    """Bring the log in line with the leader's message; Halt if it contradicts a committed entry."""
    prev_index = message.prev_index
    if prev_index > journal.last:
        return Taken(success=False, next_index=journal.last + 1, verified_index=0)
    # What is before our first entry was committed and compacted, so it equals the log of every later leader.
    if prev_index >= journal.first and journal.term_at(prev_index) != message.prev_term:
        if prev_index <= commit_index:
            raise Halt(f"the leader of term {message.term} contradicts our committed entry {prev_index}")
        return Taken(False, _start_of_conflict(journal, prev_index, commit_index), verified_index=0)
    for index, (term, command) in enumerate(message.entries, start=prev_index + 1):
        if index < journal.first:
            continue
        if index <= journal.last:
            if journal.term_at(index) == term:
                continue
            if index <= commit_index:
                raise Halt(f"the leader of term {message.term} would replace our committed entry {index}")
            journal.truncate_from(index)
        journal.add(command, index, term)
    verified_index = prev_index + len(message.entries)
    # Committed entries are in the log of every later leader: they agree without being looked at.
    return Taken(success=True, next_index=max(verified_index, commit_index) + 1, verified_index=verified_index)


def _start_of_conflict(journal: Journal, index: int, commit_index: int) -> int:
    """The first uncommitted entry of the conflicting term: skips a whole term per round trip."""
    term = journal.term_at(index)
    while index - 1 > commit_index and journal.term_at(index - 1) == term:
        index -= 1
    return index


class IncomingSnapshot:
    """Collects the chunks of one snapshot at a time."""

    def __init__(self) -> None:
        self._meta: SnapshotMeta | None = None
        self._chunks: list[bytes] = []

    def take(self, message: SnapshotChunk) -> bytes | None:
        """The whole snapshot if this was its last chunk, or None; see `next_number`."""
        if message.meta != self._meta:
            self._meta = message.meta
            self._chunks = []
        if message.number != len(self._chunks):
            return None
        self._chunks.append(message.data)
        if len(self._chunks) < message.meta.chunk_count:
            return None
        blob = b"".join(self._chunks)
        self.forget()
        try:
            verify(message.meta, blob)
        except SnapshotDamaged as error:
            logger.error("discarded a snapshot from the leader: %s", error)
            return None
        return blob

    @property
    def next_number(self) -> int:
        """The chunk to ask for next."""
        return len(self._chunks)

    def forget(self) -> None:
        """Drop what was collected."""
        self._meta = None
        self._chunks = []
