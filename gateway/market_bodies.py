"""What may change about a market, as JSON: its state, its auction, its rules, its fee tiers, its schedule."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from engine.types import AUCTION, MARKET_STATE_NAMES, FeeTier, MarketRules, ScheduleStep
from gateway.rendering import Json, Market, fraction_text, market_body, optional_timestamp_text
from gateway.times import time_of_day_text

_PHASES: Final = ("call", "no_cancel", "random_end")  # of an auction, by the engine's number


def living_market_body(market: Market, state: dict[str, Any]) -> Json:
    """A market with all that changes about it. ``state`` is what a replica answers to the question ``market``."""
    last_price_ticks = state["last_price_ticks"]
    return market_body(market) | {
        "state": MARKET_STATE_NAMES[state["state"]],
        "last_price": market.price(last_price_ticks) if last_price_ticks else None,
        "auction": _auction_body(market, state) if state["state"] == AUCTION else None,
        "rules": rules_body(MarketRules(**state["rules"])),
        "rate": dict(zip(("requests_max", "window_ms"), state["rate"], strict=True)),
        "fee_tiers": tiers_body(market, (FeeTier(*tier) for tier in state["tiers"])),
        "schedule": schedule_body(ScheduleStep(*step) for step in state["schedule"]),
    }


def rules_body(rules: MarketRules) -> Json:
    """As an operator sets them."""
    return {
        "band": fraction_text(rules.band_ppm),
        "interrupts": bool(rules.interrupts),
        "call_ms": rules.call_ms,
        "no_cancel_ms": rules.no_cancel_ms,
        "random_end_ms_max": rules.random_end_ms_max,
        "auction_market_orders": bool(rules.auction_market_orders),
        "open_orders_max": rules.open_orders_max,
        "stops_max": rules.stops_max,
    }


def tiers_body(market: Market, tiers: Iterable[FeeTier]) -> list[Json]:
    return [
        {
            "volume": market.money(tier.volume_units),
            "maker_fee": fraction_text(tier.maker_fee_ppm),
            "taker_fee": fraction_text(tier.taker_fee_ppm),
        }
        for tier in tiers
    ]


def schedule_body(steps: Iterable[ScheduleStep]) -> list[Json]:
    return [{"at": time_of_day_text(step.second_of_day), "state": MARKET_STATE_NAMES[step.state]} for step in steps]


def _auction_body(market: Market, state: dict[str, Any]) -> Json:
    """``surplus`` is what would stay to buy at the indicative price; negative: to sell."""
    price_ticks, quantity_lots, surplus_lots = state["indicative"]
    crosses = quantity_lots > 0
    return {
        "phase": _PHASES[state["auction_phase"]],
        "ends_at": optional_timestamp_text(state["ends_at_ns"]),
        "indicative_price": market.price(price_ticks) if crosses else None,
        "indicative_quantity": market.quantity(quantity_lots) if crosses else None,
        "surplus": market.quantity(surplus_lots) if crosses else None,
    }
