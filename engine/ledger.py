"""Balances: for each account and asset what is available and what is held for open orders.

Every movement keeps the sum over all accounts equal to the asset's supply, which only
deposits and withdrawals change. Callers check funds first; a balance that would fall below zero here is a bug.

A supply is AMOUNT_MAX at most, and so is every balance as long as money is conserved: whatever is added to one was
taken from another before. A credit that would pass AMOUNT_MAX is a bug as well, so no sum here leaves 64 bits.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from engine import wire
from engine.account_assets import AccountAsset, AccountAssets
from engine.types import AMOUNT_MAX

# A row of the snapshot: account_id u64, asset_id u32, available i64, held i64.
_ASSET: Final = 8
_AVAILABLE: Final = 12
_HELD: Final = 20
_ROW_SIZE: Final = 28
_EMPTY_ROW: Final = bytes(_ROW_SIZE)


class Balance(AccountAsset):
    """What one account has of one asset: numbers only, so that a million of them cost the garbage collector nothing."""

    __slots__ = ("available_units", "held_units")

    def __init__(self) -> None:
        self.available_units = 0
        self.held_units = 0


class Ledger:
    """Owns all balances. A pair that was never touched is zero and is not stored."""

    __slots__ = ("_balances", "_supply_units")

    def __init__(self) -> None:
        self._balances = AccountAssets()
        self._supply_units: dict[int, int] = {}

    def available_units(self, account_id: int, asset_id: int) -> int:
        balance = self._find(account_id, asset_id)
        return 0 if balance is None else balance.available_units

    def held_units(self, account_id: int, asset_id: int) -> int:
        balance = self._find(account_id, asset_id)
        return 0 if balance is None else balance.held_units

    def supply_units(self, asset_id: int) -> int:
        return self._supply_units.get(asset_id, 0)

    def deposit(self, account_id: int, asset_id: int, amount_units: int) -> None:
        """Bring funds in from outside."""
        supply_units = self.supply_units(asset_id)
        assert 0 < amount_units <= AMOUNT_MAX - supply_units, (amount_units, supply_units)
        self._supply_units[asset_id] = supply_units + amount_units
        self.credit(account_id, asset_id, amount_units)

    def withdraw_held(self, account_id: int, asset_id: int, amount_units: int) -> None:
        """Let held funds out of the exchange."""
        supply_units = self.supply_units(asset_id)
        assert 0 < amount_units <= supply_units, (asset_id, amount_units, supply_units)
        self.spend_held(account_id, asset_id, amount_units)
        self._supply_units[asset_id] = supply_units - amount_units

    def reduce_supply(self, asset_id: int, amount_units: int) -> None:
        """Let funds out of this ledger that are nobody's balance: they were taken off one before."""
        supply_units = self.supply_units(asset_id)
        assert 0 < amount_units <= supply_units, (asset_id, amount_units, supply_units)
        self._supply_units[asset_id] = supply_units - amount_units

    def hold(self, account_id: int, asset_id: int, amount_units: int) -> None:
        """Move from available to held; back where ``amount_units`` is negative."""
        self.hold_in(self.balance(account_id, asset_id), amount_units)

    def credit(self, account_id: int, asset_id: int, amount_units: int) -> None:
        """Add to available what a counterpart of the same trade, or a deposit, gave up."""
        self.credit_to(self.balance(account_id, asset_id), amount_units)

    def spend_held(self, account_id: int, asset_id: int, amount_units: int) -> None:
        """Take out of held what a counterpart of the same trade is credited with."""
        self.spend_held_of(self.balance(account_id, asset_id), amount_units)

    # The same for who knows the balance already.

    def balance(self, account_id: int, asset_id: int) -> Balance:
        """The balance of this pair, made if need be. It stays, under its number."""
        balance = self._find(account_id, asset_id)
        if balance is None:
            balance = Balance()
            self._balances.add(account_id, asset_id, balance)
        return balance

    def balance_number(self, account_id: int, asset_id: int) -> int:
        """The number of this pair's balance, 0 if it was never touched."""
        balance = self._find(account_id, asset_id)
        return 0 if balance is None else balance.number

    def balance_at(self, number: int) -> Balance:
        balance = self._balances.rows[number]
        assert isinstance(balance, Balance)
        return balance

    def hold_in(self, balance: Balance, amount_units: int) -> None:
        available, held = balance.available_units, balance.held_units
        assert 0 - held <= amount_units <= available, (balance.account_id, balance.asset_id, amount_units)
        balance.available_units = available - amount_units
        balance.held_units = held + amount_units

    def credit_to(self, balance: Balance, amount_units: int) -> None:
        available = balance.available_units
        in_range = 0 - available <= amount_units <= AMOUNT_MAX - available
        assert in_range, (balance.account_id, balance.asset_id, amount_units)
        balance.available_units = available + amount_units

    def spend_held_of(self, balance: Balance, amount_units: int) -> None:
        held = balance.held_units
        in_range = held - AMOUNT_MAX <= amount_units <= held
        assert in_range, (balance.account_id, balance.asset_id, amount_units)
        balance.held_units = held - amount_units

    def assets_of(self, account_id: int) -> list[int]:
        """The assets in which the account has anything, ascending."""
        return [balance.asset_id for balance in self._of(account_id)]

    def rows(self) -> list[tuple[int, int, int, int]]:
        """All balances that are not zero, as (account_id, asset_id, available, held), in ascending order."""
        return [
            (account_id, balance.asset_id, balance.available_units, balance.held_units)
            for account_id in range(self._balances.accounts_end())
            for balance in self._of(account_id)
        ]

    def append_rows(self, out: bytearray) -> int:
        """Write what :meth:`rows` tells for the snapshot. Answers how many they are."""
        size = len(out)
        for account_id in range(self._balances.accounts_end()):
            for balance in self._of(account_id):
                at = len(out)
                out.extend(_EMPTY_ROW)
                wire.put_u64(out, at, account_id)
                wire.put_u32(out, at + _ASSET, balance.asset_id)
                wire.put_i64(out, at + _AVAILABLE, balance.available_units)
                wire.put_i64(out, at + _HELD, balance.held_units)
        return (len(out) - size) // _ROW_SIZE

    def read_rows(self, data: bytes, position: int, count: int) -> int:
        """Take over so many rows that :meth:`append_rows` wrote. Answers where they end."""
        for _ in range(count):
            self._restore(
                wire.load_u64(data, position),
                wire.load_u32(data, position + _ASSET),
                wire.load_i64(data, position + _AVAILABLE),
                wire.load_i64(data, position + _HELD),
            )
            position += _ROW_SIZE
        return position

    def supplies(self) -> list[tuple[int, int]]:
        return sorted(self._supply_units.items())

    def set_supplies(self, supplies: Iterable[tuple[int, int]]) -> None:
        """Have these, as :meth:`supplies` tells them, instead of those that were."""
        self._supply_units = dict(supplies)

    def restore(self, rows: Iterable[tuple[int, int, int, int]], supplies: Iterable[tuple[int, int]]) -> None:
        """Have these balances and supplies instead of those that were."""
        self._balances = AccountAssets()
        self.set_supplies(supplies)
        for account_id, asset_id, available, held in rows:
            self._restore(account_id, asset_id, available, held)

    def _restore(self, account_id: int, asset_id: int, available: int, held: int) -> None:
        balance = self.balance(account_id, asset_id)
        balance.available_units = available
        balance.held_units = held

    def _find(self, account_id: int, asset_id: int) -> Balance | None:
        balance = self._balances.find(account_id, asset_id)
        assert balance is None or isinstance(balance, Balance)
        return balance

    def _of(self, account_id: int) -> list[Balance]:
        """What the account has, by ascending asset."""
        found = []
        balance = self._balances.first_of(account_id)
        while balance is not None:
            assert isinstance(balance, Balance)
            if balance.available_units or balance.held_units:
                found.append(balance)
            balance = self._balances.next_of(balance)
        return found
