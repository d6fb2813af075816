"""Rows and position in one transaction: what makes the read models exactly the log, up to their position.

A transaction moves a group's position from where it was to behind the entries that its rows were made of, or does
nothing. So whoever is killed, at whatever step, goes on from the position, and what is delivered again is skipped by it
(``projections.group_fold``). One process writes: SQLite's file has a lock beside it, in PostgreSQL the
connection that writes holds an advisory lock, so that whoever loses the one has lost the other.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any, Final, Self

from sqlalchemy import Connection, Select, Table, insert, select, text, update
from sqlalchemy.engine import URL

from engine.types import OPEN, PENDING, SALE_ANNOUNCED, SALE_OPEN, WAITING
from projections import kinds, migrations, schema
from projections.candles import INTERVALS, MINUTE_S, opening_ns
from projections.database import DatabaseError, is_sqlite, writing_engine
from projections.group_fold import GroupFold, Position, beginning
from projections.market_data import window_opens_ns
from projections.rows import (
    ADDED_ONLY,
    AccountRow,
    AssetRow,
    BalanceRow,
    CandleRow,
    Kept,
    MarketRow,
    OrderRow,
    Rows,
    SaleRow,
    TickerRow,
    TransferRow,
    VolumeRow,
)
from projections.upsert import Upsert
from projections.volumes import first_day_kept

_LOCK_KEY: Final = 0x7461_6C6C_7970_726A  # of PostgreSQL's advisory lock: "tallyprj"
# Statuses in which a transfer or a withdrawal waits for a decision, whatever its kind: PENDING, or APPROVED to be paid.
_APPROVED_WITHDRAWAL: Final = (kinds.WITHDRAWAL, 1)


class AnotherProjectorRuns(DatabaseError):
    """Somebody else writes to this database."""


class PositionMoved(DatabaseError):
    """The position is not where this process left it: somebody else has written."""


class Store:
    """The tables, locked for this process and at this version of the schema until the ``with`` block ends."""

    def __init__(self, url: URL) -> None:
        """DatabaseError if it cannot be used, sqlalchemy's DBAPIError if it does not answer."""
        self._url = url
        self._lock_file: int | None = None
        if is_sqlite(url):
            self._lock_file = _lock_beside(Path(url.database or ""))
        self._engine = writing_engine(url)
        try:
            self._connection = self._engine.connect()
            try:
                self._lock_and_upgrade()
            except BaseException:
                self._connection.close()
                raise
        except BaseException:
            self._release()
            raise
        self._upserts = {
            name: Upsert(schema.metadata.tables[name], self._connection.dialect, adds_only=name in ADDED_ONLY)
            for name in Rows._fields
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Let another process write. Nothing of a transaction under way is kept."""
        if not self._connection.closed:
            self._connection.invalidate()
            self._connection.close()
            self._release()

    def load(self, group_name: str) -> GroupFold:
        """What a group's fold goes on from; one that is new here begins at the beginning."""
        with self._connection.begin():
            position = self._position(group_name)
            if not position.entry_count:
                return GroupFold(position)
            return GroupFold(position, self._kept(position))

    def write(self, before: Position, after: Position, rows: Rows) -> None:
        """Bring the tables from one position to another. PositionMoved if they are not at ``before``."""
        positions = schema.positions
        with self._connection.begin():
            moved = self._connection.execute(
                update(positions)
                .where(positions.c.group_id == before.group_id, positions.c.chain == before.chain)
                .values(after._asdict())
            )
            if moved.rowcount != 1:
                raise PositionMoved(f"the position of group {before.group_name} is not {before.sequence} any more")
            for name, changed in rows.by_table():
                if changed:
                    self._upserts[name].run(self._connection, changed)

    def empty(self) -> None:
        """Make all tables anew, in one transaction: they have no rows then, and no group."""
        with self._connection.begin():
            for table in (*schema.metadata.sorted_tables, "alembic_version"):
                self._connection.execute(text(f"DROP TABLE IF EXISTS {table}"))
            migrations.upgrade(self._connection)

    def _lock_and_upgrade(self) -> None:
        with self._connection.begin():
            if not is_sqlite(self._url):
                taken = self._connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _LOCK_KEY})
                if not taken:
                    raise AnotherProjectorRuns(
                        f"another projector writes to {self._url.database} on {self._url.host}: stop that one first"
                    )
            migrations.upgrade(self._connection)

    def _release(self) -> None:
        self._engine.dispose()
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    def _position(self, group_name: str) -> Position:
        positions = schema.positions
        row = self._connection.execute(select(positions).where(positions.c.group_name == group_name)).first()
        if row is not None:
            return Position(*row)
        taken = self._connection.execute(select(positions.c.group_id)).scalars().all()
        position = beginning(max(taken, default=0) + 1, group_name)
        self._connection.execute(insert(positions).values(position._asdict()))
        return position

    def _kept(self, position: Position) -> Kept:
        group_id, now_ns = position.group_id, position.timestamp_ns
        orders, transfers, sales = schema.orders, schema.transfers, schema.sales
        volumes, candles = schema.volumes, schema.candles

        def of_group(table: Table) -> Select[Any]:
            return select(table).where(table.c.group_id == group_id)

        newest = [
            of_group(candles).where(candles.c.interval_s == interval_s, candles.c.opens_at_ns >= since_ns)
            for interval_s in INTERVALS.values()
            for since_ns in [window_opens_ns(now_ns) if interval_s == MINUTE_S else opening_ns(interval_s, now_ns)]
        ]
        undecided = (transfers.c.status == PENDING) | (
            (transfers.c.kind == _APPROVED_WITHDRAWAL[0]) & (transfers.c.status == _APPROVED_WITHDRAWAL[1])
        )
        return Kept(
            assets=self._rows(AssetRow, of_group(schema.assets)),
            markets=self._rows(MarketRow, of_group(schema.markets)),
            accounts=self._rows(AccountRow, of_group(schema.accounts)),
            orders=self._rows(OrderRow, of_group(orders).where(orders.c.status.in_((OPEN, WAITING)))),
            candles=[row for query in newest for row in self._rows(CandleRow, query)],
            tickers=self._rows(TickerRow, of_group(schema.tickers)),
            balances=self._rows(BalanceRow, of_group(schema.balances)),
            volumes=self._rows(VolumeRow, of_group(volumes).where(volumes.c.day >= first_day_kept(now_ns))),
            transfers=self._rows(TransferRow, of_group(transfers).where(undecided)),
            sales=self._rows(SaleRow, of_group(sales).where(sales.c.status.in_((SALE_ANNOUNCED, SALE_OPEN)))),
        )

    def _rows(self, make: Any, query: Select[Any]) -> list[Any]:
        return [make._make(row) for row in self._connection.execute(query)]


def positions_of(connection: Connection) -> list[Position]:
    """Where each group stands, by its number. Empty where there are no tables yet."""
    if migrations.version(connection) is None:
        return []
    query = select(schema.positions).order_by(schema.positions.c.group_id)
    return [Position(*row) for row in connection.execute(query)]


def _lock_beside(file: Path) -> int:
    """Lock a SQLite file for this process. AnotherProjectorRuns if somebody else has it."""
    lock = file.with_name(f"{file.name}.lock")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise DatabaseError(f"{lock} cannot be made: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise AnotherProjectorRuns(f"another projector writes to {file}: stop that one first") from None
    return descriptor
