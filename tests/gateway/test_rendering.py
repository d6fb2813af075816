"""Integers to decimals and names."""

from __future__ import annotations

import pytest

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


def test_a_timestamp_keeps_its_nanoseconds() -> None:
    assert rendering.timestamp_text(1_700_000_000_000_000_001) == "2023-11-14T22:13:20.000000001Z"


def test_a_time_of_0_is_never() -> None:
    assert rendering.optional_timestamp_text(0) is None
    assert rendering.optional_timestamp_text(1) == "1970-01-01T00:00:00.000000001Z"
