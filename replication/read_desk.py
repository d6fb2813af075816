"""Which questions this replica may answer, and when.

A question says how new the answer must be:

- by default, as new as can be: the leader answers, once a majority confirms that it leads (`replication.read_index`);
- with a ``min_sequence``, any replica answers that has applied so much. It waits for up to ``wait_ms`` to get there.
  A replica that is cut off from the others refuses although its state would do: nobody should watch a state that
  does not move any more and take it for a quiet market.

Every refusal is one of the names in ``replication.protocol``; the gateway then asks another replica.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from replication.protocol import CUT_OFF, NOT_LEADING, TOO_MANY_READS, TOO_OLD, Answer, Query
from replication.reads import QUESTIONS, Question, answer
from replication.replica import Replica
from replication.replicated_log import ReplicatedLog

READS_WAITING_MAX: Final = 10_000
WAIT_MS_MAX: Final = 10_000

Reply = Callable[[Answer], None]


class _Waiting(NamedTuple):
    query: Query
    min_sequence: int
    deadline_s: float
    reply: Reply


class ReadDesk:
    """``maintain``, after entries were applied, answers those who wait for a sequence."""

    def __init__(
        self,
        replica: Replica,
        log: ReplicatedLog,
        now_s: Callable[[], float],
        *,
        questions: Mapping[str, Question] = QUESTIONS,
    ) -> None:
        self._replica = replica
        self._questions = questions
        self._log = log
        self._now_s = now_s
        self._waiting: deque[_Waiting] = deque()

    @property
    def waiting(self) -> int:
        """How many questions have no answer yet."""
        return len(self._waiting) + self._log.waiting_reads

    def ask(self, query: Query, reply: Reply) -> None:
        """Answer a question now or later, once."""
        if self.waiting >= READS_WAITING_MAX:
            self._refuse(TOO_MANY_READS, reply)
        elif query.min_sequence is None:
            self._log.read(
                lambda readable: self._answer(query, reply) if readable else self._refuse(NOT_LEADING, reply)
            )
        else:
            wait_s = min(max(query.wait_ms, 0), WAIT_MS_MAX) / 1_000
            waiting = _Waiting(query, query.min_sequence, self._now_s() + wait_s, reply)
            if not self._decide(waiting):
                self._waiting.append(waiting)

    def maintain(self) -> None:
        """Answer what can be answered by now, and refuse those whose time is up."""
        for _ in range(len(self._waiting)):
            waiting = self._waiting.popleft()
            if not self._decide(waiting):
                self._waiting.append(waiting)

    def _decide(self, waiting: _Waiting) -> bool:
        if not self._log.in_touch:
            self._refuse(CUT_OFF, waiting.reply)
        elif self._replica.machine.sequence >= waiting.min_sequence:
            self._answer(waiting.query, waiting.reply)
        elif self._now_s() >= waiting.deadline_s:
            self._refuse(TOO_OLD, waiting.reply)
        else:
            return False
        return True

    def _answer(self, query: Query, reply: Reply) -> None:
        reply(answer(self._replica, query.name, query.arguments, self._questions))

    def _refuse(self, error: str, reply: Reply) -> None:
        reply(Answer(0, self._replica.machine.sequence, None, error))
