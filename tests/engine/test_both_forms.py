"""The compiled form and the interpreted form of the engine do the same, byte by byte.

Logs are made here, by the compiled form, of random streams of all kinds of commands, of numbers at the edges, and of
the acceptance scenarios. A child process that runs interpreted executes them again.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

import engine
from engine.codec import decode_events, encode_command
from engine.commands import Command
from engine.events import Event, TradeExecuted
from engine.invariants import assert_sound
from engine.machine import Machine
from engine.snapshot import state_hash
from engine.types import AMOUNT_MAX, AUCTION, BUY, FEE_PPM_MAX, NOTIONAL_MAX, NS_PER_S, SELL, TRADING
from sim.engine_driver import engine_stage
from sim.scenario import read_blocks, run_blocks
from tests.engine.exchange import EUR, GLD, TRADERS, Exchange
from tests.engine.test_replay import life_with_all_kinds
from tests.engine.workload import LISTING, START_NS, Workload, seeded_choices
from tests.engine.workload_edges import RICH_LISTING, with_an_edge
from tests.engine.workload_scripts import SCRIPTS
from tests.engine.workload_special import SPECIAL_LISTING, SpecialWorkload, special_choices

ROOT = Path(__file__).parents[2]
SCENARIOS = sorted((ROOT / "tests" / "acceptance").glob("*.txt"))
Log = list[tuple[int, bytes]]

if not engine.FORM.compiled:
    pytest.skip(f"the engine runs {engine.FORM}", allow_module_level=True)

# Reads logs from its input, one a line, each a list of "time:commands in hexadecimal digits". Says which form runs and
# what each log came to: every event is in the chain, and every part of the state in the state hash.
_IN_A_PROCESS = """
import sys
import engine
from engine.machine import Machine
from engine.snapshot import restore, snapshot_bytes, state_hash
print(engine.FORM.compiled)
for line in sys.stdin:
    machine, entries = Machine(), line.split()
    for number, entry in enumerate(entries):
        if number == len(entries) // 2:
            machine = restore(snapshot_bytes(machine))
        now_ns, commands = entry.split(":")
        machine.apply(int(now_ns), bytes.fromhex(commands))
    print(machine.sequence, machine.chain.hex(), state_hash(machine).hex())
"""


def _outcome(machine: Machine) -> str:
    return f"{machine.sequence} {machine.chain.hex()} {state_hash(machine).hex()}"


def _replayed(logs: list[Log]) -> list[str]:
    """What the logs come to here."""
    outcomes = []
    for log in logs:
        machine = Machine()
        for now_ns, commands in log:
            machine.apply(now_ns, commands)
        assert_sound(machine)
        outcomes.append(_outcome(machine))
    return outcomes


def _events(log: Log) -> list[Event]:
    machine = Machine()
    entries = [machine.apply(now_ns, commands).entry for now_ns, commands in log]
    return [event for entry in entries for _, event in decode_events(entry.events)]


def _assert_equal_interpreted(logs: list[Log]) -> None:
    """A child process that runs interpreted comes to the same."""
    run = subprocess.run(
        [sys.executable, "-c", _IN_A_PROCESS],
        cwd=ROOT,
        env=os.environ | {"TALLY_PURE": "1"},
        input="".join(" ".join(f"{now_ns}:{data.hex()}" for now_ns, data in log) + "\n" for log in logs),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    compiled, *outcomes = run.stdout.splitlines()
    assert compiled == "False"
    assert outcomes == _replayed(logs)


def _plain_log(seed: int) -> Log:
    workload = Workload()
    asked = [(START_NS, command) for command in LISTING]
    asked += [workload.next_command(choice) for choice in seeded_choices(Random(seed), 1_000)]
    return [(now_ns, encode_command(command)) for now_ns, command in asked]


def _special_log(seed: int, *, edges: bool = False) -> Log:
    """Commands of all kinds in batches; with ``edges`` every second one has a number that is hardly possible."""
    random, machine, workload, log = Random(seed), Machine(), SpecialWorkload(), list[tuple[int, bytes]]()

    def execute(now_ns: int, batch: list[Command]) -> None:
        log.append((now_ns, b"".join(encode_command(command) for command in batch)))
        for _, event in decode_events(machine.apply(*log[-1]).entry.events):
            workload.heard(event)

    for command in RICH_LISTING if edges else SPECIAL_LISTING:
        execute(START_NS, [command])
    batch: list[Command] = []
    then_ns = START_NS
    for choice in special_choices(random, 500):
        now_ns, command = workload.next_command(choice)
        if edges and random.random() < 0.5:
            command = with_an_edge(command, random)
        if batch and (now_ns != then_ns or len(batch) > choice.earlier % 4):
            execute(then_ns, batch)
            batch = []
        batch.append(command)
        then_ns = now_ns
    return log


def _giant_log(seed: int) -> Log:
    """Orders that are worth nearly all that there can be, at prices that are tiny, or giant as well."""
    random = Random(seed)
    exchange = Exchange(fees=random.choice(((0, 0), (-FEE_PPM_MAX, FEE_PPM_MAX), (FEE_PPM_MAX, FEE_PPM_MAX), (-1, 7))))
    exchange.twin = False
    for account_id in TRADERS:
        for asset_id in (GLD, EUR):
            exchange.deposit(account_id, asset_id, AMOUNT_MAX // 5)
    around = 1
    for number in range(300):
        if number % 30 == 0:
            around = random.choice((1, 1_000, 10**9, 1 << 31, 1 << 32, 1 << 45, NOTIONAL_MAX // 4, NOTIONAL_MAX - 5))
            exchange.set_state(random.choice((TRADING, TRADING, AUCTION)))
            exchange.cancel_all(random.choice(TRADERS))
        account_id, side, price = random.choice(TRADERS), random.choice((BUY, SELL)), around + random.randrange(5)
        most = NOTIONAL_MAX // price
        lots = random.choice((1, 2, most + 1, most, most - 1, most // 2, most // 20, random.randint(1, most))) or 1
        name, self_trade = f"o{number}", random.randrange(4)
        what = random.randrange(12)
        if what < 6:
            exchange.run(exchange.order(account_id, side, lots, price, name, self_trade=self_trade))
        elif what == 6:
            exchange.market_order(account_id, side, lots)
        elif what == 7:
            exchange.budget(account_id, min(lots * price, AMOUNT_MAX // 6))
        elif what == 8:
            exchange.iceberg(account_id, side, lots, price, -(-lots // 7), name)
        elif what == 9:
            exchange.stop(account_id, side, lots, price, name, price=random.choice((0, price)))
        elif what == 10:
            exchange.amend(account_id, f"o{random.randrange(number + 1)}", price=price, lots=lots)
        else:
            exchange.oco(account_id, side, lots, price, around + random.randrange(5), f"{name} p{number}")
    return exchange.log


def _scenario_logs(path: Path) -> list[Log]:
    """One log for each exchange of the text."""
    stage, driver = engine_stage()
    run_blocks(read_blocks(path), stage.run_line)
    logs: list[Log] = []
    for entry in driver.entries:
        if entry.first_sequence == 1:
            logs.append([])
        logs[-1].append((entry.timestamp_ns, entry.commands))
    return logs


def test_streams_of_plain_orders() -> None:
    _assert_equal_interpreted([_plain_log(seed) for seed in range(4)])


def test_streams_of_all_kinds_of_commands() -> None:
    _assert_equal_interpreted([_special_log(seed) for seed in range(10)])


def test_streams_of_numbers_at_the_edges() -> None:
    _assert_equal_interpreted([_special_log(seed, edges=True) for seed in range(10)])


def test_streams_of_giant_orders() -> None:
    logs = [_giant_log(seed) for seed in range(12)]
    told = [event for log in logs for event in _events(log)]
    worth = [event.notional_units for event in told if isinstance(event, TradeExecuted)]
    assert sum(units > NOTIONAL_MAX // 10 for units in worth) > 10 and max(worth) > NOTIONAL_MAX // 3
    _assert_equal_interpreted(logs)


def test_situations_that_chance_seldom_reaches() -> None:
    logs: list[Log] = [life_with_all_kinds().log]
    for _, script in SCRIPTS.values():
        logs.append([(START_NS, encode_command(command)) for command in SPECIAL_LISTING])
        for seconds, command in script:
            now_ns = START_NS + seconds * NS_PER_S
            logs[-1].append((now_ns, encode_command(command._replace(issued_at_ns=now_ns))))
    _assert_equal_interpreted(logs)


def test_the_acceptance_scenarios() -> None:
    logs = [log for path in SCENARIOS for log in _scenario_logs(path)]
    assert len(logs) >= len(SCENARIOS) > 50
    _assert_equal_interpreted(logs)
