"""What makes an order special: it waits for a price, hides most of itself, or ends by itself."""

from __future__ import annotations

from typing import Final, NamedTuple

from engine.amounts import ABSENT, Decimal
from engine.types import GTD, NO_TRIGGER, STOP, TRAIL_BY_PPM, TRAIL_BY_PRICE
from gateway.errors import BadRequest
from gateway.parsing import JsonObject, read_decimal, read_optional_decimal
from gateway.times import read_moment

_TRIGGERS: Final = {"stop_price": STOP, "trail": TRAIL_BY_PRICE, "trail_percent": TRAIL_BY_PPM}
SPECIAL_FIELDS: Final = frozenset((*_TRIGGERS, "display", "expires_at"))


class Special(NamedTuple):
    """``trail`` is a price or, with TRAIL_BY_PPM, per cent. ``expires_at_ns`` is 0 if the order does not say when."""

    trigger: int
    stop: Decimal
    trail: Decimal
    display: Decimal
    expires_at_ns: int


def read_special(document: JsonObject, time_in_force: int) -> Special:
    """The special fields of a placement. Whether they fit each other and the market is for the state machine."""
    triggers = [name for name in _TRIGGERS if name in document]
    if len(triggers) > 1:
        raise BadRequest("BAD_FIELD", f"An order has one of: {', '.join(_TRIGGERS)}.")
    trigger = _TRIGGERS[triggers[0]] if triggers else NO_TRIGGER
    if time_in_force != GTD and "expires_at" in document:
        raise BadRequest("BAD_FIELD", "'expires_at' is for orders whose 'time_in_force' is \"gtd\".")
    return Special(
        trigger=trigger,
        stop=read_optional_decimal(document, "stop_price"),
        trail=read_decimal(document, triggers[0]) if trigger in (TRAIL_BY_PRICE, TRAIL_BY_PPM) else ABSENT,
        display=read_optional_decimal(document, "display"),
        expires_at_ns=read_moment(document, "expires_at") if time_in_force == GTD else 0,
    )
