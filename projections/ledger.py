"""The double-entry ledger: every change of what an account has, available and held, with what it came to.

One line for each event, account and asset. What an account gives another receives, so over all accounts an event's
changes come to nothing, except for deposits, withdrawals and what goes to other market groups and comes from them.
"""

from __future__ import annotations

from collections.abc import Iterable

from projections.kinds import NOBODY
from projections.moment import EventsDisagree, Moment
from projections.rows import BalanceRow, LineRow


class _Balance:
    __slots__ = ("available_units", "held_units", "updated_sequence")

    def __init__(self, available_units: int, held_units: int) -> None:
        self.available_units = available_units
        self.held_units = held_units
        self.updated_sequence = 0


class _Line:
    __slots__ = ("available_change", "available_units", "held_change", "held_units", "kind", "other", "reference_id")

    def __init__(self, kind: int, reference_id: int, other: int) -> None:
        self.kind = kind
        self.reference_id = reference_id
        self.other = other
        self.available_change = self.held_change = 0
        self.available_units = self.held_units = 0


class Ledger:
    """Owns the balances of a group, and the lines since they were last taken."""

    def __init__(self, moment: Moment) -> None:
        self._moment = moment
        self._balances: dict[tuple[int, int], _Balance] = {}  # by (account_id, asset_id)
        # By (account_id, sequence, event_index, asset_id); all of a batch of entries may have the same time.
        self._lines: dict[tuple[int, int, int, int], _Line] = {}
        self._times: dict[int, int] = {}  # by sequence
        self._changed: dict[tuple[int, int], _Balance] = {}

    def restore(self, rows: Iterable[BalanceRow]) -> None:
        for row in rows:
            self._balances[row.account_id, row.asset_id] = _Balance(row.available_units, row.held_units)

    def move(
        self,
        account_id: int,
        asset_id: int,
        *,
        available: int,
        held: int,
        kind: int,
        reference_id: int,
        other: int = NOBODY,
    ) -> None:
        """Change what an account has of an asset, by an event of this moment; several changes make one line."""
        if not available and not held:
            return
        key = (account_id, asset_id)
        balance = self._balances.get(key)
        if balance is None:
            balance = self._balances[key] = _Balance(0, 0)
        balance.available_units += available
        balance.held_units += held
        moment = self._moment
        sequence = balance.updated_sequence = moment.sequence
        self._changed[key] = balance
        line_key = (account_id, sequence, moment.event_index, asset_id)
        line = self._lines.get(line_key)
        if line is None:
            line = self._lines[line_key] = _Line(kind, reference_id, other)
            self._times[sequence] = moment.timestamp_ns
        line.available_change += available
        line.held_change += held
        line.available_units, line.held_units = balance.available_units, balance.held_units

    def hold(self, account_id: int, asset_id: int, units: int, kind: int, reference_id: int) -> None:
        """Move from available to held; back where ``units`` is negative."""
        self.move(account_id, asset_id, available=-units, held=units, kind=kind, reference_id=reference_id)

    def units(self, account_id: int, asset_id: int) -> tuple[int, int]:
        """What is available, and what is held."""
        balance = self._balances.get((account_id, asset_id))
        return (0, 0) if balance is None else (balance.available_units, balance.held_units)

    def take(self) -> tuple[list[LineRow], list[BalanceRow]]:
        """The lines and the changed balances since the last call. EventsDisagree if a balance is below zero."""
        group_id, times = self._moment.group_id, self._times
        balances = []
        for (account_id, asset_id), balance in self._changed.items():
            if balance.available_units < 0 or balance.held_units < 0:
                raise EventsDisagree(
                    f"{self._moment}: account {account_id} would have {balance.available_units} units of asset "
                    f"{asset_id} available and {balance.held_units} held"
                )
            balances.append(
                BalanceRow(
                    group_id,
                    account_id,
                    asset_id,
                    balance.available_units,
                    balance.held_units,
                    balance.updated_sequence,
                )
            )
        lines = [
            LineRow(
                group_id,
                account_id,
                sequence,
                event_index,
                asset_id,
                times[sequence],
                line.kind,
                line.reference_id,
                line.other,
                line.available_change,
                line.held_change,
                line.available_units,
                line.held_units,
            )
            for (account_id, sequence, event_index, asset_id), line in self._lines.items()
            if line.available_change or line.held_change
        ]
        self._lines, self._times, self._changed = {}, {}, {}
        return lines, balances
