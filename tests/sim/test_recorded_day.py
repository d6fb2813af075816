"""The real order flow of a day, driven through the state machine: every figure of an independent implementation."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from pathlib import Path

import pytest

from engine import rejects
from engine.amounts import parse_decimal
from engine.codec import decode_events, encode_command
from engine.commands import CancelOrder, Command, CreateAccount, CreateAsset, CreateMarket, Deposit, PlaceOrder
from engine.events import CommandRejected, Event, OrderAccepted, OrderClosed, TradeExecuted
from engine.invariants import assert_sound
from engine.machine import Machine
from engine.queries import book, open_orders
from engine.types import BUY, GTC, LIMIT, NS_PER_S, SELL, TRADER
from sim.order_flow import BTC_DECIMALS, USD_DECIMALS, Step, measure, read_steps

FILE_NAME = "bitstamp-btcusd-2015-05-01-am.csv.xz"
DATA_DIR = Path(os.environ.get("TALLY_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
FILE = DATA_DIR / FILE_NAME
TRADES_SHA256 = "7dbf23413619095ddb2f468fea5e691283645de73e6b02e89c6560aab2a6bfa5"
BUYER, SELLER = 1, 2

pytestmark = pytest.mark.skipif(
    not FILE.exists(), reason=f"no recorded day: {FILE} is absent (set TALLY_TEST_DATA to the folder that holds it)"
)


def test_the_recorded_day_trades_as_an_independent_implementation_says() -> None:
    steps = list(read_steps(FILE))
    machine, outcomes = Machine(), Counter[str]()
    apply_all(machine, 0, setup_commands(steps))
    trades: list[TradeExecuted] = []
    order_names: dict[int, str] = {}
    for step in steps:
        timestamp_ns = step.row * NS_PER_S // 1_000
        events = apply_all(machine, timestamp_ns, [command_of(step, timestamp_ns)])
        outcomes[outcome_of(events[0])] += 1
        if isinstance(events[0], OrderAccepted):
            order_names[events[0].order_id] = step.order_id
        trades += [event for event in events if isinstance(event, TradeExecuted)]

    lines = "\n".join(
        f"{trade.price_ticks},{trade.quantity_lots},{order_names[trade.maker_order_id]},{order_names[trade.taker_order_id]}"
        for trade in trades
    )
    assert hashlib.sha256(lines.encode()).hexdigest() == TRADES_SHA256
    assert len(trades) == 285
    assert sum(trade.quantity_lots for trade in trades) == 53_807_574_522
    assert sum(trade.price_ticks * trade.quantity_lots for trade in trades) == 1_268_271_758_853_793
    assert outcomes == {"placed": 12_431, "cancelled": 11_965, "UNKNOWN_ORDER": 143, "ORDER_CLOSED": 28}
    best = book(machine, 1, 1)
    assert best is not None
    assert (best["bids"][0][0], best["asks"][0][0]) == (23_688, 23_710)
    assert len(open_orders(machine, BUYER, 0)) + len(open_orders(machine, SELLER, 0)) == 180
    assert_sound(machine)


def setup_commands(steps: list[Step]) -> list[Command]:
    size = measure(steps)
    return [
        CreateAsset(0, 0, BTC_DECIMALS, b"BTC"),
        CreateAsset(0, 0, USD_DECIMALS, b"USD"),
        CreateMarket(0, 0, 1, 2, 1, 8, 0, 0, 0, 0, b"BTC", b"USD"),
        CreateAccount(0, 0, TRADER, b"bitstamp-bids"),
        CreateAccount(0, 0, TRADER, b"bitstamp-asks"),
        Deposit(0, 0, BUYER, 2, size.usd_units, USD_DECIMALS, b"usd"),
        Deposit(0, 0, SELLER, 1, size.btc_units, BTC_DECIMALS, b"btc"),
    ]


def command_of(step: Step, timestamp_ns: int) -> Command:
    account_id, side = (BUYER, BUY) if step.side == "buy" else (SELLER, SELL)
    name = step.order_id.encode()
    if not step.places:
        return CancelOrder(account_id, timestamp_ns, 0, name, f"d{step.row}".encode())
    price = parse_decimal(step.price)
    assert price is not None
    amounts = (*price, step.volume_satoshi, BTC_DECIMALS)
    return PlaceOrder(account_id, timestamp_ns, 1, side, LIMIT, GTC, 0, 0, *amounts, name)


def apply_all(machine: Machine, timestamp_ns: int, commands: list[Command]) -> list[Event]:
    applied = machine.apply(timestamp_ns, b"".join(map(encode_command, commands)))
    return [event for _, event in decode_events(applied.entry.events)]


def outcome_of(event: Event) -> str:
    if isinstance(event, CommandRejected):
        return rejects.reason_code(event.reason)
    return (
        "placed" if isinstance(event, OrderAccepted) else "cancelled" if isinstance(event, OrderClosed) else str(event)
    )
