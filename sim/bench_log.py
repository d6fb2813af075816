"""``tally bench log``: entries and commands per second that three replicas commit, ours beside stock pysyncobj.

Ours forces every entry to the disks of a majority before it counts as committed, over links with TLS; stock pysyncobj
writes its journal without ever forcing it, over plain TCP. Everything else is the same: three processes on this
machine, commands of 64 bytes, so many packed into an entry, so many entries under way at a time. Nothing executes the
commands. An entry counts when its proposer hears that it is committed.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from replication.local_cluster import NODE_IDS, LocalCluster, free_port

OURS: Final = "tallystick, fsync"
STOCK: Final = "pysyncobj, no fsync"
COMMAND_BYTES: Final = 64
COMMANDS_PER_ENTRY: Final = (1, 10, 100, 1_000)
IN_FLIGHT: Final = 64
RUNS: Final = 3
_ROOT: Final = Path(__file__).resolve().parent.parent
_START_LIMIT_S: Final = 60.0

Result = dict[str, Any]


class BenchFailed(Exception):
    """A replica that was to be measured ended, or committed nothing."""


def measure_log(seconds: float, *, in_flight: int = IN_FLIGHT, runs: int = RUNS) -> list[Result]:
    """Measure both with each size of entry, in turn, so many times. Rates are medians of the runs."""
    measured: dict[tuple[str, int], list[Result]] = {}
    rounds = [(system, size) for _ in range(runs) for size in COMMANDS_PER_ENTRY for system in (OURS, STOCK)]
    for system, size in tqdm(rounds, desc="log", unit="run", leave=False, disable=None):
        measured.setdefault((system, size), []).append(_measure_once(system, size, in_flight, seconds))
    return [_summary(*key, in_flight, results) for key, results in measured.items()]


def print_results(results: Sequence[Result]) -> None:
    print(
        f"{'':<22}{'commands/entry':>15}{'entries/s':>12}{'commands/s':>13}{'p50 ms':>9}{'p99 ms':>9}"
        "   entries/s of each run"
    )
    for result in results:
        runs = " ".join(f"{rate:,}" for rate in result["entries_per_s_runs"])
        print(
            f"{result['system']:<22}{result['commands_per_entry']:>15,}{result['entries_per_s']:>12,}"
            f"{result['commands_per_s']:>13,}{result['p50_ms']:>9.2f}{result['p99_ms']:>9.2f}   {runs}"
        )


def _measure_once(system: str, size: int, in_flight: int, seconds: float) -> Result:
    """Start three replicas in a fresh folder; whichever leads measures itself."""
    with tempfile.TemporaryDirectory(prefix="tally-bench-") as folder, contextlib.ExitStack() as stack:
        options = [str(size), str(in_flight), str(seconds)]
        children = [
            stack.enter_context(_child(arguments, Path(folder, f"{number}.log")))
            for number, arguments in enumerate(_arguments(system, Path(folder), options))
        ]
        deadline_s = time.monotonic() + _START_LIMIT_S + seconds
        while time.monotonic() < deadline_s:
            for number, child in enumerate(children):
                text = Path(folder, f"{number}.log").read_text()
                for line in text.splitlines():
                    if line.startswith("{") and line.endswith("}"):
                        result: Result = json.loads(line)
                        return result
                if child.poll() is not None:
                    raise BenchFailed(f"{system}: a replica ended with code {child.returncode}:\n{text[-2_000:]}")
            time.sleep(0.02)
    raise BenchFailed(f"{system}: nothing was measured within {_START_LIMIT_S + seconds:.0f} s")


def _arguments(system: str, folder: Path, options: list[str]) -> list[list[str]]:
    if system == OURS:
        with LocalCluster(folder / "cluster") as cluster:
            cluster.load()
            config_file = cluster.config_file
        return [["sim.bench_log_replica", str(config_file), node_id, *options] for node_id in NODE_IDS]
    addresses: list[str] = []
    for _ in NODE_IDS:
        addresses.append(f"127.0.0.1:{free_port(avoid=' '.join(addresses))}")
    return [
        ["sim.bench_log_stock", str(folder), ",".join([own, *(set(addresses) - {own})]), *options] for own in addresses
    ]


@contextlib.contextmanager
def _child(arguments: list[str], log_file: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log_file.open("wb") as log:
        child = subprocess.Popen([sys.executable, "-m", *arguments], cwd=_ROOT, stdout=log, stderr=log, env=os.environ)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def _summary(system: str, size: int, in_flight: int, results: list[Result]) -> Result:
    """The run of the median rate, and the rates of all."""
    ordered = sorted(results, key=lambda result: float(result["entries_per_s"]))
    median = ordered[len(ordered) // 2]
    return {
        "bench": "log",
        "system": system,
        "commands_per_entry": size,
        "entries_in_flight": in_flight,
        "entries_per_s": round(median["entries_per_s"]),
        "commands_per_s": round(median["entries_per_s"] * size),
        "p50_ms": round(median["p50_ms"], 2),
        "p99_ms": round(median["p99_ms"], 2),
        "entries_per_s_runs": [round(result["entries_per_s"]) for result in results],
    }
