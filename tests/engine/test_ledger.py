"""Balances, and the assertions that stop a bug before it becomes wrong money."""

from __future__ import annotations

from struct import pack

import pytest

from engine.ledger import Ledger
from engine.types import AMOUNT_MAX

ANA, BO = 1, 2
EUR, GLD = 1, 2


def _funded() -> Ledger:
    ledger = Ledger()
    ledger.deposit(ANA, EUR, 100)
    return ledger


def test_what_was_never_touched_is_zero() -> None:
    ledger = Ledger()
    assert (ledger.available_units(ANA, EUR), ledger.held_units(ANA, EUR), ledger.supply_units(EUR)) == (0, 0, 0)
    assert ledger.rows() == [] and ledger.supplies() == [] and ledger.assets_of(ANA) == []


def test_a_hold_moves_and_a_negative_one_moves_back() -> None:
    ledger = _funded()
    ledger.hold(ANA, EUR, 60)
    assert (ledger.available_units(ANA, EUR), ledger.held_units(ANA, EUR)) == (40, 60)
    ledger.hold(ANA, EUR, -60)
    assert (ledger.available_units(ANA, EUR), ledger.held_units(ANA, EUR)) == (100, 0)
    assert ledger.supply_units(EUR) == 100


def test_what_one_spends_another_is_credited_with() -> None:
    ledger = _funded()
    ledger.hold(ANA, EUR, 100)
    ledger.spend_held(ANA, EUR, 100)
    ledger.credit(BO, EUR, 100)
    assert ledger.rows() == [(BO, EUR, 100, 0)]
    assert ledger.supplies() == [(EUR, 100)]


def test_rows_come_in_order_of_account_and_asset_without_zeros() -> None:
    ledger = Ledger()
    for account_id, asset_id in ((300, 2), (BO, GLD), (BO, EUR), (ANA, GLD), (300, 1), (0, 7)):
        ledger.deposit(account_id, asset_id, 5)
    ledger.hold(BO, GLD, 5)
    ledger.spend_held(BO, GLD, 5)
    ledger.credit(ANA, GLD, 5)
    assert ledger.rows() == [(0, 7, 5, 0), (ANA, GLD, 10, 0), (BO, EUR, 5, 0), (300, 1, 5, 0), (300, 2, 5, 0)]
    assert ledger.assets_of(BO) == [EUR]
    assert ledger.assets_of(300) == [1, 2]


def test_the_greatest_account_and_asset_numbers_do_not_meet() -> None:
    ledger = Ledger()
    ledger.deposit(0, 65_535, 1)
    ledger.deposit(1, 0, 2)
    ledger.deposit(100_000, (1 << 32) - 1, 3)
    assert ledger.rows() == [(0, 65_535, 1, 0), (1, 0, 2, 0), (100_000, (1 << 32) - 1, 3, 0)]


def test_restored_rows_are_the_same_rows() -> None:
    ledger, other = _funded(), Ledger()
    ledger.hold(ANA, EUR, 60)
    other.restore(ledger.rows(), ledger.supplies())
    assert (other.rows(), other.supplies()) == (ledger.rows(), ledger.supplies())
    other.hold(ANA, EUR, -60)
    assert ledger.held_units(ANA, EUR) == 60


def test_rows_of_the_snapshot_are_the_same_rows() -> None:
    ledger, other = _funded(), Ledger()
    ledger.hold(ANA, EUR, 60)
    ledger.deposit(300, GLD, AMOUNT_MAX)
    ledger.credit(BO, GLD, 0)
    out = bytearray(b"before")
    assert ledger.append_rows(out) == 2
    assert out == b"before" + pack("<QIqq", ANA, EUR, 40, 60) + pack("<QIqq", 300, GLD, AMOUNT_MAX, 0)
    data = bytes(out) + b"behind"
    assert other.read_rows(data, 6, 2) == len(out)
    other.set_supplies(ledger.supplies())
    assert (other.rows(), other.supplies()) == (ledger.rows(), ledger.supplies())
    assert other.assets_of(BO) == []
    with pytest.raises(IndexError):
        Ledger().read_rows(bytes(out[:-1]), 6, 2)


def test_many_accounts_and_assets_do_not_mix() -> None:
    ledger = Ledger()
    pairs = [(account_id, asset_id) for asset_id in (9, 1, 5) for account_id in range(2_000)]
    for account_id, asset_id in pairs:
        ledger.deposit(account_id, asset_id, 10 * account_id + asset_id)
    assert ledger.rows() == [(*pair, 10 * pair[0] + pair[1], 0) for pair in sorted(pairs)]
    assert ledger.assets_of(1_999) == [1, 5, 9] and ledger.assets_of(2_000) == []


def test_a_hold_beyond_what_is_available_is_a_bug() -> None:
    _funded().hold(ANA, EUR, 100)
    with pytest.raises(AssertionError):
        _funded().hold(ANA, EUR, 101)


def test_freeing_more_than_is_held_is_a_bug() -> None:
    ledger = _funded()
    ledger.hold(ANA, EUR, 60)
    with pytest.raises(AssertionError):
        ledger.hold(ANA, EUR, -61)


def test_spending_more_than_is_held_is_a_bug() -> None:
    ledger = _funded()
    ledger.hold(ANA, EUR, 60)
    with pytest.raises(AssertionError):
        ledger.spend_held(ANA, EUR, 61)


def test_a_credit_below_zero_is_a_bug() -> None:
    ledger = _funded()
    ledger.credit(ANA, EUR, -100)
    with pytest.raises(AssertionError):
        ledger.credit(ANA, EUR, -1)


def test_a_credit_beyond_the_largest_supply_is_a_bug() -> None:
    ledger = _funded()
    with pytest.raises(AssertionError):
        ledger.credit(ANA, EUR, AMOUNT_MAX - 99)
    ledger.credit(ANA, EUR, AMOUNT_MAX - 100)
    assert ledger.available_units(ANA, EUR) == AMOUNT_MAX


def test_held_funds_leave_with_their_supply() -> None:
    ledger = _funded()
    ledger.hold(ANA, EUR, 60)
    ledger.withdraw_held(ANA, EUR, 60)
    assert (ledger.rows(), ledger.supplies()) == ([(ANA, EUR, 40, 0)], [(EUR, 40)])
    for amount_units in (0, -1, 1, 41):
        with pytest.raises(AssertionError):
            ledger.withdraw_held(ANA, EUR, amount_units)


@pytest.mark.parametrize("amount_units", [0, -1, AMOUNT_MAX - 99])
def test_a_deposit_of_nothing_or_beyond_the_largest_supply_is_a_bug(amount_units: int) -> None:
    ledger = _funded()
    with pytest.raises(AssertionError):
        ledger.deposit(BO, EUR, amount_units)
    ledger.deposit(BO, EUR, AMOUNT_MAX - 100)
    assert ledger.supply_units(EUR) == AMOUNT_MAX
