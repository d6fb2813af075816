"""Integers to decimals and names."""

from __future__ import annotations

import pytest

from engine.events import Event, OrderAccepted, OrderAmended, OrderClosed, TradeExecuted
from engine.types import (
    BUY,
    CANCELLED,
    CLOSED_IOC_REST,
    CLOSED_SELF_TRADE,
    GTC,
    IOC,
    LIMIT,
    MARKET_BUDGET,
)
from gateway import rendering

GLD_EUR = rendering.market_of(
    {
        "market_id": 1,
        "name": "GLD-EUR",
        "base_asset_id": 1,
        "quote_asset_id": 2,
        "base_asset": "GLD",
        "quote_asset": "EUR",
        "base_decimals": 3,
        "quote_decimals": 5,
        "tick_units": 1_000,
        "lot_units": 1,
        "notional_units": 1,
        "min_notional_units": 500_000,
        "maker_fee_ppm": -200,
        "taker_fee_ppm": 2_500,
    }
)


def accepted(quantity_lots: int, *, order_type: int = LIMIT, budget_units: int = 0) -> OrderAccepted:
    return OrderAccepted(
        order_id=7,
        account_id=1,
        market_id=1,
        side=BUY,
        order_type=order_type,
        time_in_force=GTC if order_type == LIMIT else IOC,
        post_only=0,
        self_trade=0,
        price_ticks=1_005 if order_type == LIMIT else 0,
        quantity_lots=quantity_lots,
        budget_units=budget_units,
        held_units=0,
        client_order_id=b"c1",
    )


def trade(quantity_lots: int, price_ticks: int, taker_open_lots: int) -> TradeExecuted:
    notional_units = quantity_lots * price_ticks
    return TradeExecuted(
        trade_id=3,
        market_id=1,
        taker_side=BUY,
        price_ticks=price_ticks,
        quantity_lots=quantity_lots,
        notional_units=notional_units,
        maker_order_id=2,
        taker_order_id=7,
        maker_account_id=2,
        taker_account_id=1,
        maker_fee_units=-1,
        taker_fee_units=10,
        maker_open_lots=0,
        taker_open_lots=taker_open_lots,
    )


def closed(
    order_id: int, quantity_lots: int, executed: int, prevented: int, cancelled: int, reason: int
) -> OrderClosed:
    return OrderClosed(order_id, 1, 1, CANCELLED, reason, quantity_lots, executed, prevented, cancelled, 0)


def body_after(events: list[Event]) -> dict[str, object]:
    return rendering.order_body(GLD_EUR, rendering.order_after_placement(events))


def test_prices_and_quantities_have_the_decimals_of_tick_and_lot() -> None:
    assert (GLD_EUR.price(1_005), GLD_EUR.quantity(1_500), GLD_EUR.money(1)) == ("10.05", "1.500", "0.00001")


@pytest.mark.parametrize(
    ("tick_units", "price_ticks", "text"),
    [(1_000, 3, "0.03"), (2_500, 3, "0.075"), (50_000, 3, "1.5"), (500_000, 3, "15")],
)
def test_a_tick_need_not_be_a_power_of_ten(tick_units: int, price_ticks: int, text: str) -> None:
    market = rendering.market_of(
        {
            "market_id": 1,
            "name": "GLD-EUR",
            "base_asset_id": 1,
            "quote_asset_id": 2,
            "base_asset": "GLD",
            "quote_asset": "EUR",
            "base_decimals": 3,
            "quote_decimals": 5,
            "tick_units": tick_units,
            "lot_units": 10,
            "notional_units": tick_units // 100,
            "min_notional_units": 0,
            "maker_fee_ppm": 0,
            "taker_fee_ppm": 0,
        }
    )
    assert market.price(price_ticks) == text


def test_a_market_is_shown_in_decimals_and_fees_as_fractions() -> None:
    assert rendering.market_body(GLD_EUR) == {
        "market": "GLD-EUR",
        "base": "GLD",
        "quote": "EUR",
        "tick": "0.01",
        "lot": "0.001",
        "min_notional": "5.00000",
        "maker_fee": "-0.000200",
        "taker_fee": "0.002500",
    }


def test_an_order_that_rests_is_open() -> None:
    body = body_after([accepted(2_000)])
    assert (body["status"], body["close_reason"], body["open"], body["price"]) == ("open", None, "2.000", "10.05")
    assert (body["average_price"], body["budget"], body["client_order_id"]) == (None, None, "c1")


def test_an_order_that_traded_in_part_rests_with_the_rest() -> None:
    body = body_after([accepted(2_000), trade(500, 1_000, 1_500)])
    assert (body["status"], body["open"], body["executed"]) == ("open", "1.500", "0.500")
    assert (body["notional"], body["fee"], body["average_price"]) == ("5.00000", "0.00010", "10.00")


def test_an_order_that_traded_completely_is_filled() -> None:
    body = body_after([accepted(2_000), trade(500, 1_000, 1_500), trade(1_500, 1_001, 0)])
    assert (body["status"], body["close_reason"], body["open"], body["executed"]) == (
        "filled",
        "FILLED",
        "0.000",
        "2.000",
    )
    assert body["average_price"] == "10.0075"


def test_the_close_of_a_maker_does_not_close_the_taker() -> None:
    maker_closed = closed(2, 3_000, 0, 3_000, 0, CLOSED_SELF_TRADE)
    body = body_after([accepted(2_000), maker_closed, trade(500, 1_000, 1_500)])
    assert (body["status"], body["prevented"]) == ("open", "0.000")


def test_a_cancelled_rest_says_why() -> None:
    body = body_after([accepted(2_000), trade(500, 1_000, 1_500), closed(7, 2_000, 500, 0, 1_500, CLOSED_IOC_REST)])
    assert (body["status"], body["close_reason"]) == ("cancelled", "IOC")
    assert (body["open"], body["executed"], body["cancelled"]) == ("0.000", "0.500", "1.500")


def test_a_budget_order_shows_its_budget_and_what_it_bought() -> None:
    events: list[Event] = [
        accepted(0, order_type=MARKET_BUDGET, budget_units=10_000_000),
        trade(500, 1_000, 0),
        closed(7, 500, 500, 0, 0, CLOSED_IOC_REST),
    ]
    body = body_after(events)
    assert (body["type"], body["price"], body["budget"], body["quantity"]) == ("market", None, "100.00000", "0.500")


def test_a_fill_is_the_takers_side_of_a_trade() -> None:
    (fill,) = rendering.fills_body(GLD_EUR, [accepted(500), trade(500, 1_000, 0)])
    assert fill == {
        "trade_id": 3,
        "price": "10.00",
        "quantity": "0.500",
        "notional": "5.00000",
        "fee": "0.00010",
        "liquidity": "taker",
    }


def test_an_amended_order_counts_what_was_executed_before_and_now() -> None:
    amended = OrderAmended(7, 1, 1, 0, 1_015, 3_000, 2_500, 0)
    body = rendering.amended_order_body(GLD_EUR, [amended, trade(2_000, 1_010, 500)])
    assert (body["status"], body["quantity"], body["open"], body["executed"]) == ("open", "3.000", "0.500", "2.500")
    filled = rendering.amended_order_body(GLD_EUR, [amended, trade(2_500, 1_010, 0)])
    assert (filled["status"], filled["close_reason"]) == ("filled", "FILLED")
    stopped = rendering.amended_order_body(GLD_EUR, [amended, closed(7, 3_000, 500, 2_500, 0, CLOSED_SELF_TRADE)])
    assert (stopped["status"], stopped["prevented"], stopped["price"]) == ("cancelled", "2.500", "10.15")


@pytest.mark.parametrize(
    ("executed_lots", "notional_units", "text"),
    [(1, 1_000, "10.00"), (3, 3_001, "10.003333"), (3, 3_002, "10.006667"), (8, 8_001, "10.00125")],
)
def test_an_average_price_is_rounded_four_decimals_behind_the_ticks(
    executed_lots: int, notional_units: int, text: str
) -> None:
    assert rendering.average_price(GLD_EUR, executed_lots, notional_units) == text


def test_a_timestamp_keeps_its_nanoseconds() -> None:
    assert rendering.timestamp_text(1_700_000_000_000_000_001) == "2023-11-14T22:13:20.000000001Z"
