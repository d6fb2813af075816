"""What happened, in order: a hash over all of it, and the last lines for whoever must find out why.

Two runs of one seed have the same hash, or something in them is not a function of the seed.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Final

from xxhash import xxh3_128

from sim.simulation_timeline import START_S, Timeline

LINES_KEPT: Final = 400


class Violation(BaseException):
    """A promise was broken. The run ends here; no handler of errors may stop this on its way."""


class Trace:
    """``counts`` says how often each kind of line was written."""

    def __init__(self, timeline: Timeline) -> None:
        self.counts: Counter[str] = Counter()
        self.violations: list[str] = []
        self._timeline = timeline
        self._hash = xxh3_128()
        self._last: deque[str] = deque(maxlen=LINES_KEPT)

    def add(self, kind: str, subject: str, what: object = "") -> None:
        line = f"{self._timeline.now_s - START_S:.6f} {kind} {subject} {what}"
        self.counts[kind] += 1
        self._hash.update(line.encode())
        self._last.append(line)

    def violate(self, promise: str) -> None:
        """Note a broken promise and end the run: nothing that follows means anything."""
        self.add("VIOLATION", promise)
        self.violations.append(promise)
        raise Violation(promise)

    def hash(self) -> str:
        return self._hash.hexdigest()

    def last_lines(self, count: int) -> list[str]:
        return list(self._last)[-count:]
