"""The route table, and what surrounds it: start and stop, errors of the router, health, the page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway import (
    accounts,
    admin,
    admin_accounts,
    admin_markets,
    admin_sales,
    all_groups,
    events,
    group_transfers,
    history,
    markets,
    oco,
    orders,
    page,
    placements,
    receipts,
    sales,
    transfers,
    withdrawals,
)
from gateway.edge import Edge
from gateway.endpoint import BATCH_BODY_BYTES_MAX, BODY_BYTES_MAX, Access, Call, Endpoint, Handler, Reply, encode_body
from gateway.errors import ApiError, Internal, MethodNotAllowed, NotFound
from gateway.history_routes import ADMIN, OPENAPI_PATH, QUESTIONS
from gateway.openapi import DescribedRoute, describe

PUBLIC, SIGNED, OPERATOR = Access.PUBLIC, Access.SIGNED, Access.OPERATOR
PLACE_PATH: Final = "/v1/orders"
PLACE_ROUTE_NAME: Final = f"POST {PLACE_PATH}"
_API: Final = "/v1/"


def build_app(edge: Edge) -> Starlette:
    """The ASGI application. Its lifespan starts and stops the edge and gives it to connections as ``state["edge"]``."""

    described: list[DescribedRoute] = []

    def route(
        method: str, path: str, handler: Handler, access: Access, limit: int = BODY_BYTES_MAX, *, home: bool = False
    ) -> Route:
        """``home``: about the home group or about all groups, not about the one that lists a market."""
        described.append(_described(method, path, handler, access))
        endpoint = Endpoint(edge, handler, access, name=f"{method} {path}", body_bytes_max=limit, at_home=home)
        return Route(path, endpoint, methods=[method])

    routes = [
        route("POST", PLACE_PATH, placements.place, SIGNED),
        route("GET", "/v1/orders", orders.show_open, SIGNED),
        route("DELETE", "/v1/orders", all_groups.cancel_own, SIGNED, home=True),
        route("POST", "/v1/orders/batch", all_groups.execute_batch, SIGNED, BATCH_BODY_BYTES_MAX, home=True),
        route("POST", "/v1/orders/oco", oco.place, SIGNED),
        route("POST", "/v1/orders/cancel-all-after", all_groups.cancel_all_after, SIGNED, home=True),
        route("GET", "/v1/orders/{id}", orders.show, SIGNED),
        route("DELETE", "/v1/orders/{id}", orders.cancel, SIGNED),
        route("PATCH", "/v1/orders/{id}", orders.amend, SIGNED),
        route("POST", "/v1/requests/{id}/resolve", all_groups.resolve, SIGNED, home=True),
        route("GET", "/v1/receipts/{sequence}", receipts.show, SIGNED),
        route("GET", "/v1/nodes", receipts.list_nodes, PUBLIC),
        route("GET", "/v1/accounts/me", accounts.show, SIGNED, home=True),
        route("GET", "/v1/accounts/me/balances", all_groups.show_own_balances, SIGNED, home=True),
        route("POST", "/v1/withdrawals", withdrawals.request, SIGNED),
        route("GET", "/v1/withdrawals", withdrawals.list_own, SIGNED),
        route("DELETE", "/v1/withdrawals/{id}", withdrawals.cancel, SIGNED),
        route("POST", "/v1/transfers", group_transfers.create, SIGNED),
        route("GET", "/v1/transfers", transfers.list_own, SIGNED),
        route("GET", "/v1/transfers/sent", group_transfers.list_sent, SIGNED),
        route("GET", "/v1/transfers/{id}", group_transfers.show, SIGNED),
        route("POST", "/v1/transfers/{id}/{decision}", transfers.decide, SIGNED),
        route("GET", "/v1/sales", sales.list_all, PUBLIC),
        route("GET", "/v1/sales/{name}", sales.show, PUBLIC),
        route("POST", "/v1/sales/{name}/subscriptions", sales.subscribe, SIGNED),
        route("GET", "/v1/sales/{name}/subscriptions", sales.list_own_subscriptions, SIGNED),
        route("GET", "/v1/assets", markets.list_assets, PUBLIC, home=True),
        route("GET", "/v1/markets", all_groups.list_markets, PUBLIC, home=True),
        route("GET", "/v1/markets/{market}", markets.show, PUBLIC),
        route("GET", "/v1/markets/{market}/book", markets.show_book, PUBLIC),
        route("GET", "/v1/markets/{market}/trades", markets.show_trades, PUBLIC),
        route("POST", "/v1/admin/assets", admin.create_asset, OPERATOR, home=True),
        route("POST", "/v1/admin/markets", admin_markets.create, OPERATOR),
        route("DELETE", "/v1/admin/markets/{market}", admin_markets.delist, OPERATOR),
        route("PUT", "/v1/admin/markets/{market}/rules", admin_markets.set_rules, OPERATOR),
        route("POST", "/v1/admin/markets/{market}/state", admin_markets.set_state, OPERATOR),
        route("PUT", "/v1/admin/markets/{market}/schedule", admin_markets.set_schedule, OPERATOR),
        route("PUT", "/v1/admin/markets/{market}/fee-tiers", admin_markets.set_fee_tiers, OPERATOR),
        route("PUT", "/v1/admin/markets/{market}/rate", admin_markets.set_rate, OPERATOR),
        route("POST", "/v1/admin/accounts", admin_accounts.create, OPERATOR, home=True),
        route("POST", "/v1/admin/accounts/{name}/keys", admin_accounts.create_key, OPERATOR, home=True),
        route("GET", "/v1/admin/accounts/{name}/balances", all_groups.show_balances, OPERATOR, home=True),
        route("PUT", "/v1/admin/accounts/{name}/limits", all_groups.set_limits, OPERATOR, home=True),
        route("POST", "/v1/admin/accounts/{name}/freeze", all_groups.freeze, OPERATOR, home=True),
        route("POST", "/v1/admin/deposits", admin_accounts.deposit, OPERATOR),
        route("GET", "/v1/admin/withdrawals", withdrawals.list_all, OPERATOR),
        route("POST", "/v1/admin/withdrawals/{id}/{decision}", withdrawals.decide, OPERATOR),
        route("POST", "/v1/admin/transfers/{id}/{decision}", transfers.decide, OPERATOR),
        route("DELETE", "/v1/admin/orders", all_groups.cancel_any, OPERATOR, home=True),
        route("POST", "/v1/admin/sales", admin_sales.create, OPERATOR),
        route("POST", "/v1/admin/sales/{name}/{decision}", admin_sales.decide, OPERATOR),
        route("GET", "/v1/admin/replicas", admin.list_replicas, OPERATOR),
        route("GET", "/v1/admin/groups", all_groups.list_groups, OPERATOR, home=True),
        route("GET", "/v1/admin/events", events.show, OPERATOR),
        route("GET", "/healthz", show_health, PUBLIC),
        route("GET", "/readyz", show_readiness, PUBLIC),
        route("GET", "/metrics", show_metrics, PUBLIC),
        route("GET", "/", page.show_index, PUBLIC),
        route("GET", "/static/{name}", page.show_asset, PUBLIC),
    ]

    for question in QUESTIONS:
        for path in question.paths:
            access = PUBLIC if question.public else OPERATOR if path.startswith(ADMIN) else SIGNED
            routes.append(route("GET", path, history.forward, access, home=True))

    async def show_description(call: Call) -> Reply:
        return Reply(200, description)

    routes.append(route("GET", OPENAPI_PATH, show_description, PUBLIC, home=True))
    description = describe(one for one in described if one.path.startswith(_API))

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


def _described(method: str, path: str, handler: Handler, access: Access) -> DescribedRoute:
    summary = " ".join((handler.__doc__ or "").partition("\n\n")[0].split())
    return DescribedRoute(method, path, access is not PUBLIC, access is OPERATOR, summary)


def _error_response(edge: Edge, error: ApiError, headers: dict[str, str]) -> Response:
    headers = headers | {"x-tally-sequence": str(edge.group.sequence), "cache-control": "no-store"}
    return Response(encode_body(error.body()), error.status, headers, media_type="application/json")
