"""A recorded order flow: what traders did, row by row, without what the exchange made of it.

The file is a csv (plain or .xz) in the format of the obAnalytics data set: ``id, timestamp,
exchange.timestamp, price, volume, action, direction``; price in USD, volume in satoshi. Replaying it means:

- ``created`` is a limit order, good till cancelled;
- ``deleted`` with a volume is the cancellation of what was left of the order;
- everything else is an outcome that an exchange must find out by itself, and is skipped.
"""

from __future__ import annotations

import csv
import lzma
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, TextIO

from engine.amounts import format_units, parse_decimal, to_units
from engine.dedup import is_valid_id
from engine.types import AMOUNT_MAX
from sim.client import order_item

BTC_DECIMALS: Final = 8
USD_DECIMALS: Final = 10
PRICE_DECIMALS: Final = 2  # a cent is the tick
COLUMNS: Final = ["id", "timestamp", "exchange.timestamp", "price", "volume", "action", "direction"]
SIDES: Final = {"bid": "buy", "ask": "sell"}


class OrderFlowError(Exception):
    """The file is not such a record, or it is damaged. The text says where."""


class Step(NamedTuple):
    """One thing a trader did. ``row`` counts the rows of the file from 1, the heading not included."""

    row: int
    places: bool
    order_id: str
    side: str
    price: str
    volume_satoshi: int

    def item(self, market: str) -> dict[str, Any]:
        """This step as an item of POST /v1/orders/batch. The same row always has the same id."""
        if self.places:
            return {
                "op": "place",
                **order_item(
                    market,
                    self.side,
                    format_units(self.volume_satoshi, BTC_DECIMALS),
                    price=self.price,
                    client_order_id=self.order_id,
                ),
            }
        # The order's id is in it so that two files with different rows do not share request ids.
        request_id = f"d{self.row}-{self.order_id}"
        return {"op": "cancel", "client_order_id": self.order_id, "request_id": request_id}


class FlowSize(NamedTuple):
    """What a flow needs at most: it can be funded without knowing what will trade."""

    steps: int
    btc_units: int
    usd_units: int
    first_order: Step | None


def read_steps(path: Path) -> Iterator[Step]:
    """The steps of a file in its order, without reading it whole. OrderFlowError if it is damaged."""
    try:
        with _open_text(path) as text:
            rows = csv.reader(text)
            if next(rows, None) != COLUMNS:
                raise OrderFlowError(f"{path}: the first line must be {','.join(COLUMNS)}")
            for number, row in enumerate(rows, start=1):
                step = _read_row(path, number, row)
                if step is not None:
                    yield step
    except OSError as error:
        raise OrderFlowError(f"{path} cannot be read: {error.strerror or error}") from None
    except (lzma.LZMAError, EOFError, csv.Error, UnicodeDecodeError) as error:
        raise OrderFlowError(f"{path} is damaged: {error}") from None


def measure(steps: Iterable[Step]) -> FlowSize:
    """Count the steps and add up what all orders together could spend.

    An upper bound of the funds a replay needs, and a cheap one. An order that no amount can
    pay is left out, since the exchange refuses it anyway; the sums stay within what it can represent.
    """
    count = btc_units = usd_units = 0
    first_order = None
    for step in steps:
        count += 1
        if not step.places:
            continue
        first_order = first_order or step
        notional_units = step.volume_satoshi * _price_ticks(step.price)
        if not 0 < notional_units <= AMOUNT_MAX:
            continue
        if step.side == "sell":
            btc_units += step.volume_satoshi
        else:
            usd_units += notional_units
    return FlowSize(count, min(btc_units, AMOUNT_MAX), min(usd_units, AMOUNT_MAX), first_order)


def same_side_runs(steps: Iterable[Step], size_max: int) -> Iterator[list[Step]]:
    """Cut a flow into runs of neighbours of one side, in order, of at most ``size_max`` steps.

    Bids and asks are two accounts, and one request carries the orders of one account.
    """
    run: list[Step] = []
    for step in steps:
        if run and (step.side != run[0].side or len(run) == size_max):
            yield run
            run = []
        run.append(step)
    if run:
        yield run


def _price_ticks(price: str) -> int:
    # In cents. Zero or less if it is none that a market with a tick of a cent takes.
    decimal = parse_decimal(price)
    assert decimal is not None, price
    return to_units(decimal.mantissa, decimal.scale, PRICE_DECIMALS)


def _open_text(path: Path) -> TextIO:
    if path.suffix == ".xz":
        return lzma.open(path, "rt", encoding="ascii", newline="")
    return path.open(encoding="ascii", newline="")


def _read_row(path: Path, number: int, row: list[str]) -> Step | None:
    if len(row) != len(COLUMNS):
        raise OrderFlowError(f"{path}: row {number} has {len(row)} columns instead of {len(COLUMNS)}")
    order_id, _, _, price, volume, action, direction = row
    if action not in ("created", "changed", "deleted") or direction not in SIDES:
        raise OrderFlowError(f"{path}: row {number} has an unknown action or direction: {action}, {direction}")
    if not is_valid_id(order_id.encode()) or parse_decimal(price) is None or not volume.isdecimal():
        raise OrderFlowError(f"{path}: row {number} has no usable id, price or volume: {order_id}, {price}, {volume}")
    volume_satoshi = int(volume)
    if action == "changed" or (action == "deleted" and not volume_satoshi):
        return None
    return Step(number, action == "created", order_id, SIDES[direction], price, volume_satoshi)
