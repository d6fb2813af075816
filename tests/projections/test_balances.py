"""The folded balances against the engine's ledger, and against events that lie."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.events import (
    Event,
    FundsDeposited,
    MarketCreated,
    SaleChanged,
    SaleSettled,
    TradeExecuted,
    TransferChanged,
    WithdrawalChanged,
)
from engine.machine import Machine
from engine.types import (
    APPROVED,
    BUY,
    CANCELLED_BY_OWNER,
    EXCHANGE_ACCOUNT,
    EXPIRED,
    FIXED_PRICE,
    PAID,
    PENDING,
    POSTED,
    REJECTED,
    SALE_FAILED,
    SALE_OPEN,
    SALE_SUCCEEDED,
    VOIDED,
)
from projections.balances import Balances, BalancesDisagree

RandomEntries = Callable[[Random, int], Iterator[bytes]]
BASE, QUOTE = 1, 2
MARKET = MarketCreated(1, BASE, QUOTE, 1_000, 1, 1, 0, 1_000, 2_500, b"GLD-EUR")
ANA_EUR = FundsDeposited(1, QUOTE, 10_000, 10_000, b"ana")
BO_GLD = FundsDeposited(2, BASE, 50, 50, b"bo")
TRADE = TradeExecuted(1, 1, BUY, 100, 40, 4_000, 2, 1, 2, 1, 4, 10, 0, 0)
PENDING_WITHDRAWAL = WithdrawalChanged(11, 1, QUOTE, 4_000, PENDING, b"DE89", b"w1")
PAID_WITHDRAWAL = PENDING_WITHDRAWAL._replace(status=PAID)
PENDING_TRANSFER = TransferChanged(12, 1, 2, QUOTE, 4_000, PENDING, 0, b"t1")
POSTED_TRANSFER = PENDING_TRANSFER._replace(status=POSTED)
OPEN_SALE = SaleChanged(
    sale_id=1,
    issuer_account_id=2,
    token_asset_id=BASE,
    quote_asset_id=QUOTE,
    market_id=0,
    kind=FIXED_PRICE,
    status=SALE_OPEN,
    price_units=100,
    lot_units=5,
    quantity_lots=10,
    soft_cap_units=0,
    account_cap_lots=0,
    opens_at_ns=0,
    closes_at_ns=0,
    clearing_price_units=0,
    sold_lots=0,
    proceeds_units=0,
    name=b"GLD-1",
)
ENDED_SALE = OPEN_SALE._replace(status=SALE_SUCCEEDED, clearing_price_units=100, sold_lots=8, proceeds_units=800)
SETTLED = SaleSettled(13, 1, 1, 8, 800, 200)


@settings(max_examples=60, deadline=None)
@given(random=st.randoms(use_true_random=False))
def test_the_fold_is_the_engines_ledger_after_every_entry(random_entries: RandomEntries, random: Random) -> None:
    machine, balances = Machine(), Balances()
    for commands in random_entries(random, 60):
        balances.apply_entry_events(machine.apply(0, commands).entry.events)
        rows = machine.ledger.rows()
        assert balances.totals() == {(account, asset): available + held for account, asset, available, held in rows}
        for asset_id, supply_units in machine.ledger.supplies():
            assert balances.deposited_units(asset_id) - balances.withdrawn_units(asset_id) == supply_units


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


def test_only_a_paid_withdrawal_takes_money_out() -> None:
    balances = Balances()
    balances.apply([ANA_EUR, PENDING_WITHDRAWAL, PENDING_WITHDRAWAL._replace(status=APPROVED)])
    assert balances.totals() == {(1, QUOTE): 10_000}
    balances.apply([PAID_WITHDRAWAL])
    assert balances.totals() == {(1, QUOTE): 6_000}
    assert (balances.deposited_units(QUOTE), balances.withdrawn_units(QUOTE)) == (10_000, 4_000)
    assert balances.withdrawn_units(BASE) == 0


@pytest.mark.parametrize("status", [REJECTED, CANCELLED_BY_OWNER])
def test_a_withdrawal_that_comes_to_nothing_moves_nothing(status: int) -> None:
    balances = Balances()
    balances.apply([ANA_EUR, PENDING_WITHDRAWAL, PENDING_WITHDRAWAL._replace(status=status)])
    assert (balances.totals(), balances.withdrawn_units(QUOTE)) == ({(1, QUOTE): 10_000}, 0)


def test_only_a_posted_transfer_moves_money() -> None:
    balances = Balances()
    balances.apply([ANA_EUR, PENDING_TRANSFER])
    assert balances.totals() == {(1, QUOTE): 10_000}
    balances.apply([POSTED_TRANSFER])
    assert balances.totals() == {(1, QUOTE): 6_000, (2, QUOTE): 4_000}


@pytest.mark.parametrize("status", [VOIDED, EXPIRED])
def test_a_transfer_that_comes_to_nothing_moves_nothing(status: int) -> None:
    balances = Balances()
    balances.apply([ANA_EUR, PENDING_TRANSFER, PENDING_TRANSFER._replace(status=status)])
    assert balances.totals() == {(1, QUOTE): 10_000}


def test_a_settled_subscription_swaps_money_for_tokens() -> None:
    balances = Balances()
    balances.apply([ANA_EUR, BO_GLD, OPEN_SALE, ENDED_SALE, SETTLED])
    assert balances.totals() == {(1, BASE): 40, (1, QUOTE): 9_200, (2, BASE): 10, (2, QUOTE): 800}


def test_a_subscription_that_gets_nothing_pays_nothing() -> None:
    balances = Balances()
    failed = SETTLED._replace(quantity_lots=0, paid_units=0, refunded_units=1_000)
    balances.apply([ANA_EUR, BO_GLD, OPEN_SALE, OPEN_SALE._replace(status=SALE_FAILED), failed])
    assert balances.totals() == {(1, QUOTE): 10_000, (2, BASE): 50}


def test_what_is_reported_again_moves_only_once() -> None:
    balances = Balances()
    events: list[Event] = [ANA_EUR, BO_GLD, PAID_WITHDRAWAL, POSTED_TRANSFER, ENDED_SALE, SETTLED]
    balances.apply(events)
    totals = balances.totals()
    balances.apply(events[2:])
    balances.apply([PAID_WITHDRAWAL, PAID_WITHDRAWAL, POSTED_TRANSFER, SETTLED])
    assert (balances.totals(), balances.withdrawn_units(QUOTE)) == (totals, 4_000)


def test_several_of_each_kind_all_move() -> None:
    balances = Balances()
    balances.apply([ANA_EUR, BO_GLD, ENDED_SALE])
    for number in range(20, 23):
        balances.apply(
            [
                PAID_WITHDRAWAL._replace(withdrawal_id=number, amount_units=1),
                POSTED_TRANSFER._replace(transfer_id=number + 10, amount_units=10),
                SETTLED._replace(subscription_id=number + 20, quantity_lots=1, paid_units=100),
            ]
        )
    assert balances.totals() == {(1, BASE): 15, (1, QUOTE): 9_667, (2, BASE): 35, (2, QUOTE): 330}
    assert balances.withdrawn_units(QUOTE) == 3


def test_withdrawing_or_sending_more_than_there_is_is_found() -> None:
    with pytest.raises(BalancesDisagree, match=r"Account 1 would have -1 units of asset 2\."):
        Balances().apply([ANA_EUR, PAID_WITHDRAWAL._replace(amount_units=10_001)])
    with pytest.raises(BalancesDisagree, match=r"Account 1 would have -1 units of asset 2\."):
        Balances().apply([ANA_EUR, POSTED_TRANSFER._replace(amount_units=10_001)])


def test_a_subscription_that_pays_another_price_is_found() -> None:
    with pytest.raises(BalancesDisagree, match="Subscription 13 says it paid 801 units; price times quantity is 800"):
        Balances().apply([ANA_EUR, BO_GLD, ENDED_SALE, SETTLED._replace(paid_units=801)])


def test_a_subscription_to_a_sale_that_was_never_announced_is_found() -> None:
    with pytest.raises(BalancesDisagree, match="never announced"):
        Balances().apply([ANA_EUR, BO_GLD, SETTLED])
