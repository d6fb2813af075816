"""What a placement may ask: which options go together, and each number at the edge of what the market takes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

from engine.amounts import ABSENT, Decimal
from engine.codec import encode_command
from engine.commands import PlaceOco, PlaceOrder, PlaceSpecialOrder
from engine.order_command import OrderCommand
from engine.order_entry import oco_well_formed, well_formed
from engine.types import (
    BUY,
    DAY,
    DECREMENT,
    FOK,
    GTC,
    GTD,
    IOC,
    LIMIT,
    MARKET,
    MARKET_BUDGET,
    NO_TRIGGER,
    NS_PER_DAY,
    SELL,
    STOP,
    TRAIL_BY_PPM,
    TRAIL_BY_PRICE,
    MarketSpec,
)

NOW_NS = 20_000 * NS_PER_DAY + 5
# The rule book's market: tick 0.01 EUR, lot 0.001 GLD, at least 5.00 EUR.
SPEC = MarketSpec(1, b"GLD-EUR", 1, 2, 3, 5, 1_000, 1, 1, 5_00000, 1_000, 2_500, 9)
LAST = 1_000  # 10.00
GIVEN, TEN = Decimal(1, 0), Decimal(10, 0)
BASE = PlaceSpecialOrder(
    *(7, NOW_NS, 1, BUY, LIMIT, GTC, 0, 0, NO_TRIGGER),
    *(*TEN, *GIVEN, *ABSENT, *ABSENT, *ABSENT),
    0,
    b"c1",
)
PLAIN = PlaceOrder(7, NOW_NS, 1, BUY, LIMIT, GTC, 0, 0, *TEN, *GIVEN, b"c1")
PAIR = PlaceOco(7, NOW_NS, 1, SELL, 0, *GIVEN, *Decimal(11, 0), *Decimal(95, 1), *ABSENT, b"stop", b"limit")


def with_options(command: PlaceSpecialOrder, **changes: int | Decimal) -> PlaceSpecialOrder:
    """Change options; a number is given as a decimal."""
    options: dict[str, Any] = {}
    for name, value in changes.items():
        if isinstance(value, Decimal):
            options |= {f"{name}_mantissa": value.mantissa, f"{name}_scale": value.scale}
        else:
            options[name] = value
    return command._replace(**options)


def as_read(command: PlaceOrder | PlaceSpecialOrder) -> OrderCommand:
    """The command as the machine has it before it."""
    read = OrderCommand()
    read.read(encode_command(command), 0)
    return read


def _given(command: PlaceSpecialOrder, name: str) -> bool:
    return bool(getattr(command, f"{name}_scale") != ABSENT.scale)


# Each sentence of the rules about options that do not go together.
MALFORMED: dict[str, Callable[[PlaceSpecialOrder], bool]] = {
    "a side is buy or sell": lambda c: c.side not in (BUY, SELL),
    "an order is a limit order, a market order or a budget": lambda c: c.order_type not in (0, 1, 2),
    "a time in force is one of five": lambda c: c.time_in_force not in range(5),
    "post-only is yes or no": lambda c: c.post_only not in (0, 1),
    "there are four modes of self-trade prevention": lambda c: c.self_trade not in range(4),
    "there are three triggers": lambda c: c.trigger not in range(4),
    "what does not rest is not post-only": lambda c: c.post_only == 1 and c.time_in_force in (IOC, FOK),
    "only limit orders are post-only": lambda c: c.post_only == 1 and c.order_type != LIMIT,
    "only limit orders have a price": lambda c: c.order_type != LIMIT and _given(c, "price"),
    "only limit orders are fill-or-kill": lambda c: c.order_type != LIMIT and c.time_in_force == FOK,
    "a budget buys": lambda c: c.order_type == MARKET_BUDGET and c.side != BUY,
    "a budget is not decremented": lambda c: c.order_type == MARKET_BUDGET and c.self_trade == DECREMENT,
    "a time of its own is for gtd, and gtd needs one": lambda c: (c.time_in_force == GTD) != (c.expires_at_ns != 0),
    "a stop has a stop price, and only a stop": lambda c: (c.trigger == STOP) != _given(c, "stop"),
    "a trailing stop has a distance, and only that": lambda c: (
        (c.trigger in (TRAIL_BY_PRICE, TRAIL_BY_PPM)) != _given(c, "trail")
    ),
    "no trigger with post-only": lambda c: c.trigger != NO_TRIGGER and c.post_only == 1,
    "no trigger with fill-or-kill": lambda c: c.trigger != NO_TRIGGER and c.time_in_force == FOK,
    "no trigger with an iceberg": lambda c: c.trigger != NO_TRIGGER and _given(c, "display"),
    "an iceberg is a limit order": lambda c: _given(c, "display") and c.order_type != LIMIT,
    "an iceberg rests": lambda c: _given(c, "display") and c.time_in_force in (IOC, FOK),
    "a market order does not expire, unless it waits": lambda c: (
        c.order_type != LIMIT and c.trigger == NO_TRIGGER and c.time_in_force in (GTD, DAY)
    ),
}


def test_all_combinations_of_options_are_judged_by_the_sentences() -> None:
    used = set[str]()
    well = 0
    for side, kind, tif, trigger in product((0, 1), range(3), range(5), range(4)):
        for post_only, self_trade, expires in product((0, 1), (0, DECREMENT), (0, NOW_NS + 1)):
            for price, stop, trail, display in product((ABSENT, TEN), repeat=4):
                changes = {"price": price, "stop": stop, "trail": trail, "display": display}
                command = with_options(
                    BASE,
                    side=side,
                    order_type=kind,
                    time_in_force=tif,
                    trigger=trigger,
                    post_only=post_only,
                    self_trade=self_trade,
                    expires_at_ns=expires,
                    **changes,
                )
                broken = [sentence for sentence, is_broken in MALFORMED.items() if is_broken(command)]
                assert well_formed(as_read(command)) == (not broken), (command, broken)
                well += not broken
                if len(broken) == 1:
                    used.add(broken[0])
    assert well > 100
    assert set(MALFORMED) - used <= set(list(MALFORMED)[:6]), "each sentence is needed by itself"


@pytest.mark.parametrize(
    ("option", "last"),
    [("side", 1), ("order_type", 2), ("self_trade", 3), ("post_only", 1), ("trigger", 3), ("time_in_force", 4)],
)
def test_an_option_beyond_its_last_value_is_malformed(option: str, last: int) -> None:
    fitting: dict[str, Decimal] = {
        "order_type": {"price": ABSENT},
        "trigger": {"trail": TEN},
        "time_in_force": {},
    }.get(option, {})
    assert well_formed(as_read(with_options(BASE, **{option: last}, **fitting)))
    for value in (last + 1, 255):
        assert not well_formed(as_read(with_options(BASE, **{option: value}, **fitting)))


@pytest.mark.parametrize(
    ("time_in_force", "expected"), [(GTC, True), (IOC, True), (FOK, True), (GTD, False), (DAY, False)]
)
def test_the_plain_command_has_three_times_in_force(time_in_force: int, expected: bool) -> None:
    assert well_formed(as_read(PLAIN._replace(time_in_force=time_in_force))) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"post_only": 1}, True),
        ({"post_only": 1, "time_in_force": IOC}, False),
        ({"post_only": 1, "time_in_force": FOK}, False),
        ({"order_type": MARKET}, False),
        ({"order_type": MARKET, "price_scale": ABSENT.scale}, True),
        ({"order_type": MARKET, "price_scale": ABSENT.scale, "time_in_force": FOK}, False),
        ({"order_type": MARKET, "price_scale": ABSENT.scale, "post_only": 1}, False),
        ({"order_type": MARKET_BUDGET, "price_scale": ABSENT.scale}, True),
        ({"order_type": MARKET_BUDGET, "price_scale": ABSENT.scale, "side": SELL}, False),
        ({"order_type": MARKET_BUDGET, "price_scale": ABSENT.scale, "self_trade": DECREMENT}, False),
        ({"order_type": MARKET, "price_scale": ABSENT.scale, "self_trade": DECREMENT}, True),
    ],
)
def test_the_options_of_the_plain_command(changes: dict[str, int], expected: bool) -> None:
    assert well_formed(as_read(PLAIN._replace(**changes))) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({}, True), ({"side": 2}, False), ({"self_trade": DECREMENT}, True), ({"self_trade": 4}, False)],
)
def test_the_options_of_a_pair(changes: dict[str, int], expected: bool) -> None:
    assert oco_well_formed(PAIR._replace(**changes)) == expected  # type: ignore[arg-type]
