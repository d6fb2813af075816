"""The rows of the history: which columns each kind of row has, in the order of exports.

One table for all who need it: what the query server answers, the header of a CSV file, the schema of a Parquet file and
the OpenAPI description cannot disagree.
"""

from __future__ import annotations

from typing import Final, NamedTuple

INTEGER: Final = "integer"
TEXT: Final = "text"
DECIMAL: Final = "decimal"  # a string in JSON
TIME: Final = "time"  # RFC 3339 in UTC with nanoseconds
FLAG: Final = "flag"


class Column(NamedTuple):
    """``optional`` values may be null."""

    name: str
    kind: str
    optional: bool = False


def _columns(text: str) -> tuple[Column, ...]:
    """Read ``name:kind`` pairs; a ``?`` behind a kind says that the value may be null."""
    pairs = [pair.split(":") for pair in text.split()]
    return tuple(Column(name, kind.rstrip("?"), kind.endswith("?")) for name, kind in pairs)


ORDER: Final = _columns(
    """
    group:text order_id:integer account:text client_order_id:text market:text side:text type:text time_in_force:text
    post_only:flag self_trade:text status:text close_reason:text? price:decimal? quantity:decimal budget:decimal?
    open:decimal executed:decimal prevented:decimal cancelled:decimal notional:decimal fee:decimal
    average_price:decimal? stop_price:decimal? trail:decimal? trail_percent:decimal? display:decimal? visible:decimal?
    expires_at:time? linked_order_id:integer? held:decimal accepted_at:time updated_at:time updated_sequence:integer
    """
)
FILL: Final = _columns(
    """
    group:text trade_id:integer account:text market:text order_id:integer side:text liquidity:text price:decimal
    quantity:decimal notional:decimal fee:decimal fee_asset:text sequence:integer timestamp:time
    """
)
TRADE: Final = _columns(
    """
    trade_id:integer price:decimal quantity:decimal notional:decimal taker_side:text sequence:integer timestamp:time
    """
)
CANDLE: Final = _columns(
    """
    opens_at:time open:decimal high:decimal low:decimal close:decimal volume:decimal notional:decimal trades:integer
    complete:flag
    """
)
TICKER: Final = _columns(
    """
    group:text market:text last_price:decimal? last_quantity:decimal? last_at:time? bid_price:decimal?
    bid_quantity:decimal? ask_price:decimal? ask_quantity:decimal? open:decimal? high:decimal? low:decimal?
    change:decimal? volume:decimal notional:decimal trades:integer
    """
)
# ``available`` and ``held`` are what the account has after the line; the other account is null outside the exchange.
LINE: Final = _columns(
    """
    group:text account:text asset:text sequence:integer event_index:integer timestamp:time kind:text
    reference_id:integer other_account:text? available_change:decimal held_change:decimal available:decimal held:decimal
    """
)
BALANCE: Final = _columns("group:text account:text asset:text available:decimal held:decimal total:decimal")
# The account is null if a transfer from another group was refused because there is none of its name.
TRANSFER: Final = _columns(
    """
    group:text transfer_id:integer kind:text account:text? to_account:text? other_group:text? asset:text?
    amount:decimal? status:text refusal:text? reference:text destination:text? expires_at:time? created_at:time
    updated_at:time
    """
)
