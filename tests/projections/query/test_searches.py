"""Every search finds exactly what a plain look through all rows finds, whatever the filters, the pages and the plan."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.rendering import timestamp_text
from projections import schema
from projections.query import orders, streams
from tests.projections.query.history import History
from tests.projections.query.model import Model

EXAMPLES = 20
NAMES = ("trader-1", "trader-2", "trader-3", "trader-4", "boss")
MARKETS = ("GLD-EUR", "OIL-EUR", "TKN-EUR")


@pytest.fixture(scope="module")
def model(history: History) -> Model:
    return Model(history)


@pytest.fixture(scope="module")
def moments(model: Model) -> list[str]:
    """Times at which something happened, a nanosecond beside them, and whole minutes."""
    times_ns = sorted({row["accepted_at_ns"] for row in model.rows(schema.orders)})
    chosen = times_ns[:: len(times_ns) // 25]
    return [timestamp_text(ns + more) for ns in chosen for more in (-1, 0, 1, -ns % 60_000_000_000)]


@st.composite
def filters(draw: st.DrawFn, moments: list[str], choices: dict[str, Any]) -> dict[str, Any]:
    """Some parameters of a search, each now and then."""
    wanted = {"sort": draw(st.sampled_from(("newest", "oldest")))}
    for name, values in {"from": moments, "to": moments, "group": ("main", "metals"), **choices}.items():
        if draw(st.integers(0, 3)) == 0:
            wanted[name] = draw(st.sampled_from(values))
    if "from" in wanted and "to" in wanted and wanted["from"] >= wanted["to"]:
        del wanted["to"]
    return wanted


@pytest.fixture(autouse=True)
def _few_rows_examined() -> Iterator[None]:
    """So that pages end early, as they do in a large history."""
    with mock.patch.object(streams, "EXAMINED_MAX", 7), mock.patch.object(orders, "EXAMINED_MAX", 7):
        yield


def test_orders_are_found_by_every_filter(history: History, model: Model, moments: list[str]) -> None:
    rows = model.rows(schema.orders)
    choices = {
        "market": MARKETS,
        "side": ("buy", "sell"),
        "type": ("limit", "market"),
        "status": ("open", "filled", "cancelled", "waiting"),
        "order_id": [row["order_id"] for row in rows[::9]],
        "client_order_id": [row["client_order_id"] for row in rows[::9]],
        "client_order_id_prefix": ["s", "s1", "s12", "s8", "nobody"],
    }

    @settings(max_examples=EXAMPLES * 2, deadline=None, derandomize=True)
    @given(filters(moments, choices), st.sampled_from((None, *NAMES, *NAMES)), st.integers(5, 60))
    def search(wanted: dict[str, Any], account: str | None, limit: int) -> None:
        found = history.all_rows("orders", account, limit=limit, **wanted)
        assert [(one["group"], one["order_id"]) for one in found] == model.orders(account, wanted)

    search()


def test_fills_are_found_by_every_filter(history: History, model: Model, moments: list[str]) -> None:
    order_ids = [row["maker_order_id"] for row in model.rows(schema.trades)[::5]]
    choices = {
        "market": MARKETS, "side": ("buy", "sell"), "liquidity": ("maker", "taker"), "order_id": order_ids
    }  # fmt: skip

    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
    @given(filters(moments, choices), st.sampled_from(NAMES), st.integers(1, 40))
    def search(wanted: dict[str, Any], account: str, limit: int) -> None:
        found = history.all_rows("fills", account, limit=limit, **wanted)
        assert [(one["group"], one["trade_id"], one["liquidity"]) for one in found] == model.fills(account, wanted)

    search()


def test_trades_are_found_by_time(history: History, model: Model, moments: list[str]) -> None:
    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
    @given(filters(moments, {}), st.sampled_from(MARKETS), st.sampled_from(("main", "metals")), st.integers(1, 40))
    def search(wanted: dict[str, Any], market: str, group: str, limit: int) -> None:
        wanted |= {"group": group, "market": market}
        found = history.all_rows("trades", limit=limit, **wanted)
        assert [one["trade_id"] for one in found] == model.trades(wanted)

    search()


def test_transfers_are_found_by_every_filter(history: History, model: Model, moments: list[str]) -> None:
    choices = {
        "asset": ("GLD", "EUR", "OIL", "TKN"),
        "kind": ("deposit", "withdrawal", "transfer"),
        "status": ("pending", "posted", "voided", "expired", "approved", "paid", "rejected", "cancelled"),
        "reference": [row["reference"] for row in model.rows(schema.transfers)[::5]],
    }

    @settings(max_examples=EXAMPLES * 2, deadline=None, derandomize=True)
    @given(filters(moments, choices), st.sampled_from((None, *NAMES)), st.integers(1, 40))
    def search(wanted: dict[str, Any], account: str | None, limit: int) -> None:
        found = history.all_rows("transfers", account, limit=limit, **wanted)
        assert [(one["group"], one["transfer_id"]) for one in found] == model.transfers(account, wanted)

    search()
