"""What a market is up to: its state, its rules, its last price. Data, and the questions that it answers by itself.

Which commands a state admits is one table, below. How states follow each other: ``engine.sessions``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from engine.types import (
    AUCTION,
    BUY,
    FEE_SCALE,
    POST_ONLY,
    PRE_OPEN,
    TRADING,
    FeeTier,
    MarketRules,
    ScheduleStep,
)

# Orders that can rest are taken; they are matched only where MATCHES says so.
TAKES_ORDERS: Final = frozenset((PRE_OPEN, AUCTION, TRADING, POST_ONLY))
# Nothing trades for now, so the book may be crossed.
COLLECTS: Final = frozenset((PRE_OPEN, AUCTION))

# The phases of a call auction.
CALL: Final = 0
NO_CANCEL_PHASE: Final = 1
RANDOM_END: Final = 2


class Indicative(NamedTuple):
    """What an uncross would give now; all 0 if nothing would trade. ``surplus_lots`` is negative for sellers."""

    price_ticks: int
    quantity_lots: int
    surplus_lots: int


NOTHING: Final = Indicative(0, 0, 0)


class Session:
    """One market's. ``last_price_ticks`` is 0 until there is one; ``phase_ends_ns`` 0 if no time ends it.

    ``announced_end_ns`` is when the fixed part of an auction is over: nobody is told when a random end comes.
    ``requests_max`` per ``window_ms`` is the market's rate, 0 if it has none (``engine.rate`` counts).
    ``reference_ticks`` is what the band is measured from: the last price before the command under way.
    """

    __slots__ = (
        "announced_end_ns",
        "indicative",
        "last_price_ticks",
        "next_step_ns",
        "phase",
        "phase_ends_ns",
        "reference_ticks",
        "requests_in_window",
        "requests_max",
        "rules",
        "schedule",
        "state",
        "tiers",
        "window",
        "window_ms",
    )

    def __init__(self) -> None:
        self.state = TRADING
        self.rules = MarketRules()
        self.last_price_ticks = 0
        self.reference_ticks = 0
        self.phase = CALL
        self.phase_ends_ns = 0
        self.announced_end_ns = 0
        self.indicative = NOTHING
        self.tiers: Sequence[FeeTier] = ()
        self.requests_max = 0
        self.window_ms = 0
        self.window = 0
        self.requests_in_window = 0
        self.schedule: Sequence[ScheduleStep] = ()
        self.next_step_ns = 0

    def band_edge_ticks(self, side: int) -> int:
        """The worst price for this side at which anything may trade; 0 if there is no band (rulebook B5, G7)."""
        if not self.rules.band_ppm or not self.reference_ticks:
            return 0
        distance_ticks = self.reference_ticks * self.rules.band_ppm // FEE_SCALE
        edge_ticks = self.reference_ticks + (distance_ticks if side == BUY else -distance_ticks)
        return max(edge_ticks, 1)

    def lets_rest(self, side: int, price_ticks: int) -> bool:
        """May a limit order of this price stay in the book of a market that trades?

        A bid above the band, or an ask below it, could only trade outside of it, and would block whoever comes.
        """
        edge_ticks = self.band_edge_ticks(side)
        if not edge_ticks:
            return True
        return price_ticks <= edge_ticks if side == BUY else price_ticks >= edge_ticks

    def refuses_cancels(self) -> bool:
        """Is this the part of an auction in which an order can no longer be taken back? (rulebook G6)"""
        return self.state == AUCTION and self.phase != CALL and self.rules.no_cancel_ms > 0
