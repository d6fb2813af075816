"""Who gets how much of a token sale: pure functions over whole numbers.

A pot that is oversubscribed is divided pro rata to what was committed, but nobody gets more than a cap: the account's
cap, or the lots that its own money buys. What a capped account cannot take goes to the others, in the same proportion,
which may cap more of them. The end of that is one water level: everybody gets ``min(cap, level * weight)``. An account
is capped where ``cap / weight`` is not above the level, so the accounts in order of that ratio are capped up to some
place and share what is left from there on. One sort finds that place, where capping round by round would look at
everybody again for every round.

Shares are seldom whole lots: each is rounded down, and the lots left over go to the largest remainders, a tie to the
earlier subscription (rulebook rows H2, H3, H6). What an account gets is then spread over its own subscriptions, the
earliest first.

Products here exceed 64 bits on purpose: integers have no limit, and only their quotients are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Clearing(NamedTuple):
    """The one price for one lot that all pay, and the lots of each bid."""

    price_units: int
    lots: list[int]


def allot_pot(
    commitments: Sequence[tuple[int, int]], *, price_units: int, quantity_lots: int, account_cap_lots: int
) -> list[int]:
    """How many lots each commitment to a pot gets; a cap of 0 is none.

    Commitments are (account_id, committed_units) in order of subscription. Each buys whole lots at ``price_units``
    with its own money, so an account's demand is the sum over its subscriptions, not what their sum would buy.

    Source: rulebook rows H2, H3, H6.
    """
    weights: dict[int, int] = {}  # in order of the account's first subscription
    demands: dict[int, int] = {}
    for account_id, committed_units in commitments:
        weights[account_id] = weights.get(account_id, 0) + committed_units
        demands[account_id] = demands.get(account_id, 0) + committed_units // price_units
    caps = [min(lots, account_cap_lots) if account_cap_lots else lots for lots in demands.values()]
    shares = divide(quantity_lots, weights=list(weights.values()), caps=caps)
    left_lots = dict(zip(weights, shares, strict=True))
    allotted = []
    for account_id, committed_units in commitments:
        lots = min(committed_units // price_units, left_lots[account_id])
        left_lots[account_id] -= lots
        allotted.append(lots)
    assert not any(left_lots.values()), "an account was given more than its subscriptions can take"
    return allotted


def divide(quantity: int, *, weights: Sequence[int], caps: Sequence[int]) -> list[int]:
    """Divide a quantity in proportion to weights, nobody above its cap: the largest whole part that the caps admit.

    Weights are positive, caps not negative. Ties of remainders go to whoever comes first.
    """
    assert all(weight > 0 for weight in weights) and all(cap >= 0 for cap in caps), "a weight or a cap is out of range"
    if quantity >= sum(caps):
        return list(caps)
    order = _by_ratio(caps, weights)
    shares = [0] * len(caps)
    left, weight_left, capped = quantity, sum(weights), 0
    for index in order:
        if caps[index] * weight_left > left * weights[index]:
            break
        shares[index] = caps[index]
        left -= caps[index]
        weight_left -= weights[index]
        capped += 1
    remainders = []
    over = left
    for index in order[capped:]:
        shares[index], remainder = divmod(left * weights[index], weight_left)
        over -= shares[index]
        remainders.append((-remainder, index))
    remainders.sort()
    # There are fewer lots over than remainders that are not 0, so a share is never raised beyond its cap.
    for _, index in remainders[:over]:
        shares[index] += 1
    assert sum(shares) == quantity, (sum(shares), quantity)
    return shares


def clear_at_uniform_price(bids: Sequence[tuple[int, int]], *, quantity_lots: int, floor_units: int) -> Clearing:
    """Fill bids by price, then time. All pay the lowest price that won, or the floor if not everything is sold.

    Bids are (price_units, quantity_lots) in order of subscription, none below the floor.

    Source: rulebook row H5.
    """
    lots = [0] * len(bids)
    left_lots, lowest_units = quantity_lots, floor_units
    for index in sorted(range(len(bids)), key=lambda index: -bids[index][0]):
        if not left_lots:
            break
        lowest_units, asked_lots = bids[index]
        lots[index] = min(asked_lots, left_lots)
        left_lots -= lots[index]
    return Clearing(floor_units if left_lots else lowest_units, lots)


def _by_ratio(caps: Sequence[int], weights: Sequence[int]) -> list[int]:
    """Indices in ascending order of cap / weight, exactly.

    Two different fractions with denominators below 2**bits are more than 2**-(2 * bits) apart, so scaled by
    2**(2 * bits) they differ even when rounded down.
    """
    scale_bits = 2 * max(weights).bit_length()
    ratios = [(cap << scale_bits) // weight for cap, weight in zip(caps, weights, strict=True)]
    return sorted(range(len(ratios)), key=ratios.__getitem__)
