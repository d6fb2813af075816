"""``tally sim``: run a whole cluster on virtual time, break it in every way, and say whether it kept its promises."""

from __future__ import annotations

import gc
import os
import secrets
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import wrap
from typing import Final

from tqdm import tqdm

from engine import FORM
from sim.simulation import ORDERS_PER_S, Simulation
from sim.simulation_faults import Faults
from sim.simulation_verdict import Judgement, Verdict, judge

EXIT_CODES: Final = {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.UNKNOWN: 3}
LINES_SHOWN: Final = 60
_MEMORY_DIRECTORY: Final = Path("/dev/shm")
_SEED_BITS: Final = 31
_WIDTH: Final = 110


def main(
    *,
    version: str,
    seed: int | None,
    seeds: int,
    minutes: float,
    nodes: int,
    trace_hash: bool = False,
    keep: Path | None = None,
) -> int:
    """Run one seed after the other, and stop at the first that fails. Answers the exit code of the worst."""
    first = secrets.randbits(_SEED_BITS) if seed is None else seed
    verdicts = []
    print(f"tally {version}{_commit()}, the engine {FORM}; {nodes} replicas, {minutes:g} virtual minutes a seed")
    for number in range(first, first + seeds):
        with _directory(keep, number) as directory:
            verdicts.append(_run(number, minutes, nodes, trace_hash, directory))
        gc.collect()
        if verdicts[-1] is Verdict.FAIL:
            break
    if seeds > 1:
        counted = ", ".join(f"{verdicts.count(verdict)} {verdict.value}" for verdict in Verdict)
        print(f"{len(verdicts)} of {seeds} seeds: {counted}")
    worst = next(verdict for verdict in (Verdict.FAIL, Verdict.UNKNOWN, Verdict.PASS) if verdict in verdicts)
    return EXIT_CODES[worst]


def _run(seed: int, minutes: float, nodes: int, trace_hash: bool, directory: Path) -> Verdict:
    simulation = Simulation(seed, directory, nodes=nodes, span_s=minutes * 60)
    print(f"seed {seed}")
    print(fault_table(simulation.drawn))
    started_s = time.perf_counter()
    with tqdm(total=minutes * 60, unit="s", desc=f"seed {seed}", leave=False, disable=None) as bar:
        simulation.run(minutes * 60, bar.update)
    judgement = judge(simulation)
    print(report(simulation, judgement, time.perf_counter() - started_s), flush=True)
    if judgement.verdict is Verdict.FAIL:
        print("\n".join(f"    {line}" for line in simulation.trace.last_lines(LINES_SHOWN)))
        print(f"repeat it: tally sim --seed {seed} --minutes {minutes:g} --nodes {nodes}")
    if trace_hash:
        print(f"trace {simulation.trace.hash()}")
    return judgement.verdict


def fault_table(faults: Faults) -> str:
    """Every probability and size of a seed's mixture."""
    text = "  ".join(f"{name}={value:g}" for name, value in vars(faults).items())
    return "\n".join(f"    {line}" for line in wrap(text, _WIDTH, break_on_hyphens=False))


def report(simulation: Simulation, judgement: Judgement, wall_s: float) -> str:
    """The verdict with what it rests on."""
    tally, counts = simulation.clients.tally, simulation.trace.counts
    faults = ", ".join(f"{kind} {count}" for kind, count in simulation.fault_counts().items())
    virtual_s, terms = simulation.elapsed_s, len(simulation.onlooker.leaders)
    return "\n".join(
        [
            f"  {judgement.verdict.value}{': ' if judgement.reason else ''}{judgement.reason}",
            f"    {tally['answered']} requests answered, {tally['sent']} sent, {tally['unknown']} outcomes unknown at "
            f"first; {simulation.onlooker.sequence} commands in the log, {simulation.onlooker.checks} checks",
            f"    {terms} terms led, {counts['snapshot']} snapshots; {faults or 'no faults'}",
            f"    {virtual_s:.1f} virtual seconds ({ORDERS_PER_S} orders/s) in {wall_s:.1f} s: "
            f"{virtual_s / wall_s:.0f} times faster",
        ]
    )


@contextmanager
def _directory(keep: Path | None, seed: int) -> Iterator[Path]:
    """Where the replicas' files are."""
    if keep is not None:
        directory = keep / f"seed-{seed}"
        try:
            directory.mkdir(parents=True)
        except FileExistsError:
            raise OSError(f"{directory} is there already: name another folder, or remove it") from None
        yield directory
        return
    with memory_directory() as directory:
        yield directory


@contextmanager
def memory_directory() -> Iterator[Path]:
    """A folder in memory if the system has a place there, since nothing of a simulation should wait for a disk."""
    in_memory = _MEMORY_DIRECTORY if os.access(_MEMORY_DIRECTORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="tally-sim-", dir=in_memory) as name:
        yield Path(name)


def _commit() -> str:
    """The commit of the working copy, if this is one: a seed means something only together with the code."""
    root = Path(__file__).parents[1]
    if not (root / ".git").exists():
        return ""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=root, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f" ({found.stdout.strip()})"
