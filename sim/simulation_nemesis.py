"""The schedule of faults: one after the other, on replicas, disks, clocks and paths, until it is told to stop."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

from sim.simulation_faults import WEIGHT
from sim.simulation_process import SimulatedProcess

if TYPE_CHECKING:
    from sim.simulation import Simulation

FAULT: Final = "fault:"
_CLOCK_OFFSET_NS_MAX: Final = 2_000_000_000


class Nemesis:
    """``faults`` counts what it did, by kind."""

    def __init__(self, simulation: Simulation, chance: Random) -> None:
        self.active = False
        self._without_disk: str | None = None
        self._simulation = simulation
        self._chance = chance
        drawn = simulation.drawn
        self._kinds = [name.removesuffix(WEIGHT) for name in vars(drawn) if name.endswith(WEIGHT)]
        self._weights = [float(getattr(drawn, kind + WEIGHT)) for kind in self._kinds]

    def start(self) -> None:
        self.active = any(self._weights)
        self._next()

    def stop(self) -> None:
        """Nothing new goes wrong, and all that can be healed is: paths, disks, clocks, processes that are down."""
        self.active = False
        self._simulation.network.heal()
        for process in self._simulation.processes.values():
            process.clock_offset_ns = 0
            process.disk.full_until_s = process.paused_until_s = 0.0
            process.start()

    def _next(self) -> None:
        mean_s = self._simulation.faults.fault_every_ms / 1_000
        self._simulation.timeline.after(self._chance.expovariate(1.0) * mean_s, self._strike)

    def _strike(self) -> None:
        if not self.active:
            return
        self._next()
        simulation, chance = self._simulation, self._chance
        kind = chance.choices(self._kinds, self._weights)[0]
        process = self._victim()
        lasts_s = chance.random() * simulation.faults.lasts_ms_max / 1_000
        simulation.trace.add(f"{FAULT}{kind.replace('_', '-')}", process.name, f"{lasts_s:.3f} s")
        getattr(self, f"_{kind}")(process, lasts_s)

    def _victim(self) -> SimulatedProcess:
        processes = list(self._simulation.processes.values())
        leaders = [process for process in processes if process.node is not None and process.node.log.is_leader]
        if leaders and self._chance.random() < self._simulation.faults.on_leader_share:
            return self._chance.choice(leaders)
        return self._chance.choice(processes)

    def _others(self, process: SimulatedProcess) -> list[str]:
        return [name for name in self._simulation.processes if name != process.name]

    # Processes and machines. They end when what they do just now is done.

    def _kill(self, process: SimulatedProcess, _lasts_s: float) -> None:
        self._end(process, "killed", power_lost=False)

    def _power_loss(self, process: SimulatedProcess, _lasts_s: float) -> None:
        self._end(process, "gone", power_lost=True)

    def _blackout(self, _process: SimulatedProcess, _lasts_s: float) -> None:
        for process in self._simulation.processes.values():
            self._end(process, "gone", power_lost=True)

    def _restart(self, process: SimulatedProcess, _lasts_s: float) -> None:
        def stop() -> None:
            if process.node is not None:
                process.stop()
                process.start_again()

        self._simulation.timeline.at(process.free_at_s, stop)

    def _end(self, process: SimulatedProcess, how: str, *, power_lost: bool) -> None:
        def end() -> None:
            if process.node is not None:
                process.end(how, power_lost=power_lost)
                process.start_again()

        self._simulation.timeline.at(process.free_at_s, end)

    def _pause(self, process: SimulatedProcess, lasts_s: float) -> None:
        process.pause(lasts_s)

    def _lost_disk(self, process: SimulatedProcess, _lasts_s: float) -> None:
        """A disk is replaced by an empty one, and nobody waits for anything before the replica starts again.

        It is the same machine each time: of what all archives have lost nobody could tell the history any more.
        """
        if self._without_disk is None:
            self._without_disk = process.name
        victim = self._simulation.processes[self._without_disk]

        def replace_disk() -> None:
            if victim.node is not None:
                victim.end("its disk is lost", power_lost=True)
            self._simulation.onlooker.disk_lost(victim.name)
            victim.replace_disk()
            victim.start_again()

        self._simulation.timeline.at(victim.free_at_s, replace_disk)

    def _disk_full(self, process: SimulatedProcess, lasts_s: float) -> None:
        process.disk.full_until_s = self._simulation.timeline.now_s + lasts_s

    def _clock_jump(self, process: SimulatedProcess, _lasts_s: float) -> None:
        process.clock_offset_ns = self._chance.randint(-_CLOCK_OFFSET_NS_MAX, _CLOCK_OFFSET_NS_MAX)

    # Paths

    def _break(self, process: SimulatedProcess, _lasts_s: float) -> None:
        hosts = [name for name in self._simulation.network.hosts if name != process.name]
        self._simulation.network.break_between(process.name, self._chance.choice(hosts))

    def _clog(self, process: SimulatedProcess, lasts_s: float) -> None:
        """One direction of one path, perhaps from a gateway."""
        hosts = [name for name in self._simulation.network.hosts if name != process.name]
        pair = process.name, self._chance.choice(hosts)
        self._simulation.network.block(*(pair if self._chance.random() < 0.5 else pair[::-1]), lasts_s)

    def _one_way(self, process: SimulatedProcess, lasts_s: float) -> None:
        """It hears its peers, or they hear it, but not both."""
        speaks = self._chance.random() < 0.5
        for name in self._others(process):
            pair = (name, process.name) if speaks else (process.name, name)
            self._simulation.network.block(*pair, lasts_s)

    def _isolate(self, process: SimulatedProcess, lasts_s: float) -> None:
        self._cut([process.name], self._others(process), lasts_s)

    def _split(self, _process: SimulatedProcess, lasts_s: float) -> None:
        """Two parts of any size; gateways reach both."""
        names = list(self._simulation.processes)
        self._chance.shuffle(names)
        size = self._chance.randrange(1, len(names))
        self._cut(names[:size], names[size:], lasts_s)

    def _cut(self, some: list[str], others: list[str], lasts_s: float) -> None:
        for one in some:
            for other in others:
                self._simulation.network.block(one, other, lasts_s)
                self._simulation.network.block(other, one, lasts_s)
