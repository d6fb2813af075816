"""Pass, fail or unknown: what a finished run as a whole says.

The log gives the order, so the clients' histories are compared with it directly: each request was executed once, at
the place and with the outcome that every answer named. The replicas' files are executed again from nothing, as an
auditor would. A run in which little was asked or nothing went wrong shows nothing: it is unknown, not a pass.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from engine.codec import decode_commands, decode_events
from engine.commands import Command
from engine.entry import BY_TIME, Entry
from engine.events import CommandRejected, Event, RequestRepeated
from engine.invariants import assert_sound
from engine.rejects import ID_CONFLICT, RATE_LIMIT, REQUEST_EXPIRED
from engine.snapshot import state_hash
from projections.balances import Balances, BalancesDisagree
from projections.order_book import OrderBooks
from replication.archive import ArchiveDamaged, ArchiveGap, list_segments, read_segment, read_segment_header
from replication.config import node_data_dir
from replication.replay import ReplayDiverged, replay
from sim.audit import first_difference
from sim.linearizability import Operation, out_of_order, wrong_value
from sim.simulation import Simulation
from sim.simulation_clients import receipt
from sim.simulation_trace import Violation

ANSWERS_MIN: Final = 300
_NOT_REMEMBERED: Final = (REQUEST_EXPIRED, RATE_LIMIT)
"""Refusals that are no outcome of an id: the same one may be executed later."""


class Verdict(enum.Enum):
    PASS = "pass"
    FAIL = "fail"
    UNKNOWN = "unknown"


class Judgement(NamedTuple):
    """``reason`` says what was broken, or what was not shown."""

    verdict: Verdict
    reason: str


def judge(simulation: Simulation) -> Judgement:
    """Check a run that has ended. Its replicas are stopped."""
    if not simulation.violations:
        try:
            final_hash = _check_states(simulation)
            _check_history(simulation)
            _check_order(simulation)
            simulation.stop()
            _check_files(simulation, final_hash)
        except Violation:
            pass
    if simulation.violations:
        return Judgement(Verdict.FAIL, simulation.violations[0])
    answered = simulation.clients.tally["answered"]
    if answered < ANSWERS_MIN:
        return Judgement(Verdict.UNKNOWN, f"only {answered} requests were answered: too few to show anything")
    if not simulation.faults_struck:
        return Judgement(Verdict.UNKNOWN, "nothing went wrong: a longer run, or another seed, would show more")
    return Judgement(Verdict.PASS, "")


def _check_states(simulation: Simulation) -> bytes:
    """All replicas are equal to the last byte, and the money is right. Answers their state hash."""
    machines = simulation.machines()
    hashes = {name: state_hash(machine) for name, machine in machines.items()}
    if len(set(hashes.values())) > 1:
        told = ", ".join(f"{name} {digest[:8].hex()}" for name, digest in hashes.items())
        simulation.trace.violate(f"the replicas have different states at the same sequence: {told}")
    name = next(iter(machines))
    try:
        assert_sound(machines[name])
    except AssertionError as fault:
        simulation.trace.violate(f"the state is not sound: {fault}")
    simulation.trace.add("state", "all", hashes[name].hex())
    return hashes[name]


def _check_history(simulation: Simulation) -> None:
    """Every request was executed at most once, and whoever was answered was told that one outcome."""
    violate = simulation.trace.violate
    outcomes: dict[tuple[int, bytes], tuple[int, int]] = {}
    for entry in simulation.onlooker.history:
        for sequence, command, first in _executed(entry):
            name = _id_of(command)
            if not name or (isinstance(first, CommandRejected) and first.reason in _NOT_REMEMBERED):
                continue
            outcome = receipt(sequence, first)
            known = outcomes.setdefault((command.account_id, name), outcome)
            if outcome[1] == ID_CONFLICT:
                violate(f"{name!r} of account {command.account_id} met a receipt of other content at {sequence}")
            if outcome != known and isinstance(first, RequestRepeated):
                violate(f"{name!r} of account {command.account_id} had outcome {known}; {sequence} repeats {outcome}")
            if outcome != known:
                violate(f"{name!r} of account {command.account_id} was executed at {known[0]} and again at {sequence}")
    for request in simulation.clients.requests:
        name = _id_of(request.command)
        if name:
            outcome = outcomes.get((request.command.account_id, name), (0, 0))
            for told in request.told:
                if told != outcome:
                    violate(f"{name!r} of account {request.command.account_id}: told {told}, the log has {outcome}")
            if 0 < outcome[0] <= request.not_before:
                violate(f"{name!r} was executed at {outcome[0]}, and a client was told that it certainly was not")
        if not request.answered:
            violate(f"a request was never answered: {request.command}")


def _check_order(simulation: Simulation) -> None:
    """What clients could tell each other fits the log, and so do the values that they were told."""
    operations = [
        Operation(f"{_id_of(request.command)!r}", request.sent_s, request.answered_s, request.told[0][0])
        for request in simulation.clients.requests
    ]
    broken = out_of_order([*operations, *simulation.readers.operations])
    broken = broken or wrong_value(simulation.onlooker.history, simulation.readers.reads)
    if broken:
        simulation.trace.violate(broken)


def _check_files(simulation: Simulation, final_hash: bytes) -> None:
    """Every archive tells the one history. From the files of one replica every command is executed again.

    Balances and books are folded from its events, too, and must be those of the state. The seed chooses which replica:
    as long as all archives tell the same, another one would only do the same again.
    """
    directories = [node_data_dir(simulation.config, name) for name in simulation.processes]
    complete = {directory: _check_archive(simulation, directory) for directory in directories}
    directory = directories[simulation.seed % len(directories)]
    others = [] if complete[directory] else [other for other in directories if other != directory]
    balances, books = Balances(), OrderBooks()

    def fold(entry: Entry) -> None:
        events = [event for _, event in decode_events(entry.events)]
        balances.apply(events)
        books.apply(events)

    try:
        machine = replay(directory, others=others, observe=fold).machine
    except (ArchiveDamaged, ArchiveGap, ReplayDiverged, BalancesDisagree) as fault:
        simulation.trace.violate(f"the files of {directory.name}: {simulation.describe(fault)}")
    else:
        if state_hash(machine) != final_hash:
            simulation.trace.violate(f"the files of {directory.name} give another state at {machine.sequence}")
        difference = first_difference(machine, balances, books)
        if difference:
            simulation.trace.violate(f"what is folded from the archived events is not the state: {difference}")


def _check_archive(simulation: Simulation, directory: Path) -> bool:
    """Each archived entry is the one that was applied there. Answers whether none is missing."""
    chains, expected, is_complete = simulation.onlooker.chains, 1, True
    try:
        for segment in list_segments(directory / "archive"):
            for entry, _ in read_segment(segment, read_segment_header(segment)):
                if chains.get(entry.last_sequence) != entry.chain:
                    simulation.trace.violate(
                        f"the archive of {directory.name} has another entry at sequence {entry.first_sequence}"
                    )
                is_complete = is_complete and entry.first_sequence == expected
                expected = entry.last_sequence + 1
    except ArchiveDamaged as fault:
        simulation.trace.violate(f"the files of {directory.name}: {simulation.describe(fault)}")
    return is_complete and expected == simulation.onlooker.sequence + 1


def _executed(entry: Entry) -> Iterator[tuple[int, Command, Event]]:
    """Each command of an entry with its sequence and the first of its events."""
    firsts: dict[int, Event] = {}
    for offset, event in decode_events(entry.events):
        if offset != BY_TIME:
            firsts.setdefault(offset, event)
    for offset, command in enumerate(decode_commands(entry.commands)):
        yield entry.sequence_of(offset), command, firsts[offset]


def _id_of(command: Command) -> bytes:
    for field in ("request_id", "reference", "client_order_id"):
        name: bytes = getattr(command, field, b"")
        if name:
            return name
    return b""
