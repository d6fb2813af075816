"""Rows and position move together: whatever is killed, delivered again, cut into batches, the tables are the same."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, NoReturn

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from engine.entry import Entry
from projections.database import database_url, reading_engine, sqlite_url
from projections.fingerprint import table_hashes, total_hash
from projections.group_fold import ChainBroken, EntryGap
from projections.store import AnotherProjectorRuns, PositionMoved, Store, positions_of
from tests.projections.databases import end_connections
from tests.projections.fold_harness import Exchange

SEED = 5
ENTRIES = list(Exchange().entries(SEED, 400))


class Broken(Exception):
    """What a test breaks a step with."""


def project(store: Store, entries: Sequence[Entry], batches: Sequence[int] = ()) -> None:
    """Fold and write entries, so many in each transaction; the rest in one more."""
    fold = store.load("main")
    at = 0
    for size in (*batches, len(entries)):
        before = fold.position
        for entry in entries[at : at + size]:
            fold.apply(entry)
        at += size
        if fold.position != before:
            store.write(before, fold.position, fold.take())


def hash_of(url: str) -> str:
    engine = reading_engine(database_url(url))
    with engine.connect() as connection:
        found = total_hash(list(table_hashes(connection)))
    engine.dispose()
    return found


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The hash of all entries in one transaction of SQLite."""
    url = f"sqlite:///{tmp_path_factory.mktemp('expected') / 'p.sqlite'}"
    with Store(database_url(url)) as store:
        project(store, ENTRIES)
    return hash_of(url)


@pytest.mark.parametrize("seed", [1, 2])
def test_any_batches_and_restarts_give_the_same_tables(any_url: str, expected: str, seed: int) -> None:
    print("seed", seed)
    random = Random(seed)
    at = 0
    while at < len(ENTRIES):
        batches = [random.choice((1, 1, 2, 3, 10, 30)) for _ in range(random.randint(1, 6))]
        with Store(database_url(any_url)) as store:  # a process that is started again
            project(store, ENTRIES[: at + sum(batches)], [at, *batches])
        at += sum(batches)
    assert hash_of(any_url) == expected


def test_what_is_delivered_twice_and_from_the_beginning_again_changes_nothing(any_url: str, expected: str) -> None:
    with Store(database_url(any_url)) as store:
        project(store, [entry for entry in ENTRIES for _ in range(2)], [7] * 50)
        project(store, ENTRIES)
    assert hash_of(any_url) == expected


def test_a_gap_is_named_and_writes_nothing(tmp_path: Path) -> None:
    with Store(sqlite_url(tmp_path / "p.sqlite")) as store:
        project(store, ENTRIES[:10])
        fold = store.load("main")
        with pytest.raises(EntryGap, match=f"group main: sequence {fold.position.sequence + 1} is missing"):
            fold.apply(ENTRIES[11])
        assert store.load("main").position == fold.position


def test_another_history_is_refused(tmp_path: Path) -> None:
    other = list(Exchange().entries(SEED + 1, 60))
    common = next(index for index, (one, two) in enumerate(zip(ENTRIES, other, strict=False)) if one != two)
    with Store(sqlite_url(tmp_path / "p.sqlite")) as store:
        project(store, ENTRIES[: common + 1])
        position = store.load("main").position
        with pytest.raises(ChainBroken, match="another history, or damaged"):
            project(store, [entry for entry in other if entry.first_sequence > position.sequence])
        known = ENTRIES[common]._replace(chain=bytes(32))
        with pytest.raises(ChainBroken, match="is another one than the one that the rows were made of"):
            project(store, [known])


def test_a_damaged_entry_is_refused(tmp_path: Path) -> None:
    with Store(sqlite_url(tmp_path / "p.sqlite")) as store, pytest.raises(ChainBroken):
        project(store, [ENTRIES[0]._replace(timestamp_ns=ENTRIES[0].timestamp_ns + 1)])


def test_one_process_writes(any_url: str) -> None:
    with (
        Store(database_url(any_url)),
        pytest.raises(AnotherProjectorRuns, match=r"another projector writes to .*: stop that one first"),
    ):
        Store(database_url(any_url))
    Store(database_url(any_url)).close()


def test_a_position_that_somebody_else_moved_is_not_overwritten(any_url: str) -> None:
    with Store(database_url(any_url)) as store:
        project(store, ENTRIES[:5])
        late = store.load("main")
        project(store, ENTRIES[:6])
        before = late.position
        late.apply(ENTRIES[5])
        with pytest.raises(PositionMoved, match="the position of group main is not"):
            store.write(before, late.position, late.take())
        assert store.load("main").position.sequence == ENTRIES[5].last_sequence


def test_what_was_added_before_cannot_be_added_again(any_url: str) -> None:
    """The last defence against doing something twice: keys of trades and of the ledger's lines are there once."""
    with Store(database_url(any_url)) as store:
        fold = store.load("main")
        before = fold.position
        for entry in ENTRIES:
            fold.apply(entry)
        rows = fold.take()
        store.write(before, fold.position, rows)
        with pytest.raises(IntegrityError):
            store.write(fold.position, fold.position, rows)


def test_groups_have_tables_in_common_and_nothing_else(any_url: str) -> None:
    with Store(database_url(any_url)) as store:
        project(store, ENTRIES[:30])
        fold = store.load("metals")
        before = fold.position
        for entry in ENTRIES[:50]:
            fold.apply(entry)
        store.write(before, fold.position, fold.take())
        assert store.load("main").position.sequence == ENTRIES[29].last_sequence
    engine = reading_engine(database_url(any_url))
    with engine.connect() as connection:
        found = [(one.group_id, one.group_name, one.sequence) for one in positions_of(connection)]
        counts = connection.execute(text("SELECT group_id, count(*) FROM accounts GROUP BY group_id ORDER BY 1")).all()
    engine.dispose()
    assert found == [(1, "main", ENTRIES[29].last_sequence), (2, "metals", ENTRIES[49].last_sequence)]
    assert [tuple(one) for one in counts] == [(1, 6), (2, 6)]


def test_emptied_tables_filled_again_are_the_same(any_url: str, expected: str) -> None:
    with Store(database_url(any_url)) as store:
        project(store, ENTRIES[:100])
        store.empty()
        assert store.load("main").position.sequence == 0
        project(store, ENTRIES)
    assert hash_of(any_url) == expected


def break_at(engine: Engine, step: int, how: Any) -> list[str]:
    """Call ``how`` when a connection of the engine is about to do its ``step``-th thing. The list tells what it did."""
    done: list[str] = []

    def count(what: str) -> None:
        done.append(what)
        if len(done) == step:
            how()

    event.listen(engine, "before_cursor_execute", lambda _c, _k, statement, *_more: count(statement.split("(")[0]))
    event.listen(engine, "commit", lambda _connection: count("COMMIT"))
    return done


def steps_of_a_transaction(url: str) -> list[str]:
    with Store(database_url(url)) as store:
        fold = store.load("main")
        before = fold.position
        for entry in ENTRIES[:150]:
            fold.apply(entry)
        done = break_at(store._engine, 0, None)
        store.write(before, fold.position, fold.take())
    return done


def test_a_connection_that_fails_at_any_step_loses_and_doubles_nothing(any_url: str, expected: str) -> None:
    def fail() -> NoReturn:
        raise Broken

    failures = 0
    for at in (len(ENTRIES) // 2, len(ENTRIES)):
        step, is_written = 0, False
        while not is_written:
            step += 1
            with Store(database_url(any_url)) as store:
                fold = store.load("main")
                break_at(store._engine, step, fail)
                before = fold.position
                for entry in ENTRIES[:at]:
                    fold.apply(entry)
                try:
                    store.write(before, fold.position, fold.take())
                    is_written = True
                except Broken:
                    failures += 1
    assert failures > 20
    assert hash_of(any_url) == expected


def test_a_process_that_is_killed_at_any_step_loses_and_doubles_nothing(tmp_path: Path, expected: str) -> None:
    """Each step of the one large transaction in turn, and then the moment after it, by real processes."""
    steps = steps_of_a_transaction(f"sqlite:///{tmp_path / 'steps.sqlite'}")
    assert (steps[0], steps[-1]) == ("BEGIN IMMEDIATE", "COMMIT")
    assert len(steps) > 12, steps
    url = f"sqlite:///{tmp_path / 'p.sqlite'}"
    for step in range(1, len(steps) + 1):
        child = os.fork()
        if not child:
            try:
                with Store(database_url(url)) as store:
                    break_at(store._engine, 0, None)
                    fold = store.load("main")
                    before = fold.position
                    for entry in ENTRIES[:150]:
                        fold.apply(entry)
                    break_at(store._engine, step, lambda: os.kill(os.getpid(), signal.SIGKILL))
                    store.write(before, fold.position, fold.take())
            finally:
                os._exit(1)  # it was to be killed
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, (step, status)
        with Store(database_url(url)) as store:
            assert store.load("main").position.sequence == 0, steps[step - 1]
    with Store(database_url(url)) as store:
        project(store, ENTRIES, [100])
    assert hash_of(url) == expected


def test_a_postgresql_that_ends_its_connections_takes_nothing_half_done(postgres_url: str, expected: str) -> None:
    with Store(database_url(postgres_url)) as store:
        project(store, ENTRIES[:50])
        fold = store.load("main")
        before = fold.position
        for entry in ENTRIES:
            fold.apply(entry)
        break_at(store._engine, 5, lambda: end_connections(postgres_url))
        with pytest.raises(DBAPIError):
            store.write(before, fold.position, fold.take())
    with Store(database_url(postgres_url)) as store:  # the lock went with the connection
        assert store.load("main").position.sequence == ENTRIES[49].last_sequence
        project(store, ENTRIES)
    assert hash_of(postgres_url) == expected
