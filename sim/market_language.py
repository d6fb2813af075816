"""What operators say about markets: one line of text becomes one command of the engine.

====================================================  ================================================================
``market GLD-EUR tick 0.01 lot 0.001``                then any of ``min 5.00``, ``maker 0.0010``, ``taker -0.0002``,
                                                      ``state auction``, ``reference 10.00`` and rules
``rules in GLD-EUR: band 10% interrupts call 60s``    all rules anew: ``band``, ``interrupts``, ``call``,
                                                      ``no-cancel``, ``random``, ``auction-market-orders``, ``orders
                                                      100``, ``stops 10``; ``none``
``state halted in GLD-EUR``                           ``pre_open``, ``auction``, ``open``, ``post_only``,
                                                      ``cancel_only``, ``halted``, ``closed``
``schedule in GLD-EUR: 08:50 auction, 17:00 closed``  every day at that time (UTC); ``none`` ends it
``fee tiers in GLD-EUR: 1000 maker 0.0005 taker 0``   from a volume of 30 days on; more after commas; ``none``
``rate in GLD-EUR: 100 per 1s``                       placements and amendments of everybody; ``none`` ends it
``delist GLD-EUR``
====================================================  ================================================================
"""

from __future__ import annotations

import re
from typing import Final

from engine.amounts import to_units
from engine.codec import pack_schedule, pack_tiers
from engine.commands import (
    DelistMarket,
    ListMarket,
    SetFeeTiers,
    SetMarketRate,
    SetMarketRules,
    SetMarketSchedule,
    SetMarketState,
)
from engine.types import MARKET_STATE_NAMES, TRADING, FeeTier, MarketRules, ScheduleStep
from sim.phrases import Asked, Phrase, Words, World, decimal, duration_ms, listed, operator, phrase, ppm
from sim.scenario import ScenarioError

_STATES: Final = {name: number for number, name in enumerate(MARKET_STATE_NAMES)}
_RULES: Final = (
    r"band (?P<band>\S+)|(?P<interrupts>interrupts)|call (?P<call>\S+)|no-cancel (?P<no_cancel>\S+)"
    r"|random (?P<random>\S+)|(?P<auction_market_orders>auction-market-orders)|orders (?P<orders>\d+)"
    r"|stops (?P<stops>\d+)"
)
_LISTING_OPTIONS: Final = (
    r"min (?P<min>\S+)|maker (?P<maker>\S+)|taker (?P<taker>\S+)|state (?P<state>\S+)|reference (?P<reference>\S+)|"
    + _RULES
)
_TIME_OF_DAY: Final = re.compile(r"(\d\d):(\d\d)(?::(\d\d))? (\w+)")
_FEE_TIER: Final = re.compile(r"(\S+) maker (\S+) taker (\S+)")


def _market(words: Words, world: World) -> Asked:
    command = ListMarket(
        *operator(words, world),
        *decimal(words["tick"]),
        *decimal(words["lot"]),
        *decimal(words.get("min", "0")),
        ppm(words.get("maker")),
        ppm(words.get("taker")),
        _state(words["state"]) if "state" in words else TRADING,
        *decimal(words.get("reference")),
        *_market_rules(words),
        words["base"].encode(),
        words["quote"].encode(),
    )
    return Asked(f"{words['base']}-{words['quote']}", command)


def _market_rules(words: Words) -> MarketRules:
    return MarketRules(
        band_ppm=ppm(words.get("band")),
        interrupts=int("interrupts" in words),
        call_ms=duration_ms(words.get("call")),
        no_cancel_ms=duration_ms(words.get("no_cancel")),
        random_end_ms_max=duration_ms(words.get("random")),
        auction_market_orders=int("auction_market_orders" in words),
        open_orders_max=int(words.get("orders", 0)),
        stops_max=int(words.get("stops", 0)),
    )


def _rules(words: Words, world: World) -> Asked:
    market, market_id = _about_market("rules", words, world)
    return Asked(market, SetMarketRules(*operator(words, world), market_id, *_market_rules(words)))


def _market_state(words: Words, world: World) -> Asked:
    market, market_id = _about_market("state", words, world)
    return Asked(market, SetMarketState(*operator(words, world), market_id, _state(words["state"])))


def _schedule(words: Words, world: World) -> Asked:
    market, market_id = _about_market("schedule", words, world)
    steps = []
    for text in listed(words["steps"]):
        match = _TIME_OF_DAY.fullmatch(text)
        if match is None:
            raise ScenarioError(f"no step of a day: {text}")
        second = int(match[1]) * 3_600 + int(match[2]) * 60 + int(match[3] or 0)
        steps.append(ScheduleStep(second, _state(match[4])))
    return Asked(market, SetMarketSchedule(*operator(words, world), market_id, pack_schedule(steps)))


def _fee_tiers(words: Words, world: World) -> Asked:
    market, market_id = _about_market("fee tiers", words, world)
    tiers = []
    for text in listed(words["tiers"]):
        match = _FEE_TIER.fullmatch(text)
        if match is None:
            raise ScenarioError(f"no fee tier: {text}")
        volume = decimal(match[1])
        units = to_units(volume.mantissa, volume.scale, world.quote_decimals(market_id)) if volume.mantissa else 0
        tiers.append(FeeTier(units, ppm(match[2]), ppm(match[3])))
    return Asked(market, SetFeeTiers(*operator(words, world), market_id, pack_tiers(tiers)))


def _rate(words: Words, world: World) -> Asked:
    market, market_id = _about_market("rate", words, world)
    rate = (int(words["requests"]), duration_ms(words["window"])) if "requests" in words else (0, 0)
    return Asked(market, SetMarketRate(*operator(words, world), market_id, *rate))


def _delist(words: Words, world: World) -> Asked:
    command = DelistMarket(*operator(words, world), world.market_id(words["market"]))
    return Asked(f"delisting of {words['market']}", command)


def _state(name: str) -> int:
    if name not in _STATES:
        raise ScenarioError(f"no state of a market: {name}")
    return _STATES[name]


def _about_market(what: str, words: Words, world: World) -> tuple[str, int]:
    """The label of a command about a market, and the market's number."""
    name = words.get("in", "")
    return f"{what} of {name}" if name else what, world.market_id(name)


MARKET_PHRASES: Final[tuple[Phrase, ...]] = (
    phrase(
        r"market (?P<base>\w+)-(?P<quote>\w+) tick (?P<tick>\S+) lot (?P<lot>\S+)", _market, options=_LISTING_OPTIONS
    ),
    phrase(r"rules(?: in (?P<in>[^\s:]+))?:(?: none)?", _rules, options=_RULES),
    phrase(r"state (?P<state>\w+)", _market_state),
    phrase(r"schedule(?: in (?P<in>[^\s:]+))?: (?P<steps>.+)", _schedule),
    phrase(r"fee tiers(?: in (?P<in>[^\s:]+))?: (?P<tiers>.+)", _fee_tiers),
    phrase(r"rate(?: in (?P<in>[^\s:]+))?: (?:none|(?P<requests>\d+) per (?P<window>\S+))", _rate),
    phrase(r"delist (?P<market>\S+)", _delist),
)
