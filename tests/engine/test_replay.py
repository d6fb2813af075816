"""A log with every kind of command gives the same bytes, and its state hash covers all that it leaves behind.

Every part of the state is alive at the end of the log: stops, pairs, icebergs, an auction in its last phase, a halted
market, a schedule, tiers, limits, a dead-man switch, a fence, money on its way, an open sale.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from engine import commands
from engine.codec import COMMAND_LAYOUTS, EVENT_LAYOUTS, decode_commands, decode_events, encode_command, pack_route
from engine.entry import Entry
from engine.invariants import assert_sound
from engine.machine import Machine
from engine.snapshot import restore, snapshot_bytes, state_hash
from engine.types import (
    APPROVE,
    AUCTION,
    BUY,
    CANCEL_SALE,
    CLOSE_SALE,
    CLOSED,
    DAY,
    DECREMENT,
    GTD,
    HALTED,
    NS_PER_DAY,
    NS_PER_S,
    OPEN_SALE,
    PAY,
    POST,
    SELL,
    TRADER,
    TRADING,
    VOID,
    MarketRules,
    TransferRoute,
)
from tests.engine.exchange import ANA, BO, CY, DEE, EUR, GLD, GLD_EUR, OPS, START_NS, Exchange

ROOT = Path(__file__).parents[2]
EUR_GLD, TIN_EUR = 2, 3
Log = list[tuple[int, bytes]]


def life_with_all_kinds() -> Exchange:
    """About a hundred commands of all kinds."""
    x = Exchange(1_000, fees=(1_000, 2_500), band_ppm=100_000, interrupts=1, call_ms=2_000, no_cancel_ms=60_000)
    x.twin = False
    listing = (1, 0, 1, 0, 0, 0, 0, 0)
    x.run(
        commands.ListMarket(0, 0, *listing, HALTED, 7, 0, *MarketRules(), b"EUR", b"GLD"),
        commands.CreateAsset(OPS, 0, 0, b"TIN"),
        commands.CreateMarket(OPS, 0, *listing, b"TIN", b"EUR"),
        commands.CreateAccount(OPS, 0, TRADER, b"last"),
        commands.CreateApiKey(OPS, 0, ANA, b"key", b"sealed"),
    )
    x.set_tiers((1_000, 900, 2_000), (5_000, -500, 1_000))
    x.run(commands.SetMarketRate(OPS, 0, GLD_EUR, 10_000, 60_000))
    x.sell(BO, 9, 1_005, "b1")
    x.buy(ANA, 4, 1_005, "a1")
    x.stop(ANA, SELL, 2, 990, "s1")
    x.oco(CY, SELL, 3, 1_100, 985, "l1 p1")
    x.trail(DEE, SELL, 2, 10, "t1")
    x.iceberg(BO, BUY, 9, 995, 2, "i1")
    x.sell(DEE, 3, 990, "cascade")
    x.market_order(CY, BUY, 2, self_trade=1)
    x.budget(CY, 3_000)
    x.sell(ANA, 2, 1_050, "own")
    x.buy(ANA, 9, 1_050, "decremented", self_trade=DECREMENT)
    x.amend(BO, "i1", lots=8)
    x.cancel(BO, "b1")
    x.run(x.special(ANA, BUY, 1, "gtd", price=900, tif=GTD, expires_at_ns=START_NS + NS_PER_S))
    x.run(x.special(ANA, BUY, 1, "day", price=900, tif=DAY))
    x.wait(1_000)
    x.run(commands.CancelAllAfter(ANA, 0, 500, b"arm"), commands.CancelAll(CY, 0, GLD_EUR, b"all"))
    x.wait(500)
    x.run(
        commands.RequestWithdrawal(ANA, 0, EUR, 50, 0, b"IBAN", b"w1"),
        commands.DecideWithdrawal(OPS, 0, x.machine.sequence + 1, APPROVE),
        commands.DecideWithdrawal(OPS, 0, x.machine.sequence + 1, PAY),
        commands.RequestWithdrawal(ANA, 0, EUR, 60, 0, b"IBAN", b"w2"),
        commands.CancelWithdrawal(ANA, 0, x.machine.sequence + 4, b"x-w2"),
        commands.RequestWithdrawal(ANA, 0, EUR, 70, 0, b"", b"w3"),
        commands.CreateTransfer(ANA, 0, BO, EUR, 80, 0, 0, 0, b"tr1"),
        commands.CreateTransfer(ANA, 0, BO, GLD, 9, 0, 1, 0, b"tr2"),
        commands.DecideTransfer(BO, 0, x.machine.sequence + 8, POST, b"x-tr2"),
        commands.CreateTransfer(ANA, 0, BO, GLD, 9, 0, 1, 1, b"tr3"),
        commands.CreateTransfer(ANA, 0, BO, GLD, 9, 0, 1, 1_000_000, b"tr4"),
        commands.CreateTransfer(CY, 0, BO, GLD, 9, 0, 1, 0, b"tr5"),
        commands.DecideTransfer(CY, 0, x.machine.sequence + 12, VOID, b"x-tr5"),
    )
    x.wait(1_000)
    sale = (DEE, GLD, EUR, 0, 0, 2, 0, 10, 0, 1_000, 0, 0, 0, 0, 0)
    x.run(
        commands.CreateSale(OPS, 0, *sale, 0, 0, b"first"),
        commands.DecideSale(OPS, 0, 1, OPEN_SALE),
        commands.SubscribeSale(BO, 0, 1, 50, 0, 0, 254, b"sub1"),
        commands.DecideSale(OPS, 0, 1, CLOSE_SALE),
        commands.CreateSale(OPS, 0, *sale, 0, 0, b"second"),
        commands.DecideSale(OPS, 0, 2, CANCEL_SALE),
        commands.CreateSale(OPS, 0, *sale, x.now_ns + 1, x.now_ns + 9 * NS_PER_DAY, b"third"),
    )
    x.wait(1)
    x.run(
        commands.SubscribeSale(BO, 0, 3, 70, 0, 0, 254, b"sub2"),
        commands.CreateSale(OPS, 0, *sale, x.now_ns + NS_PER_DAY, 0, b"fourth"),
        commands.FreezeAccount(OPS, 0, CY, 1),
        commands.SetAccountLimits(OPS, 0, ANA, 50, 9, 100, 3_600_000),
        commands.SetMarketState(OPS, 0, TIN_EUR, CLOSED),
        commands.DelistMarket(OPS, 0, TIN_EUR),
        commands.ResolveRequest(BO, 0, b"never-seen"),
        commands.ResolveRequest(BO, 0, b"i1"),
        commands.MassCancel(OPS, 0, DEE, GLD_EUR, 2, b"mass"),
        commands.PlaceOrder(BO, 0, 9, BUY, 0, 0, 0, 0, 1, 0, 1, 0, b"refused"),
    )
    sent = x.machine.sequence + 2
    route = pack_route(TransferRoute(b"metals", b"main", b"trader-1", b"EUR"))
    x.run(
        commands.NameGroup(0, 0, b"main"),
        commands.SendTransfer(ANA, 0, EUR, 11, 0, b"metals", b"g1"),
        commands.SendTransfer(BO, 0, GLD, 5, 0, b"metals", b"g2"),
        commands.SendTransfer(BO, 0, GLD, 6, 0, b"metals", b"g3"),
        commands.SettleTransfer(0, 0, sent, 0),
        commands.SettleTransfer(0, 0, sent + 1, 7),
        commands.ReceiveTransfer(0, 0, 9, 12, 0, route, b"g4"),
        commands.ReceiveTransfer(0, 0, 10, 12, 5, route, b"g5"),
        commands.MirrorAccount(0, 0, 40, TRADER, 1, 5, 0, 0, 0, b"elsewhere"),
        commands.SetRulesVersion(0, 0, 2, b"operator-1"),
    )
    x.set_schedule((0, CLOSED), (80_000, TRADING))
    x.now_ns += 2 * NS_PER_DAY - NS_PER_S  # over several steps, to yesterday's volumes
    x.wait()
    x.set_state(TRADING)
    x.sell(DEE, 1, 1_000)
    x.buy(BO, 2, 1_150, "band")
    x.sell(DEE, 3, 1_200)
    x.buy(BO, 2, 1_150, "far")
    x.buy(BO, 9, 1_200, "interrupts")
    x.wait(62_000)
    x.set_state(AUCTION)
    x.stop(ANA, SELL, 2, 500, "s2", price=450)
    x.trail(DEE, BUY, 2, 50_000, "t2", ppm=True)
    x.oco(BO, BUY, 3, 600, 3_000, "l2 p2")
    x.iceberg(ANA, SELL, 9, 1_200, 4, "i2")
    x.iceberg(ANA, BUY, 9, 1_190, 3, "i3")
    x.buy(BO, 4, 1_210, "crossing")
    x.run(x.special(DEE, BUY, 1, "gtd2", price=900, tif=GTD, expires_at_ns=x.now_ns + NS_PER_DAY))
    x.run(commands.CancelAllAfter(DEE, 0, 100_000, b"arm2"))
    x.wait(2_000)
    x.sell(ANA, 1, 1_190, "rated")
    x.set_rules(band_ppm=90_000, interrupts=1, call_ms=1, no_cancel_ms=60_000, random_end_ms_max=5, stops_max=7)
    return x


@pytest.fixture(scope="module")
def life() -> Exchange:
    return life_with_all_kinds()


def _replay(machine: Machine, log: Log) -> list[Entry]:
    return [machine.apply(now_ns, data).entry for now_ns, data in log]


def test_the_log_has_every_kind_of_command_and_of_event(life: Exchange) -> None:
    asked = {type(command) for _, data in life.log for command in decode_commands(data)}
    assert asked == {layout.record for layout in COMMAND_LAYOUTS}
    told = {type(event) for entry in _replay(Machine(), life.log) for _, event in decode_events(entry.events)}
    assert told == {layout.record for layout in EVENT_LAYOUTS}


_IN_A_PROCESS = """
from engine.snapshot import state_hash
from tests.engine.test_replay import life_with_all_kinds
life = life_with_all_kinds()
print(hash("Tallystick"), life.machine.sequence, life.machine.chain.hex(), state_hash(life.machine).hex())
"""


def test_the_hash_seed_of_the_process_does_not_matter(life: Exchange) -> None:
    outputs = []
    for hash_seed in ("0", "1", "2", "4294967295"):
        run = subprocess.run(
            [sys.executable, "-c", _IN_A_PROCESS],
            cwd=ROOT,
            env={"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        outputs.append(run.stdout.split())
    expected = [str(life.machine.sequence), life.machine.chain.hex(), state_hash(life.machine).hex()]
    assert [output[1:] for output in outputs] == [expected] * 4
    assert len({output[0] for output in outputs}) == 4, "the processes did hash text differently"


def test_a_restart_at_any_point_changes_nothing_in_all_that_follows(life: Exchange) -> None:
    entries, snapshots = [], []
    machine = Machine()
    for now_ns, data in life.log:
        snapshots.append(snapshot_bytes(machine))
        entries.append(machine.apply(now_ns, data))
    end = snapshot_bytes(machine)
    for position in range(0, len(life.log), 3):
        again = restore(snapshots[position])
        assert_sound(again)
        assert snapshot_bytes(again) == snapshots[position]
        assert [again.apply(now_ns, data) for now_ns, data in life.log[position:]] == entries[position:], position
        assert snapshot_bytes(again) == end


def test_a_restart_after_every_command_changes_nothing(life: Exchange) -> None:
    machine = Machine()
    for now_ns, data in life.log:
        machine.apply(now_ns, data)
        machine = restore(snapshot_bytes(machine))
        assert_sound(machine)
    assert snapshot_bytes(machine) == snapshot_bytes(life.machine)


def test_what_is_due_next_survives_a_restart(life: Exchange) -> None:
    """A restored machine may have dropped stale timers; what is due happens at the same times in both."""
    data = snapshot_bytes(life.machine)
    one, other = restore(data), restore(data)
    tick = commands.Tick(OPS, 0)
    for machine in (one, other):
        for _ in range(30):
            due_ns = machine.timers.next_due_ns()
            if due_ns is None:
                break
            machine.apply(due_ns, encode_command(tick._replace(issued_at_ns=due_ns)))
            if machine is other:
                other.chain = restore(snapshot_bytes(other)).chain
    assert state_hash(one) == state_hash(other) and one.timestamp_ns > life.now_ns + NS_PER_DAY
