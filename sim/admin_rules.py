"""``tally admin rules``: which version of the rules is in force, who knows which, and the step to a newer one.

The version is part of each market group's state and changed by a command in its log (``engine.rules``). The leader lets
that happen only once every replica has the code (``replication.rules_desk``).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from replication.blocking_door import DoorUnreachable
from replication.config import Config, ConfigError, load_config
from replication.identity import OPERATOR
from replication.local_cluster import OPERATOR_NAME
from replication.market_groups import of_group
from replication.rules_desk import SET_RULES_VERSION
from replication.tls import load_credentials
from sim.admin_members import DEFAULT_CONFIG, AdminError, Doors, table

if TYPE_CHECKING:
    from argparse import _SubParsersAction

_EXAMPLES: Final = """\
examples:
  tally admin rules status
  tally admin rules set 2 --config production.toml
  tally admin rules set 2 --config production.toml --group metals

What each version changes stands in docs/rules.md. Rules never go back. All replicas must be up and know the version:
upgrade them first, one after the other, with `tally admin roll`.
"""


class _Known(NamedTuple):
    """What one replica says, or why it says nothing."""

    node_id: str
    build: str
    rules_version: int
    newest: int
    silent_because: str = ""


def add_parser(commands: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the options."""
    parser = commands.add_parser(
        "rules",
        help="which version of the rules is in force, and the step to a newer one",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    status = actions.add_parser("status", help="what is in force, and what each replica's build knows")
    _add_options(status)
    status.set_defaults(run=_guarded(_status))
    setting = actions.add_parser("set", help="let newer rules hold from now on; never back")
    setting.add_argument("version", type=_version, metavar="N", help="such as 2")
    _add_options(setting)
    setting.set_defaults(run=_guarded(_set))


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help="the cluster's TOML file (%(default)s)"
    )
    parser.add_argument("--group", metavar="NAME", help="this market group alone; all of the file if not said")
    parser.add_argument(
        "--name", default=OPERATOR_NAME, help="whose certificate is shown to the replicas (%(default)s)"
    )


def _guarded(action: Any) -> Any:
    def run(arguments: argparse.Namespace) -> int:
        try:
            config = load_config(arguments.config)
            for name in [arguments.group] if arguments.group else list(config.groups):
                action(_doors(config, name, arguments.name), name, arguments)
        except (AdminError, ConfigError) as error:
            print(f"tally admin rules: {error}", file=sys.stderr)
            return 1
        return 0

    return run


def _doors(config: Config, group: str, operator: str) -> Doors:
    view = of_group(config, group)
    return Doors(view, load_credentials(view, OPERATOR, operator))


def _status(doors: Doors, group: str, _arguments: argparse.Namespace) -> None:
    members = [member["node"] for member in doors.members()["members"]]
    known = [_ask(doors, node_id) for node_id in members]
    in_force = max((one.rules_version for one in known), default=0)
    print(f"group {group}: version {in_force} of the rules is in force{_next_step(known, in_force)}")
    rows = [(one.node_id, one.build or "?", f"up to {one.newest}" if one.newest else "?") for one in known]
    print(table([("NODE", "BUILD", "RULES KNOWN"), *rows]))
    for one in known:
        if one.silent_because:
            print(one.silent_because)


def _next_step(known: list[_Known], in_force: int) -> str:
    newest_of_all, newest_of_any = min(one.newest for one in known), max(one.newest for one in known)
    if newest_of_all > in_force:
        return f"; every replica knows version {newest_of_all}: tally admin rules set {newest_of_all}"
    if newest_of_any > in_force:
        return f"; version {newest_of_any} waits until every replica is up and knows it"
    return ""


def _ask(doors: Doors, node_id: str) -> _Known:
    try:
        with doors.open(node_id) as door:
            said = door.ask("status").value
    except DoorUnreachable as error:
        return _Known(node_id, "", 0, 0, str(error))
    return _Known(node_id, said["build"], said["rules_version"], said["newest_rules_version"])


def _set(doors: Doors, group: str, arguments: argparse.Namespace) -> None:
    try:
        value = doors.ask_leader(SET_RULES_VERSION, version=arguments.version)
    except AdminError as error:
        raise AdminError(f"group {group}: {error}") from None
    print(f"group {group}: version {value['rules_version']} of the rules is in force")


def _version(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no version of the rules, such as 2")
    return int(text)
