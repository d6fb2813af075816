"""What an onlooker sees on a disk's platter of a replica's journal, without asking the replica.

It follows the writes of committed and synced LMDB transactions, in the journal's layout (`replication.journal`). So a
journal that only claims to be durable is found out.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final

LOG: Final = b"log"
_RAFT: Final = Struct(">8xQQQ")  # checksum, term, commit index, first index; the vote follows
_TERM: Final = Struct(">Q")  # what an entry begins with

Write = tuple[bytes, bytes, bytes | None]
"""(database, key, value); without a value the key is deleted."""


class JournalView:
    """``terms`` has the term of every durable entry by log index, ``last_index`` is the newest (0: there is none).

    What is below ``first_index`` is covered by a snapshot.
    """

    def __init__(self, on_lost: Callable[[int, int], None]) -> None:
        """``on_lost(log_index, term)``: an entry is durable no more, and no snapshot covers it."""
        self._on_lost = on_lost
        self.terms: dict[int, int] = {}
        self.term = 0
        self.vote = ""
        self.first_index = 0
        self.last_index = 0

    def take(self, writes: list[Write]) -> None:
        """The writes of one transaction, which is durable."""
        removed: list[tuple[int, int]] = []
        for database, key, value in writes:
            if database == LOG:
                index = int.from_bytes(key, "big")
                if value is None:
                    term = self.terms.pop(index, None)
                    if term is not None:
                        removed.append((index, term))
                else:
                    self.terms[index] = _TERM.unpack_from(value)[0]
            elif key == b"raft" and value is not None:
                self.term, _, self.first_index = _RAFT.unpack_from(value)
                self.vote = value[_RAFT.size :].decode()
        self._find_last()
        for index, term in removed:
            if not self.has(index, term):
                self._on_lost(index, term)

    def has(self, index: int, term: int) -> bool:
        """Whether an entry, or a snapshot that covers it, is durable here."""
        return index < self.first_index or self.terms.get(index) == term

    def _find_last(self) -> None:
        """A truncation, a snapshot or new entries moved the end. What is beyond a gap does not count."""
        last = self.last_index
        if self.first_index > last and self.first_index in self.terms:
            last = self.first_index
        while last and last not in self.terms:
            last -= 1
        while last + 1 in self.terms:
            last += 1
        self.last_index = last
