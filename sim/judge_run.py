"""Drives the whole engine with a workload of the public benchmark: ledger, holds, receipts and chain included.

Messages become commands (``sim.judge_commands``), which go to the engine many at a time. A modify waits until it is
known what the order has traded (``sim.judge_resting``); then it is one AmendOrder where that loses the order's place,
and otherwise a CancelOrder and a PlaceOrder. What became of an order that does not rest, the engine decides: the
command is sent, and its refusal is the report.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, NamedTuple

from engine import rejects
from engine.codec import decode_events
from engine.events import CommandRejected
from engine.machine import Machine
from sim.judge_commands import NEVER_PLACED, NOW_NS, Accounts, amend, cancel, place
from sim.judge_reports import AMENDS, CANCELS, LIFTS, PLACES, REINSERTS, JudgeError, Reporter, ReportStream, Sent
from sim.judge_resting import Order, Resting
from sim.judge_workload import CANCEL, NEW, Workload

COMMANDS_PER_ENTRY_MAX: Final = 1_000
_PROGRESS_STEP: Final = 1_000  # messages

Progress = Callable[[int], object]
Keep = Callable[[list[bytes]], object]


class Verdict(NamedTuple):
    """``engine_ns`` is the time inside ``Machine.apply``, for the messages alone; ``commands`` is what they became."""

    messages: int
    commands: int
    entries: int
    reports: int
    trades: int
    sha256: str
    chain: bytes
    engine_ns: int


class Judge:
    """One run of one workload on one machine, which must be a new one."""

    def __init__(
        self,
        machine: Machine,
        workload: Workload,
        stream: ReportStream,
        keep: Keep | None = None,
    ) -> None:
        """``keep`` is told the records of each entry, first those that list and fund."""
        self._machine = machine
        self._workload = workload
        self._stream = stream
        self._accounts = Accounts(workload.resting_max())
        self._resting = Resting()
        self._reporter = Reporter(self._resting, stream)
        self._orders: dict[int, Order] = {}
        self._records: list[bytes] = []
        self._sent: list[Sent] = []
        self._next_number = 0
        self._commands = 0
        self._entries = 0
        self._engine_ns = 0
        self._keep = keep

    def set_up(self) -> None:
        """List the market and fund the accounts."""
        records = self._accounts.set_up()
        if self._keep is not None:
            self._keep(records)
        for _, event in decode_events(self._machine.apply(NOW_NS, b"".join(records)).entry.events):
            if isinstance(event, CommandRejected):
                raise JudgeError(
                    f"the engine does not list or fund the market: {rejects.reason_sentence(event.reason)}"
                )
        self._next_number = self._machine.sequence + 1

    def run(self, progress: Progress) -> Verdict:
        """Execute all messages. JudgeError if the engine or the workload does what the rules do not know."""
        last_sequence_number = -1
        for index, (kind, side, ioc, quantity, sequence_number, order_id, price_ticks) in enumerate(self._workload):
            if sequence_number <= last_sequence_number:
                raise JudgeError(f"the sequence number {sequence_number} of record {index} is not above the one before")
            last_sequence_number = sequence_number
            if kind == NEW:
                self._place(side, ioc, quantity, sequence_number, order_id, price_ticks)
            elif kind == CANCEL:
                self._cancel(sequence_number, order_id)
            else:
                self._modify(quantity, sequence_number, order_id, price_ticks)
            if len(self._records) >= COMMANDS_PER_ENTRY_MAX:
                self._execute()
            if index % _PROGRESS_STEP == _PROGRESS_STEP - 1:
                progress(_PROGRESS_STEP)
        self._execute()
        progress(self._workload.count % _PROGRESS_STEP)
        return Verdict(
            self._workload.count,
            self._commands,
            self._entries,
            self._stream.line_count,
            self._reporter.trade_count,
            self._stream.sha256,
            self._machine.chain,
            self._engine_ns,
        )

    def _place(self, side: int, ioc: int, quantity: int, sequence_number: int, order_id: int, price_ticks: int) -> None:
        known = self._orders.get(order_id)
        if known is not None and known.rests:
            if self._resting.is_uncertain(known):
                self._execute()
            if known.rests:
                raise JudgeError(
                    f"message {sequence_number} places order {order_id} anew while it rests: the benchmark's rules do "
                    "not say what that means"
                )
        account_id = self._accounts.next_owner(side, ioc)
        number = self._next_number
        order = self._orders[order_id] = Order(order_id, account_id, side, number)
        self._reporter.knows(order)
        self._resting.arrives(order, price_ticks, quantity, number, can_rest=not ioc)
        self._send(place(number, account_id, side, ioc, price_ticks, quantity), Sent(PLACES, sequence_number, order))

    def _cancel(self, sequence_number: int, order_id: int) -> None:
        order = self._orders.get(order_id) or _never_placed(order_id)
        self._resting.leaves(order)
        self._send(cancel(self._next_number, order.account_id, order.number), Sent(CANCELS, sequence_number, order))

    def _modify(self, quantity: int, sequence_number: int, order_id: int, price_ticks: int) -> None:
        order = self._orders.get(order_id) or _never_placed(order_id)
        if self._resting.is_uncertain(order):
            self._execute()
        number, account_id = self._next_number, order.account_id
        if not order.rests:
            command = amend(number, account_id, order.number, price_ticks, quantity)
            self._send(command, Sent(AMENDS, sequence_number, order))
            return
        loses_place = price_ticks != order.price_ticks or quantity > order.quantity
        self._resting.leaves(order)
        if loses_place and not order.traded:
            self._resting.arrives(order, price_ticks, quantity, number, can_rest=True)
            command = amend(number, account_id, order.number, price_ticks, quantity)
            self._send(command, Sent(AMENDS, sequence_number, order))
            return
        self._send(cancel(number, account_id, order.number), Sent(LIFTS, sequence_number, order))
        number = order.number = self._next_number
        order.traded = False
        self._reporter.knows(order)
        self._resting.arrives(order, price_ticks, quantity, number, can_rest=True)
        command = place(number, account_id, order.side, 0, price_ticks, quantity)
        self._send(command, Sent(REINSERTS, sequence_number, order))

    def _send(self, record: bytes, sent: Sent) -> None:
        self._records.append(record)
        self._sent.append(sent)
        self._next_number += 1

    def _execute(self) -> None:
        """Let the engine execute what was sent, and read its answers."""
        if not self._records:
            return
        commands = b"".join(self._records)
        started_ns = time.perf_counter_ns()
        applied = self._machine.apply(NOW_NS, commands)
        self._engine_ns += time.perf_counter_ns() - started_ns
        self._commands += len(self._records)
        self._entries += 1
        if self._keep is not None:
            self._keep(list(self._records))
        self._reporter.report(applied.entry.events, self._sent)
        self._resting.is_answered()
        self._records.clear()
        self._sent.clear()


def _never_placed(order_id: int) -> Order:
    """An order that the engine does not know either."""
    return Order(order_id, 1, 0, NEVER_PLACED)
