"""A gateway before several market groups: what goes where, what is summed, and what happens everywhere at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

from engine.invariants import assert_sound
from replication.relay import Relay
from tests.gateway.live_gateway import Client, LiveGateway, Market, expect, limit_order
from tests.gateway.one_replica import OneReplicaGroup


class Relays:
    """The relays of all groups, which answer at once: what is between real ones is tested elsewhere."""

    def __init__(self, groups: dict[str, OneReplicaGroup]) -> None:
        self.groups = groups
        self._now_s = 0.0

    def run(self) -> None:
        """Drive all that is pending to its end."""
        for name, group in self.groups.items():
            relay = Relay(name, {other: _Way(self.groups[other]) for other in self.groups}, _Way(group).propose)
            for _ in range(3):
                self._now_s += 10
                relay.tick(group.machine, leading=True, now_s=self._now_s, now_ns=time.time_ns())
                for way in relay._destinations.values():
                    assert isinstance(way, _Way)
                    for transfer_id, result in way.take():
                        relay.on_result(transfer_id, result, self._now_s, time.time_ns())
            assert_sound(group.machine)


class _Way:
    def __init__(self, group: OneReplicaGroup) -> None:
        self._group = group
        self._answers: list[Any] = []

    def submit(self, transfer_id: int, command: bytes) -> bool:
        self._answers += [(transfer_id, result) for result in self._group._apply([(0, command)])]
        return True

    def take(self) -> list[Any]:
        taken, self._answers = self._answers, []
        return taken

    def propose(self, command: bytes) -> None:
        self._group._apply([(0, command)])


class TwoGroups:
    """GLD-EUR of the rule book in the home group, and TIN-EUR in the group metals. The traders' funds are at home."""

    def __init__(self, gateway: LiveGateway) -> None:
        self.gateway = gateway
        self.home = Market(gateway)
        self.operator = self.home.operator
        self.ana, self.bo = self.home.ana, self.home.bo
        self.relays = Relays({"main": gateway.group, **gateway.others})
        self.relay()
        expect(201, self.operator("POST", "/v1/admin/assets", {"name": "TIN", "decimals": 2}))
        listing = {"base": "TIN", "quote": "EUR", "tick": "0.01", "lot": "0.01"}
        expect(201, self.operator("POST", "/v1/admin/markets?group=metals", listing))
        funds = {"account": "Bo", "asset": "TIN", "amount": "100", "reference": "Bo-TIN"}
        expect(201, self.operator("POST", "/v1/admin/deposits?group=metals", funds))
        self._references = 0

    def relay(self) -> None:
        self.gateway.on_loop(self.relays.run)

    def send(self, who: Client, units: str = "1", **changes: Any) -> Any:
        self._references += 1
        body = {"to_group": "metals", "asset": "EUR", "amount": units, "reference": f"to-{self._references}"}
        return who("POST", "/v1/transfers", body | changes)

    def euros(self, who: Client, query: str = "") -> dict[str, str]:
        balances = expect(200, who("GET", f"/v1/accounts/me/balances{query}")).body["balances"]
        return next((one for one in balances if one["asset"] == "EUR"), {})


@pytest.fixture(scope="module", params=["hot", "plain"])
def two(request: pytest.FixtureRequest) -> Iterator[TwoGroups]:
    others = {"metals": OneReplicaGroup()}
    with LiveGateway(hot=request.param == "hot", others=others) as gateway:
        yield TwoGroups(gateway)


def tin(side: str, quantity: str, price: str, **more: Any) -> dict[str, Any]:
    return limit_order(side, quantity, price, market="TIN-EUR", **more)


def test_min_sequence_is_about_one_group(two: TwoGroups) -> None:
    """A follower of the group must know the asker's number there, which the gateway has just learned."""
    for route in ("/v1/accounts/me/balances", "/v1/markets"):
        refused = two.ana("GET", f"{route}?min_sequence=1")
        assert (refused.status, refused.code) == (400, "BAD_QUERY")
        reply = expect(200, two.ana("GET", f"{route}?min_sequence=1&group=metals"))
        assert reply.body["sequence"] <= two.gateway.others["metals"].machine.sequence
    members = expect(200, two.ana("GET", "/v1/accounts/me/balances?min_sequence=1&group=metals")).body
    assert members["account"] == "Ana"


def test_an_order_goes_to_the_group_of_its_market(two: TwoGroups) -> None:
    metals = two.gateway.others["metals"].machine
    ask = expect(201, two.bo("POST", "/v1/orders", tin("sell", "1", "3.00", client_order_id="ask"))).body
    assert ask["sequence"] == metals.sequence
    again = two.bo("POST", "/v1/orders", tin("sell", "1", "3.00", client_order_id="ask"))
    assert again.body["repeated"] and again.headers["x-tally-sequence"] == str(metals.sequence)
    book = expect(200, two.home.public("GET", "/v1/markets/TIN-EUR/book")).body
    assert book["asks"] == [["3.00", "1.00", 1]]
    assert two.ana("POST", "/v1/orders", tin("buy", "1", "3.00")).code == "NO_FUNDS", "her euros are at home"
    expect(201, two.ana("POST", "/v1/orders", limit_order("buy", "1", "9.00", client_order_id="bid")))

    assert expect(200, two.bo("GET", "/v1/orders/ask?group=metals")).body["order"]["market"] == "TIN-EUR"
    assert two.bo("GET", "/v1/orders/ask").code == "UNKNOWN_ORDER", "without a group the home is meant"
    assert [one["client_order_id"] for one in two.bo("GET", "/v1/orders?market=TIN-EUR").body["orders"]] == ["ask"]
    amended = expect(200, two.bo("PATCH", "/v1/orders/ask?group=metals", {"price": "3.10"})).body
    assert amended["order"]["price"] == "3.10"
    assert expect(200, two.bo("DELETE", "/v1/orders/ask?group=metals")).body["order"]["status"] == "cancelled"
    expect(200, two.ana("DELETE", "/v1/orders/bid"))


@pytest.mark.parametrize("query", ["group=tin", "group=", "group=Main"])
def test_a_group_that_does_not_exist_is_not_found(two: TwoGroups, query: str) -> None:
    assert two.ana("GET", f"/v1/orders?{query}").code == "UNKNOWN_GROUP"


def test_markets_say_which_group_lists_them(two: TwoGroups) -> None:
    listed = expect(200, two.home.public("GET", "/v1/markets")).body["markets"]
    assert {one["market"]: one["group"] for one in listed} == {"GLD-EUR": "main", "TIN-EUR": "metals"}
    alone = expect(200, two.home.public("GET", "/v1/markets?group=metals")).body["markets"]
    assert [one["market"] for one in alone] == ["TIN-EUR"]
    assert two.home.public("GET", "/v1/markets/TIN-GLD").code == "UNKNOWN_MARKET"


def test_a_market_is_listed_in_one_group_only(two: TwoGroups) -> None:
    listing = {"base": "GLD", "quote": "EUR", "tick": "0.01", "lot": "0.001"}
    refused = two.operator("POST", "/v1/admin/markets?group=metals", listing)
    assert (refused.status, refused.code) == (409, "NAME_TAKEN") and "'main'" in refused.body["error"]["message"]
    assert two.operator("POST", "/v1/admin/markets?group=metals", listing | {"base": "ZINC"}).code == "UNKNOWN_ASSET"


def test_funds_go_to_another_group_and_every_unit_is_somewhere(two: TwoGroups) -> None:
    before = two.euros(two.ana)
    sent = expect(201, two.send(two.ana, "100")).body["transfer"]
    assert (sent["status"], sent["from_group"], sent["to_group"]) == ("pending", "main", "metals")
    flying = two.euros(two.ana)
    assert flying["in_flight"] == "100.00000" and flying["total"] == before["total"]
    groups = expect(200, two.operator("GET", "/v1/admin/groups")).body["groups"]
    assert [one["in_flight"] for one in groups] == [{"EUR": "100.00000"}, {}]

    two.relay()
    path = f"/v1/transfers/{sent['transfer_id']}"
    assert expect(200, two.ana("GET", path)).body["transfer"] == sent | {"status": "posted"}
    assert two.bo("GET", path).code == "UNKNOWN_TRANSFER"
    expect(200, two.operator("GET", path))
    after = two.euros(two.ana)
    assert (after["in_flight"], after["total"]) == ("0.00000", before["total"])
    assert two.euros(two.ana, "?group=metals")["available"] == "100.00000"
    bought = expect(201, two.ana("POST", "/v1/orders", tin("buy", "1", "5.00"))).body
    assert bought["order"]["status"] == "open"
    expect(200, two.ana("DELETE", "/v1/orders?market=TIN-EUR"))

    back = two.send(two.ana, "40", from_group="metals", to_group="main")
    number = expect(201, back).body["transfer"]["transfer_id"]
    two.relay()
    listed = expect(200, two.ana("GET", "/v1/transfers/sent?group=metals")).body["transfers"]
    assert [(one["transfer_id"], one["status"]) for one in listed] == [(number, "posted")]
    assert two.euros(two.ana, "?group=metals")["available"] == "60.00000"


def test_a_transfer_between_groups_is_named_by_its_reference(two: TwoGroups) -> None:
    first = expect(201, two.send(two.bo, "1", reference="once")).body
    again = expect(200, two.send(two.bo, "1", reference="once")).body
    assert (again["sequence"], again["repeated"]) == (first["sequence"], True)
    assert two.send(two.bo, "2", reference="once").code == "ID_CONFLICT"
    two.relay()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"to_group": "tin"}, "UNKNOWN_GROUP"),
        ({"from_group": "tin"}, "UNKNOWN_GROUP"),
        ({"to_group": "main"}, "BAD_FIELD"),
        ({"asset": "ZINC"}, "UNKNOWN_ASSET"),
        ({"amount": "0.000001"}, "AMOUNT"),
        ({"amount": "99999999"}, "NO_FUNDS"),
        ({"to": "Bo"}, "UNKNOWN_FIELD"),
        ({"reference": "a b"}, "BAD_ID"),
    ],
)
def test_refusals_of_transfers_between_groups(two: TwoGroups, changes: dict[str, str], code: str) -> None:
    assert two.send(two.ana, **changes).code == code


def test_cancelling_everything_means_every_group(two: TwoGroups) -> None:
    expect(201, two.bo("POST", "/v1/orders", tin("sell", "1", "8.00")))
    expect(201, two.bo("POST", "/v1/orders", limit_order("sell", "1", "99.00")))
    cancelled = expect(200, two.bo("DELETE", "/v1/orders?request_id=all-1")).body
    assert cancelled["cancelled"] == 2 and set(cancelled["groups"]) == {"main", "metals"}
    again = expect(200, two.bo("DELETE", "/v1/orders?request_id=all-1")).body
    assert again["repeated"] and again["groups"]["metals"]["sequence"] == cancelled["groups"]["metals"]["sequence"]

    expect(201, two.bo("POST", "/v1/orders", tin("sell", "1", "8.00")))
    expect(201, two.bo("POST", "/v1/orders", limit_order("sell", "1", "99.00")))
    assert two.operator("DELETE", "/v1/admin/orders?account=Bo&market=TIN-EUR").body["cancelled"] == 1
    assert two.operator("DELETE", "/v1/admin/orders?account=Bo").body["cancelled"] == 1


def test_the_dead_man_switch_works_in_every_group(two: TwoGroups) -> None:
    armed = expect(200, two.bo("POST", "/v1/orders/cancel-all-after", {"timeout_ms": 60_000})).body
    assert armed["fires_at"] is not None and set(armed["groups"]) == {"main", "metals"}
    for group in (two.gateway.group, two.gateway.others["metals"]):
        number = group.machine.registry.account_ids[b"Bo"]
        assert group.machine.registry.standing(number).dead_man_ns
    assert two.bo("POST", "/v1/orders/cancel-all-after", {"timeout_ms": 0}).body["fires_at"] is None


def test_an_account_is_frozen_and_limited_in_every_group(two: TwoGroups) -> None:
    expect(201, two.bo("POST", "/v1/orders", tin("sell", "1", "8.00")))
    expect(201, two.bo("POST", "/v1/orders", limit_order("sell", "1", "99.00")))
    frozen = two.operator("POST", "/v1/admin/accounts/Bo/freeze", {"frozen": True})
    assert expect(200, frozen).body["cancelled"] == 2
    assert two.bo("POST", "/v1/orders", tin("sell", "1", "8.00")).code == "ACCOUNT_FROZEN"
    assert two.bo("POST", "/v1/orders", limit_order("sell", "1", "99.00")).code == "ACCOUNT_FROZEN"
    expect(200, two.operator("POST", "/v1/admin/accounts/Bo/freeze", {"frozen": False}))
    expect(200, two.operator("PUT", "/v1/admin/accounts/Bo/limits", {"open_orders_max": 1}))
    expect(201, two.bo("POST", "/v1/orders", tin("sell", "1", "8.00")))
    assert two.bo("POST", "/v1/orders", tin("sell", "1", "8.00")).code == "TOO_MANY"
    expect(200, two.operator("PUT", "/v1/admin/accounts/Bo/limits", {}))
    expect(200, two.bo("DELETE", "/v1/orders"))


def test_an_account_frozen_before_it_came_here_is_frozen_here(two: TwoGroups) -> None:
    expect(201, two.operator("POST", "/v1/admin/accounts", {"name": "Cy"}))
    key = expect(201, two.operator("POST", "/v1/admin/accounts/Cy/keys", {})).body
    expect(200, two.operator("POST", "/v1/admin/accounts/Cy/freeze", {"frozen": True}))
    cy = two.gateway.client((key["key_id"], key["secret"]))
    assert cy("POST", "/v1/orders", tin("buy", "1", "3.00")).code == "ACCOUNT_FROZEN"


def test_a_batch_is_divided_between_the_groups(two: TwoGroups) -> None:
    items = [
        {"op": "place", **tin("sell", "1", "7.00", client_order_id="b1")},
        {"op": "place", **limit_order("sell", "1", "88.00", client_order_id="b2")},
        {"op": "cancel", "client_order_id": "b1", "group": "metals"},
        {"op": "cancel", "client_order_id": "b2"},
        {"op": "place", **limit_order("sell", "1", "1.00", market="TIN-GLD")},
        "no item",
    ]
    results = expect(200, two.bo("POST", "/v1/orders/batch", {"items": items})).body["results"]
    assert [one["status"] for one in results] == [201, 201, 200, 200, 404, 400]
    assert [one["group"] for one in results] == ["metals", "main", "metals", "main", "main", "main"]
    assert [one["order"]["market"] for one in results[2:4]] == ["TIN-EUR", "GLD-EUR"]
    items[2]["group"] = "tin"  # type: ignore[index]
    assert two.bo("POST", "/v1/orders/batch", {"items": items}).code == "UNKNOWN_GROUP"


def test_a_lost_request_is_looked_for_in_every_group(two: TwoGroups) -> None:
    """Else an order that another group took would be called never seen."""
    expect(201, two.bo("POST", "/v1/orders", tin("sell", "1", "7.50", client_order_id="lost-1")))
    found = expect(200, two.bo("POST", "/v1/requests/lost-1/resolve")).body
    assert (found["outcome"], found["group"]) == ("accepted", "metals")
    assert [one["client_order_id"] for one in found["orders"]] == ["lost-1"]
    two.bo("POST", "/v1/orders", tin("sell", "999", "7.50", client_order_id="lost-2"))
    assert two.bo("POST", "/v1/requests/lost-2/resolve").body["outcome"] == "refused"
    never = expect(200, two.bo("POST", "/v1/requests/lost-3/resolve")).body
    assert (never["outcome"], never["fenced"], never["group"]) == ("never_seen", True, None)
    for order in (tin("sell", "1", "7.50", client_order_id="lost-3"), limit_order("sell", "1", "99.00")):
        late = two.bo("POST", "/v1/orders", order | {"client_order_id": "lost-3"})
        assert late.code == "FENCED"
    expect(200, two.bo("DELETE", "/v1/orders"))


def test_identity_is_at_home(two: TwoGroups) -> None:
    me = expect(200, two.ana("GET", "/v1/accounts/me")).body
    assert me["account"] == "Ana"
    assert two.ana("GET", "/v1/accounts/me?group=metals").code == "BAD_QUERY"
    expect(201, two.operator("POST", "/v1/admin/assets?group=metals", {"name": "LEAD", "decimals": 1}))
    assert b"LEAD" in two.gateway.group.machine.registry.asset_ids, "or its decimals could differ between groups"
    replicas = expect(200, two.operator("GET", "/v1/admin/replicas?group=metals")).body
    assert {one["sequence"] for one in replicas["replicas"]} == {two.gateway.others["metals"].machine.sequence}
    shown = expect(200, two.operator("GET", "/v1/admin/accounts/Ana/balances")).body
    assert set(shown["groups"]) == {"main", "metals"}


def test_a_group_without_a_leader_does_not_hold_up_the_others() -> None:
    others = {"metals": OneReplicaGroup()}
    with LiveGateway(others=others, request_timeout_ms=400) as gateway:
        two = TwoGroups(gateway)
        gateway.on_loop(lambda: others["metals"].elect(""))
        expect(201, two.ana("POST", "/v1/orders", limit_order("buy", "1", "9.00")))
        assert two.bo("POST", "/v1/orders", tin("sell", "1", "8.00")).code == "NO_LEADER"
        assert two.ana("GET", "/v1/accounts/me/balances").code == "NO_LEADER", "a sum over some would be wrong"
        assert two.euros(two.ana, "?group=main")["held"] != "0.00000"
        unknown = two.bo("DELETE", "/v1/orders")
        assert unknown.code == "OUTCOME_UNKNOWN" and not unknown.body["error"]["definite"]
        (_, metals) = expect(200, two.operator("GET", "/v1/admin/groups")).body["groups"]
        assert (metals["leader"], metals["in_flight"]) == (None, None)


def test_a_group_is_added_while_orders_flow() -> None:
    with LiveGateway() as gateway:
        market = Market(gateway)
        alone = expect(200, market.ana("GET", "/v1/accounts/me/balances")).body
        assert "groups" not in alone
        stones = OneReplicaGroup()
        asyncio.run_coroutine_threadsafe(gateway.add_group("stones", stones), gateway._loop).result(10)
        until_s = time.monotonic() + 10
        while market.operator("GET", "/v1/admin/groups").body["groups"][-1]["group"] != "stones":
            assert time.monotonic() < until_s
            expect(201, market.ana("POST", "/v1/orders", limit_order("buy", "1", "9.00")))
            time.sleep(0.05)
        listing = {"base": "EUR", "quote": "GLD", "tick": "0.001", "lot": "1"}
        expect(201, market.operator("POST", "/v1/admin/markets?group=stones", listing))
        order = limit_order("buy", "5", "1.000", market="EUR-GLD")
        assert market.bo("POST", "/v1/orders", order).code == "NO_FUNDS", "it reached the new group"
