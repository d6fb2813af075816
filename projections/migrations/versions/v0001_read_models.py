"""The first tables: positions, listings, orders, trades, candles, the ledger, transfers and sales."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_OPEN = sa.text("status IN (0, 3)")
Type = type[sa.Integer | sa.BigInteger | sa.SmallInteger]


def upgrade() -> None:
    _table(
        "accounts",
        _key("group_id", sa.Integer),
        _key("account_id"),
        _id("name"),
        _number("role", sa.SmallInteger),
        _number("frozen", sa.SmallInteger),
        _number("created_sequence"),
        _number("created_at_ns"),
    )
    op.create_index("accounts_by_name", "accounts", ["group_id", "name"])
    _table(
        "assets",
        _key("group_id", sa.Integer),
        _key("asset_id", sa.Integer),
        _id("name"),
        _number("decimals", sa.SmallInteger),
        _number("created_sequence"),
    )
    _table(
        "balances",
        _key("group_id", sa.Integer),
        _key("account_id"),
        _key("asset_id", sa.Integer),
        _number("available_units"),
        _number("held_units"),
        _number("updated_sequence"),
    )
    _table(
        "candles",
        _key("group_id", sa.Integer),
        _key("market_id", sa.Integer),
        _key("interval_s", sa.Integer),
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
    _table(
        "ledger_lines",
        _key("group_id", sa.Integer),
        _key("account_id"),
        _key("sequence"),
        _key("event_index", sa.Integer),
        _key("asset_id", sa.Integer),
        _number("timestamp_ns"),
        _number("kind", sa.SmallInteger),
        _number("reference_id"),
        _number("other_account_id"),
        _number("available_change_units"),
        _number("held_change_units"),
        _number("available_units"),
        _number("held_units"),
        sa.PrimaryKeyConstraint("group_id", "account_id", "asset_id", "sequence", "event_index"),
    )
    _table(
        "markets",
        _key("group_id", sa.Integer),
        _key("market_id", sa.Integer),
        _id("name"),
        _number("base_asset_id", sa.Integer),
        _number("quote_asset_id", sa.Integer),
        _number("tick_units"),
        _number("lot_units"),
        _number("notional_units"),
        _number("min_notional_units"),
        _number("maker_fee_ppm", sa.Integer),
        _number("taker_fee_ppm", sa.Integer),
        sa.Column("fee_tiers", sa.LargeBinary(), nullable=False),
        _number("state", sa.SmallInteger),
        _number("last_price_ticks"),
        _number("created_sequence"),
    )
    _table(
        "minutes",
        _key("group_id", sa.Integer),
        _key("opens_at_ns"),
        _number("first_sequence"),
    )
    _table(
        "orders",
        _key("group_id", sa.Integer),
        _key("order_id"),
        _number("account_id"),
        _number("market_id", sa.Integer),
        _number("side", sa.SmallInteger),
        _number("order_type", sa.SmallInteger),
        _number("time_in_force", sa.SmallInteger),
        _number("post_only", sa.SmallInteger),
        _number("self_trade", sa.SmallInteger),
        _number("status", sa.SmallInteger),
        _number("close_reason", sa.SmallInteger),
        _number("price_ticks"),
        _number("quantity_lots"),
        _number("budget_units"),
        _number("open_lots"),
        _number("executed_lots"),
        _number("prevented_lots"),
        _number("cancelled_lots"),
        _number("notional_units"),
        _number("fee_units"),
        _number("fee_overpaid_ppm", sa.Integer),
        _number("held_units"),
        _number("trigger", sa.SmallInteger),
        _number("stop_ticks"),
        _number("trail_ticks"),
        _number("trail_ppm", sa.Integer),
        _number("display_lots"),
        _number("visible_lots"),
        _number("expires_at_ns"),
        _number("linked_order_id"),
        _id("client_order_id"),
        _number("created_sequence"),
        _number("created_index", sa.Integer),
        _number("accepted_at_ns"),
        _number("updated_sequence"),
        _number("updated_index", sa.Integer),
        _number("updated_at_ns"),
    )
    op.create_index("orders_by_account", "orders", ["group_id", "account_id", "created_sequence", "created_index"])
    op.create_index("orders_by_client_id", "orders", ["group_id", "client_order_id", "created_sequence"])
    op.create_index("orders_by_market", "orders", ["group_id", "market_id", "created_sequence", "created_index"])
    op.create_index(
        "orders_open",
        "orders",
        ["group_id", "account_id", "created_sequence", "created_index"],
        sqlite_where=_OPEN,
        postgresql_where=_OPEN,
    )
    _table(
        "positions",
        _key("group_id", sa.Integer),
        _id("group_name"),
        _number("sequence"),
        _number("timestamp_ns"),
        _number("entry_count"),
        sa.Column("chain", sa.LargeBinary(), nullable=False),
        sa.UniqueConstraint("group_name"),
    )
    _table(
        "sales",
        _key("group_id", sa.Integer),
        _key("sale_id", sa.Integer),
        _id("name"),
        _number("issuer_account_id"),
        _number("token_asset_id", sa.Integer),
        _number("quote_asset_id", sa.Integer),
        _number("market_id", sa.Integer),
        _number("kind", sa.SmallInteger),
        _number("status", sa.SmallInteger),
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
    _table(
        "tickers",
        _key("group_id", sa.Integer),
        _key("market_id", sa.Integer),
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
    _table(
        "trades",
        _key("group_id", sa.Integer),
        _key("trade_id"),
        _number("sequence"),
        _number("event_index", sa.Integer),
        _number("timestamp_ns"),
        _number("market_id", sa.Integer),
        _number("taker_side", sa.SmallInteger),
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
    op.create_index("trades_by_maker", "trades", ["group_id", "maker_account_id", "trade_id"])
    op.create_index("trades_by_market", "trades", ["group_id", "market_id", "trade_id"])
    op.create_index("trades_by_taker", "trades", ["group_id", "taker_account_id", "trade_id"])
    _table(
        "transfers",
        _key("group_id", sa.Integer),
        _key("transfer_id"),
        _number("kind", sa.SmallInteger),
        _number("account_id"),
        _number("to_account_id"),
        _number("asset_id", sa.Integer),
        _number("amount_units"),
        _number("status", sa.SmallInteger),
        _number("refusal", sa.SmallInteger),
        _number("expires_at_ns"),
        _id("reference"),
        sa.Column("destination", sa.Text(), nullable=False),
        _id("other_group"),
        _number("other_transfer_id"),
        _number("created_at_ns"),
        _number("updated_sequence"),
        _number("updated_index", sa.Integer),
        _number("updated_at_ns"),
    )
    op.create_index("transfers_by_account", "transfers", ["group_id", "account_id", "transfer_id"])
    op.create_index("transfers_by_reference", "transfers", ["group_id", "reference", "transfer_id"])
    op.create_index("transfers_by_to_account", "transfers", ["group_id", "to_account_id", "transfer_id"])
    _table(
        "volumes",
        _key("group_id", sa.Integer),
        _key("account_id"),
        _key("asset_id", sa.Integer),
        _key("day", sa.Integer),
        _number("notional_units"),
    )


def _table(name: str, *columns: Any) -> None:
    op.create_table(name, *columns, sqlite_with_rowid=False)


def _key(name: str, type_: Type = sa.BigInteger) -> sa.Column[int]:
    return sa.Column(name, type_, primary_key=True, autoincrement=False)


def _number(name: str, type_: Type = sa.BigInteger) -> sa.Column[int]:
    return sa.Column(name, type_, nullable=False)


def _id(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False)
