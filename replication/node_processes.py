"""The replicas of one node, where it hosts several market groups: each a process of its own, kept running.

``tally node`` without ``--group`` does this on a machine of a larger cluster: a service manager keeps this process, and
this one keeps the replicas, so that one unit file is enough however many groups there are. A group that is added to
the configuration file is started within a second or two; nothing else has to be restarted. The replicas write to the
standard error of this process, like a single replica does.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Final

from replication.config import Config
from replication.config_watch import CHECK_EVERY_S, ConfigWatch
from replication.market_groups import default_group, groups_of_node
from replication.supervisor import Child, Supervisor

STOP_TIMEOUT_S: Final = 5.0


def replica_name(config: Config, node_id: str, group: str) -> str:
    """What the replica's process is called in messages and in the names of its log and pid files."""
    return node_id if group == default_group(config) else f"{node_id}.{group}"


def replica_child(config: Config, node_id: str, group: str, program: Sequence[str]) -> Child:
    """The process that runs one replica. ``program`` is the command line that stands for ``tally``."""
    return _child(replica_name(config, node_id, group), config, node_id, group, (*program, "node"))


def exporter_child(config: Config, node_id: str, group: str, program: Sequence[str], *options: str) -> Child:
    """The process that exports what that replica commits while it leads."""
    name = f"exporter.{replica_name(config, node_id, group)}"
    return _child(name, config, node_id, group, (*program, "exporter", *options))


class NewGroups:
    """Tells which replicas to start because their group was added to the file."""

    def __init__(self, config: Config) -> None:
        self._started = set(config.groups)
        self._watch = ConfigWatch(config.path, time.monotonic)

    def poll(self) -> tuple[Config, list[str]] | None:
        """The new configuration and its new groups; None while there are none."""
        config = self._watch.poll()
        if config is None:
            return None
        new = [name for name in config.groups if name not in self._started]
        self._started.update(new)
        return (config, new) if new else None


def run_node(config: Config, node_id: str, program: Sequence[str]) -> int:
    """Run the replicas of all groups of a node until a signal asks for the end. ConfigError if it has none."""
    return _keep_running(config, node_id, lambda config, group: replica_child(config, node_id, group, program))


def run_exporters(config: Config, node_id: str, program: Sequence[str], *, reader: str, metrics_port: int) -> int:
    """The same of their exporters. The first group's answers Prometheus at the port, each further one at the next."""

    def child(config: Config, group: str) -> Child:
        port = metrics_port + groups_of_node(config, node_id).index(group) if metrics_port else 0
        return exporter_child(config, node_id, group, program, "--name", reader, "--metrics-port", str(port))

    return _keep_running(config, node_id, child)


def _keep_running(config: Config, node_id: str, child: Callable[[Config, str], Child]) -> int:
    groups = groups_of_node(config, node_id)
    supervisor = Supervisor(log_dir=None, run_dir=None, say=_say, stop_timeout_s=STOP_TIMEOUT_S)
    supervisor.declare_working()  # a port that is still taken frees itself: never give up
    new_groups = NewGroups(config)
    try:
        supervisor.start([child(config, group) for group in groups])
        while not supervisor.stop_requested:
            supervisor.tick(CHECK_EVERY_S)
            found = new_groups.poll()
            if found is not None:
                config, added = found
                here = [group for group in added if node_id in config.groups[group]]
                children = [child(config, group) for group in here]
                for group, one in zip(here, children, strict=True):
                    _say(f"group {group} was added: starting {one.name}")
                supervisor.add(children)
    finally:
        supervisor.stop()
    return 0


def _child(name: str, config: Config, node_id: str, group: str, command: Sequence[str]) -> Child:
    arguments = ("--config", str(config.path), "--node", node_id, "--group", group)
    # Unbuffered, so that the last words of a child that dies are in its log.
    return Child(name, (*command, *arguments), {"PYTHONUNBUFFERED": "1"})


def _say(line: str) -> None:
    print(f"tally node: {line}", file=sys.stderr, flush=True)
