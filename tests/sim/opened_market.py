"""A market with one trader on a real exchange, for tests that need no more than that."""

from sim.client import Credentials
from sim.local_exchange import LocalExchange


def open_market(exchange: LocalExchange) -> Credentials:
    """A market and one funded trader, ana. Answers her API key."""
    operator = exchange.operator()
    operator.create_asset("EUR", 5).expect()
    operator.create_asset("GLD", 3).expect()
    operator.create_market("GLD", "EUR", tick="0.01", lot="0.001", maker_fee="0.0010", taker_fee="0.0025").expect()
    operator.create_account("ana").expect()
    operator.deposit("ana", "EUR", "10000.00", "dep-1").expect()
    key = operator.create_key("ana").expect().body
    return Credentials(key["key_id"], key["secret"])
