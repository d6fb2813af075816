"""Messages to peers that wait until they may leave.

Handlers queue messages while they change the journal; `GroupCommitPoller` flushes the outbox once the journal is on
disk. A message is stamped with the sender's term when it is queued. If the term changes before it leaves, it is
dropped: it would speak for a role that this replica no longer has. Only who a node is, and how its cluster was founded,
stays true in every term.
"""

from collections.abc import Callable
from typing import NamedTuple

from replication.messages import AppendEntries, Foundation, Hello, Message, encode

Transmit = Callable[[str, list[bytes]], None]
"""Called with (node id, frames in order)."""


class _Queued(NamedTuple):
    node_id: str
    message: Message


class Outbox:
    """A queue of messages in front of the network."""

    def __init__(self, transmit: Transmit) -> None:
        self._transmit = transmit
        self._queue: list[_Queued] = []

    def queue(self, node_id: str, message: Message) -> None:
        """Keep a message until the next flush."""
        self._queue.append(_Queued(node_id, message))

    def purge(self, current_term: int) -> None:
        """Drop every message that is void because it is of an earlier term."""
        self._queue = [
            queued
            for queued in self._queue
            if queued.message.term >= current_term or isinstance(queued.message, Hello | Foundation)
        ]

    def drop(self, node_id: str) -> None:
        """Drop every message to a node whose link is gone: the next link starts afresh."""
        self._queue = [queued for queued in self._queue if queued.node_id != node_id]

    def flush(self, append_entries_only: bool) -> None:
        """Hand the messages to the network, per node in the order of queueing."""
        if not self._queue:
            return
        leaving, self._queue = self._queue, []
        if append_entries_only:
            self._queue = [queued for queued in leaving if not isinstance(queued.message, AppendEntries)]
            leaving = [queued for queued in leaving if isinstance(queued.message, AppendEntries)]
        frames: dict[str, list[bytes]] = {}
        # The same append_entries object goes to several followers and is encoded once. The messages are alive in
        # `leaving`, so their identities cannot be reused meanwhile.
        encoded: dict[int, bytes] = {}
        for node_id, message in leaving:
            frame = encoded.get(id(message))
            if frame is None:
                frame = encoded[id(message)] = encode(message)
            frames.setdefault(node_id, []).append(frame)
        for node_id, node_frames in frames.items():
            self._transmit(node_id, node_frames)
