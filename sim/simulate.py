"""``tally sim``: run a whole cluster on virtual time, break it in every way, and say whether it kept its promises."""

from __future__ import annotations

import multiprocessing
import secrets
import shlex
import subprocess
import tempfile
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tqdm import tqdm

from engine import FORM
from sim.simulation import mixture_of
from sim.simulation_fault_file import load_ranges
from sim.simulation_faults import RANGES
from sim.simulation_report import write_report
from sim.simulation_run import Outcome, Plan, mixture_table, run_plan, story
from sim.simulation_schedule import dump_schedule, load_schedule
from sim.simulation_verdict import Verdict

EXIT_CODES: Final = {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.UNKNOWN: 3}
MINIMISE_S: Final = 30.0
_SEED_BITS: Final = 31


@dataclass(frozen=True)
class Request:
    """What the command line asks for."""

    version: str
    seed: int | None = None
    seeds: int = 1
    minutes: float = 1.0
    nodes: int = 3
    jobs: int = 1
    faults: Path | None = None
    schedule: Path | None = None
    report: Path | None = None
    minimise_s: float = MINIMISE_S
    trace_hash: bool = False
    keep: Path | None = None


def main(request: Request) -> int:
    """Run seeds until one fails. Answers the exit code of the worst.

    FaultFileError, ScheduleError or OSError if a file that the command line names cannot be used.
    """
    first = secrets.randbits(_SEED_BITS) if request.seed is None else request.seed
    plan = Plan(
        seed=first,
        seconds=request.minutes * 60,
        nodes=request.nodes,
        ranges=load_ranges(request.faults) if request.faults else RANGES,
        schedule=load_schedule(request.schedule) if request.schedule else None,
        minimise_s=request.minimise_s,
        keep=request.keep,
    )
    if request.report is not None:
        request.report.touch()  # Better now than after hours: OSError if it cannot be written.
    commit = _commit()
    print(
        f"tally {request.version}{f' ({commit})' if commit else ''}, the engine {FORM}; {request.nodes} replicas, "
        f"{request.minutes:g} virtual minutes a seed, seeds {first} to {first + request.seeds - 1}"
    )
    plans = [replace(plan, seed=first + number) for number in range(request.seeds)]
    outcomes = []
    running = _run(plans, request.jobs)
    for one in plans:
        print(f"seed {one.seed}")
        print(mixture_table(mixture_of(one.seed, one.ranges)), flush=True)
        outcomes.append(next(running))
        _print(outcomes[-1], request)
        if outcomes[-1].verdict is Verdict.FAIL:
            break
    running.close()
    if request.report is not None:
        write_report(request.report, outcomes, version=request.version, commit=commit)
        print(f"report {request.report}")
    if request.seeds > 1:
        print(_sum(outcomes, request.seeds))
    verdicts = [outcome.verdict for outcome in outcomes]
    worst = next(verdict for verdict in (Verdict.FAIL, Verdict.UNKNOWN, Verdict.PASS) if verdict in verdicts)
    return EXIT_CODES[worst]


def _run(plans: Sequence[Plan], jobs: int) -> Generator[Outcome, None, None]:
    """The outcomes in the order of the seeds, however many are run at once. Whoever has enough just stops asking."""
    seconds = sum(plan.seconds for plan in plans)
    with tqdm(total=round(seconds), unit="s", desc="virtual time", leave=False, disable=None) as bar:
        if jobs == 1:
            for plan in plans:
                yield run_plan(plan, bar.update)
            return
        with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as executor:
            try:
                for outcome in executor.map(run_plan, plans):
                    bar.update(outcome.plan.seconds)
                    yield outcome
            finally:
                executor.shutdown(wait=False, cancel_futures=True)


def _print(outcome: Outcome, request: Request) -> None:
    print(story(outcome), flush=True)
    if outcome.verdict is Verdict.FAIL:
        print("\n".join(f"    {line}" for line in outcome.last_lines))
        _print_minimised(outcome, request)
        print(f"repeat it: {command(outcome.plan.seed, request)}")
    if request.trace_hash:
        print(f"trace {outcome.trace_hash}")


def _print_minimised(outcome: Outcome, request: Request) -> None:
    """The faults that are enough, and a file with them."""
    found = outcome.minimised
    if found is None:
        return
    if found.runs == 0:
        print("the same faults one by one did not make it fail again, so there are not fewer to tell of")
        return
    if not found.strikes:
        print("it fails although nothing goes wrong")
    schedule = dump_schedule(found.strikes, f"seed {outcome.plan.seed}: {outcome.reason}")
    with tempfile.NamedTemporaryFile(
        "w", prefix=f"tally-sim-{outcome.plan.seed}-", suffix=".toml", delete=False, encoding="utf-8"
    ) as file:
        file.write(schedule)
    known = "none of them can be left out" if found.is_minimal else "perhaps fewer would do: --minimise-s was over"
    print(f"{len(found.strikes)} of {len(outcome.strikes)} faults are enough ({found.runs} runs; {known}):")
    for strike in found.strikes:
        print(f"    {strike.at_s:.6f} {strike.kind} {strike.node} {strike.detail}".rstrip())
    print(f"with these alone: {command(outcome.plan.seed, replace(request, schedule=Path(file.name)))}")


def command(seed: int, request: Request) -> str:
    """The command line that runs this one seed again."""
    words = ["tally", "sim", "--seed", str(seed), "--minutes", f"{request.minutes:g}", "--nodes", str(request.nodes)]
    if request.faults is not None:
        words += ["--faults", str(request.faults)]
    if request.schedule is not None:
        words += ["--schedule", str(request.schedule)]
    return shlex.join(words)


def _sum(outcomes: Sequence[Outcome], asked: int) -> str:
    verdicts = [outcome.verdict for outcome in outcomes]
    counted = ", ".join(f"{verdicts.count(verdict)} {verdict.value}" for verdict in Verdict)
    virtual_s, cpu_s = sum(o.virtual_s for o in outcomes), sum(o.cpu_s for o in outcomes)
    return (
        f"{len(outcomes)} of {asked} seeds: {counted}; {virtual_s / 3600:.2f} virtual hours, "
        f"{virtual_s / cpu_s:.0f} times faster than real time"
    )


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
    return found.stdout.strip()
