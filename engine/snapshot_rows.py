"""What the sections of a snapshot hold: how each kind of row is packed, and how it is read back.

Rows of withdrawals, transfers, volumes and sales are their own modules' affair.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from engine.codec import pack_schedule, pack_tiers, unpack_schedule, unpack_tiers
from engine.machine import Machine
from engine.registry import Registry, market_name
from engine.session import Indicative, Session
from engine.timers import AUCTION_PHASE, DEAD_MAN, MARKET_SCHEDULE
from engine.types import AUCTION, AccountLimits, AssetSpec, MarketRules, MarketSpec

ASSET_ROW: Final = Struct("<BQ")
MARKET_ROW: Final = Struct("<IIqqqiiQ")
ACCOUNT_ROW: Final = Struct("<BQ")
API_KEY_ROW: Final = Struct("<QQ")
DEPOSIT_ROW: Final = Struct("<QQIq")
SUPPLY_ROW: Final = Struct("<Iq")
SESSION_ROW: Final = Struct("<BqBqqqqqqIBIIIBIIIIQI")  # then the packed schedule and fee tiers
STANDING_ROW: Final = Struct("<QBIIIIQIq")
GROUP_ROW: Final = Struct("<Q")  # then the group's own name


def market_row(market: MarketSpec) -> tuple[int, ...]:
    return (
        market.base_asset_id,
        market.quote_asset_id,
        market.tick_units,
        market.lot_units,
        market.min_notional_units,
        market.maker_fee_ppm,
        market.taker_fee_ppm,
        market.created_sequence,
    )


def market_from(row: tuple[int, ...], assets: list[AssetSpec | None], market_id: int) -> MarketSpec:
    base_asset_id, quote_asset_id, tick_units, lot_units, min_notional_units, maker_ppm, taker_ppm, sequence = row
    base, quote = assets[base_asset_id], assets[quote_asset_id]
    assert base is not None and quote is not None, row
    return MarketSpec(
        market_id=market_id,
        name=market_name(base, quote),
        base_asset_id=base_asset_id,
        quote_asset_id=quote_asset_id,
        base_decimals=base.decimals,
        quote_decimals=quote.decimals,
        tick_units=tick_units,
        lot_units=lot_units,
        notional_units=tick_units * lot_units // 10**base.decimals,
        min_notional_units=min_notional_units,
        maker_fee_ppm=maker_ppm,
        taker_fee_ppm=taker_ppm,
        created_sequence=sequence,
    )


def session_row(session: Session) -> tuple[tuple[int, ...], tuple[bytes, ...]]:
    numbers = (
        session.state,
        session.last_price_ticks,
        session.phase,
        session.phase_ends_ns,
        session.announced_end_ns,
        session.next_step_ns,
        *session.indicative,
        *session.rules,
        session.requests_max,
        session.window_ms,
        session.window,
        session.requests_in_window,
    )
    return numbers, (pack_schedule(session.schedule), pack_tiers(session.tiers))


def restore_session(machine: Machine, market_id: int, row: tuple[int, ...], schedule: bytes, tiers: bytes) -> None:
    market = machine.trading.market(market_id)
    assert market is not None, market_id
    session = market.session
    session.state, session.last_price_ticks, session.phase = row[:3]
    session.phase_ends_ns, session.announced_end_ns, session.next_step_ns = row[3:6]
    session.indicative = Indicative(*row[6:9])
    session.rules = MarketRules(*row[9:17])
    session.requests_max, session.window_ms, session.window, session.requests_in_window = row[17:]
    session.schedule = unpack_schedule(schedule) or ()
    session.tiers = unpack_tiers(tiers) or ()
    machine.timers.schedule(session.phase_ends_ns, AUCTION_PHASE, market_id)
    machine.timers.schedule(session.next_step_ns, MARKET_SCHEDULE, market_id)
    if session.state == AUCTION:
        machine.sessions.auctions[market_id] = market


def standing_rows(registry: Registry) -> list[tuple[int, ...]]:
    """What was set for accounts; one that was set and taken back leaves no trace."""
    rows = [
        (
            account_id,
            standing.frozen,
            *standing.limits,
            standing.window,
            standing.requests_in_window,
            standing.dead_man_ns,
        )
        for account_id, standing in enumerate(registry.standings)
        if standing is not None
    ]
    return [row for row in rows if any(row[1:])]


def restore_standing(machine: Machine, row: tuple[int, ...]) -> None:
    standing = machine.registry.standing(row[0])
    standing.frozen, standing.limits = row[1], AccountLimits(*row[2:6])
    standing.window, standing.requests_in_window, standing.dead_man_ns = row[6:]
    machine.timers.schedule(standing.dead_man_ns, DEAD_MAN, row[0])
