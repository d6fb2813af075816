"""What a market is up to: its state, its rules, its last price. Data, and the questions that it answers by itself.

Which commands a state admits is one table, below. How states follow each other: ``engine.sessions``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from engine.rate import Counted
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


class Session(Counted):
    """One market's. ``last_price_ticks`` is 0 until there is one; ``phase_ends_ns`` 0 if no time ends it.

    ``announced_end_ns`` is when the fixed part of an auction is over: nobody is told when a random end comes.
    ``requests_max`` per ``window_ms`` is the market's rate, 0 if it has none (``engine.rate`` counts).
    ``reference_ticks`` is what the band is measured from: the last price before the command under way.
    The rules that orders ask for have fields of their own here.
    """

    __slots__ = (
        "_rules",
        "announced_end_ns",
        "band_ppm",
        "indicative",
        "interrupts",
        "last_price_ticks",
        "next_step_ns",
        "no_cancel_ms",
        "open_orders_max",
        "phase",
        "phase_ends_ns",
        "reference_ticks",
        "requests_max",
        "schedule",
        "state",
        "stops_max",
        "tiers",
        "window_ms",
    )

    def __init__(self) -> None:
        super().__init__()
        self.state = TRADING
        self._rules = MarketRules()
        self.rules = self._rules
        self.last_price_ticks = 0
        self.reference_ticks = 0
        self.phase = CALL
        self.phase_ends_ns = 0
        self.announced_end_ns = 0
        self.indicative = NOTHING
        self.tiers: Sequence[FeeTier] = ()
        self.requests_max = 0
        self.window_ms = 0
        self.schedule: Sequence[ScheduleStep] = ()
        self.next_step_ns = 0

    @property
    def rules(self) -> MarketRules:
        return self._rules

    @rules.setter
    def rules(self, rules: MarketRules) -> None:
        self._rules = rules
        self.band_ppm = rules.band_ppm
        self.interrupts = rules.interrupts
        self.no_cancel_ms = rules.no_cancel_ms
        self.open_orders_max = rules.open_orders_max
        self.stops_max = rules.stops_max

    def band_edge_ticks(self, side: int) -> int:
        """The worst price for this side at which anything may trade; 0 if there is no band (rulebook B5, G7)."""
        if not self.band_ppm or not self.reference_ticks:
            return 0
        # The product as a whole need not fit in 64 bits; that of whole millions is exact.
        distance_ticks = self.reference_ticks // FEE_SCALE * self.band_ppm
        distance_ticks += self.reference_ticks % FEE_SCALE * self.band_ppm // FEE_SCALE
        if side == BUY:
            return self.reference_ticks + distance_ticks
        return max(self.reference_ticks - distance_ticks, 1)

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
        return self.state == AUCTION and self.phase != CALL and self.no_cancel_ms > 0
