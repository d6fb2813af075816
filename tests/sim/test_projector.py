"""``tally projector`` beside a real exchange, as ``tally up`` runs it and as operators use it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import select

from projections import schema
from projections.database import reading_engine, sqlite_url
from projections.store import positions_of
from sim.local_exchange import TALLY, LocalExchange
from sim.projector import main as projector
from tests.sim.opened_market import open_market

PATIENCE_S = 20.0


class Tables:
    """The read models of an exchange that runs in a folder."""

    def __init__(self, exchange: LocalExchange) -> None:
        self.file = exchange.directory / "projections" / "projections.sqlite"
        self.config = str(exchange.directory / "cluster.toml")

    def orders(self) -> dict[str, int]:
        """What is executed of each order, in lots, by its client's id."""
        engine = reading_engine(sqlite_url(self.file))
        found = {}
        with engine.connect() as connection:
            if positions_of(connection):
                columns = (schema.orders.c.client_order_id, schema.orders.c.executed_lots)
                found = {row[0]: row[1] for row in connection.execute(select(*columns))}
        engine.dispose()
        return found

    def wait_for(self, client_order_id: str) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not self.file.exists() or client_order_id not in self.orders():
            assert time.monotonic() < deadline_s, f"{client_order_id} did not come"
            time.sleep(0.05)


@pytest.mark.cluster
def test_a_projector_that_is_killed_in_the_middle_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with LocalExchange(tmp_path / "exchange", history=True) as exchange:
        ana, tables = exchange.client(*open_market(exchange)), Tables(exchange)
        for number in range(20):
            ana.place("GLD-EUR", "buy", quantity="1", price=f"{10 + number}", client_order_id=f"c{number}").expect()
            if number % 10 == 5:
                tables.wait_for(f"c{number}")
                exchange.kill("projector")
        tables.wait_for("c19")
        assert tables.file.stat().st_mode & 0o077 == 0
        assert set(tables.orders()) == {f"c{number}" for number in range(20)}

        assert projector(["verify", "--config", tables.config]) == 0
        assert projector(["status", "--config", tables.config]) == 0
        said = capsys.readouterr().out
        assert "verified     " in said
        assert ", up to date; its last entry is" in said
        assert projector(["rebuild", "--config", tables.config]) == 1
        assert "another projector writes to" in capsys.readouterr().err

        # The same history in another database, made in one go by a process that is then asked to stop.
        other = f"sqlite:///{tmp_path / 'other.sqlite'}"
        assert projector(["rebuild", "--config", tables.config, "--database", other]) == 0
        assert "rebuilt to main " in capsys.readouterr().out
        assert projector(["hash", "--config", tables.config]) == 0
        mine = capsys.readouterr().out.splitlines()[-1]
        assert projector(["hash", "--config", tables.config, "--database", other]) == 0
        assert capsys.readouterr().out.splitlines()[-1] == mine
        command = [sys.executable, str(TALLY), "projector", "--config", tables.config, "--database", other]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as follower:
            assert follower.stderr is not None
            while "group main: going on after sequence" not in follower.stderr.readline():
                assert follower.poll() is None
            follower.terminate()
            assert follower.stderr.readline().endswith("stopped\n")
            assert follower.wait(PATIENCE_S) == 0


def test_what_cannot_be_done_is_said_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert projector(["--config", str(tmp_path / "none.toml")]) == 1
    assert capsys.readouterr().err.endswith("none.toml: there is no such file\n")
    config = str(TALLY.parent / "configs" / "dev.toml")
    assert projector(["hash", "--config", config, "--database", "mysql://host/name"]) == 1
    assert "'mysql://host/name' is no database: use sqlite:///FILE or" in capsys.readouterr().err
    assert projector(["hash", "--config", config, "--database", f"sqlite:///{tmp_path}/none.sqlite"]) == 1
    assert "none.sqlite does not exist: `tally projector` makes and fills it" in capsys.readouterr().err
    assert projector(["status", "--config", config, "--database", "postgresql://tally@127.0.0.1:1/none"]) == 1
    assert "the database: connection failed" in capsys.readouterr().err


def test_help_shows_how_it_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        projector(["--help"])
    assert ended.value.code == 0
    assert "tally projector rebuild --config cluster.toml" in capsys.readouterr().out
