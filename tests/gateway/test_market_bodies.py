"""What changes about a market, as JSON."""

from __future__ import annotations

from typing import Any

from engine.types import AUCTION, HALTED, TRADING, MarketRules
from gateway.market_bodies import living_market_body
from tests.gateway.test_rendering import GLD_EUR


def state(**changes: Any) -> dict[str, Any]:
    """As a replica answers the question ``market``."""
    return {
        "market_id": 1,
        "state": TRADING,
        "last_price_ticks": 0,
        "indicative": [0, 0, 0],
        "auction_phase": 0,
        "ends_at_ns": 0,
        "rules": MarketRules()._asdict(),
        "rate": [0, 0],
        "tiers": [],
        "schedule": [],
        **changes,
    }


def test_a_market_without_anything_special() -> None:
    body = living_market_body(GLD_EUR, state())
    assert (body["market"], body["tick"]) == ("GLD-EUR", "0.01")
    assert (body["state"], body["last_price"], body["auction"]) == ("open", None, None)
    assert (body["fee_tiers"], body["schedule"]) == ([], [])
    assert body["rate"] == {"requests_max": 0, "window_ms": 0}
    assert body["rules"] == {
        "band": "0.000000",
        "interrupts": False,
        "call_ms": 0,
        "no_cancel_ms": 0,
        "random_end_ms_max": 0,
        "auction_market_orders": False,
        "open_orders_max": 0,
        "stops_max": 0,
    }


def test_an_auction_shows_what_an_uncross_would_give() -> None:
    body = living_market_body(
        GLD_EUR, state(state=AUCTION, indicative=[1_005, 50_000, -5_000], auction_phase=1, ends_at_ns=1)
    )
    assert body["auction"] == {
        "phase": "no_cancel",
        "ends_at": "1970-01-01T00:00:00.000000001Z",
        "indicative_price": "10.05",
        "indicative_quantity": "50.000",
        "surplus": "-5.000",
    }


def test_an_auction_in_which_nothing_crosses_has_no_price() -> None:
    auction = living_market_body(GLD_EUR, state(state=AUCTION))["auction"]
    assert auction == {
        "phase": "call",
        "ends_at": None,
        "indicative_price": None,
        "indicative_quantity": None,
        "surplus": None,
    }


def test_an_auction_that_is_over_is_not_shown() -> None:
    body = living_market_body(GLD_EUR, state(state=HALTED, last_price_ticks=1_005, ends_at_ns=1))
    assert (body["state"], body["last_price"], body["auction"]) == ("halted", "10.05", None)


def test_tiers_and_steps_are_shown_as_they_are_set() -> None:
    body = living_market_body(
        GLD_EUR, state(tiers=[[0, -200, 2_000], [100_000_000, -200, 1_000]], schedule=[[31_800, AUCTION]])
    )
    assert body["fee_tiers"] == [
        {"volume": "0.00000", "maker_fee": "-0.000200", "taker_fee": "0.002000"},
        {"volume": "1000.00000", "maker_fee": "-0.000200", "taker_fee": "0.001000"},
    ]
    assert body["schedule"] == [{"at": "08:50:00", "state": "auction"}]
