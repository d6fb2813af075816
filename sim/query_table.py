"""Rows as a table for a terminal: text to the left, numbers to the right, no column that is empty throughout."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

_NUMBER: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?", re.ASCII)
_GAP: Final = "  "


def table_lines(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A line for the names and one for each row."""
    shown = [name for name in names if not rows or any(row[name] is not None for row in rows)]
    cells = [[_cell(row[name]) for name in shown] for row in rows]
    titles = [name.upper().replace("_", " ") for name in shown]
    widths = [max(map(len, column)) for column in zip(titles, *cells, strict=True)]
    to_the_right = [
        bool(column) and all(_NUMBER.fullmatch(cell) or not cell for cell in column)
        for column in (list(column) for column in (zip(*cells, strict=True) if cells else [[] for _ in shown]))
    ]
    for line in [titles, *cells]:
        aligned = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, to_the_right, strict=True)
        ]
        yield _GAP.join(aligned).rstrip()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
