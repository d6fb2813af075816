"""Clients that ask questions while everything goes wrong, and what each answer must satisfy at the moment it is given.

Half of the questions ask for the newest state, half for one that has at least what this client saw before
(``min_sequence``), of any replica. What they were told is compared with the log at the end (`sim.linearizability`).
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from random import Random
from typing import Any, Final

from engine import queries
from engine.machine import Machine
from replication.protocol import Answer
from sim.linearizability import Operation, Question, Read
from sim.simulation_clients import ACCOUNTS, MARKETS
from sim.simulation_gateway import SimulatedGateway
from sim.simulation_onlooker import Onlooker
from sim.simulation_timeline import Timeline

READERS: Final = 4
EVERY_S: Final = 0.3
DEPTH: Final = 20
WAIT_MS_MAX: Final = 500


class Readers:
    """``operations`` and ``reads`` are what was answered, for the checks at the end."""

    def __init__(
        self, gateways: list[SimulatedGateway], timeline: Timeline, chance: Random, onlooker: Onlooker
    ) -> None:
        self.operations: list[Operation] = []
        self.reads: list[Read] = []
        self.tally: Counter[str] = Counter()
        self.active = False
        self._gateways = gateways
        self._timeline = timeline
        self._chance = chance
        self._onlooker = onlooker
        self._seen = [0] * READERS

    def start(self) -> None:
        self.active = True
        for reader in range(READERS):
            self._timeline.after(self._chance.random() * EVERY_S, self._ask, reader)

    def _ask(self, reader: int) -> None:
        if not self.active:
            return
        chance = self._chance
        self._timeline.after(chance.expovariate(1.0) * EVERY_S, self._ask, reader)
        name, arguments, question = self._question()
        newest = chance.random() < 0.5
        min_sequence = None if newest else self._seen[reader]
        floor = self._onlooker.told_sequence if newest else self._seen[reader]
        told = f"reader {reader}'s {name} {' '.join(str(value) for value in arguments.values())}"
        on_answer = partial(self._hear, reader, told, question, floor, newest, self._timeline.now_s)
        gateway = self._gateways[chance.randrange(len(self._gateways))]
        gateway.ask(name, arguments, on_answer, min_sequence=min_sequence, wait_ms=chance.randrange(WAIT_MS_MAX))

    def _question(self) -> tuple[str, dict[str, Any], Question]:
        if self._chance.random() < 0.5:
            account_id = 1 + self._chance.randrange(ACCOUNTS)
            return "balances", {"account_id": account_id}, partial(_balances, account_id)
        market_id = 1 + self._chance.randrange(MARKETS)
        return "book", {"market_id": market_id, "depth": DEPTH}, partial(_book, market_id)

    def _hear(
        self,
        reader: int,
        told: str,
        question: Question,
        floor: int,
        newest: bool,
        sent_s: float,
        answer: Answer | None,
    ) -> None:
        if answer is None or answer.error:
            self.tally[answer.error if answer is not None else "no answer"] += 1
            return
        sequence = answer.sequence
        self.tally["answered"] += 1
        self._onlooker.read(told, sequence, floor)
        self._seen[reader] = max(self._seen[reader], sequence)
        self.operations.append(Operation(told, sent_s, self._timeline.now_s, sequence, is_read=True, is_bound=newest))
        self.reads.append(Read(told, sequence, question, answer.value))


def _balances(account_id: int, machine: Machine) -> Any:
    return queries.balances(machine, account_id)


def _book(market_id: int, machine: Machine) -> Any:
    return queries.book(machine, market_id, DEPTH)
