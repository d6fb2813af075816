"""What the door answers about members: who they are, and an operator's changes to them.

Only an operator's certificate may ask. A gateway's may not: it faces the world. A change is answered when it is
committed, or refused with a reason; `unknown` means that it may be committed yet: ask for the members to find out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from replication.config import is_node_id, parse_address
from replication.member_changes import AskAgain, ChangeRefused
from replication.membership import MemberAddresses
from replication.proposals import OnOutcome, Outcome
from replication.protocol import Answer
from replication.replicated_log import ReplicatedLog

ASK_AGAIN: Final = "ask again: "
"""How a refusal begins that a repetition may mend, here or at the leader."""

RESTART: Final = "restart"
"""The question of an operator who wants this replica to end and to be started again (`why_not_restart`)."""

Reply = Callable[[Answer], None]


def answer(log: ReplicatedLog, name: str, arguments: dict[str, Any], sequence: int, reply: Reply) -> None:
    """Answer one of QUESTIONS, now or when the change is committed."""

    def on_outcome(outcome: Outcome, detail: object) -> None:
        error = "" if outcome is Outcome.COMMITTED else f"{outcome.value}: {detail}"
        reply(Answer(0, sequence, None if error else _members(log), error))

    try:
        value = QUESTIONS[name](log, on_outcome, **arguments)
    except TypeError as error:
        reply(Answer(0, sequence, None, f"wrong arguments for {name!r}: {error}"))
    except AskAgain as refused:
        reply(Answer(0, sequence, None, ASK_AGAIN + str(refused)))
    except ChangeRefused as refused:
        reply(Answer(0, sequence, None, str(refused)))
    else:
        if value is not None:
            reply(Answer(0, sequence, value))


def why_not_restart(log: ReplicatedLog) -> str:
    """Why this replica should not end just now; empty if it may.

    A leader hands over first, or nobody would lead until the others have lost their patience.
    """
    if log.is_leader and log.members.other_voters:
        return f"{ASK_AGAIN}{log.members.node_id} leads: hand the leadership over first"
    return ""


def _members(log: ReplicatedLog, _on_outcome: object = None) -> dict[str, Any]:
    """``match_index`` is how far a member's log is known to agree with the leader's; only the leader knows it."""
    known = log.members
    match_indexes = log.match_indexes() if log.is_leader else {}
    rows = []
    for member in known.membership.members if known.membership else ():
        is_self = member.node_id == known.node_id
        rows.append(
            {
                "node": member.node_id,
                "voter": member.voter is not None,
                "leader": member.node_id == log.leader_id,
                "linked": is_self or member.node_id in known.linked,
                "peer": member.peer,
                "door": member.door,
                "match_index": log.last_index if is_self else match_indexes.get(member.node_id),
            }
        )
    return {
        "node": known.node_id,
        "role": log.role.value,
        "term": log.term,
        "leader": log.leader_id or "",
        "last_index": log.last_index,
        "settled": log.membership.settled,
        "members": rows,
    }


def _add_member(log: ReplicatedLog, on_outcome: OnOutcome, node: str, peer: str, door: str) -> None:
    if not is_node_id(node):
        raise ChangeRefused(f"{node!r} is no node id: lower-case letters, digits and '-', at most 32")
    for address in (peer, door):
        if parse_address(address) is None:
            raise ChangeRefused(f'{address!r} is no address such as "10.0.9.14:7101"')
    if peer == door:
        raise ChangeRefused(f"{peer} cannot be both: replicas and gateways connect at different ports")
    log.membership.add(node, MemberAddresses(peer, door), on_outcome)


def _remove_member(log: ReplicatedLog, on_outcome: OnOutcome, node: str) -> None:
    log.membership.remove(node, on_outcome)


def _transfer_leadership(log: ReplicatedLog, _on_outcome: OnOutcome, node: str) -> dict[str, Any]:
    """``node`` may be empty: whoever is furthest. The answer says that it will be asked; watch who leads."""
    if not log.is_leader:
        raise AskAgain(f"not the leader; the leader is {log.leader_id or 'not known'}")
    membership = log.members.membership
    if node and (membership is None or node not in membership.voters):
        raise ChangeRefused(f"{node} is no voter of this cluster")
    if node == log.members.node_id:
        raise ChangeRefused(f"{node} leads already")
    if node and node not in log.members.answering():
        raise ChangeRefused(f"{node} cannot be reached")
    log.membership.hand_over(node or None)
    return _members(log)


QUESTIONS: Final[dict[str, Callable[..., dict[str, Any] | None]]] = {
    "members": _members,
    "add_member": _add_member,
    "remove_member": _remove_member,
    "transfer_leadership": _transfer_leadership,
}
