"""``tally admin roll``: restarts the replicas of a cluster one at a time, the leader last, while orders flow.

Before each restart every member must be reachable, vote, be linked with the leader and have applied what the leader
had; a leader hands over first. After it the roll waits until the same is true again and the process is a new one. So
at no moment is more than one replica down on the roll's account. Whatever keeps the processes running (``tally up``,
``tally node`` of several groups, a service manager) starts them again, with the code that is installed by then.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from replication.blocking_door import DoorUnreachable
from replication.config import Config, ConfigError, load_config
from replication.identity import OPERATOR
from replication.local_cluster import OPERATOR_NAME
from replication.market_groups import of_group
from replication.member_desk import ASK_AGAIN, RESTART
from replication.tls import load_credentials
from sim.admin_members import DEFAULT_CONFIG, AdminError, Doors

if TYPE_CHECKING:
    from argparse import _SubParsersAction

TIMEOUT_S: Final = 120
SETTLE_S: Final = 5.0  # what is not well by then, before anything was restarted, is not just a moment's delay
_PAUSE_S: Final = 0.1

_EXAMPLES: Final = """\
examples:
  tally admin roll --dry-run                                is the cluster well, and in which order would it go?
  tally admin roll --config production.toml                 every replica of every market group
  tally admin roll --config production.toml --group metals
  tally admin roll --config production.toml --node node-2   this one alone, such as the first with a new version

Something must start a process again that has ended: `tally up` does, and so does a service manager that is told to
(systemd: Restart=always, RestartPreventExitStatus=70). Gateways are not restarted. If a replica does not come back in
time the roll ends there with exit code 1, and no other is touched; once it is back, say the same again.
"""


class Standing(NamedTuple):
    """How a group is at one moment. ``complaint`` is why no replica of it may be restarted now; empty if one may."""

    complaint: str
    leader: str
    members: tuple[str, ...]
    statuses: dict[str, dict[str, Any]]

    @property
    def order(self) -> list[str]:
        """The members by name, the leader last."""
        return sorted(self.members, key=lambda node_id: (node_id == self.leader, node_id))


def add_parser(commands: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the options."""
    parser = commands.add_parser(
        "roll",
        help="restart the replicas one at a time, the leader last",
        description="Restart the replicas of a cluster one at a time, the leader last, while orders flow.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help="the cluster's TOML file (%(default)s)"
    )
    parser.add_argument("--group", metavar="NAME", help="this market group alone; all of the file if not said")
    parser.add_argument("--node", metavar="NODE", help="this node alone")
    parser.add_argument("--dry-run", action="store_true", help="only look whether all is well, and say the order")
    parser.add_argument(
        "--timeout-s", type=_seconds, default=TIMEOUT_S, metavar="SECONDS", help="how long each may take (%(default)s)"
    )
    parser.add_argument(
        "--name", default=OPERATOR_NAME, help="whose certificate is shown to the replicas (%(default)s)"
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    try:
        config = load_config(arguments.config)
        names = [arguments.group] if arguments.group else list(config.groups)
        groups = [_Group(config, name, arguments) for name in names]
        plans = [group.plan(arguments.node) for group in groups]
        if arguments.node and not any(plans):
            raise AdminError(f"{arguments.node} is no member")
        begun_s = time.monotonic()
        for group, plan in zip(groups, plans, strict=True):
            group.roll(plan, dry_run=arguments.dry_run)
        if not arguments.dry_run:
            count = sum(map(len, plans))
            _say(f"{count} replica{'s' * (count != 1)} restarted in {time.monotonic() - begun_s:.1f} s")
    except (AdminError, ConfigError) as error:
        print(f"tally admin roll: {error}", file=sys.stderr)
        return 1
    return 0


class _Group:
    """One market group: how it is, and its replicas restarted one after the other."""

    def __init__(self, config: Config, name: str, arguments: argparse.Namespace) -> None:
        view = of_group(config, name)
        self._doors = Doors(view, load_credentials(view, OPERATOR, arguments.name))
        self._timeout_s = arguments.timeout_s
        self._label = f"group {name}: " if len(config.groups) > 1 else ""

    def plan(self, only_node: str | None) -> list[str]:
        """Whom to restart, in order. AdminError if the group is not well: then nothing is restarted."""
        try:
            standing = self._wait_until_well(SETTLE_S)
        except AdminError as error:
            raise AdminError(f"nothing was restarted. {self._label}{error}") from None
        return [node_id for node_id in standing.order if only_node in (None, node_id)]

    def roll(self, plan: list[str], *, dry_run: bool) -> None:
        if not dry_run:
            for position, node_id in enumerate(plan):
                self._restart(node_id, done=plan[:position], left=plan[position + 1 :])
            return
        standing = self._look()
        for number, node_id in enumerate(plan, start=1):
            alone = "the exchange stops until it is back" if len(standing.members) == 1 else "hands over first"
            _say(f"{self._label}{number}. {node_id}" + (f" (leads: {alone})" if node_id == standing.leader else ""))

    def _restart(self, node_id: str, *, done: list[str], left: list[str]) -> None:
        begun_s = time.monotonic()
        try:
            before_ns = self._ask_to_restart(node_id, begun_s + self._timeout_s, heirs=done)
            asked_s = time.monotonic()
            standing = self._wait_until_well(self._timeout_s, restarted=node_id, before_ns=before_ns)
        except AdminError as error:
            rest = f". Not restarted: {', '.join(left)}" if left else ""
            raise AdminError(f"{self._label}{error}{rest}") from None
        sequence = standing.statuses[node_id]["sequence"]
        _say(f"{self._label}{node_id} is back after {time.monotonic() - asked_s:.1f} s, at sequence {sequence}")

    def _ask_to_restart(self, node_id: str, deadline_s: float, heirs: list[str]) -> int:
        """Let it hand over if it leads, and ask it to restart. Answers since when its process had been running."""
        reason = "there was no time left"
        while True:
            standing = self._wait_until_well(deadline_s - time.monotonic())
            if time.monotonic() > deadline_s:
                raise AdminError(f"{node_id} was not restarted: {reason}")
            if node_id == standing.leader and len(standing.members) > 1:
                reason = "it leads, and does not hand over"
                self._hand_over(standing, next((heir for heir in heirs if heir in standing.members), ""))
                continue
            before_ns: int = standing.statuses[node_id]["started_at_ns"]
            try:
                with self._doors.open(node_id) as door:
                    answer = door.ask(RESTART)
            except DoorUnreachable:
                return before_ns  # it may have heard the question: whether it restarts will be seen
            if not answer.error:
                return before_ns
            if not answer.error.startswith(ASK_AGAIN):
                raise AdminError(f"{node_id}: {answer.error}")
            reason = answer.error.removeprefix(ASK_AGAIN)
            time.sleep(_PAUSE_S)

    def _hand_over(self, standing: Standing, heir: str) -> None:
        begun_s = time.monotonic()
        self._doors.ask_leader("transfer_leadership", node=heir)
        while time.monotonic() - begun_s < SETTLE_S:
            now = self._look()
            if not now.complaint and now.leader != standing.leader:
                took_s = time.monotonic() - begun_s
                _say(f"{self._label}{standing.leader} has handed over to {now.leader} after {took_s:.1f} s")
                return
            time.sleep(_PAUSE_S)

    def _wait_until_well(self, timeout_s: float, *, restarted: str = "", before_ns: int = 0) -> Standing:
        """Until nothing is amiss and this replica, if one is named, is another process. AdminError if it takes long."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            standing = self._look()
            back = not restarted or standing.statuses.get(restarted, {}).get("started_at_ns", before_ns) != before_ns
            if back and not standing.complaint:
                return standing
            if time.monotonic() > deadline_s:
                break
            time.sleep(_PAUSE_S)
        if restarted and not back:
            raise AdminError(
                f"{restarted} was asked to restart and is not back after {timeout_s:.0f} s: "
                "does something start it again (tally up, systemd with Restart=always)? Its log says what it did"
            )
        raise AdminError(standing.complaint)

    def _look(self) -> Standing:
        try:
            view = self._doors.members()
        except AdminError as error:
            return Standing(str(error), "", (), {})
        names = tuple(member["node"] for member in view["members"])
        # The leader first: what it has applied now, the others must have applied when they are asked.
        statuses: dict[str, dict[str, Any]] = {}
        complaints: list[str] = []
        for node_id in sorted(names, key=lambda name: (name != view["leader"], name)):
            try:
                with self._doors.open(node_id) as door:
                    statuses[node_id] = door.ask("status").value
            except DoorUnreachable as error:
                complaints.append(str(error))
        complaints += _complaints(view, statuses)
        return Standing(complaints[0] if complaints else "", view["leader"], names, statuses)


def _complaints(view: dict[str, Any], statuses: dict[str, dict[str, Any]]) -> list[str]:
    """What is amiss among members that can be reached: one sentence each."""
    leader = statuses.get(view["leader"])
    if view["role"] != "leader" or leader is None or not leader["serving"]:
        return ["there is no leader that serves"]
    found = [] if view["settled"] else ["a change of the members is under way"]
    for member in view["members"]:
        node_id, status = member["node"], statuses.get(member["node"])
        if not member["voter"]:
            found.append(f"{node_id} does not vote yet")
        elif not member["linked"]:
            found.append(f"{node_id} has no link with the leader {view['leader']}")
        elif status is not None and "started_at_ns" not in status:
            found.append(f"{node_id} runs a version that cannot be asked to restart: restart it by hand")
        elif status is not None and status["sequence"] < leader["sequence"]:
            found.append(f"{node_id} is at sequence {status['sequence']}, the leader at {leader['sequence']}")
    return found


def _say(line: str) -> None:
    print(line, flush=True)


def _seconds(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return int(text)
