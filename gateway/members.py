"""Accounts of the home group as members of another: opened there when they are first needed.

Names are the same in all groups, numbers are each group's own. A member is made, and brought up to date, by what the
home's log had at a sequence (``MirrorAccount``): whether it is frozen, its limits, its role. A gateway does so the
first time that it meets an account in a group, and for all groups when an operator changes one.
"""

from __future__ import annotations

import time
from typing import Any, Protocol

from engine.codec import encode_command
from engine.commands import MirrorAccount
from engine.events import AccountMirrored
from engine.types import EXCHANGE_ACCOUNT, EXCHANGE_ACCOUNT_NAME
from gateway.errors import ApiError, NotFound, shown
from gateway.groups import Group
from gateway.outcomes import Outcome, receipt_of


class Home(Protocol):
    """Where accounts are opened."""

    group: Group

    async def account_name(self, account_id: int) -> str: ...


class Members:
    """The numbers that accounts of the home group have in one group. In the home itself they stay what they are."""

    def __init__(self, home: Home, group: Group) -> None:
        self._home = home
        self._group = group
        self._numbers: dict[int, int] = {EXCHANGE_ACCOUNT: EXCHANGE_ACCOUNT}
        self.facts_sequence = 0
        """A replica of the group that has come so far knows all of these numbers."""

    def known(self, account_id: int) -> int | None:
        """The number here of an account of the home that was met before."""
        return account_id if self._group is self._home.group else self._numbers.get(account_id)

    async def number_of(self, account_id: int) -> int:
        """The number here of an account of the home, which becomes a member if it is none yet."""
        known = self.known(account_id)
        if known is not None:
            return known
        outcome = await self.mirror(await self._home.account_name(account_id))
        mirrored = outcome.told(AccountMirrored)
        assert mirrored is not None, outcome
        self._numbers[account_id] = mirrored.account_id
        return mirrored.account_id

    async def find(self, account_id: int) -> int | None:
        """The number here of an account of the home; None if it is no member. It does not become one."""
        known = self.known(account_id)
        if known is None:
            name = await self._home.account_name(account_id)
            answer = await self._group.query("account_by_name", {"name": name})
            self.facts_sequence = max(self.facts_sequence, answer.sequence)
            known = None if answer.value is None else int(answer.value["account_id"])
        return known

    async def mirror(self, name: str) -> Outcome:
        """Bring the member up to what the home's log has now. NotFound if the home has no such account."""
        answer = await self._home.group.query("standing", {"name": name})
        standing: dict[str, Any] | None = answer.value
        if standing is None:
            raise NotFound("UNKNOWN_ACCOUNT", f"There is no account {shown(name)}.", sequence=answer.sequence)
        command = MirrorAccount(
            account_id=EXCHANGE_ACCOUNT,
            issued_at_ns=time.time_ns(),
            home_sequence=answer.sequence,
            role=standing["role"],
            frozen=standing["frozen"],
            **standing["limits"],
            name=name.encode("ascii"),
        )
        (outcome,) = await self._group.execute([encode_command(command)])
        if isinstance(outcome, ApiError):
            raise outcome
        receipt_of(outcome)
        self.facts_sequence = max(self.facts_sequence, outcome.sequence)
        return outcome

    async def account_id(self, name: str) -> int:
        """The number here of the account with this name, which becomes a member if it is none yet."""
        if name.encode() == EXCHANGE_ACCOUNT_NAME:
            return EXCHANGE_ACCOUNT
        mirrored = (await self.mirror(name)).told(AccountMirrored)
        assert mirrored is not None, name
        return mirrored.account_id
