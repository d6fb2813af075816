"""What all lines of a scenario have in common: who asks and when, names and numbers, the options at the end.

The lines themselves are in ``sim.trader_language`` and ``sim.operator_language``. Every line may end with:

==============================  =====================================================================================
``as c1``                       the id, reference or label of what is asked; without it a line gets an id of its own
``in GLD-EUR``                  the market, else the one that was listed last
``by ana``                      who asks, where an operator would; ``operator`` is the exchange's own account
``signed 61s ago``, ``ahead``   the request was signed at another time than now
==============================  =====================================================================================

Durations are ``500ms``, ``60s``, ``5m``, ``2h``, ``3d``; a moment is ``+60s`` from now.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from typing import Final, NamedTuple

from engine.amounts import ABSENT, Decimal, parse_decimal
from engine.commands import Command
from engine.types import FEE_SCALE, NS_PER_DAY, NS_PER_MS, NS_PER_S, OPERATOR, ROLE_NAMES
from sim.scenario import ScenarioError

OPERATOR_NAME: Final = ROLE_NAMES[OPERATOR]
WHO: Final = r"(?P<who>\w+)"

_UNIT_NS: Final = {"ns": 1, "ms": NS_PER_MS, "s": NS_PER_S, "m": 60 * NS_PER_S, "h": 3_600 * NS_PER_S, "d": NS_PER_DAY}
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|ms|s|m|h|d)")
_COMMON_OPTIONS: Final = (
    r"as (?P<as>\S+)(?: and (?P<second>\S+))?|in (?P<in>\S+)|by (?P<by>\S+)"
    r"|signed (?P<signed>\S+) (?P<direction>ago|ahead)"
)

Words = dict[str, str]  # the words of a line by what they mean; what is not there was not said


class World(NamedTuple):
    """What the language needs to know of the exchange: numbers behind names. An unknown name has a number too."""

    now_ns: int
    account_id: Callable[[str], int]
    asset_id: Callable[[str], int]
    market_id: Callable[[str], int]  # "" is the market listed last
    sale_id: Callable[[str], int]
    number: Callable[[str], int]  # of "ana/c1": an order, a withdrawal, a transfer
    quote_decimals: Callable[[int], int]  # of a market's number
    next_id: Callable[[], str]


class Asked(NamedTuple):
    """A command, and the labels under which the scenario speaks of it.

    ``second_label`` is the stop leg's, of a pair of orders.
    """

    label: str
    command: Command
    second_label: str = ""


class Phrase(NamedTuple):
    """How a line begins, the options that it may have besides the common ones, and what becomes of it."""

    pattern: re.Pattern[str]
    options: re.Pattern[str]
    build: Callable[[Words, World], Asked]


def phrase(pattern: str, build: Callable[[Words, World], Asked], options: str = "") -> Phrase:
    either = f"{_COMMON_OPTIONS}|{options}" if options else _COMMON_OPTIONS
    return Phrase(re.compile(pattern + r"(?!\S)"), re.compile(rf"\s*(?:{either})(?!\S)"), build)


def read_line(line: str, phrases: tuple[Phrase, ...], world: World) -> Asked:
    """The command behind a line. ScenarioError if no phrase fits it."""
    for one in phrases:
        match = one.pattern.match(line)
        if match is not None:
            words = _said(match)
            words.update(_read_options(line[match.end() :], one.options))
            return one.build(words, world)
    raise ScenarioError(f"no such command: {line}")


def asker(name: str, words: Words, world: World) -> tuple[int, int]:
    """The first two fields of every command: who asks, and when it was signed."""
    age_ns = duration_ns(words.get("signed", "0s"))
    return world.account_id(name), world.now_ns + (age_ns if words.get("direction") == "ahead" else -age_ns)


def operator(words: Words, world: World) -> tuple[int, int]:
    """Who asks for what operators do: the exchange itself, or whom the line names."""
    return asker(words.get("by", OPERATOR_NAME), words, world)


def id_of(words: Words, world: World) -> str:
    return words.get("as") or world.next_id()


def decimal(text: str | None) -> Decimal:
    number = ABSENT if text is None else parse_decimal(text)
    if number is None:
        raise ScenarioError(f"not a decimal: {text}")
    return number


def duration_ns(text: str) -> int:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ScenarioError(f"not a duration: {text}")
    return int(Fraction(match[1]) * _UNIT_NS[match[2]])


def duration_ms(text: str | None) -> int:
    return 0 if text is None else duration_ns(text) // NS_PER_MS


def moment_ns(text: str | None, world: World) -> int:
    """A moment such as ``+60s``; 0, which is never, if none was said."""
    return 0 if text is None else world.now_ns + duration_ns(text.removeprefix("+"))


def ppm(text: str | None) -> int:
    """``0.0025`` or ``0.25%`` in parts per million."""
    if text is None:
        return 0
    return int(Fraction(text.removesuffix("%")) * FEE_SCALE / (100 if text.endswith("%") else 1))


def listed(text: str) -> list[str]:
    """``one, two``; ``none`` is nothing."""
    return [] if text.strip() == "none" else [one.strip() for one in text.split(",")]


def _read_options(text: str, pattern: re.Pattern[str]) -> Words:
    words: Words = {}
    position = 0
    while position < len(text):
        match = pattern.match(text, position)
        if match is None:
            raise ScenarioError(f"no such option: {text[position:].strip()}")
        words.update(_said(match))
        position = match.end()
    return words


def _said(match: re.Match[str]) -> Words:
    return {name: value for name, value in match.groupdict().items() if value is not None}
