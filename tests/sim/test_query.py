"""``tally query`` reads the same as the server answers, and says clearly what it cannot do."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

from sim.local_exchange import LocalExchange
from sim.query import main
from sim.query_table import table_lines
from tests.projections.query.history import History, new_history

NOWHERE = Path("nowhere.toml")
PATIENCE_S = 20.0


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    history = new_history(tmp_path_factory.mktemp("history"))
    history.grow("main", seed=1, count=300)
    yield history
    history.database.close()


def query(history: History, *arguments: str) -> int:
    return main([*arguments, "--database", str(history.url)], config_file=NOWHERE)


def test_a_search_is_a_table(history: History, capsys: pytest.CaptureFixture[str]) -> None:
    assert query(history, "orders", "--account", "trader-1", "--state", "filled", "--since", "2025-06-01") == 0
    out, err = capsys.readouterr()
    title, *lines = out.splitlines()
    expected = history.ask("orders", "trader-1", status="filled", from_="2025-06-01T00:00:00Z")["orders"]
    assert title.startswith("GROUP  ORDER ID  ACCOUNT")
    assert "BUDGET" in title or all(row["budget"] is None for row in expected)
    assert [line.split()[1] for line in lines] == [str(row["order_id"]) for row in expected]
    assert err == f"as of sequence: main {history.exchanges['main'].machine.sequence}\n"


def test_a_statement_ends_with_its_balances(history: History, capsys: pytest.CaptureFixture[str]) -> None:
    assert query(history, "statement", "--account", "trader-1", "--asset", "EUR", "--limit", "1000") == 0
    (closing,) = history.ask("balances", "trader-1", asset="EUR")["balances"]
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == (
        f"closing main EUR: available {closing['available']}, held {closing['held']}, total {closing['total']}"
    )


def test_more_rows_than_a_page_are_announced(history: History, capsys: pytest.CaptureFixture[str]) -> None:
    assert query(history, "transfers", "--limit", "2") == 0
    assert "there are more rows" in capsys.readouterr().err


def test_all_rows_go_into_a_file(history: History, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    expected = history.all_rows("orders", "trader-2")
    assert query(history, "orders", "--account", "trader-2", "--format", "csv") == 0
    text = capfdbinary.readouterr().out.decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [int(row["order_id"]) for row in rows] == [row["order_id"] for row in expected]
    out = tmp_path / "orders.parquet"
    assert query(history, "orders", "--account", "trader-2", "--format", "parquet", "--out", str(out)) == 0
    assert parquet.read_table(out).column("order_id").to_pylist() == [row["order_id"] for row in expected]
    assert query(history, "orders", "--account", "trader-2", "--format", "json", "--out", str(out)) == 0
    assert json.loads(out.read_bytes()) == expected


def test_position_says_how_far_it_is(history: History, capsys: pytest.CaptureFixture[str]) -> None:
    assert query(history, "position") == 0
    title, line = capsys.readouterr().out.splitlines()
    assert title.split() == ["GROUP", "SEQUENCE", "TIMESTAMP"]
    assert line.split()[:2] == ["main", str(history.exchanges["main"].machine.sequence)]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("orders", "--account", "nobody"), "There is no account 'nobody'."),
        (("trades", "--market", "GLD-USD"), "There is no market 'GLD-USD'."),
        (("orders", "--since", "yesterday"), "The field 'from' is not a time"),
        (("fills",), "The query parameter 'account' is missing"),
    ],
)
def test_what_cannot_be_answered_is_one_sentence(
    history: History, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], sentence: str
) -> None:
    assert query(history, *arguments) == 1
    assert sentence in capsys.readouterr().err


def test_a_database_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["orders", "--database", f"sqlite:///{tmp_path}/none.db"], config_file=NOWHERE) == 1
    assert "none.db does not exist" in capsys.readouterr().err
    assert main(["orders"], config_file=tmp_path / "none.toml") == 1
    assert "there is no such file" in capsys.readouterr().err


@pytest.mark.cluster
def test_history_goes_on_while_its_writer_its_server_and_the_leader_are_killed(tmp_path: Path) -> None:
    with LocalExchange(tmp_path / "exchange", history=True) as exchange:
        operator = exchange.operator()
        operator.create_asset("EUR", 5).expect()
        operator.create_asset("GLD", 3).expect()
        operator.create_market("GLD", "EUR", tick="0.01", lot="0.001").expect()
        operator.create_account("ana").expect()
        deposited = operator.deposit("ana", "EUR", "100.00", "dep-1").expect().body
        key = operator.create_key("ana").expect().body
        ana = exchange.client(key["key_id"], key["secret"])

        def transfers(sequence: int) -> list[str]:
            """References, as soon as this sequence is in the history."""
            path = f"/v1/history/transfers?min_sequence={sequence}&wait_ms=2000"
            deadline_s = time.monotonic() + PATIENCE_S
            while True:
                answer = ana.request("GET", path)
                if answer.status == 200:
                    return [one["reference"] for one in answer.body["transfers"]]
                assert answer.body["error"]["code"] in ("QUERY_UNAVAILABLE", "TOO_OLD"), answer
                assert time.monotonic() < deadline_s, answer

        assert transfers(deposited["sequence"]) == ["dep-1"]
        exchange.kill("query", "projector", exchange.leader())
        later = operator.settle(lambda: operator.deposit("ana", "EUR", "5.00", "dep-2")).expect().body
        assert transfers(later["sequence"]) == ["dep-2", "dep-1"]


def test_columns_without_a_value_are_left_out() -> None:
    rows = [{"name": "a", "amount": "1.5", "empty": None}, {"name": "bcd", "amount": "20.5", "empty": None}]
    assert list(table_lines(["name", "amount", "empty"], rows)) == ["NAME  AMOUNT", "a        1.5", "bcd     20.5"]
