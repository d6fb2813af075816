"""An operator in the simulation, who replaces a member as docs/operations.md says, whatever goes wrong meanwhile.

The member is removed through the leader's desk; its process is ended and its folder moved away; it is added again, as
a new member with an empty disk, and started. Each step is repeated until it is done. One replacement at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from replication.protocol import Query

if TYPE_CHECKING:
    from sim.simulation import Simulation
    from sim.simulation_process import SimulatedProcess

PAUSE_S: Final = 0.2


class Operator:
    """``busy`` while a member is being replaced."""

    def __init__(self, simulation: Simulation) -> None:
        self.busy = False
        self._simulation = simulation

    def replace(self, process: SimulatedProcess) -> None:
        """Begin to replace a member, unless another one is being replaced."""
        if not self.busy:
            self.busy = True
            self._go_on(self._replacement(process))

    def _go_on(self, steps: Iterator[float]) -> None:
        pause_s = next(steps, None)
        if pause_s is None:
            self.busy = False
        else:
            self._simulation.timeline.after(pause_s, self._go_on, steps)

    def _replacement(self, process: SimulatedProcess) -> Iterator[float]:
        name, addresses = process.name, self._simulation.config.nodes[process.name]
        process.is_removed = True  # It stops for good when it hears of it.
        yield from self._ask("remove_member", {"node": name}, lambda: self._is_member(name) is False)
        yield max(0.0, process.free_at_s - self._simulation.timeline.now_s)
        if process.node is not None:
            process.end("removed")
        self._simulation.onlooker.disk_lost(name)
        process.replace_disk()
        process.is_removed = False
        process.start_again()
        add = {"node": name, "peer": str(addresses.peer), "door": str(addresses.door)}
        yield from self._ask("add_member", add, lambda: self._is_member(name) is True)

    def _ask(self, question: str, arguments: dict[str, Any], is_done: Callable[[], bool]) -> Iterator[float]:
        """Ask whoever leads until the change is committed; an answer may be lost with the leader."""
        while not is_done():
            leader = self._simulation.leader()
            if leader is not None:
                yield max(0.0, leader.free_at_s - self._simulation.timeline.now_s)
                if leader.node is not None:
                    query = Query(0, question, arguments)
                    leader.node.ask(query, lambda _answer: None, operator="operator")
            yield PAUSE_S

    def _is_member(self, name: str) -> bool | None:
        """As the leader says, once that is committed; None while nobody can say."""
        leader = self._simulation.leader()
        if leader is None or leader.node is None or not leader.node.log.leader_ready:
            return None
        log = leader.node.log
        membership = log.members.membership
        return None if membership is None or not log.membership.settled else membership.find(name) is not None
