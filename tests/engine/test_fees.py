"""Fees round once per order, towards the exchange."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.book import Order
from engine.fees import charge, fee_to_come_units, worst_rate_ppm
from engine.types import BUY, FEE_PPM_MAX, FEE_SCALE, NOTIONAL_MAX, MarketSpec

RATES = st.integers(-FEE_PPM_MAX, FEE_PPM_MAX)
FILLS = st.lists(st.tuples(st.integers(1, 10**7), RATES), min_size=1, max_size=12)


def _order() -> Order:
    return Order(1, 1, 1, BUY, b"c1")


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
    assert charge(_order(), notional_units, rate_ppm) == fee_units


@given(FILLS)
def test_an_order_pays_its_exact_fee_rounded_up_once(fills: list[tuple[int, int]]) -> None:
    order = _order()
    total = sum(charge(order, notional_units, rate_ppm) for notional_units, rate_ppm in fills)
    exact_ppm = sum(notional_units * rate_ppm for notional_units, rate_ppm in fills)
    assert total == order.fee_units == (exact_ppm + FEE_SCALE - 1) // FEE_SCALE
    assert order.fee_overpaid_ppm == total * FEE_SCALE - exact_ppm
    assert 0 <= order.fee_overpaid_ppm < FEE_SCALE


@given(notional_units=st.integers(1, 10**9), rate_ppm=RATES, cuts=st.lists(st.integers(0, 10**9), max_size=20))
def test_cutting_an_order_into_fills_does_not_change_its_fee(
    notional_units: int, rate_ppm: int, cuts: list[int]
) -> None:
    whole, cut = _order(), _order()
    charge(whole, notional_units, rate_ppm)
    edges = [0, *sorted(edge % notional_units for edge in cuts), notional_units]
    for start, end in pairwise(edges):
        charge(cut, end - start, rate_ppm)
    assert (cut.fee_units, cut.fee_overpaid_ppm) == (whole.fee_units, whole.fee_overpaid_ppm)


@given(fills=FILLS, notional_units=st.integers(1, 10**7), rate_ppm=RATES)
def test_the_fee_to_come_is_what_will_be_charged(
    fills: list[tuple[int, int]], notional_units: int, rate_ppm: int
) -> None:
    order = _order()
    for fill_units, fill_rate_ppm in fills:
        charge(order, fill_units, fill_rate_ppm)
    before = (order.fee_units, order.fee_overpaid_ppm)
    expected = fee_to_come_units(order, notional_units, rate_ppm)
    assert (order.fee_units, order.fee_overpaid_ppm) == before
    assert charge(order, notional_units, rate_ppm) == expected


@given(FILLS)
def test_a_fee_at_a_lower_rate_is_never_above_the_fee_held_for(fills: list[tuple[int, int]]) -> None:
    """What was held at the worst rate pays for any fills at that rate or a lower one."""
    worst_ppm = max(0, *(rate_ppm for _, rate_ppm in fills))
    order = _order()
    held = fee_to_come_units(order, sum(notional_units for notional_units, _ in fills), worst_ppm)
    assert sum(charge(order, notional_units, rate_ppm) for notional_units, rate_ppm in fills) <= held


@pytest.mark.parametrize(
    ("maker_ppm", "taker_ppm", "worst_ppm"), [(1_000, 2_500, 2_500), (2_500, 1_000, 2_500), (-200, 200, 200), (0, 0, 0)]
)
def test_a_hold_covers_the_worse_rate_and_counts_on_no_rebate(maker_ppm: int, taker_ppm: int, worst_ppm: int) -> None:
    market = MarketSpec(1, b"GLD-EUR", 1, 2, 3, 5, 1_000, 1, 1, 0, maker_ppm, taker_ppm, 1)
    assert worst_rate_ppm(market) == worst_ppm
