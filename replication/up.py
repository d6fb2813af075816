"""``tally up``: three replicas, a gateway and perhaps the demo on this machine, from one command.

The first start makes the folder (replication.local_cluster), every later one goes on where the
cluster was. This process only supervises (replication.supervisor); all work is done by its children::

    tally up --+-- tally node --node node-1      stage 1: one of each for every market group
               +-- tally node --node node-2
               +-- tally node --node node-3
               +-- tally gateway                 stage 2
               +-- tally projector               stage 3, once the exchange is ready
               +-- tally query serve
               +-- tally exporter --node node-1  with Kafka: one beside each replica
               +-- tally ingress                 with Kafka
               +-- tally demo                    stage 4
"""

from __future__ import annotations

import http.client
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine import FORM
from replication.config import Address, Config
from replication.config_edit import use_kafka
from replication.config_watch import CHECK_EVERY_S
from replication.local_cluster import (
    GATEWAY_NAME,
    LOOPBACK,
    READER_NAME,
    LocalCluster,
    free_port,
    require_free_port,
)
from replication.node_processes import NewGroups, exporter_child, replica_child
from replication.supervisor import Child, ChildNeverWorked, Supervisor

_WILDCARDS: Final = {"0.0.0.0": LOOPBACK, "::": "::1"}
_LOOPBACKS: Final = frozenset((LOOPBACK, "localhost", "::1"))
_PROBE_EVERY_S: Final = 0.05
_PROBE_TIMEOUT_S: Final = 1.0
_PATIENCE_S: Final = 15.0
_SPINNER: Final = "|/-\\"
_CLEAR_LINE: Final = "\r\033[K"


@dataclass(frozen=True)
class UpOptions:
    """``program`` is the command line that stands for ``tally``. Port 0 chooses a free one.

    ``history``: with a projector and a query server. ``kafka`` is a broker to export to from now on; without it, what
    the cluster's file says counts.
    """

    program: Sequence[str]
    directory: Path
    host: str = LOOPBACK
    port: int = 8080
    demo: bool = False
    history: bool = True
    groups: int = 1
    kafka: Address | None = None


def up(options: UpOptions) -> int:
    """Run until a signal asks for the end; answers the exit code.

    LocalClusterError or ConfigError, before anything was started, if the folder or a port cannot be used.
    """
    with LocalCluster(options.directory, groups=options.groups) as cluster:
        port = options.port or free_port()
        require_free_port(options.host, port)
        if options.kafka is not None:
            use_kafka(cluster.config_file, options.kafka)
        return _run(options, cluster, port)


def _run(options: UpOptions, cluster: LocalCluster, port: int) -> int:
    config = cluster.load()
    supervisor = Supervisor(log_dir=cluster.log_dir, run_dir=cluster.run_dir, say=_say)
    # What a client on this machine dials.
    address = Address(_WILDCARDS.get(options.host, options.host), port)
    common = ("--config", str(cluster.config_file))
    operator_key = ("--operator-key", str(cluster.operator_key_file))
    edge = ("--name", GATEWAY_NAME, *operator_key, "--host", options.host, "--port", str(port))
    try:
        supervisor.start(_replicas(options, config, list(config.groups)))
        supervisor.start([_child(options, "gateway", "gateway", *common, *edge)])
        if _wait_until_ready(supervisor, address, cluster.log_dir):
            supervisor.declare_working()
            readers = []
            if options.history:
                readers.append(_child(options, "projector", "projector", *common))
                readers.append(_child(options, "query", "query", "serve", *common))
            if config.kafka is not None:
                ingress = _child(options, "ingress", "ingress", *common, "--name", GATEWAY_NAME)
                readers += [*_exporters(options, config, list(config.groups)), ingress]
            supervisor.start(readers)
            if options.demo:
                demo = ("--url", f"http://{address}", "--data", str(cluster.directory))
                supervisor.start([_child(options, "demo", "demo", *demo)])
            _welcome(options, cluster, address, config)
        new_groups = NewGroups(config)
        while not supervisor.stop_requested:
            supervisor.tick(CHECK_EVERY_S)
            found = new_groups.poll()
            if found is not None:
                config, added = found
                _say(f"starting what was added: {', '.join(added)}")
                supervisor.add(_replicas(options, config, added))
                if config.kafka is not None:
                    supervisor.add(_exporters(options, config, added))
        _say("stopping")
    except ChildNeverWorked as error:
        print(f"tally up: {error}", file=sys.stderr, flush=True)
        return 1
    finally:
        supervisor.stop()
    _say("stopped; the same command goes on where this left off")
    return 0


def _replicas(options: UpOptions, config: Config, groups: list[str]) -> list[Child]:
    return [
        replica_child(config, node_id, group, options.program) for group in groups for node_id in config.groups[group]
    ]


def _exporters(options: UpOptions, config: Config, groups: list[str]) -> list[Child]:
    return [
        exporter_child(config, node_id, group, options.program, "--name", READER_NAME)
        for group in groups
        for node_id in config.groups[group]
    ]


def _child(options: UpOptions, name: str, *arguments: str) -> Child:
    # Unbuffered, so that the last words of a child that dies are in its log.
    return Child(name, (*options.program, *arguments), {"PYTHONUNBUFFERED": "1"})


def _wait_until_ready(supervisor: Supervisor, address: Address, log_dir: Path) -> bool:
    """Supervise until the exchange takes orders. False if the end was asked for before."""
    begun_s = time.monotonic()
    reminder_s = begun_s + _PATIENCE_S
    turn = 0
    try:
        while not supervisor.stop_requested:
            if _is_ready(address):
                return True
            supervisor.tick(_PROBE_EVERY_S)
            now_s = time.monotonic()
            if now_s >= reminder_s:
                _say(f"not ready after {now_s - begun_s:.0f} s, still waiting; the logs are in {log_dir}")
                reminder_s = now_s + _PATIENCE_S
            if sys.stdout.isatty():
                turn += 1
                _write(f"\r{_SPINNER[turn % 4]} starting {now_s - begun_s:4.1f} s ")
        return False
    finally:
        if sys.stdout.isatty():
            _write(_CLEAR_LINE)


def _is_ready(address: Address) -> bool:
    connection = http.client.HTTPConnection(address.host, address.port, timeout=_PROBE_TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _welcome(options: UpOptions, cluster: LocalCluster, address: Address, config: Config) -> None:
    _say(f"Tallystick is running: http://{address}")
    _write(f"  operator key  {cluster.operator_key_file}\n")
    _write(f"  data          {cluster.directory}\n")
    _write(f"  logs          {cluster.log_dir}\n")
    _write(f"  engine        {FORM}\n")
    if len(config.groups) > 1:
        _write(f"  groups        {', '.join(config.groups)}\n")
    if config.kafka is not None:
        topics = config.kafka.event_topic(config.group), config.kafka.command_topic(config.group)
        _write(f"  kafka         {', '.join(config.kafka.bootstrap_servers)}, topics {' and '.join(topics)}\n")
    if options.demo:
        _write("  demo          traders trade BTC-USD by themselves: open the page\n")
    if options.host not in _LOOPBACKS:
        _write(f"  careful       reachable from other machines at {options.host} port {address.port}, without TLS\n")
    _write("  stop          Ctrl-C\n")


def _say(line: str) -> None:
    # On a terminal the spinner may stand on the line.
    clear = _CLEAR_LINE if sys.stdout.isatty() else ""
    _write(f"{clear}tally up: {line}\n")


def _write(text: str) -> None:
    # A terminal that was closed, or a pipe that nobody reads any more, is no reason to stop an exchange.
    with suppress(OSError):
        print(text, end="", flush=True)
