"""``tally demo``: a small market that lives by itself, so that there is something to look at.

Three makers quote both sides of BTC-USD with post-only orders, a few levels deep, around a price
that walks at random; two takers cross the spread now and then. Each maker has a fixed number of quotes and replaces one
at a time, so the book stays small. A placement that finds no leader is repeated with the same id until its
outcome is known: the demo goes on by itself when any part of the exchange restarts.

The traders' funds last for years of trading fees at this pace.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from random import Random
from types import FrameType
from typing import Final, NamedTuple, NoReturn

from engine.amounts import format_units
from sim.client import Client, ClientError, Credentials, OutcomeUnsettled, RequestRefused, Response, new_id

MARKET: Final = "BTC-USD"
TICK: Final = "0.01"
LOT: Final = "0.0001"
MAKER_FEE: Final = "0.0010"
TAKER_FEE: Final = "0.0025"
MAKERS: Final = ("demo-maker-1", "demo-maker-2", "demo-maker-3")
TAKERS: Final = ("demo-taker-1", "demo-taker-2")
FUNDS: Final = (("BTC", "50000"), ("USD", "20000000"))
LEVELS_PER_SIDE: Final = 10  # of each maker: at most 60 open orders in all
ORDERS_PER_S: Final = 20.0
TAKER_SHARE: Final = 0.2
MID_CENTS: Final = 23_700
WAIT_S_MAX: Final = 10.0
SEED: Final = 20150501


class Quote(NamedTuple):
    """One of a maker's places in the book. ``level`` 0 is nearest to the middle."""

    maker: str
    side: str
    level: int


class Walk:
    """The price that everybody believes in, in cents: a random walk that is drawn back to where it began."""

    def __init__(self, random: Random, start_cents: int) -> None:
        self._random = random
        self._start_cents = start_cents
        self._offset_cents = 0.0

    def step(self) -> int:
        self._offset_cents = self._offset_cents * 0.9995 + self._random.gauss(0.0, 3.0)
        return max(self._start_cents + round(self._offset_cents), 100)


class DemoMarket:
    """The traders and what they have in the book. Sends one order per :meth:`act`."""

    def __init__(self, clients: dict[str, Client], random: Random) -> None:
        self._clients = clients
        self._random = random
        self._walk = Walk(random, MID_CENTS)
        self._resting: dict[Quote, str] = {}  # the client order id of what was quoted there last
        self._quotes = [
            Quote(maker, side, level)
            for level in range(LEVELS_PER_SIDE)
            for side in ("buy", "sell")
            for maker in MAKERS
        ]

    def clear(self) -> None:
        """Cancel what an earlier demo has left."""
        for client in self._clients.values():
            _settle(client, partial(client.cancel_all, MARKET, new_id()))

    def act(self) -> None:
        """Let one trader do one thing."""
        mid_cents = self._walk.step()
        if len(self._resting) == len(self._quotes) and self._random.random() < TAKER_SHARE:
            self._take(mid_cents)
        else:
            self._requote(mid_cents)

    def _requote(self, mid_cents: int) -> None:
        missing = [quote for quote in self._quotes if quote not in self._resting]
        # The levels near the middle trade and move most, so they are looked after most.
        nearness = min(int(self._random.expovariate(0.08)), len(self._quotes) - 1)
        quote = missing[0] if missing else self._quotes[nearness]
        client = self._clients[quote.maker]
        if quote in self._resting:
            _settle(client, partial(client.cancel, f"client:{self._resting[quote]}", new_id()))
        distance_cents = 2 + 6 * quote.level + self._random.randint(0, 5)
        price_cents = mid_cents - distance_cents if quote.side == "buy" else mid_cents + distance_cents
        order_id = new_id()
        self._resting[quote] = order_id
        # Refused where it would trade at once: the place stays empty until its turn comes again.
        _settle(
            client,
            partial(
                client.place,
                MARKET,
                quote.side,
                self._quantity(),
                price=_dollars(price_cents),
                post_only=True,
                client_order_id=order_id,
            ),
        )

    def _take(self, mid_cents: int) -> None:
        client = self._clients[self._random.choice(TAKERS)]
        side = self._random.choice(("buy", "sell"))
        reach_cents = self._random.randint(5, 40)
        price_cents = mid_cents + reach_cents if side == "buy" else mid_cents - reach_cents
        place = partial(client.place, MARKET, side, self._quantity(), client_order_id=new_id())
        if self._random.random() < 0.25:
            _settle(client, place)
        else:
            _settle(client, partial(place, price=_dollars(price_cents), time_in_force="ioc"))

    def _quantity(self) -> str:
        lots = min(max(int(self._random.lognormvariate(6.5, 0.9)), 10), 20_000)
        return format_units(lots, 4)


def main(url: str, data_dir: Path) -> int:
    """Set up the market and trade until the process is told to stop. Answers the exit code."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    try:
        operator = Client(url, Credentials.load(data_dir))
        _list_market(operator)
        clients = {name: _open_account(operator, name) for name in MAKERS + TAKERS}
        market = DemoMarket(clients, Random(SEED))
        market.clear()
        print(f"tally demo: trading {MARKET} at {url}", flush=True)
        _trade(market)
    except ClientError as error:
        print(f"tally demo: {error}", file=sys.stderr)
        return 1


def _trade(market: DemoMarket) -> NoReturn:
    next_s = time.monotonic()
    while True:
        market.act()
        now_s = time.monotonic()
        # What was missed while the exchange was away is not made up for.
        next_s = max(next_s + 1 / ORDERS_PER_S, now_s)
        time.sleep(next_s - now_s)


def _list_market(operator: Client) -> None:
    _settle(operator, partial(operator.create_asset, "BTC", 8)).expect()
    _settle(operator, partial(operator.create_asset, "USD", 10)).expect()
    listed = _settle(
        operator,
        partial(operator.create_market, "BTC", "USD", tick=TICK, lot=LOT, maker_fee=MAKER_FEE, taker_fee=TAKER_FEE),
    )
    # Listed already with other rules, by an import perhaps: the demo trades by those.
    if listed.error_code != "NAME_TAKEN":
        listed.expect()


def _open_account(operator: Client, name: str) -> Client:
    _settle(operator, partial(operator.create_account, name)).expect()
    for asset, amount in FUNDS:
        _settle(operator, partial(operator.deposit, name, asset, amount, f"{name}-{asset}")).expect()
    key = _settle(operator, partial(operator.create_key, name)).expect().body
    return Client(operator.url, Credentials(key["key_id"], key["secret"]))


def _settle(client: Client, call: Callable[[], Response]) -> Response:
    """Repeat a call for as long as it takes. RequestRefused if the API key is not valid (any more)."""
    said = False
    while True:
        try:
            response = client.settle(call, limit_s=WAIT_S_MAX)
        except OutcomeUnsettled as error:
            if not said:
                print(f"tally demo: waiting for the exchange. {error}", file=sys.stderr, flush=True)
            said = True
            continue
        if said:
            print("tally demo: the exchange is back.", file=sys.stderr, flush=True)
        if response.status == 401:
            raise RequestRefused(response)
        return response


def _dollars(cents: int) -> str:
    return str(Decimal(cents) / 100)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)
