"""What is due at which log time.

An entry's timestamp decides what is due, never a clock. Timers are derived state: each belongs to an order, an account,
a market, a transfer or a sale that knows its own time, has one timer of a kind at most, and sets it anew in a restored
machine. Order of execution: due time, then kind, then number of the subject (rulebook rows B4, I1).

The timers stand in a binary heap, and each knows its place there. So one that is replaced or forgotten leaves at once,
and every change costs at most two comparisons for each level of the heap (20 with a million timers). The heap holds
what is live and nothing else; memory is for as many as were ever live together.
"""

from __future__ import annotations

from typing import Final

from engine import wire
from engine.hash_index import HashIndex

ORDER_EXPIRES: Final = 0
DEAD_MAN: Final = 1
TRANSFER_EXPIRES: Final = 2
AUCTION_PHASE: Final = 3
MARKET_SCHEDULE: Final = 4
SALE_OPENS: Final = 5
SALE_CLOSES: Final = 6

NEVER: Final = 0  # the only due time that is false
_HASH_MASK: Final = (1 << 32) - 1
_HASH_FACTOR: Final = 0x9E37_79B9_7F4A_7C15

Due = tuple[int, int, int]  # (due_ns, kind, subject_id)


class Timer:
    """``number`` is what the index has for it, ``place`` where it stands in the heap.

    One that is not set waits to be used again; then ``place`` is the number of the next such, 0 if there is none.
    """

    __slots__ = ("due_ns", "kind", "number", "place", "subject_id")

    def __init__(self) -> None:
        self.due_ns = NEVER
        self.kind = 0
        self.subject_id = 0
        self.number = 0
        self.place = 0


class Timers:
    """At most one timer for each kind and subject."""

    __slots__ = ("_heap", "_index", "_timers", "_unused")

    def __init__(self) -> None:
        self._heap: list[Timer] = []
        self._timers = [Timer()]  # by number; the first stands for none
        self._unused = 0  # the number of one
        self._index = HashIndex()

    def __len__(self) -> int:
        return len(self._heap)

    def schedule(self, due_ns: int, kind: int, subject_id: int) -> None:
        """Set the subject's timer of this kind, in place of the one it had. NEVER takes it away."""
        timer = self._find(kind, subject_id)
        if due_ns:
            if timer is None:
                timer = self._new(kind, subject_id)
            timer.due_ns = due_ns
            self._settle(timer, timer.place)
        elif timer is not None:
            self._remove(timer)

    def forget(self, kind: int, subject_id: int) -> None:
        timer = self._find(kind, subject_id)
        if timer is not None:
            self._remove(timer)

    def pop_due(self, now_ns: int) -> Due | None:
        """The next timer whose time has come."""
        if not self._heap:
            return None
        timer = self._heap[0]
        if timer.due_ns > now_ns:
            return None
        self._remove(timer)
        return timer.due_ns, timer.kind, timer.subject_id

    def next_due_ns(self) -> int | None:
        """When the next one is due: by then a Tick is wanted."""
        if not self._heap:
            return None
        timer = self._heap[0]
        return timer.due_ns

    def _find(self, kind: int, subject_id: int) -> Timer | None:
        number = self._index.first(_hash(kind, subject_id))
        while number:
            timer = self._timers[number]
            if timer.subject_id == subject_id and timer.kind == kind:
                return timer
            number = self._index.next()
        return None

    def _new(self, kind: int, subject_id: int) -> Timer:
        """One that stands last in the heap, and has no time yet."""
        if self._unused:
            timer = self._timers[self._unused]
            self._unused = timer.place
        else:
            timer = Timer()
            timer.number = len(self._timers)
            self._timers.append(timer)
        timer.kind, timer.subject_id, timer.place = kind, subject_id, len(self._heap)
        self._heap.append(timer)
        self._index.add(_hash(kind, subject_id), timer.number)
        return timer

    def _remove(self, timer: Timer) -> None:
        self._index.remove(_hash(timer.kind, timer.subject_id), timer.number)
        last = self._heap.pop()
        if last is not timer:
            self._settle(last, timer.place)
        timer.place, self._unused = self._unused, timer.number

    def _settle(self, timer: Timer, place: int) -> None:
        """Put a timer where it belongs: at this place, above or below it."""
        heap = self._heap
        size = len(heap)
        while place > 0:
            parent = heap[(place - 1) >> 1]
            if not _comes_before(timer, parent):
                break
            heap[place], parent.place = parent, place
            place = (place - 1) >> 1
        while 2 * place + 1 < size:
            below = 2 * place + 1
            child = heap[below]
            if below + 1 < size and _comes_before(heap[below + 1], child):
                below += 1
                child = heap[below]
            if not _comes_before(child, timer):
                break
            heap[place], child.place = child, place
            place = below
        heap[place], timer.place = timer, place


def _comes_before(one: Timer, other: Timer) -> bool:
    if one.due_ns != other.due_ns:
        return one.due_ns < other.due_ns
    if one.kind != other.kind:
        return one.kind < other.kind
    return one.subject_id < other.subject_id


def _hash(kind: int, subject_id: int) -> int:
    return wire.mix(subject_id, _HASH_FACTOR + 2 * kind) & _HASH_MASK
