"""Rows as files: CSV, JSON (lines or one array) and Parquet, each written page by page.

Whatever the format, a row has the same columns in the same order, and every decimal is exact: text in CSV and JSON,
``decimal128(38, 18)`` in Parquet, which holds any amount of an asset with any of its decimals.

A spreadsheet takes a cell that begins with ``=``, ``+``, ``-`` or ``@`` for a formula, and ids and destinations are
written by users. In CSV such a text gets an apostrophe in front, which spreadsheets do not show. Numbers are left
alone.

Source: RFC 4180 (CSV); OWASP, "CSV Injection"
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

import orjson

from engine.types import NS_PER_S
from gateway.history_columns import DECIMAL, FLAG, INTEGER, TEXT, TIME, Column

Row = dict[str, Any]
Pages = Iterable[Sequence[Row]]
Writer = Callable[[Sequence[Column], Pages], Iterator[bytes]]

_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")
_DECIMAL_PRECISION: Final = 38
_DECIMAL_SCALE: Final = 18


def write_csv(columns: Sequence[Column], pages: Pages) -> Iterator[bytes]:
    names = [column.name for column in columns]
    texts = {column.name for column in columns if column.kind == TEXT}
    yield _csv_lines([names])
    for rows in pages:
        yield _csv_lines([[_cell(row[name], guarded=name in texts) for name in names] for row in rows])


def write_json_lines(columns: Sequence[Column], pages: Pages) -> Iterator[bytes]:
    for rows in pages:
        yield b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)


def write_json_array(columns: Sequence[Column], pages: Pages) -> Iterator[bytes]:
    separator = b"[\n"
    for rows in pages:
        if rows:
            yield separator + b",\n".join(orjson.dumps(row) for row in rows)
            separator = b",\n"
    yield b"[]\n" if separator == b"[\n" else b"\n]\n"


def write_parquet(columns: Sequence[Column], pages: Pages) -> Iterator[bytes]:
    """One row group for each page. Needs pyarrow, which is loaded by the first call."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    types = {
        INTEGER: pa.int64(),
        TEXT: pa.string(),
        DECIMAL: pa.decimal128(_DECIMAL_PRECISION, _DECIMAL_SCALE),
        TIME: pa.timestamp("ns", tz="UTC"),
        FLAG: pa.bool_(),
    }
    schema = pa.schema([pa.field(column.name, types[column.kind]) for column in columns])
    sink = _Sink()
    with parquet.ParquetWriter(sink, schema) as writer:
        for rows in pages:
            if rows:
                values = [[_typed(row[column.name], column.kind) for row in rows] for column in columns]
                arrays = [pa.array(one, field.type) for one, field in zip(values, schema, strict=True)]
                writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
                yield sink.take()
    yield sink.take()


FORMATS: Final = MappingProxyType(
    {
        "csv": ("text/csv; charset=utf-8", write_csv),
        "jsonl": ("application/jsonl", write_json_lines),
        "json": ("application/json", write_json_array),
        "parquet": ("application/vnd.apache.parquet", write_parquet),
    }
)
"""The content type and the writer of each format, by its name in ``format=`` and in file names."""


class _Sink(io.RawIOBase):
    """Takes what a writer writes, and hands it on."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._pieces.append(bytes(data))
        self._position += len(self._pieces[-1])
        return len(self._pieces[-1])

    def tell(self) -> int:
        return self._position

    def take(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def _csv_lines(rows: list[list[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


def _cell(value: Any, *, guarded: bool) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    return f"'{text}" if guarded and text.startswith(_FORMULA_STARTS) else text


def _typed(value: Any, kind: str) -> Any:
    if value is None:
        return None
    if kind == DECIMAL:
        return Decimal(value)
    if kind == TIME:
        seconds, nanoseconds = value.removesuffix("Z").split(".")
        return int(datetime.fromisoformat(f"{seconds}+00:00").timestamp()) * NS_PER_S + int(nanoseconds)
    return value
