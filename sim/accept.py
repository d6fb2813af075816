"""``tally accept``: play the acceptance scenarios on a running exchange, and say which of them it passes.

Every scenario makes accounts, assets and markets of its own, so it can be run against any exchange with an operator's
key, again and again, while others trade there. Nothing that exists is touched; what a scenario made stays behind. What
a live exchange cannot be asked for (an hour to pass, a request signed yesterday) is skipped and listed with the reason.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path
from typing import Final, NamedTuple

from tqdm import tqdm

from sim.client import Client, ClientError, Credentials, OutcomeUnsettled, RequestRefused
from sim.http_driver import HttpDriver
from sim.scenario import Block, Run, ScenarioError, difference, read_blocks, run_blocks
from sim.stage import Stage

BUNDLED: Final = Path(__file__).resolve().parent.parent / "tests" / "acceptance"
PASSED: Final = "passed"
FAILED: Final = "failed"
SKIPPED: Final = "skipped"


class Verdict(NamedTuple):
    """Of one scenario. ``reasons`` tell why parts of it were skipped, ``diff`` how it failed."""

    name: str
    result: str
    reasons: list[str]
    parts: int
    diff: list[str]


def main(files: list[Path], *, url: str, data_dir: Path, list_only: bool = False) -> int:
    """Run scenarios, the bundled ones if none are named, and print a line for each. Answers the exit code.

    It is 0 only if something was checked, and nothing failed.
    """
    try:
        scenarios = [(path.stem, read_blocks(path)) for path in files or bundled_files()]
        if list_only:
            for name, blocks in scenarios:
                print(f"{name}: {_first_remark(blocks)}")
            return 0
        operator = Client(url, Credentials.load(data_dir))
        begun_s = time.monotonic()
        verdicts = accept(operator, scenarios)
    except (ClientError, ScenarioError) as error:
        print(f"tally accept: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        raise
    except OSError as error:
        print(f"tally accept: {error.filename} cannot be read: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ntally accept: stopped.", file=sys.stderr)
        return 130
    counts = Counter(verdict.result for verdict in verdicts)
    summary = ", ".join(f"{counts[result]} {result}" for result in (PASSED, FAILED, SKIPPED))
    print(f"{summary} in {time.monotonic() - begun_s:.1f} s")
    return 0 if counts[PASSED] and not counts[FAILED] else 1


def accept(operator: Client, scenarios: list[tuple[str, list[Block]]]) -> list[Verdict]:
    """Play each scenario, and print its line as soon as it is over."""
    verdicts = []
    driver = HttpDriver(operator)
    try:
        with tqdm(scenarios, unit="scenario", desc="accept", disable=None, leave=False) as progress:
            for name, blocks in progress:
                progress.set_postfix_str(name)
                try:
                    verdict = judge(name, blocks, run_blocks(blocks, Stage(driver).run_line))
                except (OutcomeUnsettled, RequestRefused, ScenarioError) as error:
                    verdict = Verdict(name, FAILED, [], 0, [str(error), *error.__notes__])
                    operator.request("GET", "/readyz").expect()  # is it that scenario's trouble, or everybody's?
                verdicts.append(verdict)
                progress.write("\n".join(describe(verdict)), file=sys.stdout)
    finally:
        driver.close()
    return verdicts


def judge(name: str, blocks: list[Block], run: Run) -> Verdict:
    """A scenario of which nothing could be compared is skipped: that nothing was wrong with it proves nothing."""
    diff = difference(blocks, run.happened)
    if diff:
        return Verdict(name, FAILED, run.skipped, run.parts, diff)
    return Verdict(name, PASSED if run.compared else SKIPPED, run.skipped, run.parts, [])


def describe(verdict: Verdict) -> list[str]:
    """The lines that are printed for one scenario."""
    reasons = "; ".join(dict.fromkeys(verdict.reasons))
    if verdict.result == SKIPPED:
        return [f"{SKIPPED} {verdict.name}: {reasons}"]
    but = f" (the rest of {len(verdict.reasons)} of {verdict.parts} parts skipped: {reasons})" if reasons else ""
    return [f"{verdict.result}  {verdict.name}{but}", *(f"    {line}" for line in verdict.diff)]


def bundled_files() -> list[Path]:
    """The scenarios of this project. ScenarioError if they are not where the source tree has them."""
    files = sorted(BUNDLED.glob("*.txt"))
    if not files:
        raise ScenarioError(f"there are no scenarios in {BUNDLED}; name their files")
    return files


def _first_remark(blocks: list[Block]) -> str:
    remarks = [line.removeprefix("# ") for block in blocks for line in block.heading if line.startswith("#")]
    return remarks[0] if remarks else ""
