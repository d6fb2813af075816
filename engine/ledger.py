"""Balances: for each account and asset what is available and what is held for open orders.

Every movement keeps the sum over all accounts equal to the asset's supply, which only
deposits and withdrawals change. Callers check funds first; a balance that would fall below zero here is a bug.
"""

from __future__ import annotations

from typing import Final

from engine.types import AMOUNT_MAX

_ASSET_BITS: Final = 16
AVAILABLE: Final = 0
HELD: Final = 1


class Ledger:
    """Owns all balances. A pair that was never touched is zero and is not stored."""

    def __init__(self) -> None:
        self._balances: dict[int, list[int]] = {}  # (account_id, asset_id) packed in one key -> [available, held]
        self._supply_units: dict[int, int] = {}

    def available_units(self, account_id: int, asset_id: int) -> int:
        balance = self._balances.get(account_id << _ASSET_BITS | asset_id)
        return balance[AVAILABLE] if balance is not None else 0

    def held_units(self, account_id: int, asset_id: int) -> int:
        balance = self._balances.get(account_id << _ASSET_BITS | asset_id)
        return balance[HELD] if balance is not None else 0

    def supply_units(self, asset_id: int) -> int:
        return self._supply_units.get(asset_id, 0)

    def deposit(self, account_id: int, asset_id: int, amount_units: int) -> None:
        """Bring funds in from outside."""
        supply_units = self.supply_units(asset_id) + amount_units
        assert amount_units > 0 and supply_units <= AMOUNT_MAX, (amount_units, supply_units)
        self._supply_units[asset_id] = supply_units
        self.credit(account_id, asset_id, amount_units)

    def withdraw_held(self, account_id: int, asset_id: int, amount_units: int) -> None:
        """Let held funds out of the exchange."""
        self.spend_held(account_id, asset_id, amount_units)
        self._supply_units[asset_id] -= amount_units
        assert amount_units > 0 and self._supply_units[asset_id] >= 0, (asset_id, amount_units)

    def hold(self, account_id: int, asset_id: int, amount_units: int) -> None:
        """Move from available to held; back where ``amount_units`` is negative."""
        balance = self._balance(account_id, asset_id)
        balance[AVAILABLE] -= amount_units
        balance[HELD] += amount_units
        assert balance[AVAILABLE] >= 0 and balance[HELD] >= 0, (account_id, asset_id, balance)

    def credit(self, account_id: int, asset_id: int, amount_units: int) -> None:
        """Add to available what a counterpart of the same trade, or a deposit, gave up."""
        balance = self._balance(account_id, asset_id)
        balance[AVAILABLE] += amount_units
        assert balance[AVAILABLE] >= 0, (account_id, asset_id, balance)

    def spend_held(self, account_id: int, asset_id: int, amount_units: int) -> None:
        """Take out of held what a counterpart of the same trade is credited with."""
        balance = self._balance(account_id, asset_id)
        balance[HELD] -= amount_units
        assert balance[HELD] >= 0, (account_id, asset_id, balance)

    def assets_of(self, account_id: int) -> list[int]:
        """The assets in which the account has anything, ascending."""
        return sorted(
            key & (1 << _ASSET_BITS) - 1
            for key, balance in self._balances.items()
            if key >> _ASSET_BITS == account_id and (balance[AVAILABLE] or balance[HELD])
        )

    def rows(self) -> list[tuple[int, int, int, int]]:
        """All balances that are not zero, as (account_id, asset_id, available, held), in ascending order."""
        return [
            (key >> _ASSET_BITS, key & (1 << _ASSET_BITS) - 1, balance[AVAILABLE], balance[HELD])
            for key, balance in sorted(self._balances.items())
            if balance[AVAILABLE] or balance[HELD]
        ]

    def supplies(self) -> list[tuple[int, int]]:
        return sorted(self._supply_units.items())

    def restore(self, rows: list[tuple[int, int, int, int]], supplies: list[tuple[int, int]]) -> None:
        self._supply_units = dict(supplies)
        self._balances = {
            account_id << _ASSET_BITS | asset_id: [available, held] for account_id, asset_id, available, held in rows
        }

    def _balance(self, account_id: int, asset_id: int) -> list[int]:
        key = account_id << _ASSET_BITS | asset_id
        balance = self._balances.get(key)
        if balance is None:
            balance = self._balances[key] = [0, 0]
        return balance
