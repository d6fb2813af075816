"""What Prometheus can ask this gateway. Children are kept, because looking one up costs more than counting."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

HOME_NAME_DEFAULT: Final = "main"
_LATENCY_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class RouteMetrics:
    """The requests of one route: how many by status, and how long they took."""

    def __init__(self, requests: Counter, latency_s: Histogram, route: str) -> None:
        self._requests = requests
        self._route = route
        self._by_status: dict[int, Counter] = {}
        self._latency_s = latency_s.labels(route)

    def observe(self, status: int, seconds: float) -> None:
        counter = self._by_status.get(status)
        if counter is None:
            counter = self._by_status[status] = self._requests.labels(self._route, str(status))
        counter.inc()
        self._latency_s.observe(seconds)


class GroupFamilies:
    """What is counted about each market group, by the group's name."""

    def __init__(self, registry: CollectorRegistry) -> None:
        group, replica = ["group"], ["group", "node"]
        self.submitted = Counter(
            "tally_commands_submitted", "Commands sent to a leader for the first time.", group, registry=registry
        )
        self.resent = Counter("tally_commands_resent", "Copies of commands sent again.", group, registry=registry)
        self.leader_changes = Counter("tally_leader_changes", "New leaders followed.", group, registry=registry)
        self.term = Gauge("tally_term", "Highest term of a leader heard of.", group, registry=registry)
        self.sequence = Gauge("tally_sequence", "Newest sequence heard of.", group, registry=registry)
        self.outcomes = Counter(
            "tally_command_outcomes", "What became of commands.", ["group", "outcome"], registry=registry
        )
        self.link_up = Gauge(
            "tally_replica_link_up", "1 while the replica's door is open to us.", replica, registry=registry
        )
        self.replica_sequence = Gauge(
            "tally_replica_sequence", "Sequence that the replica told last.", replica, registry=registry
        )
        self.engine_compiled = Gauge(
            "tally_replica_engine_compiled",
            "1 if the replica's engine runs compiled, 0 if interpreted.",
            replica,
            registry=registry,
        )


class GroupMetrics:
    """One group of replicas as this gateway sees it."""

    def __init__(self, families: GroupFamilies, name: str, nodes: Iterable[str]) -> None:
        self.submitted = families.submitted.labels(name)
        self.resent = families.resent.labels(name)
        self.leader_changes = families.leader_changes.labels(name)
        self.term = families.term.labels(name)
        self.sequence = families.sequence.labels(name)
        self.committed = families.outcomes.labels(name, "committed")
        self.no_leader = families.outcomes.labels(name, "no_leader")
        self.unknown = families.outcomes.labels(name, "unknown")
        self.malformed = families.outcomes.labels(name, "malformed")
        nodes = list(nodes)
        self.link_up = {node: families.link_up.labels(name, node) for node in nodes}
        self.replica_sequence = {node: families.replica_sequence.labels(name, node) for node in nodes}
        self.engine_compiled = {node: families.engine_compiled.labels(name, node) for node in nodes}


class GatewayMetrics:
    """All of it, in a registry of its own, so that several gateways can live in one process.

    ``group`` are those of the home group, with these ``nodes``.
    """

    def __init__(self, nodes: Iterable[str], name: str = HOME_NAME_DEFAULT) -> None:
        # A time of creation beside every counter doubles the text and tells nothing that the process's start does not.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._families = GroupFamilies(self.registry)
        self.group = self.of_group(name, nodes)
        self._requests = Counter(
            "tally_http_requests", "HTTP requests by route and status.", ["route", "status"], registry=self.registry
        )
        self._latency_s = Histogram(
            "tally_http_request_seconds",
            "Time from a request's arrival to its answer.",
            ["route"],
            buckets=_LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self._routes: dict[str, RouteMetrics] = {}

    def of_group(self, name: str, nodes: Iterable[str]) -> GroupMetrics:
        return GroupMetrics(self._families, name, nodes)

    def route(self, name: str) -> RouteMetrics:
        if name not in self._routes:
            self._routes[name] = RouteMetrics(self._requests, self._latency_s, name)
        return self._routes[name]

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)
