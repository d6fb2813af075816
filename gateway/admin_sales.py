"""Operators' routes for token sales: announce one, open, close or cancel it."""

from __future__ import annotations

from typing import Final

from engine.commands import CreateSale, DecideSale
from engine.events import SaleChanged
from engine.types import SALE_DECISION_NAMES, SALE_KIND_NAMES
from gateway.endpoint import Call, Reply
from gateway.errors import NotFound
from gateway.outcomes import Outcome, receipt_of
from gateway.parsing import (
    check_fields,
    numbered,
    read_choice,
    read_decimal,
    read_id,
    read_object,
    read_optional_decimal,
    read_text,
)
from gateway.sales import find_sale, sale_told
from gateway.times import read_moment

_KINDS: Final = numbered(SALE_KIND_NAMES)
_DECISIONS: Final = numbered(SALE_DECISION_NAMES)
_FIELDS: Final = frozenset(
    (
        "name",
        "issuer",
        "token",
        "quote",
        "kind",
        "price",
        "lot",
        "quantity",
        "soft_cap",
        "account_cap",
        "market",
        "opens_at",
        "closes_at",
    )
)


async def create(call: Call) -> Reply:
    document = read_object(call.body)
    check_fields(document, _FIELDS)
    name, issuer = read_id(document, "name"), read_id(document, "issuer")
    kind = read_choice(document, "kind", _KINDS)
    price, lot, quantity = (read_decimal(document, field) for field in ("price", "lot", "quantity"))
    soft_cap, account_cap = (read_optional_decimal(document, field) for field in ("soft_cap", "account_cap"))
    opens_at_ns, closes_at_ns = (
        read_moment(document, field) if field in document else 0 for field in ("opens_at", "closes_at")
    )
    directory = call.edge.directory
    token = await directory.asset(read_id(document, "token"))
    quote = await directory.asset(read_id(document, "quote"))
    market_id = await directory.market_id(read_text(document, "market") if "market" in document else None)
    command = CreateSale(
        account_id=call.caller.account_id,
        issued_at_ns=call.issued_at_ns,
        issuer_account_id=await call.edge.account_id(issuer),
        token_asset_id=token.asset_id,
        quote_asset_id=quote.asset_id,
        market_id=market_id,
        kind=kind,
        price_mantissa=price.mantissa,
        price_scale=price.scale,
        lot_mantissa=lot.mantissa,
        lot_scale=lot.scale,
        quantity_mantissa=quantity.mantissa,
        quantity_scale=quantity.scale,
        soft_cap_mantissa=soft_cap.mantissa,
        soft_cap_scale=soft_cap.scale,
        account_cap_mantissa=account_cap.mantissa,
        account_cap_scale=account_cap.scale,
        opens_at_ns=opens_at_ns,
        closes_at_ns=closes_at_ns,
        name=name.encode("ascii"),
    )
    return await _reply(call, await call.execute(command), first_time_status=201)


async def decide(call: Call) -> Reply:
    """Open, close (which settles) or cancel. The same one again is a repeat."""
    if call.path["decision"] not in _DECISIONS:
        raise NotFound("NO_SUCH_ROUTE", "There is no such route.")
    check_fields(read_object(call.body) if call.body else {}, frozenset())
    sale = (await find_sale(call)).value
    decision = _DECISIONS[call.path["decision"]]
    command = DecideSale(call.caller.account_id, call.issued_at_ns, sale["sale_id"], decision)
    return await _reply(call, await call.execute(command))


async def _reply(call: Call, outcome: Outcome, *, first_time_status: int = 200) -> Reply:
    receipt = receipt_of(outcome, first_time_status=first_time_status)
    changed = outcome.told(SaleChanged)
    assert changed is not None, outcome
    sale = await sale_told(call.edge, changed)
    return Reply(receipt.status, {"sequence": receipt.sequence, "repeated": receipt.repeated, "sale": sale})
