"""The folder of a cluster on one machine, as ``tally up`` makes it and finds it again.

::

    cluster.toml     three replicas of each market group on loopback ports (replication.config)
    tls/             the cluster's CA, and a certificate and a key for each node, the gateway and the operator
    master.key       seals the API secrets in the log: losing it means new API keys for everybody
    operator.key     JSON {"key_id", "secret"}: the operator's API key
    data/node-1/     what one replica keeps (data/node-2, data/node-3)
    data/groups/     the same of the other market groups, where there are any: data/groups/NAME/node-1
    projections/     the read models (tally projector), in SQLite
    logs/            one log per process
    run/             the lock and the process ids while it runs

cluster.toml is written last: where it stands, everything else was written before.
"""

from __future__ import annotations

import datetime
import errno
import fcntl
import json
import os
import re
import secrets
import shutil
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Self

from replication.certificates import CA_CERTIFICATE, CA_DAYS, Authority, CertificateError, make_certificates
from replication.config import Address, Config, NodeAddresses, load_config
from replication.config_edit import add_group
from replication.identity import GATEWAY, NODE, OPERATOR, READER, Identity
from replication.market_groups import all_nodes
from replication.private_directory import UNFINISHED, create_private_directory, sync_directory, write_private_file

NODE_IDS: Final = ("node-1", "node-2", "node-3")
GATEWAY_NAME: Final = "gateway-1"
OPERATOR_NAME: Final = "operator-1"
READER_NAME: Final = "reader-1"
LOOPBACK: Final = "127.0.0.1"
OPERATOR_KEY_ID: Final = "operator"

# Below the range that Linux takes for outgoing connections (32768 and up): a port from that range can be
# occupied by anybody's connection while its node restarts, and dialling it can even connect to itself.
_PORT_FIRST: Final = 20_000
_PORT_LAST: Final = 31_999
_PORT_TRIES: Final = 200
_OWN_NAMES: Final = frozenset(("cluster.toml", "master.key", "operator.key", "tls", "logs", "run", "projections"))
# A cluster on one machine starts as a whole, so all its certificates can be changed at once, long before they end.
_CERTIFICATE_DAYS_MIN: Final = 365

_CLUSTER_TOML: Final = """\
# A cluster on this machine, made by `tally up`. Ports that are taken at a later start are chosen anew.
cluster_id = "{cluster_id}"
group = "main"
data_dir = "data"
{tls}master_key_file = "master.key"
"""
_TLS_TOML: Final = """\
ca_file = "tls/ca.crt"
certificate_file = "tls/{name}.crt"
key_file = "tls/{name}.key"
"""
# Version 0.1 had one secret for all links instead.
_SECRET_OF_0_1: Final = re.compile(r"^cluster_secret_file\s*=.*\n", re.MULTILINE)
_NODE_TOML: Final = """
[nodes.{node_id}]
peer = "{host}:{peer_port}"
door = "{host}:{door_port}"
"""
_QUERY_TOML: Final = """
[query]
address = "{host}:{port}"
"""


class LocalClusterError(Exception):
    """The folder or a port cannot be used. The text is one sentence that says what to do."""


class LocalCluster:
    """A cluster's folder, locked for this process until the ``with`` block ends."""

    def __init__(self, directory: Path, *, groups: int = 1) -> None:
        """Make the folder's files where there are none yet, and lock it. A cluster of fewer ``groups`` gets more.

        LocalClusterError if another process runs this cluster, or if the folder is not one of ours.
        """
        self.directory = directory.absolute()
        self.config_file = self.directory / "cluster.toml"
        self.operator_key_file = self.directory / "operator.key"
        self.log_dir = self.directory / "logs"
        self.run_dir = self.directory / "run"
        try:
            self._refuse_a_foreign_folder()
            for folder in (self.directory, self.log_dir, self.run_dir):
                create_private_directory(folder)
            self._lock = self._take_lock()
            if self.config_file.exists():
                self._leave_version_0_1()
            else:
                self._write_new_cluster()
            self._add_query_server()
            self._add_groups(groups)
        except OSError as error:
            raise LocalClusterError(
                f"The folder {self.directory} cannot be used: {error.strerror} ({error.filename}). "
                "Choose another with --data."
            ) from None
        self._require_the_secrets()

    def load(self) -> Config:
        """The configuration, after moving replicas whose ports somebody else has taken. ConfigError as always.

        Everybody whom it names has a certificate then. LocalClusterError if one cannot be made.
        """
        config = load_config(self.config_file)
        try:
            self._complete_certificates(config)
        except CertificateError as error:
            raise LocalClusterError(str(error)) from None
        except OSError as error:
            raise LocalClusterError(f"{error.filename} cannot be written: {error.strerror}.") from None
        text = self.config_file.read_text(encoding="utf-8")
        moved = text
        query = [] if config.query_address is None else [(config.query_address,)]
        for addresses in [*query, *(one[:2] for nodes in config.groups.values() for one in nodes.values())]:
            for address in addresses:
                if address.host == LOOPBACK and not is_port_free(LOOPBACK, address.port):
                    moved = moved.replace(f'"{address}"', f'"{LOOPBACK}:{free_port(avoid=moved)}"')
        if moved != text:
            write_private_file(self.config_file, moved)
            config = load_config(self.config_file)
        return config

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        """Let another process run this cluster."""
        os.ftruncate(self._lock, 0)
        os.close(self._lock)

    def _refuse_a_foreign_folder(self) -> None:
        """Never scatter key files over somebody's home, and never give old data a new identity."""
        if self.config_file.exists() or not self.directory.exists():
            return
        names = {entry.name.removesuffix(UNFINISHED) for entry in self.directory.iterdir()}
        if "data" in names and names - {"data"} <= _OWN_NAMES:
            raise LocalClusterError(
                f"{self.config_file} is missing, but the cluster's data is there: put the file back from a copy."
            )
        if names - _OWN_NAMES:
            raise LocalClusterError(
                f"The folder {self.directory} holds other files and no cluster: "
                "choose an empty or a new one with --data."
            )

    def _take_lock(self) -> int:
        path = self.run_dir / "supervisor.pid"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise LocalClusterError(
                f"The cluster in {self.directory} is already running (process {owner}). "
                "Stop that one first, or choose another folder with --data."
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        return descriptor

    def _write_new_cluster(self) -> None:
        # A start that was cut short may have left some of the secrets: those are kept.
        operator_key = json.dumps({"key_id": OPERATOR_KEY_ID, "secret": secrets.token_hex(32)}) + "\n"
        for name, text in (
            ("master.key", secrets.token_hex(32) + "\n"),
            ("operator.key", operator_key),
        ):
            if not (self.directory / name).exists():
                write_private_file(self.directory / name, text)
        document = _CLUSTER_TOML.format(cluster_id=secrets.token_hex(16), tls=_TLS_TOML)
        for node_id in NODE_IDS:
            peer_port = free_port(avoid=document)
            door_port = free_port(avoid=f"{document}{peer_port}")
            document += _NODE_TOML.format(node_id=node_id, host=LOOPBACK, peer_port=peer_port, door_port=door_port)
        write_private_file(self.config_file, document)

    def _leave_version_0_1(self) -> None:
        text = self.config_file.read_text(encoding="utf-8")
        newer = _SECRET_OF_0_1.sub(lambda _line: _TLS_TOML, text)
        if newer != text:
            write_private_file(self.config_file, newer)
            (self.directory / "cluster.secret").unlink(missing_ok=True)

    def _complete_certificates(self, config: Config) -> None:
        """Make the CA if there is none, or if it ends within a year, and the certificates that are missing."""
        tls_dir = self.directory / "tls"
        if config.ca_file != tls_dir / CA_CERTIFICATE:
            return  # the operator has put others in their place
        now = datetime.datetime.now(datetime.UTC)
        enough = now + datetime.timedelta(days=_CERTIFICATE_DAYS_MIN)
        if not config.ca_file.exists() or Authority.load(tls_dir).certificate.not_valid_after_utc < enough:
            unfinished = self.directory / f"tls{UNFINISHED}"
            for old in (unfinished, tls_dir):
                shutil.rmtree(old, ignore_errors=True)
            create_private_directory(unfinished)
            Authority.create(config.cluster_id, now=now).write(unfinished)
            unfinished.rename(tls_dir)
            sync_directory(self.directory)
        # A node has one certificate, however many groups it hosts replicas of.
        holders = [(NODE, node_id) for node_id in all_nodes(config)]
        holders += [(GATEWAY, GATEWAY_NAME), (OPERATOR, OPERATOR_NAME), (READER, READER_NAME)]
        missing = [
            Identity(config.cluster_id, role, name)
            for role, name in holders
            if not config.certificate_file(name).exists()
        ]
        for identity in missing:  # a start that was cut short may have left a key alone: nobody has seen it yet
            config.key_file(identity.name).unlink(missing_ok=True)
        if missing:
            make_certificates(Authority.load(tls_dir), missing, tls_dir, now=now, days=CA_DAYS)

    def _add_query_server(self) -> None:
        """Earlier versions had none."""
        if load_config(self.config_file).query_address is None:
            document = self.config_file.read_text(encoding="utf-8")
            document += _QUERY_TOML.format(host=LOOPBACK, port=free_port(avoid=document))
            write_private_file(self.config_file, document)

    def _add_groups(self, groups: int) -> None:
        """Have at least so many groups; the new ones are called by their number."""
        config = load_config(self.config_file)
        number = len(config.groups)
        while number < groups:
            number += 1
            if f"group-{number}" not in config.groups:
                add_group(self.config_file, f"group-{number}", loopback_addresses(self.config_file, config.nodes))

    def _require_the_secrets(self) -> None:
        for name in ("master.key", "operator.key"):
            if not (self.directory / name).exists():
                raise LocalClusterError(f"{self.directory / name} is missing: put it back from a copy.")


def loopback_addresses(config_file: Path, nodes: Iterable[str]) -> dict[str, NodeAddresses]:
    """Free addresses on this machine for a new group's nodes, none of which stands in the file."""
    taken, found = config_file.read_text(encoding="utf-8"), {}
    for node_id in nodes:
        peer, door = (Address(LOOPBACK, free_port(avoid=taken)) for _ in range(2))
        taken += f"{peer} "
        while door.port == peer.port:
            door = Address(LOOPBACK, free_port(avoid=taken))
        taken += f"{door} "
        found[node_id] = NodeAddresses(peer, door)
    return found


def is_port_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    return _listening_fault(host, port) is None


def require_free_port(host: str, port: int) -> None:
    """LocalClusterError if nobody could listen there, with the reason."""
    fault = _listening_fault(host, port)
    if fault is None:
        return
    if isinstance(fault, OSError) and fault.errno == errno.EADDRINUSE:
        raise LocalClusterError(f"Port {port} on {host} is taken by another program: choose another with --port.")
    reason = (isinstance(fault, OSError) and fault.strerror) or str(fault)
    raise LocalClusterError(f"Cannot listen on {host} port {port}: {reason}. Choose others with --host and --port.")


def free_port(*, avoid: str = "") -> int:
    """A loopback port that nobody listens on and whose digits do not stand in ``avoid``."""
    chance = secrets.SystemRandom()
    for _ in range(_PORT_TRIES):
        port = chance.randint(_PORT_FIRST, _PORT_LAST)
        if str(port) not in avoid and is_port_free(LOOPBACK, port):
            return port
    raise LocalClusterError(f"No free port was found between {_PORT_FIRST} and {_PORT_LAST} on {LOOPBACK}.")


def _listening_fault(host: str, port: int) -> OSError | UnicodeError | None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            # As servers do: connections of an earlier run that linger in TIME_WAIT are no obstacle.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except (OSError, UnicodeError) as error:  # UnicodeError: the resolver's word for a malformed host name
        return error
    return None
