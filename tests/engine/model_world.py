"""All that the model keeps, and what follows from it: balances, holds, fees, volumes, queues.

Nothing is kept that can be worked out. An order keeps its fills, and from these its fee, its open quantity and what it
must hold are worked out whenever somebody asks; an account's volume is a sum over all trades there ever were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.events import CommandRejected, Event
from engine.types import (
    AMOUNT_MAX,
    BUY,
    LIMIT,
    MARKET_BUDGET,
    NS_PER_DAY,
    OPERATOR,
    SELL,
    TRADING,
    VOLUME_DAYS,
    AccountLimits,
    AccountSpec,
    ApiKey,
    AssetSpec,
    FeeTier,
    MarketRules,
    MarketSpec,
    ScheduleStep,
)

MILLION = 1_000_000

# Where an order is.
COMING = "coming"  # accepted a moment ago, amended, or elected
RESTING = "resting"
WAITING = "waiting"
GONE = "gone"

# The phases of an auction.
CALL, NO_CANCEL, RANDOM = 0, 1, 2


class Refused(Exception):
    """A rule says no. ``original`` is the sequence of the receipt that stands."""

    def __init__(self, reason: int, original: int = 0) -> None:
        super().__init__(reason, original)
        self.event = CommandRejected(reason, original)


@dataclass
class ModelAccount:
    spec: AccountSpec
    frozen: int = 0
    limits: AccountLimits = field(default_factory=AccountLimits)
    rated_ns: list[int] = field(default_factory=list)  # when it placed or amended since its limits were set
    dead_man_ns: int = 0


@dataclass
class ModelMarket:
    spec: MarketSpec
    rules: MarketRules = field(default_factory=MarketRules)
    state: int = TRADING
    last_price: int = 0
    reference: int = 0  # the last price before the command under way
    prices: list[int] = field(default_factory=list)  # of the trades that elected nothing yet
    phase: int = CALL
    phase_ends_ns: int = 0
    announced_end_ns: int = 0  # of an auction's call and the phase without cancels
    indicative: tuple[int, int, int] = (0, 0, 0)
    tiers: list[FeeTier] = field(default_factory=list)
    schedule: list[ScheduleStep] = field(default_factory=list)
    rate: tuple[int, int] = (0, 0)  # so many requests in so many ms; 0 is no limit
    rated_ns: list[int] = field(default_factory=list)  # when it took a placement or an amendment since that was set
    scheduled_until_ns: int = 0  # the steps up to then were done, or were before the schedule

    @property
    def number(self) -> int:
        return self.spec.market_id

    @property
    def takes_nothing_back(self) -> bool:
        """Orders cannot be cancelled in the last part of an auction that has a phase for that."""
        return self.state == 1 and self.phase != CALL and self.rules.no_cancel_ms > 0

    def is_outside_band(self, price: int) -> bool:
        lowest, highest = self.band_edge(SELL), self.band_edge(BUY)
        return lowest > 0 and not lowest <= price <= highest

    def lets_rest(self, order: ModelOrder) -> bool:
        """In a market that trades, no bid rests above the band and no ask below it."""
        edge = self.band_edge(order.side)
        return not edge or (order.price <= edge if order.side == BUY else order.price >= edge)

    def band_edge(self, side: int) -> int:
        """Inclusive, rounded towards the reference; 0 without a band or a reference."""
        if not self.rules.band_ppm or not self.reference:
            return 0
        distance = self.reference * self.rules.band_ppm // MILLION
        return max(1, self.reference + (distance if side == BUY else -distance))


@dataclass
class ModelOrder:
    number: int
    account: int
    market: ModelMarket
    side: int
    kind: int
    time_in_force: int
    post_only: int
    self_trade: int
    name: bytes
    accepted_at_ns: int
    where: str = COMING
    price: int = 0
    quantity: int = 0
    budget: int = 0
    set_aside: int = 0  # for a market order on its way in
    fills: list[tuple[int, int, int]] = field(default_factory=list)  # (lots, notional, fee in ppm)
    prevented: int = 0
    cancelled: int = 0
    closed: int = 0  # the reason, once it is
    place: int = 0  # among all that rest or wait
    trigger: int = 0
    stop: int = 0
    trail_ticks: int = 0
    trail_ppm: int = 0
    elected: bool = False
    display: int = 0
    slice: int = 0  # what is left of the slice that an iceberg shows
    expires_at_ns: int = 0
    linked: int = 0

    @property
    def executed(self) -> int:
        return sum(lots for lots, _, _ in self.fills)

    @property
    def notional(self) -> int:
        return sum(notional for _, notional, _ in self.fills)

    @property
    def open(self) -> int:
        return self.quantity - self.executed - self.prevented - self.cancelled

    @property
    def shown(self) -> int:
        return self.slice if self.display else self.open

    @property
    def fee(self) -> int:
        return fee_of(self.fills)

    @property
    def is_alive(self) -> bool:
        return self.where != GONE

    @property
    def can_stay(self) -> bool:
        """Is it of a kind that rests in the book?"""
        return self.kind == LIMIT and self.time_in_force not in (1, 2)

    @property
    def held_asset(self) -> int:
        return self.market.spec.quote_asset_id if self.side == BUY else self.market.spec.base_asset_id

    def spent(self) -> int:
        """What it paid so far of the asset that it holds."""
        return self.notional + self.fee if self.side == BUY else self.executed * self.market.spec.lot_units

    def need_at(self, price: int) -> int:
        """What it must hold to trade all that is open at this price, whatever the fee turns out to be."""
        spec = self.market.spec
        if self.side == SELL:
            return self.open * spec.lot_units
        notional = self.open * price * spec.notional_units
        worst_ppm = max(spec.maker_fee_ppm, spec.taker_fee_ppm, 0)
        fee_to_come = fee_of([*self.fills, (0, notional, worst_ppm)]) - self.fee
        return notional + max(0, fee_to_come)

    def need_once_elected(self) -> int:
        """What a waiting one needs: its budget, or its quantity at its limit, else at its stop price."""
        if self.kind == MARKET_BUDGET:
            return self.budget
        return self.need_at(self.price if self.kind == LIMIT else self.stop)


@dataclass
class Receipt:
    content: tuple[Any, ...]
    sequence: int
    reason: int
    subject: Any
    when_ns: int


@dataclass
class World:
    sequence: int = 0
    now_ns: int = 0
    chain: bytes = bytes(32)
    events: list[Event] = field(default_factory=list)
    assets: dict[int, AssetSpec] = field(default_factory=dict)
    markets: dict[int, ModelMarket] = field(default_factory=dict)
    accounts: dict[int, ModelAccount] = field(
        default_factory=lambda: {0: ModelAccount(AccountSpec(0, b"exchange", OPERATOR, 0))}
    )
    api_keys: dict[bytes, ApiKey] = field(default_factory=dict)
    totals: dict[tuple[int, int], int] = field(default_factory=dict)  # (account, asset): available and held together
    orders: dict[int, ModelOrder] = field(default_factory=dict)
    receipts: dict[tuple[int, bytes], Receipt] = field(default_factory=dict)
    deposits: dict[bytes, tuple[int, tuple[int, ...]]] = field(default_factory=dict)
    withdrawals: dict[int, Any] = field(default_factory=dict)
    transfers: dict[int, Any] = field(default_factory=dict)
    sales: dict[int, Any] = field(default_factory=dict)
    traded: list[tuple[int, int, int, int]] = field(default_factory=list)  # (day, account, quote asset, notional)
    trade_count: int = 0
    place_count: int = 0
    rules_version: int = 1

    def tell(self, event: Event) -> None:
        self.events.append(event)

    def next_place(self) -> int:
        self.place_count += 1
        return self.place_count

    def available(self, account: int, asset: int) -> int:
        return self.totals.get((account, asset), 0) - self.held(account, asset)

    def held(self, account: int, asset: int) -> int:
        """All that is promised: by orders, withdrawals, transfers and sales."""
        orders = sum(self.need(order) for order in self.alive(account) if order.held_asset == asset)
        things = [*self.withdrawals.values(), *self.transfers.values(), *self.sales.values()]
        others: int = sum(thing.held(account, asset) for thing in things)
        return orders + others

    def need(self, order: ModelOrder) -> int:
        """What an order must hold where it is now."""
        if order.where == GONE:
            return 0
        if order.where == WAITING:
            other = self.orders.get(order.linked)
            shared = self.need(other) if other is not None and other.is_alive else 0
            return max(0, order.need_once_elected() - shared)
        if order.kind != LIMIT and order.where == COMING:
            return order.set_aside - order.spent()
        return order.need_at(order.price)

    def move(self, account: int, asset: int, units: int) -> None:
        self.totals[account, asset] = self.totals.get((account, asset), 0) + units

    def alive(self, account: int | None = None) -> list[ModelOrder]:
        """Orders that rest or wait, by number, of one account or of everybody."""
        found = [o for o in self.orders.values() if o.is_alive and account in (None, o.account)]
        return sorted(found, key=lambda order: order.number)

    def queue(self, market: ModelMarket, side: int) -> list[ModelOrder]:
        """One side of a book in the order in which it trades."""
        found = [o for o in self.orders.values() if o.where == RESTING and o.market is market and o.side == side]
        return sorted(found, key=lambda order: (order.price if side == SELL else -order.price, order.place))

    def rates(self, market: ModelMarket, account: int) -> tuple[int, int]:
        """What an account pays as maker and as taker: the highest tier that its last 30 whole days reached."""
        listed = market.spec.maker_fee_ppm, market.spec.taker_fee_ppm
        if not market.tiers:
            return listed
        today, quote = self.now_ns // NS_PER_DAY, market.spec.quote_asset_id
        volume = sum(
            notional
            for day, who, asset, notional in self.traded
            if (who, asset) == (account, quote) and today - VOLUME_DAYS <= day < today
        )
        reached = [tier for tier in market.tiers if tier.volume_units <= volume]
        return (reached[-1].maker_fee_ppm, reached[-1].taker_fee_ppm) if reached else listed

    def is_operator(self, account: int) -> bool:
        return self.accounts[account].spec.role == OPERATOR


def fee_of(fills: Sequence[tuple[int, int, int]]) -> int:
    """The exact fee of all fills together, rounded up once; a rebate is thereby rounded down."""
    return ceil_millionths(sum(notional * ppm for _, notional, ppm in fills))


def ceil_millionths(millionths: int) -> int:
    return (millionths + MILLION - 1) // MILLION


def is_id(name: bytes) -> bool:
    return 0 < len(name) <= 64 and all(chr(letter).isalnum() or letter in b"_.-" for letter in name)


BETWEEN = 0
OUT_OF_RANGE = -1


def whole(mantissa: int, scale: int, decimals: int, step: int = 1) -> int:
    """How many steps a decimal is: BETWEEN two of them, or OUT_OF_RANGE: not positive, or beyond what fits."""
    if not 0 < mantissa <= AMOUNT_MAX or scale > 18:
        return OUT_OF_RANGE
    units, rest = divmod(mantissa * 10**decimals, 10**scale)
    if rest:
        return BETWEEN
    if units > AMOUNT_MAX:
        return OUT_OF_RANGE
    return BETWEEN if units % step else units // step
