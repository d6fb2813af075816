"""The state as canonical bytes: equal states give equal bytes, whatever their history.

Everything is written in an order that the state itself defines: by id, by name, by place in a queue, or in the order of
the log (deposits, receipts, closed orders), which whoever reads them keeps.

Layout: magic, version, then sections, each ``u32 row count`` and rows of a fixed struct with texts
(``u8 length`` and bytes) behind it, then both arenas (``engine.arena``), each a table of its segments and then all
their records as they stand. The state hash is the BLAKE3 of the same with digests of the segments instead of the
records, so that what does not change any more is hashed once. It covers the sequence and the chain too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from struct import Struct
from struct import error as StructError
from typing import Final

from blake3 import blake3

from engine.arena import Arena
from engine.entry import CHAIN_SIZE
from engine.group_transfer_state import RECEIVED_ROW, SENT_ROW
from engine.machine import Machine
from engine.mirrors import MIRROR_ROW
from engine.orders import Order
from engine.registry import DepositReceipt
from engine.rules import NEWEST_RULES_VERSION, OLDEST_RULES_VERSION
from engine.sale_state import SALE_ROW, SUBSCRIPTION_ROW
from engine.snapshot_orders import append_orders, read_orders
from engine.snapshot_rows import (
    ACCOUNT_ROW,
    API_KEY_ROW,
    ASSET_ROW,
    DEPOSIT_ROW,
    GROUP_ROW,
    MARKET_ROW,
    SESSION_ROW,
    STANDING_ROW,
    SUPPLY_ROW,
    market_from,
    market_row,
    restore_session,
    restore_standing,
    session_row,
    standing_rows,
)
from engine.timers import ORDER_EXPIRES
from engine.transfers import TRANSFER_ROW
from engine.types import AccountSpec, ApiKey, AssetSpec
from engine.volume import VOLUME_ROW
from engine.withdrawals import WITHDRAWAL_ROW

MAGIC: Final = b"TALLYSNP"
VERSION: Final = 4
VERSION_WITH_RULES: Final = 5
"""The same, and the version of the rules behind the sections: only where that is not the oldest.

So a log that never changed its rules has the snapshots and the state hashes that it always had.
"""
VERSIONS: Final = frozenset((VERSION, VERSION_WITH_RULES))

_KIND: Final = Struct("<8sH")  # magic, version
# Then sequence, timestamp_ns, last_trade_id, last_priority, chain.
_HEADER: Final = Struct("<8sHQqQQ32s")
_COUNT: Final = Struct("<I")
_RULES: Final = Struct("<I")


class SnapshotError(ValueError):
    """The bytes are not a snapshot that this version can read."""


def state_hash(machine: Machine) -> bytes:
    """32 bytes that two replicas share at a sequence exactly if their states are equal."""
    hasher = blake3(_sections(machine))
    for arena in _arenas(machine):
        hasher.update(arena.table())
        hasher.update(arena.digests())
    return hasher.digest()


def snapshot_bytes(machine: Machine) -> bytes:
    parts: list[bytes | bytearray | memoryview] = [_sections(machine)]
    for arena in _arenas(machine):
        parts.append(arena.table())
        parts += arena.records()
    return b"".join(parts)


def _arenas(machine: Machine) -> tuple[Arena, Arena]:
    """Receipts come first: which closed orders are remembered depends on them."""
    return machine.receipts.arena, machine.trading.index.closed.arena


def _sections(machine: Machine) -> bytearray:
    """All of a snapshot but the arenas."""
    registry, trading, ledger = machine.registry, machine.trading, machine.ledger
    index = trading.index
    out = bytearray(
        _HEADER.pack(
            MAGIC,
            VERSION_WITH_RULES if _has_rules(machine) else VERSION,
            machine.sequence,
            machine.timestamp_ns,
            index.last_trade_id,
            index.last_priority,
            machine.chain,
        )
    )
    assets = [asset for asset in registry.assets if asset is not None]
    _write_named(out, ASSET_ROW, (((a.decimals, a.created_sequence), a.name) for a in assets))
    markets = [market for market in registry.markets if market is not None]
    _write(out, MARKET_ROW, [(market_row(market), ()) for market in markets])
    _write(out, SESSION_ROW, [session_row(market.session) for market in trading.markets])
    _write_named(out, ACCOUNT_ROW, (((a.role, a.created_sequence), a.name) for a in registry.accounts[1:]))
    _write(out, STANDING_ROW, [(row, ()) for row in standing_rows(registry)])
    keys = [registry.api_keys[key_id] for key_id in sorted(registry.api_keys)]
    _write(out, API_KEY_ROW, [((k.account_id, k.created_sequence), (k.key_id, k.sealed_secret)) for k in keys])
    _write_named(out, DEPOSIT_ROW, zip(registry.deposits.values(), registry.deposits, strict=True))
    _write_by(ledger.append_rows, out)
    _write(out, SUPPLY_ROW, [(row, ()) for row in ledger.supplies()])
    _write_by(partial(append_orders, index), out)
    _write(out, WITHDRAWAL_ROW, machine.withdrawals.rows())
    _write(out, TRANSFER_ROW, machine.transfers.rows())
    _write_by(partial(trading.volumes.append_rows, machine.timestamp_ns), out)
    _write(out, SALE_ROW, machine.sales.sale_rows())
    _write(out, SUBSCRIPTION_ROW, machine.sales.subscription_rows())
    _write(out, GROUP_ROW, [machine.group_transfers.name_row()])
    _write(out, MIRROR_ROW, [(row, ()) for row in machine.mirrors.rows()])
    _write(out, SENT_ROW, machine.group_transfers.sent_rows())
    _write(out, RECEIVED_ROW, machine.group_transfers.received_rows())
    if _has_rules(machine):
        out += _RULES.pack(machine.rules.version)
    return out


def _has_rules(machine: Machine) -> bool:
    return machine.rules.version > OLDEST_RULES_VERSION


def restore(data: bytes, hash_key: int = 0, *, newest_rules_version: int = NEWEST_RULES_VERSION) -> Machine:
    """Build the machine that a snapshot describes. SnapshotError if the bytes are not one; RulesNotKnown if its rules
    are newer than this engine.

    ``hash_key`` and ``newest_rules_version`` are the new machine's own (``engine.machine.Machine``).
    """
    version = version_of(data)
    if version not in VERSIONS:
        known = " and ".join(map(str, sorted(VERSIONS)))
        raise SnapshotError(f"a snapshot of version {version}, and this build knows versions {known}")
    machine = Machine(hash_key, newest_rules_version=newest_rules_version)
    try:
        _, _, machine.sequence, machine.timestamp_ns, trade_id, priority, machine.chain = _HEADER.unpack_from(data)
        machine.trading.index.last_trade_id, machine.trading.index.last_priority = trade_id, priority
        _Reader(data, _HEADER.size).fill(machine, has_rules=version == VERSION_WITH_RULES)
    except (StructError, IndexError) as error:
        raise SnapshotError(f"the snapshot is cut short: {error}") from None
    assert len(machine.chain) == CHAIN_SIZE
    return machine


def version_of(data: bytes) -> int:
    """The version of a snapshot's format. SnapshotError if the bytes are no snapshot."""
    if len(data) < _KIND.size or not data.startswith(MAGIC):
        raise SnapshotError("these bytes are no snapshot of an exchange's state")
    version: int = _KIND.unpack_from(data)[1]
    return version


class _Reader:
    """Reads the sections in the order in which they were written."""

    def __init__(self, data: bytes, position: int) -> None:
        self._data = data
        self._position = position

    def fill(self, machine: Machine, *, has_rules: bool) -> None:
        registry, trading = machine.registry, machine.trading
        for (decimals, sequence), (name,) in self._rows(ASSET_ROW, 1):
            registry.add_asset(AssetSpec(len(registry.assets), name, decimals, sequence))
        for row, _ in self._rows(MARKET_ROW, 0):
            market = market_from(row, registry.assets, len(registry.markets))
            registry.add_market(market)
            trading.open_market(market)
        sessions = list(self._rows(SESSION_ROW, 2))
        for market_id, (row, (schedule, tiers)) in enumerate(sessions, start=1):
            restore_session(machine, market_id, row, schedule, tiers)
        for (role, sequence), (name,) in self._rows(ACCOUNT_ROW, 1):
            registry.add_account(AccountSpec(len(registry.accounts), name, role, sequence))
        for row, _ in self._rows(STANDING_ROW, 0):
            restore_standing(machine, row)
        for (account_id, sequence), (key_id, sealed) in self._rows(API_KEY_ROW, 2):
            registry.api_keys[key_id] = ApiKey(key_id, account_id, sealed, sequence)
        for row, (name,) in self._rows(DEPOSIT_ROW, 1):
            registry.deposits[name] = DepositReceipt(*row)
        self._read_by(machine.ledger.read_rows)
        machine.ledger.set_supplies([(row[0], row[1]) for row, _ in self._rows(SUPPLY_ROW, 0)])
        opened: list[Order] = []
        self._read_by(lambda data, position, count: read_orders(trading.index, data, position, count, opened))
        machine.withdrawals.restore(self._rows(WITHDRAWAL_ROW, 2))
        machine.transfers.restore(self._rows(TRANSFER_ROW, 1))
        trading.volumes.restore(self._rows(VOLUME_ROW, 0))
        sale_rows = list(self._rows(SALE_ROW, 1))
        machine.sales.restore(sale_rows, list(self._rows(SUBSCRIPTION_ROW, 0)))
        self._fill_groups(machine)
        if has_rules:
            (rules_version,) = _RULES.unpack_from(self._data, self._position)
            if rules_version <= OLDEST_RULES_VERSION:
                raise SnapshotError(f"the snapshot says that version {rules_version} of the rules is in force")
            machine.rules.restore(rules_version)
            self._position += _RULES.size
        self._read_arenas(machine)
        if self._position != len(self._data):
            raise SnapshotError("bytes follow the last section")
        for order in opened:
            trading.market_of(order).restore(order)
            if order.expires_at_ns:
                machine.timers.schedule(order.expires_at_ns, ORDER_EXPIRES, order.order_id)

    def _fill_groups(self, machine: Machine) -> None:
        name_rows = list(self._rows(GROUP_ROW, 1))
        if len(name_rows) != 1:
            raise SnapshotError(f"the group has {len(name_rows)} names")
        machine.mirrors.restore([(row[0], row[1]) for row, _ in self._rows(MIRROR_ROW, 0)])
        sent_rows = list(self._rows(SENT_ROW, 2))
        machine.group_transfers.restore(name_rows[0], sent_rows, self._rows(RECEIVED_ROW, 2))

    def _read_by(self, read_rows: Callable[[bytes, int, int], int]) -> None:
        """Let the owner of a section read its rows."""
        (count,) = _COUNT.unpack_from(self._data, self._position)
        self._position = read_rows(self._data, self._position + _COUNT.size, count)

    def _read_arenas(self, machine: Machine) -> None:
        for arena in _arenas(machine):
            self._position = arena.restore(self._data, self._position)
        machine.receipts.read_arena()
        machine.trading.index.read_closed()

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


def _write_by(append_rows: Callable[[bytearray], int], out: bytearray) -> None:
    """Let the owner of a section write its rows, behind their count."""
    start = len(out)
    out += _COUNT.pack(0)
    _COUNT.pack_into(out, start, append_rows(out))


def _write_named(out: bytearray, layout: Struct, rows: Iterable[tuple[tuple[int, ...], bytes]]) -> None:
    """As :func:`_write`, for the many rows that have one text."""
    start, count, pack = len(out), 0, layout.pack
    out += _COUNT.pack(0)
    for row, name in rows:
        count += 1
        out += pack(*row)
        out.append(len(name))
        out += name
    _COUNT.pack_into(out, start, count)


def _write(out: bytearray, layout: Struct, rows: Iterable[tuple[tuple[int, ...], tuple[bytes, ...]]]) -> None:
    start, count = len(out), 0
    out += _COUNT.pack(0)
    for row, texts in rows:
        count += 1
        out += layout.pack(*row)
        for text in texts:
            out.append(len(text))
            out += text
    _COUNT.pack_into(out, start, count)
