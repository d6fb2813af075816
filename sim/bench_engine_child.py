"""The process that measures: one workload, in the form of the engine that the environment asks for.

``python -m sim.bench_engine_child WORKLOAD RUNS`` prints its result as JSON; without arguments it prints why the engine
does not run compiled, or nothing if it does.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

from engine import FORM
from sim.bench_engine_file import load_workload
from sim.bench_engine_form import COMPILED, environment_for
from sim.bench_engine_measure import measure
from sim.bench_engine_results import Result, result_of

_ROOT: Final = Path(__file__).resolve().parent.parent


class ChildFailed(Exception):
    """The measuring process ended without a result."""


def why_not_compiled() -> str:
    """Why a child that may run the compiled form runs the interpreted one; empty if it does not."""
    return _child(COMPILED, []).strip()


def measure_in_child(file: Path, form: str, runs: int) -> Result:
    """Measure a workload file in a process of its own."""
    result: Result = json.loads(_child(form, [str(file), str(runs)]))
    return result


def _child(form: str, arguments: list[str]) -> str:
    completed = subprocess.run(
        [sys.executable, "-m", "sim.bench_engine_child", *arguments],
        cwd=_ROOT,
        env=environment_for(form),
        stdout=subprocess.PIPE,
        text=True,
    )
    if completed.returncode:
        raise ChildFailed(f"the process that measures ended with code {completed.returncode}")
    return completed.stdout


def main(arguments: list[str]) -> None:
    if not arguments:
        print(FORM.why_interpreted)
        return
    workload, runs = load_workload(Path(arguments[0])), int(arguments[1])
    print(json.dumps(result_of(workload, measure(workload, runs), runs)))


if __name__ == "__main__":
    main(sys.argv[1:])
