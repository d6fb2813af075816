"""Links between the replicas of one cluster.

Every pair of nodes has one link; the node with the greater id dials, and tries again every 50 to 100 ms while the link
is down. If that does not help for two seconds the other dials too: it may know an address that the first does not. A
link carries nothing before both ends have proved the cluster secret (`replication.handshake`); the listener binds to
the address it was given and to no other. There are no read-only nodes, no utility messages and no forwarding of
commands. Who proved the secret is linked although it is not in the list of peers: a node that waits to be made a
member, or one that was removed and does not know it. What it may say is the replicated log's business.

Messages wait in the outbox until the journal is on disk (`replication.poller`).
"""

import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from replication.handshake import HANDSHAKE_FRAME_BYTES_MAX, NONCE_BYTES, Handshake, HandshakeRefused
from replication.links import FRAME_BYTES_MAX, FramedSocket, Listener, connect
from replication.messages import MalformedMessage, Message, decode
from replication.name_resolver import NameResolver
from replication.outbox import Outbox
from replication.poller import EventSource

_REDIAL_S = 0.05
_REDIAL_SPREAD_S = 0.05
_SECOND_DIALLER_S = 2.0
_HANDSHAKE_TIMEOUT_S = 2.0
_UNPROVED_LINKS_MAX = 64

logger = logging.getLogger(__name__)


class Transport(Protocol):
    """What the replicated log needs of the network. Peers go by their node ids."""

    on_message: Callable[[str, Message], None]
    on_connected: Callable[[str], None]
    on_disconnected: Callable[[str], None]

    @property
    def connected_ids(self) -> list[str]:
        """The peers that can be reached now, sorted."""

    def send(self, peer_id: str, message: Message) -> bool:
        """Queue a message until the next flush; False if the peer cannot be reached."""

    def flush(self, append_entries_only: bool) -> None:
        """Let queued messages leave."""

    def purge(self, current_term: int) -> None:
        """Drop queued messages of earlier terms."""

    def maintain(self) -> None:
        """Work that is due by the clock; called in every tick."""

    def destroy(self) -> None:
        """Close everything."""


class PeerTransport:
    """All links of one replica to its peers. The owner sets the three callbacks before the first poll."""

    def __init__(
        self,
        *,
        node_id: str,
        bind: tuple[str, int],
        peers: Mapping[str, tuple[str, int]],
        secret: bytes,
        cluster_id: bytes,
        poller: EventSource,
        clock_s: Callable[[], float],
    ) -> None:
        """Listen on `bind` (host, port) at once; OSError if that fails. `peers` are the other nodes' addresses.

        `clock_s` is monotonic time in seconds.
        """
        assert node_id not in peers, f"{node_id} is not its own peer"
        self._node_id = node_id
        self._peers: dict[str, list[tuple[str, int]]] = {}
        self._secret = secret
        self._cluster_id = cluster_id
        self._poller = poller
        self._clock_s = clock_s
        self.on_message: Callable[[str, Message], None] = lambda _peer_id, _message: None
        self.on_connected: Callable[[str], None] = lambda _peer_id: None
        self.on_disconnected: Callable[[str], None] = lambda _peer_id: None
        self._links: dict[str, _PeerLink] = {}
        self._unproved: list[_PeerLink] = []
        self._dial_at_s: dict[str, float] = {}
        self._dialling: dict[str, _PeerLink] = {}
        self._resolver = NameResolver()
        self._outbox = Outbox(self._transmit)
        self.set_peers({peer_id: [address] for peer_id, address in peers.items()})
        self._listener = Listener(bind[0], bind[1], poller, self._on_accepted)

    @property
    def address(self) -> tuple[str, int]:
        """Where this node listens for peers, as (host, port)."""
        return self._listener.address

    @property
    def connected_ids(self) -> list[str]:
        """The peers with a proved link, sorted."""
        return sorted(self._links)

    def set_peers(self, peers: Mapping[str, Sequence[tuple[str, int]]]) -> None:
        """Dial these peers from now on, each at one of its addresses after the other. Links that are up stay up."""
        self._peers = {peer_id: list(addresses) for peer_id, addresses in peers.items()}
        known = self._dial_at_s
        self._dial_at_s = {
            peer_id: known.get(peer_id, self._clock_s() + self._dialler_pause_s(peer_id))
            for peer_id, addresses in peers.items()
            if addresses
        }

    def set_peer_address(self, peer_id: str, host: str, port: int) -> None:
        """Dial a known peer at another address from now on."""
        assert peer_id in self._peers, f"{peer_id} is not a peer"
        self._peers[peer_id] = [(host, port)]

    def send(self, peer_id: str, message: Message) -> bool:
        """Queue a message until the next flush; False if there is no link to the peer."""
        if peer_id not in self._links:
            return False
        self._outbox.queue(peer_id, message)
        return True

    def flush(self, append_entries_only: bool) -> None:
        """Let queued messages leave."""
        self._outbox.flush(append_entries_only)

    def purge(self, current_term: int) -> None:
        """Drop queued messages of earlier terms."""
        self._outbox.purge(current_term)

    def maintain(self) -> None:
        """Dial peers that are due and give up on handshakes that take too long. Call it in every tick."""
        now_s = self._clock_s()
        for link in [link for link in self._unproved if link.deadline_s <= now_s]:
            link.socket.close("the handshake took too long")
        for peer_id, due_s in self._dial_at_s.items():
            if due_s <= now_s and peer_id not in self._links and peer_id not in self._dialling:
                self._dial(peer_id, now_s)

    def destroy(self) -> None:
        """Close listener and links."""
        self._listener.close()
        self._dial_at_s.clear()
        for link in [*self._unproved, *self._links.values()]:
            link.socket.close("this node shuts down")

    def _dialler_pause_s(self, peer_id: str) -> float:
        """How long to leave the dialling to the peer: two that dial at once would cut each other off."""
        return 0.0 if self._node_id > peer_id else _SECOND_DIALLER_S

    def _dial(self, peer_id: str, now_s: float) -> None:
        # The spread keeps two dialling nodes from meeting a starting one at the same instants for ever.
        spread_s = _REDIAL_SPREAD_S * os.urandom(1)[0] / 255
        self._dial_at_s[peer_id] = now_s + (self._dialler_pause_s(peer_id) or _REDIAL_S) + spread_s
        addresses = self._peers[peer_id]
        host, port = addresses[0]
        addresses.append(addresses.pop(0))
        address = self._resolver.lookup(host)
        if address is None:
            return
        link = _PeerLink(self._handshake(is_client=True), now_s + _HANDSHAKE_TIMEOUT_S, dialled_id=peer_id, host=host)
        try:
            link.socket = connect(
                address,
                port,
                self._poller,
                on_frame=lambda frame: self._on_frame(link, frame),
                on_closed=lambda reason: self._on_closed(link, reason),
                on_connected=lambda: self._send_handshake(link),
                frame_bytes_max=HANDSHAKE_FRAME_BYTES_MAX,
            )
        except OSError as error:
            logger.debug("cannot dial %s at %s:%d: %s", peer_id, host, port, error)
            return
        self._dialling[peer_id] = link
        self._unproved.append(link)

    def _on_accepted(self, sock: socket.socket, address: str) -> None:
        if len(self._unproved) >= _UNPROVED_LINKS_MAX:
            logger.warning("refused a link from %s: too many handshakes are under way", address)
            sock.close()
            return
        link = _PeerLink(self._handshake(is_client=False), self._clock_s() + _HANDSHAKE_TIMEOUT_S)
        link.socket = FramedSocket(
            sock,
            self._poller,
            on_frame=lambda frame: self._on_frame(link, frame),
            on_closed=lambda reason: self._on_closed(link, reason),
            frame_bytes_max=HANDSHAKE_FRAME_BYTES_MAX,
        )
        self._unproved.append(link)
        self._send_handshake(link)

    def _handshake(self, *, is_client: bool) -> Handshake:
        return Handshake(
            secret=self._secret,
            cluster_id=self._cluster_id,
            role="node",
            name=self._node_id,
            is_client=is_client,
            nonce=os.urandom(NONCE_BYTES),
        )

    def _send_handshake(self, link: "_PeerLink") -> None:
        for frame in link.handshake.outgoing():
            link.socket.queue(frame)
        link.socket.flush()

    def _on_frame(self, link: "_PeerLink", frame: bytes) -> None:
        if link.peer_id:
            try:
                message = decode(frame)
            except MalformedMessage as error:
                link.socket.close(f"malformed message: {error}")
                return
            self.on_message(link.peer_id, message)
            return
        try:
            link.handshake.receive(frame)
            if link.handshake.done:
                self._check_peer(link)
        except HandshakeRefused as error:
            logger.warning("refused a link: %s", error)
            link.socket.close(f"refused: {error}")
            return
        self._send_handshake(link)
        if link.handshake.done and not link.socket.closed:
            self._on_proved(link)

    def _check_peer(self, link: "_PeerLink") -> None:
        peer_id = link.handshake.peer_name
        if link.handshake.peer_role != "node":
            raise HandshakeRefused(f"{link.handshake.peer_role} {peer_id!r} is not a replica of this cluster")
        if link.dialled_id and link.dialled_id != peer_id:
            raise HandshakeRefused(f"dialled {link.dialled_id!r}, but {peer_id!r} answered")

    def _on_proved(self, link: "_PeerLink") -> None:
        peer_id = link.handshake.peer_name
        self._unproved.remove(link)
        self._dialling.pop(peer_id, None)
        older = self._links.get(peer_id)
        if older is not None:
            older.socket.close("replaced by a newer link")
        link.peer_id = peer_id
        link.socket.frame_bytes_max = FRAME_BYTES_MAX
        self._links[peer_id] = link
        logger.info("linked with %s", peer_id)
        self.on_connected(peer_id)

    def _on_closed(self, link: "_PeerLink", reason: str) -> None:
        if link in self._unproved:
            self._unproved.remove(link)
            if link.dialled_id:
                self._dialling.pop(link.dialled_id, None)
                self._resolver.forget(link.host)
        if link.peer_id and self._links.get(link.peer_id) is link:
            del self._links[link.peer_id]
            self._outbox.drop(link.peer_id)
            if link.peer_id in self._dial_at_s:
                self._dial_at_s[link.peer_id] = self._clock_s() + self._dialler_pause_s(link.peer_id)
            logger.info("lost the link with %s: %s", link.peer_id, reason)
            self.on_disconnected(link.peer_id)

    def _transmit(self, node_id: str, frames: list[bytes]) -> None:
        link = self._links.get(node_id)
        if link is None:
            return
        for frame in frames:
            link.socket.queue(frame)
        link.socket.flush()


class _PeerLink:
    """One TCP link on its way from unknown to proved."""

    socket: FramedSocket

    def __init__(self, handshake: Handshake, deadline_s: float, dialled_id: str = "", host: str = "") -> None:
        self.handshake = handshake
        self.deadline_s = deadline_s
        self.dialled_id = dialled_id
        self.host = host
        self.peer_id = ""
