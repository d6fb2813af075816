"""Accounts of the home group in the other groups.

Accounts, their roles, limits and whether they are frozen are decided in the log of one group, the home. Another group
learns of an account when it is first needed there: ``MirrorAccount`` says what the home's log had at a sequence, and
opens the account or brings it up to that. A mirror is applied only if it is newer than the last one, so copies that
come twice, late or out of order change nothing, and an account that is frozen in the home is frozen here before it can
do anything.

An account has the same name in all groups, and a number of its own in each.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import Final

from engine import rejects
from engine.accounts import Accounts
from engine.commands import FreezeAccount, MirrorAccount, SetAccountLimits
from engine.dedup import is_valid_id
from engine.event_writer import EventWriter
from engine.events import AccountCreated, AccountMirrored
from engine.registry import Registry
from engine.types import EXCHANGE_ACCOUNT_NAME, OPERATOR, TRADER, AccountLimits, AccountSpec

MIRROR_ROW: Final = Struct("<QQ")


class Mirrors:
    """Knows, for each mirrored account, the sequence of the home's log that it reflects."""

    def __init__(self, registry: Registry, accounts: Accounts) -> None:
        self.conflicts_with = 0  # the receipt that the last refusal quotes
        self._registry = registry
        self._accounts = accounts
        self._home_sequences: dict[int, int] = {}

    def mirror(self, command: MirrorAccount, sequence: int, timestamp_ns: int, emit: EventWriter) -> int:
        self.conflicts_with = 0
        if not is_valid_id(command.name) or command.role not in (TRADER, OPERATOR) or command.frozen > 1:
            return rejects.MALFORMED
        if bool(command.requests_max) != bool(command.window_ms) or not command.home_sequence:
            return rejects.MALFORMED
        if command.name == EXCHANGE_ACCOUNT_NAME:
            return rejects.NOT_ALLOWED  # every group has its own
        account = self._registry.account_by_name(command.name)
        if account is not None and account.role != command.role:
            self.conflicts_with = account.created_sequence
            return rejects.NAME_TAKEN

        if account is None:
            account = AccountSpec(len(self._registry.accounts), command.name, command.role, sequence)
            self._registry.add_account(account)
            emit(AccountCreated(account.account_id, account.role, account.name))
        if command.home_sequence > self._home_sequences.get(account.account_id, 0):
            self._home_sequences[account.account_id] = command.home_sequence
            self._take_over(account.account_id, command, timestamp_ns, emit)
        emit(
            AccountMirrored(
                account_id=account.account_id,
                home_sequence=self._home_sequences[account.account_id],
                role=account.role,
                frozen=int(self._registry.is_frozen(account.account_id)),
                name=account.name,
            )
        )
        return rejects.ACCEPTED

    def rows(self) -> list[tuple[int, int]]:
        """(account_id, home_sequence) by ascending account."""
        return sorted(self._home_sequences.items())

    def restore(self, rows: Iterable[tuple[int, int]]) -> None:
        self._home_sequences = dict(rows)

    def _take_over(self, account_id: int, command: MirrorAccount, timestamp_ns: int, emit: EventWriter) -> None:
        asker, issued_at_ns = command.account_id, command.issued_at_ns
        limits = AccountLimits(command.open_orders_max, command.stops_max, command.requests_max, command.window_ms)
        standing = self._registry.standing_of(account_id)
        reason = rejects.ACCEPTED
        if limits != (AccountLimits() if standing is None else standing.limits):
            change = SetAccountLimits(asker, issued_at_ns, account_id, *limits)
            reason = self._accounts.set_limits(change, timestamp_ns, emit)
        if not reason and command.frozen != self._registry.is_frozen(account_id):
            change_to = FreezeAccount(asker, issued_at_ns, account_id, command.frozen)
            reason = self._accounts.freeze(change_to, timestamp_ns, emit)
        assert not reason, ("a mirror that was checked was refused", reason, command)
