"""A replica's end of the simulated network: peer links, and sockets for the real door.

Peer links carry whole frames through the real outbox and the real codec. Between gateways and doors the real framing,
TLS, handshake and protocol run over a socket that is only bytes in a queue. The poller hands over what has arrived; it
never waits. TLS takes its chance from the system, but nothing that is simulated looks at its bytes or depends on them.
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable, Mapping
from typing import Any, Final

from replication.messages import AppendEntries, Message, decode
from replication.outbox import Outbox
from replication.poller import READ, WRITE, EventCallback, EventSource
from sim.simulation_network import Connection, Network

SECOND_DIALLER_S: Final = 2.0
"""How long a node leaves the dialling to a peer with a greater id; as `replication.transport` has it."""

_FIRST_FD: Final = 1_000_000  # far from every real one


class Inbox:
    """What arrived at one process and was not handled yet; the poller of its sockets."""

    def __init__(self) -> None:
        self.arrivals: list[Callable[[], None]] = []
        self.handled = 0
        self._subscribers: dict[int, tuple[EventCallback, int]] = {}

    def subscribe(self, fd: int, callback: EventCallback, event_mask: int) -> None:
        self._subscribers[fd] = callback, event_mask

    def unsubscribe(self, fd: int) -> None:
        self._subscribers.pop(fd, None)

    def poll(self, timeout_s: float) -> None:
        """Handle what has arrived. Waiting is for the timeline to do."""
        arrivals, self.arrivals = self.arrivals, []
        self.handled += len(arrivals)
        for arrival in arrivals:
            arrival()

    def ready(self, fd: int, event: int) -> None:
        callback, event_mask = self._subscribers.get(fd, (None, 0))
        if callback is not None and event_mask & event:
            callback(fd, event)


class PeerLinks:
    """The links to all peers (`replication.transport.Transport`).

    The greater id dials, as with real ones, and the other one too if that does not help for a while.
    """

    def __init__(
        self,
        network: Network,
        *,
        node_id: str,
        peers: Mapping[str, object],
        on_leaving: Callable[[str, str, list[bytes]], None],
        at_point: Callable[[str], None],
    ) -> None:
        """``on_leaving(sender, receiver, frames)`` sees what leaves, before it does."""
        self.on_message: Callable[[str, Message], None] = lambda _peer_id, _message: None
        self.on_connected: Callable[[str], None] = lambda _peer_id: None
        self.on_disconnected: Callable[[str], None] = lambda _peer_id: None
        self._network = network
        self._node_id = node_id
        self._on_leaving = on_leaving
        self._at_point = at_point
        self._links: dict[str, Connection] = {}
        self._outbox = Outbox(self._transmit)
        self._dial_at_s: dict[str, float] = {}
        self._dialling: set[str] = set()
        self.set_peers(peers)

    @property
    def connected_ids(self) -> list[str]:
        return sorted(self._links)

    def send(self, peer_id: str, message: Message) -> bool:
        if peer_id not in self._links:
            return False
        self._outbox.queue(peer_id, message)
        return True

    def flush(self, append_entries_only: bool) -> None:
        self._outbox.flush(append_entries_only)

    def purge(self, current_term: int) -> None:
        self._outbox.purge(current_term)

    def set_peers(self, peers: Mapping[str, object]) -> None:
        now_s, known = self._network.timeline.now_s, self._dial_at_s
        self._dial_at_s = {
            peer_id: known.get(peer_id, now_s + self._dialler_pause_s(peer_id)) for peer_id in sorted(peers)
        }

    def _dialler_pause_s(self, peer_id: str) -> float:
        return 0.0 if self._node_id > peer_id else SECOND_DIALLER_S

    def maintain(self) -> None:
        now_s = self._network.timeline.now_s
        for peer_id, due_s in self._dial_at_s.items():
            if due_s <= now_s and peer_id not in self._links and peer_id not in self._dialling:
                self._dial_at_s[peer_id] = now_s + self._dialler_pause_s(peer_id) + self._network.redial_after_s()
                if self._network.dial(self._node_id, peer_id, _PeerEnd(self, peer_id)):
                    self._dialling.add(peer_id)

    def destroy(self) -> None:
        for connection in list(self._links.values()):
            connection.close(self._node_id)
        self._links.clear()

    def accept(self, peer_id: str) -> _PeerEnd:
        return _PeerEnd(self, peer_id)

    def opened(self, peer_id: str, connection: Connection) -> None:
        self._dialling.discard(peer_id)
        older = self._links.get(peer_id)
        if older is not None:
            older.close(self._node_id)
            self.closed(peer_id, older)
        self._links[peer_id] = connection
        self.on_connected(peer_id)

    def received(self, peer_id: str, connection: Connection | None, frames: list[bytes]) -> None:
        for frame in frames:
            if connection is not None and self._links.get(peer_id) is connection:
                message = decode(frame)
                if isinstance(message, AppendEntries) and message.entries:
                    self._at_point("before-append")
                self.on_message(peer_id, message)

    def closed(self, peer_id: str, connection: Connection | None) -> None:
        self._dialling.discard(peer_id)
        if connection is not None and self._links.get(peer_id) is connection:
            del self._links[peer_id]
            if peer_id in self._dial_at_s:
                self._dial_at_s[peer_id] = self._network.timeline.now_s + self._dialler_pause_s(peer_id)
            self._outbox.drop(peer_id)
            self.on_disconnected(peer_id)

    def _transmit(self, peer_id: str, frames: list[bytes]) -> None:
        connection = self._links.get(peer_id)
        if connection is not None:
            self._on_leaving(self._node_id, peer_id, frames)
            connection.send(self._node_id, frames)


class _PeerEnd:
    """One connection to a peer."""

    def __init__(self, links: PeerLinks, peer_id: str) -> None:
        self._links = links
        self._peer_id = peer_id
        self._connection: Connection | None = None

    def opened(self, connection: Connection) -> None:
        self._connection = connection
        self._links.opened(self._peer_id, connection)

    def received(self, data: list[bytes]) -> None:
        self._links.received(self._peer_id, self._connection, data)

    def closed(self, _reason: str) -> None:
        self._links.closed(self._peer_id, self._connection)


class SimulatedSocket:
    """What `replication.links.FramedSocket` needs of a socket, at one end of a connection."""

    family: Final = socket.AF_UNIX  # a TCP socket would have options to set
    _fds: Final = itertools.count(_FIRST_FD)

    def __init__(self, name: str, inbox: Inbox, on_opened: Callable[[Any], None]) -> None:
        """``on_opened`` gets the socket once the connection of the host ``name`` stands."""
        self._name = name
        self._inbox = inbox
        self._on_opened = on_opened
        self._fd = next(self._fds)
        self._connection: Connection | None = None
        self._arrived = bytearray()
        self._ended = False

    # The end of a connection

    def opened(self, connection: Connection) -> None:
        self._connection = connection
        self._on_opened(self)
        self._inbox.ready(self._fd, WRITE)

    def received(self, data: list[bytes]) -> None:
        for piece in data:
            self._arrived += piece
        self._inbox.ready(self._fd, READ)

    def closed(self, _reason: str) -> None:
        self._ended = True
        self._inbox.ready(self._fd, READ)

    # The socket

    def fileno(self) -> int:
        return self._fd

    def setblocking(self, _blocking: bool) -> None:
        pass

    def getsockopt(self, _level: int, _option: int) -> int:
        return 0

    def recv(self, size_bytes: int) -> bytes:
        if not self._arrived:
            if self._ended:
                return b""
            raise BlockingIOError
        data = bytes(self._arrived[:size_bytes])
        del self._arrived[:size_bytes]
        return data

    def send(self, data: memoryview) -> int:
        if self._connection is not None:
            self._connection.send(self._name, [bytes(data)])
        return len(data)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close(self._name)


class DoorListener:
    """Where the door of one process listens."""

    def __init__(self, name: str, port: int, poller: EventSource, on_accepted: Callable[[Any, str], None]) -> None:
        assert isinstance(poller, Inbox), poller
        self.address = (name, port)
        self._inbox = poller
        self._on_accepted = on_accepted
        self._open = True

    def accept(self, caller: str) -> SimulatedSocket | None:
        if not self._open:
            return None
        return SimulatedSocket(self.address[0], self._inbox, lambda sock: self._on_accepted(sock, f"{caller}:0"))

    def close(self) -> None:
        self._open = False
