"""The whole language of the scenarios: what operators say about markets (``sim.market_language``) and about everything
else (``sim.operator_language``), and what traders say (``sim.trader_language``). All lines have some options in common
(``sim.phrases``). The lines about the scenario's own world are those of ``sim.stage``.
"""

from __future__ import annotations

from typing import Final

from sim.market_language import MARKET_PHRASES
from sim.operator_language import OPERATOR_PHRASES
from sim.phrases import Asked, World, read_line
from sim.trader_language import TRADER_PHRASES

# An operator's lines come first: `operator cancels all` is not what a trader says.
PHRASES: Final = MARKET_PHRASES + OPERATOR_PHRASES + TRADER_PHRASES


def parse_command(line: str, world: World) -> Asked:
    """The command behind a line. ScenarioError if it is none."""
    return read_line(line, PHRASES, world)
