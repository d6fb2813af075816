"""``tally bench query``: how long searches take in a history of many orders.

The rows are made by SQL in a new database, as the projector would have left them: half of the orders are those of ten
accounts that trade by machine, the rest are a thousand people's; they came evenly over thirty days, in twenty markets.
Each search is asked with parameters by chance, through the code of the query server, from the question to the rendered
page; HTTP and TLS come on top. CPU p99 is the same without the time in which others had the processor, or the disk.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, Final

from sqlalchemy import Connection, text
from tqdm import tqdm

from engine.types import NS_PER_DAY, NS_PER_S
from gateway.history_routes import ORDERS
from gateway.rendering import timestamp_text
from projections import schema
from projections.database import sqlite_url, writing_engine
from projections.migrations import upgrade
from projections.query.answers import answer_page
from projections.query.asked import read_asked
from projections.query.database import Database

ORDERS_DEFAULT: Final = 1_000_000
SEARCHES: Final = 200
_BYTES_PER_ORDER: Final = 450  # with all indexes, rounded up
_MACHINES: Final = 10
_PEOPLE: Final = 1_000
_MARKETS: Final = 20
_DAYS: Final = 30
_OPEN: Final = 5_000
_BEGINS_NS: Final = 1_790_000_000 // 86_400 * NS_PER_DAY
_LIMIT_S: Final = 60.0
_AT_ONCE: Final = 250_000

Parameters = dict[str, str]


class TooLittleRoom(Exception):
    """The disk cannot hold so many orders. The text says how many it can."""


def measure_queries(folder: Path, orders: int, *, seed: int) -> list[dict[str, Any]]:
    """Make the history in a folder and search it. One result for each kind of search."""
    room = shutil.disk_usage(folder).free // _BYTES_PER_ORDER
    if orders > room:
        raise TooLittleRoom(f"{folder} has room for {room:,} orders, not for {orders:,}: set TMPDIR, or ask for fewer")
    file = folder / "history.db"
    _fill(file, orders)
    database = Database(sqlite_url(file))
    try:
        return [
            _measure(database, name, make, Random(seed), orders)
            for name, make in tqdm(_kinds(orders).items(), desc="searches", leave=False, disable=None)
        ]
    finally:
        database.close()


def print_table(results: list[dict[str, Any]]) -> None:
    print(f"{'search':<48} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8} {'CPU p99':>8}  rows")
    for one in results:
        times = " ".join(f"{one[name]:>8.1f}" for name in ("p50_ms", "p99_ms", "max_ms", "cpu_p99_ms"))
        print(f"{one['search']:<48} {times}  {one['rows_mean']:.0f}")


def _kinds(orders: int) -> dict[str, Callable[[Random], Parameters]]:
    """Parameters by chance for each kind of search. An account of ``exchange`` stands for everybody."""

    def machine(random: Random) -> str:
        return f"account-{random.randint(1, _MACHINES)}"

    def person(random: Random) -> str:
        return f"account-{random.randint(_MACHINES + 1, _MACHINES + _PEOPLE)}"

    def market(random: Random) -> str:
        return f"M{random.randint(1, _MARKETS)}-USD"

    def until(random: Random) -> Parameters:
        return {"to": timestamp_text(_BEGINS_NS + random.randrange(NS_PER_DAY, _DAYS * NS_PER_DAY))}

    def day(random: Random) -> Parameters:
        begins_ns = _BEGINS_NS + random.randrange((_DAYS - 1) * NS_PER_DAY)
        return {"from": timestamp_text(begins_ns), "to": timestamp_text(begins_ns + NS_PER_DAY)}

    return {
        "a person's newest orders": lambda random: {"account": person(random)},
        "a machine's newest orders": lambda random: {"account": machine(random)},
        "a machine's, anywhere in the history": lambda random: {"account": machine(random), **until(random)},
        "a machine's filled buys of a market and a day": lambda random: {
            "account": machine(random), "market": market(random), "side": "buy", "status": "filled", **day(random)
        },
        "a person's filled buys of a market and a day": lambda random: {
            "account": person(random), "market": market(random), "side": "buy", "status": "filled", **day(random)
        },
        "a machine's open orders": lambda random: {"account": machine(random), "status": "open"},
        "a machine's, a filter that nothing meets": lambda random: {
            "account": machine(random), "type": "market", "status": "filled", **until(random)
        },
        "by the exchange's number": lambda random: {"order_id": str(random.randint(1, orders))},
        "by the client's id": lambda random: {"client_order_id": f"c{random.randint(1, orders):09d}"},
        "by the beginning of the client's id, few": lambda random: {
            "client_order_id_prefix": f"c{random.randint(1, orders):09d}"[:8]
        },
        "by the beginning of the client's id, many": lambda random: {
            "client_order_id_prefix": f"c{random.randint(1, orders):09d}"[:5], "account": machine(random)
        },
        "a market's, anywhere in the history": lambda random: {"market": market(random), **until(random)},
        "everybody's, anywhere in the history": until,
    }  # fmt: skip


def _measure(
    database: Database, name: str, make: Callable[[Random], Parameters], random: Random, orders: int
) -> dict[str, Any]:
    times_ms, cpu_ms, rows = [], [], 0
    for _ in range(SEARCHES):
        parameters = make(random)
        begun_s, cpu_s = time.perf_counter(), time.process_time()
        asked = read_asked(ORDERS, parameters, caller=None, is_operator=True)
        with database.snapshot(_LIMIT_S) as connection:
            body = answer_page(connection, asked).body
        times_ms.append((time.perf_counter() - begun_s) * 1_000)
        cpu_ms.append((time.process_time() - cpu_s) * 1_000)
        rows += len(body["orders"])
    times_ms.sort()
    cpu_ms.sort()
    return {
        "bench": "query",
        "search": name,
        "orders": orders,
        "searches": SEARCHES,
        "p50_ms": round(statistics.median(times_ms), 2),
        "p99_ms": round(times_ms[SEARCHES * 99 // 100 - 1], 2),
        "max_ms": round(times_ms[-1], 2),
        "cpu_p99_ms": round(cpu_ms[SEARCHES * 99 // 100 - 1], 2),
        "rows_mean": rows / SEARCHES,
    }


def _fill(file: Path, orders: int) -> None:
    engine = writing_engine(sqlite_url(file))
    with engine.connect() as connection:
        with connection.begin():
            upgrade(connection)
            for index in schema.orders.indexes:
                index.drop(connection)
            _list_things(connection, orders)
        steps = range(0, orders, _AT_ONCE)
        for first in tqdm(steps, desc="orders", unit_scale=_AT_ONCE, leave=False, disable=None):
            with connection.begin():
                _add_orders(connection, first + 1, min(first + _AT_ONCE, orders), orders)
        for index in tqdm(sorted(schema.orders.indexes, key=str), desc="indexes", leave=False, disable=None):
            with connection.begin():
                index.create(connection)
    engine.dispose()


def _list_things(connection: Connection, orders: int) -> None:
    ends_ns = _BEGINS_NS + _DAYS * NS_PER_DAY
    connection.execute(
        schema.positions.insert(),
        {
            "group_id": 1, "group_name": "main", "sequence": orders, "timestamp_ns": ends_ns, "entry_count": orders,
            "chain": bytes(32),
        },
    )  # fmt: skip
    names = [f"M{number}" for number in range(1, _MARKETS + 1)]
    assets = [{"asset_id": number, "name": name, "decimals": 8} for number, name in enumerate(("USD", *names), start=1)]
    connection.execute(schema.assets.insert(), [{"group_id": 1, "created_sequence": 0, **one} for one in assets])
    market = {
        "group_id": 1, "quote_asset_id": 1, "tick_units": 1_000_000, "lot_units": 10_000, "notional_units": 100,
        "min_notional_units": 0, "maker_fee_ppm": 0, "taker_fee_ppm": 0, "fee_tiers": b"", "state": 2,
        "last_price_ticks": 100, "created_sequence": 0,
    }  # fmt: skip
    listed = [
        {"market_id": number, "name": f"{name}-USD", "base_asset_id": number + 1, **market}
        for number, name in enumerate(names, start=1)
    ]
    connection.execute(schema.markets.insert(), listed)
    account = {"group_id": 1, "role": 0, "frozen": 0, "created_sequence": 0, "created_at_ns": _BEGINS_NS}
    people = [
        {"account_id": number, "name": f"account-{number}", **account} for number in range(1, _MACHINES + _PEOPLE + 1)
    ]
    connection.execute(schema.accounts.insert(), people)
    connection.execute(
        text(
            "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :minutes) "
            "INSERT INTO minutes SELECT 1, :begins + i * 60 * :second, 1 + i * :orders / :minutes FROM n"
        ),
        {"minutes": _DAYS * 1_440, "begins": _BEGINS_NS, "second": NS_PER_S, "orders": orders},
    )


def _add_orders(connection: Connection, first: int, last: int, orders: int) -> None:
    """Orders with these numbers. What differs from one to the next comes from products with primes."""
    account = (
        f"CASE WHEN i * 7919 % 1000 < 500 THEN 1 + i * 104729 % {_MACHINES} "
        f"ELSE {_MACHINES + 1} + i * 15485863 % {_PEOPLE} END"
    )
    closed = "1 + i * 86028121 % 10 / 4 % 2"  # filled or cancelled
    values = {
        "group_id": "1", "order_id": "i", "account_id": account, "market_id": f"1 + i * 611953 % {_MARKETS}",
        "side": "i * 1299709 % 997 % 2", "status": f"CASE WHEN i > :orders - {_OPEN} THEN 0 ELSE {closed} END",
        "price_ticks": "10000 + i * 472882027 % 500", "quantity_lots": "1 + i * 122949823 % 100000",
        "client_order_id": "printf('c%09d', i)", "created_sequence": "i",
        "accepted_at_ns": ":begins + (i - 1) * (:length / :orders)", "updated_sequence": "i",
        "updated_at_ns": ":begins + (i - 1) * (:length / :orders)",
    }  # fmt: skip
    chosen = ", ".join(values.get(column.name, "0") for column in schema.orders.columns)
    connection.execute(
        text(
            "WITH RECURSIVE n(i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i < :last) "
            f"INSERT INTO orders SELECT {chosen} FROM n"
        ),
        {"first": first, "last": last, "orders": orders, "begins": _BEGINS_NS, "length": _DAYS * NS_PER_DAY},
    )


def bench_query(orders: int, *, seed: int) -> list[dict[str, Any]] | None:
    """Measure in a temporary folder. None, with a sentence, if there is too little room."""
    with tempfile.TemporaryDirectory(prefix="tally-bench-") as folder:
        try:
            return measure_queries(Path(folder), orders, seed=seed)
        except TooLittleRoom as error:
            print(f"tally bench query: {error}", file=sys.stderr)
            return None
