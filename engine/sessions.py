"""How markets live: states, auctions, schedules, and what one order sets off while a market trades.

An order that comes in is matched, and rests or ends. Its trades may elect stops, which run after it, inside the same
command, and may elect more (rulebook F1, F4, F5): each stop at most once, so a cascade ends. If the price band is
reached in a market that interrupts, continuous trading gives way to a call auction (G7), stops that were not yet
executed wait on, and the auction's price judges them anew.
"""

from __future__ import annotations

from collections import deque
from operator import attrgetter

from engine.event_writer import EventWriter
from engine.events import MarketStateChanged, OrderTriggered
from engine.market import Market
from engine.matching import cost_of_fillable, match
from engine.orders import Order
from engine.session import CALL, COLLECTS, NO_CANCEL_PHASE, NOTHING, RANDOM_END
from engine.timers import AUCTION_PHASE, MARKET_SCHEDULE, Timers
from engine.types import (
    AUCTION,
    BUY,
    BY_END_OF_AUCTION,
    BY_PRICE_BAND,
    BY_SCHEDULE,
    CLOSED,
    CLOSED_EXPIRED,
    CLOSED_IOC_REST,
    CLOSED_NO_FUNDS,
    CLOSED_NO_LIQUIDITY,
    CLOSED_PRICE_BAND,
    DAY,
    DELISTED,
    FOK,
    HALTED,
    IOC,
    LIMIT,
    MARKET,
    NS_PER_DAY,
    NS_PER_MS,
    NS_PER_S,
    OPEN,
    POST_ONLY,
    TRADING,
    WAITING,
)
from engine.uncross import resting_market_orders, uncross

Elected = tuple[Order, int]  # and the price of the trade that elected it


class Sessions:
    """Moves markets from state to state. ``chain`` is the log's before the entry under way: the chance in it."""

    __slots__ = ("_timers", "auctions", "chain")

    def __init__(self, timers: Timers) -> None:
        self.chain = bytes(8)
        self.auctions: dict[int, Market] = {}  # those in an auction, by market id
        self._timers = timers

    def run_taker(self, market: Market, order: Order, emit: EventWriter) -> None:
        """Execute an accepted order that holds its funds, then all stops that it elects."""
        self._execute(market, order, emit)
        if market.first_trade_ticks:
            self._finish_trading(market, emit)

    def _finish_trading(self, market: Market, emit: EventWriter) -> None:
        """Run what was elected. Then the last price is what it will be for the next command, and so is the band."""
        if len(market.stops):
            self._run_elected(market, emit)
        else:
            market.first_trade_ticks = market.last_trade_ticks = 0
        if market.session.band_ppm:
            market.begin(market.timestamp_ns)
            self.clear_beyond_band(market, emit)

    def _run_elected(self, market: Market, emit: EventWriter) -> None:
        """Run the stops that the trades since the last call elected, and those that these elect, until none is left."""
        elected: deque[Elected] = deque()
        while True:
            elected += _take_elected(market)
            if not elected:
                return
            if market.session.state != TRADING:
                for order, _ in elected:
                    if order.status == WAITING:
                        market.stops.add(order)
                return
            order, price_ticks = elected.popleft()
            # It may be cancelled by now, together with its other leg.
            if order.status == WAITING:
                self._elect(market, order, price_ticks, emit)

    def change_state(self, market: Market, state: int, cause: int, timestamp_ns: int, emit: EventWriter) -> None:
        """Go to another state, with all that leaving the old one and entering the new one brings about."""
        session, market_id = market.session, market.spec.market_id
        was = session.state
        market.begin(timestamp_ns)
        session.state = state
        session.phase, session.phase_ends_ns, session.announced_end_ns = CALL, 0, 0
        self.auctions.pop(market_id, None)
        if state == AUCTION:
            self.auctions[market_id] = market
            market.book_changed = True
            rules = session.rules
            if rules.call_ms or rules.no_cancel_ms or rules.random_end_ms_max:
                session.phase_ends_ns = timestamp_ns + rules.call_ms * NS_PER_MS
                session.announced_end_ns = session.phase_ends_ns + rules.no_cancel_ms * NS_PER_MS
        self._timers.schedule(session.phase_ends_ns, AUCTION_PHASE, market_id)
        emit(state_changed(market, cause))
        if state in (TRADING, POST_ONLY) or (was == AUCTION and state == CLOSED):
            uncross(market, emit)
            market.begin(timestamp_ns)
            self.clear_beyond_band(market, emit)
        if was == AUCTION and state != AUCTION:
            session.indicative = NOTHING
        if was == AUCTION and state not in (AUCTION, DELISTED):
            for order in resting_market_orders(market):
                market.cancel(order, CLOSED_NO_LIQUIDITY, emit)
        if state == CLOSED:
            self._expire_day_orders(market, emit)
        if state == TRADING:
            # Stops that the last price elects may have waited for the market to open.
            market.first_trade_ticks = market.first_trade_ticks or session.last_price_ticks
            market.last_trade_ticks = session.last_price_ticks
        self._finish_trading(market, emit)

    def on_phase_ends(self, market: Market, due_ns: int, timestamp_ns: int, emit: EventWriter) -> None:
        """The time of an auction's phase is over (rulebook G6, G7)."""
        session, rules = market.session, market.session.rules
        assert session.state == AUCTION and session.phase_ends_ns == due_ns, (market.spec.name, due_ns)
        extension_ms = 0
        if session.phase == CALL and rules.no_cancel_ms:
            session.phase, extension_ms = NO_CANCEL_PHASE, rules.no_cancel_ms
        elif session.phase != RANDOM_END and rules.random_end_ms_max:
            chance = int.from_bytes(self.chain[:8], "little")
            session.phase, extension_ms = RANDOM_END, chance % (rules.random_end_ms_max + 1)
        if extension_ms:
            session.phase_ends_ns = due_ns + extension_ms * NS_PER_MS
            self._timers.schedule(session.phase_ends_ns, AUCTION_PHASE, market.spec.market_id)
        else:
            self.change_state(market, TRADING, BY_END_OF_AUCTION, timestamp_ns, emit)

    def plan_next_step(self, market: Market, after_ns: int) -> None:
        """Find out when the schedule's next step is due, and see to it that it happens."""
        session = market.session
        session.next_step_ns = 0
        if session.schedule:
            midnight_ns = after_ns - after_ns % NS_PER_DAY
            seconds = [step.second_of_day for step in session.schedule]
            today = [midnight_ns + second * NS_PER_S for second in seconds]
            session.next_step_ns = next((due_ns for due_ns in today if due_ns > after_ns), today[0] + NS_PER_DAY)
        self._timers.schedule(session.next_step_ns, MARKET_SCHEDULE, market.spec.market_id)

    def on_step(self, market: Market, due_ns: int, timestamp_ns: int, emit: EventWriter) -> None:
        """A step of the schedule is due. It does nothing to a market that an operator has halted."""
        session = market.session
        assert session.next_step_ns == due_ns, (market.spec.name, due_ns)
        second_of_day = due_ns % NS_PER_DAY // NS_PER_S
        state = next(step.state for step in session.schedule if step.second_of_day == second_of_day)
        self.plan_next_step(market, due_ns)
        if session.state not in (HALTED, DELISTED, state):
            self.change_state(market, state, BY_SCHEDULE, timestamp_ns, emit)

    def clear_beyond_band(self, market: Market, emit: EventWriter) -> None:
        """Cancel what may not rest in a market that trades: it came before the band was there."""
        session = market.session
        if session.state not in (TRADING, POST_ONLY):
            return
        beyond: list[Order] = []
        for side in (market.book.bids, market.book.asks):
            for level in reversed(side.levels):
                if session.lets_rest(side.side, level.price_ticks):
                    break
                beyond += [order for order in side.orders(level) if order.order_type == LIMIT]
        for order in sorted(beyond, key=attrgetter("order_id")):
            market.cancel(order, CLOSED_PRICE_BAND, emit)

    def _execute(self, market: Market, order: Order, emit: EventWriter) -> None:
        if market.session.state != TRADING and market.session.state in COLLECTS:
            market.rest(order)
        else:
            self._match(market, order, emit)

    def _match(self, market: Market, order: Order, emit: EventWriter) -> None:
        at_band = match(market, order, emit)
        interrupts = at_band and market.session.interrupts == 1
        if order.status == OPEN:
            can_rest = order.order_type == LIMIT and order.time_in_force not in (IOC, FOK)
            if at_band and not (interrupts and can_rest):
                market.cancel(order, CLOSED_PRICE_BAND, emit)
            elif can_rest and (interrupts or market.session.lets_rest(order.side, order.price_ticks)):
                market.rest(order)
            elif can_rest:
                market.cancel(order, CLOSED_PRICE_BAND, emit)
            else:
                market.cancel(order, CLOSED_IOC_REST if order.order_type == LIMIT else CLOSED_NO_LIQUIDITY, emit)
        if interrupts:
            self.change_state(market, AUCTION, BY_PRICE_BAND, market.timestamp_ns, emit)

    def _elect(self, market: Market, order: Order, price_ticks: int, emit: EventWriter) -> None:
        """A stop becomes an order like any other, and is executed."""
        market.wait_no_more(order)
        order.status = OPEN
        emit(OrderTriggered(order.order_id, order.account_id, order.market_id, price_ticks))
        market.close_other_leg(order, emit)
        if order.order_type == LIMIT:
            needed_units = market.held_for(order)
        elif order.order_type == MARKET and order.side == BUY:
            needed_units = cost_of_fillable(market, order)
        else:
            needed_units = market.need_once_elected(order)
        if needed_units - order.held_units > market.available_units(order):
            market.cancel(order, CLOSED_NO_FUNDS, emit)
            return
        market.adjust_hold(order, needed_units)
        self._execute(market, order, emit)

    def _expire_day_orders(self, market: Market, emit: EventWriter) -> None:
        for order in orders_in(market):
            if order.time_in_force == DAY and order.status in (OPEN, WAITING):
                market.cancel(order, CLOSED_EXPIRED, emit)


def state_changed(market: Market, cause: int) -> MarketStateChanged:
    """The market's state as it stands."""
    session = market.session
    return MarketStateChanged(market.spec.market_id, session.state, cause, session.announced_end_ns)


def orders_in(market: Market) -> list[Order]:
    """All orders that rest or wait in a market, by number."""
    orders = market.stops.orders()
    for side in (market.book.bids, market.book.asks):
        for level in side.levels:
            orders += side.orders(level)
    return sorted(orders, key=attrgetter("order_id"))


def _take_elected(market: Market) -> list[Elected]:
    """What the trades since the last call elect, in the order in which it runs; trailing stops follow them.

    The prices of one sweep only rise or only fall, so its first and its last price say all: the first elects, then
    moves what trails, then the last does.
    """
    first_ticks, last_ticks = market.first_trade_ticks, market.last_trade_ticks
    market.first_trade_ticks = market.last_trade_ticks = 0
    elected: list[Elected] = []
    if not first_ticks or not len(market.stops):
        return elected
    for price_ticks in (first_ticks, last_ticks):
        if market.session.state == TRADING:
            elected += [(order, price_ticks) for order in market.stops.elect(price_ticks)]
        for order in market.stops.trail(price_ticks):
            market.adjust_hold(order, market.held_for(order))
    return elected
