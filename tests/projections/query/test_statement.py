"""Statements and balances: complete, exact, and refused where they do not add up."""

from __future__ import annotations

from collections import defaultdict
from typing import Any
from unittest import mock

import pytest
from sqlalchemy import update

from engine.amounts import format_units
from gateway.errors import BadRequest
from gateway.rendering import timestamp_text
from projections import schema
from projections.database import writing_engine
from projections.query import streams
from projections.query.answers import all_pages
from projections.query.source import Source
from projections.query.statement import StatementDisagrees
from tests.projections.query.history import LIMIT_S, History, ask
from tests.projections.query.model import Model

NAMES = ("trader-1", "boss", "exchange")


@pytest.fixture(scope="module")
def model(history: History) -> Model:
    return Model(history)


@pytest.fixture(scope="module")
def moments(model: Model) -> list[str]:
    times_ns = sorted({row["timestamp_ns"] for row in model.rows(schema.ledger_lines)})
    chosen = times_ns[:: len(times_ns) // 4]
    return [timestamp_text(ns + more) for ns in chosen for more in (0, 1, -ns % 60_000_000_000)]


@pytest.mark.parametrize("account", NAMES)
def test_opening_balance_and_lines_come_to_the_closing_balance(
    history: History, model: Model, moments: list[str], account: str
) -> None:
    checked = 0
    for start in range(0, len(moments), 4):
        for to in [moment for moment in moments[start + 1 :: 5] if moment > moments[start]]:
            period = {"from": moments[start], "to": to}
            with mock.patch.object(streams, "EXAMINED_MAX", 11):
                lines = history.all_rows("statement", account, limit=17, **period)
            body = history.ask("statement", account, limit=1, **period)
            expected = model.lines(account, period)
            assert [(one["sequence"], one["event_index"]) for one in lines] == [
                (row["sequence"], row["event_index"]) for row in expected
            ]
            sums: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
            for one in body["opening"]:
                sums[one["group"], one["asset"]] = [units(one["available"]), units(one["held"])]
            for one in lines:
                of_asset = sums[one["group"], one["asset"]]
                of_asset[0] += units(one["available_change"])
                of_asset[1] += units(one["held_change"])
            closing = {
                (one["group"], one["asset"]): [units(one["available"]), units(one["held"])] for one in body["closing"]
            }
            assert dict(sums) == closing
            checked += len(lines)
    assert checked > 100


def units(amount: str) -> int:
    """Whatever the decimals: they are the same for all amounts of an asset."""
    return int(amount.replace(".", ""))


def test_balances_at_a_time_are_those_of_the_last_line_before_it(
    history: History, model: Model, moments: list[str]
) -> None:
    for account in NAMES:
        for at in moments:
            found = {
                (one["group"], one["asset"]): (one["available"], one["held"])
                for one in history.ask("balances", account, at=at)["balances"]
            }
            last: dict[tuple[str, str], tuple[int, int]] = {}
            for row in model.lines(account, {"to": at}):
                key = (model.groups[row["group_id"]], model.assets[row["group_id"], row["asset_id"]])
                last[key] = (row["available_units"], row["held_units"])
            for key, (available, held) in last.items():
                assert tuple(map(units, found.pop(key))) == (available, held)
            assert all(units(amount) == 0 for pair in found.values() for amount in pair)


def test_balances_now_are_what_the_engine_has(history: History) -> None:
    for group, exchange in history.exchanges.items():
        machine = exchange.machine
        for account_id, asset_id, available, held in machine.ledger.rows():
            account = machine.registry.accounts[account_id].name.decode()
            asset = machine.registry.assets[asset_id]
            assert asset is not None
            body = history.ask("balances", account, group=group, asset=asset.name.decode())
            (found,) = body["balances"]
            assert found["available"] == format_units(available, asset.decimals)
            assert found["total"] == format_units(available + held, asset.decimals)
            assert body["as_of_sequence"] == machine.sequence


@pytest.mark.parametrize(
    ("column", "at_line"),
    [("available_change_units", 3), ("held_units", -1), ("available_units", 0)],
)
def test_a_statement_that_does_not_add_up_is_not_shown(growing: History, column: str, at_line: int) -> None:
    lines = Model(growing).lines("trader-1", {"asset": "EUR"})
    assert len(lines) > 5
    growing.all_rows("statement", "trader-1", limit=2)
    row = lines[at_line]
    damaged = update(schema.ledger_lines).where(
        schema.ledger_lines.c.account_id == row["account_id"],
        schema.ledger_lines.c.asset_id == row["asset_id"],
        schema.ledger_lines.c.sequence == row["sequence"],
        schema.ledger_lines.c.event_index == row["event_index"],
    )
    with writing_engine(growing.url).begin() as connection:
        assert connection.execute(damaged.values({column: row[column] + 1})).rowcount == 1
    for limit in (2, 1000):
        with pytest.raises(StatementDisagrees):
            growing.all_rows("statement", "trader-1", limit=limit)
    with growing.database.snapshot(LIMIT_S) as connection, pytest.raises(StatementDisagrees):
        list(all_pages(Source(connection, ask("statement", "trader-1"))))


@pytest.mark.parametrize("name", ["statement", "balances", "fills"])
def test_what_is_about_one_account_needs_its_name(history: History, name: str) -> None:
    with pytest.raises(BadRequest, match="account"):
        history.ask(name)


def test_a_line_says_why_and_with_whom(history: History) -> None:
    trades = [one for one in history.all_rows("statement", "trader-1", group="main") if one["kind"] == "trade"]
    fills: dict[int, Any] = {one["trade_id"]: one for one in history.all_rows("fills", "trader-1", group="main")}
    assert {one["reference_id"] for one in trades} == set(fills)
    assert {one["other_account"] for one in trades} <= {"trader-2", "trader-3", "trader-4", "boss", "trader-1"}
