"""``tally bench``: what parts of the exchange cost, measured on this machine.

engine    commands per second of the state machine alone, one core; four workloads, compiled and interpreted
log       entries per second that three replicas commit, fsync on, beside stock pysyncobj without
http      committed orders per second through HTTP, gateway and three replicas, fsync on
failover  time from SIGKILL of the leader to the next acknowledged order
export    entries and events per second that an exporter brings from the replicas' archives to a Kafka broker
projector commands per second into the read models' tables, and how soon an order is in them
restart   time of a replica to execute again what was committed after its snapshot
catch-up  time of a replica that stood still to reach the others, by a snapshot, while orders flow
query     time of searches in a history of many orders, by kind of search

Every figure is of committed round trips or finished work; all processes share this machine.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from kafka.errors import KafkaError
from tqdm import tqdm

from projections.database import DatabaseError, database_url, sqlite_url
from sim.bench_catch_up import NoCatchUp, measure_catch_up
from sim.bench_engine import BOTH, FORMS, Options, bench_engine
from sim.bench_engine_workloads import NAMES
from sim.bench_export import measure_export
from sim.bench_log import IN_FLIGHT, BenchFailed, measure_log, print_results
from sim.bench_projector import make_history, measure_lag, measure_rebuild, wait_for_projector
from sim.bench_query import ORDERS_DEFAULT, bench_query, print_table
from sim.bench_restart import measure_restart
from sim.client import Client, order_item
from sim.kafka_broker import KafkaUnavailable
from sim.load import main as load
from sim.local_exchange import LocalExchange

_EXAMPLES: Final = """\
examples:
  tally bench                         all of them, some minutes
  tally bench engine                  four workloads in both forms of the engine
  tally bench engine --workload single --form compiled --commands 500000
  tally bench engine --workload flash1 --file flash1-normal-seed23.bin.xz
  tally bench engine --json --plot engine.png
  tally bench log --seconds 3
  tally bench failover --kills 10
  tally bench export --seconds 5 --runs 3        with a broker of its own: needs Java and Maven
  tally bench export --kafka 127.0.0.1:9092      with one that runs
  tally bench restart --commands 1000000 --history 9000000 --json
  tally bench projector --runs 3 --database postgresql://tally@127.0.0.1/bench
  tally bench query --orders 10000000
"""


def main(argv: list[str]) -> int:
    """Run the benchmarks that are named. Answers the exit code."""
    parser = argparse.ArgumentParser(
        prog="tally bench",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "what",
        nargs="?",
        choices=("all", "engine", "log", "http", "failover", "export", "restart", "catch-up", "projector", "query"),
        default="all",
    )
    parser.add_argument("--workload", choices=NAMES, help="engine: one of them instead of all")
    parser.add_argument("--form", choices=FORMS, default=BOTH, help="engine: which form of it (%(default)s)")
    parser.add_argument(
        "--commands",
        type=_positive,
        metavar="N",
        help="engine: of each workload, in deep the orders that rest (1000000, interpreted 200000; flash1: all, "
        "interpreted 400000); restart: 1000000; projector: 200000",
    )
    parser.add_argument(
        "--history", type=_whole, default=0, metavar="N", help="restart: commands that the snapshot has (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the engine's workloads, of the searches (%(default)s)")
    parser.add_argument(
        "--runs", type=_positive, default=5, metavar="N", help="of engine, export, projector (%(default)s)"
    )
    parser.add_argument("--file", type=Path, help="engine: the workload of flash1, .bin or .bin.xz")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="engine: draw the results, such as engine.png")
    parser.add_argument(
        "--in-flight", type=_positive, default=IN_FLIGHT, metavar="N", help="log: entries (%(default)s)"
    )
    parser.add_argument("--connections", type=_positive, default=64, metavar="N", help="http (%(default)s)")
    parser.add_argument(
        "--seconds", type=_positive, metavar="N", help="http, log: of each run (10; log 3); export: of load before (10)"
    )
    parser.add_argument("--kafka", metavar="HOST:PORT", help="export: a broker that runs, instead of one of its own")
    parser.add_argument("--kills", type=_positive, default=10, metavar="N", help="failover (%(default)s)")
    parser.add_argument(
        "--orders",
        type=_positive,
        metavar="N",
        help=f"projector: to time (300); query: in the history ({ORDERS_DEFAULT})",
    )
    parser.add_argument("--database", metavar="URL", help="projector: one to be emptied and filled besides SQLite")
    parser.add_argument("--json", action="store_true", help="print results as JSON")
    arguments = parser.parse_args(argv)
    benches: dict[str, Callable[[argparse.Namespace], int | None]] = {
        "engine": _engine,
        "log": _log,
        "http": _http,
        "failover": _failover,
        "export": _export,
        "restart": _restart,
        "catch-up": _catch_up,
        "projector": _projector,
        "query": _query,
    }
    for name, bench in benches.items():
        if arguments.what in ("all", name):
            if not arguments.json:
                print(f"== {name}")
            code = bench(arguments)
            if code:
                return code
    return 0


def _engine(arguments: argparse.Namespace) -> int:
    return bench_engine(
        Options(
            workload=arguments.workload,
            form=arguments.form,
            commands=arguments.commands,
            seed=arguments.seed,
            runs=arguments.runs,
            file=arguments.file,
            as_json=arguments.json,
            plot=arguments.plot,
        )
    )


def _log(arguments: argparse.Namespace) -> int:
    try:
        results = measure_log(arguments.seconds or 3, in_flight=arguments.in_flight)
    except BenchFailed as error:
        print(f"tally bench log: {error}", file=sys.stderr)
        return 1
    for result in results:
        result["machine"] = _machine()
    if arguments.json:
        print(json.dumps({"results": results}))
    else:
        print_results(results)
        print(f"machine: {_machine()}")
    return 0


def _http(arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="tally-bench-") as folder, LocalExchange(Path(folder)) as exchange:
        load(
            url=exchange.url,
            data_dir=exchange.directory,
            connections=arguments.connections,
            seconds=arguments.seconds or 10,
            pipeline=1,
            batch=0,
            as_json=arguments.json,
        )


def _failover(arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="tally-bench-") as folder, LocalExchange(Path(folder)) as exchange:
        times_ms = measure_failovers(exchange, arguments.kills)
    _print(
        {
            "bench": "failover",
            "kills": len(times_ms),
            "median_ms": round(statistics.median(times_ms)),
            "min_ms": round(min(times_ms)),
            "max_ms": round(max(times_ms)),
            "all_ms": [round(time_ms) for time_ms in times_ms],
        },
        as_json=arguments.json,
    )


def measure_failovers(exchange: LocalExchange, kills: int) -> list[float]:
    """Kill the leader again and again. Answers ms from each kill to the answer of the order sent right after it."""
    trader = _trader(exchange)
    times_ms = []
    for number in tqdm(range(kills), desc="kills", leave=False, disable=None):
        exchange.agreed_replicas()
        exchange.kill(exchange.leader())
        killed_s = time.monotonic()
        item = order_item("GLD-EUR", "buy", quantity="0.001", price="1.00", client_order_id=f"after-kill-{number}")
        trader.settle(lambda item=item: trader.request("POST", "/v1/orders", item)).expect()  # type: ignore[misc]
        times_ms.append((time.monotonic() - killed_s) * 1000)
    return times_ms


def _trader(exchange: LocalExchange) -> Client:
    operator = exchange.operator()
    for call in (
        lambda: operator.create_asset("EUR", 5),
        lambda: operator.create_asset("GLD", 3),
        lambda: operator.create_market("GLD", "EUR", tick="0.01", lot="0.001"),
        lambda: operator.create_account("bench"),
        lambda: operator.deposit("bench", "EUR", "1000000", "bench-deposit"),
    ):
        operator.settle(call).expect()
    key = operator.settle(lambda: operator.create_key("bench")).expect().body
    return exchange.client(key["key_id"], key["secret"])


def _export(arguments: argparse.Namespace) -> int:
    try:
        with tempfile.TemporaryDirectory(prefix="tally-bench-") as folder:
            result = measure_export(
                Path(folder),
                kafka=arguments.kafka,
                seconds=arguments.seconds or 10,
                connections=arguments.connections,
                runs=arguments.runs,
            )
    except (KafkaUnavailable, KafkaError) as error:
        print(f"tally bench export: {error}", file=sys.stderr)
        return 1
    _print(result, as_json=arguments.json)
    return 0


def _restart(arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="tally-bench-") as folder:
        measured = measure_restart(Path(folder), arguments.commands or 1_000_000, arguments.history)
        _print(measured, as_json=arguments.json)


def _catch_up(arguments: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="tally-bench-") as folder, LocalExchange(Path(folder)) as exchange:
        try:
            measured = measure_catch_up(exchange)
        except NoCatchUp as error:
            print(f"tally bench catch-up: {error}", file=sys.stderr)
            return 1
    _print(measured, as_json=arguments.json)
    return 0


def _projector(arguments: argparse.Namespace) -> int:
    entries = make_history(arguments.commands or 200_000, arguments.seed)
    with tempfile.TemporaryDirectory(prefix="tally-bench-") as folder:
        urls = [sqlite_url(Path(folder) / "bench.sqlite")]
        try:
            urls += [database_url(arguments.database)] if arguments.database else []
            for url in urls:
                _print(measure_rebuild(url, entries, arguments.runs), as_json=arguments.json)
        except DatabaseError as error:
            print(f"tally bench projector: {error}", file=sys.stderr)
            return 1
    with (
        tempfile.TemporaryDirectory(prefix="tally-bench-") as folder,
        LocalExchange(Path(folder), history=True) as exchange,
    ):
        trader = _trader(exchange)
        wait_for_projector(exchange.directory)
        _print(measure_lag(exchange, trader, arguments.orders or 300), as_json=arguments.json)
    return 0


def _query(arguments: argparse.Namespace) -> int:
    orders = arguments.orders or ORDERS_DEFAULT
    results = bench_query(orders, seed=arguments.seed)
    if results is None:
        return 1
    for result in results:
        result["machine"] = _machine()
    if arguments.json:
        print(json.dumps({"results": results}))
    else:
        print_table(results)
        print(f"{orders:,} orders; machine: {_machine()}")
    return 0


def _print(result: dict[str, Any], *, as_json: bool) -> None:
    result["machine"] = _machine()
    if as_json:
        print(json.dumps({"results": [result]}))
        return
    for name, value in result.items():
        print(f"{name:<22}{value}")


def _machine() -> str:
    return f"{platform.machine()}, Python {platform.python_version()}"


def _whole(text: str) -> int:
    return int(text) if text == "0" else _positive(text)


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)
