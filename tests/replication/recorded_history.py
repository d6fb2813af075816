"""A short, real history for tests of what keeps and reads it: payloads as a leader would propose them."""

from engine.amounts import ABSENT
from engine.codec import encode_command
from engine.commands import (
    CancelOrder,
    Command,
    CreateAccount,
    CreateAsset,
    CreateMarket,
    Deposit,
    PlaceOrder,
)
from engine.entry import Entry
from engine.machine import Machine
from engine.types import BUY, CANCEL_NEWEST, GTC, LIMIT, MARKET, SELL, TRADER
from replication.replica import TIMESTAMP

NOW_NS = 1_750_000_000_000_000_000


def limit_order(account_id: int, side: int, price_ticks: int, lots: int, client_order_id: bytes) -> PlaceOrder:
    return PlaceOrder(
        account_id, NOW_NS, 1, side, LIMIT, GTC, 0, CANCEL_NEWEST, price_ticks, 2, lots, 3, client_order_id
    )


def payload(*commands: Command) -> bytes:
    return TIMESTAMP.pack(NOW_NS) + b"".join(encode_command(command) for command in commands)


def payloads(count: int) -> list[bytes]:
    """``count`` entries: a market and two funded accounts first, then orders that rest, trade and are cancelled."""
    entries = [
        payload(
            CreateAsset(0, NOW_NS, 5, b"EUR"),
            CreateAsset(0, NOW_NS, 3, b"GLD"),
            CreateMarket(0, NOW_NS, 1, 2, 1, 3, 0, 0, 1_000, 2_500, b"GLD", b"EUR"),
            CreateAccount(0, NOW_NS, TRADER, b"ana"),
            CreateAccount(0, NOW_NS, TRADER, b"bo"),
            Deposit(0, NOW_NS, 1, 1, 1_000_000, 0, b"dep-1"),
            Deposit(0, NOW_NS, 2, 2, 1_000_000, 0, b"dep-2"),
        )
    ]
    for number in range(1, count):
        name = b"%d" % number
        entries.append(
            payload(
                limit_order(2, SELL, 1_000 + number % 7, 3, b"s" + name),
                limit_order(1, BUY, 1_000 + number % 5, 2, b"b" + name),
                CancelOrder(2, NOW_NS, 0, b"s" + name, b"x" + name),
                PlaceOrder(1, NOW_NS, 1, BUY, MARKET, GTC, 0, CANCEL_NEWEST, *ABSENT, 1, 3, b"m" + name),
            )
        )
    return entries


def history(count: int) -> tuple[Machine, list[Entry]]:
    """The machine that executed those payloads, and the entries it left."""
    machine = Machine()
    return machine, [machine.apply(NOW_NS, payload[TIMESTAMP.size :]).entry for payload in payloads(count)]
