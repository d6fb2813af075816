"""One run of ``tally chaos``: load, faults, recoveries, and at the end all checks."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from replication.local_cluster import NODE_IDS
from sim.chaos_checks import Seen, check_files, check_replicas
from sim.chaos_cluster import ChaosCluster, NotRecovered
from sim.chaos_disks import SmallDisks
from sim.chaos_intruders import NotRefused
from sim.chaos_nemesis import Nemesis, Struck
from sim.chaos_schedule import KILL_LEADER, Planned, schedule
from sim.chaos_traders import PLACE, Acknowledgements, Books, Trader, open_traders
from sim.client import ClientError
from sim.simulation_verdict import Verdict

TRADERS: Final = 4
ACKNOWLEDGED_MIN: Final = 100
_QUIET_S: Final = 1.0  # of trade before the first fault, and after the last one


@dataclass(frozen=True)
class Options:
    """Either so many ``minutes`` of all ``kinds``, or ``kills`` of the leader and nothing else."""

    seed: int
    minutes: float
    kinds: tuple[str, ...]
    kills: int = 0
    orders_per_s: int = 100


@dataclass
class Result:
    """``complaints`` are broken promises, each a sentence; ``gaps_s`` is the time without service of each fault."""

    struck: list[Struck] = field(default_factory=list)
    gaps_s: list[float] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    restarts: list[str] = field(default_factory=list)
    books: list[Books] = field(default_factory=list)
    replicas: list[dict[str, Any]] = field(default_factory=list)
    acknowledged: int = 0
    disk: str = ""
    duration_s: float = 0.0

    @property
    def injected(self) -> int:
        return sum(not struck.skipped for struck in self.struck)

    @property
    def verdict(self) -> Verdict:
        if self.complaints:
            return Verdict.FAIL
        if self.acknowledged < ACKNOWLEDGED_MIN or not self.injected:
            return Verdict.UNKNOWN
        return Verdict.PASS

    def count(self, what: str) -> int:
        """``asked``, ``orders``, ``gave_up`` (left unanswered until the end) or ``repeats`` over all traders."""
        asked = [one for books in self.books for one in books.asked]
        return {
            "asked": len(asked),
            "orders": sum(one.kind == PLACE for one in asked),
            "gave_up": sum(one.gave_up for one in asked),
            "repeats": sum(one.sent - 1 for one in asked),
        }[what]


def run(options: Options, directory: Path, progress: Callable[[str, float], object]) -> Result:
    """Start a cluster in this folder, break it, and check. ``progress`` gets a line and the share of the run so far."""
    begun_s = time.monotonic()
    result, served, seen = Result(), Acknowledgements(), list[Seen]()
    with ChaosCluster(directory, options.seed) as cluster:
        directories = [cluster.data_dir(node_id) for node_id in NODE_IDS]
        with SmallDisks(directories) as disks:
            result.disk = f"RLIMIT_FSIZE ({disks.why_not})" if disks.why_not else "a tmpfs for each replica"
            try:
                cluster.start_processes()
                traders = open_traders(cluster.operator(), TRADERS, options.orders_per_s, options.seed, served)
                result.books = [trader.books for trader in traders]
                nemesis = Nemesis(cluster, disks)
                _trade(options, cluster, nemesis, traders, result, seen, progress)
                progress("asking what became of everything", 1.0)
                for trader in traders:
                    trader.settle()
                result.replicas = cluster.agreed_replicas()
                result.complaints += check_replicas(result.replicas)
            except (NotRecovered, NotRefused, ClientError, AssertionError) as fault:
                result.complaints.append(f"{type(fault).__name__}: {fault}")
            finally:
                cluster.stop_processes()
            result.restarts = cluster.restarts
    result.acknowledged = len(served.times_s)
    result.gaps_s = [served.longest_gap_s(one.begun_s, one.recovered_s) for one in result.struck if not one.skipped]
    if result.replicas:
        progress("executing all archives again", 1.0)
        result.complaints += check_files(directories, result.replicas, seen, result.books)
    result.duration_s = time.monotonic() - begun_s
    return result


def _trade(
    options: Options,
    cluster: ChaosCluster,
    nemesis: Nemesis,
    traders: list[Trader],
    result: Result,
    seen: list[Seen],
    progress: Callable[[str, float], object],
) -> None:
    """Let the traders trade and the nemesis strike until the time is over or all kills are done."""
    begun_s = time.monotonic()
    for trader in traders:
        trader.start()
    try:
        time.sleep(_QUIET_S)
        for planned in _plan(options):
            elapsed_s = time.monotonic() - begun_s
            if not options.kills and elapsed_s >= options.minutes * 60:
                break
            share = (planned.number - 1) / options.kills if options.kills else elapsed_s / (options.minutes * 60)
            progress(f"{planned.number} {planned.kind}", share)
            time.sleep(planned.pause_s)
            result.struck.append(nemesis.strike(planned))
            seen += [
                Seen(str(one["node"]), one["sequence"], one["chain"])
                for one in cluster.try_replicas()
                if one["reachable"]
            ]
        time.sleep(_QUIET_S)
    finally:
        failures = []
        for trader in traders:
            try:
                trader.stop()
            except BaseException as failure:
                failures.append(failure)
    if failures:
        raise failures[0]


def _plan(options: Options) -> Iterator[Planned]:
    if options.kills:
        return itertools.islice(schedule(options.seed, [KILL_LEADER]), options.kills)
    return schedule(options.seed, options.kinds)
