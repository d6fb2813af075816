"""One hash over all rows: two databases with the same hash have the same read models, whatever keeps them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from blake3 import blake3
from sqlalchemy import Connection, select

from projections.schema import metadata

_ROWS_AT_ONCE: Final = 10_000


class TableHash(NamedTuple):
    table: str
    row_count: int
    digest: str


def table_hashes(connection: Connection) -> Iterator[TableHash]:
    """Of each table, by name: BLAKE3 over its rows in the order of their keys, each as a line of Python literals."""
    for name in sorted(metadata.tables):
        table = metadata.tables[name]
        query = select(table).order_by(*table.primary_key.columns)
        hasher, row_count = blake3(), 0
        with connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(query) as rows:
            for row in rows:
                hasher.update(f"{tuple(row)!r}\n".encode())
                row_count += 1
        yield TableHash(name, row_count, hasher.hexdigest())


def total_hash(tables: list[TableHash]) -> str:
    """Over all of them."""
    return blake3("".join(f"{one.table} {one.digest}\n" for one in tables).encode()).hexdigest()
