"""What a run of ``tally chaos`` prints: a line for each fault, the times without service, and the verdict."""

from __future__ import annotations

import statistics
from typing import Any, Final

from sim.chaos_run import Options, Result
from sim.simulation_verdict import Verdict

_BOUNDS_S: Final = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
_BAR_MAX: Final = 50
COMPLAINTS_SHOWN: Final = 20


def text(options: Options, result: Result) -> str:
    """The whole report."""
    lines = ["", f"{'':>4} {'fault':<18} {'no service':>10}  what"]
    gaps = iter(result.gaps_s)
    for struck in result.struck:
        gap = "-" if struck.skipped else f"{next(gaps):.2f} s"
        what = f"skipped: {struck.skipped}" if struck.skipped else struck.what
        lines.append(f"{struck.planned.number:>4} {struck.planned.kind:<18} {gap:>10}  {what}")
    lines += ["", "longest time without an acknowledgement, by fault", *histogram(result.gaps_s), ""]
    counts = (
        f"{result.count('orders')} orders; {result.acknowledged} acknowledged, {result.count('repeats')} sent again"
    )
    lines += [
        f"load        {result.count('asked')} requests, {counts}",
        f"unknown     {result.count('gave_up')} outcomes that were asked for at the end, and are known now",
        f"faults      {result.injected} injected, {len(result.struck) - result.injected} skipped",
        f"full disks  {result.disk}",
        f"history     {result.replicas[0]['sequence'] if result.replicas else 'not reached'}"
        + (f", chain {result.replicas[0]['chain'][:16]}, equal on all replicas" if _equal(result) else ""),
    ]
    if result.restarts:
        lines.append(f"ended by itself and was started again: {'; '.join(result.restarts)}")
    lines += [f"broken      {complaint}" for complaint in result.complaints[:COMPLAINTS_SHOWN]]
    if len(result.complaints) > COMPLAINTS_SHOWN:
        lines.append(f"            and {len(result.complaints) - COMPLAINTS_SHOWN} more")
    lines.append(f"{result.verdict.value}{_because(result)} (seed {options.seed}, {result.duration_s:.0f} s)")
    return "\n".join(lines)


def histogram(gaps_s: list[float]) -> list[str]:
    """How many faults cost how long, one line for each range that has any."""
    if not gaps_s:
        return ["  none"]
    counts = [0] * (len(_BOUNDS_S) + 1)
    for gap_s in gaps_s:
        counts[sum(gap_s > bound for bound in _BOUNDS_S)] += 1
    last = max(index for index, count in enumerate(counts) if count)
    lines = []
    for index, count in enumerate(counts[: last + 1]):
        label = f"up to {_BOUNDS_S[index]:g} s" if index < len(_BOUNDS_S) else "longer"
        bar = "#" * -(-count * _BAR_MAX // max(counts))
        lines.append(f"  {label:<12} {count:>5} {bar}".rstrip())
    lines.append(f"  median {statistics.median(gaps_s):.2f} s, longest {max(gaps_s):.2f} s")
    return lines


def document(options: Options, result: Result) -> dict[str, Any]:
    """The same for programs."""
    gaps = iter(result.gaps_s)
    return {
        "seed": options.seed,
        "verdict": result.verdict.value,
        "complaints": result.complaints,
        "duration_s": round(result.duration_s, 1),
        "requests": result.count("asked"),
        "orders": result.count("orders"),
        "acknowledged": result.acknowledged,
        "sent_again": result.count("repeats"),
        "outcomes_asked_for": result.count("gave_up"),
        "full_disk": result.disk,
        "restarts": result.restarts,
        "sequence": result.replicas[0]["sequence"] if result.replicas else None,
        "faults": [
            {
                "number": struck.planned.number,
                "kind": struck.planned.kind,
                "what": struck.what,
                "skipped": struck.skipped,
                "without_service_s": None if struck.skipped else round(next(gaps), 3),
            }
            for struck in result.struck
        ],
    }


def _equal(result: Result) -> bool:
    return len({(one["sequence"], one["chain"], one["state_hash"]) for one in result.replicas}) == 1


def _because(result: Result) -> str:
    if result.verdict is Verdict.FAIL:
        return f": {len(result.complaints)} promises broken"
    if result.verdict is Verdict.UNKNOWN:
        return ": too little was acknowledged, or nothing went wrong"
    return ""
