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


class PlaceSpecialOrder(NamedTuple):
    """An order that waits, hides or expires: all of PlaceOrder, and what is special about it.

    ``trigger`` and ``stop`` make it a stop: elected by a trade at the stop price or beyond. ``trail`` is the distance
    of a trailing stop: a price, or (TRAIL_BY_PPM) per cent. ``display`` is what an iceberg shows.
    ``expires_at_ns`` is for GTD. A scale of SCALE_ABSENT says that a decimal was not given.
    """

    account_id: int
    issued_at_ns: int
    market_id: int
    side: int
    order_type: int
    time_in_force: int
    post_only: int
    self_trade: int
    trigger: int
    price_mantissa: int
    price_scale: int
    quantity_mantissa: int
    quantity_scale: int
    stop_mantissa: int
    stop_scale: int
    trail_mantissa: int
    trail_scale: int
    display_mantissa: int
    display_scale: int
    expires_at_ns: int
    client_order_id: bytes


class PlaceOco(NamedTuple):
    """One cancels the other: a limit order and a stop over the same funds.

    The limit leg bears ``client_order_id``, the stop leg ``stop_client_order_id`` and the number of the first plus
    SECOND_LEG. Without ``stop_limit`` the stop leg is a market order once it is elected.
    """

    account_id: int
    issued_at_ns: int
    market_id: int
    side: int
    self_trade: int
    quantity_mantissa: int
    quantity_scale: int
    price_mantissa: int
    price_scale: int
    stop_mantissa: int
    stop_scale: int
    stop_limit_mantissa: int
    stop_limit_scale: int
    stop_client_order_id: bytes
    client_order_id: bytes


class MassCancel(NamedTuple):
    """Cancels by account, market and side: a trader's own orders, or whatever an operator names.

    ``owner_account_id`` 0 is everyone, ``market_id`` 0 every market, ``side`` 2 either side.
    """

    account_id: int
    issued_at_ns: int
    owner_account_id: int
    market_id: int
    side: int
    request_id: bytes


class CancelAllAfter(NamedTuple):
    """The dead-man switch: unless renewed, all open orders of the account are cancelled after so long. 0 disarms it."""

    account_id: int
    issued_at_ns: int
    timeout_ms: int
    request_id: bytes


class ResolveRequest(NamedTuple):
    """What became of this id? If it was never seen, it is fenced: a copy that arrives later is refused."""

    account_id: int
    issued_at_ns: int
    request_id: bytes


class RequestWithdrawal(NamedTuple):
    """Asks to take funds out: they are held until an operator decides. ``reference`` names it for ever."""

    account_id: int
    issued_at_ns: int
    asset_id: int
    amount_mantissa: int
    amount_scale: int
    destination: bytes
    reference: bytes


class CancelWithdrawal(NamedTuple):
    """Its owner's change of mind, until it is approved."""

    account_id: int
    issued_at_ns: int
    withdrawal_id: int
    request_id: bytes


class DecideWithdrawal(NamedTuple):
    """An operator approves, rejects, or says that an approved one was paid."""

    account_id: int
    issued_at_ns: int
    withdrawal_id: int
    decision: int


class CreateTransfer(NamedTuple):
    """Moves funds to another account: at once, or (``pending``) held until posted, voided or out of time."""

    account_id: int
    issued_at_ns: int
    to_account_id: int
    asset_id: int
    amount_mantissa: int
    amount_scale: int
    pending: int
    timeout_s: int
    reference: bytes


class DecideTransfer(NamedTuple):
    """Posts or voids a pending transfer: the recipient and operators may do both, the sender may void."""

    account_id: int
    issued_at_ns: int
    transfer_id: int
    decision: int
    request_id: bytes


class ListMarket(NamedTuple):
    """Lists ``base-quote`` with its rules and state. ``reference`` is the price before the first trade."""

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
    state: int
    reference_mantissa: int
    reference_scale: int
    band_ppm: int
    interrupts: int
    call_ms: int
    no_cancel_ms: int
    random_end_ms_max: int
    auction_market_orders: int
    open_orders_max: int
    stops_max: int
    base_asset: bytes
    quote_asset: bytes


class SetMarketRules(NamedTuple):
    """All rules of a market anew (``engine.types.MarketRules``)."""

    account_id: int
    issued_at_ns: int
    market_id: int
    band_ppm: int
    interrupts: int
    call_ms: int
    no_cancel_ms: int
    random_end_ms_max: int
    auction_market_orders: int
    open_orders_max: int
    stops_max: int


class SetMarketState(NamedTuple):
    account_id: int
    issued_at_ns: int
    market_id: int
    state: int


class SetMarketSchedule(NamedTuple):
    """``steps`` are packed by ``engine.codec.pack_schedule``; none ends the schedule."""

    account_id: int
    issued_at_ns: int
    market_id: int
    steps: bytes


class DelistMarket(NamedTuple):
    """Cancels every order of the market and ends it for ever."""

    account_id: int
    issued_at_ns: int
    market_id: int


class SetFeeTiers(NamedTuple):
    """``tiers`` are packed by ``engine.codec.pack_tiers``; none means that everybody pays the listed fees."""

    account_id: int
    issued_at_ns: int
    market_id: int
    tiers: bytes


class SetMarketRate(NamedTuple):
    """How many placements and amendments a market takes per window of log time, from everybody together; 0: any."""

    account_id: int
    issued_at_ns: int
    market_id: int
    requests_max: int
    window_ms: int


class SetAccountLimits(NamedTuple):
    account_id: int
    issued_at_ns: int
    owner_account_id: int
    open_orders_max: int
    stops_max: int
    requests_max: int
    window_ms: int


class FreezeAccount(NamedTuple):
    """A frozen account cannot place, amend, withdraw, transfer or subscribe; freezing cancels its open orders."""

    account_id: int
    issued_at_ns: int
    owner_account_id: int
    frozen: int


class Tick(NamedTuple):
    """Time goes on: what is due happens. The leader sends one when something is due and nobody asks anything."""

    account_id: int
    issued_at_ns: int


class CreateSale(NamedTuple):
    """Announces an issuer's offering and holds its tokens. Times of 0 mean that commands open and close it.

    ``price`` is in the quote asset for one whole token: the price, or the floor of a uniform-price auction.
    ``quantity`` is what is offered (the hard cap), ``soft_cap`` what must come in, in the quote asset, or the sale
    fails. ``account_cap`` is how many tokens an account may get. ``market_id``, if not 0, goes to its opening call
    auction when the sale succeeds.
    """

    account_id: int
    issued_at_ns: int
    issuer_account_id: int
    token_asset_id: int
    quote_asset_id: int
    market_id: int
    kind: int
    price_mantissa: int
    price_scale: int
    lot_mantissa: int
    lot_scale: int
    quantity_mantissa: int
    quantity_scale: int
    soft_cap_mantissa: int
    soft_cap_scale: int
    account_cap_mantissa: int
    account_cap_scale: int
    opens_at_ns: int
    closes_at_ns: int
    name: bytes


class DecideSale(NamedTuple):
    """An operator opens, closes (settles) or cancels a sale."""

    account_id: int
    issued_at_ns: int
    sale_id: int
    decision: int


class SubscribeSale(NamedTuple):
    """``amount`` is in tokens for a fixed price and a uniform price, in the quote asset for a pot.

    ``price`` is the bid in a uniform-price auction, else absent.
    """

    account_id: int
    issued_at_ns: int
    sale_id: int
    amount_mantissa: int
    amount_scale: int
    price_mantissa: int
    price_scale: int
    request_id: bytes


class NameGroup(NamedTuple):
    """Tells a market group its own name, once: the leader asks for it when there are several groups."""

    account_id: int
    issued_at_ns: int
    name: bytes


class MirrorAccount(NamedTuple):
    """Opens an account of the home group here, or brings it up to what the home's log had at ``home_sequence``."""

    account_id: int
    issued_at_ns: int
    home_sequence: int
    role: int
    frozen: int
    open_orders_max: int
    stops_max: int
    requests_max: int
    window_ms: int
    name: bytes


class SendTransfer(NamedTuple):
    """Moves funds to the asker's account in another group. ``reference`` names it for ever."""

    account_id: int
    issued_at_ns: int
    asset_id: int
    amount_mantissa: int
    amount_scale: int
    to_group: bytes
    reference: bytes


class ReceiveTransfer(NamedTuple):
    """Takes in what another group sent: the transfer of that number in the log of ``from_group``.

    ``route`` is packed by ``engine.codec.pack_route``: accounts and assets go by name in it, because their numbers are
    each group's own. ``decimals`` are the asset's.
    """

    account_id: int
    issued_at_ns: int
    transfer_id: int
    amount_units: int
    decimals: int
    route: bytes
    reference: bytes


class SettleTransfer(NamedTuple):
    """Posts what was sent to another group, or (``refusal``: why it was not taken there) gives it back."""

    account_id: int
    issued_at_ns: int
    transfer_id: int
    refusal: int


class SetRulesVersion(NamedTuple):
    """From here on the rules of this version hold (``engine.rules``). ``requested_by`` is an operator's certificate."""

    account_id: int
    issued_at_ns: int
    version: int
    requested_by: bytes


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
    | PlaceSpecialOrder
    | PlaceOco
    | MassCancel
    | CancelAllAfter
    | ResolveRequest
    | RequestWithdrawal
    | CancelWithdrawal
    | DecideWithdrawal
    | CreateTransfer
    | DecideTransfer
    | ListMarket
    | SetMarketRules
    | SetMarketState
    | SetMarketSchedule
    | DelistMarket
    | SetFeeTiers
    | SetAccountLimits
    | FreezeAccount
    | Tick
    | CreateSale
    | DecideSale
    | SubscribeSale
    | SetMarketRate
    | NameGroup
    | MirrorAccount
    | SendTransfer
    | ReceiveTransfer
    | SettleTransfer
    | SetRulesVersion
)
