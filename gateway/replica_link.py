"""One connection to a replica's door: frames over TCP, behind the handshake.

A frame is ``u32 little-endian length | payload``, as in ``replication.links``. Until the handshake is done
nothing but its own small frames is read, and the replica must prove to be the node that the
configuration names at this address.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from struct import Struct
from typing import Final, cast

from replication.handshake import HANDSHAKE_FRAME_BYTES_MAX, Handshake, HandshakeRefused
from replication.protocol import ProtocolError

_LENGTH: Final = Struct("<I")
_FRAME_BYTES_MAX: Final = 64 * 1024 * 1024

logger = logging.getLogger(__name__)


class ReplicaLink(asyncio.Protocol):
    """``on_open``, ``on_frame`` and ``on_lost`` get the link itself; ``on_lost`` is called once per opened socket."""

    def __init__(
        self,
        handshake: Handshake,
        node_id: str,
        *,
        on_open: Callable[[ReplicaLink], None],
        on_frame: Callable[[ReplicaLink, bytes], None],
        on_lost: Callable[[ReplicaLink], None],
    ) -> None:
        self.node_id = node_id
        self.open = False
        self.heard_at_s = 0.0
        self._handshake = handshake
        self._on_open = on_open
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()

    def send(self, payload: bytes) -> None:
        """Queue one frame; the socket takes it when it can."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.writelines((_LENGTH.pack(len(payload)), payload))

    def close(self, reason: str) -> None:
        """Drop the link at once, whatever is still queued, because something is wrong with it."""
        if self._transport is not None and not self._transport.is_closing():
            logger.warning("link to %s dropped: %s", self.node_id, reason)
        self.abort()

    def abort(self) -> None:
        """Drop the link at once; nothing is wrong."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.heard_at_s = self._loop.time()
        self._send_handshake()

    def connection_lost(self, exc: Exception | None) -> None:
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
            if self._transport is None or self._transport.is_closing():
                return
            position = end
        del buffer[:position]

    def _receive(self, frame: bytes) -> None:
        try:
            if self.open:
                self._on_frame(self, frame)
            else:
                self._shake_hands(frame)
        except (HandshakeRefused, ProtocolError) as error:
            self.close(str(error))

    def _shake_hands(self, frame: bytes) -> None:
        self._handshake.receive(frame)
        self._send_handshake()
        if not self._handshake.done:
            return
        if (self._handshake.peer_role, self._handshake.peer_name) != ("node", self.node_id):
            peer = f"{self._handshake.peer_role} {self._handshake.peer_name}"
            raise HandshakeRefused(f"expected node {self.node_id} at this address, found {peer}")
        self.open = True
        self._on_open(self)

    def _send_handshake(self) -> None:
        for frame in self._handshake.outgoing():
            self.send(frame)
