"""The faults that struck in a run, one by one, so that the same ones, or some of them, can strike again.

There are two kinds. Some come from the nemesis (`sim.simulation_nemesis`): at a time, on a replica, for so long. The
others come by chance while something is done: a sync that fails, a process that is cut off. These are known by their
*occasion*: it was the 1,234th time that this could have happened there. A run with the same seed and the same faults is
the same run. With fewer of them it is another one, in which the remaining ones strike at the same times and occasions.

As a file this is TOML, a table ``[[fault]]`` for each.
"""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

_NEEDED: Final = {"kind", "node", "at_s"}


class ScheduleError(Exception):
    """The file is no schedule. The text says what is wrong with it."""


class Strike(NamedTuple):
    """``at_s`` virtual seconds after the beginning. ``detail`` is what else the kind of fault needs to know: another
    host, for instance. ``occasion`` 0: it came from the nemesis."""

    kind: str
    node: str
    at_s: float
    lasts_s: float = 0.0
    detail: str = ""
    occasion: int = 0


class Schedule:
    """``struck`` is what happened until now. ``given``: nothing else is to happen."""

    def __init__(self, given: Sequence[Strike] | None = None) -> None:
        self.given = given
        self.struck: list[Strike] = []
        self._occasions: Counter[tuple[str, str]] = Counter()
        self._allowed = {(strike.kind, strike.node, strike.occasion) for strike in given or () if strike.occasion}

    def add(self, strike: Strike) -> None:
        self.struck.append(strike)

    def strikes(self, kind: str, node: str, at_s: float, *, by_chance: bool, detail: str = "") -> bool:
        """Whether this fault happens on this occasion: what chance says, unless the schedule is given."""
        self._occasions[kind, node] += 1
        occasion = self._occasions[kind, node]
        happens = by_chance if self.given is None else (kind, node, occasion) in self._allowed
        if happens:
            self.struck.append(Strike(kind, node, at_s, detail=detail, occasion=occasion))
        return happens


def dump_schedule(strikes: Iterable[Strike], comment: str) -> str:
    """The text of a file with these faults, in the order of time."""
    parts = [f"# {line}\n" for line in comment.splitlines()]
    for strike in sorted(strikes, key=lambda strike: strike.at_s):
        lines = [f"at_s = {strike.at_s!r}", f"kind = {json.dumps(strike.kind)}", f"node = {json.dumps(strike.node)}"]
        lines += [f"lasts_s = {strike.lasts_s!r}"] if strike.lasts_s else []
        lines += [f"detail = {json.dumps(strike.detail)}"] if strike.detail else []
        lines += [f"occasion = {strike.occasion}"] if strike.occasion else []
        parts.append("\n[[fault]]\n" + "\n".join(lines) + "\n")
    return "".join(parts)


def load_schedule(path: Path) -> tuple[Strike, ...]:
    """ScheduleError if the file is none."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ScheduleError(f"{path} cannot be read: {error}") from None
    tables = data.pop("fault", [])
    if data or not isinstance(tables, list):
        raise ScheduleError(f"{path}: a schedule has tables [[fault]] and nothing else")
    return tuple(_strike(path, number, table) for number, table in enumerate(tables, start=1))


def _strike(path: Path, number: int, table: Any) -> Strike:
    where = f"{path}: the {number}. fault"
    if not isinstance(table, dict) or not table.keys() >= _NEEDED or not table.keys() <= set(Strike._fields):
        raise ScheduleError(
            f"{where}: needed are {', '.join(sorted(_NEEDED))}; allowed are {', '.join(Strike._fields)}"
        )
    for name in ("kind", "node", "detail"):
        if not isinstance(table.get(name, ""), str):
            raise ScheduleError(f"{where}: {name} is a text")
    for name in ("at_s", "lasts_s", "occasion"):
        value = table.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise ScheduleError(f"{where}: {name} is a number from 0 on")
    return Strike(**{**table, "at_s": float(table["at_s"]), "occasion": int(table.get("occasion", 0))})
