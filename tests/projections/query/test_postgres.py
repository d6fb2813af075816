"""PostgreSQL gives the same answers as SQLite, by its indexes, and within the time that a question has."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from sqlalchemy import text

from gateway.errors import QueryUnavailable
from projections.database import database_url
from projections.query import orders, streams
from projections.query.answers import all_pages
from projections.query.database import Database, QueryTooSlow
from projections.query.source import Source
from tests.projections.databases import end_connections, new_database
from tests.projections.postgres_server import binaries, postgres_server
from tests.projections.query.history import LIMIT_S, History, ask
from tests.projections.query.test_pages import deposit
from tests.projections.query.test_plans import LARGE, QUESTIONS, statements

SEQ_SCAN = re.compile(r"Seq Scan on (\w+)")


@pytest.fixture(scope="module")
def other() -> Iterator[History]:
    """The same history as in SQLite."""
    if binaries() is None:
        pytest.skip("PostgreSQL is not installed: the package is called postgresql")
    with postgres_server(Path(tempfile.gettempdir())) as server:
        history = History(database_url(new_database(server)))
        history.grow("main", seed=1, count=700)
        history.grow("metals", seed=2, count=500)
        yield history
        history.database.close()


@pytest.mark.parametrize(("name", "account", "parameters"), QUESTIONS, ids=str)
def test_answers_are_those_of_sqlite(
    history: History, other: History, name: str, account: str | None, parameters: dict[str, Any]
) -> None:
    with mock.patch.object(streams, "EXAMINED_MAX", 40), mock.patch.object(orders, "EXAMINED_MAX", 40):
        asked = ask(name, account, **parameters)
        pages = []
        for one in (history, other):
            cursor: str | None = None
            found: list[dict[str, Any]] = []
            while len(found) < 12:
                limit = 9 if asked.question.pages else None
                found.append(one.ask(name, account, **parameters, limit=limit, cursor=cursor))
                cursor = found[-1].get("next")
                if not cursor:
                    break
            pages.append(found)
        assert pages[0] == pages[1]


def test_every_search_can_go_by_an_index(other: History) -> None:
    with other.database.snapshot(LIMIT_S) as connection:
        # The tables are small, and reading them whole would be cheapest: the question is whether it can be avoided.
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        with statements(connection.engine) as asked_for:
            for name, account, parameters in QUESTIONS:
                list(all_pages(Source(connection, ask(name, account, **parameters))))
        assert len(asked_for) > 100
        for statement, bound in dict(asked_for).items():
            plan = "\n".join(connection.exec_driver_sql(f"EXPLAIN {statement}", bound).scalars())
            assert not set(SEQ_SCAN.findall(plan)) & set(LARGE), (statement, plan)


def test_nothing_can_be_written_and_time_is_limited(other: History) -> None:
    with pytest.raises(Exception, match="read-only"), other.database.snapshot(LIMIT_S) as connection:
        connection.execute(text("DELETE FROM orders"))
    with pytest.raises(QueryTooSlow), other.database.snapshot(0.05) as connection:
        connection.execute(text("SELECT pg_sleep(5)"))


def test_a_snapshot_is_of_one_moment(other: History) -> None:
    question = ask("transfers", group="main", limit=1)
    with other.database.snapshot(LIMIT_S) as connection:
        before = Source(connection, question).as_of_sequence
        deposit(other, 1)
        assert Source(connection, question).as_of_sequence == before


def test_a_server_that_went_away_is_asked_again(other: History) -> None:
    database = Database(other.url)
    with database.snapshot(LIMIT_S) as connection:
        connection.execute(text("SELECT 1"))
    assert end_connections(other.url.render_as_string(hide_password=False).replace("+psycopg", "")) >= 1
    with database.snapshot(LIMIT_S) as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1
    database.close()
    nobody = Database(other.url.set(port=1))
    with pytest.raises(QueryUnavailable), nobody.snapshot(LIMIT_S):
        pass
