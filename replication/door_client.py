"""A replica's link to the leader of another group, on the replica's own poller.

To the door of the other group it is a client like a gateway: the same handshake, the same frames, but a node's
certificate. There is one link, to the replica that is thought to lead; one that does not serve says who does. It is
dialled when there is something to send and closed when there has been nothing for a while.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Mapping
from typing import Final

from replication import protocol
from replication.dialled_door import DialledDoor
from replication.name_resolver import NameResolver
from replication.poller import EventSource
from replication.protocol import ProtocolError, Result, Status
from replication.refusals import Refusals
from replication.tls import LinkCredentials

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
        credentials: LinkCredentials,
        poller: EventSource,
        now_s: Callable[[], float],
        on_result: OnResult,
        on_lost: OnLost,
    ) -> None:
        """``doors`` are the (host, port) of each node of the group, until it says them itself.

        The credentials say which node we are.
        """
        self._group = group
        self._doors = dict(doors)
        self._group_id = group_id
        self._credentials = credentials
        self._poller = poller
        self._now_s = now_s
        self._on_result = on_result
        self._on_lost = on_lost
        self._resolver = NameResolver()
        self._node_id = next(iter(self._doors))  # whom we dial, now or next
        self._link: DialledDoor | None = None
        self._refusals = Refusals(now_s)
        self._serving = False
        self._correlations = itertools.count(1)
        self._sent: dict[int, int] = {}  # tokens by correlation
        self._dial_at_s = 0.0
        self._heard_at_s = 0.0
        self._used_at_s = 0.0

    def submit(self, token: int, command: bytes) -> bool:
        """Send a command if the link stands and its other end serves; dial otherwise."""
        self._used_at_s = self._now_s()
        if self._link is None:
            self._dial()
            return False
        if not self._serving:
            return False
        correlation = next(self._correlations) & _CORRELATION_MASK
        self._sent[correlation] = token
        self._link.send(protocol.encode_submit([(correlation, command)]))
        return True

    def maintain(self) -> None:
        """Drop a link that says nothing, or that nobody needs. Call it in every tick."""
        if self._link is None:
            return
        now_s = self._now_s()
        patience_s = SILENCE_S_MAX if self._link.open else CONNECT_TIMEOUT_S
        if now_s - self._heard_at_s > patience_s:
            self._link.close("it says nothing")
        elif now_s - self._used_at_s > IDLE_S_MAX:
            self._link.close("nothing is to be sent")

    def close(self) -> None:
        if self._link is not None:
            self._link.close("this replica stops")

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
        try:
            self._link = DialledDoor(
                self._node_id,
                (address, port),
                group_id=self._group_id,
                credentials=self._credentials,
                poller=self._poller,
                on_frame=self._on_frame,
                on_closed=self._on_closed,
            )
        except OSError as error:
            logger.debug("cannot dial %s of group %s: %s", self._node_id, self._group, error)
            self._try_another()

    def _on_frame(self, frame: bytes) -> None:
        assert self._link is not None
        self._heard_at_s = self._now_s()
        try:
            if frame[:1] == bytes((protocol.RESULT,)):
                for result in protocol.decode_results(frame):
                    token = self._sent.pop(result.correlation, None)
                    if token is not None:
                        self._on_result(token, result)
            else:
                message = protocol.decode_message(frame)
                if isinstance(message, Status):
                    self._on_status(message)
        except ProtocolError as error:
            logger.warning("dropping the link to %s of group %s: %s", self._node_id, self._group, error)
            if self._link is not None:
                self._link.close(str(error))

    def _on_status(self, status: Status) -> None:
        if status.doors:
            self._doors = dict(status.doors)  # the members of that group may change
        self._serving = status.serving
        if status.serving:
            return
        assert self._link is not None
        if status.leader in self._doors and status.leader != self._node_id:
            self._node_id = status.leader
            self._dial_at_s = 0.0
            self._link.close(f"{status.leader} leads")
        elif not status.leader:
            self._link.close("it knows no leader")

    def _on_closed(self, reason: str) -> None:
        led_elsewhere = self._dial_at_s == 0.0
        logger.debug("link of group %s closed: %s", self._group, reason)
        if self._link is not None and self._link.refusal:
            self._refusals.warn(f"{self._node_id} of group {self._group}", self._link.refusal)
        self._link = None
        self._serving = False
        lost, self._sent = list(self._sent.values()), {}
        if not led_elsewhere:
            self._try_another()
        if lost:
            self._on_lost(lost)

    def _try_another(self) -> None:
        order = list(self._doors)
        place = order.index(self._node_id) if self._node_id in self._doors else -1
        self._node_id = order[(place + 1) % len(order)]
