"""What is due at which log time.

An entry's timestamp decides what is due, never a clock. Timers are derived state: each belongs to an order, an account,
a market, a transfer or a sale that knows its own time, has one timer of a kind at most, and sets it anew in a restored
machine. Order of execution: due time, then kind, then number of the subject (rulebook rows B4, I1).

A timer that was replaced or forgotten stays in the heap until it comes up, or until there are more of those than of
live ones: then the heap is built anew. So it never holds more than about twice what is live.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Final

ORDER_EXPIRES: Final = 0
DEAD_MAN: Final = 1
TRANSFER_EXPIRES: Final = 2
AUCTION_PHASE: Final = 3
MARKET_SCHEDULE: Final = 4
SALE_OPENS: Final = 5
SALE_CLOSES: Final = 6

NEVER: Final = 0
_STALE_MIN: Final = 1_024

Timer = tuple[int, int, int]  # (due_ns, kind, subject_id)


class Timers:
    """At most one timer for each kind and subject."""

    def __init__(self) -> None:
        self._heap: list[Timer] = []
        self._due_ns: dict[tuple[int, int], int] = {}  # of the live ones, by (kind, subject_id)

    def __len__(self) -> int:
        """How many are kept, stale ones included."""
        return len(self._heap)

    def schedule(self, due_ns: int, kind: int, subject_id: int) -> None:
        """Set the subject's timer of this kind, in place of the one it had. NEVER takes it away."""
        if due_ns == NEVER:
            self.forget(kind, subject_id)
            return
        self._due_ns[kind, subject_id] = due_ns
        heappush(self._heap, (due_ns, kind, subject_id))
        if len(self._heap) > 2 * len(self._due_ns) + _STALE_MIN:
            self._heap = [(live_ns, *key) for key, live_ns in self._due_ns.items()]
            heapify(self._heap)

    def forget(self, kind: int, subject_id: int) -> None:
        self._due_ns.pop((kind, subject_id), None)

    def pop_due(self, now_ns: int) -> Timer | None:
        """The next timer whose time has come."""
        next_ns = self.next_due_ns()
        if next_ns is None or next_ns > now_ns:
            return None
        timer = heappop(self._heap)
        self.forget(timer[1], timer[2])
        return timer

    def next_due_ns(self) -> int | None:
        """When the next one is due: by then a Tick is wanted."""
        heap = self._heap
        while heap and self._due_ns.get((heap[0][1], heap[0][2])) != heap[0][0]:
            heappop(heap)
        return heap[0][0] if heap else None
