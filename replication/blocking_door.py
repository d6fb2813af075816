"""A link to one door for who may wait: TLS and frames as on a gateway's, one question at a time, blocking.

For an operator at a terminal, and for programs that read history (``replication.entry_source``). A gateway's links
(``gateway.replica_link``) never block.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any, Final

from replication import protocol
from replication.dialled_door import DialledDoor
from replication.poller import Poller
from replication.protocol import Answer, ProtocolError, Query, Status
from replication.tls import LinkCredentials

CONNECT_TIMEOUT_S: Final = 2.0
ANSWER_TIMEOUT_S: Final = 12.0  # a replica gives up on a change after ten seconds, and then says so
_POLL_S: Final = 0.05


class DoorUnreachable(Exception):
    """Nobody answered there, or not as the node that was expected. Whether a question arrived is not known."""


class BlockingDoor:
    """One link to the door of `node_id`; use it in a ``with`` block. ``status`` is the newest that it told."""

    def __init__(
        self,
        node_id: str,
        address: tuple[str, int],
        group_id: bytes,
        credentials: LinkCredentials,
        *,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> None:
        """DoorUnreachable unless the node proves itself in time."""
        self.status: Status | None = None
        self._answer_timeout_s = answer_timeout_s
        self._role = credentials.identity.role
        self._where = f"{node_id} ({address[0]}:{address[1]})"
        self._poller = Poller()
        self._closed_because = ""
        self._answers: dict[int, Answer] = {}
        self._correlations = itertools.count(1)
        try:
            self._door = DialledDoor(
                node_id,
                address,
                group_id=group_id,
                credentials=credentials,
                poller=self._poller,
                on_frame=self._on_frame,
                on_closed=self._on_closed,
            )
        except OSError as error:
            self._poller.close()
            raise DoorUnreachable(f"{self._where} cannot be reached: {error}") from None
        try:
            self._wait(lambda: self._door.open, CONNECT_TIMEOUT_S)
        except DoorUnreachable:
            self.close()
            raise

    def __enter__(self) -> BlockingDoor:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._door.close("done")
        self._poller.close()

    def ask(self, name: str, *, min_sequence: int | None = None, wait_ms: int = 0, **arguments: Any) -> Answer:
        """The replica's answer, which may be an error; DoorUnreachable if there is none in time.

        ``min_sequence`` and ``wait_ms`` as in `replication.protocol.Query`.
        """
        correlation = next(self._correlations)
        self._door.send(protocol.encode_message(Query(correlation, name, arguments, min_sequence, wait_ms)))
        self._wait(lambda: correlation in self._answers, self._answer_timeout_s + wait_ms / 1_000)
        return self._answers.pop(correlation)

    def _wait(self, condition: Callable[[], bool], timeout_s: float) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            if self._closed_because:
                raise DoorUnreachable(f"{self._where} cannot be reached: {self._closed_because}")
            if time.monotonic() > deadline_s:
                raise DoorUnreachable(f"{self._where} does not answer")
            self._poller.poll(_POLL_S)

    def _on_frame(self, frame: bytes) -> None:
        try:
            message = protocol.decode_message(frame)
        except ProtocolError as error:
            self._door.close(str(error))
            return
        if isinstance(message, Answer):
            self._answers[message.correlation] = message
        elif isinstance(message, Status):
            self.status = message

    def _on_closed(self, reason: str) -> None:
        if reason == "closed by the other side" and self._door.was_turned_away:
            reason = f"it turned this {self._role} away: its log says why"
        self._closed_because = self._door.refusal or reason
