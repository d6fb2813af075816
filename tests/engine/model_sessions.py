"""What one order sets off, and how a market goes from state to state (rulebook F, G)."""

from __future__ import annotations

from engine.events import MarketStateChanged, OrderTriggered
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
    HALTED,
    LIMIT,
    MARKET,
    NS_PER_DAY,
    NS_PER_MS,
    NS_PER_S,
    POST_ONLY,
    PRE_OPEN,
    STOP,
    TRADING,
    TRAIL_BY_PRICE,
)
from tests.engine.model_auctions import NOTHING, uncross
from tests.engine.model_matching import cost_now, match
from tests.engine.model_orders import close, close_other_leg, orders_in, rest
from tests.engine.model_world import (
    CALL,
    COMING,
    GONE,
    MILLION,
    NO_CANCEL,
    RANDOM,
    RESTING,
    WAITING,
    ModelMarket,
    ModelOrder,
    World,
)


def run(world: World, order: ModelOrder) -> None:
    """Execute an order, and all stops that follow from it; then the band is where the last trade left it."""
    trades_before = world.trade_count
    _execute(world, order)
    run_elected(world, order.market)
    if world.trade_count > trades_before:
        _move_band(world, order.market)


def run_elected(world: World, market: ModelMarket) -> None:
    elected: list[tuple[ModelOrder, int]] = []
    while True:
        elected += _newly_elected(world, market)
        if market.state != TRADING:
            for order, _ in elected:
                order.elected = False
            return
        if not elected:
            return
        order, price = elected.pop(0)
        if order.where == WAITING:
            _elect(world, order, price)


def trailing_stop(order: ModelOrder, price: int) -> int:
    """Where a trailing stop stands after a trade, if it moves at all."""
    by_price = order.trigger == TRAIL_BY_PRICE
    distance = order.trail_ticks if by_price else max(1, price * order.trail_ppm // MILLION)
    return price + distance if order.side == BUY else price - distance


def meets(order: ModelOrder, price: int) -> bool:
    return price >= order.stop if order.side == BUY else price <= order.stop


def change_state(world: World, market: ModelMarket, state: int, cause: int) -> None:
    was, rules = market.state, market.rules
    market.reference = market.last_price
    market.state, market.phase, market.indicative = state, CALL, NOTHING
    market.phase_ends_ns = market.announced_end_ns = 0
    if state == AUCTION and (rules.call_ms or rules.no_cancel_ms or rules.random_end_ms_max):
        market.phase_ends_ns = world.now_ns + rules.call_ms * NS_PER_MS
        market.announced_end_ns = market.phase_ends_ns + rules.no_cancel_ms * NS_PER_MS
    world.tell(state_told(market, cause))
    if state in (TRADING, POST_ONLY) or (was, state) == (AUCTION, CLOSED):
        uncross(world, market)
        _move_band(world, market)
    if was == AUCTION and state != DELISTED:
        for order in orders_in(world, market):
            if order.where == RESTING and order.kind == MARKET:
                close(world, order, CLOSED_NO_LIQUIDITY)
    if state == CLOSED:
        for order in orders_in(world, market):
            if order.time_in_force == DAY and order.is_alive:
                close(world, order, CLOSED_EXPIRED)
    if state == TRADING and not market.prices and market.last_price:
        market.prices.append(market.last_price)
    run_elected(world, market)
    _move_band(world, market)


def clear_beyond_band(world: World, market: ModelMarket) -> None:
    """What came before the band was where it is now does not rest beyond it in a market that trades."""
    if market.state in (TRADING, POST_ONLY):
        for order in orders_in(world, market):
            if order.where == RESTING and order.kind == LIMIT and not market.lets_rest(order):
                close(world, order, CLOSED_PRICE_BAND)


def _move_band(world: World, market: ModelMarket) -> None:
    market.reference = market.last_price
    clear_beyond_band(world, market)


def state_told(market: ModelMarket, cause: int) -> MarketStateChanged:
    """The fixed end of an auction is told, and never the random one."""
    return MarketStateChanged(market.number, market.state, cause, market.announced_end_ns)


def end_phase(world: World, market: ModelMarket) -> None:
    """The call is over, or the phase without cancels, or the random part: whatever comes next in this list."""
    rules, over = market.rules, market.phase
    for phase in (NO_CANCEL, RANDOM):
        if phase <= over:
            continue
        length_ms = rules.no_cancel_ms
        if phase == RANDOM:
            length_ms = int.from_bytes(world.chain[:8], "little") % (rules.random_end_ms_max + 1)
        if length_ms:
            market.phase = phase
            market.phase_ends_ns += length_ms * NS_PER_MS
            return
    change_state(world, market, TRADING, BY_END_OF_AUCTION)


def next_step_ns(market: ModelMarket) -> int:
    """When the schedule's next step is due; 0 if it has none."""
    since = market.scheduled_until_ns
    midnight = since - since % NS_PER_DAY
    due = [midnight + day * NS_PER_DAY + step.second_of_day * NS_PER_S for day in (0, 1) for step in market.schedule]
    return min((at_ns for at_ns in due if at_ns > since), default=0)


def do_step(world: World, market: ModelMarket) -> None:
    due_ns = next_step_ns(market)
    market.scheduled_until_ns = due_ns
    second = due_ns % NS_PER_DAY // NS_PER_S
    (state,) = [step.state for step in market.schedule if step.second_of_day == second]
    if market.state not in (HALTED, DELISTED, state):
        change_state(world, market, state, BY_SCHEDULE)


def _execute(world: World, order: ModelOrder) -> None:
    market = order.market
    if market.state in (PRE_OPEN, AUCTION):
        rest(world, order)
        return
    at_band = match(world, order)
    interrupts = at_band and market.rules.interrupts == 1
    if order.where != GONE:
        if at_band and not (interrupts and order.can_stay):
            close(world, order, CLOSED_PRICE_BAND)
        elif order.can_stay and (interrupts or market.lets_rest(order)):
            rest(world, order)
        elif order.can_stay:
            close(world, order, CLOSED_PRICE_BAND)
        else:
            close(world, order, CLOSED_IOC_REST if order.kind == LIMIT else CLOSED_NO_LIQUIDITY)
    if interrupts:
        change_state(world, market, AUCTION, BY_PRICE_BAND)


def _newly_elected(world: World, market: ModelMarket) -> list[tuple[ModelOrder, int]]:
    """What each trade elects, by stop price, then time; after each, what trails follows it.

    With each the price that it is told to be elected by: the first of the sweep or the last, which meets it as well.
    """
    prices, market.prices = market.prices, []
    elected: list[tuple[ModelOrder, int]] = []
    for price in prices:
        waiting = [order for order in orders_in(world, market) if order.where == WAITING and not order.elected]
        if market.state == TRADING:
            found = [order for order in waiting if meets(order, price)]
            found.sort(key=lambda order: (order.side, order.stop if order.side == BUY else -order.stop, order.place))
            for order in found:
                order.elected = True
            elected += [(order, prices[0] if price == prices[0] else prices[-1]) for order in found]
        for order in waiting:
            if order.trigger != STOP and not order.elected:
                moved = trailing_stop(order, price)
                order.stop = min(order.stop, moved) if order.side == BUY else max(order.stop, moved)
    return elected


def _elect(world: World, order: ModelOrder, price: int) -> None:
    held = world.need(order)
    world.tell(OrderTriggered(order.number, order.account, order.market.number, price))
    close_other_leg(world, order)
    order.where = GONE  # for a moment: what it holds counts as available
    needed = order.need_once_elected()
    if order.kind == MARKET and order.side == BUY:
        needed = cost_now(world, order)
    covered = needed <= world.available(order.account, order.held_asset)
    order.where, order.set_aside, order.elected = COMING, needed, False
    if covered:
        _execute(world, order)
    else:
        close(world, order, CLOSED_NO_FUNDS, released=held)
