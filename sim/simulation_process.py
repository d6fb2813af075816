"""One replica as a process on a machine of its own: the real node, started, ticked, cut off and started again.

The node gets a `replication.platform.Platform` whose clock, chance, network and disk are the simulation's. Everything
else is what runs in production. Where its work may be cut off, in the order of a command's way through a replica:

================  ======================================================================================
after-create      a new file is there, and its directory is not synced yet
before-append     a command has arrived at the door and is not proposed yet
before-fsync      what changed in the journal is written but not synced
after-fsync       it is synced, and nothing that depends on it has left yet
before-apply      an entry is committed, and the state machine has not seen it
after-apply       it was applied, and nobody was answered
in-snapshot       chunks of a snapshot are written but not synced
before-publish    a snapshot is complete but for the record that makes it exist
after-publish     it exists, and the journal does not know it
================  ======================================================================================
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any, Final

from replication.config import Config, node_data_dir
from replication.damaged_files import RECOVERABLE, set_aside
from replication.node import Node
from replication.platform import Platform
from replication.poller import EventSource
from replication.replica_process import exit_code
from replication.replicated_log import ReplicatedLog
from replication.supervisor import EXIT_HALTED
from replication.tls import LinkCredentials
from sim.simulation_damage import misplace_write
from sim.simulation_disk import SimulatedDisk
from sim.simulation_environment import CutOff
from sim.simulation_journal_view import JournalView
from sim.simulation_links import DoorListener, Inbox, PeerLinks
from sim.simulation_network import End
from sim.simulation_replica import SimulatedSnapshotWriter, WatchedNode, WatchedReplica

if TYPE_CHECKING:
    from sim.simulation import Simulation

IDLE_S: Final = 0.05
_TICK_S: Final = 0.000_05
_ARRIVAL_S: Final = 0.000_01
_RESTART_PAUSE_S: Final = 0.2
_STAYS_DOWN: Final = "stays down"


class SimulatedProcess:
    """``node`` is None while the process does not run; ``halted`` says why it must not be started again.

    ``is_removed``: an operator is taking it out of the cluster, so that it may stop for good.
    """

    def __init__(self, simulation: Simulation, config: Config, name: str) -> None:
        self.name = name
        self.node: Node | None = None
        self.halted = ""
        self.is_removed = False
        self._is_damaged = False
        self.starts = 0
        self.clock_offset_ns = 0
        self.cut_off_at: tuple[str, int] | None = None
        """A point, and how often it is passed before the process ends there."""
        self.paused_until_s = 0.0
        self._simulation = simulation
        self._config = config
        self._chance = Random(simulation.chance.getrandbits(64))
        self._busy_until_s = 0.0
        self._wake_at_s = float("inf")
        self._inbox = Inbox()
        self._links: PeerLinks | None = None
        self._listener: DoorListener | None = None
        self._directory = node_data_dir(config, name)
        self.disk = self._empty_disk()

    # Its life

    def start(self) -> None:
        """Start it, unless it runs, must not, or fails to."""
        if self.node is not None or self.halted:
            return
        simulation = self._simulation
        self.starts += 1
        simulation.trace.add("start", self.name, self.starts)
        self._inbox = Inbox()
        self._wake_at_s = float("inf")
        self.paused_until_s = self._busy_until_s = 0.0
        self._guarded(self._build)
        if self.node is not None:
            simulation.network.host_up(self)
            simulation.onlooker.started(self)
            self._busy_until_s = simulation.timeline.now_s
            self._wake(simulation.timeline.now_s)

    def replace_disk(self) -> None:
        """Its files are gone for good; what is in their place is empty."""
        assert self.node is None, f"{self.name} runs"
        shutil.rmtree(self._directory)
        self.halted = ""
        self.disk = self._empty_disk()

    def damage(self, chance: Random) -> None:
        """Part of its journal becomes something else; it must not run now."""
        self._is_damaged = True
        self._simulation.trace.add("damaged", self.name, misplace_write(self._directory / "journal", chance))

    def _begin_anew(self) -> None:
        """Set aside what is damaged, as a replica's process does (`replication.replica_process`)."""
        self._is_damaged = False
        self._simulation.onlooker.disk_lost(self.name)
        set_aside(self._directory)
        self.disk.journal = self._new_view()

    @property
    def free_at_s(self) -> float:
        """When what it does now is done."""
        return max(self._busy_until_s, self._simulation.timeline.now_s)

    def end(self, how: str, *, power_lost: bool = False) -> None:
        """It is gone, at once and wherever it was."""
        self._simulation.trace.add("end", self.name, f"{how}{', power lost' if power_lost else ''}")
        if self.name in self._simulation.network.hosts:
            self._simulation.network.host_down(self.name, power_lost=power_lost)
        self.node = self._links = self._listener = None
        self.disk.process_ended(power_lost=power_lost)

    def keep_down(self) -> None:
        """It is gone, and nobody starts it again."""
        if self.node is not None:
            self.end("stays down")
        self.halted = self.halted or _STAYS_DOWN

    def allow_up(self) -> None:
        """Start it, if it was kept down."""
        if self.halted == _STAYS_DOWN:
            self.halted = ""
            self.start()

    def cut_off(self, how: str) -> None:
        """It ends, its machine perhaps with it, and is started again after a while."""
        self.end(how, power_lost=self._chance.random() < self._simulation.faults.power_share)
        self.start_again()

    def stop(self) -> None:
        """End it as SIGTERM does."""
        if self.node is not None:
            self._guarded(self.node.close)
            if self.node is not None:
                self.end("stopped")

    def pause(self, duration_s: float) -> None:
        """It stands still, as in SIGSTOP; what arrives waits."""
        self.paused_until_s = max(self.paused_until_s, self._simulation.timeline.now_s + duration_s)

    def at_point(self, point: str) -> None:
        """It may be cut off here: by a script, or by chance."""
        if self.cut_off_at is not None:
            scripted, passes = self.cut_off_at
            if scripted != point:
                return
            self.cut_off_at = (point, passes - 1) if passes else None
            if passes:
                return
        else:
            probability = self._simulation.faults.cut_off_probability
            if probability and self._simulation.strikes("cut-off", self.name, probability, self._chance, point):
                raise CutOff(point)
            return
        self._simulation.trace.add("cut-off", self.name, point)
        raise CutOff(point)

    # A host of the network

    def deliver(self, arrival: Callable[[], None]) -> None:
        self._inbox.arrivals.append(arrival)
        if len(self._inbox.arrivals) == 1:
            # The kernel wakes it when it gets to it; what else arrives until then is handled together.
            late_ms = self._chance.random() * self._simulation.faults.wake_ms_max
            self._wake(self._simulation.timeline.now_s + late_ms / 1_000)

    def accept(self, caller: str) -> End | None:
        if self._links is None or self._listener is None:
            return None
        return self._links.accept(caller) if caller in self._config.nodes else self._listener.accept(caller)

    # Its work

    def _empty_disk(self) -> SimulatedDisk:
        simulation, name = self._simulation, self.name
        self._directory.mkdir(parents=True)
        return SimulatedDisk(
            name,
            timeline=simulation.timeline,
            chance=Random(self._chance.getrandbits(64)),
            trace=simulation.trace,
            faults=lambda: simulation.faults,
            strikes=simulation.strikes,
            at_point=self.at_point,
            journal=self._new_view(),
        )

    def _new_view(self) -> JournalView:
        return JournalView(lambda index, term: self._simulation.onlooker.lost(self.name, index, term))

    def _build(self) -> None:
        simulation = self._simulation
        self.node = WatchedNode(
            self,
            self._config,
            self.name,
            platform=Platform(
                now_s=lambda: simulation.timeline.now_s,
                time_ns=lambda: simulation.timeline.time_ns() + self.clock_offset_ns,
                random_bytes=self._chance.randbytes,
                disk=self.disk,
                poller=lambda: self._inbox,
                transport=self._make_links,
                listen=self._listen,
                replica=lambda directory, **settings: WatchedReplica(self, simulation, directory, **settings),
                snapshot_writer=lambda path, point, produce: SimulatedSnapshotWriter(
                    self, simulation, path, point, produce
                ),
                on_restored=lambda: None,
                keeps_archive=False,
            ),
        )

    def _make_links(self, *, credentials: LinkCredentials, peers: dict[str, object], **_network: object) -> PeerLinks:
        self._links = PeerLinks(
            self._simulation.network,
            node_id=credentials.identity.name,
            peers=peers,
            on_leaving=self._simulation.onlooker.leaving,
            at_point=self.at_point,
        )
        return self._links

    def _listen(
        self, _host: str, port: int, poller: EventSource, on_accepted: Callable[[Any, str], None]
    ) -> DoorListener:
        self._listener = DoorListener(self.name, port, poller, on_accepted)
        return self._listener

    def _wake(self, time_s: float) -> None:
        """Tick at this time, or when what it is busy with is done."""
        time_s = max(time_s, self._busy_until_s, self.paused_until_s)
        if time_s < self._wake_at_s:
            self._wake_at_s = time_s
            self._simulation.timeline.at(time_s, self._tick, self.starts, time_s)

    def _tick(self, start: int, time_s: float) -> None:
        if start != self.starts or time_s != self._wake_at_s:
            return
        self._wake_at_s = float("inf")
        if self.node is None:
            return
        timeline = self._simulation.timeline
        if timeline.now_s < self.paused_until_s:
            self._wake(self.paused_until_s)
            return
        node, inbox = self.node, self._inbox
        handled = inbox.handled
        self._guarded(lambda: node.tick(0.0))
        if self.node is not node:
            return
        handled = inbox.handled - handled
        timeline.spend(_TICK_S + handled * _ARRIVAL_S)
        self._busy_until_s = timeline.now_s
        self._simulation.onlooker.ticked(self)
        has_work = inbox.arrivals or (handled and _has_work(node.log))
        self._wake(self._busy_until_s if has_work else self._busy_until_s + self._idle_s(node.log))

    def _idle_s(self, log: ReplicatedLog) -> float:
        """How long there is nothing to do unless something arrives: timers need no look before they run out."""
        due_s = log.due_s + _ARRIVAL_S - self._busy_until_s
        return min(due_s, IDLE_S) if due_s > 0 else IDLE_S

    def _guarded(self, work: Callable[[], None]) -> None:
        """Do what the process does, and let it end as it would."""
        simulation = self._simulation
        try:
            work()
        except CutOff as cut:
            self.cut_off(f"cut off {cut}")
        except Exception as fault:
            code, described = exit_code(fault), simulation.describe(fault)
            self.end(f"exit code {code}: {described}")
            if self._is_damaged and isinstance(fault, RECOVERABLE):
                self._begin_anew()
            elif code is None or code == EXIT_HALTED:
                self.halted = described
            if self.halted and not self.is_removed:
                simulation.onlooker.halted(self.name, described)
            simulation.timeline.after(_RESTART_PAUSE_S, self.start)

    def start_again(self) -> None:
        """Start it after a while."""
        down_s = self._chance.random() * self._simulation.faults.down_ms_max / 1_000
        self._simulation.timeline.after(down_s, self.start)


def _has_work(log: ReplicatedLog) -> bool:
    """Whether the next tick would do something at once: apply what is committed, or commit what followers have."""
    if log.applied_index < log.commit_index:
        return True
    if not log.is_leader:
        return False
    matched = sorted(log.match_indexes().values())
    return matched[len(matched) - (len(matched) + 1) // 2] > log.commit_index
