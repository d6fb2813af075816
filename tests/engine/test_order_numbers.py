"""The numbers of a placement, each at the edge of what the market takes."""

from __future__ import annotations

import pytest

from engine import rejects
from engine.amounts import ABSENT, UNREPRESENTABLE, Decimal
from engine.commands import PlaceOco, PlaceOrder, PlaceSpecialOrder
from engine.dedup import Receipts
from engine.ledger import Ledger
from engine.market import Market
from engine.order_entry import read_amounts, read_order, read_pair, well_formed
from engine.order_index import OrderIndex
from engine.orders import Order, SpecialOrder
from engine.timers import Timers
from engine.types import (
    AMOUNT_MAX,
    GTC,
    GTD,
    GTD_NS_MAX,
    IOC,
    LIMIT,
    MARKET,
    MARKET_BUDGET,
    NOTIONAL_MAX,
    SECOND_LEG,
    STOP,
    TRAIL_BY_PPM,
    TRAIL_BY_PRICE,
    WAITING,
)
from engine.volume import Volumes
from tests.engine.test_order_entry import BASE, LAST, NOW_NS, PAIR, PLAIN, SPEC, TEN, as_read, with_options


def _reason(command: PlaceOrder | PlaceSpecialOrder) -> int:
    return _read(command)[1]


def _read(command: PlaceOrder | PlaceSpecialOrder) -> tuple[Order, int]:
    asked, market = as_read(command), _market()
    assert well_formed(asked)
    order = read_order(asked, market, 41)
    return order, read_amounts(order, asked, market)


def _read_pair(command: PlaceOco) -> tuple[SpecialOrder, SpecialOrder, int]:
    market = _market()
    legs = [market.index.pool.take_special(number, 7, 1, command.side) for number in (41, 41 + SECOND_LEG)]
    return legs[0], legs[1], read_pair(legs[0], legs[1], command, market)


def _market() -> Market:
    market = Market(SPEC, Ledger(), OrderIndex(Receipts()), Volumes(), Timers())
    market.begin(NOW_NS)
    market.session.last_price_ticks = LAST
    return market


NOT_A_PRICE = [
    (Decimal(0, 0), rejects.PRICE),
    (Decimal(-1, 0), rejects.PRICE),
    (ABSENT, rejects.PRICE),
    (UNREPRESENTABLE, rejects.PRICE),
    (Decimal(AMOUNT_MAX, 0), rejects.PRICE),
    (Decimal(10_005, 3), rejects.TICK),
    (Decimal(1, 3), rejects.TICK),
    (Decimal(1, 18), rejects.TICK),
]


@pytest.mark.parametrize(("number", "expected"), [*NOT_A_PRICE, (Decimal(1_001, 2), rejects.ACCEPTED)])
def test_a_limit_price_is_on_a_tick(number: Decimal, expected: int) -> None:
    assert _reason(with_options(BASE, price=number)) == expected
    assert _read_pair(PAIR._replace(price_mantissa=number[0], price_scale=number[1]))[2] == expected


@pytest.mark.parametrize(
    ("number", "expected"), [one for one in NOT_A_PRICE if one[0] != ABSENT] + [(Decimal(1, 2), rejects.ACCEPTED)]
)
def test_a_stop_price_and_a_distance_are_on_ticks(number: Decimal, expected: int) -> None:
    assert _reason(with_options(BASE, trigger=STOP, stop=number)) == expected
    assert _reason(with_options(BASE, trigger=TRAIL_BY_PRICE, trail=number)) == expected
    pair = PAIR._replace(stop_mantissa=number[0], stop_scale=number[1])
    assert _read_pair(pair)[2] == expected


@pytest.mark.parametrize(("number", "expected"), [one for one in NOT_A_PRICE if one[0] != ABSENT])
def test_the_limit_of_a_pairs_stop_is_on_a_tick(number: Decimal, expected: int) -> None:
    pair = PAIR._replace(stop_limit_mantissa=number[0], stop_limit_scale=number[1])
    assert _read_pair(pair)[2] == expected


@pytest.mark.parametrize(
    ("number", "ppm"),
    [
        (Decimal(5, 0), 50_000),
        (Decimal(1, 4), 1),
        (Decimal(999_999, 4), 999_999),
        (Decimal(100, 0), None),
        (Decimal(0, 0), None),
        (Decimal(-5, 0), None),
        (Decimal(1, 5), None),
        (UNREPRESENTABLE, None),
    ],
)
def test_a_distance_in_per_cent_is_between_nothing_and_all(number: Decimal, ppm: int | None) -> None:
    order, reason = _read(with_options(BASE, trigger=TRAIL_BY_PPM, trail=number))
    if ppm is None:
        assert reason == rejects.PRICE
    else:
        assert (reason, order.trail_ppm, order.trail_ticks) == (rejects.ACCEPTED, ppm, 0)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (Decimal(0, 0), rejects.LOT),
        (Decimal(-1, 0), rejects.LOT),
        (Decimal(5, 4), rejects.LOT),
        (ABSENT, rejects.LOT),
        (Decimal(499, 3), rejects.MIN_NOTIONAL),
        (Decimal(500, 3), rejects.ACCEPTED),
        (Decimal(NOTIONAL_MAX // 1_000, 3), rejects.ACCEPTED),
        (Decimal(NOTIONAL_MAX // 1_000 + 1, 3), rejects.NOTIONAL_TOO_LARGE),
    ],
)
def test_a_quantity_is_whole_lots_of_enough_but_not_too_much_worth(number: Decimal, expected: int) -> None:
    assert _reason(with_options(BASE, quantity=number)) == expected
    assert _reason(PLAIN._replace(quantity_mantissa=number[0], quantity_scale=number[1])) == expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (Decimal(0, 0), rejects.AMOUNT),
        (Decimal(-5, 0), rejects.AMOUNT),
        (Decimal(1, 6), rejects.AMOUNT),
        (UNREPRESENTABLE, rejects.AMOUNT),
        (Decimal(499_999, 5), rejects.MIN_NOTIONAL),
        (Decimal(5, 0), rejects.ACCEPTED),
        (Decimal(AMOUNT_MAX, 5), rejects.ACCEPTED),
    ],
)
def test_a_budget_is_an_amount_of_at_least_the_minimum(number: Decimal, expected: int) -> None:
    assert _reason(with_options(BASE, order_type=MARKET_BUDGET, price=ABSENT, quantity=number)) == expected


def test_the_worth_of_a_stop_at_market_is_at_its_stop_price_and_has_no_minimum() -> None:
    stop = with_options(BASE, order_type=MARKET, price=ABSENT, trigger=STOP, stop=TEN)
    for lots, expected in (
        (1, rejects.ACCEPTED),
        (NOTIONAL_MAX // 1_000, rejects.ACCEPTED),
        (NOTIONAL_MAX // 1_000 + 1, rejects.NOTIONAL_TOO_LARGE),
    ):
        assert _reason(with_options(stop, quantity=Decimal(lots, 3))) == expected
    market = with_options(BASE, order_type=MARKET, price=ABSENT, quantity=Decimal(AMOUNT_MAX, 3))
    assert _reason(market) == rejects.ACCEPTED, "what it costs is seen when it is matched"


@pytest.mark.parametrize(
    ("display", "quantity", "expected"),
    [
        (Decimal(0, 0), 10, rejects.LOT),
        (Decimal(-1, 0), 10, rejects.LOT),
        (Decimal(5, 4), 10, rejects.LOT),
        (UNREPRESENTABLE, 10, rejects.LOT),
        (Decimal(9_999, 3), 10, rejects.ACCEPTED),
        (Decimal(10, 0), 10, rejects.ICEBERG),
        (Decimal(11, 0), 10, rejects.ICEBERG),
        (Decimal(100, 3), 10, rejects.ACCEPTED),
        (Decimal(99, 3), 10, rejects.ICEBERG),
        (Decimal(1, 0), 1, rejects.ICEBERG),
    ],
)
def test_an_iceberg_hides_something_in_at_most_a_hundred_parts(display: Decimal, quantity: int, expected: int) -> None:
    assert _reason(with_options(BASE, display=display, quantity=Decimal(quantity, 0))) == expected


@pytest.mark.parametrize(
    ("expires_at_ns", "expected"),
    [
        (-1, rejects.EXPIRY),
        (NOW_NS - 1, rejects.EXPIRY),
        (NOW_NS, rejects.EXPIRY),
        (NOW_NS + 1, rejects.ACCEPTED),
        (NOW_NS + GTD_NS_MAX, rejects.ACCEPTED),
        (NOW_NS + GTD_NS_MAX + 1, rejects.EXPIRY),
        ((1 << 63) - 1, rejects.EXPIRY),
    ],
)
def test_a_gtd_order_expires_within_a_year(expires_at_ns: int, expected: int) -> None:
    order, reason = _read(with_options(BASE, time_in_force=GTD, expires_at_ns=expires_at_ns))
    assert reason == expected
    assert order.expires_at_ns == (0 if expected else expires_at_ns)


def test_the_legs_of_a_pair_know_each_other() -> None:
    for stop_limit, kind, time_in_force, price in ((ABSENT, MARKET, IOC, 0), (Decimal(9, 0), LIMIT, GTC, 900)):
        pair = PAIR._replace(stop_limit_mantissa=stop_limit[0], stop_limit_scale=stop_limit[1])
        limit_leg, stop_leg, reason = _read_pair(pair)
        assert reason == rejects.ACCEPTED
        assert (limit_leg.order_id, limit_leg.linked_order_id) == (41, 41 + SECOND_LEG)
        assert (stop_leg.order_id, stop_leg.linked_order_id) == (41 + SECOND_LEG, 41)
        assert limit_leg.accepted_at_ns == stop_leg.accepted_at_ns == NOW_NS
        assert (limit_leg.order_type, limit_leg.price_ticks, limit_leg.status) == (LIMIT, 1_100, 0)
        assert (stop_leg.status, stop_leg.trigger, stop_leg.stop_ticks) == (WAITING, STOP, 950)
        assert (stop_leg.order_type, stop_leg.time_in_force, stop_leg.price_ticks) == (kind, time_in_force, price)
        assert limit_leg.quantity_lots == stop_leg.quantity_lots == stop_leg.open_lots == 1_000
