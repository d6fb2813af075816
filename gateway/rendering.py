"""From the engine's integers to JSON: amounts become decimals, times become text. Orders: ``gateway.order_bodies``.

A price is shown with the decimals of its market's tick, a quantity with those of the lot, money with all decimals of
its asset. Every decimal is a string, so that no client reads it through a binary float.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from engine.amounts import POWERS_OF_TEN, format_units, significant_decimals
from engine.types import NS_PER_S

Json = dict[str, Any]

_PPM_DECIMALS: Final = 6


class Asset(NamedTuple):
    asset_id: int
    name: str
    decimals: int


class Market(NamedTuple):
    """A listed market as a client sees it. ``price_step`` is the tick in units of its last shown decimal."""

    market_id: int
    name: str
    base: Asset
    quote: Asset
    tick_units: int
    lot_units: int
    notional_units: int
    min_notional_units: int
    maker_fee_ppm: int
    taker_fee_ppm: int
    price_decimals: int
    price_step: int
    quantity_decimals: int
    quantity_step: int
    no_quantity: str
    no_money: str

    def price(self, price_ticks: int) -> str:
        return format_units(price_ticks * self.price_step, self.price_decimals)

    def quantity(self, quantity_lots: int) -> str:
        # Half of the quantities of an order are zero.
        if not quantity_lots:
            return self.no_quantity
        return format_units(quantity_lots * self.quantity_step, self.quantity_decimals)

    def money(self, units: int) -> str:
        """An amount of the quote asset."""
        return format_units(units, self.quote.decimals) if units else self.no_money


def market_of(spec: Json) -> Market:
    """Read one market of the directory that a replica answers."""
    base = Asset(spec["base_asset_id"], spec["base_asset"], spec["base_decimals"])
    quote = Asset(spec["quote_asset_id"], spec["quote_asset"], spec["quote_decimals"])
    price_decimals = significant_decimals(spec["tick_units"], quote.decimals)
    quantity_decimals = significant_decimals(spec["lot_units"], base.decimals)
    return Market(
        market_id=spec["market_id"],
        name=spec["name"],
        base=base,
        quote=quote,
        tick_units=spec["tick_units"],
        lot_units=spec["lot_units"],
        notional_units=spec["notional_units"],
        min_notional_units=spec["min_notional_units"],
        maker_fee_ppm=spec["maker_fee_ppm"],
        taker_fee_ppm=spec["taker_fee_ppm"],
        price_decimals=price_decimals,
        price_step=spec["tick_units"] // POWERS_OF_TEN[quote.decimals - price_decimals],
        quantity_decimals=quantity_decimals,
        quantity_step=spec["lot_units"] // POWERS_OF_TEN[base.decimals - quantity_decimals],
        no_quantity=format_units(0, quantity_decimals),
        no_money=format_units(0, quote.decimals),
    )


def market_body(market: Market) -> Json:
    return {
        "market": market.name,
        "base": market.base.name,
        "quote": market.quote.name,
        "tick": market.price(1),
        "lot": market.quantity(1),
        "min_notional": market.money(market.min_notional_units),
        "maker_fee": fraction_text(market.maker_fee_ppm),
        "taker_fee": fraction_text(market.taker_fee_ppm),
    }


def fraction_text(ppm: int) -> str:
    """Parts per million as a fraction: 2500 is ``"0.002500"``."""
    return format_units(ppm, _PPM_DECIMALS)


def timestamp_text(timestamp_ns: int) -> str:
    """RFC 3339 in UTC with nanoseconds."""
    seconds, nanoseconds = divmod(timestamp_ns, NS_PER_S)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}Z"


def optional_timestamp_text(timestamp_ns: int) -> str | None:
    """None for 0, which is never."""
    return timestamp_text(timestamp_ns) if timestamp_ns else None
