"""One connection to a replica's door: frames over TLS, behind the handshake.

A frame is ``u32 little-endian length | payload``, as in ``replication.links``. The replica must prove by its
certificate to be the node that the configuration names at this address; until it has said hello, nothing is sent.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from struct import Struct
from typing import Final, cast

from replication.handshake import HANDSHAKE_FRAME_BYTES_MAX, HandshakeRefused, check_hello, hello, require_peer
from replication.identity import NODE
from replication.protocol import ProtocolError
from replication.tls import read_identity, refusal_reason

_LENGTH: Final = Struct("<I")
_FRAME_BYTES_MAX: Final = 64 * 1024 * 1024
_TURNED_AWAY: Final = "it turned this gateway away: its log says why"

logger = logging.getLogger(__name__)


class ReplicaLink(asyncio.Protocol):
    """``on_open``, ``on_frame`` and ``on_lost`` get the link itself; ``on_lost`` is called once per opened socket."""

    def __init__(
        self,
        node_id: str,
        cluster_id: bytes,
        group_id: bytes,
        *,
        on_open: Callable[[ReplicaLink], None],
        on_frame: Callable[[ReplicaLink, bytes], None],
        on_lost: Callable[[ReplicaLink], None],
    ) -> None:
        self.node_id = node_id
        self.open = False
        self.refusal = ""
        """Why this link never opened, in words for an operator; empty if nobody refused anybody."""
        self.certificate_expires_s = 0.0
        self.heard_at_s = 0.0
        self._cluster_id = cluster_id
        self._group_id = group_id
        self._on_open = on_open
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()

    def send(self, payload: bytes) -> None:
        """Queue one frame; the socket takes it when it can."""
        if self._transport is not None and not self._transport.is_closing():
            # Joined, because each piece would become a TLS record of its own.
            self._transport.write(_LENGTH.pack(len(payload)) + payload)

    def close(self, reason: str) -> None:
        """Drop the link at once, whatever is still queued, because something is wrong with it."""
        if self._transport is not None:
            logger.warning("link to %s dropped: %s", self.node_id, reason)
        self.abort()

    def abort(self) -> None:
        """Drop the link at once; nothing is wrong."""
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TLS is done: look at whose certificate it was."""
        self._transport = cast(asyncio.Transport, transport)
        self.heard_at_s = self._loop.time()
        certificate = transport.get_extra_info("peercert")
        try:
            peer = read_identity(certificate)
            require_peer(peer, cluster_id=self._cluster_id, roles=(NODE,), names=(self.node_id,))
        except (HandshakeRefused, ValueError) as error:
            self._refuse(error)
            return
        self.certificate_expires_s = ssl.cert_time_to_seconds(certificate["notAfter"])

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None and not self.open:
            # In TLS 1.3 the replica looks at our certificate when TLS is done for us already.
            self.refusal = refusal_reason(exc) if isinstance(exc, ssl.SSLError) else _TURNED_AWAY
        self.open = False
        self._transport = None
        self._on_lost(self)

    def data_received(self, data: bytes) -> None:
        self.heard_at_s = self._loop.time()
        buffer = self._buffer
        buffer += data
        position = 0
        while len(buffer) - position >= _LENGTH.size:
            length = _LENGTH.unpack_from(buffer, position)[0]
            if length > (_FRAME_BYTES_MAX if self.open else HANDSHAKE_FRAME_BYTES_MAX):
                self.close(f"a frame of {length} bytes is too large")
                return
            end = position + _LENGTH.size + length
            if end > len(buffer):
                break
            self._receive(bytes(buffer[position + _LENGTH.size : end]))
            if self._transport is None:
                return
            position = end
        del buffer[:position]

    def _receive(self, frame: bytes) -> None:
        try:
            if self.open:
                self._on_frame(self, frame)
            else:
                # Also to one whom we refuse: then its log can say why.
                self.send(hello(self._group_id))
                check_hello(frame, self._group_id)
                self.open = True
                self._on_open(self)
        except HandshakeRefused as error:
            self._refuse(error)
        except ProtocolError as error:
            self.close(str(error))

    def _refuse(self, why: object) -> None:
        self.refusal = str(why)
        self.abort()
