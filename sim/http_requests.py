"""Commands as requests of the public HTTP API: who signs what, and where it goes.

The language makes commands of the engine, whatever exchange they are for; here each becomes what a client of the HTTP
API would send. Numbers of accounts, assets, markets and sales become names again. A decimal that no command can hold
(``"1e400"``) travels as that text.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import quote, urlencode

from engine.amounts import SCALE_ABSENT, SCALE_UNREPRESENTABLE, format_units
from engine.commands import (
    AmendOrder,
    CancelAll,
    CancelAllAfter,
    CancelOrder,
    CancelWithdrawal,
    Command,
    CreateTransfer,
    DecideTransfer,
    MassCancel,
    PlaceOco,
    PlaceOrder,
    PlaceSpecialOrder,
    RequestWithdrawal,
    ResolveRequest,
    SubscribeSale,
)
from engine.types import (
    EITHER_SIDE,
    EVERYONE,
    EXCHANGE_ACCOUNT,
    GTD,
    LIMIT,
    MARKET_BUDGET,
    NO_TRIGGER,
    SELF_TRADE_NAMES,
    SIDE_NAMES,
    STOP,
    TIME_IN_FORCE_NAMES,
    TRAIL_BY_PPM,
    TRANSFER_DECISION_NAMES,
)
from gateway.rendering import timestamp_text

Body = dict[str, Any]
UNREPRESENTABLE_TEXT: Final = "1e400"


class Names(Protocol):
    """What the exchange calls the things behind the numbers. Unknown numbers have names that nothing has."""

    def account(self, number: int) -> str: ...

    def asset(self, number: int) -> str: ...

    def market(self, number: int) -> str: ...

    def sale(self, number: int) -> str: ...

    def quote_decimals(self, market_id: int) -> int: ...


class HttpRequest(NamedTuple):
    method: str
    path: str
    body: Body | None = None


def trader_request(command: Command, names: Names) -> HttpRequest | None:
    """The request for what traders ask. None if it is what operators ask (``sim.http_operator_requests``)."""
    match command:
        case PlaceOrder():
            return HttpRequest("POST", "/v1/orders", _order_body(command, names))
        case PlaceSpecialOrder():
            return HttpRequest("POST", "/v1/orders", _order_body(command, names) | _special_body(command))
        case PlaceOco():
            return HttpRequest("POST", "/v1/orders/oco", _oco_body(command, names))
        case CancelOrder():
            query = {"request_id": command.request_id.decode()}
            return HttpRequest("DELETE", f"{_order_path(command)}?{urlencode(query)}")
        case AmendOrder():
            body: Body = {
                "price": _given(command.price_mantissa, command.price_scale),
                "quantity": _given(command.quantity_mantissa, command.quantity_scale),
                "request_id": command.request_id.decode(),
            }
            return HttpRequest("PATCH", _order_path(command), _said(body))
        case CancelAll() | MassCancel():
            return _cancel_all_request(command, names)
        case CancelAllAfter():
            body = {"timeout_ms": command.timeout_ms, "request_id": command.request_id.decode()}
            return HttpRequest("POST", "/v1/orders/cancel-all-after", body)
        case ResolveRequest():
            return HttpRequest("POST", f"/v1/requests/{quote(command.request_id.decode(), safe='')}/resolve", {})
    return _money_request(command, names)


def _money_request(command: Command, names: Names) -> HttpRequest | None:
    match command:
        case RequestWithdrawal():
            body: Body = {
                "asset": names.asset(command.asset_id),
                "amount": decimal_text(command.amount_mantissa, command.amount_scale),
                "destination": command.destination.decode(),
                "reference": command.reference.decode(),
            }
            return HttpRequest("POST", "/v1/withdrawals", body)
        case CancelWithdrawal():
            query = urlencode({"request_id": command.request_id.decode()})
            return HttpRequest("DELETE", f"/v1/withdrawals/{command.withdrawal_id}?{query}")
        case CreateTransfer():
            body = {
                "to": names.account(command.to_account_id),
                "asset": names.asset(command.asset_id),
                "amount": decimal_text(command.amount_mantissa, command.amount_scale),
                "reference": command.reference.decode(),
            }
            if command.pending:
                body |= {"pending": True, "timeout_s": command.timeout_s}
            return HttpRequest("POST", "/v1/transfers", body)
        case DecideTransfer():
            whose = "/v1/admin/transfers" if command.account_id == EXCHANGE_ACCOUNT else "/v1/transfers"
            verb = TRANSFER_DECISION_NAMES[command.decision]
            body = {"request_id": command.request_id.decode()}
            return HttpRequest("POST", f"{whose}/{command.transfer_id}/{verb}", body)
        case SubscribeSale():
            body = {
                "amount": decimal_text(command.amount_mantissa, command.amount_scale),
                "price": _given(command.price_mantissa, command.price_scale),
                "request_id": command.request_id.decode(),
            }
            return HttpRequest("POST", f"/v1/sales/{names.sale(command.sale_id)}/subscriptions", _said(body))
    return None


def decimal_text(mantissa: int, scale: int) -> str:
    return UNREPRESENTABLE_TEXT if scale == SCALE_UNREPRESENTABLE else format_units(mantissa, scale)


def _given(mantissa: int, scale: int) -> str | None:
    return None if scale == SCALE_ABSENT else decimal_text(mantissa, scale)


def _said(body: Body) -> Body:
    return {name: value for name, value in body.items() if value is not None}


def _order_path(command: CancelOrder | AmendOrder) -> str:
    order = str(command.order_id) if command.order_id else f"client:{command.client_order_id.decode()}"
    return f"/v1/orders/{quote(order, safe=':')}"


def _order_body(command: PlaceOrder | PlaceSpecialOrder, names: Names) -> Body:
    is_limit = command.order_type == LIMIT
    amount = "budget" if command.order_type == MARKET_BUDGET else "quantity"
    body = {
        "market": names.market(command.market_id),
        "side": SIDE_NAMES[command.side],
        "type": "limit" if is_limit else "market",
        "price": _given(command.price_mantissa, command.price_scale),
        amount: decimal_text(command.quantity_mantissa, command.quantity_scale),
        "time_in_force": TIME_IN_FORCE_NAMES[command.time_in_force],
        "post_only": bool(command.post_only),
        "self_trade": SELF_TRADE_NAMES[command.self_trade],
        "client_order_id": command.client_order_id.decode(),
    }
    return _said(body)


def _special_body(command: PlaceSpecialOrder) -> Body:
    trail = _given(command.trail_mantissa, command.trail_scale)
    body: Body = {"display": _given(command.display_mantissa, command.display_scale)}
    if command.trigger == STOP:
        body["stop_price"] = _given(command.stop_mantissa, command.stop_scale)
    elif command.trigger != NO_TRIGGER:
        body["trail_percent" if command.trigger == TRAIL_BY_PPM else "trail"] = trail
    if command.time_in_force == GTD:
        body["expires_at"] = timestamp_text(command.expires_at_ns)
    return _said(body)


def _oco_body(command: PlaceOco, names: Names) -> Body:
    body = {
        "market": names.market(command.market_id),
        "side": SIDE_NAMES[command.side],
        "quantity": decimal_text(command.quantity_mantissa, command.quantity_scale),
        "price": decimal_text(command.price_mantissa, command.price_scale),
        "stop_price": decimal_text(command.stop_mantissa, command.stop_scale),
        "stop_limit_price": _given(command.stop_limit_mantissa, command.stop_limit_scale),
        "self_trade": SELF_TRADE_NAMES[command.self_trade],
        "client_order_id": command.client_order_id.decode(),
        "stop_client_order_id": command.stop_client_order_id.decode(),
    }
    return _said(body)


def _cancel_all_request(command: CancelAll | MassCancel, names: Names) -> HttpRequest:
    path, query = "/v1/orders", {"request_id": command.request_id.decode()}
    if command.market_id:
        query["market"] = names.market(command.market_id)
    if isinstance(command, MassCancel):
        if command.side != EITHER_SIDE:
            query["side"] = SIDE_NAMES[command.side]
        if command.account_id == EXCHANGE_ACCOUNT:
            path = "/v1/admin/orders"
            if command.owner_account_id != EVERYONE:
                query["account"] = names.account(command.owner_account_id)
    return HttpRequest("DELETE", f"{path}?{urlencode(query)}")
