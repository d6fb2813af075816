"""One seed from beginning to end, in this process or in another one: what to run, and what came of it.

Both are plain values, so that many seeds can be run by several processes.
"""

from __future__ import annotations

import gc
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from textwrap import wrap
from typing import Final

from sim.simulation import ORDERS_PER_S, Simulation
from sim.simulation_faults import RANGES, Faults, Range
from sim.simulation_minimise import Minimised, minimise, same_failure
from sim.simulation_schedule import Strike
from sim.simulation_verdict import Verdict, judge

LINES_SHOWN: Final = 60
_MEMORY_DIRECTORY: Final = Path("/dev/shm")
_WIDTH: Final = 110


@dataclass(frozen=True)
class Plan:
    """``schedule`` None: the seed decides what goes wrong. ``keep``: where the files stay.

    ``minimise_s``: for how many seconds of processor time to look for fewer faults, if it fails.
    """

    seed: int
    seconds: float
    nodes: int = 3
    ranges: Mapping[str, Range] = field(default_factory=lambda: dict(RANGES))
    schedule: Sequence[Strike] | None = None
    minimise_s: float = 0.0
    keep: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """``outages_s`` are the times in which no request was answered for longer than a second."""

    plan: Plan
    verdict: Verdict
    reason: str
    sizes: str
    fault_counts: Mapping[str, int]
    answered: int
    sent: int
    unknown: int
    reads: int
    sequence: int
    checks: int
    terms: int
    snapshots: int
    virtual_s: float
    cpu_s: float
    outages_s: Sequence[float]
    trace_hash: str
    last_lines: Sequence[str]
    strikes: Sequence[Strike]
    minimised: Minimised | None = None


def run_plan(plan: Plan, progress: Callable[[float], object] = lambda _seconds: None) -> Outcome:
    """Play a seed and judge it. OSError if its folder cannot be used, ScheduleError if its schedule cannot.

    ``progress`` gets the virtual seconds since its last call.
    """
    outcome = _play(plan, progress)
    if outcome.verdict is not Verdict.FAIL or not plan.minimise_s:
        return outcome

    def fails(strikes: Sequence[Strike]) -> bool:
        # Whatever breaks it has happened by the time at which it broke; a little more for what chance moves.
        seconds = min(plan.seconds, outcome.virtual_s + 1.0)
        again = _play(replace(plan, schedule=strikes, seconds=seconds, keep=None), lambda _seconds: None)
        return again.verdict is Verdict.FAIL and same_failure(again.reason, outcome.reason)

    return replace(outcome, minimised=minimise(outcome.strikes, fails, time.process_time, plan.minimise_s))


def _play(plan: Plan, progress: Callable[[float], object]) -> Outcome:
    started_s = time.process_time()
    with _directory(plan) as directory:
        simulation = Simulation(
            plan.seed,
            directory,
            nodes=plan.nodes,
            span_s=plan.seconds,
            ranges=plan.ranges,
            schedule=plan.schedule,
        )
        simulation.run(plan.seconds, progress)
        judgement = judge(simulation)
    tally, counts, log = simulation.clients.tally, simulation.trace.counts, simulation.config.log
    outcome = Outcome(
        plan=plan,
        verdict=judgement.verdict,
        reason=judgement.reason,
        sizes=f"a snapshot every {log.snapshot_every_commands} commands, {log.keep_tail_entries} entries kept before "
        f"it, archive files of {simulation.segment_bytes_max // 1024} KiB",
        fault_counts=simulation.fault_counts(),
        answered=tally["answered"],
        sent=tally["sent"],
        unknown=tally["unknown"],
        reads=simulation.readers.tally["answered"],
        sequence=simulation.onlooker.sequence,
        checks=simulation.onlooker.checks,
        terms=len(simulation.onlooker.leaders),
        snapshots=counts["snapshot"],
        virtual_s=simulation.elapsed_s,
        cpu_s=time.process_time() - started_s,
        outages_s=tuple(simulation.clients.outages_s),
        trace_hash=simulation.trace.hash(),
        last_lines=tuple(simulation.trace.last_lines(LINES_SHOWN)),
        strikes=tuple(simulation.schedule.struck),
    )
    del simulation
    gc.collect()  # A run leaves cycles, and none was collected meanwhile.
    return outcome


def mixture_table(mixture: Faults) -> str:
    """Every probability and size of a seed's mixture."""
    text = "  ".join(f"{name}={value:g}" for name, value in vars(mixture).items())
    return "\n".join(f"    {line}" for line in wrap(text, _WIDTH, break_on_hyphens=False))


def story(outcome: Outcome) -> str:
    """The verdict with what it rests on."""
    faults = ", ".join(f"{kind} {count}" for kind, count in outcome.fault_counts.items())
    longest_s = max(outcome.outages_s, default=0.0)
    return "\n".join(
        [
            f"  {outcome.verdict.value}{': ' if outcome.reason else ''}{outcome.reason}",
            f"    {outcome.answered} requests answered, {outcome.sent} sent, {outcome.unknown} outcomes unknown at "
            f"first; {outcome.reads} reads; {outcome.sequence} commands in the log, {outcome.checks} checks",
            f"    {outcome.terms} terms led, {outcome.snapshots} snapshots, {len(outcome.outages_s)} times without "
            f"service (longest {longest_s:.1f} s); {outcome.sizes}",
            f"    {faults or 'no faults'}",
            f"    {outcome.virtual_s:.1f} virtual seconds ({ORDERS_PER_S} orders/s) in {outcome.cpu_s:.1f} s of "
            f"processor time: {outcome.virtual_s / outcome.cpu_s:.0f} times faster",
        ]
    )


@contextmanager
def _directory(plan: Plan) -> Iterator[Path]:
    """Where the replicas' files are."""
    if plan.keep is None:
        with memory_directory() as directory:
            yield directory
        return
    directory = plan.keep / f"seed-{plan.seed}"
    try:
        directory.mkdir(parents=True)
    except FileExistsError:
        raise OSError(f"{directory} is there already: name another folder, or remove it") from None
    yield directory


@contextmanager
def memory_directory() -> Iterator[Path]:
    """A folder in memory if the system has a place there, since nothing of a simulation should wait for a disk."""
    in_memory = _MEMORY_DIRECTORY if os.access(_MEMORY_DIRECTORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="tally-sim-", dir=in_memory) as name:
        yield Path(name)
