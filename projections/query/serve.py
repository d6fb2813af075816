"""Builds the query server from plain values and runs it until it is told to stop."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import orjson
import uvicorn
from sqlalchemy.engine import URL
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from gateway.errors import ApiError, MethodNotAllowed, NotFound
from gateway.history_routes import QUESTIONS
from projections.query.connection import QueryConnection
from projections.query.database import Database
from projections.query.desk import Desk
from projections.query.endpoint import QueryEndpoint
from projections.query.metrics import QueryMetrics
from replication.refusals import Refusals
from replication.tls import LinkCredentials

SHUTDOWN_TIMEOUT_S: Final = 4  # less than the supervisor's patience
_KEEP_ALIVE_TIMEOUT_S: Final = 75

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class QueryOptions:
    """``credentials`` say who this server is, by the certificate of a reader. Port 0 lets the system choose one."""

    host: str
    port: int
    database: URL
    credentials: LinkCredentials


def build_server(options: QueryOptions) -> uvicorn.Server:
    """A server that is ready to run."""
    context = options.credentials.server_context
    config = uvicorn.Config(
        build_app(Database(options.database), options.credentials.identity.cluster_id),
        host=options.host,
        port=options.port,
        loop="uvloop",
        http=QueryConnection,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        ssl_context_factory=lambda _config, _default: context,
        timeout_keep_alive=_KEEP_ALIVE_TIMEOUT_S,
        timeout_graceful_shutdown=SHUTDOWN_TIMEOUT_S,
    )
    return uvicorn.Server(config)


def serve(options: QueryOptions) -> None:
    """Serve until SIGTERM or SIGINT, then answer what is in progress, within SHUTDOWN_TIMEOUT_S, and return."""
    server = build_server(options)
    where = options.database.render_as_string(hide_password=True)
    logger.info("%s on %s port %d reads %s", options.credentials.identity.name, options.host, options.port, where)
    server.run()


def build_app(database: Database, cluster_id: bytes) -> Starlette:
    """The ASGI application. Its lifespan ends the work with the database, and tells connections whose they are."""
    desk, metrics = Desk(database), QueryMetrics()
    routes = [
        Route(path, QueryEndpoint(desk, metrics, question, path), methods=["GET"])
        for question in QUESTIONS
        for path in question.paths
    ]

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, Any]]:
        yield {"cluster_id": cluster_id, "refusals": Refusals(time.monotonic)}
        desk.close()

    async def show_metrics(_request: Request) -> Response:
        return PlainTextResponse(metrics.text(), headers={"content-type": "text/plain; version=0.0.4; charset=utf-8"})

    async def on_router_error(_request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException), error
        if error.status_code == MethodNotAllowed.status:
            return _json(MethodNotAllowed())
        return _json(NotFound("NO_SUCH_ROUTE", "There is no such route."))

    app = Starlette(
        routes=[*routes, Route("/metrics", show_metrics, methods=["GET"])],
        lifespan=lifespan,
        exception_handlers={HTTPException: on_router_error},
    )
    app.router.redirect_slashes = False
    return app


def _json(error: ApiError) -> Response:
    return Response(orjson.dumps(error.body()), error.status, media_type="application/json")
