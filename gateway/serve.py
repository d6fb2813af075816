"""Builds a gateway from plain values and runs it until it is told to stop."""

from __future__ import annotations

import gc
import logging
from dataclasses import dataclass
from typing import Final

import uvicorn

from gateway.app import build_app
from gateway.auth import MASTER_KEY_SIZE
from gateway.edge import Edge
from gateway.groups import Group
from gateway.hot import HotConnection
from gateway.metrics import GatewayMetrics
from replication.tls import LinkCredentials

KEEP_ALIVE_TIMEOUT_S: Final = 75
SHUTDOWN_TIMEOUT_S: Final = 4  # less than the supervisor's patience
_BACKLOG: Final = 2_048

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class GatewayOptions:
    """``doors`` are each node's (host, port) for gateways; ``bootstrap_operator`` is (key id, secret) or None.

    ``credentials`` say who this gateway is; the master key, which opens the secrets of API keys, has 32 bytes. A
    request must arrive within ``receive_timeout_ms``, and a command has ``request_timeout_ms`` from there to its
    outcome.
    """

    host: str
    port: int
    doors: dict[str, tuple[str, int]]
    credentials: LinkCredentials
    master_key: bytes
    bootstrap_operator: tuple[str, str] | None = None
    request_timeout_ms: int = 10_000
    receive_timeout_ms: int = 10_000


def build_server(options: GatewayOptions) -> uvicorn.Server:
    """A server that is ready to run. Port 0 lets the system choose one."""
    if len(options.master_key) != MASTER_KEY_SIZE:
        raise ValueError(f"the master key has {MASTER_KEY_SIZE} bytes, not {len(options.master_key)}")
    metrics = GatewayMetrics(options.doors)
    metrics.group.own_certificate_expiry_s.set(options.credentials.expires_s)
    group = Group(
        doors=options.doors,
        credentials=options.credentials,
        metrics=metrics.group,
        request_timeout_ms=options.request_timeout_ms,
    )
    edge = Edge(
        group=group,
        metrics=metrics,
        master_key=options.master_key,
        bootstrap_operator=options.bootstrap_operator,
        receive_timeout_ms=options.receive_timeout_ms,
    )
    config = uvicorn.Config(
        build_app(edge),
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
    logger.info("%s for %d replicas on %s port %d", name, len(options.doors), options.host, options.port)
    # What was built up to here lives as long as the process: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    server.run()
