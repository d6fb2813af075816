"""Questions about the state, answered as plain dictionaries and lists of integers and text.

They change nothing and hold no references into the state, so an answer can be sent away as it is.
"""

from __future__ import annotations

from heapq import nsmallest
from itertools import islice
from operator import attrgetter
from typing import Any

from engine.book import BookSide
from engine.events import SaleSettled
from engine.machine import Machine
from engine.order_reports import conditions, report
from engine.orders import Order
from engine.sale_state import sale_changed, sale_subscribed
from engine.types import OPEN_ORDERS_PER_ACCOUNT_MAX, AccountLimits, AssetSpec, MarketSpec

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
    if order_id:
        found = machine.trading.find_order(account_id, order_id)
    else:
        name = client_order_id.encode()
        hashed = machine.receipts.hash_of(account_id, name, 0, len(name))
        found = machine.trading.find_named_order(hashed, account_id, name, 0, len(name))
    return None if found is None else _order(machine, found)


def market(machine: Machine, market_id: int) -> Fields | None:
    """What a market is up to: state, prices, rules, fee tiers, schedule."""
    found = machine.trading.market(market_id)
    if found is None:
        return None
    session = found.session
    return {
        "market_id": market_id,
        "state": session.state,
        "last_price_ticks": session.last_price_ticks,
        "indicative": list(session.indicative),
        "auction_phase": session.phase,
        "ends_at_ns": session.announced_end_ns,
        "rules": session.rules._asdict(),
        "rate": [session.requests_max, session.window_ms],
        "tiers": [list(tier) for tier in session.tiers],
        "schedule": [list(step) for step in session.schedule],
        "waiting_stops": len(found.stops),
    }


def withdrawals(machine: Machine, account_id: int, status: int, after_id: int, limit: int) -> list[Fields]:
    """Withdrawals of an account (0: of all), of one status (-1: any), by ascending number behind ``after_id``."""
    found = machine.withdrawals.listed(account_id, status, after_id)
    return [_fields(one) for one in islice(found, limit)]


def transfers(machine: Machine, account_id: int, after_id: int, limit: int) -> list[Fields]:
    """Transfers that an account sends or receives (0: all), by ascending number behind ``after_id``."""
    return [_fields(one) for one in islice(machine.transfers.listed(account_id, after_id), limit)]


def sent_transfers(machine: Machine, account_id: int, after_id: int, limit: int) -> list[Fields]:
    """What an account (0: any) sent to other groups, by ascending number behind ``after_id``."""
    return [_fields(one) for one in islice(machine.group_transfers.listed_sent(account_id, after_id), limit)]


def sent_transfer(machine: Machine, transfer_id: int) -> Fields | None:
    found = machine.group_transfers.report(transfer_id)
    return None if found is None else _fields(found)


def received_transfer(machine: Machine, from_group: str, transfer_id: int) -> Fields | None:
    """What a transfer of another group came to here; None if it never came."""
    found = machine.group_transfers.received(from_group.encode(), transfer_id)
    return None if found is None else _fields(found)


def balances_and_in_flight(machine: Machine, account_id: int) -> list[Fields]:
    """As :func:`balances`, with what the account sent to other groups and is not settled yet."""
    units: dict[int, int] = {}
    for sent in machine.group_transfers.pending():
        if sent.account_id == account_id:
            units[sent.asset_id] = units.get(sent.asset_id, 0) + sent.amount_units
    answer = [one | {"in_flight_units": units.pop(one["asset_id"], 0)} for one in balances(machine, account_id)]
    for asset_id in sorted(units):
        asset = machine.registry.asset(asset_id)
        assert asset is not None, asset_id
        names = {"asset_id": asset_id, "asset": asset.name.decode(), "decimals": asset.decimals}
        answer.append(names | {"available_units": 0, "held_units": 0, "in_flight_units": units[asset_id]})
    return answer


def in_flight(machine: Machine) -> Fields:
    """What was sent to other groups and is not settled yet, in base units by the name of the asset."""
    units = machine.group_transfers.in_flight_units()
    names = {asset.asset_id: asset.name.decode() for asset in machine.registry.assets if asset is not None}
    return {names[asset_id]: units[asset_id] for asset_id in sorted(units)}


def standing(machine: Machine, name: str) -> Fields | None:
    """An account as other groups mirror it: its role, its limits, and whether it is frozen."""
    found = machine.registry.account_by_name(name.encode())
    if found is None:
        return None
    kept = machine.registry.standing_of(found.account_id)
    limits = AccountLimits() if kept is None else kept.limits
    return {
        "account_id": found.account_id,
        "role": found.role,
        "frozen": 0 if kept is None else kept.frozen,
        "limits": limits._asdict(),
    }


def sales(machine: Machine) -> list[Fields]:
    return [_fields(sale_changed(sale)) for _, sale in sorted(machine.sales.sales.items())]


def sale(machine: Machine, name: str) -> Fields | None:
    found = machine.sales.by_name(name.encode())
    return None if found is None else _fields(sale_changed(found))


def subscriptions(machine: Machine, sale_id: int, account_id: int, after_id: int, limit: int) -> list[Fields]:
    """An account's subscriptions (0: everybody's) to a sale, by ascending number; settled ones with what they got."""
    found = machine.sales.sales.get(sale_id)
    if found is None:
        return []
    wanted = (
        one for one in found.subscriptions if one.subscription_id > after_id and account_id in (0, one.account_id)
    )
    settled = {"quantity_lots": 0, "paid_units": 0, "refunded_units": 0}
    answer = []
    for one in islice(wanted, limit):
        fields = _fields(sale_subscribed(one))
        fields["settled"] = None
        event = machine.sales.report_subscription(one.subscription_id)
        if isinstance(event, SaleSettled):
            fields["settled"] = {name: getattr(event, name) for name in settled}
        answer.append(fields)
    return answer


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
    wanted = (
        order
        for order in machine.trading.index.open_orders(account_id)
        if order.order_id > after_order_id and market_id in (0, order.market_id)
    )
    return [_order(machine, order) for order in nsmallest(limit, wanted, key=attrgetter("order_id"))]


def book(machine: Machine, market_id: int, depth: int) -> Fields | None:
    """The best ``depth`` levels of each side as [price_ticks, quantity_lots, order_count], best first."""
    found = machine.trading.market(market_id)
    if found is None:
        return None
    return {"bids": _levels(found.book.bids, depth), "asks": _levels(found.book.asks, depth)}


def _levels(side: BookSide, depth: int) -> list[list[int]]:
    return [[level.price_ticks, level.shown_lots, level.order_count] for level in side.levels_from_best(depth)]


def _order(machine: Machine, found: Order) -> Fields:
    client_order_id = machine.trading.index.client_order_id(found)
    return _fields(report(found, client_order_id)) | _fields(conditions(found))


def _fields(event: Any) -> Fields:
    """A record by the names of its fields, bytes as text."""
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in event._asdict().items()}


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
