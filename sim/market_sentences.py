"""Markets and accounts in words: that they exist, what operators have set, how an auction goes."""

from __future__ import annotations

from engine.amounts import format_units
from engine.codec import unpack_schedule, unpack_tiers
from engine.events import (
    AccountCreated,
    AccountFrozen,
    AccountLimitsSet,
    AssetCreated,
    AuctionUncrossed,
    DeadManArmed,
    DeadManFired,
    Event,
    FeeTiersSet,
    IndicativePriceChanged,
    MarketCreated,
    MarketRateSet,
    MarketRulesSet,
    MarketScheduleSet,
    MarketStateChanged,
)
from engine.types import MARKET_STATE_NAMES, STATE_CAUSE_NAMES
from sim.order_sentences import counted
from sim.register import Register, percent


def market_sentence(event: Event, register: Register) -> str | None:
    """None if the event is not about a market or its rules."""
    match event:
        case AssetCreated():
            return f"{register.assets[event.asset_id].name} has {event.decimals} decimals"
        case MarketCreated():
            market = register.markets[event.market_id]
            minimum = market.quote.amount(event.min_notional_units)
            fees = f"fees {event.maker_fee_ppm} and {event.taker_fee_ppm} ppm"
            return f"{market.name} is listed: minimum {minimum}, {fees}"
        case MarketStateChanged() | IndicativePriceChanged() | AuctionUncrossed():
            return _session_text(event, register)
        case MarketRulesSet():
            return f"{register.markets[event.market_id].name} has {_rules_text(event)}"
        case MarketScheduleSet():
            steps = unpack_schedule(event.steps) or []
            text = ", ".join(f"{_time_of_day(step.second_of_day)} {MARKET_STATE_NAMES[step.state]}" for step in steps)
            return f"{register.markets[event.market_id].name} has the schedule: {text or 'none'}"
        case FeeTiersSet():
            market = register.markets[event.market_id]
            text = ", ".join(
                f"from {market.quote.amount(volume_units)} maker {maker_fee_ppm} taker {taker_fee_ppm} ppm"
                for volume_units, maker_fee_ppm, taker_fee_ppm in unpack_tiers(event.tiers) or []
            )
            return f"{market.name} has the fee tiers: {text or 'none'}"
        case MarketRateSet():
            rate = f"{event.requests_max} per {_seconds(event.window_ms)}" if event.requests_max else "none"
            return f"{register.markets[event.market_id].name} has the rate: {rate}"
    return None


def account_sentence(event: Event, register: Register) -> str | None:
    """None if the event is not about an account."""
    match event:
        case AccountCreated():
            return f"{register.accounts[event.account_id]} is an account"
        case AccountLimitsSet():
            return f"{register.accounts[event.account_id]} has {_limits_text(event)}"
        case AccountFrozen():
            return f"{register.accounts[event.account_id]} is {'frozen' if event.frozen else 'free again'}"
        case DeadManFired():
            cancelled = counted(event.order_count, "order")
            return f"{register.accounts[event.account_id]}'s dead-man switch fired: {cancelled} cancelled"
        case DeadManArmed():
            state = f"fires in {register.until(event.fires_at_ns)}" if event.fires_at_ns else "is off"
            return f"{register.accounts[event.account_id]}'s dead-man switch {state}"
    return None


def crossing_text(price: str, quantity: str, surplus: str) -> str:
    """What an auction trades, and what is left over at that price: to buy, or (negative) to sell."""
    return f"{quantity} @ {price}, surplus {surplus}"


def _session_text(event: MarketStateChanged | IndicativePriceChanged | AuctionUncrossed, register: Register) -> str:
    market = register.markets[event.market_id]
    if isinstance(event, MarketStateChanged):
        lasts = f", for {register.until(event.ends_at_ns)}" if event.ends_at_ns else ""
        state, cause = MARKET_STATE_NAMES[event.state], STATE_CAUSE_NAMES[event.cause]
        return f"{market.name} goes to {state}: {cause}{lasts}"
    verb = "would trade" if isinstance(event, IndicativePriceChanged) else "uncrosses"
    if not event.quantity_lots:
        return f"{market.name} {verb} nothing"
    return f"{market.name} {verb} {crossing_text(*_crossing(event, register))}"


def _crossing(event: IndicativePriceChanged | AuctionUncrossed, register: Register) -> tuple[str, str, str]:
    market = register.markets[event.market_id]
    return market.price(event.price_ticks), market.quantity(event.quantity_lots), market.quantity(event.surplus_lots)


def _rules_text(event: MarketRulesSet) -> str:
    parts = [
        (event.band_ppm, f"band {percent(event.band_ppm)}"),
        (event.interrupts, "interrupts"),
        (event.call_ms, f"call {_seconds(event.call_ms)}"),
        (event.no_cancel_ms, f"no-cancel {_seconds(event.no_cancel_ms)}"),
        (event.random_end_ms_max, f"random {_seconds(event.random_end_ms_max)}"),
        (event.auction_market_orders, "auction-market-orders"),
        (event.open_orders_max, f"orders {event.open_orders_max}"),
        (event.stops_max, f"stops {event.stops_max}"),
    ]
    return f"the rules: {', '.join(text for value, text in parts if value) or 'none'}"


def _limits_text(event: AccountLimitsSet) -> str:
    parts = [
        (event.open_orders_max, f"orders {event.open_orders_max}"),
        (event.stops_max, f"stops {event.stops_max}"),
        (event.requests_max, f"requests {event.requests_max} per {_seconds(event.window_ms)}"),
    ]
    return f"the limits: {', '.join(text for value, text in parts if value) or 'none'}"


def _seconds(milliseconds: int) -> str:
    text = format_units(milliseconds, 3)
    return text.rstrip("0").rstrip(".") + "s"


def _time_of_day(second: int) -> str:
    hours, rest = divmod(second, 3_600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours:02d}:{minutes:02d}" + (f":{seconds:02d}" if seconds else "")
