"""Warnings about links that are refused. Whoever is refused tries again within a second, for ever; the log must not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

_AGAIN_AFTER_S: Final = 30.0
_REMEMBERED_MAX: Final = 256

logger = logging.getLogger(__name__)


class Refusals:
    """Says the same words once in 30 s, and nothing new while 256 others are remembered."""

    def __init__(self, clock_s: Callable[[], float]) -> None:
        self._clock_s = clock_s
        self._said_s: dict[str, float] = {}

    def warn(self, who: str, why: object) -> None:
        """``who`` is who was refused or who refused us, without anything that differs at each attempt."""
        now_s = self._clock_s()
        for words in [words for words, said_s in self._said_s.items() if now_s - said_s >= _AGAIN_AFTER_S]:
            del self._said_s[words]
        words = f"no link with {who}: {why}"
        if words not in self._said_s and len(self._said_s) < _REMEMBERED_MAX:
            self._said_s[words] = now_s
            logger.warning("%s", words)
