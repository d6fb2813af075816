"""Operators' routes for accounts: open them, hand out API keys, book deposits, limit and freeze them."""

from __future__ import annotations

import secrets
from typing import Final

from engine.amounts import POWERS_OF_TEN, format_units
from engine.commands import CreateAccount, CreateApiKey, Deposit, FreezeAccount, SetAccountLimits
from engine.events import AccountCreated, FundsDeposited, OrderClosed
from engine.types import (
    OPEN_ORDERS_PER_ACCOUNT_MAX,
    REQUESTS_MAX,
    ROLE_NAMES,
    STOPS_PER_MARKET_MAX,
    WINDOW_MS_MAX,
    AccountLimits,
)
from gateway.accounts import account_body, balances_reply
from gateway.auth import seal
from gateway.endpoint import Call, Reply
from gateway.outcomes import Outcome, receipt_of
from gateway.parsing import (
    check_fields,
    numbered,
    read_choice,
    read_decimal,
    read_flag,
    read_id,
    read_integer,
    read_object,
    required,
)
from gateway.rendering import Json

_ROLES: Final = numbered(ROLE_NAMES)
_SECRET_BYTES: Final = 32
_KEY_ID_BYTES: Final = 8


async def create(call: Call) -> Reply:
    document = read_object(call.body)
    check_fields(document, frozenset(("name", "role")))
    name = read_id(document, "name")
    role = read_choice(document, "role", _ROLES, "trader")
    outcome = await call.execute(CreateAccount(call.caller.account_id, call.issued_at_ns, role, name.encode("ascii")))
    receipt_of(outcome)
    created = outcome.told(AccountCreated)
    assert created is not None, outcome
    body = account_body({"name": name, "account_id": created.account_id, "role": created.role})
    return _reply(outcome, body, first_time_status=201)


async def create_key(call: Call) -> Reply:
    """A new API key. Its secret is shown in this answer and never again: the log has it sealed only."""
    document = read_object(call.body) if call.body else {}
    check_fields(document, frozenset(("key_id",)))
    key_id = read_id(document, "key_id") if "key_id" in document else secrets.token_hex(_KEY_ID_BYTES)
    account_id = await call.edge.account_id(call.path["name"])
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    command = CreateApiKey(
        account_id=call.caller.account_id,
        issued_at_ns=call.issued_at_ns,
        owner_account_id=account_id,
        key_id=key_id.encode("ascii"),
        sealed_secret=seal(call.edge.master_key, key_id, secret.encode("ascii")),
    )
    return _reply(await call.execute(command), {"key_id": key_id, "secret": secret}, first_time_status=201)


async def deposit(call: Call) -> Reply:
    document = read_object(call.body)
    check_fields(document, frozenset(("account", "asset", "amount", "reference")))
    account = read_id(document, "account")
    amount = read_decimal(document, "amount")
    reference = read_id(document, "reference")
    asset = await call.edge.directory.asset(read_id(document, "asset"))
    outcome = await call.execute(
        Deposit(
            account_id=call.caller.account_id,
            issued_at_ns=call.issued_at_ns,
            owner_account_id=await call.edge.account_id(account),
            asset_id=asset.asset_id,
            amount_mantissa=amount.mantissa,
            amount_scale=amount.scale,
            reference=reference.encode("ascii"),
        )
    )
    receipt_of(outcome)
    # A repeat was compared with the first deposit: the amount is the same, the balance has moved on since.
    amount_units = amount.mantissa * POWERS_OF_TEN[asset.decimals - amount.scale]
    booked = outcome.told(FundsDeposited)
    available = None if booked is None else format_units(booked.available_units, asset.decimals)
    body = {
        "account": account,
        "asset": asset.name,
        "amount": format_units(amount_units, asset.decimals),
        "available": available,
        "reference": reference,
    }
    return _reply(outcome, body, first_time_status=201)


async def show_balances(call: Call) -> Reply:
    call.read_parameters()
    name = call.path["name"]
    return await balances_reply(call, await call.edge.account_id(name), name)


async def set_limits(call: Call) -> Reply:
    """All limits anew: 0, or what is not named, is the exchange's own limit of orders, or none of requests."""
    document = read_object(call.body)
    check_fields(document, frozenset(AccountLimits._fields))
    maxima = AccountLimits(OPEN_ORDERS_PER_ACCOUNT_MAX, STOPS_PER_MARKET_MAX, REQUESTS_MAX, WINDOW_MS_MAX)
    limits = AccountLimits(
        *(
            read_integer(document, name, minimum=0, maximum=maximum, default=0)
            for name, maximum in maxima._asdict().items()
        )
    )
    account_id = await call.edge.account_id(call.path["name"])
    command = SetAccountLimits(call.caller.account_id, call.issued_at_ns, account_id, *limits)
    return _reply(await call.execute(command), {"account": call.path["name"], "limits": limits._asdict()})


async def freeze(call: Call) -> Reply:
    """Freeze an account, which cancels its orders, or set it free."""
    document = read_object(call.body)
    check_fields(document, frozenset(("frozen",)))
    required(document, "frozen")
    frozen = read_flag(document, "frozen")
    account_id = await call.edge.account_id(call.path["name"])
    outcome = await call.execute(FreezeAccount(call.caller.account_id, call.issued_at_ns, account_id, frozen))
    cancelled = sum(isinstance(event, OrderClosed) for event in outcome.events)
    return _reply(outcome, {"account": call.path["name"], "frozen": frozen, "cancelled": cancelled})


def _reply(outcome: Outcome, body: Json, *, first_time_status: int = 200) -> Reply:
    receipt = receipt_of(outcome, first_time_status=first_time_status)
    return Reply(receipt.status, {"sequence": receipt.sequence, "repeated": receipt.repeated, **body})
