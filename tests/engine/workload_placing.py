"""Special orders by chance: stops, trailing stops, pairs, icebergs, and orders with an end.

Everything here takes (choice, now, market, account, id) and is the same for the same choice.
"""

from __future__ import annotations

from typing import Any

from engine.amounts import ABSENT, Decimal
from engine.commands import PlaceOco, PlaceSpecialOrder
from engine.types import (
    BUY,
    DAY,
    GTC,
    GTD,
    IOC,
    LIMIT,
    MARKET,
    MARKET_BUDGET,
    NO_TRIGGER,
    NS_PER_S,
    SELL,
    STOP,
    TRAIL_BY_PPM,
    TRAIL_BY_PRICE,
)
from tests.engine.workload import Choice


def place_stop(choice: Choice, now_ns: int, market: int, account: int, name: bytes) -> PlaceSpecialOrder:
    away = (0, 1, 1, 2, 2, 3, 4)[choice.earlier % 7]
    stop = 1_000 + (away if choice.side == BUY else -away)
    fields = _by_market(choice, now_ns) | {"trigger": STOP, "stop_mantissa": stop, "stop_scale": 2}
    return _special(choice, now_ns, market, account, name, **fields)


def place_trailing(choice: Choice, now_ns: int, market: int, account: int, name: bytes) -> PlaceSpecialOrder:
    by_price = choice.earlier % 2
    trail = Decimal(1 + choice.earlier % 3, 2) if by_price else Decimal((5, 12, 25, 40)[choice.earlier % 4], 2)
    fields = _by_market(choice, now_ns) | {"trigger": TRAIL_BY_PRICE if by_price else TRAIL_BY_PPM}
    return _special(
        choice, now_ns, market, account, name, **fields, trail_mantissa=trail.mantissa, trail_scale=trail.scale
    )


def place_oco(choice: Choice, now_ns: int, market: int, account: int, name: bytes) -> PlaceOco:
    """A limit on the passive side of the last price and a stop on the other, mostly."""
    sign = 1 if choice.side == SELL else -1
    away, stop_away = choice.price % 5 - choice.option % 2, choice.earlier % 4 - choice.option // 2 % 2 + 1
    stop_limit = Decimal(1_000 - sign * (stop_away + choice.earlier % 3 - 1), 2) if choice.option % 3 else ABSENT
    return PlaceOco(
        account,
        now_ns,
        market,
        choice.side,
        choice.earlier % 4,
        *quantity_of(choice),
        1_000 + sign * away,
        2,
        1_000 - sign * stop_away,
        2,
        *stop_limit,
        b"%s-stop" % name,
        name,
    )


def place_iceberg(choice: Choice, now_ns: int, market: int, account: int, name: bytes) -> PlaceSpecialOrder:
    display = Decimal(1 + choice.earlier % 5, lot_scale_of(choice))
    fields = _in_force(choice, now_ns) | {"post_only": int(choice.option % 9 == 8)}
    return _special(
        choice, now_ns, market, account, name, **fields, display_mantissa=display.mantissa, display_scale=display.scale
    )


def place_timed(choice: Choice, now_ns: int, market: int, account: int, name: bytes) -> PlaceSpecialOrder:
    command = _special(choice, now_ns, market, account, name, **_in_force(choice, now_ns))
    if choice.option % 3 == 0:
        seconds = (1, 2, 5, 0, -1, 366 * 86_400 + 1, 86_400)[choice.earlier % 7]
        command = command._replace(time_in_force=GTD, expires_at_ns=now_ns + seconds * NS_PER_S)
    return command


def _special(
    choice: Choice, now_ns: int, market: int, account: int, name: bytes, **different: Any
) -> PlaceSpecialOrder:
    command = PlaceSpecialOrder(
        account,
        now_ns,
        market,
        choice.side,
        LIMIT,
        GTC,
        0,
        choice.earlier % 4,
        NO_TRIGGER,
        *price_of(choice),
        *quantity_of(choice),
        *ABSENT,
        *ABSENT,
        *ABSENT,
        0,
        name,
    )
    return command._replace(**different)


def _in_force(choice: Choice, now_ns: int) -> dict[str, int]:
    option = choice.option % 8
    if option == 0:
        return {"time_in_force": DAY}
    if option == 1:
        return {"time_in_force": GTD, "expires_at_ns": now_ns + (choice.quantity + 1) * NS_PER_S}
    return {"time_in_force": GTC}


def _by_market(choice: Choice, now_ns: int) -> dict[str, int]:
    """Every other stop is at market, and some of those to buy by budget."""
    if choice.option % 4 > 1:
        return _in_force(choice, now_ns) if choice.option % 16 else {"time_in_force": IOC}
    fields = {"order_type": MARKET, "price_mantissa": 0, "price_scale": ABSENT.scale, "time_in_force": IOC}
    if choice.option % 20 == 0 and choice.side == BUY:
        fields |= {"order_type": MARKET_BUDGET, "self_trade": choice.earlier % 3}
        fields |= {"quantity_mantissa": 1_009 * (choice.quantity + 1), "quantity_scale": 5}
    if choice.option % 5 == 0:
        fields |= _in_force(choice, now_ns)
    return fields


def price_of(choice: Choice) -> Decimal:
    """A few neighbouring prices around 10.00, mostly on the passive side of it."""
    away = (-5, -4, -3, -3, -2, -2, -1, -1, 0, 0, 1, 3)[choice.price]
    if choice.side == SELL and choice.earlier % 40 == 1:
        away = -500  # so that whoever must buy at market may find that it has not enough
    return Decimal(1_000 + (away if choice.side == BUY else -away), 2)


def lot_scale_of(choice: Choice) -> int:
    return (3, 3, 3, 3, 3, 3, 2, 2, 2, 2, 1, 1)[choice.market]


def quantity_of(choice: Choice) -> Decimal:
    """Up to 24 cents' worth of GLD, 80 of OIL, 400 of TKN."""
    scale = lot_scale_of(choice)
    return Decimal(choice.quantity // (1, 3, 6)[3 - scale] + 1, scale)
