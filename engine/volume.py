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

from engine.types import AMOUNT_MAX, NS_PER_DAY, VOLUME_DAYS

Row = tuple[tuple[int, ...], tuple[bytes, ...]]

# A row of the snapshot: account_id, asset_id, day (since 1970), units; no text follows.
VOLUME_ROW: Final = Struct("<QIIq")

_ASSET_BITS: Final = 16
_NO_DAY: Final = -1


class _AccountVolume:
    """``units_by_day`` has the days in ascending order. ``sum_units`` is the answer for ``sum_day``, asked before."""

    __slots__ = ("sum_day", "sum_units", "units_by_day")

    def __init__(self) -> None:
        self.units_by_day: dict[int, int] = {}
        self.sum_day = _NO_DAY
        self.sum_units = 0


class Volumes:
    """Owns the volumes of all accounts. Log time never runs backwards, and so no day comes before one seen already."""

    def __init__(self) -> None:
        self._volumes: dict[int, _AccountVolume] = {}  # (account_id, asset_id) packed in one key

    def add(self, account_id: int, asset_id: int, timestamp_ns: int, notional_units: int) -> None:
        """Count one side of a trade. A day holds at most AMOUNT_MAX: beyond that it is full."""
        key = account_id << _ASSET_BITS | asset_id
        day = timestamp_ns // NS_PER_DAY
        volume = self._volumes.get(key)
        if volume is None:
            volume = self._volumes[key] = _AccountVolume()
        units_by_day = volume.units_by_day
        if day not in units_by_day:
            _begin_day(units_by_day, day)
        units = units_by_day[day] + notional_units
        units_by_day[day] = units if units < AMOUNT_MAX else AMOUNT_MAX

    def last_30_days(self, account_id: int, asset_id: int, timestamp_ns: int) -> int:
        """The sum over the 30 whole UTC days before the one of ``timestamp_ns``; up to 30 times AMOUNT_MAX."""
        volume = self._volumes.get(account_id << _ASSET_BITS | asset_id)
        if volume is None:
            return 0
        today = timestamp_ns // NS_PER_DAY
        if volume.sum_day != today:
            days = volume.units_by_day.items()
            volume.sum_units = sum(units for day, units in days if today - VOLUME_DAYS <= day < today)
            volume.sum_day = today
        return volume.sum_units

    def rows(self, timestamp_ns: int) -> list[Row]:
        """What counts today or will count later, in ascending order, as :data:`VOLUME_ROW` and no texts."""
        first_day = timestamp_ns // NS_PER_DAY - VOLUME_DAYS
        return [
            ((key >> _ASSET_BITS, key & (1 << _ASSET_BITS) - 1, day, units), ())
            for key, volume in sorted(self._volumes.items())
            for day, units in volume.units_by_day.items()
            if day >= first_day
        ]

    def restore(self, rows: Iterable[Row]) -> None:
        """Fill empty volumes. Rows come in the order in which :meth:`rows` gives them."""
        for (account_id, asset_id, day, units), _ in rows:
            key = account_id << _ASSET_BITS | asset_id
            volume = self._volumes.setdefault(key, _AccountVolume())
            _begin_day(volume.units_by_day, day)
            volume.units_by_day[day] = units


def _begin_day(units_by_day: dict[int, int], day: int) -> None:
    """Open a new last day, and drop those that it puts out of reach."""
    if units_by_day:
        last_day = next(reversed(units_by_day))
        assert day > last_day, ("log time ran backwards", day, last_day)
    units_by_day[day] = 0
    for old_day in [old_day for old_day in units_by_day if old_day < day - VOLUME_DAYS]:
        del units_by_day[old_day]
