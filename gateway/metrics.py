"""What Prometheus can ask this gateway. Children are kept, because looking one up costs more than counting."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from replication.protocol import CUT_OFF, NOT_LEADING, TOO_MANY_READS, TOO_OLD

_REFUSALS: Final = {
    NOT_LEADING: "not_leading",
    CUT_OFF: "cut_off",
    TOO_OLD: "too_old",
    TOO_MANY_READS: "too_many",
}
HOME_NAME_DEFAULT: Final = "main"
_Metric = TypeVar("_Metric", Counter, Gauge)
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


class ByNode(Generic[_Metric]):
    """One metric's child for each replica that a group has."""

    def __init__(self, metric: _Metric, group: str) -> None:
        self._metric: _Metric = metric
        self._group = group
        self._children: dict[str, _Metric] = {}

    def __getitem__(self, node: str) -> _Metric:
        child = self._children.get(node)
        if child is None:
            child = self._children[node] = self._metric.labels(self._group, node)
        return child

    def forget(self, node: str) -> None:
        """Show nothing of a replica that is no member any more."""
        if self._children.pop(node, None) is not None:
            self._metric.remove(self._group, node)


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
        self.fsyncs = Gauge(
            "tally_replica_fsyncs",
            'What the replica acknowledges is on its disk: 0 with fsync = "none".',
            replica,
            registry=registry,
        )
        self.voter = Gauge(
            "tally_replica_voter",
            "1 if the replica counts for majorities, 0 while it only learns.",
            replica,
            registry=registry,
        )
        self.rules_version = Gauge(
            "tally_replica_rules_version",
            "Version of the rules that is in force, as far as the replica has come.",
            replica,
            registry=registry,
        )
        self.newest_rules_version = Gauge(
            "tally_replica_newest_rules_version",
            "Newest version of the rules that the replica's build knows.",
            replica,
            registry=registry,
        )
        self.archive_missing = Gauge(
            "tally_replica_archive_missing_commands",
            "Commands that the replica's archive lacks; it gets them from the others.",
            replica,
            registry=registry,
        )
        self.archive_damaged_files = Gauge(
            "tally_replica_archive_damaged_files",
            "Segments of the replica's archive that were set aside because they were damaged.",
            replica,
            registry=registry,
        )
        self.certificate_expiry_s = Gauge(
            "tally_replica_certificate_expiry_timestamp_seconds",
            "When the certificate ends that the replica showed last.",
            replica,
            registry=registry,
        )
        self.reads = Counter("tally_reads", "Questions that the replica answered.", replica, registry=registry)
        self.reads_refused = Counter(
            "tally_reads_refused", "Questions that a replica did not answer.", ["group", "reason"], registry=registry
        )


class GroupMetrics:
    """One group of replicas as this gateway sees it."""

    def __init__(self, families: GroupFamilies, name: str, nodes: Iterable[str]) -> None:
        """``nodes`` are shown from the beginning, linked or not."""
        self.submitted = families.submitted.labels(name)
        self.resent = families.resent.labels(name)
        self.leader_changes = families.leader_changes.labels(name)
        self.term = families.term.labels(name)
        self.sequence = families.sequence.labels(name)
        self.committed = families.outcomes.labels(name, "committed")
        self.no_leader = families.outcomes.labels(name, "no_leader")
        self.unknown = families.outcomes.labels(name, "unknown")
        self.malformed = families.outcomes.labels(name, "malformed")
        self.link_up = ByNode(families.link_up, name)
        self.replica_sequence = ByNode(families.replica_sequence, name)
        self.engine_compiled = ByNode(families.engine_compiled, name)
        self.fsyncs = ByNode(families.fsyncs, name)
        self.voter = ByNode(families.voter, name)
        self.rules_version = ByNode(families.rules_version, name)
        self.newest_rules_version = ByNode(families.newest_rules_version, name)
        self.archive_missing = ByNode(families.archive_missing, name)
        self.archive_damaged_files = ByNode(families.archive_damaged_files, name)
        self.certificate_expiry_s = ByNode(families.certificate_expiry_s, name)
        self._reads = ByNode(families.reads, name)
        self._refusals = {error: families.reads_refused.labels(name, reason) for error, reason in _REFUSALS.items()}
        self._other_refusals = families.reads_refused.labels(name, "other")
        for node in nodes:
            # Not the end of its certificate: zero would look like one that ended long ago.
            for gauge in (self.link_up, self.replica_sequence, self.engine_compiled, self.fsyncs, self.voter):
                gauge[node].set(0)
            self._reads[node].inc(0)

    def forget(self, node: str) -> None:
        """Show nothing of a replica that is no member any more."""
        for gauge in (
            self.link_up,
            self.replica_sequence,
            self.engine_compiled,
            self.fsyncs,
            self.voter,
            self.rules_version,
            self.newest_rules_version,
            self.archive_missing,
            self.archive_damaged_files,
            self.certificate_expiry_s,
        ):
            gauge.forget(node)
        self._reads.forget(node)

    def read_answered(self, node: str, error: str) -> None:
        if error:
            self._refusals.get(error, self._other_refusals).inc()
        else:
            self._reads[node].inc()


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
        self.own_certificate_expiry_s = Gauge(
            "tally_certificate_expiry_timestamp_seconds",
            "When this gateway's certificate ends.",
            registry=self.registry,
        )
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
