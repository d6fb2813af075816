"""``tally``: the one command of Tallystick.

Each sub-command imports its package only when it is called, so ``tally --help`` is quick and a replica
never loads the gateway. An expected failure is one sentence on standard error: exit code 1, or 2 where
the command line itself is wrong.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gateway.serve import GatewayOptions
    from replication.config import Address, Config

_PROGRAM: Final = (sys.executable, str(Path(__file__).resolve()))  # what stands for `tally` in a child process
DEFAULT_DIRECTORY: Final = Path("tally-data")
DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 8080
DEFAULT_URL: Final = f"http://{DEFAULT_HOST}:{DEFAULT_PORT}"

_EXAMPLES: Final = """\
examples:
  tally up                               three replicas and a gateway here, data in ./tally-data
  tally up --demo                        the same, with traders that trade by themselves
  tally up --kafka 127.0.0.1:9092        the same, with events to Kafka and commands from it
  tally call GET /v1/accounts/me         one signed request, as the operator
  tally import bitstamp orders.csv.xz    replay a recorded day of orders into the running exchange
  tally load --seconds 10                how many orders a second are committed over HTTP
  tally admin group list                 the market groups, their leaders and markets
  tally projector status --config c.toml where the read models stand
  tally query orders --account ana       search the history that the projector wrote
  tally accept                           play the acceptance scenarios on the running exchange
  tally judge normal-seed23.bin.xz       execute a workload of a public benchmark and hash what was reported
  tally sim --seed 7                     break a simulated cluster in every way and see whether it keeps its promises
  tally chaos --minutes 5                break a cluster of real processes in every way and reconcile every fill
  tally replay tally-data                execute the whole log again and compare every replica with it
  tally admin certs --config c.toml --out tls     certificates for the machines of a cluster
  tally admin member list                the replicas of the cluster, and how far they are
  tally admin roll                       restart them one at a time, the leader last, while orders flow

`tally COMMAND --help` says more about each command.
"""

_NODE_EXAMPLES: Final = """\
examples:
  tally node --config cluster.toml --node node-1                  the node's replicas of all market groups
  tally node --config cluster.toml --node node-1 --group metals   one of them

With one group in the file this process is the replica. With several it keeps one process per group running, and starts
those of groups that are added to the file later.
"""

_EXPORTER_EXAMPLES: Final = """\
examples:
  tally exporter --config cluster.toml --node node-1                        the exporters of all its groups
  tally exporter --config cluster.toml --node node-1 --group metals         one of them
  tally exporter --config cluster.toml --node node-1 --metrics-port 9464    with numbers for Prometheus

One runs beside each replica; it sends while that replica leads. [kafka] of the file names the brokers; the user and the
password, if it asks for them, come from TALLY_KAFKA_USERNAME and TALLY_KAFKA_PASSWORD. docs/events.md says what it
writes. Exit code 70: the topic cannot be written to, the log says why.
"""

_INGRESS_EXAMPLES: Final = """\
examples:
  tally ingress --config cluster.toml                        commands of all market groups
  tally ingress --config cluster.toml --group metals         of one of them
  tally ingress --config cluster.toml --metrics-port 9474    with numbers for Prometheus

It needs what a gateway needs: a gateway's certificate and the master key. Several may run; Kafka shares the topics
among them. docs/events.md says what a command looks like.
"""

_LOAD_EXAMPLES: Final = """\
examples:
  tally load --seconds 10                                    orders, one in a request
  tally load --batch 50                                      orders, fifty in a request
  tally load --read /v1/markets/LOADBASE-LOADQUOTE/book      reads, as new as can be
  tally load --read '/v1/accounts/me?min_sequence=1'         reads that followers may answer

It opens accounts, assets and a market of its own, which stay behind.
"""

_ACCEPT_EXAMPLES: Final = """\
examples:
  tally accept                                            all of them, on the exchange of this machine
  tally accept tests/acceptance/F4-cascade.txt            one of them
  TALLY_KEY=id:secret tally accept --url http://HOST:8080 on another exchange, as its operator

Each scenario makes accounts, assets and markets of its own and leaves everything else alone.
"""

_JUDGE_EXAMPLES: Final = """\
examples:
  tally judge flash1-normal-seed23.bin.xz
  tally judge flash1-normal-seed23.bin.xz --expect e9b2e3926854410b01a035aeb25dd05f1e597c233be8263de9eb49b6713d367e
  tally judge orders.bin --limit 1000 --reports reports.txt      the first messages, and what was reported
  TALLY_PURE=1 tally judge orders.bin                            the interpreted engine

The file is a workload of flash1-dev/matching-engine-benchmark. The engine executes it in this process; no exchange is
needed. Exit code 1 if the hash is not the expected one, or if the engine does what the benchmark's rules do not know.
"""


_REPLAY_EXAMPLES: Final = """\
examples:
  tally replay tally-data                                       execute the whole history of this machine's exchange
  tally call GET /v1/nodes > nodes.json                         the keys that receipts are signed with
  tally call GET /v1/receipts/17 > receipt.json                 what happened at sequence 17, signed
  tally replay --verify-receipt receipt.json --public-key nodes.json
  tally replay --verify-receipt receipt.json --archive tally-data
  tally replay --verify-receipt receipt.json --chain-head 17:9c41...e07a

Exit codes of --verify-receipt: 0 confirmed, 1 refuted, 2 the command line or a file cannot be used, 3 undecided.
docs/receipts.md says what each check proves.
"""


_SIM_EXAMPLES: Final = """\
examples:
  tally sim                                  a fresh seed, one virtual minute
  tally sim --seed 7 --minutes 5             one seed; the same one does the same again, to the last byte
  tally sim --seed 1 --seeds 100 --jobs 4    a hundred seeds, four at a time; stops at the first that fails
  tally sim --seed 7 --nodes 5 --trace-hash  five replicas, and a hash over everything that happened
  tally sim --seeds 9 --faults configs/sim-disks.toml --report sim.html
                                             what goes wrong as the file says, and a page about it

One process runs the real replicas on simulated clocks, links and disks. Clients trade and retry while replicas are
killed, machines lose power, disks fail and paths are cut. docs/simulator.md says more.

Exit codes: 0 pass; 1 a promise was broken: the output ends with what happened before, the faults that are enough to
break it, and the command that repeats it; 2 the command line or a file cannot be used; 3 unknown: too little was asked,
or nothing went wrong, so nothing is shown.
"""


_CHAOS_EXAMPLES: Final = """\
examples:
  tally chaos                                           a fresh seed, two minutes of everything
  tally chaos --seed 7 --minutes 10                     the schedule of one seed
  tally chaos --faults kill-leader,isolate,flip         only these kinds; --list shows them all
  tally chaos --kills 100                               the leader is killed 100 times under load, and nothing else
  tally chaos --seed 7 --json --keep chaos-7            the report as JSON; the cluster's folder and logs stay

It starts three replicas and a gateway of its own in a temporary folder, lets traders trade over HTTP, and breaks one
thing after the other: processes, links between replicas, disks. At the end every answer, fill, fee and balance is
compared with every replica's archive, executed again from nothing. The same seed gives the same schedule of faults,
never the same timing. Exit code 0: pass; 1: a promise was broken, and the folder is kept; 3: unknown, too little
happened to show anything. With the right to mount each replica has a small disk of its own, which can be full.
docs/chaos.md says more.
"""


def main(argv: list[str] | None = None) -> int:
    """Run one command; answers the exit code."""
    if sys.flags.optimize:
        print(
            "tally: do not run with python -O or PYTHONOPTIMIZE: the exchange's own checks must stay on.",
            file=sys.stderr,
        )
        return 2
    parser = build_parser()
    # What follows these is for parsers of their own.
    arguments, rest = parser.parse_known_args(argv)
    if rest and arguments.run not in (_admin, _bench, _projector, _query):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    arguments.rest = rest
    try:
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read the output has seen enough. Nothing more must be written there, not even when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tally",
        description="Tallystick, the core of a digital-asset exchange.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    up = commands.add_parser("up", help="run a whole exchange on this machine")
    up.add_argument("--data", type=Path, default=DEFAULT_DIRECTORY, metavar="DIR", help="its folder (%(default)s)")
    up.add_argument("--host", default=DEFAULT_HOST, help="where the gateway listens (%(default)s)")
    up.add_argument("--port", type=_port, default=DEFAULT_PORT, help="its port (%(default)s); 0 chooses a free one")
    up.add_argument(
        "--groups", type=_positive, default=1, metavar="N", help="at least so many market groups (%(default)s)"
    )
    up.add_argument(
        "--kafka",
        type=_address,
        metavar="HOST:PORT",
        help="export events to this broker, and take commands from it, from now on; written into the cluster's file",
    )
    up.add_argument("--demo", action="store_true", help="start traders that trade by themselves")
    up.add_argument("--no-history", action="store_true", help="without the projector and the query server")
    up.set_defaults(run=_up)

    node = commands.add_parser(
        "node",
        help="run the replicas of one node",
        epilog=_NODE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    node.add_argument("--config", type=Path, required=True, metavar="FILE", help="the cluster's TOML file")
    node.add_argument("--node", required=True, metavar="NAME", help="which of its nodes this is, such as node-1")
    node.add_argument("--group", metavar="NAME", help="only its replica of this market group, in this process")
    node.set_defaults(run=_node)

    gateway = commands.add_parser("gateway", help="run one HTTP gateway")
    gateway.add_argument("--config", type=Path, required=True, metavar="FILE", help="the cluster's TOML file")
    gateway.add_argument("--name", default="gateway-1", help="whose certificate it shows to the nodes (%(default)s)")
    gateway.add_argument("--host", help="instead of gateway.host of the file")
    gateway.add_argument("--port", type=_port, help="instead of gateway.port of the file")
    gateway.add_argument(
        "--operator-key",
        type=Path,
        metavar="FILE",
        help='JSON {"key_id", "secret"}: an API key of the operator, created if it does not exist yet',
    )
    gateway.set_defaults(run=_gateway)

    projector = commands.add_parser("projector", help="keep the read models in a database", add_help=False)
    projector.set_defaults(run=_projector)

    query = commands.add_parser("query", help="search the history, or serve it to gateways", add_help=False)
    query.set_defaults(run=_query)
    exporter = commands.add_parser(
        "exporter",
        help="publish what a node's replicas commit to Kafka, while they lead",
        epilog=_EXPORTER_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    exporter.add_argument("--config", type=Path, required=True, metavar="FILE", help="the cluster's TOML file")
    exporter.add_argument("--node", required=True, metavar="NAME", help="beside which node it runs, such as node-1")
    exporter.add_argument("--group", metavar="NAME", help="only of this market group, in this process")
    exporter.add_argument("--name", default="reader-1", help="whose certificate it shows to the nodes (%(default)s)")
    exporter.add_argument(
        "--metrics-port", type=_port, default=0, metavar="PORT", help="answer Prometheus on loopback there (0: do not)"
    )
    exporter.set_defaults(run=_exporter)

    ingress = commands.add_parser(
        "ingress",
        help="execute signed commands that come from Kafka",
        epilog=_INGRESS_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    ingress.add_argument("--config", type=Path, required=True, metavar="FILE", help="the cluster's TOML file")
    ingress.add_argument("--group", metavar="NAME", help="only the commands of this market group")
    ingress.add_argument("--name", default="gateway-1", help="whose certificate it shows to the nodes (%(default)s)")
    ingress.add_argument(
        "--metrics-port", type=_port, default=0, metavar="PORT", help="answer Prometheus on loopback there (0: do not)"
    )
    ingress.set_defaults(run=_ingress)

    call = commands.add_parser("call", help="send one signed request and print the answer")
    call.add_argument("method", choices=("GET", "POST", "PUT", "PATCH", "DELETE"))
    call.add_argument("path", help="such as /v1/orders?market=BTC-USD")
    call.add_argument("body", nargs="?", help="a JSON object")
    call.add_argument("--key", type=Path, metavar="FILE", help='JSON {"key_id", "secret"}, instead of the operator\'s')
    _add_client_options(call)
    call.set_defaults(run=_call)

    import_ = commands.add_parser("import", help="replay a recorded order flow into a running exchange")
    import_.add_argument("format", choices=("bitstamp",), help="what the file is")
    import_.add_argument("file", type=Path, help="CSV, plain or .xz")
    import_.add_argument("--batch", type=_positive, default=50, help="rows in one request (%(default)s)")
    import_.add_argument("--limit", type=_positive, help="stop after so many rows")
    _add_client_options(import_)
    import_.set_defaults(run=_import)

    demo = commands.add_parser("demo", help="trade by itself, for ever")
    _add_client_options(demo)
    demo.set_defaults(run=_demo)

    load = commands.add_parser(
        "load",
        help="measure committed orders, or reads, per second over HTTP",
        epilog=_LOAD_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    load.add_argument("--connections", type=_positive, default=64, help="(%(default)s)")
    load.add_argument("--seconds", type=_positive, default=10, help="(%(default)s)")
    load.add_argument("--pipeline", type=_positive, default=1, help="requests in flight per connection (%(default)s)")
    load.add_argument("--batch", type=_positive, default=0, help="orders in one request, instead of one each")
    load.add_argument("--read", metavar="PATH", help="GET this again and again, instead of placing orders")
    load.add_argument("--json", action="store_true", help="print the result as JSON")
    _add_client_options(load)
    load.set_defaults(run=_load)

    accept = commands.add_parser(
        "accept",
        help="play the acceptance scenarios on a running exchange",
        epilog=_ACCEPT_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    accept.add_argument("files", type=Path, nargs="*", metavar="FILE", help="scenarios, instead of the bundled ones")
    accept.add_argument("--list", action="store_true", help="list the scenarios and stop")
    _add_client_options(accept)
    accept.set_defaults(run=_accept)

    judge = commands.add_parser(
        "judge",
        help="execute a workload of a public matching benchmark",
        epilog=_JUDGE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    judge.add_argument("file", type=Path, help="a workload, .bin or .bin.xz")
    judge.add_argument("--limit", type=_positive, metavar="N", help="only the first so many messages")
    judge.add_argument("--expect", metavar="SHA256", help="what the reports must hash to")
    judge.add_argument("--reports", type=Path, metavar="FILE", help="write the canonical report stream there")
    judge.add_argument("--json", action="store_true", help="print the result as JSON")
    judge.set_defaults(run=_judge)

    replay = commands.add_parser(
        "replay",
        help="execute the whole log again and verify it, or check one receipt",
        epilog=_REPLAY_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    replay.add_argument(
        "directory",
        type=Path,
        nargs="?",
        default=DEFAULT_DIRECTORY,
        help="folder of `tally up`, or of one replica (%(default)s); it may be running",
    )
    replay.add_argument("--verify-receipt", type=Path, metavar="FILE", help="check this receipt, and execute nothing")
    replay.add_argument(
        "--archive", type=Path, metavar="DIR", help="look the receipt up there: a folder like the above, or a copy"
    )
    replay.add_argument(
        "--chain-head", metavar="SEQUENCE:CHAIN", help="compare the receipt with the chain as it was after a sequence"
    )
    replay.add_argument(
        "--public-key", metavar="KEY", help="whose signature it must be: 64 digits, or a file (nodes.json)"
    )
    replay.set_defaults(run=_replay)

    admin = commands.add_parser(
        "admin", help="look after a cluster: certificates, members, market groups", add_help=False
    )
    admin.set_defaults(run=_admin)

    bench = commands.add_parser("bench", help="measure parts of the exchange", add_help=False)
    bench.set_defaults(run=_bench)

    mutants = commands.add_parser("mutants", help="plant known bugs in a copy of the tree: do the tests object?")
    mutants.add_argument(
        "--with",
        dest="judge",
        choices=("tests", "sim"),
        default="tests",
        help="who must object: the tests, or the simulator with twenty seeds (%(default)s)",
    )
    mutants.add_argument("--only", metavar="NAME", help="one mutant of docs/mutants.md instead of all")
    mutants.add_argument("--jobs", type=_positive, default=1, metavar="N", help="how many at a time (%(default)s)")
    mutants.add_argument("--table", action="store_true", help="print the table of docs/mutants.md and stop")
    mutants.set_defaults(run=_mutants)

    sim = commands.add_parser(
        "sim",
        help="break a whole cluster on virtual time: does it keep its promises?",
        epilog=_SIM_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    sim.add_argument(
        "--seed", type=_natural, metavar="N", help="the first seed; without it a fresh one, which is printed"
    )
    sim.add_argument(
        "--seeds", type=_positive, default=1, metavar="K", help="run so many, until one fails (%(default)s)"
    )
    sim.add_argument(
        "--minutes", type=_minutes, default=1.0, metavar="M", help="virtual minutes of trade and trouble (%(default)g)"
    )
    sim.add_argument("--nodes", type=_nodes, default=3, metavar="N", help="replicas, 3 to 9 (%(default)s)")
    sim.add_argument("--jobs", type=_positive, default=1, metavar="J", help="seeds at a time (%(default)s)")
    sim.add_argument(
        "--faults", type=Path, metavar="FILE", help="what goes wrong and how often, TOML (docs/simulator.md)"
    )
    sim.add_argument("--schedule", type=Path, metavar="FILE", help="these faults and no others, as a failing run wrote")
    sim.add_argument("--report", type=Path, metavar="FILE", help="write an HTML page about all seeds")
    sim.add_argument(
        "--minimise-s",
        type=_seconds_or_none,
        default=30.0,
        metavar="S",
        help="look so long for fewer faults that make a failing seed fail; 0: not at all (%(default)g)",
    )
    sim.add_argument("--trace-hash", action="store_true", help="print a hash over everything that happened")
    sim.add_argument(
        "--keep", type=Path, metavar="DIR", help="leave the replicas' files there, one folder for each seed"
    )
    sim.set_defaults(run=_sim)

    chaos = commands.add_parser(
        "chaos",
        help="break a cluster of real processes: is every fill still right?",
        epilog=_CHAOS_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    chaos.add_argument("--seed", type=_natural, metavar="N", help="of the schedule; without it a fresh one")
    length = chaos.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=_minutes, default=2.0, metavar="M", help="of trouble (%(default)g)")
    length.add_argument("--kills", type=_positive, default=0, metavar="N", help="kill the leader so often instead")
    chaos.add_argument("--faults", metavar="LIST", help="kinds of faults with commas between, instead of all")
    chaos.add_argument("--list", action="store_true", help="list the kinds of faults and stop")
    chaos.add_argument("--orders", type=_positive, default=100, metavar="N", help="a second, about (%(default)s)")
    chaos.add_argument("--json", action="store_true", help="print the report as JSON")
    chaos.add_argument("--keep", type=Path, metavar="DIR", help="an empty or new folder for the cluster; it stays")
    chaos.set_defaults(run=_chaos)

    version = commands.add_parser("version", help="print the version")
    version.set_defaults(run=_version)
    return parser


def _add_client_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", default=DEFAULT_URL, help="the exchange (%(default)s)")
    parser.add_argument(
        "--data",
        type=Path,
        default=DEFAULT_DIRECTORY,
        metavar="DIR",
        help='folder of `tally up`, for its operator.key (%(default)s); TALLY_KEY="key_id:secret" wins',
    )


def _up(arguments: argparse.Namespace) -> int:
    from replication.config import ConfigError
    from replication.local_cluster import LocalClusterError
    from replication.up import UpOptions, up

    options = UpOptions(
        program=_PROGRAM,
        directory=arguments.data,
        host=arguments.host,
        port=arguments.port,
        demo=arguments.demo,
        history=not arguments.no_history,
        groups=arguments.groups,
        kafka=arguments.kafka,
    )
    try:
        return up(options)
    except (ConfigError, LocalClusterError) as error:
        return _fail("up", error)


def _node(arguments: argparse.Namespace) -> int:
    from replication.config import ConfigError, load_config, node_addresses
    from replication.market_groups import groups_of_node, of_group
    from replication.node_processes import run_node
    from replication.replica_process import run_replica

    try:
        config = load_config(arguments.config)
        groups = [arguments.group] if arguments.group else groups_of_node(config, arguments.node)
        if len(groups) > 1:
            return run_node(config, arguments.node, _PROGRAM)
        config = of_group(config, groups[0])
        node_addresses(config, arguments.node)
        _log_to_stderr()
        return run_replica(config, arguments.node)
    except ConfigError as error:
        return _fail("node", error)


def _exporter(arguments: argparse.Namespace) -> int:
    from replication.config import ConfigError, load_config, node_addresses
    from replication.exporter_process import kafka_settings, run_exporter
    from replication.market_groups import groups_of_node, of_group
    from replication.node_processes import run_exporters

    try:
        config = load_config(arguments.config)
        kafka_settings(config)
        groups = [arguments.group] if arguments.group else groups_of_node(config, arguments.node)
        if len(groups) > 1:
            return run_exporters(
                config, arguments.node, _PROGRAM, reader=arguments.name, metrics_port=arguments.metrics_port
            )
        config = of_group(config, groups[0])
        node_addresses(config, arguments.node)
        _log_to_stderr()
        return run_exporter(config, arguments.node, reader=arguments.name, metrics_port=arguments.metrics_port)
    except (ConfigError, OSError) as error:
        return _fail("exporter", error)


def _gateway(arguments: argparse.Namespace) -> int:
    from gateway.serve import serve
    from replication.config import ConfigError, load_config

    _log_to_stderr()
    try:
        options = _gateway_options(
            load_config(arguments.config),
            arguments.name,
            host=arguments.host,
            port=arguments.port,
            operator_key=arguments.operator_key,
        )
    except (ConfigError, _KeyFileError) as error:
        return _fail("gateway", error)
    serve(options)
    return 0


def _ingress(arguments: argparse.Namespace) -> int:
    from gateway.auth import SealError
    from gateway.ingress_process import IngressOptions, run_ingress
    from replication.config import ConfigError, load_config
    from replication.exporter_process import kafka_settings
    from replication.kafka_settings import KafkaCredentialsMissing, client_options

    _log_to_stderr()
    try:
        config = load_config(arguments.config)
        kafka = kafka_settings(config)
        groups = [arguments.group] if arguments.group else list(config.groups)
        options = IngressOptions(
            gateway=_gateway_options(config, arguments.name),
            client=client_options(kafka),
            topics={kafka.command_topic(group): kafka.refused_topic(group) for group in groups},
            consumer_group=f"{kafka.topic_prefix}.ingress",
            age_s_max=kafka.command_age_s_max,
            replication_factor=kafka.replication_factor,
            min_insync_replicas=kafka.min_insync_replicas,
            metrics_port=arguments.metrics_port,
        )
        run_ingress(options)
    except (ConfigError, KafkaCredentialsMissing, SealError, OSError) as error:
        return _fail("ingress", error)
    return 0


def _gateway_options(
    config: Config, name: str, *, host: str | None = None, port: int | None = None, operator_key: Path | None = None
) -> GatewayOptions:
    """How the gateway with this certificate reaches the exchange. ConfigError or _KeyFileError."""
    from gateway.serve import GatewayOptions, GroupDoors
    from replication.config import read_master_key
    from replication.config_watch import ConfigWatch
    from replication.identity import GATEWAY
    from replication.market_groups import doors_of_group, id_of_group
    from replication.tls import load_credentials

    watch = ConfigWatch(config.path, time.monotonic)

    def others(config: Config) -> dict[str, GroupDoors]:
        names = [name for name in config.groups if name != config.home]
        return {name: GroupDoors(id_of_group(config, name), doors_of_group(config, name)) for name in names}

    def poll_groups() -> dict[str, GroupDoors] | None:
        changed = watch.poll()
        return None if changed is None else others(changed)

    return GatewayOptions(
        host=host or config.gateway.host,
        port=config.gateway.port if port is None else port,
        doors=dict(doors_of_group(config, config.home)),
        group_id=id_of_group(config, config.home),
        home=config.home,
        other_groups=others(config),
        poll_groups=poll_groups,
        credentials=load_credentials(config, GATEWAY, name),
        master_key=read_master_key(config),
        bootstrap_operator=_read_key(operator_key) if operator_key else None,
        request_timeout_ms=config.gateway.request_timeout_ms,
        query_server=config.query_address,
    )


def _projector(arguments: argparse.Namespace) -> int:
    from sim.projector import main as projector

    return projector(arguments.rest)


def _query(arguments: argparse.Namespace) -> int:
    from sim.query import main as query

    return query(arguments.rest, config_file=DEFAULT_DIRECTORY / "cluster.toml")


def _call(arguments: argparse.Namespace) -> int:
    from sim.client import Client, ClientError, Credentials

    try:
        body = None if arguments.body is None else json.loads(arguments.body)
    except json.JSONDecodeError as error:
        return _fail("call", f"the body is not JSON: {error}")
    if body is not None and not isinstance(body, dict):
        return _fail("call", 'the body must be a JSON object, such as \'{"name": "BTC"}\'')
    try:
        key = Credentials(*_read_key(arguments.key)) if arguments.key else Credentials.load(arguments.data)
        response = Client(arguments.url, key).request(arguments.method, arguments.path, body)
    except (ClientError, _KeyFileError) as error:
        return _fail("call", error)
    print(json.dumps(response.body, indent=2, ensure_ascii=False))
    return 0 if response.ok else 1


def _import(arguments: argparse.Namespace) -> int:
    from sim.bitstamp import main as import_bitstamp

    return import_bitstamp(
        arguments.file,
        url=arguments.url,
        data_dir=arguments.data,
        batch_size=arguments.batch,
        limit=arguments.limit,
    )


def _demo(arguments: argparse.Namespace) -> int:
    from sim.demo import main as demo

    return demo(url=arguments.url, data_dir=arguments.data)


def _load(arguments: argparse.Namespace) -> int:
    from sim.load import main as load

    return load(
        url=arguments.url,
        data_dir=arguments.data,
        connections=arguments.connections,
        seconds=arguments.seconds,
        pipeline=arguments.pipeline,
        batch=arguments.batch,
        read=arguments.read,
        as_json=arguments.json,
    )


def _accept(arguments: argparse.Namespace) -> int:
    from sim.accept import main as accept

    return accept(arguments.files, url=arguments.url, data_dir=arguments.data, list_only=arguments.list)


def _judge(arguments: argparse.Namespace) -> int:
    from sim.judge import main as judge

    return judge(
        arguments.file,
        limit=arguments.limit,
        expect=arguments.expect,
        reports=arguments.reports,
        as_json=arguments.json,
    )


def _replay(arguments: argparse.Namespace) -> int:
    options = (arguments.archive, arguments.chain_head, arguments.public_key)
    if arguments.verify_receipt is not None:
        from sim.receipt_audit import main as verify_receipt

        archive, chain_head, public_key = options
        return verify_receipt(arguments.verify_receipt, archive=archive, chain_head=chain_head, public_key=public_key)
    if options != (None, None, None):
        _fail("replay", "--archive, --chain-head and --public-key go with --verify-receipt")
        return 2
    from sim.audit import main as audit

    return audit(arguments.directory)


def _admin(arguments: argparse.Namespace) -> int:
    from sim.admin import main as admin

    return admin(arguments.rest, url=DEFAULT_URL, data_dir=DEFAULT_DIRECTORY)


def _bench(arguments: argparse.Namespace) -> int:
    from sim.bench import main as bench

    return bench(arguments.rest)


def _mutants(arguments: argparse.Namespace) -> int:
    from sim.mutants import main as mutants
    from sim.mutants_simulator import main as mutants_of_the_simulator

    if arguments.judge == "sim" and not arguments.table:
        return mutants_of_the_simulator(only=arguments.only, jobs=arguments.jobs)
    return mutants(only=arguments.only, jobs=arguments.jobs, print_table=arguments.table)


def _sim(arguments: argparse.Namespace) -> int:
    from replication.build import VERSION
    from sim.simulate import Request
    from sim.simulate import main as simulate
    from sim.simulation_fault_file import FaultFileError
    from sim.simulation_schedule import ScheduleError

    request = Request(
        version=VERSION,
        seed=arguments.seed,
        seeds=arguments.seeds,
        minutes=arguments.minutes,
        nodes=arguments.nodes,
        jobs=arguments.jobs,
        faults=arguments.faults,
        schedule=arguments.schedule,
        report=arguments.report,
        minimise_s=arguments.minimise_s,
        trace_hash=arguments.trace_hash,
        keep=arguments.keep,
    )
    try:
        return simulate(request)
    except (FaultFileError, ScheduleError, OSError) as error:
        print(f"tally sim: {error}", file=sys.stderr)
        return 2


def _chaos(arguments: argparse.Namespace) -> int:
    from sim.chaos import main as chaos
    from sim.chaos import print_kinds

    if arguments.list:
        return print_kinds()
    try:
        return chaos(
            seed=arguments.seed,
            minutes=arguments.minutes,
            faults=arguments.faults,
            kills=arguments.kills,
            orders_per_s=arguments.orders,
            as_json=arguments.json,
            keep=arguments.keep,
        )
    except OSError as error:
        return _fail("chaos", error)


def _version(_arguments: argparse.Namespace) -> int:
    from replication.build import VERSION

    print(f"tallystick {VERSION} (Python {platform.python_version()}, {platform.system()} {platform.machine()})")
    return 0


class _KeyFileError(Exception):
    """The file of an API key cannot be used."""


def _read_key(path: Path) -> tuple[str, str]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return str(document["key_id"]), str(document["secret"])
    except OSError as error:
        raise _KeyFileError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise _KeyFileError(f'{path} is not a key file: it must hold JSON {{"key_id", "secret"}}') from None


def _log_to_stderr() -> None:
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)-8s %(name)s: %(message)s"
    )


def _fail(command: str, reason: object) -> int:
    print(f"tally {command}: {reason}", file=sys.stderr)
    return 1


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to 65535")
    return int(text)


def _address(text: str) -> Address:
    from replication.config import parse_address

    address = parse_address(text)
    if address is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not an address such as 127.0.0.1:9092")
    return address


def _natural(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not 0.01 <= minutes <= 10_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of minutes from 0.01 to 10000")
    return minutes


def _seconds_or_none(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to 100000")
    return seconds


def _nodes(text: str) -> int:
    if text not in ("3", "4", "5", "6", "7", "8", "9"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of replicas from 3 to 9")
    return int(text)


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
