"""Routes for operators: list assets and markets, open accounts, hand out API keys, book deposits, compare replicas."""

from __future__ import annotations

import asyncio
import secrets
from typing import Final, cast

from engine.amounts import POWERS_OF_TEN, UNREPRESENTABLE, Decimal, format_units
from engine.commands import CreateAccount, CreateApiKey, CreateAsset, CreateMarket, Deposit
from engine.events import AccountCreated, FundsDeposited, MarketCreated
from engine.types import ASSET_DECIMALS_MAX, FEE_SCALE, ROLE_NAMES
from gateway.accounts import account_body, balances_reply
from gateway.auth import seal
from gateway.endpoint import Call, Reply
from gateway.errors import BadRequest, NotFound, shown
from gateway.groups import Replica
from gateway.outcomes import Outcome, receipt_of
from gateway.parsing import (
    JsonObject,
    check_fields,
    check_id,
    read_choice,
    read_decimal,
    read_id,
    read_integer,
    read_object,
    read_query,
)
from gateway.rendering import Json, market_body

_ROLES: Final = {name: number for number, name in enumerate(ROLE_NAMES)}
_FEE_DECIMALS: Final = 6
_SECRET_BYTES: Final = 32
_KEY_ID_BYTES: Final = 8
_MARKET_FIELDS: Final = frozenset(("base", "quote", "tick", "lot", "min_notional", "maker_fee", "taker_fee"))


async def create_asset(call: Call) -> Reply:
    document = _read(call, frozenset(("name", "decimals")))
    name = read_id(document, "name")
    decimals = read_integer(document, "decimals", minimum=0, maximum=ASSET_DECIMALS_MAX)
    command = CreateAsset(call.caller.account_id, call.issued_at_ns, decimals, name.encode("ascii"))
    outcome = await call.execute(command)
    return _created(outcome, {"asset": name, "decimals": decimals})


async def create_market(call: Call) -> Reply:
    document = _read(call, _MARKET_FIELDS)
    tick = read_decimal(document, "tick")
    lot = read_decimal(document, "lot")
    min_notional = read_decimal(document, "min_notional") if "min_notional" in document else Decimal(0, 0)
    if min_notional == UNREPRESENTABLE:
        raise BadRequest("BAD_DECIMAL", "The field 'min_notional' is out of range.")
    command = CreateMarket(
        account_id=call.caller.account_id,
        issued_at_ns=call.issued_at_ns,
        tick_mantissa=tick.mantissa,
        tick_scale=tick.scale,
        lot_mantissa=lot.mantissa,
        lot_scale=lot.scale,
        min_notional_mantissa=min_notional.mantissa,
        min_notional_scale=min_notional.scale,
        maker_fee_ppm=_read_fee(document, "maker_fee"),
        taker_fee_ppm=_read_fee(document, "taker_fee"),
        base_asset=read_id(document, "base").encode("ascii"),
        quote_asset=read_id(document, "quote").encode("ascii"),
    )
    outcome = await call.execute(command)
    receipt_of(outcome)
    created = outcome.events[-1]
    assert isinstance(created, MarketCreated), created
    return _created(outcome, market_body(await call.edge.directory.market_by_id(created.market_id)))


async def create_account(call: Call) -> Reply:
    document = _read(call, frozenset(("name", "role")))
    name = read_id(document, "name")
    role = read_choice(document, "role", _ROLES, "trader")
    outcome = await call.execute(CreateAccount(call.caller.account_id, call.issued_at_ns, role, name.encode("ascii")))
    receipt_of(outcome)
    created = outcome.events[-1]
    assert isinstance(created, AccountCreated), created
    return _created(outcome, account_body({"name": name, "account_id": created.account_id, "role": created.role}))


async def create_key(call: Call) -> Reply:
    """A new API key. Its secret is shown in this answer and never again: the log has it sealed only."""
    document = read_object(call.body) if call.body else {}
    check_fields(document, frozenset(("key_id",)))
    key_id = read_id(document, "key_id") if "key_id" in document else secrets.token_hex(_KEY_ID_BYTES)
    account_id = await _account_id(call, call.path["name"])
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    command = CreateApiKey(
        account_id=call.caller.account_id,
        issued_at_ns=call.issued_at_ns,
        owner_account_id=account_id,
        key_id=key_id.encode("ascii"),
        sealed_secret=seal(call.edge.master_key, key_id, secret.encode("ascii")),
    )
    return _created(await call.execute(command), {"key_id": key_id, "secret": secret})


async def deposit(call: Call) -> Reply:
    document = _read(call, frozenset(("account", "asset", "amount", "reference")))
    account = read_id(document, "account")
    amount = read_decimal(document, "amount")
    reference = read_id(document, "reference")
    asset = await call.edge.directory.asset(read_id(document, "asset"))
    outcome = await call.execute(
        Deposit(
            account_id=call.caller.account_id,
            issued_at_ns=call.issued_at_ns,
            owner_account_id=await _account_id(call, account),
            asset_id=asset.asset_id,
            amount_mantissa=amount.mantissa,
            amount_scale=amount.scale,
            reference=reference.encode("ascii"),
        )
    )
    receipt_of(outcome)
    # A repeat was compared with the first deposit: the amount is the same, the balance has moved on since.
    amount_units = amount.mantissa * POWERS_OF_TEN[asset.decimals - amount.scale]
    booked = outcome.events[-1]
    available = format_units(booked.available_units, asset.decimals) if isinstance(booked, FundsDeposited) else None
    body = {
        "account": account,
        "asset": asset.name,
        "amount": format_units(amount_units, asset.decimals),
        "available": available,
        "reference": reference,
    }
    return _created(outcome, body)


async def show_balances(call: Call) -> Reply:
    read_query(call.query, frozenset())
    name = call.path["name"]
    return await balances_reply(call.edge, await _account_id(call, name), name)


async def list_replicas(call: Call) -> Reply:
    """Ask every replica for its position and the hash of its whole state: equal positions must have equal hashes."""
    read_query(call.query, frozenset())
    group = call.edge.group
    replicas = await asyncio.gather(*(_replica_body(call, replica) for replica in group.replicas.values()))
    return Reply(200, {"sequence": group.sequence, "replicas": replicas})


async def _replica_body(call: Call, replica: Replica) -> Json:
    answer = await call.edge.group.query_replica(replica.node_id, "state_hash", {})
    status = replica.status
    return {
        "node": replica.node_id,
        "reachable": answer is not None,
        "serving": status is not None and status.serving,
        "leader": status.leader or None if status is not None else None,
        "term": status.term if status is not None else None,
        "sequence": answer.sequence if answer is not None else None,
        "chain": answer.value["chain"] if answer is not None else None,
        "state_hash": answer.value["state_hash"] if answer is not None else None,
    }


def _read(call: Call, fields: frozenset[str]) -> JsonObject:
    document = read_object(call.body)
    check_fields(document, fields)
    return document


def _read_fee(document: JsonObject, name: str) -> int:
    """A fraction such as "0.0025" in parts per million; negative for a rebate."""
    fee = read_decimal(document, name) if name in document else Decimal(0, 0)
    if fee.scale > _FEE_DECIMALS:
        raise BadRequest("BAD_DECIMAL", f"The field '{name}' must have at most {_FEE_DECIMALS} decimals.")
    fee_ppm: int = fee.mantissa * POWERS_OF_TEN[_FEE_DECIMALS - fee.scale]
    if abs(fee_ppm) > FEE_SCALE:
        raise BadRequest("BAD_DECIMAL", f"The field '{name}' is a fraction of the notional, such as \"0.0025\".")
    return fee_ppm


def _created(outcome: Outcome, body: Json) -> Reply:
    receipt = receipt_of(outcome, first_time_status=201)
    return Reply(receipt.status, {"sequence": receipt.sequence, "repeated": receipt.repeated, **body})


async def _account_id(call: Call, name: str) -> int:
    check_id(name, "account")
    answer = await call.edge.group.query("account_by_name", {"name": name})
    if answer.value is None:
        error = NotFound("UNKNOWN_ACCOUNT", f"There is no account {shown(name)}.")
        error.sequence = answer.sequence
        raise error
    return cast(int, answer.value["account_id"])
