"""``tally mutants``: the tests are tested.

A test that cannot fail proves nothing. Here each bug of a catalogue (``sim.mutant_catalogue``) is planted, one at a
time, and the tests that were named for it must object. It happens in a copy of the tree, with whatever has not been
committed yet; the tree itself is never touched.

First every selection of tests must pass in the unchanged copy, or its objections would mean nothing. Then per mutant::

    caught    a test failed: the one that is printed
    hang      the tests did not end in time; that would not be overlooked, so it counts as caught
    SURVIVED  the tests passed with the bug: one is missing
    BROKEN    the tests could not even be loaded: the mutant is no bug that somebody could overlook, mend it
"""

from __future__ import annotations

import contextlib
import enum
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Final, NamedTuple, TextIO

from tqdm import tqdm

from sim.mutant_catalogue import CatalogueError, Mutant, read_catalogue, table

ROOT: Final = Path(__file__).parents[1]
BASELINE_TIMEOUT_S: Final = 300.0
TIMEOUT_S_MIN: Final = 10.0
TIMEOUT_FACTOR: Final = 3.0

_PASSED, _FAILED = 0, 1  # exit codes of pytest
_OBJECTION: Final = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)


class MutationError(Exception):
    """The check cannot begin: the tree cannot be copied, or tests fail without any mutant."""


class Verdict(enum.Enum):
    """What became of one mutant."""

    CAUGHT = "caught"
    HANG = "hang"
    SURVIVED = "SURVIVED"
    BROKEN = "BROKEN"


class Result(NamedTuple):
    """``detail`` is the test that caught it, or the end of what pytest printed if it is broken."""

    mutant: Mutant
    verdict: Verdict
    detail: str
    duration_s: float

    @property
    def ok(self) -> bool:
        return self.verdict in (Verdict.CAUGHT, Verdict.HANG)


class Tree:
    """A copy of the working tree in which bugs may be planted."""

    def __init__(self, source: Path, directory: Path) -> None:
        """MutationError if git cannot list the files."""
        self.directory = directory
        for name in _files_of(source):
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, directory / name)

    def try_mutant(self, mutant: Mutant, timeout_s: float) -> Result:
        """Plant the bug, run its tests, restore the file."""
        started_s = time.monotonic()
        with self.planted(mutant):
            code, output = self.run_tests(mutant.tests, timeout_s, write_bytecode=False)
        duration_s = time.monotonic() - started_s
        if code is None:
            return Result(mutant, Verdict.HANG, f"not finished after {timeout_s:.0f} s", duration_s)
        if code == _PASSED:
            return Result(mutant, Verdict.SURVIVED, " ".join(mutant.tests), duration_s)
        objection = _OBJECTION.search(output)
        if code == _FAILED and objection is not None:
            return Result(mutant, Verdict.CAUGHT, objection[1], duration_s)
        if code < 0:
            return Result(mutant, Verdict.CAUGHT, f"the tests ended by signal {-code}", duration_s)
        return Result(mutant, Verdict.BROKEN, output[-2_000:], duration_s)

    @contextlib.contextmanager
    def planted(self, mutant: Mutant) -> Iterator[None]:
        """Within the block the copy has the bug."""
        path = self.directory / mutant.file
        original, modified_ns = path.read_text(encoding="utf-8"), path.stat().st_mtime_ns
        path.write_text(mutant.apply_to(original), encoding="utf-8")
        # Python recognizes stale bytecode by time in seconds and size: both could be the same by chance.
        os.utime(path, ns=(modified_ns, modified_ns + 3_600 * 10**9))
        try:
            yield
        finally:
            path.write_text(original, encoding="utf-8")
            os.utime(path, ns=(modified_ns, modified_ns))

    def run_tests(
        self, tests: tuple[str, ...], timeout_s: float, *, write_bytecode: bool = True
    ) -> tuple[int | None, str]:
        """Run pytest up to the first failure. Answers its exit code, None if it was stopped, and its output."""
        command = ["-m", "pytest", "-x", "--tb=no", "-rfE", "-p", "no:cacheprovider", *tests]
        return self.run_python(command, timeout_s, write_bytecode=write_bytecode)

    def run_python(
        self, arguments: list[str], timeout_s: float, *, write_bytecode: bool = False
    ) -> tuple[int | None, str]:
        """Run Python in the copy. Answers its exit code, None if it was stopped, and its output."""
        environment = {**os.environ, "PYTHONPATH": str(self.directory)}
        if not write_bytecode:
            environment["PYTHONDONTWRITEBYTECODE"] = "1"
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            return None, ""
        finally:
            _end(process)
        return process.returncode, output


def main(*, only: str | None = None, jobs: int = 1, root: Path = ROOT, print_table: bool = False) -> int:
    """Check the tests of a tree with its catalogue, or with one mutant. Answers the exit code."""
    try:
        mutants = read_catalogue(root)
        if print_table:
            print(table(mutants), end="")
            return 0
        chosen = [mutant for mutant in mutants if only in (None, mutant.name)]
        if not chosen:
            raise CatalogueError(f"there is no mutant {only}; docs/mutants.md has the list")
        return 0 if all(result.ok for result in check(chosen, root=root, jobs=jobs)) else 1
    except (CatalogueError, MutationError) as error:
        print(f"tally mutants: {error}", file=sys.stderr)
        return 1


def check(mutants: list[Mutant], *, root: Path, jobs: int = 1, out: TextIO | None = None) -> list[Result]:
    """Try every mutant and print what became of it.

    CatalogueError if one does not fit the code, MutationError if its tests fail without it.
    """
    out = out or sys.stdout
    for mutant in mutants:
        mutant.apply_to((root / mutant.file).read_text(encoding="utf-8"))
    selections = sorted({mutant.tests for mutant in mutants})
    started_s = time.monotonic()
    results: list[Result] = []
    with (
        tempfile.TemporaryDirectory(prefix="tally-mutants-") as directory,
        tqdm(total=len(selections) + len(mutants), desc="mutants", disable=None) as bar,
    ):
        trees: queue.SimpleQueue[Tree] = queue.SimpleQueue()
        for number in range(jobs):
            trees.put(Tree(root, Path(directory) / str(number)))
        timeouts_s: dict[tuple[str, ...], float] = {}
        for tests in selections:
            timeouts_s[tests] = _timeout_of_passing(trees, tests)
            bar.update()

        def attempt(mutant: Mutant) -> Result:
            tree = trees.get()
            try:
                return tree.try_mutant(mutant, timeouts_s[mutant.tests])
            finally:
                trees.put(tree)

        with ThreadPoolExecutor(jobs) as executor:
            try:
                for future in as_completed([executor.submit(attempt, mutant) for mutant in mutants]):
                    result = future.result()
                    results.append(result)
                    bar.write(_line(result), file=out)
                    bar.update()
            except BaseException:
                executor.shutdown(cancel_futures=True)
                raise
    _print_summary(results, time.monotonic() - started_s, out)
    return results


def _timeout_of_passing(trees: queue.SimpleQueue[Tree], tests: tuple[str, ...]) -> float:
    """How long a selection may take with a bug, from what it takes without one. MutationError if it fails."""
    tree = trees.get()
    started_s = time.monotonic()
    code, output = tree.run_tests(tests, BASELINE_TIMEOUT_S)
    trees.put(tree)
    if code != _PASSED:
        raise MutationError(f"without any mutant, {' '.join(tests)} does not pass:\n{output[-2_000:]}")
    return TIMEOUT_S_MIN + TIMEOUT_FACTOR * (time.monotonic() - started_s)


def _line(result: Result) -> str:
    return f"{result.verdict.value:<8}  {result.duration_s:5.1f} s  {result.mutant.name:<44}  {result.detail}"


def _print_summary(results: list[Result], duration_s: float, out: TextIO) -> None:
    caught = sum(result.ok for result in results)
    print(f"\n{caught} of {len(results)} caught, {duration_s:.0f} s", file=out)
    for result in results:
        if not result.ok:
            print(f"{result.verdict.value}  {result.mutant.name}: {result.mutant.harm}", file=out)


def _files_of(source: Path) -> list[str]:
    """What git knows and what it does not ignore, as far as it exists: the working tree without what was built."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=source,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        raise MutationError(f"git cannot list the files of {source}: {listed.stderr.strip()}")
    return [name for name in sorted(set(listed.stdout.split("\0"))) if name and (source / name).is_file()]


def _end(process: subprocess.Popen[str]) -> None:
    """End pytest and every process that its tests have started and not ended."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
