"""``tally mutants --with sim``: the simulator is tested.

Each bug of a list (``sim/mutants-simulator.txt``) is planted as for the tests, but no test is run that was written for
it: ``tally sim`` must find it with a few seeds, knowing nothing of it. First all seeds must pass without any bug.
"""

from __future__ import annotations

import queue
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple, TextIO

from tqdm import tqdm

from sim.mutant_catalogue import CatalogueError, Mutant, read_catalogue
from sim.mutants import ROOT, MutationError, Tree

NAMES: Final = "sim/mutants-simulator.txt"
FAULTS: Final = "configs/sim-trouble.toml"
SEEDS: Final = 20
MINUTES: Final = 0.15
TIMEOUT_S: Final = 600.0

_SEED: Final = re.compile(r"^seed (\d+)$", re.MULTILINE)
_FAILED: Final = re.compile(r"^  fail: (.*)$", re.MULTILINE)
_CODES: Final = {"pass": 0, "fail": 1, "unknown": 3}


class Found(NamedTuple):
    """``seeds`` is how many it took, 0 if none found it. ``reason`` is the promise that was broken."""

    mutant: Mutant
    seeds: int
    reason: str
    duration_s: float


def main(*, only: str | None = None, jobs: int = 1, root: Path = ROOT, out: TextIO | None = None) -> int:
    """Plant each bug of the list, or one, and let the simulator look for it. Answers the exit code."""
    try:
        mutants = named(root)
        chosen = [mutant for mutant in mutants if only in (None, mutant.name)]
        if not chosen:
            raise CatalogueError(f"{NAMES} has no mutant {only}")
        return 0 if all(found.seeds for found in search(chosen, root=root, jobs=jobs, out=out)) else 1
    except (CatalogueError, MutationError) as error:
        print(f"tally mutants: {error}", file=sys.stderr)
        return 1


def named(root: Path) -> list[Mutant]:
    """The bugs of the list, in its order. CatalogueError if no catalogue has one of them."""
    known = {mutant.name: mutant for mutant in read_catalogue(root)}
    lines = (root / NAMES).read_text(encoding="utf-8").splitlines()
    names = [line for line in lines if line and not line.startswith("#")]
    for name in names:
        if name not in known:
            raise CatalogueError(f"{NAMES}: no catalogue has a mutant {name}")
    return [known[name] for name in names]


def search(mutants: list[Mutant], *, root: Path, jobs: int = 1, out: TextIO | None = None) -> list[Found]:
    """What the simulator finds. MutationError if it finds something without any bug."""
    out = out or sys.stdout
    started_s, results = time.monotonic(), []
    with (
        tempfile.TemporaryDirectory(prefix="tally-mutants-") as directory,
        tqdm(total=1 + len(mutants), desc="mutants", disable=None) as bar,
    ):
        trees: queue.SimpleQueue[Tree] = queue.SimpleQueue()
        for number in range(jobs):
            tree = Tree(root, Path(directory) / str(number))
            _copy_compiled(root, tree.directory)
            trees.put(tree)
        tree = trees.get()
        code, output = _simulate(tree)
        trees.put(tree)
        if code not in (_CODES["pass"], _CODES["unknown"]):
            raise MutationError(f"without any mutant the simulator does not pass:\n{output[-2_000:]}")
        bar.update()

        def attempt(mutant: Mutant) -> Found:
            tree = trees.get()
            try:
                return _try(tree, mutant)
            finally:
                trees.put(tree)

        with ThreadPoolExecutor(jobs) as executor:
            for found in executor.map(attempt, mutants):
                results.append(found)
                bar.write(_line(found), file=out)
                bar.update()
    count = sum(found.seeds > 0 for found in results)
    print(f"\n{count} of {len(results)} found, {time.monotonic() - started_s:.0f} s", file=out)
    return results


def _try(tree: Tree, mutant: Mutant) -> Found:
    started_s = time.monotonic()
    with tree.planted(mutant):
        if mutant.file.startswith("engine/"):
            with _interpreted(tree.directory):
                code, output = _simulate(tree)
        else:
            code, output = _simulate(tree)
    seeds, failed = len(_SEED.findall(output)), _FAILED.search(output)
    if code is None:
        return Found(mutant, seeds, f"a run did not end within {TIMEOUT_S:.0f} s", time.monotonic() - started_s)
    if code == _CODES["fail"] and failed is None:
        raise MutationError(f"{mutant.name} is no bug that could be overlooked:\n{output[-2_000:]}")
    reason = failed[1] if code == _CODES["fail"] and failed is not None else ""
    return Found(mutant, seeds if reason else 0, reason, time.monotonic() - started_s)


def _simulate(tree: Tree) -> tuple[int | None, str]:
    command = ["tally.py", "sim", "--seed", "1", "--seeds", str(SEEDS), "--minutes", f"{MINUTES:g}"]
    return tree.run_python([*command, "--faults", FAULTS, "--minimise-s", "0"], TIMEOUT_S)


def _line(found: Found) -> str:
    what = f"{found.seeds:3} seeds" if found.seeds else "NOT FOUND"
    return f"{what:<9}  {found.duration_s:6.1f} s  {found.mutant.name:<44}  {found.reason}"


def _compiled(directory: Path) -> list[Path]:
    return [*(directory / "engine").glob("*.so"), *(directory / "engine").glob("compiled.json")]


def _copy_compiled(root: Path, directory: Path) -> None:
    """Git does not list what was compiled; with it a copy is several times faster."""
    for path in _compiled(root):
        shutil.copy2(path, directory / "engine" / path.name)


@contextmanager
def _interpreted(directory: Path) -> Iterator[None]:
    """Within the block the copy has no compiled engine: a bug in its source would not be in that."""
    moved = {path: path.with_suffix(path.suffix + ".aside") for path in _compiled(directory)}
    for path, aside in moved.items():
        path.rename(aside)
    try:
        yield
    finally:
        for path, aside in moved.items():
            aside.rename(path)
