"""What happened on a running exchange, read through ``GET /v1/admin/events`` and made events again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from engine import events
from engine.codec import EVENT_LAYOUTS, pack_schedule, pack_tiers
from engine.events import Event
from engine.types import FeeTier, ScheduleStep
from sim.client import Client, OutcomeUnsettled

_TYPES: Final[dict[str, Any]] = {layout.record.__name__: layout.record for layout in EVENT_LAYOUTS}
_ENTRIES: Final = 100
_PAUSE_S: Final = 0.005
_PATIENCE_S: Final = 30.0


class FeedEvent(NamedTuple):
    """``by_time``: it belongs to no command; ``sequence`` is then the one of the first command after it."""

    sequence: int
    by_time: bool
    timestamp_ns: int
    event: Event


class EventFeed:
    """All events after the moment at which it was made, entry by entry. ``position`` is the last sequence read."""

    def __init__(self, operator: Client) -> None:
        self._operator = operator
        response = operator.settle(lambda: operator.request("GET", "/v1/accounts/me")).expect()
        self.position: int = response.body["sequence"]

    def entries(self) -> Iterator[list[FeedEvent]]:
        """The next entries, waiting for them. OutcomeUnsettled if none come for long.

        Whoever stops early goes on with the entry after the last one that was taken.
        """
        deadline_s = time.monotonic() + _PATIENCE_S
        while True:
            body = self._operator.settle(self._ask).expect().body
            for entry in body["entries"]:
                self.position = entry["first_sequence"] + entry["commands"] - 1
                yield [_feed_event(fields, entry["timestamp_ns"]) for fields in entry["events"] or ()]
                deadline_s = time.monotonic() + _PATIENCE_S
            if not body["entries"] and not body["more"]:
                if time.monotonic() > deadline_s:
                    raise OutcomeUnsettled(f"The exchange tells of no events after sequence {self.position}.")
                time.sleep(_PAUSE_S)

    def _ask(self) -> Any:
        after = f"after={self.position}&" if self.position else ""
        return self._operator.request("GET", f"/v1/admin/events?{after}limit={_ENTRIES}")


def _feed_event(fields: dict[str, Any], timestamp_ns: int) -> FeedEvent:
    record = _TYPES[fields["type"]]
    values = {name: fields[name] for name in record._fields}
    if record is events.MarketScheduleSet:
        values["steps"] = pack_schedule(ScheduleStep(*step) for step in values["steps"])
    elif record is events.FeeTiersSet:
        values["tiers"] = pack_tiers(FeeTier(*tier) for tier in values["tiers"])
    decoded = {name: value.encode() if isinstance(value, str) else value for name, value in values.items()}
    return FeedEvent(fields["sequence"], fields["by_time"], timestamp_ns, record(**decoded))
