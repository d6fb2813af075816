"""A seeded flow of orders in exact proportions, in which about so many orders rest in the long run.

Of 400 commands 189 place orders that rest (a third of them post-only), 21 place limit orders that trade at once, 138
cancel, 24 amend, 12 are immediate-or-cancel, 8 fill-or-kill and 8 market orders; only their order is random. What
places more than it cancels must lose the rest to trades: takers are sized so that the 12 % of commands that trade
remove about as many orders as that, a few more or less where more or fewer orders rest than wanted.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from typing import Final, NamedTuple

from engine.amounts import ABSENT
from engine.codec import encode_command
from engine.commands import AmendOrder, CancelOrder, Command, PlaceOrder
from engine.types import BUY, CANCEL_NEWEST, FOK, GTC, IOC, LIMIT, MARKET, SELL
from sim.bench_engine_book import LiveBook, LiveOrder

NOW_NS: Final = 1_750_000_000_000_000_000
PRICE_SCALE: Final = 2
QUANTITY_SCALE: Final = 3
START_TICKS: Final = 10_000

PASSIVE: Final = 0
POST_ONLY: Final = 1
AGGRESSIVE: Final = 2
CANCELS: Final = 3
AMENDS: Final = 4
IOCS: Final = 5
FOKS: Final = 6
MARKETS: Final = 7

# How many of each there are among 400 commands.
SHARES: Final = {PASSIVE: 126, POST_ONLY: 63, AGGRESSIVE: 21, CANCELS: 138, AMENDS: 24, IOCS: 12, FOKS: 8, MARKETS: 8}
DECK_SIZE: Final = sum(SHARES.values())

_LOTS_MAX: Final = 1_000
_DISTANCE_TICKS_MAX: Final = 50
_MID_TICKS_MIN, _MID_TICKS_MAX = 2_000, 50_000
# How many resting orders a taker fills on average when as many rest as wanted, and how that changes if all rest twice.
_FILLED_PER_TAKER: Final = 1.04
_FILLED_MORE: Final = 5.0
_FILLED_MAX: Final = 4.0


class Crowd(NamedTuple):
    """Who trades where. ``zipf``: the first market and the first account are the busiest, the others ever less so."""

    markets: int
    accounts: int
    live_per_market: int
    zipf: bool


class Flow:
    """Generates commands. ``books`` are what the generator believes to rest, by market.

    ``traders`` are the pairs of account and market that placed something, and so need funds.
    """

    def __init__(self, crowd: Crowd, seed: int) -> None:
        self.crowd = crowd
        self.books = [LiveBook(START_TICKS) for _ in range(crowd.markets)]
        self.traders: set[tuple[int, int]] = set()
        self._rng = random.Random(seed)
        self._number = 0
        self._deck: list[int] = []
        self._market_weights = _zipf(crowd.markets)
        self._account_weights = _zipf(crowd.accounts)

    def fill(self) -> Iterator[bytes]:
        """Place the orders that rest at the beginning."""
        for market_id, book in enumerate(self.books, start=1):
            for _ in range(self.crowd.live_per_market):
                self._number += 1
                yield encode_command(self._passive(market_id, book, POST_ONLY))

    def commands(self, count: int) -> Iterator[bytes]:
        """The next commands, as records."""
        for _ in range(count):
            yield encode_command(self.next_command())

    def next_command(self) -> Command:
        """The next command, issued at NOW_NS."""
        self._number += 1
        if not self._deck:
            self._deck = [kind for kind, share in SHARES.items() for _ in range(share)]
            self._rng.shuffle(self._deck)
        return self._next(self._deck.pop())

    def _next(self, kind: int) -> Command:
        market_id = self._draw(self.crowd.markets, self._market_weights)
        book = self.books[market_id - 1]
        book.mid_ticks += self._rng.choice((-1, 0, 0, 0, 0, 1))
        book.mid_ticks = min(max(book.mid_ticks, _MID_TICKS_MIN), _MID_TICKS_MAX)
        if kind in (PASSIVE, POST_ONLY):
            return self._passive(market_id, book, kind)
        if kind in (CANCELS, AMENDS):
            while not len(book):
                market_id = market_id % self.crowd.markets + 1
                book = self.books[market_id - 1]
            return self._cancel(book) if kind == CANCELS else self._amend(book)
        return self._taker(market_id, book, kind)

    def _passive(self, market_id: int, book: LiveBook, kind: int) -> PlaceOrder:
        rng = self._rng
        side = rng.randrange(2)
        price_ticks = book.passive_price(side, rng.randrange(1, _DISTANCE_TICKS_MAX))
        account_id = self._account()
        order = LiveOrder(account_id, self._id(b"o"), side, price_ticks, rng.randrange(1, _LOTS_MAX))
        self.traders.add((account_id, market_id))
        book.rest(order)
        return _limit(order, market_id, GTC, post_only=int(kind == POST_ONLY))

    def _cancel(self, book: LiveBook) -> CancelOrder:
        order = book.any_order(self._rng)
        book.remove(order)
        return CancelOrder(order.account_id, NOW_NS, 0, order.client_order_id, self._id(b"c"))

    def _amend(self, book: LiveBook) -> AmendOrder:
        """Half of them make an order smaller, which keeps its place; half of them give it another price."""
        rng = self._rng
        order = book.any_order(rng)
        price, quantity = ABSENT, ABSENT
        if order.open_lots > 1 and rng.random() < 0.5:
            order.open_lots = rng.randrange(1, order.open_lots)
            quantity = quantity._replace(mantissa=order.executed_lots + order.open_lots, scale=QUANTITY_SCALE)
        else:
            book.remove(order)
            order.price_ticks = book.passive_price(order.side, rng.randrange(1, _DISTANCE_TICKS_MAX))
            book.rest(order)
            price = price._replace(mantissa=order.price_ticks, scale=PRICE_SCALE)
        return AmendOrder(order.account_id, NOW_NS, 0, *price, *quantity, order.client_order_id, self._id(b"a"))

    def _taker(self, market_id: int, book: LiveBook, kind: int) -> PlaceOrder:
        rng = self._rng
        side = self._taker_side(book)
        makers, lots = self._wanted(book, 1 - side)
        account_id = self._account()
        while makers and self.crowd.accounts > 1 and makers[0].account_id == account_id:
            account_id = self._account()
        price_ticks = makers[-1].price_ticks if makers else book.mid_ticks
        order = LiveOrder(account_id, self._id(b"o"), side, price_ticks, lots)
        self.traders.add((account_id, market_id))
        if kind == MARKETS:
            book.take(account_id, side, lots, None)
            return _market(order, market_id)
        if kind == FOKS:
            if not _is_filled(makers, order):
                return _limit(order, market_id, FOK)
            book.take(account_id, side, lots, price_ticks)
            return _limit(order, market_id, FOK)
        # Some ask for more than there is: what is left of them is cancelled, or rests.
        order.open_lots += rng.randrange(1, _LOTS_MAX) if rng.random() < 0.25 else 0
        command = _limit(order, market_id, IOC if kind == IOCS else GTC)
        order.executed_lots = order.open_lots
        order.open_lots = book.take(account_id, side, order.open_lots, price_ticks)
        order.executed_lots -= order.open_lots
        if order.open_lots and kind == AGGRESSIVE:
            book.rest(order)
        return command

    def _taker_side(self, book: LiveBook) -> int:
        """Mostly the side that draws the book to where the mid went."""
        bid, ask = book.best(BUY), book.best(SELL)
        if bid is None or ask is None:
            return BUY if bid is None else SELL
        to_buy = 0.8 if 2 * book.mid_ticks > bid.price_ticks + ask.price_ticks else 0.2
        return BUY if self._rng.random() < to_buy else SELL

    def _wanted(self, book: LiveBook, side: int) -> tuple[list[LiveOrder], int]:
        """The resting orders of a side that the next taker shall meet, and how many lots it wants of them."""
        rng = self._rng
        surplus = len(book) / self.crowd.live_per_market - 1.0
        wanted = min(max(_FILLED_PER_TAKER + _FILLED_MORE * surplus, 0.0), _FILLED_MAX)
        filled = int(wanted + rng.random())
        makers = book.first(side, filled + 1)
        lots = sum(maker.open_lots for maker in makers[:filled])
        if len(makers) > filled and makers[-1].open_lots > 1:
            lots += rng.randrange(1, makers[-1].open_lots)
        elif len(makers) > filled > 0:
            makers.pop()
        return makers, max(lots, 1)

    def _account(self) -> int:
        return self._draw(self.crowd.accounts, self._account_weights)

    def _draw(self, count: int, weights: list[float]) -> int:
        """A number from 1 to ``count``."""
        if not self.crowd.zipf:
            return 1 + self._rng.randrange(count)
        return 1 + min(bisect_left(weights, self._rng.random() * weights[-1]), count - 1)

    def _id(self, letter: bytes) -> bytes:
        return letter + b"%d" % self._number


def _is_filled(makers: list[LiveOrder], order: LiveOrder) -> bool:
    """Can a fill-or-kill order be filled? Own orders do not count."""
    available_lots = 0
    for maker in makers:
        if maker.account_id == order.account_id:
            break
        available_lots += maker.open_lots
    return available_lots >= order.open_lots


def _limit(order: LiveOrder, market_id: int, time_in_force: int, post_only: int = 0) -> PlaceOrder:
    price = order.price_ticks, PRICE_SCALE
    return _place(order, market_id, LIMIT, time_in_force, post_only, price)


def _market(order: LiveOrder, market_id: int) -> PlaceOrder:
    return _place(order, market_id, MARKET, GTC, 0, ABSENT)


def _place(
    order: LiveOrder, market_id: int, order_type: int, time_in_force: int, post_only: int, price: tuple[int, int]
) -> PlaceOrder:
    return PlaceOrder(
        order.account_id,
        NOW_NS,
        market_id,
        order.side,
        order_type,
        time_in_force,
        post_only,
        CANCEL_NEWEST,
        *price,
        order.open_lots,
        QUANTITY_SCALE,
        order.client_order_id,
    )


def _zipf(count: int) -> list[float]:
    """Cumulated weights of 1, 1/2, 1/3 and so on."""
    return list(accumulate(1 / rank for rank in range(1, count + 1)))
