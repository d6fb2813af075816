"""Routes about the caller's own account, and the rendering of balances for both traders and operators."""

from __future__ import annotations

from engine.amounts import format_units
from engine.types import ROLE_NAMES
from gateway.endpoint import Call, Reply
from gateway.rendering import Json


async def show(call: Call) -> Reply:
    call.read_parameters()
    answer = await call.ask("account", {"account_id": call.caller.account_id})
    return Reply(200, {"sequence": answer.sequence, **account_body(answer.value)})


async def show_balances(call: Call) -> Reply:
    call.read_parameters()
    account_id = call.caller.account_id
    return await balances_reply(call, account_id, await call.edge.account_name(account_id))


async def balances_reply(call: Call, account_id: int, name: str) -> Reply:
    answer = await call.ask("balances", {"account_id": account_id})
    balances = [_balance_body(balance) for balance in answer.value]
    return Reply(200, {"sequence": answer.sequence, "account": name, "balances": balances})


def account_body(account: Json) -> Json:
    return {"account": account["name"], "account_id": account["account_id"], "role": ROLE_NAMES[account["role"]]}


def _balance_body(balance: Json) -> Json:
    available_units, held_units, decimals = balance["available_units"], balance["held_units"], balance["decimals"]
    return {
        "asset": balance["asset"],
        "available": format_units(available_units, decimals),
        "held": format_units(held_units, decimals),
        "total": format_units(available_units + held_units, decimals),
    }
