"""Rows by account and asset: each is found, and those of an account come by ascending asset."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.account_assets import AccountAsset, AccountAssets

_PAIRS = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20) | st.just((1 << 32) - 1)), unique=True)


def _assets_of(table: AccountAssets, account_id: int) -> list[int]:
    found = []
    row = table.first_of(account_id)
    while row is not None:
        assert row.account_id == account_id
        found.append(row.asset_id)
        row = table.next_of(row)
    return found


@given(pairs=_PAIRS)
def test_rows_are_found_and_come_in_order_whatever_came_first(pairs: list[tuple[int, int]]) -> None:
    table = AccountAssets()
    rows = {}
    for pair in pairs:
        assert table.find(*pair) is None
        rows[pair] = AccountAsset()
        table.add(*pair, rows[pair])
        assert table.find(*pair) is rows[pair]
    assert all(table.find(*pair) is row for pair, row in rows.items())
    assert table.accounts_end() == max((account_id + 1 for account_id, _ in pairs), default=0)
    for account_id in range(22):
        assert _assets_of(table, account_id) == sorted(asset for owner, asset in pairs if owner == account_id)


def test_numbers_that_do_not_fit_a_row_are_a_bug() -> None:
    for pair in ((1 << 32, 1), (1, 1 << 32)):
        with pytest.raises((AssertionError, OverflowError)):
            AccountAssets().add(*pair, AccountAsset())
