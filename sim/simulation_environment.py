"""LMDB environments on a simulated disk: the real ones, watched where they commit."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol

import lmdb

from sim.simulation_journal_view import JournalView, Write

DATA_FILE: Final = "data.mdb"
_RECORDS: Final = b"records"  # the database whose record makes a snapshot exist
_JOURNAL: Final = "journal"


class _Disk(Protocol):
    """What an environment asks of the disk below it (`sim.simulation_disk`)."""

    journal: JournalView

    @property
    def is_full(self) -> bool: ...

    def at_point(self, name: str) -> None: ...

    def wait(self) -> None: ...

    def sync_fails(self) -> bool: ...

    def write_fails(self) -> bool: ...

    def cut_off_commit(self, path: Path, before: bytes, after: bytes) -> bool: ...

    def forget_environment(self, environment: Environment) -> None: ...


class CutOff(BaseException):
    """The process ended at this point of its work; nothing of the replica's may catch it."""


class Environment:
    """In place of an `lmdb.Environment`. ``sync`` is what the replica asked for; the files are in memory anyway."""

    def __init__(self, disk: _Disk, path: Path, environment: lmdb.Environment, *, sync: bool) -> None:
        self.is_journal = path.name == _JOURNAL
        self._disk = disk
        self.path = path
        self._environment = environment
        self._names: dict[Any, bytes] = {}
        # Without sync nothing becomes durable: a power loss brings back what was there when it was opened.
        self._before = None if sync else self._data()

    def begin(self, *, db: Any = None, write: bool = False, buffers: Any = False) -> Any:
        if not write:
            return self._environment.begin(db=db, buffers=buffers)
        return _WriteTransaction(self, self._environment.begin(db=db, write=True))

    def open_db(self, name: bytes, txn: Any = None) -> Any:
        transaction = txn.real if isinstance(txn, _WriteTransaction) else txn
        database = self._environment.open_db(name, txn=transaction)
        self._names[database] = name
        return database

    def name_of(self, database: Any) -> bytes:
        return self._names[database]

    def info(self) -> Any:
        return self._environment.info()

    def stat(self) -> Any:
        return self._environment.stat()

    def set_mapsize(self, size_bytes: int) -> None:
        self._environment.set_mapsize(size_bytes)

    def close(self) -> None:
        self._environment.close()
        self._disk.forget_environment(self)

    def abandon(self, *, power_lost: bool) -> None:
        """The process is gone without having closed it."""
        self.close()
        if power_lost and self._before is not None:
            (self.path / DATA_FILE).write_bytes(self._before)

    def commit(self, transaction: lmdb.Transaction, writes: list[Write]) -> None:
        """Commit and sync, or what comes of it."""
        disk = self._disk
        publishes = any(database == _RECORDS for database, _, _ in writes)
        if disk.is_full:
            transaction.abort()
            raise lmdb.DiskError("simulated: no space left on the disk")
        if disk.write_fails():
            transaction.abort()
            raise lmdb.Error("simulated: a page could not be written")
        before_point, after_point = ("before-fsync", "after-fsync") if self.is_journal else ("in-snapshot", "")
        if publishes:
            before_point, after_point = "before-publish", "after-publish"
        disk.wait()
        fails = disk.sync_fails()
        try:
            disk.at_point(before_point)
        except CutOff:
            self._cut_off(transaction, writes)
            raise
        if fails:
            self._cut_off(transaction, writes)
            raise lmdb.Error("simulated: the sync failed")
        transaction.commit()
        if self.is_journal and self._before is None:
            disk.journal.take(writes)
        if after_point:
            disk.at_point(after_point)

    def _cut_off(self, transaction: lmdb.Transaction, writes: list[Write]) -> None:
        before = self._data()
        transaction.commit()
        complete = self._disk.cut_off_commit(self.path, before, self._data())
        if complete and self.is_journal:
            self._disk.journal.take(writes)

    def _data(self) -> bytes:
        return (self.path / DATA_FILE).read_bytes()


class _WriteTransaction:
    """In place of a write transaction that is used in a ``with`` block: notes what is written."""

    def __init__(self, environment: Environment, real: lmdb.Transaction) -> None:
        self.real = real
        self.stat = real.stat
        self._environment = environment
        self._writes: list[Write] = []
        self._deletes = False

    def put(self, key: bytes, value: bytes, *, db: Any, append: bool = False) -> bool:
        self._writes.append((self._environment.name_of(db), key, value))
        return bool(self.real.put(key, value, db=db, append=append))

    def delete(self, key: bytes, *, db: Any) -> bool:
        self._writes.append((self._environment.name_of(db), key, None))
        return bool(self.real.delete(key, db=db))

    def cursor(self, *, db: Any) -> lmdb.Cursor:
        """A cursor of a writer is there to delete."""
        self._deletes = True
        return self.real.cursor(db=db)

    def get(self, key: bytes, *, db: Any) -> Any:
        return self.real.get(key, db=db)

    def __enter__(self) -> _WriteTransaction:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        if kind is None and (self._writes or self._deletes):
            self._environment.commit(self.real, self._writes)
        elif kind is None:
            self.real.commit()  # LMDB writes nothing
        else:
            self.real.abort()
