"""The single price of a call auction.

Candidates are the limit prices present in the book (rulebook, convention 8). The price is, in this order: where most
executes, where least is left over, and among equals the highest if buyers are left over at all of them, the lowest if
sellers are, else the one nearest to the reference, which need not be a candidate itself (rulebook G2 to G5).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from engine.session import NOTHING, Indicative

Levels = Sequence[tuple[int, int]]  # (price_ticks, quantity_lots)


def uncross_price(bids: Levels, asks: Levels, reference_ticks: int, candidates: Sequence[int]) -> Indicative:
    """Find the price at which a call auction executes most. NOTHING if nothing crosses.

    ``bids`` are from the highest price, ``asks`` from the lowest, both with everything that is hidden. ``candidates``
    are prices in ascending order. Without a reference (0) the lowest of equals is nearest.
    """
    if not bids or not asks or bids[0][0] < asks[0][0]:
        return NOTHING
    best: list[Indicative] = []
    for price_ticks, bought_lots, sold_lots in _volumes(bids, asks, candidates):
        found = Indicative(price_ticks, min(bought_lots, sold_lots), bought_lots - sold_lots)
        if not best or _rank(found) > _rank(best[0]):
            best = [found]
        elif _rank(found) == _rank(best[0]):
            best.append(found)
    if not best or not best[0].quantity_lots:
        return NOTHING
    lowest, highest = best[0], best[-1]
    if lowest.surplus_lots > 0 and highest.surplus_lots > 0:
        return highest
    if lowest.surplus_lots < 0 and highest.surplus_lots < 0:
        return lowest
    price_ticks = min(max(reference_ticks, lowest.price_ticks), highest.price_ticks)
    if price_ticks == lowest.price_ticks:
        return lowest
    if price_ticks == highest.price_ticks:
        return highest
    ((_, bought_lots, sold_lots),) = _volumes(bids, asks, [price_ticks])
    return Indicative(price_ticks, min(bought_lots, sold_lots), bought_lots - sold_lots)


def _rank(found: Indicative) -> tuple[int, int]:
    return found.quantity_lots, -abs(found.surplus_lots)


def _volumes(bids: Levels, asks: Levels, prices: Sequence[int]) -> list[tuple[int, int, int]]:
    """What would be bought and sold at each of the ascending prices, as (price, bought, sold)."""
    bought = [0, *accumulate(lots for _, lots in bids)]
    sold = [0, *accumulate(lots for _, lots in asks)]
    willing_bids, willing_asks = len(bids), 0
    volumes = []
    for price_ticks in prices:
        while willing_bids and bids[willing_bids - 1][0] < price_ticks:
            willing_bids -= 1
        while willing_asks < len(asks) and asks[willing_asks][0] <= price_ticks:
            willing_asks += 1
        volumes.append((price_ticks, bought[willing_bids], sold[willing_asks]))
    return volumes
