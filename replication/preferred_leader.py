"""When a leader hands over to the node that should lead its group.

With several groups the leaders should be spread over the nodes (``replication.market_groups.preferred_leader``): they
do more work than followers. A leader that is not the preferred one hands over once that one has been linked and close
behind for a while. It does so rarely: each time it waits twice as long before the next, so a node that leads badly (it
dies, or is slow whenever it does) is not given the lead again and again.
"""

from __future__ import annotations

from typing import Final

STEADY_S: Final = 5.0  # so long the preferred node must have kept up
PAUSE_S_MIN: Final = 60.0
PAUSE_S_MAX: Final = 3_600.0


class PreferredLeader:
    """One per replica. Times are seconds of any steady clock."""

    def __init__(self) -> None:
        self._steady_since_s: float | None = None
        self._not_before_s = 0.0
        self._pause_s = PAUSE_S_MIN

    def should_hand_over(self, *, leads: bool, keeps_up: bool, now_s: float) -> bool:
        """To be asked in every tick: whether this replica leads, and whether the preferred one is close behind."""
        if not (leads and keeps_up):
            self._steady_since_s = None
            return False
        if self._steady_since_s is None:
            self._steady_since_s = now_s
        if now_s < self._not_before_s or now_s - self._steady_since_s < STEADY_S:
            return False
        self._not_before_s = now_s + self._pause_s
        self._pause_s = min(PAUSE_S_MAX, 2 * self._pause_s)
        return True
