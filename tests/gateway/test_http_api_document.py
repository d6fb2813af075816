"""docs/http-api.md names everything that a client can meet."""

import re
from pathlib import Path

from engine import rejects
from gateway.app import build_app
from gateway.edge import Edge
from gateway.groups import Group
from gateway.metrics import GatewayMetrics

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "http-api.md").read_text()


def test_every_error_code_is_in_the_document() -> None:
    codes = {rejects.reason_code(reason) for reason in range(1, len(rejects.REASONS))}
    for source in (ROOT / "gateway").glob("*.py"):
        codes |= set(
            re.findall(r'(?:BadRequest|Unauthenticated|NotFound|__init__)\(\s*"([A-Z_]+)"', source.read_text())
        )
    assert len(codes) > 40, "the search for codes found too few"
    assert sorted(code for code in codes if f"`{code}`" not in DOCUMENT) == []


def test_every_route_is_in_the_document() -> None:
    metrics = GatewayMetrics(["node-1"])
    group = Group(
        doors={"node-1": ("127.0.0.1", 1)},
        cluster_id=bytes(16),
        cluster_secret=bytes(32),
        name="gateway-1",
        metrics=metrics.group,
        request_timeout_ms=1_000,
    )
    edge = Edge(group=group, metrics=metrics, master_key=bytes(32), bootstrap_operator=None, receive_timeout_ms=1_000)
    paths = {getattr(route, "path", "") for route in build_app(edge).routes} - {"/static/{name}"}
    assert len(paths) > 15
    assert sorted(path for path in paths if path not in DOCUMENT) == []
