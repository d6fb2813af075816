"""What operators list, and how they set up and end markets."""

from __future__ import annotations

from itertools import pairwise

from engine import rejects
from engine.amounts import SCALE_ABSENT
from engine.codec import pack_schedule, pack_tiers, unpack_schedule, unpack_tiers
from engine.commands import (
    CreateAccount,
    CreateApiKey,
    CreateAsset,
    CreateMarket,
    DelistMarket,
    ListMarket,
    SetFeeTiers,
    SetMarketRate,
    SetMarketRules,
    SetMarketSchedule,
    SetMarketState,
)
from engine.events import (
    AccountCreated,
    ApiKeyCreated,
    AssetCreated,
    FeeTiersSet,
    MarketCreated,
    MarketRateSet,
    MarketRulesSet,
    MarketScheduleSet,
    RequestRepeated,
)
from engine.types import (
    AMOUNT_MAX,
    ASSET_DECIMALS_MAX,
    ASSET_NAME_LENGTH_MAX,
    AUCTION,
    AUCTION_MS_MAX,
    BY_OPERATOR,
    BY_SALE,
    CANCEL_ONLY,
    CLOSED,
    CLOSED_DELISTED,
    DELISTED,
    FEE_PPM_MAX,
    FEE_TIERS_MAX,
    HALTED,
    OPERATOR,
    SCHEDULE_STEPS_MAX,
    SEALED_SECRET_LENGTH_MAX,
    TRADING,
    AccountSpec,
    ApiKey,
    AssetSpec,
    MarketRules,
    MarketSpec,
)
from tests.engine.model_changes import close_market
from tests.engine.model_sessions import change_state, clear_beyond_band, state_told
from tests.engine.model_world import MILLION, ModelAccount, ModelMarket, Refused, World, is_id, whole


def create_asset(world: World, asked: CreateAsset) -> None:
    letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    if not 0 < len(asked.name) <= ASSET_NAME_LENGTH_MAX or any(letter not in letters for letter in asked.name):
        raise Refused(rejects.MALFORMED)
    if asked.decimals > ASSET_DECIMALS_MAX:
        raise Refused(rejects.MALFORMED)
    known = _asset_named(world, asked.name)
    if known is not None:
        if known.decimals != asked.decimals:
            raise Refused(rejects.NAME_TAKEN, known.created_sequence)
        world.tell(RequestRepeated(known.created_sequence, rejects.ACCEPTED))
    else:
        known = AssetSpec(len(world.assets) + 1, asked.name, asked.decimals, world.sequence)
        world.assets[known.asset_id] = known
    world.tell(AssetCreated(known.asset_id, known.decimals, known.name))


def create_account(world: World, asked: CreateAccount) -> None:
    if not is_id(asked.name) or asked.role > OPERATOR:
        raise Refused(rejects.MALFORMED)
    known = next((one.spec for one in world.accounts.values() if one.spec.name == asked.name), None)
    if known is not None:
        if known.role != asked.role:
            raise Refused(rejects.NAME_TAKEN, known.created_sequence)
        world.tell(RequestRepeated(known.created_sequence, rejects.ACCEPTED))
    else:
        known = AccountSpec(len(world.accounts), asked.name, asked.role, world.sequence)
        world.accounts[known.account_id] = ModelAccount(known)
    world.tell(AccountCreated(known.account_id, known.role, known.name))


def create_api_key(world: World, asked: CreateApiKey) -> None:
    if not is_id(asked.key_id) or not 0 < len(asked.sealed_secret) <= SEALED_SECRET_LENGTH_MAX:
        raise Refused(rejects.MALFORMED)
    if asked.owner_account_id not in world.accounts:
        raise Refused(rejects.UNKNOWN_ACCOUNT)
    known = world.api_keys.get(asked.key_id)
    if known is not None:
        if (known.account_id, known.sealed_secret) != (asked.owner_account_id, asked.sealed_secret):
            raise Refused(rejects.NAME_TAKEN, known.created_sequence)
        world.tell(RequestRepeated(known.created_sequence, rejects.ACCEPTED))
    else:
        known = ApiKey(asked.key_id, asked.owner_account_id, asked.sealed_secret, world.sequence)
        world.api_keys[asked.key_id] = known
    world.tell(ApiKeyCreated(known.account_id, known.key_id))


def list_market(world: World, asked: ListMarket | CreateMarket) -> None:
    if isinstance(asked, CreateMarket):
        asked = ListMarket(*asked[:10], TRADING, 0, SCALE_ABSENT, *MarketRules(), *asked[10:])
    if asked.state >= DELISTED or asked.interrupts > 1 or asked.auction_market_orders > 1:
        raise Refused(rejects.MALFORMED)
    base, quote = _asset_named(world, asked.base_asset), _asset_named(world, asked.quote_asset)
    if base is None or quote is None:
        raise Refused(rejects.UNKNOWN_ASSET)
    name = base.name + b"-" + quote.name
    spec = _spec(asked, len(world.markets) + 1, base, quote, world.sequence)
    known = next((market.spec for market in world.markets.values() if market.spec.name == name), None)
    if known is not None:
        if spec is None or spec[1:-1] != known[1:-1]:
            raise Refused(rejects.NAME_TAKEN, known.created_sequence)
        world.tell(RequestRepeated(known.created_sequence, rejects.ACCEPTED))
        world.tell(_created(known))
        return
    if spec is None:
        raise Refused(rejects.LISTING_RULES)
    reference = 0
    if asked.reference_scale != SCALE_ABSENT:
        reference = whole(asked.reference_mantissa, asked.reference_scale, quote.decimals, spec.tick_units)
        if reference <= 0:
            raise Refused(rejects.LISTING_RULES)
    rules = MarketRules(*asked[13:21])
    check_rules(rules)
    market = world.markets[spec.market_id] = ModelMarket(spec, rules, last_price=reference)
    world.tell(_created(spec))
    if rules != MarketRules():
        world.tell(MarketRulesSet(spec.market_id, *rules))
    if asked.state != TRADING:
        change_state(world, market, asked.state, BY_OPERATOR)


def check_rules(rules: MarketRules) -> None:
    """An interruption needs a band and a call, a market order in an auction a band; all within bounds."""
    longest_ms = max(rules.call_ms, rules.no_cancel_ms, rules.random_end_ms_max)
    if (
        rules.band_ppm >= MILLION
        or (rules.interrupts and not (rules.band_ppm and rules.call_ms))
        or (rules.auction_market_orders and not rules.band_ppm)
        or longest_ms > AUCTION_MS_MAX
    ):
        raise Refused(rejects.MARKET_RULES)


def set_rules(world: World, asked: SetMarketRules) -> None:
    if asked.interrupts > 1 or asked.auction_market_orders > 1:
        raise Refused(rejects.MALFORMED)
    market, rules = _listed(world, asked.market_id), MarketRules(*asked[3:])
    check_rules(rules)
    market.rules, market.reference = rules, market.last_price
    world.tell(MarketRulesSet(market.number, *rules))
    clear_beyond_band(world, market)


def set_state(world: World, asked: SetMarketState) -> None:
    if asked.state >= DELISTED:
        raise Refused(rejects.MALFORMED)
    market = _listed(world, asked.market_id)
    if market.state == asked.state:
        world.tell(state_told(market, BY_OPERATOR))
    else:
        change_state(world, market, asked.state, BY_OPERATOR)


def set_schedule(world: World, asked: SetMarketSchedule) -> None:
    steps = unpack_schedule(asked.steps)
    if steps is None:
        raise Refused(rejects.MALFORMED)
    market = _listed(world, asked.market_id)
    seconds = [step.second_of_day for step in steps]
    rising = all(before < after for before, after in pairwise(seconds))
    states_fit = all(step.state <= CANCEL_ONLY or step.state == CLOSED for step in steps)
    if not rising or not states_fit or len(steps) > SCHEDULE_STEPS_MAX or any(second >= 86_400 for second in seconds):
        raise Refused(rejects.MARKET_RULES)
    market.schedule, market.scheduled_until_ns = steps, world.now_ns
    world.tell(MarketScheduleSet(market.number, pack_schedule(steps)))


def set_rate(world: World, asked: SetMarketRate) -> None:
    """So many requests in so long, or neither; another rate begins to count anew."""
    if (asked.requests_max == 0) != (asked.window_ms == 0):
        raise Refused(rejects.MALFORMED)
    market = _listed(world, asked.market_id)
    rate = (asked.requests_max, asked.window_ms)
    if rate != market.rate:
        market.rate, market.rated_ns = rate, []
    world.tell(MarketRateSet(asked.market_id, *rate))


def set_fee_tiers(world: World, asked: SetFeeTiers) -> None:
    """Tiers rise in volume and fall in price, and no maker may be paid more than the cheapest taker pays."""
    tiers = unpack_tiers(asked.tiers)
    if tiers is None:
        raise Refused(rejects.MALFORMED)
    market = _listed(world, asked.market_id)
    rows = [(0, market.spec.maker_fee_ppm, market.spec.taker_fee_ppm), *tiers]
    fit = len(tiers) <= FEE_TIERS_MAX and min(maker for _, maker, _ in rows) + min(taker for _, _, taker in rows) >= 0
    for below, above in pairwise(rows):
        fit = fit and below[0] < above[0] <= AMOUNT_MAX
        fit = fit and all(-FEE_PPM_MAX <= above[which] <= below[which] for which in (1, 2))
    if not fit:
        raise Refused(rejects.MARKET_RULES)
    market.tiers = tiers
    world.tell(FeeTiersSet(market.number, pack_tiers(tiers)))


def delist(world: World, asked: DelistMarket) -> None:
    market = world.markets.get(asked.market_id)
    if market is None:
        raise Refused(rejects.UNKNOWN_MARKET)
    if market.state == DELISTED:
        world.tell(state_told(market, BY_OPERATOR))
        return
    market.schedule = []
    change_state(world, market, DELISTED, BY_OPERATOR)
    close_market(world, market.number, CLOSED_DELISTED)


def open_after_sale(world: World, market: ModelMarket, price: int) -> None:
    """``price`` in ticks, 0 if the sale's is none."""
    if market.state not in (HALTED, DELISTED, AUCTION):
        market.last_price = price or market.last_price
        change_state(world, market, AUCTION, BY_SALE)


def _listed(world: World, number: int) -> ModelMarket:
    market = world.markets.get(number)
    if market is None:
        raise Refused(rejects.UNKNOWN_MARKET)
    if market.state == DELISTED:
        raise Refused(rejects.MARKET_STATE)
    return market


def _asset_named(world: World, name: bytes) -> AssetSpec | None:
    return next((asset for asset in world.assets.values() if asset.name == name), None)


def _spec(asked: ListMarket, number: int, base: AssetSpec, quote: AssetSpec, sequence: int) -> MarketSpec | None:
    """None if it breaks the rules for listing: a lot at one tick must cost whole units, and fees have bounds."""
    tick = whole(asked.tick_mantissa, asked.tick_scale, quote.decimals)
    lot = whole(asked.lot_mantissa, asked.lot_scale, base.decimals)
    least = 0
    if asked.min_notional_mantissa or asked.min_notional_scale > 18:
        least = whole(asked.min_notional_mantissa, asked.min_notional_scale, quote.decimals) or -1
    notional, rest = divmod(tick * lot, 10**base.decimals)
    fees = (asked.maker_fee_ppm, asked.taker_fee_ppm)
    if min(tick, lot) <= 0 or least < 0 or rest or tick * lot > AMOUNT_MAX or base == quote:
        return None
    if any(abs(fee) > FEE_PPM_MAX for fee in fees) or sum(fees) < 0:
        return None
    return MarketSpec(
        number,
        base.name + b"-" + quote.name,
        base.asset_id,
        quote.asset_id,
        base.decimals,
        quote.decimals,
        tick,
        lot,
        notional,
        least,
        *fees,
        sequence,
    )


def _created(spec: MarketSpec) -> MarketCreated:
    return MarketCreated(
        market_id=spec.market_id,
        base_asset_id=spec.base_asset_id,
        quote_asset_id=spec.quote_asset_id,
        tick_units=spec.tick_units,
        lot_units=spec.lot_units,
        notional_units=spec.notional_units,
        min_notional_units=spec.min_notional_units,
        maker_fee_ppm=spec.maker_fee_ppm,
        taker_fee_ppm=spec.taker_fee_ppm,
        name=spec.name,
    )
