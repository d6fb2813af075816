"""The language of the scenarios: one line of text becomes one command of the engine.

=====================================================  ==============================================================
``ana buys 4 @ 10.00 as c1``                           a limit order; ``sells`` likewise; without ``as`` it gets an id
``bo sells 1 at market``                               a market order by quantity
``ana buys for 100.00 at market``                      a market order by budget
``ana cancels c1 as x1``                               ``cancels bo/c1`` names another account's order by its number
``ana amends c1 to 1 @ 10.15 as x2``                   ``to 1``, ``to @ 10.15`` or nothing keeps the rest
``ana cancels all as x3``
``deposit 100.00 EUR for ana as dep-7``
``market GLD-EUR tick 0.01 lot 0.001 min 5.00``        and ``maker 0.0010 taker -0.0002``
``asset OIL with 2 decimals``, ``account zed``
=====================================================  ==============================================================

Orders take ``ioc``, ``fok``, ``post-only``, ``stp newest | oldest | both``; every command takes ``in GLD-EUR`` (else
the market listed last), ``by ana`` (who asks, where an operator would) and ``signed 61s ago`` or ``signed 61s ahead``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from typing import Final, NamedTuple

from engine.amounts import ABSENT, Decimal, parse_decimal
from engine.commands import (
    AmendOrder,
    CancelAll,
    CancelOrder,
    Command,
    CreateAccount,
    CreateAsset,
    CreateMarket,
    Deposit,
    PlaceOrder,
)
from engine.types import (
    BUY,
    CANCEL_BOTH,
    CANCEL_NEWEST,
    CANCEL_OLDEST,
    FEE_SCALE,
    FOK,
    GTC,
    IOC,
    LIMIT,
    MARKET,
    MARKET_BUDGET,
    NS_PER_S,
    SELL,
    TRADER,
)

_UNIT_NS: Final = {"ns": 1, "ms": 1_000_000, "s": NS_PER_S, "m": 60 * NS_PER_S, "h": 3_600 * NS_PER_S}
_SELF_TRADE: Final = {"newest": CANCEL_NEWEST, "oldest": CANCEL_OLDEST, "both": CANCEL_BOTH}
_TIME_IN_FORCE: Final = {"gtc": GTC, "ioc": IOC, "fok": FOK}
_OPTION: Final = re.compile(
    r"\s*(?:as (?P<as>\S+)|in (?P<in>\S+)|by (?P<by>\S+)|stp (?P<stp>\w+)|(?P<tif>gtc|ioc|fok)\b|(?P<post>post-only)"
    r"|signed (?P<signed>\S+) (?P<direction>ago|ahead))"
)


class World(NamedTuple):
    """What the language needs to know of the exchange: numbers behind names."""

    now_ns: int
    account_id: Callable[[str], int]
    asset_id: Callable[[str], int]
    market_id: Callable[[str], int]  # "" is the market listed last
    order_number: Callable[[str], int]  # "bo/c1"
    next_id: Callable[[], str]


class Asked(NamedTuple):
    """A command and the label under which the scenario speaks of it: ``ana/c1`` or ``dep-7``."""

    label: str
    command: Command


def parse_command(line: str, world: World) -> Asked:
    for pattern, build in _PATTERNS:
        match = pattern.match(line)
        if match is not None:
            return build(match.groupdict(), _options(line[match.end() :]), world)
    raise ValueError(f"no such command: {line}")


def duration_ns(text: str) -> int:
    match = re.fullmatch(r"([0-9.]+)(ns|ms|s|m|h)", text)
    assert match is not None, text
    return int(Fraction(match[1]) * _UNIT_NS[match[2]])


Words = dict[str, str]


def _options(text: str) -> Words:
    options: Words = {}
    position = 0
    while position < len(text):
        match = _OPTION.match(text, position)
        assert match is not None, f"no such option: {text[position:]}"
        options.update({name: value for name, value in match.groupdict().items() if value is not None})
        position = match.end()
    return options


def _who_and_when(name: str, options: Words, world: World) -> tuple[int, int]:
    age_ns = duration_ns(options.get("signed", "0s"))
    return world.account_id(name), world.now_ns + (age_ns if options.get("direction") == "ahead" else -age_ns)


def _decimal(text: str | None) -> Decimal:
    number = ABSENT if text is None else parse_decimal(text)
    assert number is not None, f"a gateway would refuse this text: {text}"
    return number


def _place(words: Words, options: Words, world: World) -> Asked:
    name = options.get("as") or world.next_id()
    if words["budget"]:
        order_type = MARKET_BUDGET
    else:
        order_type = LIMIT if words["price"] else MARKET
    command = PlaceOrder(
        *_who_and_when(words["who"], options, world),
        world.market_id(options.get("in", "")),
        BUY if words["side"] == "buys" else SELL,
        order_type,
        _TIME_IN_FORCE[options.get("tif", "gtc" if order_type == LIMIT else "ioc")],
        int("post" in options),
        _SELF_TRADE[options.get("stp", "newest")],
        *_decimal(words["price"]),
        *_decimal(words["budget"] or words["quantity"]),
        name.encode(),
    )
    return Asked(f"{words['who']}/{name}", command)


def _named_order(order: str, world: World) -> tuple[int, bytes]:
    """An order's number and client id: ``bo/c1`` is named by its number, ``c1`` by its id."""
    return (world.order_number(order), b"") if "/" in order else (0, order.encode())


def _cancel(words: Words, options: Words, world: World) -> Asked:
    name = options.get("as") or world.next_id()
    order_id, client_order_id = _named_order(words["order"], world)
    asker = _who_and_when(words["who"], options, world)
    return Asked(f"{words['who']}/{name}", CancelOrder(*asker, order_id, client_order_id, name.encode()))


def _amend(words: Words, options: Words, world: World) -> Asked:
    name = options.get("as") or world.next_id()
    order_id, client_order_id = _named_order(words["order"], world)
    command = AmendOrder(
        *_who_and_when(words["who"], options, world),
        order_id,
        *_decimal(words["price"]),
        *_decimal(words["quantity"]),
        client_order_id,
        name.encode(),
    )
    return Asked(f"{words['who']}/{name}", command)


def _cancel_all(words: Words, options: Words, world: World) -> Asked:
    name = options.get("as") or world.next_id()
    market_id = world.market_id(options["in"]) if "in" in options else 0
    asker = _who_and_when(words["who"], options, world)
    return Asked(f"{words['who']}/{name}", CancelAll(*asker, market_id, name.encode()))


def _deposit(words: Words, options: Words, world: World) -> Asked:
    reference = options.get("as") or world.next_id()
    command = Deposit(
        *_who_and_when(options.get("by", "exchange"), options, world),
        world.account_id(words["who"]),
        world.asset_id(words["asset"]),
        *_decimal(words["amount"]),
        reference.encode(),
    )
    return Asked(reference, command)


def _fee_ppm(text: str | None) -> int:
    return int(Fraction(text or 0) * FEE_SCALE)


def _market(words: Words, options: Words, world: World) -> Asked:
    command = CreateMarket(
        *_who_and_when(options.get("by", "exchange"), options, world),
        *_decimal(words["tick"]),
        *_decimal(words["lot"]),
        *_decimal(words["min"] or "0"),
        _fee_ppm(words["maker"]),
        _fee_ppm(words["taker"]),
        words["base"].encode(),
        words["quote"].encode(),
    )
    return Asked(f"{words['base']}-{words['quote']}", command)


def _asset(words: Words, options: Words, world: World) -> Asked:
    asker = _who_and_when(options.get("by", "exchange"), options, world)
    return Asked(words["name"], CreateAsset(*asker, int(words["decimals"]), words["name"].encode()))


def _account(words: Words, options: Words, world: World) -> Asked:
    asker = _who_and_when(options.get("by", "exchange"), options, world)
    return Asked(words["name"], CreateAccount(*asker, TRADER, words["name"].encode()))


_PATTERNS: Final = tuple(
    (re.compile(pattern + r"(?![^\s])"), build)
    for pattern, build in (
        (
            r"(?P<who>\w+) (?P<side>buys|sells) (?:for (?P<budget>\S+)|(?P<quantity>\S+))"
            r" (?:@ (?P<price>\S+)|at market)",
            _place,
        ),
        (r"(?P<who>\w+) cancels all", _cancel_all),
        (r"(?P<who>\w+) cancels (?P<order>\S+)", _cancel),
        (
            r"(?P<who>\w+) amends (?P<order>\S+)(?: to(?: (?P<quantity>[^@\s]\S*))?(?: @ (?P<price>\S+))?)?",
            _amend,
        ),
        (r"deposit (?P<amount>\S+) (?P<asset>\w+) for (?P<who>\w+)", _deposit),
        (
            r"market (?P<base>\w+)-(?P<quote>\w+) tick (?P<tick>\S+) lot (?P<lot>\S+)(?: min (?P<min>\S+))?"
            r"(?: maker (?P<maker>\S+))?(?: taker (?P<taker>\S+))?",
            _market,
        ),
        (r"asset (?P<name>\w+) with (?P<decimals>\d+) decimals", _asset),
        (r"account (?P<name>\w+)", _account),
    )
)
