"""Fees: exact per order, rounded up once.

A fill's fee is the increase of ``ceil(exact fee of the order so far)``. So an order pays the
exact fee of everything it executed, rounded up to the base unit once: cutting an order into many fills
neither avoids fees nor makes it pay more than was held for it. A rebate is a negative rate; the same
rounding towards the exchange makes it round down (rulebook, convention 2 and row D5; ADR 0003).

``Order.fee_units`` is what was charged, ``Order.fee_overpaid_ppm`` how far that is above the exact
fee, in millionths of a base unit (0 to 999,999).
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.amounts import ceil_div
from engine.orders import Order
from engine.types import AMOUNT_MAX, FEE_PPM_MAX, FEE_SCALE, FEE_TIERS_MAX, FeeTier, MarketSpec


def charge(order: Order, notional_units: int, rate_ppm: int) -> int:
    """Book the fee of one fill on its order. Answers the fee in quote base units; negative for a rebate.

    Notional times rate need not fit in 64 bits, so whole millions of the notional are reckoned by themselves: they have
    no rounding.
    """
    exact_ppm = notional_units % FEE_SCALE * rate_ppm - order.fee_overpaid_ppm
    rounded_units = ceil_div(exact_ppm, FEE_SCALE)
    fee_units = notional_units // FEE_SCALE * rate_ppm + rounded_units
    order.fee_units += fee_units
    order.fee_overpaid_ppm = rounded_units * FEE_SCALE - exact_ppm
    return fee_units


def fee_to_come_units(fee_overpaid_ppm: int, notional_units: int, rate_ppm: int) -> int:
    """The fee if an order, so far overpaid by so much, executed ``notional_units`` more at this rate."""
    exact_ppm = notional_units % FEE_SCALE * rate_ppm - fee_overpaid_ppm
    return notional_units // FEE_SCALE * rate_ppm + ceil_div(exact_ppm, FEE_SCALE)


def worst_rate_ppm(market: MarketSpec) -> int:
    """The rate that a hold must cover: a resting order may pay either, and a rebate is not counted on."""
    return max(market.taker_fee_ppm, market.maker_fee_ppm, 0)


def rates(market: MarketSpec, tiers: Sequence[FeeTier], volume_units: int) -> tuple[int, int]:
    """What an account with this volume pays as maker and as taker: the highest tier it reached, else the listed fees.

    ``tiers`` are those that :func:`tiers_allowed` let through.
    """
    for tier in reversed(tiers):
        if volume_units >= tier.volume_units:
            return tier.maker_fee_ppm, tier.taker_fee_ppm
    return market.maker_fee_ppm, market.taker_fee_ppm


def tiers_allowed(market: MarketSpec, tiers: Sequence[FeeTier]) -> bool:
    """May this market have these tiers? They rise in volume, and none costs more than the one below it.

    So a hold at the listed fees covers every tier, and the exchange pays nothing on a trade between any two: the
    lowest maker fee and the lowest taker fee, which are the last tier's, are together not below zero.
    """
    if len(tiers) > FEE_TIERS_MAX:
        return False
    below = FeeTier(0, market.maker_fee_ppm, market.taker_fee_ppm)
    for tier in tiers:
        if not below.volume_units < tier.volume_units <= AMOUNT_MAX:
            return False
        if not -FEE_PPM_MAX <= tier.maker_fee_ppm <= below.maker_fee_ppm:
            return False
        if not -FEE_PPM_MAX <= tier.taker_fee_ppm <= below.taker_fee_ppm:
            return False
        below = tier
    return below.maker_fee_ppm + below.taker_fee_ppm >= 0
