"""Routes that are about all market groups at once: what an account has everywhere, and what must end everywhere.

A request that names a ``group``, or a market, is about that group alone. On an exchange with one group these routes are
those of ``gateway.accounts``, ``gateway.markets``, ``gateway.mass_cancels`` and ``gateway.batches``.

Every part must be answered, or the whole is not: a sum over some of the groups would be wrong, and a cancellation that
did not reach one of them is not done. Where commands were sent, what is repeated with the same id finds out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import orjson

from engine.amounts import format_units
from engine.events import OrderClosed
from gateway import accounts, admin_accounts, batches, markets, mass_cancels, requests
from gateway.edge import Edge
from gateway.endpoint import Call, Handler, Reply, choose_group, may_choose
from gateway.errors import ApiError, BadRequest
from gateway.parsing import read_query, take_parameter
from gateway.rendering import Json

_PLAIN_SUMS: Final = ("available", "held", "in_flight")


async def show_own_balances(call: Call) -> Reply:
    if names_one(call):
        return await _in_one(call, accounts.show_balances)
    return await _merged_balances(call, call.caller.account_id)


async def show_balances(call: Call) -> Reply:
    """An operator's: those of any account."""
    if names_one(call):
        return await _in_one(call, admin_accounts.show_balances)
    return await _merged_balances(call, await call.edge.account_id(call.path["name"]))


async def list_markets(call: Call) -> Reply:
    """Each with the ``group`` that lists it."""
    if names_one(call):
        return await _in_one(call, markets.list_markets)
    parts = await _everywhere(call, markets.list_markets)
    merged = [market | {"group": name} for name, body in parts.items() for market in body["markets"]]
    return Reply(200, {"sequence": call.edge.group.sequence, "markets": merged})


async def cancel_own(call: Call) -> Reply:
    return await _cancelled(call, mass_cancels.cancel_own)


async def cancel_any(call: Call) -> Reply:
    return await _cancelled(call, mass_cancels.cancel_any)


async def cancel_all_after(call: Call) -> Reply:
    """One switch in each group: whoever renews it renews all."""
    if names_one(call):
        return await _in_one(call, mass_cancels.cancel_all_after)
    parts = await _everywhere(call, mass_cancels.cancel_all_after)
    fire_at = [body["fires_at"] for body in parts.values() if body["fires_at"] is not None]
    return Reply(200, _receipt(call, parts) | {"fires_at": max(fire_at, default=None)})


async def resolve(call: Call) -> Reply:
    """An id is never seen only if no group has seen it, and then it is fenced in all of them."""
    if names_one(call):
        return await _in_one(call, requests.resolve)
    parts = await _everywhere(call, requests.resolve)
    for outcome in ("accepted", "refused"):
        for name, body in parts.items():
            if body["outcome"] == outcome:
                return Reply(200, body | {"group": name})
    return Reply(200, parts[call.edge.name] | {"group": None})


async def set_limits(call: Call) -> Reply:
    """They hold in each group by itself."""
    reply = await admin_accounts.set_limits(call)
    await call.edge.mirror_everywhere(call.path["name"])
    return reply


async def freeze(call: Call) -> Reply:
    reply = await admin_accounts.freeze(call)
    mirrored = await call.edge.mirror_everywhere(call.path["name"])
    assert isinstance(reply.body, dict), reply
    elsewhere = sum(isinstance(event, OrderClosed) for outcome in mirrored for event in outcome.events)
    return reply._replace(body=reply.body | {"cancelled": reply.body["cancelled"] + elsewhere})


async def execute_batch(call: Call) -> Reply:
    """The items of each group in their order; between groups there is no order."""
    if len(call.edge.groups) == 1 or take_parameter(call.query, "group")[0] is not None:
        return await _in_one(call, batches.execute)
    items = batches.read_items(call.body)
    edges = [await _edge_of_item(call, item) for item in items]
    results: list[Any] = [None] * len(items)
    sequence = None
    for edge in dict.fromkeys(edges):
        places = [place for place, one in enumerate(edges) if one is edge]
        part = _copy(call, orjson.dumps({"items": [items[place] for place in places]}))
        await part.enter(edge)
        reply = await batches.execute(part)
        call.commands_left |= part.commands_left
        assert isinstance(reply.body, dict), reply
        sequence = reply.body["sequence"] if edge is call.edge else sequence
        for place, result in zip(places, reply.body["results"], strict=True):
            results[place] = result | {"group": edge.name}
    return Reply(200, {"sequence": sequence, "results": results})


async def list_groups(call: Call) -> Reply:
    """An operator's: who leads each group, what it lists, and what is on its way from it to others."""
    read_query(call.query, frozenset())
    groups = await asyncio.gather(*(_group_body(edge) for edge in call.edge.groups.values()))
    return Reply(200, {"sequence": call.edge.group.sequence, "home": call.edge.home.name, "groups": groups})


def names_one(call: Call) -> bool:
    """Is the request about one group: the only one, or one that it names by itself or by a market?

    BadRequest if it is about all of them and says with a sequence how new the answer must be: each has its own.
    """
    if len(call.edge.groups) == 1:
        return True
    if any(take_parameter(call.query, name)[0] is not None for name in ("group", "market")):
        return True
    if take_parameter(call.query, "min_sequence")[0] is not None:
        raise BadRequest("BAD_QUERY", "Each market group counts by itself: 'min_sequence' needs a 'group'.")
    return False


async def _in_one(call: Call, handler: Handler) -> Reply:
    if may_choose(call):
        await call.enter(await choose_group(call))
    return await handler(call)


def _copy(call: Call, body: bytes) -> Call:
    """The same request of the same caller, to go to one of the groups."""
    copy = Call(call.edge, call.scope, call.query, body)
    if call.signed_in:
        copy.sign_in(call.caller, call.issued_at_ns)
    return copy


async def _everywhere(call: Call, handler: Callable[[Call], Awaitable[Reply]]) -> dict[str, Json]:
    """Ask all groups at once; the bodies by group. Raises the first error, once all have answered.

    A group that does not answer keeps none of the others from doing their part.
    """
    parts = [(edge, _copy(call, call.body)) for edge in call.edge.groups.values()]

    async def ask(edge: Edge, part: Call) -> Reply:
        await part.enter(edge)
        return await handler(part)

    answers = await asyncio.gather(*(ask(edge, part) for edge, part in parts), return_exceptions=True)
    call.commands_left = any(part.commands_left for _, part in parts)
    bodies: dict[str, Json] = {}
    for (edge, _), answer in zip(parts, answers, strict=True):
        if isinstance(answer, BaseException):
            raise answer
        assert isinstance(answer.body, dict), answer
        bodies[edge.name] = answer.body
    return bodies


async def _cancelled(call: Call, handler: Handler) -> Reply:
    if names_one(call):
        return await _in_one(call, handler)
    parts = await _everywhere(call, handler)
    counts = [body["cancelled"] for body in parts.values()]
    cancelled = None if None in counts else sum(counts)
    return Reply(200, _receipt(call, parts) | {"cancelled": cancelled})


def _receipt(call: Call, parts: dict[str, Json]) -> Json:
    """The home's sequence, and that of each group."""
    return {
        "sequence": parts[call.edge.name]["sequence"],
        "repeated": all(body["repeated"] for body in parts.values()),
        "groups": {name: {"sequence": body["sequence"], "repeated": body["repeated"]} for name, body in parts.items()},
    }


async def _merged_balances(call: Call, account_id: int) -> Reply:
    read_query(call.query, frozenset())
    name = await call.edge.account_name(account_id)
    edges = list(call.edge.groups.values())
    found = await asyncio.gather(*(_balances_in(edge, account_id) for edge in edges))
    sums: dict[str, dict[str, int]] = {}
    decimals: dict[str, int] = {}
    groups: Json = {}
    for edge, (sequence, balances) in zip(edges, found, strict=True):
        groups[edge.name] = {"sequence": sequence, "balances": []}
        for asset, (asset_decimals, units) in balances.items():
            decimals[asset] = asset_decimals
            groups[edge.name]["balances"].append(_balance_body(asset, asset_decimals, units))
            into = sums.setdefault(asset, dict.fromkeys(_PLAIN_SUMS, 0))
            for key in _PLAIN_SUMS:
                into[key] += units[key]
    total = [_balance_body(asset, decimals[asset], sums[asset]) for asset in sums]
    home_sequence = groups[call.edge.name]["sequence"]
    return Reply(200, {"sequence": home_sequence, "account": name, "balances": total, "groups": groups})


async def _balances_in(edge: Edge, account_id: int) -> tuple[int, dict[str, tuple[int, dict[str, int]]]]:
    """As of which sequence, and by asset its decimals and what the account has in this group."""
    number = await edge.members.find(account_id)
    if number is None:
        return edge.group.sequence, {}
    answer = await edge.group.query("balances_and_in_flight", {"account_id": number})
    balances = {
        one["asset"]: (
            one["decimals"],
            {"available": one["available_units"], "held": one["held_units"], "in_flight": one["in_flight_units"]},
        )
        for one in answer.value
    }
    return answer.sequence, balances


def _balance_body(asset: str, decimals: int, units: dict[str, int]) -> Json:
    texts = {key: format_units(units[key], decimals) for key in _PLAIN_SUMS}
    return {"asset": asset, **texts, "total": format_units(sum(units[key] for key in _PLAIN_SUMS), decimals)}


async def _edge_of_item(call: Call, item: Any) -> Edge:
    """A placement goes where its market is, anything else where its ``group`` says; the item loses that."""
    if type(item) is not dict:
        return call.edge
    group = item.pop("group", None)
    if type(group) is str:
        return call.edge.of(group)
    market = item.get("market")
    return await call.edge.lists(market) if type(market) is str else call.edge


async def _group_body(edge: Edge) -> Json:
    body: Json = {
        "group": edge.name,
        "home": edge is edge.home,
        "leader": None,
        "term": edge.group.term,
        "sequence": edge.group.sequence,
        "markets": sorted(edge.directory.markets),
        "in_flight": None,
        "transfers_stuck": None,
    }
    for replica in edge.group.replicas.values():
        if replica.status is not None and replica.status.serving:
            body["leader"] = replica.node_id
    try:
        flying = await edge.group.query("in_flight", {})
        status = await edge.group.query("status", {})
    except ApiError:
        return body  # nobody leads it at the moment
    body["in_flight"] = {
        name: format_units(units, (await edge.directory.asset(name)).decimals) for name, units in flying.value.items()
    }
    body["transfers_stuck"] = status.value["transfers_stuck"]
    return body
