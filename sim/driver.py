"""What a stage asks of the exchange that it plays on: to carry out commands, and to show itself.

Numbers are the exchange's, names the scenario's, amounts and prices texts as clients see them. Drivers are
``sim.engine_driver`` and ``sim.http_driver``.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

from engine.events import Event
from sim.phrases import Asked
from sim.register import Register

DEPTH: Final = 100  # levels of a book that are shown


class Heard(NamedTuple):
    event: Event
    timestamp_ns: int


class Answer(NamedTuple):
    """What came of a command: its place in the log, and all that happened up to there since the last command.

    A command that never reached the log has the sequence 0, and the code of the refusal.
    """

    sequence: int
    heard: list[Heard]
    refusal: str = ""


class BookLevel(NamedTuple):
    side: str
    price: str
    quantity: str
    order_count: int


class Balance(NamedTuple):
    asset: str
    available: str
    held: str


class Standing(NamedTuple):
    """An order as it stands. The asset that it holds is for the register to know.

    ``conditions`` tell what is special about it (``sim.sentences.conditions_text``).
    """

    order_id: int
    status: str
    close_reason: str
    open: str
    executed: str
    notional: str
    fee: str
    held: str
    conditions: str


class MarketView(NamedTuple):
    """``crossing`` is price, quantity and surplus of an auction, if it would trade."""

    state: str
    last_price: str | None
    crossing: tuple[str, str, str] | None


class Movement(NamedTuple):
    """A withdrawal (then ``to`` is a destination) or a transfer as it stands."""

    number: int
    status: str
    amount: str
    giver: str
    to: str


class SaleView(NamedTuple):
    status: str
    sold: str
    proceeds: str


class Subscription(NamedTuple):
    """``settled`` is what came of it: tokens, what they cost, what came back. None as long as the sale goes on."""

    number: int
    held: str
    settled: tuple[str, str, str] | None


class Driver(Protocol):
    """An exchange to play on."""

    register: Register

    def begin(self) -> None:
        """Forget what was played before: a new register, and nothing of the scenario's exists."""

    def now_ns(self) -> int: ...

    def wait(self, duration_ns: int) -> None:
        """Let time pass. Skipped if that cannot be done here."""

    def submit(self, asked: Asked) -> Answer: ...

    def require_process(self, reason: str) -> None:
        """Skipped, if this is not the engine in this process."""

    def book(self, market_id: int) -> list[BookLevel]: ...

    def market(self, market_id: int) -> MarketView: ...

    def balances(self, account_id: int) -> list[Balance]: ...

    def orders(self, account_id: int) -> list[Standing]: ...

    def order(self, account_id: int, client_order_id: str) -> Standing | None: ...

    def withdrawals(self, account_id: int) -> list[Movement]: ...

    def transfers(self, account_id: int) -> list[Movement]: ...

    def sale(self, sale_id: int) -> SaleView | None: ...

    def subscriptions(self, account_id: int, sale_id: int) -> list[Subscription]: ...
