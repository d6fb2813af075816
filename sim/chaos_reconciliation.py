"""Do the traders' own books agree with the archives? Every answer, every fill, every fee and every balance.

What a trader was told is exact: an acknowledged order is there exactly once, with the numbers that it was told; one
that was refused is not; one whose outcome was never told is there once or not at all, and asking for its id says
which. Each difference is one sentence; none is the only pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

from engine.rejects import ACCEPTED, ID_CONFLICT, reason_code
from sim.chaos_history import Fill, History, Order, Outcome
from sim.chaos_traders import BASE_DECIMALS, CANCEL, PLACE, QUOTE_DECIMALS, SWEEP, Asked, Books

_TICK_DECIMALS: Final = 2
_OPEN: Final = "open"
_FILLED: Final = "filled"
_CANCELLED: Final = "cancelled"


def reconcile(books: list[Books], history: History) -> list[str]:
    """All differences between what the traders wrote down and what the archives say."""
    return [f"{one.account}: {complaint}" for one in books for complaint in _reconcile_account(one, history)] + list(
        _strangers(books, history)
    )


def _reconcile_account(books: Books, history: History) -> Iterator[str]:
    account_id = history.accounts.get(books.account)
    if account_id is None:
        yield "the account is gone"
        return
    for asked in books.asked:
        outcome = history.outcomes.get((account_id, asked.id))
        for complaint in _reconcile_request(asked, outcome, account_id, history):
            yield f"{asked.kind} {asked.id}: {complaint}"
    yield from _reconcile_balances(books, account_id, history)


def _reconcile_request(asked: Asked, outcome: Outcome | None, account_id: int, history: History) -> Iterator[str]:
    if outcome is not None and outcome.reason == ID_CONFLICT:
        yield f"its id met another request's at {outcome.sequence}"
    if not asked.answers and asked.resolved is None:
        yield "its outcome is still not known"
    if asked.resolved is not None:
        yield from _resolved(asked.resolved, outcome)
    for number, answer in enumerate(asked.answers):
        yield from _answered(answer, outcome)
        if not _is_success(answer) or outcome is None or outcome.reason != ACCEPTED:
            continue
        if asked.kind == PLACE:
            order = history.order_of(account_id, asked.id)
            if order is None:
                yield f"acknowledged at {answer['sequence']}, and no order of this id is in the archives"
                continue
            yield from _placed(asked, answer, order, last=number == len(asked.answers) - 1)
        elif asked.kind == CANCEL:
            yield from _cancelled(asked, answer, account_id, history)
        elif asked.kind == SWEEP and answer["cancelled"] not in (None, history.cancelled_by.get(answer["sequence"])):
            yield f"told that {answer['cancelled']} orders were cancelled, the archives say otherwise"


def _answered(answer: dict[str, Any], outcome: Outcome | None) -> Iterator[str]:
    """One definite answer and the one outcome of its id."""
    told = _told(answer)
    sequence = answer.get("sequence")
    if sequence is None:
        if outcome is not None and not outcome.fenced:
            yield f"told {told} without a receipt, and executed at {outcome.sequence}"
    elif outcome is None:
        yield f"told {told} at {sequence}, and nothing of it is in the archives"
    elif outcome.fenced:
        if (told, answer.get("original_sequence")) != (reason_code(outcome.reason), outcome.sequence):
            yield f"told {told} at {sequence}, and it was fenced at {outcome.sequence}"
    elif (sequence, told) != (outcome.sequence, reason_code(outcome.reason)):
        yield f"told {told} at {sequence}, the archives say {reason_code(outcome.reason)} at {outcome.sequence}"


def _resolved(resolved: dict[str, Any], outcome: Outcome | None) -> Iterator[str]:
    """What asking for the id said."""
    told = resolved["outcome"], resolved["sequence"]
    if outcome is None:
        yield f"asked for, told {told}, and nothing of it is in the archives"
        return
    accepted = "accepted" if outcome.reason == ACCEPTED else "refused"
    found = "never_seen" if outcome.fenced else accepted, outcome.sequence
    if told != found:
        yield f"asked for, told {told}, the archives say {found}"


def _placed(asked: Asked, answer: dict[str, Any], order: Order, *, last: bool) -> Iterator[str]:
    """The numbers of an acknowledged order: those of its own command at first, and those of the end at last."""
    told = answer["order"]
    if told is None:
        return  # a repeat so late that the exchange does not keep the order any more
    if told["order_id"] != order.order_id or told["client_order_id"] != order.client_order_id:
        yield f"told that it is order {told['order_id']}, the archives say {order.order_id}"
    if _lots(told["quantity"]) != order.quantity_lots or told["quantity"] != asked.item["quantity"]:
        yield f"told a quantity of {told['quantity']}, the archives say {order.quantity_lots} lots"
    fresh = answer["status"] == 201 and not answer["repeated"]
    if fresh:
        at_once = [fill for fill in order.fills if fill.sequence == order.order_id]
        if [_fill_numbers(fill) for fill in at_once] != [_told_fill(fill) for fill in answer["fills"]]:
            yield f"told the fills {answer['fills']}, the archives say {at_once}"
    fills = at_once if fresh else order.fills
    if fresh or last:
        numbers = (
            sum(fill.quantity_lots for fill in fills),
            sum(fill.notional_units for fill in fills),
            sum(fill.fee_units for fill in fills),
        )
        said = _lots(told["executed"]), _quote_units(told["notional"]), _quote_units(told["fee"])
        if said != numbers:
            yield f"told executed lots, notional and fee of {said}, the archives say {numbers}"
    if last and not fresh:
        said_rest = _lots(told["open"]), _lots(told["cancelled"]), _lots(told["prevented"]), told["status"]
        status = _OPEN if order.open_lots else _CANCELLED if order.cancelled_lots or order.prevented_lots else _FILLED
        rest = order.open_lots, order.cancelled_lots, order.prevented_lots, status
        if said_rest != rest:
            yield f"told open, cancelled, prevented and status of {said_rest}, the archives say {rest}"


def _cancelled(asked: Asked, answer: dict[str, Any], account_id: int, history: History) -> Iterator[str]:
    order, told = history.order_of(account_id, asked.target), answer["order"]
    if order is None or told is None:
        if order is None:
            yield f"told that {asked.target} is cancelled, and no such order is in the archives"
        return
    closed = [one for one in history.closed_by.get(answer["sequence"], []) if one.order_id == order.order_id]
    if not closed:
        yield f"told that {asked.target} is cancelled, and the archives do not say so at {answer['sequence']}"
        return
    said = _lots(told["executed"]), _lots(told["cancelled"]), told["order_id"]
    if said != (closed[0].executed_lots, closed[0].cancelled_lots, order.order_id):
        yield f"told executed, cancelled and order of {said}, the archives say {closed[0]}"


def _reconcile_balances(books: Books, account_id: int, history: History) -> Iterator[str]:
    """What was deposited and every fill of the archives give the balances that the trader was told."""
    told = {balance["asset"]: Decimal(balance["total"]) for balance in books.balances}
    for name, asset in history.assets.items():
        scaled = told.get(name, Decimal(0)).scaleb(asset.decimals)
        expected = history.balances.total_units(account_id, asset.asset_id)
        if scaled != expected:
            yield f"told a balance of {told.get(name, 0)} {name}, the archives give {expected} units"
    for balance in books.balances:
        if Decimal(balance["available"]) + Decimal(balance["held"]) != Decimal(balance["total"]):
            yield f"told a balance that does not add up: {balance}"


def _strangers(books: list[Books], history: History) -> Iterator[str]:
    """Orders of the traders' accounts that none of them placed, and money that came from nowhere."""
    placed = {
        (history.accounts.get(one.account, 0), asked.id) for one in books for asked in one.asked if asked.kind == PLACE
    }
    for order in history.orders.values():
        if (order.account_id, order.client_order_id) not in placed:
            yield f"order {order.order_id} of account {order.account_id} was placed by nobody"
    deposited = {name: Decimal(0) for name in history.assets}
    for one in books:
        for name, amount in one.deposited.items():
            deposited[name] += Decimal(amount)
    for name, asset in history.assets.items():
        total = sum(units for (_, asset_id), units in history.balances.totals().items() if asset_id == asset.asset_id)
        if total != deposited[name].scaleb(asset.decimals):
            yield f"{deposited[name]} {name} were deposited, and all balances together are {total} units"


def _is_success(answer: dict[str, Any]) -> bool:
    return bool(200 <= answer["status"] < 300)


def _told(answer: dict[str, Any]) -> str:
    """The code of the refusal, or that of an acceptance."""
    return reason_code(ACCEPTED) if _is_success(answer) else str(answer["error"]["code"])


def _lots(text: str) -> int:
    return _whole(text, BASE_DECIMALS)


def _quote_units(text: str) -> int:
    return _whole(text, QUOTE_DECIMALS)


def _whole(text: str, decimals: int) -> int:
    scaled = Decimal(text).scaleb(decimals)
    assert scaled == int(scaled), f"{text} has more than {decimals} decimals"
    return int(scaled)


def _fill_numbers(fill: Fill) -> tuple[int, ...]:
    return fill.trade_id, fill.price_ticks, fill.quantity_lots, fill.notional_units, fill.fee_units


def _told_fill(fill: dict[str, Any]) -> tuple[int, ...]:
    return (
        fill["trade_id"],
        _whole(fill["price"], _TICK_DECIMALS),
        _lots(fill["quantity"]),
        _quote_units(fill["notional"]),
        _quote_units(fill["fee"]),
    )
