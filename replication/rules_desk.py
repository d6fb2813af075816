"""What the door answers an operator who changes the version of the rules (``engine.rules``).

A version that one replica does not know would stop that replica. So the leader lets the log say it only if its own code
and that of every member, learners too, knows it: each says so in its hello. A member that cannot be reached may be of
any build. One that comes with older code later stops by itself (``replication.replica``).

Source: docs/adr/0024-rules-have-a-version.md
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from engine.codec import decode_events, encode_command
from engine.commands import SetRulesVersion
from engine.events import RulesVersionSet
from engine.types import EXCHANGE_ACCOUNT
from replication import protocol
from replication.member_desk import ASK_AGAIN
from replication.protocol import Answer, Result
from replication.replica import Replica
from replication.replicated_log import ReplicatedLog

SET_RULES_VERSION: Final = "set_rules_version"
VERSION_MAX: Final = 2**32 - 1

Submit = Callable[["_Change", bytes], None]
Reply = Callable[[Answer], None]


class RulesDesk:
    """``submit`` takes a command towards the log, and answers whoever asked (``replication.node``)."""

    def __init__(self, replica: Replica, log: ReplicatedLog, time_ns: Callable[[], int], submit: Submit) -> None:
        self._replica = replica
        self._log = log
        self._time_ns = time_ns
        self._submit = submit

    def ask(self, arguments: dict[str, Any], operator: str, reply: Reply) -> None:
        """Set the version; answered when it is in force, or refused with a sentence."""
        sequence = self._replica.machine.sequence
        version = arguments.get("version")
        if arguments.keys() != {"version"} or type(version) is not int or not 1 <= version <= VERSION_MAX:
            reply(Answer(0, sequence, None, f"there is no version {version!r} of the rules"))
            return
        refusal = self._why_not(version)
        if refusal:
            reply(Answer(0, sequence, None, refusal))
        elif version == self._replica.machine.rules.version:
            reply(Answer(0, sequence, {"rules_version": version}))
        else:
            command = SetRulesVersion(EXCHANGE_ACCOUNT, self._time_ns(), version, operator.encode("ascii"))
            self._submit(_Change(version, reply), encode_command(command))

    def _why_not(self, version: int) -> str:
        log, rules = self._log, self._replica.machine.rules
        if not log.leader_ready or log.membership.handing_over:
            return f"{ASK_AGAIN}not the leader; the leader is {log.leader_id or 'not known'}"
        if version < rules.version:
            return f"version {rules.version} of the rules is in force, and rules never go back"
        older = [] if rules.newest_known >= version else [_knows(log.members.node_id, rules.newest_known)]
        away = []
        for node_id in log.members.other_ids:
            hello = log.members.linked.get(node_id)
            if hello is None:
                away.append(f"{node_id} cannot be reached")
            elif hello.newest_rules_version < version:
                older.append(_knows(node_id, hello.newest_rules_version))
        if not older and not away:
            return ""
        remedies = (
            ["install a version of Tallystick that knows it on every node, then `tally admin roll`"] if older else []
        )
        remedies += ["start what is down"] if away else []
        return (
            f"not every replica could follow version {version} of the rules: {', '.join([*older, *away])}. "
            f"What to do: {'; '.join(remedies)}"
        )


def _knows(node_id: str, newest: int) -> str:
    return f"{node_id} knows rules up to {newest}"


class _Change:
    """Waits for what becomes of a command, as a gateway's link does."""

    def __init__(self, version: int, reply: Reply) -> None:
        self._version = version
        self._reply = reply

    def answer(self, result: Result) -> None:
        if result.outcome == protocol.COMMITTED:
            events = [event for _, event in decode_events(result.events)]
            if any(isinstance(event, RulesVersionSet) for event in events):
                self._reply(Answer(0, result.sequence, {"rules_version": self._version}))
            else:
                self._reply(Answer(0, result.sequence, None, f"it was refused: {events}"))
        elif result.outcome == protocol.UNKNOWN:
            self._reply(Answer(0, 0, None, "unknown whether it happened: `tally admin rules status` will say"))
        else:
            self._reply(Answer(0, 0, None, f"{ASK_AGAIN}another replica leads now"))
