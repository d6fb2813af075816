"""The reconciliation is checked: traders and a gateway that lost answers, and then one lie after the other."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from engine.entry import GENESIS_CHAIN, Entry
from engine.rejects import ACCEPTED
from engine.snapshot import state_hash
from replication.archive import Archive, list_segments
from sim.chaos_checks import Seen, check_files, check_replicas
from sim.chaos_history import History, HistoryContradicts, Order
from sim.chaos_nemesis import missing_in
from sim.chaos_reconciliation import reconcile
from sim.chaos_traders import CANCEL, MARKET, PLACE, Acknowledgements, Asked, Books, open_traders
from sim.client import Client, Credentials, order_item
from tests.gateway.live_gateway import OPERATOR, LiveGateway
from tests.gateway.one_replica import LOSE_AFTER, SWALLOW, UNKNOWN_AFTER, UNKNOWN_BEFORE

SEED = 5
LOST = "lost"


class Traded(NamedTuple):
    """``final`` is what the replica says of itself at the end."""

    entries: list[Entry]
    books: list[Books]
    final: dict[str, Any]


@pytest.fixture(scope="module")
def traded() -> Iterator[Traded]:
    """Some hundred requests of three traders, over HTTP, while answers get lost."""
    with LiveGateway(request_timeout_ms=400) as gateway:
        gateway.wait_until_ready()
        operator = Client(f"http://127.0.0.1:{gateway.port}", Credentials(*OPERATOR))
        traders = open_traders(operator, 3, 1_000, SEED, Acknowledgements())
        for trader in traders:
            trader.start()
        for fault in (UNKNOWN_AFTER, UNKNOWN_BEFORE, LOSE_AFTER, SWALLOW):
            time.sleep(0.2)
            gateway.on_loop(lambda fault=fault: gateway.group.faults.append(fault))  # type: ignore[misc]
        time.sleep(0.6)
        for trader in traders:
            trader.stop()
        lost = order_item(MARKET, "buy", quantity="0.001", price="1.00", client_order_id=LOST)
        traders[0].books.asked.append(Asked(PLACE, LOST, item=lost, gave_up=True))  # as if it was lost on its way
        for trader in traders:
            trader.settle()
        machine = gateway.group.machine
        final = {"sequence": machine.sequence, "chain": machine.chain.hex(), "state_hash": state_hash(machine).hex()}
        yield Traded(list(gateway.group.entries), [trader.books for trader in traders], final)


def history_of(entries: list[Entry]) -> History:
    history = History()
    for entry in entries:
        history.add(entry)
    return history


class Told:
    """Copies of the traders' books and of the history, to be changed."""

    def __init__(self, traded: Traded) -> None:
        self.history = history_of(traded.entries)
        self.books = copy.deepcopy(traded.books)

    def an_order(self, wanted: Callable[[Asked, Order], bool]) -> tuple[Asked, Order, int]:
        """An acknowledged order like this one, what the archives say of it, and whose it is."""
        for books in self.books:
            account_id = self.history.accounts[books.account]
            for asked in books.asked:
                order = self.history.order_of(account_id, asked.id)
                if asked.kind == PLACE and order is not None and wanted(asked, order):
                    return asked, order, account_id
        raise AssertionError("there is no such order")

    def complaints(self) -> list[str]:
        return reconcile(self.books, self.history)


def took(asked: Asked, order: Order) -> bool:
    """Whether it traded at once, and was told so."""
    return bool(asked.answers[0].get("fills")) and asked.answers[0]["status"] == 201


def anything(_asked: Asked, _order: Order) -> bool:
    return True


def test_nothing_is_said_against_what_really_happened(traded: Traded) -> None:
    told = Told(traded)
    assert told.complaints() == []
    asked = [one for books in told.books for one in books.asked]
    assert told.history.trades > 10
    assert any(one.sent > 2 for one in asked), "nothing was sent again"
    assert any(one.answers[0]["status"] == 422 for one in asked if one.answers), "nothing was refused"
    assert any(one.kind == CANCEL and one.answers[0]["status"] == 200 for one in asked if one.answers)


def test_an_id_that_was_asked_for_before_it_arrived_is_fenced_and_stays_so(traded: Traded) -> None:
    told = Told(traded)
    (lost,) = (one for one in told.books[0].asked if one.id == LOST)
    assert lost.resolved is not None
    assert (lost.resolved["outcome"], lost.answers[0]["error"]["code"]) == ("never_seen", "FENCED")
    lost.answers[0] = {"status": 201, "sequence": lost.answers[0]["sequence"], "repeated": False}
    assert any(f"{LOST}: told ACCEPTED" in line and "it was fenced at" in line for line in told.complaints())


def test_a_lost_order_is_found(traded: Traded) -> None:
    told = Told(traded)
    asked, order, account_id = told.an_order(anything)
    del told.history.outcomes[account_id, asked.id]
    del told.history.orders[order.order_id]
    assert any(f"{asked.id}: told ACCEPTED at {order.order_id}, and nothing" in line for line in told.complaints())


def test_an_order_whose_acceptance_is_lost_from_the_archive_alone_is_found(traded: Traded) -> None:
    told = Told(traded)
    _, order, _ = told.an_order(anything)
    del told.history.orders[order.order_id]
    assert any("no order of this id is in the archives" in line for line in told.complaints())


def test_a_fill_that_happened_twice_is_found(traded: Traded) -> None:
    told = Told(traded)
    asked, order, _ = told.an_order(took)
    order.fills.append(order.fills[0])
    found = [line for line in told.complaints() if f"{asked.id}:" in line]
    assert any("told the fills" in line for line in found)
    assert any("told executed lots, notional and fee" in line for line in found)


def test_a_fill_of_a_resting_order_that_its_owner_was_never_told_of_is_found(traded: Traded) -> None:
    told = Told(traded)
    asked, order, _ = told.an_order(lambda _asked, order: bool(order.fills) and not order.fills[-1].is_taker)
    order.fills.pop()
    assert any(f"{asked.id}: told executed" in line for line in told.complaints())


def test_a_fee_that_is_wrong_by_one_unit_is_found(traded: Traded) -> None:
    told = Told(traded)
    asked, _, _ = told.an_order(took)
    answer = asked.answers[0]["order"]
    answer["fee"] = f"{float(answer['fee']) + 0.00001:.5f}"
    assert any(f"{asked.id}: told executed lots, notional and fee" in line for line in told.complaints())


def test_a_wrong_balance_is_found(traded: Traded) -> None:
    told = Told(traded)
    balance = told.books[0].balances[0]
    balance["total"] = balance["available"] = f"{float(balance['total']) + 0.001:.3f}"
    balance["held"] = "0"
    assert any("told a balance of" in line for line in told.complaints())


def test_money_from_nowhere_is_found(traded: Traded) -> None:
    told = Told(traded)
    told.books[0].deposited = {"GLD": "1", "EUR": "1"}
    assert sum("were deposited, and all balances together are" in line for line in told.complaints()) == 2


def test_a_refusal_of_what_was_executed_is_found(traded: Traded) -> None:
    told = Told(traded)
    asked, _, _ = told.an_order(anything)
    asked.answers[0] = {"status": 422, "sequence": asked.answers[0]["sequence"], "error": {"code": "NO_FUNDS"}}
    assert any("told NO_FUNDS" in line and "say ACCEPTED" in line for line in told.complaints())


def test_a_definite_no_without_a_receipt_to_what_was_executed_is_found(traded: Traded) -> None:
    told = Told(traded)
    asked, order, _ = told.an_order(anything)
    asked.answers[0] = {"status": 404, "sequence": None, "error": {"code": "UNKNOWN_MARKET"}}
    assert any(f"without a receipt, and executed at {order.order_id}" in line for line in told.complaints())


def test_two_receipts_for_one_id_are_found(traded: Traded) -> None:
    told = Told(traded)
    asked, order, _ = told.an_order(lambda asked, _order: len(asked.answers) > 1)
    asked.answers[-1]["sequence"] += 1
    assert any(f"told ACCEPTED at {order.order_id + 1}" in line for line in told.complaints())


def test_an_outcome_that_nobody_knows_is_found(traded: Traded) -> None:
    told = Told(traded)
    asked, _, _ = told.an_order(anything)
    asked.answers.clear()
    assert any(f"{asked.id}: its outcome is still not known" in line for line in told.complaints())


@pytest.mark.parametrize("outcome", ["never_seen", "refused"])
def test_a_wrong_word_about_an_unknown_outcome_is_found(traded: Traded, outcome: str) -> None:
    told = Told(traded)
    asked, order, _ = told.an_order(anything)
    asked.answers.clear()
    asked.resolved = {"outcome": outcome, "sequence": order.order_id}
    assert any("asked for, told" in line for line in told.complaints())
    asked.resolved = {"outcome": "accepted", "sequence": order.order_id}
    assert told.complaints() == []


def test_an_order_that_nobody_placed_is_found(traded: Traded) -> None:
    told = Told(traded)
    asked, order, account_id = told.an_order(anything)
    for books in told.books:
        books.asked = [one for one in books.asked if one is not asked]
    assert told.complaints() == [f"order {order.order_id} of account {account_id} was placed by nobody"]


def test_a_cancellation_that_did_not_happen_is_found(traded: Traded) -> None:
    told = Told(traded)
    told.history.closed_by.clear()
    assert any("the archives do not say so at" in line for line in told.complaints())


def test_a_request_that_was_executed_twice_is_found(traded: Traded) -> None:
    history = History()
    for entry in traded.entries:
        history.add(entry)
        if any(outcome.reason == ACCEPTED for outcome in history.outcomes.values()):
            break
    with pytest.raises(HistoryContradicts, match=r"was accepted twice|was executed at"):
        history.add(entry._replace(first_sequence=history.sequence + 1))


def test_a_gap_in_the_history_is_found(traded: Traded) -> None:
    history = history_of(traded.entries[:5])
    with pytest.raises(HistoryContradicts, match=f"after sequence {history.sequence} comes"):
        history.add(traded.entries[6])


def test_files_that_do_not_say_what_the_replicas_said_are_found(traded: Traded, tmp_path: Path) -> None:
    directories = [tmp_path / "node-1", tmp_path / "node-2"]
    for directory in directories:
        archive = Archive(directory / "archive")
        archive.open(0, GENESIS_CHAIN)
        for entry in traded.entries:
            archive.append(entry)
        archive.close()
    final = [{"node": directory.name, **traded.final} for directory in directories]
    middle = traded.entries[len(traded.entries) // 2]
    seen = Seen("node-1", middle.last_sequence, middle.chain.hex())
    assert check_replicas(final) == []
    assert check_files(directories, final, [seen], traded.books) == []

    found = check_files(directories, final, [seen._replace(chain="00" * 32)], traded.books)
    assert ["the archives have another one there" in line for line in found] == [True, True]

    lying = [{**final[0], "state_hash": "00" * 32}, final[1]]
    found = check_files(directories, lying, [], traded.books) + check_replicas(lying)
    assert len(found) == 2
    assert found[0].startswith("the archive of node-1 gives")
    assert found[1].startswith("the replicas do not have the same state_hash")

    segment = list_segments(directories[1] / "archive")[-1].path
    damaged = bytearray(segment.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    segment.write_bytes(damaged)
    found = check_files(directories, final, [], traded.books)
    assert len(found) == 1
    assert found[0].startswith("the archive of node-2: the archive is damaged at")


def test_what_an_archive_lacks_is_named(traded: Traded, tmp_path: Path) -> None:
    assert missing_in(tmp_path) == "all of it"
    middle = len(traded.entries) // 2
    later = Archive(tmp_path)
    later.open(traded.entries[middle].last_sequence, traded.entries[middle].chain)
    for entry in traded.entries[middle + 1 :]:
        later.append(entry)
    later.close()
    assert missing_in(tmp_path).startswith(f"sequences 1 to {traded.entries[middle].last_sequence} are in no archive")

    begin = Archive(tmp_path / "begin")
    begin.open(0, GENESIS_CHAIN)
    for entry in traded.entries[: middle + 1]:
        begin.append(entry)
    begin.close()
    (segment,) = list_segments(tmp_path / "begin")
    segment.path.rename(tmp_path / segment.path.name)
    assert missing_in(tmp_path) == ""
