"""Times as clients write them: RFC 3339 in UTC for a moment, ``08:50:00`` for a second of every day.

Only UTC and only the letter ``Z``: an offset would let one moment be written in many ways, and a retry must have
the same content.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from engine.types import NS_PER_S
from gateway.errors import BadRequest, shown
from gateway.parsing import JsonObject, read_text

_MOMENT: Final = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?Z", re.ASCII)
_TIME_OF_DAY: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9])", re.ASCII)
_TIME_MAX_NS: Final = (1 << 63) - 1


def read_moment(document: JsonObject, name: str) -> int:
    """A moment such as ``"2027-01-31T12:00:00Z"``, with up to nine decimals of its seconds, in nanoseconds."""
    text = read_text(document, name)
    match = _MOMENT.fullmatch(text)
    try:
        second = datetime.fromisoformat(match[1]).replace(tzinfo=UTC) if match else None
    except ValueError:
        second = None
    if match is None or second is None:
        raise BadRequest(
            "BAD_TIME", f"The field '{name}' is not a time such as \"2027-01-31T12:00:00.5Z\": {shown(text)}."
        )
    moment_ns = int(second.timestamp()) * NS_PER_S + int((match[2] or "").ljust(9, "0"))
    if not 0 < moment_ns <= _TIME_MAX_NS:
        raise BadRequest("BAD_TIME", f"The field '{name}' is out of range.")
    return moment_ns


def read_time_of_day(document: JsonObject, name: str) -> int:
    """A time of every day in UTC such as ``"08:50:00"``, in seconds since midnight."""
    text = read_text(document, name)
    match = _TIME_OF_DAY.fullmatch(text)
    if match is None:
        raise BadRequest("BAD_TIME", f"The field '{name}' is not a time of day such as \"08:50:00\": {shown(text)}.")
    hours, minutes, seconds = (int(part) for part in match.groups())
    return (hours * 60 + minutes) * 60 + seconds


def time_of_day_text(second_of_day: int) -> str:
    minutes, seconds = divmod(second_of_day, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}"
