"""How a leader changes the membership: by itself where that only mends, and on an operator's word.

One change at a time, and only once the one before it is committed. Each changes one voter at most. Where it could not
be committed, because too few of the voters that remain answer, it is refused: everything after it would wait for it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from replication.membership import MemberAddresses, Membership, is_majority
from replication.messages import Hello

MEMBERS_MAX: Final = 9
CAUGHT_UP_ENTRIES: Final = 64
"""A learner that is no further behind than that holds up no majority when it begins to count."""


class ChangeRefused(Exception):
    """The membership stays as it is. The text is for the operator and says why."""


class AskAgain(ChangeRefused):
    """Not now, or not here: the same question may be answered well a little later, or by the leader."""


def next_mending(
    membership: Membership,
    *,
    linked: Mapping[str, Hello],
    answering: Collection[str],
    match_indexes: Mapping[str, int],
    last_index: int,
) -> Membership | None:
    """What a leader changes without being asked, or None.

    A voter that came back with an empty disk learns from now on. A learner that has caught up votes. A member that says
    where it is found now is found there.
    """
    for member in membership.members:
        hello = linked.get(member.node_id)
        if hello is None:
            continue
        if member.voter is not None and member.voter != hello.incarnation:
            demoted = membership.with_voter_demoted(member.node_id)
            if _can_be_committed(demoted, answering):
                return demoted
        if member.voter is None and match_indexes.get(member.node_id, 0) + CAUGHT_UP_ENTRIES >= last_index:
            return membership.with_voter(member.node_id, hello.incarnation)
        addresses = MemberAddresses(hello.peer, hello.door)
        if addresses != MemberAddresses(member.peer, member.door):
            return membership.with_addresses(member.node_id, addresses)
    return None


def addition(membership: Membership, node_id: str, addresses: MemberAddresses) -> Membership:
    """The membership with one more learner; ChangeRefused if that cannot be."""
    if membership.find(node_id) is not None:
        raise ChangeRefused(f"{node_id} is a member already")
    if len(membership.members) >= MEMBERS_MAX:
        raise ChangeRefused(f"the cluster has {len(membership.members)} members, and {MEMBERS_MAX} is the most")
    for member in membership.members:
        if {member.peer, member.door} & set(filter(None, addresses)):
            raise ChangeRefused(f"one of these addresses is that of {member.node_id}")
    return membership.with_learner(node_id, addresses)


def removal(membership: Membership, node_id: str, answering: Collection[str]) -> Membership:
    """The membership with one member less; ChangeRefused if that cannot be."""
    if membership.find(node_id) is None:
        raise ChangeRefused(f"{node_id} is no member; there are {', '.join(membership.node_ids)}")
    remaining = membership.without(node_id)
    if not remaining.voters:
        raise ChangeRefused(f"{node_id} is the only voter")
    if not _can_be_committed(remaining, answering):
        silent = sorted(remaining.voters.keys() - set(answering))
        raise ChangeRefused(
            f"without {node_id} there would be no majority, because {', '.join(silent)} cannot be reached: "
            "bring up or add a node first"
        )
    return remaining


def _can_be_committed(membership: Membership, answering: Collection[str]) -> bool:
    return is_majority(len(membership.voters.keys() & set(answering)), membership)
