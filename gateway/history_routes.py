"""The routes of the history: what each may be asked with, and what its rows are.

One table for all who need it: the gateway makes its routes from it, the query server answers by it and refuses what is
not in it, ``tally query`` takes its options from it, and the OpenAPI description is written from it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from engine.types import SIDE_NAMES, STATUS_NAMES, TRANSFER_STATUS_NAMES, WITHDRAWAL_STATUS_NAMES
from gateway import history_columns
from gateway.freshness import WAIT_MS_DEFAULT, WAIT_MS_MAX
from gateway.history_columns import INTEGER, TEXT, TIME, Column
from projections.candles import INTERVALS
from projections.kinds import TRANSFER_KIND_NAMES

LIMIT_DEFAULT: Final = 100
LIMIT_MAX: Final = 1_000
FORMATS: Final = ("csv", "json", "jsonl", "parquet")
NEWEST, OLDEST = "newest", "oldest"
ORDER_TYPES: Final = ("limit", "market")
LIQUIDITY: Final = ("maker", "taker")
TRANSFER_STATUSES: Final = tuple(dict.fromkeys((*TRANSFER_STATUS_NAMES, *WITHDRAWAL_STATUS_NAMES)))

# What the gateway tells the query server beside the question: for whom it asks, and in which form it wants the answer.
ACCOUNT_HEADER: Final = b"x-tally-account"
OPERATOR_HEADER: Final = b"x-tally-operator"
ACCEPT_HEADER: Final = b"accept"
# What the query server tells beside the answer: "main=4711", comma-separated where it is about several groups.
AS_OF_HEADER: Final = b"x-tally-as-of"

OWN: Final = "/v1/history"
ADMIN: Final = "/v1/admin/history"


class Parameter(NamedTuple):
    """``kind`` is one of ``history_columns``; ``choices`` are all values that a text may have, if it is not free."""

    name: str
    about: str
    kind: str = TEXT
    choices: tuple[str, ...] = ()
    required: bool = False
    maximum: int = 0


class Question(NamedTuple):
    """What can be asked. ``name`` ends the path and names the list in the answer, unless ``rows`` does.

    ``public`` questions are about markets. All others are about the caller's account and, under ``ADMIN``, about any.
    """

    name: str
    summary: str
    parameters: tuple[Parameter, ...]
    columns: tuple[Column, ...]
    public: bool = False
    pages: bool = True
    rows: str = ""

    @property
    def list_name(self) -> str:
        """What the list is called in the answer."""
        return self.rows or self.name

    @property
    def paths(self) -> tuple[str, ...]:
        own = f"{OWN}/{self.name}"
        return (own,) if self.public else (own, f"{ADMIN}/{self.name}")


GROUP: Final = Parameter("group", "Only this market group.")
MARKET: Final = Parameter("market", "Only this market, such as BTC-USD.")
ONE_MARKET: Final = MARKET._replace(about="The market, such as BTC-USD.", required=True)
SIDE: Final = Parameter("side", "Only this side.", choices=SIDE_NAMES)
FROM: Final = Parameter("from", "Not before this time.", TIME)
TO: Final = Parameter("to", "Before this time.", TIME)
SORT: Final = Parameter("sort", "Which comes first: newest (if it is not said) or oldest.", choices=(NEWEST, OLDEST))
LIMIT: Final = Parameter("limit", f"Rows in a page: {LIMIT_DEFAULT} if it is not said.", INTEGER, maximum=LIMIT_MAX)
CURSOR: Final = Parameter("cursor", "Go on behind this page: the next of its answer.")
FORMAT: Final = Parameter("format", "All rows as a file instead of one page.", choices=FORMATS)
ASSET: Final = Parameter("asset", "Only this asset, such as USD.")
ACCOUNT: Final = Parameter("account", "Only this account. Operators only.")
FRESHNESS: Final = (
    Parameter("min_sequence", "The answer must contain this sequence of the group.", INTEGER, maximum=(1 << 63) - 1),
    Parameter(
        "wait_ms", f"How long to wait for it: {WAIT_MS_DEFAULT} if it is not said.", INTEGER, maximum=WAIT_MS_MAX
    ),
)
_PAGE: Final = (FROM, TO, SORT, LIMIT, CURSOR, FORMAT, *FRESHNESS)

ORDERS: Final = Question(
    "orders",
    "Orders, whatever became of them, by when they were accepted.",
    (
        GROUP,
        MARKET,
        SIDE,
        Parameter("type", "Only this type.", choices=ORDER_TYPES),
        Parameter("status", "Only orders that stand so now.", choices=STATUS_NAMES),
        Parameter("order_id", "Only the order with this number.", INTEGER, maximum=(1 << 63) - 1),
        Parameter("client_order_id", "Only orders with exactly this id of the client."),
        Parameter("client_order_id_prefix", "Only orders whose id of the client begins so."),
        *_PAGE,
    ),
    history_columns.ORDER,
)
FILLS: Final = Question(
    "fills",
    "The account's side of each trade.",
    (
        GROUP,
        MARKET,
        SIDE,
        Parameter("liquidity", "Only what rested (maker) or what came (taker).", choices=LIQUIDITY),
        Parameter("order_id", "Only those of this order.", INTEGER, maximum=(1 << 63) - 1),
        *_PAGE,
    ),
    history_columns.FILL,
)
TRANSFERS: Final = Question(
    "transfers",
    "Deposits, withdrawals and transfers, as they stand, by when they were asked for.",
    (
        GROUP,
        ASSET,
        Parameter("kind", "Only this kind.", choices=TRANSFER_KIND_NAMES),
        Parameter("status", "Only what stands so now.", choices=TRANSFER_STATUSES),
        Parameter("reference", "Only those with exactly this reference."),
        *_PAGE,
    ),
    history_columns.TRANSFER,
)
STATEMENT: Final = Question(
    "statement",
    "The account's ledger of a period: opening balances, every change, closing balances. Oldest first.",
    (GROUP, ASSET, FROM, TO, LIMIT, CURSOR, FORMAT, *FRESHNESS),
    history_columns.LINE,
    rows="lines",
)
BALANCES: Final = Question(
    "balances",
    "What the account had at a time, or has.",
    (GROUP, ASSET, Parameter("at", "Before this time; now if it is not said.", TIME), FORMAT, *FRESHNESS),
    history_columns.BALANCE,
    pages=False,
)
TRADES: Final = Question(
    "trades",
    "The trades of a market.",
    (GROUP, ONE_MARKET, *_PAGE),
    history_columns.TRADE,
    public=True,
)
CANDLES: Final = Question(
    "candles",
    "Prices and volume of a market by intervals of UTC. An interval without a trade repeats the close before it.",
    (
        GROUP,
        ONE_MARKET,
        Parameter("interval", "1m if it is not said.", choices=tuple(INTERVALS)),
        FROM._replace(about="Intervals that begin at this time or later; if it is not said, the last ones of a page."),
        TO._replace(about="Intervals that begin before this time; now if it is not said."),
        LIMIT,
        CURSOR,
        FORMAT,
        *FRESHNESS,
    ),
    history_columns.CANDLE,
    public=True,
)
TICKERS: Final = Question(
    "tickers",
    "The last 24 hours of each market, by whole minutes of the log's time.",
    (GROUP, MARKET, FORMAT, *FRESHNESS),
    history_columns.TICKER,
    public=True,
    pages=False,
)
QUESTIONS: Final = (ORDERS, FILLS, TRANSFERS, STATEMENT, BALANCES, TRADES, CANDLES, TICKERS)
OPENAPI_PATH: Final = "/v1/openapi.json"
