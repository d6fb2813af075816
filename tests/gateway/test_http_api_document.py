"""docs/http-api.md names everything that a client can meet, and its examples are what an exchange answers.

Each example is sent to a real exchange, from the top of the document to its end. ``REWRITE=1`` writes the answers into
the document.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import textwrap
import time
from pathlib import Path
from typing import Any

from engine import rejects
from engine.types import NS_PER_S
from gateway.app import build_app
from gateway.edge import Edge
from gateway.groups import Group
from gateway.metrics import GatewayMetrics
from gateway.rendering import timestamp_text
from projections.database import sqlite_url
from tests.gateway.live_gateway import Client, LiveGateway, expect
from tests.projections.query.history import History
from tests.projections.query.live_query import LiveQuery
from tests.replication.link_certificates import CLUSTER_ID, gateway

ROOT = Path(__file__).parents[2]
PATH = ROOT / "docs" / "http-api.md"
DOCUMENT = PATH.read_text()

EXAMPLE = re.compile(r"```\n(\w+): (GET|POST|PUT|PATCH|DELETE) (\S+)([^`]*?)\n\n([^`]*?)\n```")
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
WIDTH = 128


def test_every_error_code_is_in_the_document() -> None:
    codes = {rejects.reason_code(reason) for reason in range(1, len(rejects.REASONS))}
    codes_of_kafka = set()
    for source in [*(ROOT / "gateway").glob("*.py"), *(ROOT / "projections" / "query").glob("*.py")]:
        found = re.findall(r'(?:BadRequest|Unauthenticated|NotFound|__init__)\(\s*"([A-Z_]+)"', source.read_text())
        if source.name == "kafka_commands.py":
            codes_of_kafka |= set(found)
        else:
            codes |= set(found)
    assert len(codes) > 60 and len(codes_of_kafka) > 3, "the search for codes found too few"
    assert sorted(code for code in codes if f"`{code}`" not in DOCUMENT) == []
    events = (ROOT / "docs" / "events.md").read_text()
    assert sorted(code for code in codes_of_kafka if f"`{code}`" not in events) == []


def test_every_route_is_in_the_document() -> None:
    metrics = GatewayMetrics(["node-1"])
    group = Group(
        doors={"node-1": ("127.0.0.1", 1)},
        group_id=CLUSTER_ID,
        credentials=gateway(),
        metrics=metrics.group,
        request_timeout_ms=1_000,
    )
    edge = Edge(group=group, metrics=metrics, master_key=bytes(32), bootstrap_operator=None, receive_timeout_ms=1_000)
    routes = {
        f"{method} {getattr(route, 'path', '')}"
        for route in build_app(edge).routes
        for method in getattr(route, "methods", ())
        if method != "HEAD"
    } - {"GET /static/{name}"}
    assert len(routes) > 50
    missing = [route for route in routes if not re.search(rf"\b{re.escape(route)}(?![\w/{{])", DOCUMENT)]
    assert sorted(missing) == []


def test_every_example_is_what_an_exchange_answers() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        LiveQuery(sqlite_url(Path(folder) / "history.db")) as query,
        LiveGateway(query_server=query.address) as gateway,
    ):
        session = Session(gateway, History(query.database))
        answered = EXAMPLE.sub(session.answer, DOCUMENT)
    assert session.count > 50, "the search for examples found too few"
    if os.environ.get("REWRITE"):
        PATH.write_text(answered)
    else:
        assert without_chance(answered) == without_chance(DOCUMENT)


class Session:
    """The exchange of the document, and what is sent to it."""

    def __init__(self, gateway: LiveGateway, history: History) -> None:
        self.count = 0
        self._gateway = gateway
        self._history = history
        self._projected = 0
        self._numbers: dict[str, int] = {}
        self._moments: dict[str, str] = {}
        operator = gateway.operator()
        for name, decimals in (("BTC", 8), ("USD", 10)):
            expect(201, operator("POST", "/v1/admin/assets", {"name": name, "decimals": decimals}))
        listing = {"base": "BTC", "quote": "USD", "tick": "0.01", "lot": "0.00000001", "min_notional": "1"}
        fees = {"maker_fee": "0.0010", "taker_fee": "0.0025"}
        expect(201, operator("POST", "/v1/admin/markets", listing | fees))
        self._clients: dict[str, Client] = {"operator": operator, "public": gateway.client(None)}
        for trader in ("ana", "bo"):
            expect(201, operator("POST", "/v1/admin/accounts", {"name": trader}))
            for asset, amount in (("USD", "1000"), ("BTC", "2")):
                deposit = {"account": trader, "asset": asset, "amount": amount, "reference": f"{trader}-{asset}"}
                expect(201, operator("POST", "/v1/admin/deposits", deposit))
            key = expect(201, operator("POST", f"/v1/admin/accounts/{trader}/keys", {"key_id": trader})).body
            self._clients[trader] = gateway.client((key["key_id"], key["secret"]))

    def answer(self, example: re.Match[str]) -> str:
        """The example with what the exchange answers now. ``{withdrawal_id}`` in a path is the last one answered."""
        who, method, path, text, _ = example.groups()
        self.count += 1
        if "/history/" in path:
            self._project()
        body = json.loads(MOMENT.sub(self._still_to_come, text)) if text.strip() else None
        sent_path = re.sub(r"\{(\w+)\}", lambda match: str(self._numbers[match[1]]), path)
        response = self._clients[who](method, sent_path, body)
        assert response.status < 500 or response.code == "TOO_OLD", response
        content = re.sub(r'"secret": "[^"]*"', '"secret": "..."', json.dumps(response.body))
        for sent, documented in self._moments.items():
            content = content.replace(sent, documented.replace("Z", ".000000000Z"))
        for name, number in re.findall(r'"(\w+_id)": (\d+)', content):
            self._numbers[name] = int(number)
        return f"```\n{who}: {method} {path}{text}\n\n{wrapped(f'{response.status} {content}')}\n```"

    def _project(self) -> None:
        """Bring the history up to what was answered last."""
        entries = self._gateway.group.entries
        self._history.write("main", entries[self._projected :])
        self._projected = len(entries)

    def _still_to_come(self, documented: re.Match[str]) -> str:
        """A documented time would be over some day, so another one is sent in its place."""
        hours = 1 + len(self._moments)
        sent = timestamp_text(time.time_ns() + hours * 3_600 * NS_PER_S)
        self._moments[sent] = documented[0]
        return sent


def wrapped(text: str) -> str:
    lines = textwrap.wrap(text, WIDTH, subsequent_indent=" ", break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines)


def without_chance(document: str) -> list[Any]:
    """The answers, without what differs from run to run."""
    answers: list[Any] = []
    for example in EXAMPLE.finditer(document):
        status, _, content = " ".join(example[5].split()).partition(" ")
        content = MOMENT.sub("a time", content)
        answers.append((example[1], example[3], status, json.loads(content) if content else None))
    return answers
