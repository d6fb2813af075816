"""Orders that expire: with the day, at the close, and at a time of their own."""

from __future__ import annotations

import pytest

from engine.types import (
    AUCTION,
    BUY,
    CANCEL_ONLY,
    CLOSED,
    CLOSED_EXPIRED,
    DAY,
    GTD,
    HALTED,
    NS_PER_DAY,
    NS_PER_MS,
    POST_ONLY,
    PRE_OPEN,
    SELL,
    TRADING,
)
from tests.engine.exchange import (
    ANA,
    BO,
    CY,
    DEE,
    START_NS,
    Exchange,
    closed,
    trades,
)


@pytest.mark.parametrize("was", [PRE_OPEN, AUCTION, TRADING, POST_ONLY, CANCEL_ONLY, HALTED])
def test_closing_expires_the_orders_of_the_day_and_no_others(was: int) -> None:
    exchange = Exchange(1_000)
    exchange.run(exchange.special(ANA, BUY, 1, "day", price=900, tif=DAY))
    exchange.run(exchange.special(BO, SELL, 1, "stop", trigger=1, stop=900, tif=DAY))
    exchange.run(exchange.special(CY, BUY, 1, "gtd", price=900, tif=GTD, expires_at_ns=START_NS + 9))
    exchange.buy(DEE, 1, 900)
    if was != TRADING:
        exchange.set_state(was)
    assert closed(exchange.set_state(CLOSED)) == [(ANA, CLOSED_EXPIRED), (BO, CLOSED_EXPIRED)]
    assert exchange.market.open_count == 2


def test_an_order_of_the_day_expires_at_midnight() -> None:
    exchange = Exchange(1_000)
    exchange.run(exchange.special(ANA, BUY, 1, "day", price=900, tif=DAY))
    midnight_ns = (START_NS // NS_PER_DAY + 1) * NS_PER_DAY
    exchange.now_ns = midnight_ns - 1
    assert exchange.wait() == []
    assert closed(exchange.wait(ns=1)) == [(ANA, CLOSED_EXPIRED)]
    exchange.run(exchange.special(ANA, BUY, 1, "at-midnight", price=900, tif=DAY))
    assert exchange.find(ANA, "at-midnight").expires_at_ns == midnight_ns + NS_PER_DAY


def test_b4_a_gtd_order_expires_before_the_command_of_its_time() -> None:
    exchange = Exchange(1_000)
    exchange.run(exchange.special(ANA, BUY, 10, "a1", price=1_000, tif=GTD, expires_at_ns=START_NS + 5_000 * NS_PER_MS))
    exchange.now_ns += 5_000 * NS_PER_MS - 1
    assert trades(exchange.sell(BO, 4, 1_000)) == [(1_000, 4, ANA, BO)]
    exchange.now_ns += 1
    answer = exchange.sell(BO, 4, 1_000, "b2")
    assert closed(exchange.by_time) == [(ANA, CLOSED_EXPIRED)] and exchange.held(ANA) == (0, 0)
    assert trades(answer) == [] and exchange.shown() == ([], [(1_000, 4)])


def test_a_waiting_stop_expires_too() -> None:
    exchange = Exchange(1_000)
    exchange.run(exchange.special(ANA, SELL, 1, "s", trigger=1, stop=900, tif=GTD, expires_at_ns=START_NS + 7))
    assert closed(exchange.wait(ns=7)) == [(ANA, CLOSED_EXPIRED)] and exchange.waiting() == []
