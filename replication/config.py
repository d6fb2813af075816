"""What a cluster's TOML file says: which replicas found it, where they listen, how patient they are.

Once there is a log, it says who belongs to the cluster (``replication.membership``). Then a node's file matters
for where that node itself listens, and as a second place to look for the others.

Only addresses, paths, sizes and times live here. A setting that changes results (a fee, a tick, a
limit) is a command in the log instead, so that every replica and every replay agrees about it.

Secrets are never in the file. It names the files that hold them: the certificates and keys with which nodes and
gateways prove to each other who they are (``{name}`` in their paths stands for the node or gateway), and the master
key, which opens the sealed API secrets and belongs to gateways. For the latter the environment wins:
``TALLY_MASTER_KEY``, 64 hexadecimal digits.

Every fault is a :class:`ConfigError` that names the file, the key and what is allowed there::

    ConfigError: production.toml: raft.heartbeat_ms: 500 is too slow, it must be below a third of ...
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

from replication.identity import NAME
from replication.kafka_settings import PLAINTEXT, SASL_MECHANISMS, TLS, KafkaSettings

MASTER_KEY_VARIABLE: Final = "TALLY_MASTER_KEY"
SECRET_SIZE: Final = 32
REPLICAS_MIN: Final = 3
REPLICAS_MAX: Final = 9
HEARTBEATS_PER_ELECTION_TIMEOUT_MIN: Final = 3
FSYNC_MAJORITY: Final = "majority"
FSYNC_NONE: Final = "none"

_NAME_ALLOWED: Final = "a name of lower-case letters, digits and '-'"
GROUPS_FOLDER: Final = "groups"
_CLUSTER_ID: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
_NAME_IN_PATHS: Final = "{name}"
_SECRET: Final = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_ADDRESS: Final = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]+):(?P<port>[0-9]{1,5})", re.ASCII)


class ConfigError(Exception):
    """The configuration cannot be used. The text is one sentence that says where and what is allowed."""


class Address(NamedTuple):
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class NodeAddresses(NamedTuple):
    """``peer`` is where the other replicas connect, ``door`` where gateways do.

    ``peer_listen`` and ``door_listen`` are where the node itself listens, if that is another address: behind a
    translation of addresses, in a container, behind a proxy.
    """

    peer: Address
    door: Address
    peer_listen: Address | None = None
    door_listen: Address | None = None


@dataclass(frozen=True)
class RaftSettings:
    """A follower waits between the two election timeouts, chosen anew each time, before it stands itself."""

    election_timeout_ms_min: int = 350
    election_timeout_ms_max: int = 700
    heartbeat_ms: int = 50


@dataclass(frozen=True)
class LogSettings:
    """``keep_tail_entries`` stay in the journal below a snapshot, so that a slow replica need not load it.

    ``fsync`` names what an acknowledgement is worth: ``majority``, the entry is on the disks of a majority; ``none``,
    it is in their memory, and a power loss that hits a majority loses what was acknowledged.
    """

    snapshot_every_commands: int = 250_000
    keep_tail_entries: int = 1_000
    fsync: str = FSYNC_MAJORITY


@dataclass(frozen=True)
class EngineSettings:
    """A replica makes memory ready for ``reserve_requests`` when it starts: for its speed, it changes no answer."""

    reserve_requests: int = 100_000


@dataclass(frozen=True)
class GatewaySettings:
    """``request_timeout_ms`` bounds one HTTP request, all resends to new leaders included."""

    host: str = "127.0.0.1"
    port: int = 8080
    request_timeout_ms: int = 10_000


@dataclass(frozen=True)
class ProjectionsSettings:
    """``database`` is where the read models are kept: a file of SQLite, or the URL of a PostgreSQL database."""

    database: Path | str = Path("projections/projections.sqlite")


@dataclass(frozen=True)
class Config:
    """One cluster, as ``path`` describes it. Paths are absolute; ``nodes`` is sorted by node id.

    ``groups`` are all market groups and their nodes, the default one first. ``group``, ``nodes`` and ``data_dir`` are
    those of the default one; ``replication.market_groups`` makes the same of another. ``home`` is the group whose log
    has the accounts and API keys.

    ``query_address`` is where the query server listens, if there is one.
    ``kafka`` is None where the file has no such table: then nothing is exported and nothing comes from there.

    ``certificate_files`` and ``key_files`` are patterns: ask :meth:`certificate_file` and :meth:`key_file`.
    """

    path: Path
    cluster_id: bytes
    group: str
    nodes: Mapping[str, NodeAddresses]
    groups: Mapping[str, Mapping[str, NodeAddresses]]
    home: str
    data_dir: Path
    ca_file: Path
    certificate_files: Path
    key_files: Path
    master_key_file: Path
    raft: RaftSettings
    log: LogSettings
    engine: EngineSettings
    gateway: GatewaySettings
    projections: ProjectionsSettings = ProjectionsSettings()
    query_address: Address | None = None
    kafka: KafkaSettings | None = None

    def certificate_file(self, name: str) -> Path:
        """Where the certificate of one node or gateway is."""
        return Path(str(self.certificate_files).replace(_NAME_IN_PATHS, name))

    def key_file(self, name: str) -> Path:
        """Where its key is."""
        return Path(str(self.key_files).replace(_NAME_IN_PATHS, name))


def load_config(path: Path) -> Config:
    """Read and check the whole file; nothing else is touched. ConfigError names the first fault."""
    path = path.absolute()
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    root = _Table(path, "", document)
    group = root.text("group", NAME, _NAME_ALLOWED, default="main")
    groups = _read_groups(root, group)
    home = root.text("home", NAME, _NAME_ALLOWED, default=group)
    if home not in groups:
        root.refuse("home", f"there is no group {home!r}; the file has {', '.join(groups)}")
    cluster_id = root.text("cluster_id", _CLUSTER_ID, "32 hexadecimal digits in lower case, unique to this cluster")
    config = Config(
        path=path,
        cluster_id=bytes.fromhex(cluster_id),
        group=group,
        nodes=groups[group],
        groups=groups,
        home=home,
        data_dir=root.file("data_dir", default="data"),
        ca_file=root.file("ca_file", default="tls/ca.crt"),
        certificate_files=root.file("certificate_file", default=f"tls/{_NAME_IN_PATHS}.crt"),
        key_files=root.file("key_file", default=f"tls/{_NAME_IN_PATHS}.key"),
        master_key_file=root.file("master_key_file", default="master.key"),
        raft=_read_raft(root.table("raft")),
        log=_read_log(root.table("log")),
        engine=_read_engine(root.table("engine")),
        gateway=_read_gateway(root.table("gateway")),
        projections=_read_projections(root.table("projections")),
        query_address=_read_query(root.table("query")),
        kafka=_read_kafka(root.table("kafka")) if "kafka" in document else None,
    )
    root.refuse_unknown_keys()
    return config


def node_addresses(config: Config, node_id: str) -> NodeAddresses:
    """The addresses of one replica. ConfigError if the file does not name it."""
    addresses = config.nodes.get(node_id)
    if addresses is None:
        known = ", ".join(config.nodes)
        raise ConfigError(f"{config.path}: nodes: there is no node {node_id!r}; the file names {known}")
    return addresses


def node_data_dir(config: Config, node_id: str) -> Path:
    """Where one replica keeps its files: ``<data_dir>/<node_id>``. It is not created here."""
    node_addresses(config, node_id)
    return config.data_dir / node_id


def read_master_key(config: Config, environ: Mapping[str, str] = os.environ) -> bytes:
    """The 32 bytes under which gateways seal the secrets of API keys."""
    text = environ.get(MASTER_KEY_VARIABLE)
    where = f"environment variable {MASTER_KEY_VARIABLE}"
    if text is None:
        file = config.master_key_file
        where = f"{file} (master_key_file of {config.path.name})"
        try:
            text = file.read_text(encoding="ascii")
        except FileNotFoundError:
            raise ConfigError(f"{where}: there is no such file, and {MASTER_KEY_VARIABLE} is not set") from None
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{where}: cannot be read: {error}") from None
        require_private(file, where)
    if _SECRET.fullmatch(text.strip()) is None:
        raise ConfigError(f"{where}: a secret is written as {2 * SECRET_SIZE} hexadecimal digits")
    return bytes.fromhex(text.strip())


def require_private(file: Path, where: str) -> None:
    """ConfigError if a file that holds a secret is not there, or if every user of the machine may read it."""
    try:
        readable_by_others = bool(file.stat().st_mode & 0o004)
    except OSError as error:
        raise ConfigError(f"{where}: cannot be read: {error.strerror}") from None
    if readable_by_others:
        raise ConfigError(f"{where}: every user of this machine can read it: run chmod 600 on it")


def is_node_id(text: str) -> bool:
    """Whether a node may be called that."""
    return NAME.fullmatch(text) is not None


def parse_address(text: str) -> Address | None:
    """The address in ``host:port`` or ``[IPv6]:port``; None if it is none."""
    match = _ADDRESS.fullmatch(text)
    if match is None or not 1 <= int(match["port"]) <= 65_535:
        return None
    return Address(match["host"].strip("[]"), int(match["port"]))


def _read_groups(root: _Table, default: str) -> dict[str, dict[str, NodeAddresses]]:
    """The nodes of every group: ``[nodes]`` are the default's, ``[groups.NAME.nodes]`` another's."""
    owners: dict[Address, str] = {}
    groups = {default: _read_nodes(root.table("nodes", required=True), "nodes", owners)}
    table = root.table("groups")
    for name in table.keys():  # noqa: SIM118 (not a dictionary)
        if NAME.fullmatch(name) is None:
            table.refuse(name, "a group's name is made of lower-case letters, digits and '-', at most 32")
        if name == default:
            table.refuse(name, "this is the default group: its nodes are those of [nodes]")
        group = table.table(name)
        groups[name] = _read_nodes(group.table("nodes", required=True), f"groups.{name}.nodes", owners)
        group.refuse_unknown_keys()
    return groups


def _read_nodes(table: _Table, where: str, owners: dict[Address, str]) -> dict[str, NodeAddresses]:
    nodes: dict[str, NodeAddresses] = {}
    for node_id in sorted(table.keys()):
        if not is_node_id(node_id):
            table.refuse(node_id, "a node id is made of lower-case letters, digits and '-', at most 32")
        if node_id == GROUPS_FOLDER:
            table.refuse(node_id, "this is the name of a folder beside those of the nodes: choose another")
        node = table.table(node_id)
        addresses = NodeAddresses(
            peer=node.address("peer"),
            door=node.address("door"),
            peer_listen=node.optional_address("peer_listen"),
            door_listen=node.optional_address("door_listen"),
        )
        nodes[node_id] = addresses
        node.refuse_unknown_keys()
        for key, address in (("peer", addresses.peer), ("door", addresses.door)):
            if address in owners:
                node.refuse(key, f"{address} is already the address of {owners[address]}")
            owners[address] = f"{where}.{node_id}.{key}"
    if not REPLICAS_MIN <= len(nodes) <= REPLICAS_MAX:
        table.refuse("", f"{len(nodes)} nodes are named, a cluster has {REPLICAS_MIN} to {REPLICAS_MAX}")
    return nodes


def _read_raft(table: _Table) -> RaftSettings:
    timeout_ms_min = table.integer("election_timeout_ms_min", 50, 60_000, RaftSettings.election_timeout_ms_min)
    timeout_ms_max = table.integer("election_timeout_ms_max", 50, 60_000, RaftSettings.election_timeout_ms_max)
    heartbeat_ms = table.integer("heartbeat_ms", 5, 20_000, RaftSettings.heartbeat_ms)
    if timeout_ms_max <= timeout_ms_min:
        table.refuse("election_timeout_ms_max", f"{timeout_ms_max} must be above election_timeout_ms_min")
    if heartbeat_ms * HEARTBEATS_PER_ELECTION_TIMEOUT_MIN >= timeout_ms_min:
        table.refuse("heartbeat_ms", f"{heartbeat_ms} is too slow, it must be below a third of election_timeout_ms_min")
    table.refuse_unknown_keys()
    return RaftSettings(timeout_ms_min, timeout_ms_max, heartbeat_ms)


def _read_log(table: _Table) -> LogSettings:
    snapshot_every = table.integer("snapshot_every_commands", 100, 10**9, LogSettings.snapshot_every_commands)
    keep_tail = table.integer("keep_tail_entries", 0, 10**6, LogSettings.keep_tail_entries)
    fsync = table.text(
        "fsync",
        re.compile(f"{FSYNC_MAJORITY}|{FSYNC_NONE}"),
        f'"{FSYNC_MAJORITY}" or "{FSYNC_NONE}"',
        LogSettings.fsync,
    )
    table.refuse_unknown_keys()
    return LogSettings(snapshot_every, keep_tail, fsync)


def _read_engine(table: _Table) -> EngineSettings:
    reserve_requests = table.integer("reserve_requests", 0, 10**8, EngineSettings.reserve_requests)
    table.refuse_unknown_keys()
    return EngineSettings(reserve_requests)


def _read_gateway(table: _Table) -> GatewaySettings:
    host = table.text("host", re.compile(r"[A-Za-z0-9_.:-]+"), "a host name or address", default=GatewaySettings.host)
    port = table.integer("port", 1, 65_535, GatewaySettings.port)
    timeout_ms = table.integer("request_timeout_ms", 100, 600_000, GatewaySettings.request_timeout_ms)
    table.refuse_unknown_keys()
    return GatewaySettings(host, port, timeout_ms)


def _read_query(table: _Table) -> Address | None:
    """Where the query server listens. Without it there is none: gateways refuse questions about the history."""
    address = table.address("address") if "address" in table.keys() else None  # noqa: SIM118 (not a dictionary)
    table.refuse_unknown_keys()
    return address


def _read_projections(table: _Table) -> ProjectionsSettings:
    """What begins with the name of a scheme is a URL, everything else a file."""
    text = table.text("database", re.compile(r".*"), "a file, or a URL such as postgresql://tally@127.0.0.1/tally", "")
    database = text if "://" in text else table.file("database", default=str(ProjectionsSettings.database))
    table.refuse_unknown_keys()
    return ProjectionsSettings(database)


def _read_kafka(table: _Table) -> KafkaSettings:
    servers = table.addresses("bootstrap_servers")
    prefix = table.text(
        "topic_prefix",
        re.compile(r"[A-Za-z0-9._-]{1,100}", re.ASCII),
        "a name of letters, digits, '.', '_' and '-'",
        KafkaSettings.topic_prefix,
    )
    factor = table.integer("replication_factor", 1, 100, KafkaSettings.replication_factor)
    in_sync = table.integer("min_insync_replicas", 1, 100, min(factor, KafkaSettings.min_insync_replicas))
    if in_sync > factor:
        table.refuse("min_insync_replicas", f"{in_sync} must not be above replication_factor, which is {factor}")
    security = table.text(
        "security", re.compile(f"{PLAINTEXT}|{TLS}"), f'"{PLAINTEXT}" or "{TLS}"', KafkaSettings.security
    )
    has_ca_file = "ca_file" in table.keys()  # noqa: SIM118 (not a dictionary)
    ca_file = table.file("ca_file", default="") if has_ca_file else None
    mechanism = table.text(
        "sasl_mechanism", re.compile("|".join((*SASL_MECHANISMS, ""))), f"one of {', '.join(SASL_MECHANISMS)}", ""
    )
    # The exchange remembers the id of a request for a day: what comes later could be executed a second time.
    age_s_max = table.integer("command_age_s_max", 1, 12 * 3_600, KafkaSettings.command_age_s_max)
    table.refuse_unknown_keys()
    return KafkaSettings(servers, prefix, factor, in_sync, security, ca_file, mechanism, age_s_max)


class _Table:
    """One table of the document that remembers what was asked for, so that a misspelt key is refused."""

    def __init__(self, path: Path, name: str, values: Mapping[str, Any]) -> None:
        self._path = path
        self._name = name
        self._values = values
        self._asked: set[str] = set()

    def refuse(self, key: str, reason: str) -> NoReturn:
        where = ".".join(part for part in (self._name, key) if part)
        raise ConfigError(f"{self._path}: {where}: {reason}")

    def keys(self) -> list[str]:
        return list(self._values)

    def refuse_unknown_keys(self) -> None:
        for key in self._values:
            if key not in self._asked:
                self.refuse(key, f"this key is not known; allowed here: {', '.join(sorted(self._asked))}")

    def table(self, key: str, *, required: bool = False) -> _Table:
        value = self._get(key, None if required else {}, "a table")
        if not isinstance(value, dict):
            self.refuse(key, "must be a table")
        return _Table(self._path, f"{self._name}.{key}" if self._name else key, value)

    def text(self, key: str, pattern: re.Pattern[str], allowed: str, default: str | None = None) -> str:
        value = self._get(key, default, allowed)
        if not isinstance(value, str) or pattern.fullmatch(value) is None:
            self.refuse(key, f"{value!r} is not {allowed}")
        return value

    def integer(self, key: str, lowest: int, highest: int, default: int) -> int:
        value = self._get(key, default, "a whole number")
        # A TOML boolean arrives as bool, which Python counts as an int.
        if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
            self.refuse(key, f"{value!r} is not a whole number from {lowest} to {highest}")
        return value

    def file(self, key: str, default: str) -> Path:
        value = self._get(key, default, "a path")
        if not isinstance(value, str) or not value:
            self.refuse(key, f"{value!r} is not a path")
        return (self._path.parent / value).absolute()

    def address(self, key: str) -> Address:
        allowed = 'an address such as "127.0.0.1:7101"'
        value = self._get(key, None, allowed)
        address = parse_address(value) if isinstance(value, str) else None
        if address is None:
            self.refuse(key, f"{value!r} is not {allowed}")
        return address

    def addresses(self, key: str) -> tuple[str, ...]:
        """A list of them, one at least."""
        allowed = 'a list of addresses such as ["127.0.0.1:9092"]'
        value = self._get(key, None, allowed)
        if not isinstance(value, list) or not value:
            self.refuse(key, f"{value!r} is not {allowed}")
        for one in value:
            if not isinstance(one, str) or parse_address(one) is None:
                self.refuse(key, f'{one!r} is not an address such as "127.0.0.1:9092"')
        return tuple(value)

    def optional_address(self, key: str) -> Address | None:
        self._asked.add(key)
        return self.address(key) if key in self._values else None

    def _get(self, key: str, default: object, allowed: str) -> Any:
        self._asked.add(key)
        value = self._values.get(key, default)
        if value is None:
            self.refuse(key, f"is missing; it must be {allowed}")
        return value
