"""Read-only access to the database of the projections, each answer from one consistent snapshot.

A snapshot sees one state from its first statement to its end, whatever the projector writes meanwhile, so
``as_of_sequence`` is true of every row of an answer. It has a time limit inside the database, so that none is held (and
with it what must be kept for it) for ever.
"""

from __future__ import annotations

import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from sqlalchemy import Executable, event
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError

from gateway.errors import ApiError, QueryUnavailable
from projections.database import DatabaseError, is_sqlite, reading_engine
from projections.migrations import newest_version, version

_SQLITE_STEPS_BETWEEN_LOOKS: Final = 20_000  # some milliseconds of work
_INDEX: Final = "tally_index"
_FROM: Final = re.compile(r"\bFROM (\w+)")
_Statement = TypeVar("_Statement", bound=Executable)


class QueryTooSlow(ApiError):
    status = 503

    def __init__(self, limit_s: float) -> None:
        super().__init__(
            "QUERY_TOO_SLOW",
            f"This was given up after {limit_s:g} s. Ask for a shorter time, one market or one account.",
        )


class Database:
    """The database at a URL of :func:`projections.database.database_url`. Threads may share it."""

    def __init__(self, url: URL) -> None:
        self._url = url
        self._engine: Engine | None = None
        self._opening = threading.Lock()

    @contextmanager
    def snapshot(self, limit_s: float) -> Iterator[Connection]:
        """One state of the database.

        QueryUnavailable if there is none, or not one that this version can read; QueryTooSlow if it is needed for
        longer than ``limit_s``.
        """
        engine = self._open()
        until_s = time.monotonic() + limit_s
        try:
            with engine.connect() as connection:
                _limit(connection, until_s)
                try:
                    yield connection
                finally:
                    _unlimit(connection)
        except DBAPIError as error:
            if time.monotonic() >= until_s:
                raise QueryTooSlow(limit_s) from error
            if isinstance(error, OperationalError):
                raise QueryUnavailable(f"The history's database does not answer: {error.orig}.") from error
            raise

    def close(self) -> None:
        if self._engine is not None:
            self._engine.dispose()

    def _open(self) -> Engine:
        """The engine, once the tables are there as this version knows them."""
        with self._opening:
            if self._engine is None:
                try:
                    engine = reading_engine(self._url)
                    with engine.connect() as connection:
                        found, needed = version(connection), newest_version()
                except DatabaseError as error:
                    raise QueryUnavailable(f"There is no history yet: {error}.") from None
                except OperationalError as error:
                    raise QueryUnavailable(f"The history's database does not answer: {error.orig}.") from error
                if found != needed:
                    engine.dispose()
                    raise QueryUnavailable(
                        f"The history's tables have version {found or 'none'}, this program reads {needed}: "
                        "start `tally projector` of the same version of Tallystick."
                    )
                if is_sqlite(self._url):
                    event.listen(engine, "before_cursor_execute", _name_the_index, retval=True)
                self._engine = engine
            return self._engine


def by_index(statement: _Statement, index: str) -> _Statement:
    """Have SQLite read the table of a statement by this index, or fail; "" leaves the choice to it.

    SQLite knows nothing of how many rows a group or an account has unless somebody has run ANALYZE, and takes the
    primary key of a group, which is all of its rows, for as good as an account's index. PostgreSQL counts by itself.
    """
    return statement.execution_options(**{_INDEX: index}) if index else statement


def _name_the_index(
    _connection: object, _cursor: object, statement: str, parameters: Any, context: Any, _many: bool
) -> tuple[str, Any]:
    """SQLAlchemy has no words for INDEXED BY."""
    index = context.execution_options.get(_INDEX) if context is not None else None
    return _FROM.sub(rf"FROM \1 INDEXED BY {index}", statement, count=1) if index else statement, parameters


def _limit(connection: Connection, until_s: float) -> None:
    raw: Any = connection.connection.dbapi_connection
    if isinstance(raw, sqlite3.Connection):
        raw.set_progress_handler(lambda: time.monotonic() >= until_s, _SQLITE_STEPS_BETWEEN_LOOKS)
    else:
        limit_ms = max(1, int((until_s - time.monotonic()) * 1_000))
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {limit_ms}")


def _unlimit(connection: Connection) -> None:
    raw: Any = connection.connection.dbapi_connection
    if isinstance(raw, sqlite3.Connection):
        raw.set_progress_handler(None, 0)
