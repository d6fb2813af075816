"""Writing many rows of one table at once: the newest state of each key.

SQLite takes the rows one by one from one prepared statement, which is its fastest way. PostgreSQL gets a whole column
in one parameter (``unnest``): one statement and one answer, however many rows there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Dialect, Table


class Upsert:
    """The statement for one table. With ``adds_only`` a key that is there already is an error (IntegrityError)."""

    def __init__(self, table: Table, dialect: Dialect, *, adds_only: bool) -> None:
        columns = [column.name for column in table.columns]
        keys = [column.name for column in table.primary_key.columns]
        self._by_column = dialect.name == "postgresql"
        if self._by_column:
            types = [column.type.compile(dialect).partition(" COLLATE")[0] for column in table.columns]
            source = f"SELECT * FROM unnest({', '.join(f'%s::{type_}[]' for type_ in types)})"
        else:
            source = f"VALUES ({', '.join('?' for _ in columns)})"
        self._statement = f"INSERT INTO {table.name} ({', '.join(columns)}) {source}"
        if not adds_only:
            others = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in keys)
            self._statement += f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {others}"

    def run(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Write rows, each key once, in the connection's transaction."""
        if self._by_column:
            connection.exec_driver_sql(self._statement, tuple(list(values) for values in zip(*rows, strict=True)))
        else:
            connection.exec_driver_sql(self._statement, list(rows))
