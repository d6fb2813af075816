"""The schedule of faults: one after the other, on replicas, disks, clocks and paths, until it is told to stop."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

from replication.protocol import Query
from sim.simulation_faults import WEIGHT
from sim.simulation_process import SimulatedProcess
from sim.simulation_schedule import ScheduleError, Strike
from sim.simulation_timeline import START_S

if TYPE_CHECKING:
    from sim.simulation import Simulation

FAULT: Final = "fault:"
_CLOCK_OFFSET_NS_MAX: Final = 2_000_000_000
_DISK_IS_LOST: Final = ("lost_disk", "replace_member", "misplaced_write")
_HEARS: Final = "hears"
_SPEAKS: Final = "speaks"


class Nemesis:
    """Without a given schedule it draws one fault after the other; with one it plays what that has.

    ``without_disk`` is the machine whose disk was lost, perhaps several times.
    """

    def __init__(self, simulation: Simulation, chance: Random) -> None:
        self.active = False
        self.without_disk: str | None = None
        self._simulation = simulation
        self._chance = chance
        drawn = simulation.drawn
        self._kinds = [name.removesuffix(WEIGHT) for name in vars(drawn) if name.endswith(WEIGHT)]
        self._weights = [float(getattr(drawn, kind + WEIGHT)) for kind in self._kinds]

    def start(self) -> None:
        given = self._simulation.schedule.given
        self.active = any(self._weights) if given is None else True
        if given is None:
            self._next()
        for strike in given or ():
            if not strike.occasion:
                self._simulation.timeline.at(START_S + strike.at_s, self._strike, strike)

    def stop(self) -> None:
        """Nothing new goes wrong, and all that can be healed is: paths, disks, clocks, processes that are down."""
        self.active = False
        self._simulation.network.heal()
        for process in self._simulation.processes.values():
            process.clock_offset_ns = 0
            process.disk.full_until_s = process.paused_until_s = 0.0
            process.start()

    def refuse_unknown(self) -> None:
        """ScheduleError if the given schedule has what this cannot do."""
        for strike in self._simulation.schedule.given or ():
            if not strike.occasion and strike.kind not in self._kinds:
                raise ScheduleError(f"{strike.kind!r} is no fault; there are {', '.join(self._kinds)}")
            if strike.node not in self._simulation.processes and not strike.occasion:
                raise ScheduleError(f"{strike.node!r} is no replica of this run: it has another number of them")

    def _next(self) -> None:
        mean_s = self._simulation.faults.fault_every_ms / 1_000
        self._simulation.timeline.after(self._chance.expovariate(1.0) * mean_s, self._draw)

    def _draw(self) -> None:
        if not self.active:
            return
        self._next()
        simulation, chance = self._simulation, self._chance
        kind = chance.choices(self._kinds, self._weights)[0]
        process = self._victim(kind)
        lasts_s = chance.random() * simulation.faults.lasts_ms_max / 1_000
        self._strike(Strike(kind, process.name, simulation.elapsed_s, lasts_s, self._detail(kind, process)))

    def _strike(self, strike: Strike) -> None:
        if not self.active:
            return
        simulation = self._simulation
        if strike.kind in _DISK_IS_LOST:
            self.without_disk = strike.node
        simulation.schedule.add(strike)
        what = f"{strike.lasts_s:.3f} s {strike.detail}".rstrip()
        simulation.trace.add(f"{FAULT}{strike.kind.replace('_', '-')}", strike.node, what)
        getattr(self, f"_{strike.kind}")(simulation.processes[strike.node], strike)

    def _victim(self, kind: str) -> SimulatedProcess:
        processes = list(self._simulation.processes.values())
        if kind in _DISK_IS_LOST:
            # The same machine each time: of what all archives have lost nobody could tell the history any more.
            return self._simulation.processes[self.without_disk or self._chance.choice(processes).name]
        leaders = [process for process in processes if process.node is not None and process.node.log.is_leader]
        if leaders and self._chance.random() < self._simulation.faults.on_leader_share:
            return self._chance.choice(leaders)
        return self._chance.choice(processes)

    def _detail(self, kind: str, process: SimulatedProcess) -> str:
        """What else there is to choose."""
        chance, simulation = self._chance, self._simulation
        if kind == "clock_jump":
            return str(chance.randint(-_CLOCK_OFFSET_NS_MAX, _CLOCK_OFFSET_NS_MAX))
        if kind == "one_way":
            return chance.choice([_HEARS, _SPEAKS])
        if kind == "split":
            names = list(simulation.processes)
            chance.shuffle(names)
            return " ".join(names[: chance.randrange(1, len(names))])
        if kind in ("break", "clog"):
            other = chance.choice([name for name in simulation.network.hosts if name != process.name])
            return other if kind == "break" else f"{chance.choice([_HEARS, _SPEAKS])} {other}"
        return ""

    def _others(self, process: SimulatedProcess) -> list[str]:
        return [name for name in self._simulation.processes if name != process.name]

    # Processes and machines. They end when what they do just now is done.

    def _kill(self, process: SimulatedProcess, _strike: Strike) -> None:
        self._end(process, "killed", power_lost=False)

    def _power_loss(self, process: SimulatedProcess, _strike: Strike) -> None:
        self._end(process, "gone", power_lost=True)

    def _blackout(self, _process: SimulatedProcess, _strike: Strike) -> None:
        for process in self._simulation.processes.values():
            self._end(process, "gone", power_lost=True)

    def _restart(self, process: SimulatedProcess, _strike: Strike) -> None:
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

    def _pause(self, process: SimulatedProcess, strike: Strike) -> None:
        process.pause(strike.lasts_s)

    def _hand_over(self, process: SimulatedProcess, _strike: Strike) -> None:
        """An operator asks whoever leads to let this replica lead, or the furthest if it leads itself."""
        leader = self._simulation.leader()
        if leader is None:
            return

        def ask() -> None:
            if leader.node is not None:
                node = "" if leader is process else process.name
                query = Query(0, "transfer_leadership", {"node": node})
                leader.node.ask(query, lambda _answer: None, operator="operator")

        self._simulation.timeline.at(leader.free_at_s, ask)

    def _lost_disk(self, process: SimulatedProcess, _strike: Strike) -> None:
        """A disk is replaced by an empty one, and nobody waits for anything before the replica starts again."""

        def replace_disk() -> None:
            if process.node is not None:
                process.end("its disk is lost", power_lost=True)
            self._simulation.onlooker.disk_lost(process.name)
            process.replace_disk()
            process.start_again()

        self._simulation.timeline.at(process.free_at_s, replace_disk)

    def _misplaced_write(self, process: SimulatedProcess, _strike: Strike) -> None:
        """It dies, and part of its journal is not what it wrote. It finds that out when it starts again."""

        def end() -> None:
            if process.node is not None:
                process.end("killed, and a write went to the wrong place")
                process.damage(self._chance)
                process.start_again()

        self._simulation.timeline.at(process.free_at_s, end)

    def _replace_member(self, process: SimulatedProcess, _strike: Strike) -> None:
        self._simulation.operator.replace(process)

    def _disk_full(self, process: SimulatedProcess, strike: Strike) -> None:
        process.disk.full_until_s = self._simulation.timeline.now_s + strike.lasts_s

    def _clock_jump(self, process: SimulatedProcess, strike: Strike) -> None:
        process.clock_offset_ns = int(strike.detail)

    # Paths

    def _break(self, process: SimulatedProcess, strike: Strike) -> None:
        self._simulation.network.break_between(process.name, strike.detail)

    def _clog(self, process: SimulatedProcess, strike: Strike) -> None:
        """One direction of one path, perhaps from a gateway."""
        direction, other = strike.detail.split()
        pair = (process.name, other) if direction == _SPEAKS else (other, process.name)
        self._simulation.network.block(*pair, strike.lasts_s)

    def _one_way(self, process: SimulatedProcess, strike: Strike) -> None:
        """It hears its peers, or they hear it, but not both."""
        for name in self._others(process):
            pair = (name, process.name) if strike.detail == _SPEAKS else (process.name, name)
            self._simulation.network.block(*pair, strike.lasts_s)

    def _isolate(self, process: SimulatedProcess, strike: Strike) -> None:
        self._cut([process.name], self._others(process), strike.lasts_s)

    def _split(self, _process: SimulatedProcess, strike: Strike) -> None:
        """Two parts of any size; gateways reach both."""
        some = strike.detail.split()
        self._cut(some, [name for name in self._simulation.processes if name not in some], strike.lasts_s)

    def _cut(self, some: list[str], others: list[str], lasts_s: float) -> None:
        for one in some:
            for other in others:
                self._simulation.network.block(one, other, lasts_s)
                self._simulation.network.block(other, one, lasts_s)
