"""``tally admin member`` and ``tally admin transfer``: the members of a cluster and who leads them.

A configuration file gives the addresses of some doors and says where the operator's certificate is; the members
themselves say who else there is. A change goes to the leader and is answered when it is committed. Everything here may
be said again: what is done already is reported as done.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from replication.blocking_door import BlockingDoor, DoorUnreachable
from replication.config import Config, ConfigError, load_config, parse_address
from replication.identity import OPERATOR
from replication.local_cluster import OPERATOR_NAME
from replication.market_groups import group_id, of_group
from replication.member_desk import ASK_AGAIN
from replication.tls import LinkCredentials, load_credentials

if TYPE_CHECKING:
    from argparse import _SubParsersAction

DEFAULT_CONFIG: Final = Path("tally-data/cluster.toml")
LEADER_TIMEOUT_S: Final = 20.0
_PAUSE_S: Final = 0.2


class AdminError(Exception):
    """The command failed. The text says what to do."""


def add_parser(commands: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the options of both commands."""
    member = commands.add_parser("member", help="list, add, remove or replace nodes")
    actions = member.add_subparsers(title="actions", metavar="ACTION", required=True)

    listing = actions.add_parser("list", help="who belongs to the cluster, and how they are")
    listing.add_argument("--json", action="store_true", help="print the answer as JSON")
    _add_config(listing, _list)

    add = actions.add_parser("add", help="add a node: it learns, and votes once it has caught up")
    _add_new_node(add)
    _add_waiting(add)
    _add_config(add, _add)

    remove = actions.add_parser("remove", help="remove a node, dead or alive; a leader hands over first")
    remove.add_argument("node", metavar="NODE", help="such as node-1")
    _add_config(remove, _remove)

    replace = actions.add_parser("replace", help="add a node, wait until it votes, remove another")
    replace.add_argument("old", metavar="OLD", help="the node that goes")
    _add_new_node(replace)
    _add_waiting(replace)
    _add_config(replace, _replace)

    transfer = commands.add_parser("transfer", help="hand the leadership over, for instance before maintenance")
    transfer.add_argument("node", metavar="NODE", nargs="?", default="", help="to this one, or to the furthest")
    _add_config(transfer, _transfer)


def _add_new_node(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("node", metavar="NODE", help="name of the new node, such as node-4")
    parser.add_argument("peer", metavar="PEER", help="where the other replicas will reach it, HOST:PORT")
    parser.add_argument("door", metavar="DOOR", help="where gateways will reach it, HOST:PORT")


def _add_waiting(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--wait", type=int, default=300, metavar="SECONDS", help="how long to wait until it votes (%(default)s)"
    )


def _add_config(parser: argparse.ArgumentParser, run: Any) -> None:
    parser.add_argument(
        "--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help="the cluster's TOML file (%(default)s)"
    )
    parser.add_argument("--group", metavar="NAME", help="which market group's members; the default one if not said")
    parser.add_argument(
        "--name", default=OPERATOR_NAME, help="whose certificate is shown to the replicas (%(default)s)"
    )

    def guarded(arguments: argparse.Namespace) -> int:
        try:
            config = load_config(arguments.config)
            config = of_group(config, arguments.group or config.group)
            code: int = run(Doors(config, load_credentials(config, OPERATOR, arguments.name)), arguments)
        except (AdminError, ConfigError) as error:
            print(f"tally admin: {error}", file=sys.stderr)
            return 1
        return code

    parser.set_defaults(run=guarded)


class Doors:
    """All doors that are known: those of the file, and those that members told of."""

    def __init__(self, config: Config, credentials: LinkCredentials) -> None:
        self._group_id = group_id(config)
        self._credentials = credentials
        self._addresses: dict[str, tuple[str, int]] = {node_id: of.door for node_id, of in config.nodes.items()}

    def members(self) -> dict[str, Any]:
        """What the leader says, or without one the replica that knows most. AdminError if nobody answers."""
        views: list[dict[str, Any]] = []
        silent: list[str] = []
        asked: set[str] = set()
        while waiting := sorted(self._addresses.keys() - asked):
            asked.add(waiting[0])
            try:
                with self.open(waiting[0]) as door:
                    answer = door.ask("members")
            except DoorUnreachable as error:
                silent.append(str(error))
                continue
            if answer.error:
                silent.append(f"{waiting[0]}: {answer.error}")
                continue
            views.append(answer.value)
            for member in answer.value["members"]:
                address = parse_address(member["door"])
                if address is not None:
                    self._addresses[member["node"]] = address
        if not views:
            raise AdminError("no replica answers. " + "; ".join(silent))
        return max(views, key=lambda view: (view["role"] == "leader", view["term"], view["last_index"]))

    def ask_leader(self, name: str, **arguments: Any) -> dict[str, Any]:
        """Ask until a leader answers for good. AdminError if it refuses, or if there is none."""
        deadline_s = time.monotonic() + LEADER_TIMEOUT_S
        reason = "there is no leader"
        while time.monotonic() < deadline_s:
            view = self.members()
            if view["role"] == "leader":
                try:
                    with self.open(view["node"]) as door:
                        answer = door.ask(name, **arguments)
                except DoorUnreachable as error:
                    raise AdminError(f"{error}: whether it happened is not known, `member list` will say") from None
                if not answer.error:
                    value: dict[str, Any] = answer.value
                    return value
                if not answer.error.startswith(ASK_AGAIN):
                    raise AdminError(answer.error)
                reason = answer.error.removeprefix(ASK_AGAIN)
            time.sleep(_PAUSE_S)
        raise AdminError(f"given up after {LEADER_TIMEOUT_S:.0f} s: {reason}")

    def open(self, node_id: str) -> BlockingDoor:
        """A link to the door of a node that is known. DoorUnreachable if it does not open in time."""
        return BlockingDoor(node_id, self._addresses[node_id], self._group_id, self._credentials)


def _list(doors: Doors, arguments: argparse.Namespace) -> int:
    view = doors.members()
    print(json.dumps(view, indent=2) if arguments.json else _overview(view))
    return 0


def _add(doors: Doors, arguments: argparse.Namespace) -> int:
    known = _find(doors.members(), arguments.node)
    if known is None:
        doors.ask_leader("add_member", node=arguments.node, peer=arguments.peer, door=arguments.door)
    elif (known["peer"], known["door"]) != (arguments.peer, arguments.door):
        raise AdminError(f"{arguments.node} is a member already, at {known['peer']} and {known['door']}")
    print(f"{arguments.node} is a member. If it does not run yet, start it: tally node --node {arguments.node}")
    return _wait_until_it_votes(doors, arguments.node, arguments.wait)


def _remove(doors: Doors, arguments: argparse.Namespace) -> int:
    return _remove_node(doors, arguments.node)


def _replace(doors: Doors, arguments: argparse.Namespace) -> int:
    if arguments.old == arguments.node:
        raise AdminError("a node that lost its disk needs no command: start it with an empty folder")
    return _add(doors, arguments) or _remove_node(doors, arguments.old)


def _transfer(doors: Doors, arguments: argparse.Namespace) -> int:
    before = doors.members()["leader"]
    if arguments.node and arguments.node == before:
        print(f"{before} leads already")
        return 0
    doors.ask_leader("transfer_leadership", node=arguments.node)
    deadline_s = time.monotonic() + LEADER_TIMEOUT_S
    while time.monotonic() < deadline_s:
        view = doors.members()
        if view["role"] == "leader" and view["leader"] != before:
            print(f"{view['leader']} leads, in term {view['term']}")
            return 0
        time.sleep(_PAUSE_S)
    raise AdminError(f"{before} was asked to hand over and still leads: try again")


def _remove_node(doors: Doors, node_id: str) -> int:
    members = [member["node"] for member in doors.members()["members"]]
    if node_id not in members:
        print(f"{node_id} is no member; there are {', '.join(members)}")
        return 0
    view = doors.ask_leader("remove_member", node=node_id)
    voters = sum(member["voter"] for member in view["members"])
    print(f"{node_id} is no member any more. Take it out of the configuration files when it suits you.")
    if voters < 3:
        print(f"Careful: {voters} voters are left, so the exchange stops when one of them fails. Add a node.")
    return 0


def _wait_until_it_votes(doors: Doors, node_id: str, timeout_s: int) -> int:
    deadline_s = time.monotonic() + timeout_s
    told = ""
    while True:
        view = doors.members()
        member = _find(view, node_id)
        if member is None:
            raise AdminError(f"{node_id} was removed meanwhile")
        if member["voter"]:
            print(f"{node_id} votes")
            return 0
        if time.monotonic() >= deadline_s:
            print(f"{node_id} has not caught up yet. It will vote by itself as soon as it has.", file=sys.stderr)
            return 1
        now = (
            f"it has log index {member['match_index']} of {view['last_index']}" if member["linked"] else "it is not up"
        )
        if now != told:
            print(f"waiting for {node_id}: {now}")
            told = now
        time.sleep(_PAUSE_S)


def _find(view: dict[str, Any], node_id: str) -> dict[str, Any] | None:
    return next((member for member in view["members"] if member["node"] == node_id), None)


def _overview(view: dict[str, Any]) -> str:
    rows = [("NODE", "ROLE", "LINK", "LOG INDEX", "PEER", "DOOR")]
    for member in view["members"]:
        role = "leader" if member["leader"] else "voter" if member["voter"] else "learner"
        log_index = "?" if member["match_index"] is None else str(member["match_index"])
        link = "up" if member["linked"] else "down"
        rows.append((member["node"], role, link, log_index, member["peer"], member["door"]))
    leader = f"{view['leader']} leads, in term {view['term']}" if view["leader"] else "there is no leader"
    settled = "" if view["settled"] else "; a change is under way"
    return "\n".join([table(rows), f"{leader}{settled} (as {view['node']} says)"])


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of as many cells each, in columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
