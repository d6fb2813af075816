"""What traders say: one line of text becomes one command of the engine.

==============================================  ======================================================================
``ana buys 4 @ 10.00 as c1``                    a limit order; ``sells`` likewise
``bo sells 1 at market``                        a market order by quantity
``ana buys for 100 at market``                  a market order by what to spend at most
``ana sells 2 at market stop 9.50 as s1``       a stop: it waits for a trade at 9.50 or below
``ana sells 2 @ 9.45 stop 9.50``                a stop that becomes a limit order
``ana sells 1 at market trail 0.50``            a stop that follows the market at a distance; ``trail 5%``
``ana sells 10 @ 10.00 show 3 as i1``           an iceberg
``ana buys 1 @ 10.00 until +60s``               good till then; ``day`` is good for the day
``ana sells 2 @ 11 or stop 9.50 as o1 and o2``  one cancels the other; ``or stop 9.50 limit 9.45``
``ana cancels c1 as x1``                        ``cancels bo/c1`` names another account's order by its number
``ana amends c1 to 1 @ 10.15 as x2``            ``to 1``, ``to @ 10.15`` or nothing keeps the rest
``ana cancels all as x3``                       everywhere, or ``in GLD-EUR``; ``sells`` or ``buys`` only
``ana cancels all after 60s``                   the dead-man switch; ``after 0s`` turns it off
``ana asks about c2``                           what became of this id?
``ana withdraws 20.00 EUR to IBAN-1 as w1``
``ana cancels withdrawal w1``
``ana sends 5 EUR to bo as t1``                 at once
``ana offers 5 EUR to bo for 60s as t1``        held until somebody posts or voids it, or for so long
``bo posts transfer ana/t1``                    ``bo voids transfer ana/t1``
``ana subscribes 600 in S1 as b1``              tokens, or money for a pot; with a bid: ``in S1 @ 3.00``
==============================================  ======================================================================

Orders take ``ioc``, ``fok``, ``post-only`` and ``stp newest | oldest | both | decrement``. The other options are those
of ``sim.phrases``.
"""

from __future__ import annotations

from typing import Final

from engine.amounts import Decimal
from engine.commands import (
    AmendOrder,
    CancelAll,
    CancelAllAfter,
    CancelOrder,
    CancelWithdrawal,
    CreateTransfer,
    DecideTransfer,
    MassCancel,
    PlaceOco,
    PlaceOrder,
    PlaceSpecialOrder,
    RequestWithdrawal,
    ResolveRequest,
    SubscribeSale,
)
from engine.types import (
    BUY,
    CANCEL_BOTH,
    CANCEL_NEWEST,
    CANCEL_OLDEST,
    DAY,
    DECREMENT,
    FOK,
    GTC,
    GTD,
    IOC,
    LIMIT,
    MARKET,
    MARKET_BUDGET,
    NO_TRIGGER,
    NS_PER_S,
    POST,
    SELL,
    STOP,
    TRAIL_BY_PPM,
    TRAIL_BY_PRICE,
    VOID,
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
    duration_ns,
    id_of,
    moment_ns,
    phrase,
)

SIDES: Final = {"buys": BUY, "sells": SELL}
_SELF_TRADE: Final = {
    "newest": CANCEL_NEWEST,
    "oldest": CANCEL_OLDEST,
    "both": CANCEL_BOTH,
    "decrement": DECREMENT,
}
_TIME_IN_FORCE: Final = {"gtc": GTC, "ioc": IOC, "fok": FOK, "day": DAY}
_SELF_TRADE_OPTION: Final = r"stp (?P<stp>\w+)"
_ORDER_OPTIONS: Final = (
    rf"{_SELF_TRADE_OPTION}|(?P<tif>gtc|ioc|fok|day)|until (?P<until>\S+)|(?P<post>post-only)"
    r"|stop (?P<stop>\S+)|trail (?P<trail>\S+)|show (?P<show>\S+)"
)


def _place(words: Words, world: World) -> Asked:
    name = id_of(words, world)
    if "budget" in words:
        order_type = MARKET_BUDGET
    else:
        order_type = LIMIT if "price" in words else MARKET
    default = "gtc" if order_type == LIMIT else "ioc"
    plain = PlaceOrder(
        *asker(words["who"], words, world),
        world.market_id(words.get("in", "")),
        SIDES[words["side"]],
        order_type,
        GTD if "until" in words else _TIME_IN_FORCE[words.get("tif", default)],
        int("post" in words),
        _SELF_TRADE[words.get("stp", "newest")],
        *decimal(words.get("price")),
        *decimal(words.get("budget") or words["quantity"]),
        name.encode(),
    )
    label = f"{words['who']}/{name}"
    if plain.time_in_force <= FOK and not words.keys() & {"stop", "trail", "show"}:
        return Asked(label, plain)
    return Asked(label, _special(plain, words, world))


def _special(plain: PlaceOrder, words: Words, world: World) -> PlaceSpecialOrder:
    trigger, trail = NO_TRIGGER, words.get("trail")
    if "stop" in words:
        trigger = STOP
    elif trail is not None:
        trigger = TRAIL_BY_PPM if trail.endswith("%") else TRAIL_BY_PRICE
    return PlaceSpecialOrder(
        *plain[:8],
        trigger,
        *plain[8:12],
        *decimal(words.get("stop")),
        *decimal(None if trail is None else trail.removesuffix("%")),
        *decimal(words.get("show")),
        moment_ns(words.get("until"), world),
        plain.client_order_id,
    )


def _place_oco(words: Words, world: World) -> Asked:
    name = id_of(words, world)
    second = words.get("second") or world.next_id()
    command = PlaceOco(
        *asker(words["who"], words, world),
        world.market_id(words.get("in", "")),
        SIDES[words["side"]],
        _SELF_TRADE[words.get("stp", "newest")],
        *decimal(words["quantity"]),
        *decimal(words["price"]),
        *decimal(words["stop"]),
        *decimal(words.get("limit")),
        second.encode(),
        name.encode(),
    )
    return Asked(f"{words['who']}/{name}", command, f"{words['who']}/{second}")


def _named_order(order: str, world: World) -> tuple[int, bytes]:
    """An order's number and client id: ``bo/c1`` is named by its number, ``c1`` by its id."""
    return (world.number(order), b"") if "/" in order else (0, order.encode())


def _cancel(words: Words, world: World) -> Asked:
    name = id_of(words, world)
    order_id, client_order_id = _named_order(words["order"], world)
    command = CancelOrder(*asker(words["who"], words, world), order_id, client_order_id, name.encode())
    return Asked(f"{words['who']}/{name}", command)


def _amend(words: Words, world: World) -> Asked:
    name = id_of(words, world)
    order_id, client_order_id = _named_order(words["order"], world)
    price, quantity = decimal(words.get("price")), decimal(words.get("quantity"))
    asked_by = asker(words["who"], words, world)
    command = AmendOrder(*asked_by, order_id, *price, *quantity, client_order_id, name.encode())
    return Asked(f"{words['who']}/{name}", command)


def _cancel_all(words: Words, world: World) -> Asked:
    name = id_of(words, world)
    market_id = world.market_id(words["in"]) if "in" in words else 0
    account_id, issued_at_ns = asker(words["who"], words, world)
    command: CancelAll | MassCancel = CancelAll(account_id, issued_at_ns, market_id, name.encode())
    if "side" in words:
        command = MassCancel(account_id, issued_at_ns, account_id, market_id, SIDES[words["side"]], name.encode())
    return Asked(f"{words['who']}/{name}", command)


def _cancel_all_after(words: Words, world: World) -> Asked:
    name = id_of(words, world)
    command = CancelAllAfter(*asker(words["who"], words, world), duration_ms(words["timeout"]), name.encode())
    return Asked(f"{words['who']}/{name}", command)


def _ask_about(words: Words, world: World) -> Asked:
    command = ResolveRequest(*asker(words["who"], words, world), words["request"].encode())
    return Asked(f"question about {words['who']}/{words['request']}", command)


def _withdraw(words: Words, world: World) -> Asked:
    name = id_of(words, world)
    command = RequestWithdrawal(
        *asker(words["who"], words, world),
        world.asset_id(words["asset"]),
        *decimal(words["amount"]),
        words.get("destination", "").encode(),
        name.encode(),
    )
    return Asked(f"{words['who']}/{name}", command)


def _cancel_withdrawal(words: Words, world: World) -> Asked:
    name = id_of(words, world)
    number = world.number(_with_owner(words["withdrawal"], words["who"]))
    command = CancelWithdrawal(*asker(words["who"], words, world), number, name.encode())
    return Asked(f"{words['who']}/{name}", command)


def _transfer(words: Words, world: World) -> Asked:
    name = id_of(words, world)
    timeout = words.get("timeout")
    command = CreateTransfer(
        *asker(words["who"], words, world),
        world.account_id(words["to"]),
        world.asset_id(words["asset"]),
        *decimal(words["amount"]),
        int(words["verb"] == "offers"),
        0 if timeout is None else duration_ns(timeout) // NS_PER_S,
        name.encode(),
    )
    return Asked(f"{words['who']}/{name}", command)


def _decide_transfer(words: Words, world: World) -> Asked:
    name = id_of(words, world)
    number = world.number(_with_owner(words["transfer"], words["who"]))
    decision = POST if words["verb"] == "posts" else VOID
    command = DecideTransfer(*asker(words["who"], words, world), number, decision, name.encode())
    return Asked(f"{words['who']}/{name}", command)


def _subscribe(words: Words, world: World) -> Asked:
    name = id_of(words, world)
    price: Decimal = decimal(words.get("price"))
    asked_by = asker(words["who"], words, world)
    command = SubscribeSale(*asked_by, world.sale_id(words["sale"]), *decimal(words["amount"]), *price, name.encode())
    return Asked(f"{words['who']}/{name}", command)


def _with_owner(label: str, who: str) -> str:
    return label if "/" in label else f"{who}/{label}"


TRADER_PHRASES: Final[tuple[Phrase, ...]] = (
    phrase(
        rf"{WHO} (?P<side>buys|sells) (?P<quantity>\S+) @ (?P<price>\S+) or stop (?P<stop>\S+)"
        r"(?: limit (?P<limit>\S+))?",
        _place_oco,
        _SELF_TRADE_OPTION,
    ),
    phrase(
        rf"{WHO} (?P<side>buys|sells) (?:for (?P<budget>\S+)|(?P<quantity>\S+)) (?:@ (?P<price>\S+)|at market)",
        _place,
        _ORDER_OPTIONS,
    ),
    phrase(rf"{WHO} cancels all after (?P<timeout>\S+)", _cancel_all_after),
    phrase(rf"{WHO} cancels all", _cancel_all, r"(?P<side>buys|sells)"),
    phrase(rf"{WHO} cancels withdrawal (?P<withdrawal>\S+)", _cancel_withdrawal),
    phrase(rf"{WHO} cancels (?P<order>\S+)", _cancel),
    phrase(rf"{WHO} amends (?P<order>\S+)(?: to(?: (?P<quantity>[^@\s]\S*))?(?: @ (?P<price>\S+))?)?", _amend),
    phrase(rf"{WHO} asks about (?P<request>\S+)", _ask_about),
    phrase(rf"{WHO} withdraws (?P<amount>\S+) (?P<asset>\w+)(?: to (?P<destination>\S+))?", _withdraw),
    phrase(
        rf"{WHO} (?P<verb>sends|offers) (?P<amount>\S+) (?P<asset>\w+) to (?P<to>\w+)(?: for (?P<timeout>\S+))?",
        _transfer,
    ),
    phrase(rf"{WHO} (?P<verb>posts|voids) transfer (?P<transfer>\S+)", _decide_transfer),
    phrase(rf"{WHO} subscribes (?P<amount>\S+) in (?P<sale>\S+)(?: @ (?P<price>\S+))?", _subscribe),
)
