"""Builds a gateway from plain values and runs it until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple

import uvicorn

from gateway.app import build_app
from gateway.auth import MASTER_KEY_SIZE
from gateway.edge import Edge
from gateway.groups import Group
from gateway.hot import HotConnection
from gateway.metrics import HOME_NAME_DEFAULT, GatewayMetrics, GroupMetrics
from gateway.query_link import QueryLink
from replication.tls import LinkCredentials

KEEP_ALIVE_TIMEOUT_S: Final = 75
SHUTDOWN_TIMEOUT_S: Final = 4  # less than the supervisor's patience
_BACKLOG: Final = 2_048
_POLL_GROUPS_EVERY_S: Final = 1.0

logger = logging.getLogger(__name__)


class GroupDoors(NamedTuple):
    """A market group beside the home: what its links begin with (16 bytes), the (host, port) of each node's door."""

    group_id: bytes
    doors: Mapping[str, tuple[str, int]]


@dataclass(frozen=True)
class GatewayOptions:
    """``doors`` are each node's (host, port) for gateways; ``bootstrap_operator`` is (key id, secret) or None.

    ``credentials`` say who this gateway is; the master key, which opens the secrets of API keys, has 32 bytes. A
    request must arrive within ``receive_timeout_ms``, and a command has ``request_timeout_ms`` from there to its
    outcome.

    ``query_server`` is the (host, port) where the history can be asked for, if it can.

    ``doors`` and ``group_id`` are those of the home group, which is called ``home``; ``other_groups`` are the rest.
    ``poll_groups``, called every second, answers all of those after the configuration changed, else None.
    """

    host: str
    port: int
    doors: dict[str, tuple[str, int]]
    group_id: bytes
    credentials: LinkCredentials
    master_key: bytes
    bootstrap_operator: tuple[str, str] | None = None
    request_timeout_ms: int = 10_000
    receive_timeout_ms: int = 10_000
    query_server: tuple[str, int] | None = None
    home: str = HOME_NAME_DEFAULT
    other_groups: Mapping[str, GroupDoors] = field(default_factory=dict)
    poll_groups: Callable[[], Mapping[str, GroupDoors] | None] | None = None


def build_edge(options: GatewayOptions, *, make_id: Callable[[], str] | None = None) -> Edge:
    """The edge of the home group and, from there, those of the others. ``make_id`` is the edges'."""
    if len(options.master_key) != MASTER_KEY_SIZE:
        raise ValueError(f"the master key has {MASTER_KEY_SIZE} bytes, not {len(options.master_key)}")
    metrics = GatewayMetrics(options.doors, options.home)
    metrics.own_certificate_expiry_s.set(options.credentials.expires_s)

    def link(group_id: bytes, doors: Mapping[str, tuple[str, int]], group_metrics: GroupMetrics) -> Group:
        return Group(
            doors=dict(doors),
            group_id=group_id,
            credentials=options.credentials,
            metrics=group_metrics,
            request_timeout_ms=options.request_timeout_ms,
        )

    def add(groups: Mapping[str, GroupDoors]) -> list[Edge]:
        """The edges of the groups that are new."""
        return [
            edge.add_group(other, link(one.group_id, one.doors, metrics.of_group(other, one.doors)))
            for other, one in groups.items()
            if other not in edge.groups
        ]

    async def watch(poll: Callable[[], Mapping[str, GroupDoors] | None]) -> None:
        while True:
            await asyncio.sleep(_POLL_GROUPS_EVERY_S)
            for added in add(poll() or {}):
                logger.info("group %s was added", added.name)
                await added.start()

    edge = Edge(
        group=link(options.group_id, options.doors, metrics.group),
        name=options.home,
        watch=None if options.poll_groups is None else partial(watch, options.poll_groups),
        metrics=metrics,
        master_key=options.master_key,
        bootstrap_operator=options.bootstrap_operator,
        receive_timeout_ms=options.receive_timeout_ms,
        query_link=options.query_server and QueryLink(options.query_server, options.credentials),
        make_id=make_id,
    )
    add(options.other_groups)
    return edge


def build_server(options: GatewayOptions) -> uvicorn.Server:
    """A server that is ready to run. Port 0 lets the system choose one."""
    config = uvicorn.Config(
        build_app(build_edge(options)),
        host=options.host,
        port=options.port,
        loop="uvloop",
        http=HotConnection,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_TIMEOUT_S,
        timeout_graceful_shutdown=SHUTDOWN_TIMEOUT_S,
    )
    return uvicorn.Server(config)


def serve(options: GatewayOptions) -> None:
    """Serve until SIGTERM or SIGINT, then answer what is in progress, within SHUTDOWN_TIMEOUT_S, and return."""
    server = build_server(options)
    name = options.credentials.identity.name
    groups = ", ".join((options.home, *options.other_groups))
    logger.info("%s for %s on %s port %d", name, groups, options.host, options.port)
    # What was built up to here lives as long as the process: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    server.run()
