"""How much each account traded: what its fee tier is measured by.

Volume is the notional of an account's trades, by quote asset over all markets quoted in it, and by UTC day of log
time. A tier looks at the 30 whole days before today, so that an account's rates are fixed while a day lasts, and no
trade changes its own fee. Days that no question can reach any more are dropped when an account begins a new one;
since that depends on when it trades, the snapshot leaves out all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import Final

from engine import wire
from engine.account_assets import AccountAsset, AccountAssets
from engine.types import AMOUNT_MAX, NS_PER_DAY, VOLUME_DAYS

Row = tuple[tuple[int, ...], tuple[bytes, ...]]

# A row of the snapshot: account_id, asset_id, day (since 1970), units; no text follows.
VOLUME_ROW: Final = Struct("<QIIq")
_ROW_SIZE: Final = 24

_NO_DAY: Final = -1
_SUM_MAX: Final = 1 << 63  # twice AMOUNT_MAX; no tier asks for more than that once
# An earlier day of an account: the day, and its units.
_EARLIER_DAY: Final = Struct("<Iq")
_UNITS: Final = 4
_EARLIER_DAY_SIZE: Final = 12


class Volume(AccountAsset):
    """``units`` is of ``day``, the last on which the account traded; ``earlier`` has those before it, ascending.

    ``sum_units`` is the answer for ``sum_day``, asked before.
    """

    __slots__ = ("day", "earlier", "sum_day", "sum_units", "units")

    def __init__(self) -> None:
        self.day = _NO_DAY
        self.units = 0
        self.earlier = b""
        self.sum_day = _NO_DAY
        self.sum_units = 0


class Volumes:
    """Owns the volumes of all accounts. Log time never runs backwards, and so no day comes before one seen already."""

    __slots__ = ("_volumes",)

    def __init__(self) -> None:
        self._volumes = AccountAssets()

    def add(self, account_id: int, asset_id: int, timestamp_ns: int, notional_units: int) -> None:
        """Count one side of a trade. A day holds at most AMOUNT_MAX: beyond that it is full."""
        volume = self._volume(account_id, asset_id)
        day = timestamp_ns // NS_PER_DAY
        if day != volume.day:
            _begin_day(volume, day)
        if notional_units < AMOUNT_MAX - volume.units:
            volume.units += notional_units
        else:
            volume.units = AMOUNT_MAX

    def last_30_days(self, account_id: int, asset_id: int, timestamp_ns: int) -> int:
        """The sum over the 30 whole UTC days before the one of ``timestamp_ns``; beyond twice AMOUNT_MAX it is that."""
        volume = self._find(account_id, asset_id)
        if volume is None:
            return 0
        today = timestamp_ns // NS_PER_DAY
        if volume.sum_day != today:
            volume.sum_units = _sum_before(volume, today)
            volume.sum_day = today
        return volume.sum_units

    def append_rows(self, timestamp_ns: int, out: bytearray) -> int:
        """Append a :data:`VOLUME_ROW` for each day that counts now or will count later, ascending. Answers how many."""
        first_day, size = timestamp_ns // NS_PER_DAY - VOLUME_DAYS, len(out)
        for account_id in range(self._volumes.accounts_end()):
            volume = self._volumes.first_of(account_id)
            while volume is not None:
                assert isinstance(volume, Volume)
                _append_days(volume, account_id, first_day, out)
                volume = self._volumes.next_of(volume)
        return (len(out) - size) // _ROW_SIZE

    def restore(self, rows: Iterable[Row]) -> None:
        """Fill empty volumes. Rows come in the order in which :meth:`append_rows` wrote them."""
        for (account_id, asset_id, day, units), _ in rows:
            volume = self._volume(account_id, asset_id)
            _begin_day(volume, day)
            volume.units = units

    def _find(self, account_id: int, asset_id: int) -> Volume | None:
        volume = self._volumes.find(account_id, asset_id)
        assert volume is None or isinstance(volume, Volume)
        return volume

    def _volume(self, account_id: int, asset_id: int) -> Volume:
        volume = self._find(account_id, asset_id)
        if volume is None:
            volume = Volume()
            self._volumes.add(account_id, asset_id, volume)
        return volume


def _append_days(volume: Volume, account_id: int, first_day: int, out: bytearray) -> None:
    """Append the rows of an account and an asset from that day on."""
    for place in range(0, len(volume.earlier), _EARLIER_DAY_SIZE):
        day = wire.load_u32(volume.earlier, place)
        if day >= first_day:
            _append_row(out, account_id, volume.asset_id, day, wire.load_i64(volume.earlier, place + _UNITS))
    if volume.day >= first_day:
        _append_row(out, account_id, volume.asset_id, volume.day, volume.units)


def _append_row(out: bytearray, account_id: int, asset_id: int, day: int, units: int) -> None:
    at = len(out)
    wire.grow(out, _ROW_SIZE)
    at = wire.put_u64(out, at, account_id)
    at = wire.put_u32(out, at, asset_id)
    at = wire.put_u32(out, at, day)
    wire.put_i64(out, at, units)


def _begin_day(volume: Volume, day: int) -> None:
    """Open a new last day, and drop those that it puts out of reach."""
    assert day > volume.day, ("log time ran backwards", day, volume.day)
    earlier, start = volume.earlier, 0
    if volume.day != _NO_DAY:
        earlier += _EARLIER_DAY.pack(volume.day, volume.units)
    while start < len(earlier) and wire.load_u32(earlier, start) < day - VOLUME_DAYS:
        start += _EARLIER_DAY_SIZE
    volume.earlier, volume.day, volume.units = earlier[start:], day, 0


def _sum_before(volume: Volume, today: int) -> int:
    """Of the whole days that count today."""
    first_day, total = today - VOLUME_DAYS, 0
    for place in range(0, len(volume.earlier), _EARLIER_DAY_SIZE):
        if first_day <= wire.load_u32(volume.earlier, place) < today:
            total = min(total + wire.load_i64(volume.earlier, place + _UNITS), _SUM_MAX)
    if first_day <= volume.day < today:
        total = min(total + volume.units, _SUM_MAX)
    return total
