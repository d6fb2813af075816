"""The small exchange of the tests beside this one does what it is asked, and its checks object."""

import pytest

from engine import commands, rejects
from engine.events import OrderAccepted
from engine.types import NS_PER_S, SELL
from tests.engine.exchange import ANA, BO, EUR, EUR_UNITS, GLD_UNITS, Exchange, reason, trades


def test_what_the_exchange_is_asked_arrives() -> None:
    exchange = Exchange(1_000)
    (accepted,) = exchange.sell(ANA, 3, 1_001, "a1")
    assert isinstance(accepted, OrderAccepted)
    assert (accepted.account_id, accepted.side, accepted.price_ticks, accepted.quantity_lots) == (ANA, SELL, 1_001, 3)
    assert trades(exchange.buy(BO, 2, 1_001)) == [(1_001, 2, ANA, BO)]
    assert exchange.shown() == ([], [(1_001, 1)])
    assert exchange.held(ANA) == (1, 0) and exchange.available(BO) == (GLD_UNITS + 2, EUR_UNITS - 2_002)
    assert (exchange.last, exchange.waiting()) == (1_001, [])
    assert reason(exchange.cancel(ANA, "a1")) == rejects.ACCEPTED
    assert reason(exchange.cancel(ANA, "a1")) == rejects.ORDER_CLOSED


def test_what_a_restored_machine_would_not_do_is_found() -> None:
    """Timers are derived state: one that is lost is back after a restart, and the two machines part."""
    exchange = Exchange()
    exchange.run(commands.CancelAllAfter(ANA, 0, 1_000, b"arm"))
    while exchange.machine.timers.pop_due(exchange.now_ns + 60 * NS_PER_S) is not None:
        pass
    with pytest.raises(AssertionError, match="a restored machine differs"):
        exchange.wait(1_000)


def test_an_unsound_state_is_found() -> None:
    exchange = Exchange()
    exchange.twin = False
    exchange.machine.ledger.credit(ANA, EUR, 1)
    with pytest.raises(AssertionError, match="money is not conserved"):
        exchange.wait(0)
