"""The door for gateways, for relays of other groups, for operators and for readers of history.

It authenticates links, takes commands and questions, sends outcomes and answers.

It decides nothing. Commands go to the node in the order in which they came on their link; their outcomes
come back through :meth:`DoorLink.answer` and leave together at the end of the tick.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import Final, Protocol

from engine.codec import CodecError, decode_command
from replication import protocol
from replication.handshake import HANDSHAKE_FRAME_BYTES_MAX, HandshakeRefused, check_hello, hello, require_peer
from replication.identity import GATEWAY, NODE, OPERATOR, READER
from replication.links import FramedSocket
from replication.poller import EventSource
from replication.protocol import Answer, ProtocolError, Query, Result, Status
from replication.refusals import Refusals
from replication.tcp import Listener
from replication.tls import LinkCredentials

logger = logging.getLogger(__name__)

BACKLOG_BYTES_MAX: Final = 64 * 1024 * 1024  # a gateway that reads slower than that is cut off
HANDSHAKE_TIME_S: Final = 5.0
UNAUTHENTICATED_LINKS_MAX: Final = 64

_ROLES: Final = (GATEWAY, NODE, OPERATOR, READER)


class Listening(Protocol):
    """What the door keeps of where it listens."""

    @property
    def address(self) -> tuple[str, int]: ...

    def close(self) -> None: ...


Listen = Callable[[str, int, EventSource, Callable[[socket.socket, str], None]], Listening]
"""Begins to listen: (host, port, poller, on_accepted), as `replication.tcp.Listener` does."""


class Desk(Protocol):
    """What the door needs of the node behind it."""

    def submit(self, link: DoorLink, correlation: int, command: bytes) -> None:
        """Take a well-formed command towards the log; answer it on the link sooner or later."""

    def ask(self, query: Query, reply: Callable[[Answer], None], *, is_operator: bool) -> None:
        """Answer a question, now or later; the answer's correlation is filled in by the door.

        ``is_operator`` is whether an operator's certificate asks.
        """

    def status(self) -> Status: ...


class DoorLink:
    """One link of a gateway, of a node whose group sends a transfer, of an operator or of a reader."""

    def __init__(self, door: Door, sock: socket.socket, host: str) -> None:
        self.opened_at_s = door.now_s()
        self.authenticated = False
        self.name = self.role = ""
        self._door = door
        self._host = host
        self._results: list[Result] = []
        self.socket = FramedSocket(
            sock,
            door.poller,
            door.credentials.server_context,
            on_secured=self._on_secured,
            on_frame=self._on_frame,
            on_closed=self._on_closed,
            frame_bytes_max=HANDSHAKE_FRAME_BYTES_MAX,
        )

    def answer(self, result: Result) -> None:
        """Tell the outcome of a command at the end of this tick; dropped if the link is gone."""
        if not self.socket.closed:
            self._results.append(result)
            self._door.links_to_flush[self] = None

    def send(self, frame: bytes) -> None:
        if not self.socket.closed:
            self.socket.queue(frame)
            self._door.links_to_flush[self] = None

    def flush(self) -> None:
        if self._results:
            self.socket.queue(protocol.encode_results(self._results))
            self._results.clear()
        self.socket.flush()
        if self.socket.backlog_bytes > BACKLOG_BYTES_MAX:
            self.socket.close("the gateway does not read its answers")

    def refuse(self, why: object) -> None:
        """Turn away who has not authenticated."""
        self._door.refusals.warn(self._host, why)
        self.socket.close("refused")

    def _on_secured(self) -> None:
        try:
            peer = self.socket.peer()
            require_peer(peer, cluster_id=self._door.credentials.identity.cluster_id, roles=_ROLES)
        except (HandshakeRefused, ValueError) as error:
            self.refuse(error)
            return
        self.name, self.role = peer.name, peer.role
        self.socket.send(hello(self._door.group_id))

    def _on_frame(self, frame: bytes) -> None:
        if not self.authenticated:
            self._on_hello(frame)
            return
        try:
            if frame[:1] == bytes((protocol.SUBMIT,)):
                self._on_submit(frame)
            else:
                self._on_query(frame)
        except ProtocolError as error:
            logger.warning("closing the link of %s %s: %s", self.role, self.name, error)
            self.socket.close(str(error))

    def _on_hello(self, frame: bytes) -> None:
        try:
            check_hello(frame, self._door.group_id)
        except HandshakeRefused as error:
            self.refuse(error)
            return
        self.authenticated = True
        self.socket.frame_bytes_max = protocol.FRAME_BYTES_MAX
        self.send(protocol.encode_message(self._door.desk.status()))

    def _on_submit(self, frame: bytes) -> None:
        if self.role in (OPERATOR, READER):
            raise ProtocolError(f"a certificate of role {self.role!r} sends no commands here")
        for correlation, command in protocol.decode_submit(frame):
            try:
                decode_command(command)
            except CodecError as error:
                logger.warning("gateway %s sent a malformed command: %s", self.name, error)
                self.answer(Result(correlation, protocol.MALFORMED, 0, 0, b""))
            else:
                self._door.desk.submit(self, correlation, command)

    def _on_query(self, frame: bytes) -> None:
        query = protocol.decode_message(frame)
        if not isinstance(query, Query):
            raise ProtocolError("a gateway sends commands and questions only")
        correlation = query.correlation

        def reply(answer: Answer) -> None:
            self.send(protocol.encode_message(Answer(correlation, answer.sequence, answer.value, answer.error)))

        if self.role == READER and query.name not in protocol.READER_QUESTIONS:
            allowed = " and ".join(sorted(protocol.READER_QUESTIONS))
            reply(Answer(0, 0, None, f"a reader's certificate may ask for {allowed}, not for {query.name!r}"))
            return
        self._door.desk.ask(query, reply, is_operator=self.role == OPERATOR)

    def _on_closed(self, reason: str) -> None:
        if self.authenticated:
            logger.info("%s %s is gone: %s", self.role, self.name, reason)
        elif self.socket.refusal:
            self._door.refusals.warn(self._host, self.socket.refusal)
        self._door.links.pop(self, None)
        self._door.links_to_flush.pop(self, None)


class Door:
    """Listens for gateways and keeps their links."""

    def __init__(
        self,
        address: tuple[str, int],
        poller: EventSource,
        desk: Desk,
        *,
        credentials: LinkCredentials,
        group_id: bytes,
        now_s: Callable[[], float],
        listen: Listen = Listener,
    ) -> None:
        self.poller = poller
        self.desk = desk
        self.links: dict[DoorLink, None] = {}
        self.links_to_flush: dict[DoorLink, None] = {}
        self.credentials = credentials
        self.group_id = group_id
        self.now_s = now_s
        self.refusals = Refusals(now_s)
        self._listener = listen(address[0], address[1], poller, self._on_accepted)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens, as (host, port)."""
        return self._listener.address

    def tell_status(self) -> None:
        """Tell every gateway where this replica stands; cuts off who did not authenticate in time."""
        frame = protocol.encode_message(self.desk.status())
        for link in list(self.links):
            if link.authenticated:
                link.send(frame)
            elif self.now_s() - link.opened_at_s > HANDSHAKE_TIME_S:
                link.refuse("it did not finish the handshake in time")

    def flush(self) -> None:
        """Let everything out that was answered in this tick."""
        while self.links_to_flush:
            link, _ = self.links_to_flush.popitem()
            if not link.socket.closed:
                link.flush()

    def close(self) -> None:
        self._listener.close()
        for link in list(self.links):
            link.socket.close("the replica stops")

    def _on_accepted(self, sock: socket.socket, address: str) -> None:
        host = address.rpartition(":")[0]
        if sum(not link.authenticated for link in self.links) >= UNAUTHENTICATED_LINKS_MAX:
            self.refusals.warn(host, "too many links wait for their handshake")
            sock.close()
            return
        self.links[DoorLink(self, sock, host)] = None
