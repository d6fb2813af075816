"""Three real nodes in one process, on real sockets of the loopback, ticked in turn; and a gateway's end of a link."""

import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.codec import decode_events, encode_command
from engine.commands import Command
from engine.events import Event
from replication import protocol
from replication.config import Config, load_config, read_cluster_secret
from replication.handshake import NONCE_BYTES, Handshake, HandshakeRefused
from replication.links import FramedSocket, connect
from replication.local_cluster import NODE_IDS, LocalCluster
from replication.market_groups import group_id
from replication.node import Node
from replication.poller import Poller
from replication.protocol import Answer, Query, Result, Status

WITHIN_S = 20.0
CLUSTER_SETTINGS = """
[raft]
election_timeout_ms_min = 150
election_timeout_ms_max = 300
heartbeat_ms = 20
[log]
snapshot_every_commands = 200
keep_tail_entries = 5
[engine]
reserve_requests = 1_000
"""


def make_cluster(directory: Path, groups: int = 1) -> Config:
    """The folder of a cluster with short times."""
    with LocalCluster(directory, groups=groups) as cluster:
        config_file = cluster.config_file
    config_file.write_text(config_file.read_text() + CLUSTER_SETTINGS)
    return load_config(config_file)


class NodesInProcess:
    """Starts, ticks and stops the nodes of one market group; ``others`` are ticked beside it."""

    def __init__(self, directory: Path, config: Config | None = None, *, hurry: int = 1) -> None:
        """Of the cluster in ``directory``, which is made if need be: its default group, or the one of ``config``.

        With ``hurry`` the nodes' clock runs so many times as fast, elections excepted.
        """
        self.config = config or make_cluster(directory)
        self._clock_s = lambda: time.monotonic() * hurry
        self.nodes = {node_id: Node(self.config, node_id, now_s=self._clock_s) for node_id in NODE_IDS}
        self.links: list[GatewayLink] = []
        self.others: list[NodesInProcess] = []

    def tick_until(self, condition: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + WITHIN_S
        while not condition():
            assert time.monotonic() < deadline_s, [node.status() for node in self.nodes.values()]
            for node in list(self.nodes.values()):
                node.tick(0.001)
            for other in self.others:
                for node in list(other.nodes.values()):
                    node.tick(0.0)
            for link in self.links:
                link.poller.poll(0.0)

    def leader(self) -> str:
        """The node that serves, once there is one."""
        self.tick_until(lambda: any(node.status().serving for node in self.nodes.values()))
        return next(node_id for node_id, node in self.nodes.items() if node.status().serving)

    def stop(self, node_id: str) -> None:
        self.nodes.pop(node_id).close()

    def start(self, node_id: str) -> None:
        self.nodes[node_id] = Node(self.config, node_id, now_s=self._clock_s)

    def close(self) -> None:
        for link in self.links:
            link.close()
        for node_id in list(self.nodes):
            self.stop(node_id)

    def link(self, node_id: str, *, role: str = "gateway", secret: bytes | None = None) -> "GatewayLink":
        """Dial a node's door and wait for the end of the handshake, however it ends."""
        link = GatewayLink(self, node_id, role, secret or read_cluster_secret(self.config))
        self.links.append(link)
        self.tick_until(lambda: bool(link.statuses or link.closed_because))
        return link


class GatewayLink:
    """What a gateway's end of a link to one door received."""

    def __init__(self, cluster: NodesInProcess, node_id: str, role: str, secret: bytes) -> None:
        self.poller = Poller()
        self.statuses: list[Status] = []
        self.results: dict[int, Result] = {}
        self.answers: dict[int, Answer] = {}
        self.closed_because = ""
        self._cluster = cluster
        self._correlation = 0
        self._handshake = Handshake(
            secret=secret,
            cluster_id=group_id(cluster.config),
            role=role,
            name=f"tester-{secrets.token_hex(4)}",
            is_client=True,
            nonce=os.urandom(NONCE_BYTES),
        )
        host, port = cluster.config.nodes[node_id].door
        self.socket: FramedSocket = connect(
            host, port, self.poller, on_frame=self._on_frame, on_closed=self._on_closed, on_connected=self._greet
        )

    def submit(self, *commands: Command) -> list[Result]:
        """Send commands in one frame and wait for all their outcomes."""
        numbered = [(self._next(), encode_command(command)) for command in commands]
        self.socket.send(protocol.encode_submit(numbered))
        self._cluster.tick_until(lambda: all(correlation in self.results for correlation, _ in numbered))
        return [self.results[correlation] for correlation, _ in numbered]

    def ask(self, name: str, **arguments: Any) -> Answer:
        correlation = self._next()
        self.socket.send(protocol.encode_message(Query(correlation, name, arguments)))
        self._cluster.tick_until(lambda: correlation in self.answers)
        return self.answers[correlation]

    def close(self) -> None:
        self.socket.close("the test ends")
        self.poller.close()

    def _next(self) -> int:
        self._correlation += 1
        return self._correlation

    def _greet(self) -> None:
        for frame in self._handshake.outgoing():
            self.socket.send(frame)

    def _on_frame(self, frame: bytes) -> None:
        if not self._handshake.done:
            try:
                self._handshake.receive(frame)
            except HandshakeRefused as refused:
                self.socket.close(str(refused))
            else:
                self._greet()
        elif frame[0] == protocol.RESULT:
            for result in protocol.decode_results(frame):
                self.results[result.correlation] = result
        else:
            message = protocol.decode_message(frame)
            if isinstance(message, Status):
                self.statuses.append(message)
            else:
                assert isinstance(message, Answer), message
                self.answers[message.correlation] = message

    def _on_closed(self, reason: str) -> None:
        self.closed_because = reason


def events_of(result: Result) -> list[Event]:
    assert result.outcome == protocol.COMMITTED, result
    return [event for _, event in decode_events(result.events)]
