"""``tally bench engine``: how many commands a second one core executes, ledger, holds and hash chain included.

Each workload is generated first, then executed several times by a process that does nothing else, in each form of the
engine: compiled, and interpreted by Python. Rates are of whole entries: decoding, execution, events, chain.
"""

from __future__ import annotations

import json
import platform
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sim.bench_engine_child import ChildFailed, measure_in_child, why_not_compiled
from sim.bench_engine_file import write_workload
from sim.bench_engine_form import COMPILED, INTERPRETED
from sim.bench_engine_plot import PlotError, check_plotting, plot
from sim.bench_engine_results import Result, as_table
from sim.bench_engine_workloads import FILE, NAMES, NoWorkload, build
from sim.judge_reports import JudgeError

BOTH: Final = "both"
FORMS: Final = (COMPILED, INTERPRETED, BOTH)

# How many commands there are where nothing was said: the interpreted engine gets fewer. None is all there are.
_COMMANDS: Final[dict[str, dict[str, int | None]]] = {
    COMPILED: {"single": 1_000_000, "wide": 1_000_000, "deep": 1_000_000, "flash1": None},
    INTERPRETED: {"single": 200_000, "wide": 200_000, "deep": 200_000, "flash1": 400_000},
}


@dataclass(frozen=True)
class Options:
    """What was asked for. ``workload`` None is all of them, ``commands`` None what suits each."""

    workload: str | None = None
    form: str = BOTH
    commands: int | None = None
    seed: int = 1
    runs: int = 5
    file: Path | None = None
    as_json: bool = False
    plot: Path | None = None


def bench_engine(options: Options) -> int:
    """Measure and print. Answers the exit code."""
    try:
        if options.plot is not None:
            check_plotting()
        results = _measure(options)
        if options.as_json:
            machine = f"{platform.processor() or platform.machine()}, Python {platform.python_version()}"
            print(json.dumps({"results": results, "machine": machine}))
        elif results:
            print(as_table(results))
        if options.plot is not None and results:
            plot(results, options.plot)
    except (ChildFailed, JudgeError, NoWorkload, PlotError) as error:
        print(f"tally bench engine: {error}", file=sys.stderr)
        return 1
    return 0


def _measure(options: Options) -> list[Result]:
    names = list(NAMES) if options.workload is None else [options.workload]
    file = options.file or FILE
    if options.workload is None and options.file is None and not file.exists():
        names.remove("flash1")
        _say(f"flash1 is left out: {file} is not there (name a workload of that benchmark with --file).")
    forms = _forms(options.form)
    results = []
    with tempfile.TemporaryDirectory(prefix="tally-bench-") as folder:
        for name in names:
            for form in forms:
                commands = options.commands or _COMMANDS[form][name]
                path = Path(folder) / f"{name}-{commands}"
                if not path.exists():
                    write_workload(path, build(name, commands, options.seed, file))
                results.append(measure_in_child(path, form, options.runs))
    return results


def _forms(wanted: str) -> list[str]:
    """The forms to measure. ChildFailed if the only one that is wanted was not built."""
    why_interpreted = "" if wanted == INTERPRETED else why_not_compiled()
    if not why_interpreted:
        return [COMPILED, INTERPRETED] if wanted == BOTH else [wanted]
    if wanted == COMPILED:
        raise ChildFailed(f"the compiled engine cannot be measured, because {why_interpreted}")
    _say(f"only the interpreted engine is measured, because {why_interpreted}")
    return [INTERPRETED]


def _say(text: str) -> None:
    print(f"tally bench engine: {text}", file=sys.stderr)
