"""The tables of the read models: one schema for SQLite and PostgreSQL.

Everything is a number that the engine gave: amounts in base units of an asset, prices in ticks, quantities in lots,
times in nanoseconds since 1970, ids as in the log. What turns them into decimals stands in ``assets`` (``decimals``)
and ``markets`` (``tick_units``, ``lot_units``). Kinds, states and reasons are the codes of ``engine.types`` and of
``projections.kinds``. Names and ids of clients are text.

Numbers are each group's own, so ``group_id`` leads every key; ``positions`` says which group has which number, and how
far it has been folded. (``sequence``, ``event_index``) is the order of what happened in a group: the command, and
the place of the event among all events of its entry. A row has those of the event that made or last changed it.

All of it follows from the log alone: the same entries give the same rows, whatever came together in one transaction.
Times become sequences by ``minutes``, so that pages by time are pages by sequence.

How a table comes to be is in ``projections.migrations``; a test compares the two.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
)
from sqlalchemy.sql.elements import ColumnElement

metadata = MetaData()

_Int64 = BigInteger
# Compared byte by byte in both databases, so that a prefix is a range.
_Id = Text().with_variant(Text(collation="C"), "postgresql")


def _key(name: str, type_: type[Integer | BigInteger | SmallInteger] = _Int64) -> Column[int]:
    return Column(name, type_, primary_key=True, autoincrement=False)


def _number(name: str, type_: type[Integer | BigInteger | SmallInteger] = _Int64) -> Column[int]:
    return Column(name, type_, nullable=False)


def _table(name: str, *columns: Column[int] | Column[str] | Column[bytes] | PrimaryKeyConstraint) -> Table:
    # In SQLite a row lives in its primary key, not beside it.
    return Table(name, metadata, *columns, sqlite_with_rowid=False)


positions = _table(
    # Where each group stands: everything up to and with ``sequence`` is in the tables, nothing after it.
    "positions",
    _key("group_id", Integer),  # from 1, in the order in which groups were first seen
    Column("group_name", _Id, nullable=False, unique=True),
    _number("sequence"),
    _number("timestamp_ns"),  # the log's time: that of the last entry
    _number("entry_count"),
    Column("chain", LargeBinary, nullable=False),  # of the last entry, 32 bytes
)

minutes = _table(
    # The first sequence of each minute of log time in which the group had an entry.
    "minutes",
    _key("group_id", Integer),
    _key("opens_at_ns"),
    _number("first_sequence"),
)

assets = _table(
    "assets",
    _key("group_id", Integer),
    _key("asset_id", Integer),
    Column("name", _Id, nullable=False),
    _number("decimals", SmallInteger),
    _number("created_sequence"),
)

markets = _table(
    # ``last_price_ticks`` is what the engine measures from: the last trade, or the reference price before it.
    "markets",
    _key("group_id", Integer),
    _key("market_id", Integer),
    Column("name", _Id, nullable=False),
    _number("base_asset_id", Integer),
    _number("quote_asset_id", Integer),
    _number("tick_units"),
    _number("lot_units"),
    _number("notional_units"),
    _number("min_notional_units"),
    _number("maker_fee_ppm", Integer),
    _number("taker_fee_ppm", Integer),
    Column("fee_tiers", LargeBinary, nullable=False),  # engine.codec.unpack_tiers
    _number("state", SmallInteger),
    _number("last_price_ticks"),
    _number("created_sequence"),
)

accounts = _table(
    "accounts",
    _key("group_id", Integer),
    _key("account_id"),
    Column("name", _Id, nullable=False),
    _number("role", SmallInteger),
    _number("frozen", SmallInteger),
    _number("created_sequence"),
    _number("created_at_ns"),
)

orders = _table(
    # One row per order, as it stands; quantity = open + executed + prevented + cancelled, always.
    "orders",
    _key("group_id", Integer),
    _key("order_id"),
    _number("account_id"),
    _number("market_id", Integer),
    _number("side", SmallInteger),
    _number("order_type", SmallInteger),
    _number("time_in_force", SmallInteger),
    _number("post_only", SmallInteger),
    _number("self_trade", SmallInteger),
    _number("status", SmallInteger),
    _number("close_reason", SmallInteger),
    _number("price_ticks"),
    _number("quantity_lots"),
    _number("budget_units"),
    _number("open_lots"),
    _number("executed_lots"),
    _number("prevented_lots"),
    _number("cancelled_lots"),
    _number("notional_units"),
    _number("fee_units"),
    _number("fee_overpaid_ppm", Integer),  # how far the fee was rounded up (engine.fees)
    _number("held_units"),
    _number("trigger", SmallInteger),
    _number("stop_ticks"),
    _number("trail_ticks"),
    _number("trail_ppm", Integer),
    _number("display_lots"),
    _number("visible_lots"),
    _number("expires_at_ns"),
    _number("linked_order_id"),
    Column("client_order_id", _Id, nullable=False),
    _number("created_sequence"),
    _number("created_index", Integer),
    _number("accepted_at_ns"),
    _number("updated_sequence"),
    _number("updated_index", Integer),
    _number("updated_at_ns"),
)

trades = _table(
    # ``trade_id`` grows with the sequence, so pages go by it.
    "trades",
    _key("group_id", Integer),
    _key("trade_id"),
    _number("sequence"),
    _number("event_index", Integer),
    _number("timestamp_ns"),
    _number("market_id", Integer),
    _number("taker_side", SmallInteger),
    _number("price_ticks"),
    _number("quantity_lots"),
    _number("notional_units"),
    _number("maker_order_id"),
    _number("taker_order_id"),
    _number("maker_account_id"),
    _number("taker_account_id"),
    _number("maker_fee_units"),
    _number("taker_fee_units"),
)

candles = _table(
    # Intervals in which something traded; ``projections.candles`` has the intervals and the rule for those between.
    "candles",
    _key("group_id", Integer),
    _key("market_id", Integer),
    _key("interval_s", Integer),
    _key("opens_at_ns"),
    _number("open_ticks"),
    _number("high_ticks"),
    _number("low_ticks"),
    _number("close_ticks"),
    _number("volume_lots"),
    _number("notional_units"),
    _number("trade_count"),
    _number("first_trade_id"),
    _number("last_trade_id"),
)

tickers = _table(
    # The last 24 h of log time, by whole minutes: the minute of the group's last entry and the 1,439 before it. Prices
    # are 0 where there is none, ``last_price_ticks`` is of the last trade however long ago. The best prices with what
    # the book shows at them.
    "tickers",
    _key("group_id", Integer),
    _key("market_id", Integer),
    _number("last_price_ticks"),
    _number("last_quantity_lots"),
    _number("last_trade_id"),
    _number("last_traded_at_ns"),
    _number("open_ticks"),
    _number("high_ticks"),
    _number("low_ticks"),
    _number("volume_lots"),
    _number("notional_units"),
    _number("trade_count"),
    _number("bid_ticks"),
    _number("bid_lots"),
    _number("ask_ticks"),
    _number("ask_lots"),
)

ledger_lines = _table(
    # Double entry: every change of what an account has of an asset, one line for each event that changed it. Over all
    # accounts an event's changes come to 0, except for what enters or leaves the group.
    "ledger_lines",
    _key("group_id", Integer),
    _key("account_id"),
    _key("sequence"),
    _key("event_index", Integer),
    _key("asset_id", Integer),
    _number("timestamp_ns"),
    _number("kind", SmallInteger),
    _number("reference_id"),
    _number("other_account_id"),  # with whom, or NOBODY
    _number("available_change_units"),
    _number("held_change_units"),
    _number("available_units"),  # afterwards
    _number("held_units"),
    # The asset before the sequence: a balance at a time is the last line of one asset before it.
    PrimaryKeyConstraint("group_id", "account_id", "asset_id", "sequence", "event_index"),
)

balances = _table(
    # What the ledger's lines have come to.
    "balances",
    _key("group_id", Integer),
    _key("account_id"),
    _key("asset_id", Integer),
    _number("available_units"),
    _number("held_units"),
    _number("updated_sequence"),
)

volumes = _table(
    # What an account's trades were worth on a day of log time (days since 1970), by quote asset: its fee tiers.
    "volumes",
    _key("group_id", Integer),
    _key("account_id"),
    _key("asset_id", Integer),
    _key("day", Integer),
    _number("notional_units"),
)

transfers = _table(
    # Money that enters, leaves or changes hands other than by trades. ``status`` is one of WITHDRAWAL_STATUS_NAMES for
    # withdrawals, of TRANSFER_STATUS_NAMES for all others; a deposit is posted, a refused one of another group voided.
    "transfers",
    _key("group_id", Integer),
    _key("transfer_id"),
    _number("kind", SmallInteger),
    _number("account_id"),  # whose money it was, or (deposits, received) is; NOBODY if it was refused for want of one
    _number("to_account_id"),  # of a transfer inside the group, else NOBODY
    _number("asset_id", Integer),  # 0 if it was refused for want of one
    _number("amount_units"),
    _number("status", SmallInteger),
    _number("refusal", SmallInteger),  # why another group, or this one, did not take it (engine.rejects)
    _number("expires_at_ns"),
    Column("reference", _Id, nullable=False),
    Column("destination", Text, nullable=False),  # of a withdrawal, else empty
    Column("other_group", _Id, nullable=False),  # where it went or came from, else empty
    _number("other_transfer_id"),  # its number there, of what was received, else 0
    _number("created_at_ns"),
    _number("updated_sequence"),
    _number("updated_index", Integer),
    _number("updated_at_ns"),
)

sales = _table(
    # Token sales as they stand (engine.events.SaleChanged).
    "sales",
    _key("group_id", Integer),
    _key("sale_id", Integer),
    Column("name", _Id, nullable=False),
    _number("issuer_account_id"),
    _number("token_asset_id", Integer),
    _number("quote_asset_id", Integer),
    _number("market_id", Integer),
    _number("kind", SmallInteger),
    _number("status", SmallInteger),
    _number("price_units"),
    _number("lot_units"),
    _number("quantity_lots"),
    _number("soft_cap_units"),
    _number("account_cap_lots"),
    _number("opens_at_ns"),
    _number("closes_at_ns"),
    _number("clearing_price_units"),
    _number("sold_lots"),
    _number("proceeds_units"),
    _number("updated_sequence"),
)


def _index(name: str, table: Table, *columns: str, where: ColumnElement[bool] | None = None) -> Index:
    chosen = [table.c[column] for column in columns]
    return Index(name, *chosen, sqlite_where=where, postgresql_where=where)


_index("accounts_by_name", accounts, "group_id", "name")
# Pages of orders go by (created_sequence, created_index). Of the open ones there are few, so they have their own.
_index("orders_by_account", orders, "group_id", "account_id", "created_sequence", "created_index")
_index("orders_by_market", orders, "group_id", "market_id", "created_sequence", "created_index")
_index("orders_by_client_id", orders, "group_id", "client_order_id", "created_sequence")
_index(
    "orders_open",
    orders,
    "group_id",
    "account_id",
    "created_sequence",
    "created_index",
    where=orders.c.status.in_((0, 3)),  # OPEN, WAITING
)
_index("trades_by_market", trades, "group_id", "market_id", "trade_id")
# An order's trades are those of its account between its first and its last sequence.
_index("trades_by_maker", trades, "group_id", "maker_account_id", "trade_id")
_index("trades_by_taker", trades, "group_id", "taker_account_id", "trade_id")
_index("transfers_by_account", transfers, "group_id", "account_id", "transfer_id")
_index("transfers_by_to_account", transfers, "group_id", "to_account_id", "transfer_id")
_index("transfers_by_reference", transfers, "group_id", "reference", "transfer_id")
