"""Events as operators read them: the records' own fields, and which command each belongs to."""

import orjson

from engine.codec import EVENT_LAYOUTS, encode_event, pack_schedule, pack_tiers
from engine.entry import BY_TIME
from engine.events import CommandRejected, FeeTiersSet, FundsDeposited, MarketScheduleSet, TimeReached
from engine.types import FeeTier, ScheduleStep
from gateway.events import entry_body, event_body

ENTRY = {"first_sequence": 7, "timestamp_ns": 1_750_000_000_000_000_000, "command_count": 2, "chain": bytes(range(32))}


def test_events_are_told_with_the_sequence_of_their_command() -> None:
    events = [
        encode_event(TimeReached(1), BY_TIME),
        encode_event(CommandRejected(23, 0), 0),
        encode_event(FundsDeposited(4, 1, 500, 600, b"dep-7"), 1),
    ]
    body = entry_body(ENTRY | {"events": b"".join(events)})
    assert (body["first_sequence"], body["commands"], body["chain"]) == (7, 2, bytes(range(32)).hex())
    assert body["events"] == [
        {"sequence": 7, "by_time": True, "type": "TimeReached", "timestamp_ns": 1},
        {"sequence": 7, "by_time": False, "type": "CommandRejected", "reason": 23, "original_sequence": 0},
        {
            "sequence": 8,
            "by_time": False,
            "type": "FundsDeposited",
            "account_id": 4,
            "asset_id": 1,
            "amount_units": 500,
            "available_units": 600,
            "reference": "dep-7",
        },
    ]


def test_too_many_events_are_null() -> None:
    assert entry_body(ENTRY | {"events": None})["events"] is None


def test_what_a_record_packs_is_shown_as_lists() -> None:
    schedule = MarketScheduleSet(3, pack_schedule([ScheduleStep(31_800, 1), ScheduleStep(61_200, 6)]))
    assert event_body(schedule, 7, 0, 1)["steps"] == [[31_800, 1], [61_200, 6]]
    tiers = FeeTiersSet(3, pack_tiers([FeeTier(1_000, 500, -100)]))
    assert event_body(tiers, 7, 0, 1)["tiers"] == [[1_000, 500, -100]]


def test_every_event_can_be_told() -> None:
    """No field of a record has the name of what is told about the event itself."""
    for layout in EVENT_LAYOUTS:
        fields = layout.record._fields
        assert not {"sequence", "by_time", "type"} & set(fields), layout.record
        values = (0,) * (len(fields) - layout.texts) + (b"",) * layout.texts
        body = event_body(layout.record(*values), 7, 0, 1)
        assert list(body) == ["sequence", "by_time", "type", *fields]
        assert orjson.dumps(body)
