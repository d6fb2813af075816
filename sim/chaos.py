"""``tally chaos``: a cluster of real processes, traders over HTTP, and everything that can be broken from outside."""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tqdm import tqdm

from sim.chaos_report import document, text
from sim.chaos_run import Options, run
from sim.chaos_schedule import FAULTS, read_kinds
from sim.simulation_verdict import Verdict

EXIT_CODES: Final = {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.UNKNOWN: 3}  # those of `tally sim`
_SEED_BITS: Final = 31


def main(
    *,
    seed: int | None,
    minutes: float,
    faults: str | None = None,
    kills: int = 0,
    orders_per_s: int = Options.orders_per_s,
    as_json: bool = False,
    keep: Path | None = None,
) -> int:
    """Run once and print the report. Answers the exit code."""
    try:
        kinds = read_kinds(faults) if faults else list(FAULTS)
    except ValueError as error:
        print(f"tally chaos: {error}", file=sys.stderr)
        return 2
    options = Options(
        seed=secrets.randbits(_SEED_BITS) if seed is None else seed,
        minutes=minutes,
        kinds=tuple(kinds),
        kills=kills,
        orders_per_s=orders_per_s,
    )
    if keep is not None and keep.exists() and any(keep.iterdir()):
        print(f"tally chaos: {keep} is not empty: choose another folder with --keep", file=sys.stderr)
        return 2
    again = _command(options, faults)
    print(f"seed {options.seed}; repeat the schedule (never the timing): {again}", file=sys.stderr)
    folder = keep or Path(tempfile.mkdtemp(prefix="tally-chaos-"))
    kept = True
    try:
        with _progress() as progress:
            result = run(options, folder / "cluster", progress)
        kept = keep is not None or result.verdict is Verdict.FAIL
    finally:
        if kept:
            print(f"all files and logs are in {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder)
    print(json.dumps(document(options, result)) if as_json else text(options, result), flush=True)
    return EXIT_CODES[result.verdict]


def print_kinds() -> int:
    """All kinds of faults, one a line."""
    for kind, does in FAULTS.items():
        print(f"{kind:<18} {does}")
    return 0


def _command(options: Options, faults: str | None) -> str:
    length = f"--kills {options.kills}" if options.kills else f"--minutes {options.minutes:g}"
    parts = ["tally chaos", length, f"--seed {options.seed}", f"--faults {faults}" if faults else ""]
    if options.orders_per_s != Options.orders_per_s:
        parts.append(f"--orders {options.orders_per_s}")
    return " ".join(part for part in parts if part)


class _Progress:
    def __init__(self, bar: tqdm[object]) -> None:
        self._bar = bar

    def __call__(self, line: str, share: float) -> None:
        self._bar.set_description(line)
        self._bar.update(round(share * 100) - self._bar.n)


@contextlib.contextmanager
def _progress() -> Iterator[_Progress]:
    """A bar on standard error, where that is a terminal."""
    with tqdm(total=100, unit="%", leave=False, disable=None) as bar:
        yield _Progress(bar)
