"""What can be asked of the exchange. Imperative names; each becomes one record of the log.

``account_id`` is who asks (the gateway authenticated it), ``issued_at_ns`` when the request was signed.
Decimals travel as mantissa and scale (``engine.amounts``). Ids and names are ASCII bytes.
A kind and its layout are for ever; new behaviour is a new kind.
"""

from __future__ import annotations

from typing import NamedTuple


class CreateAsset(NamedTuple):
    account_id: int
    issued_at_ns: int
    decimals: int
    name: bytes


class CreateMarket(NamedTuple):
    """Lists ``base-quote``. A negative fee is a rebate. Fees are parts per million of the notional."""

    account_id: int
    issued_at_ns: int
    tick_mantissa: int
    tick_scale: int
    lot_mantissa: int
    lot_scale: int
    min_notional_mantissa: int
    min_notional_scale: int
    maker_fee_ppm: int
    taker_fee_ppm: int
    base_asset: bytes
    quote_asset: bytes


class CreateAccount(NamedTuple):
    account_id: int
    issued_at_ns: int
    role: int
    name: bytes


class CreateApiKey(NamedTuple):
    account_id: int
    issued_at_ns: int
    owner_account_id: int
    key_id: bytes
    sealed_secret: bytes


class Deposit(NamedTuple):
    """``reference`` names the deposit for ever: the same one again is answered with the first receipt."""

    account_id: int
    issued_at_ns: int
    owner_account_id: int
    asset_id: int
    amount_mantissa: int
    amount_scale: int
    reference: bytes


class PlaceOrder(NamedTuple):
    """``quantity`` is in the base asset, or the budget in the quote asset if the type is MARKET_BUDGET."""

    account_id: int
    issued_at_ns: int
    market_id: int
    side: int
    order_type: int
    time_in_force: int
    post_only: int
    self_trade: int
    price_mantissa: int
    price_scale: int
    quantity_mantissa: int
    quantity_scale: int
    client_order_id: bytes


class CancelOrder(NamedTuple):
    """The order is named either by ``order_id`` or, where that is 0, by ``client_order_id``."""

    account_id: int
    issued_at_ns: int
    order_id: int
    client_order_id: bytes
    request_id: bytes


class AmendOrder(NamedTuple):
    """``quantity`` is the new total, what was executed included. A scale of SCALE_ABSENT keeps the old value."""

    account_id: int
    issued_at_ns: int
    order_id: int
    price_mantissa: int
    price_scale: int
    quantity_mantissa: int
    quantity_scale: int
    client_order_id: bytes
    request_id: bytes


class CancelAll(NamedTuple):
    """Cancels the account's open orders in one market, or everywhere where ``market_id`` is 0."""

    account_id: int
    issued_at_ns: int
    market_id: int
    request_id: bytes


Command = (
    CreateAsset
    | CreateMarket
    | CreateAccount
    | CreateApiKey
    | Deposit
    | PlaceOrder
    | CancelOrder
    | AmendOrder
    | CancelAll
)
