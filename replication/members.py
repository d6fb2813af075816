"""What one replica knows of the members: who they are, which of them are linked now, and in which life.

A replica whose journal knows no membership is *fresh*. It has no log, never voted, and does not vote now. It becomes
part of a cluster in one of three ways:

- The cluster is new. The initial member with the lowest name founds it, once it is linked with all other initial
  members, all of them are fresh too, their configurations name the same ones, and no folder has data of an earlier
  life. Whoever is told of the foundation, by whomever, adopts it.
- The cluster exists, and its log begins where it was founded: the same message says how.
- The cluster exists, and the beginning of its log is compacted away: a snapshot brings the membership.

In the last two cases, and if its disk was wiped since, the membership does not name this life of the node: it learns
until it is made a voter through the log. Source: docs/adr/0016.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from engine.rules import OLDEST_RULES_VERSION
from replication.build import VERSION
from replication.journal import Journal
from replication.logged_memberships import LoggedMembership
from replication.membership import (
    LEGACY_INCARNATION,
    MemberAddresses,
    Membership,
    decode_membership,
    encode_membership,
    founding,
)
from replication.messages import Hello

logger = logging.getLogger(__name__)

_NOWHERE = MemberAddresses("", "")


class Members:
    """Owned by the replicated log of `node_id`."""

    def __init__(
        self,
        node_id: str,
        journal: Journal,
        initial_ids: Iterable[str],
        addresses: Mapping[str, MemberAddresses],
        *,
        had_data: bool,
        newest_rules_version: int = OLDEST_RULES_VERSION,
    ) -> None:
        """`initial_ids` found the cluster if it is new; they and `addresses` matter no more once there is a log.

        `had_data`: this node's folder has what an earlier life left, so the cluster cannot be new.
        `newest_rules_version` is up to where this code knows the rules; the others are told.
        """
        self.node_id = node_id
        self.linked: dict[str, Hello] = {}
        self.membership: Membership | None = None
        self.is_voter = False
        """Whether this life of this node votes."""
        self.other_voters: dict[str, bytes] = {}
        """The incarnations of the other nodes that vote."""
        self.other_ids: list[str] = []
        """All other members, voters and learners."""
        self._journal = journal
        self._initial_ids = sorted({*initial_ids, node_id})
        self._addresses = addresses
        self._had_data = had_data
        self._newest_rules_version = newest_rules_version
        self._adopted: LoggedMembership | None = None
        self._dismissed: set[str] = set()
        self._lives: dict[str, bytes] = {}
        if journal.membership is None and journal.incarnation == LEGACY_INCARNATION:
            # A build without memberships wrote this log: its configuration named the members.
            legacy = founding(dict.fromkeys(self._initial_ids, LEGACY_INCARNATION), addresses)
            journal.found(encode_membership(legacy))
        assert journal.membership is not None or journal.last == 1, "a log, but no membership"
        self.refresh()

    @property
    def fresh(self) -> bool:
        """Whether this replica knows of no membership."""
        return self.membership is None

    @property
    def foundation(self) -> Membership | None:
        """How the cluster was founded, as long as our log begins there."""
        encoded = self._journal.foundation
        return decode_membership(encoded) if encoded else None

    def refresh(self) -> bool:
        """Take over what the journal says now; whether that is something else than before."""
        latest = self._journal.membership
        if latest == self._adopted:
            return False
        before = self.other_ids
        membership = Membership(()) if latest is None else decode_membership(latest.encoded)
        self._adopted = latest
        self.membership = membership if latest else None
        self.is_voter = membership.is_voter(self.node_id, self._journal.incarnation)
        self.other_voters = {name: life for name, life in membership.voters.items() if name != self.node_id}
        self.other_ids = [name for name in membership.node_ids if name != self.node_id]
        self._dismissed = (self._dismissed | set(before)) & self.linked.keys() - set(self.other_ids)
        return True

    def hello(self, term: int) -> Hello:
        """What to say first on every link."""
        addresses = self._addresses.get(self.node_id, _NOWHERE)
        is_member = self.membership is not None and self.membership.has(self.node_id, self._journal.incarnation)
        founders = tuple(self._initial_ids) if self.fresh else ()
        return Hello(
            term,
            self._journal.incarnation,
            founders,
            self._had_data,
            is_member,
            *addresses,
            newest_rules_version=self._newest_rules_version,
            build=VERSION,
        )

    def greeted(self, peer_id: str, hello: Hello) -> bool:
        """A peer said hello; whether it began another life since it last did."""
        self.linked[peer_id] = hello
        if self.fresh and hello.fresh and list(hello.founders) != self._initial_ids:
            theirs, ours = ", ".join(hello.founders), ", ".join(self._initial_ids)
            logger.warning("%s would found a cluster of %s, we one of %s", peer_id, theirs, ours)
        if self.fresh and hello.fresh and (hello.had_data or self._had_data):
            holder = peer_id if hello.had_data else self.node_id
            logger.warning("no new cluster is founded: the folder of %s has data of an earlier one", holder)
        previous = self._lives.get(peer_id, hello.incarnation)
        self._lives[peer_id] = hello.incarnation
        return previous != hello.incarnation

    def unlinked(self, peer_id: str) -> None:
        """The link is gone."""
        self.linked.pop(peer_id, None)
        self._dismissed.discard(peer_id)

    def counts(self, peer_id: str) -> bool:
        """Whether what this peer says counts towards a majority: it votes, in the life that is linked now."""
        hello = self.linked.get(peer_id)
        return hello is not None and self.other_voters.get(peer_id) == hello.incarnation

    def answering(self) -> set[str]:
        """Leader: the voters that can be reached now, itself included."""
        return {self.node_id, *filter(self.counts, self.other_voters)}

    def what_it_waits_for(self) -> str:
        """Why this node takes no part yet, for its log; empty if it does."""
        if self.membership is not None and self.membership.has(self.node_id, self._journal.incarnation):
            return ""
        missing = [name for name in self._initial_ids if name != self.node_id and name not in self.linked]
        if self.membership is None and missing:
            return f"no log yet: a new cluster is founded when all are up, {', '.join(missing)} cannot be reached"
        if self.membership is not None and self.membership.find(self.node_id) is not None:
            return "no log any more: waiting until the leader takes this node back"
        return f"no member yet: `tally admin member add {self.node_id}` makes this node one"

    def removed(self) -> list[str]:
        """Who is linked, is no member, and may believe that it is one."""
        strangers = self.linked.keys() - set(self.other_ids)
        return sorted(peer_id for peer_id in strangers if peer_id in self._dismissed or self.linked[peer_id].is_member)

    def new_foundation(self) -> Membership | None:
        """The membership of a cluster that this replica may found now, or None."""
        others = [node_id for node_id in self._initial_ids if node_id != self.node_id]
        if not self.fresh or self.node_id != self._initial_ids[0]:
            return None
        hellos = {node_id: hello for node_id, hello in self.linked.items() if node_id in others}
        if len(hellos) < len(others) or any(list(hello.founders) != self._initial_ids for hello in hellos.values()):
            return None
        hellos[self.node_id] = self.hello(term=0)
        if any(hello.had_data for hello in hellos.values()):
            return None
        return founding(
            {node_id: hello.incarnation for node_id, hello in hellos.items()},
            {node_id: MemberAddresses(hello.peer, hello.door) for node_id, hello in hellos.items()},
        )
