"""The same log gives the same bytes: under any hash seed, after any restart, however it is cut into entries."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from engine.codec import decode_events, encode_command
from engine.commands import CancelAll, Command, CreateAccount, CreateAsset, CreateMarket, Deposit, PlaceOrder
from engine.entry import Entry
from engine.events import Event
from engine.machine import Machine
from engine.snapshot import VERSION, SnapshotError, restore, snapshot_bytes, state_hash, version_of
from engine.types import BUY, NS_PER_DAY, SELL, TRADER
from tests.engine.snapshot_parts import change_receipt, closed_of, receipts_of, sections_of
from tests.engine.workload import EUR, LISTING, OIL, START_NS, Workload, seeded_choices

ROOT = Path(__file__).parents[2]
COMMAND_COUNT = 1_500
Stream = list[tuple[int, Command]]


def _stream(seed: int, count: int) -> Stream:
    workload = Workload()
    listing: Stream = [(START_NS, command) for command in LISTING]
    return listing + [workload.next_command(choice) for choice in seeded_choices(Random(seed), count)]


def _run(machine: Machine, stream: Stream) -> list[Entry]:
    return [machine.apply(now_ns, encode_command(command)).entry for now_ns, command in stream]


_IN_A_PROCESS = f"""
from engine.machine import Machine
from engine.snapshot import state_hash
from tests.engine.test_determinism import _run, _stream
machine = Machine()
_run(machine, _stream(1, {COMMAND_COUNT}))
print(hash("Tallystick"), machine.sequence, machine.chain.hex(), state_hash(machine).hex())
"""


def test_the_hash_seed_of_the_process_does_not_matter() -> None:
    outputs = []
    for hash_seed in ("0", "1", "4294967295"):
        command = [sys.executable, "-c", _IN_A_PROCESS]
        run = subprocess.run(
            command, cwd=ROOT, env={"PYTHONHASHSEED": hash_seed}, capture_output=True, text=True, timeout=60, check=True
        )
        outputs.append(run.stdout.split())
    machine = Machine()
    _run(machine, _stream(1, COMMAND_COUNT))
    expected = [str(machine.sequence), machine.chain.hex(), state_hash(machine).hex()]
    assert [output[1:] for output in outputs] == [expected] * 3
    assert len({output[0] for output in outputs}) == 3, "the processes did hash text differently"


@pytest.mark.parametrize("every", [1, 2, 7, 50, 333])
def test_a_restart_from_a_snapshot_changes_nothing(every: int) -> None:
    """A replica that was restored at every so many commands writes the bytes that one that never stopped does."""
    stream = _stream(2, 600)
    plain, restarted = Machine(), Machine()
    for number, (now_ns, command) in enumerate(stream):
        data = encode_command(command)
        assert restarted.apply(now_ns, data) == plain.apply(now_ns, data), (number, command)
        if number % every == 0:
            snapshot = snapshot_bytes(restarted)
            restarted = restore(snapshot)
            assert snapshot_bytes(restarted) == snapshot == snapshot_bytes(plain)
    assert state_hash(restarted) == state_hash(plain)


def test_how_commands_are_cut_into_entries_changes_the_chain_and_nothing_else() -> None:
    """The batch is one of fifty commands stamped with one time; its events and its state are those of fifty entries."""
    stream = _stream(3, 1_200)
    single, batched = Machine(), Machine()
    for start in range(0, len(stream), 50):
        part = stream[start : start + 50]
        now_ns = part[-1][0]
        commands = [command._replace(issued_at_ns=now_ns) for _, command in part]
        alone: list[list[Event]] = []
        for command in commands:
            applied = single.apply(now_ns, encode_command(command))
            alone.append([event for _, event in decode_events(applied.entry.events)])
        together = batched.apply(now_ns, b"".join(encode_command(command) for command in commands))
        by_command: list[list[Event]] = [[] for _ in commands]
        for offset, event in decode_events(together.entry.events):
            by_command[offset].append(event)
        assert by_command == alone
        ends = [0, *together.event_ends]
        assert [len(list(decode_events(together.entry.events[a:b]))) for a, b in pairwise(ends)] == [
            len(events) for events in alone
        ]
        assert (together.entry.first_sequence, together.entry.last_sequence) == (start + 1, start + len(part))
    assert batched.sequence == single.sequence
    assert batched.chain != single.chain
    batched.chain = single.chain
    assert snapshot_bytes(batched) == snapshot_bytes(single)


def test_time_never_runs_backwards_in_the_log() -> None:
    machine = Machine()
    later = machine.apply(START_NS + 5, encode_command(CreateAsset(0, START_NS, 5, b"EUR")))
    earlier = machine.apply(START_NS, encode_command(CreateAsset(0, START_NS, 3, b"GLD")))
    assert later.entry.timestamp_ns == earlier.entry.timestamp_ns == machine.timestamp_ns == START_NS + 5


def _listed() -> Machine:
    machine = Machine()
    for command in LISTING:
        machine.apply(START_NS, encode_command(command))
    return machine


def _body(machine: Machine) -> bytes:
    """The snapshot without what names the history itself: sequence, chain, the last trade and its price, places."""
    machine.sequence = machine.trading.index.last_trade_id = machine.trading.index.last_priority = 0
    machine.chain = bytes(32)
    for market in machine.trading.markets:
        market.session.last_price_ticks = 0
    return sections_of(machine)


def _place(account_id: int, side: int, name: bytes) -> bytes:
    return encode_command(PlaceOrder(account_id, START_NS, 2, side, 0, 0, 0, 0, 1_000, 2, 1, 2, name))


def test_balances_that_came_back_to_zero_leave_nothing_in_the_snapshot() -> None:
    """Cy buys from Ana and sells to her: his OIL was there and is gone. He never had OIL on the other exchange."""
    with_oil, without = Machine(), Machine()
    for machine in (with_oil, without):
        for command in LISTING[:5]:
            if isinstance(command, CreateMarket):
                command = command._replace(maker_fee_ppm=0, taker_fee_ppm=0)
            machine.apply(START_NS, encode_command(command))
        for name in (b"ana", b"cy"):
            machine.apply(START_NS, encode_command(CreateAccount(0, START_NS, TRADER, name)))
        machine.apply(START_NS, encode_command(Deposit(0, START_NS, 1, OIL, 1, 2, b"oil")))
        machine.apply(START_NS, encode_command(Deposit(0, START_NS, 2, EUR, 1, 0, b"eur")))
    for record in (_place(1, SELL, b"a1"), _place(2, BUY, b"c1"), _place(1, BUY, b"a2"), _place(2, SELL, b"c2")):
        with_oil.apply(START_NS, record)
    assert with_oil.ledger.rows() == without.ledger.rows()
    # The orders and their receipts are forgotten after a day, the volumes after thirty more; then nothing tells the
    # two exchanges apart.
    for machine in (with_oil, without):
        machine.apply(START_NS + 31 * NS_PER_DAY, encode_command(CancelAll(1, START_NS, 0, b"late")))
    assert _body(with_oil) == _body(without)
    assert [len(closed_of(machine)) for machine in (with_oil, without)] == [len(closed_of(Machine()))] * 2
    assert len(receipts_of(with_oil)) == len(receipts_of(without))


def test_accounts_trading_in_another_order_give_the_same_balances_section() -> None:
    """Dictionaries fill in another order; the snapshot is sorted all the same."""
    one, other = Machine(), Machine()
    for machine in (one, other):
        for command in LISTING[:9]:
            machine.apply(START_NS, encode_command(command))
    deposits = [command for command in LISTING if isinstance(command, Deposit)]
    for machine, order in ((one, deposits), (other, deposits[::-1])):
        for command in order:
            machine.apply(START_NS, encode_command(command))
    assert one.ledger.rows() == other.ledger.rows()
    assert one.ledger.supplies() == other.ledger.supplies()
    assert sorted(one.registry.deposits) == sorted(other.registry.deposits)


def test_a_queue_after_a_restart_is_the_queue_before_it() -> None:
    """The order of a queue is not the order of ids: an increase has put the first order behind the second."""
    stream = _stream(4, 800)
    machine = Machine()
    _run(machine, stream)
    again = restore(snapshot_bytes(machine))
    compared = 0
    for market, market_again in zip(machine.trading.markets, again.trading.markets, strict=True):
        for side in (BUY, SELL):
            before, after = market.book.side(side), market_again.book.side(side)
            for level, level_again in zip(before.levels, after.levels, strict=True):
                queue = [order.order_id for order in before.orders(level)]
                assert level.key == level_again.key
                assert queue == [order.order_id for order in after.orders(level_again)]
                compared += len(queue)
    assert compared > 10


def test_a_snapshot_cut_at_any_byte_or_with_bytes_behind_it_is_refused() -> None:
    machine = _listed()
    machine.apply(START_NS, _place(1, BUY, b"a1"))
    data = snapshot_bytes(machine)
    for length in range(len(data)):
        with pytest.raises(SnapshotError):
            restore(data[:length])
    with pytest.raises(SnapshotError):
        restore(data + b"\0")


@pytest.mark.parametrize(
    ("position", "told"),
    [(0, "are no snapshot"), (8, "of version 6, and this build knows versions 4 and 5"), (9, "version 516,")],
)
def test_a_snapshot_of_another_kind_or_version_is_refused(position: int, told: str) -> None:
    data = bytearray(snapshot_bytes(_listed()))
    assert version_of(bytes(data)) == VERSION
    data[position] ^= 2
    with pytest.raises(SnapshotError, match=told):
        restore(bytes(data))


def test_the_state_hash_covers_every_part_of_the_state() -> None:
    """Each change of one number somewhere changes the hash."""
    changed = set()
    for change in (
        lambda machine: setattr(machine, "sequence", 0),
        lambda machine: setattr(machine, "timestamp_ns", 0),
        lambda machine: setattr(machine, "chain", bytes(32)),
        lambda machine: setattr(machine.trading.index, "last_trade_id", 7),
        lambda machine: machine.ledger.hold(1, EUR, 1),
        lambda machine: machine.ledger.deposit(1, EUR, 1),
        lambda machine: machine.registry.deposits.pop(b"eur-1"),
        lambda machine: setattr(machine.trading.index.find(machine.sequence), "priority", 77),
        lambda machine: setattr(machine.trading.index.find(machine.sequence), "fee_overpaid_ppm", 1),
        lambda machine: change_receipt(machine, -1, remembered_at_ns=0),
        lambda machine: change_receipt(machine, -1, content=b""),
        lambda machine: None,
    ):
        machine = _listed()
        machine.apply(START_NS, _place(1, BUY, b"a1"))
        change(machine)
        changed.add(state_hash(machine))
    assert len(changed) == 12
