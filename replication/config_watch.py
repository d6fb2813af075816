"""Notices that the configuration file was changed, so that a group can be added while the others trade.

Only what is added is taken up while processes run: a group that is new. Everything else that changed (an address, a
timeout, a group that is gone) is for the next start, as before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from replication.config import Config, ConfigError, load_config

CHECK_EVERY_S: Final = 1.0

logger = logging.getLogger(__name__)


class ConfigWatch:
    """``poll`` answers the new configuration once after each change that can be read."""

    def __init__(self, path: Path, now_s: Callable[[], float]) -> None:
        self._path = path
        self._now_s = now_s
        self._seen = _fingerprint(path)
        self._due_s = now_s() + CHECK_EVERY_S

    def poll(self) -> Config | None:
        """None if nothing changed, if it is too early to look again, or if what is there now cannot be used."""
        if self._now_s() < self._due_s:
            return None
        self._due_s = self._now_s() + CHECK_EVERY_S
        now = _fingerprint(self._path)
        if now == self._seen or now is None:
            return None
        self._seen = now
        try:
            return load_config(self._path)
        except ConfigError as error:
            logger.error("the changed configuration is not used: %s", error)
            return None


def _fingerprint(path: Path) -> tuple[int, int, int] | None:
    """What differs between two versions of the file; None if it cannot be looked at."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
