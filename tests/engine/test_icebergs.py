"""Icebergs: what they show, their rounds at the back of the queue, and what they hide."""

from __future__ import annotations

import pytest

from engine import rejects
from engine.events import OrderReplenished
from engine.types import (
    BUY,
    CLOSED_FILLED,
    FOK,
    SELL,
)
from tests.engine.exchange import (
    ANA,
    BO,
    CY,
    DEE,
    Exchange,
    reason,
    trades,
)


def test_f8_each_slice_goes_to_the_back() -> None:
    exchange = Exchange(1_000)
    exchange.iceberg(ANA, SELL, 10, 1_000, 3, "i")
    exchange.sell(BO, 2, 1_000)
    assert exchange.shown()[1] == [(1_000, 5)]
    answer = exchange.buy(CY, 4, 1_000)
    assert trades(answer) == [(1_000, 3, ANA, CY), (1_000, 1, BO, CY)]
    assert [event.visible_lots for event in answer if isinstance(event, OrderReplenished)] == [3]
    assert exchange.shown()[1] == [(1_000, 4)]
    answer = exchange.buy(DEE, 5, 1_000)
    assert trades(answer) == [(1_000, 1, BO, DEE), (1_000, 3, ANA, DEE), (1_000, 1, ANA, DEE)]
    found = exchange.find(ANA, "i")
    assert (found.open_lots, found.visible_lots, exchange.shown()[1]) == (3, 2, [(1_000, 2)])


def test_an_iceberg_alone_is_taken_slice_by_slice_in_one_command() -> None:
    exchange = Exchange(1_000)
    exchange.iceberg(ANA, SELL, 10, 1_000, 4, "i")
    answer = exchange.buy(BO, 10, 1_000)
    assert [lots for _, lots, *_ in trades(answer)] == [4, 4, 2]
    assert [event.visible_lots for event in answer if isinstance(event, OrderReplenished)] == [4, 2]
    assert exchange.find(ANA, "i").close_reason == CLOSED_FILLED and exchange.shown() == ([], [])


def test_two_icebergs_take_turns() -> None:
    exchange = Exchange(1_000)
    exchange.iceberg(ANA, SELL, 6, 1_000, 2, "i")
    exchange.iceberg(BO, SELL, 6, 1_000, 3, "i")
    answer = exchange.buy(CY, 9, 1_000)
    assert trades(answer) == [(1_000, 2, ANA, CY), (1_000, 3, BO, CY), (1_000, 2, ANA, CY), (1_000, 2, BO, CY)]
    assert exchange.shown()[1] == [(1_000, 3)], "one of Bo's slice, two of Ana's"


def test_an_iceberg_that_comes_in_trades_with_all_it_has_and_then_shows_a_slice() -> None:
    exchange = Exchange(1_000)
    exchange.sell(BO, 5, 1_000)
    answer = exchange.iceberg(ANA, BUY, 9, 1_000, 3, "i")
    assert trades(answer) == [(1_000, 5, BO, ANA)] and exchange.shown()[0] == [(1_000, 3)]
    assert exchange.held(ANA) == (0, 4_000)


@pytest.mark.parametrize(("lots", "visible"), [(9, 3), (4, 3), (2, 2)])
def test_an_iceberg_that_is_made_smaller_hides_less_first(lots: int, visible: int) -> None:
    exchange = Exchange(1_000)
    exchange.iceberg(ANA, SELL, 10, 1_000, 3, "i")
    expected = rejects.ICEBERG if lots <= 3 else rejects.ACCEPTED
    assert reason(exchange.amend(ANA, "i", lots=lots)) == expected
    if not expected:
        assert exchange.find(ANA, "i").visible_lots == visible


def test_an_iceberg_made_smaller_than_its_slice_shows_what_it_has() -> None:
    exchange = Exchange(1_000)
    exchange.iceberg(ANA, SELL, 10, 1_000, 5, "i")
    exchange.buy(BO, 4, 1_000)  # 6 left: 1 shown
    exchange.buy(BO, 1, 1_000)  # 5 left, all shown
    assert exchange.shown()[1] == [(1_000, 5)]
    exchange.amend(ANA, "i", lots=7)
    assert exchange.shown()[1] == [(1_000, 2)] and exchange.held(ANA) == (2, 0)


def test_hidden_quantity_counts_for_fill_or_kill() -> None:
    exchange = Exchange(1_000)
    exchange.iceberg(ANA, SELL, 10, 1_000, 1, "i")
    assert reason(exchange.buy(BO, 11, 1_000, tif=FOK)) == rejects.FOK
    assert reason(exchange.buy(BO, 10, 1_000, tif=FOK)) == rejects.ACCEPTED
