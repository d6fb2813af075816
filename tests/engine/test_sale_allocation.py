"""Who gets how much: pro rata with caps against a naive reference, and the uniform price."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sale_allocation import Clearing, allot_pot, clear_at_uniform_price, divide
from engine.types import AMOUNT_MAX, SUBSCRIPTIONS_PER_SALE_MAX

ANA, BO, CY, DEE = 1, 2, 3, 4

SMALL = st.integers(1, 60)
ANY_SIZE = st.integers(1, 12) | SMALL | st.integers(1, AMOUNT_MAX)
CLAIMS = st.lists(st.tuples(ANY_SIZE, st.integers(0, 12) | ANY_SIZE), min_size=1, max_size=12)  # (weight, cap)
COMMITMENTS = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 400)), max_size=14)
BIDS = st.lists(st.tuples(st.integers(5, 12), SMALL), max_size=12)


def divided_naively(quantity: int, weights: list[int], caps: list[int]) -> list[int]:
    """Cap in rounds until nobody is above, exactly; then largest remainders. Takes a round for each cap."""
    if quantity >= sum(caps):
        return list(caps)
    level = Fraction(0)
    capped: list[int] = []
    while True:
        free = [index for index in range(len(caps)) if index not in capped]
        level = Fraction(quantity - sum(caps[index] for index in capped), sum(weights[index] for index in free))
        full = [index for index in free if level * weights[index] >= caps[index]]
        if not full:
            break
        capped += full
    exact = [min(Fraction(cap), level * weight) for weight, cap in zip(weights, caps, strict=True)]
    shares = [share.numerator // share.denominator for share in exact]
    while sum(shares) < quantity:
        shares[max(range(len(shares)), key=lambda index: (exact[index] - shares[index], -index))] += 1
    return shares


@given(CLAIMS, ANY_SIZE)
def test_a_division_is_the_one_that_capping_in_rounds_finds(claims: list[tuple[int, int]], quantity: int) -> None:
    weights, caps = [weight for weight, _ in claims], [cap for _, cap in claims]
    assert divide(quantity, weights=weights, caps=caps) == divided_naively(quantity, weights, caps)


@given(CLAIMS, ANY_SIZE)
def test_all_is_divided_that_the_caps_admit_and_nobody_is_above(claims: list[tuple[int, int]], quantity: int) -> None:
    weights, caps = [weight for weight, _ in claims], [cap for _, cap in claims]
    shares = divide(quantity, weights=weights, caps=caps)
    assert sum(shares) == min(quantity, sum(caps))
    assert all(0 <= share <= cap for share, cap in zip(shares, caps, strict=True))


@given(CLAIMS, ANY_SIZE)
def test_whoever_may_take_more_and_commits_more_gets_no_less(claims: list[tuple[int, int]], quantity: int) -> None:
    shares = divide(quantity, weights=[weight for weight, _ in claims], caps=[cap for _, cap in claims])
    for place, (weight, cap) in enumerate(claims):
        for other, (less, lower) in enumerate(claims):
            if cap >= lower and (weight > less or (weight == less and place < other)):
                assert shares[place] >= shares[other], (place, other)


@given(CLAIMS, ANY_SIZE, st.data())
def test_a_greater_weight_alone_never_costs_a_share(
    claims: list[tuple[int, int]], quantity: int, data: st.DataObject
) -> None:
    weights, caps = [weight for weight, _ in claims], [cap for _, cap in claims]
    place = data.draw(st.integers(0, len(claims) - 1))
    before = divide(quantity, weights=weights, caps=caps)[place]
    weights[place] += data.draw(ANY_SIZE)
    assert divide(quantity, weights=weights, caps=caps)[place] >= before


def test_a_largest_remainder_goes_first_and_a_tie_to_the_earlier() -> None:
    assert divide(100, weights=[1, 1, 1], caps=[100] * 3) == [34, 33, 33]
    assert divide(10, weights=[1, 2, 3], caps=[10] * 3) == [2, 3, 5]  # 1 2/3, 3 1/3, 5
    assert divide(2, weights=[1, 1, 1, 1], caps=[1] * 4) == [1, 1, 0, 0]


def test_what_a_capped_one_cannot_take_may_cap_the_next() -> None:
    # In proportion 60, 30, 10. The first is capped at 20: the 80 left would be 60 and 20. That caps the second.
    assert divide(100, weights=[6, 3, 1], caps=[20, 50, 100]) == [20, 50, 30]


def test_a_cap_that_is_met_exactly_caps() -> None:
    assert divide(9, weights=[2, 1], caps=[6, 9]) == [6, 3]
    assert divide(9, weights=[2, 1], caps=[5, 9]) == [5, 4]


def test_nothing_to_divide_and_nobody_to_divide_among() -> None:
    assert divide(5, weights=[], caps=[]) == []
    assert divide(0, weights=[1, 2], caps=[3, 0]) == [0, 0]
    assert allot_pot([], price_units=1, quantity_lots=5, account_cap_lots=0) == []
    assert clear_at_uniform_price([], quantity_lots=5, floor_units=2) == Clearing(2, [])


@pytest.mark.parametrize(("weights", "caps"), [([0], [1]), ([1, -1], [1, 1]), ([1], [-1])])
def test_a_weight_or_cap_out_of_range_is_a_bug(weights: list[int], caps: list[int]) -> None:
    with pytest.raises(AssertionError):
        divide(1, weights=weights, caps=caps)


def test_ratios_that_differ_only_behind_the_point_are_told_apart() -> None:
    """Whoever rounds 5/9 and 7/14 to sixteenths takes the first for the lower, and gives the second 8 of its 7."""
    assert divide(17, weights=[9, 14, 8], caps=[5, 7, 19]) == [5, 7, 5]
    weights, caps = [AMOUNT_MAX, AMOUNT_MAX - 1], [AMOUNT_MAX - 2, AMOUNT_MAX - 2]
    quantity = 2 * AMOUNT_MAX - 5
    assert divide(quantity, weights=weights, caps=caps) == divided_naively(quantity, weights, caps)
    assert divide(quantity, weights=weights[::-1], caps=caps) == divided_naively(quantity, weights[::-1], caps)


@pytest.mark.timeout(30)
def test_as_many_as_a_sale_may_have_are_divided_at_once() -> None:
    """Whatever looks at every account for every account takes hours here."""
    count = SUBSCRIPTIONS_PER_SALE_MAX
    # Every ratio of cap to weight is another.
    commitments = [(account_id, account_id * account_id) for account_id in range(1, count + 1)]
    weights, caps = [weight for _, weight in commitments], list(range(count, 0, -1))
    quantity = sum(caps) - 1
    shares = divide(quantity, weights=weights, caps=caps)
    assert sum(shares) == quantity and [cap - share for cap, share in zip(caps, shares, strict=True)].count(0) > 0
    lots = allot_pot(commitments, price_units=1, quantity_lots=10**9, account_cap_lots=12_345)
    assert sum(lots) == 10**9 and max(lots) == 12_345


def test_h2_a_pot_is_divided_pro_rata() -> None:
    commitments = [(ANA, 150_000), (BO, 250_000), (CY, 100_000)]
    assert allot_pot(commitments, price_units=200, quantity_lots=1_000, account_cap_lots=0) == [300, 500, 200]


def test_h3_three_equal_commitments_to_a_hundred_lots() -> None:
    commitments = [(ANA, 100), (BO, 100), (CY, 100)]
    assert allot_pot(commitments, price_units=1, quantity_lots=100, account_cap_lots=0) == [34, 33, 33]


def test_h6_a_cap_per_account_leaves_the_rest_to_the_others_and_then_unsold() -> None:
    commitments = [(ANA, 3_000), (BO, 500), (CY, 500)]
    assert allot_pot(commitments, price_units=2, quantity_lots=1_000, account_cap_lots=400) == [400, 250, 250]
    assert allot_pot(commitments, price_units=2, quantity_lots=800, account_cap_lots=400) == [400, 200, 200]


def test_a_cap_holds_for_the_account_and_not_for_each_subscription() -> None:
    commitments = [(ANA, 300), (BO, 500), (ANA, 300), (ANA, 300)]
    assert allot_pot(commitments, price_units=1, quantity_lots=2_000, account_cap_lots=400) == [300, 400, 100, 0]


def test_splitting_a_commitment_gains_nothing() -> None:
    whole = allot_pot([(ANA, 600), (BO, 400)], price_units=1, quantity_lots=101, account_cap_lots=0)
    split = allot_pot([(ANA, 1)] * 600 + [(BO, 400)], price_units=1, quantity_lots=101, account_cap_lots=0)
    assert whole == [61, 40]
    assert [sum(split[:600]), split[600]] == whole
    assert split[:61] == [1] * 61  # the earliest first


def test_a_tie_goes_to_the_account_that_subscribed_first_whatever_its_number() -> None:
    commitments = [(DEE, 50), (ANA, 100), (DEE, 50)]
    assert allot_pot(commitments, price_units=1, quantity_lots=101, account_cap_lots=0) == [50, 50, 1]


def test_an_account_demands_what_each_subscription_buys_by_itself() -> None:
    # Two times 1.5 lots are two lots, although 3 units would buy three.
    assert allot_pot([(ANA, 15), (ANA, 15)], price_units=10, quantity_lots=100, account_cap_lots=0) == [1, 1]


@given(COMMITMENTS, st.integers(1, 30), st.integers(1, 120), st.integers(0, 40))
def test_a_pot_gives_nobody_more_than_its_money_buys_and_gives_all_it_can(
    commitments: list[tuple[int, int]], price_units: int, quantity_lots: int, account_cap_lots: int
) -> None:
    lots = allot_pot(
        commitments, price_units=price_units, quantity_lots=quantity_lots, account_cap_lots=account_cap_lots
    )
    got: dict[int, int] = {}
    demanded: dict[int, int] = {}
    for (account_id, committed_units), allotted in zip(commitments, lots, strict=True):
        assert 0 <= allotted * price_units <= committed_units
        got[account_id] = got.get(account_id, 0) + allotted
        demanded[account_id] = demanded.get(account_id, 0) + committed_units // price_units
    possible = {account_id: min(lots, account_cap_lots or lots) for account_id, lots in demanded.items()}
    assert all(got[account_id] <= possible[account_id] for account_id in got)
    assert sum(lots) == min(quantity_lots, sum(possible.values()))


def test_h5_the_lowest_price_that_wins_is_what_all_pay() -> None:
    bids = [(300, 40), (250, 40), (200, 40), (150, 40)]
    assert clear_at_uniform_price(bids, quantity_lots=100, floor_units=100) == Clearing(200, [40, 40, 20, 0])


def test_at_one_price_the_earlier_bid_is_filled_first() -> None:
    bids = [(200, 40), (300, 40), (200, 40)]
    assert clear_at_uniform_price(bids, quantity_lots=60, floor_units=100) == Clearing(200, [20, 40, 0])


def test_the_floor_is_the_price_if_one_lot_is_left() -> None:
    bids = [(300, 40), (250, 59)]
    assert clear_at_uniform_price(bids, quantity_lots=100, floor_units=100) == Clearing(100, [40, 59])
    assert clear_at_uniform_price(bids, quantity_lots=99, floor_units=100) == Clearing(250, [40, 59])
    assert clear_at_uniform_price(bids, quantity_lots=40, floor_units=100) == Clearing(300, [40, 0])


@given(BIDS, st.integers(1, 150))
def test_a_uniform_price_fills_the_best_bids_and_nobody_pays_more_than_was_bid(
    bids: list[tuple[int, int]], quantity_lots: int
) -> None:
    price_units, lots = clear_at_uniform_price(bids, quantity_lots=quantity_lots, floor_units=5)
    assert sum(lots) == min(quantity_lots, sum(asked for _, asked in bids))
    for place, (bid_units, asked_lots) in enumerate(bids):
        assert 0 <= lots[place] <= asked_lots
        assert not lots[place] or bid_units >= price_units
        assert lots[place] == asked_lots or bid_units <= price_units, "a better bid than the last one is not full"
        for other, (other_units, _) in enumerate(bids):
            comes_first = (-bid_units, place) < (-other_units, other)
            assert not (comes_first and lots[other] and lots[place] < asked_lots)
