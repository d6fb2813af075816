"""Reads on the leader that are never old, without an entry in the log: ReadIndex.

A leader that was cut off or stopped may have a successor that it does not know of. So before it answers from its state
it makes sure that it still led when the question came. Such a read waits until

1. a majority has acknowledged a message that left after the read came. Whoever acknowledged was in our term then, so
   nobody had been elected with its vote in a later one, and nothing was committed that we do not know of;
2. what was committed when the read came is applied.

The messages are append_entries as they are sent anyway: each carries the number of the newest *round*, and its
acknowledgement repeats it. All reads that came since the last round share the next one, which begins at the end of the
tick at the latest: a read costs one round trip, and many cost no more. No clock takes part, so none can be wrong.

Source: Ongaro, Consensus: Bridging Theory and Practice (2014), section 6.4; docs/adr/0018-reads-ask-a-majority.md.
"""

from collections import deque
from collections.abc import Callable, Collection
from typing import NamedTuple

OnReadable = Callable[[bool], None]
"""Called once. True: read now, before anything else happens. False: this replica does not lead any more."""


class _Read(NamedTuple):
    round: int
    commit_index: int
    on_readable: OnReadable


class ReadIndex:
    """The reads that wait on one leader, oldest first; empty on other replicas."""

    def __init__(self) -> None:
        self.round = 0
        """The newest round. Every append_entries carries it."""
        self._waiting: deque[_Read] = deque()
        self._acknowledged: dict[str, int] = {}  # the newest round that each peer repeated in this term

    def __len__(self) -> int:
        return len(self._waiting)

    def lead(self) -> None:
        """Begin a term as leader."""
        self._acknowledged.clear()

    def add(self, commit_index: int, on_readable: OnReadable) -> None:
        """Let a read wait for the next round, and for what is committed by now."""
        self._waiting.append(_Read(self.round + 1, commit_index, on_readable))

    def begin_round(self) -> bool:
        """Begin a round if a read waits for one. True: a message that carries it must go to every peer now."""
        if not self._waiting or self._waiting[-1].round <= self.round:
            return False
        self.round += 1
        return True

    def acknowledge(self, peer_id: str, read_round: int) -> None:
        """A peer repeated a round in our term."""
        self._acknowledged[peer_id] = max(read_round, self._acknowledged.get(peer_id, 0))

    def settle(self, applied_index: int, voter_ids: Collection[str]) -> None:
        """Answer the reads whose time has come. `voter_ids` are those who elect a leader, without ourselves."""
        if not self._waiting:
            return
        confirmed = self._confirmed_round(voter_ids)
        while self._waiting and self._waiting[0].round <= confirmed and self._waiting[0].commit_index <= applied_index:
            self._waiting.popleft().on_readable(True)

    def refuse_all(self) -> None:
        """This replica does not lead any more."""
        while self._waiting:
            self._waiting.popleft().on_readable(False)

    def _confirmed_round(self, voter_ids: Collection[str]) -> int:
        """The newest round that a majority repeated, ourselves included."""
        others_needed = (len(voter_ids) + 1) // 2
        if not others_needed:
            return self.round
        rounds = sorted((self._acknowledged.get(voter_id, 0) for voter_id in voter_ids), reverse=True)
        return rounds[others_needed - 1]
