"""Questions about the state: pages, depth, whose order it is, and that asking changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from engine import queries
from engine.codec import encode_command
from engine.machine import Machine
from engine.snapshot import restore, snapshot_bytes, state_hash
from engine.types import AUCTION, CLOSED, HALTED, PENDING, TRADING, WAITING
from tests.engine.test_replay import life_with_all_kinds
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
    index = machine.trading.index
    assert sum(index.open_count(account_id) for account_id in index.accounts()) > 12
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
    asked, index = 0, machine.trading.index
    for order in index.remembered():
        number = order.order_id
        for account_id in (0, *ACCOUNTS, 99):
            found = queries.order(machine, account_id, number, "")
            assert (found is not None) == (account_id == order.account_id)
        by_name = queries.order(machine, order.account_id, 0, index.client_order_id(order).decode())
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


@pytest.fixture(scope="module")
def life() -> Machine:
    return life_with_all_kinds().machine


def test_a_market_is_shown_as_it_stands(life: Machine) -> None:
    assert queries.market(life, 0) is None and queries.market(life, 4) is None
    shown, market = queries.market(life, 1), life.trading.market(1)
    assert shown is not None and market is not None
    session = market.session
    assert (shown["state"], shown["waiting_stops"], shown["auction_phase"]) == (AUCTION, 3, session.phase)
    assert shown["indicative"] == list(session.indicative) != [0, 0, 0]
    assert shown["rules"]["stops_max"] == 7 and shown["tiers"][1] == [5_000, -500, 1_000]
    assert shown["schedule"] == [[0, CLOSED], [80_000, TRADING]]
    halted = queries.market(life, 2)
    assert halted is not None and (halted["state"], halted["last_price_ticks"]) == (HALTED, 7)


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_money_on_its_way_is_shown_in_pages_that_are_all_of_it(life: Machine, limit: int) -> None:
    pages: tuple[tuple[Callable[[int], list[queries.Fields]], str, int], ...] = (
        (lambda after: queries.withdrawals(life, 1, -1, after, limit), "withdrawal_id", 3),
        (lambda after: queries.withdrawals(life, 0, PENDING, after, limit), "withdrawal_id", 1),
        (lambda after: queries.transfers(life, 1, after, limit), "transfer_id", 4),
        (lambda after: queries.transfers(life, 0, after, limit), "transfer_id", 5),
        (lambda after: queries.subscriptions(life, 1, 0, after, limit), "subscription_id", 1),
        (lambda after: queries.subscriptions(life, 3, 2, after, limit), "subscription_id", 1),
        (lambda after: queries.subscriptions(life, 3, 1, after, limit), "subscription_id", 0),
        (lambda after: queries.subscriptions(life, 9, 0, after, limit), "subscription_id", 0),
    )
    for page, number, count in pages:
        ids: list[int] = []
        while found := page(ids[-1] if ids else 0):
            assert len(found) <= limit
            ids += [row[number] for row in found]
        assert len(ids) == count and ids == sorted(set(ids))


def test_sales_are_shown_with_what_came_of_them(life: Machine) -> None:
    assert [sale["name"] for sale in queries.sales(life)] == ["first", "second", "third", "fourth"]
    assert queries.sale(life, "third") == queries.sales(life)[2] and queries.sale(life, "fifth") is None
    (settled,) = queries.subscriptions(life, 1, 0, 0, 9)
    assert settled["settled"] == {"quantity_lots": 5, "paid_units": 100, "refunded_units": 0}
    (pending,) = queries.subscriptions(life, 3, 0, 0, 9)
    assert pending["settled"] is None


def test_what_is_special_is_shown_and_a_restored_machine_shows_the_same(life: Machine) -> None:
    again = restore(snapshot_bytes(life))
    stop, other = queries.order(life, 1, 0, "s2"), queries.order(again, 1, 0, "s2")
    assert stop is not None and stop == other
    assert (stop["status"], stop["trigger"], stop["stop_ticks"]) == (WAITING, 1, 500)
    for market_id in (1, 2, 3):
        assert queries.market(life, market_id) == queries.market(again, market_id)
        assert queries.book(life, market_id, 9) == queries.book(again, market_id, 9)
    assert queries.sales(life) == queries.sales(again)
    assert queries.withdrawals(life, 0, -1, 0, 9) == queries.withdrawals(again, 0, -1, 0, 9)
    assert queries.transfers(life, 0, 0, 9) == queries.transfers(again, 0, 0, 9)


def test_the_book_shows_slices_only(life: Machine) -> None:
    shown = queries.book(life, 1, 99)
    assert shown is not None
    assert [1_200, 4, 1] in shown["asks"] and [1_190, 3, 1] in shown["bids"]
