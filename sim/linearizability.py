"""Are the histories of clients those of one exchange that does one thing after the other?

Strict serializability, the strongest promise: everything takes effect at one moment between its sending and its answer.
To find such moments is hard in general. Here the log gives the order and every answer names its place in it, so two
checks decide:

- Order: what was answered before something else was sent is before it in the log.
- Values: a model that executes the log from nothing has, at the place that a read names, what the read was told.

What was never answered may take effect at any time, or never (it returns at infinity). One log holds all accounts and
markets of a group, so their histories need not be looked at one by one. Method: the checker of Jepsen's TigerBeetle
test; for the notion, Herlihy and Wing, Linearizability, TOPLAS 12(3), 1990.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from engine.entry import Entry
from engine.machine import Machine

Question = Callable[[Machine], Any]


class Operation(NamedTuple):
    """``sequence`` is where it is in the log: of a write its own place, of a read the last command that it saw.

    ``returned_s`` is when its client heard of it. ``is_bound`` False: a read that may be old, if its client asked for
    that; it binds those that come after it all the same.
    """

    name: str
    sent_s: float
    returned_s: float
    sequence: int
    is_read: bool = False
    is_bound: bool = True


class Read(NamedTuple):
    """An answer to ``question`` as of ``sequence``."""

    name: str
    sequence: int
    question: Question
    value: Any


def out_of_order(operations: Iterable[Operation]) -> str:
    """What one client can tell another that neither could explain; empty if there is nothing of the kind."""
    returned: list[tuple[float, int, str]] = []
    newest, newest_name = 0, ""
    for operation in sorted(operations, key=lambda operation: operation.sent_s):
        while returned and returned[0][0] < operation.sent_s:
            _, sequence, name = heapq.heappop(returned)
            if sequence > newest:
                newest, newest_name = sequence, name
        heapq.heappush(returned, (operation.returned_s, operation.sequence, operation.name))
        enough = operation.sequence >= newest if operation.is_read else operation.sequence > newest
        if operation.is_bound and not enough:
            return (
                f"{operation.name} was sent after {newest_name} had been answered as of sequence {newest}, and "
                f"{'saw only' if operation.is_read else 'stands at'} {operation.sequence}"
            )
    return ""


def wrong_value(history: Iterable[Entry], reads: Sequence[Read]) -> str:
    """The first read that was told something else than the log says; empty if there is none.

    Reads end where entries end: a replica applies an entry as a whole.
    """
    waiting = sorted(reads, key=lambda read: read.sequence, reverse=True)
    for machine in _states(history):
        while waiting and waiting[-1].sequence <= machine.sequence:
            read = waiting.pop()
            if read.sequence != machine.sequence:
                return f"{read.name} names sequence {read.sequence}, where no replica ever was"
            expected = as_told(read.question(machine))
            if read.value != expected:
                return f"{read.name} as of sequence {read.sequence} was told {read.value}; the log says {expected}"
    return f"{waiting[-1].name} names sequence {waiting[-1].sequence}, which is not in the log" if waiting else ""


def as_told(value: Any) -> Any:
    """A value as it arrives at the other end of a link."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(value))


def _states(history: Iterable[Entry]) -> Iterator[Machine]:
    machine = Machine()
    yield machine
    for entry in history:
        machine.apply(entry.timestamp_ns, entry.commands)
        yield machine
