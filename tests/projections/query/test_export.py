"""Files have all rows, the same ones in every format, exactly; and no formulas that a user wrote."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from typing import Any

import orjson
import pyarrow.parquet as parquet
import pytest

from gateway.history_columns import DECIMAL, FLAG, INTEGER, TEXT, TIME, Column
from gateway.history_routes import QUESTIONS
from projections.query import answers, streams
from projections.query.answers import all_pages
from projections.query.export import write_csv, write_json_array, write_json_lines, write_parquet
from projections.query.files import File
from projections.query.source import Source
from tests.projections.query.history import LIMIT_S, History, ask

ABOUT = {
    "orders": (None, {}),
    "fills": ("trader-1", {}),
    "transfers": (None, {"kind": "withdrawal"}),
    "statement": ("trader-2", {"asset": "EUR"}),
    "balances": ("boss", {}),
    "trades": (None, {"market": "GLD-EUR", "group": "main"}),
    "candles": (None, {"market": "GLD-EUR", "group": "main", "interval": "1h"}),
    "tickers": (None, {}),
}


def content(history: History, name: str, format_name: str) -> bytes:
    account, parameters = ABOUT[name]
    file = File(history.database, ask(name, account, **parameters), format_name, limit_s=LIMIT_S)
    pieces = iter(file.next_piece, None)
    assert file.as_of
    return b"".join(pieces)


@pytest.mark.parametrize("name", [question.name for question in QUESTIONS])
def test_every_format_has_the_same_rows(history: History, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "EXPORT_PAGE_ROWS", 40)
    monkeypatch.setattr(streams, "EXAMINED_MAX", 50)
    question = next(one for one in QUESTIONS if one.name == name)
    account, parameters = ABOUT[name]
    with history.database.snapshot(LIMIT_S) as connection:
        pages = list(all_pages(Source(connection, ask(name, account, **parameters))))
    rows = [row for page in pages for row in page]
    assert len(rows) >= 2
    names = [column.name for column in question.columns]
    assert all(list(row) == names for row in rows)
    assert all(column.optional or row[column.name] is not None for row in rows for column in question.columns)
    assert orjson.loads(content(history, name, "json")) == rows
    assert [orjson.loads(line) for line in content(history, name, "jsonl").splitlines()] == rows
    texts = list(csv.DictReader(io.StringIO(content(history, name, "csv").decode())))
    assert texts == [{key: as_text(value) for key, value in row.items()} for row in rows]
    table = parquet.read_table(io.BytesIO(content(history, name, "parquet")))
    assert table.column_names == names
    for column in question.columns:
        found = table.column(column.name)
        expected = [row[column.name] for row in rows]
        if column.kind == DECIMAL:
            assert found.to_pylist() == [None if value is None else Decimal(value) for value in expected]
        elif column.kind == TIME:
            assert [as_time(value) for value in found.cast("int64").to_pylist()] == expected
        else:
            assert found.to_pylist() == expected


def as_text(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def as_time(timestamp_ns: int | None) -> str | None:
    from gateway.rendering import optional_timestamp_text

    return optional_timestamp_text(timestamp_ns or 0)


COLUMNS = (
    Column("id", TEXT),
    Column("amount", DECIMAL),
    Column("number", INTEGER),
    Column("at", TIME, optional=True),
    Column("flag", FLAG),
)
ROW = {"id": "a", "amount": "-0.10", "number": 1, "at": None, "flag": False}


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_text_that_a_spreadsheet_would_execute_is_none_in_csv(start: str) -> None:
    row = ROW | {"id": f'{start}cmd|"/c calc"!A1'}
    text = b"".join(write_csv(COLUMNS, [[row]])).decode()
    (read,) = csv.DictReader(io.StringIO(text, newline=""))
    assert read["id"] == f"'{row['id']}"
    assert read["amount"] == "-0.10", "a number is none that a user wrote"
    assert orjson.loads(b"".join(write_json_lines(COLUMNS, [[row]]))) == row


def test_files_without_rows_are_files() -> None:
    assert b"".join(write_csv(COLUMNS, [[]])) == b"id,amount,number,at,flag\r\n"
    assert b"".join(write_json_lines(COLUMNS, [[]])) == b""
    assert orjson.loads(b"".join(write_json_array(COLUMNS, [[], []]))) == []
    assert parquet.read_table(io.BytesIO(b"".join(write_parquet(COLUMNS, [[]])))).num_rows == 0


def test_the_largest_and_the_finest_amounts_are_exact_in_parquet() -> None:
    amounts = ["4611686018427387904", "-4611686018427387904", "0.0000000000000001", "4611686.018427387904"]
    pages = [[ROW | {"amount": amount} for amount in amounts]]
    table = parquet.read_table(io.BytesIO(b"".join(write_parquet(COLUMNS, pages))))
    assert table.column("amount").to_pylist() == [Decimal(amount) for amount in amounts]


def test_each_page_is_written_before_the_next_is_read() -> None:
    """So that a file of any size needs the memory of a page."""
    for write in (write_csv, write_json_lines, write_json_array, write_parquet):
        read: list[int] = []

        def pages() -> Any:
            for number in range(5):
                read.append(number)  # noqa: B023 (used at once)
                yield [ROW]

        written = 0
        for piece in write(COLUMNS, pages()):
            written += bool(piece)
            assert len(read) <= written + 1
        assert read == [0, 1, 2, 3, 4]
