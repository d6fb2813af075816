"""Commands by chance: a stream of small choices becomes requests of a few accounts in two narrow markets.

Few prices, small quantities and little money, so that everything collides: queues, self-trades, fees that
round, refusals for lack of funds, retries, forgotten ids. A choice is a tuple of small integers, so a
property-based test can shrink a stream, and a seed can make one.
"""

from __future__ import annotations

from random import Random
from typing import Final, NamedTuple

from engine.amounts import ABSENT, Decimal
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
    EXCHANGE_ACCOUNT,
    FOK,
    GTC,
    IOC,
    LIMIT,
    MARKET,
    MARKET_BUDGET,
    NS_PER_S,
    TRADER,
)

HOUR_NS: Final = 3_600 * NS_PER_S
START_NS: Final = 1_750_000_000 * NS_PER_S
ACCOUNTS: Final = (1, 2, 3, 4)
STRANGER: Final = 99
GLD, EUR, OIL = 1, 2, 3
# GLD-EUR has fees that do not come out even on a lot; OIL-EUR has a rebate nearly as large as the fee.
LISTING: Final[tuple[Command, ...]] = (
    CreateAsset(0, START_NS, 3, b"GLD"),
    CreateAsset(0, START_NS, 5, b"EUR"),
    CreateAsset(0, START_NS, 2, b"OIL"),
    CreateMarket(0, START_NS, 1, 2, 1, 3, 3, 2, 1_000, 2_500, b"GLD", b"EUR"),
    CreateMarket(0, START_NS, 5, 2, 1, 2, 0, 0, -2_311, 2_499, b"OIL", b"EUR"),
    *(CreateAccount(0, START_NS, TRADER, b"trader-%d" % account_id) for account_id in ACCOUNTS),
    *(Deposit(0, START_NS, account_id, GLD, 100, 3, b"gld-%d" % account_id) for account_id in ACCOUNTS),
    *(Deposit(0, START_NS, account_id, EUR, 5, 0, b"eur-%d" % account_id) for account_id in ACCOUNTS),
    *(Deposit(0, START_NS, account_id, OIL, 50, 2, b"oil-%d" % account_id) for account_id in ACCOUNTS),
)


class Choice(NamedTuple):
    kind: int
    account: int
    market: int
    side: int
    price: int
    quantity: int
    option: int
    earlier: int
    time: int


CHOICE_LIMITS: Final = Choice(26, 4, 2, 2, 8, 30, 60, 1_000, 300)
NOTHING: Final = 0  # the kind of choice that stands for no command: what a stream shrinks to
_TIMES_IN_FORCE: Final = (GTC,) * 10 + (IOC, FOK)
_JUMPS_NS: Final = (13 * HOUR_NS, 24 * HOUR_NS, 25 * HOUR_NS)


def seeded_choices(random: Random, count: int) -> list[Choice]:
    return [Choice(*(random.randrange(limit) for limit in CHOICE_LIMITS)) for _ in range(count)]


class Workload:
    """Turns choices into commands. It remembers what it asked, to cancel, amend and repeat it."""

    def __init__(self) -> None:
        self.now_ns = START_NS
        self._ids_given = 0
        self._placed: dict[int, list[bytes]] = {account_id: [] for account_id in ACCOUNTS}
        self._asked: list[PlaceOrder | CancelOrder | AmendOrder | CancelAll | Deposit] = []

    def next_command(self, choice: Choice) -> tuple[int, Command]:
        """The next command, and when it is executed."""
        if choice.time < len(_JUMPS_NS):
            self.now_ns += _JUMPS_NS[choice.time]
        else:
            self.now_ns += choice.time % 3 * NS_PER_S
        kind = choice.kind
        if kind in (23, 24) and self._asked:
            return self.now_ns, self._again(choice, changed=kind == 24)
        if kind == 25:
            return self.now_ns, self._odd(choice)
        if kind == 22:
            command: PlaceOrder | CancelOrder | AmendOrder | CancelAll | Deposit = self._deposit(choice)
        elif kind == 21 and choice.option < 20:
            command = CancelAll(ACCOUNTS[choice.account], self.now_ns, choice.option % 4, self._next_id(b"a"))
        elif kind in (17, 18, 19, 20):
            command = self._amend(choice)
        elif kind in (15, 16):
            command = self._cancel(choice)
        else:
            command = self._place(choice)
        self._asked.append(command)
        return self.now_ns, command

    def _next_id(self, prefix: bytes) -> bytes:
        self._ids_given += 1
        return b"%s%d" % (prefix, self._ids_given)

    def _place(self, choice: Choice) -> PlaceOrder:
        account_id, client_order_id = ACCOUNTS[choice.account], self._next_id(b"c")
        order_type, time_in_force, post_only = LIMIT, _TIMES_IN_FORCE[choice.option % 12], 0
        price, quantity = _price(choice), _quantity(choice)
        if time_in_force == GTC and choice.option >= 54:
            post_only = 1
        if choice.kind in (13, 14):
            order_type, time_in_force, post_only, price = MARKET, IOC, 0, ABSENT
        if choice.kind == 14 and choice.side == BUY:
            order_type, quantity = MARKET_BUDGET, Decimal(1_009 * (choice.quantity + 1), 5)
        self._placed[account_id].append(client_order_id)
        return PlaceOrder(
            account_id,
            self.now_ns,
            choice.market + 1,
            choice.side,
            order_type,
            time_in_force,
            post_only,
            choice.option // 12 % 3,
            *price,
            *quantity,
            client_order_id,
        )

    def _placed_id(self, choice: Choice) -> bytes:
        placed = self._placed[ACCOUNTS[choice.account]]
        return placed[-1 - choice.earlier % min(len(placed), 8)] if placed else b"never"

    def _cancel(self, choice: Choice) -> CancelOrder:
        # One in six names the order by a number that may be anybody's.
        order_id = choice.earlier if choice.option < 10 else 0
        name = b"" if order_id else self._placed_id(choice)
        return CancelOrder(ACCOUNTS[choice.account], self.now_ns, order_id, name, self._next_id(b"x"))

    def _amend(self, choice: Choice) -> AmendOrder:
        price = ABSENT if choice.option % 3 == 0 else _price(choice)
        quantity = ABSENT if choice.option % 3 == 1 else _quantity(choice)
        return AmendOrder(
            ACCOUNTS[choice.account],
            self.now_ns,
            0,
            *price,
            *quantity,
            self._placed_id(choice),
            self._next_id(b"m"),
        )

    def _deposit(self, choice: Choice) -> Deposit:
        amount = Decimal(choice.quantity, 2)
        return Deposit(0, self.now_ns, ACCOUNTS[choice.account], choice.option % 3 + 1, *amount, self._next_id(b"d"))

    def _again(self, choice: Choice, *, changed: bool) -> Command:
        """An earlier request, signed anew: as it was, or with another content under its id."""
        command = self._asked[-1 - choice.earlier % min(len(self._asked), 20)]._replace(issued_at_ns=self.now_ns)
        if not changed:
            return command
        if isinstance(command, PlaceOrder):
            return command._replace(quantity_mantissa=command.quantity_mantissa + 1)
        if isinstance(command, CancelAll):
            return command._replace(market_id=command.market_id + 1)
        if isinstance(command, Deposit):
            return command._replace(amount_mantissa=command.amount_mantissa + 1)
        if command.order_id:
            return command._replace(order_id=command.order_id + 1)
        return command._replace(client_order_id=command.client_order_id + b"x")

    def _odd(self, choice: Choice) -> Command:
        """A command that is wrong in one way or several."""
        place = self._place(choice)
        oddities: tuple[Command, ...] = (
            place._replace(account_id=STRANGER),
            place._replace(account_id=EXCHANGE_ACCOUNT),
            place._replace(issued_at_ns=self.now_ns - 60 * NS_PER_S - 1),
            place._replace(issued_at_ns=self.now_ns + 60 * NS_PER_S),
            place._replace(market_id=7),
            place._replace(side=2),
            place._replace(self_trade=4),
            place._replace(order_type=LIMIT, time_in_force=IOC, post_only=1),
            place._replace(price_mantissa=10_005, price_scale=3),
            place._replace(price_mantissa=0),
            place._replace(price_mantissa=1 << 61, price_scale=0),
            place._replace(quantity_mantissa=-1),
            place._replace(quantity_mantissa=1, quantity_scale=4),
            place._replace(client_order_id=b"not an id"),
            CancelOrder(ACCOUNTS[choice.account], self.now_ns, 1, self._placed_id(choice), self._next_id(b"x")),
            CancelOrder(ACCOUNTS[choice.account], self.now_ns, 0, b"", self._next_id(b"x")),
            CreateAsset(ACCOUNTS[choice.account], self.now_ns, 2, b"TIN"),
            Deposit(ACCOUNTS[choice.account], self.now_ns, 1, EUR, 1, 0, self._next_id(b"d")),
            Deposit(0, self.now_ns, STRANGER, EUR, 1, 0, self._next_id(b"d")),
            Deposit(0, self.now_ns, 1, 9, 1, 0, self._next_id(b"d")),
        )
        return oddities[choice.earlier % len(oddities)]


def _price(choice: Choice) -> Decimal:
    """Eight neighbouring prices, on the ticks of both markets; those of bids and asks overlap in three."""
    ticks = choice.price - (5 if choice.side == BUY else 2)
    return Decimal(1_000 + (5 * ticks if choice.market else ticks), 2)


def _quantity(choice: Choice) -> Decimal:
    return Decimal(choice.quantity + 1, 2 if choice.market else 3)
