"""What is due at which log time: one heap of small tuples.

An entry's timestamp decides what is due, never a clock. Timers are derived state: each belongs to an order, an account,
a market, a transfer or a sale that knows its own time, and a restored machine builds them anew. So a timer may be stale
(its order is closed, its switch was renewed); whoever handles it asks the subject whether it is still due.
Order of execution: due time, then kind, then number of the subject (rulebook rows B4, I1).
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Final

ORDER_EXPIRES: Final = 0
DEAD_MAN: Final = 1
TRANSFER_EXPIRES: Final = 2
AUCTION_PHASE: Final = 3
MARKET_SCHEDULE: Final = 4
SALE_OPENS: Final = 5
SALE_CLOSES: Final = 6

NEVER: Final = 0


class Timers:
    """A timer is ``(due_ns, kind, subject_id)``."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, int]] = []

    def schedule(self, due_ns: int, kind: int, subject_id: int) -> None:
        if due_ns != NEVER:
            heappush(self._heap, (due_ns, kind, subject_id))

    def pop_due(self, now_ns: int) -> tuple[int, int, int] | None:
        """The next timer whose time has come."""
        if self._heap and self._heap[0][0] <= now_ns:
            return heappop(self._heap)
        return None

    def next_due_ns(self) -> int | None:
        """When a Tick is wanted at the latest; it may turn out that nothing happens then."""
        return self._heap[0][0] if self._heap else None
