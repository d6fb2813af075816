"""Rows that belong to an account and an asset: found by both, and gone through by account, then by asset.

A row is found by a hash of the two. The rows of one account are linked in the order of their assets, and a table by
account id, four bytes each, has the first of them: the exchange numbers accounts without gaps. Nothing is ever moved
or sorted as a whole. Rows are numbered from 1 and stay; 0 is none.
"""

from __future__ import annotations

from typing import Final

from engine import wire
from engine.hash_index import HashIndex

_ID_MAX: Final = (1 << 32) - 1
_HASH_MASK: Final = (1 << 32) - 1
_HASH_FACTOR: Final = 0x9E37_79B9_7F4A_7C15
_NUMBER_SIZE: Final = 4


class AccountAsset:
    """What any row has once it is in a table: its number, and that of the account's row of the next higher asset."""

    __slots__ = ("account_id", "asset_id", "next_row", "number")

    account_id: int
    asset_id: int
    next_row: int
    number: int


class AccountAssets:
    """Owns the rows. One class of rows in a table: whoever made it knows which."""

    __slots__ = ("_first_rows", "_index", "rows")

    def __init__(self) -> None:
        self.rows = [AccountAsset()]  # by number; the first stands for none
        self._index = HashIndex()
        self._first_rows = bytearray()

    def find(self, account_id: int, asset_id: int) -> AccountAsset | None:
        number = self._index.first(_hash(account_id, asset_id))
        while number:
            row = self.rows[number]
            if row.account_id == account_id and row.asset_id == asset_id:
                return row
            number = self._index.next()
        return None

    def add(self, account_id: int, asset_id: int, row: AccountAsset) -> None:
        """Put in a row for a pair that has none yet."""
        assert account_id <= _ID_MAX and asset_id <= _ID_MAX, (account_id, asset_id)
        number, place = len(self.rows), account_id * _NUMBER_SIZE
        row.account_id, row.asset_id, row.number = account_id, asset_id, number
        if place >= len(self._first_rows):
            self._first_rows.extend(bytes(place + _NUMBER_SIZE - len(self._first_rows)))
        before, after = None, wire.get_u32(self._first_rows, place)
        while after:
            other = self.rows[after]
            if other.asset_id > asset_id:
                break
            before, after = other, other.next_row
        row.next_row = after
        if before is None:
            wire.put_u32(self._first_rows, place, number)
        else:
            before.next_row = number
        self._index.add(_hash(account_id, asset_id), number)
        self.rows.append(row)

    def first_of(self, account_id: int) -> AccountAsset | None:
        """The account's row of its lowest asset."""
        if account_id >= self.accounts_end():
            return None
        number = wire.get_u32(self._first_rows, account_id * _NUMBER_SIZE)
        return self.rows[number] if number else None

    def next_of(self, row: AccountAsset) -> AccountAsset | None:
        """The same account's row of the next higher asset."""
        return self.rows[row.next_row] if row.next_row else None

    def accounts_end(self) -> int:
        """No account from this number on has a row."""
        return len(self._first_rows) // _NUMBER_SIZE


def _hash(account_id: int, asset_id: int) -> int:
    return wire.mix(account_id << 32 | asset_id, _HASH_FACTOR) & _HASH_MASK
