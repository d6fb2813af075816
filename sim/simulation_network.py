"""Connections between hosts, as TCP makes them: in order within a connection, and whole until it breaks.

Nothing is reordered or lost inside a connection, because TCP does not do that either and Raft's carrier relies on it.
What can happen: delay; a path that is clogged or cut, in one direction or both, where bytes wait and arrive late or the
connection times out; a connection that breaks, and what was on its way arrives before the end or never. A process
that is killed leaves what the kernel has to be delivered; a machine that loses power does not even say good-bye.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Final, Protocol

from sim.simulation_faults import Faults
from sim.simulation_timeline import Timeline
from sim.simulation_trace import Trace

REDIAL_S: Final = 0.05
REDIAL_SPREAD_S: Final = 0.05
TIMEOUT_S: Final = 5.0
"""How long TCP waits for an answer; as `replication.links` sets it."""
_ORDER_S: Final = 1e-6


class End(Protocol):
    """One end of a connection, at one host."""

    def opened(self, connection: Connection) -> None: ...

    def received(self, data: list[bytes]) -> None: ...

    def closed(self, reason: str) -> None: ...


Strikes = Callable[[str, str, float, Random], bool]
"""Whether a kind of fault happens now: (kind, host, probability, what to draw from)."""


class Host(Protocol):
    """Where ends live. What arrives is delivered when the host gets to it."""

    name: str

    def deliver(self, arrival: Callable[[], None]) -> None: ...

    def accept(self, caller: str) -> End | None:
        """The end for a connection that another host opens; None if nobody listens."""


class _Direction:
    """One way of a connection. ``items`` are (when it is due, when it left, what to call at the receiver)."""

    __slots__ = ("items", "last_due_s", "pumping", "receiver", "sender")

    def __init__(self, sender: str, receiver: str) -> None:
        self.sender = sender
        self.receiver = receiver
        self.items: deque[tuple[float, float, Callable[[], None]]] = deque()
        self.last_due_s = 0.0
        self.pumping = False


class Connection:
    """Between two hosts. An end that closed, or whose host is gone, hears nothing more."""

    def __init__(self, network: Network, ends: dict[str, End]) -> None:
        self.ends = ends
        self.names = tuple(ends)
        self._network = network
        one, other = ends
        self._directions = {one: _Direction(one, other), other: _Direction(other, one)}

    def send(self, sender: str, data: list[bytes]) -> None:
        """Queue bytes or frames towards the other end."""
        direction = self._directions[sender]
        if sender in self.ends and direction.receiver in self.ends:
            self._network.transmit(self, direction, partial(self._receive, direction.receiver, data))

    def open(self) -> None:
        """Tell both ends."""
        for direction in self._directions.values():
            self._network.transmit(self, direction, partial(self._opened, direction.receiver))

    def close(self, name: str, *, in_flight_arrives: bool = True, silent: bool = False) -> None:
        """The end at this host is gone. The other one hears of it behind what is on its way, if that arrives.

        ``silent``: nobody says good-bye, so the other end waits until the connection times out.
        """
        if self.ends.pop(name, None) is None:
            return
        direction = self._directions[name]
        self._directions[direction.receiver].items.clear()
        if not in_flight_arrives:
            direction.items.clear()
        if direction.receiver not in self.ends:
            return
        farewell = partial(self._closed, direction.receiver, "closed by the other side")
        if silent:
            self._network.timeline.after(TIMEOUT_S, farewell)
        else:
            self._network.transmit(self, direction, farewell)

    def break_off(self, *, in_flight_arrives: bool) -> None:
        """Both ends lose the connection."""
        for direction in self._directions.values():
            if not in_flight_arrives:
                direction.items.clear()
            self._network.transmit(self, direction, partial(self._closed, direction.receiver, "connection reset"))

    def time_out(self, reason: str = "timed out") -> None:
        """What is on its way is lost, and whoever is left hears of it at once."""
        for direction in self._directions.values():
            direction.items.clear()
        for name in list(self.ends):
            self._closed(name, reason)

    def _opened(self, name: str) -> None:
        end = self.ends.get(name)
        if end is not None:
            self._network.hosts[name].deliver(partial(end.opened, self))

    def _receive(self, name: str, data: list[bytes]) -> None:
        end = self.ends.get(name)
        if end is not None:
            self._network.hosts[name].deliver(partial(end.received, data))

    def _closed(self, name: str, reason: str) -> None:
        end = self.ends.pop(name, None)
        if end is not None:
            self._network.hosts[name].deliver(partial(end.closed, reason))
        self._network.forget(self)


class Network:
    """All hosts that are up, and the connections between them."""

    def __init__(self, timeline: Timeline, chance: Random, faults: Faults, trace: Trace, strikes: Strikes) -> None:
        self.timeline = timeline
        self.faults = faults
        self.hosts: dict[str, Host] = {}
        self.connections: dict[Connection, None] = {}
        self._chance = chance
        self._trace = trace
        self._strikes = strikes
        self._blocked_until_s: dict[tuple[str, str], float] = {}

    def host_up(self, host: Host) -> None:
        """A host can be reached from now on. What still waits for its predecessor is reset."""
        self.hosts[host.name] = host
        for connection in list(self.connections):
            if host.name in connection.names and host.name not in connection.ends:
                connection.time_out("connection reset")

    def host_down(self, name: str, *, power_lost: bool) -> None:
        """A host's process ended. Its ends are gone without a word of theirs."""
        del self.hosts[name]
        for connection in list(self.connections):
            if name in connection.ends:
                lost = self._chance.random() < self.faults.in_flight_lost_share
                connection.close(name, in_flight_arrives=not (power_lost and lost), silent=power_lost)

    def dial(self, caller: str, name: str, end: End) -> bool:
        """Try to connect; False if nobody answers. Both ends hear of it later."""
        host = self.hosts.get(name)
        if host is None or self.is_blocked(caller, name) or self.is_blocked(name, caller):
            return False
        accepted = host.accept(caller)
        if accepted is None:
            return False
        connection = Connection(self, {caller: end, name: accepted})
        self.connections[connection] = None
        connection.open()
        return True

    def redial_after_s(self) -> float:
        return REDIAL_S + self._chance.random() * REDIAL_SPREAD_S

    def forget(self, connection: Connection) -> None:
        if not connection.ends:
            self.connections.pop(connection, None)

    def transmit(self, connection: Connection, direction: _Direction, arrival: Callable[[], None]) -> None:
        faults, chance = self.faults, self._chance
        delay_ms = faults.delay_ms_min + chance.expovariate(1.0) * faults.delay_ms_mean
        if faults.late_probability and chance.random() < faults.late_probability:
            delay_ms += chance.random() * faults.late_ms_max
        now_s = self.timeline.now_s
        if faults.loss_probability and self._strikes("loss", direction.sender, faults.loss_probability, chance):
            self.timeline.after(delay_ms / 1_000, connection.time_out, "connection reset")
            return
        direction.last_due_s = max(direction.last_due_s + _ORDER_S, now_s + delay_ms / 1_000)
        direction.items.append((direction.last_due_s, now_s, arrival))
        if not direction.pumping:
            direction.pumping = True
            self.timeline.at(direction.last_due_s, self._pump, connection, direction)

    def _pump(self, connection: Connection, direction: _Direction) -> None:
        """Deliver what is due, unless the path is blocked."""
        items, now_s = direction.items, self.timeline.now_s
        blocked_until_s = self._blocked_until_s.get((direction.sender, direction.receiver), 0.0)
        if items and blocked_until_s > now_s:
            times_out_s = items[0][1] + TIMEOUT_S
            if now_s >= times_out_s:
                self._trace.add("timeout", f"{direction.sender}-{direction.receiver}")
                direction.pumping = False
                connection.time_out()
                return
            self.timeline.at(min(blocked_until_s, times_out_s), self._pump, connection, direction)
            return
        while items and items[0][0] <= now_s:
            items.popleft()[2]()
        if items:
            self.timeline.at(items[0][0], self._pump, connection, direction)
        else:
            direction.pumping = False

    # What the schedule of faults does

    def block(self, sender: str, receiver: str, duration_s: float) -> None:
        """Nothing gets through in this direction for so long."""
        until_s = self.timeline.now_s + duration_s
        self._blocked_until_s[sender, receiver] = max(until_s, self._blocked_until_s.get((sender, receiver), 0.0))

    def is_blocked(self, sender: str, receiver: str) -> bool:
        return self._blocked_until_s.get((sender, receiver), 0.0) > self.timeline.now_s

    def break_between(self, one: str, other: str) -> None:
        for connection in list(self.connections):
            if set(connection.ends) == {one, other}:
                arrives = self._chance.random() >= self.faults.in_flight_lost_share
                connection.break_off(in_flight_arrives=arrives)

    def heal(self) -> None:
        """Every path is open again. What waits is delivered when its block would have ended, at the latest."""
        self._blocked_until_s.clear()
