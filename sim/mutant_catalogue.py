"""The catalogue of planted bugs that ``tally mutants`` checks the tests with.

A mutant is a bug that somebody could write: a few lines of one file, and what stands there instead. The catalogue is
text, so that an engineer of another exchange can read it and ask for the bug that is missing. One mutant is::

    == fee-rounded-down
    The exchange loses up to a unit of every fee.
    file engine/fees.py
    tests tests/engine/test_fees.py
    -    fee_units = ceil_div(exact_ppm, FEE_SCALE)
    +    fee_units = exact_ppm // FEE_SCALE

``-`` lines are whole lines of the file and must occur there exactly once; ``+`` lines replace them. A ``-`` after a
``+`` begins a second place in the same file. ``tests`` names the fastest selection that must object. Lines that begin
with ``#`` are comments.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

CATALOGUES: Final = (
    "sim/mutants-engine.txt",
    "sim/mutants-engine-markets.txt",
    "sim/mutants-engine-accounts.txt",
    "sim/mutants-engine-state.txt",
    "sim/mutants-engine-memory.txt",
    "sim/mutants-replication.txt",
    "sim/mutants-links.txt",
    "sim/mutants-groups.txt",
    "sim/mutants-kafka.txt",
    "sim/mutants-projections.txt",
    "sim/mutants-query.txt",
    "sim/mutants-chaos.txt",
)


class CatalogueError(Exception):
    """The catalogue cannot be read, or does not fit the code any more."""


class Edit(NamedTuple):
    """Whole lines, each with its line end. ``new`` may be empty."""

    old: str
    new: str


class Mutant(NamedTuple):
    """``harm`` is one sentence about what it does to a trader, an operator or an auditor."""

    name: str
    harm: str
    file: str
    tests: tuple[str, ...]
    edits: tuple[Edit, ...]

    def apply_to(self, text: str) -> str:
        """The file with the bug in it. CatalogueError unless every place is there exactly once."""
        # With a line end in front, a line cannot be found at the end of a longer one that is indented more.
        text = "\n" + text
        for edit in self.edits:
            count = text.count("\n" + edit.old)
            if count != 1:
                raise CatalogueError(f"{self.name}: found {count} times in {self.file}, not once:\n{edit.old}")
            text = text.replace("\n" + edit.old, "\n" + edit.new)
        return text[1:]


def read_catalogue(root: Path, files: tuple[str, ...] = CATALOGUES) -> list[Mutant]:
    """All mutants of a tree, in the order of the files. CatalogueError names what is wrong with them."""
    mutants = [mutant for file in files for mutant in parse_catalogue((root / file).read_text(encoding="utf-8"))]
    names = [mutant.name for mutant in mutants]
    for name in names:
        if names.count(name) > 1:
            raise CatalogueError(f"two mutants have the name {name}")
    return mutants


def parse_catalogue(text: str) -> list[Mutant]:
    """The mutants of one file. CatalogueError if one is not complete."""
    blocks: list[list[str]] = []
    for line in text.splitlines():
        if line.startswith("== "):
            blocks.append([line.removeprefix("== ")])
        elif line and not line.startswith("#"):
            if not blocks:
                raise CatalogueError(f"this line stands before the first mutant: {line}")
            blocks[-1].append(line)
    return [_mutant(block) for block in blocks]


def table(mutants: list[Mutant]) -> str:
    """The catalogue as the table of docs/mutants.md."""
    rows = [f"| `{mutant.name}` | `{mutant.file}` | {mutant.harm} |" for mutant in mutants]
    return "\n".join(["| mutant | planted in | what it would do |", "|---|---|---|", *rows]) + "\n"


def _mutant(block: list[str]) -> Mutant:
    name, *lines = block
    changes = [line for line in lines if line[0] in "-+"]
    words = [line for line in lines if line[0] not in "-+"]
    if len(words) != 3 or not words[1].startswith("file ") or not words[2].startswith("tests "):
        raise CatalogueError(f"{name}: needed are a sentence, a `file` line and a `tests` line")
    harm, file, tests = words[0], words[1].split()[1], tuple(words[2].split()[1:])
    edits = _edits(changes)
    if not edits or not all(edit.old and edit.old != edit.new for edit in edits):
        raise CatalogueError(f"{name}: every place needs `-` lines first, and something else instead of them")
    return Mutant(name, harm, file, tests, edits)


def _edits(changes: list[str]) -> tuple[Edit, ...]:
    edits: list[Edit] = []
    previous = ""
    for change in changes:
        sign, line = change[0], change[1:] + "\n"
        if not edits or (sign == "-" and previous == "+"):
            edits.append(Edit("", ""))
        last = edits[-1]
        edits[-1] = Edit(last.old + line, last.new) if sign == "-" else Edit(last.old, last.new + line)
        previous = sign
    return tuple(edits)
