"""So many requests per window of log time: of an account, or of a market.

Windows are numbered: window k holds what happens from k to k + 1 times its length. What is refused does not count, and
is not remembered, so the same request may come again later.
"""

from __future__ import annotations

from engine.types import NS_PER_MS


class Counted:
    """Whatever has a rate: how many requests came in which window."""

    __slots__ = ("requests_in_window", "window")

    def __init__(self) -> None:
        self.window = 0
        self.requests_in_window = 0


def use_rate(counted: Counted, requests_max: int, window_ms: int, timestamp_ns: int) -> bool:
    """Count one more request. False if the window is full. A maximum of 0 is no limit."""
    if not requests_max:
        return True
    window = timestamp_ns // (window_ms * NS_PER_MS)
    if window != counted.window:
        counted.window, counted.requests_in_window = window, 0
    if counted.requests_in_window >= requests_max:
        return False
    counted.requests_in_window += 1
    return True
