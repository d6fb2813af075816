"""What the archives say of every request, order and balance, folded from commands and events alone.

The state machine is not asked: `tally replay` compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from engine.codec import decode_commands, decode_events
from engine.commands import CancelAll, CancelOrder, Command, PlaceOrder, ResolveRequest
from engine.entry import BY_TIME, Entry
from engine.events import (
    AccountCreated,
    AssetCreated,
    CommandRejected,
    Event,
    OrderAccepted,
    OrderClosed,
    OrdersCancelled,
    RequestFenced,
    RequestRepeated,
    TradeExecuted,
)
from engine.rejects import ACCEPTED, FENCED, RATE_LIMIT, REQUEST_EXPIRED
from projections.balances import Balances

_NOT_REMEMBERED: Final = (REQUEST_EXPIRED, RATE_LIMIT)
"""Refusals that are no outcome of an id."""


class Fill(NamedTuple):
    """One side of a trade. ``sequence`` is that of the command which brought it about."""

    trade_id: int
    sequence: int
    price_ticks: int
    quantity_lots: int
    notional_units: int
    fee_units: int
    is_taker: bool


@dataclass
class Order:
    """An order of the history, with all that became of it."""

    order_id: int
    account_id: int
    client_order_id: str
    quantity_lots: int
    fills: list[Fill] = field(default_factory=list)
    cancelled_lots: int = 0
    prevented_lots: int = 0

    @property
    def executed_lots(self) -> int:
        return sum(fill.quantity_lots for fill in self.fills)

    @property
    def notional_units(self) -> int:
        return sum(fill.notional_units for fill in self.fills)

    @property
    def fee_units(self) -> int:
        return sum(fill.fee_units for fill in self.fills)

    @property
    def open_lots(self) -> int:
        return self.quantity_lots - self.executed_lots - self.cancelled_lots - self.prevented_lots


class Outcome(NamedTuple):
    """What an id came to: accepted (``reason`` 0), refused, or fenced before it arrived."""

    sequence: int
    reason: int
    fenced: bool = False


class HistoryContradicts(Exception):
    """The history itself is wrong: something was executed twice, or a number is missing."""


class History:
    """``outcomes`` by account id and request id; ``orders`` by order id; ``chains`` by last sequence of an entry."""

    def __init__(self) -> None:
        self.accounts: dict[str, int] = {}
        self.assets: dict[str, AssetCreated] = {}
        self.outcomes: dict[tuple[int, str], Outcome] = {}
        self.orders: dict[int, Order] = {}
        self.closed_by: dict[int, list[OrderClosed]] = {}
        self.cancelled_by: dict[int, int] = {}
        self.balances = Balances()
        self.chains: dict[int, bytes] = {}
        self.sequence = 0
        self.trades = 0

    def add(self, entry: Entry) -> None:
        """Fold in the next entry. HistoryContradicts if it cannot be the next, or repeats what was executed."""
        if entry.first_sequence != self.sequence + 1:
            raise HistoryContradicts(f"after sequence {self.sequence} comes {entry.first_sequence}")
        firsts: dict[int, Event] = {}
        for offset, event in decode_events(entry.events):
            sequence = entry.first_sequence if offset == BY_TIME else entry.sequence_of(offset)
            if offset != BY_TIME:
                firsts.setdefault(offset, event)
            self._add_event(event, sequence)
        for offset, command in enumerate(decode_commands(entry.commands)):
            self._add_command(command, entry.sequence_of(offset), firsts[offset])
        self.balances.apply_entry_events(entry.events)
        self.sequence = entry.last_sequence
        self.chains[entry.last_sequence] = entry.chain

    def order_of(self, account_id: int, client_order_id: str) -> Order | None:
        """The order that was accepted under this id."""
        outcome = self.outcomes.get((account_id, client_order_id))
        return None if outcome is None else self.orders.get(outcome.sequence)

    def _add_event(self, event: Event, sequence: int) -> None:
        if isinstance(event, TradeExecuted):
            self._add_trade(event, sequence)
        elif isinstance(event, OrderAccepted):
            name = event.client_order_id.decode()
            if event.order_id in self.orders:
                raise HistoryContradicts(f"order {event.order_id} was accepted twice")
            self.orders[event.order_id] = Order(event.order_id, event.account_id, name, event.quantity_lots)
        elif isinstance(event, OrderClosed):
            order = self.orders[event.order_id]
            order.cancelled_lots, order.prevented_lots = event.cancelled_lots, event.prevented_lots
            if event.executed_lots != order.executed_lots:
                raise HistoryContradicts(
                    f"order {order.order_id} closed with {event.executed_lots} lots executed, "
                    f"its fills are {order.executed_lots}"
                )
            self.closed_by.setdefault(sequence, []).append(event)
        elif isinstance(event, OrdersCancelled):
            self.cancelled_by[sequence] = event.order_count
        elif isinstance(event, AccountCreated):
            self.accounts[event.name.decode()] = event.account_id
        elif isinstance(event, AssetCreated):
            self.assets[event.name.decode()] = event

    def _add_trade(self, trade: TradeExecuted, sequence: int) -> None:
        if trade.trade_id != self.trades + 1:
            raise HistoryContradicts(f"after trade {self.trades} comes trade {trade.trade_id}, at sequence {sequence}")
        self.trades = trade.trade_id
        sides = (
            (trade.maker_order_id, trade.maker_fee_units, trade.maker_open_lots, False),
            (trade.taker_order_id, trade.taker_fee_units, trade.taker_open_lots, True),
        )
        for order_id, fee_units, open_lots, is_taker in sides:
            order = self.orders[order_id]
            numbers = trade.price_ticks, trade.quantity_lots, trade.notional_units, fee_units
            order.fills.append(Fill(trade.trade_id, sequence, *numbers, is_taker))
            if order.open_lots != open_lots:
                raise HistoryContradicts(
                    f"order {order_id} has {open_lots} lots open after trade {trade.trade_id}, "
                    f"its fills leave {order.open_lots}"
                )

    def _add_command(self, command: Command, sequence: int, first: Event) -> None:
        name = _id_of(command)
        if not name:
            return
        key = command.account_id, name
        known = self.outcomes.get(key)
        who = f"{name!r} of account {command.account_id}"
        if isinstance(first, RequestRepeated):
            told = Outcome(first.original_sequence, first.reason)
            if known is None or told != known._replace(fenced=False):
                raise HistoryContradicts(f"{who} is told again at {sequence} as {told}, it was {known}")
        elif isinstance(first, CommandRejected) and first.reason in _NOT_REMEMBERED:
            pass
        elif isinstance(first, CommandRejected) and first.reason == FENCED:
            if known is None or not known.fenced or known.sequence != first.original_sequence:
                raise HistoryContradicts(f"{who} met a fence at {sequence} that is not there")
        elif known is not None:
            raise HistoryContradicts(f"{who} was executed at {known.sequence} and again at {sequence}")
        elif isinstance(first, RequestFenced):
            self.outcomes[key] = Outcome(sequence, FENCED, fenced=True)
        else:
            reason = first.reason if isinstance(first, CommandRejected) else ACCEPTED
            self.outcomes[key] = Outcome(sequence, reason)


def _id_of(command: Command) -> str:
    if isinstance(command, PlaceOrder):
        return command.client_order_id.decode()
    if isinstance(command, CancelOrder | CancelAll | ResolveRequest):
        return command.request_id.decode()
    return ""
