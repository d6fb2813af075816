"""Short streams to where chance seldom leads, in the world of ``tests.engine.workload_special``.

Each is a list of (seconds after the start, command) that must reach the situation named before it.
"""

from __future__ import annotations

from typing import Final

from engine.amounts import ABSENT, Decimal
from engine.commands import (
    AmendOrder,
    CancelAllAfter,
    Command,
    CreateSale,
    CreateTransfer,
    DecideSale,
    DecideWithdrawal,
    FreezeAccount,
    PlaceOrder,
    PlaceSpecialOrder,
    RequestWithdrawal,
    SetMarketRules,
    SetMarketState,
    SetRulesVersion,
    SubscribeSale,
    Tick,
)
from engine.types import (
    APPROVE,
    AUCTION,
    BUY,
    CLOSE_SALE,
    CLOSED,
    FIXED_PRICE,
    GTC,
    IOC,
    LIMIT,
    MARKET,
    NO_TRIGGER,
    OPEN_SALE,
    PAY,
    POST_ONLY,
    POT,
    PRE_OPEN,
    REJECT,
    SELL,
    STOP,
    TRADING,
    UNIFORM_PRICE,
    MarketRules,
)
from tests.engine.workload import START_NS
from tests.engine.workload_special import EUR, SPECIAL_LISTING, TKN

Script = list[tuple[int, Command]]
NO_DECIMALS: Final = (*ABSENT, *ABSENT, *ABSENT)


def _order(account: int, side: int, price: int, lots: int, name: bytes) -> PlaceOrder:
    """Of OIL-EUR; at market where the price is 0."""
    order_type, price_and_scale = (LIMIT, Decimal(price, 2)) if price else (MARKET, ABSENT)
    return PlaceOrder(account, START_NS, 2, side, order_type, GTC, 0, 0, *price_and_scale, lots, 2, name)


def _stop(account: int, side: int, stop: int, lots: int, name: bytes) -> PlaceSpecialOrder:
    """At market."""
    amounts = (*ABSENT, lots, 2, stop, 2, *ABSENT, *ABSENT)
    return PlaceSpecialOrder(account, START_NS, 2, side, MARKET, IOC, 0, 0, STOP, *amounts, 0, name)


def _iceberg(account: int, side: int, price: int, lots: int, display: int, name: bytes) -> PlaceSpecialOrder:
    amounts = (price, 2, lots, 2, *ABSENT, *ABSENT, display, 2)
    return PlaceSpecialOrder(account, START_NS, 2, side, LIMIT, GTC, 0, 0, NO_TRIGGER, *amounts, 0, name)


def _state(state: int) -> SetMarketState:
    return SetMarketState(0, START_NS, 2, state)


def _rules(**rules: int) -> SetMarketRules:
    return SetMarketRules(0, START_NS, 2, *MarketRules(**rules))


def _sale(kind: int, lots: int, cap: Decimal = ABSENT, soft_cap: Decimal = ABSENT) -> CreateSale:
    """Of lots of a tenth at 1.00 each."""
    return CreateSale(0, START_NS, 5, TKN, EUR, 0, kind, 10, 0, 1, 1, lots, 1, *soft_cap, *cap, 0, 0, b"sale")


def _subscribe(account: int, amount: Decimal, price: Decimal, name: bytes) -> SubscribeSale:
    return SubscribeSale(account, START_NS, 1, *amount, *price, name)


def _decide(request: int, decision: int) -> DecideWithdrawal:
    """About the withdrawal that this command of the script, counted from 1, asked for."""
    return DecideWithdrawal(0, START_NS, len(SPECIAL_LISTING) + request, decision)


def _at_once(*commands: Command) -> Script:
    return [(0, command) for command in commands]


_LAST_PRICE: Final = (_order(3, SELL, 1_000, 1, b"first"), _order(4, BUY, 1_000, 1, b"second"))
_AUCTION: Final = (*_LAST_PRICE, _rules(band_ppm=6_000, auction_market_orders=1), _state(AUCTION))
SCRIPTS: Final[dict[str, tuple[str, Script]]] = {
    "a stop to buy is elected where the offers cost more than was held and nothing else is left": (
        "closed NO_FUNDS",
        _at_once(
            _stop(1, BUY, 1_001, 5, b"stop"),
            CreateTransfer(1, START_NS, 5, EUR, 29_824, 5, 0, 0, b"the-rest"),
            _order(3, SELL, 1_001, 1, b"ask"),
            _order(3, SELL, 1_500, 9, b"far"),
            _order(4, BUY, 1_001, 1, b"elects"),
        ),
    ),
    "the price of an auction moves the band past the edge where a market order stands": (
        "closed NO_LIQUIDITY",
        _at_once(
            *_AUCTION,
            _order(4, BUY, 0, 5, b"market"),
            _order(3, SELL, 995, 2, b"ask"),
            _state(TRADING),
        ),
    ),
    "a limit that is better than the edge goes before a market order, or what is left would cross": (
        "market orders in auctions",
        _at_once(
            *_AUCTION,
            _order(3, SELL, 990, 8, b"limit"),
            _order(4, SELL, 0, 5, b"market"),
            _order(5, BUY, 994, 12, b"bid"),
            _order(5, BUY, 992, 7, b"lower-bid"),
            _state(TRADING),
        ),
    ),
    "a market order goes before a limit that stood at the edge already": (
        "market orders in auctions",
        _at_once(
            *_AUCTION,
            _order(3, BUY, 1_006, 4, b"limit"),
            _order(4, BUY, 0, 4, b"market"),
            _order(5, SELL, 1_000, 5, b"ask"),
            _state(TRADING),
        ),
    ),
    "the reference decides between prices that are equally good, and need not be one of them": (
        "AuctionUncrossed",
        _at_once(
            *_LAST_PRICE,
            _state(AUCTION),
            _order(3, BUY, 1_004, 4, b"bid"),
            _order(4, SELL, 997, 4, b"ask"),
            _state(TRADING),
        ),
    ),
    "a market that closes out of an auction uncrosses": (
        "AuctionUncrossed",
        _at_once(
            _state(AUCTION),
            _stop(5, SELL, 999, 1, b"stop"),
            _order(3, BUY, 1_000, 4, b"bid"),
            _order(4, SELL, 998, 2, b"ask"),
            _state(CLOSED),
            _state(TRADING),
        ),
    ),
    "a market that closes out of pre-open does not": (
        "AuctionUncrossed",
        _at_once(
            _state(PRE_OPEN),
            _order(3, BUY, 1_000, 4, b"bid"),
            _order(4, SELL, 998, 2, b"ask"),
            _state(CLOSED),
            _state(AUCTION),
            _state(TRADING),
        ),
    ),
    "stops of both sides are elected by the price at which a market opens": (
        "OrderTriggered",
        _at_once(
            _state(PRE_OPEN),
            _stop(5, SELL, 1_003, 1, b"down"),
            _stop(2, BUY, 998, 1, b"up"),
            _order(3, BUY, 1_000, 4, b"bid"),
            _order(4, SELL, 1_000, 2, b"ask"),
            _order(4, SELL, 1_005, 2, b"higher-ask"),
            _state(TRADING),
        ),
    ),
    "an iceberg is amended after a part of its slice was taken": (
        "OrderAmended",
        _at_once(
            _iceberg(3, SELL, 1_000, 9, 4, b"ice"),
            _order(4, BUY, 1_000, 3, b"taker"),
            AmendOrder(3, START_NS, 0, *ABSENT, 8, 2, b"ice", b"smaller"),
            AmendOrder(3, START_NS, 0, *ABSENT, 5, 2, b"ice", b"smaller-still"),
            _order(5, SELL, 1_000, 2, b"behind"),
            _order(4, BUY, 1_000, 2, b"next"),
            AmendOrder(3, START_NS, 0, *ABSENT, 12, 2, b"ice", b"larger"),
            _order(4, BUY, 1_000, 4, b"last"),
        ),
    ),
    "in a post-only market an amendment must not trade": (
        "POST_ONLY",
        _at_once(
            _state(POST_ONLY),
            _order(3, BUY, 1_000, 4, b"bid"),
            _order(4, SELL, 1_005, 4, b"ask"),
            AmendOrder(4, START_NS, 0, 1_000, 2, *ABSENT, b"ask", b"would-trade"),
            AmendOrder(4, START_NS, 0, 1_001, 2, *ABSENT, b"ask", b"rests"),
        ),
    ),
    "what a cascade left behind beyond the band that it made does not rest": (
        "closed PRICE_BAND",
        _at_once(
            _rules(band_ppm=100_000),
            _order(3, SELL, 1_000, 1, b"ask"),
            _order(3, SELL, 2_000, 1, b"far-ask"),
            _stop(4, SELL, 1_000, 1, b"stop")._replace(
                order_type=LIMIT, time_in_force=GTC, price_mantissa=1_000, price_scale=2
            ),
            _order(5, BUY, 2_000, 2, b"sweep"),
        ),
    ),
    "a dead-man switch that was renewed does not fire at its first time": (
        "DeadManFired",
        [
            (0, _order(3, SELL, 1_000, 1, b"ask")),
            (0, CancelAllAfter(3, START_NS, 5_000, b"arm")),
            (3, CancelAllAfter(3, START_NS, 5_000, b"renew")),
            (5, Tick(0, START_NS)),
            (7, Tick(0, START_NS)),
            (8, Tick(0, START_NS)),
        ],
    ),
    "freezing cancels where owners cannot, and a dead-man switch waits": (
        "closed ACCOUNT_FROZEN",
        [
            (0, _rules(call_ms=1_000, no_cancel_ms=9_000)),
            (0, _state(AUCTION)),
            (0, _order(3, SELL, 1_000, 1, b"ask")),
            (0, _order(4, SELL, 1_000, 1, b"other-ask")),
            (0, CancelAllAfter(4, START_NS, 2_000, b"arm")),
            (1, FreezeAccount(0, START_NS, 3, 1)),
            (3, Tick(0, START_NS)),
            (4, Tick(0, START_NS)),
            (10, Tick(0, START_NS)),
        ],
    ),
    "a pot is divided by largest remainder": (
        "pot succeeded",
        _at_once(
            _sale(POT, 8, ABSENT),
            DecideSale(0, START_NS, 1, OPEN_SALE),
            _subscribe(1, Decimal(7, 1), ABSENT, b"too-little"),
            _subscribe(2, Decimal(21, 1), ABSENT, b"second"),
            _subscribe(3, Decimal(45, 1), ABSENT, b"third"),
            _subscribe(4, Decimal(33, 1), ABSENT, b"fourth"),
            _subscribe(4, Decimal(33, 1), ABSENT, b"fourth-again"),
            _subscribe(2, Decimal(2, 0), ABSENT, b"cannot-pay"),
            DecideSale(0, START_NS, 1, CLOSE_SALE),
            DecideSale(0, START_NS, 1, CLOSE_SALE),
        ),
    ),
    "what capped accounts cannot take goes to the others": (
        "pot succeeded",
        _at_once(
            _sale(POT, 8, Decimal(3, 1)),
            DecideSale(0, START_NS, 1, OPEN_SALE),
            _subscribe(1, Decimal(7, 1), ABSENT, b"too-little"),
            _subscribe(2, Decimal(21, 1), ABSENT, b"second"),
            _subscribe(3, Decimal(45, 1), ABSENT, b"third"),
            _subscribe(4, Decimal(33, 1), ABSENT, b"fourth"),
            _subscribe(4, Decimal(33, 1), ABSENT, b"fourth-again"),
            _subscribe(2, Decimal(2, 0), ABSENT, b"cannot-pay"),
            DecideSale(0, START_NS, 1, CLOSE_SALE),
            DecideSale(0, START_NS, 1, CLOSE_SALE),
        ),
    ),
    "a pot reaches its soft cap by what is committed, not by what it brings": (
        "pot succeeded",
        _at_once(
            _sale(POT, 3, soft_cap=Decimal(6, 0)),
            DecideSale(0, START_NS, 1, OPEN_SALE),
            _subscribe(3, Decimal(3, 0), ABSENT, b"third"),
            _subscribe(4, Decimal(31, 1), ABSENT, b"fourth"),
            DecideSale(0, START_NS, 1, CLOSE_SALE),
        ),
    ),
    "a fixed price allots what is left, and exactly the soft cap is enough": (
        "fixed_price succeeded",
        _at_once(
            _sale(FIXED_PRICE, 5, soft_cap=Decimal(5, 0)),
            DecideSale(0, START_NS, 1, OPEN_SALE),
            _subscribe(3, Decimal(4, 1), ABSENT, b"third"),
            _subscribe(4, Decimal(3, 1), ABSENT, b"gets-one"),
            _subscribe(2, Decimal(1, 1), ABSENT, b"sold-out"),
            DecideSale(0, START_NS, 1, CLOSE_SALE),
        ),
    ),
    "a pot without caps has remainders that tie": (
        "pot succeeded",
        _at_once(
            _sale(POT, 5),
            DecideSale(0, START_NS, 1, OPEN_SALE),
            _subscribe(3, Decimal(2, 0), ABSENT, b"third"),
            _subscribe(2, Decimal(2, 0), ABSENT, b"second"),
            _subscribe(4, Decimal(35, 1), ABSENT, b"fourth"),
            DecideSale(0, START_NS, 1, CLOSE_SALE),
        ),
    ),
    "bids at one price for all are served by price, then time": (
        "uniform_price succeeded",
        _at_once(
            _sale(UNIFORM_PRICE, 7),
            DecideSale(0, START_NS, 1, OPEN_SALE),
            _subscribe(2, Decimal(2, 1), Decimal(105, 1), b"low"),
            _subscribe(3, Decimal(3, 1), Decimal(12, 0), b"high"),
            _subscribe(4, Decimal(3, 1), Decimal(105, 1), b"late"),
            DecideSale(0, START_NS, 1, CLOSE_SALE),
        ),
    ),
    "withdrawals of a frozen account are approved under old rules, and not under new ones": (
        "RulesVersionSet",
        _at_once(
            *(RequestWithdrawal(1, START_NS, EUR, 1, 0, b"", b"w-%d" % number) for number in range(1, 5)),
            FreezeAccount(0, START_NS, 1, 1),
            _decide(1, APPROVE),
            _decide(2, APPROVE),
            SetRulesVersion(0, START_NS, 2, b"operator-1"),
            SetRulesVersion(0, START_NS, 1, b"operator-1"),
            SetRulesVersion(0, START_NS, 2, b"operator-2"),
            SetRulesVersion(1, START_NS, 2, b"ana"),
            _decide(1, PAY),
            _decide(2, APPROVE),
            _decide(2, REJECT),
            _decide(2, APPROVE),
            _decide(3, APPROVE),
            _decide(4, REJECT),
            _decide(4, APPROVE),
            FreezeAccount(0, START_NS, 1, 0),
            _decide(3, APPROVE),
        ),
    ),
}
