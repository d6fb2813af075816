"""The tables as the migrations make them, as the schema says, and as the folds fill them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text

from projections import migrations, rows
from projections.database import DatabaseError, database_url, reading_engine, shown, sqlite_url, writing_engine
from projections.group_fold import Position
from projections.migrations import SchemaUnknown
from projections.schema import metadata

RECORDS: dict[str, Any] = {
    "positions": Position,
    "minutes": rows.MinuteRow,
    "assets": rows.AssetRow,
    "markets": rows.MarketRow,
    "accounts": rows.AccountRow,
    "orders": rows.OrderRow,
    "trades": rows.TradeRow,
    "candles": rows.CandleRow,
    "tickers": rows.TickerRow,
    "ledger_lines": rows.LineRow,
    "balances": rows.BalanceRow,
    "volumes": rows.VolumeRow,
    "transfers": rows.TransferRow,
    "sales": rows.SaleRow,
}


@pytest.fixture
def connection(any_url: str) -> Iterator[Connection]:
    engine = writing_engine(database_url(any_url))
    with engine.connect() as connected:
        yield connected
    engine.dispose()


def test_the_migrations_make_what_the_schema_says(connection: Connection) -> None:
    with connection.begin():
        migrations.upgrade(connection)
        migrations.upgrade(connection)  # nothing is left to be done
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        assert migrations.version(connection) == migrations.newest_version()


def test_a_migration_that_is_cut_short_leaves_nothing(connection: Connection) -> None:
    with connection.begin() as transaction:
        migrations.upgrade(connection)
        transaction.rollback()
    with connection.begin():
        assert migrations.version(connection) is None
        migrations.upgrade(connection)


def test_tables_of_a_newer_version_are_refused(connection: Connection) -> None:
    with connection.begin():
        migrations.upgrade(connection)
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        with pytest.raises(SchemaUnknown, match="the tables have version 9999, and this program knows 0001"):
            migrations.upgrade(connection)


def test_records_have_the_columns_of_their_tables_in_order() -> None:
    assert set(RECORDS) == set(metadata.tables)
    for name, table in metadata.tables.items():
        assert RECORDS[name]._fields == tuple(column.name for column in table.columns), name


@pytest.mark.parametrize("word", ["mysql://u@h/d", "projections.sqlite", "postgresql://host", "", "sqlite://"])
def test_what_is_no_database_is_refused(word: str) -> None:
    with pytest.raises(DatabaseError, match="is no database: use sqlite:///FILE or postgresql://"):
        database_url(word)


def test_a_database_is_shown_without_its_password() -> None:
    assert shown(database_url("postgresql://tally:secret@host:5432/name")) == "postgresql://tally:***@host:5432/name"
    assert shown(database_url("sqlite:////var/p.sqlite")) == "sqlite:////var/p.sqlite"


def test_readers_cannot_write_and_do_not_make_files(tmp_path: Path, connection: Connection) -> None:
    with pytest.raises(DatabaseError, match="does not exist"):
        reading_engine(sqlite_url(tmp_path / "none.sqlite"))
    with connection.begin():
        migrations.upgrade(connection)
    reader = reading_engine(connection.engine.url)
    with reader.connect() as reading, pytest.raises(Exception, match=r"readonly|read-only"):
        reading.execute(text("DELETE FROM positions"))
    reader.dispose()
