"""A real database of the projections, filled through the real folds from what a real engine did."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy.engine import URL

from engine.commands import Command
from engine.entry import Entry
from gateway.history_routes import QUESTIONS, Question
from gateway.rendering import Json
from projections.database import sqlite_url
from projections.group_fold import GroupFold
from projections.query.answers import answer_page
from projections.query.asked import Asked, read_asked
from projections.query.database import Database
from projections.store import Store
from tests.projections.fold_harness import Exchange

LIMIT_S = 10.0
BY_NAME = {question.name: question for question in QUESTIONS}


class History:
    """The database at ``url``, and the engines of its groups, which may go on."""

    def __init__(self, url: URL) -> None:
        self.url = url
        self.database = Database(url)
        self.exchanges: dict[str, Exchange] = {}
        self._folds: dict[str, GroupFold] = {}

    def write(self, group: str, entries: Iterable[Entry]) -> None:
        """Fold entries in and store the rows, in one transaction."""
        with Store(self.url) as store:
            fold = self._folds[group] if group in self._folds else store.load(group)
            self._folds[group] = fold
            before = fold.position
            for entry in entries:
                assert fold.apply(entry)
            store.write(before, fold.position, fold.take())

    def grow(self, group: str, seed: int, count: int) -> None:
        """Commands by chance in a group that is new here."""
        exchange = self.exchanges[group] = Exchange()
        self.write(group, exchange.entries(seed, count))

    def execute(self, group: str, now_ns: int, batch: Sequence[Command]) -> Entry:
        entry = self.exchanges[group].execute(now_ns, batch)
        self.write(group, [entry])
        return entry

    def page(self, asked: Asked) -> Json:
        with self.database.snapshot(LIMIT_S) as connection:
            return answer_page(connection, asked).body

    def ask(self, name: str, account: str | None = None, **parameters: Any) -> Json:
        """A page, as an operator gets it."""
        return self.page(ask(name, account, **parameters))

    def all_rows(self, name: str, account: str | None = None, **parameters: Any) -> list[Json]:
        """The rows of all pages."""
        rows: list[Json] = []
        while True:
            body = self.ask(name, account, **parameters)
            rows += body[BY_NAME[name].list_name]
            if not body["next"]:
                return rows
            assert body["next"] != parameters.get("cursor"), "a page that goes nowhere"
            parameters["cursor"] = body["next"]


def ask(name: str, account: str | None = None, **parameters: Any) -> Asked:
    """A question of an operator. ``from_`` stands for ``from``."""
    question: Question = BY_NAME[name]
    texts = {key.rstrip("_"): str(value) for key, value in parameters.items() if value is not None}
    if account is not None:
        texts["account"] = account
    return read_asked(question, texts, caller=None, is_operator=True)


def new_history(folder: Path) -> History:
    return History(sqlite_url(folder / "history.db"))
