"""The best prices of each market, with what the book shows at them between two commands."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from engine.types import BUY, SELL
from projections.open_order import OpenOrder


class Shown(NamedTuple):
    """What the book shows of one order."""

    market_id: int
    side: int
    price_ticks: int
    lots: int


class Best(NamedTuple):
    """All 0 on a side that is empty."""

    bid_ticks: int
    bid_lots: int
    ask_ticks: int
    ask_lots: int


class BestPrices:
    """Owns what each open order shows, and its sum by price."""

    def __init__(self) -> None:
        self._shown: dict[int, Shown] = {}  # by order_id
        self._levels: dict[tuple[int, int], dict[int, int]] = {}  # (market_id, side) -> price_ticks -> lots

    def update(self, orders: Iterable[OpenOrder]) -> set[int]:
        """Look at these orders again. Answers the markets whose book changed."""
        changed = set()
        for order in orders:
            before = self._shown.get(order.order_id)
            lots = order.shown_lots()
            if before is None and not lots:
                continue
            now = Shown(order.market_id, order.side, order.price_ticks, lots)
            if now == before:
                continue
            changed.add(order.market_id)
            if before is not None:
                self._change(before, -before.lots)
            if lots:
                self._shown[order.order_id] = now
                self._change(now, lots)
            else:
                del self._shown[order.order_id]
        return changed

    def best(self, market_id: int) -> Best:
        bids, asks = self._levels.get((market_id, BUY)), self._levels.get((market_id, SELL))
        bid_ticks = max(bids) if bids else 0
        ask_ticks = min(asks) if asks else 0
        return Best(bid_ticks, bids[bid_ticks] if bids else 0, ask_ticks, asks[ask_ticks] if asks else 0)

    def _change(self, shown: Shown, lots: int) -> None:
        level = self._levels.setdefault((shown.market_id, shown.side), {})
        left = level.get(shown.price_ticks, 0) + lots
        assert left >= 0, (shown, left)
        if left:
            level[shown.price_ticks] = left
        else:
            del level[shown.price_ticks]
