"""``tally admin archive``: whether every replica's archive is complete, and what is being done about it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from replication.blocking_door import BlockingDoor, DoorUnreachable
from replication.config import Config, ConfigError, load_config
from replication.identity import OPERATOR
from replication.local_cluster import OPERATOR_NAME
from replication.market_groups import group_id, of_group
from replication.tls import LinkCredentials, load_credentials
from sim.admin_members import DEFAULT_CONFIG

if TYPE_CHECKING:
    from argparse import _SubParsersAction

_DESCRIPTION: Final = """\
Asks every replica about its archive. MISSING is how many commands it lacks: they came as a snapshot, or a file was
damaged or is gone; the replica gets them from the others by itself. It is not known in the first seconds after a start.
SET ASIDE is how many damaged files are kept in archive/damaged/. VERIFIED is the last sequence that the scrub has read,
which verifies a file every few minutes and begins anew at the end.
Exit code 1 if an archive is not known to be complete.
"""
_EXAMPLES: Final = """\
examples:
  tally admin archive                              of the cluster of this machine
  tally admin archive --config production.toml     of another one, all groups
  tally admin archive --group metals --json        of one group, for programs
"""


def add_parser(commands: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command's options."""
    parser = commands.add_parser(
        "archive",
        help="whether every replica's archive is complete",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help="the cluster's TOML file (%(default)s)"
    )
    parser.add_argument("--group", metavar="NAME", help="one market group instead of all")
    parser.add_argument(
        "--name", default=OPERATOR_NAME, help="whose certificate is shown to the replicas (%(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print the answers as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Ask and print. Answers the exit code."""
    try:
        config = load_config(arguments.config)
        credentials = load_credentials(config, OPERATOR, arguments.name)
        names = [arguments.group] if arguments.group else list(config.groups)
        found = [row for name in names for row in _ask_group(of_group(config, name), credentials)]
    except ConfigError as error:
        print(f"tally admin: {error}", file=sys.stderr)
        return 1
    print(json.dumps(found, indent=2) if arguments.json else _table(found))
    return 0 if all(row["missing"] == 0 and not row["problem"] for row in found) else 1


def _ask_group(config: Config, credentials: LinkCredentials) -> list[dict[str, Any]]:
    """A row for each replica: of the file, and of those that members told of."""
    addresses: dict[str, tuple[str, int]] = {node_id: of.door for node_id, of in config.nodes.items()}
    rows: dict[str, dict[str, Any]] = {}
    while waiting := sorted(addresses.keys() - rows.keys()):
        node_id = waiting[0]
        row = {"group": config.group, "node": node_id}
        nothing = {"sequence": None, "missing": None, "damaged_files": None, "verified_up_to": None}
        try:
            with BlockingDoor(node_id, addresses[node_id], group_id(config), credentials) as door:
                answer = door.ask("status")
                if door.status is not None:
                    addresses = dict(door.status.doors) | addresses
        except DoorUnreachable as error:
            rows[node_id] = row | nothing | {"problem": str(error)}
            continue
        archive = answer.value.get("archive") if answer.value else None
        if archive is None:
            rows[node_id] = row | nothing | {"problem": answer.error or "it is of a build that does not tell"}
        else:
            rows[node_id] = row | {"sequence": answer.value["sequence"]} | archive
    return [rows[node_id] for node_id in sorted(rows)]


def _table(found: list[dict[str, Any]]) -> str:
    rows = [("GROUP", "NODE", "SEQUENCE", "MISSING", "SET ASIDE", "VERIFIED", "PROBLEM")]
    for row in found:
        cells = (row["sequence"], row["missing"], row["damaged_files"], row["verified_up_to"])
        rows.append(
            (row["group"], row["node"], *("?" if cell is None else str(cell) for cell in cells), row["problem"])
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
