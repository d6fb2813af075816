"""All read models against the engine, over commands by chance and where chance seldom leads."""

from __future__ import annotations

import pytest

from engine import queries
from engine.entry import Entry
from engine.machine import Machine
from engine.order_reports import conditions, report
from engine.types import NS_PER_S
from projections.group_fold import GroupFold, beginning
from projections.kinds import DEPOSIT, RECEIVED_FROM_GROUP, TRANSFER, WITHDRAWAL
from tests.engine.workload import START_NS
from tests.engine.workload_scripts import SCRIPTS
from tests.engine.workload_special import SPECIAL_LISTING
from tests.projections.fold_harness import Exchange, Tables, new_tables, write


class Pair:
    """An engine and a fold of what it did, which must agree after each entry."""

    def __init__(self) -> None:
        self.exchange = Exchange()
        self.fold = GroupFold(beginning(1, "main"))
        self.tables = new_tables()

    def follow(self, entry: Entry) -> None:
        assert self.fold.apply(entry)
        write(self.tables, self.fold.take())
        compare(self.exchange.machine, self.tables)


def compare(machine: Machine, tables: Tables) -> None:
    balances = {key[1:]: (row.available_units, row.held_units) for key, row in tables["balances"].items()}
    ledger = {(account, asset): (available, held) for account, asset, available, held in machine.ledger.rows()}
    assert {key: units for key, units in balances.items() if any(units)} == ledger
    for (_, order_id), row in tables["orders"].items():
        order = machine.trading.index.find(order_id)
        if order is None:
            assert row.open_lots == row.held_units == 0  # the engine has forgotten its id
            continue
        told = report(order, row.client_order_id.encode())._asdict() | conditions(order)._asdict()
        told["client_order_id"] = told["client_order_id"].decode()
        assert {name: getattr(row, name) for name in told} == told
        assert row.fee_overpaid_ppm == order.fee_overpaid_ppm
    for market in machine.trading.markets:
        compare_market(machine, tables, market.market_id)
    for row in tables["sales"].values():
        sale = queries.sale(machine, row.name)
        assert sale is not None
        assert {name: getattr(row, name) for name in sale} == sale
    compare_transfers(machine, tables)


def compare_market(machine: Machine, tables: Tables, market_id: int) -> None:
    row, ticker = tables["markets"][1, market_id], tables["tickers"][1, market_id]
    told = queries.market(machine, market_id)
    book = queries.book(machine, market_id, 1)
    assert told is not None
    assert book is not None
    assert (row.state, row.last_price_ticks) == (told["state"], told["last_price_ticks"])
    best = [(0, 0) if not book[side] else tuple(book[side][0][:2]) for side in ("bids", "asks")]
    assert [(ticker.bid_ticks, ticker.bid_lots), (ticker.ask_ticks, ticker.ask_lots)] == best


def compare_transfers(machine: Machine, tables: Tables) -> None:
    rows = [row for row in tables["transfers"].values() if row.kind not in (DEPOSIT, RECEIVED_FROM_GROUP)]
    withdrawals = queries.withdrawals(machine, 0, -1, 0, len(rows))
    transfers = queries.transfers(machine, 0, 0, len(rows))
    assert len(withdrawals) + len(transfers) == len(rows)
    for told in withdrawals:
        row = tables["transfers"][1, told["withdrawal_id"]]
        assert (row.kind, row.status, row.destination) == (WITHDRAWAL, told["status"], told["destination"])
    for told in transfers:
        row = tables["transfers"][1, told["transfer_id"]]
        assert (row.kind, row.status, row.to_account_id) == (TRANSFER, told["status"], told["to_account_id"])


@pytest.mark.parametrize("seed", range(4))
def test_every_row_is_what_the_engine_says_after_every_entry(seed: int) -> None:
    print("seed", seed)
    pair = Pair()
    for entry in pair.exchange.entries(seed, 500):
        pair.follow(entry)
    assert len(pair.tables["trades"]) > 20, "a stream in which little happened proves little"


@pytest.mark.parametrize("name", SCRIPTS)
def test_rows_are_right_where_chance_seldom_leads(name: str) -> None:
    pair = Pair()
    for command in SPECIAL_LISTING:
        pair.follow(pair.exchange.execute(command.issued_at_ns, [command]))
    _, script = SCRIPTS[name]
    for seconds, command in script:
        now_ns = START_NS + seconds * NS_PER_S
        pair.follow(pair.exchange.execute(now_ns, [command._replace(issued_at_ns=now_ns)]))
