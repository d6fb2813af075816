"""PreVote: nobody begins an election that it cannot win.

A plain candidate raises its term first and asks afterwards. A replica that cannot hear the leader, though everybody
else can, raises its term again and again; once it is heard, the others adopt that term and depose a leader that did
nothing wrong. So a replica whose patience is over first asks whether it would be voted for, and asks for votes
only when a majority said yes. Nobody promises anything by such an answer, and nothing is written for it: a replica may
say yes to several. No is said by who still hears a leader, by the leader, and by whoever has a newer log.

A transfer of leadership needs no question, because the leader itself asks for the election.

Source: D. Ongaro, Consensus: Bridging Theory and Practice, sections 4.2.3 and 9.6; docs/adr/0016.
"""

import math
from collections.abc import Collection


class PreVote:
    """What one replica asks and answers. It does no I/O and reads no clock."""

    def __init__(self, election_timeout_s_min: float) -> None:
        self._election_timeout_s_min = election_timeout_s_min
        self._heard_leader_s = -math.inf
        self._asked_in_term: int | None = None
        self._granted_by: set[str] = set()

    # Asking

    def ask(self, term: int) -> None:
        """Begin a round of questions in the term we are in: would you vote for me in the next one?"""
        self._asked_in_term = term
        self._granted_by.clear()

    def take_grant(self, peer_id: str, asked_in_term: int) -> None:
        """A yes to a question that was asked in that term; one to an earlier question says nothing."""
        if asked_in_term == self._asked_in_term:
            self._granted_by.add(peer_id)

    def is_won(self, term: int, other_voters: Collection[str]) -> bool:
        """Whether a majority would vote for us, ourselves included."""
        yes = 1 + sum(peer_id in self._granted_by for peer_id in other_voters)
        return self._asked_in_term == term and 2 * yes > len(other_voters) + 1

    def end(self) -> None:
        """The round is over: an election begins, or there is a leader."""
        self._asked_in_term = None
        self._granted_by.clear()

    # Answering

    def heard_leader(self, now_s: float) -> None:
        """The leader of our term spoke."""
        self._heard_leader_s = now_s
        self.end()

    def hears_leader(self, now_s: float) -> bool:
        """Whether the leader spoke so recently that no replica can have lost its patience with good reason."""
        return now_s < self._heard_leader_s + self._election_timeout_s_min
