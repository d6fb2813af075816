"""A file that says what goes wrong, and how often, instead of what `sim.simulation_faults` would draw from.

TOML, one line for each name that is to be another one; the others stay as they are::

    kill_weight = 4                                     # in every seed
    delay_ms_mean = [0.5, 30]                           # one of these
    fsync_fails_probability = { from = 0, to = 0.001 }  # anything between
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from sim.simulation_faults import RANGES, Range, Span


class FaultFileError(Exception):
    """The file cannot be used. The text names file and line of thought, and says what would be right."""


def load_ranges(path: Path) -> dict[str, Range]:
    """All ranges, those of the file in place of the usual ones. FaultFileError if it does not say what it means."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FaultFileError(f"{path} cannot be read: {error}") from None
    return {**RANGES, **{name: _range(path, name, value) for name, value in data.items()}}


def changed(ranges: Mapping[str, Range]) -> dict[str, Range]:
    """What is not as usual."""
    return {name: of for name, of in ranges.items() if of != RANGES[name]}


def _range(path: Path, name: str, value: Any) -> Range:
    if name not in RANGES:
        near = difflib.get_close_matches(name, RANGES, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(RANGES)}"
        raise FaultFileError(f"{path}: {name} is no fault; {hint}")
    if isinstance(value, dict):
        if value.keys() != {"from", "to"}:
            raise FaultFileError(f"{path}: {name}: a range is {{ from = 0, to = 0.1 }}, with nothing else in it")
        low, high = _number(path, name, value["from"]), _number(path, name, value["to"])
        if low > high:
            raise FaultFileError(f"{path}: {name}: from {low:g} to {high:g} there is nothing")
        return Span(low, high)
    numbers = value if isinstance(value, list) else [value]
    if not numbers:
        raise FaultFileError(f"{path}: {name}: an empty list leaves nothing to draw from")
    return tuple(_number(path, name, number) for number in numbers)


def _number(path: Path, name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value) or value < 0:
        raise FaultFileError(f"{path}: {name}: {value!r} is no number from 0 on")
    if name.endswith(("_probability", "_share")) and value > 1:
        raise FaultFileError(f"{path}: {name}: {value:g} is more than 1, and 1 is always")
    if name in ("fault_every_ms", "flush_ms_mean") and value < 1:
        raise FaultFileError(f"{path}: {name}: less than 1 ms leaves time for nothing else")
    return float(value)
