"""What a replica does about members: greets, founds, follows what the log says, and, as the leader, changes it.

Changes are made one at a time: by the leader itself where that mends something, and on an operator's word
(`replication.member_changes`). Who votes and who is sent to follows the log from the moment an entry is in it.

Sources: D. Ongaro, Consensus: Bridging Theory and Practice, chapters 3.10 and 4; docs/adr/0016 and 0017.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

from replication.halt import Halt
from replication.journal import Journal
from replication.journal_records import MEMBERSHIP
from replication.log_sender import LogSender
from replication.member_changes import AskAgain, addition, next_mending, removal
from replication.members import Members
from replication.membership import MemberAddresses, Membership, changed_voters, encode_membership
from replication.messages import Foundation, Hello, Removed
from replication.proposals import OnOutcome, Proposals
from replication.pysyncobj_adapter import Raft, Role, now_s, peer_node
from replication.transport import Transport

_EXPLAIN_EVERY_S = 5.0

logger = logging.getLogger(__name__)


class RemovedFromCluster(Halt):
    """The members removed this node: it must not run any more."""


class _HandOver(NamedTuple):
    peer_id: str | None
    deadline_s: float


class MembershipControl:
    """Part of the replicated log; it shares its journal, its Raft and its sender."""

    def __init__(
        self,
        *,
        members: Members,
        raft: Raft,
        sender: LogSender,
        journal: Journal,
        transport: Transport,
        proposals: Proposals,
        on_membership: Callable[[Membership], None] | None,
    ) -> None:
        self.members = members
        self._raft = raft
        self._sender = sender
        self._journal = journal
        self._transport = transport
        self._proposals = proposals
        self._on_membership = on_membership
        self._hand_over: _HandOver | None = None
        self._explain_at_s = 0.0

    # What the log says

    def log_changed(self) -> None:
        """Entries were appended, truncated or replaced: follow the membership that holds now."""
        if self.members.refresh():
            self.adopt()

    def adopt(self) -> None:
        """Tell everybody in this process whom the membership names."""
        membership = self.members.membership
        if membership is None:
            return
        self._raft.set_voters(is_voter=self.members.is_voter, others=self.members.other_voters)
        self._sender.set_followers(self.members.other_ids)
        for peer_id in self.members.linked:
            self._sender.connected(peer_id)
        names = [member.node_id + ("" if member.voter else " (learns)") for member in membership.members]
        logger.info("the members are %s", ", ".join(names))
        if self._on_membership is not None:
            self._on_membership(membership)

    @property
    def settled(self) -> bool:
        """Whether the membership that holds now is committed: only then may it be changed again."""
        latest = self._journal.membership
        return latest is not None and latest.log_index <= self._raft.commit_index()

    # New clusters, and peers that come and go

    def found_if_due(self) -> None:
        """Found the cluster if it is new and that falls to us, see `replication.members`."""
        membership = self.members.new_foundation()
        if membership is not None:
            logger.info("founding the cluster")
            self.take_foundation(membership)

    def take_foundation(self, membership: Membership) -> None:
        """The cluster was founded so: adopt it if we are fresh, and pass it on to those that said they are."""
        if not self.members.fresh:
            return
        self._journal.found(encode_membership(membership))
        self.log_changed()
        for peer_id, hello in self.members.linked.items():
            if hello.fresh:
                self._transport.send(peer_id, Foundation(self._raft.term(), membership))

    def explain_waiting(self) -> None:
        """Say in the log why this node takes no part, now and then, as long as it does not."""
        if now_s() < self._explain_at_s or self._raft.leader_id() == self.members.node_id:
            return
        reason = self.members.what_it_waits_for()
        if reason and self._explain_at_s:
            logger.info("%s", reason)
        self._explain_at_s = now_s() + _EXPLAIN_EVERY_S

    def connected(self, peer_id: str) -> None:
        """There is a link: say hello. What the peer says before its own hello is not listened to."""
        self._raft.connected(peer_node(peer_id))
        self._transport.send(peer_id, self.members.hello(self._raft.term()))

    def disconnected(self, peer_id: str) -> None:
        """The link is gone."""
        self._raft.disconnected(peer_node(peer_id))
        self._sender.disconnected(peer_id)
        self.members.unlinked(peer_id)

    def greeted(self, peer_id: str, hello: Hello) -> None:
        """A peer said who it is: send to it if it is a member, tell it of the foundation if it is fresh."""
        if self.members.greeted(peer_id, hello):
            logger.warning("%s came back without what it had on its disk", peer_id)
            self._raft.set_match_index(peer_node(peer_id), 0)
            self._sender.begin_anew(peer_id)
        self._sender.connected(peer_id)
        foundation = self.members.foundation
        if hello.fresh and foundation is not None:
            self._transport.send(peer_id, Foundation(self._raft.term(), foundation))
        self.found_if_due()

    def dismissed(self, message: Removed) -> None:
        """A leader says that we were removed: RemovedFromCluster, unless that is about another life or long ago."""
        if message.incarnation == self._journal.incarnation and message.term >= self._raft.term():
            raise RemovedFromCluster(
                f"{self.members.node_id} was removed from the cluster (log index {message.log_index}): it is not "
                "needed any more. To use it again, move its folder away and add it as a new member"
            )

    # Changes, by the leader

    def add(self, node_id: str, addresses: MemberAddresses, on_outcome: OnOutcome) -> None:
        """A node that learns from now on, and votes once it has caught up; ChangeRefused if that cannot be."""
        self._change(addition(self._changeable(), node_id, addresses), on_outcome)

    def remove(self, node_id: str, on_outcome: OnOutcome) -> None:
        """One member less; ChangeRefused if that cannot be. A leader hands over instead of removing itself."""
        membership = removal(self._changeable(), node_id, self.members.answering())
        if node_id == self.members.node_id:
            if not self.handing_over:
                self.hand_over(None)
            raise AskAgain(f"{node_id} leads, and is handing over")
        self._change(membership, on_outcome)

    def tend(self) -> None:
        """Leader: mend what can be mended, and tell those that were removed."""
        try:
            membership = self._changeable()
        except AskAgain:
            return
        latest = self._journal.membership
        assert latest is not None
        for peer_id in self.members.removed():
            incarnation = self.members.linked[peer_id].incarnation
            self._transport.send(peer_id, Removed(self._raft.term(), incarnation, latest.log_index))
        change = next_mending(
            membership,
            linked=self.members.linked,
            answering=self.members.answering(),
            match_indexes=self._sender.match_indexes(),
            last_index=self._journal.last,
        )
        if change is not None:
            self._change(change, lambda _outcome, _detail: None)

    def _changeable(self) -> Membership:
        """The membership if it may be changed now; AskAgain if not."""
        membership = self.members.membership
        if self._raft.role() is not Role.LEADER or membership is None:
            raise AskAgain(f"not the leader; the leader is {self._raft.leader_id() or 'not known'}")
        # A leader that has committed nothing of its own term cannot know whether an earlier change is under way.
        if self._raft.commit_index() < self._raft.first_index_of_own_term() or not self.settled:
            raise AskAgain("a change is under way")
        return membership

    def _change(self, membership: Membership, on_outcome: OnOutcome) -> None:
        current = self._changeable()
        assert changed_voters(current, membership) <= 1, (current, membership)
        index, term = self._journal.last + 1, self._raft.term()
        self._journal.add(MEMBERSHIP + encode_membership(membership), index, term)
        self._proposals.add(index, term, on_outcome, now_s())
        self.log_changed()

    # Leadership

    @property
    def handing_over(self) -> bool:
        """Whether this leader takes no proposals, because another replica is to lead."""
        return self._hand_over is not None and self._raft.role() is Role.LEADER

    def hand_over(self, peer_id: str | None) -> None:
        """Leader: let a peer, or the one that is furthest, take over as soon as it has all of the log.

        Until then nothing is proposed, or under load it might never have. If nobody leads in its stead within two
        election timeouts, this replica goes on.
        """
        assert self._raft.role() is Role.LEADER, "only a leader hands over"
        self._hand_over = _HandOver(peer_id, now_s() + self._raft.patience_s())

    def continue_hand_over(self) -> None:
        """Ask the peer to take over if it can now; give up when its time is over."""
        if self._hand_over is None:
            return
        if not self.handing_over or now_s() > self._hand_over.deadline_s:
            self._hand_over = None
        else:
            peer_id = self._hand_over.peer_id
            self._raft.transfer_to(peer_node(peer_id) if peer_id else None)
