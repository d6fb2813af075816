"""``tally admin``: what operators do to a cluster, as opposed to the markets that it holds.

Each command is a module with two functions: ``add_parser(commands)`` describes its options and sets ``run``, which
takes what was parsed and answers the exit code.
"""

from __future__ import annotations

import argparse
from typing import Final

from sim import admin_certs

_EXAMPLES: Final = """\
examples:
  tally admin certs --config production.toml --out tls     a CA, and a certificate for each node of the file

`tally admin COMMAND --help` says more about each command.
"""


def main(argv: list[str]) -> int:
    """Run one command. Answers the exit code."""
    parser = argparse.ArgumentParser(
        prog="tally admin",
        description="Look after a cluster.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (admin_certs,):
        command.add_parser(commands)
    arguments = parser.parse_args(argv)
    code: int = arguments.run(arguments)
    return code
