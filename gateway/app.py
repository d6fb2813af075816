"""The route table on one screen, and what surrounds it: start and stop, errors of the router, health, the page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway import accounts, admin, batches, markets, orders, page
from gateway.edge import Edge
from gateway.endpoint import BATCH_BODY_BYTES_MAX, BODY_BYTES_MAX, Access, Call, Endpoint, Handler, Reply, encode_body
from gateway.errors import ApiError, Internal, MethodNotAllowed, NotFound

PUBLIC, SIGNED, OPERATOR = Access.PUBLIC, Access.SIGNED, Access.OPERATOR
PLACE_PATH: Final = "/v1/orders"
PLACE_ROUTE_NAME: Final = f"POST {PLACE_PATH}"


def build_app(edge: Edge) -> Starlette:
    """The ASGI application. Its lifespan starts and stops the edge and gives it to connections as ``state["edge"]``."""

    def route(method: str, path: str, handler: Handler, access: Access, limit: int = BODY_BYTES_MAX) -> Route:
        endpoint = Endpoint(edge, handler, access, name=f"{method} {path}", body_bytes_max=limit)
        return Route(path, endpoint, methods=[method])

    routes = [
        route("POST", PLACE_PATH, orders.place, SIGNED),
        route("GET", "/v1/orders", orders.show_open, SIGNED),
        route("DELETE", "/v1/orders", orders.cancel_all, SIGNED),
        route("POST", "/v1/orders/batch", batches.execute, SIGNED, BATCH_BODY_BYTES_MAX),
        route("GET", "/v1/orders/{id}", orders.show, SIGNED),
        route("DELETE", "/v1/orders/{id}", orders.cancel, SIGNED),
        route("PATCH", "/v1/orders/{id}", orders.amend, SIGNED),
        route("GET", "/v1/accounts/me", accounts.show, SIGNED),
        route("GET", "/v1/accounts/me/balances", accounts.show_balances, SIGNED),
        route("GET", "/v1/assets", markets.list_assets, PUBLIC),
        route("GET", "/v1/markets", markets.list_markets, PUBLIC),
        route("GET", "/v1/markets/{market}", markets.show, PUBLIC),
        route("GET", "/v1/markets/{market}/book", markets.show_book, PUBLIC),
        route("GET", "/v1/markets/{market}/trades", markets.show_trades, PUBLIC),
        route("POST", "/v1/admin/assets", admin.create_asset, OPERATOR),
        route("POST", "/v1/admin/markets", admin.create_market, OPERATOR),
        route("POST", "/v1/admin/accounts", admin.create_account, OPERATOR),
        route("POST", "/v1/admin/accounts/{name}/keys", admin.create_key, OPERATOR),
        route("GET", "/v1/admin/accounts/{name}/balances", admin.show_balances, OPERATOR),
        route("POST", "/v1/admin/deposits", admin.deposit, OPERATOR),
        route("GET", "/v1/admin/replicas", admin.list_replicas, OPERATOR),
        route("GET", "/healthz", show_health, PUBLIC),
        route("GET", "/readyz", show_readiness, PUBLIC),
        route("GET", "/metrics", show_metrics, PUBLIC),
        route("GET", "/", page.show_index, PUBLIC),
        route("GET", "/static/{name}", page.show_asset, PUBLIC),
    ]

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        await edge.start()
        yield {"edge": edge}
        await edge.stop()

    async def on_router_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException), error
        headers = dict(error.headers or {})
        answer: ApiError = MethodNotAllowed()
        if error.status_code != MethodNotAllowed.status:
            answer = NotFound("NO_SUCH_ROUTE", "There is no such route.")
        else:
            # The router names the methods of the first route with this path only.
            found = [one.methods or set() for one in routes if one.path_regex.match(request.url.path)]
            headers["allow"] = ", ".join(sorted(set().union(*found)))
        edge.metrics.route("none").observe(answer.status, 0.0)
        return _error_response(edge, answer, headers)

    async def on_fault(request: Request, error: Exception) -> Response:
        return _error_response(edge, Internal(definite=True), {})

    app = Starlette(
        routes=routes,
        lifespan=lifespan,
        exception_handlers={HTTPException: on_router_error, Exception: on_fault},
    )
    app.router.redirect_slashes = False
    return app


async def show_health(call: Call) -> Reply:
    return Reply(200, {"status": "ok"})


async def show_readiness(call: Call) -> Reply:
    reason = call.edge.unreadiness()
    if reason:
        return Reply(503, {"status": "not ready", "reason": reason})
    return Reply(200, {"status": "ready"})


async def show_metrics(call: Call) -> Reply:
    return Reply(200, call.edge.metrics.text(), b"text/plain; version=0.0.4; charset=utf-8")


def _error_response(edge: Edge, error: ApiError, headers: dict[str, str]) -> Response:
    headers = headers | {"x-tally-sequence": str(edge.group.sequence), "cache-control": "no-store"}
    return Response(encode_body(error.body()), error.status, headers, media_type="application/json")
