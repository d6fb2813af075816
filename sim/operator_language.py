"""What operators say about accounts, money, orders and sales: one line of text becomes one command of the engine.

===============================================  =====================================================================
``asset OIL with 2 decimals``
``account zed``
``deposit 100.00 EUR for ana as dep-7``
``limits of ana: orders 10, requests 5 per 1s``  and ``stops 2``; ``none`` ends them
``freeze ana``, ``unfreeze ana``
``operator cancels all of ana``                  or everybody's ``in GLD-EUR``; ``sells`` or ``buys`` only
``operator approves withdrawal ana/w1``          ``rejects``, ``pays``
``sale S1 of 1000 TKN by zed at 2.00 EUR``       then any of ``fixed | pot | auction``, ``lot 1``, ``soft cap 5000``,
                                                 ``at most 400 each``, ``opens +10s``, ``closes +60s``, ``then
                                                 TKN-EUR`` (the market that opens when it succeeds)
``sale S1 opens``                                ``closes``, ``is cancelled``
``rules version 2``                              holds from here on
``tick``                                         time goes on: what is due happens
===============================================  =====================================================================

They are said by the exchange's own account (``operator``), or ``by ana``, who gets a refusal unless she is an
operator. Of a transfer an operator says what traders say: ``operator posts transfer ana/t1``.
"""

from __future__ import annotations

import re
from typing import Final

from engine.commands import (
    CreateAccount,
    CreateAsset,
    CreateSale,
    DecideSale,
    DecideWithdrawal,
    Deposit,
    FreezeAccount,
    MassCancel,
    SetAccountLimits,
    SetRulesVersion,
    Tick,
)
from engine.types import (
    APPROVE,
    CANCEL_SALE,
    CLOSE_SALE,
    EITHER_SIDE,
    EVERYONE,
    EXCHANGE_ACCOUNT,
    FIXED_PRICE,
    OPEN_SALE,
    PAY,
    POT,
    REJECT,
    TRADER,
    UNIFORM_PRICE,
    AccountLimits,
)
from sim.phrases import (
    WHO,
    Asked,
    Phrase,
    Words,
    World,
    asker,
    decimal,
    duration_ms,
    id_of,
    listed,
    moment_ns,
    operator,
    phrase,
)
from sim.scenario import ScenarioError
from sim.trader_language import SIDES

_WITHDRAWAL_DECISIONS: Final = {
    "approves": (APPROVE, "approval"),
    "rejects": (REJECT, "rejection"),
    "pays": (PAY, "payment"),
}
_SALE_KINDS: Final = {"fixed": FIXED_PRICE, "pot": POT, "auction": UNIFORM_PRICE}
_SALE_DECISIONS: Final = {
    "opens": (OPEN_SALE, "opening"),
    "closes": (CLOSE_SALE, "closing"),
    "is cancelled": (CANCEL_SALE, "cancellation"),
}
_SALE_OPTIONS: Final = (
    r"(?P<kind>fixed|pot|auction)|lot (?P<lot>\S+)|soft cap (?P<soft_cap>\S+)|at most (?P<cap>\S+) each"
    r"|opens (?P<opens>\+\S+)|closes (?P<closes>\+\S+)|then (?P<then>\S+)"
)
_LIMIT: Final = re.compile(r"(?:orders (\d+)|stops (\d+)|requests (\d+) per (\S+))")


def _asset(words: Words, world: World) -> Asked:
    command = CreateAsset(*operator(words, world), int(words["decimals"]), words["name"].encode())
    return Asked(words["name"], command)


def _account(words: Words, world: World) -> Asked:
    return Asked(words["name"], CreateAccount(*operator(words, world), TRADER, words["name"].encode()))


def _deposit(words: Words, world: World) -> Asked:
    reference = id_of(words, world)
    command = Deposit(
        *operator(words, world),
        world.account_id(words["owner"]),
        world.asset_id(words["asset"]),
        *decimal(words["amount"]),
        reference.encode(),
    )
    return Asked(reference, command)


def _limits(words: Words, world: World) -> Asked:
    limits = AccountLimits()
    for text in listed(words["limits"]):
        match = _LIMIT.fullmatch(text)
        if match is None:
            raise ScenarioError(f"no limit: {text}")
        orders, stops, requests, window = match.groups()
        limits = AccountLimits(
            int(orders or limits.open_orders_max),
            int(stops or limits.stops_max),
            int(requests or limits.requests_max),
            duration_ms(window) or limits.window_ms,
        )
    command = SetAccountLimits(*operator(words, world), world.account_id(words["owner"]), *limits)
    return Asked(f"limits of {words['owner']}", command)


def _freeze(words: Words, world: World) -> Asked:
    frozen = int(words["verb"] == "freeze")
    command = FreezeAccount(*operator(words, world), world.account_id(words["owner"]), frozen)
    return Asked(f"{words['verb']} of {words['owner']}", command)


def _mass_cancel(words: Words, world: World) -> Asked:
    name = id_of(words, world)
    command = MassCancel(
        *asker(words["who"], words, world),
        world.account_id(words["owner"]) if "owner" in words else EVERYONE,
        world.market_id(words["in"]) if "in" in words else 0,
        SIDES[words["side"]] if "side" in words else EITHER_SIDE,
        name.encode(),
    )
    return Asked(f"{words['who']}/{name}", command)


def _decide_withdrawal(words: Words, world: World) -> Asked:
    decision, noun = _WITHDRAWAL_DECISIONS[words["verb"]]
    command = DecideWithdrawal(*asker(words["who"], words, world), world.number(words["withdrawal"]), decision)
    return Asked(f"{noun} of {words['withdrawal']}", command)


def _sale(words: Words, world: World) -> Asked:
    command = CreateSale(
        *operator(words, world),
        world.account_id(words["issuer"]),
        world.asset_id(words["token"]),
        world.asset_id(words["quote"]),
        world.market_id(words["then"]) if "then" in words else 0,
        _SALE_KINDS[words.get("kind", "fixed")],
        *decimal(words["price"]),
        *decimal(words.get("lot", "1")),
        *decimal(words["quantity"]),
        *decimal(words.get("soft_cap")),
        *decimal(words.get("cap")),
        moment_ns(words.get("opens"), world),
        moment_ns(words.get("closes"), world),
        words["name"].encode(),
    )
    return Asked(words["name"], command)


def _decide_sale(words: Words, world: World) -> Asked:
    decision, noun = _SALE_DECISIONS[words["verb"]]
    return Asked(
        f"{noun} of {words['name']}", DecideSale(*operator(words, world), world.sale_id(words["name"]), decision)
    )


def _rules_version(words: Words, world: World) -> Asked:
    command = SetRulesVersion(*operator(words, world), int(words["version"]), b"operator")
    return Asked(f"version {words['version']} of the rules", command)


def _tick(words: Words, world: World) -> Asked:
    return Asked("tick", Tick(EXCHANGE_ACCOUNT, world.now_ns))


_OPERATOR: Final = r"(?P<who>operator|exchange)"
OPERATOR_PHRASES: Final[tuple[Phrase, ...]] = (
    phrase(r"asset (?P<name>\w+) with (?P<decimals>\d+) decimals", _asset),
    phrase(r"account (?P<name>\w+)", _account),
    phrase(r"deposit (?P<amount>\S+) (?P<asset>\w+) for (?P<owner>\w+)", _deposit),
    phrase(r"limits of (?P<owner>\w+): (?P<limits>.+)", _limits),
    phrase(r"(?P<verb>freeze|unfreeze) (?P<owner>\w+)", _freeze),
    phrase(rf"{_OPERATOR} cancels all(?: of (?P<owner>\w+))?", _mass_cancel, r"(?P<side>buys|sells)"),
    phrase(rf"{WHO} (?P<verb>approves|rejects|pays) withdrawal (?P<withdrawal>\S+)", _decide_withdrawal),
    phrase(
        r"sale (?P<name>\S+) of (?P<quantity>\S+) (?P<token>\w+) by (?P<issuer>\w+) at (?P<price>\S+) (?P<quote>\w+)",
        _sale,
        options=_SALE_OPTIONS,
    ),
    phrase(r"sale (?P<name>\S+) (?P<verb>opens|closes|is cancelled)", _decide_sale),
    phrase(r"rules version (?P<version>\d+)", _rules_version),
    phrase(r"tick", _tick),
)
