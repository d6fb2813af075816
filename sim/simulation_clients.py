"""Traders and an operator in the simulation, and what each of them remembers.

Every request has an id. A client that does not hear what became of one asks again, with the same id and the same
content, through another gateway: after a moment, and now and then much later, or twice at once. What it was told each
time is its history, which `sim.simulation_verdict` compares with the log.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import inf
from random import Random
from typing import Final

from engine.codec import decode_command, encode_command
from engine.commands import (
    Command,
    CreateAccount,
    CreateAsset,
    CreateMarket,
    CreateTransfer,
    Deposit,
    RequestWithdrawal,
)
from engine.events import CommandRejected, Event, RequestRepeated
from engine.rejects import REQUEST_EXPIRED
from engine.types import EXCHANGE_ACCOUNT, TRADER
from gateway.errors import ApiError, Overloaded
from gateway.outcomes import Outcome
from sim.bench_engine_flow import PRICE_SCALE, QUANTITY_SCALE, Crowd, Flow
from sim.simulation_faults import Faults
from sim.simulation_gateway import SimulatedGateway
from sim.simulation_onlooker import Onlooker
from sim.simulation_timeline import Timeline

MARKETS: Final = 2
ACCOUNTS: Final = 12
LIVE_PER_MARKET: Final = 60
QUOTE_DECIMALS: Final = 5
FUNDS: Final = 1_000_000
EVERY_S: Final = 0.02
UNANSWERED_MAX: Final = 2_000
RETRY_S_MAX: Final = 1.0
LATE_S_MAX: Final = 50.0
OUTAGE_S_MIN: Final = 1.0
_FEES_PPM: Final = (1_000, 2_500)
_ODD_SHARE: Final = 0.05
"""Of all requests: deposits, transfers and withdrawals. The others are the flow of ``tally bench engine``."""


@dataclass
class Request:
    """``told`` are the answers: the sequence at which it was executed first, and the reason of a refusal or 0.

    ``not_before`` is the last sequence at which a client still knew for certain that it had not been executed.
    ``sent_s`` and ``answered_s`` are when it was sent and answered first.
    """

    command: Command
    sent_s: float
    answered_s: float = inf
    copies_out: int = 0
    told: list[tuple[int, int]] = field(default_factory=list)
    unknown: bool = False
    not_before: int = 0

    @property
    def answered(self) -> bool:
        return bool(self.told)


class Clients:
    """All clients. ``requests`` is their history, in the order of the first sending.

    ``outages_s`` are the times in which none was answered, where they were longer than OUTAGE_S_MIN.
    """

    def __init__(
        self,
        gateways: list[SimulatedGateway],
        timeline: Timeline,
        chance: Random,
        onlooker: Onlooker,
        faults: Faults,
        orders_per_s: int,
    ) -> None:
        self.faults = faults
        self.requests: list[Request] = []
        self.unanswered = 0
        self.tally: Counter[str] = Counter()
        self.outages_s: list[float] = []
        self.trading = False
        self._gateways = gateways
        self._timeline = timeline
        self._chance = chance
        self._onlooker = onlooker
        self._orders_per_s = orders_per_s
        self._flow = Flow(Crowd(MARKETS, ACCOUNTS, LIVE_PER_MARKET, zipf=True), chance.getrandbits(32))
        self._opening = [decode_command(record)[0] for record in self._flow.fill()][::-1]
        self._numbers = 0
        self._answered_s = timeline.now_s

    def set_up(self) -> None:
        """List the markets, open the accounts, pay in."""
        for command in _set_up():
            self._ask(command, 0)

    def trade(self) -> None:
        """Begin to trade, and go on until ``trading`` is put out."""
        self.trading = True
        self._answered_s = self._timeline.now_s
        self._timeline.after(0.0, self._trade)

    def _trade(self) -> None:
        if not self.trading:
            return
        self._timeline.after(EVERY_S, self._trade)
        if self.unanswered >= UNANSWERED_MAX:
            return
        wanted = self._orders_per_s * EVERY_S
        for _ in range(int(wanted) + (self._chance.random() < wanted % 1)):
            command = self._next_command()
            gateway = command.account_id % len(self._gateways)
            request = self._ask(command, gateway)
            if self.faults.sent_twice_probability and self._chance.random() < self.faults.sent_twice_probability:
                self._send(request, gateway + 1)

    def _ask(self, command: Command, gateway: int) -> Request:
        request = Request(command, self._timeline.now_s)
        self.requests.append(request)
        self.unanswered += 1
        self._send(request, gateway)
        return request

    def _send(self, request: Request, gateway: int) -> None:
        """Sign it anew: what is asked, and under which id, stays the same."""
        if not request.told and not request.unknown and not request.copies_out:
            request.not_before = self._onlooker.sequence
        request.copies_out += 1
        self.tally["sent"] += 1
        record = encode_command(request.command._replace(issued_at_ns=self._timeline.time_ns()))

        def on_outcome(outcome: Outcome | ApiError) -> None:
            self._hear(request, gateway, outcome)

        try:
            self._gateways[gateway % len(self._gateways)].submit(record, on_outcome)
        except Overloaded:
            request.copies_out -= 1
            self._timeline.after(RETRY_S_MAX, self._send, request, gateway)

    def _hear(self, request: Request, gateway: int, outcome: Outcome | ApiError) -> None:
        chance = self._chance
        request.copies_out -= 1
        if isinstance(outcome, ApiError):
            request.unknown |= not outcome.definite
            self.tally["unknown" if not outcome.definite else "not executed"] += 1
            if not request.answered:
                self._timeline.after(chance.random() * RETRY_S_MAX, self._send, request, gateway + 1)
            return
        self._onlooker.acknowledged(outcome.sequence)
        first = outcome.events[0]
        if isinstance(first, CommandRejected) and first.reason == REQUEST_EXPIRED:
            # It took too long to get there, which says nothing of other copies: sign it anew.
            self._timeline.after(chance.random() * RETRY_S_MAX, self._send, request, gateway + 1)
            return
        if not request.answered:
            self._note_outage()
            request.answered_s = self._timeline.now_s
        self.unanswered -= not request.answered
        self.tally["answered"] += not request.answered
        request.told.append(receipt(outcome.sequence, first))
        late = self.faults.retried_late_probability
        if late and chance.random() < late:
            self._timeline.after(chance.random() * LATE_S_MAX, self._send_late, request, gateway + 1)

    def _note_outage(self) -> None:
        """A request was answered: how long ago was the one before it? Some wait at any time while clients trade."""
        silent_s = self._timeline.now_s - self._answered_s
        self._answered_s = self._timeline.now_s
        if silent_s > OUTAGE_S_MIN:
            self.outages_s.append(silent_s)

    def _send_late(self, request: Request, gateway: int) -> None:
        if self.trading:
            self.tally["asked again"] += 1
            self._send(request, gateway)

    def _next_command(self) -> Command:
        if self._opening:
            return self._opening.pop()
        return self._odd_command() if self._chance.random() < _ODD_SHARE else self._flow.next_command()

    def _odd_command(self) -> Command:
        chance = self._chance
        self._numbers += 1
        account_id, asset_id = 1 + chance.randrange(ACCOUNTS), 1 + chance.randrange(2 * MARKETS)
        amount = (1 + chance.randrange(100), 0)
        name = b"n%d" % self._numbers
        kind = chance.randrange(3)
        if kind == 0:
            return Deposit(EXCHANGE_ACCOUNT, 0, account_id, asset_id, *amount, name)
        if kind == 1:
            other = 1 + (account_id + chance.randrange(ACCOUNTS - 1)) % ACCOUNTS
            return CreateTransfer(account_id, 0, other, asset_id, *amount, chance.randrange(2), 5, name)
        return RequestWithdrawal(account_id, 0, asset_id, *amount, b"somewhere", name)


def receipt(sequence: int, first: Event) -> tuple[int, int]:
    """What an answer says of the request: the sequence of its one execution, and the reason of a refusal or 0."""
    if isinstance(first, RequestRepeated):
        return first.original_sequence, first.reason
    if isinstance(first, CommandRejected):
        return sequence, first.reason
    return sequence, 0


def _set_up() -> list[Command]:
    """Assets 2 n - 1 and 2 n are traded in market n."""
    commands: list[Command] = []
    for market in range(1, MARKETS + 1):
        base, quote = b"BASE%d" % market, b"QUOTE%d" % market
        commands += [
            CreateAsset(EXCHANGE_ACCOUNT, 0, QUANTITY_SCALE, base),
            CreateAsset(EXCHANGE_ACCOUNT, 0, QUOTE_DECIMALS, quote),
            CreateMarket(EXCHANGE_ACCOUNT, 0, 1, PRICE_SCALE, 1, QUANTITY_SCALE, 0, 0, *_FEES_PPM, base, quote),
        ]
    for account_id in range(1, ACCOUNTS + 1):
        commands.append(CreateAccount(EXCHANGE_ACCOUNT, 0, TRADER, b"account-%d" % account_id))
        commands += [
            Deposit(EXCHANGE_ACCOUNT, 0, account_id, asset_id, FUNDS, 0, b"funds-%d-%d" % (account_id, asset_id))
            for asset_id in range(1, 2 * MARKETS + 1)
        ]
    return commands
