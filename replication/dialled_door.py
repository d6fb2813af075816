"""The dialling end of a link to a door: it must be the node that was dialled, then both say hello, then come frames.

For who is no gateway and has a poller: the relay of a group (``replication.door_client``), an operator's command.
"""

from __future__ import annotations

from collections.abc import Callable

from replication.handshake import HANDSHAKE_FRAME_BYTES_MAX, HandshakeRefused, check_hello, hello, require_peer
from replication.identity import NODE
from replication.links import FramedSocket
from replication.poller import EventSource
from replication.protocol import FRAME_BYTES_MAX
from replication.tcp import connect
from replication.tls import LinkCredentials


class DialledDoor:
    """``open`` is whether the node has proved itself and said hello; before that nothing is sent."""

    def __init__(
        self,
        node_id: str,
        address: tuple[str, int],
        *,
        group_id: bytes,
        credentials: LinkCredentials,
        poller: EventSource,
        on_frame: Callable[[bytes], None],
        on_closed: Callable[[str], None],
    ) -> None:
        """Begin to dial a (host, port); OSError if that fails at once. ``on_closed`` gets the reason."""
        self.open = False
        self._node_id = node_id
        self._group_id = group_id
        self._cluster_id = credentials.identity.cluster_id
        self._on_frame = on_frame
        self._refusal = ""
        self._socket = FramedSocket(
            connect(*address),
            poller,
            credentials.client_context,
            on_secured=self._on_secured,
            on_frame=self._receive,
            on_closed=on_closed,
            connecting=True,
            frame_bytes_max=HANDSHAKE_FRAME_BYTES_MAX,
        )

    @property
    def refusal(self) -> str:
        """Why we do not speak with who is there, in words for an operator; empty if that is not so."""
        return self._refusal or self._socket.refusal

    @property
    def was_turned_away(self) -> bool:
        """Whether TLS was done for us when the other side closed the link without a hello.

        In TLS 1.3 the replica looks at our certificate only then.
        """
        return self._socket.secured and not self.open

    def send(self, frame: bytes) -> None:
        self._socket.send(frame)

    def close(self, reason: str) -> None:
        self._socket.close(reason)

    def _on_secured(self) -> None:
        try:
            require_peer(self._socket.peer(), cluster_id=self._cluster_id, roles=(NODE,), names=(self._node_id,))
        except (HandshakeRefused, ValueError) as error:
            self._refuse(error)

    def _receive(self, frame: bytes) -> None:
        if self.open:
            self._on_frame(frame)
            return
        # Also to one whom we refuse: then its log can say why.
        self._socket.send(hello(self._group_id))
        try:
            check_hello(frame, self._group_id)
        except HandshakeRefused as error:
            self._refuse(error)
            return
        self.open = True
        self._socket.frame_bytes_max = FRAME_BYTES_MAX

    def _refuse(self, why: Exception) -> None:
        self._refusal = str(why)
        self._socket.close(self._refusal)
