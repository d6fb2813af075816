"""Three real nodes in one process, on real sockets of the loopback, ticked in turn; and a gateway's end of a link."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from engine.codec import decode_events, encode_command
from engine.commands import Command
from engine.events import Event
from engine.rules import NEWEST_RULES_VERSION
from replication import protocol
from replication.config import Config, load_config
from replication.handshake import check_hello, hello
from replication.identity import GATEWAY, OPERATOR
from replication.links import FramedSocket
from replication.local_cluster import GATEWAY_NAME, NODE_IDS, OPERATOR_NAME, LocalCluster
from replication.market_groups import group_id
from replication.node import Node
from replication.platform import Platform
from replication.poller import Poller
from replication.protocol import Answer, Query, Result, Status
from replication.replica import Replica
from replication.tcp import connect
from replication.tls import LinkCredentials, load_credentials

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


def make_cluster(directory: Path, groups: int = 1, *, log_settings: str = "") -> Config:
    """The folder of a cluster with short times."""
    with LocalCluster(directory, groups=groups) as cluster:
        config_file = cluster.config_file
        cluster.load()
    config_file.write_text(config_file.read_text() + CLUSTER_SETTINGS.replace("[log]", f"[log]\n{log_settings}"))
    return load_config(config_file)


class NodesInProcess:
    """Starts, ticks and stops the nodes of one market group; ``others`` are ticked beside it."""

    def __init__(
        self,
        directory: Path,
        config: Config | None = None,
        *,
        hurry: int = 1,
        log_settings: str = "",
        newest_rules: Mapping[str, int] | None = None,
    ) -> None:
        """Of the cluster in ``directory``, which is made if need be: its default group, or the one of ``config``.

        With ``hurry`` the nodes' clock runs so many times as fast, elections excepted. ``newest_rules`` names the nodes
        whose code is older: up to where it knows the rules.
        """
        self.config = config or make_cluster(directory, log_settings=log_settings)
        self.newest_rules: dict[str, int] = dict(newest_rules or {})
        self._hurry = hurry
        self.nodes: dict[str, Node] = {}
        for node_id in NODE_IDS:
            self.start(node_id)
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
        known = self.newest_rules.get(node_id, NEWEST_RULES_VERSION)
        platform = Platform(
            now_s=lambda: time.monotonic() * self._hurry, replica=partial(Replica, newest_rules_version=known)
        )
        self.nodes[node_id] = Node(self.config, node_id, platform=platform)

    def close(self) -> None:
        for link in self.links:
            link.close()
        for node_id in list(self.nodes):
            self.stop(node_id)

    def link(self, node_id: str, credentials: LinkCredentials | None = None) -> "GatewayLink":
        """Dial a node's door and wait for the end of the handshake, however it ends."""
        link = GatewayLink(self, node_id, credentials or load_credentials(self.config, GATEWAY, GATEWAY_NAME))
        self.links.append(link)
        self.tick_until(lambda: bool(link.statuses or link.closed_because))
        return link

    def operator_link(self, node_id: str) -> "GatewayLink":
        """The same with an operator's certificate."""
        return self.link(node_id, load_credentials(self.config, OPERATOR, OPERATOR_NAME))


class GatewayLink:
    """What a gateway's end of a link to one door received."""

    def __init__(self, cluster: NodesInProcess, node_id: str, credentials: LinkCredentials) -> None:
        self.poller = Poller()
        self.statuses: list[Status] = []
        self.results: dict[int, Result] = {}
        self.answers: dict[int, Answer] = {}
        self.closed_because = ""
        self.node_id = node_id
        self._cluster = cluster
        self._correlation = 0
        self._welcome = False
        self._group_id = group_id(cluster.config)
        self.socket = FramedSocket(
            connect(*cluster.config.nodes[node_id].door),
            self.poller,
            credentials.client_context,
            on_secured=lambda: None,
            on_frame=self._on_frame,
            on_closed=self._on_closed,
            connecting=True,
        )

    def submit(self, *commands: Command) -> list[Result]:
        """Send commands in one frame and wait for all their outcomes."""
        numbered = [(self._next(), encode_command(command)) for command in commands]
        self.socket.send(protocol.encode_submit(numbered))
        self._cluster.tick_until(lambda: all(correlation in self.results for correlation, _ in numbered))
        return [self.results[correlation] for correlation, _ in numbered]

    def ask(self, name: str, **arguments: Any) -> Answer:
        return self.wait_for(self.send_query(name, arguments))

    def ask_at_least(self, min_sequence: int, wait_ms: int, name: str, **arguments: Any) -> Answer:
        return self.wait_for(self.send_query(name, arguments, min_sequence, wait_ms))

    def send_query(
        self, name: str, arguments: dict[str, Any], min_sequence: int | None = None, wait_ms: int = 0
    ) -> int:
        correlation = self._next()
        self.socket.send(protocol.encode_message(Query(correlation, name, arguments, min_sequence, wait_ms)))
        return correlation

    def wait_for(self, correlation: int) -> Answer:
        self._cluster.tick_until(lambda: correlation in self.answers)
        return self.answers[correlation]

    def close(self) -> None:
        self.socket.close("the test ends")
        self.poller.close()

    def _next(self) -> int:
        self._correlation += 1
        return self._correlation

    def _on_frame(self, frame: bytes) -> None:
        if not self._welcome:
            check_hello(frame, self._group_id)
            self._welcome = True
            self.socket.send(hello(self._group_id))
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
