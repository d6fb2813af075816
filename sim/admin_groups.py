"""``tally admin group`` and ``tally admin market``: what an operator does about market groups while orders flow.

A group is added to the configuration file; what runs with that file starts its replicas, links to them and relays to
them within a second or two. Everything else here is a signed request to a gateway.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from replication.config import Address, Config, ConfigError, NodeAddresses, load_config
from replication.config_edit import add_group
from replication.local_cluster import LocalClusterError, loopback_addresses
from sim.client import Client, ClientError, Credentials

if TYPE_CHECKING:
    from argparse import _SubParsersAction

READY_WITHIN_S: Final = 60.0
SETTLE_WITHIN_S: Final = 20.0
_POLL_S: Final = 0.2
_PORT_MAX: Final = 65_535
_Raw: Final = argparse.RawDescriptionHelpFormatter

_GROUP_EXAMPLES: Final = """\
examples:
  tally admin group list
  tally admin group add metals --config tally-data/cluster.toml --wait
  tally admin group add metals --config production.toml --peer-port 7301 --door-port 7401

`add` writes [groups.NAME.nodes] into the file, with the nodes of the default group. On a cluster of several machines
copy the file to each of them: `tally up`, `tally node` (where it keeps several groups) and `tally gateway` look at it
every second and take up what is new. A node that ran a single group before is restarted once, or runs the replica of
the new group with `tally node --group`.
"""

_MARKET_EXAMPLES: Final = """\
examples:
  tally admin market list
  tally admin market add GLD EUR --group metals --tick 0.01 --lot 0.001 --maker-fee 0.0010 --taker-fee 0.0025

The assets must exist in the home group; the market's group gets them from there. A market is listed in one group only,
and stays there.
"""


class AdminError(Exception):
    """What was asked cannot be done. The text is one sentence."""


def add_parser(commands: _SubParsersAction[argparse.ArgumentParser], *, url: str, data_dir: Path) -> None:
    """Describe the options of both commands. ``url`` and ``data_dir`` are where the exchange is, if nobody says."""
    group = commands.add_parser(
        "group", help="list market groups, or add one", epilog=_GROUP_EXAMPLES, formatter_class=_Raw
    )
    _add_group_actions(group.add_subparsers(title="actions", metavar="ACTION", required=True), url, data_dir)
    market = commands.add_parser(
        "market", help="list markets, or add one to a group", epilog=_MARKET_EXAMPLES, formatter_class=_Raw
    )
    _add_market_actions(market.add_subparsers(title="actions", metavar="ACTION", required=True), url, data_dir)


def _add_group_actions(actions: _SubParsersAction[argparse.ArgumentParser], url: str, data_dir: Path) -> None:
    listing = actions.add_parser("list", help="who leads each group, and what is on its way between them")
    _add_client_options(listing, url, data_dir)
    listing.set_defaults(run=_guarded("group", _list_groups))
    adding = actions.add_parser("add", help="add a market group to the configuration file")
    adding.add_argument("name", help="lower-case letters, digits and '-'")
    adding.add_argument("--config", type=Path, required=True, metavar="FILE", help="the cluster's TOML file")
    adding.add_argument("--peer-port", type=_port, help="where its replicas listen for each other, on every node")
    adding.add_argument("--door-port", type=_port, help="where they listen for gateways, on every node")
    adding.add_argument("--wait", action="store_true", help="until the gateway says that the group has a leader")
    _add_client_options(adding, url, data_dir)
    adding.set_defaults(run=_guarded("group", _add_group))


def _add_market_actions(actions: _SubParsersAction[argparse.ArgumentParser], url: str, data_dir: Path) -> None:
    listing = actions.add_parser("list", help="all markets, their groups and states")
    _add_client_options(listing, url, data_dir)
    listing.set_defaults(run=_guarded("market", _list_markets))
    adding = actions.add_parser("add", help="list a market in a group")
    adding.add_argument("base", help="asset that is traded, such as GLD")
    adding.add_argument("quote", help="asset that it is priced in, such as EUR")
    adding.add_argument("--group", help="its group (the home group)")
    adding.add_argument("--tick", required=True, help="smallest step of the price, such as 0.01")
    adding.add_argument("--lot", required=True, help="smallest step of the quantity, such as 0.001")
    adding.add_argument("--min-notional", default="0", help="smallest worth of an order (%(default)s)")
    adding.add_argument("--maker-fee", default="0", help="such as 0.0010; negative is a rebate (%(default)s)")
    adding.add_argument("--taker-fee", default="0", help="such as 0.0025 (%(default)s)")
    adding.add_argument("--state", default="open", help="pre_open, auction, open, ... (%(default)s)")
    _add_client_options(adding, url, data_dir)
    adding.set_defaults(run=_guarded("market", _add_market))


def _list_groups(arguments: argparse.Namespace) -> None:
    for group in _groups(_client(arguments)):
        flying = ", ".join(f"{amount} {asset}" for asset, amount in (group["in_flight"] or {}).items()) or "nothing"
        home = " (home)" if group["home"] else ""
        print(f"{group['group']}{home}: led by {group['leader'] or 'nobody'}, sequence {group['sequence']}")
        print(f"  markets    {', '.join(group['markets']) or 'none'}")
        print(f"  in flight  {'unknown' if group['in_flight'] is None else flying}")
        if group["transfers_stuck"]:
            print(f"  stuck      {group['transfers_stuck']} transfers: see the log of the leader")


def _add_group(arguments: argparse.Namespace) -> None:
    config = load_config(arguments.config)
    known = config.groups.get(arguments.name)
    nodes = dict(known) if known is not None else _addresses(config, arguments.peer_port, arguments.door_port)
    add_group(arguments.config, arguments.name, nodes)
    if known is not None:
        print(f"Group {arguments.name} stands in {arguments.config} already.")
    else:
        print(f"Group {arguments.name} was added to {arguments.config}:")
        for node_id, addresses in nodes.items():
            print(f"  {node_id}  peer {addresses.peer}  door {addresses.door}")
    if arguments.wait:
        _wait_for_leader(_client(arguments), arguments.name)


def _list_markets(arguments: argparse.Namespace) -> None:
    client = _client(arguments)
    home = next(group["group"] for group in _groups(client) if group["home"])
    for market in client.request("GET", "/v1/markets").expect().body["markets"]:
        print(f"{market['market']:<14} {market.get('group', home):<14} {market['state']}")


def _add_market(arguments: argparse.Namespace) -> None:
    body = {
        "base": arguments.base,
        "quote": arguments.quote,
        "tick": arguments.tick,
        "lot": arguments.lot,
        "min_notional": arguments.min_notional,
        "maker_fee": arguments.maker_fee,
        "taker_fee": arguments.taker_fee,
        "state": arguments.state,
    }
    client = _client(arguments)
    query = f"?group={arguments.group}" if arguments.group else ""
    response = client.settle(lambda: client.request("POST", f"/v1/admin/markets{query}", body), SETTLE_WITHIN_S)
    print(json.dumps(response.expect().body, indent=2))


def _addresses(config: Config, peer_port: int | None, door_port: int | None) -> dict[str, NodeAddresses]:
    """Of the default group's nodes, on their hosts. Nodes of one host get ports one behind the other."""
    hosts = {node_id: addresses.peer.host for node_id, addresses in config.nodes.items()}
    if peer_port is None and door_port is None:
        if not all(_is_loopback(host) for host in hosts.values()):
            raise AdminError("the nodes are on several machines: choose ports with --peer-port and --door-port")
        return loopback_addresses(config.path, hosts)
    if peer_port is None or door_port is None:
        raise AdminError("--peer-port and --door-port go together")
    used: Counter[str] = Counter()
    nodes = {}
    for node_id, host in hosts.items():
        peer, door = peer_port + used[host], door_port + used[host]
        if max(peer, door) > _PORT_MAX:
            raise AdminError(f"the ports of {node_id} would be above {_PORT_MAX}: choose lower ones")
        nodes[node_id] = NodeAddresses(Address(host, peer), Address(config.nodes[node_id].door.host, door))
        used[host] += 1
    return nodes


def _wait_for_leader(client: Client, name: str) -> None:
    begun_s = time.monotonic()
    while time.monotonic() - begun_s < READY_WITHIN_S:
        led = next((group["leader"] for group in _groups(client) if group["group"] == name), None)
        if led:
            print(f"Group {name} is led by {led}, after {time.monotonic() - begun_s:.1f} s.")
            return
        time.sleep(_POLL_S)
    raise AdminError(f"group {name} has no leader after {READY_WITHIN_S:.0f} s: do its nodes run with this file?")


def _groups(client: Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.request("GET", "/v1/admin/groups").expect().body["groups"]
    return found


def _client(arguments: argparse.Namespace) -> Client:
    return Client(arguments.url, Credentials.load(arguments.data))


def _guarded(command: str, action: Callable[[argparse.Namespace], None]) -> Callable[[argparse.Namespace], int]:
    """The action, with what keeps it from being done said in one line. Answers the exit code."""

    def run(arguments: argparse.Namespace) -> int:
        try:
            action(arguments)
        except (AdminError, ClientError, ConfigError, LocalClusterError) as error:
            print(f"tally admin {command}: {error}", file=sys.stderr)
            return 1
        return 0

    return run


def _add_client_options(parser: argparse.ArgumentParser, url: str, data_dir: Path) -> None:
    parser.add_argument("--url", default=url, help="the exchange (%(default)s)")
    parser.add_argument(
        "--data",
        type=Path,
        default=data_dir,
        metavar="DIR",
        help='folder of `tally up`, for its operator.key (%(default)s); TALLY_KEY="key_id:secret" wins',
    )


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= _PORT_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 1 to {_PORT_MAX}")
    return int(text)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
