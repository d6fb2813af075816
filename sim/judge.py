"""``tally judge``: what the engine makes of a workload of the public matching-engine benchmark.

The benchmark (flash1-dev/matching-engine-benchmark) has workloads and, for each, the SHA-256 of the reports that a
correct engine gives. Here the whole engine executes them, with ledger, holds, receipts and chain. The rate of the
engine is of the time inside ``Machine.apply`` alone; the total also has reading the file, making the commands and
hashing the reports.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

from tqdm import tqdm

from engine.machine import Machine
from replication.replica import keep_collector_quiet
from sim.bench_engine_form import running_form
from sim.judge_reports import JudgeError, ReportStream
from sim.judge_run import Judge, Keep, Verdict
from sim.judge_workload import Workload, WorkloadError, read_workload


def main(
    file: Path,
    *,
    limit: int | None = None,
    expect: str | None = None,
    reports: Path | None = None,
    as_json: bool = False,
) -> int:
    """Judge a file and print the verdict. Answers the exit code: 1 also where the hash is not the expected one."""
    started_ns = time.perf_counter_ns()
    try:
        workload = read_workload(file, limit)
        if reports is None:
            verdict = judge(workload)
        else:
            with reports.open("wb") as copy:
                verdict = judge(workload, copy=copy)
    except (WorkloadError, JudgeError) as error:
        print(f"tally judge: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"tally judge: {reports} cannot be written: {error.strerror or error}", file=sys.stderr)
        return 1
    document = describe(workload, verdict, time.perf_counter_ns() - started_ns)
    print(json.dumps({"results": [document]}) if as_json else as_text(document))
    if expect is not None and expect.lower() != verdict.sha256:
        print(f"tally judge: the hash of the reports is not the expected {expect.lower()}", file=sys.stderr)
        return 1
    return 0


def judge(workload: Workload, *, copy: BinaryIO | None = None, keep: Keep | None = None) -> Verdict:
    """Execute a workload on a new engine. ``copy`` gets the report stream, ``keep`` the records of each entry.

    JudgeError if the engine or the workload does what the benchmark's rules do not know.
    """
    stream = ReportStream(copy)
    run = Judge(Machine(), workload, stream, keep)
    run.set_up()
    keep_collector_quiet()
    try:
        with tqdm(total=workload.count, unit="message", unit_scale=True, desc="judge", disable=None) as progress:
            return run.run(progress.update)
    finally:
        gc.unfreeze()


def describe(workload: Workload, verdict: Verdict, total_ns: int) -> dict[str, Any]:
    """What is printed, by name."""
    return {
        "workload": workload.name,
        "form": running_form(),
        "messages": verdict.messages,
        "commands": verdict.commands,
        "entries": verdict.entries,
        "reports": verdict.reports,
        "trades": verdict.trades,
        "sha256": verdict.sha256,
        "chain": verdict.chain.hex(),
        "engine_s": round(verdict.engine_ns / 1e9, 3),
        "engine_messages_per_s": _per_second(verdict.messages, verdict.engine_ns),
        "total_s": round(total_ns / 1e9, 3),
        "total_messages_per_s": _per_second(verdict.messages, total_ns),
    }


def as_text(document: dict[str, Any]) -> str:
    """The same for people."""
    return "\n".join(
        (
            f"workload   {document['workload']}: {document['messages']:,} messages",
            f"engine     {document['form']}: {document['engine_messages_per_s']:,} messages/s "
            f"({document['engine_s']:.1f} s for {document['commands']:,} commands in {document['entries']:,} entries)",
            f"total      {document['total_messages_per_s']:,} messages/s ({document['total_s']:.1f} s)",
            f"reports    {document['reports']:,}, of them {document['trades']:,} trades",
            f"sha256     {document['sha256']}",
            f"chain      {document['chain']}",
        )
    )


def _per_second(count: int, duration_ns: int) -> int:
    return round(count * 1e9 / duration_ns) if duration_ns else 0
