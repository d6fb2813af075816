"""A replica's link to the leader of another group, on the replica's own poller.

To the door of the other group it is a gateway like any other: the same handshake, the same frames. There is one link,
to the replica that is thought to lead; one that does not serve says who does. It is dialled when there is something to
send and closed when there has been nothing for a while.
"""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Callable, Mapping
from typing import Final

from replication import protocol
from replication.handshake import HANDSHAKE_FRAME_BYTES_MAX, NONCE_BYTES, Handshake, HandshakeRefused
from replication.links import FramedSocket, connect
from replication.name_resolver import NameResolver
from replication.poller import EventSource
from replication.protocol import FRAME_BYTES_MAX, ProtocolError, Result, Status

CONNECT_TIMEOUT_S: Final = 2.0
SILENCE_S_MAX: Final = 3.0  # a replica tells its status every second
REDIAL_PAUSE_S: Final = 0.1
IDLE_S_MAX: Final = 30.0

logger = logging.getLogger(__name__)

OnResult = Callable[[int, Result], None]
OnLost = Callable[[list[int]], None]

_CORRELATION_MASK: Final = 0xFFFF_FFFF


class DoorClient:
    """``on_result`` gets a result and the token of its command, ``on_lost`` the tokens of a broken link."""

    def __init__(
        self,
        *,
        group: str,
        doors: Mapping[str, tuple[str, int]],
        group_id: bytes,
        secret: bytes,
        name: str,
        poller: EventSource,
        now_s: Callable[[], float],
        on_result: OnResult,
        on_lost: OnLost,
    ) -> None:
        """``doors`` are the (host, port) of each node of the group; ``name`` is what we call ourselves there."""
        self._group = group
        self._doors = dict(doors)
        self._group_id = group_id
        self._secret = secret
        self._name = name
        self._poller = poller
        self._now_s = now_s
        self._on_result = on_result
        self._on_lost = on_lost
        self._resolver = NameResolver()
        self._node_id = next(iter(self._doors))  # whom we dial, now or next
        self._socket: FramedSocket | None = None
        self._handshake: Handshake | None = None
        self._serving = False
        self._correlations = itertools.count(1)
        self._sent: dict[int, int] = {}  # tokens by correlation
        self._dial_at_s = 0.0
        self._heard_at_s = 0.0
        self._used_at_s = 0.0

    def submit(self, token: int, command: bytes) -> bool:
        """Send a command if the link stands and its other end serves; dial otherwise."""
        self._used_at_s = self._now_s()
        if self._socket is None:
            self._dial()
            return False
        if not self._serving:
            return False
        correlation = next(self._correlations) & _CORRELATION_MASK
        self._sent[correlation] = token
        self._socket.send(protocol.encode_submit([(correlation, command)]))
        return True

    def maintain(self) -> None:
        """Drop a link that says nothing, or that nobody needs. Call it in every tick."""
        if self._socket is None:
            return
        now_s = self._now_s()
        patience_s = SILENCE_S_MAX if self._handshake is not None and self._handshake.done else CONNECT_TIMEOUT_S
        if now_s - self._heard_at_s > patience_s:
            self._socket.close("it says nothing")
        elif now_s - self._used_at_s > IDLE_S_MAX:
            self._socket.close("nothing is to be sent")

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close("this replica stops")

    def _dial(self) -> None:
        now_s = self._now_s()
        if now_s < self._dial_at_s:
            return
        self._dial_at_s = now_s + REDIAL_PAUSE_S
        host, port = self._doors[self._node_id]
        address = self._resolver.lookup(host)
        if address is None:
            return
        self._heard_at_s = now_s
        self._handshake = Handshake(
            secret=self._secret,
            cluster_id=self._group_id,
            role="gateway",
            name=self._name,
            is_client=True,
            nonce=os.urandom(NONCE_BYTES),
        )
        try:
            self._socket = connect(
                address,
                port,
                self._poller,
                on_frame=self._on_frame,
                on_closed=self._on_closed,
                on_connected=self._send_handshake,
                frame_bytes_max=HANDSHAKE_FRAME_BYTES_MAX,
            )
        except OSError as error:
            logger.debug("cannot dial %s of group %s: %s", self._node_id, self._group, error)
            self._try_another()

    def _send_handshake(self) -> None:
        assert self._socket is not None and self._handshake is not None
        for frame in self._handshake.outgoing():
            self._socket.send(frame)

    def _on_frame(self, frame: bytes) -> None:
        assert self._socket is not None and self._handshake is not None
        self._heard_at_s = self._now_s()
        try:
            if not self._handshake.done:
                self._shake_hands(frame)
            elif frame[:1] == bytes((protocol.RESULT,)):
                for result in protocol.decode_results(frame):
                    token = self._sent.pop(result.correlation, None)
                    if token is not None:
                        self._on_result(token, result)
            else:
                message = protocol.decode_message(frame)
                if isinstance(message, Status):
                    self._on_status(message)
        except (HandshakeRefused, ProtocolError) as error:
            logger.warning("dropping the link to %s of group %s: %s", self._node_id, self._group, error)
            if self._socket is not None:
                self._socket.close(str(error))

    def _shake_hands(self, frame: bytes) -> None:
        assert self._socket is not None and self._handshake is not None
        self._handshake.receive(frame)
        if self._handshake.done:
            peer = (self._handshake.peer_role, self._handshake.peer_name)
            if peer != ("node", self._node_id):
                raise HandshakeRefused(f"expected node {self._node_id}, found {peer[0]} {peer[1]}")
            self._socket.frame_bytes_max = FRAME_BYTES_MAX
        self._send_handshake()

    def _on_status(self, status: Status) -> None:
        self._serving = status.serving
        if status.serving:
            return
        assert self._socket is not None
        if status.leader in self._doors and status.leader != self._node_id:
            self._node_id = status.leader
            self._dial_at_s = 0.0
            self._socket.close(f"{status.leader} leads")
        elif not status.leader:
            self._socket.close("it knows no leader")

    def _on_closed(self, reason: str) -> None:
        led_elsewhere = self._dial_at_s == 0.0
        logger.debug("link of group %s closed: %s", self._group, reason)
        self._socket = None
        self._handshake = None
        self._serving = False
        lost, self._sent = list(self._sent.values()), {}
        if not led_elsewhere:
            self._try_another()
        if lost:
            self._on_lost(lost)

    def _try_another(self) -> None:
        order = list(self._doors)
        self._node_id = order[(order.index(self._node_id) + 1) % len(order)]
