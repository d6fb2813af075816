"""Which of a failing run's faults are enough to make it fail: delta debugging.

Source: A. Zeller, R. Hildebrandt, Simplifying and Isolating Failure-Inducing Input, IEEE TSE 28(2), 2002 (ddmin).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from sim.simulation_schedule import Strike

_PARTICULARS: Final = re.compile(r"node-\d+|\b[0-9a-f]*\d[0-9a-f]*\b|'[^']*'|\bno disk\b|, ")


class Minimised(NamedTuple):
    """``is_minimal``: with any one of them less it does not fail; else time was up before that was known.

    No ``strikes`` after 1 run: it fails though nothing goes wrong. ``runs`` 0: the same faults did not fail again.
    """

    strikes: Sequence[Strike]
    runs: int
    is_minimal: bool


def minimise(
    strikes: Sequence[Strike], fails: Callable[[Sequence[Strike]], bool], now_s: Callable[[], float], budget_s: float
) -> Minimised:
    """Fewer faults for which ``fails`` is true, as it is for all of them. Stops when ``budget_s`` seconds are over."""
    end_s = now_s() + budget_s
    runs = 0

    def still_fails(candidate: Sequence[Strike]) -> bool:
        nonlocal runs
        runs += 1
        return fails(candidate)

    if still_fails([]):
        return Minimised((), runs, True)
    if not still_fails(strikes):
        return Minimised(strikes, 0, False)
    current, parts = list(strikes), 2
    while len(current) > 1:
        size = -(-len(current) // parts)
        chunks = [current[start : start + size] for start in range(0, len(current), size)]
        for number, chunk in enumerate(chunks):
            if now_s() >= end_s:
                return Minimised(current, runs, False)
            # With two parts each is the rest of the other one.
            rest = [strike for other in chunks[:number] + chunks[number + 1 :] for strike in other]
            if len(chunks) > 2 and still_fails(chunk):
                current, parts = chunk, 2
                break
            if still_fails(rest):
                current, parts = rest, max(2, len(chunks) - 1)
                break
        else:
            if size == 1:
                break
            parts = min(len(current), 2 * parts)
    return Minimised(current, runs, True)


def same_failure(one: str, other: str) -> bool:
    """Whether two broken promises are the same but for names and numbers."""
    return _PARTICULARS.sub("", one) == _PARTICULARS.sub("", other)
