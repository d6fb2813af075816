"""The replicated log of one replica on disk: entries, term, vote, snapshot reference, commit index.

All changes are made in memory first. `sync()` writes everything that changed since the last sync in ONE fsynced LMDB
transaction: new entries, a truncation, a trim, term, vote and snapshot reference, so that no crash can separate them.
Whoever sends something that depends on a change waits for `sync()` (see `replication.poller`). `durable_index` says
how far the log on disk agrees with the log in memory.

Layout: in `log`, key = index (8 bytes, big endian), value = term, checksum, command; in `meta`, the records
`identity`, `incarnation`, `raft`, `membership` and `snapshot`, each with a checksum. Checksums are XXH3-64; an
entry's covers index and term too, so that an entry at the wrong place is damage as well. Trimming only moves the
recorded first index; the keys before it are deleted a few at a time by later syncs, because deleting a hundred thousand
at once would stall heartbeats.

Errors::

    JournalError
        JournalDamaged          what is on disk is not what was written; names the log index
        JournalLocked           another process uses this directory
        JournalBelongsToAnother written by another node or cluster
        JournalWriteFailed      a sync failed; the process must end
"""

import os
import struct
from pathlib import Path
from typing import overload

import lmdb
from pysyncobj.journal import Journal as PysyncobjJournal

from replication.disk import DISK, Disk, disk_failed
from replication.journal_records import (
    Entry,
    JournalDamaged,
    JournalError,
    SnapshotReference,
    seal,
    seal_entry,
    unseal,
    unseal_entry,
)
from replication.logged_memberships import LoggedMembership, LoggedMemberships
from replication.membership import INCARNATION_BYTES, LEGACY_INCARNATION
from replication.private_directory import DirectoryLocked, create_private_directory

__all__ = [
    "Entry",
    "Journal",
    "JournalBelongsToAnother",
    "JournalDamaged",
    "JournalError",
    "JournalLocked",
    "JournalWriteFailed",
    "SnapshotReference",
]

_RAFT = struct.Struct(">QQQ")  # term, commit index, first index; the vote follows
_SNAPSHOT = struct.Struct(">QQ")  # index, term
_TRIM_KEYS_PER_SYNC = 512
_PAGE_OVERHEAD_BYTES = 8192
_MIB = 1024 * 1024


class JournalLocked(JournalError):
    """Another process uses this directory."""


class JournalBelongsToAnother(JournalError):
    """The journal was written by another node or for another cluster."""


class JournalWriteFailed(JournalError):
    """A write or sync failed. What is on disk is unknown, so the process must end and recover by a restart."""


class Journal(PysyncobjJournal):  # type: ignore[misc]  # pysyncobj has no types
    """The journal in one directory, which this process alone may use."""

    def __init__(
        self,
        path: Path,
        *,
        cluster_id: bytes,
        node_id: str,
        map_size_bytes: int = 256 * _MIB,
        map_size_bytes_max: int = 1024 * 1024 * _MIB,
        sync: bool = True,
        disk: Disk = DISK,
        new_incarnation: bytes | None = None,
    ) -> None:
        """Open or create; a JournalError says why not. `sync=False`: nothing is forced to disk, a power loss may take
        everything.

        A journal that is created gets `new_incarnation`, or one that chance chooses.
        """
        self._path = Path(path)
        self._disk = disk
        self._map_size_bytes_max = map_size_bytes_max
        self._entries: list[Entry] = []
        self._term = 0
        self._vote: str | None = None
        self._commit_index = 1
        self._snapshot: SnapshotReference | None = None
        self._memberships = LoggedMemberships()
        self._membership_dirty = False
        self._incarnation = new_incarnation or os.urandom(INCARNATION_BYTES)
        self._meta_dirty = False
        self._dirty_from: int | None = None
        self._write_failed = False
        create_private_directory(self._path)
        try:
            self._lock_fd = self._disk.lock_directory(self._path)
        except DirectoryLocked as error:
            raise JournalLocked(str(error)) from None
        try:
            self._environment = self._open_environment(map_size_bytes, sync)
            try:
                self._load(cluster_id, node_id)
            except BaseException:
                self._environment.close()
                raise
        except BaseException:
            self._disk.close(self._lock_fd)
            raise

    # What is in the log

    @property
    def first(self) -> int:
        """Index of the oldest entry. It is kept to check what follows it; it need not be replayable."""
        return self._entries[0][1]

    @property
    def last(self) -> int:
        """Index of the newest entry."""
        return self._entries[-1][1]

    @property
    def durable_index(self) -> int:
        """Highest index up to which disk and memory agree; 0 if there is none."""
        if self._dirty_from is None:
            return self._disk_last
        return min(self._disk_last, self._dirty_from - 1)

    @property
    def snapshot(self) -> SnapshotReference | None:
        """The snapshot that stands for the beginning of the log."""
        return self._snapshot

    @property
    def incarnation(self) -> bytes:
        """Which life of this node the journal belongs to: another one whenever it is created anew."""
        return self._incarnation

    @property
    def membership(self) -> LoggedMembership | None:
        """The membership that holds now, committed or not; None before this node knows of any."""
        return self._memberships.latest

    @property
    def foundation(self) -> bytes:
        """The membership at log index 1, encoded; empty if the log begins later or nothing was founded yet."""
        return self._memberships.at(1)

    def membership_at(self, index: int) -> bytes:
        """The membership that held at an entry, encoded; empty if that is not known."""
        return self._memberships.at(index)

    def entry(self, index: int) -> Entry:
        """The entry at a log index between `first` and `last`."""
        position = index - self._entries[0][1]
        assert position >= 0, f"entry {index} is before the first, {self.first}"
        return self._entries[position]

    def term_at(self, index: int) -> int:
        """The term of the entry at a log index between `first` and `last`."""
        return self.entry(index)[2]

    # Changes, in memory until the next sync

    @property
    def dirty(self) -> bool:
        """Whether anything changed since the last sync. The commit index alone does not count."""
        return self._meta_dirty or self._dirty_from is not None

    @property
    def meta_dirty(self) -> bool:
        """Whether term, vote or snapshot reference changed since the last sync."""
        return self._meta_dirty

    def add(self, command: bytes, idx: int, term: int) -> None:
        """Append an entry; `idx` must be the next one. (The parameter names are pysyncobj's.)"""
        assert not self._entries or idx == self.last + 1, f"entry {idx} does not follow {self.last}"
        assert not self._entries or term >= self._entries[-1][2], f"term {term} at {idx} goes backwards"
        self._entries.append((command, idx, term))
        self._memberships.added(command, idx)
        self._mark_dirty(idx)

    def truncate_from(self, index: int) -> None:
        """Remove the entry at `index` and all after it. Never below the commit index."""
        assert index > self._commit_index, f"truncation at {index} would remove committed entries"
        assert self.first < index <= self.last, f"no entry {index} to truncate in {self.first}..{self.last}"
        del self._entries[index - self.first :]
        self._memberships.truncated_from(index)
        self._mark_dirty(index)

    def found(self, membership: bytes) -> None:
        """Begin the log with this membership; it must have none yet."""
        assert self._memberships.latest is None, "a cluster is founded once"
        self._begin_membership(self.first, membership)

    def compact(self, snapshot: SnapshotReference, first_index: int) -> None:
        """Record that `snapshot` is on disk and forget the entries before `first_index`."""
        assert self.first <= first_index <= snapshot.log_index <= self.last, (first_index, snapshot)
        assert self.term_at(snapshot.log_index) == snapshot.log_term, snapshot
        self._snapshot = snapshot
        self._meta_dirty = True
        del self._entries[: first_index - self.first]
        self._membership_dirty |= self._memberships.compacted_to(first_index)

    def reset_to(self, snapshot: SnapshotReference, placeholder: bytes, membership: bytes) -> None:
        """Forget the whole log: `snapshot`, which is on disk, replaces it. `placeholder` stands at its index.

        `membership` is what held there; if the snapshot does not say, the one that is known stays.
        """
        membership = membership or self._memberships.at(snapshot.log_index)
        if membership:
            self._begin_membership(snapshot.log_index, membership)
        self._snapshot = snapshot
        self._meta_dirty = True
        self._entries = [(placeholder, snapshot.log_index, snapshot.log_term)]
        self._dirty_from = 0
        self._commit_index = max(self._commit_index, snapshot.log_index)

    def sync(self) -> None:
        """Make every change durable in one transaction; JournalWriteFailed ends the process' life."""
        if not self.dirty:
            return
        if self._write_failed:
            raise JournalWriteFailed(f"an earlier write to {self._path} failed; it is never repeated")
        assert self._entries, "a journal is never empty"
        assert self._commit_index <= self.last, f"commit index {self._commit_index} beyond {self.last}"
        try:
            self._write()
        except (lmdb.Error, OSError) as error:
            # After a failed fsync the kernel may have dropped the dirty pages: a second one would succeed
            # without having written anything.
            self._write_failed = True
            raise JournalWriteFailed(f"cannot write the journal in {self._path}: {error}") from error
        self._dirty_from = None
        self._meta_dirty = False
        self._membership_dirty = False

    def close(self) -> None:
        """Release files and lock. Changes that were not synced are lost, as in a crash."""
        self._environment.close()
        self._disk.close(self._lock_fd)

    # The rest of pysyncobj's journal interface. Positions count from `first`.

    @overload
    def __getitem__(self, item: int) -> Entry: ...
    @overload
    def __getitem__(self, item: slice) -> list[Entry]: ...
    def __getitem__(self, item: int | slice) -> Entry | list[Entry]:
        return self._entries[item]

    def __len__(self) -> int:
        return len(self._entries)

    def getCurrentTerm(self) -> int:
        """The highest term this replica has seen."""
        return self._term

    def getVotedForNodeId(self) -> str | None:
        """Whom this replica voted for in the current term."""
        return self._vote

    def setCurrentTerm(self, term: int, votedForNodeId: str | None) -> None:
        """Change term and vote together."""
        assert term >= self._term, f"term {term} after {self._term}"
        same_term = term == self._term
        assert not same_term or self._vote in (None, votedForNodeId), f"a second vote in term {term}"
        self._term, self._vote = term, votedForNodeId
        self._meta_dirty = True

    def getRaftCommitIndex(self) -> int:
        """The highest index known to be committed; it may lag behind after a restart."""
        return self._commit_index

    def setRaftCommitIndex(self, raftCommitIndex: int) -> None:
        """Remember the commit index; it becomes durable along with the next other change."""
        assert raftCommitIndex >= self._commit_index, f"commit {raftCommitIndex} after {self._commit_index}"
        self._commit_index = raftCommitIndex

    def _destroy(self) -> None:
        self.close()

    # Opening

    def _open_environment(self, map_size_bytes: int, sync: bool) -> lmdb.Environment:
        data_file = self._path / "data.mdb"
        existed = data_file.exists()
        present_bytes = data_file.stat().st_size if existed else 0
        if existed and not present_bytes:
            # LMDB would take an empty file for a new one, and this replica would forget how it voted.
            raise JournalDamaged(f"{data_file} is empty; remove the directory only if this node never ran")
        try:
            map_size_bytes = max(map_size_bytes, present_bytes)
            environment = self._disk.open_environment(self._path, map_size=map_size_bytes, sync=sync)
        except lmdb.Error as error:
            kind = JournalWriteFailed if disk_failed(error) else JournalDamaged
            raise kind(f"cannot open the journal in {self._path}: {error}") from error
        if existed:
            _check_length(environment, data_file, present_bytes)
        # The file's name must survive a power loss too, or all that was acknowledged would be gone. Whoever made the
        # file may have been killed before this, so that it is there says nothing.
        self._disk.sync_directory(self._path)
        self._map_size_bytes = environment.info()["map_size"]
        self._page_bytes = environment.stat()["psize"]
        return environment

    def _load(self, cluster_id: bytes, node_id: str) -> None:
        try:
            self._log = self._environment.open_db(b"log")
            self._meta = self._environment.open_db(b"meta")
            self._check_identity(cluster_id, node_id)
            with self._environment.begin() as transaction:
                first_index = self._load_meta(transaction)
                self._load_entries(transaction, first_index)
        except lmdb.Error as error:
            kind = JournalWriteFailed if disk_failed(error) else JournalDamaged
            raise kind(f"cannot read the journal in {self._path}: {error}") from error

    def _check_identity(self, cluster_id: bytes, node_id: str) -> None:
        expected = cluster_id + node_id.encode()
        with self._environment.begin(write=True) as transaction:
            value = transaction.get(b"identity", db=self._meta)
            if value is None:
                if transaction.stat(self._log)["entries"] or transaction.stat(self._meta)["entries"]:
                    raise JournalDamaged(f"the journal in {self._path} has no identity record")
                transaction.put(b"identity", seal(expected), db=self._meta)
                transaction.put(b"incarnation", seal(self._incarnation), db=self._meta)
                return
            self._load_incarnation(transaction)
        found = unseal(bytes(value), "identity")
        if found != expected:
            found_cluster, found_node = found[: len(cluster_id)], found[len(cluster_id) :].decode()
            raise JournalBelongsToAnother(
                f"the journal in {self._path} was written by node {found_node!r} of cluster "
                f"{found_cluster.hex()}, this is node {node_id!r} of cluster {cluster_id.hex()}"
            )

    def _load_incarnation(self, transaction: lmdb.Transaction) -> None:
        found = transaction.get(b"incarnation", db=self._meta)
        if found is not None:
            self._incarnation = unseal(bytes(found), "incarnation")
            return
        # An earlier build wrote none. If that journal was never used, it is as good as a new one.
        if transaction.get(b"raft", db=self._meta) is not None:
            self._incarnation = LEGACY_INCARNATION
        transaction.put(b"incarnation", seal(self._incarnation), db=self._meta)

    def _load_meta(self, transaction: lmdb.Transaction) -> int:
        value = transaction.get(b"snapshot", db=self._meta)
        if value is not None:
            self._snapshot = SnapshotReference(*_SNAPSHOT.unpack(unseal(bytes(value), "snapshot reference")))
        value = transaction.get(b"membership", db=self._meta)
        if value is not None:
            self._memberships.begin_from_record(unseal(bytes(value), "membership"))
        value = transaction.get(b"raft", db=self._meta)
        if value is None:
            if transaction.stat(self._log)["entries"]:
                raise JournalDamaged(f"the journal in {self._path} has entries but no term and vote")
            return 0
        record = unseal(bytes(value), "term and vote")
        self._term, self._commit_index, first_index = _RAFT.unpack_from(record)
        self._vote = record[_RAFT.size :].decode() or None
        return int(first_index)

    def _load_entries(self, transaction: lmdb.Transaction, first_index: int) -> None:
        self._disk_first = first_index
        self._disk_last = 0
        expected = first_index
        for key, value in transaction.cursor(db=self._log):
            index = int.from_bytes(key, "big")
            if index < first_index:
                self._disk_first = min(self._disk_first, index)
                continue
            if index != expected:
                raise JournalDamaged(f"log index {expected} is missing, the next one is {index}", expected)
            self._entries.append(unseal_entry(index, bytes(value)))
            self._memberships.loaded(self._entries[-1][0], index)
            self._disk_last = index
            expected += 1
        if first_index and not self._entries:
            raise JournalDamaged(f"log index {first_index} is missing, the log is empty", first_index)
        if self._entries and self._commit_index > self.last:
            raise JournalDamaged(
                f"log index {self.last + 1} is missing, {self._commit_index} was committed", self.last + 1
            )

    # Writing

    def _write(self) -> None:
        first, last = self.first, self.last
        changed_from = self._dirty_from
        self._reserve(changed_from)
        with self._environment.begin(write=True) as transaction:
            if changed_from is not None:
                self._delete_changed(transaction, changed_from)
                for entry in self._entries[max(0, changed_from - first) :]:
                    transaction.put(entry[1].to_bytes(8, "big"), seal_entry(*entry), db=self._log, append=True)
            disk_first = self._delete_trimmed(transaction, changed_from)
            record = _RAFT.pack(self._term, self._commit_index, first) + (self._vote or "").encode()
            transaction.put(b"raft", seal(record), db=self._meta)
            if self._membership_dirty:
                transaction.put(b"membership", seal(self._memberships.first_as_record()), db=self._meta)
            if self._snapshot is not None:
                transaction.put(b"snapshot", seal(_SNAPSHOT.pack(*self._snapshot)), db=self._meta)
        self._disk_first = disk_first
        self._disk_last = last

    def _delete_changed(self, transaction: lmdb.Transaction, changed_from: int) -> None:
        """Remove what is on disk at and after the first changed index: it was truncated or replaced."""
        for index in range(max(changed_from, self._disk_first), self._disk_last + 1):
            transaction.delete(index.to_bytes(8, "big"), db=self._log)

    def _delete_trimmed(self, transaction: lmdb.Transaction, changed_from: int | None) -> int:
        """Remove some of the keys before the first entry; returns the first key that is left."""
        if changed_from is not None and changed_from <= self._disk_first:
            return self.first
        end = min(self.first, self._disk_first + _TRIM_KEYS_PER_SYNC)
        for index in range(self._disk_first, end):
            transaction.delete(index.to_bytes(8, "big"), db=self._log)
        return max(self._disk_first, end)

    def _reserve(self, changed_from: int | None) -> None:
        """Grow the map before this transaction could fill it."""
        written_bytes = 0
        if changed_from is not None:
            for command, _index, _term in self._entries[max(0, changed_from - self.first) :]:
                written_bytes += len(command) + _PAGE_OVERHEAD_BYTES
        used_bytes = (self._environment.info()["last_pgno"] + 1) * self._page_bytes
        needed_bytes = used_bytes + written_bytes + 16 * _MIB
        if needed_bytes <= self._map_size_bytes:
            return
        if needed_bytes > self._map_size_bytes_max:
            raise lmdb.MapFullError(
                f"{used_bytes} bytes are used of at most {self._map_size_bytes_max}: snapshots do not keep up"
            )
        grown_bytes = max(needed_bytes + 64 * _MIB, self._map_size_bytes * 2)
        self._map_size_bytes = min(grown_bytes, self._map_size_bytes_max)
        self._environment.set_mapsize(self._map_size_bytes)

    def _begin_membership(self, index: int, membership: bytes) -> None:
        self._memberships.begin(index, membership)
        self._membership_dirty = True
        self._meta_dirty = True

    def _mark_dirty(self, index: int) -> None:
        if self._dirty_from is None or index < self._dirty_from:
            self._dirty_from = index


def _check_length(environment: lmdb.Environment, data_file: Path, present_bytes: int) -> None:
    """A file shorter than its own page count would kill the process at the first read beyond its end."""
    expected_bytes = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    if present_bytes < expected_bytes:
        environment.close()
        raise JournalDamaged(f"{data_file} is cut short: it must have {expected_bytes} bytes")
