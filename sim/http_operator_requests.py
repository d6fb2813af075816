"""What operators ask, as requests of the public HTTP API. Traders: ``sim.http_requests``."""

from __future__ import annotations

from engine.amounts import SCALE_ABSENT, format_units
from engine.codec import unpack_schedule, unpack_tiers
from engine.commands import (
    Command,
    CreateAccount,
    CreateAsset,
    CreateSale,
    DecideSale,
    DecideWithdrawal,
    DelistMarket,
    Deposit,
    FreezeAccount,
    ListMarket,
    SetAccountLimits,
    SetFeeTiers,
    SetMarketRate,
    SetMarketRules,
    SetMarketSchedule,
    SetMarketState,
)
from engine.types import (
    MARKET_STATE_NAMES,
    ROLE_NAMES,
    SALE_DECISION_NAMES,
    SALE_KIND_NAMES,
    WITHDRAWAL_DECISION_NAMES,
    AccountLimits,
)
from gateway.rendering import fraction_text, timestamp_text
from gateway.times import time_of_day_text
from sim.http_requests import Body, HttpRequest, Names, decimal_text


def operator_request(command: Command, names: Names) -> HttpRequest | None:
    """None if it is nothing that an operator asks."""
    match command:
        case CreateAsset():
            body: Body = {"name": command.name.decode(), "decimals": command.decimals}
            return HttpRequest("POST", "/v1/admin/assets", body)
        case CreateAccount():
            body = {"name": command.name.decode(), "role": ROLE_NAMES[command.role]}
            return HttpRequest("POST", "/v1/admin/accounts", body)
        case Deposit():
            body = {
                "account": names.account(command.owner_account_id),
                "asset": names.asset(command.asset_id),
                "amount": decimal_text(command.amount_mantissa, command.amount_scale),
                "reference": command.reference.decode(),
            }
            return HttpRequest("POST", "/v1/admin/deposits", body)
        case SetAccountLimits():
            limits = AccountLimits(*command[3:])._asdict()
            return HttpRequest("PUT", f"/v1/admin/accounts/{names.account(command.owner_account_id)}/limits", limits)
        case FreezeAccount():
            path = f"/v1/admin/accounts/{names.account(command.owner_account_id)}/freeze"
            return HttpRequest("POST", path, {"frozen": bool(command.frozen)})
        case DecideWithdrawal():
            verb = WITHDRAWAL_DECISION_NAMES[command.decision]
            return HttpRequest("POST", f"/v1/admin/withdrawals/{command.withdrawal_id}/{verb}", {})
        case CreateSale():
            return HttpRequest("POST", "/v1/admin/sales", _sale_body(command, names))
        case DecideSale():
            verb = SALE_DECISION_NAMES[command.decision]
            return HttpRequest("POST", f"/v1/admin/sales/{names.sale(command.sale_id)}/{verb}", {})
    return _market_request(command, names)


def _market_request(command: Command, names: Names) -> HttpRequest | None:
    if isinstance(command, ListMarket):
        return HttpRequest("POST", "/v1/admin/markets", _listing_body(command))
    settings = SetMarketRules | SetMarketState | SetMarketSchedule | DelistMarket | SetFeeTiers | SetMarketRate
    if not isinstance(command, settings):
        return None
    path = f"/v1/admin/markets/{names.market(command.market_id)}"
    match command:
        case SetMarketRules():
            return HttpRequest("PUT", f"{path}/rules", _rules_body(command))
        case SetMarketState():
            return HttpRequest("POST", f"{path}/state", {"state": MARKET_STATE_NAMES[command.state]})
        case SetMarketSchedule():
            steps = [
                {"at": time_of_day_text(step.second_of_day), "state": MARKET_STATE_NAMES[step.state]}
                for step in unpack_schedule(command.steps) or ()
            ]
            return HttpRequest("PUT", f"{path}/schedule", {"steps": steps})
        case SetMarketRate():
            rate = {"requests_max": command.requests_max, "window_ms": command.window_ms}
            return HttpRequest("PUT", f"{path}/rate", rate)
        case SetFeeTiers():
            decimals = names.quote_decimals(command.market_id)
            tiers = [
                {
                    "volume": format_units(tier.volume_units, decimals),
                    "maker_fee": fraction_text(tier.maker_fee_ppm),
                    "taker_fee": fraction_text(tier.taker_fee_ppm),
                }
                for tier in unpack_tiers(command.tiers) or ()
            ]
            return HttpRequest("PUT", f"{path}/fee-tiers", {"tiers": tiers})
    return HttpRequest("DELETE", path)


def _listing_body(command: ListMarket) -> Body:
    body = {
        "base": command.base_asset.decode(),
        "quote": command.quote_asset.decode(),
        "tick": decimal_text(command.tick_mantissa, command.tick_scale),
        "lot": decimal_text(command.lot_mantissa, command.lot_scale),
        "min_notional": decimal_text(command.min_notional_mantissa, command.min_notional_scale),
        "maker_fee": fraction_text(command.maker_fee_ppm),
        "taker_fee": fraction_text(command.taker_fee_ppm),
        "state": MARKET_STATE_NAMES[command.state],
    }
    if command.reference_scale != SCALE_ABSENT:
        body["reference"] = decimal_text(command.reference_mantissa, command.reference_scale)
    return body | _rules_body(command)


def _rules_body(command: ListMarket | SetMarketRules) -> Body:
    return {
        "band": fraction_text(command.band_ppm),
        "interrupts": bool(command.interrupts),
        "call_ms": command.call_ms,
        "no_cancel_ms": command.no_cancel_ms,
        "random_end_ms_max": command.random_end_ms_max,
        "auction_market_orders": bool(command.auction_market_orders),
        "open_orders_max": command.open_orders_max,
        "stops_max": command.stops_max,
    }


def _sale_body(command: CreateSale, names: Names) -> Body:
    body: Body = {
        "name": command.name.decode(),
        "issuer": names.account(command.issuer_account_id),
        "token": names.asset(command.token_asset_id),
        "quote": names.asset(command.quote_asset_id),
        "kind": SALE_KIND_NAMES[command.kind],
        "price": decimal_text(command.price_mantissa, command.price_scale),
        "lot": decimal_text(command.lot_mantissa, command.lot_scale),
        "quantity": decimal_text(command.quantity_mantissa, command.quantity_scale),
    }
    if command.soft_cap_scale != SCALE_ABSENT:
        body["soft_cap"] = decimal_text(command.soft_cap_mantissa, command.soft_cap_scale)
    if command.account_cap_scale != SCALE_ABSENT:
        body["account_cap"] = decimal_text(command.account_cap_mantissa, command.account_cap_scale)
    if command.market_id:
        body["market"] = names.market(command.market_id)
    if command.opens_at_ns:
        body["opens_at"] = timestamp_text(command.opens_at_ns)
    if command.closes_at_ns:
        body["closes_at"] = timestamp_text(command.closes_at_ns)
    return body
