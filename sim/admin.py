"""``tally admin``: what operators do to a cluster, as opposed to the markets that it holds.

Each command has a module whose ``add_parser`` describes its options and sets ``run``, which takes what was parsed and
answers the exit code.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from sim import admin_archive, admin_certs, admin_groups, admin_members, admin_roll, admin_rules

_EXAMPLES: Final = """\
examples:
  tally admin certs --config production.toml --out tls     a CA, and a certificate for each node of the file
  tally admin member list                                  who belongs to the cluster of this machine
  tally admin member replace node-1 node-4 10.0.9.14:7101 10.0.9.14:7201 --config production.toml
  tally admin transfer node-2                              hand the leadership over
  tally admin roll --config production.toml                restart the replicas one at a time, the leader last
  tally admin rules status                                 which rules are in force, and which each replica knows
  tally admin group add metals --config production.toml --peer-port 7301 --door-port 7401
  tally admin archive                                      whether every replica's archive is complete
  tally admin market add GLD EUR --group metals --tick 0.01 --lot 0.001

`tally admin COMMAND --help` says more about each command.
"""


def main(argv: list[str], *, url: str = "", data_dir: Path = Path("tally-data")) -> int:
    """Run one command. Answers the exit code. ``url`` and ``data_dir`` are where the exchange is, if nobody says."""
    parser = argparse.ArgumentParser(
        prog="tally admin",
        description="Look after a cluster: its certificates, members, archives and market groups.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    admin_certs.add_parser(commands)
    admin_members.add_parser(commands)
    admin_roll.add_parser(commands)
    admin_rules.add_parser(commands)
    admin_archive.add_parser(commands)
    admin_groups.add_parser(commands, url=url, data_dir=data_dir)
    arguments = parser.parse_args(argv)
    code: int = arguments.run(arguments)
    return code
