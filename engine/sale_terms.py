"""The terms of a token sale: what was announced and never changes, read from the command that announces it.

Prices are in quote units for one lot, never for one token: a lot is what is bought and paid, and it must cost a whole
number of units, while one token need not (at 0.001 EUR a token, a lot of 10 costs a cent). So every payment is exact.
"""

from __future__ import annotations

from typing import NamedTuple

from engine.amounts import POWERS_OF_TEN, SCALE_ABSENT, SCALE_MAX, to_multiples, to_units
from engine.commands import CreateSale
from engine.types import AMOUNT_MAX, NOTIONAL_MAX, AssetSpec


class SaleTerms(NamedTuple):
    """``price_units`` is the price of one lot, or the floor of a uniform-price auction.

    A soft cap or a cap per account of 0 is none; times of 0 mean that operators open and close the sale.
    """

    issuer_account_id: int
    token_asset_id: int
    quote_asset_id: int
    market_id: int
    kind: int
    price_units: int
    lot_units: int
    quantity_lots: int
    soft_cap_units: int
    account_cap_lots: int
    opens_at_ns: int
    closes_at_ns: int
    name: bytes

    @property
    def offered_units(self) -> int:
        """The tokens that the issuer puts up."""
        return self.quantity_lots * self.lot_units


def terms_asked_for(command: CreateSale, token: AssetSpec, quote: AssetSpec) -> SaleTerms | None:
    """The terms that a command describes, or None if they break the rules for any sale at any time."""
    lot_units = to_units(command.lot_mantissa, command.lot_scale, token.decimals)
    if token.asset_id == quote.asset_id or lot_units <= 0:
        return None
    price_units, rest = lot_price(command.price_mantissa, command.price_scale, lot_units, token, quote)
    quantity_lots = to_multiples(command.quantity_mantissa, command.quantity_scale, token.decimals, lot_units)
    if price_units <= 0 or rest or quantity_lots <= 0 or price_units > NOTIONAL_MAX // quantity_lots:
        return None
    soft_cap_units = account_cap_lots = 0
    if _is_given(command.soft_cap_mantissa, command.soft_cap_scale):
        soft_cap_units = to_units(command.soft_cap_mantissa, command.soft_cap_scale, quote.decimals)
    if _is_given(command.account_cap_mantissa, command.account_cap_scale):
        account_cap_lots = to_multiples(
            command.account_cap_mantissa, command.account_cap_scale, token.decimals, lot_units
        )
    if soft_cap_units < 0 or account_cap_lots < 0:
        return None
    return SaleTerms(
        issuer_account_id=command.issuer_account_id,
        token_asset_id=token.asset_id,
        quote_asset_id=quote.asset_id,
        market_id=command.market_id,
        kind=command.kind,
        price_units=price_units,
        lot_units=lot_units,
        quantity_lots=quantity_lots,
        soft_cap_units=soft_cap_units,
        account_cap_lots=account_cap_lots,
        opens_at_ns=command.opens_at_ns,
        closes_at_ns=command.closes_at_ns,
        name=command.name,
    )


def lot_price(mantissa: int, scale: int, lot_units: int, token: AssetSpec, quote: AssetSpec) -> tuple[int, int]:
    """What a lot costs at a price for one whole token: whole quote units, rounded down, and a rest (0 if exact).

    (-1, 0) if the price is out of range or not positive. The product is taken in full; whoever keeps the quotient
    checks it against what is bought.
    """
    if scale > SCALE_MAX or not 0 < mantissa <= AMOUNT_MAX:
        return -1, 0
    numerator: int = mantissa * lot_units * POWERS_OF_TEN[quote.decimals]
    denominator: int = POWERS_OF_TEN[scale] * POWERS_OF_TEN[token.decimals]
    return divmod(numerator, denominator)


def token_price(price_units: int, lot_units: int, token: AssetSpec) -> int:
    """A lot's price as quote units for one whole token; 0 if that is not whole, or more than any market trades at."""
    numerator: int = price_units * POWERS_OF_TEN[token.decimals]
    whole_units, rest = divmod(numerator, lot_units)
    return 0 if rest or whole_units > AMOUNT_MAX else whole_units


def _is_given(mantissa: int, scale: int) -> bool:
    return scale != SCALE_ABSENT and not (mantissa == 0 and scale <= SCALE_MAX)
