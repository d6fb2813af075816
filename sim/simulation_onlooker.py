"""The onlooker: sees all replicas and all disks at once, and knows what must never be.

Checks at the end of a run find little: most broken promises heal before anybody looks. So each promise is checked at
the moment at which it could break, against what is on the disks and not against what replicas say of themselves:

- what is committed is durable on a majority, stays there, and every later leader has it;
- one entry for each place of the log, on every replica, for ever;
- one leader for each term; one vote for each term and member, durable before it leaves;
- an acknowledgement leaves no replica before what it acknowledges is on its disk;
- replicas at the same sequence have the same hash chain, and snapshots of it the same state hash;
- no replica stops itself for good, since nothing was done to it that would be a reason.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from engine.entry import Entry
from engine.machine import Applied
from replication.messages import NextIndex, RequestVote, ResponseVote, decode
from replication.snapshots import SnapshotMeta
from sim.simulation_journal_view import JournalView
from sim.simulation_trace import Trace

if TYPE_CHECKING:
    from sim.simulation_process import SimulatedProcess

_TAG = 1  # where a message says what it is (`replication.messages`)
_NEXT_INDEX, _REQUEST_VOTE, _RESPONSE_VOTE = 2, 3, 4
_CHECKED = frozenset((_NEXT_INDEX, _REQUEST_VOTE, _RESPONSE_VOTE))


class Onlooker:
    """``history`` is what was executed, in order, ``chains`` the hash chain at the last sequence of each entry.

    ``checks`` is how often something was compared. ``told_sequence`` is the newest that any client was told of.
    """

    def __init__(self, trace: Trace) -> None:
        self.processes: dict[str, SimulatedProcess] = {}
        self.history: list[Entry] = []
        self.sequence = 0
        self.told_sequence = 0
        self.committed_index = 0
        self.checks = 0
        self.leaders: dict[int, str] = {}
        self._trace = trace
        self._payloads: dict[int, tuple[int, bytes]] = {}
        self._committed_terms: dict[int, int] = {}
        self._committed_in: dict[int, int] = {}  # by the term of whoever knew: the last index
        self.chains: dict[int, bytes] = {}
        self._state_hashes: dict[int, bytes] = {}
        self._votes: dict[tuple[str, int], str] = {}
        self._lost_journals: defaultdict[str, list[JournalView]] = defaultdict(list)

    def applied(self, name: str, log_index: int, term: int, payload: bytes, applied: Applied) -> None:
        """A replica applied an entry."""
        entry = applied.entry
        self.checks += 1
        known = self._payloads.get(log_index)
        if known is None:
            self._payloads[log_index] = (term, payload)
            self._expect_durable(self.processes[name], log_index, term)
        elif known != (term, payload):
            self._trace.violate(f"{name} applied another entry at log index {log_index} than another replica")
        if entry.last_sequence > self.sequence:
            if entry.first_sequence != self.sequence + 1:
                self._trace.violate(f"{name} applied sequence {entry.first_sequence} after {self.sequence}")
            self.sequence = entry.last_sequence
            self.history.append(entry)
            self.chains[entry.last_sequence] = entry.chain
            self._trace.add("applied", name, f"{log_index} {entry.last_sequence} {entry.chain[:4].hex()}")
        elif self.chains.get(entry.last_sequence) != entry.chain:
            self._trace.violate(f"{name} has another hash chain at sequence {entry.last_sequence}")

    def ticked(self, process: SimulatedProcess) -> None:
        """A replica finished a tick: does it lead, and what does it call committed?"""
        assert process.node is not None
        log = process.node.log
        if not log.is_leader:
            return
        leader = self.leaders.get(log.term)
        if leader is None:
            self.leaders[log.term] = process.name
            self._trace.add("leads", process.name, log.term)
            self._expect_complete(process)
        elif leader != process.name:
            self._trace.violate(f"{leader} and {process.name} both lead term {log.term}")
        index = log.commit_index
        if index > self.committed_index:
            term = process.disk.journal.terms.get(index)
            if term is None:
                self._trace.violate(f"{process.name} committed log index {index}, which is not on its own disk")
            else:
                self._expect_durable(process, index, term)

    def leaving(self, sender: str, receiver: str, frames: list[bytes]) -> None:
        """Messages leave a replica."""
        journal = self.processes[sender].disk.journal
        for frame in frames:
            if frame[_TAG] not in _CHECKED:
                continue
            self.checks += 1
            message = decode(frame)
            if isinstance(message, NextIndex):
                if message.success and journal.last_index < message.next_index - 1:
                    claimed, durable = message.next_index - 1, journal.last_index
                    self._trace.violate(f"{sender} acknowledged log index {claimed} with {durable} on its disk")
            elif isinstance(message, RequestVote | ResponseVote):
                candidate = sender if isinstance(message, RequestVote) else receiver
                self._expect_vote(sender, message.term, candidate)

    def started(self, process: SimulatedProcess) -> None:
        """A process runs again: it has forgotten nothing of what is on its disk.

        It may know more: a snapshot that its journal did not hear of before it ended.
        """
        assert process.node is not None
        view, log = process.disk.journal, process.node.log
        read = log.last_index, log.term, log.voted_for or ""
        durable = view.last_index, view.term, view.vote
        if read[0] < durable[0] or read[1:] != durable[1:]:
            self._trace.violate(
                f"{process.name} came back with (last log index, term, vote) {read}; on its disk is {durable}"
            )

    def disk_lost(self, name: str) -> None:
        """A replica comes back empty. What it said before was true of the disk that is lost, and still counts.

        It may ask for votes in terms that are long over, where nobody follows it. That it cannot be elected with what
        it has forgotten, the checks of leaders see.
        """
        self._lost_journals[name].append(self.processes[name].disk.journal)
        self._votes = {vote: candidate for vote, candidate in self._votes.items() if vote[0] != name}

    def lost(self, name: str, log_index: int, term: int) -> None:
        """A durable entry was removed, without a snapshot that covers it."""
        if self._committed_terms.get(log_index) == term:
            self._trace.violate(f"{name} removed the committed log index {log_index} from its disk")

    def snapshot_written(self, name: str, meta: SnapshotMeta) -> None:
        self.checks += 1
        self._trace.add("snapshot", name, f"{meta.log_index} {meta.digest[:4].hex()}")
        known = self._state_hashes.setdefault(meta.sequence, meta.digest)
        if known != meta.digest:
            self._trace.violate(f"{name} has another state at sequence {meta.sequence} than another replica")

    def halted(self, name: str, reason: str) -> None:
        self._trace.violate(f"{name} stopped for good: {reason}")

    def acknowledged(self, sequence: int) -> None:
        """A client was told that its command is in the log."""
        self.checks += 1
        if sequence > self.sequence:
            self._trace.violate(f"a client was told of sequence {sequence} when {self.sequence} was the last committed")
        self.told_sequence = max(self.told_sequence, sequence)

    def read(self, name: str, sequence: int, floor: int) -> None:
        """A question was answered as of a sequence; its client may not be shown what is older than ``floor``."""
        self.acknowledged(sequence)
        if sequence < floor:
            self._trace.violate(f"{name} saw sequence {sequence}, and {floor} had been told of before it was asked")

    def copies(self, index: int, term: int) -> list[str]:
        """On whose disks an entry is, or was when they were lost."""
        return [
            name
            for name, process in self.processes.items()
            if any(journal.has(index, term) for journal in (process.disk.journal, *self._lost_journals[name]))
        ]

    def _expect_durable(self, process: SimulatedProcess, index: int, term: int) -> None:
        """So many have it as are a majority of the voters that this replica knows.

        While a change of them is in the log and not committed, it may have been committed by those before it.
        """
        assert process.node is not None
        log = process.node.log
        membership = log.members.membership
        assert membership is not None, f"{process.name} commits without members"
        voters = len(membership.voters) - (not log.membership.settled)
        self.checks += 1
        self._committed_terms[index] = term
        self._committed_in[log.term] = max(index, self._committed_in.get(log.term, 0))
        self.committed_index = max(self.committed_index, index)
        copies = self.copies(index, term)
        if len(copies) <= voters // 2:
            on_disks = ", ".join(copies) or "no disk"
            self._trace.violate(f"log index {index} of term {term} counts as committed and is on {on_disks} only")

    def _expect_complete(self, leader: SimulatedProcess) -> None:
        """It has what leaders of its term and of earlier ones committed.

        Votes may arrive so late that a leader of a later term has committed more: this one will commit nothing.
        """
        assert leader.node is not None
        self.checks += 1
        index = max((known for term, known in self._committed_in.items() if term <= leader.node.log.term), default=0)
        journal = leader.disk.journal
        if index and not journal.has(index, self._committed_terms[index]):
            self._trace.violate(f"{leader.name} leads without the committed log index {index}")

    def _expect_vote(self, name: str, term: int, candidate: str) -> None:
        known = self._votes.setdefault((name, term), candidate)
        journal = self.processes[name].disk.journal
        if known != candidate:
            self._trace.violate(f"{name} voted for {known} and for {candidate} in term {term}")
        elif (journal.term, journal.vote) != (term, candidate):
            self._trace.violate(
                f"{name} votes for {candidate} in term {term}; on its disk are term {journal.term} and vote "
                f"{journal.vote or 'none'}"
            )
