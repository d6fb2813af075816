"""Token sales: what is on offer, and one's own part in it. Operators' routes: ``gateway.admin_sales``."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from engine.amounts import ABSENT, POWERS_OF_TEN, SCALE_MAX, format_units
from engine.commands import SubscribeSale
from engine.events import SaleChanged, SaleSubscribed
from engine.types import POT, SALE_KIND_NAMES, SALE_STATUS_NAMES, SALE_SUCCEEDED
from gateway.edge import Edge
from gateway.endpoint import Call, Reply
from gateway.errors import NotFound, shown
from gateway.outcomes import receipt_of
from gateway.parsing import (
    PAGE_PARAMETERS,
    check_fields,
    check_id,
    query_page,
    read_decimal,
    read_id,
    read_object,
)
from gateway.rendering import Asset, Json, optional_timestamp_text
from replication.protocol import Answer

_NOT_SETTLED: Final = {"settled": None}


class Terms(NamedTuple):
    """What it takes to show the amounts of a sale. The engine's prices are for one lot, clients' for one token."""

    name: str
    token: Asset
    quote: Asset
    kind: int
    lot_units: int

    def tokens(self, lots: int) -> str:
        return format_units(lots * self.lot_units, self.token.decimals)

    def money(self, units: int) -> str:
        return format_units(units, self.quote.decimals)

    def price(self, lot_price_units: int) -> str:
        """Exact: a price was a finite decimal before it was multiplied by a lot. It may be finer than money is."""
        numerator, decimals = lot_price_units * POWERS_OF_TEN[self.token.decimals], self.quote.decimals
        while numerator % self.lot_units and decimals < self.quote.decimals + SCALE_MAX:
            numerator, decimals = numerator * 10, decimals + 1
        return format_units(numerator // self.lot_units, decimals)


async def list_all(call: Call) -> Reply:
    page = query_page(call.read_parameters(PAGE_PARAMETERS))
    answer = await call.ask("sales", {"after_id": page.after, "limit": page.limit + 1})
    sales = [await sale_body(call.edge, fields) for fields in answer.value[: page.limit]]
    return Reply(200, {"sequence": answer.sequence, "sales": sales, "more": len(answer.value) > page.limit})


async def show(call: Call) -> Reply:
    call.read_parameters()
    answer = await find_sale(call)
    return Reply(200, {"sequence": answer.sequence, "sale": await sale_body(call.edge, answer.value)})


async def subscribe(call: Call) -> Reply:
    document = read_object(call.body)
    check_fields(document, frozenset(("amount", "price", "request_id")))
    amount = read_decimal(document, "amount")
    price = read_decimal(document, "price") if "price" in document else ABSENT
    request_id = read_id(document, "request_id") if "request_id" in document else call.edge.new_id()
    sale = (await find_sale(call)).value
    terms = await _terms_of(call.edge, sale)
    command = SubscribeSale(
        account_id=call.caller.account_id,
        issued_at_ns=call.issued_at_ns,
        sale_id=sale["sale_id"],
        amount_mantissa=amount.mantissa,
        amount_scale=amount.scale,
        price_mantissa=price.mantissa,
        price_scale=price.scale,
        request_id=request_id.encode("ascii"),
    )
    outcome = await call.execute(command)
    receipt = receipt_of(outcome, first_time_status=201)
    subscription: Json | None = None
    taken = outcome.told(SaleSubscribed)
    if taken is not None:
        subscription = _subscription_body(terms, taken._asdict() | _NOT_SETTLED)
    else:
        # A repeat after the sale's end: what is told is only what came of it.
        answer = await _own_subscriptions(call, sale["sale_id"], after_id=receipt.sequence - 1, limit=1)
        if answer.value and answer.value[0]["subscription_id"] == receipt.sequence:
            subscription = _subscription_body(terms, answer.value[0])
    body = {"sequence": receipt.sequence, "repeated": receipt.repeated, "subscription": subscription}
    return Reply(receipt.status, body)


async def list_own_subscriptions(call: Call) -> Reply:
    page = query_page(call.read_parameters(PAGE_PARAMETERS))
    sale = (await find_sale(call)).value
    terms = await _terms_of(call.edge, sale)
    answer = await _own_subscriptions(call, sale["sale_id"], after_id=page.after, limit=page.limit + 1)
    subscriptions = [_subscription_body(terms, fields) for fields in answer.value[: page.limit]]
    body = {"sequence": answer.sequence, "subscriptions": subscriptions, "more": len(answer.value) > page.limit}
    return Reply(200, body)


async def find_sale(call: Call) -> Answer:
    """The sale that the path names, as the replica that is asked knows it."""
    name = check_id(call.path["name"], "name")
    answer = await call.ask("sale", {"name": name})
    if answer.value is None:
        raise NotFound("UNKNOWN_SALE", f"There is no sale {shown(name)}.", sequence=answer.sequence)
    return answer


async def sale_body(edge: Edge, sale: dict[str, Any]) -> Json:
    """``sale`` has the fields of a SaleChanged, its name as text."""
    terms = await _terms_of(edge, sale)
    market = (await edge.directory.market_by_id(sale["market_id"])).name if sale["market_id"] else None
    has_price = sale["status"] == SALE_SUCCEEDED
    return {
        "sale_id": sale["sale_id"],
        "name": terms.name,
        "issuer": await edge.account_name(sale["issuer_account_id"]),
        "token": terms.token.name,
        "quote": terms.quote.name,
        "market": market,
        "kind": SALE_KIND_NAMES[terms.kind],
        "status": SALE_STATUS_NAMES[sale["status"]],
        "price": terms.price(sale["price_units"]),
        "lot": terms.tokens(1),
        "quantity": terms.tokens(sale["quantity_lots"]),
        "soft_cap": terms.money(sale["soft_cap_units"]) if sale["soft_cap_units"] else None,
        "account_cap": terms.tokens(sale["account_cap_lots"]) if sale["account_cap_lots"] else None,
        "opens_at": optional_timestamp_text(sale["opens_at_ns"]),
        "closes_at": optional_timestamp_text(sale["closes_at_ns"]),
        "clearing_price": terms.price(sale["clearing_price_units"]) if has_price else None,
        "sold": terms.tokens(sale["sold_lots"]),
        "proceeds": terms.money(sale["proceeds_units"]),
    }


async def sale_told(edge: Edge, changed: SaleChanged) -> Json:
    return await sale_body(edge, changed._asdict() | {"name": changed.name.decode("ascii")})


async def _own_subscriptions(call: Call, sale_id: int, *, after_id: int, limit: int) -> Answer:
    account_id = call.caller.account_id
    arguments = {"sale_id": sale_id, "account_id": account_id, "after_id": after_id, "limit": limit}
    return await call.ask("subscriptions", arguments)


def _subscription_body(terms: Terms, fields: dict[str, Any]) -> Json:
    """``fields`` are those of a SaleSubscribed and what the sale's end made of it, if it has ended."""
    told = fields["settled"]
    settled = None
    if told is not None:
        settled = {
            "quantity": terms.tokens(told["quantity_lots"]),
            "paid": terms.money(told["paid_units"]),
            "refunded": terms.money(told["refunded_units"]),
        }
    return {
        "subscription_id": fields["subscription_id"],
        "sale": terms.name,
        "price": terms.price(fields["price_units"]),
        "quantity": None if terms.kind == POT else terms.tokens(fields["quantity_lots"]),
        "held": terms.money(0 if settled else fields["held_units"]),
        "settled": settled,
    }


async def _terms_of(edge: Edge, sale: dict[str, Any]) -> Terms:
    token = await edge.directory.asset_by_id(sale["token_asset_id"])
    quote = await edge.directory.asset_by_id(sale["quote_asset_id"])
    return Terms(sale["name"], token, quote, sale["kind"], sale["lot_units"])
