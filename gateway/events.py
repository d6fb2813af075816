"""Everything that happened, in the order of the log: for operators who follow, check or rebuild.

The archive is the source, so nothing is left out and nothing is invented. Fields are the records' own, raw integers:
base units, ticks and lots as ``engine.events`` names them. Of a market's schedule and fee tiers, which a record has
packed, the lists are shown.
"""

from __future__ import annotations

from typing import Any

from engine.codec import decode_events, unpack_schedule, unpack_tiers
from engine.events import Event, FeeTiersSet, MarketScheduleSet
from gateway.endpoint import Call, Reply
from gateway.parsing import PAGE_PARAMETERS, query_page
from gateway.rendering import Json


async def show(call: Call) -> Reply:
    """The entries of the log after a sequence. ``more``: ask again after the last of them, or as before if none."""
    page = query_page(call.read_parameters(PAGE_PARAMETERS))
    arguments = {"after_sequence": page.after, "limit": page.limit}
    answer = await call.ask("events", arguments)
    entries = [entry_body(entry) for entry in answer.value["entries"]]
    return Reply(200, {"sequence": answer.sequence, "entries": entries, "more": answer.value["more"]})


def entry_body(entry: dict[str, Any]) -> Json:
    """One entry as a replica answers it. Its events are None where they are too many for an answer."""
    events = None
    if entry["events"] is not None:
        first_sequence, count = entry["first_sequence"], entry["command_count"]
        events = [event_body(event, first_sequence, offset, count) for offset, event in decode_events(entry["events"])]
    return {
        "first_sequence": entry["first_sequence"],
        "timestamp_ns": entry["timestamp_ns"],
        "chain": entry["chain"].hex(),
        "commands": entry["command_count"],
        "events": events,
    }


def event_body(event: Event, first_sequence: int, command_offset: int, command_count: int) -> Json:
    """``by_time``: it became due. It happened before the first command of the entry, and belongs to none of them."""
    by_time = command_offset >= command_count
    sequence = first_sequence if by_time else first_sequence + command_offset
    body: Json = {"sequence": sequence, "by_time": by_time, "type": type(event).__name__}
    body.update(event._asdict())
    if isinstance(event, MarketScheduleSet):
        body["steps"] = [list(step) for step in unpack_schedule(event.steps) or ()]
    elif isinstance(event, FeeTiersSet):
        body["tiers"] = [list(tier) for tier in unpack_tiers(event.tiers) or ()]
    return {name: value.decode("ascii") if isinstance(value, bytes) else value for name, value in body.items()}
