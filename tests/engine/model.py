"""The exchange again, as simply as possible: what the engine is compared with.

Nothing is kept that can be worked out (``tests.engine.model_world``): holds, fees, volumes, queues, and what is due
follow from orders and trades whenever somebody asks. It is written from the rules, not from the engine, of which it
uses only names, constants and records. It answers an entry with the events that the log should have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from engine import rejects
from engine.commands import (
    AmendOrder,
    CancelAll,
    CancelAllAfter,
    CancelOrder,
    CancelWithdrawal,
    Command,
    CreateAccount,
    CreateApiKey,
    CreateAsset,
    CreateMarket,
    CreateSale,
    CreateTransfer,
    DecideSale,
    DecideTransfer,
    DecideWithdrawal,
    DelistMarket,
    Deposit,
    FreezeAccount,
    ListMarket,
    MassCancel,
    PlaceOco,
    PlaceOrder,
    PlaceSpecialOrder,
    RequestWithdrawal,
    ResolveRequest,
    SetAccountLimits,
    SetFeeTiers,
    SetMarketRate,
    SetMarketRules,
    SetMarketSchedule,
    SetMarketState,
    SetRulesVersion,
    SubscribeSale,
    Tick,
)
from engine.entry import BY_TIME
from engine.events import Event, RequestFenced, RequestRepeated, TimeReached
from engine.timers import (
    AUCTION_PHASE,
    DEAD_MAN,
    MARKET_SCHEDULE,
    ORDER_EXPIRES,
    SALE_CLOSES,
    SALE_OPENS,
    TRANSFER_EXPIRES,
)
from engine.types import (
    AUCTION,
    CLOSED_EXPIRED,
    NS_PER_MS,
    OPERATOR,
    PENDING,
    REQUEST_AGE_NS_MAX,
    REQUEST_MEMORY_NS,
    SALE_ANNOUNCED,
    SECOND_LEG,
    VOID,
)
from tests.engine import model_changes, model_entry, model_markets, model_money, model_sales, model_sessions
from tests.engine.model_auctions import publish
from tests.engine.model_orders import close, reported
from tests.engine.model_world import ModelOrder, Receipt, Refused, World, is_id

Happening = tuple[int, Event]  # the offset of its command in the entry, or BY_TIME

REQUESTS = (
    PlaceOrder,
    PlaceSpecialOrder,
    PlaceOco,
    CancelOrder,
    AmendOrder,
    CancelAll,
    MassCancel,
    CancelAllAfter,
    RequestWithdrawal,
    CancelWithdrawal,
    CreateTransfer,
    DecideTransfer,
    SubscribeSale,
    ResolveRequest,
)
BY_OPERATORS: dict[type[Any], Callable[[World, Any], None]] = {
    CreateAsset: model_markets.create_asset,
    CreateMarket: model_markets.list_market,
    CreateAccount: model_markets.create_account,
    CreateApiKey: model_markets.create_api_key,
    Deposit: model_money.deposit,
    DecideWithdrawal: model_money.decide_withdrawal,
    ListMarket: model_markets.list_market,
    SetMarketRules: model_markets.set_rules,
    SetMarketState: model_markets.set_state,
    SetMarketSchedule: model_markets.set_schedule,
    DelistMarket: model_markets.delist,
    SetFeeTiers: model_markets.set_fee_tiers,
    SetMarketRate: model_markets.set_rate,
    SetAccountLimits: model_changes.set_limits,
    FreezeAccount: model_changes.freeze,
    SetRulesVersion: model_changes.set_rules_version,
    Tick: lambda world, _: world.tell(TimeReached(world.now_ns)),
    CreateSale: model_sales.create,
    DecideSale: model_sales.decide,
}


class Model:
    def __init__(self) -> None:
        self.world = World()

    def apply(self, now_ns: int, commands: Sequence[Command], chain: bytes) -> list[Happening]:
        """What the log says about an entry. ``chain`` is the log's before it: the chance in it."""
        world = self.world
        world.now_ns, world.chain, world.events = max(world.now_ns, now_ns), chain, []
        while (due := _next_due(world)) is not None:
            due()
            publish(world)
        happened: list[Happening] = [(BY_TIME, event) for event in world.events]
        for offset, command in enumerate(commands):
            world.sequence += 1
            world.events = []
            _forget(world)
            try:
                _execute(world, command)
            except Refused as refused:
                assert not world.events, ("refused after something happened", command, world.events)
                world.events = [refused.event]
            happened += [(offset, event) for event in world.events]
        return happened


def _next_due(world: World) -> Callable[[], None] | None:
    """The first of all that is due and was not done: by time, then kind, then number."""
    due: list[tuple[int, int, int, Callable[[], None]]] = []

    def at(when_ns: int, kind: int, number: int, do: Callable[..., None], subject: Any, *more: Any) -> None:
        if 0 < when_ns <= world.now_ns:
            due.append((when_ns, kind, number, lambda: do(world, subject, *more)))

    for order in world.alive():
        at(order.expires_at_ns, ORDER_EXPIRES, order.number, close, order, CLOSED_EXPIRED)
    for number, account in world.accounts.items():
        at(account.dead_man_ns, DEAD_MAN, number, model_changes.fire, number)
    for transfer in world.transfers.values():
        if transfer.status == PENDING:
            at(transfer.expires_at_ns, TRANSFER_EXPIRES, transfer.number, model_money.expire, transfer)
    for market in world.markets.values():
        if market.state == AUCTION:
            at(market.phase_ends_ns, AUCTION_PHASE, market.number, model_sessions.end_phase, market)
        at(model_sessions.next_step_ns(market), MARKET_SCHEDULE, market.number, model_sessions.do_step, market)
    for sale in world.sales.values():
        if sale.status == SALE_ANNOUNCED:
            at(sale.asked.opens_at_ns, SALE_OPENS, sale.number, model_sales.opens, sale)
        if not sale.has_ended:
            at(sale.asked.closes_at_ns, SALE_CLOSES, sale.number, model_sales.closes, sale)
    return min(due, key=lambda one: one[:3])[3] if due else None


def _execute(world: World, command: Command) -> None:
    if abs(world.now_ns - command.issued_at_ns) > REQUEST_AGE_NS_MAX:
        raise Refused(rejects.REQUEST_EXPIRED)
    asker = world.accounts.get(command.account_id)
    if asker is None:
        raise Refused(rejects.UNKNOWN_ACCOUNT)
    if isinstance(command, REQUESTS):
        if command.account_id == 0 and not isinstance(command, MassCancel | DecideTransfer | ResolveRequest):
            raise Refused(rejects.NOT_ALLOWED)
        if isinstance(command, ResolveRequest):
            _resolve(world, command)
        else:
            _request(world, command)
    elif asker.spec.role != OPERATOR:
        raise Refused(rejects.NOT_ALLOWED)
    else:
        BY_OPERATORS[type(command)](world, command)
    publish(world)


def _request(world: World, command: Command) -> None:
    """One id, one outcome."""
    name = command[-1]
    assert isinstance(name, bytes)
    if not is_id(name) or not _names_fit(command):
        raise Refused(rejects.MALFORMED)
    content = (type(command).__name__, *command[2:-1])
    names = [name, command.stop_client_order_id] if isinstance(command, PlaceOco) else [name]
    for own_id in names:
        known = world.receipts.get((command.account_id, own_id))
        if known is not None:
            if known.reason == rejects.FENCED:
                raise Refused(rejects.FENCED, known.sequence)
            if known.content != content or own_id != name:
                raise Refused(rejects.ID_CONFLICT, known.sequence)
            all_known = [world.receipts.get((command.account_id, name)) for name in names]
            reports = [event for one in all_known if one is not None for event in _as_it_stands(world, one.subject)]
            world.events += [RequestRepeated(known.sequence, known.reason), *reports]
            return
        named = model_money.named_for_ever(world, command.account_id, own_id)
        if named is not None:
            if not model_money.asks_the_same(world, command, named):
                raise Refused(rejects.ID_CONFLICT, named.number)
            world.events += [RequestRepeated(named.number, rejects.ACCEPTED), named.told()]
            return
    if isinstance(command, PlaceOrder | PlaceSpecialOrder | PlaceOco | AmendOrder):
        _use_rates(world, command)
    reason, subjects = rejects.ACCEPTED, [_own_subject(world, command)] * 2
    try:
        made = _do(world, command, subjects[0])
        if made is not None:
            subjects = [made, world.orders.get(world.sequence + SECOND_LEG)]
    except Refused as refused:
        reason = refused.event.reason
        if not isinstance(command, CancelOrder | AmendOrder):
            subjects = [None, None]
        raise
    finally:
        for one, subject in zip(names, subjects, strict=False):
            receipt = Receipt(content, world.sequence, reason, subject, world.now_ns)
            world.receipts[command.account_id, one] = receipt


def _do(world: World, command: Command, subject: Any) -> Any:
    """Execute a new request. Answers what it made, if it made something."""
    match command:
        case PlaceOrder() | PlaceSpecialOrder():
            return model_entry.place(world, command)
        case PlaceOco():
            return model_entry.place_oco(world, command)
        case CancelOrder() | AmendOrder():
            if subject is None:
                raise Refused(rejects.UNKNOWN_ORDER)
            if isinstance(command, CancelOrder):
                model_changes.cancel(world, subject)
            else:
                model_changes.amend(world, subject, command)
        case CancelAll():
            model_changes.cancel_all(world, command)
        case MassCancel():
            model_changes.mass_cancel(world, command)
        case CancelAllAfter():
            model_changes.cancel_all_after(world, command)
        case RequestWithdrawal():
            return model_money.request_withdrawal(world, command)
        case CancelWithdrawal():
            if subject is None:
                raise Refused(rejects.UNKNOWN_WITHDRAWAL)
            model_money.cancel_withdrawal(world, subject)
        case CreateTransfer():
            return model_money.create_transfer(world, command)
        case DecideTransfer():
            if command.decision > VOID:
                raise Refused(rejects.MALFORMED)
            if subject is None:
                raise Refused(rejects.UNKNOWN_TRANSFER)
            model_money.decide_transfer(world, subject, command)
        case SubscribeSale():
            return model_sales.subscribe(world, command)
        case _:
            raise AssertionError(command)
    return None


def _own_subject(world: World, command: Command) -> Any:
    """What a request is about that was there before it, as far as the asker may know of it."""
    if isinstance(command, CancelOrder | AmendOrder):
        return model_changes.find(world, command.account_id, command.order_id, command.client_order_id)
    if isinstance(command, CancelWithdrawal):
        return model_money.own_withdrawal(world, command)
    if isinstance(command, DecideTransfer):
        return model_money.visible_transfer(world, command)
    return None


def _resolve(world: World, command: ResolveRequest) -> None:
    """What became of an id? A reference of a withdrawal or transfer is known for ever (rulebook E4)."""
    account, name = command.account_id, command.request_id
    if not is_id(name):
        raise Refused(rejects.MALFORMED)
    known = world.receipts.get((account, name))
    if known is not None:
        world.events += [RequestRepeated(known.sequence, known.reason), *_as_it_stands(world, known.subject)]
        return
    named = model_money.named_for_ever(world, account, name)
    if named is not None:
        world.events += [RequestRepeated(named.number, rejects.ACCEPTED), named.told()]
        return
    world.receipts[account, name] = Receipt((), world.sequence, rejects.FENCED, None, world.now_ns)
    world.tell(RequestFenced(account, name))


def _as_it_stands(world: World, subject: Any) -> list[Event]:
    if subject is None:
        return []
    if isinstance(subject, ModelOrder):
        return reported(world, subject) if subject.number in world.orders else []
    return [subject.told()]


def _names_fit(command: Command) -> bool:
    """An order is named by number or by its owner's id, never by both; the legs of a pair have different ids."""
    if isinstance(command, CancelOrder | AmendOrder):
        return command.client_order_id == b"" if command.order_id else is_id(command.client_order_id)
    if isinstance(command, PlaceOco):
        return is_id(command.stop_client_order_id) and command.stop_client_order_id != command.client_order_id
    if isinstance(command, RequestWithdrawal):
        return len(command.destination) <= 128 and all(32 <= letter <= 126 for letter in command.destination)
    return True


def _use_rates(world: World, command: PlaceOrder | PlaceSpecialOrder | PlaceOco | AmendOrder) -> None:
    """Requests are counted per window of log time, of the account and then of the market."""
    account = world.accounts[command.account_id]
    _use_rate(world, account.rated_ns, account.limits.requests_max, account.limits.window_ms)
    if isinstance(command, AmendOrder):
        order = model_changes.find(world, command.account_id, command.order_id, command.client_order_id)
        market = None if order is None else order.market
    else:
        market = world.markets.get(command.market_id)
    if market is not None:
        _use_rate(world, market.rated_ns, *market.rate)


def _use_rate(world: World, rated_ns: list[int], requests_max: int, window_ms: int) -> None:
    """Those that were refused for it do not count."""
    if not requests_max:
        return
    window_ns = window_ms * NS_PER_MS
    if sum(when_ns // window_ns == world.now_ns // window_ns for when_ns in rated_ns) >= requests_max:
        raise Refused(rejects.RATE_LIMIT)
    rated_ns.append(world.now_ns)


def _forget(world: World) -> None:
    """Ids are forgotten after 24 hours, closed orders with theirs; that of an open order stays for as long again."""
    for key, receipt in list(world.receipts.items()):
        if world.now_ns - receipt.when_ns > REQUEST_MEMORY_NS:
            order = receipt.subject
            if isinstance(order, ModelOrder) and (order.account, order.name) == key:
                if order.is_alive:
                    receipt.when_ns = world.now_ns
                    continue
                world.orders.pop(order.number, None)
            del world.receipts[key]
