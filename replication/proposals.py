"""Proposals of this replica whose fate is not decided yet.

A proposal is identified by the log index and term it was given. It is COMMITTED when the entry committed at that index
has that term, and FAILED when it has another: two entries are never committed at one index. Nothing else proves a
failure. In particular a leader that was deposed, or even elected again with a shorter log, cannot know: the entry may
live on another replica and be committed by a later leader. Such a proposal waits until its index is decided, until a
snapshot covers the index (UNKNOWN: the snapshot does not say which entry it was), or until its time is up (UNKNOWN).
"""

import enum
import logging
from collections import deque
from collections.abc import Callable

from replication.halt import Halt

logger = logging.getLogger(__name__)


class Outcome(enum.Enum):
    """What became of a proposal."""

    COMMITTED = "committed"
    """It is in the log for ever and has been applied here; comes with the result of applying it."""

    FAILED = "failed"
    """It is not in the log and never will be; comes with a reason."""

    UNKNOWN = "unknown"
    """It may or may not be in the log, now or later; comes with a reason. Propose again with the same identity."""


OnOutcome = Callable[[Outcome, object], None]


class _Proposal:
    __slots__ = ("deadline_s", "decided", "index", "on_outcome", "term")

    def __init__(self, index: int, term: int, on_outcome: OnOutcome, deadline_s: float) -> None:
        self.index = index
        self.term = term
        self.on_outcome = on_outcome
        self.deadline_s = deadline_s
        self.decided = False


class Proposals:
    """Undecided proposals by log index. Every one is answered exactly once."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        # Several proposals of different terms can wait for the same index.
        self._by_index: dict[int, list[_Proposal]] = {}
        # In the order of their deadlines, because the time limit is the same for all.
        self._by_deadline: deque[_Proposal] = deque()

    def __len__(self) -> int:
        return sum(len(proposals) for proposals in self._by_index.values())

    def add(self, index: int, term: int, on_outcome: OnOutcome, now_s: float) -> None:
        """Wait for the decision at `index`."""
        proposal = _Proposal(index, term, on_outcome, now_s + self._timeout_s)
        self._by_index.setdefault(index, []).append(proposal)
        self._by_deadline.append(proposal)

    def decide(self, index: int, term: int, result: object) -> None:
        """The entry of `term` is committed at `index` and was applied with `result`."""
        for proposal in self._by_index.pop(index, ()):
            if proposal.term == term:
                self._answer(proposal, Outcome.COMMITTED, result)
            else:
                self._answer(proposal, Outcome.FAILED, "another entry was committed in its place")

    def cover(self, index: int) -> None:
        """A snapshot replaced the log up to `index`."""
        for covered in sorted(waiting for waiting in self._by_index if waiting <= index):
            for proposal in self._by_index.pop(covered):
                self._answer(proposal, Outcome.UNKNOWN, "a snapshot covers its place in the log")

    def expire(self, now_s: float) -> None:
        """Give up on those whose time is up."""
        while self._by_deadline and (self._by_deadline[0].decided or self._by_deadline[0].deadline_s <= now_s):
            proposal = self._by_deadline.popleft()
            if not proposal.decided:
                self._give_up(proposal, "not decided in time")

    def abandon(self) -> None:
        """Give up on all of them, oldest first."""
        while self._by_deadline:
            proposal = self._by_deadline.popleft()
            if not proposal.decided:
                self._give_up(proposal, "abandoned")

    def _give_up(self, proposal: _Proposal, reason: str) -> None:
        waiting = self._by_index[proposal.index]
        waiting.remove(proposal)
        if not waiting:
            del self._by_index[proposal.index]
        self._answer(proposal, Outcome.UNKNOWN, reason)

    def _answer(self, proposal: _Proposal, outcome: Outcome, detail: object) -> None:
        proposal.decided = True
        answer(proposal.on_outcome, outcome, detail)


def answer(on_outcome: OnOutcome, outcome: Outcome, detail: object) -> None:
    """Call back; an error of the proposer must not reach the log, where it would look like an error in applying."""
    try:
        on_outcome(outcome, detail)
    except Halt:
        raise
    except Exception:
        logger.exception("a proposer failed to handle its outcome %s", outcome.value)
