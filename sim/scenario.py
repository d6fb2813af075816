"""Acceptance scenarios: text that a trader can read and check by hand.

A scenario is a file of blocks. A block is some commands, a line ``----``, and everything that happened::

    # Price improvement: the trade prints at the resting order's price.
    bo sells 1.5 @ 9.80 as s1
    ana buys 1 @ 10.00 as c1
    ----
    bo/s1 accepted: sell 1.500 @ 9.80, holds 1.500 GLD
    ana/c1 accepted: buy 1.000 @ 10.00, holds 10.00000 EUR
    trade 1.000 @ 9.80 = 9.80000: ana/c1 (0.000 open) from bo/s1 (0.500 open)

Lines that begin with ``#`` are for the reader. A block that begins an ``exchange with ...`` begins a *part*, which
has nothing to do with the parts before it. What cannot be done on an exchange (an hour cannot be waited for on a live
one) skips the rest of its part, and says why. REWRITE=1 in the environment of the tests writes what happened into the
files; only a difference that somebody can explain from the rule book may be kept.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

SEPARATOR: Final = "----"
NEW_EXCHANGE: Final = "exchange with "


class ScenarioError(ValueError):
    """The text is not a scenario. The message is one sentence for whoever wrote it."""


class Skipped(Exception):
    """This exchange cannot do what comes next, for the reason that the text gives."""


class Block(NamedTuple):
    """``heading`` is the text above the separator as it stands, ``commands`` the lines of it that are executed."""

    heading: list[str]
    expected: list[str]

    @property
    def commands(self) -> list[str]:
        return [line for line in self.heading if not line.startswith("#")]

    @property
    def begins_a_part(self) -> bool:
        return any(command.startswith(NEW_EXCHANGE) for command in self.commands)


class Run(NamedTuple):
    """What became of a scenario: its blocks with what happened, and why the rest of some parts was skipped.

    A block that was skipped is not among ``compared``, and stands in ``happened`` as it was expected.
    """

    happened: list[Block]
    compared: int
    parts: int
    skipped: list[str]


def read_blocks(path: Path) -> list[Block]:
    """ScenarioError if a block has no separator."""
    blocks = []
    for text in path.read_text(encoding="utf-8").strip("\n").split("\n\n"):
        lines = text.split("\n")
        if SEPARATOR not in lines:
            raise ScenarioError(f"{path.name} has a block without the line {SEPARATOR}: {lines[0]}")
        middle = lines.index(SEPARATOR)
        blocks.append(Block(lines[:middle], lines[middle + 1 :]))
    return blocks


def run_blocks(blocks: list[Block], execute: Callable[[str], list[str]]) -> Run:
    """Execute every command line, part by part."""
    happened: list[Block] = []
    skipped: list[str] = []
    parts = compared = 0
    skipping = False
    for block in blocks:
        if block.begins_a_part or not parts:
            parts, skipping = parts + 1, False
        lines: list[str] = []
        try:
            for command in block.commands if not skipping else ():
                lines += _executed(command, execute)
        except Skipped as reason:
            skipping = True
            skipped.append(str(reason))
        compared += not skipping
        happened.append(block if skipping else Block(block.heading, lines))
    return Run(happened, compared, parts, skipped)


def _executed(command: str, execute: Callable[[str], list[str]]) -> list[str]:
    try:
        return execute(command)
    except Exception as error:
        error.add_note(f"at the line: {command}")
        raise


def render_blocks(blocks: list[Block]) -> str:
    return "\n\n".join("\n".join([*block.heading, SEPARATOR, *block.expected]) for block in blocks) + "\n"


def difference(expected: list[Block], happened: list[Block]) -> list[str]:
    """The lines of a diff, none if everything happened as it was expected."""
    return list(
        difflib.unified_diff(
            render_blocks(expected).splitlines(),
            render_blocks(happened).splitlines(),
            "expected",
            "happened",
            lineterm="",
        )
    )
