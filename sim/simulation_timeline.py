"""Virtual time: one queue of events for everything that a simulation does.

An event runs to its end at once, but may *spend* time: a replica that waits for its disk for 3 ms goes on 3 ms later on
its own clock, and what it sends leaves then. The next event begins at its own time again. Whoever spent time must
not be run before it is over; `sim.simulation_process` sees to that.

Events of the same time run in the order in which they were scheduled. So the same seed gives the same run.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any, Final

from pysyncobj import syncobj

START_S: Final = 1_000.0
EPOCH_NS: Final = 1_750_000_000_000_000_000
"""The time of day at second 0 of the simulation's clock."""


class Timeline:
    """``now_s`` is the clock of whatever runs now, in seconds since ``START_S`` before the beginning."""

    def __init__(self) -> None:
        self.now_s = START_S
        self.events_run = 0
        self._queue: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._scheduled = 0

    def at(self, time_s: float, action: Callable[..., None], *arguments: Any) -> None:
        self._scheduled += 1
        heapq.heappush(self._queue, (time_s, self._scheduled, action, arguments))

    def after(self, delay_s: float, action: Callable[..., None], *arguments: Any) -> None:
        self.at(self.now_s + delay_s, action, *arguments)

    def spend(self, seconds: float) -> None:
        """What runs now takes so long."""
        self.now_s += seconds

    def run(self, end_s: float, enough: Callable[[], bool] = lambda: False) -> None:
        """Run all events before ``end_s``, or until ``enough`` after one of them."""
        queue = self._queue
        while queue and queue[0][0] < end_s:
            time_s, _, action, arguments = heapq.heappop(queue)
            self.now_s = time_s
            self.events_run += 1
            action(*arguments)
            if enough():
                return
        self.now_s = end_s

    def time_ns(self) -> int:
        """The true time of day."""
        return EPOCH_NS + int(self.now_s * 1e9)


@contextmanager
def virtual_time(timeline: Timeline, chance: Random) -> Iterator[None]:
    """pysyncobj takes time and chance from its module: within the block they are the simulation's."""
    found = syncobj.monotonicTime, syncobj.random, syncobj.PIPE_NOTIFIER_ENABLED
    syncobj.monotonicTime = lambda: timeline.now_s
    syncobj.random = chance
    syncobj.PIPE_NOTIFIER_ENABLED = False
    try:
        yield
    finally:
        syncobj.monotonicTime, syncobj.random, syncobj.PIPE_NOTIFIER_ENABLED = found
