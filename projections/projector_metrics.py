"""What a projector tells Prometheus."""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from engine.types import NS_PER_S
from projections.group_fold import Position
from projections.rows import Rows

_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class ProjectorMetrics:
    """Label ``group`` is the market group's name. ``now_ns`` is the machine's clock."""

    def __init__(self, registry: CollectorRegistry, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._now_ns = now_ns
        labels = ("group",)
        self._position = Gauge(
            "tally_projector_sequence", "Everything up to this sequence is in the tables.", labels, registry=registry
        )
        self._lag = Gauge(
            "tally_projector_lag_commands", "Commands in the log that are not in the tables.", labels, registry=registry
        )
        self._lag_seconds = Gauge(
            "tally_projector_lag_seconds",
            "Age of the last entry in the tables while there are newer ones, else 0.",
            labels,
            registry=registry,
        )
        self._entries = Counter("tally_projector_entries", "Entries folded.", labels, registry=registry)
        self._rows = Counter("tally_projector_rows", "Rows written.", ("table",), registry=registry)
        self.transaction_seconds = Histogram(
            "tally_projector_transaction_seconds",
            "Folding some entries and writing what they change.",
            buckets=_BUCKETS_S,
            registry=registry,
        )
        self.database_failures = Counter(
            "tally_projector_database_failures", "Times that the database had to be opened anew.", registry=registry
        )

    def stands_at(self, position: Position) -> None:
        self._position.labels(position.group_name).set(position.sequence)

    def wrote(self, before: Position, after: Position, rows: Rows) -> None:
        """A transaction has moved a group on."""
        self.stands_at(after)
        self._entries.labels(after.group_name).inc(after.entry_count - before.entry_count)
        for table, changed in rows.by_table():
            if changed:
                self._rows.labels(table).inc(len(changed))

    def log_is_at(self, group_name: str, last_sequence: int, position: Position) -> None:
        """Compare how far the log is with what is in the tables."""
        behind = max(0, last_sequence - position.sequence)
        age_s = max(0, self._now_ns() - position.timestamp_ns) / NS_PER_S if behind and position.entry_count else 0.0
        self._lag.labels(group_name).set(behind)
        self._lag_seconds.labels(group_name).set(age_s)
