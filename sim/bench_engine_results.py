"""From what was measured to figures with names, and to a table."""

from __future__ import annotations

import statistics
from typing import Any, Final

from sim.bench_engine_measure import STATE_HASH_EVERY_COMMANDS, Measured, Phase
from sim.bench_engine_workloads import COMMANDS_PER_ENTRY, Workload

REPLICATION_SHARE_MAX: Final = 0.25  # what chain, archive and state hashes may take of the engine's time

Result = dict[str, Any]


def result_of(workload: Workload, measured: Measured, runs: int) -> Result:
    """The figures of one workload in one form. Times are in microseconds a batch, shares in parts of one.

    ``memory_bytes`` is for each command, or for each order that rests (``memory_of``). Percentiles are of the batches
    of all runs together.
    """
    costs = measured.costs
    resting = workload.resting
    result: Result = {
        "workload": workload.name,
        "form": measured.form,
        "seed": workload.seed,
        "commands": workload.commands,
        "runs": runs,
        "batch": COMMANDS_PER_ENTRY,
        **_rates(measured.main, workload.commands, "commands_per_s"),
        "ns_per_command": round(statistics.median(measured.main.totals_ns) / workload.commands),
        **_percentiles(measured.main),
        "memory_bytes": round(measured.memory_bytes / (resting or workload.commands)),
        "memory_of": "resting order" if resting else "command",
        "trades": costs.trades,
        "trading_share": round(costs.commands_that_trade / costs.commands, 4),
        "chain_share": round(costs.chain_ns / costs.apply_ns, 4),
    }
    if workload.sweeps:
        result |= {
            "sweep_commands": len(workload.sweeps),
            "sweep_trades": costs.trades,
            **_rates(measured.sweeps, costs.trades, "sweep_trades_per_s"),
            **{f"sweep_{name}": value for name, value in _percentiles(measured.sweeps).items()},
        }
    if workload.name == "single":
        replication_ns = costs.chain_ns + costs.archive_ns + costs.state_hash_ns
        result |= {
            "archive_share": round(costs.archive_ns / costs.apply_ns, 4),
            "state_hash_share": round(costs.state_hash_ns / costs.apply_ns, 4),
            "replication_share": round(replication_ns / costs.apply_ns, 4),
        }
    return result


_HEADINGS: Final = (
    *("workload", "form", "commands/s", "lowest", "highest", "ns each"),
    *("p50 us", "p99 us", "p99.9 us", "max us", "trade %", "bytes", "chain %"),
)


def as_table(results: list[Result]) -> str:
    """A line for each workload and form, and the remarks that belong to them."""
    rows = [_HEADINGS, *(_row(result) for result in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    lines = ["  ".join(_aligned(row, widths)).rstrip() for row in rows]
    remarks = [remark for result in results for remark in _remarks(result)]
    return "\n".join([*lines, "", _legend(), *remarks])


def _row(result: Result) -> tuple[str, ...]:
    return (
        result["workload"],
        result["form"],
        *(f"{result[name]:,}" for name in ("commands_per_s", "commands_per_s_min", "commands_per_s_max")),
        f"{result['ns_per_command']:,}",
        *(f"{result[name]:,}" for name in ("p50_us", "p99_us", "p99_9_us", "max_us")),
        f"{100 * result['trading_share']:.1f}",
        f"{result['memory_bytes']:,}",
        f"{100 * result['chain_share']:.1f}",
    )


def _aligned(row: tuple[str, ...], widths: list[int]) -> list[str]:
    return [
        text.ljust(width) if column < 2 else text.rjust(width)
        for column, (text, width) in enumerate(zip(row, widths, strict=True))
    ]


def _legend() -> str:
    return (
        f"Times are of batches of {COMMANDS_PER_ENTRY} commands; bytes: memory for each command (deep: for each order "
        "that rests); chain: hashing the entries, as part of the engine's time."
    )


def _remarks(result: Result) -> list[str]:
    name = f"{result['workload']}, {result['form']}"
    remarks = [f"{name}: {result['commands']:,} commands, median of {result['runs']} runs."]
    if "sweep_commands" in result:
        remarks.append(
            f"{name}: {result['sweep_commands']:,} large orders then take all of it in {result['sweep_trades']:,} "
            f"trades: {result['sweep_trades_per_s']:,} trades/s ({result['sweep_trades_per_s_min']:,} to "
            f"{result['sweep_trades_per_s_max']:,}); one such order p50 {result['sweep_p50_us']:,} us, "
            f"max {result['sweep_max_us']:,} us."
        )
    if "replication_share" in result:
        remarks.append(
            f"{name}: chain {_percent(result['chain_share'])}, archive (without fsync) "
            f"{_percent(result['archive_share'])} and a state hash every {STATE_HASH_EVERY_COMMANDS:,} commands "
            f"{_percent(result['state_hash_share'])} take together {_percent(result['replication_share'])} of the "
            f"engine's time (promised: at most {_percent(REPLICATION_SHARE_MAX)})."
        )
    return remarks


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _rates(phase: Phase, count: int, name: str) -> Result:
    """Median, lowest and highest rate of the runs."""
    rates = [count * 1e9 / total_ns for total_ns in phase.totals_ns]
    return {
        name: round(statistics.median(rates)),
        f"{name}_min": round(min(rates)),
        f"{name}_max": round(max(rates)),
    }


def _percentiles(phase: Phase) -> Result:
    times_ns = phase.sorted_ns

    def at(share: float) -> float:
        return round(times_ns[min(int(len(times_ns) * share), len(times_ns) - 1)] / 1e3, 1)

    return {"p50_us": at(0.5), "p99_us": at(0.99), "p99_9_us": at(0.999), "max_us": at(1.0)}
