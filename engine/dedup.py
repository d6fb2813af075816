"""One id, one outcome: what every account's requests came to, remembered for 24 h of log time.

A retry with the same id and the same content gets the first receipt, whoever answers and
whatever became of the order since; the same id with other content is a conflict that quotes the receipt
(rulebook, convention 7 and rows D2, E1 to E3). Refusals are receipts too: an outcome is final.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from engine.types import ID_LENGTH_MAX, REQUEST_MEMORY_NS

_ID_CHARACTERS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-"


def is_valid_id(text: bytes) -> bool:
    """Ids are 1 to 64 ASCII letters, digits, ``_``, ``.`` or ``-``."""
    return 0 < len(text) <= ID_LENGTH_MAX and not text.translate(None, _ID_CHARACTERS)


class Receipt:
    """``content`` is what the request asked, as bytes, without its id and signing time.

    ``subject_id`` is the number of what it was about (order, withdrawal, transfer, subscription), 0 if nothing.
    A fence (rulebook E4) is a receipt without content.
    """

    __slots__ = ("account_id", "content", "reason", "remembered_at_ns", "request_id", "sequence", "subject_id")

    def __init__(
        self,
        account_id: int,
        request_id: bytes,
        content: bytes,
        sequence: int,
        reason: int,
        subject_id: int,
        remembered_at_ns: int,
    ) -> None:
        self.account_id = account_id
        self.request_id = request_id
        self.content = content
        self.sequence = sequence
        self.reason = reason
        self.subject_id = subject_id
        self.remembered_at_ns = remembered_at_ns


class Receipts:
    """All receipts, by account and id, and a queue of them in the order in which they are forgotten."""

    def __init__(self) -> None:
        self._by_id: dict[tuple[int, bytes], Receipt] = {}
        self._queue: deque[Receipt] = deque()

    def find(self, account_id: int, request_id: bytes) -> Receipt | None:
        return self._by_id.get((account_id, request_id))

    def remember(self, receipt: Receipt) -> None:
        key = (receipt.account_id, receipt.request_id)
        assert key not in self._by_id, key
        self._by_id[key] = receipt
        self._queue.append(receipt)

    def next_to_forget(self, now_ns: int) -> Receipt | None:
        """The oldest receipt, if its time is over."""
        if self._queue and now_ns - self._queue[0].remembered_at_ns > REQUEST_MEMORY_NS:
            return self._queue[0]
        return None

    def forget_oldest(self) -> None:
        receipt = self._queue.popleft()
        del self._by_id[receipt.account_id, receipt.request_id]

    def keep_oldest(self, now_ns: int) -> None:
        """Remember the oldest receipt for another period: its order is still open."""
        receipt = self._queue.popleft()
        receipt.remembered_at_ns = now_ns
        self._queue.append(receipt)

    def in_queue_order(self) -> list[Receipt]:
        return list(self._queue)
