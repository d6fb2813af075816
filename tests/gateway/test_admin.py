"""Routes of operators, of the own account and of markets over real HTTP."""

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


def test_a_market_is_shown_as_it_was_listed(market: Market) -> None:
    assert (
        market.operator("GET", "/v1/markets/GLD-EUR").body.items()
        >= {
            "market": "GLD-EUR",
            "base": "GLD",
            "quote": "EUR",
            "tick": "0.01",
            "lot": "0.001",
            "min_notional": "5.00000",
            "maker_fee": "0.001000",
            "taker_fee": "0.002500",
        }.items()
    )
    everything = market.gateway.client(None)("GET", "/v1/markets").body
    assert everything["markets"][0]["market"] == "GLD-EUR"
    assert {"asset": "EUR", "decimals": 5} in market.gateway.client(None)("GET", "/v1/assets").body["assets"]


def test_a_deposit_happens_once(market: Market) -> None:
    operator = market.operator
    deposit = {"account": "Ana", "asset": "EUR", "amount": "50", "reference": "dep-7"}
    before = market.balances()
    first = expect(201, operator("POST", "/v1/admin/deposits", deposit)).body
    assert (first["amount"], first["repeated"]) == ("50.00000", False)
    again = expect(200, operator("POST", "/v1/admin/deposits", deposit)).body
    assert (again["sequence"], again["repeated"], again["available"]) == (first["sequence"], True, None)
    conflict = operator("POST", "/v1/admin/deposits", deposit | {"amount": "60"})
    assert (conflict.status, conflict.code, conflict.body["original_sequence"]) == (
        409,
        "ID_CONFLICT",
        first["sequence"],
    )
    after = market.balances()
    assert float(after[1][1]["total"]) == float(before[1][1]["total"]) + 50


def test_a_new_key_works_and_its_secret_is_shown_once(market: Market) -> None:
    operator = market.operator
    made = expect(201, operator("POST", "/v1/admin/accounts/Bo/keys")).body
    named = expect(201, operator("POST", "/v1/admin/accounts/Bo/keys", {"key_id": "bo-2"})).body
    assert named["key_id"] == "bo-2"
    for key in (made, named):
        me = expect(200, market.gateway.client((key["key_id"], key["secret"]))("GET", "/v1/accounts/me")).body
        assert (me["account"], me["role"]) == ("Bo", "trader")
    again = operator("POST", "/v1/admin/accounts/Bo/keys", {"key_id": "bo-2"})
    assert (again.status, again.code) == (409, "NAME_TAKEN")
    secret = named["secret"].encode()
    assert not any(secret in command for frame in market.gateway.group.frames for command in frame)


def test_admin_routes_are_for_operators(market: Market) -> None:
    for method, path in [
        ("POST", "/v1/admin/assets"),
        ("POST", "/v1/admin/markets"),
        ("POST", "/v1/admin/accounts"),
        ("POST", "/v1/admin/accounts/Ana/keys"),
        ("POST", "/v1/admin/deposits"),
        ("GET", "/v1/admin/accounts/Ana/balances"),
        ("GET", "/v1/admin/replicas"),
    ]:
        answer = market.ana(method, path, {} if method == "POST" else None)
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


def test_an_account_sees_itself_and_its_balances(market: Market) -> None:
    me = expect(200, market.ana("GET", "/v1/accounts/me")).body
    assert (me["account"], me["role"]) == ("Ana", "trader")
    mine = expect(200, market.ana("GET", "/v1/accounts/me/balances")).body
    assert mine["account"] == "Ana"
    gold = mine["balances"][0]
    assert (gold["asset"], gold["available"], gold["held"], gold["total"]) == ("GLD", "1000.000", "0.000", "1000.000")


def test_the_book_is_public_and_cut_at_the_depth_asked_for(market: Market) -> None:
    for price in ("10.02", "10.00", "10.01"):
        expect(
            201,
            market.ana("POST", "/v1/orders", {"market": "GLD-EUR", "side": "sell", "quantity": "1", "price": price}),
        )
    public = market.gateway.client(None)
    book = expect(200, public("GET", "/v1/markets/GLD-EUR/book?depth=2")).body
    assert book["asks"] == [["10.00", "1.000", 1], ["10.01", "1.000", 1]]
    assert book["bids"] == []
    assert len(public("GET", "/v1/markets/GLD-EUR/book").body["asks"]) == 3
    expect(200, market.ana("DELETE", "/v1/orders"))


def test_trades_are_public_and_newest_first(market: Market) -> None:
    order = {"market": "GLD-EUR", "quantity": "1", "price": "10.00"}
    for _ in range(2):
        expect(201, market.ana("POST", "/v1/orders", order | {"side": "sell"}))
        expect(201, market.bo("POST", "/v1/orders", order | {"side": "buy"}))
    trades = expect(200, market.gateway.client(None)("GET", "/v1/markets/GLD-EUR/trades?limit=2")).body["trades"]
    assert [trades[0]["trade_id"] - trades[1]["trade_id"], len(trades)] == [1, 2]
    assert (trades[0]["taker_side"], trades[0]["price"], trades[0]["quantity"]) == ("buy", "10.00", "1.000")
    assert trades[0]["timestamp"].endswith("Z")
