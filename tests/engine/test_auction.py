"""The single price of a call auction: rows G2 to G5 in numbers, and against every price there could be."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.auction import uncross_price
from engine.session import NOTHING, Indicative

Orders = list[tuple[int, int]]  # (price_ticks, quantity_lots), in any order


def _levels(orders: Orders, *, highest_first: bool) -> Orders:
    by_price: dict[int, int] = {}
    for price, lots in orders:
        by_price[price] = by_price.get(price, 0) + lots
    return sorted(by_price.items(), reverse=highest_first)


def _price(bids: Orders, asks: Orders, reference: int = 0) -> Indicative:
    candidates = sorted({price for price, _ in (*bids, *asks)})
    bid_levels, ask_levels = _levels(bids, highest_first=True), _levels(asks, highest_first=False)
    return uncross_price(bid_levels, ask_levels, reference, candidates)


def _at(bids: Orders, asks: Orders, price: int) -> tuple[int, int]:
    """What would be traded at a price, and what would be left to buy (negative: to sell)."""
    bought = sum(lots for limit, lots in bids if limit >= price)
    sold = sum(lots for limit, lots in asks if limit <= price)
    return min(bought, sold), bought - sold


def _by_brute_force(bids: Orders, asks: Orders, reference: int) -> Indicative:
    """The rules, one sieve after the other, over all candidate prices."""
    prices = sorted({price for price, _ in (*bids, *asks)})
    volume = max((_at(bids, asks, price)[0] for price in prices), default=0)
    if not volume:
        return NOTHING
    prices = [price for price in prices if _at(bids, asks, price)[0] == volume]
    least = min(abs(_at(bids, asks, price)[1]) for price in prices)
    prices = [price for price in prices if abs(_at(bids, asks, price)[1]) == least]
    surpluses = [_at(bids, asks, price)[1] for price in prices]
    if all(surplus > 0 for surplus in surpluses):
        price = prices[-1]
    elif all(surplus < 0 for surplus in surpluses):
        price = prices[0]
    else:
        price = min(max(reference, prices[0]), prices[-1])
    return Indicative(price, *_at(bids, asks, price))


G2_BIDS: Orders = [(1_010, 30), (1_005, 20), (1_000, 25)]
G2_ASKS: Orders = [(995, 15), (1_000, 20), (1_005, 30)]


def test_g2_where_most_executes() -> None:
    volumes = [_at(G2_BIDS, G2_ASKS, price)[0] for price in (995, 1_000, 1_005, 1_010)]
    assert volumes == [15, 35, 50, 30], "the row's own numbers"
    assert _price(G2_BIDS, G2_ASKS) == Indicative(1_005, 50, -15)


def test_g3_where_least_is_left_over() -> None:
    bids, asks = [(1_010, 40), (1_000, 5)], [(1_000, 40), (1_010, 20)]
    assert (_at(bids, asks, 1_000), _at(bids, asks, 1_010)) == ((40, 5), (40, -20)), "the row's own numbers"
    assert _price(bids, asks) == Indicative(1_000, 40, 5)


@pytest.mark.parametrize(
    ("bought", "sold", "expected"),
    [(50, 40, Indicative(1_020, 40, 10)), (40, 50, Indicative(1_000, 40, -10))],
)
@pytest.mark.parametrize("reference", [0, 900, 1_007, 1_100])
def test_g4_buyers_left_over_pay_the_highest_and_sellers_get_the_lowest(
    bought: int, sold: int, expected: Indicative, reference: int
) -> None:
    assert _price([(1_020, bought)], [(1_000, sold)], reference) == expected


@pytest.mark.parametrize(
    ("reference", "expected"),
    [(1_007, 1_007), (950, 1_000), (1_100, 1_020), (1_000, 1_000), (1_020, 1_020), (1_001, 1_001), (0, 1_000)],
)
def test_g5_the_price_nearest_the_reference_where_nothing_is_left_over(reference: int, expected: int) -> None:
    assert _price([(1_020, 40)], [(1_000, 40)], reference) == Indicative(expected, 40, 0)


@pytest.mark.parametrize(
    ("bids", "asks"),
    [([(990, 10)], [(1_000, 10)]), ([], [(1_000, 10)]), ([(990, 10)], []), ([], []), ([(999, 1)], [(1_000, 1)])],
)
def test_g5_no_price_where_nothing_crosses(bids: Orders, asks: Orders) -> None:
    assert _price(bids, asks, 995) == NOTHING


def test_orders_that_touch_trade_at_the_price_where_they_do() -> None:
    assert _price([(1_000, 3)], [(1_000, 5)]) == Indicative(1_000, 3, -2)


def test_a_surplus_on_either_side_of_a_tie_leads_to_the_reference() -> None:
    """At 1,000 five are left to buy, at 1,010 five to sell: equal in all, so the reference decides, kept inside."""
    bids, asks = [(1_010, 40), (1_000, 5)], [(1_000, 40), (1_010, 5)]
    assert (_at(bids, asks, 1_000), _at(bids, asks, 1_010)) == ((40, 5), (40, -5))
    assert _price(bids, asks, 990) == Indicative(1_000, 40, 5)
    assert _price(bids, asks, 1_020) == Indicative(1_010, 40, -5)
    assert _price(bids, asks, 1_004) == Indicative(1_004, 40, 0)


def test_orders_without_a_candidate_price_make_no_price() -> None:
    """Market orders on both sides and nobody who names a price."""
    assert uncross_price([(1_050, 5)], [(950, 5)], 1_000, []) == NOTHING


_ORDERS = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 5)), max_size=7)


@settings(max_examples=1_000, deadline=None)
@given(bids=_ORDERS, asks=_ORDERS, reference=st.integers(0, 12))
def test_the_price_is_the_one_that_trying_all_prices_finds(bids: Orders, asks: Orders, reference: int) -> None:
    found = _price(bids, asks, reference)
    assert found == _by_brute_force(bids, asks, reference)
    assert found.quantity_lots == max(_at(bids, asks, price)[0] for price in range(11)), "more could execute"
    if found.quantity_lots:
        assert (found.quantity_lots, found.surplus_lots) == _at(bids, asks, found.price_ticks)


@given(bids=_ORDERS, asks=_ORDERS, reference=st.integers(1, 9))
def test_buying_and_selling_are_mirror_images(bids: Orders, asks: Orders, reference: int) -> None:
    """Turned upside down, the same orders find the same volume; where the reference decides, the mirrored price."""
    found = _price(bids, asks, reference)
    mirrored = _price(
        [(10 - price, lots) for price, lots in asks], [(10 - price, lots) for price, lots in bids], 10 - reference
    )
    assert mirrored.quantity_lots == found.quantity_lots and mirrored.surplus_lots == -found.surplus_lots
    if found.quantity_lots:
        assert mirrored.price_ticks == 10 - found.price_ticks
