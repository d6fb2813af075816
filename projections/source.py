"""Where a projector's entries come from, as it sees it. What speaks to nodes and to Kafka is given to it.

::

    SourceError
      +-- SourceUnavailable   nobody tells what comes next, for now: reading again later may help
      +-- HistoryRefused      what comes next does not continue what was read so far: a person must look
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from engine.entry import Entry
from projections.group_fold import Position


class SourceError(Exception):
    """The history cannot be read on."""


class SourceUnavailable(SourceError):
    """Nobody tells what comes next, for now."""


class HistoryRefused(SourceError):
    """What comes next is of another history."""


class Source(Protocol):
    """The entries of a group behind a position, in order. ``last_sequence`` is how far the log was last known to be."""

    @property
    def last_sequence(self) -> int: ...

    def read(self, wait_s: float) -> list[Entry]:
        """The next entries, which may have been delivered before; ``[]`` if there are none within ``wait_s``."""

    def close(self) -> None: ...


OpenSource = Callable[[Position], Source]
"""Begins to read behind a position. Connects when it is first read."""
