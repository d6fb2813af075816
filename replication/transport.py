"""Links between the replicas of one cluster.

Every pair of nodes has one link; the node with the greater id dials, and tries again every 50 to 100 ms while the link
is down. If that does not help for two seconds the other dials too: it may know an address that the first does not. A
link carries nothing before both ends have proved by their certificates which nodes of this cluster they are
(`replication.handshake`); the listener binds to the address it was given and to no other. There are no read-only nodes,
no utility messages and no forwarding of commands. A node of the cluster is linked although it is not in the list of
peers: it may wait to be made a member, or have been removed without knowing it. What it may say is the replicated
log's business.

Messages wait in the outbox until the journal is on disk (`replication.poller`).
"""

import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from replication.handshake import HANDSHAKE_FRAME_BYTES_MAX, HandshakeRefused, check_hello, hello, require_peer
from replication.identity import NODE
from replication.links import FRAME_BYTES_MAX, FramedSocket
from replication.messages import MalformedMessage, Message, decode
from replication.name_resolver import NameResolver
from replication.outbox import Outbox
from replication.poller import EventSource
from replication.refusals import Refusals
from replication.tcp import Listener, connect
from replication.tls import LinkCredentials

_REDIAL_S = 0.05
_REDIAL_SPREAD_S = 0.05
_SECOND_DIALLER_S = 2.0
_REDIAL_AFTER_REFUSAL_S = 1.0
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
        credentials: LinkCredentials,
        group_id: bytes,
        bind: tuple[str, int],
        peers: Mapping[str, tuple[str, int]],
        poller: EventSource,
        clock_s: Callable[[], float],
    ) -> None:
        """Listen on `bind` (host, port) at once; OSError if that fails. `peers` are the other nodes' addresses.

        The credentials say which node this is, `group_id` (16 bytes) which of its replicas. `clock_s` is monotonic time
        in seconds.
        """
        node_id = credentials.identity.name
        assert node_id not in peers, f"{node_id} is not its own peer"
        self._node_id = node_id
        self._credentials = credentials
        self._group_id = group_id
        self._peers: dict[str, list[tuple[str, int]]] = {}
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
        self._refusals = Refusals(clock_s)
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
            if link.socket.connecting:
                link.socket.close("no answer")
            else:
                self._refuse(link, "it did not finish the handshake in time")
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
        try:
            sock = connect(address, port)
        except OSError as error:
            logger.debug("cannot dial %s at %s:%d: %s", peer_id, host, port, error)
            return
        who = f"{peer_id} at {host}:{port}"
        link = _PeerLink(who, now_s + _HANDSHAKE_TIMEOUT_S, dialled_id=peer_id, host=host)
        self._open(link, sock)
        self._dialling[peer_id] = link

    def _on_accepted(self, sock: socket.socket, address: str) -> None:
        host = address.rpartition(":")[0]
        if len(self._unproved) >= _UNPROVED_LINKS_MAX:
            self._refusals.warn(host, "too many handshakes are under way")
            sock.close()
            return
        self._open(_PeerLink(host, self._clock_s() + _HANDSHAKE_TIMEOUT_S), sock)

    def _open(self, link: "_PeerLink", sock: socket.socket) -> None:
        credentials = self._credentials
        link.socket = FramedSocket(
            sock,
            self._poller,
            credentials.client_context if link.dialled_id else credentials.server_context,
            on_secured=lambda: self._on_secured(link),
            on_frame=lambda frame: self._on_frame(link, frame),
            on_closed=lambda reason: self._on_closed(link, reason),
            connecting=bool(link.dialled_id),
            frame_bytes_max=HANDSHAKE_FRAME_BYTES_MAX,
        )
        self._unproved.append(link)

    def _on_secured(self, link: "_PeerLink") -> None:
        try:
            self._check_peer(link)
        except (HandshakeRefused, ValueError) as error:
            self._refuse(link, error)
            return
        if not link.dialled_id:
            link.socket.send(hello(self._group_id))

    def _check_peer(self, link: "_PeerLink") -> None:
        peer = link.socket.peer()
        expected = [link.dialled_id] if link.dialled_id else None
        require_peer(peer, cluster_id=self._credentials.identity.cluster_id, roles=(NODE,), names=expected)
        if peer.name == self._node_id:
            raise HandshakeRefused(f"its certificate is that of {peer.name}, which is this node: give it its own")
        link.peer_id = peer.name

    def _on_frame(self, link: "_PeerLink", frame: bytes) -> None:
        if link.proved:
            try:
                message = decode(frame)
            except MalformedMessage as error:
                link.socket.close(f"malformed message: {error}")
                return
            self.on_message(link.peer_id, message)
            return
        if link.dialled_id:
            # Also to one whom we refuse: then its log can say why.
            link.socket.send(hello(self._group_id))
        try:
            version = check_hello(frame, self._group_id)
        except HandshakeRefused as error:
            self._refuse(link, error)
            return
        if not link.socket.closed:
            self._on_proved(link, version)

    def _refuse(self, link: "_PeerLink", why: object) -> None:
        link.refusal = str(why)
        link.socket.close("refused")

    def _on_proved(self, link: "_PeerLink", version: int) -> None:
        peer_id = link.peer_id
        self._unproved.remove(link)
        self._dialling.pop(peer_id, None)
        older = self._links.get(peer_id)
        if older is not None:
            older.socket.close("replaced by a newer link")
        link.proved = True
        link.socket.frame_bytes_max = FRAME_BYTES_MAX
        self._links[peer_id] = link
        logger.info("linked with %s, in version %d of the link protocol", peer_id, version)
        self.on_connected(peer_id)

    def _on_closed(self, link: "_PeerLink", reason: str) -> None:
        if not link.proved:
            self._on_failed(link, reason)
        elif self._links.get(link.peer_id) is link:
            del self._links[link.peer_id]
            self._outbox.drop(link.peer_id)
            if link.peer_id in self._dial_at_s:
                self._dial_at_s[link.peer_id] = self._clock_s() + self._dialler_pause_s(link.peer_id)
            logger.info("lost the link with %s: %s", link.peer_id, reason)
            self.on_disconnected(link.peer_id)

    def _on_failed(self, link: "_PeerLink", reason: str) -> None:
        """A link that never was one. Peers that are down or start at this moment are not worth a warning."""
        logger.debug("no link with %s: %s", link.who, reason)
        self._unproved.remove(link)
        self._dialling.pop(link.dialled_id, None)
        refusal = link.refusal or link.socket.refusal
        if link.dialled_id in self._dial_at_s:  # nobody is any more when this node shuts down
            self._resolver.forget(link.host)
            if not refusal and link.socket.secured:
                refusal = "it turned this node away: its log says why"
            if refusal:
                again_s = self._clock_s() + _REDIAL_AFTER_REFUSAL_S
                self._dial_at_s[link.dialled_id] = max(self._dial_at_s[link.dialled_id], again_s)
        if refusal:
            self._refusals.warn(link.who, refusal)

    def _transmit(self, node_id: str, frames: list[bytes]) -> None:
        link = self._links.get(node_id)
        if link is None:
            return
        for frame in frames:
            link.socket.queue(frame)
        link.socket.flush()


class _PeerLink:
    """One link on its way from unknown to proved. `who` is for warnings: the host, or whom we dialled."""

    socket: FramedSocket

    def __init__(self, who: str, deadline_s: float, dialled_id: str = "", host: str = "") -> None:
        self.who = who
        self.deadline_s = deadline_s
        self.dialled_id = dialled_id
        self.host = host
        self.peer_id = ""
        self.proved = False
        self.refusal = ""
