"""``tally bench engine``: how many commands a second one core executes, ledger, holds and hash chain included.

The workload is seeded and named; the same seed gives the same commands. Rates are of whole entries: decoding,
execution, events, chain.
"""

from __future__ import annotations

import gc
import json
import platform
import random
import statistics
import time
from typing import Any, Final, NamedTuple

from engine.amounts import ABSENT
from engine.codec import encode_command
from engine.commands import (
    AmendOrder,
    CancelOrder,
    Command,
    CreateAccount,
    CreateAsset,
    CreateMarket,
    Deposit,
    PlaceOrder,
)
from engine.machine import Machine
from engine.types import BUY, CANCEL_NEWEST, FOK, GTC, IOC, LIMIT, MARKET, SELL, TRADER
from replication.replica import keep_collector_quiet

NOW_NS: Final = 1_750_000_000_000_000_000
ACCOUNTS: Final = 1_000
LIVE_ORDERS: Final = 1_000
COMMANDS_PER_ENTRY: Final = 50
SETUP_ENTRY: Final = 500


class Measured(NamedTuple):
    commands_per_s: float
    ns_per_command: float
    entry_p50_us: float
    entry_p99_us: float
    trades: int


def bench_engine(commands: int, seed: int, repeats: int) -> dict[str, Any]:
    """Run the workload ``single`` several times. Answers medians and the spread."""
    entries = single_workload(commands, seed)
    runs = [_measure(entries, commands) for _ in range(repeats)]
    rates = [run.commands_per_s for run in runs]
    middle = sorted(runs, key=lambda run: run.commands_per_s)[len(runs) // 2]
    return {
        "workload": "single",
        "form": "interpreted",
        "seed": seed,
        "commands": commands,
        "runs": repeats,
        "commands_per_s": round(statistics.median(rates)),
        "commands_per_s_min": round(min(rates)),
        "commands_per_s_max": round(max(rates)),
        "ns_per_command": round(middle.ns_per_command),
        "entry_of_50_p50_us": round(middle.entry_p50_us),
        "entry_of_50_p99_us": round(middle.entry_p99_us),
        "trades": middle.trades,
        "machine": f"{platform.processor() or platform.machine()}, Python {platform.python_version()}",
    }


def print_bench_engine(commands: int, seed: int, repeats: int, *, as_json: bool) -> None:
    result = bench_engine(commands, seed, repeats)
    if as_json:
        print(json.dumps({"results": [result]}))
        return
    for name, value in result.items():
        print(f"{name:<22}{value:,}" if isinstance(value, int) and name != "seed" else f"{name:<22}{value}")


def single_workload(commands: int, seed: int) -> list[bytes]:
    """One market, about 1,000 live orders around a moving mid.

    Of the commands 34.5 % cancel, 6 % amend, 3 % are IOC, 2 % FOK, 2 % market orders, the others rest or (a tenth)
    trade at once; where more than 1,000 orders are remembered, one is cancelled instead. So in the long run about
    53 % place, 41 % cancel, 6 % amend, and one command in six trades.
    """
    rng = random.Random(seed)
    live: list[tuple[int, bytes]] = []
    mid_ticks = 10_000
    records: list[bytes] = []
    for number in range(commands):
        mid_ticks += rng.choice((-1, 0, 0, 0, 0, 1))
        kind = rng.random()
        account_id = 1 + rng.randrange(ACCOUNTS)
        command: Command
        if live and (kind < 0.345 or len(live) > LIVE_ORDERS):
            owner, client_order_id = live.pop(rng.randrange(len(live)))
            command = CancelOrder(owner, NOW_NS, 0, client_order_id, b"c%d" % number)
        elif live and kind < 0.405:
            owner, client_order_id = live[rng.randrange(len(live))]
            command = AmendOrder(owner, NOW_NS, 0, *ABSENT, rng.randrange(1, 500), 3, client_order_id, b"a%d" % number)
        else:
            client_order_id = b"o%d" % number
            command = _order(rng, kind, account_id, mid_ticks, client_order_id)
            if command.order_type == LIMIT and command.time_in_force == GTC:
                live.append((account_id, client_order_id))
        records.append(encode_command(command))
    return [b"".join(records[start : start + COMMANDS_PER_ENTRY]) for start in range(0, commands, COMMANDS_PER_ENTRY)]


def _order(rng: random.Random, kind: float, account_id: int, mid_ticks: int, client_order_id: bytes) -> PlaceOrder:
    side = rng.choice((BUY, SELL))
    away = -1 if side == BUY else 1
    quantity = rng.randrange(1, 1_000)
    if kind > 0.98:
        return PlaceOrder(
            account_id, NOW_NS, 1, side, MARKET, GTC, 0, CANCEL_NEWEST, *ABSENT, quantity, 3, client_order_id
        )
    aggressive = kind > 0.93 or rng.random() < 0.1
    time_in_force = FOK if kind > 0.96 else IOC if kind > 0.93 else GTC
    price_ticks = mid_ticks - away * rng.randrange(0, 5) if aggressive else mid_ticks + away * rng.randrange(1, 50)
    return PlaceOrder(
        account_id,
        NOW_NS,
        1,
        side,
        LIMIT,
        time_in_force,
        0,
        CANCEL_NEWEST,
        price_ticks,
        2,
        quantity,
        3,
        client_order_id,
    )


def _measure(entries: list[bytes], commands: int) -> Measured:
    machine = _funded_machine()
    keep_collector_quiet()
    times_ns = []
    for entry in entries:
        started_ns = time.perf_counter_ns()
        machine.apply(NOW_NS, entry)
        times_ns.append(time.perf_counter_ns() - started_ns)
    gc.unfreeze()
    total_ns = sum(times_ns)
    times_ns.sort()
    return Measured(
        commands_per_s=commands * 1e9 / total_ns,
        ns_per_command=total_ns / commands,
        entry_p50_us=times_ns[len(times_ns) // 2] / 1e3,
        entry_p99_us=times_ns[len(times_ns) * 99 // 100] / 1e3,
        trades=machine.trading.index.last_trade_id,
    )


def setup_entries() -> list[bytes]:
    """The entries that list the market, open the accounts and fund them."""
    setup: list[Command] = [
        CreateAsset(0, NOW_NS, 5, b"EUR"),
        CreateAsset(0, NOW_NS, 3, b"GLD"),
        CreateMarket(0, NOW_NS, 1, 2, 1, 3, 0, 0, 1_000, 2_500, b"GLD", b"EUR"),
    ]
    setup += [CreateAccount(0, NOW_NS, TRADER, b"account-%d" % number) for number in range(ACCOUNTS)]
    setup += [
        Deposit(0, NOW_NS, account_id, asset_id, 1_000_000_000, 0, b"deposit-%d-%d" % (account_id, asset_id))
        for account_id in range(1, ACCOUNTS + 1)
        for asset_id in (1, 2)
    ]
    return [
        b"".join(encode_command(command) for command in setup[start : start + SETUP_ENTRY])
        for start in range(0, len(setup), SETUP_ENTRY)
    ]


def _funded_machine() -> Machine:
    machine = Machine()
    for entry in setup_entries():
        machine.apply(NOW_NS, entry)
    return machine
