"""The description of the API has every route, and is one that tools can read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from gateway.app import build_app
from gateway.edge import Edge
from gateway.groups import Group
from gateway.history_routes import QUESTIONS
from gateway.metrics import GatewayMetrics
from gateway.openapi import DescribedRoute, describe
from tests.gateway.live_gateway import LiveGateway, expect
from tests.replication.link_certificates import CLUSTER_ID, gateway


def routes() -> set[tuple[str, str]]:
    metrics = GatewayMetrics(["node-1"])
    doors = {"node-1": ("127.0.0.1", 1)}
    group = Group(
        doors=doors, group_id=CLUSTER_ID, credentials=gateway(), metrics=metrics.group, request_timeout_ms=1_000
    )
    edge = Edge(group=group, metrics=metrics, master_key=bytes(32), bootstrap_operator=None, receive_timeout_ms=1_000)
    return {
        (method.lower(), getattr(route, "path", ""))
        for route in build_app(edge).routes
        for method in getattr(route, "methods", ())
        if method != "HEAD"
    }


def document() -> dict[str, Any]:
    with LiveGateway(operator=None) as live:
        body: dict[str, Any] = expect(200, live.client(None)("GET", "/v1/openapi.json")).body
    return body


def test_every_route_of_the_api_is_described_and_no_other() -> None:
    described = {(method, path) for path, methods in document()["paths"].items() for method in methods}
    of_the_api = {(method, path) for method, path in routes() if path.startswith("/v1/")}
    assert len(described) > 60
    assert described == of_the_api


def test_it_has_the_structure_that_the_specification_asks_for() -> None:
    found = document()
    assert re.fullmatch(r"3\.1\.\d+", found["openapi"])
    assert {"title", "version"} <= set(found["info"])
    operations = [(path, one) for path, methods in found["paths"].items() for one in methods.values()]
    ids = [one["operationId"] for _, one in operations]
    assert len(ids) == len(set(ids))
    schemes = found["components"]["securitySchemes"]
    for path, operation in operations:
        in_path = {one["name"] for one in operation["parameters"] if one["in"] == "path"}
        assert in_path == set(re.findall(r"\{(\w+)\}", path))
        names = [(one["in"], one["name"]) for one in operation["parameters"]]
        assert len(names) == len(set(names))
        assert all(one["required"] for one in operation["parameters"] if one["in"] == "path")
        assert all("type" in one["schema"] for one in operation["parameters"])
        assert "200" in operation["responses"]
        assert all(answer["description"] for answer in operation["responses"].values())
        assert all(set(one) <= set(schemes) for one in operation["security"])
    for reference in references(found):
        target: Any = found
        for name in reference.removeprefix("#/").split("/"):
            target = target[name]
        assert target["type"] == "object"


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "$ref":
                yield inner
            else:
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_the_history_is_described_by_the_table_that_answers_it() -> None:
    paths = document()["paths"]
    for question in QUESTIONS:
        for path in question.paths:
            operation = paths[path]["get"]
            names = [one["name"] for one in operation["parameters"]]
            account = ["account"] if path.startswith("/v1/admin") else []
            assert names == account + [parameter.name for parameter in question.parameters]
            assert bool(operation["security"]) == (not question.public)


def test_a_route_that_says_nothing_of_itself_is_described_all_the_same() -> None:
    described = describe([DescribedRoute("GET", "/v1/things/{id}", is_signed=False, for_operators=False, summary="")])
    assert "summary" not in described["paths"]["/v1/things/{id}"]["get"]
