"""Fees round once per order, towards the exchange."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.fees import charge, fee_to_come_units, rates, tiers_allowed, worst_rate_ppm
from engine.orders import Order
from engine.types import (
    AMOUNT_MAX,
    FEE_PPM_MAX,
    FEE_SCALE,
    FEE_TIERS_MAX,
    NOTIONAL_MAX,
    FeeTier,
    MarketSpec,
)

RATES = st.integers(-FEE_PPM_MAX, FEE_PPM_MAX)
FILLS = st.lists(st.tuples(st.integers(1, 10**7), RATES), min_size=1, max_size=12)


def _market(maker_ppm: int, taker_ppm: int) -> MarketSpec:
    return MarketSpec(1, b"GLD-EUR", 1, 2, 3, 5, 1_000, 1, 1, 0, maker_ppm, taker_ppm, 1)


@pytest.mark.parametrize(
    ("notional_units", "rate_ppm", "fee_units"),
    [
        (100_000_000, 2_500, 250_000),  # row D5: 0.25 % of 1000.00 is 2.50
        (100_000_000, -200, -20_000),  # and its rebate of 0.02 % is 0.20
        (1_001, 2_500, 3),  # 0.01001: 2.5025 units round up
        (1_001, -200, 0),  # a rebate of 0.2002 units rounds down
        (400, 2_500, 1),  # exactly one unit
        (401, 2_500, 2),
        (399, 2_500, 1),
        (1, 1, 1),
        (1, -1, 0),
        (5_000, -200, -1),
        (4_999, -200, 0),
        (1_000, 0, 0),
        (NOTIONAL_MAX, FEE_PPM_MAX, 230_584_300_921_369_396),
    ],
)
def test_a_single_fill_rounds_towards_the_exchange(notional_units: int, rate_ppm: int, fee_units: int) -> None:
    assert charge(Order(), notional_units, rate_ppm) == fee_units


@given(FILLS)
def test_an_order_pays_its_exact_fee_rounded_up_once(fills: list[tuple[int, int]]) -> None:
    order = Order()
    total = sum(charge(order, notional_units, rate_ppm) for notional_units, rate_ppm in fills)
    exact_ppm = sum(notional_units * rate_ppm for notional_units, rate_ppm in fills)
    assert total == order.fee_units == (exact_ppm + FEE_SCALE - 1) // FEE_SCALE
    assert order.fee_overpaid_ppm == total * FEE_SCALE - exact_ppm
    assert 0 <= order.fee_overpaid_ppm < FEE_SCALE


@given(notional_units=st.integers(1, 10**9), rate_ppm=RATES, cuts=st.lists(st.integers(0, 10**9), max_size=20))
def test_cutting_an_order_into_fills_does_not_change_its_fee(
    notional_units: int, rate_ppm: int, cuts: list[int]
) -> None:
    whole, cut = Order(), Order()
    charge(whole, notional_units, rate_ppm)
    edges = [0, *sorted(edge % notional_units for edge in cuts), notional_units]
    for start, end in pairwise(edges):
        charge(cut, end - start, rate_ppm)
    assert (cut.fee_units, cut.fee_overpaid_ppm) == (whole.fee_units, whole.fee_overpaid_ppm)


@given(fills=FILLS, notional_units=st.integers(1, 10**7), rate_ppm=RATES)
def test_the_fee_to_come_is_what_will_be_charged(
    fills: list[tuple[int, int]], notional_units: int, rate_ppm: int
) -> None:
    order = Order()
    for fill_units, fill_rate_ppm in fills:
        charge(order, fill_units, fill_rate_ppm)
    before = (order.fee_units, order.fee_overpaid_ppm)
    expected = fee_to_come_units(order.fee_overpaid_ppm, notional_units, rate_ppm)
    assert (order.fee_units, order.fee_overpaid_ppm) == before
    assert charge(order, notional_units, rate_ppm) == expected


@given(FILLS)
def test_a_fee_at_a_lower_rate_is_never_above_the_fee_held_for(fills: list[tuple[int, int]]) -> None:
    """What was held at the worst rate pays for any fills at that rate or a lower one."""
    worst_ppm = max(0, *(rate_ppm for _, rate_ppm in fills))
    order = Order()
    held = fee_to_come_units(order.fee_overpaid_ppm, sum(notional_units for notional_units, _ in fills), worst_ppm)
    assert sum(charge(order, notional_units, rate_ppm) for notional_units, rate_ppm in fills) <= held


@pytest.mark.parametrize(
    ("maker_ppm", "taker_ppm", "worst_ppm"), [(1_000, 2_500, 2_500), (2_500, 1_000, 2_500), (-200, 200, 200), (0, 0, 0)]
)
def test_a_hold_covers_the_worse_rate_and_counts_on_no_rebate(maker_ppm: int, taker_ppm: int, worst_ppm: int) -> None:
    assert worst_rate_ppm(_market(maker_ppm, taker_ppm)) == worst_ppm


TIERS = [FeeTier(1_000, 800, 2_000), FeeTier(5_000, 0, 1_500), FeeTier(5_001, -200, 1_500)]


@pytest.mark.parametrize(
    ("volume_units", "maker_and_taker_ppm"),
    [
        (0, (1_000, 2_500)),
        (999, (1_000, 2_500)),
        (1_000, (800, 2_000)),
        (4_999, (800, 2_000)),
        (5_000, (0, 1_500)),
        (5_001, (-200, 1_500)),
        (30 * AMOUNT_MAX, (-200, 1_500)),
    ],
)
def test_an_account_pays_the_rates_of_the_highest_tier_it_reached(
    volume_units: int, maker_and_taker_ppm: tuple[int, int]
) -> None:
    assert rates(_market(1_000, 2_500), TIERS, volume_units) == maker_and_taker_ppm


def test_without_tiers_everybody_pays_the_listed_fees() -> None:
    assert rates(_market(-200, 2_500), [], AMOUNT_MAX) == (-200, 2_500)


@pytest.mark.parametrize(
    ("tiers", "allowed"),
    [
        ([], True),
        (TIERS, True),
        ([FeeTier(volume_units, 1_000, 2_500) for volume_units in range(1, FEE_TIERS_MAX + 1)], True),
        ([FeeTier(volume_units, 1_000, 2_500) for volume_units in range(1, FEE_TIERS_MAX + 2)], False),
        ([FeeTier(1, 1_000, 2_500)], True),
        ([FeeTier(0, 1_000, 2_500)], False),
        ([FeeTier(-1, 1_000, 2_500)], False),
        ([FeeTier(AMOUNT_MAX, 0, 0)], True),
        ([FeeTier(AMOUNT_MAX + 1, 0, 0)], False),
        ([FeeTier(5, 0, 0), FeeTier(5, 0, 0)], False),
        ([FeeTier(5, 0, 0), FeeTier(4, 0, 0)], False),
        ([FeeTier(1, 1_001, 2_500)], False),
        ([FeeTier(1, 1_000, 2_501)], False),
        ([FeeTier(1, 500, 2_000), FeeTier(2, 501, 1_000)], False),
        ([FeeTier(1, 500, 2_000), FeeTier(2, 400, 2_001)], False),
        ([FeeTier(1, -1_500, 1_500)], True),
        ([FeeTier(1, -1_501, 1_500)], False),
        ([FeeTier(1, 1_000, -1_000)], True),  # a rebate for takers
        ([FeeTier(1, 1_000, -1_001)], False),
        # A maker of the second tier and a taker of the first: the lowest of each must cover each other.
        ([FeeTier(1, 1_000, 200), FeeTier(2, -300, 200)], False),
    ],
)
def test_tiers_rise_in_volume_fall_in_fees_and_cost_the_exchange_nothing(tiers: list[FeeTier], allowed: bool) -> None:
    assert tiers_allowed(_market(1_000, 2_500), tiers) is allowed


@pytest.mark.parametrize(
    ("tier", "allowed"),
    [
        (FeeTier(1, -FEE_PPM_MAX, FEE_PPM_MAX), True),
        (FeeTier(1, FEE_PPM_MAX, -FEE_PPM_MAX), True),
        (FeeTier(1, -FEE_PPM_MAX - 1, FEE_PPM_MAX), False),
        (FeeTier(1, FEE_PPM_MAX, -FEE_PPM_MAX - 1), False),
        (FeeTier(1, FEE_PPM_MAX + 1, FEE_PPM_MAX), False),
        (FeeTier(1, FEE_PPM_MAX, FEE_PPM_MAX + 1), False),
    ],
)
def test_a_tier_is_within_ten_per_cent(tier: FeeTier, allowed: bool) -> None:
    assert tiers_allowed(_market(FEE_PPM_MAX, FEE_PPM_MAX), [tier]) is allowed


@given(
    listed=st.tuples(st.integers(0, 3_000), st.integers(0, 3_000)),
    cuts=st.lists(st.tuples(st.integers(0, 900), st.integers(0, 900)), max_size=FEE_TIERS_MAX),
)
def test_between_any_two_tiers_the_exchange_pays_nothing_and_a_hold_covers_both(
    listed: tuple[int, int], cuts: list[tuple[int, int]]
) -> None:
    market, tiers, (maker_ppm, taker_ppm) = _market(*listed), list[FeeTier](), listed
    for volume_units, (maker_cut_ppm, taker_cut_ppm) in enumerate(cuts, 1):
        maker_ppm, taker_ppm = maker_ppm - maker_cut_ppm, taker_ppm - taker_cut_ppm
        tiers.append(FeeTier(volume_units, maker_ppm, taker_ppm))
    paid = [rates(market, tiers, volume_units) for volume_units in range(len(tiers) + 1)]
    lowest_sum_ppm = min(maker for maker, _ in paid) + min(taker for _, taker in paid)
    assert tiers_allowed(market, tiers) == (lowest_sum_ppm >= 0)
    assert max(max(pair) for pair in paid) <= worst_rate_ppm(market)
