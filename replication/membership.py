"""Who belongs to the cluster: the value that the log carries, and the steps that lead from one to the next.

A member is a node in one *incarnation*: the life of one disk. A node whose disk was wiped has another incarnation, so
it is another member to Raft, one that made no promises, although it has the same name and address. Voters are listed
with their incarnation; a learner gets one when it becomes a voter.

Every step changes at most one voter, so that every majority before it and every majority after it have a member in
common. Source: D. Ongaro, Consensus: Bridging Theory and Practice, section 4.2; docs/adr/0017.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Final, NamedTuple

import msgspec

INCARNATION_BYTES: Final = 16
LEGACY_INCARNATION: Final = bytes(INCARNATION_BYTES)
"""Of a journal that was written before incarnations were recorded."""

Incarnation = Annotated[bytes, msgspec.Meta(min_length=INCARNATION_BYTES, max_length=INCARNATION_BYTES)]
_Text = Annotated[str, msgspec.Meta(max_length=300)]


class MemberAddresses(NamedTuple):
    """``host:port`` where the other replicas connect, and where gateways do. Empty where nobody dials: simulations."""

    peer: str
    door: str


class Member(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One node. ``voter`` is its incarnation if it votes and counts, or None if it only learns."""

    node_id: _Text
    voter: Incarnation | None
    peer: _Text
    door: _Text


class Membership(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """All members, sorted by node id."""

    members: tuple[Member, ...]

    def find(self, node_id: str) -> Member | None:
        """The member of that name, or None."""
        return next((member for member in self.members if member.node_id == node_id), None)

    @property
    def node_ids(self) -> list[str]:
        """All members' names, sorted."""
        return [member.node_id for member in self.members]

    @property
    def voters(self) -> dict[str, bytes]:
        """The incarnations that make up majorities, by node id."""
        return {member.node_id: member.voter for member in self.members if member.voter is not None}

    def is_voter(self, node_id: str, incarnation: bytes) -> bool:
        """Whether that life of that node votes and counts."""
        return self.voters.get(node_id) == incarnation

    def has(self, node_id: str, incarnation: bytes) -> bool:
        """Whether that life of that node is a member, voter or learner."""
        member = self.find(node_id)
        return member is not None and member.voter in (None, incarnation)

    def with_learner(self, node_id: str, addresses: MemberAddresses) -> Membership:
        """One more member, that counts for nothing yet."""
        assert self.find(node_id) is None, f"{node_id} is a member already"
        return _sorted([*self.members, Member(node_id, None, *addresses)])

    def with_voter(self, node_id: str, incarnation: bytes) -> Membership:
        """The learner `node_id` votes from now on."""
        return self._with(node_id, voter=incarnation)

    def with_voter_demoted(self, node_id: str) -> Membership:
        """The voter `node_id` is a learner from now on."""
        return self._with(node_id, voter=None)

    def with_addresses(self, node_id: str, addresses: MemberAddresses) -> Membership:
        """The member `node_id` is found elsewhere from now on."""
        return self._with(node_id, peer=addresses.peer, door=addresses.door)

    def without(self, node_id: str) -> Membership:
        """One member less."""
        assert self.find(node_id) is not None, f"{node_id} is no member"
        return Membership(tuple(member for member in self.members if member.node_id != node_id))

    def _with(self, node_id: str, **changes: object) -> Membership:
        member = self.find(node_id)
        assert member is not None, f"{node_id} is no member"
        changed = msgspec.structs.replace(member, **changes)
        return _sorted([other for other in self.members if other is not member] + [changed])


def founding(incarnations: Mapping[str, bytes], addresses: Mapping[str, MemberAddresses]) -> Membership:
    """The first membership of a cluster: all vote. Those without addresses are dialled by nobody."""
    nowhere = MemberAddresses("", "")
    return _sorted([Member(node_id, life, *addresses.get(node_id, nowhere)) for node_id, life in incarnations.items()])


def changed_voters(before: Membership, after: Membership) -> int:
    """How many voters one has and the other has not. A step may change one: majorities must overlap."""
    return len(before.voters.items() ^ after.voters.items())


def is_majority(count: int, membership: Membership) -> bool:
    """Whether so many voters are more than half of them."""
    return 2 * count > len(membership.voters)


def encode_membership(membership: Membership) -> bytes:
    """As the journal, the log and snapshots keep it."""
    return _encoder.encode(membership)


def decode_membership(encoded: bytes) -> Membership:
    """msgspec.DecodeError if it is none."""
    return _decoder.decode(encoded)


def _sorted(members: Iterable[Member]) -> Membership:
    return Membership(tuple(sorted(members, key=lambda member: member.node_id)))


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Membership)
