"""Every kind of command by chance, in a world so narrow that everything collides.

As in ``tests.engine.workload`` a choice is a few small integers. Prices are a dozen neighbouring ticks around the last
price, bands are a few ticks wide, stops stand close together, icebergs are small, auctions and expiries last seconds,
as long as the steps of the clock; now and then the clock jumps by hours, so that ids are forgotten, days change and
much is due at once. The workload hears what happened, so that it can name what there is.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final, TypeVar

from engine.amounts import ABSENT, Decimal
from engine.commands import (
    AmendOrder,
    CancelAll,
    CancelAllAfter,
    CancelOrder,
    CancelWithdrawal,
    Command,
    CreateAccount,
    CreateAsset,
    CreateMarket,
    CreateSale,
    CreateTransfer,
    DecideSale,
    DecideTransfer,
    DecideWithdrawal,
    Deposit,
    ListMarket,
    MassCancel,
    PlaceOco,
    PlaceOrder,
    PlaceSpecialOrder,
    RequestWithdrawal,
    ResolveRequest,
    SubscribeSale,
    Tick,
)
from engine.events import (
    Event,
    FundsDeposited,
    MarketStateChanged,
    OrderAccepted,
    OrderClosed,
    OrderConditions,
    OrderTriggered,
    RequestFenced,
    SaleChanged,
    TradeExecuted,
    TransferChanged,
    WithdrawalChanged,
)
from engine.types import (
    AUCTION,
    BUY,
    FOK,
    GTC,
    IOC,
    LIMIT,
    MARKET,
    MARKET_BUDGET,
    NS_PER_S,
    OPEN_SALE,
    OPERATOR,
    POT,
    SALE_ANNOUNCED,
    SALE_CANCELLED,
    SALE_OPEN,
    TRADER,
    TRADING,
    UNIFORM_PRICE,
    MarketRules,
)
from tests.engine.workload import HOUR_NS, START_NS, Choice
from tests.engine.workload_odd import (
    oddities_of_money,
    oddities_of_operators,
    oddities_of_orders,
    oddities_of_sales,
)
from tests.engine.workload_operators import (
    SOME_RULES,
    Setting,
    delist,
    list_something,
    set_account,
    set_rules,
    set_schedule,
    set_state,
    set_tiers,
)
from tests.engine.workload_placing import (
    lot_scale_of,
    place_iceberg,
    place_oco,
    place_stop,
    place_timed,
    place_trailing,
    price_of,
    quantity_of,
)

Placed = TypeVar("Placed", PlaceSpecialOrder, PlaceOco)
TRADERS: Final = (1, 2, 3, 4)
BOSS: Final = 5  # an operator who trades as well
EVERYBODY: Final = (*TRADERS, BOSS)
GLD, EUR, OIL, TKN = 1, 2, 3, 4


def _listed(
    base: bytes, quote: bytes, lot_scale: int, fees: tuple[int, int], state: int, reference: Decimal, rules: MarketRules
) -> ListMarket:
    return ListMarket(0, START_NS, 1, 2, 1, lot_scale, 2, 2, *fees, state, *reference, *rules, base, quote)


# GLD-EUR breaks off at its band; OIL-EUR has a rebate and no last price; TKN-EUR is what is sold, and seldom open.
SPECIAL_LISTING: Final[tuple[Command, ...]] = (
    CreateAsset(0, START_NS, 3, b"GLD"),
    CreateAsset(0, START_NS, 5, b"EUR"),
    CreateAsset(0, START_NS, 2, b"OIL"),
    CreateAsset(0, START_NS, 1, b"TKN"),
    _listed(b"GLD", b"EUR", 3, (1_000, 2_500), TRADING, Decimal(1_000, 2), SOME_RULES[2]),
    CreateMarket(0, START_NS, 1, 2, 1, 2, 0, 0, -2_311, 2_499, b"OIL", b"EUR"),
    _listed(b"TKN", b"EUR", 1, (700, 700), AUCTION, ABSENT, SOME_RULES[4]),
    *(CreateAccount(0, START_NS, TRADER, b"trader-%d" % account) for account in TRADERS),
    CreateAccount(0, START_NS, OPERATOR, b"boss"),
    *(Deposit(0, START_NS, account, GLD, 120, 3, b"gld-%d" % account) for account in EVERYBODY),
    *(Deposit(0, START_NS, account, EUR, account * account * 5 + 3, 1, b"eur-%d" % account) for account in EVERYBODY),
    *(Deposit(0, START_NS, account, OIL, 90, 2, b"oil-%d" % account) for account in EVERYBODY),
    *(Deposit(0, START_NS, account, TKN, 90, 1, b"tkn-%d" % account) for account in EVERYBODY),
)
SPECIAL_LIMITS: Final = Choice(1_000, 5, 12, 2, 12, 24, 120, 1_000, 420)
_JUMPS_NS: Final = (13 * HOUR_NS, 25 * HOUR_NS, 40 * NS_PER_S, 11 * 60 * NS_PER_S, 9 * HOUR_NS)


def special_choices(random: Random, count: int) -> list[Choice]:
    return [Choice(*(random.randrange(limit) for limit in SPECIAL_LIMITS)) for _ in range(count)]


class SpecialWorkload:
    """Turns choices into commands. It remembers what it asked, to name it, change it and repeat it."""

    def __init__(self) -> None:
        self.now_ns = START_NS
        self._ids_given = 0
        self._odd_ones = 0
        self._asked: list[Any] = []
        self._placed: dict[int, tuple[int, bytes]] = {}
        self._to_buy: set[int] = set()  # at market
        self._exposed: dict[int, int] = {}  # the owners of stops that wait to do so
        self._states: dict[int, int] = {}
        self._part_filled: list[tuple[int, int]] = []
        self._withdrawals: dict[int, tuple[int, int]] = {}  # with the owner, twice
        self._transfers: dict[int, tuple[int, int]] = {}  # with both parties
        self._funds: list[tuple[int, int, int]] = []  # (account, asset, units available) as last told
        self._sales: dict[int, tuple[int, int]] = {}  # their kinds, and where they stand
        self._fenced: list[tuple[int, bytes]] = []
        # The shares of the kinds of commands.
        self._kinds: list[tuple[int, Callable[[Choice], Any]]] = [
            (300, self._place),
            (100, self._placing(place_stop)),
            (40, self._placing(place_trailing)),
            (60, self._placing(place_oco)),
            (70, self._placing(place_iceberg)),
            (40, self._placing(place_timed)),
            (50, self._cancel),
            (60, self._amend),
            (10, self._cancel_many),
            (6, self._dead_man),
            (12, self._resolve),
            (70, self._money),
            (80, self._sale),
            (60, self._by_operator(set_state)),
            (12, self._by_operator(set_rules)),
            (7, self._by_operator(set_schedule)),
            (8, self._by_operator(set_tiers)),
            (10, self._by_operator(set_account)),
            (5, self._by_operator(list_something)),
            (2, self._by_operator(delist)),
            (8, self._tick),
            (25, self._again),
            (30, self._odd),
        ]

    def next_command(self, choice: Choice) -> tuple[int, Command]:
        """The next command, and when it is executed."""
        if choice.time < len(_JUMPS_NS):
            self.now_ns += _JUMPS_NS[choice.time]
        elif choice.time % 3 == 0:
            self.now_ns += choice.time % 4 * NS_PER_S // 2
        at = choice.kind * sum(weight for weight, _ in self._kinds) // SPECIAL_LIMITS.kind
        for weight, make in self._kinds:
            at -= weight
            if at < 0:
                command: Command = make(choice)
                self._asked.append(command)
                return self.now_ns, command
        raise AssertionError(choice)

    def heard(self, event: Event) -> None:
        """Learn from what happened which orders, withdrawals, transfers and sales there are to be named."""
        if isinstance(event, OrderAccepted):
            self._placed[event.order_id] = (event.account_id, event.client_order_id)
            if event.side == BUY and event.order_type == MARKET:
                self._to_buy.add(event.order_id)
        elif isinstance(event, OrderClosed):
            self._placed.pop(event.order_id, None)
            self._exposed.pop(event.order_id, None)
        elif isinstance(event, OrderTriggered):
            self._exposed.pop(event.order_id, None)
        elif isinstance(event, OrderConditions) and event.order_id in self._to_buy and event.trigger:
            self._exposed[event.order_id] = event.account_id
        elif isinstance(event, MarketStateChanged):
            self._states[event.market_id] = event.state
        elif isinstance(event, FundsDeposited):
            self._funds.append((event.account_id, event.asset_id, event.available_units))
        elif isinstance(event, TradeExecuted) and event.maker_open_lots:
            self._part_filled.append((event.maker_account_id, event.maker_order_id))
        elif isinstance(event, WithdrawalChanged):
            self._withdrawals[event.withdrawal_id] = (event.account_id, event.account_id)
        elif isinstance(event, TransferChanged):
            self._transfers[event.transfer_id] = (event.from_account_id, event.to_account_id)
        elif isinstance(event, SaleChanged):
            self._sales[event.sale_id] = (event.kind, event.status)
        elif isinstance(event, RequestFenced):
            self._fenced.append((event.account_id, event.request_id))

    def _next_id(self, prefix: bytes) -> bytes:
        self._ids_given += 1
        return b"%s%d" % (prefix, self._ids_given)

    def _account(self, choice: Choice) -> int:
        return EVERYBODY[choice.account]

    def _market(self, choice: Choice) -> int:
        return 4 if choice.earlier % 100 == 0 else (1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3)[choice.market]

    def _by_operator(self, make: Setting) -> Callable[[Choice], Command]:
        return lambda choice: make(choice, self.now_ns, self._market(choice), self._account(choice))

    def _placing(self, make: Callable[[Choice, int, int, int, bytes], Placed]) -> Callable[[Choice], Placed]:
        return lambda choice: make(
            choice, self.now_ns, self._market(choice), self._account(choice), self._next_id(b"s")
        )

    def _place(self, choice: Choice) -> PlaceOrder:
        option, account, name = choice.option, self._account(choice), self._next_id(b"c")
        if self._fenced and choice.earlier % 12 == 0:
            account, name = self._fenced.pop()
        order_type, time_in_force, post_only = LIMIT, (GTC,) * 9 + (IOC, IOC, FOK), 0
        in_force = time_in_force[option % 12]
        price, quantity = price_of(choice), quantity_of(choice)
        if in_force == GTC and option >= 112:
            post_only = 1
        by_market = (
            option < 60 and option % 3 == 0 if self._states.get(self._market(choice)) == AUCTION else option < 22
        )
        if by_market:
            order_type, in_force, price = (MARKET, IOC, ABSENT) if option else (MARKET, GTC, ABSENT)
        self_trade = choice.earlier % 4
        if by_market and option < 6 and choice.side == BUY:
            order_type, quantity = MARKET_BUDGET, Decimal(1_009 * (choice.quantity + 1), 5)
            self_trade %= 3
        return PlaceOrder(
            account,
            self.now_ns,
            self._market(choice),
            choice.side,
            order_type,
            in_force,
            post_only,
            self_trade,
            *price,
            *quantity,
            name,
        )

    def _some_placed(self, choice: Choice) -> tuple[int, bytes]:
        """One that was placed of late, with its owner."""
        placed = list(self._placed.values())[-24:]
        return placed[choice.earlier % len(placed)] if placed else (1, b"never")

    def _cancel(self, choice: Choice) -> CancelOrder:
        account, name = self._some_placed(choice)
        number = choice.earlier + 1 if choice.option < 12 else 0
        return CancelOrder(account, self.now_ns, number, b"" if number else name, self._next_id(b"x"))

    def _amend(self, choice: Choice) -> AmendOrder:
        account, name = self._some_placed(choice)
        price = ABSENT if choice.option % 3 == 0 else price_of(choice)
        quantity = ABSENT if choice.option % 3 == 1 else quantity_of(choice)
        number = 0
        if choice.option % 4 == 0 and self._part_filled:
            account, number = self._part_filled[-1 - choice.earlier % min(len(self._part_filled), 8)]
            name, quantity = b"", Decimal(1 + choice.quantity // 2, lot_scale_of(choice))
        return AmendOrder(account, self.now_ns, number, *price, *quantity, name, self._next_id(b"m"))

    def _cancel_many(self, choice: Choice) -> CancelAll | MassCancel:
        asker, market = self._account(choice), choice.earlier % 4
        if choice.option % 3 == 0:
            return CancelAll(asker, self.now_ns, market, self._next_id(b"a"))
        if choice.option % 4 == 3:
            asker = 0
        owner = asker if choice.option % 3 == 1 else choice.earlier % 7
        return MassCancel(asker, self.now_ns, owner, market, choice.option % 4, self._next_id(b"a"))

    def _dead_man(self, choice: Choice) -> CancelAllAfter:
        timeout_ms = (0, 1_000, 2_000, 5_000, 1)[choice.option % 5]
        return CancelAllAfter(self._account(choice), self.now_ns, timeout_ms, self._next_id(b"k"))

    def _resolve(self, choice: Choice) -> ResolveRequest:
        """Of an id that was used, of one that never was, or of one that comes next."""
        account, name = self._some_placed(choice)
        if choice.option % 3 == 0:
            name = (b"c%d", b"s%d", b"s%d-stop")[choice.option // 3 % 3] % (self._ids_given + 1 + choice.earlier % 3)
            account = self._account(choice)
        elif choice.option % 3 == 1:
            named = [one for one in self._asked if isinstance(one, RequestWithdrawal | CreateTransfer | CancelOrder)]
            if named:
                one = named[-1 - choice.earlier % min(len(named), 12)]
                account, name = one.account_id, one[-1]
        return ResolveRequest(account, self.now_ns, name)

    def _money(self, choice: Choice) -> Command:
        account, kind, now_ns = self._account(choice), choice.option % 14, self.now_ns
        asset = choice.earlier % 4 + 1
        amount = Decimal(choice.quantity, (3, 1, 2, 1)[asset - 1])
        withdrawal, owners = _one_of(self._withdrawals, choice.earlier)
        transfer, parties = _one_of(self._transfers, choice.earlier)
        if kind == 0:
            return Deposit(0, now_ns, account, asset, *amount, self._next_id(b"d"))
        if kind == 1:
            account = next(reversed(self._exposed.values()), account)
            return Deposit(0, now_ns, account, EUR, 1, 5, self._next_id(b"d"))
        if kind < 4:
            return RequestWithdrawal(account, now_ns, asset, *amount, b"iban %d" % choice.price, self._next_id(b"w"))
        if kind == 4:
            owner = account if choice.price == 0 else owners[0]
            return CancelWithdrawal(owner, now_ns, withdrawal, self._next_id(b"v"))
        if kind < 8:
            return DecideWithdrawal(0, now_ns, withdrawal, choice.price % 3)
        if kind < 10:
            pending = int(choice.price > 2)
            timeout_s, to = choice.quantity % 4 * pending, choice.price % 6
            return CreateTransfer(account, now_ns, to, asset, *amount, pending, timeout_s, self._next_id(b"r"))
        if kind < 12:
            decider = (parties[0], parties[1], parties[1], 0, account)[choice.price % 5]
            return DecideTransfer(decider, now_ns, transfer, choice.side, self._next_id(b"p"))
        # Give away all that was left of something a moment ago, so that an account has next to nothing.
        account, asset, units = self._funds[-1 - choice.price % 2] if len(self._funds) > 1 else (1, EUR, 1)
        left = Decimal(units, (3, 5, 2, 1, 2, 2, 2)[asset - 1])
        return CreateTransfer(account, now_ns, account % 5 + 1, asset, *left, 0, 0, self._next_id(b"r"))

    def _sale(self, choice: Choice) -> Command:
        kind, newest = choice.option % 12, max(self._sales, default=0)
        number = max(1, newest - (0, 0, 0, 0, 0, 1)[choice.earlier % 6])
        sort, status = self._sales.get(newest, (0, SALE_CANCELLED))
        if kind == 0:
            return DecideSale(0, self.now_ns, number, choice.earlier % 3)
        if kind > 1 and status == SALE_ANNOUNCED:
            return DecideSale(0, self.now_ns, newest, OPEN_SALE)
        if kind > 1 and status == SALE_OPEN:
            amount = Decimal(1 + choice.quantity // 5, int(sort != POT))
            price = Decimal(995 + 5 * choice.price, 2) if sort == UNIFORM_PRICE else ABSENT
            return SubscribeSale(self._account(choice), self.now_ns, number, *amount, *price, self._next_id(b"u"))
        return self._new_sale(choice)

    def _new_sale(self, choice: Choice) -> CreateSale:
        """Of up to 2.4 tokens at 10.00 each, in lots of a tenth."""
        option, opens_at_ns, closes_at_ns = choice.option // 8, 0, 0
        if option % 3 == 0:
            opens_at_ns = self.now_ns + choice.price % 3 * NS_PER_S
        if option % 2 == 0:
            closes_at_ns = (opens_at_ns or self.now_ns) + (choice.price + 1) * 4 * NS_PER_S
        return CreateSale(
            0,
            self.now_ns,
            self._account(choice),
            TKN,
            EUR,
            3 if option % 4 else 0,
            choice.earlier % 3,
            10,
            0,
            1,
            1,
            choice.quantity + 1,
            1,
            *((ABSENT, Decimal(0, 0), Decimal(3, 0), Decimal(1, 0))[choice.earlier // 3 % 4]),
            *((ABSENT, Decimal(8, 1), Decimal(1, 0))[choice.earlier // 12 % 3]),
            opens_at_ns,
            closes_at_ns,
            b"sale-%d" % (self._ids_given - choice.earlier % 2),
        )

    def _tick(self, choice: Choice) -> Tick:
        return Tick(0, self.now_ns)

    def _again(self, choice: Choice) -> Command:
        """Something that was asked of late, signed anew: as it was, or with other content under its id."""
        if not self._asked:
            return Tick(0, self.now_ns)
        command = self._asked[-1 - choice.earlier % min(len(self._asked), 30)]._replace(issued_at_ns=self.now_ns)
        if choice.option % 3:
            return command  # type: ignore[no-any-return]
        for name in ("quantity_mantissa", "amount_mantissa", "market_id", "order_id", "decision", "timeout_ms"):
            if name in command._fields and not (name == "order_id" and command.client_order_id):
                return command._replace(**{name: getattr(command, name) + 1})  # type: ignore[no-any-return]
        return command  # type: ignore[no-any-return]

    def _odd(self, choice: Choice) -> Command:
        """A command that is wrong in one way or several; each in its turn."""
        self._odd_ones = self._odd_ones + 1 if self._odd_ones else choice.earlier
        odd_ones = [
            *oddities_of_orders(
                self._place(choice),
                self._placing(place_iceberg)(choice),
                self._placing(place_stop)(choice),
                self._placing(place_oco)(choice),
                self._some_placed(choice),
            ),
            *oddities_of_money(self._account(choice), self.now_ns, choice.earlier, self._next_id),
            *oddities_of_sales(
                self._new_sale(choice)._replace(name=self._next_id(b"n")),
                self._account(choice),
                max(self._sales, default=1),
                self._next_id,
            ),
            *oddities_of_operators(self._account(choice), self.now_ns, self._next_id),
        ]
        return odd_ones[self._odd_ones % len(odd_ones)]


def _one_of(known: dict[int, tuple[int, int]], which: int) -> tuple[int, tuple[int, int]]:
    """One of the last few, with the accounts that it belongs to."""
    last = list(known.items())[-6:]
    return last[which % len(last)] if last else (1, (1, 2))
