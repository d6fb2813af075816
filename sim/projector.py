"""``tally projector``: the process that keeps the read models, and what operators ask about them.

The folds and the tables are in ``projections``, which knows nothing of nodes; here they meet the doors of the replicas
(``replication.entry_source``) and the cluster's configuration.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry, start_http_server
from sqlalchemy import Connection
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from tqdm import tqdm

from engine.types import NS_PER_S
from projections.database import DatabaseError, database_url, is_sqlite, reading_engine, shown, sqlite_url
from projections.fingerprint import TableHash, table_hashes, total_hash
from projections.group_fold import Position, beginning
from projections.migrations import SchemaUnknown
from projections.projector import Projector, ProjectorHalted, ProjectorOptions
from projections.projector_metrics import ProjectorMetrics
from projections.source import OpenSource, SourceError
from projections.store import Store, positions_of
from replication.config import Config, ConfigError, load_config
from replication.config_watch import ConfigWatch
from replication.identity import READER
from replication.kafka_clients import keep_clients_quiet
from replication.kafka_settings import KafkaCredentialsMissing, client_options
from replication.local_cluster import LOOPBACK, READER_NAME
from replication.market_groups import of_group
from replication.private_directory import create_private_directory
from replication.supervisor import EXIT_HALTED
from replication.tls import LinkCredentials, load_credentials
from sim.projector_sources import DoorSource, LimitedSource, TopicSource

NODES: Final = "nodes"
KAFKA: Final = "kafka"
ORIGINS: Final = (NODES, KAFKA)
_PROBE_WAIT_S: Final = 3.0
_EXAMPLES: Final = """\
examples:
  tally projector --config cluster.toml                      follow all market groups into [projections] of the file
  tally projector --config cluster.toml --database postgresql://tally@127.0.0.1/tally
  tally projector --config cluster.toml --from kafka         read what the exporters write, not the nodes
  tally projector --config cluster.toml --metrics-port 9465  with numbers for Prometheus
  tally projector status --config cluster.toml               where the read models stand, and how far behind
  tally projector rebuild --config cluster.toml              empty the tables and fill them again from the log
  tally projector hash --config cluster.toml                 one hash over all rows
  tally projector verify --config cluster.toml               derive them again beside the database, and compare

A user's password for PostgreSQL comes from PGPASSWORD or ~/.pgpass, not from the URL. docs/projections.md says more.
Exit codes: 0 stopped, or all is well; 1 it cannot be done now, or verify found a difference; 70 going on would be
wrong, the log says why.
"""

Openers = Callable[[Config], dict[str, OpenSource]]

logger = logging.getLogger(__name__)


def main(argv: list[str]) -> int:
    """Run one of the commands. Answers the exit code."""
    parser = argparse.ArgumentParser(
        prog="tally projector",
        description="Keeps the read models: orders, trades, candles, ledger and transfers as tables to be searched.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = {"run": _run, "status": _status, "rebuild": _rebuild, "hash": _hash, "verify": _verify}
    parser.add_argument("command", nargs="?", choices=commands, default="run", help="(%(default)s)")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the cluster's TOML file")
    parser.add_argument(
        "--from", dest="origin", choices=ORIGINS, default=NODES, help="where the entries come from (%(default)s)"
    )
    parser.add_argument("--database", metavar="URL", help="instead of projections.database of the file")
    parser.add_argument("--name", default=READER_NAME, help="whose certificate it shows to the nodes (%(default)s)")
    parser.add_argument(
        "--metrics-port", type=_port, default=0, metavar="PORT", help="answer Prometheus on loopback there (0: do not)"
    )
    arguments = parser.parse_args(argv)
    try:
        return commands[arguments.command](_Setting(arguments))
    except (ConfigError, KafkaCredentialsMissing, DatabaseError, SchemaUnknown, SourceError, OSError) as error:
        return _fail(1, error)
    except DBAPIError as error:
        return _fail(1, f"the database: {' '.join(str(error.orig).split())}")
    except ProjectorHalted as error:
        return _fail(EXIT_HALTED, error)


class _Setting:
    """What the command line and the file say together. ConfigError or DatabaseError if they cannot be used."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.config = load_config(arguments.config)
        self.url = _url(self.config, arguments.database)
        self._origin: str = arguments.origin
        self._reader: str = arguments.name
        self.metrics_port: int = arguments.metrics_port

    def openers(self) -> Openers:
        """What makes sources of the groups of a configuration."""
        if self._origin == NODES:
            credentials = load_credentials(self.config, READER, self._reader)
            return lambda config: {name: _door(of_group(config, name), credentials) for name in config.groups}
        settings = self.config.kafka
        if settings is None:
            raise ConfigError(f"{self.config.path}: kafka: is missing; it must say where the brokers are")
        keep_clients_quiet()
        options = client_options(settings)
        return lambda config: {name: _topic(settings.event_topic(name), options) for name in config.groups}

    def groups(self) -> dict[str, OpenSource]:
        return self.openers()(self.config)


def _run(setting: _Setting) -> int:
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)-8s %(name)s: %(message)s"
    )
    logging.getLogger("alembic").setLevel(logging.WARNING)
    watch = ConfigWatch(setting.config.path, time.monotonic)
    openers = setting.openers()
    followed = set(setting.config.groups)

    def poll_groups() -> Mapping[str, OpenSource] | None:
        changed = watch.poll()
        if changed is None or not set(changed.groups) - followed:
            return None
        followed.update(changed.groups)
        return openers(changed)

    registry = CollectorRegistry()
    metrics = ProjectorMetrics(registry)
    groups = openers(setting.config)
    projector = Projector(ProjectorOptions(setting.url, groups, metrics, poll_groups))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: projector.stop())
    if setting.metrics_port:
        start_http_server(setting.metrics_port, LOOPBACK, registry)
    logger.info("read models in %s", shown(setting.url))
    try:
        with _open(setting.url) as store:
            projector.run(store)
    except ProjectorHalted as error:
        logger.critical("halted: %s", error)
        return EXIT_HALTED
    logger.info("stopped")
    return 0


def _rebuild(setting: _Setting) -> int:
    """Fill empty tables up to where the log is now; what comes later is for the projector."""
    groups = setting.groups()
    targets = {name: _last_sequence(name, open_source) for name, open_source in groups.items()}
    with _open(setting.url) as store:
        store.empty()
        _project_until(setting.url, store, groups, targets, "rebuild")
    print(f"rebuilt to {_positions_text(targets)}")
    return 0


def _status(setting: _Setting) -> int:
    positions = {one.group_name: one for one in _read_positions(setting.url)}
    print(f"database     {shown(setting.url)}")
    for name, open_source in setting.groups().items():
        position = positions.get(name)
        if position is None:
            print(f"{name:<12} nothing yet")
            continue
        try:
            behind = _last_sequence(name, open_source, position) - position.sequence
            lag = "up to date" if behind <= 0 else f"{behind} commands behind"
        except SourceError as error:
            lag = f"how far behind is not known: {error}"
        age_s = max(0, time.time_ns() - position.timestamp_ns) / NS_PER_S
        print(f"{name:<12} sequence {position.sequence}, {lag}; its last entry is {age_s:.1f} s old")
    return 0


def _hash(setting: _Setting) -> int:
    positions, hashes = _read_hashes(setting.url)
    for one in hashes:
        print(f"{one.digest}  {one.table} ({one.row_count} rows)")
    print(f"{total_hash(hashes)}  all, at {_positions_text({one.group_name: one.sequence for one in positions})}")
    return 0


def _verify(setting: _Setting) -> int:
    """Derive the rows again up to where they are, in a database for the purpose, and compare."""
    positions, hashes = _read_hashes(setting.url)
    targets = {one.group_name: one.sequence for one in positions}
    groups = setting.groups()
    unknown = sorted(set(targets) - set(groups))
    if unknown:
        raise DatabaseError(f"the tables have {', '.join(unknown)}, of which {setting.config.path} says nothing")
    with tempfile.TemporaryDirectory(prefix="tally-verify-") as folder:
        url = sqlite_url(Path(folder) / "derived.sqlite")
        wanted = {one.group_name: groups[one.group_name] for one in positions}
        with Store(url) as store:
            _project_until(url, store, wanted, targets, "verify")
        _, derived = _read_hashes(url)
    different = [one.table for one, again in zip(hashes, derived, strict=True) if one != again]
    if different:
        print(f"tally projector: derived again, these differ: {', '.join(different)}", file=sys.stderr)
        return 1
    print(f"verified     {total_hash(hashes)} at {_positions_text(targets)}")
    return 0


def _project_until(
    url: URL, store: Store, groups: Mapping[str, OpenSource], targets: Mapping[str, int], title: str
) -> None:
    """Follow groups to exactly these sequences."""
    limited = {name: _limited(open_source, targets[name]) for name, open_source in groups.items()}
    reached = dict.fromkeys(groups, 0)
    with tqdm(total=sum(targets.values()), desc=title, unit="command", unit_scale=True, disable=None) as bar:

        def on_progress(position: Position) -> None:
            bar.update(position.sequence - reached[position.group_name])
            reached[position.group_name] = position.sequence
            if reached == targets:
                projector.stop()

        projector = Projector(
            ProjectorOptions(url, limited, ProjectorMetrics(CollectorRegistry()), on_progress=on_progress)
        )
        if reached == targets:
            projector.stop()
        projector.run(store)


def _limited(open_source: OpenSource, until_sequence: int) -> OpenSource:
    return lambda position: LimitedSource(open_source(position), until_sequence)


def _door(config: Config, credentials: LinkCredentials) -> OpenSource:
    return lambda position: DoorSource(config, credentials, position)


def _topic(topic: str, options: Mapping[str, Any]) -> OpenSource:
    return lambda position: TopicSource(topic, options, position)


def _last_sequence(name: str, open_source: OpenSource, position: Position | None = None) -> int:
    """How far a group's log is. SourceUnavailable if no replica tells."""
    source = open_source(position or beginning(1, name))
    try:
        source.read(_PROBE_WAIT_S if position is None else 0.0)
        return source.last_sequence
    finally:
        source.close()


def _open(url: URL) -> Store:
    if is_sqlite(url):
        file = Path(url.database or "")
        create_private_directory(file.parent)
        file.touch(mode=0o600)  # history is nobody else's business, wherever the file is
    return Store(url)


def _url(config: Config, text: str | None) -> URL:
    database = text or config.projections.database
    return sqlite_url(database) if isinstance(database, Path) else database_url(database)


@contextmanager
def _reading(url: URL) -> Iterator[Connection]:
    """One moment of the database."""
    engine = reading_engine(url)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def _read_positions(url: URL) -> list[Position]:
    with _reading(url) as connection:
        return positions_of(connection)


def _read_hashes(url: URL) -> tuple[list[Position], list[TableHash]]:
    with _reading(url) as connection:
        positions = positions_of(connection)
        if not positions:
            raise DatabaseError("there are no read models in this database yet: `tally projector` makes them")
        return positions, list(tqdm(table_hashes(connection), desc="hash", unit="table", leave=False, disable=None))


def _positions_text(sequences: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {sequence}" for name, sequence in sequences.items())


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to 65535")
    return int(text)


def _fail(code: int, reason: object) -> int:
    print(f"tally projector: {reason}", file=sys.stderr)
    return code
