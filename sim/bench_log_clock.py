"""Keeps so many entries under way and times them: the same for every log that is measured.

Nothing counts during the first second, while connections and buffers warm up.
"""

from __future__ import annotations

import time
from typing import Any, Final

from sim.bench_log import COMMAND_BYTES

_WARM_UP_S: Final = 1.0


class LoadClock:
    """``payload`` is one entry: so many commands of 64 bytes."""

    def __init__(self, commands_per_entry: int, in_flight: int, seconds: float) -> None:
        self.payload = bytes(range(COMMAND_BYTES)) * commands_per_entry
        self._in_flight_max = in_flight
        self._seconds = seconds
        self._in_flight = 0
        self._begun_s = 0.0
        self._latencies_s: list[float] = []
        self._done = False

    def wants_more(self) -> bool:
        return not self._done and self._in_flight < self._in_flight_max

    def begin(self) -> float:
        """One entry is proposed now. Answers the time, to be given back at its end."""
        now_s = time.perf_counter()
        if not self._begun_s:
            self._begun_s = now_s
        self._in_flight += 1
        return now_s

    def end(self, proposed_s: float, *, committed: bool) -> dict[str, Any] | None:
        """An entry is decided. Answers the result when the time is over, once."""
        now_s = time.perf_counter()
        self._in_flight -= 1
        counts_from_s = self._begun_s + _WARM_UP_S
        if not committed or not self._begun_s or now_s < counts_from_s or self._done:
            return None
        self._latencies_s.append(now_s - proposed_s)
        if now_s < counts_from_s + self._seconds:
            return None
        self._done = True
        latencies_ms = sorted(1_000 * latency_s for latency_s in self._latencies_s)
        return {
            "entries_per_s": len(latencies_ms) / (now_s - counts_from_s),
            "p50_ms": latencies_ms[len(latencies_ms) // 2],
            "p99_ms": latencies_ms[len(latencies_ms) * 99 // 100],
        }

    def stop(self) -> None:
        """This replica does not lead: what was measured so far does not count."""
        self._begun_s = 0.0
        self._latencies_s.clear()
