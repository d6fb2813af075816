"""``tally bench projector``: how fast read models are derived from a history, and how soon an order is in them.

*rebuild*: the entries of a seeded order flow, made by the engine and kept in memory, go through the projector into an
empty database; nodes and network are left out. *lag*: a real exchange is asked for one order after the other;
from each acknowledgement it is timed until a reader of the database sees a position behind that order.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry
from sqlalchemy import text
from sqlalchemy.engine import URL
from tqdm import tqdm

from engine.codec import decode_events
from engine.entry import Entry
from engine.machine import Machine
from projections.database import is_sqlite, reading_engine, sqlite_url
from projections.group_fold import Position
from projections.projector import Projector, ProjectorOptions
from projections.projector_metrics import ProjectorMetrics
from projections.store import Store
from sim.bench_engine_workloads import SINGLE, mixture
from sim.client import Client, order_item
from sim.local_exchange import LocalExchange

_COMMANDS_PER_ENTRY: Final = 50  # what a leader with some load puts into one
_ENTRY_INTERVAL_NS: Final = 5_000_000  # of log time, so 10,000 commands a second
_STRETCH_BYTES: Final = 1 << 20  # what a replica answers at once
_PATIENCE_S: Final = 30.0


class MemoryHistory:
    """A source that has everything at once."""

    def __init__(self, entries: list[Entry]) -> None:
        self._entries = entries
        self._at = 0
        self.last_sequence = entries[-1].last_sequence

    def read(self, wait_s: float) -> list[Entry]:
        begin, size = self._at, 0
        while self._at < len(self._entries) and size < _STRETCH_BYTES:
            entry = self._entries[self._at]
            size += len(entry.commands) + len(entry.events)
            self._at += 1
        if begin == self._at:
            time.sleep(min(wait_s, 0.01))
        return self._entries[begin : self._at]

    def close(self) -> None:
        pass


def make_history(commands: int, seed: int) -> list[Entry]:
    """A market of a thousand accounts: 53 % placements, 35 % cancels, 6 % amendments, about 12 % of commands trade."""
    workload = mixture("history", SINGLE, commands, seed, _COMMANDS_PER_ENTRY)
    machine = Machine()
    return [
        machine.apply(workload.now_ns + number * _ENTRY_INTERVAL_NS, records).entry
        for number, records in enumerate([*workload.setup, *workload.entries])
    ]


def measure_rebuild(url: URL, entries: list[Entry], runs: int) -> dict[str, Any]:
    """Derive all read models from a history, again and again; the tables of the database are emptied before."""
    events = sum(1 for entry in entries for _ in decode_events(entry.events))
    last = entries[-1].last_sequence
    times_s, cpu_s = [], []
    for _ in tqdm(range(runs), desc="rebuild", unit="run", leave=False, disable=None):
        store = Store(url)
        store.empty()
        began_s, began_cpu_s = time.monotonic(), time.process_time()
        _rebuild(url, store, entries)
        times_s.append(time.monotonic() - began_s)
        cpu_s.append(time.process_time() - began_cpu_s)
    median_s = statistics.median(times_s)
    return {
        "bench": "projector rebuild",
        "database": "SQLite" if is_sqlite(url) else "PostgreSQL",
        "entries": len(entries),
        "commands": last,
        "events": events,
        "runs_s": [round(one, 2) for one in times_s],
        "projector_cpu_s": [round(one, 2) for one in cpu_s],
        "entries_per_s": round(len(entries) / median_s),
        "commands_per_s": round(last / median_s),
        "events_per_s": round(events / median_s),
    }


def _rebuild(url: URL, store: Store, entries: list[Entry]) -> None:
    def on_progress(position: Position) -> None:
        if position.sequence == entries[-1].last_sequence:
            projector.stop()

    metrics = ProjectorMetrics(CollectorRegistry())
    groups = {"main": lambda _position: MemoryHistory(entries)}
    projector = Projector(ProjectorOptions(url, groups, metrics, on_progress=on_progress))
    projector.run(store)


def measure_lag(exchange: LocalExchange, trader: Client, orders: int) -> dict[str, Any]:
    """Time from each acknowledged order until its row can be read."""
    engine = reading_engine(sqlite_url(exchange.directory / "projections" / "projections.sqlite"))
    times_ms = []
    with engine.connect() as connection:

        def position() -> int:
            with connection.begin():
                return int(connection.scalar(text("SELECT sequence FROM positions WHERE group_name = 'main'")) or 0)

        for number in tqdm(range(orders), desc="orders", leave=False, disable=None):
            item = order_item("GLD-EUR", "buy", quantity="0.001", price="1.00", client_order_id=f"lag-{number}")
            sequence = trader.request("POST", "/v1/orders", item).expect().sequence
            assert sequence is not None
            acknowledged_s = time.monotonic()
            while position() < sequence:
                assert time.monotonic() - acknowledged_s < _PATIENCE_S, "the projector does not follow"
            times_ms.append((time.monotonic() - acknowledged_s) * 1_000)
    engine.dispose()
    times_ms.sort()
    return {
        "bench": "projector lag",
        "orders": orders,
        "p50_ms": round(times_ms[orders // 2], 2),
        "p99_ms": round(times_ms[orders * 99 // 100], 2),
        "max_ms": round(times_ms[-1], 2),
    }


def wait_for_projector(directory: Path) -> None:
    """Until the projector of an exchange that was just started has made its tables."""
    deadline_s = time.monotonic() + _PATIENCE_S
    log = directory / "logs" / "projector.log"
    while not log.exists() or "going on after sequence" not in log.read_text():
        assert time.monotonic() < deadline_s, "the projector did not start"
        time.sleep(0.05)
