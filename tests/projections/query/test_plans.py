"""No search reads a whole table, or sorts what it found: its index gives the rows in their order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from projections.query.answers import all_pages
from projections.query.source import Source
from tests.projections.query.history import LIMIT_S, History, ask

AT = "2025-06-17T10:00:30.5Z"
TIMES = {"from_": "2025-06-17T10:00:30.5Z", "to": "2025-06-17T23:30:00.25Z"}
MARKET = {"market": "GLD-EUR", "group": "main"}
QUESTIONS: list[tuple[str, str | None, dict[str, Any]]] = [
    ("orders", None, {}),
    ("orders", None, TIMES),
    ("orders", None, {"market": "GLD-EUR", "side": "buy", **TIMES}),
    ("orders", None, {"client_order_id": "s12"}),
    ("orders", None, {"client_order_id_prefix": "s1"}),
    ("orders", None, {"order_id": 40}),
    ("orders", "trader-1", {}),
    ("orders", "trader-1", {"sort": "oldest"}),
    ("orders", "trader-1", {"status": "open"}),
    ("orders", "trader-1", {"status": "filled", "market": "GLD-EUR", "type": "limit", "side": "sell", **TIMES}),
    ("orders", "trader-1", {"client_order_id_prefix": "s1", "market": "GLD-EUR"}),
    ("orders", "trader-1", {"client_order_id": "s12"}),
    ("orders", "trader-1", {"order_id": 40}),
    ("fills", "trader-1", {}),
    ("fills", "trader-1", {"order_id": 40}),
    ("fills", "trader-1", {"market": "GLD-EUR", "side": "buy", "sort": "oldest", **TIMES}),
    ("transfers", None, {}),
    ("transfers", None, {"kind": "deposit", **TIMES}),
    ("transfers", "trader-1", {"asset": "EUR", "status": "posted"}),
    ("transfers", "trader-1", {"reference": "d1"}),
    ("statement", "trader-1", TIMES),
    ("statement", "trader-1", {"asset": "EUR"}),
    ("balances", "trader-1", {}),
    ("balances", "trader-1", {"at": AT}),
    ("trades", None, MARKET),
    ("trades", None, {**MARKET, **TIMES, "sort": "oldest"}),
    ("candles", None, {**MARKET, "interval": "1h"}),
    ("candles", None, {**MARKET, "interval": "1m", **TIMES}),
    ("tickers", None, {}),
    ("tickers", None, MARKET),
]
# The groups are read as a whole: there are a handful. The few orders with a client's id, or whose ids begin alike, are
# sorted: at most EXAMINED_MAX, and with an exact id only those of one sequence.
READ_WHOLE = ("positions",)
LARGE = ("orders", "trades", "transfers", "ledger_lines", "candles")
PREFIX = "client_order_id_prefix"


@contextmanager
def statements(engine: Engine) -> Iterator[list[tuple[str, Any]]]:
    """What is asked of the database, with its parameters."""
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        if statement.lstrip().startswith("SELECT"):
            asked.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(engine, "before_cursor_execute", note)


@pytest.mark.parametrize(("name", "account", "parameters"), QUESTIONS, ids=str)
def test_no_search_scans_or_sorts_a_table(
    history: History, name: str, account: str | None, parameters: dict[str, Any]
) -> None:
    asked = ask(name, account, **parameters)
    with history.database.snapshot(LIMIT_S) as connection:
        with statements(connection.engine) as asked_for:
            history.page(asked)
            if asked.question.pages:
                cursor = history.ask(name, account, limit=1, **parameters)["next"]
                history.ask(name, account, limit=1, cursor=cursor, **parameters)
            list(all_pages(Source(connection, asked)))
        assert asked_for
        for statement, bound in dict.fromkeys((text, tuple(bound)) for text, bound in asked_for):
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", bound).all()
            for *_, step in rows:
                scans = step.startswith("SCAN") and step.split()[1] not in (*READ_WHOLE, "anon_1")
                sorts = "TEMP B-TREE" in step and "client_order_id" not in parameters and PREFIX not in parameters
                reads_the_group = step.endswith("USING PRIMARY KEY (group_id=?)") and step.split()[1] in LARGE
                of_all = "max(" in statement or (name, account) == ("transfers", None)
                assert not scans and not sorts and (of_all or not reads_the_group), (step, statement, bound)
