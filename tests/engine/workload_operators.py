"""What operators ask for by chance: states, rules, schedules, tiers, limits, listings.

Everything here takes (choice, now, market, account) and is the same for the same choice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from engine.codec import pack_schedule, pack_tiers
from engine.commands import (
    Command,
    CreateAccount,
    CreateApiKey,
    CreateAsset,
    DelistMarket,
    FreezeAccount,
    ListMarket,
    SetAccountLimits,
    SetFeeTiers,
    SetMarketRate,
    SetMarketRules,
    SetMarketSchedule,
    SetMarketState,
)
from engine.types import AUCTION, NS_PER_S, PRE_OPEN, TRADER, TRADING, FeeTier, MarketRules, ScheduleStep
from tests.engine.workload import Choice

Setting = Callable[[Choice, int, int, int], Command]
ASSET_NAMES: Final = (b"GLD", b"EUR", b"OIL", b"TKN")
NO_RULES: Final = MarketRules()
SOME_RULES: Final = (
    NO_RULES,
    MarketRules(band_ppm=3_500),
    MarketRules(band_ppm=2_500, interrupts=1, call_ms=2_000, no_cancel_ms=2_000, random_end_ms_max=1_500),
    MarketRules(band_ppm=4_000, interrupts=1, call_ms=2_000, no_cancel_ms=3_000, auction_market_orders=1),
    MarketRules(band_ppm=6_000, no_cancel_ms=3_000, random_end_ms_max=2_000, auction_market_orders=1),
    MarketRules(call_ms=1_000, random_end_ms_max=3_000, open_orders_max=12),
    MarketRules(stops_max=3, call_ms=2_500, no_cancel_ms=1_500),
    MarketRules(band_ppm=5_000, auction_market_orders=1, open_orders_max=25),
    MarketRules(band_ppm=2_000, interrupts=1),  # refused: an interruption that nothing ends
)


def set_state(choice: Choice, now_ns: int, market: int, account: int) -> SetMarketState:
    state = choice.option % 7
    # Open is where most happens, and auctions are what is rarest elsewhere.
    state = state if choice.earlier % 8 == 0 else (TRADING, TRADING, TRADING, AUCTION, AUCTION)[choice.earlier // 8 % 5]
    return SetMarketState(0, now_ns, market, state)


def set_rules(choice: Choice, now_ns: int, market: int, account: int) -> SetMarketRules:
    return SetMarketRules(0, now_ns, market, *SOME_RULES[choice.earlier % len(SOME_RULES)])


def set_schedule(choice: Choice, now_ns: int, market: int, account: int) -> SetMarketSchedule:
    """A day that begins in a few seconds, or (some of the time) steps that are not in order, or none."""
    second = now_ns // NS_PER_S % 86_400
    steps = [
        ScheduleStep((second + 1 + choice.quantity % 5) % 86_400, choice.option % 7),
        ScheduleStep((second + 7) % 86_400, AUCTION),
        ScheduleStep((second + 9 + choice.price) % 86_400, TRADING),
        ScheduleStep((second + 40_000) % 86_400, (6, PRE_OPEN, 3)[choice.earlier % 3]),
    ]
    if choice.earlier % 6:
        steps = sorted(steps)
    return SetMarketSchedule(
        0,
        now_ns,
        market,
        pack_schedule(steps[: choice.earlier % 5]) + b"x" * (choice.option == 0),
    )


def set_tiers(choice: Choice, now_ns: int, market: int, account: int) -> SetFeeTiers | SetMarketRate:
    if choice.option % 3 == 0:
        rates = ((0, 0), (0, 0), (2, 2_000), (1, 5_000), (3, 0))
        return SetMarketRate(0, now_ns, market, *rates[choice.earlier % len(rates)])
    some: tuple[list[FeeTier], ...] = (
        [],
        [FeeTier(20_000, 500, 2_000), FeeTier(90_000, -300, 1_500)],
        [FeeTier(1, 700, 700)],
        [FeeTier(30_000, -2_311, 2_400), FeeTier(60_000, -2_350, 2_380)],
        [FeeTier(1_000, 900, 3_000)],
        [FeeTier(5_000, 0, 0), FeeTier(4_000, 0, 0)],
    )
    tail = b"x" if choice.option == 0 else b""
    return SetFeeTiers(0, now_ns, market, pack_tiers(some[choice.earlier % len(some)]) + tail)


def set_account(choice: Choice, now_ns: int, market: int, account: int) -> SetAccountLimits | FreezeAccount:
    account = account
    if choice.option % 3 == 0:
        return FreezeAccount(0, now_ns, account, int(choice.earlier % 5 == 0))
    some = (
        (0, 0, 0, 0),
        (0, 0, 0, 0),
        (4, 0, 0, 0),
        (0, 2, 0, 0),
        (0, 0, 3, 2_000),
        (9, 3, 5, 7_000),
        (0, 0, 1, 0),
    )
    return SetAccountLimits(0, now_ns, account, *some[choice.earlier % len(some)])


def list_something(choice: Choice, now_ns: int, market: int, account: int) -> Command:
    kind = choice.option % 5
    if kind == 0:
        return CreateApiKey(0, now_ns, account, b"key-%d" % (choice.earlier % 4), b"sealed")
    if kind == 1:
        return CreateAccount(0, now_ns, TRADER, b"late-%d" % (choice.earlier % 3))
    if kind == 2:
        return CreateAsset(0, now_ns, 2 + choice.earlier % 7 // 6, b"NEW%d" % (choice.earlier % 3))
    names = [ASSET_NAMES[choice.earlier % 4], ASSET_NAMES[choice.earlier // 4 % 4]]
    rules = SOME_RULES[choice.earlier % len(SOME_RULES)]
    state = (TRADING, AUCTION, PRE_OPEN)[choice.price % 3]
    return ListMarket(0, now_ns, 1, 1, 1, 1, 0, 0, 500, 900, state, 1_000, 2 + choice.quantity % 2, *rules, *names)


def delist(choice: Choice, now_ns: int, market: int, account: int) -> DelistMarket:
    return DelistMarket(0, now_ns, (4, 5, 2, 3, 6, 1)[choice.option * 6 // 240 + choice.earlier % 4])
