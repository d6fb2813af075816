"""Decimal text to integers and back, with every rounding named.

A client's decimal travels in a command as ``(mantissa, scale)``: ``"10.005"`` is ``(10005, 3)``. So the log
keeps what the client said, and the refusal of an off-tick price or an off-lot quantity is an
outcome of the state machine, not of a gateway with an old copy of the market (rulebook row A10).
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from engine.types import AMOUNT_MAX

SCALE_MAX: Final = 18
_SCALE_MAX: Final = SCALE_MAX
SCALE_ABSENT: Final = 254  # the field was not given (an amendment keeps the old value)
SCALE_UNREPRESENTABLE: Final = 255  # a number, but not one that any market could trade at
_POWERS_OF_TEN: Final = tuple(10**exponent for exponent in range(SCALE_MAX + 1))
POWERS_OF_TEN: Final = _POWERS_OF_TEN
NOT_A_MULTIPLE: Final = -(1 << 63)

_PLAIN_DECIMAL: Final = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?", re.ASCII)
_EXPONENT_DECIMAL: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?[eE][+-]?[0-9]+", re.ASCII)
DECIMAL_LENGTH_MAX: Final = 64


class Decimal(NamedTuple):
    """``mantissa / 10**scale``; trailing zeros of the fraction are dropped, so equal numbers are equal tuples."""

    mantissa: int
    scale: int


ABSENT: Final = Decimal(0, SCALE_ABSENT)
UNREPRESENTABLE: Final = Decimal(0, SCALE_UNREPRESENTABLE)


def parse_decimal(text: str) -> Decimal | None:
    """Read a plain decimal such as ``"-12.50"``. None if it is not a number at all.

    Numbers that no int64 holds, and numbers with an exponent such as ``"1e400"``, are UNREPRESENTABLE:
    the state machine refuses them by name. No sign ``+``, no leading zeros, ASCII digits only.
    """
    if len(text) > DECIMAL_LENGTH_MAX:
        return None
    match = _PLAIN_DECIMAL.fullmatch(text)
    if match is None:
        return UNREPRESENTABLE if _EXPONENT_DECIMAL.fullmatch(text) else None
    sign, whole, fraction = match.groups()
    fraction = (fraction or "").rstrip("0")
    mantissa = int(whole + fraction)
    if len(fraction) > SCALE_MAX or mantissa > AMOUNT_MAX:
        return UNREPRESENTABLE
    return Decimal(-mantissa if sign else mantissa, len(fraction))


def to_units(mantissa: int, scale: int, decimals: int) -> int:
    """Convert to whole units of ``10**-decimals``, exactly.

    NOT_A_MULTIPLE if the decimal is finer than a unit; -1 if it is out of range or not positive.
    """
    if scale > _SCALE_MAX or mantissa <= 0 or mantissa > AMOUNT_MAX:
        return -1
    if scale > decimals:
        divisor = _POWERS_OF_TEN[scale - decimals]
        units = mantissa // divisor
        return units if units * divisor == mantissa else NOT_A_MULTIPLE
    if scale == decimals:
        return mantissa
    factor = _POWERS_OF_TEN[decimals - scale]
    return -1 if mantissa > AMOUNT_MAX // factor else mantissa * factor


def to_multiples(mantissa: int, scale: int, decimals: int, step_units: int) -> int:
    """Convert to whole steps (ticks or lots) of ``step_units``. Answers as :func:`to_units` does."""
    units = to_units(mantissa, scale, decimals)
    if units <= 0:
        return units
    steps = units // step_units
    return steps if steps * step_units == units else NOT_A_MULTIPLE


def format_units(units: int, decimals: int) -> str:
    """Render units of ``10**-decimals`` with all its decimals: ``(10025000, 5)`` is ``"100.25000"``."""
    sign = "-" if units < 0 else ""
    digits = str(abs(units)).rjust(decimals + 1, "0")
    return f"{sign}{digits[:-decimals]}.{digits[-decimals:]}" if decimals else sign + digits


def significant_decimals(step_units: int, decimals: int) -> int:
    """How many decimals a multiple of ``step_units`` needs: a tick of 1000 units of 10**-5 needs 2."""
    while decimals and step_units % 10 == 0:
        step_units //= 10
        decimals -= 1
    return decimals


def ceil_div(numerator: int, denominator: int) -> int:
    """Divide and round towards plus infinity. ``denominator`` is positive."""
    return -(-numerator // denominator)
