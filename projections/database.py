"""The database of the read models: SQLite in a file, or PostgreSQL.

One process writes (``projections.store``), any number read, and readers never wait for the writer: SQLite runs in
WAL mode, PostgreSQL always works that way. What a reader sees within one transaction is of one moment.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

_SQLITE: Final = "sqlite"
_DRIVERS: Final = {_SQLITE: "sqlite+pysqlite", "postgresql": "postgresql+psycopg"}
_BUSY_TIMEOUT_MS: Final = 10_000
_PAGE_CACHE_KIB: Final = 65_536


class DatabaseError(Exception):
    """The database cannot be used. The text is one sentence that says why and what to do."""


def database_url(text: str) -> URL:
    """Read ``sqlite:///FILE`` (four slashes for an absolute path) or ``postgresql://USER@HOST:PORT/NAME``.

    DatabaseError if it is neither.
    """
    try:
        url = make_url(text)
    except ArgumentError:
        url = None
    if url is None or url.get_backend_name() not in _DRIVERS or not url.database:
        raise DatabaseError(f"{text!r} is no database: use sqlite:///FILE or postgresql://USER@HOST:PORT/NAME")
    return url.set(drivername=_DRIVERS[url.get_backend_name()])


def sqlite_url(file: Path) -> URL:
    return URL.create(_DRIVERS[_SQLITE], database=str(file.absolute()))


def is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == _SQLITE


def shown(url: URL) -> str:
    """As a person would write it, without a password."""
    return url.set(drivername=url.get_backend_name()).render_as_string(hide_password=True)


def writing_engine(url: URL) -> Engine:
    """For the one process that writes. Connects when it is first used.

    SQLite does not wait for the disk at each commit (``synchronous=NORMAL``). A power loss may take the last
    transactions back, whole and in order; rows and position go back together, and what is missing is read again.
    """
    return _engine(url, "BEGIN IMMEDIATE", "PRAGMA synchronous=NORMAL")


def reading_engine(url: URL) -> Engine:
    """For those that read: what they would write is refused. DatabaseError if there is no such file."""
    if is_sqlite(url):
        if not Path(url.database or "").exists():
            raise DatabaseError(f"{url.database} does not exist: `tally projector` makes and fills it")
        return _engine(url, "BEGIN", "PRAGMA query_only=ON")
    return create_engine(
        url, connect_args={"options": "-c default_transaction_read_only=on"}, pool_pre_ping=True
    ).execution_options(isolation_level="REPEATABLE READ")


def _engine(url: URL, begin: str, pragma: str) -> Engine:
    if not is_sqlite(url):
        return create_engine(url)
    engine = create_engine(url, connect_args={"timeout": _BUSY_TIMEOUT_MS // 1_000})

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _record: object) -> None:
        # Transactions begin where we say so, below: Python would leave out those around changes of the schema.
        connection.isolation_level = None
        for line in ("PRAGMA journal_mode=WAL", pragma, f"PRAGMA cache_size=-{_PAGE_CACHE_KIB}"):
            connection.execute(line)

    @event.listens_for(engine, "begin")
    def begun(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    return engine
