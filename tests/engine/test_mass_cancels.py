"""Mass cancels: by account, market and side, of traders and of operators."""

from __future__ import annotations

import pytest

from engine import commands, rejects
from engine.events import Event
from engine.types import (
    BUY,
    EXCHANGE_ACCOUNT,
    SELL,
)
from tests.engine.exchange import ANA, BO, GLD_EUR, OPS, Exchange, kinds, reason
from tests.engine.test_requests import ID


def _crowd() -> Exchange:
    exchange = Exchange(1_000)
    for account_id in (ANA, BO):
        exchange.buy(account_id, 1, 900, "b")
        exchange.sell(account_id, 1, 1_100, "s")
        exchange.stop(account_id, SELL, 1, 900, "w")
    return exchange


@pytest.mark.parametrize(
    ("asker", "owner", "market_id", "side", "expected"),
    [
        (ANA, ANA, 0, 2, 3),
        (ANA, ANA, GLD_EUR, BUY, 1),
        (ANA, ANA, GLD_EUR, SELL, 2),
        (OPS, ANA, 0, SELL, 2),
        (OPS, 0, 0, 2, 6),
        (OPS, 0, GLD_EUR, BUY, 2),
        (EXCHANGE_ACCOUNT, 0, 0, 2, 6),
        (OPS, OPS, 0, 2, 0),
    ],
)
def test_a_mass_cancel_chooses_by_account_market_and_side(
    asker: int, owner: int, market_id: int, side: int, expected: int
) -> None:
    exchange = _crowd()
    answer = exchange.run(commands.MassCancel(asker, 0, owner, market_id, side, ID))
    assert kinds(answer) == ["OrderClosed"] * expected + ["OrdersCancelled"]
    reasons = {event.reason for event in answer[:-1]}  # type: ignore[union-attr]
    assert reasons <= {2 if asker == ANA else 11}


@pytest.mark.parametrize(
    ("asker", "owner", "market_id", "side", "expected"),
    [
        (ANA, BO, 0, 2, rejects.NOT_ALLOWED),
        (ANA, 0, 0, 2, rejects.NOT_ALLOWED),
        (OPS, 99, 0, 2, rejects.UNKNOWN_ACCOUNT),
        (OPS, 0, 9, 2, rejects.UNKNOWN_MARKET),
        (ANA, ANA, 9, 2, rejects.UNKNOWN_MARKET),
        (ANA, ANA, 0, 3, rejects.MALFORMED),
    ],
)
def test_a_mass_cancel_is_refused(asker: int, owner: int, market_id: int, side: int, expected: int) -> None:
    exchange = _crowd()
    assert reason(exchange.run(commands.MassCancel(asker, 0, owner, market_id, side, ID))) == expected


def test_a_cancel_all_counts_both_legs_of_a_pair_once() -> None:
    exchange = Exchange(1_000)
    exchange.oco(ANA, SELL, 1, 1_100, 900, "l p")
    answer: list[Event] = exchange.cancel_all(ANA)
    assert kinds(answer) == ["OrderClosed", "OrderClosed", "OrdersCancelled"]
    assert answer[-1].order_count == 2  # type: ignore[union-attr]
    assert exchange.held(ANA) == (0, 0)
