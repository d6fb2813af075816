"""Of two reasons to refuse a command that both apply, the answer is the one that comes first in rejects.PRECEDENCE.

Every command is made wrong in two ways at once, in all pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any, NamedTuple

import pytest

from engine import commands, rejects
from engine.amounts import UNREPRESENTABLE
from engine.types import AUCTION, BUY, FOK, GTD, HALTED, NOTIONAL_MAX, SELL, STOP, TRAIL_BY_PRICE
from tests.engine.exchange import ANA, BO, CY, EUR, GLD, OPS, Exchange, reason


class Defect(NamedTuple):
    """``spoils`` says which numbers or circumstances it needs for itself: two of one kind do not go together."""

    reason: int
    spoils: str
    changes: dict[str, Any] = {}
    before: Callable[[Exchange], object] = lambda exchange: None


def _number(name: str, mantissa: int, scale: int = 0) -> dict[str, int]:
    return {f"{name}_mantissa": mantissa, f"{name}_scale": scale}


def _limit_to_one_order(exchange: Exchange) -> None:
    exchange.run(commands.SetAccountLimits(OPS, 0, ANA, 1, 0, 0, 0))
    exchange.buy(ANA, 5_000, 1)


def _freeze(exchange: Exchange) -> None:
    exchange.run(commands.FreezeAccount(OPS, 0, ANA, 1))


def _impoverish(exchange: Exchange) -> None:
    for asset_id, units in zip((GLD, EUR), exchange.available(ANA), strict=True):
        exchange.run(commands.CreateTransfer(ANA, 0, BO, asset_id, units, 0, 0, 0, exchange.new_id()))


# What one defect prepares must not stand in the way of another: these come last, the halt behind all.
_LATE = [rejects.TOO_MANY, rejects.NO_FUNDS, rejects.ACCOUNT_FROZEN, rejects.MARKET_STATE]
_BEFORE = [one for one in rejects.PRECEDENCE if one not in _LATE] + _LATE

COMMON = (
    Defect(rejects.UNKNOWN_MARKET, "market", {"market_id": 9}),
    Defect(rejects.ACCOUNT_FROZEN, "account", {}, _freeze),
    Defect(rejects.MARKET_STATE, "market", {}, lambda exchange: exchange.set_state(HALTED)),
    Defect(rejects.LOT, "quantity", _number("quantity", 105, 1)),
    Defect(rejects.TOO_MANY, "account", {}, _limit_to_one_order),
    Defect(rejects.NO_FUNDS, "funds", {}, _impoverish),
)
PRICED = (
    *COMMON,
    Defect(rejects.PRICE, "price", _number("price", *UNREPRESENTABLE)),
    Defect(rejects.TICK, "price", _number("price", 10_005, 1)),
    Defect(rejects.NOTIONAL_TOO_LARGE, "quantity price", _number("price", NOTIONAL_MAX)),
    Defect(rejects.MIN_NOTIONAL, "quantity price", _number("price", 1)),
)
DISPLAY = _number("display", 2)
SPECIAL = (
    Defect(rejects.EXPIRY, "time", {"time_in_force": GTD, "expires_at_ns": 1}),
    Defect(rejects.PRICE, "stop", _number("stop", 0)),
    Defect(rejects.TICK, "stop", _number("stop", 9_005, 1)),
    Defect(rejects.STOP_WOULD_TRIGGER, "stop", _number("stop", 1_000)),
)


def _special(exchange: Exchange, **options: Any) -> commands.PlaceSpecialOrder:
    return exchange.special(ANA, SELL, 10, "new", price=1_000, **options)


BASES: dict[str, tuple[Callable[[Exchange], commands.Command], tuple[Defect, ...]]] = {
    "limit": (lambda exchange: exchange.order(ANA, SELL, 10, 1_000, "new"), PRICED),
    "post-only": (
        lambda exchange: exchange.order(ANA, SELL, 10, 1_000, "new", post_only=1),
        (*PRICED, Defect(rejects.POST_ONLY, "book price", {}, lambda exchange: exchange.buy(CY, 10, 1_000))),
    ),
    "fill-or-kill": (
        lambda exchange: exchange.order(ANA, SELL, 10, 1_000, "new", tif=FOK),
        (*(one for one in PRICED if one.reason != rejects.TOO_MANY), Defect(rejects.FOK, "book")),
    ),
    "iceberg": (
        lambda exchange: _special(exchange, display=5),
        (
            *PRICED,
            SPECIAL[0],
            Defect(rejects.LOT, "display", _number("display", 15, 1)),
            Defect(rejects.ICEBERG, "display", _number("display", 10_000)),
        ),
    ),
    "stop-limit": (lambda exchange: _special(exchange, trigger=STOP, stop=900), (*PRICED, *SPECIAL)),
    "trailing": (
        lambda exchange: _special(exchange, trigger=TRAIL_BY_PRICE, trail=90),
        (
            *PRICED,
            SPECIAL[0],
            Defect(rejects.PRICE, "trail", _number("trail", 0)),
            Defect(rejects.TICK, "trail", _number("trail", 905, 1)),
            Defect(rejects.PRICE, "trail", _number("trail", 1_000)),
            Defect(
                rejects.NO_LAST_PRICE,
                "trail",
                {},
                lambda exchange: setattr(exchange.market.session, "last_price_ticks", 0),
            ),
        ),
    ),
    "pair": (
        lambda exchange: exchange.pair(ANA, SELL, 10, 1_100, 900, "new stop", limit=890),
        (
            *PRICED,
            *SPECIAL[1:],
            Defect(rejects.PRICE, "stop_limit", _number("stop_limit", 0)),
            Defect(rejects.TICK, "stop_limit", _number("stop_limit", 8_905, 1)),
        ),
    ),
    "amendment": (
        lambda exchange: commands.AmendOrder(ANA, 0, 0, 1_000, 0, 10, 0, b"mine", b"amend"),
        (
            Defect(rejects.UNKNOWN_ORDER, "order", {"client_order_id": b"never"}),
            Defect(rejects.ORDER_CLOSED, "order", {}, lambda exchange: exchange.cancel(ANA, "mine")),
            Defect(rejects.MARKET_STATE, "market", {}, lambda exchange: exchange.set_state(HALTED)),
            Defect(rejects.PRICE, "price", _number("price", 0)),
            Defect(rejects.TICK, "price", _number("price", 10_005, 1)),
            Defect(rejects.LOT, "quantity", _number("quantity", 0)),
            Defect(rejects.ICEBERG, "quantity", _number("quantity", 301)),
            Defect(rejects.NOTIONAL_TOO_LARGE, "quantity price", _number("price", NOTIONAL_MAX)),
            Defect(rejects.MIN_NOTIONAL, "quantity price", _number("price", 1)),
        ),
    ),
}
PAIRS = [
    (base, first, second)
    for base, (_, defects) in BASES.items()
    for first, second in combinations(defects, 2)
    if not set(first.spoils.split()) & set(second.spoils.split())
]


@pytest.mark.parametrize(
    ("base", "first", "second"),
    PAIRS,
    ids=[
        f"{base}-{rejects.reason_code(a.reason)}-{rejects.reason_code(b.reason)}-{a.spoils}-{b.spoils}"
        for base, a, b in PAIRS
    ],
)
def test_the_reason_that_comes_first_is_the_answer(base: str, first: Defect, second: Defect) -> None:
    exchange = Exchange(1_000, minimum=5_000)
    exchange.twin = False
    make, _ = BASES[base]
    if base == "amendment":
        exchange.iceberg(ANA, SELL, 20, 1_000, 3, "mine")
    for defect in sorted((first, second), key=lambda defect: _BEFORE.index(defect.reason)):
        defect.before(exchange)
    changes = first.changes | second.changes
    command = make(exchange)._replace(**changes)
    expected = min((first.reason, second.reason), key=rejects.PRECEDENCE.index)
    assert reason(exchange.run(command)) == expected


@pytest.mark.parametrize("base", BASES)
def test_without_a_defect_each_is_accepted_and_with_one_it_is_refused_for_that(base: str) -> None:
    make, defects = BASES[base]
    for defect in (None, *defects):
        exchange = Exchange(1_000, minimum=5_000)
        exchange.twin = False
        if base == "amendment":
            exchange.iceberg(ANA, SELL, 20, 1_000, 3, "mine")
        if base == "fill-or-kill" and (defect is None or defect.reason != rejects.FOK):
            exchange.buy(CY, 10, 1_000)
        if defect is None:
            assert reason(exchange.run(make(exchange))) == rejects.ACCEPTED
        else:
            defect.before(exchange)
            command = make(exchange)._replace(**defect.changes)
            assert reason(exchange.run(command)) == defect.reason, defect


def test_every_reason_has_its_place_or_comes_before_all() -> None:
    before_all = {rejects.MALFORMED, rejects.REQUEST_EXPIRED, rejects.ID_CONFLICT, rejects.FENCED, rejects.RATE_LIMIT}
    placed = set(rejects.PRECEDENCE)
    assert len(placed) == len(rejects.PRECEDENCE) and not placed & before_all
    assert placed | before_all == set(range(1, len(rejects.REASONS)))


def test_a_market_order_in_an_auction_is_judged_in_the_same_order() -> None:
    exchange = Exchange(state=AUCTION, band_ppm=100_000, auction_market_orders=1)
    order = exchange.order(ANA, BUY, 1, 0, "m1")
    _limit_to_one_order(exchange)
    assert reason(exchange.run(order)) == rejects.NO_LAST_PRICE
    exchange.market.session.last_price_ticks = 1_000
    assert reason(exchange.run(order._replace(client_order_id=b"m2"))) == rejects.TOO_MANY


def test_reasons_have_codes_and_sentences_of_their_own() -> None:
    numbers = range(len(rejects.REASONS))
    assert len({rejects.reason_code(number) for number in numbers}) == len(numbers)
    assert len({rejects.reason_sentence(number) for number in numbers}) == len(numbers)
    names = {name: value for name, value in vars(rejects).items() if name.isupper() and isinstance(value, int)}
    assert {rejects.reason_code(value): value for value in names.values()} == names
