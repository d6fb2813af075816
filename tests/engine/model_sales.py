"""Token sales with fractions: shares are divided exactly, and rounded at the very end (rulebook H1 to H6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from engine import rejects
from engine.amounts import SCALE_ABSENT
from engine.commands import CreateSale, DecideSale, SubscribeSale
from engine.events import RequestRepeated, SaleChanged, SaleSettled, SaleSubscribed
from engine.types import (
    CANCEL_SALE,
    CLOSE_SALE,
    DELISTED,
    FIXED_PRICE,
    NOTIONAL_MAX,
    OPEN_SALE,
    POT,
    SALE_ANNOUNCED,
    SALE_CANCELLED,
    SALE_FAILED,
    SALE_OPEN,
    SALE_SUCCEEDED,
    UNIFORM_PRICE,
    AssetSpec,
)
from tests.engine.model_markets import open_after_sale
from tests.engine.model_world import Refused, World, is_id, whole


@dataclass
class ModelSubscription:
    number: int
    account: int
    sale: ModelSale
    price: int  # for one lot
    lots: int  # allotted or bid for; 0 in a pot
    committed: int
    got: int = 0
    paid: int = 0

    def told(self) -> SaleSubscribed | SaleSettled:
        who = (self.number, self.sale.number, self.account)
        if self.sale.has_ended:
            return SaleSettled(*who, self.got, self.paid, self.committed - self.paid)
        return SaleSubscribed(*who, self.price, self.lots, self.committed)


@dataclass
class ModelSale:
    number: int
    asked: CreateSale
    terms: tuple[int, ...]
    price: int  # of one lot, or the floor
    lot: int
    lots: int
    soft_cap: int
    cap: int
    created: int
    status: int = SALE_ANNOUNCED
    decided: dict[int, int] = field(default_factory=dict)  # each decision that took effect, and who took it
    ended: int = 0
    clearing: int = 0
    subscriptions: list[ModelSubscription] = field(default_factory=list)

    @property
    def has_ended(self) -> bool:
        return self.status not in (SALE_ANNOUNCED, SALE_OPEN)

    def held(self, account: int, asset: int) -> int:
        if self.has_ended:
            return 0
        asked, held = self.asked, 0
        if (account, asset) == (asked.issuer_account_id, asked.token_asset_id):
            held += self.lots * self.lot
        if asset == asked.quote_asset_id:
            held += sum(one.committed for one in self.subscriptions if one.account == account)
        return held

    def told(self) -> SaleChanged:
        asked = self.asked
        return SaleChanged(
            sale_id=self.number,
            issuer_account_id=asked.issuer_account_id,
            token_asset_id=asked.token_asset_id,
            quote_asset_id=asked.quote_asset_id,
            market_id=asked.market_id,
            kind=asked.kind,
            status=self.status,
            price_units=self.price,
            lot_units=self.lot,
            quantity_lots=self.lots,
            soft_cap_units=self.soft_cap,
            account_cap_lots=self.cap,
            opens_at_ns=asked.opens_at_ns,
            closes_at_ns=asked.closes_at_ns,
            clearing_price_units=self.clearing,
            sold_lots=sum(one.got for one in self.subscriptions),
            proceeds_units=sum(one.paid for one in self.subscriptions),
            name=asked.name,
        )


def create(world: World, asked: CreateSale) -> None:
    if not is_id(asked.name) or asked.kind > UNIFORM_PRICE:
        raise Refused(rejects.MALFORMED)
    if asked.issuer_account_id not in world.accounts:
        raise Refused(rejects.UNKNOWN_ACCOUNT)
    token, quote = world.assets.get(asked.token_asset_id), world.assets.get(asked.quote_asset_id)
    if token is None or quote is None:
        raise Refused(rejects.UNKNOWN_ASSET)
    if asked.market_id and asked.market_id not in world.markets:
        raise Refused(rejects.UNKNOWN_MARKET)
    terms = _terms(asked, token, quote)
    known = next((sale for sale in world.sales.values() if sale.asked.name == asked.name), None)
    if known is not None:
        if terms != known.terms:
            raise Refused(rejects.NAME_TAKEN, known.created)
        world.tell(RequestRepeated(known.created, rejects.ACCEPTED))
        world.tell(known.told())
        return
    if asked.issuer_account_id == 0:
        raise Refused(rejects.NOT_ALLOWED)
    times_fit = asked.opens_at_ns >= 0 and (
        not asked.closes_at_ns or asked.closes_at_ns > max(asked.opens_at_ns, world.now_ns)
    )
    if terms is None or not times_fit or not _market_fits(world, asked):
        raise Refused(rejects.SALE_RULES)
    price, lot, lots, soft_cap, cap = terms[-5:]
    if lots * lot > world.available(asked.issuer_account_id, asked.token_asset_id):
        raise Refused(rejects.NO_FUNDS)
    sale = ModelSale(len(world.sales) + 1, asked, terms, price, lot, lots, soft_cap, cap, world.sequence)
    world.sales[sale.number] = sale
    world.tell(sale.told())


def decide(world: World, asked: DecideSale) -> None:
    if asked.decision > CANCEL_SALE:
        raise Refused(rejects.MALFORMED)
    sale: ModelSale | None = world.sales.get(asked.sale_id)
    if sale is None:
        raise Refused(rejects.UNKNOWN_SALE)
    if asked.decision in sale.decided:
        world.tell(RequestRepeated(sale.decided[asked.decision], rejects.ACCEPTED))
        world.tell(sale.told())
        return
    allowed_in = {OPEN_SALE: [SALE_ANNOUNCED], CLOSE_SALE: [SALE_OPEN], CANCEL_SALE: [SALE_ANNOUNCED, SALE_OPEN]}
    if sale.status not in allowed_in[asked.decision]:
        raise Refused(rejects.WRONG_STATE, sale.ended)
    _take_decision(world, sale, asked.decision, world.sequence)


def opens(world: World, sale: ModelSale) -> None:
    _take_decision(world, sale, OPEN_SALE, sale.created)


def closes(world: World, sale: ModelSale) -> None:
    _take_decision(world, sale, CLOSE_SALE, sale.created)


def subscribe(world: World, asked: SubscribeSale) -> ModelSubscription:
    sale: ModelSale | None = world.sales.get(asked.sale_id)
    if sale is None:
        raise Refused(rejects.UNKNOWN_SALE)
    if sale.asked.kind != UNIFORM_PRICE and asked.price_scale != SCALE_ABSENT:
        raise Refused(rejects.MALFORMED)
    if asked.account_id == sale.asked.issuer_account_id:
        raise Refused(rejects.NOT_ALLOWED)
    if world.accounts[asked.account_id].frozen:
        raise Refused(rejects.ACCOUNT_FROZEN)
    if sale.status != SALE_OPEN:
        raise Refused(rejects.SALE_STATE)
    one = ModelSubscription(world.sequence, asked.account_id, sale, sale.price, 0, 0)
    if sale.asked.kind == POT:
        _commit(world, one, asked)
    else:
        _bid(world, one, asked)
    if one.committed > world.available(asked.account_id, sale.asked.quote_asset_id):
        raise Refused(rejects.NO_FUNDS)
    sale.subscriptions.append(one)
    world.tell(one.told())
    return one


def subscription(world: World, number: int) -> ModelSubscription | None:
    every = (one for sale in world.sales.values() for one in sale.subscriptions)
    return next((one for one in every if one.number == number), None)


def _commit(world: World, one: ModelSubscription, asked: SubscribeSale) -> None:
    quote = world.assets[one.sale.asked.quote_asset_id]
    one.committed = whole(asked.amount_mantissa, asked.amount_scale, quote.decimals)
    if one.committed <= 0:
        raise Refused(rejects.AMOUNT)
    if one.committed < one.sale.price:
        raise Refused(rejects.MIN_NOTIONAL)


def _bid(world: World, one: ModelSubscription, asked: SubscribeSale) -> None:
    sale = one.sale
    token, quote = world.assets[sale.asked.token_asset_id], world.assets[sale.asked.quote_asset_id]
    if sale.asked.kind == UNIFORM_PRICE:
        price = _lot_price(asked.price_mantissa, asked.price_scale, sale.lot, token, quote)
        if price is None or price < sale.price:
            raise Refused(rejects.PRICE)
        if price.denominator != 1:
            raise Refused(rejects.TICK)
        one.price = int(price)
    lots = whole(asked.amount_mantissa, asked.amount_scale, token.decimals, sale.lot)
    if lots <= 0:
        raise Refused(rejects.LOT)
    if sale.asked.kind == FIXED_PRICE:
        lots = min(lots, sale.lots - sum(other.lots for other in sale.subscriptions))
        if not lots:
            raise Refused(rejects.SOLD_OUT)
    elif lots * one.price > NOTIONAL_MAX:
        raise Refused(rejects.NOTIONAL_TOO_LARGE)
    own = sum(other.lots for other in sale.subscriptions if other.account == one.account)
    if sale.cap and own + lots > sale.cap:
        raise Refused(rejects.ACCOUNT_CAP)
    one.lots, one.committed = lots, lots * one.price


def _take_decision(world: World, sale: ModelSale, decision: int, sequence: int) -> None:
    never_opened = sale.status == SALE_ANNOUNCED
    sale.decided[decision] = sequence
    if decision == OPEN_SALE:
        sale.status = SALE_OPEN
        world.tell(sale.told())
        return
    sale.ended, came_in, subscriptions = sequence, 0, sale.subscriptions
    sale.status, clearing, got = SALE_FAILED, 0, [0] * len(subscriptions)
    if decision == CANCEL_SALE:
        sale.status = SALE_CANCELLED
    elif not never_opened:
        clearing, got = _clear(sale)
        came_in = sum(got) * clearing
        if sale.asked.kind == POT:
            came_in = sum(one.committed for one in subscriptions)
        if came_in >= sale.soft_cap:
            sale.status = SALE_SUCCEEDED
        else:
            clearing, got = 0, [0] * len(subscriptions)
    sale.clearing = clearing
    asked = sale.asked
    for one, lots in zip(subscriptions, got, strict=True):
        one.got, one.paid = lots, lots * clearing
        world.move(one.account, asked.quote_asset_id, -one.paid)
        world.move(asked.issuer_account_id, asked.quote_asset_id, one.paid)
        world.move(one.account, asked.token_asset_id, lots * sale.lot)
        world.move(asked.issuer_account_id, asked.token_asset_id, -lots * sale.lot)
    world.tell(sale.told())
    for one in subscriptions:
        world.tell(one.told())
    if sale.status == SALE_SUCCEEDED and asked.market_id:
        market = world.markets[asked.market_id]
        ticks = Fraction(clearing * 10**market.spec.base_decimals, sale.lot * market.spec.tick_units)
        open_after_sale(world, market, int(ticks) if ticks.denominator == 1 else 0)


def _clear(sale: ModelSale) -> tuple[int, list[int]]:
    """The price for a lot, and what each subscription gets."""
    if sale.asked.kind == FIXED_PRICE:
        return sale.price, [one.lots for one in sale.subscriptions]
    if sale.asked.kind == POT:
        return sale.price, _divide_pot(sale)
    got, left, clearing = [0] * len(sale.subscriptions), sale.lots, sale.price
    bids = sorted(enumerate(sale.subscriptions), key=lambda row: (-row[1].price, row[1].number))
    for index, bid in bids:
        got[index] = min(left, bid.lots)
        left -= got[index]
        if got[index]:
            clearing = bid.price
    return sale.price if left else clearing, got


def _divide_pot(sale: ModelSale) -> list[int]:
    """By account, pro rata to what was committed, what the capped ones cannot take to the others."""
    accounts = list(dict.fromkeys(one.account for one in sale.subscriptions))
    weights = [sum(one.committed for one in sale.subscriptions if one.account == account) for account in accounts]
    wanted = [
        sum(one.committed // sale.price for one in sale.subscriptions if one.account == account) for account in accounts
    ]
    caps = [min(lots, sale.cap) if sale.cap else lots for lots in wanted]
    shares = dict(zip(accounts, share_out(sale.lots, weights, caps), strict=True))
    got = []
    for one in sale.subscriptions:
        got.append(min(one.committed // sale.price, shares[one.account]))
        shares[one.account] -= got[-1]
    return got


def share_out(lots: int, weights: Sequence[int], caps: Sequence[int]) -> list[int]:
    """Pro rata, round by round: who would get more than its cap gets that, and the rest is divided anew."""
    if sum(caps) <= lots:
        return list(caps)
    capped: set[int] = set()
    while True:
        free = [index for index in range(len(caps)) if index not in capped]
        left = lots - sum(caps[index] for index in capped)
        weight = sum(weights[index] for index in free)
        exact = {index: Fraction(left * weights[index], weight) for index in free}
        over = {index for index in free if exact[index] > caps[index]}
        if not over:
            break
        capped |= over
    shares = [caps[index] if index in capped else int(exact[index]) for index in range(len(caps))]
    for index in sorted(free, key=lambda index: (int(exact[index]) - exact[index], index))[: lots - sum(shares)]:
        shares[index] += 1
    return shares


def _terms(asked: CreateSale, token: AssetSpec, quote: AssetSpec) -> tuple[int, ...] | None:
    """What is on offer, as whole units and lots, or None if it cannot be. The last five are price, lot, lots, caps."""
    lot = whole(asked.lot_mantissa, asked.lot_scale, token.decimals)
    if lot <= 0 or token == quote:
        return None
    price = _lot_price(asked.price_mantissa, asked.price_scale, lot, token, quote)
    lots = whole(asked.quantity_mantissa, asked.quantity_scale, token.decimals, lot)
    if price is None or price.denominator != 1 or lots <= 0 or price * lots > NOTIONAL_MAX:
        return None
    soft_cap = cap = 0
    if asked.soft_cap_scale != SCALE_ABSENT and asked.soft_cap_mantissa:
        soft_cap = whole(asked.soft_cap_mantissa, asked.soft_cap_scale, quote.decimals) or -1
    if asked.account_cap_scale != SCALE_ABSENT and asked.account_cap_mantissa:
        cap = whole(asked.account_cap_mantissa, asked.account_cap_scale, token.decimals, lot) or -1
    if soft_cap < 0 or cap < 0:
        return None
    who = (asked.issuer_account_id, asked.token_asset_id, asked.quote_asset_id, asked.market_id, asked.kind)
    return (*who, asked.opens_at_ns, asked.closes_at_ns, int(price), lot, lots, soft_cap, cap)


def _lot_price(mantissa: int, scale: int, lot: int, token: AssetSpec, quote: AssetSpec) -> Fraction | None:
    """What a lot costs, in quote units, at a price for one whole token."""
    if mantissa <= 0 or scale > 18:
        return None
    price: Fraction = Fraction(mantissa, 10**scale) * 10**quote.decimals * Fraction(lot, 10**token.decimals)
    return price


def _market_fits(world: World, asked: CreateSale) -> bool:
    if not asked.market_id:
        return True
    market = world.markets[asked.market_id]
    pair = (market.spec.base_asset_id, market.spec.quote_asset_id)
    return pair == (asked.token_asset_id, asked.quote_asset_id) and market.state != DELISTED
