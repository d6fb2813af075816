"""Operators' routes for markets: list them, set their rules, fees and hours, change their state, end them."""

from __future__ import annotations

from typing import Final

from engine.amounts import SCALE_MAX, UNREPRESENTABLE, Decimal, to_units
from engine.codec import pack_schedule, pack_tiers
from engine.commands import (
    DelistMarket,
    ListMarket,
    SetFeeTiers,
    SetMarketRate,
    SetMarketRules,
    SetMarketSchedule,
    SetMarketState,
)
from engine.events import MarketCreated, MarketStateChanged, OrderClosed
from engine.types import (
    AUCTION_MS_MAX,
    DELISTED,
    FEE_SCALE,
    FEE_TIERS_MAX,
    MARKET_STATE_NAMES,
    OPEN_ORDERS_PER_ACCOUNT_MAX,
    REQUESTS_MAX,
    SCHEDULE_STEPS_MAX,
    STOPS_PER_MARKET_MAX,
    TRADING,
    WINDOW_MS_MAX,
    FeeTier,
    MarketRules,
    ScheduleStep,
)
from gateway.endpoint import Call, Reply
from gateway.errors import BadRequest
from gateway.market_bodies import rules_body, schedule_body, tiers_body
from gateway.outcomes import Outcome, receipt_of
from gateway.parsing import (
    JsonObject,
    check_fields,
    read_choice,
    read_decimal,
    read_flag,
    read_id,
    read_integer,
    read_object,
    read_objects,
    read_optional_decimal,
    read_ppm,
    read_query,
)
from gateway.rendering import Json, Market, market_body, optional_timestamp_text
from gateway.times import read_time_of_day

_LISTING_FIELDS: Final = frozenset(
    ("base", "quote", "tick", "lot", "min_notional", "maker_fee", "taker_fee", "state", "reference")
)
_RULES_FIELDS: Final = frozenset(MarketRules._fields) - {"band_ppm"} | {"band"}
_STATES: Final = {name: number for number, name in enumerate(MARKET_STATE_NAMES) if number != DELISTED}


async def create(call: Call) -> Reply:
    document = read_object(call.body)
    check_fields(document, _LISTING_FIELDS | _RULES_FIELDS)
    tick = read_decimal(document, "tick")
    lot = read_decimal(document, "lot")
    min_notional = read_decimal(document, "min_notional") if "min_notional" in document else Decimal(0, 0)
    reference = read_optional_decimal(document, "reference")
    if min_notional == UNREPRESENTABLE:
        raise BadRequest("BAD_DECIMAL", "The field 'min_notional' is out of range.")
    base, quote = read_id(document, "base"), read_id(document, "quote")
    await call.edge.prepare_market(base, quote)
    command = ListMarket(
        account_id=call.caller.account_id,
        issued_at_ns=call.issued_at_ns,
        tick_mantissa=tick.mantissa,
        tick_scale=tick.scale,
        lot_mantissa=lot.mantissa,
        lot_scale=lot.scale,
        min_notional_mantissa=min_notional.mantissa,
        min_notional_scale=min_notional.scale,
        maker_fee_ppm=_read_fee(document, "maker_fee"),
        taker_fee_ppm=_read_fee(document, "taker_fee"),
        state=read_choice(document, "state", _STATES, MARKET_STATE_NAMES[TRADING]),
        reference_mantissa=reference.mantissa,
        reference_scale=reference.scale,
        **_read_rules(document)._asdict(),
        base_asset=base.encode("ascii"),
        quote_asset=quote.encode("ascii"),
    )
    outcome = await call.execute(command)
    receipt = receipt_of(outcome, first_time_status=201)
    created = outcome.told(MarketCreated)
    assert created is not None, outcome
    market = await call.edge.directory.market_by_id(created.market_id)
    body = {"sequence": receipt.sequence, "repeated": receipt.repeated, **market_body(market)}
    return Reply(receipt.status, body)


async def set_rules(call: Call) -> Reply:
    """All rules anew: what is not named is none."""
    document = read_object(call.body)
    check_fields(document, _RULES_FIELDS)
    rules = _read_rules(document)
    market = await _market(call)
    command = SetMarketRules(call.caller.account_id, call.issued_at_ns, market.market_id, *rules)
    return _reply(await call.execute(command), market, {"rules": rules_body(rules)})


async def set_state(call: Call) -> Reply:
    document = read_object(call.body)
    check_fields(document, frozenset(("state",)))
    state = read_choice(document, "state", _STATES)
    market = await _market(call)
    outcome = await call.execute(SetMarketState(call.caller.account_id, call.issued_at_ns, market.market_id, state))
    return _state_reply(outcome, market)


async def set_schedule(call: Call) -> Reply:
    """A new day plan; no steps end the old one."""
    document = read_object(call.body)
    check_fields(document, frozenset(("steps",)))
    steps = [_read_step(one) for one in read_objects(document, "steps", maximum=SCHEDULE_STEPS_MAX)]
    market = await _market(call)
    command = SetMarketSchedule(call.caller.account_id, call.issued_at_ns, market.market_id, pack_schedule(steps))
    return _reply(await call.execute(command), market, {"schedule": schedule_body(steps)})


async def set_fee_tiers(call: Call) -> Reply:
    """New tiers; none mean that everybody pays the listed fees."""
    document = read_object(call.body)
    check_fields(document, frozenset(("tiers",)))
    given = read_objects(document, "tiers", maximum=FEE_TIERS_MAX)
    market = await _market(call)
    tiers = [_read_tier(one, market) for one in given]
    command = SetFeeTiers(call.caller.account_id, call.issued_at_ns, market.market_id, pack_tiers(tiers))
    return _reply(await call.execute(command), market, {"fee_tiers": tiers_body(market, tiers)})


async def set_rate(call: Call) -> Reply:
    """How many placements and amendments the market takes per window of log time; 0 and 0 are no limit."""
    document = read_object(call.body)
    check_fields(document, frozenset(("requests_max", "window_ms")))
    requests_max = read_integer(document, "requests_max", minimum=0, maximum=REQUESTS_MAX)
    window_ms = read_integer(document, "window_ms", minimum=0, maximum=WINDOW_MS_MAX)
    market = await _market(call)
    command = SetMarketRate(call.caller.account_id, call.issued_at_ns, market.market_id, requests_max, window_ms)
    outcome = await call.execute(command)
    return _reply(outcome, market, {"rate": {"requests_max": requests_max, "window_ms": window_ms}})


async def delist(call: Call) -> Reply:
    read_query(call.query, frozenset())
    market = await _market(call)
    outcome = await call.execute(DelistMarket(call.caller.account_id, call.issued_at_ns, market.market_id))
    cancelled = sum(isinstance(event, OrderClosed) for event in outcome.events)
    return _state_reply(outcome, market, cancelled=cancelled)


async def _market(call: Call) -> Market:
    return await call.edge.directory.market(call.path["market"])


def _reply(outcome: Outcome, market: Market, changed: Json) -> Reply:
    receipt = receipt_of(outcome)
    body = {"sequence": receipt.sequence, "repeated": receipt.repeated, "market": market.name, **changed}
    return Reply(receipt.status, body)


def _state_reply(outcome: Outcome, market: Market, **more: int) -> Reply:
    """The state in which a command leaves the market: what waited for it to open may send it on at once."""
    receipt_of(outcome)  # a refusal tells no state
    changed = outcome.told(MarketStateChanged)
    assert changed is not None, outcome
    told = {"state": MARKET_STATE_NAMES[changed.state], "ends_at": optional_timestamp_text(changed.ends_at_ns)}
    return _reply(outcome, market, told | more)


def _read_rules(document: JsonObject) -> MarketRules:
    def count(name: str, maximum: int) -> int:
        return read_integer(document, name, minimum=0, maximum=maximum, default=0)

    return MarketRules(
        band_ppm=read_ppm(document, "band", minimum_ppm=0, maximum_ppm=FEE_SCALE),
        interrupts=read_flag(document, "interrupts"),
        call_ms=count("call_ms", AUCTION_MS_MAX),
        no_cancel_ms=count("no_cancel_ms", AUCTION_MS_MAX),
        random_end_ms_max=count("random_end_ms_max", AUCTION_MS_MAX),
        auction_market_orders=read_flag(document, "auction_market_orders"),
        open_orders_max=count("open_orders_max", OPEN_ORDERS_PER_ACCOUNT_MAX),
        stops_max=count("stops_max", STOPS_PER_MARKET_MAX),
    )


def _read_step(document: JsonObject) -> ScheduleStep:
    check_fields(document, frozenset(("at", "state")))
    return ScheduleStep(read_time_of_day(document, "at"), read_choice(document, "state", _STATES))


def _read_tier(document: JsonObject, market: Market) -> FeeTier:
    check_fields(document, frozenset(("volume", "maker_fee", "taker_fee")))
    volume = read_decimal(document, "volume")
    is_zero = volume.mantissa == 0 and volume.scale <= SCALE_MAX
    volume_units = 0 if is_zero else to_units(volume.mantissa, volume.scale, market.quote.decimals)
    if volume_units < 0:
        raise BadRequest("BAD_DECIMAL", f"The field 'volume' must be an amount of {market.quote.name}.")
    return FeeTier(volume_units, _read_fee(document, "maker_fee"), _read_fee(document, "taker_fee"))


def _read_fee(document: JsonObject, name: str) -> int:
    """A fraction of the notional; negative for a rebate."""
    return read_ppm(document, name, minimum_ppm=-FEE_SCALE, maximum_ppm=FEE_SCALE)
