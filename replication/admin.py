"""``tally admin``: what an operator does to the cluster itself, as opposed to the markets on it.

Each command has its own module, which adds its parser here.
"""

from __future__ import annotations

import argparse

from replication import admin_members

_EXAMPLES = """\
examples:
  tally admin member list
  tally admin member add node-4 10.0.9.14:7101 10.0.9.14:7201 --config /etc/tally/production.toml
  tally admin member replace node-1 node-4 10.0.9.14:7101 10.0.9.14:7201
  tally admin transfer node-2

docs/operations.md tells when to do what.
"""


def main(argv: list[str]) -> int:
    """Run one command; answers the exit code."""
    parser = argparse.ArgumentParser(
        prog="tally admin",
        description="Change the cluster itself: its members and its leader.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    admin_members.add_commands(commands)
    arguments = parser.parse_args(argv)
    code: int = arguments.run_admin(arguments)
    return code
