"""Measuring one workload in this process: nothing but ``Machine.apply`` and the clock between two readings of it.

What the hash chain, the archive and state hashes cost is measured in a run of its own, over the same bytes.
"""

from __future__ import annotations

import gc
import os
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tqdm import tqdm

from engine.codec import TRADES_ONLY, decode_events
from engine.entry import Entry, chain_after
from engine.machine import Machine
from engine.snapshot import state_hash
from replication.archive import Archive
from replication.config import LogSettings
from replication.replica import keep_collector_quiet
from sim.bench_engine_form import running_form
from sim.bench_engine_workloads import Workload

STATE_HASH_EVERY_COMMANDS: Final = LogSettings.snapshot_every_commands  # one with each snapshot of a replica
_NO_ROTATION: Final = 1 << 40  # bytes of a segment: a new one would be forced to disk


@dataclass
class Phase:
    """The times of the entries of each run, in ns, as they came."""

    runs_ns: list[list[int]] = field(default_factory=list)

    @property
    def totals_ns(self) -> list[int]:
        return [sum(times_ns) for times_ns in self.runs_ns]

    @property
    def sorted_ns(self) -> list[int]:
        """Of all runs together."""
        return sorted(time_ns for times_ns in self.runs_ns for time_ns in times_ns)


@dataclass
class Costs:
    """What an extra run found out. The times are over the same entries, in ns."""

    apply_ns: int = 0
    chain_ns: int = 0
    archive_ns: int = 0
    state_hash_ns: int = 0
    commands: int = 0
    trades: int = 0
    commands_that_trade: int = 0


@dataclass
class Measured:
    """``memory_bytes`` is by how much the process grew in the first run, until the entries were executed."""

    form: str
    main: Phase
    sweeps: Phase
    costs: Costs
    memory_bytes: int


def measure(workload: Workload, runs: int) -> Measured:
    """Run a workload so many times, each on a new machine, and once more for what its parts cost."""
    main, sweeps = Phase(), Phase()
    memory_bytes = 0
    for run in tqdm(range(runs), desc=f"{workload.name}: {running_form()}", unit="run", leave=False, disable=None):
        machine = _set_up(workload)
        before_bytes = _resident_bytes()
        keep_collector_quiet()
        main.runs_ns.append(_time_entries(machine, workload.now_ns, workload.entries))
        if run == 0:
            memory_bytes = max(0, _resident_bytes() - before_bytes)
        if workload.sweeps:
            sweeps.runs_ns.append(_time_entries(machine, workload.now_ns, workload.sweeps))
        gc.unfreeze()
        del machine
        gc.collect()
    return Measured(running_form(), main, sweeps, _measure_costs(workload), memory_bytes)


def _time_entries(machine: Machine, now_ns: int, entries: list[bytes]) -> list[int]:
    apply, clock = machine.apply, time.perf_counter_ns
    times_ns = []
    last_ns = clock()
    for entry in entries:
        apply(now_ns, entry)
        done_ns = clock()
        times_ns.append(done_ns - last_ns)
        last_ns = done_ns
    return times_ns


def _measure_costs(workload: Workload) -> Costs:
    costs = Costs()
    machine, clock = _set_up(workload), time.perf_counter_ns
    keep_collector_quiet()
    hashed_at = machine.sequence
    with tempfile.TemporaryDirectory(prefix="tally-bench-") as folder:
        archive = Archive(Path(folder) / "archive", segment_bytes_max=_NO_ROTATION)
        archive.open(machine.sequence, machine.chain)
        for commands in (*workload.entries, *workload.sweeps):
            previous_chain = machine.chain
            started_ns = clock()
            entry = machine.apply(workload.now_ns, commands).entry
            applied_ns = clock()
            _chain(entry, previous_chain)
            chained_ns = clock()
            archive.append(entry)
            archive.flush()
            archived_ns = clock()
            if machine.sequence - hashed_at >= STATE_HASH_EVERY_COMMANDS:
                state_hash(machine)
                hashed_at = machine.sequence
                costs.state_hash_ns += clock() - archived_ns
            costs.apply_ns += applied_ns - started_ns
            costs.chain_ns += chained_ns - applied_ns
            costs.archive_ns += archived_ns - chained_ns
            _count_trades(costs, entry)
        archive.close()
    if not costs.state_hash_ns:
        # Too few commands for one: a part of one.
        started_ns = clock()
        state_hash(machine)
        costs.state_hash_ns = (clock() - started_ns) * costs.commands // STATE_HASH_EVERY_COMMANDS
    gc.unfreeze()
    return costs


def _chain(entry: Entry, previous_chain: bytes) -> None:
    chain = chain_after(
        previous_chain, entry.first_sequence, entry.timestamp_ns, entry.command_count, entry.commands, entry.events
    )
    assert chain == entry.chain


def _count_trades(costs: Costs, entry: Entry) -> None:
    offsets = [offset for offset, _ in decode_events(entry.events, TRADES_ONLY)]
    costs.commands += entry.command_count
    costs.trades += len(offsets)
    costs.commands_that_trade += len(set(offsets))


def _set_up(workload: Workload) -> Machine:
    machine = Machine()
    for entry in workload.setup:
        machine.apply(workload.now_ns, entry)
    return machine


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
