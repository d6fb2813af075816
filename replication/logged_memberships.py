"""Which membership holds where in a log.

A membership is an entry of its own kind and holds from the moment it is appended, committed or not: that is what makes
majorities of neighbouring memberships overlap. If the entry is truncated, the one before it holds again. What held at
the log's first entry is no entry of this log any more (or never was: the founding one), so the journal keeps it as a
record of its own, and so do snapshots.
"""

import struct
from typing import NamedTuple

from replication.journal_records import MEMBERSHIP

_INDEX = struct.Struct(">Q")


class LoggedMembership(NamedTuple):
    """``encoded`` (`replication.membership`) holds from the entry at ``log_index`` on."""

    log_index: int
    encoded: bytes


class LoggedMemberships:
    """The membership at the beginning of a log, and those that its entries brought. Oldest first."""

    def __init__(self) -> None:
        self._known: list[LoggedMembership] = []

    @property
    def latest(self) -> LoggedMembership | None:
        """The one that holds now; None before the cluster is founded."""
        return self._known[-1] if self._known else None

    def at(self, index: int) -> bytes:
        """What held at that entry; empty if that is not known."""
        return next((known.encoded for known in reversed(self._known) if known.log_index <= index), b"")

    def begin(self, index: int, encoded: bytes) -> None:
        """Forget all others: this one holds at `index`, where the log begins."""
        self._known = [LoggedMembership(index, encoded)]

    def added(self, command: bytes, index: int) -> None:
        """An entry was appended, of whatever kind."""
        if command[:1] == MEMBERSHIP:
            self._known.append(LoggedMembership(index, command[1:]))

    def truncated_from(self, index: int) -> None:
        """The entry at `index` and all after it are gone."""
        while self._known and self._known[-1].log_index >= index:
            self._known.pop()

    def compacted_to(self, first_index: int) -> bool:
        """The log begins at `first_index` now. Whether another membership stands at its beginning than before."""
        obsolete = sum(known.log_index <= first_index for known in self._known[1:])
        del self._known[:obsolete]
        return obsolete > 0

    def first_as_record(self) -> bytes:
        """The membership at the beginning of the log as the journal keeps it; empty if there is none."""
        return _INDEX.pack(self._known[0].log_index) + self._known[0].encoded if self._known else b""

    def begin_from_record(self, record: bytes) -> None:
        """Take over what `first_as_record` returned."""
        (index,) = _INDEX.unpack_from(record)
        self.begin(index, record[_INDEX.size :])

    def loaded(self, command: bytes, index: int) -> None:
        """An entry was read from the disk; the one at the beginning of the log is in its record already."""
        if not self._known or index > self._known[0].log_index:
            self.added(command, index)
