"""What a search must find, told in the plainest way: all rows of a table in memory, filtered and sorted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Table, select

from engine.types import MARKET, MARKET_BUDGET, SIDE_NAMES, STATUS_NAMES, TRANSFER_STATUS_NAMES, WITHDRAWAL_STATUS_NAMES
from gateway.rendering import timestamp_text
from projections import schema
from projections.kinds import TRANSFER_KIND_NAMES, WITHDRAWAL
from tests.projections.query.history import LIMIT_S, History

Row = Mapping[str, Any]


class Model:
    """All tables, with the names of what their rows are about."""

    def __init__(self, history: History) -> None:
        self._history = history
        self.groups = {row["group_id"]: row["group_name"] for row in self.rows(schema.positions)}
        self.accounts = self._names(schema.accounts, "account_id")
        self.markets = self._names(schema.markets, "market_id")
        self.assets = self._names(schema.assets, "asset_id")

    def rows(self, table: Table) -> list[Row]:
        with self._history.database.snapshot(LIMIT_S) as connection:
            return [dict(row) for row in connection.execute(select(table)).mappings()]

    def _names(self, table: Table, number: str) -> dict[tuple[int, int], str]:
        return {(row["group_id"], row[number]): row["name"] for row in self.rows(table)}

    def orders(self, account: str | None, wanted: Mapping[str, Any]) -> list[tuple[str, int]]:
        """(group, order_id), in the order in which they must come."""
        meets: dict[str, Callable[[Row, Any], bool]] = {
            "group": lambda row, value: self.groups[row["group_id"]] == value,
            "market": lambda row, value: self.markets[row["group_id"], row["market_id"]] == value,
            "side": lambda row, value: SIDE_NAMES[row["side"]] == value,
            "type": lambda row, value: (row["order_type"] in (MARKET, MARKET_BUDGET)) == (value == "market"),
            "status": lambda row, value: STATUS_NAMES[row["status"]] == value,
            "order_id": lambda row, value: row["order_id"] == value,
            "client_order_id": lambda row, value: row["client_order_id"] == value,
            "client_order_id_prefix": lambda row, value: row["client_order_id"].startswith(value),
            "from": lambda row, value: timestamp_text(row["accepted_at_ns"]) >= value,
            "to": lambda row, value: timestamp_text(row["accepted_at_ns"]) < value,
        }
        found = [
            row
            for row in self.rows(schema.orders)
            if (account is None or self.accounts[row["group_id"], row["account_id"]] == account)
            and all(meets[name](row, value) for name, value in wanted.items() if name in meets)
        ]
        found.sort(
            key=lambda row: (row["accepted_at_ns"], row["group_id"], row["created_sequence"], row["created_index"])
        )
        return _sorted([(self.groups[row["group_id"]], row["order_id"]) for row in found], wanted)

    def fills(self, account: str, wanted: Mapping[str, Any]) -> list[tuple[str, int, str]]:
        """(group, trade_id, liquidity)."""
        found = []
        for row in self.rows(schema.trades):
            for rank, liquidity in enumerate(("maker", "taker")):
                side = SIDE_NAMES[row["taker_side"] ^ (liquidity == "maker")]
                if (
                    self.accounts[row["group_id"], row[f"{liquidity}_account_id"]] == account
                    and wanted.get("liquidity") in (None, liquidity)
                    and wanted.get("side") in (None, side)
                    and wanted.get("order_id") in (None, row[f"{liquidity}_order_id"])
                    and self._is_about(row, wanted)
                    and self._is_in(row["timestamp_ns"], wanted)
                ):
                    place = (row["timestamp_ns"], row["group_id"], row["trade_id"], rank)
                    found.append((place, (self.groups[row["group_id"]], row["trade_id"], liquidity)))
        return _sorted([name for _, name in sorted(found)], wanted)

    def trades(self, wanted: Mapping[str, Any]) -> list[int]:
        rows = [
            row
            for row in self.rows(schema.trades)
            if self._is_about(row, wanted) and self._is_in(row["timestamp_ns"], wanted)
        ]
        return _sorted(sorted(row["trade_id"] for row in rows), wanted)

    def transfers(self, account: str | None, wanted: Mapping[str, Any]) -> list[tuple[str, int]]:
        found = []
        for row in self.rows(schema.transfers):
            group_id = row["group_id"]
            names = [self.accounts.get((group_id, row[name])) for name in ("account_id", "to_account_id")]
            statuses = WITHDRAWAL_STATUS_NAMES if row["kind"] == WITHDRAWAL else TRANSFER_STATUS_NAMES
            if (
                account in (None, *names)
                and self._is_about(row, wanted)
                and self._is_in(row["created_at_ns"], wanted)
                and wanted.get("asset") in (None, self.assets.get((group_id, row["asset_id"])))
                and wanted.get("kind") in (None, TRANSFER_KIND_NAMES[row["kind"]])
                and wanted.get("status") in (None, statuses[row["status"]])
                and wanted.get("reference") in (None, row["reference"])
            ):
                place = (row["created_at_ns"], group_id, row["transfer_id"])
                found.append((place, (self.groups[group_id], row["transfer_id"])))
        return _sorted([name for _, name in sorted(found)], wanted)

    def lines(self, account: str, wanted: Mapping[str, Any]) -> list[Row]:
        """The account's lines of the ledger, oldest first."""
        found = [
            row
            for row in self.rows(schema.ledger_lines)
            if self.accounts[row["group_id"], row["account_id"]] == account
            and wanted.get("asset") in (None, self.assets[row["group_id"], row["asset_id"]])
            and self._is_about(row, wanted)
            and self._is_in(row["timestamp_ns"], wanted)
        ]
        return sorted(
            found,
            key=lambda row: (
                row["timestamp_ns"], row["group_id"], row["sequence"], row["event_index"], row["asset_id"]
            ),
        )  # fmt: skip

    def _is_about(self, row: Row, wanted: Mapping[str, Any]) -> bool:
        market = self.markets.get((row["group_id"], row.get("market_id", 0)))
        return wanted.get("group") in (None, self.groups[row["group_id"]]) and wanted.get("market") in (None, market)

    def _is_in(self, timestamp_ns: int, wanted: Mapping[str, Any]) -> bool:
        text = timestamp_text(timestamp_ns)
        return wanted.get("from", "") <= text and ("to" not in wanted or text < wanted["to"])


def _sorted(oldest_first: list[Any], wanted: Mapping[str, Any]) -> list[Any]:
    return oldest_first if wanted.get("sort") == "oldest" else oldest_first[::-1]
