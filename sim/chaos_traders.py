"""Traders of ``tally chaos``: each asks over HTTP, one request after the other, and writes down what it was told.

A request whose outcome is unknown is sent again with the same id until the answer is definite; now and then a trader
gives up instead, and asks what became of the id when the trouble is over. Now and then it sends again what was
answered long ago. What a trader wrote down is all that the reconciliation (``sim.chaos_reconciliation``) believes of
its side.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from sim.client import Client, Credentials, ExchangeUnreachable, Response, order_item

BASE: Final = "GLD"
QUOTE: Final = "EUR"
MARKET: Final = f"{BASE}-{QUOTE}"
BASE_DECIMALS: Final = 3  # a lot is one unit
QUOTE_DECIMALS: Final = 5
TICK: Final = "0.01"
LOT: Final = "0.001"
FUNDS: Final[Mapping[str, str]] = {BASE: "1000", QUOTE: "100000"}
POOR_FUNDS: Final[Mapping[str, str]] = {BASE: "1", QUOTE: "100"}  # the last trader's: so that some orders are refused

PLACE: Final = "place"
CANCEL: Final = "cancel"
SWEEP: Final = "sweep"

_MID_TICKS: Final = 10_000
_SPREAD_TICKS: Final = 8
_QUANTITY_LOTS_MAX: Final = 50
_OPEN_MAX: Final = 60  # then a trader sweeps its orders out of the book
_REQUEST_TIMEOUT_S: Final = 5.0
_RETRY_PAUSE_S: Final = 0.1
_SETTLE_LIMIT_S: Final = 60.0
_BATCH: Final = 100


@dataclass
class Asked:
    """One request.

    ``answers`` are all definite answers to it, the first one first; ``resolved`` what asking for its id said.

    ``target`` is the client order id that a cancellation names. ``gave_up`` when the trader stopped asking without an
    answer.
    """

    kind: str
    id: str
    item: dict[str, Any] = field(default_factory=dict)
    target: str = ""
    sent: int = 0
    gave_up: bool = False
    answers: list[dict[str, Any]] = field(default_factory=list)
    resolved: dict[str, Any] | None = None


@dataclass
class Books:
    """What one trader wrote down, in the order in which it first asked. ``balances`` is what it was told at the end."""

    account: str
    deposited: Mapping[str, str]
    asked: list[Asked] = field(default_factory=list)
    balances: list[dict[str, Any]] = field(default_factory=list)


class Acknowledgements:
    """When the exchange acknowledged anything, over all traders: monotonic seconds, ascending. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.times_s: list[float] = []

    def add(self) -> None:
        with self._lock:
            self.times_s.append(time.monotonic())

    def longest_gap_s(self, begun_s: float, ended_s: float) -> float:
        """The longest time without one within this stretch; its ends count as if there was one."""
        with self._lock:
            within = [moment for moment in self.times_s if begun_s < moment < ended_s]
        marks = [begun_s, *within, ended_s]
        return max(later - earlier for earlier, later in itertools.pairwise(marks))


class Trader:
    """One account and its key. :meth:`start` lets it trade in a thread of its own until :meth:`stop`."""

    def __init__(
        self,
        client: Client,
        account: str,
        funds: Mapping[str, str],
        pause_s: float,
        seed: str,
        served: Acknowledgements,
    ) -> None:
        self.books = Books(account, funds)
        self._client, self._pause_s, self._served = client, pause_s, served
        self._random = Random(seed)
        self._open: deque[str] = deque(maxlen=_OPEN_MAX)
        self._orders_since_sweep = 0
        self._enough = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=account)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Answer when the last request was answered or given up. Raises what ended the thread, if anything did."""
        self._enough.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def settle(self) -> None:
        """Everything is healed: ask for every outcome that is not known, repeat every order, look at the balances."""
        for asked in self.books.asked:
            if not asked.answers:
                asked.resolved = self._settled("POST", f"/v1/requests/{asked.id}/resolve")
        orders = [asked for asked in self.books.asked if asked.kind == PLACE]
        for begin in range(0, len(orders), _BATCH):
            stretch = orders[begin : begin + _BATCH]
            body = {"items": [{"op": "place", **asked.item} for asked in stretch]}
            results = self._settled("POST", "/v1/orders/batch", body)["results"]
            for asked, result in zip(stretch, results, strict=True):
                asked.sent += 1
                asked.answers.append(result)
        self.books.balances = self._settled("GET", "/v1/accounts/me/balances")["balances"]

    def _run(self) -> None:
        try:
            while not self._enough.wait(self._pause_s * self._random.uniform(0.5, 1.5)):
                self._ask(self._next())
        except BaseException as failure:
            self._failure = failure

    def _next(self) -> Asked:
        """The next request: mostly a new order, sometimes a cancellation, sometimes an old one again."""
        chance, number = self._random.random(), len(self.books.asked)
        if chance < 0.03 and number:
            old = self._random.choice(self.books.asked)
            if old.answers and old.kind == PLACE:
                return old
        if self._orders_since_sweep >= _OPEN_MAX:
            self._orders_since_sweep = 0
            return self._noted(Asked(SWEEP, f"s{number}"))
        if chance < 0.15 and self._open:
            return self._noted(Asked(CANCEL, f"c{number}", target=self._random.choice(self._open)))
        self._orders_since_sweep += 1
        side = self._random.choice(("buy", "sell"))
        ticks = _MID_TICKS + self._random.randint(-_SPREAD_TICKS, _SPREAD_TICKS)
        item = order_item(
            MARKET,
            side,
            quantity=f"{self._random.randint(1, _QUANTITY_LOTS_MAX) / 1000:.3f}",
            price=f"{ticks // 100}.{ticks % 100:02}",
            time_in_force=self._random.choice(("gtc", "gtc", "gtc", "ioc", "fok")),
            client_order_id=f"o{number}",
        )
        return self._noted(Asked(PLACE, f"o{number}", item=item))

    def _noted(self, asked: Asked) -> Asked:
        self.books.asked.append(asked)
        return asked

    def _ask(self, asked: Asked) -> None:
        """Until the answer is definite, or until this trader gives up."""
        while True:
            asked.sent += 1
            try:
                response = self._send(asked)
                if response.definite:
                    asked.answers.append({"status": response.status, **response.body})
                    asked.gave_up = False
                    if response.sequence is not None:
                        self._served.add()
                    if response.status == 201 and response.body["order"]["status"] == "open":
                        self._open.append(asked.id)
                    return
            except ExchangeUnreachable:
                pass
            if self._enough.is_set() or self._random.random() < 0.1:
                asked.gave_up = not asked.answers
                return
            time.sleep(_RETRY_PAUSE_S)

    def _send(self, asked: Asked) -> Response:
        if asked.kind == PLACE:
            return self._client.request("POST", "/v1/orders", asked.item)
        if asked.kind == CANCEL:
            return self._client.cancel(f"client:{asked.target}", asked.id)
        return self._client.cancel_all(MARKET, asked.id)

    def _settled(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return self._client.settle(lambda: self._client.request(method, path, body), _SETTLE_LIMIT_S).expect().body


def open_traders(operator: Client, count: int, orders_per_s: int, seed: int, served: Acknowledgements) -> list[Trader]:
    """List the market, open and fund the accounts. Together they place about so many orders a second."""
    operator.create_asset(BASE, BASE_DECIMALS).expect()
    operator.create_asset(QUOTE, QUOTE_DECIMALS).expect()
    operator.create_market(BASE, QUOTE, tick=TICK, lot=LOT, maker_fee="0.0010", taker_fee="0.0025").expect()
    traders = []
    for number in range(1, count + 1):
        account, funds = f"trader-{number}", POOR_FUNDS if number == count else FUNDS
        operator.create_account(account).expect()
        for asset, amount in funds.items():
            operator.deposit(account, asset, amount, f"{account}-{asset}").expect()
        key = operator.create_key(account).expect().body
        client = Client(operator.url, Credentials(key["key_id"], key["secret"]), _REQUEST_TIMEOUT_S)
        traders.append(Trader(client, account, funds, count / orders_per_s, f"{seed} {account}", served))
    return traders
