"""Reading ahead: one thread for each group fetches entries while another folds what was fetched before."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Mapping
from typing import Final, NamedTuple, Self

from engine.entry import Entry
from projections.source import HistoryRefused, Source, SourceUnavailable

WAIT_S: Final = 1.0  # for one read; also how long a reader may go on after it was stopped
PAUSE_S_MIN: Final = 0.2
PAUSE_S_MAX: Final = 10.0
# Each is at most about a MiB of entries (``replication.entry_source``), so memory is bounded.
_STRETCHES_AHEAD: Final = 8

logger = logging.getLogger(__name__)


class Stretch(NamedTuple):
    """Entries of one group, in order, or why there will be no more."""

    group_name: str
    entries: list[Entry]
    refused: HistoryRefused | None = None

    @property
    def size_bytes(self) -> int:
        """Of the events."""
        return sum(len(entry.events) for entry in self.entries)


class Readers:
    """The threads of all groups, until the ``with`` block ends."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self._sources = sources
        self._stretches: queue.Queue[Stretch] = queue.Queue(_STRETCHES_AHEAD * max(1, len(sources)))
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._read, args=(name, source), name=f"reader of {name}", daemon=True)
            for name, source in sources.items()
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        for source in self._sources.values():
            source.close()

    def take(self, timeout_s: float, bytes_max: int) -> list[Stretch]:
        """All that is there, about so much of events at most; waits for the first. ``[]`` if nothing came."""
        try:
            taken = [self._stretches.get(timeout=timeout_s)]
        except queue.Empty:
            return []
        size = taken[0].size_bytes
        while size < bytes_max:
            try:
                taken.append(self._stretches.get_nowait())
            except queue.Empty:
                break
            size += taken[-1].size_bytes
        return taken

    def last_sequence(self, group_name: str) -> int:
        """How far the group's log was last known to be."""
        return self._sources[group_name].last_sequence

    def _read(self, group_name: str, source: Source) -> None:
        pause_s = PAUSE_S_MIN
        while not self._stopping.is_set():
            try:
                entries = source.read(WAIT_S)
            except SourceUnavailable as error:
                logger.warning("group %s: %s; trying again in %g s", group_name, error, pause_s)
                self._stopping.wait(pause_s)
                pause_s = min(PAUSE_S_MAX, 2 * pause_s)
            except HistoryRefused as error:
                self._put(Stretch(group_name, [], error))
                return
            else:
                pause_s = PAUSE_S_MIN
                if entries:
                    self._put(Stretch(group_name, entries))

    def _put(self, stretch: Stretch) -> None:
        while not self._stopping.is_set():
            try:
                self._stretches.put(stretch, timeout=WAIT_S)
                return
            except queue.Full:
                continue
