"""Commands that are wrong in one way or several, one after the other: for refusals that chance seldom leads to."""

from __future__ import annotations

from collections.abc import Callable

from engine.amounts import ABSENT
from engine.commands import (
    CancelAll,
    CancelWithdrawal,
    Command,
    CreateAccount,
    CreateApiKey,
    CreateAsset,
    CreateMarket,
    CreateSale,
    CreateTransfer,
    DecideSale,
    DecideTransfer,
    DecideWithdrawal,
    DelistMarket,
    Deposit,
    FreezeAccount,
    MassCancel,
    PlaceOco,
    PlaceOrder,
    PlaceSpecialOrder,
    RequestWithdrawal,
    ResolveRequest,
    SetAccountLimits,
    SetFeeTiers,
    SetMarketRules,
    SetMarketSchedule,
    SetMarketState,
    SubscribeSale,
)
from engine.types import (
    DECREMENT,
    DELISTED,
    FOK,
    GTC,
    GTD,
    IOC,
    LIMIT,
    NS_PER_S,
    OPERATOR,
    SELL,
    TRADING,
    TRAIL_BY_PPM,
    TRAIL_BY_PRICE,
    MarketRules,
)
from tests.engine.workload import EUR, STRANGER

NextId = Callable[[bytes], bytes]


def oddities_of_orders(
    place: PlaceOrder, special: PlaceSpecialOrder, stop: PlaceSpecialOrder, oco: PlaceOco, placed: tuple[int, bytes]
) -> list[Command]:
    """From sound placements; ``placed`` is the owner and the id of another one."""
    now_ns = place.issued_at_ns
    return [
        place._replace(account_id=STRANGER),
        place._replace(account_id=0),
        place._replace(issued_at_ns=now_ns - 60 * NS_PER_S - 1),
        place._replace(market_id=77),
        place._replace(self_trade=4),
        place._replace(price_mantissa=10_005, price_scale=3, order_type=LIMIT, time_in_force=GTC),
        place._replace(price_mantissa=0, price_scale=2, order_type=LIMIT, time_in_force=GTC),
        place._replace(quantity_mantissa=1, quantity_scale=4),
        place._replace(
            market_id=1,
            quantity_mantissa=1 << 60,
            quantity_scale=3,
            order_type=LIMIT,
            price_mantissa=1,
            price_scale=0,
        ),
        place._replace(client_order_id=b"not an id"),
        special._replace(time_in_force=IOC),
        special._replace(display_mantissa=9_000),
        special._replace(display_mantissa=0),
        special._replace(
            trigger=TRAIL_BY_PPM, display_mantissa=0, display_scale=254, trail_mantissa=100, trail_scale=0
        ),
        special._replace(time_in_force=GTD, expires_at_ns=0),
        stop._replace(post_only=1),
        stop._replace(stop_mantissa=0),
        stop._replace(stop_mantissa=10_001, stop_scale=3),
        stop._replace(trigger=TRAIL_BY_PRICE, stop_scale=254, stop_mantissa=0, trail_mantissa=2_000, trail_scale=2),
        stop._replace(trigger=4),
        oco._replace(side=2),
        oco._replace(stop_client_order_id=oco.client_order_id),
        oco._replace(stop_mantissa=0),
        oco._replace(market_id=77),
        oco._replace(stop_client_order_id=placed[1], account_id=placed[0]),
        place._replace(side=SELL, self_trade=DECREMENT, quantity_mantissa=1, order_type=LIMIT, time_in_force=FOK),
    ]


def oddities_of_money(account: int, now_ns: int, number: int, next_id: NextId) -> list[Command]:
    """``number`` may be that of anybody's withdrawal or transfer."""
    transfer = CreateTransfer(account, now_ns, 0, EUR, 1, 2, 1, 1, next_id(b"r"))
    withdrawal = RequestWithdrawal(account, now_ns, EUR, 1, 2, b"iban", next_id(b"w"))
    return [
        transfer._replace(to_account_id=account),
        transfer._replace(to_account_id=STRANGER),
        transfer._replace(timeout_s=366 * 86_400 + 1),
        transfer._replace(asset_id=9),
        transfer._replace(account_id=0, to_account_id=1),
        DecideTransfer(account, now_ns, 1, 2, next_id(b"p")),
        DecideTransfer(account, now_ns, number + 1, 0, next_id(b"p")),
        withdrawal._replace(destination=b"\n"),
        withdrawal._replace(amount_mantissa=0),
        withdrawal._replace(asset_id=9),
        DecideWithdrawal(0, now_ns, 1, 3),
        DecideWithdrawal(0, now_ns, 1, 0),
        DecideWithdrawal(account, now_ns, 1, 0),
        CancelWithdrawal(account, now_ns, number + 1, next_id(b"v")),
        Deposit(0, now_ns, STRANGER, EUR, 1, 0, next_id(b"d")),
        Deposit(0, now_ns, 1, 9, 1, 0, next_id(b"d")),
        Deposit(0, now_ns, 1, EUR, (1 << 62) - 1, 5, next_id(b"d")),
        Deposit(0, now_ns, 1, EUR, 1, 0, b"not an id"),
    ]


def oddities_of_sales(sale: CreateSale, account: int, newest: int, next_id: NextId) -> list[Command]:
    """From a sound sale, and subscriptions to the newest one."""
    now_ns = sale.issued_at_ns
    subscribe = SubscribeSale(account, now_ns, newest, 3, 1, *ABSENT, next_id(b"u"))
    return [
        sale._replace(token_asset_id=EUR),
        sale._replace(token_asset_id=9),
        sale._replace(issuer_account_id=STRANGER),
        sale._replace(issuer_account_id=0),
        sale._replace(market_id=77),
        sale._replace(market_id=1),
        sale._replace(closes_at_ns=now_ns),
        sale._replace(price_mantissa=1, price_scale=5),
        sale._replace(kind=3),
        sale._replace(quantity_mantissa=1_000),
        sale._replace(lot_scale=2),
        DecideSale(0, now_ns, 99, 0),
        DecideSale(0, now_ns, 1, 3),
        subscribe._replace(sale_id=99),
        subscribe._replace(amount_mantissa=0),
        subscribe._replace(amount_mantissa=1, amount_scale=5),
        subscribe._replace(amount_mantissa=1, amount_scale=2, price_mantissa=10_001, price_scale=3),
        subscribe._replace(amount_mantissa=1, amount_scale=0, price_mantissa=10_000_001, price_scale=6),
    ]


def oddities_of_operators(account: int, now_ns: int, next_id: NextId) -> list[Command]:
    return [
        SetMarketState(0, now_ns, 2, DELISTED),
        SetMarketState(0, now_ns, 77, TRADING),
        SetMarketRules(0, now_ns, 1, *MarketRules(interrupts=2)),
        SetMarketRules(0, now_ns, 77, *MarketRules()),
        SetMarketSchedule(0, now_ns, 77, b""),
        SetFeeTiers(0, now_ns, 77, b""),
        DelistMarket(0, now_ns, 77),
        SetAccountLimits(0, now_ns, STRANGER, 0, 0, 0, 0),
        FreezeAccount(0, now_ns, STRANGER, 1),
        FreezeAccount(0, now_ns, 0, 1),
        FreezeAccount(0, now_ns, 1, 2),
        MassCancel(account, now_ns, STRANGER, 0, 2, next_id(b"a")),
        MassCancel(0, now_ns, 0, 77, 2, next_id(b"a")),
        MassCancel(0, now_ns, account, 0, SELL, next_id(b"a")),
        CancelAll(account, now_ns, 77, next_id(b"a")),
        ResolveRequest(account, now_ns, b"?"),
        CreateAsset(account, now_ns, 2, b"TIN"),
        CreateAsset(0, now_ns, 2, b"tin"),
        CreateAsset(0, now_ns, 13, b"TIN"),
        CreateAccount(0, now_ns, OPERATOR, b"trader-1"),
        CreateApiKey(0, now_ns, STRANGER, b"key", b"sealed"),
        CreateApiKey(0, now_ns, 1, b"key-1", b"other"),
        CreateMarket(0, now_ns, 1, 2, 1, 3, 0, 0, 0, 0, b"GLD", b"XXX"),
        CreateMarket(0, now_ns, 1, 2, 1, 3, 0, 0, 0, 0, b"GLD", b"EUR"),
    ]
