"""A gateway in the simulation: links to all doors, the leader it believes in, and the real rules of sending again.

What to send, when to send it again and when to give up is the gateway's own code (`gateway.submissions`). TLS, framing,
handshake and protocol are those of a replica's end (`replication.links`). Only sockets and the clock are simulated.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final

from gateway.metrics import GatewayMetrics
from gateway.submissions import OnOutcome, Submissions
from replication.handshake import check_hello, hello, require_peer
from replication.identity import NODE
from replication.links import FramedSocket
from replication.protocol import (
    RESULT,
    Answer,
    Query,
    Status,
    decode_message,
    decode_results,
    encode_message,
    encode_submit,
)
from replication.tls import LinkCredentials
from sim.simulation_links import Inbox, SimulatedSocket
from sim.simulation_network import Network

REQUEST_TIMEOUT_S: Final = 3.0
OnAnswer = Callable[[Answer | None], None]

_SWEEP_S: Final = 0.1
_REFUSAL_PAUSE_S: Final = 0.01
_SILENCE_S_MAX: Final = 3.0


class SimulatedGateway:
    """One gateway process. It never dies: what clients must survive is that it gives up."""

    def __init__(self, network: Network, chance: Random, *, credentials: LinkCredentials, nodes: list[str]) -> None:
        self.name = credentials.identity.name
        self.credentials = credentials
        self.inbox = Inbox()
        self._network = network
        self._timeline = network.timeline
        self._chance = chance
        self._submissions = Submissions(GatewayMetrics(nodes).group)
        self._links: dict[str, _DoorLink | None] = dict.fromkeys(nodes)
        self._dial_at_s = dict.fromkeys(nodes, 0.0)
        self._leader: _DoorLink | None = None
        self._term = 0
        self._correlation = 0
        self._paused_until_s = 0.0

    def start(self) -> None:
        self._network.host_up(self)
        self._timeline.after(self._chance.random() * _SWEEP_S, self._flush)
        self._timeline.after(self._chance.random() * _SWEEP_S, self._sweep)

    def submit(self, command: bytes, on_outcome: OnOutcome) -> None:
        """Send a command to whoever leads; ``on_outcome`` is called once, later. Raises Overloaded."""
        self._correlation = (self._correlation + 1) % (1 << 32)
        deadline_s = self._timeline.now_s + REQUEST_TIMEOUT_S
        self._submissions.add(self._correlation, command, on_outcome, deadline_s)

    def ask(
        self, name: str, arguments: dict[str, Any], on_answer: OnAnswer, *, min_sequence: int | None, wait_ms: int
    ) -> None:
        """Ask the leader for its newest state, or any replica for one that has at least ``min_sequence``.

        ``on_answer`` is called once, perhaps at once: with None if there is no answer.
        """
        if min_sequence is None:
            link = self._leader
        else:
            ready = [link for link in self._links.values() if link is not None and link.status is not None]
            link = self._chance.choice(ready) if ready else None
        if link is None:
            on_answer(None)
            return
        self._correlation = (self._correlation + 1) % (1 << 32)
        link.questions[self._correlation] = (self._timeline.now_s + REQUEST_TIMEOUT_S, on_answer)
        link.send(encode_message(Query(self._correlation, name, arguments, min_sequence, wait_ms)))

    # A host of the network

    def deliver(self, arrival: Callable[[], None]) -> None:
        arrival()

    def accept(self, _caller: str) -> None:
        return None

    # What its links tell

    def link_lost(self, link: _DoorLink) -> None:
        if self._links[link.node_id] is link:
            self._links[link.node_id] = None
        self._submissions.lose(link)
        link.forget_questions(float("inf"))
        self._choose_leader()

    def receive(self, link: _DoorLink, frame: bytes) -> None:
        if frame[0] == RESULT:
            for result in decode_results(frame):
                if self._submissions.settle(link, result):
                    self._paused_until_s = self._timeline.now_s + _REFUSAL_PAUSE_S
            return
        message = decode_message(frame)
        if isinstance(message, Answer):
            _, on_answer = link.questions.pop(message.correlation, (0.0, None))
            if on_answer is not None:
                on_answer(message)
            return
        assert isinstance(message, Status), message
        link.status = message
        self._choose_leader()

    def _choose_leader(self) -> None:
        """Follow the serving replica of the highest term, as `gateway.groups` does."""
        chosen = None
        for link in self._links.values():
            if link is not None and link.status is not None and link.status.serving and link.status.term >= self._term:
                chosen = link
                self._term = link.status.term
        if chosen is not self._leader:
            self._leader = chosen
            if chosen is not None:
                self._submissions.follow(chosen)

    def _flush(self) -> None:
        mean_s = self._network.faults.flush_ms_mean / 1_000
        self._timeline.after(mean_s * (0.5 + self._chance.random()), self._flush)
        if self._leader is not None and self._paused_until_s <= self._timeline.now_s:
            batch = self._submissions.take(self._leader)
            if batch:
                self._leader.send(encode_submit(batch))

    def _sweep(self) -> None:
        """Give up on what took too long, on links that are silent, and dial what is down."""
        now_s = self._timeline.now_s
        self._timeline.after(_SWEEP_S, self._sweep)
        self._submissions.expire(now_s)
        for node_id, link in self._links.items():
            if link is not None:
                link.forget_questions(now_s)
            if link is not None and now_s - link.heard_at_s > _SILENCE_S_MAX:
                link.drop("it says nothing")
            elif link is None and self._dial_at_s[node_id] <= now_s:
                self._dial_at_s[node_id] = now_s + 0.1 + self._chance.random() * 0.4
                link = _DoorLink(self, node_id, now_s)
                if self._network.dial(self.name, node_id, link.end):
                    self._links[node_id] = link

    def now_s(self) -> float:
        return self._timeline.now_s


class _DoorLink:
    """The way to one replica's door. ``end`` is for the network; ``questions`` wait for an answer until a time."""

    def __init__(self, gateway: SimulatedGateway, node_id: str, now_s: float) -> None:
        self.node_id = node_id
        self.status: Status | None = None
        self.heard_at_s = now_s
        self.questions: dict[int, tuple[float, OnAnswer]] = {}
        self.end = SimulatedSocket(gateway.name, gateway.inbox, self._secure)
        self._gateway = gateway
        self._open = False
        self._dropped = False
        self._socket: FramedSocket | None = None

    def send(self, frame: bytes) -> None:
        if self._socket is not None:
            self._socket.send(frame)

    def forget_questions(self, now_s: float) -> None:
        """Those whose time is over get no answer."""
        for correlation, (deadline_s, on_answer) in list(self.questions.items()):
            if deadline_s < now_s:
                del self.questions[correlation]
                on_answer(None)

    def drop(self, reason: str) -> None:
        self._dropped = True
        if self._socket is not None:
            self._socket.close(reason)
        else:
            self._gateway.link_lost(self)

    def _secure(self, sock: Any) -> None:
        if self._dropped:
            sock.close()
            return
        self._socket = FramedSocket(
            sock,
            self._gateway.inbox,
            self._gateway.credentials.client_context,
            on_secured=self._on_secured,
            on_frame=self._on_frame,
            on_closed=self._on_closed,
            connecting=True,
        )

    def _on_secured(self) -> None:
        assert self._socket is not None
        cluster_id = self._gateway.credentials.identity.cluster_id
        require_peer(self._socket.peer(), cluster_id=cluster_id, roles=(NODE,), names=(self.node_id,))

    def _on_frame(self, frame: bytes) -> None:
        self.heard_at_s = self._gateway.now_s()
        if self._open:
            self._gateway.receive(self, frame)
            return
        check_hello(frame, self._gateway.credentials.identity.cluster_id)
        self._open = True
        self.send(hello(self._gateway.credentials.identity.cluster_id))

    def _on_closed(self, _reason: str) -> None:
        self._socket = None
        self._gateway.link_lost(self)
