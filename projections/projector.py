"""The projector: entries from the sources of all groups into the tables of one database, for ever.

What fails for a while (the nodes, the database) is tried again for ever, after pauses; each time everything is read
anew from the database, so nothing that failed half-way is ever built upon. What cannot get better by itself ends it:
:class:`ProjectorHalted`. The tables then stay at the last position that was sound.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, IntegrityError

from engine.codec import CodecError
from engine.entry import Entry
from projections.database import DatabaseError
from projections.group_fold import EntryRefused, GroupFold, Position
from projections.migrations import SchemaUnknown
from projections.moment import EventsDisagree
from projections.projector_metrics import ProjectorMetrics
from projections.readers import PAUSE_S_MAX, PAUSE_S_MIN, Readers, Stretch
from projections.source import OpenSource
from projections.store import Store

WAIT_S: Final = 0.5
# Of events that one transaction has, about: some ten thousand commands, a second of work.
BYTES_PER_TRANSACTION: Final = 1 << 20

logger = logging.getLogger(__name__)


class ProjectorHalted(Exception):
    """Going on would be wrong. The text says where and why."""


@dataclass(frozen=True)
class ProjectorOptions:
    """``groups`` are read from with what opens their sources. ``poll_groups``, asked again and again, answers all of
    them anew when there are more, else None. ``on_progress`` is called after each transaction."""

    url: URL
    groups: Mapping[str, OpenSource]
    metrics: ProjectorMetrics
    poll_groups: Callable[[], Mapping[str, OpenSource] | None] = lambda: None
    on_progress: Callable[[Position], None] = lambda _position: None


class Projector:
    """Call :meth:`run`; another thread or a signal ends it with :meth:`stop`."""

    def __init__(self, options: ProjectorOptions) -> None:
        self._options = options
        self._groups = options.groups
        self._stopping = threading.Event()
        self._pause_s = PAUSE_S_MIN

    def stop(self) -> None:
        """End after the transaction under way."""
        self._stopping.set()

    def run(self, store: Store) -> None:
        """Follow all groups until :meth:`stop`. The first store is given open, and closed here.

        ProjectorHalted if the entries or the tables are wrong.
        """
        opened: Store | None = store
        while True:
            try:
                with opened or Store(self._options.url) as usable:
                    opened = None
                    self._follow(usable)
            except (EntryRefused, EventsDisagree, CodecError, IntegrityError, SchemaUnknown) as error:
                raise ProjectorHalted(_sentence(error)) from error
            except (DBAPIError, DatabaseError) as error:
                opened = None
                logger.warning("the database: %s; trying again in %g s", _sentence(error), self._pause_s)
                self._options.metrics.database_failures.inc()
                self._stopping.wait(self._pause_s)
                self._pause_s = min(PAUSE_S_MAX, 2 * self._pause_s)
            if self._stopping.is_set():
                return

    def _follow(self, store: Store) -> None:
        """Until the end, or until there are more groups."""
        metrics = self._options.metrics
        folds = {name: store.load(name) for name in self._groups}
        sources = {name: open_source(folds[name].position) for name, open_source in self._groups.items()}
        for name, fold in folds.items():
            logger.info("group %s: going on after sequence %d", name, fold.position.sequence)
            metrics.stands_at(fold.position)
        with Readers(sources) as readers:
            while not self._stopping.is_set():
                for name, entries in _by_group(readers.take(WAIT_S, BYTES_PER_TRANSACTION)).items():
                    self._project(store, folds[name], entries)
                for name, fold in folds.items():
                    metrics.log_is_at(name, readers.last_sequence(name), fold.position)
                more = self._options.poll_groups()
                if more is not None:
                    logger.info("following %s from now on", ", ".join(more))
                    self._groups = more
                    return

    def _project(self, store: Store, fold: GroupFold, entries: list[Entry]) -> None:
        """Fold entries and write what they change, in one transaction: what comes before one that is refused too."""
        before, refused = fold.position, None
        with self._options.metrics.transaction_seconds.time():
            for entry in entries:
                try:
                    fold.apply(entry)
                except EntryRefused as error:
                    refused = error
                    break
            if fold.position != before:
                self._write(store, before, fold)
        if refused is not None:
            raise refused

    def _write(self, store: Store, before: Position, fold: GroupFold) -> None:
        rows = fold.take()
        store.write(before, fold.position, rows)
        self._pause_s = PAUSE_S_MIN
        self._options.metrics.wrote(before, fold.position, rows)
        self._options.on_progress(fold.position)


def _by_group(stretches: list[Stretch]) -> dict[str, list[Entry]]:
    by_group: dict[str, list[Entry]] = {}
    for stretch in stretches:
        if stretch.refused is not None:
            raise ProjectorHalted(f"group {stretch.group_name}: {stretch.refused}")
        by_group.setdefault(stretch.group_name, []).extend(stretch.entries)
    return by_group


def _sentence(error: Exception) -> str:
    """The driver's own words instead of SQLAlchemy's, which has the whole statement in it."""
    if isinstance(error, DBAPIError):
        return " ".join(str(error.orig).split())
    return str(error)
