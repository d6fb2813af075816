"""Questions about the state: pages, depth, whose order it is, and that asking changes nothing."""

from __future__ import annotations

from random import Random

import pytest

from engine import queries
from engine.codec import encode_command
from engine.machine import Machine
from engine.snapshot import restore, snapshot_bytes, state_hash
from tests.engine.workload import ACCOUNTS, LISTING, Workload, seeded_choices

MARKETS = (1, 2)


@pytest.fixture(scope="module")
def machine() -> Machine:
    machine, workload = Machine(), Workload()
    for command in LISTING:
        machine.apply(command.issued_at_ns, encode_command(command))
    for choice in seeded_choices(Random(11), 500):
        now_ns, command = workload.next_command(choice)
        machine.apply(now_ns, encode_command(command))
    assert sum(len(orders) for orders in machine.trading.open_orders.values()) > 12
    return machine


@pytest.mark.parametrize("market_id", [0, *MARKETS])
@pytest.mark.parametrize("limit", [1, 2, 3, 1_000])
def test_the_pages_of_open_orders_are_all_of_them_once_in_order(machine: Machine, market_id: int, limit: int) -> None:
    for account_id in ACCOUNTS:
        every = queries.open_orders(machine, account_id, market_id)
        paged: list[queries.Fields] = []
        while page := queries.open_orders(machine, account_id, market_id, paged[-1]["order_id"] if paged else 0, limit):
            assert len(page) <= limit
            paged += page
        assert paged == every
        ids = [order["order_id"] for order in every]
        assert ids == sorted(set(ids))
        assert all(order["account_id"] == account_id and order["status"] == 0 for order in every)
        assert all(market_id in (0, order["market_id"]) for order in every)


def test_the_open_orders_of_all_markets_are_those_of_each(machine: Machine) -> None:
    for account_id in ACCOUNTS:
        by_market = [order for market_id in MARKETS for order in queries.open_orders(machine, account_id, market_id)]
        by_market.sort(key=lambda order: order["order_id"])
        assert by_market == queries.open_orders(machine, account_id, 0)


def test_an_order_is_shown_to_its_owner_only(machine: Machine) -> None:
    asked = 0
    for number, order in machine.trading.orders.items():
        for account_id in (0, *ACCOUNTS, 99):
            found = queries.order(machine, account_id, number, "")
            assert (found is not None) == (account_id == order.account_id)
        by_name = queries.order(machine, order.account_id, 0, order.client_order_id.decode())
        assert by_name is not None and by_name["order_id"] == number
        asked += 1
    assert asked > 20


@pytest.mark.parametrize("depth", [0, 1, 2, 100])
def test_the_book_is_shown_from_the_best_as_deep_as_asked(machine: Machine, depth: int) -> None:
    for market_id in MARKETS:
        whole, part = queries.book(machine, market_id, 1_000), queries.book(machine, market_id, depth)
        assert whole is not None
        assert part == {"bids": whole["bids"][:depth], "asks": whole["asks"][:depth]}
        assert whole["bids"] == sorted(whole["bids"], reverse=True)
        assert whole["asks"] == sorted(whole["asks"])


def test_what_is_not_there_is_not_found(machine: Machine) -> None:
    assert queries.book(machine, 0, 10) is None and queries.book(machine, 3, 10) is None
    assert queries.account(machine, 99) is None and queries.account_by_name(machine, "nobody") is None
    assert queries.api_key(machine, "none") is None
    assert queries.balances(machine, 99) == [] and queries.open_orders(machine, 99, 0) == []
    assert queries.order(machine, 1, 0, "never") is None and queries.order(machine, 1, 0, "") is None


def test_asking_changes_nothing_and_a_restored_machine_answers_the_same(machine: Machine) -> None:
    before, again = state_hash(machine), restore(snapshot_bytes(machine))
    for account_id in (0, *ACCOUNTS):
        answers = queries.balances(machine, account_id), queries.open_orders(machine, account_id, 0)
        assert answers == (queries.balances(again, account_id), queries.open_orders(again, account_id, 0))
        for row in (*answers[0], *answers[1]):
            row.clear()
    for market_id in MARKETS:
        book = queries.book(machine, market_id, 10)
        assert book == queries.book(again, market_id, 10)
        assert book is not None
        book["bids"].clear()
    directory = queries.directory(machine)
    assert directory == queries.directory(again)
    directory["markets"].clear()
    assert state_hash(machine) == before
