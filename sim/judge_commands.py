"""The messages of a workload as commands of the engine: real ones, each with its own id.

One market whose tick and lot are one unit each, so that a lot at one tick costs one unit of the quote asset; fees are
zero. Buy and sell orders belong to different accounts, so that nothing meets an order of its own. The ids of requests
are the numbers of their commands, in eight hexadecimal digits.
"""

from __future__ import annotations

from struct import Struct
from typing import Any, Final

from engine.codec import COMMAND_HEADER, COMMAND_LAYOUTS, encode_command
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
from engine.types import (
    AMOUNT_MAX,
    BUY,
    CANCEL_NEWEST,
    EXCHANGE_ACCOUNT,
    GTC,
    IOC,
    LIMIT,
    OPEN_ORDERS_PER_ACCOUNT_MAX,
    SELL,
    TRADER,
)

NOW_NS: Final = 0  # the workload knows no time
NEVER_PLACED: Final = 1  # the number of the command that lists the base asset: no order has it

_BASE, _QUOTE = b"BASE", b"QUOTE"
_BASE_ID, _QUOTE_ID, _MARKET_ID = 1, 2, 1
_ID_DIGITS: Final = 8
_NO_TEXT: Final = b"\x00"


def _record(kind: type[Any], texts: bytes) -> tuple[Struct, tuple[int, int]]:
    """The struct of whole records of a kind whose texts have a fixed length, and what their header says."""
    (layout,) = (layout for layout in COMMAND_LAYOUTS if layout.record is kind)
    struct = Struct(COMMAND_HEADER.format + layout.fields.format.removeprefix("<") + f"{len(texts)}s")
    return struct, (layout.kind, struct.size)


_ID: Final = b"%c%%0%dx" % (_ID_DIGITS, _ID_DIGITS)  # a text: its length and the id
_PLACE, _PLACE_HEADER = _record(PlaceOrder, _ID % 0)
_CANCEL, _CANCEL_HEADER = _record(CancelOrder, _NO_TEXT + _ID % 0)
_AMEND, _AMEND_HEADER = _record(AmendOrder, _NO_TEXT + _ID % 0)


def place(number: int, account_id: int, side: int, ioc: int, price_ticks: int, quantity: int) -> bytes:
    """A limit order. ``number`` is the sequence that its command will have, and so the number of the order."""
    time_in_force = IOC if ioc else GTC
    return _PLACE.pack(
        *_PLACE_HEADER,
        account_id,
        NOW_NS,
        _MARKET_ID,
        side,
        LIMIT,
        time_in_force,
        0,
        CANCEL_NEWEST,
        price_ticks,
        0,
        quantity,
        0,
        _ID % number,
    )


def cancel(number: int, account_id: int, order_number: int) -> bytes:
    return _CANCEL.pack(*_CANCEL_HEADER, account_id, NOW_NS, order_number, _NO_TEXT + _ID % number)


def amend(number: int, account_id: int, order_number: int, price_ticks: int, quantity: int) -> bytes:
    """``quantity`` is the new total of an order of which nothing was executed."""
    return _AMEND.pack(
        *_AMEND_HEADER, account_id, NOW_NS, order_number, price_ticks, 0, quantity, 0, _NO_TEXT + _ID % number
    )


class Accounts:
    """Who owns the orders: one account a side, or more where more orders may rest than one account may have."""

    def __init__(self, resting_max: tuple[int, int]) -> None:
        counts = [max(1, -(-resting // OPEN_ORDERS_PER_ACCOUNT_MAX)) for resting in resting_max]
        self._firsts = (1, 1 + counts[BUY])
        self._counts = counts
        self._placed = [0, 0]

    def next_owner(self, side: int, ioc: int) -> int:
        """The account of the next order of that side. No account gets more orders that may rest than it may have."""
        if ioc:
            return self._firsts[side]
        placed = self._placed[side]
        self._placed[side] = placed + 1
        return self._firsts[side] + placed // OPEN_ORDERS_PER_ACCOUNT_MAX

    def set_up(self) -> list[bytes]:
        """The commands that list the market and fund the accounts: each asset's whole supply, in equal parts."""
        commands: list[Command] = [
            CreateAsset(EXCHANGE_ACCOUNT, NOW_NS, 0, _BASE),
            CreateAsset(EXCHANGE_ACCOUNT, NOW_NS, 0, _QUOTE),
            CreateMarket(EXCHANGE_ACCOUNT, NOW_NS, 1, 0, 1, 0, 0, 0, 0, 0, _BASE, _QUOTE),
        ]
        for side, asset_id, name in ((BUY, _QUOTE_ID, b"buyer"), (SELL, _BASE_ID, b"seller")):
            for index in range(self._counts[side]):
                account_id = self._firsts[side] + index
                amount = AMOUNT_MAX // self._counts[side]
                commands.append(CreateAccount(EXCHANGE_ACCOUNT, NOW_NS, TRADER, b"%b-%d" % (name, index + 1)))
                commands.append(
                    Deposit(EXCHANGE_ACCOUNT, NOW_NS, account_id, asset_id, amount, 0, b"deposit-%d" % account_id)
                )
        return [encode_command(command) for command in commands]
