"""The folded balances against the engine's ledger, and against events that lie."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.events import FundsDeposited, MarketCreated, TradeExecuted
from engine.machine import Machine
from engine.types import BUY, EXCHANGE_ACCOUNT
from projections.balances import Balances, BalancesDisagree

RandomEntries = Callable[[Random, int], Iterator[bytes]]
BASE, QUOTE = 1, 2
MARKET = MarketCreated(1, BASE, QUOTE, 1_000, 1, 1, 0, 1_000, 2_500, b"GLD-EUR")
ANA_EUR = FundsDeposited(1, QUOTE, 10_000, 10_000, b"ana")
BO_GLD = FundsDeposited(2, BASE, 50, 50, b"bo")
TRADE = TradeExecuted(1, 1, BUY, 100, 40, 4_000, 2, 1, 2, 1, 4, 10, 0, 0)


@settings(max_examples=60, deadline=None)
@given(random=st.randoms(use_true_random=False))
def test_the_fold_is_the_engines_ledger_after_every_entry(random_entries: RandomEntries, random: Random) -> None:
    machine, balances = Machine(), Balances()
    for commands in random_entries(random, 60):
        balances.apply_entry_events(machine.apply(0, commands).entry.events)
        rows = machine.ledger.rows()
        assert balances.totals() == {(account, asset): available + held for account, asset, available, held in rows}
        for asset_id, supply_units in machine.ledger.supplies():
            assert balances.deposited_units(asset_id) == supply_units


def test_a_trade_moves_both_assets_and_the_fees() -> None:
    balances = Balances()
    balances.apply([MARKET, ANA_EUR, BO_GLD, TRADE])
    assert balances.totals() == {
        (EXCHANGE_ACCOUNT, QUOTE): 14,
        (1, BASE): 40,
        (1, QUOTE): 5_990,
        (2, BASE): 10,
        (2, QUOTE): 3_996,
    }


def test_a_repeated_creation_changes_nothing() -> None:
    balances = Balances()
    balances.apply([MARKET, ANA_EUR, MARKET])
    assert balances.totals() == {(1, QUOTE): 10_000}


def test_a_wrong_notional_is_found() -> None:
    with pytest.raises(BalancesDisagree, match="price times quantity is 4000"):
        Balances().apply([MARKET, ANA_EUR, BO_GLD, TRADE._replace(notional_units=4_001)])


def test_spending_what_nobody_deposited_is_found() -> None:
    with pytest.raises(BalancesDisagree, match=r"Account 2 would have -40 units of asset 1\."):
        Balances().apply([MARKET, ANA_EUR, TRADE])


def test_a_trade_in_a_market_that_was_never_listed_is_found() -> None:
    with pytest.raises(BalancesDisagree, match="never listed"):
        Balances().apply([ANA_EUR, BO_GLD, TRADE])
