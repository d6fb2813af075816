"""Commands on their way to a leader: what to send, what to send again, in which order, and when to give up. No I/O.

Every command carries an id by which the engine recognises a copy, so sending one again is always safe. A copy has
one of three fates: FAILED (it certainly is not in the log), COMMITTED, or unknown (the link broke, the replica
said so, or another leader took over). A command without an outcome is sent again, as the same bytes. Commands
leave in the order in which they were submitted, and what must be repeated goes before everything newer.

When a command's time is over and none of its copies can be in the log, the answer is NoLeader, which is definite;
otherwise OutcomeUnknown, which is not.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from typing import Final, Protocol

from engine.codec import decode_events
from gateway.errors import ApiError, Internal, NoLeader, OutcomeUnknown, Overloaded
from gateway.metrics import GroupMetrics
from gateway.outcomes import Outcome
from replication.protocol import COMMITTED, FAILED, MALFORMED, Result

OnOutcome = Callable[[Outcome | ApiError], None]

_PENDING_MAX: Final = 50_000

logger = logging.getLogger(__name__)


class Link(Protocol):
    """The way to one replica. Only its identity matters here."""

    node_id: str


class Submission:
    """A command without an outcome. ``uncertain``: a copy of it may be, or may come to be, in the log."""

    __slots__ = ("command", "correlation", "deadline_s", "on_outcome", "sent_on", "uncertain")

    def __init__(self, correlation: int, command: bytes, on_outcome: OnOutcome, deadline_s: float) -> None:
        self.correlation = correlation
        self.command = command
        self.on_outcome = on_outcome
        self.deadline_s = deadline_s
        self.sent_on: Link | None = None
        self.uncertain = False


class Submissions:
    """All commands without an outcome, in the order of submission. Deadlines must not decrease."""

    def __init__(self, metrics: GroupMetrics) -> None:
        self._metrics = metrics
        self._pending: dict[int, Submission] = {}
        self._fresh: list[Submission] = []
        self._must_repeat = False

    def add(self, correlation: int, command: bytes, on_outcome: OnOutcome, deadline_s: float) -> None:
        """Take on one command. Raises Overloaded if too many wait already."""
        if len(self._pending) >= _PENDING_MAX:
            raise Overloaded
        submission = Submission(correlation, command, on_outcome, deadline_s)
        self._pending[correlation] = submission
        self._fresh.append(submission)

    def take(self, link: Link) -> list[tuple[int, bytes]]:
        """The (correlation, command) pairs to send on ``link`` now, in order; from here on they count as sent."""
        batch = self._fresh
        if self._must_repeat:
            # The fresh ones are among the pending too, behind all that were submitted before them.
            batch = [submission for submission in self._pending.values() if submission.sent_on is None]
            self._metrics.resent.inc(len(batch) - len(self._fresh))
            self._must_repeat = False
        self._metrics.submitted.inc(len(self._fresh))
        self._fresh = []
        for submission in batch:
            submission.sent_on = link
        return [(submission.correlation, submission.command) for submission in batch]

    def settle(self, link: Link, result: Result) -> bool:
        """Take a replica's word on one copy. True if the command must now be sent again."""
        submission = self._pending.get(result.correlation)
        if submission is None:
            return False
        if result.outcome == COMMITTED:
            del self._pending[result.correlation]
            self._metrics.committed.inc()
            events = [event for _, event in decode_events(result.events)]
            _tell(submission, Outcome(result.sequence, result.timestamp_ns, events, submission.uncertain))
            return False
        if result.outcome == MALFORMED:
            del self._pending[result.correlation]
            self._metrics.malformed.inc()
            logger.error("%s could not read a command of ours: %s", link.node_id, submission.command.hex())
            _tell(submission, Internal(definite=not submission.uncertain))
            return False
        if result.outcome != FAILED:
            submission.uncertain = True
        if submission.sent_on is not link:
            # An older copy's fate, told by a replica that we have left: the newer copy is on its way.
            return False
        submission.sent_on = None
        self._must_repeat = True
        return True

    def lose(self, link: Link) -> None:
        """The link broke: whether what was sent on it arrived is unknown."""
        for submission in self._pending.values():
            if submission.sent_on is link:
                self._doubt(submission)

    def follow(self, link: Link) -> None:
        """Another leader took over: copies that went elsewhere may or may not have reached the log before."""
        for submission in self._pending.values():
            if submission.sent_on is not None and submission.sent_on is not link:
                self._doubt(submission)

    def expire(self, now_s: float) -> None:
        """Give up on commands whose time is over."""
        expired = list(itertools.takewhile(lambda one: one.deadline_s <= now_s, self._pending.values()))
        for submission in expired:
            del self._pending[submission.correlation]
        if expired:
            self._fresh = [submission for submission in self._fresh if submission.correlation in self._pending]
        for submission in expired:
            if submission.uncertain or submission.sent_on is not None:
                self._metrics.unknown.inc()
                _tell(submission, OutcomeUnknown())
            else:
                self._metrics.no_leader.inc()
                _tell(submission, NoLeader())

    def _doubt(self, submission: Submission) -> None:
        submission.sent_on = None
        submission.uncertain = True
        self._must_repeat = True


def _tell(submission: Submission, outcome: Outcome | ApiError) -> None:
    """One client's connection must not keep the others from their outcomes, whatever is wrong with it."""
    try:
        submission.on_outcome(outcome)
    except Exception:
        logger.exception("an outcome could not be passed on")
