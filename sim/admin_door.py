"""An operator's link to one door: TLS and frames as on a gateway's, one question at a time, blocking.

A gateway's links (``gateway.replica_link``) never block; here somebody waits at a terminal.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any, Final

from replication import protocol
from replication.dialled_door import DialledDoor
from replication.poller import Poller
from replication.protocol import Answer, ProtocolError, Query
from replication.tls import LinkCredentials

CONNECT_TIMEOUT_S: Final = 2.0
ANSWER_TIMEOUT_S: Final = 12.0  # a replica gives up on a change after ten seconds, and then says so
_POLL_S: Final = 0.05


class DoorUnreachable(Exception):
    """Nobody answered there, or not as the node that was expected. Whether a question arrived is not known."""


class OperatorLink:
    """One link to the door of `node_id`; use it in a ``with`` block."""

    def __init__(self, node_id: str, address: tuple[str, int], group_id: bytes, credentials: LinkCredentials) -> None:
        """DoorUnreachable unless the node proves itself in time."""
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

    def __enter__(self) -> OperatorLink:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._door.close("done")
        self._poller.close()

    def ask(self, name: str, **arguments: Any) -> Answer:
        """The replica's answer, which may be an error; DoorUnreachable if there is none in time."""
        correlation = next(self._correlations)
        self._door.send(protocol.encode_message(Query(correlation, name, arguments)))
        self._wait(lambda: correlation in self._answers, ANSWER_TIMEOUT_S)
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
        if frame[:1] != bytes((protocol.ANSWER,)):
            return
        try:
            answer = protocol.decode_message(frame)
        except ProtocolError as error:
            self._door.close(str(error))
            return
        assert isinstance(answer, Answer)
        self._answers[answer.correlation] = answer

    def _on_closed(self, reason: str) -> None:
        if reason == "closed by the other side" and self._door.was_turned_away:
            reason = "it turned this operator away: its log says why"
        self._closed_because = self._door.refusal or reason
