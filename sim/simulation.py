"""A cluster, its clients and everything that goes wrong, in one process on virtual time: one seed, one run.

The replicas are the real ones: node, Raft, journal, snapshots, archive, door and engine. Simulated are time
(`simulation_timeline`), paths (`simulation_network`, `simulation_links`), disks (`simulation_disk`), gateways
(`simulation_gateway`, with the gateway's own rules for sending again) and clients (`simulation_clients`). What happens
follows from the seed alone.

A run has four parts: the markets are listed while all is well; the clients trade while things go wrong; everything is
healed, and then all that was asked must be answered and all replicas must agree within a bounded time (liveness); at
last the history is checked as a whole (`simulation_verdict`).
"""

from __future__ import annotations

import datetime
import gc
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Final

from engine.machine import Machine
from replication.certificates import CA_CERTIFICATE, CA_DAYS, Authority, make_certificates
from replication.config import (
    Address,
    Config,
    EngineSettings,
    GatewaySettings,
    LogSettings,
    NodeAddresses,
    RaftSettings,
)
from replication.identity import GATEWAY, NODE, Identity
from replication.tls import load_credentials
from sim.simulation_clients import Clients
from sim.simulation_faults import BY_CHANCE, RANGES, Faults, Range, calm, draw_faults
from sim.simulation_gateway import SimulatedGateway
from sim.simulation_nemesis import FAULT, Nemesis
from sim.simulation_network import Network
from sim.simulation_onlooker import Onlooker
from sim.simulation_operator import Operator
from sim.simulation_process import SimulatedProcess
from sim.simulation_readers import Readers
from sim.simulation_schedule import Schedule, Strike
from sim.simulation_timeline import START_S, Timeline, virtual_time
from sim.simulation_trace import Trace, Violation

ORDERS_PER_S: Final = 200
SPAN_S: Final = 10.0
GATEWAYS: Final = ("gateway-1", "gateway-2")
SET_UP_S_MAX: Final = 30.0
LIVENESS_S_MAX: Final = 40.0
_CLUSTER_ID: Final = b"simulated group!"
_HOST: Final = "127.0.0.1"


class Simulation:
    """One run. ``violations`` are the promises that were broken: none, or the one that ended the run."""

    def __init__(
        self,
        seed: int,
        directory: Path,
        *,
        nodes: int = 3,
        orders_per_s: int = ORDERS_PER_S,
        span_s: float = SPAN_S,
        faults: Faults | None = None,
        ranges: Mapping[str, Range] = RANGES,
        schedule: Sequence[Strike] | None = None,
        log: LogSettings | None = None,
    ) -> None:
        """``directory`` is for the replicas' files, preferably in memory.

        ``span_s`` is how long clients are going to trade: a snapshot of a longer history is larger, so they are farther
        apart then. ``faults`` and ``log`` replace what the seed draws, ``ranges`` what it draws from. With a
        ``schedule`` nothing else goes wrong than what it has. ScheduleError if that is for another cluster.
        """
        self.seed = seed
        self.directory = directory
        self.chance = Random(seed)
        drawn = mixture_of(seed, ranges)
        self.drawn = drawn if faults is None else faults
        self.faults = calm(self.drawn)
        self.schedule = Schedule(schedule)
        self.timeline = Timeline()
        self.trace = Trace(self.timeline)
        network_chance = Random(self.chance.getrandbits(64))
        self.network = Network(self.timeline, network_chance, self.faults, self.trace, self.strikes)
        self.onlooker = Onlooker(self.trace)
        self._raft_chance = Random(self.chance.getrandbits(64))
        names = [f"node-{number}" for number in range(1, nodes + 1)]
        self.config = self._write_config(names, log, int(span_s * orders_per_s))
        self.processes = {name: SimulatedProcess(self, self.config, name) for name in self.config.nodes}
        self.onlooker.processes = self.processes
        self.gateways = [
            SimulatedGateway(
                self.network,
                Random(self.chance.getrandbits(64)),
                credentials=load_credentials(self.config, GATEWAY, name),
                nodes=list(self.config.nodes),
            )
            for name in GATEWAYS
        ]
        client_chance = Random(self.chance.getrandbits(64))
        self.clients = Clients(self.gateways, self.timeline, client_chance, self.onlooker, self.faults, orders_per_s)
        self.readers = Readers(self.gateways, self.timeline, Random(self.chance.getrandbits(64)), self.onlooker)
        self.operator = Operator(self)
        self._settle_chance = Random(self.chance.getrandbits(64))
        self.nemesis = Nemesis(self, Random(self.chance.getrandbits(64)))
        self.nemesis.refuse_unknown()

    @property
    def violations(self) -> list[str]:
        return self.trace.violations

    @property
    def elapsed_s(self) -> float:
        """Virtual seconds since the beginning."""
        return self.timeline.now_s - START_S

    @property
    def faults_struck(self) -> int:
        return sum(self.fault_counts().values())

    def machines(self) -> dict[str, Machine]:
        """The state machines of the replicas that run."""
        running = {name: process.node for name, process in self.processes.items()}
        return {name: node.replica.machine for name, node in running.items() if node is not None}

    def fault_counts(self) -> dict[str, int]:
        """What went wrong, by kind."""
        scheduled = {
            kind.removeprefix(FAULT): count for kind, count in self.trace.counts.items() if kind.startswith(FAULT)
        }
        by_chance = {kind: self.trace.counts[kind] for kind in BY_CHANCE}
        return {kind: count for kind, count in sorted({**scheduled, **by_chance}.items()) if count}

    def strikes(self, kind: str, node: str, probability: float, chance: Random, detail: str = "") -> bool:
        """Whether a fault happens on this occasion; chance is asked in any case, so that the rest stays the same."""
        by_chance = chance.random() < probability
        if not self.schedule.strikes(kind, node, self.elapsed_s, by_chance=by_chance, detail=detail):
            return False
        self.trace.add(kind, node, detail)
        return True

    def run(self, seconds: float, progress: Callable[[float], object] = lambda _seconds: None) -> None:
        """Play all parts but the last. ``progress`` gets the virtual seconds since its last call."""
        with self.in_virtual_time():
            try:
                self.set_up()
                self.begin()
                self.play(seconds, progress)
                self.settle()
            except Violation:
                return

    @contextmanager
    def in_virtual_time(self) -> Iterator[None]:
        """Everything that runs replicas must be within; nothing is written to the log that operators read."""
        collects, level = gc.isenabled(), logging.root.manager.disable
        gc.disable()  # It would look at a growing state again and again; what a run leaves is collected after it.
        logging.disable(logging.CRITICAL)
        try:
            with virtual_time(self.timeline, self._raft_chance):
                yield
        finally:
            logging.disable(level)
            if collects:
                gc.enable()

    def set_up(self) -> None:
        """Start everything and list the markets, while nothing goes wrong."""
        for process in self.processes.values():
            process.start()
        for gateway in self.gateways:
            gateway.start()
        self.clients.set_up()
        self._run_until(lambda: not self.clients.unanswered, SET_UP_S_MAX, "the markets were not listed")

    def begin(self) -> None:
        """Begin to trade, and let things go wrong."""
        self._set_faults(self.drawn)
        self.nemesis.start()
        self.clients.trade()
        self.readers.start()

    def play(self, seconds: float, progress: Callable[[float], object] = lambda _seconds: None) -> None:
        """Go on for so long."""
        end_s = self.timeline.now_s + seconds
        while self.timeline.now_s < end_s:
            step_s = min(1.0, end_s - self.timeline.now_s)
            self.timeline.run(self.timeline.now_s + step_s)
            progress(step_s)

    def settle(self) -> None:
        """Heal a majority, then everything: what was asked must be answered, and the replicas come to one state."""
        self.clients.trading = self.readers.active = False
        self._set_faults(calm(self.drawn))
        majority = self._majority()
        rest = [process for process in self.processes.values() if process not in majority]
        for process in rest:
            process.keep_down()
        self.nemesis.stop()
        self._run_until(
            lambda: not self.clients.unanswered and self._agree(majority),
            LIVENESS_S_MAX,
            "after a majority was healed, requests stay unanswered or replicas stay apart",
        )
        for process in rest:
            process.allow_up()
        self._run_until(
            lambda: not self.operator.busy and self._agree(self.processes.values()),
            LIVENESS_S_MAX,
            "after everything was healed, replicas stay apart",
        )

    def _majority(self) -> list[SimulatedProcess]:
        """Just enough replicas, chosen by chance: all of them if a disk was lost or a member replaced.

        What was lost with a disk is another fault, and together they may be more than a cluster has copies for.
        """
        everybody = list(self.processes.values())
        if self.nemesis.without_disk is not None:
            return everybody
        self._settle_chance.shuffle(everybody)
        return everybody[: len(everybody) // 2 + 1]

    def stop(self) -> None:
        """End all replicas as an operator would; their files are complete then."""
        with self.in_virtual_time():
            for process in self.processes.values():
                process.stop()

    def describe(self, fault: Exception) -> str:
        """What it says, without the name of the folder, which is another one in every run."""
        return f"{type(fault).__name__}: {fault}".replace(f"{self.directory}/", "")

    def leader(self) -> SimulatedProcess | None:
        """The process that leads the latest term, if it runs."""
        leading = [process for process in self.processes.values() if process.node and process.node.log.is_leader]
        return max(leading, key=lambda process: process.node.log.term if process.node else 0, default=None)

    def _agree(self, processes: Iterable[SimulatedProcess]) -> bool:
        points = {
            (process.node.replica.log_point if process.node is not None else process.name) for process in processes
        }
        return len(points) == 1

    def _run_until(self, done: Callable[[], bool], limit_s: float, otherwise: str) -> None:
        end_s = self.timeline.now_s + limit_s
        while not done():
            if self.timeline.now_s >= end_s:
                self.trace.violate(f"{otherwise} for {limit_s:g} s: {self._stragglers()}")
            self.timeline.run(self.timeline.now_s + 0.1)

    def _stragglers(self) -> str:
        where = [
            f"{name} {'is down' if process.node is None else process.node.status()}"
            for name, process in self.processes.items()
        ]
        return f"{self.clients.unanswered} unanswered; {'; '.join(where)}"

    def _set_faults(self, faults: Faults) -> None:
        self.faults = self.network.faults = self.clients.faults = faults

    def _write_config(self, names: list[str], log: LogSettings | None, commands: int) -> Config:
        """The shortest timers and the smallest files that make a minute eventful; drawn, too."""
        chance = Random(self.chance.getrandbits(64))
        self.segment_bytes_max = 1024 * chance.choice([64, 256, 1024])
        tls_dir = self.directory / "tls"
        _make_certificates(names, tls_dir)
        timeout_ms = chance.choice([200, 300, 400])
        nodes = {
            name: NodeAddresses(Address(_HOST, 2 * number), Address(_HOST, 2 * number + 1))
            for number, name in enumerate(names, start=1)
        }
        return Config(
            path=self.directory / "cluster.toml",
            cluster_id=_CLUSTER_ID,
            group="main",
            nodes=nodes,
            groups={"main": nodes},
            home="main",
            data_dir=self.directory / "data",
            ca_file=tls_dir / CA_CERTIFICATE,
            certificate_files=tls_dir / "{name}.crt",
            key_files=tls_dir / "{name}.key",
            master_key_file=self.directory / "master.key",
            raft=RaftSettings(timeout_ms, 2 * timeout_ms, timeout_ms // chance.choice([4, 5])),
            log=log or LogSettings(max(200, commands // chance.choice([2, 4, 8])), chance.choice([0, 10, 200])),
            engine=EngineSettings(0),
            gateway=GatewaySettings(),
        )


def mixture_of(seed: int, ranges: Mapping[str, Range] = RANGES) -> Faults:
    """What goes wrong in a seed, and how often."""
    return draw_faults(Random(f"{seed} faults"), ranges)


def _make_certificates(node_ids: list[str], directory: Path) -> None:
    """Real ones, for real time: TLS asks the machine what day it is."""
    now = datetime.datetime.now(datetime.UTC)
    holders = [(NODE, node_id) for node_id in node_ids] + [(GATEWAY, name) for name in GATEWAYS]
    identities = [Identity(_CLUSTER_ID, role, name) for role, name in holders]
    authority = Authority.create(_CLUSTER_ID, now=now)
    make_certificates(authority, identities, directory, now=now, days=CA_DAYS)
    authority.write(directory)
