"""``tally import bitstamp``: replay a recorded day of Bitstamp through the HTTP API of an exchange.

Bids and asks belong to two funded accounts. The rows are sent strictly in the order of the file,
in batches of neighbours of one side; a batch is settled before the next one leaves. Every row has an id of its own, so
the import goes on by itself when the exchange restarts or changes its leader, and running it again within 24 hours
(the time for which the exchange remembers ids) changes nothing and gives the same summary.

How trades are counted: by trade id, from the fills in the responses. A repeated response has no
fills, so for those orders the exchange's list of trades is asked. That the count is complete is
proved at the end: the trades must add up to the BTC that the buying account has received.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

from tqdm import tqdm

from engine.amounts import format_units
from sim.client import Client, ClientError, Credentials, OutcomeUnsettled, Response
from sim.order_flow import (
    BTC_DECIMALS,
    USD_DECIMALS,
    FlowSize,
    OrderFlowError,
    Step,
    measure,
    read_steps,
    same_side_runs,
)

MARKET: Final = "BTC-USD"
BUYER: Final = "bitstamp-bids"
SELLER: Final = "bitstamp-asks"
BATCH_SIZE: Final = 50
BATCH_SIZE_MAX: Final = 500
TRADES_LISTED_MAX: Final = 1_000


class ImportRefused(Exception):
    """The exchange holds something that this import would get mixed up with."""


class Trade(NamedTuple):
    price: Decimal
    quantity: Decimal


@dataclass
class Summary:
    """What became of the flow. ``refused`` and ``cancels_refused`` count by error code."""

    orders: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    cancels: int = 0
    cancels_refused: Counter[str] = field(default_factory=Counter)
    trades: dict[int, Trade] = field(default_factory=dict)
    trades_complete: bool = False
    best_bid: str = "none"
    best_ask: str = "none"
    rows: int = 0
    duration_s: float = 0.0

    @property
    def volume_btc(self) -> Decimal:
        return sum((trade.quantity for trade in self.trades.values()), Decimal(0))

    @property
    def notional_usd(self) -> Decimal:
        return sum((trade.price * trade.quantity for trade in self.trades.values()), Decimal(0))

    def __str__(self) -> str:
        complete = "" if self.trades_complete else " at least: they do not add up to the BTC that the buyer received"
        rate = self.rows / self.duration_s if self.duration_s else 0.0
        return "\n".join(
            (
                f"orders accepted   {self.orders:,}",
                f"orders refused    {_by_reason(self.refused)}",
                f"cancels that hit  {self.cancels:,}",
                f"cancels refused   {_by_reason(self.cancels_refused)}",
                f"trades            {len(self.trades):,}{complete}",
                f"volume            {self.volume_btc:,f} BTC",
                f"notional          {self.notional_usd:,f} USD",
                f"best bid, ask     {self.best_bid}, {self.best_ask}",
                f"rows              {self.rows:,} in {self.duration_s:.1f} s, {rate:,.0f} rows/s",
            )
        )


def main(file: Path, *, url: str, data_dir: Path, batch_size: int = BATCH_SIZE, limit: int | None = None) -> int:
    """Import a file and print what came of it. ``limit`` stops after so many rows. Answers the exit code."""
    if not 1 <= batch_size <= BATCH_SIZE_MAX:
        print(f"tally import: a batch has 1 to {BATCH_SIZE_MAX} rows.", file=sys.stderr)
        return 2
    try:
        operator = Client(url, Credentials.load(data_dir))
        size = measure(read_steps(file))
        summary = import_flow(operator, size, islice(read_steps(file), limit), batch_size=batch_size, limit=limit)
    except OutcomeUnsettled as error:
        print(f"tally import: {error} Run the same command again: it goes on where it stopped.", file=sys.stderr)
        return 1
    except (ClientError, OrderFlowError, ImportRefused) as error:
        print(f"tally import: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ntally import: stopped. Run the same command again: it goes on where it stopped.", file=sys.stderr)
        return 130
    print(summary)
    return 0


def import_flow(
    operator: Client, size: FlowSize, steps: Iterable[Step], *, batch_size: int = BATCH_SIZE, limit: int | None = None
) -> Summary:
    """List the market, open and fund the two accounts, send the steps."""
    started_before = _set_up(operator, size)
    clients = {"buy": _client_of(operator, BUYER), "sell": _client_of(operator, SELLER)}
    if started_before:
        _refuse_a_forgotten_import(clients["buy"], clients["sell"], size.first_order)
    summary = Summary()
    recorder = Recorder(
        summary, lambda: clients["buy"].settle(lambda: clients["buy"].trades(MARKET, TRADES_LISTED_MAX))
    )
    btc_before = _total(clients["buy"], "BTC")
    begun_s = time.monotonic()
    steps_expected = size.steps if limit is None else min(limit, size.steps)
    with tqdm(total=steps_expected, unit="row", desc="import", disable=None) as progress:
        for run in same_side_runs(steps, batch_size):
            client = clients[run[0].side]
            items = [step.item(MARKET) for step in run]
            response = client.settle(partial(client.batch, items)).expect()
            recorder.record(run, response.body["results"])
            progress.update(len(run))
    summary.duration_s = time.monotonic() - begun_s
    btc_after = _total(clients["buy"], "BTC")
    # The first holds if every earlier trade of the account is counted too, the second if none is.
    summary.trades_complete = summary.volume_btc in (btc_after, btc_after - btc_before)
    book = operator.settle(lambda: operator.book(MARKET, depth=1)).expect().body
    summary.best_bid, summary.best_ask = (book[side][0][0] if book[side] else "none" for side in ("bids", "asks"))
    return summary


class Recorder:
    """Reads the outcomes of batches into a summary. ``list_trades`` asks the exchange for its latest trades."""

    def __init__(self, summary: Summary, list_trades: Callable[[], Response]) -> None:
        self._summary = summary
        self._list_trades = list_trades
        self._listed: dict[int, dict[int, Trade]] = {}

    def record(self, run: list[Step], results: list[dict[str, Any]]) -> None:
        """Count the outcomes of one batch, one for each step."""
        assert len(results) == len(run), (len(results), len(run))
        repeated_takers: list[int] = []
        for step, result in zip(run, results, strict=True):
            error = result.get("error")
            if not step.places:
                self._count_cancel(error)
            elif error is not None:
                self._summary.refused[error["code"]] += 1
            else:
                self._summary.orders += 1
                for fill in result["fills"]:
                    self._summary.trades[fill["trade_id"]] = _trade(fill)
                order = result["order"]
                if result["repeated"] and order is not None and Decimal(order["executed"]):
                    repeated_takers.append(order["order_id"])
        self._summary.rows += len(run)
        if repeated_takers:
            self._add_listed_trades(repeated_takers)

    def _count_cancel(self, error: dict[str, Any] | None) -> None:
        if error is None:
            self._summary.cancels += 1
        else:
            self._summary.cancels_refused[error["code"]] += 1

    def _add_listed_trades(self, order_ids: list[int]) -> None:
        # An order's id is the sequence of its command, and a trade has the sequence of its taker's command.
        if not all(order_id in self._listed for order_id in order_ids):
            for trade in self._list_trades().expect().body["trades"]:
                self._listed.setdefault(trade["sequence"], {})[trade["trade_id"]] = _trade(trade)
        for order_id in order_ids:
            # An order that was only ever a maker has no trades of its own sequence.
            self._summary.trades.update(self._listed.setdefault(order_id, {}))


def _set_up(operator: Client, size: FlowSize) -> bool:
    """Create what is missing. Answers whether this file was funded before."""
    settle = operator.settle
    settle(lambda: operator.create_asset("BTC", BTC_DECIMALS)).expect()
    settle(lambda: operator.create_asset("USD", USD_DECIMALS)).expect()
    listed = settle(lambda: operator.create_market("BTC", "USD", tick="0.01", lot="0.00000001"))
    if listed.error_code == "NAME_TAKEN":
        raise ImportRefused(
            f"The exchange lists {MARKET} with another tick, lot or fee. Import into a fresh one: tally up --data NEW"
        )
    listed.expect()
    repeated = False
    for account, asset, units, decimals in (
        (BUYER, "USD", size.usd_units, USD_DECIMALS),
        (SELLER, "BTC", size.btc_units, BTC_DECIMALS),
    ):
        settle(partial(operator.create_account, account)).expect()
        if units:
            amount, reference = format_units(units, decimals), f"{account}-{units}"
            deposit = settle(partial(operator.deposit, account, asset, amount, reference)).expect()
            repeated |= bool(deposit.body.get("repeated"))
    return repeated


def _client_of(operator: Client, account: str) -> Client:
    key = operator.settle(lambda: operator.create_key(account)).expect().body
    return Client(operator.url, Credentials(key["key_id"], key["secret"]))


def _refuse_a_forgotten_import(buyer: Client, seller: Client, first_order: Step | None) -> None:
    """Stop before rows are placed a second time because the exchange no longer remembers the first time."""
    if first_order is None:
        return
    client = buyer if first_order.side == "buy" else seller
    found = client.settle(partial(client.order, f"client:{first_order.order_id}"))
    if found.error_code != "UNKNOWN_ORDER":
        return
    holds = any(Decimal(row["held"]) for client in (buyer, seller) for row in _balances(client))
    if holds or _total(buyer, "BTC"):
        raise ImportRefused(
            "This file was imported more than 24 hours ago: the exchange has forgotten the ids of its rows and would "
            "trade them again. Import into a fresh one: tally up --data NEW"
        )


def _balances(client: Client) -> list[dict[str, Any]]:
    balances: list[dict[str, Any]] = client.settle(client.balances).expect().body["balances"]
    return balances


def _total(client: Client, asset: str) -> Decimal:
    return sum((Decimal(row["total"]) for row in _balances(client) if row["asset"] == asset), Decimal(0))


def _trade(row: dict[str, Any]) -> Trade:
    return Trade(Decimal(row["price"]), Decimal(row["quantity"]))


def _by_reason(counts: Counter[str]) -> str:
    reasons = ", ".join(f"{code} {count:,}" for code, count in sorted(counts.items()))
    return f"{counts.total():,} ({reasons})" if reasons else "0"
