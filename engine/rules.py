"""Which version of the rules is in force: a part of the state, and changed by a command alone.

An engine that learns a new rule must not judge old commands by it: a log would replay to another result, and two
replicas of which one has the new code would differ. So a rule that changes asks here which version is in force. Every
log begins with version 1 and stays there until it says otherwise (``SetRulesVersion``).

=======  ==============================================================================================
1        what a log means that says nothing else
2        a withdrawal cannot be approved while its account is frozen (``engine.withdrawals``)
=======  ==============================================================================================

A replica whose code does not know a version that was agreed on must not guess: :class:`RulesNotKnown`, and it stops.
That nobody agrees on a version before all replicas know it is the leader's business (``replication.rules_desk``).

Source: docs/adr/0024-rules-have-a-version.md
"""

from __future__ import annotations

from typing import Final

from engine import rejects
from engine.commands import SetRulesVersion
from engine.event_writer import EventWriter
from engine.events import RulesVersionSet

OLDEST_RULES_VERSION: Final = 1
NEWEST_RULES_VERSION: Final = 2
"""The newest that this code knows."""

FROZEN_ACCOUNTS_ARE_NOT_PAID: Final = 2
"""Since this version no withdrawal is approved while its account is frozen."""


class RulesNotKnown(Exception):
    """The log, or a snapshot, is of a version of the rules that this code does not know: it must not go on."""

    def __init__(self, version: int, newest_known: int) -> None:
        super().__init__(f"version {version} of the rules is in force, and this build knows rules up to {newest_known}")
        self.version = version
        self.newest_known = newest_known


class Rules:
    """``newest_known`` is what the code can do, and no part of the state; ``version`` is what is in force."""

    __slots__ = ("newest_known", "version")

    def __init__(self, newest_known: int = NEWEST_RULES_VERSION) -> None:
        assert OLDEST_RULES_VERSION <= newest_known <= NEWEST_RULES_VERSION, newest_known
        self.newest_known = newest_known
        self.version = OLDEST_RULES_VERSION

    def set_version(self, command: SetRulesVersion, emit: EventWriter) -> int:
        """Rules never go back: WRONG_STATE. The version in force again changes nothing."""
        if command.version < self.version:
            return rejects.WRONG_STATE
        self.require(command.version)
        self.version = command.version
        emit(RulesVersionSet(command.version, command.requested_by))
        return rejects.ACCEPTED

    def restore(self, version: int) -> None:
        """Take over what a snapshot says. RulesNotKnown if this code does not know it."""
        self.require(version)
        self.version = version

    def require(self, version: int) -> None:
        if version > self.newest_known:
            raise RulesNotKnown(version, self.newest_known)
