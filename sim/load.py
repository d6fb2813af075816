"""``tally load``: how many orders a second an exchange commits over HTTP, or reads it answers, and how long each takes.

What is counted is what a client can rely on: orders answered with 201, which means that they are
in the log, durable on a majority, and matched. Each connection is a trader of its own and sends the next
order when the answer to an earlier one has arrived (closed loop, ``pipeline`` orders in flight). Orders are
spread around a fixed price so that some trade at once; every ``ORDERS_PER_SWEEP`` orders a trader cancels
what it still has in the book, which is not counted. Reads are the same GET by all traders; what is counted is 200.
"""

from __future__ import annotations

import asyncio
import os
import platform
import re
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

import orjson
import uvloop
from tqdm import tqdm

from sim.client import Client, ClientError, Credentials, Response, read_address
from sim.load_traffic import BASE, QUOTE, Connection, OrderSource, ReadSource, Source, Tally

FUNDS: Final = "1000000"  # of each asset, for each trader: an order is worth about one unit of quote
DRAIN_S_MAX: Final = 15.0
BATCH_SIZE_MAX: Final = 500


class LoadOptions(NamedTuple):
    """``pipeline`` requests are in flight on each connection; ``batch`` orders are in each (0: POST /v1/orders).

    ``read`` is a path to GET instead of placing orders, or "".
    """

    connections: int
    duration_s: float
    pipeline: int
    batch: int
    read: str = ""


def main(
    url: str,
    data_dir: Path,
    *,
    connections: int = 64,
    seconds: float = 10.0,
    pipeline: int = 1,
    batch: int | None = None,
    read: str | None = None,
    as_json: bool = False,
) -> int:
    """Put load on an exchange and print what it carried. Answers the exit code."""
    options = LoadOptions(connections, seconds, pipeline, batch or 0, read or "")
    if options.connections < 1 or options.pipeline < 1 or not 0 <= options.batch <= BATCH_SIZE_MAX:
        print(f"tally load: connections and pipeline from 1, a batch at most {BATCH_SIZE_MAX}.", file=sys.stderr)
        return 2
    if options.read and (options.batch or not options.read.startswith("/")):
        print("tally load: --read takes a path such as /v1/assets, and does not go with --batch.", file=sys.stderr)
        return 2
    tally = Tally(success=200 if options.read else 201)
    try:
        if read_address(url)[0] != "http":
            print("tally load: the generator speaks plain http only.", file=sys.stderr)
            return 2
        traders = _open_traders(Client(url, Credentials.load(data_dir)), options.connections)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            elapsed_s = runner.run(run_load(url, traders, options, tally))
    except ClientError as error:
        print(f"tally load: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ntally load: stopped.", file=sys.stderr)
        return 130
    report = _report(options, tally, elapsed_s)
    print(orjson.dumps(report).decode() if as_json else "\n".join(f"{name:<18}{report[name]}" for name in report))
    return 0 if tally.succeeded else 1


async def run_load(url: str, traders: list[Credentials], options: LoadOptions, tally: Tally) -> float:
    """Let each trader send for the measured time. Answers how long that was, in seconds."""
    _, host, port = read_address(url)
    random = Random(0)
    sources: list[Source] = [
        ReadSource(f"{host}:{port}", trader, options.read)
        if options.read
        else OrderSource(f"{host}:{port}", trader, options.batch, random)
        for trader in traders
    ]
    connections = [Connection((host, port), source, options.pipeline, tally) for source in sources]
    await asyncio.gather(*(connection.dial() for connection in connections))
    begun_s = time.perf_counter()
    tally.counting = True
    await asyncio.sleep(options.duration_s)
    tally.counting = False
    elapsed_s = time.perf_counter() - begun_s
    for connection in connections:
        connection.stop()
    await asyncio.wait([asyncio.ensure_future(each.idle.wait()) for each in connections], timeout=DRAIN_S_MAX)
    for connection in connections:
        connection.close()
    return elapsed_s


def _open_traders(operator: Client, count: int) -> list[Credentials]:
    """List the market, open and fund an account for each connection."""
    _settled(operator, partial(operator.create_asset, BASE, 8))
    _settled(operator, partial(operator.create_asset, QUOTE, 6))
    listing = partial(operator.create_market, tick="0.01", lot="0.0001", maker_fee="0.0010", taker_fee="0.0025")
    _settled(operator, partial(listing, BASE, QUOTE))
    traders = []
    for number in tqdm(range(count), desc="opening accounts", disable=None, leave=False):
        name = f"load-{number:04}"
        _settled(operator, partial(operator.create_account, name))
        for asset in (BASE, QUOTE):
            _settled(operator, partial(operator.deposit, name, asset, FUNDS, f"{name}-{asset}"))
        key = _settled(operator, partial(operator.create_key, name)).body
        traders.append(Credentials(key["key_id"], key["secret"]))
    return traders


def _settled(operator: Client, call: Callable[[], Response]) -> Response:
    return operator.settle(call).expect()


def _report(options: LoadOptions, tally: Tally, elapsed_s: float) -> dict[str, Any]:
    counted = "reads_answered" if options.read else "orders_committed"
    return {
        "machine": _machine(),
        "connections": options.connections,
        "pipeline": options.pipeline,
        "batch": options.batch,
        "duration_s": round(elapsed_s, 3),
        counted: tally.succeeded,
        f"{counted.partition('_')[0]}_per_s": round(tally.succeeded / elapsed_s, 1),
        "latency_ms_p50": round(tally.latency_ms(0.50), 2),
        "latency_ms_p99": round(tally.latency_ms(0.99), 2),
        "latency_ms_max": round(tally.latency_ms(1.0), 2),
        "errors": dict(sorted(tally.errors.items())),
    }


def _machine() -> str:
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        cpuinfo = ""
    model = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    processor = model[1] if model is not None else platform.machine()
    return (
        f"{os.cpu_count()} x {processor}, {platform.system()} {platform.release()}, Python {platform.python_version()}"
    )
