"""Acceptance scenarios: text that a trader can read and check by hand.

A scenario is a file of blocks. A block is some commands, a line ``----``, and everything that happened::

    # Price improvement: the trade prints at the resting order's price.
    bo sells 1.5 @ 9.80 as s1
    ana buys 1 @ 10.00 as c1
    ----
    bo/s1 accepted: sell 1.500 @ 9.80, holds 1.500 GLD
    ana/c1 accepted: buy 1.000 @ 10.00, holds 10.00000 EUR
    trade 1.000 @ 9.80 = 9.80000 EUR: ana/c1 (0.000 open) from bo/s1 (0.500 open)

Lines that begin with ``#`` are for the reader. REWRITE=1 in the environment writes what happened into the files;
only a difference that somebody can explain from the rule book may be kept.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

SEPARATOR: Final = "----"


class Block(NamedTuple):
    """``heading`` is the text above the separator as it stands, ``commands`` the lines of it that are executed."""

    heading: list[str]
    expected: list[str]

    @property
    def commands(self) -> list[str]:
        return [line for line in self.heading if not line.startswith("#")]


def read_blocks(path: Path) -> list[Block]:
    blocks = []
    for text in path.read_text().strip("\n").split("\n\n"):
        lines = text.split("\n")
        assert SEPARATOR in lines, f"{path.name}: a block without {SEPARATOR}: {text}"
        middle = lines.index(SEPARATOR)
        blocks.append(Block(lines[:middle], lines[middle + 1 :]))
    return blocks


def run_blocks(blocks: list[Block], execute: Callable[[str], list[str]]) -> list[Block]:
    """Execute every command line. Answers the blocks with what happened in place of what was expected."""
    happened = []
    for block in blocks:
        lines: list[str] = []
        for command in block.commands:
            lines += execute(command)
        happened.append(Block(block.heading, lines))
    return happened


def render_blocks(blocks: list[Block]) -> str:
    return "\n\n".join("\n".join([*block.heading, SEPARATOR, *block.expected]) for block in blocks) + "\n"
