"""Orders are cancelled and amended: by their owners, by operators, by the dead-man switch."""

from __future__ import annotations

from engine import rejects
from engine.amounts import SCALE_ABSENT
from engine.commands import (
    AmendOrder,
    CancelAll,
    CancelAllAfter,
    FreezeAccount,
    MassCancel,
    SetAccountLimits,
    SetRulesVersion,
)
from engine.events import (
    AccountFrozen,
    AccountLimitsSet,
    DeadManArmed,
    DeadManFired,
    OrderAmended,
    OrdersCancelled,
    RulesVersionSet,
)
from engine.types import (
    CLOSED_BY_OPERATOR,
    CLOSED_BY_OWNER,
    CLOSED_DEAD_MAN,
    CLOSED_FROZEN,
    EITHER_SIDE,
    EVERYONE,
    LIMIT,
    NS_PER_MS,
    NS_PER_S,
    POST_ONLY,
    AccountLimits,
)
from tests.engine.model_entry import TAKES_ORDERS, check_iceberg, check_worth, lots_of, price_of
from tests.engine.model_orders import close, opposite
from tests.engine.model_sessions import run
from tests.engine.model_world import COMING, WAITING, ModelOrder, Refused, World


def find(world: World, account: int, number: int, name: bytes) -> ModelOrder | None:
    """An order by its number, or where that is 0 by its owner's id. Nobody finds those of others."""
    own = (order for order in world.orders.values() if order.account == account)
    return next((order for order in own if (order.number == number if number else order.name == name)), None)


def cancel(world: World, order: ModelOrder) -> None:
    if not order.is_alive:
        raise Refused(rejects.ORDER_CLOSED)
    if order.market.takes_nothing_back:
        raise Refused(rejects.NO_CANCEL)
    close(world, order, CLOSED_BY_OWNER)


def amend(world: World, order: ModelOrder, asked: AmendOrder) -> None:
    market = order.market
    if not order.is_alive:
        raise Refused(rejects.ORDER_CLOSED)
    if world.accounts[order.account].frozen:
        raise Refused(rejects.ACCOUNT_FROZEN)
    if market.state not in TAKES_ORDERS:
        raise Refused(rejects.MARKET_STATE)
    if market.takes_nothing_back:
        raise Refused(rejects.NO_CANCEL)
    if order.where == WAITING or order.linked or order.kind != LIMIT:
        raise Refused(rejects.NOT_AMENDABLE)
    market.reference = market.last_price
    price, quantity, open_before, held = order.price, order.quantity, order.open, world.need(order)
    available = world.available(order.account, order.held_asset)
    try:
        _set(world, order, asked)
        keeps_place = order.price == price and order.open <= open_before
        post_only = order.post_only or market.state == POST_ONLY
        if not keeps_place and post_only and opposite(world, order):
            raise Refused(rejects.POST_ONLY)
        if world.need(order) - held > available:
            raise Refused(rejects.NO_FUNDS)
    except Refused:
        order.price, order.quantity = price, quantity
        raise
    order.slice = min(order.slice, order.open)
    if not keeps_place:
        order.where = COMING
    world.tell(
        OrderAmended(
            order_id=order.number,
            account_id=order.account,
            market_id=market.number,
            kept_place=int(keeps_place),
            price_ticks=order.price,
            quantity_lots=order.quantity,
            open_lots=order.open,
            held_units=world.need(order),
        )
    )
    if not keeps_place:
        run(world, order)


def _set(world: World, order: ModelOrder, asked: AmendOrder) -> None:
    if asked.price_scale != SCALE_ABSENT:
        order.price = price_of(order.market, asked.price_mantissa, asked.price_scale)
    if asked.quantity_scale != SCALE_ABSENT:
        order.quantity = lots_of(order.market, asked.quantity_mantissa, asked.quantity_scale)
    if order.display:
        check_iceberg(order.display, order.quantity)
    if order.open <= 0:
        raise Refused(rejects.QUANTITY_BELOW_EXECUTED)
    check_worth(order, order.price)


def cancel_all(world: World, asked: CancelAll) -> None:
    _cancel_many(world, asked.account_id, asked.market_id, EITHER_SIDE, by_operator=False)


def mass_cancel(world: World, asked: MassCancel) -> None:
    """Traders cancel their own; an operator cancels anybody's, in any phase, and its own as everybody does."""
    owner, of_others = asked.owner_account_id, asked.owner_account_id != asked.account_id
    if asked.side > EITHER_SIDE:
        raise Refused(rejects.MALFORMED)
    if of_others and not world.is_operator(asked.account_id):
        raise Refused(rejects.NOT_ALLOWED)
    if owner not in world.accounts:
        raise Refused(rejects.UNKNOWN_ACCOUNT)
    _cancel_many(world, owner, asked.market_id, asked.side, by_operator=of_others or owner == EVERYONE)


def cancel_all_after(world: World, asked: CancelAllAfter) -> None:
    fires_at_ns = world.now_ns + asked.timeout_ms * NS_PER_MS if asked.timeout_ms else 0
    world.accounts[asked.account_id].dead_man_ns = fires_at_ns
    world.tell(DeadManArmed(asked.account_id, fires_at_ns))


def fire(world: World, account: int) -> None:
    """Nobody renewed (rulebook I1). What an auction does not give back now is tried again a second later."""
    count = _close_many(world, account, 0, EITHER_SIDE, CLOSED_DEAD_MAN, in_any_phase=False)
    world.tell(DeadManFired(account, count))
    world.accounts[account].dead_man_ns = world.now_ns + NS_PER_S if world.alive(account) else 0


def set_limits(world: World, asked: SetAccountLimits) -> None:
    if (asked.requests_max == 0) != (asked.window_ms == 0):
        raise Refused(rejects.MALFORMED)
    account = world.accounts.get(asked.owner_account_id)
    if account is None:
        raise Refused(rejects.UNKNOWN_ACCOUNT)
    limits = AccountLimits(*asked[3:])
    if limits != account.limits:
        account.limits, account.rated_ns = limits, []
    world.tell(AccountLimitsSet(asked.owner_account_id, *limits))


def set_rules_version(world: World, asked: SetRulesVersion) -> None:
    if asked.version < world.rules_version:
        raise Refused(rejects.WRONG_STATE)
    world.rules_version = asked.version
    world.tell(RulesVersionSet(asked.version, asked.requested_by))


def freeze(world: World, asked: FreezeAccount) -> None:
    if asked.frozen > 1:
        raise Refused(rejects.MALFORMED)
    account = world.accounts.get(asked.owner_account_id)
    if account is None:
        raise Refused(rejects.UNKNOWN_ACCOUNT)
    if asked.owner_account_id == 0:
        raise Refused(rejects.NOT_ALLOWED)
    account.frozen = asked.frozen
    world.tell(AccountFrozen(asked.owner_account_id, asked.frozen))
    if asked.frozen:
        _close_many(world, asked.owner_account_id, 0, EITHER_SIDE, CLOSED_FROZEN, in_any_phase=True)


def close_market(world: World, market: int, reason: int) -> None:
    _close_many(world, EVERYONE, market, EITHER_SIDE, reason, in_any_phase=True)


def _cancel_many(world: World, owner: int, market: int, side: int, *, by_operator: bool) -> None:
    if market and market not in world.markets:
        raise Refused(rejects.UNKNOWN_MARKET)
    if market and not by_operator and world.markets[market].takes_nothing_back:
        raise Refused(rejects.NO_CANCEL)
    reason = CLOSED_BY_OPERATOR if by_operator else CLOSED_BY_OWNER
    count = _close_many(world, owner, market, side, reason, in_any_phase=by_operator)
    world.tell(OrdersCancelled(owner, market, count))


def _close_many(world: World, owner: int, market: int, side: int, reason: int, *, in_any_phase: bool) -> int:
    chosen = [
        order
        for order in world.alive(owner or None)
        if market in (0, order.market.number)
        and side in (EITHER_SIDE, order.side)
        and (in_any_phase or not order.market.takes_nothing_back)
    ]
    for order in chosen:
        if order.is_alive:
            close(world, order, reason)
    return len(chosen)
