"""What concerns an account as a whole: freezing, limits, its rate of requests, and the dead-man switch."""

from __future__ import annotations

from engine import rejects
from engine.commands import CancelAllAfter, FreezeAccount, SetAccountLimits
from engine.event_writer import EventWriter
from engine.events import AccountFrozen, AccountLimitsSet, DeadManArmed, DeadManFired
from engine.rate import use_rate
from engine.registry import Registry
from engine.timers import DEAD_MAN, Timers
from engine.trading import Trading
from engine.types import (
    CLOSED_DEAD_MAN,
    CLOSED_FROZEN,
    EITHER_SIDE,
    EXCHANGE_ACCOUNT,
    NS_PER_MS,
    NS_PER_S,
    AccountLimits,
)

ALL_MARKETS = 0


class Accounts:
    """The desk for accounts; what it changes stands in the registry."""

    def __init__(self, registry: Registry, trading: Trading, timers: Timers) -> None:
        self._registry = registry
        self._trading = trading
        self._timers = timers

    def freeze(self, command: FreezeAccount, timestamp_ns: int, emit: EventWriter) -> int:
        """Freeze an account and cancel all its orders, or free it again. It can still cancel and be paid."""
        if command.frozen > 1:
            return rejects.MALFORMED
        if not self._registry.has_account(command.owner_account_id):
            return rejects.UNKNOWN_ACCOUNT
        if command.owner_account_id == EXCHANGE_ACCOUNT:
            return rejects.NOT_ALLOWED
        self._registry.standing(command.owner_account_id).frozen = command.frozen
        emit(AccountFrozen(command.owner_account_id, command.frozen))
        if command.frozen:
            self._close_all(command.owner_account_id, CLOSED_FROZEN, timestamp_ns, emit, in_any_phase=True)
        return rejects.ACCEPTED

    def set_limits(self, command: SetAccountLimits, timestamp_ns: int, emit: EventWriter) -> int:
        if bool(command.requests_max) != bool(command.window_ms):
            return rejects.MALFORMED
        if not self._registry.has_account(command.owner_account_id):
            return rejects.UNKNOWN_ACCOUNT
        limits = AccountLimits(command.open_orders_max, command.stops_max, command.requests_max, command.window_ms)
        standing = self._registry.standing(command.owner_account_id)
        if limits != standing.limits:
            standing.limits, standing.window, standing.requests_in_window = limits, 0, 0
        emit(AccountLimitsSet(command.owner_account_id, *limits))
        return rejects.ACCEPTED

    def use_rate(self, account_id: int, timestamp_ns: int) -> bool:
        """Count one more request. False if the account has used up its requests in this window of log time."""
        standing = self._registry.standing_of(account_id)
        return standing is None or use_rate(standing, standing.requests_max, standing.window_ms, timestamp_ns)

    def cancel_all_after(self, command: CancelAllAfter, timestamp_ns: int, emit: EventWriter) -> int:
        """Arm, renew or (with 0) switch off the dead-man switch (rulebook I1)."""
        standing = self._registry.standing(command.account_id)
        standing.dead_man_ns = timestamp_ns + command.timeout_ms * NS_PER_MS if command.timeout_ms else 0
        self._timers.schedule(standing.dead_man_ns, DEAD_MAN, command.account_id)
        emit(DeadManArmed(command.account_id, standing.dead_man_ns))
        return rejects.ACCEPTED

    def on_dead_man(self, account_id: int, due_ns: int, timestamp_ns: int, emit: EventWriter) -> None:
        """Nobody renewed. Orders in an auction that takes none back are tried again every second."""
        standing = self._registry.standing(account_id)
        assert standing.dead_man_ns == due_ns, (account_id, due_ns)
        count = self._close_all(account_id, CLOSED_DEAD_MAN, timestamp_ns, emit, in_any_phase=False)
        emit(DeadManFired(account_id, count))
        standing.dead_man_ns = timestamp_ns + NS_PER_S if self._trading.index.open_count(account_id) else 0
        self._timers.schedule(standing.dead_man_ns, DEAD_MAN, account_id)

    def _close_all(
        self, account_id: int, reason: int, timestamp_ns: int, emit: EventWriter, *, in_any_phase: bool
    ) -> int:
        return self._trading.close_all(
            account_id, ALL_MARKETS, EITHER_SIDE, reason, timestamp_ns, emit, in_any_phase=in_any_phase
        )
