"""The state as canonical bytes: equal states give equal bytes, whatever their history.

Everything is written in an order that the state itself defines: by id, by name, or by place in a queue.
The state hash is the BLAKE3 of these bytes; it covers the sequence and the chain too.

Layout: magic, version, then sections, each ``u32 row count`` and rows of a fixed struct with texts
(``u8 length`` and bytes) behind it.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from struct import error as StructError
from typing import Final

from blake3 import blake3

from engine.book import Order
from engine.codec import pack_schedule, pack_tiers, unpack_schedule, unpack_tiers
from engine.dedup import Receipt
from engine.entry import CHAIN_SIZE
from engine.machine import Machine
from engine.registry import DepositReceipt, Registry, market_name
from engine.sale_state import SALE_ROW, SUBSCRIPTION_ROW
from engine.session import Indicative, Session
from engine.timers import AUCTION_PHASE, DEAD_MAN, MARKET_SCHEDULE, ORDER_EXPIRES
from engine.transfers import TRANSFER_ROW
from engine.types import (
    AUCTION,
    OPEN,
    WAITING,
    AccountLimits,
    AccountSpec,
    ApiKey,
    AssetSpec,
    MarketRules,
    MarketSpec,
)
from engine.volume import VOLUME_ROW
from engine.withdrawals import WITHDRAWAL_ROW

MAGIC: Final = b"TALLYSNP"
VERSION: Final = 2

# magic, version, sequence, timestamp_ns, last_trade_id, last_priority, chain
_HEADER: Final = Struct("<8sHQqQQ32s")
_COUNT: Final = Struct("<I")
_ASSET: Final = Struct("<BQ")
_MARKET: Final = Struct("<IIqqqiiQ")
_ACCOUNT: Final = Struct("<BQ")
_API_KEY: Final = Struct("<QQ")
_DEPOSIT: Final = Struct("<QQIq")
_BALANCE: Final = Struct("<QIqq")
_SUPPLY: Final = Struct("<Iq")
_ORDER: Final = Struct("<QQI7B12qQB6qQ")
_SESSION: Final = Struct("<BqBqqqqqqIBIIIBII")  # then the packed schedule and fee tiers
_STANDING: Final = Struct("<QBIIIIQIq")
_RECEIPT: Final = Struct("<QQHQq")


class SnapshotError(ValueError):
    """The bytes are not a snapshot that this version can read."""


def state_hash(machine: Machine) -> bytes:
    """32 bytes that two replicas share at a sequence exactly if their states are equal."""
    return blake3(snapshot_bytes(machine)).digest()


def snapshot_bytes(machine: Machine) -> bytes:
    registry, trading, ledger = machine.registry, machine.trading, machine.ledger
    index = trading.index
    out = bytearray(
        _HEADER.pack(
            MAGIC,
            VERSION,
            machine.sequence,
            machine.timestamp_ns,
            index.last_trade_id,
            index.last_priority,
            machine.chain,
        )
    )
    assets = [asset for asset in registry.assets if asset is not None]
    _write(out, _ASSET, [((a.decimals, a.created_sequence), (a.name,)) for a in assets])
    markets = [market for market in registry.markets if market is not None]
    _write(out, _MARKET, [(_market_row(market), ()) for market in markets])
    _write(out, _SESSION, [_session_row(trading.markets[market.market_id].session) for market in markets])
    _write(out, _ACCOUNT, [((a.role, a.created_sequence), (a.name,)) for a in registry.accounts[1:]])
    _write(out, _STANDING, [(row, ()) for row in _standing_rows(registry)])
    keys = [registry.api_keys[key_id] for key_id in sorted(registry.api_keys)]
    _write(out, _API_KEY, [((k.account_id, k.created_sequence), (k.key_id, k.sealed_secret)) for k in keys])
    _write(out, _DEPOSIT, [(registry.deposits[name], (name,)) for name in sorted(registry.deposits)])
    _write(out, _BALANCE, [(row, ()) for row in ledger.rows()])
    _write(out, _SUPPLY, [(row, ()) for row in ledger.supplies()])
    orders = [trading.orders[order_id] for order_id in sorted(trading.orders)]
    _write(out, _ORDER, [(_order_row(order), (order.client_order_id,)) for order in orders])
    receipts = machine.receipts.in_queue_order()
    _write(out, _RECEIPT, [(_receipt_row(r), (r.request_id, r.content)) for r in receipts])
    _write(out, WITHDRAWAL_ROW, machine.withdrawals.rows())
    _write(out, TRANSFER_ROW, machine.transfers.rows())
    _write(out, VOLUME_ROW, trading.volumes.rows(machine.timestamp_ns))
    _write(out, SALE_ROW, machine.sales.sale_rows())
    _write(out, SUBSCRIPTION_ROW, machine.sales.subscription_rows())
    return bytes(out)


def restore(data: bytes) -> Machine:
    """Build the machine that a snapshot describes. SnapshotError if the bytes are not one."""
    machine = Machine()
    try:
        header = _HEADER.unpack_from(data)
        magic, version, machine.sequence, machine.timestamp_ns, trade_id, priority, machine.chain = header
        machine.trading.index.last_trade_id, machine.trading.index.last_priority = trade_id, priority
        if magic != MAGIC or version != VERSION:
            raise SnapshotError("not a snapshot of this version")
        _Reader(data, _HEADER.size).fill(machine)
    except (StructError, IndexError) as error:
        raise SnapshotError(f"the snapshot is cut short: {error}") from None
    assert len(machine.chain) == CHAIN_SIZE
    return machine


class _Reader:
    """Reads the sections in the order in which they were written."""

    def __init__(self, data: bytes, position: int) -> None:
        self._data = data
        self._position = position

    def fill(self, machine: Machine) -> None:
        registry, trading = machine.registry, machine.trading
        for (decimals, sequence), (name,) in self._rows(_ASSET, 1):
            registry.add_asset(AssetSpec(len(registry.assets), name, decimals, sequence))
        for row, _ in self._rows(_MARKET, 0):
            market = _market_from(row, registry.assets, len(registry.markets))
            registry.add_market(market)
            trading.open_market(market)
        sessions = list(self._rows(_SESSION, 2))
        for market_id, (row, (schedule, tiers)) in enumerate(sessions, start=1):
            _restore_session(machine, market_id, row, schedule, tiers)
        for (role, sequence), (name,) in self._rows(_ACCOUNT, 1):
            registry.add_account(AccountSpec(len(registry.accounts), name, role, sequence))
        for row, _ in self._rows(_STANDING, 0):
            _restore_standing(machine, row)
        for (account_id, sequence), (key_id, sealed) in self._rows(_API_KEY, 2):
            registry.api_keys[key_id] = ApiKey(key_id, account_id, sealed, sequence)
        for row, (name,) in self._rows(_DEPOSIT, 1):
            registry.deposits[name] = DepositReceipt(*row)
        balances = [row for row, _ in self._rows(_BALANCE, 0)]
        supplies = [row for row, _ in self._rows(_SUPPLY, 0)]
        machine.ledger.restore(balances, supplies)  # type: ignore[arg-type]
        for row, (client_order_id,) in self._rows(_ORDER, 1):
            order = _order_from(row, client_order_id)
            trading.orders[order.order_id] = order
            if order.status in (OPEN, WAITING):
                machine.timers.schedule(order.expires_at_ns, ORDER_EXPIRES, order.order_id)
        for (account_id, sequence, reason, subject_id, remembered_at_ns), (request_id, content) in self._rows(
            _RECEIPT, 2
        ):
            machine.receipts.remember(
                Receipt(account_id, request_id, content, sequence, reason, subject_id, remembered_at_ns)
            )
        machine.withdrawals.restore(self._rows(WITHDRAWAL_ROW, 2))
        machine.transfers.restore(self._rows(TRANSFER_ROW, 1))
        trading.volumes.restore(self._rows(VOLUME_ROW, 0))
        sale_rows = list(self._rows(SALE_ROW, 1))
        machine.sales.restore(sale_rows, list(self._rows(SUBSCRIPTION_ROW, 0)))
        if self._position != len(self._data):
            raise SnapshotError("bytes follow the last section")
        staying = [order for order in trading.orders.values() if order.status in (OPEN, WAITING)]
        for order in sorted(staying, key=lambda order: order.priority):
            trading.markets[order.market_id].restore(order)

    def _rows(self, layout: Struct, texts: int) -> Iterable[tuple[tuple[int, ...], tuple[bytes, ...]]]:
        data = self._data
        (count,) = _COUNT.unpack_from(data, self._position)
        self._position += _COUNT.size
        for _ in range(count):
            row = layout.unpack_from(data, self._position)
            position = self._position + layout.size
            found: tuple[bytes, ...] = ()
            for _ in range(texts):
                end = position + 1 + data[position]
                found += (data[position + 1 : end],)
                position = end
            self._position = position
            yield row, found


def _write(out: bytearray, layout: Struct, rows: list[tuple[tuple[int, ...], tuple[bytes, ...]]]) -> None:
    out += _COUNT.pack(len(rows))
    for row, texts in rows:
        out += layout.pack(*row)
        for text in texts:
            out.append(len(text))
            out += text


def _market_row(market: MarketSpec) -> tuple[int, ...]:
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


def _market_from(row: tuple[int, ...], assets: list[AssetSpec | None], market_id: int) -> MarketSpec:
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


def _session_row(session: Session) -> tuple[tuple[int, ...], tuple[bytes, ...]]:
    numbers = (
        session.state,
        session.last_price_ticks,
        session.phase,
        session.phase_ends_ns,
        session.announced_end_ns,
        session.next_step_ns,
        *session.indicative,
        *session.rules,
    )
    return numbers, (pack_schedule(session.schedule), pack_tiers(session.tiers))


def _restore_session(machine: Machine, market_id: int, row: tuple[int, ...], schedule: bytes, tiers: bytes) -> None:
    market = machine.trading.markets[market_id]
    session = market.session
    session.state, session.last_price_ticks, session.phase = row[:3]
    session.phase_ends_ns, session.announced_end_ns, session.next_step_ns = row[3:6]
    session.indicative = Indicative(*row[6:9])
    session.rules = MarketRules(*row[9:])
    session.schedule = unpack_schedule(schedule) or ()
    session.tiers = unpack_tiers(tiers) or ()
    machine.timers.schedule(session.phase_ends_ns, AUCTION_PHASE, market_id)
    machine.timers.schedule(session.next_step_ns, MARKET_SCHEDULE, market_id)
    if session.state == AUCTION:
        machine.sessions.auctions[market_id] = market


def _standing_rows(registry: Registry) -> list[tuple[int, ...]]:
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
        for account_id, standing in sorted(registry.standings.items())
    ]
    return [row for row in rows if any(row[1:])]


def _restore_standing(machine: Machine, row: tuple[int, ...]) -> None:
    standing = machine.registry.standing(row[0])
    standing.frozen, standing.limits = row[1], AccountLimits(*row[2:6])
    standing.window, standing.requests_in_window, standing.dead_man_ns = row[6:]
    machine.timers.schedule(standing.dead_man_ns, DEAD_MAN, row[0])


_ORDER_FIELDS: Final = (
    "order_id",
    "account_id",
    "market_id",
    "side",
    "order_type",
    "time_in_force",
    "post_only",
    "self_trade",
    "status",
    "close_reason",
    "price_ticks",
    "quantity_lots",
    "budget_units",
    "open_lots",
    "executed_lots",
    "prevented_lots",
    "cancelled_lots",
    "notional_units",
    "fee_units",
    "fee_overpaid_ppm",
    "held_units",
    "accepted_at_ns",
    "priority",
    "trigger",
    "stop_ticks",
    "trail_ticks",
    "trail_ppm",
    "display_lots",
    "visible_lots",
    "expires_at_ns",
    "linked_order_id",
)


def _order_row(order: Order) -> tuple[int, ...]:
    return tuple(getattr(order, field) for field in _ORDER_FIELDS)


def _order_from(row: tuple[int, ...], client_order_id: bytes) -> Order:
    order = Order(row[0], row[1], row[2], row[3], client_order_id)
    for field, value in zip(_ORDER_FIELDS[4:], row[4:], strict=True):
        setattr(order, field, value)
    return order


def _receipt_row(receipt: Receipt) -> tuple[int, ...]:
    return (receipt.account_id, receipt.sequence, receipt.reason, receipt.subject_id, receipt.remembered_at_ns)
