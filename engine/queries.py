"""Questions about the state, answered as plain dictionaries and lists of integers and text.

They change nothing and hold no references into the state, so an answer can be sent away as it is.
"""

from __future__ import annotations

from heapq import nsmallest
from typing import Any

from engine.book import BookSide, Order
from engine.machine import Machine
from engine.trading import report
from engine.types import OPEN_ORDERS_PER_ACCOUNT_MAX, AssetSpec, MarketSpec

Fields = dict[str, Any]


def directory(machine: Machine) -> Fields:
    """All assets and markets, by ascending id."""
    registry = machine.registry
    return {
        "assets": [_asset(asset) for asset in registry.assets if asset is not None],
        "markets": [_market(machine, market) for market in registry.markets if market is not None],
    }


def account(machine: Machine, account_id: int) -> Fields | None:
    found = machine.registry.account(account_id)
    if found is None:
        return None
    return {"account_id": found.account_id, "name": found.name.decode(), "role": found.role}


def account_by_name(machine: Machine, name: str) -> Fields | None:
    found = machine.registry.account_by_name(name.encode())
    return None if found is None else account(machine, found.account_id)


def api_key(machine: Machine, key_id: str) -> Fields | None:
    """Whose key it is and its sealed secret, which only a gateway can open."""
    key = machine.registry.api_keys.get(key_id.encode())
    if key is None:
        return None
    owner = machine.registry.account(key.account_id)
    assert owner is not None, key
    return {
        "key_id": key_id,
        "account_id": key.account_id,
        "role": owner.role,
        "sealed_secret": key.sealed_secret,
    }


def balances(machine: Machine, account_id: int) -> list[Fields]:
    """What the account has of each asset, in base units, by ascending asset id."""
    ledger, answer = machine.ledger, []
    for asset_id in ledger.assets_of(account_id):
        asset = machine.registry.asset(asset_id)
        assert asset is not None, asset_id
        answer.append(
            {
                "asset_id": asset_id,
                "asset": asset.name.decode(),
                "decimals": asset.decimals,
                "available_units": ledger.available_units(account_id, asset_id),
                "held_units": ledger.held_units(account_id, asset_id),
            }
        )
    return answer


def order(machine: Machine, account_id: int, order_id: int, client_order_id: str) -> Fields | None:
    """One order of the account, by number or (where that is 0) by its client's id. Others' orders are not found."""
    found = machine.trading.find_order(account_id, order_id, client_order_id.encode())
    return None if found is None else _order(found)


def open_orders(
    machine: Machine,
    account_id: int,
    market_id: int,
    after_order_id: int = 0,
    limit: int = OPEN_ORDERS_PER_ACCOUNT_MAX,
) -> list[Fields]:
    """The account's open orders by ascending number, in one market or (where that is 0) in all.

    At most ``limit`` of them, beginning after ``after_order_id``: the next page begins after the last one of this.
    """
    orders = machine.trading.open_orders.get(account_id, {})
    wanted = (
        order_id
        for order_id, order in orders.items()
        if order_id > after_order_id and market_id in (0, order.market_id)
    )
    return [_order(orders[order_id]) for order_id in nsmallest(limit, wanted)]


def book(machine: Machine, market_id: int, depth: int) -> Fields | None:
    """The best ``depth`` levels of each side as [price_ticks, quantity_lots, order_count], best first."""
    matcher = machine.trading.matchers.get(market_id)
    if matcher is None:
        return None
    return {"bids": _levels(matcher.book.bids, depth), "asks": _levels(matcher.book.asks, depth)}


def _levels(side: BookSide, depth: int) -> list[list[int]]:
    return [[level.price_ticks, level.open_lots, level.order_count] for level in side.levels_from_best(depth)]


def _order(found: Order) -> Fields:
    fields = report(found)._asdict()
    fields["client_order_id"] = found.client_order_id.decode()
    return fields


def _asset(asset: AssetSpec) -> Fields:
    return {"asset_id": asset.asset_id, "name": asset.name.decode(), "decimals": asset.decimals}


def _market(machine: Machine, market: MarketSpec) -> Fields:
    base = machine.registry.asset(market.base_asset_id)
    quote = machine.registry.asset(market.quote_asset_id)
    assert base is not None and quote is not None, market
    fields = market._asdict()
    del fields["created_sequence"]
    fields["name"] = market.name.decode()
    fields["base_asset"] = base.name.decode()
    fields["quote_asset"] = quote.name.decode()
    return fields
