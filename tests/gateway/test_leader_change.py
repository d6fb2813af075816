"""Leaders that die, lie low or step down while commands are under way: one outcome, one execution."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gateway.live_gateway import Market, expect, limit_order
from tests.gateway.one_replica import (
    FAIL,
    FREEZE_AFTER,
    LOSE_AFTER,
    LOSE_BEFORE,
    LOSE_HALFWAY,
    REFUSE,
    UNKNOWN_AFTER,
    UNKNOWN_BEFORE,
)

FAULTS = [LOSE_BEFORE, LOSE_AFTER, FAIL, UNKNOWN_BEFORE, UNKNOWN_AFTER, FREEZE_AFTER, REFUSE]
APPLIED = {LOSE_AFTER, UNKNOWN_AFTER, FREEZE_AFTER}


@pytest.fixture(autouse=True)
def _clean_book(market: Market) -> Iterator[None]:
    yield
    market.gateway.group.faults.clear()
    for trader in (market.ana, market.bo):
        expect(200, trader("DELETE", "/v1/orders"))


def inject(market: Market, *faults: str) -> None:
    market.gateway.on_loop(lambda: market.gateway.group.faults.extend(faults))


def resends(market: Market) -> float:
    text = market.gateway.client(None)("GET", "/metrics").body.decode()
    (line,) = (line for line in text.splitlines() if line.startswith("tally_commands_resent_total"))
    return float(line.split()[1])


@pytest.mark.parametrize("fault", FAULTS)
def test_an_order_is_placed_exactly_once(market: Market, fault: str) -> None:
    before = resends(market)
    inject(market, fault)
    placed = expect(201, market.ana("POST", "/v1/orders", limit_order("sell", "2", "10.00"))).body
    assert placed["repeated"] == (fault in APPLIED)
    assert (placed["order"]["status"], placed["order"]["open"]) == ("open", "2.000")
    (order,) = market.ana("GET", "/v1/orders").body["orders"]
    assert order["order_id"] == placed["sequence"] == placed["order"]["order_id"]
    assert resends(market) > before


@pytest.mark.parametrize("fault", FAULTS)
def test_a_deposit_is_booked_exactly_once(market: Market, fault: str) -> None:
    before = market.balances()[2][1]["total"]
    inject(market, fault)
    deposit = {"account": "Bo", "asset": "EUR", "amount": "1", "reference": f"once-{FAULTS.index(fault)}"}
    expect(201, market.operator("POST", "/v1/admin/deposits", deposit))
    after = market.balances()[2][1]["total"]
    assert float(after) == float(before) + 1


@pytest.mark.parametrize("fault", FAULTS)
def test_money_leaves_exactly_once(market: Market, fault: str) -> None:
    before = float(market.balances()[1][1]["total"])
    asked = {"asset": "EUR", "amount": "1", "destination": "", "reference": f"out-{FAULTS.index(fault)}"}
    inject(market, fault)
    number = expect(201, market.ana("POST", "/v1/withdrawals", asked)).body["withdrawal"]["withdrawal_id"]
    for decision, status in (("approve", "approved"), ("pay", "paid")):
        inject(market, fault)
        decided = expect(200, market.operator("POST", f"/v1/admin/withdrawals/{number}/{decision}")).body
        assert (decided["withdrawal"]["status"], decided["repeated"]) == (status, fault in APPLIED)
    assert float(market.balances()[1][1]["total"]) == before - 1


@pytest.mark.parametrize("fault", FAULTS)
def test_a_transfer_moves_money_exactly_once(market: Market, fault: str) -> None:
    before = float(market.balances()[2][1]["total"])
    asked = {"to": "Bo", "asset": "EUR", "amount": "1", "pending": True, "reference": f"to-{FAULTS.index(fault)}"}
    inject(market, fault)
    number = expect(201, market.ana("POST", "/v1/transfers", asked)).body["transfer"]["transfer_id"]
    inject(market, fault)
    posted = expect(200, market.bo("POST", f"/v1/transfers/{number}/post")).body
    assert (posted["transfer"]["status"], posted["repeated"]) == ("posted", fault in APPLIED)
    assert float(market.balances()[2][1]["total"]) == before + 1


@pytest.mark.parametrize("fault", FAULTS)
def test_a_pair_is_placed_exactly_once(market: Market, fault: str) -> None:
    inject(market, fault)
    pair = {"market": "GLD-EUR", "side": "sell", "quantity": "1", "price": "30.00", "stop_price": "1.00"}
    placed = expect(201, market.ana("POST", "/v1/orders/oco", pair)).body
    assert [one["status"] for one in placed["orders"]] == ["open", "waiting"]
    assert [one["order_id"] for one in market.ana("GET", "/v1/orders").body["orders"]] == [
        one["order_id"] for one in placed["orders"]
    ]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_setting_may_be_set_twice(market: Market, fault: str) -> None:
    inject(market, fault)
    rules = expect(200, market.operator("PUT", "/v1/admin/markets/GLD-EUR/rules", {"stops_max": 9})).body["rules"]
    assert rules == market.public("GET", "/v1/markets/GLD-EUR").body["rules"]


@pytest.mark.parametrize("fault", FAULTS)
def test_creations_survive(market: Market, fault: str) -> None:
    number = FAULTS.index(fault)
    inject(market, fault)
    expect(201, market.operator("POST", "/v1/admin/accounts", {"name": f"Cy-{number}"}))
    inject(market, fault)
    key = expect(201, market.operator("POST", f"/v1/admin/accounts/Cy-{number}/keys")).body
    expect(200, market.gateway.client((key["key_id"], key["secret"]))("GET", "/v1/accounts/me"))


@pytest.mark.parametrize("fault", [*FAULTS, LOSE_HALFWAY])
def test_a_batch_keeps_its_order_and_is_executed_once(market: Market, fault: str) -> None:
    name = f"batch-{[*FAULTS, LOSE_HALFWAY].index(fault)}"
    items = [
        {"op": "place", **limit_order("sell", "1", f"10.{n:02d}", client_order_id=f"{name}-{n}")} for n in range(10)
    ]
    items += [{"op": "cancel", "client_order_id": f"{name}-{n}"} for n in range(5)]
    inject(market, fault)
    results = expect(200, market.ana("POST", "/v1/orders/batch", {"items": items})).body["results"]
    assert [one["status"] for one in results] == [201] * 10 + [200] * 5
    sequences = [one["sequence"] for one in results]
    assert sequences == list(range(sequences[0], sequences[0] + 15)) or fault == LOSE_HALFWAY
    assert sequences == sorted(sequences)
    assert [one["client_order_id"] for one in market.ana("GET", "/v1/orders").body["orders"]] == [
        f"{name}-{n}" for n in range(5, 10)
    ]


def test_a_cancel_that_reached_the_log_is_not_order_closed(market: Market) -> None:
    expect(201, market.ana("POST", "/v1/orders", limit_order("sell", "2", "10.00", client_order_id="to-cancel")))
    inject(market, LOSE_AFTER)
    cancelled = expect(200, market.ana("DELETE", "/v1/orders/to-cancel")).body
    assert (cancelled["repeated"], cancelled["order"]["status"], cancelled["order"]["cancelled"]) == (
        True,
        "cancelled",
        "2.000",
    )


def test_several_leaders_in_a_row_may_fail(market: Market) -> None:
    inject(market, LOSE_BEFORE, FAIL, UNKNOWN_AFTER, REFUSE, LOSE_AFTER)
    expect(201, market.ana("POST", "/v1/orders", limit_order("sell", "2", "10.00")))
    assert len(market.ana("GET", "/v1/orders").body["orders"]) == 1


def test_a_refusal_survives_a_leader_change(market: Market) -> None:
    inject(market, LOSE_AFTER)
    refused = market.ana("POST", "/v1/orders", limit_order("sell", "2", "10.005"))
    assert (refused.status, refused.code, refused.body["repeated"]) == (422, "TICK", True)


def test_queries_follow_the_leader(market: Market) -> None:
    market.gateway.on_loop(market.gateway.group.elect_another)
    expect(200, market.ana("GET", "/v1/accounts/me/balances"))
    leader = market.gateway.group.leader
    replicas = market.operator("GET", "/v1/admin/replicas").body["replicas"]
    assert [one["node"] for one in replicas if one["serving"]] == [leader]


def test_a_client_is_told_at_once_of_a_leader_that_comes_back(market: Market) -> None:
    group = market.gateway.group
    for door in group.doors.values():
        market.gateway.on_loop(lambda door=door: [link.transport.abort() for link in door.links])  # type: ignore[misc]
    expect(201, market.ana("POST", "/v1/orders", limit_order("sell", "2", "10.00")))
