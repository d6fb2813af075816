"""What Prometheus can ask the query server, with a certificate of a gateway or an operator."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

_LATENCY_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class QueryMetrics:
    """In a registry of its own, so that several query servers can live in one process."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._answers = Counter(
            "tally_query_answers",
            "Answers by question, form (page or a format) and status.",
            ["question", "form", "status"],
            registry=self._registry,
        )
        self._latency_s = Histogram(
            "tally_query_seconds",
            "Time from a question's arrival to its page, or to the end of its file.",
            ["question", "form"],
            buckets=_LATENCY_BUCKETS_S,
            registry=self._registry,
        )
        self._sequence = Gauge(
            "tally_query_sequence", "As of which sequence the last answer was.", ["group"], registry=self._registry
        )
        self.files = Gauge("tally_query_files", "Files that are being written now.", registry=self._registry)

    def observe(self, question: str, form: str, status: int, seconds: float) -> None:
        self._answers.labels(question, form, str(status)).inc()
        self._latency_s.labels(question, form).observe(seconds)

    def answered_as_of(self, group: str, sequence: int) -> None:
        self._sequence.labels(group).set(sequence)

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self._registry)
