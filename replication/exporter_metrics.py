"""What an exporter tells Prometheus: how far it is, how far behind the leader, and when Kafka last took something."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics, start_http_server

_LABELS: Final = ("node", "group")


class ExporterMetrics:
    """Of the exporter of one replica, in a registry of their own."""

    def __init__(self, node_id: str, group: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()

        def gauge(name: str, help_text: str) -> Gauge:
            return Gauge(name, help_text, _LABELS, registry=self.registry).labels(node_id, group)

        def counter(name: str, help_text: str) -> Counter:
            return Counter(name, help_text, _LABELS, registry=self.registry).labels(node_id, group)

        self.active = gauge("tally_exporter_active", "1 while its replica leads and it exports, else 0")
        self.exported_sequence = gauge("tally_exporter_exported_sequence", "The last sequence that Kafka acknowledged")
        self.leader_sequence = gauge(
            "tally_exporter_leader_sequence", "The last sequence that its replica has executed"
        )
        self.behind_commands = gauge(
            "tally_exporter_behind_commands", "Commands executed and not acknowledged by Kafka"
        )
        self.acknowledged_s = gauge(
            "tally_exporter_last_acknowledged_timestamp_seconds",
            "When Kafka last acknowledged something, or when this exporter took over",
        )
        self.failing_since_s = gauge(
            "tally_exporter_failing_since_timestamp_seconds", "Since when nothing can be exported; 0 if it can"
        )
        self.entries = counter("tally_exporter_entries_total", "Entries that Kafka acknowledged, repeats included")
        self.commands = counter("tally_exporter_commands_total", "Commands in them")
        self.bytes = counter("tally_exporter_bytes_total", "Bytes of them")
        self.take_overs = counter("tally_exporter_take_overs_total", "How often it went on at the topic's end")

    def serve(self, port: int, host: str = "127.0.0.1") -> None:
        """Answer Prometheus there. OSError if the port is taken."""
        start_http_server(port, host, registry=self.registry)
