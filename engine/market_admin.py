"""Commands of operators about a listed market: its rules, state, schedule and fee tiers, and its end.

Each says how things are to be from now on, so the same one again changes nothing and is answered alike.
"""

from __future__ import annotations

from engine import rejects
from engine.codec import pack_schedule, pack_tiers, unpack_schedule, unpack_tiers
from engine.commands import (
    DelistMarket,
    ListMarket,
    SetFeeTiers,
    SetMarketRate,
    SetMarketRules,
    SetMarketSchedule,
    SetMarketState,
)
from engine.event_writer import EventWriter
from engine.events import FeeTiersSet, MarketRateSet, MarketRulesSet, MarketScheduleSet
from engine.fees import tiers_allowed
from engine.listing import reference_ticks, rules_allowed, rules_of
from engine.market import Market
from engine.sessions import Sessions, state_changed
from engine.trading import Trading
from engine.types import (
    AUCTION,
    BY_OPERATOR,
    BY_SALE,
    CLOSED,
    CLOSED_DELISTED,
    DELISTED,
    EITHER_SIDE,
    EVERYONE,
    HALTED,
    NS_PER_DAY,
    NS_PER_S,
    SCHEDULE_STEPS_MAX,
    TRADING,
    MarketRules,
    MarketSpec,
    ScheduleStep,
)


class MarketAdmin:
    """The operators' desk for markets."""

    def __init__(self, trading: Trading, sessions: Sessions) -> None:
        self._trading = trading
        self._sessions = sessions

    def open_listed(self, spec: MarketSpec, command: ListMarket, timestamp_ns: int, emit: EventWriter) -> None:
        """Open the book of a market that was just listed, with its rules and in its state."""
        market = self._trading.open_market(spec)
        market.session.rules = rules_of(command)
        market.session.last_price_ticks = reference_ticks(command, spec)
        if market.session.rules != MarketRules():
            emit(_rules_set(market))
        if command.state != TRADING:
            self._sessions.change_state(market, command.state, BY_OPERATOR, timestamp_ns, emit)

    def set_rules(self, command: SetMarketRules, timestamp_ns: int, emit: EventWriter) -> int:
        if command.interrupts > 1 or command.auction_market_orders > 1:
            return rejects.MALFORMED
        market, reason = self._listed(command.market_id)
        if market is None:
            return reason
        rules = rules_of(command)
        if not rules_allowed(rules):
            return rejects.MARKET_RULES
        market.begin(timestamp_ns)
        market.session.rules = rules
        emit(_rules_set(market))
        self._sessions.clear_beyond_band(market, emit)
        return rejects.ACCEPTED

    def set_state(self, command: SetMarketState, timestamp_ns: int, emit: EventWriter) -> int:
        if command.state >= DELISTED:
            return rejects.MALFORMED
        market, reason = self._listed(command.market_id)
        if market is None:
            return reason
        if market.session.state == command.state:
            emit(state_changed(market, BY_OPERATOR))
        else:
            self._sessions.change_state(market, command.state, BY_OPERATOR, timestamp_ns, emit)
        return rejects.ACCEPTED

    def set_schedule(self, command: SetMarketSchedule, timestamp_ns: int, emit: EventWriter) -> int:
        steps = unpack_schedule(command.steps)
        if steps is None:
            return rejects.MALFORMED
        market, reason = self._listed(command.market_id)
        if market is None:
            return reason
        if not _steps_allowed(steps):
            return rejects.MARKET_RULES
        market.session.schedule = steps
        self._sessions.plan_next_step(market, timestamp_ns)
        emit(MarketScheduleSet(market.spec.market_id, pack_schedule(steps)))
        return rejects.ACCEPTED

    def set_rate(self, command: SetMarketRate, timestamp_ns: int, emit: EventWriter) -> int:
        if bool(command.requests_max) != bool(command.window_ms):
            return rejects.MALFORMED
        market, reason = self._listed(command.market_id)
        if market is None:
            return reason
        session = market.session
        if (session.requests_max, session.window_ms) != (command.requests_max, command.window_ms):
            session.requests_max, session.window_ms = command.requests_max, command.window_ms
            session.window = session.requests_in_window = 0
        emit(MarketRateSet(market.spec.market_id, command.requests_max, command.window_ms))
        return rejects.ACCEPTED

    def set_fee_tiers(self, command: SetFeeTiers, timestamp_ns: int, emit: EventWriter) -> int:
        tiers = unpack_tiers(command.tiers)
        if tiers is None:
            return rejects.MALFORMED
        market, reason = self._listed(command.market_id)
        if market is None:
            return reason
        if not tiers_allowed(market.spec, tiers):
            return rejects.MARKET_RULES
        market.session.tiers = tiers
        emit(FeeTiersSet(market.spec.market_id, pack_tiers(tiers)))
        return rejects.ACCEPTED

    def delist(self, command: DelistMarket, timestamp_ns: int, emit: EventWriter) -> int:
        """Cancel every order of a market and end it, in one command."""
        market = self._trading.market(command.market_id)
        if market is None:
            return rejects.UNKNOWN_MARKET
        if market.session.state == DELISTED:
            emit(state_changed(market, BY_OPERATOR))
            return rejects.ACCEPTED
        market.session.schedule = ()
        self._sessions.plan_next_step(market, timestamp_ns)
        self._sessions.change_state(market, DELISTED, BY_OPERATOR, timestamp_ns, emit)
        self._trading.close_all(
            EVERYONE, market.spec.market_id, EITHER_SIDE, CLOSED_DELISTED, timestamp_ns, emit, in_any_phase=True
        )
        return rejects.ACCEPTED

    def open_after_sale(self, market_id: int, price_units: int, timestamp_ns: int, emit: EventWriter) -> None:
        """A sale succeeded: its market opens by a call auction around the sale's price (rulebook, section H).

        ``price_units`` is for one whole token, 0 if that is not whole. A market that an operator halted stays so.
        """
        market = self._trading.market(market_id)
        assert market is not None, market_id
        if market.session.state in (HALTED, DELISTED, AUCTION):
            return
        if price_units and price_units % market.spec.tick_units == 0:
            market.session.last_price_ticks = price_units // market.spec.tick_units
        self._sessions.change_state(market, AUCTION, BY_SALE, timestamp_ns, emit)

    def is_delisted(self, market_id: int) -> bool:
        market = self._trading.market(market_id)
        assert market is not None, market_id
        return market.session.state == DELISTED

    def _listed(self, market_id: int) -> tuple[Market | None, int]:
        """A market that can still be changed, or None and why not."""
        market = self._trading.market(market_id)
        if market is None:
            return None, rejects.UNKNOWN_MARKET
        if market.session.state == DELISTED:
            return None, rejects.MARKET_STATE
        return market, rejects.ACCEPTED


def _steps_allowed(steps: list[ScheduleStep]) -> bool:
    """Seconds of a day in ascending order, and no state that only an operator may bring about."""
    if len(steps) > SCHEDULE_STEPS_MAX or any(step.state >= HALTED and step.state != CLOSED for step in steps):
        return False
    seconds = [step.second_of_day for step in steps]
    return seconds == sorted(set(seconds)) and all(second < NS_PER_DAY // NS_PER_S for second in seconds)


def _rules_set(market: Market) -> MarketRulesSet:
    return MarketRulesSet(market.spec.market_id, *market.session.rules)
