"""``tally bench``: what parts of the exchange cost, measured on this machine.

engine    commands per second of the state machine alone, one core
http      committed orders per second through HTTP, gateway and three replicas, fsync on
failover  time from SIGKILL of the leader to the next acknowledged order
restart   time of a replica to execute again what was committed after its snapshot

Every figure is of committed round trips or finished work; all processes share this machine.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from sim.bench_engine import print_bench_engine
from sim.bench_restart import measure_restart
from sim.client import Client, order_item
from sim.load import main as load
from sim.local_exchange import LocalExchange

_EXAMPLES: Final = """\
examples:
  tally bench                         all of them, some minutes
  tally bench engine --commands 500000
  tally bench failover --kills 10
  tally bench restart --commands 1000000 --json
"""


def main(argv: list[str]) -> int:
    """Run the benchmarks that are named. Answers the exit code."""
    parser = argparse.ArgumentParser(
        prog="tally bench",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", nargs="?", choices=("all", "engine", "http", "failover", "restart"), default="all")
    parser.add_argument("--commands", type=int, help="engine: 200000, restart: 1000000")
    parser.add_argument("--seed", type=int, default=1, help="of the engine's workload (%(default)s)")
    parser.add_argument("--runs", type=int, default=5, help="of the engine (%(default)s)")
    parser.add_argument("--connections", type=int, default=64, help="http (%(default)s)")
    parser.add_argument("--seconds", type=int, default=10, help="http (%(default)s)")
    parser.add_argument("--kills", type=int, default=10, help="failover (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print results as JSON")
    arguments = parser.parse_args(argv)
    benches: dict[str, Callable[[argparse.Namespace], None]] = {
        "engine": _engine,
        "http": _http,
        "failover": _failover,
        "restart": _restart,
    }
    for name, bench in benches.items():
        if arguments.what in ("all", name):
            if not arguments.json:
                print(f"== {name}")
            bench(arguments)
    return 0


def _engine(arguments: argparse.Namespace) -> None:
    print_bench_engine(arguments.commands or 200_000, arguments.seed, arguments.runs, as_json=arguments.json)


def _http(arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="tally-bench-") as folder, LocalExchange(Path(folder)) as exchange:
        load(
            url=exchange.url,
            data_dir=exchange.directory,
            connections=arguments.connections,
            seconds=arguments.seconds,
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


def _restart(arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="tally-bench-") as folder:
        _print(measure_restart(Path(folder), arguments.commands or 1_000_000), as_json=arguments.json)


def _print(result: dict[str, Any], *, as_json: bool) -> None:
    result["machine"] = f"{platform.machine()}, Python {platform.python_version()}"
    if as_json:
        print(json.dumps({"results": [result]}))
        return
    for name, value in result.items():
        print(f"{name:<22}{value}")
