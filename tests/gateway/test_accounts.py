"""Routes about the own account, over real HTTP."""

from __future__ import annotations

from tests.gateway.live_gateway import Market, expect


def test_an_account_sees_itself_and_its_balances(exchange: Market) -> None:
    me = expect(200, exchange.ana("GET", "/v1/accounts/me")).body
    assert (me["account"], me["role"]) == ("Ana", "trader")
    mine = expect(200, exchange.ana("GET", "/v1/accounts/me/balances")).body
    assert mine["account"] == "Ana"
    gold = mine["balances"][0]
    assert (gold["asset"], gold["available"], gold["held"], gold["total"]) == ("GLD", "1000.000", "0.000", "1000.000")
