"""How much each account traded on each day, by quote asset: what its fee tiers are measured by (docs/rules.md)."""

from __future__ import annotations

from collections.abc import Iterable

from engine.types import AMOUNT_MAX, NS_PER_DAY, VOLUME_DAYS
from projections.moment import Moment
from projections.rows import VolumeRow


def first_day_kept(timestamp_ns: int) -> int:
    """A day that is further back counts for no tier, at this time or later."""
    return timestamp_ns // NS_PER_DAY - VOLUME_DAYS


class Volumes:
    """Owns the volumes of the last days; older ones are in the table only."""

    def __init__(self, moment: Moment) -> None:
        self._moment = moment
        self._days: dict[tuple[int, int], dict[int, int]] = {}  # (account_id, asset_id) -> day -> units
        self._changed: dict[tuple[int, int, int], int] = {}  # units by (account_id, asset_id, day)

    def restore(self, rows: Iterable[VolumeRow]) -> None:
        for row in rows:
            self._days.setdefault((row.account_id, row.asset_id), {})[row.day] = row.notional_units

    def add(self, account_id: int, asset_id: int, notional_units: int) -> None:
        """Count one side of a trade. A day holds at most AMOUNT_MAX."""
        day = self._moment.timestamp_ns // NS_PER_DAY
        days = self._days.setdefault((account_id, asset_id), {})
        if day not in days:
            for old in [old for old in days if old < first_day_kept(self._moment.timestamp_ns)]:
                del days[old]
        units = min(days.get(day, 0) + notional_units, AMOUNT_MAX)
        days[day] = self._changed[account_id, asset_id, day] = units

    def last_30_days(self, account_id: int, asset_id: int) -> int:
        """The sum over the whole days before today."""
        days = self._days.get((account_id, asset_id))
        if days is None:
            return 0
        today = self._moment.timestamp_ns // NS_PER_DAY
        return sum(units for day, units in days.items() if today - VOLUME_DAYS <= day < today)

    def take(self) -> list[VolumeRow]:
        """What has changed since the last call."""
        group_id = self._moment.group_id
        rows = [VolumeRow(group_id, *key, units) for key, units in self._changed.items()]
        self._changed = {}
        return rows
