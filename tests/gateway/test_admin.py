"""What all routes of operators have in common, and the comparison of replicas, over real HTTP."""

from __future__ import annotations

from tests.gateway.live_gateway import Market, expect


def test_creations_are_idempotent_by_content(market: Market) -> None:
    operator = market.operator
    for path, body in [
        ("/v1/admin/assets", {"name": "AAA", "decimals": 2}),
        ("/v1/admin/accounts", {"name": "Cy", "role": "operator"}),
        ("/v1/admin/markets", {"base": "AAA", "quote": "EUR", "tick": "0.01", "lot": "0.01"}),
    ]:
        first = expect(201, operator("POST", path, body)).body
        again = expect(200, operator("POST", path, body)).body
        assert again == first | {"repeated": True}
    taken = operator("POST", "/v1/admin/assets", {"name": "AAA", "decimals": 3})
    assert (taken.status, taken.code) == (409, "NAME_TAKEN")
    assert taken.body["original_sequence"] > 0


def test_admin_routes_are_for_operators(market: Market) -> None:
    for method, path in [
        ("POST", "/v1/admin/assets"),
        ("POST", "/v1/admin/markets"),
        ("POST", "/v1/admin/accounts"),
        ("POST", "/v1/admin/accounts/Ana/keys"),
        ("POST", "/v1/admin/deposits"),
        ("GET", "/v1/admin/accounts/Ana/balances"),
        ("GET", "/v1/admin/replicas"),
        ("DELETE", "/v1/admin/markets/GLD-EUR"),
        ("PUT", "/v1/admin/markets/GLD-EUR/rules"),
        ("POST", "/v1/admin/markets/GLD-EUR/state"),
        ("PUT", "/v1/admin/markets/GLD-EUR/schedule"),
        ("PUT", "/v1/admin/markets/GLD-EUR/fee-tiers"),
        ("PUT", "/v1/admin/markets/GLD-EUR/rate"),
        ("PUT", "/v1/admin/accounts/Bo/limits"),
        ("POST", "/v1/admin/accounts/Bo/freeze"),
        ("GET", "/v1/admin/withdrawals"),
        ("POST", "/v1/admin/withdrawals/1/approve"),
        ("POST", "/v1/admin/transfers/1/post"),
        ("DELETE", "/v1/admin/orders"),
        ("POST", "/v1/admin/sales"),
        ("POST", "/v1/admin/sales/any/open"),
    ]:
        answer = market.ana(method, path, {} if method in ("POST", "PUT") else None)
        assert (answer.status, answer.code) == (403, "NOT_ALLOWED")
        assert market.gateway.client(None)(method, path).code == "MISSING_SIGNATURE"


def test_an_unknown_account_or_asset_is_named(market: Market) -> None:
    operator = market.operator
    deposit = {"account": "Ana", "asset": "EUR", "amount": "50", "reference": "dep-8"}
    for answer, code in [
        (operator("POST", "/v1/admin/deposits", deposit | {"account": "Nobody"}), "UNKNOWN_ACCOUNT"),
        (operator("POST", "/v1/admin/deposits", deposit | {"asset": "XXX"}), "UNKNOWN_ASSET"),
        (operator("GET", "/v1/admin/accounts/Nobody/balances"), "UNKNOWN_ACCOUNT"),
        (operator("POST", "/v1/admin/accounts/Nobody/keys"), "UNKNOWN_ACCOUNT"),
        (
            operator("POST", "/v1/admin/markets", {"base": "GLD", "quote": "XXX", "tick": "1", "lot": "1"}),
            "UNKNOWN_ASSET",
        ),
    ]:
        assert (answer.status, answer.code) == (404, code)


def test_replicas_are_compared_by_state_hash(market: Market) -> None:
    replicas = expect(200, market.operator("GET", "/v1/admin/replicas")).body["replicas"]
    assert [(one["node"], one["reachable"], one["serving"], one["leader"]) for one in replicas] == [
        ("node-1", True, True, "node-1"),
        ("node-2", True, False, "node-1"),
    ]
    assert len({(one["sequence"], one["chain"], one["state_hash"]) for one in replicas}) == 1
    assert len(replicas[0]["state_hash"]) == 64
