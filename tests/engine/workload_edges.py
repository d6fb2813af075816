"""Commands whose numbers lie at the edges of what their records, and the exchange, can hold."""

from __future__ import annotations

from random import Random
from typing import Any, Final

from engine.codec import COMMAND_LAYOUTS, Layout
from engine.commands import Command, Deposit
from engine.types import AMOUNT_MAX, NOTIONAL_MAX
from tests.engine.workload import START_NS
from tests.engine.workload_special import EVERYBODY, SPECIAL_LISTING

# The least and the greatest value of each kind of number in a record.
_RANGES: Final = {
    "B": (0, (1 << 8) - 1),
    "H": (0, (1 << 16) - 1),
    "I": (0, (1 << 32) - 1),
    "Q": (0, (1 << 64) - 1),
    "i": (-(1 << 31), (1 << 31) - 1),
    "q": (-(1 << 63), (1 << 63) - 1),
}
_EDGES: Final = (
    *(-AMOUNT_MAX - 1, -AMOUNT_MAX, -1, 0, 1, 2, 3),
    *(NOTIONAL_MAX - 1, NOTIONAL_MAX, NOTIONAL_MAX + 1, AMOUNT_MAX - 1, AMOUNT_MAX, AMOUNT_MAX + 1),
)
_LAYOUTS: Final = {layout.record: layout for layout in COMMAND_LAYOUTS}
_ASSET_DECIMALS: Final = {1: 3, 2: 5, 3: 2}
# So that orders with large numbers are paid for: an eighth of the most that there can be, for each of five.
RICH_LISTING: Final[tuple[Command, ...]] = (
    *SPECIAL_LISTING,
    *(
        Deposit(0, START_NS, account_id, asset_id, AMOUNT_MAX // 8, decimals, b"rich-%d-%d" % (account_id, asset_id))
        for account_id in EVERYBODY
        for asset_id, decimals in _ASSET_DECIMALS.items()
    ),
)


def edges_of(code: str) -> list[int]:
    """Numbers at the edges of a kind of field, and inside of it."""
    least, greatest = _RANGES[code]
    return sorted({least, least + 1, greatest - 1, greatest, *(edge for edge in _EDGES if least <= edge <= greatest)})


def numbers_of(layout: Layout) -> str:
    """The kinds of numbers of a record, in their order."""
    return layout.fields.format.removeprefix("<")


def edge_record(layout: Layout, random: Random) -> Any:
    """A record of which every number is an edge or any number, and every text is of any length."""
    numbers = [
        random.choice((random.choice(edges_of(code)), random.randint(*_RANGES[code]))) for code in numbers_of(layout)
    ]
    texts = [random.randbytes(random.choice((0, 1, 7, 64, 255))) for _ in range(layout.texts)]
    return layout.make([*numbers, *texts])


def with_an_edge(command: Command, random: Random) -> Command:
    """The command with one other number, but asked by the same account at the same time."""
    codes = numbers_of(_LAYOUTS[type(command)])
    values: list[Any] = list(command)
    if len(codes) > 2:
        which = random.randrange(2, len(codes))
        values[which] = random.choice(edges_of(codes[which]))
    return type(command)(*values)
