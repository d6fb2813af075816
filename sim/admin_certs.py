"""``tally admin certs``: the certificates with which nodes, gateways, operators and readers prove who they are."""

from __future__ import annotations

import argparse
import datetime
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from replication.certificates import CA_CERTIFICATE, CA_KEY, Authority, CertificateError, make_certificates
from replication.config import Config, ConfigError, load_config
from replication.identity import GATEWAY, NAME, NODE, OPERATOR, READER, Identity
from replication.market_groups import all_nodes, groups_of_node
from replication.private_directory import create_private_directory

if TYPE_CHECKING:
    from argparse import _SubParsersAction

_DAYS: Final = 365
_DAYS_MAX: Final = 3_650

_DESCRIPTION: Final = """\
Makes certificates for the nodes that a configuration names, for some of them, for gateways, operators or readers. The
first call makes the cluster's CA too: ca.crt goes to every machine, ca.key to none of them. Nothing is overwritten.
"""
_EXAMPLES: Final = """\
examples:
  tally admin certs --config production.toml --out tls
      the CA if tls has none, and node-1.crt, node-1.key and so on for every node of the file
  tally admin certs --config production.toml --out tls --gateway gateway-1 --gateway gateway-2
      certificates for two gateways
  tally admin certs --config production.toml --out tls --operator operator-1
      one for an operator, who may change the members of the cluster (tally admin member)
  tally admin certs --config production.toml --out tls --reader reader-1
      one for a program that reads the history and may change nothing
  tally admin certs --config production.toml --out tls --node node-4 --days 90
      one for a node that the file names since today
  tally admin certs --config production.toml --ca tls --out tls-2027
      new ones for all nodes by the same CA, because the old ones expire: copy them and restart one node at a time
"""


def add_parser(commands: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command's options."""
    parser = commands.add_parser(
        "certs",
        help="make the certificates of nodes and gateways, and the CA that signs them",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the cluster's TOML file")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the files are written")
    parser.add_argument("--ca", type=Path, metavar="DIR", help="where ca.crt and ca.key are, if not in --out")
    parser.add_argument("--node", action="append", default=[], metavar="NAME", help="this node instead of all")
    parser.add_argument("--gateway", action="append", default=[], metavar="NAME", help="a gateway instead of all nodes")
    parser.add_argument(
        "--operator", action="append", default=[], metavar="NAME", help="an operator instead of all nodes"
    )
    parser.add_argument("--reader", action="append", default=[], metavar="NAME", help="a reader instead of all nodes")
    parser.add_argument("--days", type=_days, default=_DAYS, metavar="N", help="how long they are valid (%(default)s)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Make the files and say what they are for. Answers the exit code."""
    try:
        config = load_config(arguments.config)
        others = {GATEWAY: arguments.gateway, OPERATOR: arguments.operator, READER: arguments.reader}
        identities = _identities(config, arguments.node, others)
        now = datetime.datetime.now(datetime.UTC)
        ca_dir = arguments.ca or arguments.out
        authority = _authority(config, ca_dir, may_create=arguments.ca is None, now=now)
        made = make_certificates(authority, identities, arguments.out, now=now, days=arguments.days)
    except (CertificateError, ConfigError) as error:
        print(f"tally admin certs: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"tally admin certs: {error.filename} cannot be written: {error.strerror}", file=sys.stderr)
        return 1
    for file, ends in made:
        print(f"{file} and {file.stem}.key: valid until {ends:%Y-%m-%d}")
    print(
        f"Copy each pair to its machine, with {ca_dir / CA_CERTIFICATE}, to where {arguments.config} says. "
        f"Keep {ca_dir / CA_KEY} off all of them."
    )
    return 0


def _identities(config: Config, nodes: list[str], names_by_role: dict[str, list[str]]) -> list[Identity]:
    for name in nodes:
        groups_of_node(config, name)
    others = [(role, name) for role, names in names_by_role.items() for name in names]
    for role, name in others:
        if NAME.fullmatch(name) is None:
            raise CertificateError(f"{name!r} is no name of a {role}: lower-case letters, digits and '-', at most 32.")
        if name in all_nodes(config):
            raise CertificateError(f"{name!r} is a node of {config.path}: call the {role} something else.")
    if not nodes and not others:
        nodes = all_nodes(config)
    named = dict.fromkeys([(NODE, name) for name in nodes] + others)
    return [Identity(config.cluster_id, role, name) for role, name in named]


def _authority(config: Config, directory: Path, *, may_create: bool, now: datetime.datetime) -> Authority:
    if may_create and not any((directory / name).exists() for name in (CA_CERTIFICATE, CA_KEY)):
        create_private_directory(directory)
        authority = Authority.create(config.cluster_id, now=now)
        authority.write(directory)
        print(f"{directory / CA_CERTIFICATE} and {CA_KEY}: a new CA")
        return authority
    authority = Authority.load(directory)
    if authority.cluster_id != config.cluster_id.hex():
        raise CertificateError(
            f"{directory / CA_CERTIFICATE} is the CA of cluster {authority.cluster_id or 'nobody knows'}, but "
            f"{config.path} says cluster {config.cluster_id.hex()}: choose another folder."
        )
    return authority


def _days(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= _DAYS_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {_DAYS_MAX}")
    return int(text)
