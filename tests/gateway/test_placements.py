"""What a placement becomes: the small record of a plain order, or the one with everything special."""

from __future__ import annotations

from typing import Any

import pytest

from engine.amounts import ABSENT, SCALE_ABSENT, Decimal
from engine.codec import decode_command, encode_command
from engine.commands import PlaceOrder, PlaceSpecialOrder
from engine.types import (
    DAY,
    DECREMENT,
    GTC,
    GTD,
    IOC,
    MARKET,
    NO_TRIGGER,
    STOP,
    TRAIL_BY_PPM,
    TRAIL_BY_PRICE,
)
from gateway.errors import BadRequest
from gateway.placements import read_placement

LIMIT_ORDER = {"side": "buy", "price": "10.00", "quantity": "1"}
MARKET_ORDER = {"side": "sell", "type": "market", "quantity": "1"}
EXPIRY = "2027-01-31T12:00:00Z"


def read(document: dict[str, Any]) -> PlaceOrder | PlaceSpecialOrder:
    command = read_placement(document, account_id=1, issued_at_ns=2, market_id=3, id_if_none=lambda: "made")
    assert decode_command(encode_command(command))[0] == command, "the record must hold what was read"
    return command


def special(document: dict[str, Any]) -> PlaceSpecialOrder:
    command = read(document)
    assert isinstance(command, PlaceSpecialOrder)
    return command


def code_of(document: dict[str, Any]) -> str:
    with pytest.raises(BadRequest) as caught:
        read(document)
    return caught.value.code


@pytest.mark.parametrize(
    "change",
    [{}, {"time_in_force": "ioc"}, {"time_in_force": "fok"}, {"post_only": True}, {"self_trade": "decrement"}],
)
def test_a_plain_order_stays_the_small_record(change: dict[str, Any]) -> None:
    assert isinstance(read(LIMIT_ORDER | change), PlaceOrder)
    assert isinstance(read(MARKET_ORDER | change), PlaceOrder)


def test_decrement_is_a_way_to_prevent_self_trades() -> None:
    assert read(LIMIT_ORDER | {"self_trade": "decrement"}).self_trade == DECREMENT


@pytest.mark.parametrize("order", [LIMIT_ORDER, MARKET_ORDER], ids=["limit", "market"])
@pytest.mark.parametrize(
    ("trigger_fields", "trigger", "stop", "trail"),
    [
        ({"stop_price": "9.5"}, STOP, Decimal(95, 1), ABSENT),
        ({"trail": "0.5"}, TRAIL_BY_PRICE, ABSENT, Decimal(5, 1)),
        ({"trail_percent": "5"}, TRAIL_BY_PPM, ABSENT, Decimal(5, 0)),
    ],
)
def test_a_trigger_makes_an_order_special(
    order: dict[str, str], trigger_fields: dict[str, str], trigger: int, stop: Decimal, trail: Decimal
) -> None:
    command = special(order | trigger_fields)
    assert command.trigger == trigger
    assert Decimal(command.stop_mantissa, command.stop_scale) == stop
    assert Decimal(command.trail_mantissa, command.trail_scale) == trail


def test_an_iceberg_says_what_it_shows() -> None:
    command = special(LIMIT_ORDER | {"display": "0.3"})
    assert (command.trigger, command.display_mantissa, command.display_scale) == (NO_TRIGGER, 3, 1)
    assert (command.stop_scale, command.trail_scale, command.expires_at_ns) == (SCALE_ABSENT, SCALE_ABSENT, 0)


def test_orders_that_expire() -> None:
    command = special(LIMIT_ORDER | {"time_in_force": "gtd", "expires_at": EXPIRY})
    assert (command.time_in_force, command.expires_at_ns) == (GTD, 1_801_396_800_000_000_000)
    assert special(LIMIT_ORDER | {"time_in_force": "day"}).time_in_force == DAY


@pytest.mark.parametrize(
    ("given", "read_as"), [(None, IOC), ("gtc", IOC), ("fok", IOC), ("day", DAY)], ids=["none", "gtc", "fok", "day"]
)
def test_a_market_order_does_not_rest_but_may_wait_for_a_day(given: str | None, read_as: int) -> None:
    change = {} if given is None else {"time_in_force": given}
    command = special(MARKET_ORDER | {"stop_price": "9.50"} | change)
    assert (command.order_type, command.time_in_force) == (MARKET, read_as)


def test_a_stop_limit_is_good_till_cancelled() -> None:
    assert special(LIMIT_ORDER | {"stop_price": "9.50"}).time_in_force == GTC


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"stop_price": "9.50", "trail": "1"}, "BAD_FIELD"),
        ({"stop_price": "9.50", "trail_percent": "1"}, "BAD_FIELD"),
        ({"trail": "1", "trail_percent": "1"}, "BAD_FIELD"),
        ({"stop_price": None}, "BAD_DECIMAL"),
        ({"stop_price": 9.5}, "DECIMAL_AS_STRING"),
        ({"trail": "x"}, "BAD_DECIMAL"),
        ({"trail_percent": 5}, "DECIMAL_AS_STRING"),
        ({"display": None}, "BAD_DECIMAL"),
        ({"time_in_force": "gtd"}, "MISSING_FIELD"),
        ({"time_in_force": "gtd", "expires_at": "tomorrow"}, "BAD_TIME"),
        ({"time_in_force": "gtd", "expires_at": 1_801_396_800}, "BAD_FIELD"),
        ({"time_in_force": "gtd", "expires_at": None}, "BAD_FIELD"),
        ({"expires_at": EXPIRY}, "BAD_FIELD"),
        ({"time_in_force": "day", "expires_at": EXPIRY}, "BAD_FIELD"),
        ({"time_in_force": "gtx"}, "BAD_FIELD"),
        ({"self_trade": "decrement "}, "BAD_FIELD"),
    ],
)
def test_a_special_field_that_cannot_be_read_is_refused_by_name(change: dict[str, Any], code: str) -> None:
    assert code_of(LIMIT_ORDER | change) == code


@pytest.mark.parametrize("name", ["stop_price", "trail", "trail_percent", "display"])
def test_a_number_that_no_market_trades_at_is_for_the_state_machine(name: str) -> None:
    for text in ("0", "-1", "1e400"):
        assert isinstance(read(LIMIT_ORDER | {name: text}), PlaceSpecialOrder)
