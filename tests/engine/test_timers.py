"""What is due when: order of execution, nothing before its time, and stale timers that do nothing."""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from engine import commands, rejects
from engine.codec import decode_events, encode_command
from engine.entry import BY_TIME
from engine.events import TimeReached
from engine.snapshot import restore, snapshot_bytes
from engine.timers import (
    AUCTION_PHASE,
    DEAD_MAN,
    MARKET_SCHEDULE,
    NEVER,
    ORDER_EXPIRES,
    SALE_CLOSES,
    SALE_OPENS,
    TRANSFER_EXPIRES,
    Timers,
)
from engine.types import AUCTION, BUY, CLOSED, DAY, GTD, NS_PER_MS, REQUEST_AGE_NS_MAX
from tests.engine.exchange import ANA, BO, CY, EUR, OPS, START_NS, Exchange, kinds, reason

_TIMERS = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 6), st.integers(0, 3)), max_size=30)


@given(timers=_TIMERS, now_ns=st.integers(0, 10))
def test_timers_come_by_time_then_kind_then_number(timers: list[tuple[int, int, int]], now_ns: int) -> None:
    """A subject has one timer of a kind: the one that was set last."""
    heap = Timers()
    last: dict[tuple[int, int], int] = {}
    for due_ns, kind, subject_id in timers:
        heap.schedule(due_ns, kind, subject_id)
        last[kind, subject_id] = due_ns
    live = sorted((due_ns, *key) for key, due_ns in last.items())
    found = []
    while (timer := heap.pop_due(now_ns)) is not None:
        found.append(timer)
    assert found == [timer for timer in live if timer[0] <= now_ns]
    assert heap.next_due_ns() == next((timer[0] for timer in live if timer[0] > now_ns), None)


_CHANGES = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 2), st.integers(0, 9), st.booleans()), max_size=200)


@given(changes=_CHANGES)
def test_any_timer_may_leave_at_any_time(changes: list[tuple[int, int, int, bool]]) -> None:
    heap = Timers()
    live: dict[tuple[int, int], int] = {}
    for due_ns, kind, subject_id, pops in changes:
        heap.schedule(due_ns, kind, subject_id)
        live[kind, subject_id] = due_ns
        live = {key: due_ns for key, due_ns in live.items() if due_ns != NEVER}
        if pops and live:
            due_ns, key = min((due_ns, key) for key, due_ns in live.items())
            assert heap.pop_due(due_ns - 1) is None
            assert heap.pop_due(due_ns) == (due_ns, *key)
            del live[key]
        assert len(heap) == len(live) and heap.next_due_ns() == min(live.values(), default=None)
    found = [heap.pop_due(40) for _ in live]
    assert found == sorted((due_ns, *key) for key, due_ns in live.items()) and len(heap) == 0


def test_many_timers_come_in_order() -> None:
    heap = Timers()
    for number in range(3_000):
        heap.schedule(1 + number * 7_919 % 3_001, ORDER_EXPIRES, number)
    for number in range(0, 3_000, 3):
        heap.forget(ORDER_EXPIRES, number)
    for number in range(0, 3_000, 6):
        heap.schedule(1 + number * 104_729 % 3_001, ORDER_EXPIRES, number)
    expected = [(1 + number * 7_919 % 3_001, ORDER_EXPIRES, number) for number in range(3_000) if number % 3]
    expected += [(1 + number * 104_729 % 3_001, ORDER_EXPIRES, number) for number in range(0, 3_000, 6)]
    assert [heap.pop_due(3_001) for _ in range(len(heap))] == sorted(expected)


def test_a_timer_that_was_forgotten_or_taken_away_does_not_come() -> None:
    heap = Timers()
    for subject_id in (1, 2, 3):
        heap.schedule(5, DEAD_MAN, subject_id)
    heap.forget(DEAD_MAN, 1)
    heap.schedule(NEVER, DEAD_MAN, 2)
    heap.forget(ORDER_EXPIRES, 3)  # of another kind: there is none
    assert heap.pop_due(5) == (5, DEAD_MAN, 3) and heap.pop_due(5) is None
    assert heap.next_due_ns() is None


def test_timers_that_were_replaced_or_forgotten_are_not_kept() -> None:
    """Orders of the day that come and go, and a switch that is renewed all the time, leave nothing behind."""
    exchange = Exchange(1_000)
    exchange.twin = False
    machine, now_ns = exchange.machine, exchange.now_ns
    for number in range(3_000):
        placed = exchange.special(ANA, BUY, 1, f"c{number}", price=900, tif=DAY)
        cancelled = commands.CancelOrder(ANA, 0, 0, f"c{number}".encode(), exchange.new_id())
        armed = commands.CancelAllAfter(ANA, 0, 1_000_000, exchange.new_id())
        asked = (placed, cancelled, armed)
        machine.apply(now_ns, b"".join(encode_command(one._replace(issued_at_ns=now_ns)) for one in asked))
    assert len(machine.timers) == 1
    again = restore(snapshot_bytes(machine))
    assert again.timers.next_due_ns() == machine.timers.next_due_ns() == now_ns + 1_000_000 * NS_PER_MS
    assert kinds(exchange.wait(1_000_000)) == ["DeadManFired"]


def test_timers_that_come_and_go_use_the_same_memory() -> None:
    timers = Timers()

    def come_and_go(count: int) -> None:
        for number in range(count):
            timers.schedule(1, ORDER_EXPIRES, number)
            timers.forget(ORDER_EXPIRES, number)

    come_and_go(100)
    tracemalloc.start()
    come_and_go(5_000)
    grown_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown_bytes < 50_000


def test_never_is_not_scheduled() -> None:
    heap = Timers()
    heap.schedule(NEVER, DEAD_MAN, 1)
    assert heap.next_due_ns() is None and heap.pop_due(1 << 62) is None


def test_kinds_are_numbered_in_the_order_in_which_they_run() -> None:
    kinds_in_order = (
        ORDER_EXPIRES,
        DEAD_MAN,
        TRANSFER_EXPIRES,
        AUCTION_PHASE,
        MARKET_SCHEDULE,
        SALE_OPENS,
        SALE_CLOSES,
    )
    assert kinds_in_order == tuple(range(7))


def _busy(exchange: Exchange) -> int:
    """Everything is due at one moment: it is answered."""
    exchange.set_rules(call_ms=1_000)
    exchange.set_state(AUCTION)
    due_ns = exchange.now_ns + 1_000 * NS_PER_MS
    exchange.buy(BO, 1, 900)
    exchange.run(commands.CreateTransfer(CY, 0, BO, EUR, 5, 0, 1, 1, b"t"))
    exchange.run(commands.CancelAllAfter(BO, 0, 1_000, b"arm"))
    exchange.run(exchange.special(ANA, BUY, 1, "a1", price=900, tif=GTD, expires_at_ns=due_ns))
    exchange.set_schedule((43_201, CLOSED))
    return due_ns


def test_what_is_due_at_one_moment_happens_in_the_order_of_its_kinds() -> None:
    exchange = Exchange(1_000)
    due_ns = _busy(exchange)
    assert due_ns == START_NS + 1_000 * NS_PER_MS
    assert exchange.wait(1_000) == exchange.by_time
    assert kinds(exchange.by_time) == [
        "OrderClosed",  # Ana's order expires
        "OrderClosed",
        "DeadManFired",
        "TransferChanged",
        "MarketStateChanged",  # the end of the auction
        "MarketStateChanged",  # the close of the day
    ]


def test_nothing_happens_a_nanosecond_before() -> None:
    exchange = Exchange(1_000)
    due_ns = _busy(exchange)
    assert exchange.machine.timers.next_due_ns() == due_ns
    exchange.now_ns = due_ns - 1
    assert exchange.wait() == []


def test_what_is_due_earlier_comes_first_whatever_its_kind() -> None:
    exchange = Exchange(1_000)
    exchange.set_schedule((43_201, CLOSED))
    exchange.run(exchange.special(ANA, BUY, 1, "a1", price=900, tif=GTD, expires_at_ns=START_NS + 10**9 + 1))
    assert kinds(exchange.wait(2_000)) == ["MarketStateChanged", "OrderClosed"]


def test_time_comes_before_the_first_command_and_belongs_to_none() -> None:
    exchange = Exchange(1_000)
    _busy(exchange)
    exchange.now_ns += 1_000 * NS_PER_MS
    data = b"".join(
        encode_command(command._replace(issued_at_ns=exchange.now_ns))
        for command in (exchange.order(CY, BUY, 1, 900, "late"), commands.Tick(OPS, 0))
    )
    applied = exchange.machine.apply(exchange.now_ns, data)
    found = list(decode_events(applied.entry.events))
    assert [offset for offset, _ in found] == [BY_TIME] * 6 + [0, 1]
    assert reason([found[6][1]]) == rejects.MARKET_STATE, "the market closed before the order came"
    assert found[7][1] == TimeReached(exchange.now_ns)
    by_time = list(decode_events(applied.entry.events[: applied.events_start]))
    assert by_time == found[:6]
    first = applied.entry.events[applied.events_start : applied.event_ends[0]]
    assert list(decode_events(first)) == [found[6]]


def test_a_closed_orders_timer_is_stale() -> None:
    exchange = Exchange(1_000)
    exchange.run(exchange.special(ANA, BUY, 1, "a1", price=900, tif=GTD, expires_at_ns=START_NS + 5))
    assert exchange.machine.timers.next_due_ns() == START_NS + 5
    exchange.cancel(ANA, "a1")
    assert exchange.machine.timers.next_due_ns() is None and exchange.wait(ns=5) == []


def test_any_command_lets_time_pass_even_one_that_is_refused() -> None:
    exchange = Exchange(1_000)
    _busy(exchange)
    exchange.now_ns += 1_000 * NS_PER_MS
    late = commands.Tick(OPS, exchange.now_ns - REQUEST_AGE_NS_MAX - 1)
    found = list(decode_events(exchange.machine.apply(exchange.now_ns, encode_command(late)).entry.events))
    assert len(found) == 7 and reason([found[6][1]]) == rejects.REQUEST_EXPIRED


def test_a_tick_is_an_operators() -> None:
    exchange = Exchange()
    assert exchange.run(commands.Tick(OPS, 0)) == [TimeReached(START_NS)] == exchange.run(commands.Tick(0, 0))
    assert reason(exchange.run(commands.Tick(ANA, 0))) == rejects.NOT_ALLOWED
