"""``tally admin``: what operators do to a cluster, as opposed to the markets that it holds.

Each command is a module with two functions: ``add_parser(commands)`` describes its options and sets ``run``, which
takes what was parsed and answers the exit code.
"""

from __future__ import annotations

import argparse
from typing import Final

from sim import admin_certs, admin_members

_EXAMPLES: Final = """\
examples:
  tally admin certs --config production.toml --out tls     a CA, and a certificate for each node of the file
  tally admin member list                                  who belongs to the cluster of this machine
  tally admin member replace node-1 node-4 10.0.9.14:7101 10.0.9.14:7201 --config production.toml
  tally admin transfer node-2                              hand the leadership over

`tally admin COMMAND --help` says more about each command.
"""


def main(argv: list[str]) -> int:
    """Run one command. Answers the exit code."""
    parser = argparse.ArgumentParser(
        prog="tally admin",
        description="Look after a cluster: its certificates, its members, its leader.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (admin_certs, admin_members):
        command.add_parser(commands)
    arguments = parser.parse_args(argv)
    code: int = arguments.run(arguments)
    return code
